"""Maps of evidence over volumes, and over images of many channels."""

import numpy as np

from cnnviz.drawing.evidence_panels import flatten


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
    # Nor by the pixels that are left of a large one.
    maps = np.zeros((1, 700, 700))
    maps[0, 350, 350] = 1
    flat = flatten(np.ones((700, 700, 1)), [maps], "x")
    assert flat.maps[0].max() == 0
    assert flat.lacking(0, "none") == ""


def test_many_channels_are_told_as_their_mean() -> None:
    for count, told in ((1, []), (3, []), (6, ["image: mean over 6 channels"])):
        image = np.ones((5, 4, count), np.float32)
        assert flatten(image, [np.ones((1, 5, 4))], "x").told == told
    # The channels of a signal are rows.
    assert flatten(np.ones((9, 6), np.float32), [np.ones((1, 9))], "x").told == []
