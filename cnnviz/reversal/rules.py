"""The rules of the deconvnet: what each operation does to the reconstruction R.

The table below is the whole policy. A row says what a reader should know, and holds for
each type of operation a function that makes the step back, or answers None where the
row is about another case of that operation: `Mul` is a rectifier in `x * sigmoid(x)`, a
gate in squeeze-and-excitation and a plain scale elsewhere. The first row that answers
counts. What no row answers for is refused, with the name of the layer: no operation is
passed by a rule that was not chosen for it.

The table in the README shows these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from cnnviz.errors import LayerError
from cnnviz.graph.constants import is_zero
from cnnviz.graph.functions import CALLS, CONDITIONS
from cnnviz.graph.marks import mark_of
from cnnviz.graph.operations import (
    BATCH_NORMALIZATIONS,
    CONVOLUTIONS,
    TRANSPOSED_CONVOLUTIONS,
)
from cnnviz.reversal import gates, rectifiers, unpooling
from cnnviz.reversal.steps import (
    Note,
    Operation,
    Step,
    Walk,
    as_like,
    registered_gradient,
    summed_to,
)

_Rule = Callable[[Walk, tf.Tensor], Step | None]
"""From the output of an operation to the step back; None if it is another case."""


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        subject: What is met on the way back.
        meets: What R meets there.
        rules: The rules, by the type of the operation; empty where something else does
            what the row says: `logits.find_logits` finds the logit, `_refusal` refuses.
    """

    subject: str
    meets: str
    rules: Mapping[str, _Rule]


def step_back(walk: Walk, tensor: tf.Tensor) -> Step:
    """The step from the output of an operation to its inputs.

    Args:
        walk: The walk that it is a part of.
        tensor: The output.

    Returns:
        What the first row that answers for the operation says.

    Raises:
        LayerError: If no row does.
    """
    op = tensor.op
    for row in TABLE:
        rule = row.rules.get(op.type)
        step = rule(walk, tensor) if rule else None
        if step is not None:
            return step
    raise _refusal(walk, op)


def _linear(
    operation: Operation, place: int, walk: Walk, tensor: tf.Tensor
) -> Step | None:
    """What is linear in the input at a place; what else the image decides is a gate."""
    op = tensor.op
    constant = not any(walk.depends(t) for i, t in enumerate(op.inputs) if i != place)
    note = None if constant else Note("gated", walk.layer_of(op))
    return _by_gradient(tensor, [place], operation, note)


def _moved(place: int, walk: Walk, tensor: tf.Tensor) -> Step | None:
    """Values of the map at a place; not those of a constant, which a map looks up."""
    if not walk.depends(tensor.op.inputs[place]):
        return None
    return _linear("", place, walk, tensor)


def _joined(walk: Walk, tensor: tf.Tensor) -> Step | None:
    sources = [i for i, t in enumerate(tensor.op.inputs) if walk.depends(t)]
    return _by_gradient(tensor, sources, "")


def _matrix_product(walk: Walk, tensor: tf.Tensor) -> Step | None:
    op = tensor.op
    sources, note = [i for i, t in enumerate(op.inputs) if walk.depends(t)], None
    if len(sources) == 2:
        apart = gates.tell_apart(walk, op)
        if apart is None:
            return None
        sources = [i for i in sources if op.inputs[i] is apart[0]]
        note = Note("gated", walk.layer_of(op))
    return _by_gradient(tensor, sources, "filter", note)


def _by_gradient(
    tensor: tf.Tensor,
    sources: list[int],
    operation: Operation,
    note: Note | None = None,
) -> Step | None:
    op = tensor.op
    chosen = tuple(op.inputs[i] for i in sources)
    if not chosen or not all(t.dtype.is_floating for t in chosen):
        return None

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        gradients = registered_gradient(op, r, tensor.value_index)
        return [gradients[i] for i in sources]

    return Step(chosen, pull, operation, note)


def _sum(walk: Walk, tensor: tf.Tensor) -> Step:
    op = tensor.op
    pairs = [(i, t) for i, t in enumerate(op.inputs) if walk.depends(t)]
    negated = op.type == "Sub"

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        return [summed_to(-r if negated and i == 1 else r, t.shape) for i, t in pairs]

    return Step(tuple(t for _, t in pairs), pull)


def _selected_by_constant(walk: Walk, tensor: tf.Tensor) -> Step | None:
    condition, *branches = tensor.op.inputs
    if walk.depends(condition):
        return None
    # The older operation may have one condition for each row.
    select = tf.raw_ops.Select if tensor.op.type == "Select" else tf.where
    pairs = [(i == 0, t) for i, t in enumerate(branches) if walk.depends(t)]

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        zero = tf.zeros_like(r)
        kept = select(condition=condition, x=r, y=zero)
        rest = select(condition=condition, x=zero, y=r)
        return [summed_to(kept if first else rest, t.shape) for first, t in pairs]

    return Step(tuple(t for _, t in pairs), pull)


