"""A file of Keras 1.2.2 on Theano 1.0.5, Python 3.6, with KERAS_BACKEND=theano."""

import keras
import theano.ifelse  # noqa: F401  # Keras 1 expects it to be imported
from keras import layers

from recorder import Zoo, record_graph

zoo = Zoo("keras1_theano", keras, record_graph(keras.backend))
TH = {"dim_ordering": "th"}


def flipped(_):
    """Sequential of Keras 1 computed by Theano, which turns its kernels."""
    model = keras.models.Sequential()
    model.add(layers.ZeroPadding2D((1, 1), input_shape=(3, 9, 10), name="pad", **TH))
    model.add(
        layers.Convolution2D(
            4, 3, 2, subsample=(2, 1), activation="relu", name="conv1", **TH
        )
    )
    model.add(layers.BatchNormalization(axis=1, name="bn"))
    model.add(layers.Convolution2D(3, 3, 3, border_mode="same", name="conv2", **TH))
    model.add(layers.AveragePooling2D((2, 2), name="pool", **TH))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(3, activation="softmax", name="dense"))
    return model


zoo.add(flipped, ".h5", shape=(3, 9, 10), data_format="channels_first")
zoo.finish()
