"""The names of what computes on tensors and does nothing else: what a file may name.

These lists are written down, not taken from the packages that are installed: a name is
here because somebody looked at what it does. A layer of a Keras newer than the lists is
refused until the file is trusted, which is the safe side; a test fails on every public
name of the installed packages that nobody has decided on.

Left out on purpose: what runs code (Lambda), what loads other files or frameworks
(TFSMLayer, JaxLayer, FlaxLayer, TorchModuleWrapper, DenseFeatures), what calls any
method by its name (ClassMethod, InstanceMethod), and what takes functions (map, scan).
"""

from __future__ import annotations

LAYERS = frozenset(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
    AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
    AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout AtrousConvolution1D
    AtrousConvolution2D Attention AugMix AutoContrast Average AveragePooling1D
    AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
    Bidirectional CategoryEncoding CenterCrop Concatenate Container
    ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D
    Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
    Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose
    Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU
    CuDNNLSTM CutMix Deconvolution2D Dense DepthwiseConv1D DepthwiseConv2D
    Discretization Dot Dropout DropoutWrapper ELU EinsumDense Embedding Equalization
    Flatten Functional GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D
    GlobalMaxPooling2D GlobalMaxPooling3D Graph GroupNormalization GroupQueryAttention
    HashedCrossing Hashing Highway Identity Input InputLayer IntegerLookup LSTM LSTMCell
    LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking
    MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D
    MaxPooling3D Maximum MaxoutDense MelSpectrogram Merge Minimum MixUp Model
    MultiHeadAttention Multiply Normalization PReLU ParametricSoftplus Permute Pipeline
    RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration
    RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing
    RandomFlip RandomFourierFeatures RandomGaussianBlur RandomGrayscale RandomHeight
    RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
    RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth
    RandomZoom ReLU RepeatVector Rescaling Reshape ResidualWrapper Resizing
    ReversibleEmbedding SReLU STFTSpectrogram SeparableConv1D SeparableConv2D
    SeparableConvolution1D SeparableConvolution2D Sequential SimpleRNN SimpleRNNCell
    SlicingOpLambda Softmax Solarization SpatialDropout1D SpatialDropout2D
    SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract
    SyncBatchNormalization TFOpLambda TensorFlowOpLayer TextVectorization
    ThresholdedReLU TimeDistributed TimeDistributedDense UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()
)
"""Layers and models of Keras 1, 2 and 3."""

OTHER_CLASSES = frozenset(
    """
    AWQDTypePolicy AbsMaxQuantizer Constant DTypePolicy DTypePolicyMap
    Float8QuantizationConfig FloatDTypePolicy GPTQDTypePolicy GlorotNormal GlorotUniform
    HeNormal HeUniform Identity IdentityInitializer Int4DTypePolicy
    Int4QuantizationConfig Int8QuantizationConfig L1 L1L2 L2 LecunNormal LecunUniform
    MaxNorm MinMaxNorm NonNeg Ones Orthogonal OrthogonalInitializer
    OrthogonalRegularizer Policy PolicyV1 QuantizedDTypePolicy
    QuantizedFloat8DTypePolicy RadialConstraint RandomNormal RandomUniform STFT
    STFTInitializer TruncatedNormal UnitNorm VarianceScaling Zeros constant
    glorot_normal glorot_uniform he_normal he_uniform identity l1 l1_l2 l2 lecun_normal
    lecun_uniform max_norm min_max_norm non_neg ones orthogonal orthogonal_regularizer
    radial_constraint random_normal random_uniform stft truncated_normal unit_norm
    variance_scaling zeros
    """.split()
)
"""Initializers, regularizers, constraints, dtype policies, quantizers."""

METRICS = frozenset(
    """
    AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy
    CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation CosineSimilarity
    F1Score FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError
    Mean MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper
    MeanRelativeError MeanSquaredError MeanSquaredLogarithmicError MeanTensor OneHotIoU
    OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall R2Score Recall
    RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
    SparseCategoricalAccuracy SparseCategoricalCrossentropy
    SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
    TopKCategoricalAccuracy TrueNegatives TruePositives
    """.split()
)
"""Metrics, which SavedModels keep among the layers."""

ACTIVATIONS = frozenset(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish
    hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid
    silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
    squareplus swish tanh tanh_shrink threshold
    """.split()
)
"""Activation functions."""

OPERATIONS = {
    module: frozenset(names.split())
    for module, names in {
        "core": """
            Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate
            StopGradient Unstack
        """,
        "einops": """
            Rearrange
        """,
        "image": """
            AffineTransform CropImages ElasticTransform ExtractPatches ExtractPatches3D
            GaussianBlur HSVToRGB MapCoordinates PadImages PerspectiveTransform
            RGBToGrayscale RGBToHSV Resize SSIM ScaleAndTranslate SobelEdges
        """,
        "linalg": """
            Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm
            Pinv Qr SVD Solve SolveTriangular
        """,
        "math": """
            CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK
            Logdet Logsumexp RFFT Rsqrt STFT SegmentMax SegmentMin SegmentProd
            SegmentReduction SegmentSum TopK ViewAsComplex ViewAsReal
        """,
        "nn": """
            AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy
            CTCDecode CTCLoss CategoricalCrossentropy Celu Conv ConvTranspose
            DepthToSpace DepthwiseConv DotProductAttention Elu Fold Gelu Glu HardShrink
            HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax
            MaxPool Moments MultiHot Normalize OneHot PSNR Polar RMSNorm Relu Relu6 Selu
            SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign SpaceToDepth
            SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Squareplus
            TanhShrink Threshold Unfold
        """,
        "numpy": """
            Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos
            Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition
            Argsort Array ArraySplit Average Bartlett Bincount BitwiseAnd BitwiseInvert
            BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Blackman
            BroadcastTo Cbrt Ceil Clip Concatenate Conj Conjugate Copy Corrcoef
            Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat
            Diagonal Diff Digitize Divide DivideNoNan Dot Dsplit Dstack Einsum EmptyLike
            Equal Exp Exp2 ExpandDims Expm1 Fabs Flip Fliplr Flipud Floor FloorDivide
            Fmax Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater GreaterEqual
            Hamming Hanning Heaviside Histogram Hsplit Hstack Hypot I0 Imag Inner IsIn
            Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kaiser Kron Lcm Ldexp
            LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp Logaddexp2
            LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Matmul Max Maximum Mean
            Median Meshgrid Min Minimum Mod Moveaxis Multiply NanToNum Nanargmax
            Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile
            Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero
            NotEqual OnesLike Outer Pad Percentile Power Prod Ptp Quantile Rad2deg Ravel
            Real Reciprocal Repeat Reshape RightShift Roll Rot90 Round SearchSorted
            Select Sign Signbit Sin Sinc Sinh Size Slogdet Sort Split Sqrt Square
            Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh
            Tensordot Tile Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unique
            UnravelIndex Vander Var Vdot View Vsplit Vstack Where ZerosLike
        """,
    }.items()
}
"""Operations of Keras 3, by their module in `keras.src.ops`."""
