"""Files of tf.keras 2.12: TensorFlow 2.12.1, Keras 2.12.0, Python 3.10."""

import tensorflow as tf

import models
from custom_classes import define
from recorder import Zoo, record_eagerly, without_path

k = tf.keras
custom = define(k)
zoo = Zoo("tf212", k, record_eagerly)


def slicing(_):
    """SlicingOpLambda and TFOpLambda in an inner model."""
    inner_input = k.Input((12, 14, 4), name="inner_input")
    x = inner_input[:, 1:-1, ::2, :3] / 127.5 - 1.0
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    inner = k.Model(inner_input, x[..., 1:] - x[..., :1], name="inner")
    inputs = k.Input((12, 14, 4), name="image")
    x = tf.reduce_max(inner(inputs), axis=[1, 2])
    return k.Model(inputs, x, name="slices")


def lambda_code(_):
    """Lambda with byte code of Python 3.10."""
    inputs = k.Input((12, 12, 3), name="image")
    x = k.layers.Lambda(without_path(lambda t: t / 127.5 - 1.0), name="scale")(inputs)
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    outputs = k.layers.GlobalMaxPooling2D(name="gmp")(x)
    return k.Model(inputs, outputs, name="lambda")


def registered_layer(_):
    """Custom layer that is registered."""
    inputs = k.Input((12, 12, 3), name="image")
    x = k.layers.Conv2D(4, 3, name="conv1")(inputs)
    x = custom["RegisteredScale"](0.5, name="scale")(x)
    return k.Model(inputs, k.layers.GlobalMaxPooling2D(name="gmp")(x), name="custom")


def compiled(_):
    """Compiled with lr and decay, a learning rate schedule, mse; trained one step."""
    model = models.binary(k)
    rate = k.optimizers.schedules.ExponentialDecay(0.01, 100, 0.9)
    model.compile(k.optimizers.legacy.SGD(rate, momentum=0.9), "mse", ["mae", "AUC"])
    model.fit(tf.ones((2, 12, 12, 3)), tf.ones((2, 1)), verbose=0)
    return model


def save_zip(model, path):
    model.save(path, save_format="keras_v3")


pixels = {"low": 0.0, "high": 255.0}
zip_ = {"save": save_zip, "notes": "The zip format as 2.12 wrote it."}
zoo.add(models.functional, ".keras", **zip_)
zoo.add(models.nested_functional, ".keras", **zip_)
zoo.add(models.sequential, ".keras", **zip_)
inside = {"save": lambda model, path: model.save(path, save_format="h5")}
inside["notes"] = "HDF5 inside, as `model.save` of 2.12 and before wrote it."
zoo.add(models.siamese, ".keras", "hdf5_inside", **inside)
zoo.add(models.teachable, ".h5")
zoo.add(models.normalization_nested, ".h5", **pixels)
zoo.add(slicing, ".h5", **pixels)
zoo.add(compiled, ".h5")
code = {"expect": "trusted", "error": "Lambda", "python": "3.10"}
code["notes"] = "On another Python an error also with trusted=True."
zoo.add(lambda_code, ".h5", **dict(pixels, **code))
zoo.add(
    registered_layer,
    ".h5",
    expect="custom",
    error="RegisteredScale",
    custom_objects=["RegisteredScale"],
)
zoo.finish()
