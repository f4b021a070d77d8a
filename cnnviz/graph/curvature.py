"""Whether a graph computes more than pieces of linear functions between two tensors."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnviz.graph.functions import CALLS, functions_of
from cnnviz.graph.operations import (
    BATCH_NORMALIZATIONS,
    CONVOLUTIONS,
    MATRIX_PRODUCTS,
    POOLINGS,
    TRANSPOSED_CONVOLUTIONS,
)
from cnnviz.graph.walking import VALUELESS, Dependence, ancestors


def is_curved(starts: Sequence[tf.Tensor], ends: Sequence[tf.Tensor]) -> bool:
    """Whether there is anything on the way that may not be linear piece by piece.

    Rectifiers and maximum poolings are made of linear pieces. Tanh, softmax and GELU
    are not, nor are products and quotients of two tensors that both depend on the
    start, as in gates, attention and normalizations by the image's own statistics. What
    is not known to be made of linear pieces counts as curved.

    Args:
        starts: Where the way begins.
        ends: Where it ends.

    Returns:
        True if such an operation is found.
    """
    depends = Dependence(starts)
    for op in ancestors(ends, starts).values():
        given = [depends(tensor) for tensor in op.inputs]
        if not any(given):
            continue
        graphs = functions_of(op) if op.type in {*CALLS, *_CHOICES} else (None,)
        for inner in graphs:
            if inner is None:
                if _is_curved(op, given):
                    return True
                continue
            passed = given[1:] if op.type in _CHOICES else given
            begin = [t for t, on in zip(inner.inputs, passed, strict=True) if on]
            if is_curved(begin, inner.outputs):
                return True
    return False


def _is_curved(op: tf.Operation, given: Sequence[bool]) -> bool:
    """Whether an operation may be curved in those of its inputs that are given."""
    if op.type in _PIECES or all(map(_is_step, op.outputs)):
        return False
    varying = [
        place
        for place, (tensor, depends) in enumerate(zip(op.inputs, given, strict=True))
        if depends and not _is_step(tensor)
    ]
    if not varying:
        return False
    if op.type in BATCH_NORMALIZATIONS and op.get_attr("is_training"):
        return True
    if op.type in _SCALED:
        return varying != [0]
    return op.type not in _PRODUCTS or len(varying) > 1


def _is_step(tensor: tf.Tensor) -> bool:
    """Whether a tensor is constant piece by piece, as what comparisons tell."""
    op = tensor.op
    if tensor.dtype in (tf.variant, tf.resource):  # lists of tensors, for example
        return False
    if not (tensor.dtype.is_floating or tensor.dtype.is_complex):
        return True
    return op.type in _STEPS or (op.type == "Cast" and _is_step(op.inputs[0]))


_CHOICES = frozenset(("Case", "If", "StatelessCase", "StatelessIf"))
"""They call one of several functions; their first input tells which."""
_STEPS = frozenset("Ceil Floor FloorDiv OneHot Rint Round Sign TruncateDiv".split())
_PIECES = frozenset(
    """Abs Add AddN AddV2 BatchToSpace BatchToSpaceND BiasAdd BroadcastTo Cast
    CheckNumerics ClipByValue Complex ConcatV2 Conj Cumsum CustomGradient DepthToSpace
    Dilation2D DynamicPartition DynamicStitch EnsureShape ExpandDims ExtractImagePatches
    ExtractVolumePatches FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
    FakeQuantWithMinMaxVarsPerChannel FFT FFT2D FFT3D FloorMod GatherNd GatherV2 IFFT
    IFFT2D IFFT3D IRFFT IRFFT2D IRFFT3D Identity IdentityN Imag LeakyRelu MatrixBandPart
    MatrixDiag MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 Max MaxPoolWithArgmax
    Maximum Mean Min Minimum MirrorPad Neg OptionalFromValue Pack Pad PadV2
    ParallelDynamicStitch PreventGradient RFFT RFFT2D RFFT3D Real Relu Relu6 Reshape
    ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseSequence
    ReverseV2 Roll ScatterNd SegmentMax SegmentMean SegmentMin SegmentSum Select
    SelectV2 Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV
    Squeeze StopGradient StridedSlice Sub Sum TensorScatterAdd TensorScatterMax
    TensorScatterMin TensorScatterSub TensorScatterUpdate Tile TopKV2 Transpose Unpack
    UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentSum""".split()
) | {*_STEPS, *POOLINGS, *VALUELESS}
"""They add, choose, rearrange and compare."""
_PRODUCTS = frozenset(
    (
        *("Cross", "Einsum", "Mul", "MulNoNan", *BATCH_NORMALIZATIONS, *CONVOLUTIONS),
        *(*MATRIX_PRODUCTS, *TRANSPOSED_CONVOLUTIONS),
    )
)
"""Linear in each of their inputs alone."""
_SCALED = frozenset(
    "CropAndResize Div DivNoNan RealDiv ScaleAndTranslate Xdivy".split()
)
"""Linear in their first input alone."""
