"""Results follow users' Python code: what it refers to, and the code itself."""

import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import activations
from cnnviz.network.fingerprints import Fingerprint
from cnnviz.network.keras_generations import everything
from cnnviz.network.references import referred_to, users_function

pytestmark = pytest.mark.versions

GENERATIONS = pytest.mark.parametrize("k", [keras, tf_keras], ids=["keras3", "keras2"])
IMAGES = np.random.default_rng(0).random((2, 3, 4, 1), np.float32)
FACTOR = [1.0]  # of a notebook


def helped(given: Any) -> Any:
    return given * FACTOR[0]


class Case(NamedTuple):
    """A network, its first layer, and what the last one refers to."""

    network: Any
    own: Any
    box: dict[str, float]


def notebook(k: Any) -> Case:
    """A network as a notebook has them: layers of one's own, and functions."""
    box = {"offset": 0.0}

    class Own(k.layers.Layer):
        power = 1.0

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.settings = types.SimpleNamespace(slope=1.0)
            self.shift = functools.partial(tf.add, y=0.0)
            self.only = {0}

        def call(self, given: Any) -> Any:
            return self.shift(helped(self.raised(given)) * self.settings.slope)

        def raised(self, given: Any) -> Any:
            return given**self.power * len(self.only)

    moved = k.layers.Lambda(lambda given: given + box["offset"], name="moved")
    own = Own(name="own")
    return Case(k.Sequential([k.Input((3, 4, 1)), own, moved]), own, box)


def of_a_configuration(case: Case) -> None:
    case.own.settings.slope = 3.0


def of_a_class(case: Case) -> None:
    type(case.own).power = 2.0


def of_a_method(case: Case) -> None:
    type(case.own).raised = lambda _, given: given - 4


def of_its_code(case: Case) -> None:
    """What autoreload does to a function that was edited."""
    raised = type(case.own).raised
    raised.__code__ = (lambda _, given: given - 5).__code__


def of_a_closure(case: Case) -> None:
    case.box["offset"] = 6.0


def of_a_global(_: Case) -> None:
    FACTOR[0] *= 7.0


def of_a_function(_: Case) -> None:
    global helped
    helped = lambda given: given * 8 * FACTOR[0]  # noqa: E731


def of_the_class(case: Case) -> None:
    own = case.own
    own.__class__ = type("Edited", (type(own),), {"power": 3.0})


def of_a_set(case: Case) -> None:
    case.own.only.add(1)


def of_a_partial(case: Case) -> None:
    case.own.shift = functools.partial(tf.add, y=9.0)


CHANGES = [value for name, value in list(globals().items()) if name.startswith("of_")]


@GENERATIONS
@pytest.mark.parametrize("change", CHANGES)
def test_results_follow_what_code_refers_to(
    k: Any, change: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "helped", helped)
    case = notebook(k)
    network = case.network
    before = activations(network, IMAGES, "moved")["moved"]
    seen = Fingerprint(everything(network))
    assert seen.fits(everything(network))
    change(case)
    after = activations(network, IMAGES, "moved")["moved"]
    np.testing.assert_allclose(after, network(IMAGES), rtol=1e-5)
    assert np.abs(after - before).max() > 0.1
    assert not seen.fits(everything(network))


def test_code_is_followed_through_what_wraps_it() -> None:
    class Own:
        @staticmethod
        def doubled(number: int) -> int:
            return 2 * number

        @classmethod
        def of(cls, number: int) -> int:
            return cls.doubled(number)

        @property
        def seventh(self) -> int:
            return self.of(7)

        @tf.function
        def call(self, number: int, *, more: int = 123) -> int:
            return max(self.seventh + more for _ in range(number))

    found = list(referred_to([Own], [functools.partial(helped, given=456)]))
    codes = [value.co_name for value in found if isinstance(value, types.CodeType)]
    assert set(codes) == {"helped", "call", "seventh", "of", "doubled"}
    assert {123, 456} <= {value for value in found if isinstance(value, int)}
    assert FACTOR in found


def test_code_of_libraries_is_left_alone() -> None:
    assert users_function(keras.activations.relu) is None
    assert users_function(tf.nn.relu) is None
    assert users_function(functools.partial(np.sum)) is None
    assert users_function(functools.lru_cache) is None
    assert users_function(3) is None
    assert not list(referred_to([keras.layers.Conv2D, keras.Sequential], []))
