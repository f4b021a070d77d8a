"""The way back through a graph: unpool, rectify, filter, operation by operation.

A reconstruction is carried from a tensor down to the network's input over the
operations that TensorFlow traced. Every operation on the way must be one of these, so
that nothing is ever passed by a rule that nobody chose:

| operation                      | what the reconstruction R meets                     |
|--------------------------------|-----------------------------------------------------|
| max pooling (also global, 3-D),| put at the switch, the first largest value of the   |
| maximum of several maps        | window; where windows overlap, contributions add up |
| rectifiers (see `rectifiers`)  | relu(R); guided: only where the output was positive |
| convolution of any kind, dense | the exact transpose, without bias                   |
| average pooling                | R / n to each position of the window                |
| batch normalisation            | scaled by gamma / sigma, not shifted; a negative    |
|                                | gamma flips the sign                                |
| local response normalisation   | nothing (as in the paper)                           |
| layer, group, unit norm        | scaled; the image's own deviation is held constant  |
| sum, concatenation, fork       | to every summand; sliced; summed, then rectified    |
| product with a gate            | scaled by the gate, which is held constant: squeeze |
|                                | and excitation, attention weights, gated units      |
| reshaping, padding, resizing,  | the exact transpose                                 |
| cropping, slicing              |                                                     |
| saturation (tanh), clipping    | nothing                                             |
| functions (`tf.function`,      | followed inside                                     |
| SavedModel, custom gradients)  |                                                     |
| loops, conditions, all else    | refused, by the name of the layer                   |

Rectifiers are recognised as operations (`Relu`), as marks around activations of Keras,
and by the ways in which people write them: `maximum(x, 0)`, `where(x > 0, x, ...)`,
`x * sigmoid(x)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.attribution.steps import (
    Operation,
    Step,
    as_like,
    registered_gradient,
    summed_to,
)
from cnnviz.attribution.unpooling import SWITCHES
from cnnviz.errors import LayerError
from cnnviz.graph.functions import CALLS, Inlined, body
from cnnviz.graph.marks import mark_of
from cnnviz.graph.walking import Dependence, preprocessing


class Reversal:
    """The way back from a tensor to the network's inputs.

    Args:
        inputs: The network's inputs, as tensors of the current graph.
        target: The tensor to start from.
        guided: Whether rectifiers also stop R where their output was not positive.
        layer_of: Names the layer that made an operation, for messages.
        value: A tensor to read in place of one of the forward pass, with equal values.

    Attributes:
        steps: The tensors on the way with their steps, `target` first.
        image: The first of the inputs that the way reaches.
        front: The tensors between `image` and the last scaling or resizing ahead of
            the first filter, that is, what preprocessing computes; in order.
        notes: What was decided that the paper does not settle, for the user to read.

    Raises:
        LayerError: If an operation is on the way that cannot be passed.
    """

    def __init__(
        self,
        inputs: Sequence[tf.Tensor],
        target: tf.Tensor,
        *,
        guided: bool,
        layer_of: Callable[[tf.Operation], str],
        value: Callable[[tf.Tensor], tf.Tensor] = lambda tensor: tensor,
    ) -> None:
        self._guided, self._layer_of, self._value = guided, layer_of, value
        self._dependence = Dependence(inputs)
        self._called: dict[Any, list[tf.Tensor]] = {}
        self._functions = Inlined()
        self._unusual: dict[str, dict[str, None]] = {}
        self._switches = 0
        if not self._dependence(target):
            raise LayerError(
                f"layer '{layer_of(target.op)}' does not depend on the image"
            )
        ends = {tensor.ref() for tensor in inputs}
        front = preprocessing(inputs, target, self._dependence)
        scaled = {tensor.ref() for tensor in front}
        self.steps: list[tuple[tf.Tensor, Step]] = []
        found: dict[Any, Step] = {}
        stack = [(target, False)]
        while stack:
            tensor, finished = stack.pop()
            if finished:
                self.steps.append((tensor, found[tensor.ref()]))
            elif tensor.ref() not in found and tensor.ref() not in ends:
                step = self._step(tensor)
                if tensor.ref() in scaled:
                    step = _unscaled(tensor, step)
                found[tensor.ref()] = step
                stack.append((tensor, True))
                stack += [(source, False) for source in step.sources]
        self.steps.reverse()
        reached = {s.ref() for step in found.values() for s in step.sources}
        reached.add(target.ref())
        self.image = next(tensor for tensor in inputs if tensor.ref() in reached)
        self.front = [tensor for tensor in front if tensor.ref() in found]
        self.notes = self._told()

    def pull(self, seed: tf.Tensor) -> dict[Any, tf.Tensor]:
        """Carries a reconstruction all the way.

        Args:
            seed: What to start with, of the shape of the target.

        Returns:
            The reconstruction at every tensor on the way, by `tensor.ref()`.
        """
        at = {self.steps[0][0].ref() if self.steps else self.image.ref(): seed}
        for tensor, step in self.steps:
            pulled = step.pull(at[tensor.ref()])
            for source, part in zip(step.sources, pulled, strict=True):
                part.set_shape(source.shape)
                key = source.ref()
                at[key] = at[key] + part if key in at else part
        return at

    def largest(self) -> int:
        """How many numbers the largest tensor on the way holds for one image."""
        shapes = [tensor.shape for tensor, _ in self.steps] + [self.image.shape]
        sizes = [int(np.prod([n or 1 for n in s[1:]])) for s in shapes if s.rank]
        return max(sizes, default=1)

    def _note(self, topic: str, subject: str) -> None:
        self._unusual.setdefault(topic, {})[subject] = None

    def _told(self) -> tuple[str, ...]:
        notes = []
        for topic, text in _NOTES.items():
            if topic in self._unusual:
                names = sorted(self._unusual[topic])
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                notes.append(text.format(", ".join(names[:3]) + more))
        if not self._switches and not self._guided:
            notes.append(
                "no max pooling on the way down, hence no switches: the reconstruction "
                "does not depend on the image beyond the strength of its seed. "
                "Compare the rule 'guided'."
            )
        return tuple(notes)

    def _refused(self, op: tf.Operation, told: str) -> LayerError:
        return LayerError(
            f"layer '{self._layer_of(op)}' {told}",
            hint="Choose a layer below it, or the rule 'gradient'.",
        )

    def _step(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        if (mark := mark_of(op)) is not None:
            if mark.policy == "rectify":
                return self._rectified(tensor, mark.given, mark.activation)
            if mark.policy == "pass":
                self._note("passed", mark.activation)
                return Step((mark.given,), lambda r: [as_like(r, mark.given)])
            raise self._refused(
                op,
                f"applies {mark.activation} inside the network, which the deconvnet "
                "cannot reverse: its units compete, or are never positive.",
            )
        if op.type in CALLS:
            inside = self._inlined(op)[tensor.value_index]
            return Step((inside,), lambda r: [r])
        if op.type in ("IdentityN", "CustomGradient"):
            # Also what tf.custom_gradient leaves; its forward pass is what counts.
            return Step((op.inputs[tensor.value_index],), lambda r: [r])
        if op.type in _IDENTITIES:
            if op.type == "LRN":
                self._note("normalised", "local response normalisation")
            return Step((op.inputs[0],), lambda r: [as_like(r, op.inputs[0])])
        if op.type in _RECTIFIERS:
            name = _RECTIFIERS[op.type]
            return self._rectified(tensor, op.inputs[0], name)
        if op.type in _SATURATIONS:
            self._note("passed", op.type.lower())
            return Step((op.inputs[0],), lambda r: [r])
        rules: dict[str, Callable[[tf.Tensor], Step]] = {
            "Mul": self._product,
            "MulNoNan": self._product,
            "RealDiv": self._quotient,
            "DivNoNan": self._quotient,
            "Div": self._quotient,
            "Maximum": self._extremum,
            "Minimum": self._extremum,
            "ClipByValue": self._clipped,
            "SelectV2": self._selected,
            "Select": self._selected,
            "FusedBatchNormV3": self._normalised,
            "FusedBatchNormV2": self._normalised,
            "FusedBatchNorm": self._normalised,
        }
        if op.type in rules:
            return rules[op.type](tensor)
        if op.type in _SUMS:
            return self._sum(tensor)
        if op.type in SWITCHES:
            self._switches += 1
            return Step(
                (op.inputs[0],),
                lambda r: [SWITCHES[op.type](op, r, self._value)],
                "unpool",
            )
        if op.type in _TRANSPOSED:
            return self._transposed(tensor)
        if op.type in _FLOWS or op.type.startswith("TensorList"):
            told = "computes inside a loop or a condition, where no rule can reach."
            raise self._refused(op, told)
        raise self._refused(
            op, f"computes with {op.type}, which the deconvnet has no rule for."
        )

    def _depends(self, tensor: tf.Tensor) -> bool:
        return self._dependence(tensor)

    def _rectified(self, output: tf.Tensor, given: tf.Tensor, name: str) -> Step:
        if name not in ("relu", "relu6"):
            self._note("rectified", name)

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            r = tf.nn.relu(r)
            if self._guided:
                r *= tf.cast(self._value(output) > 0, r.dtype)
            return [as_like(r, given)]

        return Step((given,), pull, "rectify")

    def _sum(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        pairs = [(i, t) for i, t in enumerate(op.inputs) if self._depends(t)]
        negated = op.type == "Sub"

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            return [
                summed_to(-r if negated and i == 1 else r, t.shape) for i, t in pairs
            ]

        return Step(tuple(t for _, t in pairs), pull)

    def _product(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        a, b = op.inputs
        if self._depends(a) and self._depends(b):
            if (root := self._self_gated(op)) is not None:
                return self._rectified(tensor, root, "x * gate(x)")
            signal, gate = self._told_apart(op, a, b)
            normalises = self._gate_rank(gate) == _NORMALISER
            self._note("normalised" if normalises else "gated", self._layer_of(op))
        else:
            signal, gate = (a, b) if self._depends(a) else (b, a)
            if (root := self._self_gated(signal.op, gate)) is not None:
                return self._rectified(tensor, root, "x * gate(x)")

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            return [summed_to(r * self._value(gate), signal.shape)]

        return Step((signal,), pull)

    def _quotient(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        above, below = op.inputs
        if not self._depends(above):
            raise self._refused(
                op, "divides by a map, which the deconvnet has no rule for."
            )
        if self._depends(below):
            self._note("normalised", self._layer_of(op))
        elif (root := self._self_gated(above.op, below)) is not None:
            return self._rectified(tensor, root, "x * gate(x)")

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            return [summed_to(r / self._value(below), above.shape)]

        return Step((above,), pull)

    def _told_apart(
        self, op: tf.Operation, a: tf.Tensor, b: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Which factor is the map and which the gate."""
        if a is not b:
            ranks = self._gate_rank(a), self._gate_rank(b)
            sizes = _size(a), _size(b)
            normalises = max(ranks) == _NORMALISER and ranks[0] != ranks[1]
            if op.type not in _PRODUCTS_OF_MATRICES and not normalises:
                # What is broadcast over a map is its gate.
                if sizes[0] and sizes[1] and sizes[0] != sizes[1]:
                    return (a, b) if sizes[0] > sizes[1] else (b, a)
            if ranks[0] != ranks[1]:
                return (a, b) if ranks[1] > ranks[0] else (b, a)
        raise self._refused(
            op,
            "multiplies two maps of which neither is a gate, which the deconvnet has "
            "no rule for.",
        )

    def _self_gated(
        self, op: tf.Operation, scale: tf.Tensor | None = None
    ) -> tf.Tensor | None:
        """Of `x * gate(x)`, which is how smooth rectifiers are written: x.

        Args:
            op: What may be such a product.
            scale: What it is multiplied by or divided by, if anything.
        """
        if op.type != "Mul" or not all(self._depends(t) for t in op.inputs):
            return None
        if scale is not None and scale.shape.num_elements() != 1:
            return None
        if max(self._gate_rank(t) for t in op.inputs) in (0, _NORMALISER):
            return None
        signal, gate = self._told_apart(op, *op.inputs)
        root = self._unscaled_root(signal)
        return root if self._elementwise_of(gate, root) else None

    def _gate_rank(self, tensor: tf.Tensor) -> int:
        while True:
            op = tensor.op
            mark = mark_of(op)
            if mark is not None:
                if mark.activation in _GATES:
                    return _GATES[mark.activation]
                return 0
            if op.type in _GATES:
                return _GATES[op.type]
            if op.type in CALLS:
                tensor = self._inlined(op)[tensor.value_index]
                continue
            inputs = [t for t in op.inputs if self._depends(t)]
            if op.type not in _TRANSPARENT or len(inputs) != 1:
                return 0
            tensor = inputs[0]

    def _unscaled_root(self, tensor: tf.Tensor) -> tf.Tensor:
        while tensor.op.type in ("Mul", "RealDiv", "Identity", "Cast"):
            inputs = [t for t in tensor.op.inputs if self._depends(t)]
            if len(inputs) != 1 or inputs[0] is not tensor.op.inputs[0]:
                inputs = inputs if tensor.op.type == "Mul" else []
            if len(inputs) != 1:
                break
            tensor = inputs[0]
        return tensor

    def _elementwise_of(self, tensor: tf.Tensor, root: tf.Tensor) -> bool:
        """Whether a tensor is computed from another one value by value."""
        stack, seen = [tensor], set()
        while stack:
            top = stack.pop()
            if top.ref() == root.ref() or top.ref() in seen:
                continue
            seen.add(top.ref())
            mark = mark_of(top.op)
            if mark is not None:
                if mark.policy == "refuse" and mark.activation != "log_sigmoid":
                    return False
                stack.append(mark.given)
            elif top.op.type in _ELEMENTWISE:
                stack += [t for t in top.op.inputs if self._depends(t)]
                if not top.op.inputs:
                    return False
            else:
                return False
        return True

    def _extremum(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        largest = op.type == "Maximum"
        a, b = op.inputs
        if self._depends(a) and self._depends(b):
            roots = [self._unscaled_root(t) for t in (a, b)]
            if largest and roots[0].ref() == roots[1].ref():
                return self._rectified(tensor, roots[0], "maximum(x, a x)")
            self._switches += 1
            return Step((a, b), lambda r: registered_gradient(op, r)[:2], "unpool")
        given, bound = (a, b) if self._depends(a) else (b, a)
        if not _is_zero(bound):
            self._note("passed", "clipping")
            return Step((given,), lambda r: [summed_to(r, given.shape)])
        if largest:
            return self._rectified(tensor, given, "relu")

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            # min(x, 0) = -relu(-x): a map that is never positive.
            r = -tf.nn.relu(-r)
            if self._guided:
                r *= tf.cast(self._value(tensor) < 0, r.dtype)
            return [r]

        return Step((given,), pull, "rectify")

    def _clipped(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        if _is_zero(op.inputs[1]):
            return self._rectified(tensor, op.inputs[0], "relu")
        self._note("passed", "clipping")
        return Step((op.inputs[0],), lambda r: [r])

    def _selected(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        condition, yes, no = op.inputs
        if not self._depends(condition):
            branches = [
                (t, i == 0) for i, t in enumerate((yes, no)) if self._depends(t)
            ]

            def pull(r: tf.Tensor) -> list[tf.Tensor]:
                zero = tf.zeros_like(r)
                return [
                    summed_to(
                        tf.where(condition, r, zero)
                        if first
                        else tf.where(condition, zero, r),
                        t.shape,
                    )
                    for t, first in branches
                ]

            return Step(tuple(t for t, _ in branches), pull)
        compared = self._compared(condition)
        if compared is not None:
            x, upwards = compared
            on = yes if upwards else no
            if self._depends(on) and self._unscaled_root(on).ref() == x.ref():
                return self._rectified(tensor, x, "where(x > t, x, ...)")
        raise self._refused(
            op, "chooses between values by a map, which the deconvnet has no rule for."
        )

    def _compared(self, condition: tf.Tensor) -> tuple[tf.Tensor, bool] | None:
        """Of `x > t` and its like: x, and whether it holds for large x."""
        op = condition.op
        if op.type not in _COMPARISONS:
            return None
        a, b = op.inputs
        if self._depends(a) == self._depends(b):
            return None
        upwards = op.type.startswith("Greater")
        x = a if self._depends(a) else b
        return self._unscaled_root(x), upwards == (x is a)

    def _normalised(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        if not op.get_attr("is_training"):
            return Step((op.inputs[0],), lambda r: [registered_gradient(op, r)[0]])
        # How Keras 2 computes layer normalisation.
        self._note("normalised", self._layer_of(op))
        first = op.get_attr("data_format").startswith(b"NC")
        axes = [0, 2, 3] if first else [0, 1, 2]
        shape = [1, -1, 1, 1] if first else [1, 1, 1, -1]

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            given = self._value(op.inputs[0])
            _, variance = tf.nn.moments(given, axes, keepdims=True)
            gamma = tf.reshape(op.inputs[1], shape)
            scale = gamma * tf.math.rsqrt(variance + op.get_attr("epsilon"))
            return [(r - tf.reduce_mean(r, axes, keepdims=True)) * scale]

        return Step((op.inputs[0],), pull)

    def _transposed(self, tensor: tf.Tensor) -> Step:
        op = tensor.op
        operation = _TRANSPOSED[op.type]
        sources = [i for i, t in enumerate(op.inputs) if self._depends(t)]
        if op.type in _DATA_INPUT:
            # Kernels computed from the image are gates.
            place = _DATA_INPUT[op.type]
            if sources != [place]:
                self._note("gated", self._layer_of(op))
            sources = [place]
        elif op.type in _PRODUCTS_OF_MATRICES and len(sources) == 2:
            signal, _ = self._told_apart(op, *op.inputs)
            self._note("gated", self._layer_of(op))
            sources = [i for i in sources if op.inputs[i] is signal]
        chosen = tuple(op.inputs[i] for i in sources)
        if not chosen or not all(t.dtype.is_floating for t in chosen):
            raise self._refused(op, f"looks values up by a map ({op.type}).")

        def pull(r: tf.Tensor) -> list[tf.Tensor]:
            gradients = registered_gradient(op, r, tensor.value_index)
            return [gradients[i] for i in sources]

        return Step(chosen, pull, operation)

    def _inlined(self, op: tf.Operation) -> list[tf.Tensor]:
        """What a function in the graph returns, computed in the graph itself."""
        if op.name not in self._called:
            inner = body(op)
            if inner is None:
                raise self._refused(op, "calls a function that cannot be looked into.")
            self._called[op.name] = [
                self._functions.outside(tensor, (op,)) for tensor in inner.outputs
            ]
        return self._called[op.name]


def _unscaled(tensor: tf.Tensor, step: Step) -> Step:
    """A step of the preprocessing that keeps the sign of a scale, but not its size."""
    op, (source,) = tensor.op, step.sources
    if op.type in ("Mul", "RealDiv", "Div"):
        (scale,) = (t for t in op.inputs if t is not source)
    elif op.type.startswith("FusedBatchNorm"):
        shape = [-1, 1, 1] if op.get_attr("data_format").startswith(b"NC") else [-1]
        scale = tf.reshape(op.inputs[1], shape)
    else:
        return step
    return Step(
        step.sources,
        lambda r: [summed_to(r * as_like(tf.sign(scale), r), source.shape)],
    )


def _size(tensor: tf.Tensor) -> int | None:
    if tensor.shape.rank is None or any(n is None for n in tensor.shape[1:]):
        return None
    return int(np.prod(list(tensor.shape[1:])))


def _is_zero(tensor: tf.Tensor) -> bool:
    constant = tf.get_static_value(tensor)
    return constant is not None and not np.any(constant)


_NOTES = {
    "rectified": "treated as rectifiers, though the paper has only ReLU: {}",
    "passed": "the reconstruction passes unchanged, beyond the paper: {}",
    "gated": "gates computed from the image are held constant: {}",
    "normalised": "normalised by the image's own statistics, held constant: {}",
}

_FLOWS = frozenset(("If", "StatelessIf", "While", "StatelessWhile", "Case"))

_IDENTITIES = frozenset(
    """Identity Cast StopGradient PreventGradient Snapshot CheckNumerics EnsureShape LRN
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 DeepCopy
    """.split()
)

_RECTIFIERS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "LeakyRelu": "leaky_relu",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Sigmoid": "sigmoid",
}

_SATURATIONS = frozenset(("Tanh", "Softsign", "Erf", "Atan", "Asinh"))

_SUMS = frozenset(("Add", "AddV2", "Sub", "AddN", "BiasAdd"))

_PRODUCTS_OF_MATRICES = frozenset(
    ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
)

_DATA_INPUT = {
    "Conv2D": 0,
    "Conv3D": 0,
    "DepthwiseConv2dNative": 0,
    "Conv2DBackpropInput": 2,
    "Conv3DBackpropInputV2": 2,
    "DepthwiseConv2dNativeBackpropInput": 2,
}

_TRANSPOSED: dict[str, Operation] = {
    **dict.fromkeys(_DATA_INPUT, "filter"),
    **dict.fromkeys(_PRODUCTS_OF_MATRICES, "filter"),
    **dict.fromkeys(("AvgPool", "AvgPool3D"), "unpool"),
    **dict.fromkeys(
        """Mean Sum Neg Reshape Transpose Squeeze ExpandDims ConcatV2 Split SplitV Slice
        StridedSlice Pad PadV2 MirrorPad GatherV2 GatherNd Tile BroadcastTo Pack Unpack
        SpaceToBatchND BatchToSpaceND SpaceToDepth DepthToSpace ResizeBilinear
        ResizeNearestNeighbor ResizeBicubic ScaleAndTranslate CropAndResize Cumsum
        ReverseV2 Roll ImageProjectiveTransformV3 ExtractImagePatches
        ExtractVolumePatches""".split(),
        "",
    ),
}

_COMPARISONS = frozenset(("Greater", "GreaterEqual", "Less", "LessEqual"))

_NORMALISER = 6
_GATES = {
    **dict.fromkeys(("Rsqrt", "Reciprocal", "Inv", "Sqrt"), _NORMALISER),
    **dict.fromkeys(_COMPARISONS, 5),
    **dict.fromkeys(("LogicalAnd", "LogicalOr", "LogicalNot", "Sign", "Equal"), 5),
    **dict.fromkeys(
        """Softmax Sigmoid Erf Erfc softmax sparsemax sigmoid hard_sigmoid
        sparse_sigmoid""".split(),
        4,
    ),
    **dict.fromkeys(("Relu6", "relu6"), 2),
    **dict.fromkeys(("Tanh", "tanh", "hard_tanh", "softsign", "Softsign"), 1),
}
"""How surely an operation or activation makes a gate. ReLU(6) is one in MobileNetV3."""

_TRANSPARENT = frozenset(
    """Mul RealDiv Add AddV2 Sub Neg Identity IdentityN Cast Reshape ExpandDims Squeeze
    BroadcastTo Tile Transpose BiasAdd StridedSlice Split Minimum Maximum ClipByValue
    """.split()
)

_ELEMENTWISE = frozenset(
    """Add AddV2 Sub Mul RealDiv Neg Pow Square Exp Expm1 Log Log1p Tanh Sigmoid Erf
    Erfc Softplus Relu Relu6 Elu Selu LeakyRelu Maximum Minimum ClipByValue Cast
    Identity IdentityN Greater GreaterEqual Less LessEqual Abs Sqrt Rsqrt Sign
    SelectV2 AddN
    """.split()
)
