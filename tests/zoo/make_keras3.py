"""Files of Keras 3: run once under each of two versions, both Python 3.11.

keras305: keras 3.0.5 with TensorFlow 2.16.2.
keras315: keras 3.15 with TensorFlow 2.21.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from keras.src.applications import convnext

import models
from custom_classes import define
from recorder import Zoo, record_eagerly, without_path

VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])
custom = define(keras)
layers = keras.layers


def record(model, inputs):
    """Run in a graph where a layer needs it: TensorFlow's CPU kernels want NHWC."""
    first = any(getattr(x, "data_format", "") == "channels_first" for x in model.layers)
    return record_eagerly(model, inputs, tf.function if first else None)


zoo = Zoo("keras305" if VERSION < (3, 1) else "keras315", keras, record)


def head(x):
    """Pool and classify."""
    return layers.Dense(3, name="dense")(layers.GlobalAveragePooling2D(name="gap")(x))


def image(*shape):
    """An input called image."""
    return keras.Input(shape or (12, 12, 3), name="image")


def operations(_):
    """keras.ops and operators on tensors: x / 127.5 - 1, relu, concatenate, slices."""
    inputs = image()
    x = inputs / 127.5 - 1.0
    x = ops.relu(layers.Conv2D(4, 3, name="conv1")(x))
    x = ops.concatenate([x, 2.0 * x[:, :, :, :2]], axis=-1)
    x = layers.Conv2D(4, 3, name="conv2")(x)
    x = ops.mean(ops.max_pool(x, 2, 2), axis=[1, 2])
    return keras.Model(inputs, ops.softmax(x), name="ops")


