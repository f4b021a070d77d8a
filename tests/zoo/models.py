"""Builders of small networks, written once for every Keras from 2.2 to 3.

Each takes the Keras namespace `k`; the first line of a docstring is the feature that
the manifest names. Weights are set afterwards (`recorder.randomize`).
"""

import numpy as np


def conv_bn(k, x, filters, name, strides=1):
    """Convolution, batch normalisation, ReLU: what most networks are made of."""
    layers = k.layers
    x = layers.Conv2D(filters, 3, strides=strides, padding="same", name=name)(x)
    x = layers.BatchNormalization(name=name + "_bn")(x)
    return layers.Activation("relu", name=name + "_relu")(x)


def base(k, name, shape=(12, 12, 3), filters=4):
    """A small feature extractor, the inner model of the nested kinds."""
    inputs = k.layers.Input(shape, name=name + "_input")
    x = conv_bn(k, inputs, filters, "conv1")
    x = k.layers.MaxPooling2D(name="pool1")(x)
    x = conv_bn(k, x, filters + 2, "conv2")
    return k.models.Model(inputs, x, name=name)


def functional(k):
    """Functional with branches (Add, Concatenate)."""
    layers = k.layers
    inputs = layers.Input((10, 12, 3), name="image")
    x = conv_bn(k, inputs, 4, "stem")
    y = conv_bn(k, x, 4, "left")
    x = layers.Add(name="add")([x, y])
    x = layers.MaxPooling2D(name="pool")(x)
    a = layers.Conv2D(3, 1, activation="relu", name="branch1x1")(x)
    b = layers.AveragePooling2D(3, strides=1, padding="same", name="branch_pool")(x)
    x = layers.Concatenate(name="concat")([a, b])
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    outputs = layers.Dense(5, activation="softmax", name="predictions")(x)
    return k.models.Model(inputs, outputs, name="functional")


def sequential(k):
    """Sequential that starts with an input layer."""
    layers = k.layers
    return k.models.Sequential(
        [
            layers.InputLayer((16, 16, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ],
        name="sequential",
    )


def sequential_input_shape(k):
    """Sequential without an input layer: input_shape on its first layer."""
    layers = k.layers
    model = k.models.Sequential(name="digits")
    model.add(layers.Conv2D(4, (3, 3), input_shape=(14, 14, 1), name="conv2d_1"))
    model.add(layers.Activation("relu", name="activation_1"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2), name="max_pooling2d_1"))
    model.add(layers.Conv2D(5, (3, 3), activation="relu", name="conv2d_2"))
    model.add(layers.Flatten(name="flatten_1"))
    model.add(layers.Dense(10, name="dense_1"))
    model.add(layers.Activation("softmax", name="activation_2"))
    return model


def sequential_unbuilt(k):
    """Sequential that never was given an input shape, built by a call."""
    layers = k.layers
    return k.models.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", activation="relu", name="first"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(5, 3, activation="relu", name="second"),
            layers.GlobalMaxPooling2D(name="gmp"),
            layers.Dense(3, name="scores"),
        ]
    )


def nested_functional(k):
    """Functional inside functional, a head behind it (transfer learning)."""
    layers = k.layers
    inner = base(k, "backbone")
    inner.trainable = False
    inputs = layers.Input((12, 12, 3), name="photo")
    x = inner(inputs)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    outputs = layers.Dense(4, activation="softmax", name="head")(x)
    return k.models.Model(inputs, outputs, name="transfer")


def nested_sequential(k):
    """Functional inside Sequential, a convolution behind it."""
    layers = k.layers
    return k.models.Sequential(
        [
            base(k, "features"),
            layers.Conv2D(5, 3, activation="relu", name="top_conv"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="dense"),
        ],
        name="nested_sequential",
    )


def doubly_nested(k):
    """Model in model in model."""
    layers = k.layers
    inner = base(k, "inner")
    middle_input = layers.Input((12, 12, 3), name="middle_input")
    x = layers.Conv2D(3, 3, padding="same", name="adapt")(middle_input)
    x = inner(x)
    middle = k.models.Model(middle_input, x, name="middle")
    outer_input = layers.Input((12, 12, 3), name="outer_input")
    x = middle(outer_input)
    x = layers.Conv2D(4, 1, activation="relu", name="squeeze")(x)
    outputs = layers.GlobalMaxPooling2D(name="out")(x)
    return k.models.Model(outer_input, outputs, name="outer")


