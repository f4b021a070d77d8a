"""Files of two Keras from 2019: TensorFlow 1.15.5, Keras 2.2.5, Python 3.7.

tf115: tf.keras of TensorFlow 1.15 (its own number is 2.2.4-tf).
keras22: the package keras 2.2.5.
"""

import keras as keras22
import numpy as np
import tensorflow as tf

import models
from recorder import Zoo, record_graph

PIXELS = {"low": 0.0, "high": 255.0}
CODE = {
    "expect": "trusted",
    "error": "Lambda",
    "python": "3.7",
    "notes": "On another Python an error also with trusted=True.",
}


def shouted_loss(y_true, y_pred):
    return tf.reduce_mean(tf.abs(y_true - y_pred), axis=-1)


def lambda_code(k):
    """Lambda with byte code of Python 3.7."""
    inputs = k.layers.Input((12, 12, 3), name="image")
    x = k.layers.Lambda(lambda t: t / 127.5 - 1.0, name="scale")(inputs)
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    return k.models.Model(
        inputs, k.layers.GlobalMaxPooling2D(name="gmp")(x), name="code"
    )


def compiled(k):
    """Custom loss compiled in, SGD with lr and decay, trained one step."""
    model = models.unet(k)
    model.compile(k.optimizers.SGD(lr=0.01, decay=1e-4), shouted_loss, ["accuracy"])
    model.fit(np.ones((2, 12, 12, 1)), np.ones((2, 12, 12, 3)), verbose=0)
    return model


def separable(k):
    """DepthwiseConv2D, SeparableConv2D, Conv2DTranspose of Keras 2.2."""
    layers = k.layers
    inputs = layers.Input((12, 12, 3), name="image")
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(
        inputs
    )
    x = layers.SeparableConv2D(
        4, 3, padding="same", activation="relu", name="separable"
    )(x)
    x = layers.MaxPooling2D(name="pool")(x)
    outputs = layers.Conv2DTranspose(3, 3, strides=2, padding="same", name="up")(x)
    return k.models.Model(inputs, outputs, name="separable")


def save_weights(model, path):
    with open(path.replace(".h5", ".json"), "w") as file:
        file.write(model.to_json(indent=1))
    model.save_weights(path)


def add_weights_only(zoo):
    """Weights and architecture in two files."""
    zoo.add(
        models.sequential_input_shape,
        ".h5",
        "weights_only",
        save=save_weights,
        architecture=zoo.producer + "/weights_only.json",
        error="weights",
        notes="Alone it is an error (weights only); it works with its architecture.",
    )


zoo = Zoo("keras22", keras22, record_graph(keras22.backend))
for build in (
    models.functional,
    models.sequential_input_shape,
    models.nested_functional,
    models.shared_conv,
    models.siamese,
    models.several_inputs,
    models.hard_sigmoid,
    models.thresholded_relu,
    separable,
):
    zoo.add(build, ".h5")
zoo.add(models.channels_first, ".h5", data_format="channels_first")
zoo.add(models.binary, ".model", "dot_model")
zoo.add(lambda_code, ".h5", **dict(CODE, **PIXELS))
add_weights_only(zoo)
zoo.finish()

zoo = Zoo("tf115", tf.keras, record_graph(tf.keras.backend))
for build in (
    models.functional,
    models.sequential_input_shape,
    models.doubly_nested,
    models.shared_in_nested,
    models.variable_size,
    models.time_distributed,
    models.bidirectional,
    models.regularized,
    models.fixed_batch,
    compiled,
):
    zoo.add(build, ".h5")
zoo.add(lambda_code, ".h5", **dict(CODE, **PIXELS))
add_weights_only(zoo)
zoo.finish()
