"""Files that are no model or must be refused: TensorFlow 2.21, Keras 3.15, Python 3.11.

They are made from two files of the zoo, so run make_tf215.py and make_keras3.py first.
"""

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

import models
from recorder import DATA, write_manifest

FOLDER = Path(DATA) / "broken"
HDF5 = Path(DATA) / "tf215" / "compiled.h5"
ZIP = Path(DATA) / "keras315" / "binary.keras"
entries = []


def add(name, kind, error, content=None, **facts):
    """Write bytes or text (None: the file is there already) and its entry."""
    path = FOLDER / name
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="\n")
    elif content is not None:
        path.write_bytes(content)
    entry = {
        "file": "broken/" + name,
        "producer": "broken",
        "kind": kind,
        "expect": "error",
        "error": error,
    }
    entries.append(dict(entry, **facts))


def layer(class_name, name, inbound=(), **config):
    """A layer of a functional Keras 2 configuration."""
    common = {"name": name, "dtype": "float32"}
    if class_name != "InputLayer":
        common["trainable"] = True
    return {
        "class_name": class_name,
        "name": name,
        "config": dict(common, **config),
        "inbound_nodes": [[[x, 0, 0, {}] for x in inbound]] if inbound else [],
    }


def functional(*layers, shape=(8, 8, 3)):
    """A functional Keras 2 configuration: an input called image, then `layers`."""
    first = layer(
        "InputLayer",
        "image",
        batch_input_shape=[None, *shape],
        sparse=False,
        ragged=False,
    )
    return {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "trainable": True,
            "layers": [first, *layers],
            "input_layers": [["image", 0, 0]],
            "output_layers": [[layers[-1]["name"], 0, 0]],
        },
    }


def h5(config, version="2.15.0"):
    """A whole-model HDF5 file with a configuration and groups without weights."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        weights = file.create_group("model_weights")
        names = [x["config"]["name"] for x in config["config"]["layers"]]
        weights.attrs["layer_names"] = [name.encode() for name in names]
        weights.attrs["keras_version"] = version.encode()
        weights.attrs["backend"] = b"tensorflow"
        for name in names:
            weights.create_group(name).attrs["weight_names"] = np.zeros(0, "S1")
    return buffer.getvalue()


def keras_zip(config):
    """A .keras file with a configuration and empty weights."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers")
    metadata = {"keras_version": "3.15.1", "date_saved": "2025-01-01@00:00:00"}
    return zipped(
        {
            "metadata.json": json.dumps(metadata),
            "config.json": json.dumps(config),
            "model.weights.h5": weights.getvalue(),
        }
    )


