"""Maps of evidence over volumes, and over images of many channels."""

from typing import Any

import numpy as np
import pytest

from cnnviz.drawing.evidence_panels import flatten
from cnnviz.drawing.panels import Panel, panel_sheet
from cnnviz.errors import ArgumentError


def test_the_slice_of_a_volume_is_told() -> None:
    image, maps = np.ones((5, 3, 4, 1)), np.zeros((1, 5, 3, 4))
    maps[0, :, 1, 1] = 1  # behind a layer that gave up the slices
    text = "slice 3 of 5: the evidence is the same in all"
    assert flatten(image, [maps], "x").part == [text]
    maps[0, 3] *= -2
    text = "slice 4 of 5: the most evidence"
    assert flatten(image, [maps], "x").part == [text]


def test_a_map_is_not_judged_by_the_slice_that_is_drawn() -> None:
    maps = np.zeros((3, 6, 4, 4))
    maps[0, 1], maps[1, 4], maps[1, 5] = 3, 1, -2
    flat = flatten(np.ones((6, 4, 4, 1)), [maps], "x")
    assert flat.part == ["slice 2 of 6: the most evidence"]
    told = ["", "none in this slice, most in 5", "none of 2"]
    assert [flat.lacking(i, "none", " of 2") for i in range(3)] == told
    signed = flat.lacking(1, "none", signed=True)
    assert signed == "none in this slice, most in 6"


@pytest.mark.parametrize("size", [(512, 1024), (700, 600), (40, 900)])
def test_large_maps_are_drawn_as_means(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    maps[0, 1::2] = maps[0, :, 1::2] = 0  # as strides of 2 leave evidence
    seen = np.zeros((1, *size), bool)
    seen[0, -1, -1] = True
    flat = flatten(np.ones((*size, 1)), [maps, seen], "x")
    drawn = flat.maps[0].shape[1:]
    expected = maps.astype(float)
    for axis, (length, count) in enumerate(zip(size, drawn, strict=True), 1):
        # Each pixel as many times as there are new ones, and means of equal blocks.
        blocks = expected.repeat(count, axis)
        shape = [*blocks.shape[:axis], count, length, *blocks.shape[axis + 1 :]]
        expected = blocks.reshape(shape).mean(axis + 1)
    np.testing.assert_allclose(flat.maps[0], expected, atol=1e-6)
    np.testing.assert_allclose(
        flat.maps[0].mean((1, 2)), maps.mean((1, 2)), rtol=1e-3, atol=1e-7
    )
    # A place is hatched only if no unit looks at any of it.
    assert flat.maps[1].sum() == 1
    assert flat.maps[1][0, -1, -1]
    (told,) = flat.told
    assert told.startswith("each pixel of a map is the mean of those of ")


def test_many_channels_are_told_as_their_mean() -> None:
    for count, told in ((1, []), (3, []), (6, ["image: mean over 6 channels"])):
        image = np.ones((5, 4, count), np.float32)
        assert flatten(image, [np.ones((1, 5, 4))], "x").told == told
    # The channels of a signal are rows.
    assert flatten(np.ones((9, 6), np.float32), [np.ones((1, 9))], "x").told == []


def test_a_long_signal_keeps_its_spikes() -> None:
    signal = 4 + np.random.default_rng(0).normal(size=(5000, 1)) / 20
    signal[3750], signal[1250] = 7, 1  # of which 1024 evenly chosen steps have none
    flat = flatten(signal, [signal.T - 4], "x")
    row = flat.picture[0, :, 0].astype(int)
    assert row[[3750 * 1024 // 5000, 1250 * 1024 // 5000]].tolist() == [255, 0]
    assert abs(np.delete(row, [256, 768]) - 128).max() < 20
    (told,) = flat.told
    assert told.startswith("5,000 steps to the right, in each pixel the one farthest")


def numbered(rows: int, count: int) -> list[list[Panel]]:
    """Panels that hold their row and their place in it."""
    tile = np.zeros((8, 8, 3), np.uint8)
    return [
        [Panel([f"{row}:{i}"], tile, None, "") for i in range(count)]
        for row in range(rows)
    ]


def arranged(shape: tuple[int, ...], rows: int, count: int) -> list[str]:
    """What stands in each row of a sheet of an image of a shape."""
    axes = len(shape) - 1
    flat = flatten(np.zeros(shape), [np.zeros((1, *shape[:axes]))], "")
    panels, columns = flat.arranged(numbered(rows, count))
    texts = ["".join(panel.lines) for panel in panels]
    every = range(0, len(texts), columns)
    return [" ".join(texts[start : start + columns]).strip() for start in every]


def test_rows_of_more_than_ten_panels_go_on_below() -> None:
    assert arranged((8, 8, 1), 2, 10) == [
        " ".join(f"{row}:{i}" for i in range(10)) for row in range(2)
    ]
    assert arranged((8, 8, 1), 2, 11) == [
        *("0:0 0:1 0:2 0:3 0:4 0:5", "0:6 0:7 0:8 0:9 0:10"),
        *("1:0 1:1 1:2 1:3 1:4 1:5", "1:6 1:7 1:8 1:9 1:10"),
    ]
    # Of a signal each is a column, and eleven of them are six and five.
    assert arranged((8, 1), 11, 3) == [
        *(" ".join(f"{row}:{i}" for row in range(6)) for i in range(3)),
        *(" ".join(f"{row}:{i}" for row in range(6, 11)) for i in range(3)),
    ]


def test_a_sheet_of_too_many_panels_is_refused() -> None:
    panels = numbered(1, 6000)[0]
    texts: dict[str, Any] = {"title": "", "subtitle": "", "texts": [], "columns": 10}
    assert panel_sheet(panels[:1000], **texts).height < 2**14
    expected = "6,000 panels make a sheet .* give fewer classes or fewer channels"
    with pytest.raises(ArgumentError, match=expected):
        panel_sheet(panels, **texts)
