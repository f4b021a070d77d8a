"""The functions and operations of TensorFlow that compute on tensors and nothing else.

Written down like `safe_names`, and for the same reason. Left out on purpose: what reads
or writes files, prints, runs Python, waits, talks to other machines, keeps tables or
queues, takes functions (map_fn), or reads files by an argument (candidate samplers).
"""

from __future__ import annotations

TENSOR_FUNCTIONS = {
    module: frozenset(names.split())
    for module, names in {
        "": """
            abs acos acosh add add_n approx_top_k argmax argmin argsort as_string asin
            asinh atan atan2 atanh batch_to_space bitcast boolean_mask
            broadcast_dynamic_shape broadcast_static_shape broadcast_to cast
            clip_by_global_norm clip_by_norm clip_by_value complex concat constant
            convert_to_tensor cos cosh cumsum divide dynamic_partition dynamic_stitch
            edit_distance eig eigvals einsum ensure_shape equal exp expand_dims
            extract_volume_patches eye fftnd fill fingerprint floor gather gather_nd
            greater greater_equal guarantee_const histogram_fixed_width
            histogram_fixed_width_bins identity identity_n ifftnd irfftnd is_tensor less
            less_equal linspace logical_and logical_not logical_or matmul
            matrix_square_root maximum meshgrid minimum multiply negative norm not_equal
            one_hot ones ones_like pad parallel_stack pow ragged_fill_empty_rows
            ragged_fill_empty_rows_grad random_index_shuffle range rank realdiv
            reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min
            reduce_prod reduce_sum repeat required_space_to_batch_paddings reshape
            reverse reverse_sequence rfftnd roll round saturate_cast scalar_mul
            scatter_nd searchsorted sequence_mask shape shape_n sigmoid sign sin sinh
            size slice sort space_to_batch space_to_batch_nd split sqrt square squeeze
            stack stop_gradient strided_slice subtract tan tanh tensor_scatter_nd_add
            tensor_scatter_nd_max tensor_scatter_nd_min tensor_scatter_nd_sub
            tensor_scatter_nd_update tensordot tile transpose truediv truncatediv
            truncatemod tuple unique unique_with_counts unravel_index unstack where
            zeros zeros_like
        """,
        "bitwise": """
            bitwise_and bitwise_or bitwise_xor invert left_shift right_shift
        """,
        "image": """
            adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation
            central_crop combined_non_max_suppression convert_image_dtype
            crop_and_resize crop_to_bounding_box draw_bounding_boxes extract_glimpse
            extract_patches flip_left_right flip_up_down generate_bounding_box_proposals
            grayscale_to_rgb hsv_to_rgb image_gradients non_max_suppression
            non_max_suppression_overlaps non_max_suppression_padded
            non_max_suppression_with_scores pad_to_bounding_box
            per_image_standardization psnr random_brightness random_contrast random_crop
            random_flip_left_right random_flip_up_down random_hue random_saturation
            resize resize_with_crop_or_pad resize_with_pad rgb_to_grayscale rgb_to_hsv
            rgb_to_yiq rgb_to_yuv rot90 sample_distorted_bounding_box sobel_edges ssim
            ssim_multiscale stateless_random_brightness stateless_random_contrast
            stateless_random_crop stateless_random_flip_left_right
            stateless_random_flip_up_down stateless_random_hue
            stateless_random_saturation stateless_sample_distorted_bounding_box
            total_variation transpose yiq_to_rgb yuv_to_rgb
        """,
        "linalg": """
            adjoint band_part banded_triangular_solve cholesky cholesky_solve cross det
            diag diag_part eig eigh eigh_tridiagonal eigvals eigvalsh einsum expm eye
            global_norm inv l2_normalize logdet logm lstsq lu lu_matrix_inverse
            lu_reconstruct lu_solve matmul matrix_rank matrix_transpose matvec norm
            normalize pinv qr set_diag slogdet solve sqrtm svd tensor_diag
            tensor_diag_part tensordot trace triangular_solve tridiagonal_matmul
            tridiagonal_solve
        """,
        "math": """
            abs accumulate_n acos acosh add add_n angle approx_max_k approx_min_k argmax
            argmin asin asinh atan atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e
            betainc bincount ceil confusion_matrix conj cos cosh count_nonzero cumprod
            cumsum cumulative_logsumexp digamma divide divide_no_nan equal erf erfc
            erfcinv erfinv exp expm1 floor floordiv floormod greater greater_equal
            igamma igammac imag in_top_k invert_permutation is_finite is_inf is_nan
            is_non_decreasing is_strictly_increasing l2_normalize lbeta less less_equal
            lgamma log log1p log_sigmoid log_softmax logical_and logical_not logical_or
            logical_xor maximum minimum mod multiply multiply_no_nan ndtri negative
            nextafter not_equal polygamma polyval pow real reciprocal reciprocal_no_nan
            reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max
            reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance
            rint round rsqrt scalar_mul segment_max segment_mean segment_min
            segment_prod segment_sum sigmoid sign sin sinh sobol_sample softmax softplus
            softsign sqrt square squared_difference subtract tan tanh top_k truediv
            unsorted_segment_max unsorted_segment_mean unsorted_segment_min
            unsorted_segment_prod unsorted_segment_sqrt_n unsorted_segment_sum xdivy
            xlog1py xlogy zero_fraction zeta
        """,
        "nn": """
            approx_max_k approx_min_k atrous_conv2d atrous_conv2d_transpose avg_pool
            avg_pool1d avg_pool2d avg_pool3d batch_norm_with_global_normalization
            batch_normalization bias_add collapse_repeated conv1d conv1d_transpose
            conv2d conv2d_transpose conv3d conv3d_transpose conv_transpose convolution
            crelu ctc_beam_search_decoder ctc_greedy_decoder ctc_loss ctc_unique_labels
            depth_to_space depthwise_conv2d depthwise_conv2d_backprop_filter
            depthwise_conv2d_backprop_input dilation2d dropout elu embedding_lookup
            embedding_lookup_sparse erosion2d fractional_avg_pool fractional_max_pool
            gelu in_top_k isotonic_regression l2_loss l2_normalize leaky_relu
            local_response_normalization log_poisson_loss log_softmax lrn max_pool
            max_pool1d max_pool2d max_pool3d max_pool_with_argmax moments
            normalize_moments pool relu relu6 safe_embedding_lookup_sparse selu
            separable_conv2d sigmoid sigmoid_cross_entropy_with_logits silu softmax
            softmax_cross_entropy_with_logits softplus softsign space_to_batch
            space_to_depth sparse_softmax_cross_entropy_with_logits
            sufficient_statistics swish tanh top_k weighted_cross_entropy_with_logits
            weighted_moments zero_fraction
        """,
        "quantization": """
            dequantize fake_quant_with_min_max_args
            fake_quant_with_min_max_args_gradient fake_quant_with_min_max_vars
            fake_quant_with_min_max_vars_gradient
            fake_quant_with_min_max_vars_per_channel
            fake_quant_with_min_max_vars_per_channel_gradient quantize
            quantize_and_dequantize quantize_and_dequantize_v2 quantized_concat
        """,
        "random": """
            categorical gamma normal poisson shuffle stateless_binomial
            stateless_categorical stateless_gamma stateless_normal stateless_poisson
            stateless_truncated_normal stateless_uniform truncated_normal uniform
        """,
        "signal": """
            dct fft fft2d fft3d fftnd fftshift frame hamming_window hann_window idct
            ifft ifft2d ifft3d ifftnd ifftshift inverse_mdct inverse_stft
            inverse_stft_window_fn irfft irfft2d irfft3d irfftnd
            kaiser_bessel_derived_window kaiser_window linear_to_mel_weight_matrix mdct
            mfccs_from_log_mel_spectrograms overlap_and_add rfft rfft2d rfft3d rfftnd
            stft vorbis_window
        """,
        "__operators__": """
            add eq getitem ne
        """,
        "keras.backend": """
            abs all any arange argmax argmin batch_dot batch_flatten batch_normalization
            bias_add binary_crossentropy cast cast_to_floatx categorical_crossentropy
            clip concatenate constant conv1d conv2d conv2d_transpose conv3d cos cumprod
            cumsum depthwise_conv2d dot dropout elu equal exp expand_dims eye flatten
            gather greater greater_equal hard_sigmoid in_top_k int_shape l2_normalize
            less less_equal local_conv1d local_conv2d log max maximum mean min minimum
            ndim not_equal one_hot ones ones_like permute_dimensions pool2d pool3d pow
            prod random_bernoulli random_binomial random_normal random_uniform relu
            repeat repeat_elements reshape resize_images resize_volumes reverse round
            separable_conv2d shape sigmoid sign sin softmax softplus softsign
            sparse_categorical_crossentropy spatial_2d_padding spatial_3d_padding sqrt
            square squeeze stack std stop_gradient sum tanh temporal_padding tile
            transpose truncated_normal var zeros zeros_like
        """,
    }.items()
}
"""Functions of TensorFlow, by their module in `tf`."""

