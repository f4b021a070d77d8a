"""What every class of a network looks like, by gradient ascent on the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from cnnviz.ascent.loop import maximize
from cnnviz.ascent.parameterizations import Maco, Parameterization
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.results import Ascent, Callback
from cnnviz.ascent.run import CALLBACK_EVERY, Run, run_of
from cnnviz.ascent.transforms import STILL, Transform
from cnnviz.ascent.value_ranges import searched
from cnnviz.errors import warn
from cnnviz.network.asked_classes import class_entries, class_number
from cnnviz.network.forward import observe
from cnnviz.network.heads import HeadInfo
from cnnviz.network.labels import class_name
from cnnviz.network.model import ImageModel, as_model
from cnnviz.network.survey import choose_head, sized, survey_layers, surveyed_shape
from cnnviz.objectives.units import log_odds
from cnnviz.showing import ArrayResult
from cnnviz.synthesis.choices import usual_classes
from cnnviz.synthesis.grounds import find_ground
from cnnviz.synthesis.recipes import class_recipe, start_image
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.health import not_finite
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.traces import compiled_for_images
from cnnviz.words import shape_text

_PATTERNS = 8
_TOGETHER = 8  # images that are answered for at a time
_SWAY = 0.2  # the least that is usual for trained networks


@dataclass(frozen=True, eq=False)
class ClassImages(ArrayResult):
    """What classes look like to a network, drawn by `cnnviz.drawing.class_sheet`.

    `np.asarray` of it is the images `(k, h, w, c)`.

    Attributes:
        classes: The numbers of the classes, `(k,)`.
        names: Their names, or numbers where the network's labels are unknown.
        head: The output that tells them apart.
        ascent: How the images were made.
        probabilities: What the network gives each image for its class, `(k,)`; the
            value of the output where it has neither softmax nor sigmoid.
    """

    _sheet = "class_sheet"

    classes: np.ndarray
    names: tuple[str, ...]
    head: HeadInfo
    ascent: Ascent
    probabilities: np.ndarray

    @property
    def reached(self) -> np.ndarray:
        """Whether the network takes each image for its class, `(k,)`, bool.

        So it does where it gives the class at least half of the probability. Outputs
        that are no probabilities have no such bound, and count as reached.
        """
        if self.head.kind == "linear":
            return np.ones(len(self.classes), bool)
        return np.asarray(self.probabilities >= 0.5)

    @property
    def images(self) -> np.ndarray:
        """The images, `(k, h, w, c)`."""
        return self.ascent.images

    def _array(self) -> np.ndarray:
        return self.images

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        names = ", ".join(self.names[:3]) + ", ..." * (count > 3)
        return f"ClassImages({names}: {count} of {shape_text(shape)})"


def visualize_classes(
    model: ImageModel | Network,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    head: str | int | None = None,
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    precision: Precision = "auto",
    callback: Callback | None = None,
) -> ClassImages:
    """Makes images that a network takes for its classes.

    Outputs without softmax and sigmoid may be logits, and are raised against each other
    as those are. To raise one output of a regression alone, maximize
    `cnnviz.objectives.logit`.

    Args:
        model: A loaded model, or a Keras model of either generation.
        classes: Which classes, by number or by name. None for all of up to 50, and of
            more for 12, spread evenly. A head of one sigmoid unit has the classes 0
            and 1. What a network takes an image for is
            `[best.name for best in model.predict(image).top(3)[0]]`.
        head: The name or number of the output, for networks with several.
        size: The size of the images, `(height, width)` or the side of a square; None
            for the network's own, or 224x224 where it takes any.
        steps: Forward and backward passes for each image; None for 192. For networks
            whose own images are smaller than 96 pixels it is 1024: four images are
            tried for each class, and the best is kept.
        seed: The seed of all random numbers.
        batch_size: How many images are made at a time; None for what fits into memory.
        precision: `"float32"`, `"bfloat16"` for convolutions in it, or `"auto"` for
            bfloat16 where the CPU gains by it and gradients agree.
        callback: A function that is called with the progress after every 8 steps, such
            as `cnnviz.ProgressLine()`; the run ends there when it returns True.

    Returns:
        float32 images `(k, h, w, c)` in [0, 1] that show themselves, with the
        probabilities that the network gives them. If the model takes raw values, so
        are those of the images; see `visualize_filters`.

    Raises:
        ArgumentError: If there is no such class, or an argument is out of its range.
        LayerError: If the network has no such output.
        ImageError: If the network does not take images of this size.
        ModelError: If the network takes anything but one image, was never called,
            fails, or computes NaN or infinite values for every image.
    """
    return optimize_classes(
        model,
        classes,
        head=head,
        size=size,
        run=Run(
            steps=steps,
            seed=seed,
            batch_size=batch_size,
            precision=precision,
            callback=callback,
            callback_every=CALLBACK_EVERY,
        ),
    )


def optimize_classes(
    model: ImageModel | Network,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    head: str | int | None = None,
    size: int | tuple[int, int] | None = None,
    parameterization: Parameterization | None = None,
    transform: Transform | None = None,
    run: Run | None = None,
) -> ClassImages:
    """Makes images that a network takes for its classes, and says how sure it is.

    What is maximized is the class's logit against the others, minus a little total
    variation. This cost, and those named below, are smaller if the network's logits
    differ less between images. Of networks whose own images have 96 pixels or more on
    the longer side, features that are unlike what batch normalizations remember of the
    training cost something too, see `objectives.statistics_distance`: so there is a
    thing in its surroundings, rather than texture everywhere.

    Images that are not RGB are drawn on a dark or a light ground: the one on which the
    network tells random lines apart better. They start near that ground. If the images
    are small, the ground continues outside them. What differs from it costs the more
    the farther it is from the middle. RGB images start as mid gray, and so do others if
    neither ground is clearly better, as for X-rays.

    The random numbers of an image belong to its class: they are the same whichever
    other classes are asked for.

    Args:
        model: A loaded model, or a Keras model of either generation.
        classes: Which classes, by number or by name. None for all of up to 50, and of
            more for 12, spread evenly. A head of one sigmoid unit has the classes 0
            and 1.
        head: The name or number of the output, for networks with several.
        size: The size of the images, `(height, width)` or the side of a square; None
            for the network's own, or 224x224 where it takes any.
        parameterization: What the optimizer moves; None for a `Fourier` one.
        transform: What the images have to withstand; None for random crops, and for
            motions if the network's own images are smaller than 96 pixels.
        run: How gradient ascent is carried out; None for 192 steps, and for networks
            with such small images the best of 4 images, each made in 256 steps.

    Returns:
        The images with the probabilities that the network gives them.

    Raises:
        ArgumentError: If there is no such class, or an argument is out of its range.
        LayerError: If the network has no such output.
        ImageError: If the network does not take images of this size.
        ModelError: If the network takes anything but one image, was never called,
            fails, or computes NaN or infinite values for every image.
    """
    known, value_range = searched(sized(as_model(model), size))
    found = survey_layers(known, [], heads=True)
    info = choose_head(known, found, head)
    chosen = _chosen_classes(known, info, classes)
    shown = surveyed_shape(known)
    weight = min(1.0, _sway(known, info, shown) / _SWAY)
    ground = find_ground(lambda images: _answers(known, info, images)[0], shown)
    wanted = log_odds(chosen, info.name)
    recipe = class_recipe(known, found.image, wanted, weight, ground)
    run = run_of(run)
    steps = run.steps or recipe.steps * (run.restarts or recipe.restarts)
    restarts = run.restarts or min(recipe.restarts, max(1, steps // recipe.steps))
    motions = transform or recipe.transform
    ascent = maximize(
        known,
        recipe.objective,
        size=size,
        count=len(chosen),
        start=start_image(recipe, found, size),
        parameterization=parameterization or recipe.parameterization,
        transform=motions,
        streams=chosen.tolist(),
        run=replace(run, steps=steps, restarts=restarts),
    )
    chosen = chosen[: len(ascent.images)]
    _, probabilities = _answers(known, info, ascent.images, motions)
    return ClassImages(
        classes=chosen,
        names=tuple(class_name(known.labels, info, int(number)) for number in chosen),
        head=info,
        ascent=value_range.of(ascent),
        probabilities=probabilities[np.arange(len(chosen)), chosen],
    )


def _chosen_classes(
    model: ImageModel, head: HeadInfo, classes: int | str | Sequence[int | str] | None
) -> np.ndarray:
    if classes is None:
        usual = usual_classes(head)
        if len(usual) < head.classes:
            warn(
                f"{len(usual)} of {head.classes:,} classes are drawn, spread evenly; "
                "name others, such as classes=[0, 1]"
            )
        return np.array(usual)
    return np.array([class_number(model, head, e) for e in class_entries(classes)])


def _sway(model: ImageModel, head: HeadInfo, shape: tuple[int, int, int]) -> float:
    """How much logits differ between images, on average over classes.

    The standard deviation over patterns with the spectrum of photographs. Where it is
    small, as in networks that have learned little, so is what images can gain.
    """
    generators = [np.random.default_rng(i) for i in range(_PATTERNS)]
    patterns = Maco()
    numbers = tf.constant(patterns.start(generators, shape))
    logits, _ = _answers(model, head, patterns.image(numbers, shape).numpy())
    if not np.isfinite(logits).all():
        raise not_finite(model.network, model.source, [])
    return float(logits.std(0).mean())


def _answers(
    model: ImageModel,
    head: HeadInfo,
    images: np.ndarray,
    motions: Transform = STILL,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities of the classes, `(n, classes)` each.

    A network that takes one size is shown images of another as it was while they were
    made, by `motions`, but unmoved.
    """
    height, width = canvas = (images.shape[1], images.shape[2])
    shape = model.input_shape or (None, None, None)
    window = (shape[0] or height, shape[1] or width)

    def answer(image: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        if window != canvas:
            still = motions.still(canvas, window)
            image = motions.show(image, tf.repeat(still, tf.shape(image)[0], 0), window)
        chosen = observe(model, image, image, [], heads=True).head(head.name)
        return {
            "logits": chosen.class_logits(),
            "probabilities": chosen.probabilities(),
        }, None

    key = ("class answers", model.key, head.name, motions)
    together = min(_TOGETHER, len(images))
    trace, only = compiled_for_images(
        model.network, key, answer, [images.shape[1:]], together
    )
    found = in_batches(trace, [images], together, only)
    return found["logits"], found["probabilities"]
