"""Files of Keras 1.2.2 on TensorFlow 1.14, Python 3.6."""

import keras
from keras import layers

from recorder import Zoo, record_graph

zoo = Zoo("keras1", keras, record_graph(keras.backend))
FIRST = {"data_format": "channels_first"}
TF = {"dim_ordering": "tf"}


def vgg(_):
    """Sequential of Keras 1 (nb_filter, border_mode, dim_ordering tf)."""
    model = keras.models.Sequential()
    model.add(layers.ZeroPadding2D((1, 1), input_shape=(12, 14, 3), dim_ordering="tf"))
    model.add(layers.Convolution2D(4, 3, 3, activation="relu", dim_ordering="tf"))
    model.add(layers.MaxPooling2D((2, 2), strides=(2, 2), dim_ordering="tf"))
    model.add(
        layers.Convolution2D(
            5,
            3,
            3,
            border_mode="same",
            subsample=(2, 1),
            init="he_normal",
            dim_ordering="tf",
        )
    )
    model.add(layers.Activation("relu"))
    model.add(layers.AveragePooling2D((2, 2), border_mode="same", dim_ordering="tf"))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(6, activation="softmax"))
    return model


def branches(_):
    """Functional of Keras 1 with merge layers and batch normalisation."""
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Convolution2D(
        4, 3, 3, border_mode="same", name="conv1", dim_ordering="tf"
    )(inputs)
    x = layers.BatchNormalization(axis=3, name="bn1")(x)
    x = layers.LeakyReLU(0.2, name="leaky")(x)
    a = layers.Convolution2D(4, 1, 1, bias=False, name="conv_a", dim_ordering="tf")(x)
    b = layers.AtrousConvolution2D(
        4,
        3,
        3,
        atrous_rate=(2, 2),
        border_mode="same",
        name="conv_b",
        dim_ordering="tf",
    )(x)
    x = layers.merge([a, b], mode="sum", name="sum")
    y = layers.MaxPooling2D(
        (3, 3), strides=(1, 1), border_mode="same", name="pool", dim_ordering="tf"
    )(x)
    x = layers.merge([x, y], mode="concat", concat_axis=3, name="concat")
    x = layers.SeparableConvolution2D(3, 3, 3, name="separable", dim_ordering="tf")(x)
    x = layers.UpSampling2D((2, 2), name="up", dim_ordering="tf")(x)
    x = layers.GlobalAveragePooling2D(name="gap", dim_ordering="tf")(x)
    outputs = layers.Dense(3, activation="softmax", name="dense")(x)
    return keras.models.Model(inputs, outputs)


def theano_order(_):
    """dim_ordering th: channels first."""
    model = keras.models.Sequential()
    model.add(
        layers.Convolution2D(
            4, 3, 3, activation="relu", dim_ordering="th", input_shape=(3, 12, 14)
        )
    )
    model.add(layers.BatchNormalization(axis=1))
    model.add(layers.MaxPooling2D((2, 2), dim_ordering="th"))
    model.add(layers.Convolution2D(5, 2, 3, dim_ordering="th"))
    model.add(layers.Flatten())
    model.add(layers.Dense(3, activation="softmax"))
    return model


def nested(_):
    """Functional inside functional, Convolution1D and LSTM behind it."""
    inner_input = layers.Input((12, 12, 3), name="inner_input")
    x = layers.Convolution2D(
        4, 3, 3, activation="relu", name="conv1", dim_ordering="tf"
    )(inner_input)
    x = layers.MaxPooling2D((2, 2), name="pool", dim_ordering="tf")(x)
    inner = keras.models.Model(inner_input, x, name="inner")
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.Reshape((25, 4), name="sequence")(inner(inputs))
    x = layers.Convolution1D(4, 3, activation="relu", name="conv1d")(x)
    x = layers.MaxPooling1D(2, name="pool1d")(x)
    x = layers.LSTM(4, inner_activation="hard_sigmoid", name="lstm")(x)
    return keras.models.Model(inputs, layers.Dense(2, name="dense")(x))


def transposed(_):
    """Functional of Keras 1 with transposed and unshared convolutions."""
    inputs = layers.Input((9, 8, 3), name="image")
    x = layers.ZeroPadding2D({"top_pad": 1, "right_pad": 2}, name="pad", **TF)(inputs)
    x = layers.Convolution2D(4, 3, 3, name="conv", **TF)(x)
    x = layers.advanced_activations.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.Deconvolution2D(
        3,
        3,
        3,
        output_shape=(None, 15, 16, 3),
        subsample=(2, 2),
        border_mode="same",
        name="deconv",
        **TF,
    )(x)
    x = layers.Cropping2D(((1, 0), (2, 1)), name="crop", **TF)(x)
    x = layers.MaxPooling2D(
        (3, 3), strides=(2, 2), border_mode="same", name="pool", **TF
    )(x)
    x = layers.LocallyConnected2D(2, 3, 3, name="local", **TF)(x)
    return keras.models.Model(inputs, x)


def videos(_):
    """Sequential of Keras 1 with time-distributed and recurrent convolutions."""
    model = keras.models.Sequential()
    model.add(
        layers.TimeDistributed(
            layers.Convolution2D(2, 3, 3, **TF), input_shape=(4, 5, 6, 2), name="conv"
        )
    )
    model.add(
        layers.ConvLSTM2D(
            2, 3, 3, border_mode="same", return_sequences=True, name="convlstm", **TF
        )
    )
    return model


def recurrent(_):
    """Sequential of Keras 1 with recurrent layers."""
    model = keras.models.Sequential()
    model.add(
        layers.Bidirectional(
            layers.GRU(2, return_sequences=True), input_shape=(5, 3), name="both"
        )
    )
    model.add(layers.SimpleRNN(3, return_sequences=True, name="rnn"))
    model.add(layers.Convolution1D(3, 2, name="conv"))
    model.add(layers.LSTM(2, consume_less="gpu", name="lstm"))
    return model


def frozen(_):
    """Functional of Keras 1 around a half frozen model with state."""
    i = layers.Input((8, 8, 3), name="inner_input")
    x = layers.Convolution2D(3, 3, 3, trainable=False, name="conv1", **TF)(i)
    x = layers.BatchNormalization(axis=3, trainable=False, name="bn1")(x)
    x = layers.Convolution2D(3, 3, 3, name="conv2", **TF)(x)
    x = layers.BatchNormalization(axis=3, name="bn2")(x)
    inner = keras.models.Model(i, x, name="inner")
    rnn = keras.models.Sequential(name="top")
    rnn.add(layers.Reshape((4, 12), input_shape=(4, 4, 3), name="rows"))
    rnn.add(layers.LSTM(3, name="lstm"))
    inputs = layers.Input((8, 8, 3), name="image")
    return keras.models.Model(inputs, layers.Dense(2, name="dense")(rnn(inner(inputs))))


zoo.add(vgg, ".h5")
zoo.add(branches, ".h5")
zoo.add(theano_order, ".h5", **FIRST)
zoo.add(nested, ".h5")
zoo.add(transposed, ".h5")
zoo.add(videos, ".h5")
zoo.add(recurrent, ".h5")
zoo.add(frozen, ".h5")
zoo.finish()