def _passed(note: Note | None, walk: Walk, tensor: tf.Tensor) -> Step:
    given = next(t for t in tensor.op.inputs if walk.depends(t))
    return Step(
        (given,), lambda r: [as_like(summed_to(r, given.shape), given)], "", note
    )


def _bounded(walk: Walk, tensor: tf.Tensor) -> Step | None:
    both = all(walk.depends(t) for t in tensor.op.inputs)
    return None if both else _passed(Note("passed", "clipping"), walk, tensor)


def _saturated(walk: Walk, tensor: tf.Tensor) -> Step:
    return _passed(Note("passed", tensor.op.type.lower()), walk, tensor)


def _shrunk(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`x - tanh(x)` and `x - clip(x, -1, 1)`, of whose parts none would remain."""
    x, taken = tensor.op.inputs
    mark, name, given = mark_of(taken.op), taken.op.type.lower(), taken.op.inputs
    is_passed = taken.op.type in _SATURATIONS and not any(map(is_zero, given))
    if mark is not None:
        is_passed, name, given = mark.policy == "pass", mark.activation, [mark.given]
    if not is_passed or sum(map(walk.depends, given)) != 1:
        return None
    if not gates.is_made_of(walk, taken, x):
        return None
    note = Note("passed", f"x - {name}(x)")
    return Step((x,), lambda r: [summed_to(r, x.shape)], note=note)


def _marked_saturation(_: Walk, tensor: tf.Tensor) -> Step | None:
    mark = mark_of(tensor.op)
    if mark is None or mark.policy != "pass":
        return None
    note = Note("passed", mark.activation)
    return Step((mark.given,), lambda r: [as_like(r, mark.given)], note=note)


def _one_of_several(_: Walk, tensor: tf.Tensor) -> Step | None:
    """Also what `tf.custom_gradient` leaves; its forward pass is what counts."""
    if mark_of(tensor.op) is not None:
        return None
    return Step((tensor.op.inputs[tensor.value_index],), lambda r: [r])


def _called(walk: Walk, tensor: tf.Tensor) -> Step | None:
    inside = walk.inlined(tensor.op)
    if inside is None:
        return None
    return Step((inside[tensor.value_index],), lambda r: [r])


def _refusal(walk: Walk, op: tf.Operation) -> LayerError:
    if (mark := mark_of(op)) is not None:
        return walk.refusal(
            op,
            f"applies {mark.activation} inside the network, which the deconvnet "
            "cannot reverse: its units compete, or are never positive.",
        )
    if op.type.startswith("TensorList"):
        return walk.refusal(op, _LOOP)
    is_known = any(op.type in row.rules for row in TABLE)
    kind = op.outputs[0].dtype
    if is_known and not kind.is_floating:
        told = f"computes with {op.type} of {kind.name}, which has no way back."
        return walk.refusal(op, told)
    if op.type in _REFUSALS:
        return walk.refusal(op, _REFUSALS[op.type])
    if is_known:
        return walk.refusal(op, f"looks values up by a map ({op.type}).")
    return walk.refusal(
        op, f"computes with {op.type}, which the deconvnet has no rule for."
    )


_SATURATING = "Tanh Softsign Erf Atan Asinh"
_SATURATIONS = (*_SATURATING.split(), "ClipByValue", "Maximum", "Minimum")
_LOOP = "computes inside a loop or a condition, where no rule can reach."
_PRODUCTS = ("Mul", "MulNoNan")
_SCALINGS = (*_PRODUCTS, *gates.QUOTIENTS)

_REFUSALS = {
    **dict.fromkeys(
        "If StatelessIf While StatelessWhile Case StatelessCase".split(), _LOOP
    ),
    **dict.fromkeys(
        (*_PRODUCTS, *gates.PRODUCTS),
        "multiplies two maps of which neither is a gate, which the deconvnet has no "
        "rule for.",
    ),
    **dict.fromkeys(
        gates.QUOTIENTS, "divides by a map, which the deconvnet has no rule for."
    ),
    **dict.fromkeys(
        ("SelectV2", "Select"),
        "chooses between values by a map, which the deconvnet has no rule for.",
    ),
    **dict.fromkeys(CALLS, "calls a function that cannot be looked into."),
}


def _rules(types: str, rule: _Rule) -> dict[str, _Rule]:
    return dict.fromkeys(types.split(), rule)


TABLE: tuple[Row, ...] = (
    Row(
        "ReLU and its relatives, also written out: relu6, leaky, PReLU, ELU, SELU, "
        "SiLU, GELU, Mish, softplus, ...; sigmoid that is no gate",
        "relu(R); `guided`: only where the output was positive",
        {
            "IdentityN": rectifiers.marked_rectifier,
            "Relu": partial(rectifiers.rectified_operation, "relu"),
            "Relu6": partial(rectifiers.rectified_operation, "relu6"),
            "LeakyRelu": partial(rectifiers.rectified_operation, "leaky_relu"),
            "Elu": partial(rectifiers.rectified_operation, "elu"),
            "Selu": partial(rectifiers.rectified_operation, "selu"),
            "Softplus": partial(rectifiers.rectified_operation, "softplus"),
            "Sigmoid": partial(rectifiers.rectified_operation, "sigmoid"),
            "Maximum": rectifiers.larger_of_scaled,
            "Minimum": rectifiers.smaller_than_zero,
            "ClipByValue": rectifiers.clipped_at_zero,
            **_rules("Add AddV2 Sub", rectifiers.sum_of_halves),
            **_rules("SelectV2 Select", rectifiers.selected_by_sign),
            **dict.fromkeys(_SCALINGS, rectifiers.self_gated),
        },
    ),
    Row(
        "max pooling, also global and 3-D; maximum of maps",
        "put at the switch, the first largest value of its window; overlaps add up",
        {
            **dict.fromkeys(unpooling.SWITCHES, unpooling.unpooled),
            **_rules("Maximum Minimum", unpooling.larger_map),
        },
    ),
    Row(
        "convolution of any kind, dense",
        "the exact transpose, without bias",
        {
            **dict.fromkeys(CONVOLUTIONS, partial(_linear, "filter", 0)),
            **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, partial(_linear, "filter", 2)),
            **dict.fromkeys(gates.PRODUCTS, _matrix_product),
        },
    ),
    Row(
        "average pooling",
        "R/n to each position of the window",
        {
            **_rules("AvgPool AvgPool3D", partial(_linear, "unpool", 0)),
            "Mean": partial(_linear, "", 0),
        },
    ),
    Row(
        "batch normalization",
        "scaled by gamma/sigma, not shifted; a negative gamma flips the sign",
        dict.fromkeys(BATCH_NORMALIZATIONS, gates.batch_normalization),
    ),
    Row(
        "local response normalization",
        "nothing, as in the paper",
        {"LRN": partial(_passed, None)},
    ),
    Row(
        "layer, group, unit normalization",
        "scaled; the image's own deviation is held constant",
        {
            **dict.fromkeys(_PRODUCTS, gates.normalized),
            **dict.fromkeys(gates.QUOTIENTS, gates.divided),
            **dict.fromkeys(BATCH_NORMALIZATIONS, gates.fused_normalization),
        },
    ),
    Row(
        "product with a gate: squeeze-and-excitation, attention weights",
        "scaled by the gate, which is held constant",
        dict.fromkeys(_PRODUCTS, gates.gated),
    ),
    Row(
        "product or quotient with a constant",
        "scaled",
        dict.fromkeys(_SCALINGS, gates.scaled_by_constant),
    ),
    Row(
        "tanh, softsign, clipping",
        "nothing",
        {
            "IdentityN": _marked_saturation,
            "Sub": _shrunk,
            **_rules(_SATURATING, _saturated),
            **_rules("Maximum Minimum", _bounded),
            "ClipByValue": partial(_passed, Note("passed", "clipping")),
        },
    ),
    Row(
        "sum, concatenation, fork",
        "to every summand; sliced; summed, then rectified",
        {
            **_rules("Add AddV2 Sub AddN BiasAdd", _sum),
            **_rules("ConcatV2 Pack", _joined),
        },
    ),
    Row(
        "reshaping, padding, resizing, cropping, summing, choosing by a constant",
        "the exact transpose",
        {
            "Split": partial(_moved, 1),
            **_rules(
                """Sum Neg Reshape Transpose Squeeze ExpandDims SplitV Slice
                StridedSlice Pad PadV2 MirrorPad GatherV2 GatherNd Tile BroadcastTo
                Unpack SpaceToBatchND BatchToSpaceND SpaceToDepth DepthToSpace
                ResizeBilinear ResizeNearestNeighbor ResizeBicubic ScaleAndTranslate
                CropAndResize Cumsum ReverseV2 Roll ImageProjectiveTransformV3
                ExtractImagePatches ExtractVolumePatches""",
                partial(_moved, 0),
            ),
            **_rules("SelectV2 Select", _selected_by_constant),
        },
    ),
    Row(
        "casting, rounding as if quantized",
        "nothing",
        _rules(
            """Identity Cast StopGradient PreventGradient Snapshot CheckNumerics
            EnsureShape FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
            FakeQuantWithMinMaxVarsPerChannel QuantizeAndDequantizeV2
            QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 DeepCopy""",
            partial(_passed, None),
        ),
    ),
    Row(
        "functions: `tf.function`, SavedModel, custom gradients; conditions on the "
        "size of the image",
        "followed inside",
        {
            **dict.fromkeys((*CALLS, *CONDITIONS), _called),
            **_rules("IdentityN CustomGradient", _one_of_several),
        },
    ),
    Row("softmax or sigmoid head", "entered at the logit", {}),
    Row(
        "preprocessing layers in front",
        "turned and resized back, not multiplied by scales that all positions share, "
        "which would only tint",
        dict.fromkeys(
            ("Mul", "RealDiv", "Div", *BATCH_NORMALIZATIONS), gates.keeps_sign
        ),
    ),
    Row(
        'loops, other conditions, products of whole numbers (`quantize("int8")`), '
        "softmax inside the network, all else",
        "refused",
        {},
    ),
)
"""The policy, in the order in which the rows are asked."""
