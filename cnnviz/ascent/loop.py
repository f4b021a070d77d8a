"""The loop: gradient ascent on a batch of images, compiled.

A block of steps is one call of one compiled function: parameterization, transform,
encoding, network, objective, gradient and Adam. It is traced once per network,
objective and shape; channels, weights, steps and seeds are numbers that it is fed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.arguments import (
    counts_or_none,
    hashable,
    instance_of,
    size_of,
    unfit,
    whole,
)
from cnnviz.ascent.chunks import Chunks, are_flat
from cnnviz.ascent.parameterizations import (
    Fourier,
    ImageShape,
    Maco,
    Parameterization,
)
from cnnviz.ascent.results import Ascent, Momentum, better_of, join
from cnnviz.ascent.run import Run, run_of
from cnnviz.ascent.scoring import rescored, sees_numbers
from cnnviz.ascent.step import Plan
from cnnviz.ascent.transforms import Motion, Size, Transform
from cnnviz.ascent.value_ranges import searched
from cnnviz.errors import ArgumentError, ImageError, warn
from cnnviz.graph.devices import room
from cnnviz.network.forward import observe
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.survey import (
    Survey,
    check_one_image,
    native_shape,
    sized,
    survey_layers,
)
from cnnviz.objectives.algebra import Objective
from cnnviz.tracing.failures import OutOfMemoryError
from cnnviz.tracing.health import broken_weights, not_finite
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.traces import compiled_for_images
from cnnviz.words import counted

_STEPS = 256
_SETTLED = 0.1  # of the learning rate is left at the end of the last third


def maximize(
    model: ImageModel | Network,
    objective: Objective,
    *,
    size: int | tuple[int, int] | None = None,
    count: int | None = None,
    start: np.ndarray | None = None,
    parameterization: Parameterization | Sequence[Parameterization] | None = None,
    transform: Transform | None = None,
    streams: Sequence[int] | None = None,
    momentum: Momentum | None = None,
    average_pooling: bool = False,
    run: Run | None = None,
) -> Ascent:
    """Finds images that maximize an objective, by Adam on a parameterization of them.

    Images of a run never influence each other, unless the objective couples them, and
    each has random numbers of its own: an image is the same whether it is made alone or
    together with others, but for rounding. Convolutions and dense layers may round
    their sums differently in batches of another size. Adam's steps enlarge the
    difference, and a rectifier or a maximum near a tie may make it visible. How much
    depends on the CPU. Measured with 96 images of 32 random networks of three
    convolutions, after 64 steps: on one CPU 20 were equal to the last bit, half
    differed by less than 2e-6, and one by more than 1e-3; on another all were equal. A
    run with the same arguments on the same CPU repeats to the last bit, if
    `precision="auto"` chooses the same.

    Where all rectifiers that lead to a unit are shut at the start, 8 steps are made
    with opened ones; if that does not help, the image starts again from noise, with 8
    such steps more. Over the last third of the steps the learning rate falls to a
    tenth.

    Args:
        model: A loaded model, or a Keras model of either generation.
        objective: What to maximize. If it holds numbers for each image, such as one
            channel for each, these say how many images there are.
        size: The size of the canvas, `(height, width)` or the side of a square; None
            for the network's own, or that of `start`. If the objective asks for
            outputs of a network that takes one size, such as classes, the network is
            shown the canvas resized to it. Where that has other proportions, a `Motion`
            shows the surroundings of the canvas too, and `Crops` stretch it; where it
            is larger, a `Motion` mixes the outermost pixels with the surroundings, as
            all pixels with their neighbors. Layers take the canvas as it is.
        count: How many images to make, where neither objective nor start says so.
        start: Images to start from, `(n, h, w, c)` or `(h, w, c)` in [0, 1], or in raw
            values if the model takes such. The parameterization's noise is added to
            them; that of `Maco` leaves nothing of an image, which is refused unless it
            is flat. None for mid gray.
        parameterization: What the optimizer moves; None for `Fourier()`. If several are
            given, the restarts use them in turn.
        transform: The motions that the images have to withstand; None for `Motion()`,
            `STILL` for none at all.
        streams: For each image a number, 0 or more, that its random numbers belong to;
            None for 0, 1, 2 and so on.
        momentum: The momentum with which the optimizer starts, from an earlier run of
            one image with a parameterization and a canvas of the same shape; None to
            start without.
        average_pooling: Whether the network pools by the mean where it has the maximum.
        run: How gradient ascent is carried out; None for 256 steps, the
            parameterization's own learning rate, and no restarts.

    Returns:
        The images with their scores.

    Raises:
        ArgumentError: If an argument is out of its range, or the objective names a
            class that does not exist, has two parts of one name, makes NaN of finite
            numbers for every image, or couples the images of a network that is to be
            shown one at a time.
        LayerError: If the objective names a layer or a channel that does not exist, or
            nothing that depends on the image.
        ImageError: If a layer on the way does not take images of this size.
        ModelError: If the network takes anything but one image, fails, or computes NaN
            or infinite values for every image; or if it was never called, and there is
            no `start` that tells what it takes.
    """
    known = as_model(model)
    an_objective = "an Objective, such as channel('conv1', 0)"
    instance_of("objective", objective, Objective, an_objective)
    instance_of("transform", transform, Transform | None, "a Transform, such as STILL")
    last = "the momentum of an earlier run"
    instance_of("momentum", momentum, Momentum | None, last)
    expected = "a list of whole numbers"
    instance_of("streams", streams, Sequence | np.ndarray | None, expected)
    run = run_of(run)
    steps, restarts = run.steps or _STEPS, run.restarts or 1
    turns = _turns(parameterization)
    counts_or_none(count=count)
    if restarts > steps:
        raise ArgumentError(
            f"restarts are {restarts} and steps {steps}; expected a step for each"
        )
    each = steps // restarts
    if start is not None:
        check_one_image(known)
        start, *others = known.prepare(start)
        if others:
            raise ImageError(
                f"start is for {1 + len(others)} inputs; expected one array of images"
            )
        built(known, [start])
    known, value_range = searched(known, [] if start is None else [start])
    if start is not None:
        start = value_range.unit(start)
        if any(isinstance(own, Maco) for own in turns) and not are_flat(start).all():
            raise ArgumentError(
                "Maco begins with random phases, which leave nothing of start; "
                "expected another parameterization, such as Fourier(), or no start"
            )
    total = _count(objective, count, start, streams)
    shape, window = _sizes(known, objective, size, start)
    built(known, [np.zeros((1, *window, shape[-1]), np.float32)])
    known = sized(known, known.surveyed_size or window)
    moved = Motion() if transform is None else transform
    plans = [
        Plan(known, objective, own, moved, shape, window, average_pooling)
        for own in turns
    ]
    if momentum is not None:
        _check_momentum(momentum, plans)
    _check(plans[0])
    batch = _batch(plans[0], total, run.batch_size)
    tries = [
        Chunks(
            plan,
            run,
            _rates(each, run.learning_rate or plan.parameterization.learning_rate),
            momentum,
        )
        for plan in plans
    ]

    def found_in(restart: int, rows: range, batch: int) -> Ascent:
        chunks = tries[restart % len(tries)]
        seeds = [
            (run.seed, restart, streams[row] if streams is not None else row)
            for row in rows
        ]
        share = len(rows) / (total * restarts)
        begun = rows.start / total + restart * share
        return chunks.images(rows, seeds, start, batch, begun, share)

    def best_of(rows: range, batch: int) -> Ascent:
        best = found_in(0, rows, batch)
        for restart in range(1, restarts):
            if any(chunks.stopped for chunks in tries):
                break
            other = found_in(restart, rows, batch)
            best = better_of(best, other, together=objective.couples)
        return best

    parts: list[Ascent] = []
    row, together = 0, objective.couples or known.fixed_batch is not None
    while row < total and not any(chunks.stopped for chunks in tries):
        rows = range(row, min(row + batch, total))
        try:
            parts.append(best_of(rows, known.fixed_batch or batch))
        except OutOfMemoryError:
            if together or batch == 1:
                raise
            batch = -(-batch // 2)
            continue
        row = rows.stop
    found = join(parts)
    if np.isnan(found.scores).all():
        finite = broken_weights(known.network) is None
        if finite and sees_numbers(plans[0], found.images[0]):
            raise ArgumentError(
                f"the score '{objective}' is NaN for every image, although all that it "
                "is computed from is finite; expected numbers"
            )
        raise not_finite(known.network, known.source, objective.layers)
    if found.dead.any() and (broken := broken_weights(known.network)) is not None:
        warn(
            f"{broken}, which can keep gradients from images: {found.dead.sum()} of "
            f"{counted(len(found.dead), 'image')} not drawn"
        )
    found = rescored(
        known,
        objective,
        found,
        transform=moved,
        window=window,
        average_pooling=average_pooling,
    )
    return value_range.of(found)


def _turns(
    parameterization: Parameterization | Sequence[Parameterization] | None,
) -> Sequence[Parameterization]:
    if parameterization is None:
        return [Fourier()]
    given: Any = parameterization
    turns = given if isinstance(given, list | tuple) else [given]
    if not turns:
        raise ArgumentError("no parameterization is given; expected one or several")
    expected = "a Parameterization, such as Fourier()"
    for each in turns:
        instance_of("parameterization", each, Parameterization, expected)
        hashable(
            "parameterization", each, "one with a hash, such as a frozen dataclass"
        )
    return turns


def _check_momentum(momentum: Momentum, plans: Sequence[Plan]) -> None:
    for plan in plans:
        given, expected = momentum.first.shape, (1, *plan.numbers)
        if given != expected:
            raise ArgumentError(
                f"the momentum has the shape {given}; expected {expected}, that of one "
                "image with this parameterization and canvas"
            )


def _rates(steps: int, rate: float) -> np.ndarray:
    """The learning rate at each step: constant, then half a cosine down."""
    share = np.clip((np.arange(steps) / steps - 2 / 3) * 3, 0, 1)
    falling = _SETTLED + (1 - _SETTLED) * (1 + np.cos(np.pi * share)) / 2
    return (rate * falling).astype(np.float32)


def _count(
    objective: Objective,
    count: int | None,
    start: np.ndarray | None,
    streams: Sequence[int] | None,
) -> int:
    told = {
        "the objective": objective.count,
        "count": 1 if count is None else count,
        "start": 1 if start is None else len(start),
        "streams": 1 if streams is None else len(streams),
    }
    several = {name: number for name, number in told.items() if number > 1}
    if len(set(several.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in several.items())
        raise ArgumentError(f"numbers of images differ: {listed}; expected one number")
    total = max(told.values())
    if streams is not None and (
        len(streams) != total
        or any((number := whole(s)) is None or number < 0 for s in streams)
    ):
        raise unfit(
            "streams",
            streams,
            f"{counted(total, 'whole number')}, 0 or more, one for each image",
        )
    return total


def _sizes(
    model: ImageModel,
    objective: Objective,
    size: int | tuple[int, int] | None,
    start: np.ndarray | None,
) -> tuple[ImageShape, Size]:
    """The shape of the canvas, and the size at which the network sees it."""
    *native, channels = native_shape(model)
    if start is not None:
        canvas, channels = start.shape[1:3], start.shape[3]
        if size is not None and size_of(size) != canvas:
            raise ArgumentError(
                f"size is {size} and start has {canvas[0]}x{canvas[1]} pixels; "
                "expected one of them, or the same"
            )
    else:
        canvas = (native[0], native[1]) if size is None else size_of(size)
    # A head needs the network's own size; layers below take the canvas as it is.
    window = canvas
    if objective.needs_head and (fixed := model.input_shape) is not None:
        window = (fixed[0] or canvas[0], fixed[1] or canvas[1])
    return (*canvas, channels), window


def _check(plan: Plan) -> None:
    """Refuses parts of one name, and channels and classes that the network lacks.

    What does not exist would be taken for 0, and not be missed.
    """
    objective = plan.objective
    for name, times in Counter(objective.names).items():
        if times > 1:
            raise ArgumentError(
                f"{times} parts of '{objective}' are named '{name}'; expected a name "
                "for each"
            )
    checks = [term.check for term in objective.terms if term.check is not None]
    if checks:
        found = _surveyed(plan)
        for check in checks:
            check(plan.model, found)


def _surveyed(plan: Plan) -> Survey:
    objective = plan.objective
    return survey_layers(plan.model, objective.layers, heads=objective.needs_head)


def _batch(plan: Plan, total: int, batch_size: int | None) -> int:
    """How many images go together: equal chunks, so that one trace serves all."""
    fixed = plan.model.fixed_batch
    uses_network = plan.objective.uses_network and fixed != 1
    if total > 1 and uses_network and _is_shown_alone(plan, total):
        if plan.objective.couples:
            raise ArgumentError(
                f"'{plan.objective}' compares {counted(total, 'image')} with each "
                f"other, and {plan.model.source} computes with all images of a batch "
                "together; expected an objective of each image alone"
            )
        return 1
    if fixed is not None:
        if plan.objective.couples and fixed != total:
            raise ArgumentError(
                f"'{plan.objective}' compares {counted(total, 'image')} with each "
                f"other, and {plan.model.source} takes {fixed} at a time; expected "
                f"{counted(fixed, 'image')}"
            )
        return fixed
    if plan.objective.couples:
        return total
    if batch_size is None:
        batch_size = max(1, room() // _image_bytes(plan))
    chunks = -(-total // min(batch_size, total))
    return -(-total // chunks)


def _is_shown_alone(plan: Plan, total: int) -> bool:
    """Whether the network is to be shown so many images one at a time."""
    model, objective = plan.model, plan.objective

    def seen(images: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        layers, heads = objective.layers, objective.needs_head
        scene = observe(model, images, images, layers, heads=heads)
        outputs = [*scene.outputs.values(), *(head.output for head in scene.heads)]
        return {str(number): output for number, output in enumerate(outputs)}, None

    key = "ascent alone", model.key, objective.layers, objective.needs_head
    shapes = [(*plan.window, plan.shape[-1])]
    _, number = compiled_for_images(model.network, key, seen, shapes, total)
    return number == 1


def _image_bytes(plan: Plan) -> int:
    """About what one image takes on its way through the network and back."""
    found = _surveyed(plan)
    elements = found.elements * math.prod(plan.window)
    canvas = 8 * math.prod(plan.shape)  # its spectrum, colors and optimizer
    return 4 * max(1, int(2 * elements) + canvas)
