"""What can only be seen on a graphics processor; skipped where TensorFlow sees none.

Each test runs programs of its own, as a card, its memory and its settings belong to one
program. The same program on the processor says what is right.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not tf.config.list_physical_devices("GPU"), reason="TensorFlow sees no GPU"
    ),
]

PREAMBLE = """
import sys
import numpy as np
import tensorflow as tf
import cnnviz
from cnnviz.synthesis import optimize_filters
from pathlib import Path
assets, out = Path(sys.argv[1]), sys.argv[2]
found = {}

def model(name):
    return cnnviz.load_model(assets / f"{name}.keras")

def photos(count, size):
    paths = sorted((assets / "photos").glob("*.jpg"))[:count]
    return np.stack([cnnviz.read_image(path, size=size) for path in paths])

def digits(count):
    paths = sorted((assets / "digits").glob("*.png"))[:count]
    return np.stack([cnnviz.read_image(path, size=28, channels=1) for path in paths])

mnist, vgg, lite = map(model, ("mnist_cnn", "vgg16_block4", "efficientnet_lite0"))
"""
END = "\nnp.savez(out, **found)\n"

STATEMENTS = """
before = tf.config.experimental.tensor_float_32_execution_enabled()
# As a user's own `predict` does, which chooses algorithms for the same convolutions.
vgg.network.predict(vgg.prepare(photos(2, 224))[0], verbose=0)
for key, network, images, layer in (
    ("mnist", mnist, digits(8), "conv3"),
    ("vgg", vgg, photos(2, 224), "block3_conv3"),
    ("lite", lite, photos(2, 224), "block10_add"),
):
    found[f"{key} maps"] = cnnviz.activations(network, images, layer)[layer]
    for rule in ("deconvnet", "guided", "gradient"):
        found[f"{key} {rule}"] = np.asarray(
            cnnviz.deconvnet(network, images, layer, [0, 3, 5], rule=rule)
        )
for key, network, images in (
    ("mnist", mnist, digits(4)),
    ("lite", lite, photos(2, 224)),
):
    for method in ("hirescam", "gradcam", "gradient", "integrated", "occlusion"):
        found[f"{key} {method}"] = cnnviz.explain(network, images, method=method).maps
    found[f"{key} outputs"] = np.asarray(network.predict(images))
assert tf.config.experimental.tensor_float_32_execution_enabled() is before
"""

ASCENTS = """
def ascents():
    yield "filters", cnnviz.visualize_filters(vgg, "block3_conv1", range(6), steps=48)
    yield "digits", cnnviz.visualize_filters(mnist, "conv3", range(8), steps=64)
    yield "late", cnnviz.visualize_filters(lite, "block10_add", range(4), steps=32)
    yield "classes", cnnviz.visualize_classes(lite, [281, 483], steps=32)
    yield "ones", cnnviz.visualize_classes(mnist, [1, 2], steps=64)
    photo = photos(1, 224)[0]
    yield "dream", cnnviz.deep_dream(lite, photo, "block7_add", steps=8)
    yield "style", cnnviz.transfer_style(vgg, photo, photos(3, 224)[2], steps=16)
    yield "deconvnet", cnnviz.deconvnet(vgg, photo, "block3_conv3", top=4)
    yield "evidence", cnnviz.explain(lite, photo, method="gradient", smooth=4).maps

for key, value in ascents():
    found[key] = np.asarray(value)
for key, value in ascents():
    found[f"{key} again"] = np.asarray(value)
"""

LITTLE_MEMORY = """
device, = tf.config.list_physical_devices("GPU")
limit = tf.config.LogicalDeviceConfiguration(memory_limit=1800)
tf.config.set_logical_device_configuration(device, [limit])
"""
LARGE = """
found["filters"] = np.asarray(
    cnnviz.visualize_filters(vgg, "block2_conv2", range(64), steps=4, size=224)
)
maps = cnnviz.activations(vgg, photos(56, 224), "block1_conv2", batch_size=56)
found["maps"] = maps["block1_conv2"][..., 0]
found["deconvnet"] = np.asarray(
    cnnviz.deconvnet(vgg, photos(2, 224), "block4_conv3", range(64))
)
"""


def run(
    program: str, folder: Path, name: str, assets: Path, *, card: bool = True
) -> dict[str, np.ndarray]:
    out = folder / f"{name}.npz"
    environment = dict(os.environ)
    environment.pop("NVIDIA_TF32_OVERRIDE")  # the card as users have it
    if not card:
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    process = subprocess.run(
        [sys.executable, "-c", program, str(assets), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    with np.load(out) as arrays:
        return dict(arrays)


def test_statements_are_those_of_the_processor(tmp_path: Path, assets: Path) -> None:
    program = PREAMBLE + STATEMENTS + END
    here = run(program, tmp_path, "card", assets)
    there = run(program, tmp_path, "processor", assets, card=False)
    assert here.keys() == there.keys()
    off = {
        key: np.linalg.norm(here[key] - there[key]) / np.linalg.norm(there[key])
        for key in here
    }
    assert max(off.values()) < 1e-5, off


def test_under_determinism_everything_repeats(tmp_path: Path, assets: Path) -> None:
    switch = "tf.config.experimental.enable_op_determinism()\n"
    found = run(PREAMBLE + switch + ASCENTS + END, tmp_path, "twice", assets)
    differing = [
        key
        for key in found
        if f"{key} again" in found
        and not np.array_equal(found[key], found[f"{key} again"])
    ]
    assert differing == []


def test_what_does_not_fit_is_made_in_smaller_parts(
    tmp_path: Path, assets: Path
) -> None:
    little = PREAMBLE.replace("found = {}", "found = {}\n" + LITTLE_MEMORY)
    small = run(little + LARGE + END, tmp_path, "little", assets)
    whole = run(PREAMBLE + LARGE + END, tmp_path, "whole", assets)
    for key in whole:
        scale = np.abs(whole[key]).max()
        np.testing.assert_allclose(
            small[key] / scale, whole[key] / scale, atol=2e-2, err_msg=key
        )
