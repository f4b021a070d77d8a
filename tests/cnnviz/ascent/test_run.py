"""A run describes itself, and refuses what it cannot be."""

import numpy as np
import pytest

from cnnviz import ArgumentError
from cnnviz.ascent import Run
from cnnviz.ascent.run import derived_seed


def test_snapshots_are_spread_or_named() -> None:
    assert Run(snapshots=0).snapshot_steps(20) == ()
    assert Run(snapshots=1).snapshot_steps(20) == (20,)
    assert Run(snapshots=5).snapshot_steps(20) == (0, 5, 10, 15, 20)
    assert Run(snapshots=9).snapshot_steps(2) == (0, 1, 2)
    assert Run(snapshots=[0, 3]).snapshot_steps(3) == (0, 3)
    numbers = np.array([0, 3])
    assert Run(snapshots=numbers).snapshot_steps(3) == (0, 3)  # type: ignore[arg-type]
    assert Run(snapshots=numbers[1]).snapshot_steps(2) == (0, 1, 2)
    with pytest.raises(ArgumentError, match="from 0 to 2"):
        Run(snapshots=[0, 3]).snapshot_steps(2)


def test_parts_of_runs_share_no_random_numbers() -> None:
    # Sums of seed and part would be equal for seed 1, part 1 and seed 2, part 0.
    seeds = {derived_seed(seed, part) for seed in range(50) for part in range(50)}
    assert len(seeds) == 2500
    first, second = (np.random.default_rng((derived_seed(0, n), 0)) for n in (0, 1))
    correlation = np.corrcoef(first.random(2000), second.random(2000))[0, 1]
    assert abs(correlation) < 0.1
    assert derived_seed(3, 1) == derived_seed(3, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 0}, "steps is 0; expected 1 or more"),
        ({"restarts": 0}, "restarts is 0"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"callback_every": 0}, "callback_every is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number above 0"),
        ({"learning_rate": 1e39}, "1e.39; expected a number above 0, 1e.06 at most"),
        ({"precision": "half"}, "precision is 'half'; expected auto, float32"),
        ({"snapshots": -1}, "snapshots is -1"),
        ({"snapshots": [3, 1]}, "expected ascending steps"),
        ({"snapshots": [0, 1.5]}, "expected ascending steps"),
        ({"snapshots": 1.5}, "snapshots is 1.5; expected a whole number"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        Run(**options)  # type: ignore[arg-type]
