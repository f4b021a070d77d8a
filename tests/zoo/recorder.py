"""Write a model file together with what the Keras that made it computes.

Runs on Python 3.6 to 3.13 under every Keras from 1.2 on, so it imports no Keras: each
generator hands its own in.
"""

import json
import os
import re
import sys
import zipfile
import zlib

import numpy as np

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "zoo")
DATA = os.path.normpath(DATA)
MANIFEST = os.path.join(DATA, "manifest.json")
RECORDED = re.compile(
    r"^(Base)?(Depthwise|Separable|Atrous)?(Conv|Convolution|Deconvolution)"
    r"(\dD)?(Transpose)?$|Pooling\dD$|^ConvLSTM\dD$"
)
VARIABLE_SIZE = 14  # what an input dimension of None becomes


class Zoo:
    """The files of one producer: a folder of them and their lines in the manifest.

    Args:
        producer: Name of the folder.
        keras: The Keras namespace that the builders get.
        record: `record(model, inputs)` gives the arrays of a model;
            `record_eagerly` or `record_graph`.
    """

    def __init__(self, producer, keras, record):
        self.producer = producer
        self.keras = keras
        self.record = record
        self.folder = os.path.join(DATA, producer)
        self.entries = []
        self.wanted = sys.argv[1:]
        if not os.path.isdir(self.folder):
            os.makedirs(self.folder)

    def add(
        self,
        build,
        suffix,
        name=None,
        shape=None,
        low=-1.0,
        high=1.0,
        save=None,
        **facts,
    ):
        """Build a model, give it weights, save it, record it.

        Args:
            build: `build(keras)` gives the model; the first line of its docstring is
                the feature that the manifest names.
            suffix: Ending of the file name; empty for a folder or a name without one.
            name: Stem of the file name, by default the name of `build`.
            shape: Input shape without the batch, for models that do not know theirs.
            low: Smallest value of the input.
            high: Largest value of the input.
            save: `save(model, path)`, by default `model.save(path)`.
            facts: More keys of the entry in the manifest.
        """
        name = name or build.__name__
        path = os.path.join(self.folder, name + suffix)
        entry = {
            "file": "%s/%s%s" % (self.producer, name, suffix),
            "producer": self.producer,
            "kind": build.__doc__.strip().splitlines()[0].rstrip("."),
            "expect": "works",
            "arrays": "%s/%s.npz" % (self.producer, name),
            "tolerance": 1e-5,
        }
        entry.update(facts)
        self.entries.append(entry)
        if self.wanted and name not in self.wanted:
            return
        print(entry["file"], flush=True)
        random = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
        reset = getattr(self.keras.backend, "clear_session", None)
        if reset:
            reset()
        model = build(self.keras)
        if type(model).__name__ == "Sequential" and shape is not None:
            model.build((None,) + shape)
        elif shape is not None:
            model(np.zeros((2,) + shape, "float32"))
        randomize(model, random)
        inputs = make_inputs(model, random, shape, low, high)
        arrays = self.record(model, list(inputs.values()))
        keys = ["input_" + key for key in inputs] if len(inputs) > 1 else ["input"]
        named = dict(zip(keys, inputs.values()))
        (save or type(model).save)(model, path)
        if name != "binary" and zipfile.is_zipfile(path):
            deflate(path)
        for key, value in arrays.items():
            if not np.isfinite(value).all() or np.ptp(value) == 0.0:
                raise ValueError("%s of %s says nothing" % (key, name))
        arrays.update(named)
        np.savez_compressed(os.path.join(self.folder, name + ".npz"), **arrays)

    def finish(self):
        """Replace this producer's entries in the manifest."""
        write_manifest(self.producer, self.entries)