def zipped(members):
    """A zip file in memory with fixed dates."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def damaged():
    """Files that were whole once, or never were a model."""
    whole, archive = HDF5.read_bytes(), ZIP.read_bytes()
    add("truncated.h5", "HDF5 cut off", "truncated|damaged", whole[: len(whole) // 2])
    add("truncated_start.h5", "HDF5, 1 KiB of it", "truncated|damaged", whole[:1024])
    add(
        "truncated.keras",
        "zip cut off",
        "truncated|damaged",
        archive[: len(archive) // 2],
    )
    flipped = bytearray(archive)
    flipped[len(archive) // 2] ^= 0xFF
    add("checksum.keras", "zip with one byte changed", "damaged|CRC", bytes(flipped))
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
        "size 16777216\n"
    )
    add("lfs_pointer.h5", "git-LFS pointer", "LFS", pointer)
    page = "\n\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"
    add("html_page.h5", "HTML page saved as .h5", "HTML|web page", page)
    add("empty.h5", "empty file", "empty", b"")
    add("empty.keras", "empty file", "empty", b"")
    (FOLDER / "empty_folder").mkdir()
    (FOLDER / "empty_folder" / "README.txt").write_text("No model here.\n")
    add("empty_folder", "folder without a model", "SavedModel")
    add("not_a_model.zip", "zip of text", "zip", zipped({"notes.txt": "hello\n"}))
    add(
        "not_a_model.keras",
        "zip of text named .keras",
        "zip",
        zipped({"a/b.txt": "hi\n"}),
    )
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 30, 30)).save(picture, "PNG")
    add("picture.h5", "PNG named .h5", "PNG|image|picture", picture.getvalue())
    numbers = io.BytesIO()
    np.save(numbers, np.zeros((2, 3), "float32"))
    add("array.h5", "NumPy array named .h5", "NumPy|array", numbers.getvalue())
    add("pickled.h5", "pickle named .h5", "pickle", pickle.dumps({"a": [1, 2]}, 4))
    other = io.BytesIO()
    with h5py.File(other, "w") as file:
        file["measurements"] = np.arange(4)
    add(
        "other_hdf5.h5",
        "HDF5 that is no Keras file",
        "no Keras|weights",
        other.getvalue(),
    )
    text = json.dumps({"hello": "world"})
    add("text.json", "JSON that is no model", "JSON", text)


def other_frameworks():
    """Models of other programs."""
    model = models.binary(keras)
    concrete = tf.function(
        lambda image: model(image, training=False)
    ).get_concrete_function(tf.TensorSpec((1, 12, 12, 3), tf.float32))
    lite = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert()
    add("model.tflite", "TFLite", "TFLite|TensorFlow Lite", lite)
    add("tflite_named.h5", "TFLite named .h5", "TFLite|TensorFlow Lite", lite)
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    add("frozen_graph.pb", "frozen graph", "frozen|graph", graph.SerializeToString())
    folder = FOLDER / "checkpoint"
    folder.mkdir()
    tf.train.Checkpoint(model=model).write(str(folder / "model.ckpt"))
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    add("checkpoint", "TensorFlow checkpoint folder", "checkpoint")
    add("checkpoint/model.ckpt.index", "index of a checkpoint", "checkpoint")
    torch = {
        "archive/data.pkl": pickle.dumps({"conv1.bias": [0.0]}, 2),
        "archive/byteorder": "little",
        "archive/version": "3\n",
        "archive/data/0": bytes(4),
    }
    add("model.pt", "PyTorch archive", "PyTorch", zipped(torch))
    name = b"pytorch"
    onnx = b"\x08\x08\x12" + bytes([len(name)]) + name + b"\x1a\x051.8.1"
    onnx += b"\x3a\x0b\x0a\x04\x0a\x01x\x12\x01g\x5a\x00" + b"\x42\x02\x10\x0d"
    add("model.onnx", "ONNX", "ONNX", onnx)


def closed_boxes():
    """Keras files whose layers live in other packages, or that lack their weights."""
    hub = layer(
        "KerasLayer",
        "keras_layer",
        batch_input_shape=[None, 8, 8, 3],
        handle="https://tfhub.dev/google/imagenet/nasnet_mobile/classification/5",
    )
    dense = layer("Dense", "dense", units=3, activation="softmax", use_bias=True)
    plain = {"name": "sequential", "layers": [hub, dense]}
    for item in plain["layers"]:
        del item["inbound_nodes"], item["name"]
    add(
        "hub_layer.h5",
        "TensorFlow Hub layer",
        "Hub|KerasLayer",
        h5({"class_name": "Sequential", "config": plain}),
    )
    conv = layer(
        "Conv2D",
        "conv1",
        ["image"],
        filters=2,
        kernel_size=[3, 3],
        strides=[1, 1],
        padding="valid",
        data_format="channels_last",
        activation="relu",
        use_bias=True,
    )
    wrapped = layer(
        "QuantizeWrapperV2",
        "quant_conv1",
        ["image"],
        layer={"class_name": "Conv2D", "config": conv["config"]},
        quantize_config={
            "class_name": "Default8BitQuantizeConfig",
            "config": {"quantize_output": False},
        },
    )
    add(
        "quantization_aware.h5",
        "quantisation-aware training",
        "quanti[sz]|QuantizeWrapperV2",
        h5(functional(wrapped)),
    )
    add("no_weights.h5", "configuration, no weights", "weights", h5(functional(conv)))
    architecture = json.dumps(functional(conv), indent=1)
    add("architecture.json", "architecture alone", "weights|architecture", architecture)
    unknown = layer("MysteryNorm", "mystery", ["image"], eps=0.1)
    add(
        "unknown_layer.h5",
        "layer class nobody has",
        "MysteryNorm",
        h5(functional(unknown)),
        notes="Without the class even trusted=True cannot help.",
    )


def lambda_zip(module, function, **arguments):
    """A .keras file of a Lambda layer whose function is named by its module."""
    named = {
        "module": module,
        "class_name": "function",
        "config": function,
        "registered_name": function,
    }
    evil = layer("Lambda", "evil", function=named, arguments=arguments)
    evil.update(module="keras.layers", registered_name=None)
    image = {"shape": [None, 8, 8, 3], "dtype": "float32"}
    image["keras_history"] = ["image", 0, 0]
    tensor = {"class_name": "__keras_tensor__", "config": image}
    evil["inbound_nodes"] = [{"args": [tensor], "kwargs": {}}]
    config = functional(evil)
    config.update(module="keras.src.models.functional", registered_name="Functional")
    first = config["config"]["layers"][0]
    first["config"]["batch_shape"] = first["config"].pop("batch_input_shape")
    first.update(module="keras.layers", registered_name=None)
    return keras_zip(config)


def malicious():
    """Files that name code to run; every `pwned*` would be its trace.

    tf-keras alone writes pwned_constant.txt while it loads the first.
    """
    never = "No file may appear."
    write = layer("TFOpLambda", "tf.io.write_file", function="io.write_file")
    write["inbound_nodes"] = [
        ["_CONSTANT_VALUE", -1, "pwned_constant.txt", {"contents": "x"}]
    ]
    add(
        "malicious_op_lambda.h5",
        "TFOpLambda io.write_file of constants: writes while it is loaded",
        "write_file",
        h5(functional(write)),
        notes=never,
    )
    text = layer("TFOpLambda", "tf.io.serialize", function="io.serialize_tensor")
    text["inbound_nodes"] = [["image", 0, 0, {}]]
    write = layer("TFOpLambda", "tf.io.write_file", function="io.write_file")
    target = {"contents": ["tf.io.serialize", 0, 0]}
    write["inbound_nodes"] = [["_CONSTANT_VALUE", -1, "pwned_input.txt", target]]
    add(
        "malicious_op_lambda_on_input.h5",
        "TFOpLambda io.write_file of the input",
        "write_file|serialize_tensor",
        h5(functional(text, write)),
        notes=never,
    )
    text = layer(
        "TensorFlowOpLayer",
        "text",
        ["image"],
        node_def={
            "name": "text",
            "op": "SerializeTensor",
            "input": ["image"],
            "attr": {"T": {"type": "DT_FLOAT"}},
        },
        constants={},
    )
    write = layer(
        "TensorFlowOpLayer",
        "write",
        ["tf_op_layer_text"],
        node_def={"name": "write", "op": "WriteFile", "input": ["filename", "text"]},
        constants={"0": "pwned_layer.txt"},
    )
    for op in (text, write):  # the layer's own name has a prefix
        op["name"] = "tf_op_layer_" + op["name"]
    add(
        "malicious_op_layer.h5",
        "TensorFlowOpLayer WriteFile",
        "WriteFile|SerializeTensor",
        h5(functional(text, write), "2.4.0"),
        notes=never,
    )
    add(
        "malicious_print.keras",
        "Lambda of tf.print to a file",
        "Lambda|print",
        lambda_zip("tensorflow", "print", output_stream="file://pwned_print.txt"),
        notes=never,
    )
    add(
        "malicious_module.keras",
        "Lambda of os.system",
        "Lambda|system",
        lambda_zip("os", "system", command="touch pwned_system.txt"),
        notes=never,
    )
    popen = {
        "module": "subprocess",
        "class_name": "Popen",
        "config": {"args": ["touch", "pwned_class.txt"]},
        "registered_name": "Popen",
    }
    add(
        "malicious_class.keras",
        "a class of another module as the model",
        "Popen|subprocess",
        keras_zip(popen),
        notes=never,
    )
    escaping = {
        "metadata.json": json.dumps({"keras_version": "3.15.1"}),
        "../pwned_path.txt": "x",
        "config.json": json.dumps(functional(layer("ReLU", "relu", ["image"]))),
    }
    add(
        "malicious_path.keras",
        "zip member outside its folder",
        "weights|damaged|not a",
        zipped(escaping),
        notes=never + " It has no weights file either.",
    )
    external = io.BytesIO()
    with h5py.File(external, "w") as file:
        config = functional(layer("ReLU", "relu", ["image"]))
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
        file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/")
    add(
        "malicious_external_link.h5",
        "HDF5 link to another file",
        "link|weights|damaged",
        external.getvalue(),
    )


if FOLDER.exists():
    shutil.rmtree(FOLDER)
FOLDER.mkdir(parents=True)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras.utils.set_random_seed(0)
for make in (damaged, other_frameworks, closed_boxes, malicious):
    make()
write_manifest("broken", entries)
