"""Files of tf.keras 2.15: TensorFlow 2.15.1, Keras 2.15.0, Python 3.11."""

import json
from pathlib import Path

import tensorflow as tf
from keras.src.applications import convnext

import models
from custom_classes import define
from recorder import Zoo, record_eagerly, without_path

k = tf.keras
custom = define(k)
zoo = Zoo("tf215", k, record_eagerly)


def head(x):
    """Pool and classify."""
    return k.layers.Dense(3, name="dense")(
        k.layers.GlobalAveragePooling2D(name="gap")(x)
    )


def image(*shape):
    """An input called image."""
    return k.Input(shape or (12, 12, 3), name="image")


def op_lambda(_):
    """TFOpLambda: x / 127.5 - 1, tf.nn.relu, tf.concat, tf.reduce_mean."""
    inputs = image()
    x = inputs / 127.5 - 1.0
    x = tf.nn.relu(k.layers.Conv2D(4, 3, name="conv1")(x))
    x = tf.concat([x, tf.nn.relu6(3.0 * x)], axis=-1)
    x = k.layers.Conv2D(4, 3, name="conv2")(x)
    x = tf.reduce_mean(tf.nn.max_pool2d(x, 2, 2, "VALID"), [1, 2])
    return k.Model(inputs, tf.nn.softmax(x), name="ops")


def op_lambda_nested(_):
    """TFOpLambda inside an inner model (MobileNetV3-like h-swish), used in another."""
    inner_inputs = image(14, 14, 3)
    x = k.applications.mobilenet_v2.preprocess_input(inner_inputs)
    x = k.layers.Conv2D(4, 3, name="conv1")(x)
    x = x * k.layers.ReLU(6.0, name="relu6")(x + 3.0) * (1.0 / 6.0)
    inner = k.Model(inner_inputs, x, name="mobile")
    inputs = image(14, 14, 3)
    return k.Model(inputs, head(inner(inputs)), name="outer")


def slicing(_):
    """SlicingOpLambda: strided slices, a channel taken out, a new axis."""
    inputs = image(12, 14, 4)
    x = inputs[:, 1:-1, ::2, :3]
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    x = x[..., 1][..., tf.newaxis] - x
    return k.Model(inputs, head(x), name="slices")


def lambda_code(_):
    """Lambda with byte code of Python 3.11."""
    inputs = image()
    x = k.layers.Lambda(without_path(lambda t: t / 127.5 - 1.0), name="scale")(inputs)
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    return k.Model(inputs, head(x), name="lambda")


def lambda_nested(_):
    """Lambda with byte code inside an inner model inside Sequential."""
    inner_inputs = image()
    x = k.layers.Lambda(without_path(lambda t: t * 2.0 - 1.0), name="scale")(
        inner_inputs
    )
    x = k.layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    inner = k.Model(inner_inputs, x, name="inner")
    return k.Sequential([inner, k.layers.GlobalMaxPooling2D(name="gmp")], name="outer")


def custom_layer(_):
    """Custom layer that is not registered."""
    inputs = image()
    x = k.layers.Conv2D(4, 3, name="conv1")(inputs)
    x = custom["Scale"](0.5, name="scale")(x)
    return k.Model(inputs, head(x), name="custom")


def custom_activation(_):
    """Custom activation function."""
    inputs = image()
    x = k.layers.Conv2D(4, 3, activation=custom["soft_clip"], name="conv1")(inputs)
    return k.Model(inputs, head(x), name="custom")


def composite(_):
    """Custom layer with convolutions inside."""
    inputs = image()
    x = custom["ConvBlock"](3, name="block1")(inputs)
    return k.Model(inputs, head(x), name="composite")


def compiled(_):
    """Custom loss, metric and optimizer compiled in and trained one step."""
    model = models.nested_functional(k)
    model.compile(
        custom["Momentum"](0.01), custom["shouted_loss"], [custom["half_accuracy"]]
    )
    model.fit(tf.ones((2, 12, 12, 3)), tf.ones((2, 4)), verbose=0)
    return model


def compiled_legacy(_):
    """Legacy optimizer with lr and decay in its configuration."""
    model = models.sequential(k)
    model.compile(k.optimizers.legacy.Adam(0.01, decay=1e-4), "mse", ["accuracy"])
    return model


def subclassed(_):
    """Subclassed model with a composite layer and a list of layers."""
    return custom["SmallNet"](name="small_net")


def mixed_float16(_):
    """mixed_float16."""
    k.mixed_precision.set_global_policy("mixed_float16")
    try:
        inputs = image()
        x = models.conv_bn(k, inputs, 4, "conv1")
        x = k.layers.MaxPooling2D(name="pool")(x)
        x = models.conv_bn(k, x, 5, "conv2")
        x = k.layers.GlobalAveragePooling2D(name="gap")(x)
        outputs = k.layers.Dense(
            3, activation="softmax", dtype="float32", name="dense"
        )(x)
        return k.Model(inputs, outputs, name="mixed")
    finally:
        k.mixed_precision.set_global_policy("float32")


