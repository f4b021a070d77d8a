"""Results follow users' Python code: what it refers to, and the code itself."""

import dataclasses
import functools
import types
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import activations
from cnnviz.tracing import references
from cnnviz.tracing.fingerprints import Fingerprint
from cnnviz.tracing.keras_generations import everything
from cnnviz.tracing.references import contents, is_followed
from tests.networks import GENERATIONS

pytestmark = pytest.mark.versions

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


def values_in(*values: Any) -> list[Any]:
    """The plain values and the code that a walk from some values meets."""
    told: list[Any] = contents(values).told
    return [each for parts in told for each in parts]


def test_code_is_followed_through_what_wraps_it() -> None:
    class Own(keras.layers.Layer):
        @staticmethod
        def doubled(number: int) -> int:
            return 2 * number

        @classmethod
        def of(cls, number: int) -> int:
            return cls.doubled(number)

        @property
        def seventh(self) -> int:
            return self.of(7)

        def never_named(self) -> None:
            """Is left alone."""

        @tf.function
        def call(self, number: int, *, more: int = 123) -> int:
            return max(self.seventh + more for _ in range(number))

    found = values_in(Own, functools.partial(helped, given=456))
    codes = [value.co_name for value in found if isinstance(value, types.CodeType)]
    assert set(codes) == {"helped", "call", "seventh", "of", "doubled"}
    assert {123, 456, FACTOR[0]} <= {v for v in found if isinstance(v, int | float)}


def test_code_of_libraries_is_left_alone() -> None:
    libraries = keras.activations.relu, tf.nn.relu, functools.lru_cache, keras, tf
    assert not any(map(is_followed, libraries))
    wrapped = functools.partial(np.sum)
    found = values_in(*libraries, wrapped, keras.layers.Conv2D, keras.Sequential)
    assert not [value for value in found if isinstance(value, types.CodeType)]


class Settings:
    """A configuration as notebooks have them."""

    scale = 1.0

    @staticmethod
    def act(given: Any) -> Any:
        return given * FACTOR[0]

    def __call__(self, given: Any) -> Any:
        return given * self.scale


@dataclasses.dataclass(slots=True)
class Slots:
    scale: float = 1.0


