"""Signals as pictures: fewer steps of long ones."""

import itertools
import math

import numpy as np
import pytest

from cnnviz.drawing.signals import outlying_steps, strongest_steps


@pytest.mark.parametrize(("steps", "count"), [(10, 4), (9, 9), (23, 7)])
def test_fewer_steps(steps: int, count: int) -> None:
    signal = np.random.default_rng(0).normal(size=(steps, 2))
    signal[2] = -signal[1]  # equally far from 0: the first counts
    limits = [math.floor(i * steps / count) for i in range(count + 1)]
    strongest = [
        [max(channel[low:high], key=abs) for low, high in itertools.pairwise(limits)]
        for channel in signal.T
    ]
    np.testing.assert_array_equal(strongest_steps(signal.T, count), strongest)
    shifted = signal.T + 5
    outlying = [
        [
            max(channel[low:high], key=lambda step: abs(step - middle))
            for low, high in itertools.pairwise(limits)
        ]
        for channel, middle in zip(shifted, np.median(shifted, 1), strict=True)
    ]
    np.testing.assert_array_equal(outlying_steps(shifted, count), outlying)
    if count < steps:  # what is no number is seen
        signal[1, 0] = np.nan
        assert np.isnan(strongest_steps(signal.T, count)[0, 0])
        found = outlying_steps(signal.T + 5, count)
        assert np.isnan(found[0, 0])
        assert np.isfinite(found[1]).all()