GRAPH_OPERATIONS = frozenset(
    """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 AdjustContrast AdjustContrastv2
    AdjustHue AdjustSaturation All Angle Any ApproxTopK ApproximateEqual ArgMax ArgMin
    Asin Asinh Atan Atan2 Atanh AudioSpectrogram AvgPool AvgPool3D AvgPool3DGrad
    AvgPoolGrad BandedTriangularSolve BatchMatMul BatchMatMulV2 BatchMatMulV3
    BatchNormWithGlobalNormalization BatchNormWithGlobalNormalizationGrad BatchToSpace
    BatchToSpaceND Betainc BiasAdd BiasAddGrad BiasAddV1 Bincount Bitcast BitwiseAnd
    BitwiseOr BitwiseXor BlockLSTM BlockLSTMGrad BlockLSTMGradV2 BlockLSTMV2
    BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil Cholesky
    CholeskyGrad ClipByValue CombinedNonMaxSuppression Complex ComplexAbs
    ComputeBatchSize Concat ConcatOffset ConcatV2 Conj ConjugateTranspose Const
    ControlTrigger Conv Conv2D Conv2DBackpropFilter Conv2DBackpropFilterV2
    Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropFilter
    Conv3DBackpropFilterV2 Conv3DBackpropInput Conv3DBackpropInputV2 Cos Cosh
    CropAndResize CropAndResizeGradBoxes CropAndResizeGradImage Cross Cumprod Cumsum
    CumulativeLogsumexp DataFormatDimMap DataFormatVecPermute Dawsn DenseBincount
    DenseCountSparseOutput DenseToDenseSetOperation DenseToSparseSetOperation
    DepthToSpace DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter
    DepthwiseConv2dNativeBackpropInput Dequantize Diag DiagPart Digamma Dilation2D
    Dilation2DBackpropFilter Dilation2DBackpropInput Div DivNoNan DrawBoundingBoxes
    DrawBoundingBoxesV2 DynamicPartition DynamicStitch Eig Einsum Elu EluGrad
    EmptyTensorList EnsureShape Enter Equal Erf Erfc Erfinv EuclideanNorm Exit Exp
    ExpandDims Expint Expm1 ExtractGlimpse ExtractGlimpseV2 ExtractImagePatches
    ExtractVolumePatches FFT FFT2D FFT3D FFTND FakeParam FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxArgsGradient FakeQuantWithMinMaxVars
    FakeQuantWithMinMaxVarsGradient FakeQuantWithMinMaxVarsPerChannel
    FakeQuantWithMinMaxVarsPerChannelGradient Fill Floor FloorDiv FloorMod
    FractionalAvgPool FractionalAvgPoolGrad FractionalMaxPool FractionalMaxPoolGrad
    FresnelCos FresnelSin FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV2
    FusedBatchNormGradV3 FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D
    FusedResizeAndPadConv2D GRUBlockCell GRUBlockCellGrad Gather GatherNd GatherV2
    GenerateBoundingBoxProposals Greater GreaterEqual HSVToRGB HistogramFixedWidth IFFT
    IFFT2D IFFT3D IFFTND IRFFT IRFFT2D IRFFT3D IRFFTND Identity IdentityN Igamma
    IgammaGradA Igammac Imag ImageProjectiveTransformV2 ImageProjectiveTransformV3
    InTopK InTopKV2 Inv InvGrad Invert InvertPermutation IsFinite IsInf IsNan
    IsotonicRegression KthOrderStatistic L2Loss LRN LRNGrad LSTMBlockCell
    LSTMBlockCellGrad LeakyRelu LeakyReluGrad LeftShift Less LessEqual Lgamma LinSpace
    ListDiff Log Log1p LogMatrixDeterminant LogSoftmax LogicalAnd LogicalNot LogicalOr
    LoopCond LowerBound Lu MakeUnique MatMul MatrixBandPart MatrixDeterminant MatrixDiag
    MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
    MatrixExponential MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2
    MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Max
    MaxPool MaxPool3D MaxPool3DGrad MaxPoolGrad MaxPoolGradGradV2
    MaxPoolGradGradWithArgmax MaxPoolGradV2 MaxPoolGradWithArgmax MaxPoolV2
    MaxPoolWithArgmax Maximum Mean Merge Min Minimum MirrorPad MirrorPadGrad Mod Mul
    MulNoNan Ndtri NearestNeighbors Neg NextAfter NextIteration NoOp NonMaxSuppression
    NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
    NonMaxSuppressionWithOverlaps NotEqual NthElement OneHot OnesLike OptionalFromValue
    OptionalGetValue OptionalHasValue OptionalNone Pack Pad PadV2 ParallelConcat
    ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault Polygamma
    PopulationCount Pow PreventGradient Prod Qr QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeAndDequantizeV4Grad QuantizeDownAndShrinkRange QuantizeV2 RFFT RFFT2D RFFT3D
    RFFTND RGBToHSV RaggedRange RandomGammaGrad RandomIndexShuffle Range Rank Real
    RealDiv Reciprocal ReciprocalGrad Relu Relu6 Relu6Grad ReluGrad Reshape ResizeArea
    ResizeBicubic ResizeBicubicGrad ResizeBilinear ResizeBilinearGrad
    ResizeNearestNeighbor ResizeNearestNeighborGrad Reverse ReverseSequence ReverseV2
    RightShift Rint Roll Round Rsqrt RsqrtGrad ScaleAndTranslate ScaleAndTranslateGrad
    ScatterNd ScatterNdNonAliasingAdd SegmentMax SegmentMaxV2 SegmentMean SegmentMin
    SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2
    SelfAdjointEig SelfAdjointEigV2 Selu SeluGrad SetSize Shape ShapeN Sigmoid
    SigmoidGrad Sign Sin Sinh Size Slice SobolSample Softmax
    SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign SoftsignGrad
    SpaceToBatchND SpaceToDepth SparseAdd SparseAddGrad SparseBincount SparseConcat
    SparseCountSparseOutput SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul
    SparseFillEmptyRows SparseFillEmptyRowsGrad SparseMatMul SparseReduceMax
    SparseReduceMaxSparse SparseReduceSum SparseReduceSumSparse SparseReorder
    SparseReshape SparseSegmentMean SparseSegmentMeanGrad SparseSegmentMeanGradV2
    SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNGrad
    SparseSegmentSqrtNGradV2 SparseSegmentSqrtNWithNumSegments SparseSegmentSum
    SparseSegmentSumGrad SparseSegmentSumGradV2 SparseSegmentSumWithNumSegments
    SparseSlice SparseSliceGrad SparseSoftmax SparseSoftmaxCrossEntropyWithLogits
    SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
    SparseTensorDenseMatMul SparseToDense SparseToSparseSetOperation Spence Split SplitV
    Sqrt SqrtGrad Square SquaredDifference Squeeze StatelessMultinomial
    StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
    StatelessRandomGammaV3 StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson
    StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2
    StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2 StopGradient
    StridedSlice StridedSliceAssign StridedSliceGrad Sub Sum Svd Switch Tan Tanh
    TanhGrad TensorListConcat TensorListConcatLists TensorListConcatV2
    TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem
    TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
    TensorListResize TensorListScatter TensorListScatterIntoExistingList
    TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
    TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
    TensorScatterUpdate TensorStridedSliceUpdate Tile TileGrad ToBool TopK TopKUnique
    TopKV2 TopKWithUnique Transpose TridiagonalMatMul TridiagonalSolve TruncateDiv
    TruncateMod Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex
    UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
    UpperBound Where Xdivy Xlog1py Xlogy ZerosLike Zeta
    """.split()
)
"""Operations of TensorFlow graphs that have no state."""

STATE_OPERATIONS = frozenset(
    """
    Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp Case CheckNumerics
    CudnnRNN CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 CudnnRNNV2
    CudnnRNNV3 DisableCopyOnRead Empty If Multinomial PartitionedCall RandomGamma
    RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt ReadVariableOp
    ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterUpdate
    RngReadAndSkip RngSkip StatefulPartitionedCall StatefulRandomBinomial
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
    StatefulUniformFullInt StatefulUniformInt StatelessCase StatelessIf
    StatelessRandomGetAlg StatelessWhile TensorArrayCloseV3 TensorArrayConcatV3
    TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TruncatedNormal VarHandleOp
    VarIsInitializedOp VariableShape While
    """.split()
)
"""Operations that call functions, draw random numbers, use variables, or stop a run."""