class Box:
    """Holds another object."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


def masked() -> tuple[Any, Callable[[], None]]:
    mask = np.ones((3, 3, 16, 16), np.float32)
    return mask, lambda: mask[..., 3:].fill(0)


def in_pieces() -> tuple[Any, Callable[[], None]]:
    mask = np.ones((64, 64), np.float32)
    return mask[:, ::2], lambda: mask[5:7].fill(0)


def of_objects() -> tuple[Any, Callable[[], None]]:
    held: Any = np.array([[1.0], 2], object)
    return held, lambda: held[0].append(3.0)


def four_deep() -> tuple[Any, Callable[[], None]]:
    last = Box(1.0)
    return Box(Box(Box(last))), lambda: setattr(last, "inner", 0.5)


def in_a_circle() -> tuple[Any, Callable[[], None]]:
    box = Box([1.0])
    box.inner.append(box)
    return box, lambda: box.inner.append(2.0)


def in_slots() -> tuple[Any, Callable[[], None]]:
    slots = Slots()
    return slots, lambda: setattr(slots, "scale", 0.5)


def in_a_deque() -> tuple[Any, Callable[[], None]]:
    held = deque([1.0])
    return held, lambda: held.append(2.0)


def in_bytes() -> tuple[Any, Callable[[], None]]:
    held = bytearray([10])
    return {"a": held}, lambda: held.append(3)


def in_a_registry() -> tuple[Any, Callable[[], None]]:
    factor = [1.0]
    return {"a": [lambda given: given * factor[0]]}, lambda: factor.append(2.0)


def in_a_cache() -> tuple[Any, Callable[[], None]]:
    factor = [1.0]
    return functools.lru_cache(lambda: factor[0]), lambda: factor.append(2.0)


def in_another_layer() -> tuple[Any, Callable[[], None]]:
    inner = keras.Sequential([keras.layers.Rescaling(2.0)])
    return Box(inner), lambda: setattr(inner.layers[0], "scale", 3.0)


@pytest.mark.parametrize(
    "case",
    [
        masked,
        in_pieces,
        of_objects,
        four_deep,
        in_a_circle,
        in_slots,
        in_a_deque,
        in_bytes,
        in_a_registry,
        in_a_cache,
        in_another_layer,
    ],
)
def test_contents_are_told_however_deep(
    case: Callable[[], tuple[Any, Callable[[], None]]],
) -> None:
    value, change = case()
    before = contents([value])
    assert before.fits(contents([value]))
    change()
    assert not before.fits(contents([value]))


def test_what_does_not_like_to_be_looked_at_is_told_by_identity() -> None:
    class Shy:
        __slots__ = ("length",)

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    class Broken(list[int]):
        def __len__(self) -> int:
            raise RuntimeError("no length")

    for value in (Shy(), Broken([1])):
        assert contents([value]).fits(contents([value]))
        assert not contents([value]).fits(contents([type(value)()]))


def test_much_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "_HASHED", 1000)
    monkeypatch.setattr(references, "_SAMPLED", 10)
    monkeypatch.setattr(references, "_MOST", 50)
    numbers = np.zeros(2000, np.float32)
    many = [[i] for i in range(100)]
    chain = end = Box(None)
    for _ in range(100):
        end.inner = Box(None)
        end = end.inner
    before = contents([chain, numbers, many])
    numbers[1], end.inner, many[3][0] = 1, 5, -1
    assert before.fits(contents([chain, numbers, many]))
    numbers[:] = 1
    assert not before.fits(contents([chain, numbers, many]))


class Reads(NamedTuple):
    """What a layer computes with, and how it changes."""

    compute: Callable[[Any, Any], Any]
    change: Callable[[pytest.MonkeyPatch, Any], None]


CLASS = Reads(
    lambda _, given: given * Settings.scale,
    lambda patch, _: patch.setattr(Settings, "scale", 0.5),
)
BY_NAME = Reads(
    lambda _, given: given * getattr(Settings, "scale"),  # noqa: B009
    lambda patch, _: patch.setattr(Settings, "scale", 0.5),
)
OF_ITS_CLASS = Reads(
    lambda own, given: given * own.settings.scale,
    lambda patch, _: patch.setattr(Settings, "scale", 0.5),
)
CALLED = Reads(
    lambda own, given: own.settings(given),
    lambda patch, _: patch.setattr(Settings, "__call__", lambda _, given: given / 2),
)
STATIC = Reads(
    lambda _, given: Settings.act(given),
    lambda patch, _: patch.setitem(globals(), "FACTOR", [2 * FACTOR[0]]),
)
LISTED = Reads(
    lambda own, given: own.acts[0](given),
    lambda patch, _: patch.setitem(globals(), "FACTOR", [2 * FACTOR[0]]),
)
MASK = Reads(
    lambda own, given: given * own.mask,
    lambda _, own: own.mask[:, 1:].fill(0.5),
)


@GENERATIONS
@pytest.mark.parametrize(
    "reads", [CLASS, BY_NAME, OF_ITS_CLASS, CALLED, STATIC, LISTED, MASK]
)
def test_results_follow_what_layers_hold(
    k: Any, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(k.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.settings = Settings()
            self.acts = [lambda given: helped(given)]
            self.mask = np.ones((40, 40, 1), np.float32)  # of more than 4096 bytes

        def call(self, given: Any) -> Any:
            return reads.compute(self, given)

    network = k.Sequential([k.Input((40, 40, 1)), Own(name="own")])
    images = np.random.default_rng(0).random((2, 40, 40, 1), np.float32)
    before = activations(network, images, "own")["own"]
    reads.change(monkeypatch, network.layers[-1])
    after = activations(network, images, "own")["own"]
    np.testing.assert_allclose(after, network(images), rtol=1e-5)
    assert np.abs(after - before).max() > 0.1
