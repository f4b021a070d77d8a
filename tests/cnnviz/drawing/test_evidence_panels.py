"""Maps of evidence over volumes, and over images of many channels."""

import numpy as np

from cnnviz.drawing.evidence_panels import flatten


def test_the_slice_of_a_volume_is_told() -> None:
    image, maps = np.ones((5, 3, 4, 1)), np.zeros((1, 5, 3, 4))
    maps[0, :, 1, 1] = 1  # behind a layer that gave up the slices
    text = "slice 3 of 5, where the evidence is the same in all"
    assert flatten(image, [maps], "x").told == [text]
    maps[0, 3] *= -2
    text = "slice 4 of 5, the one with the most evidence"
    assert flatten(image, [maps], "x").told == [text]


def test_many_channels_are_told_as_their_mean() -> None:
    for count, told in ((1, []), (3, []), (6, ["image: mean over 6 channels"])):
        image = np.ones((5, 4, count), np.float32)
        assert flatten(image, [np.ones((1, 5, 4))], "x").told == told
    # The channels of a signal are rows.
    assert flatten(np.ones((9, 6), np.float32), [np.ones((1, 9))], "x").told == []
