"""Files of tf.keras 2.4: TensorFlow 2.3.4, Python 3.8."""

import numpy as np
import tensorflow as tf

import models
from custom_classes import define
from recorder import Zoo, record_eagerly, without_path

k = tf.keras
custom = define(k)
zoo = Zoo("tf23", k, record_eagerly)


def op_layer(_):
    """TensorFlowOpLayer: x / 127.5 - 1, tf.nn.relu, tf.concat, slices."""
    inputs = k.Input((12, 12, 3), name="image")
    x = inputs / 127.5 - 1.0
    x = tf.nn.relu(k.layers.Conv2D(4, 3, name="conv1")(x))
    x = tf.concat([x, tf.nn.relu6(3.0 * x[:, :, :, :2])], axis=-1)
    x = k.layers.Conv2D(4, 3, name="conv2")(x)
    x = tf.reduce_mean(x, [1, 2])
    return k.Model(inputs, tf.nn.softmax(x), name="ops")


def lambda_code(_):
    """Lambda with byte code of Python 3.8."""
    inputs = k.Input((12, 12, 3), name="image")
    x = k.layers.Lambda(without_path(lambda t: t / 127.5 - 1.0), name="scale")(inputs)
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    outputs = k.layers.GlobalMaxPooling2D(name="gmp")(x)
    return k.Model(inputs, outputs, name="lambda")


def mixed_float16(_):
    """mixed_float16 of the experimental policy."""
    mixed = k.mixed_precision.experimental
    mixed.set_policy("mixed_float16")
    try:
        inputs = k.Input((12, 12, 3), name="image")
        x = models.conv_bn(k, inputs, 4, "conv1")
        x = k.layers.MaxPooling2D(name="pool")(x)
        x = k.layers.GlobalAveragePooling2D(name="gap")(x)
        x = k.layers.Dense(3, activation="softmax", dtype="float32", name="dense")(x)
        return k.Model(inputs, x, name="mixed")
    finally:
        mixed.set_policy("float32")


def fixed_dropout(_):
    """FixedDropout and swish of the `efficientnet` package."""
    inputs = k.Input((12, 12, 3), name="image")
    x = k.layers.Conv2D(4, 3, activation="swish", name="conv1")(inputs)
    x = custom["FixedDropout"](0.2, noise_shape=(None, 1, 1, 1), name="drop")(x)
    x = k.layers.Conv2D(4, 3, name="conv2")(x)
    x = k.layers.Activation("swish", name="act")(x)
    return k.Model(inputs, k.layers.GlobalMaxPooling2D(name="gmp")(x), name="effnet")


def compiled(_):
    """Custom loss and metric compiled in, SGD with decay, trained one step."""
    model = models.nested_sequential(k)
    metrics = [custom["half_accuracy"]]
    model.compile(k.optimizers.SGD(0.01, decay=1e-4), custom["shouted_loss"], metrics)
    model.fit(np.ones((2, 12, 12, 3)), np.ones((2, 3)), verbose=0)
    return model


def stateful(_):
    """Stateful LSTM over frames, fixed batch size."""
    inputs = k.Input(batch_shape=(2, 3, 10, 10, 1), name="frames")
    layers = k.layers
    x = layers.TimeDistributed(layers.Conv2D(3, 3, activation="relu"), name="td_conv")(
        inputs
    )
    x = layers.TimeDistributed(layers.GlobalMaxPooling2D(), name="td_gmp")(x)
    x = layers.LSTM(4, stateful=True, return_sequences=True, name="lstm")(x)
    x = layers.Conv1D(2, 2, name="conv1d")(x)
    return k.Model(inputs, x, name="stateful")


def save_folder(model, path):
    model.save(path, save_format="tf", include_optimizer=False)


pixels = {"low": 0.0, "high": 255.0}
for build in (
    models.conv_lstm,
    compiled,
    stateful,
):
    zoo.add(build, ".h5")
zoo.add(models.normalization_nested, ".h5", **pixels)
zoo.add(models.augmentation, ".h5", **pixels)
zoo.add(op_layer, ".h5", **pixels)
zoo.add(mixed_float16, ".h5", tolerance=5e-3)
zoo.add(
    fixed_dropout,
    ".h5",
    custom_objects=["FixedDropout"],
    notes="A known class: a stand-in serves where the class is not given.",
)
zoo.add(
    lambda_code,
    ".hdf5",
    expect="trusted",
    error="Lambda",
    python="3.8",
    notes="On another Python an error also with trusted=True.",
    **pixels,
)
zoo.add(
    models.sequential_input_shape,
    "",
    "savedmodel_sequential",
    save=save_folder,
    notes="Keras metadata inside saved_model.pb, no keras_metadata.pb",
)
zoo.finish()