def lambda_code(_):
    """Lambda with byte code of Python 3.11."""
    inputs = image()
    x = layers.Lambda(without_path(lambda t: t / 127.5 - 1.0), name="scale")(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    return keras.Model(inputs, head(x), name="lambda")


def lambda_function(_):
    """Lambda with a function known by name only."""
    inputs = image()
    x = layers.Lambda(custom["halve"], name="halve")(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    return keras.Model(inputs, head(x), name="named")


def custom_layer(_):
    """Custom layer that is not registered."""
    inputs = image()
    x = layers.Conv2D(4, 3, name="conv1")(inputs)
    x = custom["Scale"](0.5, name="scale")(x)
    return keras.Model(inputs, head(x), name="custom")


def custom_registered(_):
    """Custom layer that is registered, inside an inner model."""
    inner_inputs = image()
    x = layers.Conv2D(4, 3, name="conv1")(inner_inputs)
    x = custom["RegisteredScale"](0.5, name="scale")(x)
    inner = keras.Model(inner_inputs, x, name="inner")
    inputs = image()
    return keras.Model(inputs, head(inner(inputs)), name="custom")


def composite(_):
    """Custom layer with convolutions inside."""
    inputs = image()
    return keras.Model(inputs, head(custom["ConvBlock"](3, name="block1")(inputs)))


def subclassed(_):
    """Subclassed model, not registered."""
    return custom["SmallNet"](name="small_net")


def subclassed_registered(_):
    """Subclassed model, registered."""
    return custom["RegisteredNet"](name="small_net")


def compiled(_):
    """Custom loss, metric and optimizer compiled in and trained one step."""
    model = models.nested_functional(keras)
    metrics = [custom["half_accuracy"]]
    model.compile(custom["Momentum"](0.01), custom["shouted_loss"], metrics=metrics)
    model.fit(np.ones((2, 12, 12, 3)), np.ones((2, 4)), verbose=0)
    return model


def mixed(policy):
    """A network under a policy of half precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        inputs = image()
        x = models.conv_bn(keras, inputs, 4, "conv1")
        x = layers.MaxPooling2D(name="pool")(x)
        x = models.conv_bn(keras, x, 5, "conv2")
        x = layers.GlobalAveragePooling2D(name="gap")(x)
        outputs = layers.Dense(3, activation="softmax", dtype="float32", name="dense")(
            x
        )
        return keras.Model(inputs, outputs, name="mixed")
    finally:
        keras.config.set_dtype_policy(before)


def mixed_float16(_):
    """mixed_float16."""
    return mixed("mixed_float16")


def mixed_bfloat16(_):
    """mixed_bfloat16."""
    return mixed("mixed_bfloat16")


def layer_scale(_):
    """LayerScale and StochasticDepth of keras.applications.convnext."""
    inputs = image()
    x = layers.Conv2D(4, 2, strides=2, name="stem")(inputs)
    y = layers.Conv2D(4, 7, padding="same", groups=4, name="depthwise")(x)
    y = layers.LayerNormalization(epsilon=1e-6, name="norm")(y)
    y = layers.Dense(8, activation="gelu", name="pointwise1")(y)
    y = layers.Dense(4, name="pointwise2")(y)
    y = convnext.LayerScale(1e-1, 4, name="scale")(y)
    y = convnext.StochasticDepth(0.1, name="depth")(y)
    return keras.Model(inputs, head(x + y), name="convnext")


def grayscale(_):
    """Grayscale input, Softmax layer, layers of newer Keras (GroupNormalization)."""
    inputs = image(14, 14, 1)
    x = layers.Conv2D(6, 3, activation="hard_sigmoid", name="conv1")(inputs)
    x = layers.GroupNormalization(groups=3, name="group_norm")(x)
    x = layers.UnitNormalization(name="unit_norm")(x)
    x = layers.Conv2D(4, 3, activation="silu", name="conv2")(x)
    return keras.Model(inputs, layers.Softmax(name="softmax")(head(x)), name="gray")


def dict_inputs(_):
    """Dictionary of inputs."""
    inputs = {
        "a": keras.Input((10, 12, 1), name="a"),
        "b": keras.Input((10, 12, 2), name="b"),
    }
    x = layers.Concatenate(name="both")([inputs["b"], inputs["a"]])
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    return keras.Model(inputs, head(x), name="dict_inputs")


def time_distributed(_):
    """TimeDistributed of a whole model, Conv1D over the frames."""
    inputs = keras.Input((4, 12, 12, 2), name="frames")
    x = layers.TimeDistributed(models.base(keras, "frame", (12, 12, 2)), name="td")(
        inputs
    )
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D(), name="td_gap")(x)
    x = layers.Conv1D(4, 2, name="conv1d")(x)
    return keras.Model(inputs, layers.GlobalMaxPooling1D(name="gmp")(x), name="video")


def save_weights(model, path):
    path = str(path)
    with open(path[: path.index(".")] + ".json", "w") as file:
        file.write(model.to_json(indent=1))
    model.save_weights(path)


pixels = {"low": 0.0, "high": 255.0}
code = {"expect": "trusted", "error": "Lambda", "python": "3.11"}
small_net = {"expect": "custom", "shape": (12, 12, 3), "error": "SmallNet"}
first = {"data_format": "channels_first"}
alone = "Alone it is an error (weights only); it works with its architecture."

if VERSION < (3, 1):
    builders = [
        (".keras", (models.functional, models.nested_functional)),
        (".keras", (models.siamese, models.dilated)),
        (".keras", (models.doubly_nested,)),
        (".h5", (models.sequential_input_shape, models.shared_conv)),
        (".h5", (models.layer_norm_axes, models.regularized)),
    ]
else:
    builders = [
        (".keras", (models.functional,)),
        (".keras", (models.two_bases, models.siamese, models.shared_in_nested)),
        (".keras", (models.several_inputs, models.dict_outputs, models.variable_size)),
        (".keras", (models.five_channels, models.separable, models.grouped)),
        (".keras", (models.conv1d, models.conv3d, models.conv_lstm)),
        (".keras", (models.hard_sigmoid, models.activations, models.attention)),
        (".keras", (models.odd_names, models.autoencoder)),
        (".keras", (models.binary, compiled)),
        (".keras", (layer_scale, grayscale, dict_inputs, time_distributed)),
        (".h5", (models.sequential_input_shape,)),
        (".h5", (models.doubly_nested, models.layer_norm_axes)),
    ]
for suffix, group in builders:
    for build in group:
        zoo.add(build, suffix)
zoo.add(models.sequential_unbuilt, ".keras", shape=(12, 14, 3))
if VERSION < (3, 1):  # a Sequential of Sequentials without an input
    refused = {"notes": "Keras 3 refuses it, 3.0.5 and 3.15: one output in a list."}
    zoo.add(models.teachable, ".keras", shape=(12, 12, 3), **refused)
    zoo.add(
        models.normalization_nested,
        ".keras",
        shape=(12, 12, 3),
        **dict(pixels, **refused),
    )
else:
    zoo.add(models.normalization_nested, ".keras", shape=(12, 12, 3), **pixels)
zoo.add(models.normalization, ".keras", **pixels)
zoo.add(operations, ".keras", **pixels)
zoo.add(mixed_float16, ".keras", tolerance=5e-3)
zoo.add(subclassed, ".keras", custom_objects=["SmallNet", "ConvBlock"], **small_net)
zoo.add(
    models.nested_functional,
    ".weights.h5",
    "weights_only",
    save=save_weights,
    architecture=zoo.producer + "/weights_only.json",
    error="weights",
    notes=alone,
)
if VERSION > (3, 1):
    zoo.add(models.normalization_nested, ".h5", "normalization_nested_h5", **pixels)
    zoo.add(models.rescaling, ".h5", **pixels)
    zoo.add(models.augmentation, ".keras", **pixels)
    zoo.add(models.channels_first, ".keras", **first)
    zoo.add(mixed_bfloat16, ".keras", tolerance=3e-2)
    zoo.add(lambda_code, ".keras", **dict(pixels, **code))
    scale = {"error": "Scale", "custom_objects": ["Scale"]}
    zoo.add(custom_layer, ".keras", expect="custom", **scale)
    zoo.add(lambda_code, ".h5", "lambda_code_h5", **dict(pixels, **code))
    zoo.add(
        custom_registered,
        ".keras",
        expect="custom",
        error="RegisteredScale",
        custom_objects=["RegisteredScale"],
    )
    zoo.add(
        lambda_function,
        ".keras",
        expect="custom",
        error="halve",
        custom_objects=["halve"],
    )
    zoo.add(
        composite,
        ".keras",
        expect="custom",
        error="ConvBlock",
        custom_objects=["ConvBlock"],
    )
    zoo.add(
        subclassed_registered,
        ".keras",
        custom_objects=["RegisteredNet", "ConvBlock"],
        **dict(small_net, error="RegisteredNet"),
    )
    zoo.add(
        models.binary,
        "",
        "serving_export",
        save=lambda model, path: model.export(path),
        expect="error",
        error="export|serving|Keras",
        notes="model.export of Keras 3: a SavedModel without Keras metadata",
    )
zoo.finish()
