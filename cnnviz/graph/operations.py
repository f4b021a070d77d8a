"""Families of TensorFlow's operations, by the names that graphs have for them."""

CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
"""The first input is the image, the second the kernel."""

TRANSPOSED_CONVOLUTIONS = (
    "Conv2DBackpropInput",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNativeBackpropInput",
)
"""The first input is the size of the result, the second the kernel, then the maps."""

POOLINGS = ("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D")

MATRIX_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")

BATCH_NORMALIZATIONS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
"""Keras 2 computes layer normalization by them, too, as if in training."""

REDUCTIONS = tuple("All Any EuclideanNorm Max Mean Min Prod Sum".split())
"""The second input is the axes."""

ELEMENTWISE = tuple(
    """Abs Add AddN AddV2 Cast Ceil CheckNumerics ClipByValue Cos Elu EnsureShape Equal
    Erf Erfc Exp Expm1 FakeQuantWithMinMaxVars Floor Greater GreaterEqual Identity
    LeakyRelu Less LessEqual LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul
    MulNoNan Neg NotEqual PreventGradient Relu Relu6 Round SelectV2 Selu Sigmoid
    Sign Sin Snapshot Softplus Softsign Square SquaredDifference StopGradient Sub
    Tanh""".split()
)
"""They compute element by element, without a division or a logarithm."""