def deflate(path):
    """Compress the members of a zip, which Keras stores as they are."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def write_manifest(producer, entries):
    """Replace the entries of one producer in the manifest."""
    kept = []
    if os.path.exists(MANIFEST):
        with open(MANIFEST, encoding="utf-8") as file:
            kept = [e for e in json.load(file) if e["producer"] != producer]
    entries = sorted(kept + entries, key=lambda entry: entry["file"])
    with open(MANIFEST, "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")


def randomize(layer, random):
    """Set weights that no initializer gives, so that a weight lost in loading shows.

    The state of Normalization layers (mean, variance, count) stays as adapted.
    """
    if is_model(layer):  # its own order of weights differs from that of its values
        for child in layer.layers:
            randomize(child, random)
        return
    values = []
    for weight, value in zip(layer.weights, layer.get_weights()):
        path = getattr(weight, "path", weight.name)
        kind = path.split(":")[0].split("/")[-1].lower()
        kind = re.sub(r"_\d+$", "", kind)
        if kind in ("mean", "variance", "count") or value.ndim == 0:
            values.append(value)
            continue
        if kind.endswith(("variance", "running_std", "gamma")):
            new = random.uniform(0.5, 1.5, value.shape)
        elif kind.endswith(("alpha", "alphas")):
            new = random.uniform(0.1, 0.4, value.shape)
        elif value.ndim > 1:
            fan = value.shape[:2] if "depthwise" in kind else value.shape[:-1]
            new = random.normal(0.0, np.sqrt(2.0 / np.prod(fan)), value.shape)
        else:
            new = random.normal(0.0, 0.2, value.shape)
        values.append(np.asarray(new, value.dtype))
    if values:
        layer.set_weights(values)


def make_inputs(model, random, shape, low, high):
    """Input arrays by input name: noise on a slope that differs from image to image."""
    if shape is not None:
        shapes = {"input": (2, *shape)}
    else:
        names = getattr(model, "input_names", None) or [x.name for x in model.inputs]
        shapes = {}
        for name, tensor in zip(names, model.inputs):
            size = [getattr(n, "value", n) for n in tensor.shape]
            inner = [VARIABLE_SIZE if n is None else n for n in size[1:]]
            shapes[name] = (size[0] or 2, *inner)
    inputs = {}
    for name in shapes:
        size = shapes[name]
        slopes = random.uniform(0.2, 1.0, (size[0],) + (1,) * (len(size) - 1))
        ramp = np.linspace(0.0, 1.0, size[1]).reshape((1, -1) + (1,) * (len(size) - 2))
        values = 0.5 * slopes * ramp + 0.5 * random.uniform(0.0, 1.0, size)
        inputs[name] = (low + (high - low) * values).astype("float32")
    return inputs


def is_recorded(layer):
    """Whether a layer is a convolution or pooling, or a wrapper around one."""
    names = [cls.__name__ for cls in type(layer).__mro__]
    if "Wrapper" in names and "Bidirectional" not in names:
        return is_recorded(layer.layer)
    return any(RECORDED.search(name) for name in names)


def without_path(function):
    """Take the folder of its source out of byte code that goes into a file."""
    name = os.path.basename(function.__code__.co_filename)
    if hasattr(function.__code__, "replace"):  # older Pythons have no folder in it
        function.__code__ = function.__code__.replace(co_filename=name)
    return function


def is_model(layer):
    """Whether a layer is a model; some other layers of Keras 1 have `layers` too."""
    names = [cls.__name__ for cls in type(layer).__mro__]
    return "Model" in names or "Container" in names


def children(layer):
    """The layers directly inside a model or a composite layer."""
    if is_recorded(layer) or "Wrapper" in [cls.__name__ for cls in type(layer).__mro__]:
        return []
    if is_model(layer):
        return layer.layers
    if hasattr(layer, "_flatten_layers"):
        return list(layer._flatten_layers(include_self=False, recursive=False))
    return []


def record_eagerly(model, inputs, function=None):
    """Outputs and recorded layers by path, taken by wrapping `call` on the instances.

    A layer's path is the chain of layers that called it; its second call ends in `@2`.

    Args:
        model: A model of TensorFlow 1.15 (eager) or later, or of Keras 3.
        inputs: Arrays in the order of the model's inputs.
        function: `tf.function` to run in a graph (channels_first needs it on a CPU).
    """
    stack, hooked, found = [], {}, {}

    def hook(layer):
        if id(layer) in hooked:
            return
        hooked[id(layer)] = (layer, vars(layer).get("call"))
        original = layer.call

        def call(*args, **kwargs):
            stack.append(layer.name)
            path = "/".join(stack)
            try:
                output = original(*args, **kwargs)
            finally:
                stack.pop()
            if is_recorded(layer):
                number = 1 + sum(p.split("@")[0] == path for p in found)
                found[path if number == 1 else "%s@%d" % (path, number)] = output
            return output

        object.__setattr__(layer, "call", call)
        for child in children(layer):
            hook(child)

    def run(*arrays):
        found.clear()
        struct = getattr(
            model, "_inputs_struct", getattr(model, "_nested_inputs", None)
        )
        if isinstance(struct, dict):
            arrays = (dict(zip(sorted(struct), arrays)),)
        elif len(arrays) > 1:
            arrays = (list(arrays),)
        return model(*arrays, training=False), dict(found)

    for layer in children(model):
        hook(layer)
    try:
        outputs, layers = (function(run) if function else run)(*inputs)
    finally:
        for layer, original in hooked.values():
            if original is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", original)
    arrays = {"layer:" + path: to_array(value) for path, value in layers.items()}
    if isinstance(outputs, dict):
        outputs = {"output_" + key: value for key, value in outputs.items()}
    elif isinstance(outputs, (list, tuple)):
        outputs = {"output_%d" % i: value for i, value in enumerate(outputs)}
    else:
        outputs = {"output": outputs}
    arrays.update((key, to_array(value)) for key, value in outputs.items())
    return arrays


def record_graph(backend):
    """The same for Keras 1 and 2.2 and TensorFlow 1, which have graphs only.

    Args:
        backend: The `backend` module of that Keras.
    """

    def evaluate(model, tensors, inputs):
        known = dict(zip(map(id, model.inputs), inputs))
        wanted = [tensor for tensor in tensors if id(tensor) not in known]
        if wanted:
            feeds = list(model.inputs) + [backend.learning_phase()]
            values = backend.function(feeds, wanted)(list(inputs) + [0])
            known.update(zip(map(id, wanted), values))
        return [known[id(tensor)] for tensor in tensors]

    def walk(model, inputs, prefix, found):
        if type(model).__name__ == "Sequential" and not hasattr(
            model, "_nodes_by_depth"
        ):
            model.build()  # Sequential of Keras 1 keeps its graph in a Model
            model = model.model
        by_depth = getattr(model, "_nodes_by_depth", None) or model.nodes_by_depth
        for depth in sorted(by_depth, reverse=True):
            for node in by_depth[depth]:
                layer = getattr(node, "outbound_layer", None)
                path = prefix + layer.name
                if is_recorded(layer):
                    number = 1 + sum(p.split("@")[0] == path for p in found)
                    key = path if number == 1 else "%s@%d" % (path, number)
                    found[key] = evaluate(model, as_list(node.output_tensors), inputs)[
                        0
                    ]
                elif is_model(layer):
                    values = evaluate(model, as_list(node.input_tensors), inputs)
                    walk(layer, values, path + "/", found)

    def record(model, inputs):
        found = {}
        walk(model, inputs, "", found)
        values = evaluate(model, list(model.outputs), inputs)
        keys = ["output_%d" % i for i in range(len(values))]
        arrays = dict(zip(keys if len(keys) > 1 else ["output"], values))
        arrays.update(("layer:" + path, value) for path, value in found.items())
        return arrays

    return record


def as_list(tensors):
    """One tensor or several as a list."""
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def to_array(tensor):
    """A tensor as a float32 array; half precision too."""
    if hasattr(tensor, "numpy") and "bfloat16" not in str(tensor.dtype):
        return np.asarray(tensor.numpy(), "float32")
    return np.asarray(tensor).astype("float32")
