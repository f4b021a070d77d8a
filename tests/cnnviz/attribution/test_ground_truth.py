"""Networks of which it is known what they look at: the evidence has to lie there."""

from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest

from cnnviz import load_model
from cnnviz.attribution.checking import check_explanation
from cnnviz.attribution.explaining import Explanation, explain
from cnnviz.attribution.methods import Method
from cnnviz.network.model import ImageModel
from tests.networks import BY_TURNS, randomized, sequential

METHODS = pytest.mark.parametrize("method", get_args(Method))

PLUS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32)
CROSS = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
PLUS_AT, CROSS_AT = (slice(3, 6), slice(8, 11)), (slice(10, 13), slice(2, 5))


def mass_inside(found: Explanation, *where: Any) -> np.ndarray:
    """How much of the positive evidence lies in an area, `(n, k)`."""
    maps = np.maximum(found.maps, 0).astype(np.float64)
    area = np.zeros(maps.shape[2:], bool)
    area[where] = True
    return maps[..., area].sum(-1) / maps.sum((2, 3))


def signs(k: ModuleType) -> ImageModel:
    """Says plus or cross: two templates, which fire on nothing but their sign."""
    network = sequential(
        k,
        (16, 16, 1),
        k.layers.Conv2D(2, 3, padding="same", activation="relu", name="templates"),
        k.layers.GlobalAveragePooling2D(),
        k.layers.Dense(2, activation="softmax", name="says"),
    )
    # A sign fits in five pixels, all else in four at most.
    kernel = np.stack([2 * PLUS - 1, 2 * CROSS - 1], -1)[:, :, None]
    network.get_layer("templates").set_weights([kernel, np.full(2, -3.5)])
    network.get_layer("says").set_weights([256 * np.eye(2), np.zeros(2)])
    return load_model(network, encoding="raw")


def with_signs() -> np.ndarray:
    """Weak noise, a plus, and a cross."""
    image = 0.1 * np.random.default_rng(0).random((16, 16, 1), np.float32)
    image[PLUS_AT] = PLUS[..., None]
    image[CROSS_AT] = CROSS[..., None]
    return image


@BY_TURNS
@METHODS
def test_each_class_is_where_its_sign_is(k: ModuleType, method: Method) -> None:
    model, image = signs(k), with_signs()
    patch: dict[str, Any] = {"patch": 1} if method == "occlusion" else {}
    found = explain(model, image, [0, 1], method=method, **patch)
    if method == "deconvnet":
        # Without max pooling it knows nothing of where: as much lies there as anywhere.
        np.testing.assert_allclose(mass_inside(found, *PLUS_AT), 9 / 256, atol=0.015)
        return
    # Integrated gradients and patches also meet noise that was below the threshold.
    least = 0.95 if method in ("integrated", "occlusion") else 0.999
    assert mass_inside(found, *PLUS_AT)[0, 0] > least
    assert mass_inside(found, *CROSS_AT)[0, 1] > least
    for column, area in enumerate((PLUS_AT, CROSS_AT)):
        strongest = np.unravel_index(found.maps[0, column].argmax(), (16, 16))
        assert all(
            part.start <= place < part.stop
            for part, place in zip(area, strongest, strict=True)
        )


@BY_TURNS
def test_what_tells_them_apart_has_both_signs(k: ModuleType) -> None:
    model, image = signs(k), with_signs()
    found = explain(model, image, 0, against=1)
    assert found.maps[0, 0][PLUS_AT].sum() > 0.3
    assert found.maps[0, 0][CROSS_AT].sum() < -0.3
    outside = found.maps[0, 0].copy()
    outside[PLUS_AT] = outside[CROSS_AT] = 0
    np.testing.assert_allclose(outside, 0, atol=1e-6)
    check = check_explanation(model, image, found, steps=64)
    assert check.is_better_than_chance.all()


AREA = (slice(5, 14), slice(12, 20))


def looks_at_an_area(k: ModuleType) -> ImageModel:
    """Random convolutions, without biases, of a part of the image alone."""
    rows, columns = AREA
    edges = ((rows.start, 24 - rows.stop), (columns.start, 24 - columns.stop))
    layers = k.layers
    options = {"padding": "same", "use_bias": False, "activation": "relu"}
    network = sequential(
        k,
        (24, 24, 3),
        layers.Cropping2D(edges, name="cut"),
        layers.ZeroPadding2D(edges, name="back"),
        layers.Conv2D(6, 3, **options, name="first"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(8, 3, **options, name="second"),
        layers.Flatten(name="flat"),
        layers.Dense(3, name="says"),
    )
    return load_model(randomized(network), encoding="raw")


@BY_TURNS
@METHODS
def test_no_evidence_lies_outside_of_what_is_looked_at(
    k: ModuleType, method: Method
) -> None:
    model = looks_at_an_area(k)
    images = np.random.default_rng(2).random((2, 24, 24, 3), np.float32)
    patch: dict[str, Any] = {"patch": 3, "stride": 1} if method == "occlusion" else {}
    found = explain(model, images, [0, 1, 2], method=method, **patch)
    # A patch smears two pixels. A unit of `second` sees 4 on either side of its middle,
    # and its value reaches to the next one's, 2 away.
    reach = {"occlusion": 2, "hirescam": 6, "gradcam": 6}.get(method, 0)
    area = np.zeros((24, 24), bool)
    rows, columns = AREA
    area[
        rows.start - reach if rows.start > reach else 0 : rows.stop + reach,
        columns.start - reach : columns.stop + reach,
    ] = True
    assert np.abs(found.maps[..., area]).max() > 0
    np.testing.assert_allclose(found.maps[..., ~area], 0, atol=1e-6)