def layer_scale(_):
    """LayerScale and StochasticDepth of keras.applications.convnext."""
    inputs = image()
    x = k.layers.Conv2D(4, 2, strides=2, name="stem")(inputs)
    y = k.layers.Conv2D(4, 7, padding="same", groups=4, name="depthwise")(x)
    y = k.layers.LayerNormalization(epsilon=1e-6, name="norm")(y)
    y = k.layers.Dense(8, name="pointwise1")(y)
    y = k.layers.Activation("gelu", name="gelu")(y)
    y = k.layers.Dense(4, name="pointwise2")(y)
    y = convnext.LayerScale(1e-1, 4, name="scale")(y)
    y = convnext.StochasticDepth(0.1, name="depth")(y)
    return k.Model(inputs, head(x + y), name="convnext")


def layer_in_two_models(_):
    """One convolution that belongs to two inner models."""
    conv = k.layers.Conv2D(3, 3, padding="same", activation="tanh", name="conv")
    towers = []
    for name in ("tower_a", "tower_b"):
        inputs = image()
        towers.append(k.Model(inputs, conv(inputs), name=name))
    inputs = image()
    x = k.layers.Add(name="add")([towers[0](inputs), towers[1](2.0 * inputs)])
    return k.Model(inputs, head(x), name="outer")


def no_suffix(_):
    """File name without a suffix, HDF5 inside."""
    return models.binary(k)


def save_h5(model, path):
    model.save(path, save_format="h5")


def save_folder(model, path):
    model.save(path, save_format="tf", include_optimizer=False)


def save_export(model, path):
    model.export(path)


def save_weights(model, path):
    Path(path).with_suffix(".json").write_text(
        json.dumps(json.loads(model.to_json()), indent=1)
    )
    model.save_weights(path)


pixels = {"low": 0.0, "high": 255.0}
code = {"expect": "trusted", "error": "Lambda", "python": "3.11"}

for build in (
    models.functional,
    models.nested_sequential,
    models.siamese,
    models.separable,
    models.swish,
    models.layer_norm_axes,
    models.inverted_residual,
):
    zoo.add(build, ".keras")
for build in (
    models.dict_outputs,
    models.conv_lstm,
    models.bidirectional,
    models.hard_sigmoid,
    models.thresholded_relu,
    models.attention,
    models.slash_names,
    models.teachable,
    slicing,
    compiled,
    compiled_legacy,
):
    zoo.add(build, ".h5")
zoo.add(
    layer_in_two_models,
    ".h5",
    notes="The layer has two paths; recorded by the chain of callers.",
)
zoo.add(models.normalization_nested, ".h5", **pixels)
zoo.add(op_lambda, ".keras", **pixels)
zoo.add(op_lambda_nested, ".h5", **pixels)
zoo.add(mixed_float16, ".keras", tolerance=5e-3)
zoo.add(layer_scale, ".keras")
zoo.add(layer_scale, ".h5", "layer_scale_h5")
zoo.add(lambda_code, ".h5", **dict(pixels, **code))
zoo.add(lambda_code, ".keras", "lambda_code_zip", **dict(pixels, **code))
zoo.add(lambda_nested, ".h5", **code)
zoo.add(custom_layer, ".h5", expect="custom", error="Scale", custom_objects=["Scale"])
zoo.add(
    custom_layer,
    ".keras",
    "custom_layer_zip",
    expect="custom",
    error="Scale",
    custom_objects=["Scale"],
)
zoo.add(
    custom_activation,
    ".keras",
    expect="custom",
    error="soft_clip",
    custom_objects=["soft_clip"],
)
zoo.add(
    composite, ".h5", expect="custom", error="ConvBlock", custom_objects=["ConvBlock"]
)
zoo.add(
    subclassed,
    ".keras",
    shape=(12, 12, 3),
    expect="custom",
    error="SmallNet",
    custom_objects=["SmallNet", "ConvBlock"],
)
zoo.add(no_suffix, "", save=save_h5)
zoo.add(models.binary, ".hdf5", "dot_hdf5")
alone = "Alone it is an error (weights only); it works with its architecture."
zoo.add(
    models.nested_functional,
    ".h5",
    "weights_only",
    save=save_weights,
    architecture="tf215/weights_only.json",
    error="weights",
    notes=alone,
)
zoo.add(models.sequential, "", "savedmodel_sequential", save=save_folder)
zoo.add(models.shared_in_nested, "", "savedmodel_nested", save=save_folder)
zoo.add(lambda_code, "", "savedmodel_lambda", save=save_folder, **dict(pixels, **code))
zoo.add(
    subclassed,
    "",
    "savedmodel_subclassed",
    shape=(12, 12, 3),
    save=save_folder,
    expect="custom",
    error="SmallNet",
    custom_objects=["SmallNet", "ConvBlock"],
    notes="Without its classes only traced functions are in it.",
)
zoo.add(
    models.binary,
    "",
    "serving_export",
    save=save_export,
    expect="error",
    error="export|serving|Keras",
    notes="model.export: a SavedModel without Keras metadata",
)
zoo.finish()