def two_bases(k):
    """Two inner models whose layers have the same names."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    a = base(k, "base_a")(inputs)
    b = base(k, "base_b", filters=3)(inputs)
    x = layers.Concatenate(name="both")([a, b])
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, layers.Dense(3, name="dense")(x), name="two_bases")


def shared_conv(k):
    """One convolution called three times."""
    layers = k.layers
    inputs = layers.Input((14, 14, 4), name="image")
    conv = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    x = conv(inputs)
    x = conv(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = conv(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, layers.Dense(3, name="dense")(x), name="recurrent")


def siamese(k):
    """siamese: one inner model called on two inputs."""
    layers = k.layers
    tower = base(k, "tower", (12, 12, 1))
    left = layers.Input((12, 12, 1), name="left")
    right = layers.Input((12, 12, 1), name="right")
    x = layers.Subtract(name="difference")([tower(left), tower(right)])
    x = layers.Conv2D(3, 1, name="compare")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    outputs = layers.Dense(1, activation="sigmoid", name="same")(x)
    return k.models.Model([left, right], outputs, name="siamese")


def shared_in_nested(k):
    """Inner model with a shared convolution, itself called twice in a row."""
    layers = k.layers
    inner_input = layers.Input((12, 12, 3), name="inner_input")
    conv = layers.Conv2D(3, 3, padding="same", activation="tanh", name="conv")
    inner = k.models.Model(inner_input, conv(conv(inner_input)), name="inner")
    inputs = layers.Input((12, 12, 3), name="image")
    x = inner(inner(inputs))
    outputs = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, outputs, name="outer")


def several_inputs(k):
    """Two inputs of different size and one vector."""
    layers = k.layers
    photo = layers.Input((16, 12, 3), name="photo")
    depth = layers.Input((8, 6, 1), name="depth")
    meta = layers.Input((5,), name="meta")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv_photo")(photo)
    y = layers.Conv2D(3, 3, padding="same", name="conv_depth")(depth)
    x = layers.Concatenate(name="maps")([x, y])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Concatenate(name="all")([layers.Flatten(name="flat")(x), meta])
    outputs = layers.Dense(3, activation="softmax", name="dense")(x)
    return k.models.Model([photo, depth, meta], outputs, name="several_inputs")


def several_outputs(k):
    """Two outputs: classes and a map."""
    layers = k.layers
    inputs = layers.Input((16, 16, 3), name="image")
    x = conv_bn(k, inputs, 5, "conv")
    mask = layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x)
    x = layers.GlobalMaxPooling2D(name="gmp")(x)
    classes = layers.Dense(4, activation="softmax", name="classes")(x)
    return k.models.Model(inputs, [classes, mask], name="several_outputs")


def dict_outputs(k):
    """Dictionary of outputs."""
    model = several_outputs(k)
    outputs = {"classes": model.outputs[0], "mask": model.outputs[1]}
    return k.models.Model(model.inputs[0], outputs, name="dict_outputs")


def variable_size(k):
    """Input of any size (None, None, 3)."""
    layers = k.layers
    inputs = layers.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, layers.Dense(4, name="logits")(x), name="any_size")


def five_channels(k):
    """Five input channels, raw logits."""
    layers = k.layers
    inputs = layers.Input((12, 18, 5), name="bands")
    x = conv_bn(k, inputs, 4, "conv1")
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    return k.models.Model(inputs, layers.Dense(3, name="logits")(x), name="bands")


def separable(k):
    """DepthwiseConv2D, SeparableConv2D, SeparableConv1D, Conv2DTranspose."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(
        inputs
    )
    x = layers.SeparableConv2D(
        4, 3, padding="same", activation="relu", name="separable"
    )(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same", name="transpose")(x)
    x = layers.Reshape((144, 3), name="line")(x)
    x = layers.SeparableConv1D(4, 5, strides=2, name="separable1d")(x)
    outputs = layers.GlobalAveragePooling1D(name="gap")(x)
    return k.models.Model(inputs, outputs, name="separable")


def dilated(k):
    """dilated, strided and rectangular convolutions, zero padding, cropping."""
    layers = k.layers
    inputs = layers.Input((20, 24, 3), name="image")
    x = layers.ZeroPadding2D(((1, 2), (0, 3)), name="pad")(inputs)
    x = layers.Conv2D(3, (1, 7), strides=(1, 2), name="wide")(x)
    x = layers.Conv2D(4, (5, 3), strides=(2, 1), use_bias=False, name="tall")(x)
    x = layers.Conv2D(4, 3, dilation_rate=2, activation="relu", name="atrous")(x)
    x = layers.Cropping2D(1, name="crop")(x)
    x = layers.UpSampling2D(2, name="up")(x)
    outputs = layers.Conv2D(2, 3, padding="same", name="out")(x)
    return k.models.Model(inputs, outputs, name="dilated")


def grouped(k):
    """Grouped convolution."""
    layers = k.layers
    inputs = layers.Input((12, 12, 4), name="image")
    x = layers.Conv2D(6, 3, groups=2, activation="relu", name="grouped")(inputs)
    x = layers.Conv2D(6, 3, groups=6, activation="relu", name="per_channel")(x)
    outputs = layers.GlobalMaxPooling2D(name="gmp")(x)
    return k.models.Model(inputs, outputs, name="grouped")


def conv1d(k):
    """Conv1D network for a signal."""
    layers = k.layers
    inputs = layers.Input((64, 2), name="signal")
    x = layers.Conv1D(4, 5, padding="causal", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling1D(2, name="pool")(x)
    x = layers.Conv1D(6, 3, strides=2, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling1D(name="gap")(x)
    outputs = layers.Dense(3, activation="softmax", name="dense")(x)
    return k.models.Model(inputs, outputs, name="signal")


def conv3d(k):
    """Conv3D network for a volume."""
    layers = k.layers
    inputs = layers.Input((6, 8, 10, 1), name="volume")
    x = layers.Conv3D(3, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling3D((1, 2, 2), name="pool")(x)
    x = layers.Conv3D(4, 2, activation="relu", name="conv2")(x)
    outputs = layers.GlobalAveragePooling3D(name="gap")(x)
    return k.models.Model(inputs, outputs, name="volume")


def time_distributed(k):
    """TimeDistributed(Conv2D) and an LSTM over the frames."""
    layers = k.layers
    inputs = layers.Input((3, 10, 10, 2), name="frames")
    x = layers.TimeDistributed(layers.Conv2D(3, 3, activation="relu"), name="td_conv")(
        inputs
    )
    x = layers.TimeDistributed(layers.MaxPooling2D(), name="td_pool")(x)
    x = layers.TimeDistributed(layers.Flatten(), name="td_flat")(x)
    x = layers.LSTM(4, name="lstm")(x)
    return k.models.Model(inputs, layers.Dense(2, name="dense")(x), name="frames")


def conv_lstm(k):
    """ConvLSTM2D, whose gate is a hard sigmoid in Keras 2."""
    layers = k.layers
    inputs = layers.Input((3, 8, 10, 1), name="frames")
    x = layers.ConvLSTM2D(
        2, 3, padding="same", return_sequences=True, name="conv_lstm"
    )(inputs)
    x = layers.Conv3D(2, 3, padding="same", name="conv3d")(x)
    return k.models.Model(inputs, x, name="next_frame")


def bidirectional(k):
    """Bidirectional LSTM over the columns of a feature map."""
    layers = k.layers
    inputs = layers.Input((8, 12, 1), name="line")
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.MaxPooling2D((2, 1), name="pool")(x)
    x = layers.Permute((2, 1, 3), name="columns")(x)
    x = layers.Reshape((12, 12), name="sequence")(x)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both_ways")(x)
    outputs = layers.Dense(5, activation="softmax", name="characters")(x)
    return k.models.Model(inputs, outputs, name="ocr")


def channels_first(k):
    """channels_first layers."""
    layers, form = k.layers, "channels_first"
    inputs = layers.Input((3, 12, 14), name="image")
    x = layers.Conv2D(4, 3, padding="same", data_format=form, name="conv1")(inputs)
    x = layers.BatchNormalization(axis=1, name="bn")(x)
    x = layers.Activation("relu", name="relu")(x)
    x = layers.MaxPooling2D(data_format=form, name="pool")(x)
    x = layers.Conv2D(5, 3, strides=2, data_format=form, name="conv2")(x)
    x = layers.GlobalAveragePooling2D(data_format=form, name="gap")(x)
    return k.models.Model(inputs, layers.Dense(3, name="dense")(x), name="first")


def layer_norm_axes(k):
    """LayerNormalization over a list of axes."""
    layers = k.layers
    inputs = layers.Input((10, 12, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = layers.LayerNormalization(axis=[1, 2, 3], name="norm_all")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv2")(x)
    x = layers.LayerNormalization(name="norm_last")(x)
    outputs = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, outputs, name="layer_norm")


def preprocessing(k):
    """The `layers` module that holds Normalization and Rescaling."""
    if hasattr(k.layers, "Rescaling"):
        return k.layers
    return k.layers.experimental.preprocessing


def adapted_normalization(k, shape, seed=7):
    """A Normalization layer adapted to images in [0, 255] whose channels differ."""
    random = np.random.RandomState(seed)
    scale = np.linspace(0.3, 1.0, shape[-1])
    images = 255.0 * scale * random.uniform(0.0, 1.0, (8,) + shape)
    layer = preprocessing(k).Normalization(name="normalization")
    layer.adapt(images.astype("float32"))
    return layer


def normalization(k):
    """Adapted Normalization in front."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = adapted_normalization(k, (12, 12, 3))(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, layers.Dense(3, name="dense")(x), name="normalized")


def normalization_nested(k):
    """Adapted Normalization inside an inner model (as in EfficientNet)."""
    layers = k.layers
    inner_input = layers.Input((12, 12, 3), name="inner_input")
    x = preprocessing(k).Rescaling(1 / 255.0, name="rescaling")(inner_input)
    x = adapted_normalization(k, (12, 12, 3))(x)
    x = conv_bn(k, x, 4, "conv1")
    inner = k.models.Model(inner_input, x, name="inner")
    return k.models.Sequential(
        [
            inner,
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(3, activation="softmax", name="dense"),
        ],
        name="outer",
    )


def rescaling(k):
    """Rescaling to [-1, 1] in front."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = preprocessing(k).Rescaling(1 / 127.5, offset=-1, name="rescaling")(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    outputs = layers.Dense(2, activation="softmax", name="dense")(x)
    return k.models.Model(inputs, outputs, name="rescaled")


def augmentation(k):
    """Resizing, RandomFlip, RandomRotation, RandomZoom, CenterCrop in front."""
    layers, pre = k.layers, preprocessing(k)
    augment = k.models.Sequential(
        [
            pre.RandomFlip("horizontal", name="flip"),
            pre.RandomRotation(0.1, name="rotate"),
            pre.RandomZoom(0.1, name="zoom"),
        ],
        name="augment",
    )
    inputs = layers.Input((20, 18, 3), name="image")
    x = augment(inputs)
    x = pre.Resizing(14, 14, name="resize")(x)
    x = pre.CenterCrop(12, 12, name="crop")(x)
    x = pre.Rescaling(1 / 255.0, name="rescaling")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    outputs = layers.Conv2D(2, 3, name="conv2")(x)
    return k.models.Model(inputs, outputs, name="augmented")


def hard_sigmoid(k):
    """hard_sigmoid, another function in Keras 3 than in Keras 2."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(4, 3, activation="hard_sigmoid", name="conv1")(inputs)
    x = layers.Conv2D(4, 3, name="conv2")(x)
    x = layers.Activation("hard_sigmoid", name="gate")(x)
    outputs = layers.Conv2D(2, 3, name="conv3")(x)
    return k.models.Model(inputs, outputs, name="gated")


def activations(k):
    """PReLU, LeakyReLU, ELU, ReLU(6), Softmax layers; elu, selu, softplus, tanh."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.Conv2D(4, 3, activation="elu", padding="same", name="conv2")(x)
    x = layers.LeakyReLU(0.2, name="leaky")(x)
    x = layers.Conv2D(4, 3, activation="selu", padding="same", name="conv3")(x)
    x = layers.ReLU(6.0, name="relu6")(x)
    x = layers.Conv2D(4, 3, activation="softplus", padding="same", name="conv4")(x)
    x = layers.ELU(0.5, name="elu")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(4, activation="tanh", name="dense")(x)
    return k.models.Model(inputs, layers.Softmax(name="softmax")(x), name="activations")


def thresholded_relu(k):
    """ThresholdedReLU, which Keras 3 has no more."""
    layers = k.layers
    inputs = layers.Input((12, 12, 1), name="image")
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = layers.ThresholdedReLU(0.3, name="thresholded")(x)
    outputs = layers.Conv2D(2, 3, name="conv2")(x)
    return k.models.Model(inputs, outputs, name="thresholded")


def unet(k):
    """U-Net: skips, transposed convolution, a map as output."""
    layers = k.layers
    inputs = layers.Input((12, 12, 1), name="image")
    skip = conv_bn(k, inputs, 3, "down1")
    x = layers.MaxPooling2D(name="pool1")(skip)
    x = conv_bn(k, x, 5, "bottom")
    x = layers.Conv2DTranspose(3, 2, strides=2, padding="same", name="up1")(x)
    x = layers.Concatenate(name="skip1")([skip, x])
    x = conv_bn(k, x, 3, "merge1")
    outputs = layers.Conv2D(3, 1, activation="softmax", name="segmentation")(x)
    return k.models.Model(inputs, outputs, name="unet")


def autoencoder(k):
    """autoencoder: encoder and decoder as inner Sequential models."""
    layers = k.layers
    encoder = k.models.Sequential(
        [
            layers.InputLayer((12, 16, 1), name="encoder_input"),
            layers.Conv2D(
                4, 3, strides=2, padding="same", activation="relu", name="c1"
            ),
            layers.Conv2D(
                2, 3, strides=2, padding="same", activation="relu", name="c2"
            ),
        ],
        name="encoder",
    )
    decoder = k.models.Sequential(
        [
            layers.InputLayer((3, 4, 2), name="decoder_input"),
            layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="t1"),
            layers.UpSampling2D(name="up"),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="c3"),
        ],
        name="decoder",
    )
    inputs = layers.Input((12, 16, 1), name="image")
    return k.models.Model(inputs, decoder(encoder(inputs)), name="autoencoder")


def binary(k):
    """One sigmoid unit."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    outputs = layers.Dense(1, activation="sigmoid", name="cat_or_dog")(x)
    return k.models.Model(inputs, outputs, name="binary")


def inverted_residual(k):
    """MobileNet-/EfficientNet-like block: depthwise, squeeze-and-excitation, ReLU6."""
    layers = k.layers
    inputs = layers.Input((16, 16, 3), name="image")
    x = conv_bn(k, inputs, 4, "stem", strides=2)
    y = layers.Conv2D(8, 1, use_bias=False, name="expand")(x)
    y = layers.BatchNormalization(name="expand_bn")(y)
    y = layers.ReLU(6.0, name="expand_relu")(y)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(y)
    y = layers.BatchNormalization(name="depthwise_bn")(y)
    gate = layers.GlobalAveragePooling2D(name="se_squeeze")(y)
    gate = layers.Reshape((1, 1, 8), name="se_reshape")(gate)
    gate = layers.Conv2D(4, 1, activation="relu", name="se_reduce")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="se_expand")(gate)
    y = layers.Multiply(name="se_excite")([y, gate])
    y = layers.Conv2D(4, 1, use_bias=False, name="project")(y)
    x = layers.Add(name="residual")([x, y])
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    outputs = layers.Dense(5, activation="softmax", name="dense")(x)
    return k.models.Model(inputs, outputs, name="inverted_residual")


def swish(k):
    """Swish and gelu activations."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(4, 3, activation="swish", name="conv1")(inputs)
    x = layers.Conv2D(4, 3, activation="gelu", name="conv2")(x)
    x = layers.Activation("swish", name="act")(x)
    outputs = layers.GlobalAveragePooling2D(name="gap")(x)
    return k.models.Model(inputs, outputs, name="smooth")


def attention(k):
    """Patch embedding and MultiHeadAttention."""
    layers = k.layers
    inputs = layers.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 4, strides=4, name="patches")(inputs)
    x = layers.Reshape((16, 8), name="tokens")(x)
    y = layers.LayerNormalization(name="norm")(x)
    y = layers.MultiHeadAttention(num_heads=2, key_dim=4, name="attention")(y, y)
    x = layers.Add(name="residual")([x, y])
    x = layers.GlobalAveragePooling1D(name="gap")(x)
    return k.models.Model(inputs, layers.Dense(3, name="dense")(x), name="vit")


def odd_names(k):
    """Layer names with dots, '..', '%', spaces, unicode, and one of 230 characters."""
    layers = k.layers
    names = ["..", "conv.1:a", "50% #*?", "層-é", "a" * 230, "con"]
    x = inputs = layers.Input((12, 12, 2), name="the.image")
    for name in names:
        x = layers.Conv2D(3, 3, padding="same", activation="relu", name=name)(x)
    return k.models.Model(inputs, layers.GlobalMaxPooling2D(name="CON")(x), name="odd")


def slash_names(k):
    """'/' in layer names (DenseNet, MobileNetV3 of Keras 2), '..', 230 characters."""
    layers = k.layers
    inputs = layers.Input((14, 14, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv1/conv")(inputs)
    x = layers.BatchNormalization(name="conv1/bn")(x)
    x = layers.Activation("relu", name="conv1/relu")(x)
    x = layers.MaxPooling2D(name="../../escape")(x)
    x = layers.Conv2D(4, 3, name="conv2/../conv")(x)
    x = layers.Conv2D(3, 1, name="..")(x)
    x = layers.Conv2D(3, 1, name="a" * 230)(x)
    return k.models.Model(
        inputs, layers.GlobalMaxPooling2D(name="gmp/")(x), name="slash"
    )


def regularized(k):
    """regularizers, constraints, activity_regularizer, odd initializers."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(
        4,
        3,
        kernel_regularizer=k.regularizers.l2(1e-3),
        bias_regularizer="l2",
        kernel_constraint=k.constraints.max_norm(2.0),
        kernel_initializer=k.initializers.he_normal(),
        bias_initializer=k.initializers.Constant(0.1),
        name="conv1",
    )(inputs)
    x = layers.Conv2D(
        3,
        3,
        activity_regularizer=k.regularizers.l2(1e-3),
        activation="relu",
        name="conv2",
    )(x)
    x = layers.SpatialDropout2D(0.2, name="drop")(x)
    x = layers.GaussianNoise(0.1, name="noise")(x)
    return k.models.Model(
        inputs, layers.GlobalMaxPooling2D(name="gmp")(x), name="regular"
    )


def fixed_batch(k):
    """Fixed batch size."""
    layers = k.layers
    inputs = layers.Input(batch_shape=(2, 12, 12, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    return k.models.Model(inputs, layers.Dense(3, name="dense")(x), name="fixed_batch")


def teachable(k):
    """Teachable Machine: Sequential of Sequentials of functionals."""
    layers = k.layers
    features = k.models.Sequential(
        [base(k, "model1"), layers.GlobalAveragePooling2D(name="gap")],
        name="sequential_1",
    )
    classes = k.models.Sequential(
        [
            layers.InputLayer((6,), name="dense_input"),
            layers.Dense(5, activation="relu", name="dense_Dense1"),
            layers.Dense(2, activation="softmax", use_bias=False, name="dense_Dense2"),
        ],
        name="sequential_3",
    )
    return k.models.Sequential([features, classes], name="sequential_4")
