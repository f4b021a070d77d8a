"""Class evidence: which parts of an image speak for a class, and which against it.

`asking` settles which classes are explained. A `Probe` puts the question to the network
and returns scores and gradients, of which one of the `methods` makes maps; `placing`
lays them over the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cnnviz.arguments import (
    brief,
    choice,
    counts,
    counts_or_none,
    function_or_none,
    seeds,
)
from cnnviz.attribution.asking import (
    Asked,
    Class,
    Region,
    ask_about,
)
from cnnviz.attribution.baselines import Baseline
from cnnviz.attribution.cams import CAMS
from cnnviz.attribution.evidence import Evidence, told_of
from cnnviz.attribution.integrated import MOST_STEPS, TOLERANCE, shares
from cnnviz.attribution.methods import Case, Method, Raw, Settings, found_by
from cnnviz.attribution.placing import Placing
from cnnviz.attribution.questions import Subject
from cnnviz.attribution.remarks import Remark
from cnnviz.errors import ArgumentError
from cnnviz.network.model import ImageModel
from cnnviz.network.preparing import Images
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName
from cnnviz.words import counted, shape_text


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation(Evidence):
    """What in images speaks for classes, and what against them.

    `np.asarray(explanation)` is `maps`. One image at a time is drawn by
    `cnnviz.drawing.explanation_sheet`: `.picture(image=0)`. What is told of the classes
    is described in `Evidence`; here `share` is the sum of `raw`, for `hirescam` divided
    by the score, and for `integrated` by the score minus the score of the baseline. It
    is NaN for the other methods. Where nothing but linear layers and rectifiers follows
    the layer, what `hirescam` leaves of the score comes from biases and other inputs.
    Activations that are curved (tanh, GELU), gates, attention, and normalizations by
    the image's own statistics change the sum as well: it may then be above the score,
    or of the other sign, and a note says so.

    Attributes:
        maps: `(n, k, h, w)` float32, on the image's pixels: positive where the image
            raises the score, negative where it lowers it. Maps of `gradcam`,
            `gradient`, `guided` and `deconvnet` are never negative. `(n, k, w)` for
            images of one dimension, `(n, k, d, h, w)` for those of three.
        raw: What the maps were made of: `(n, k, rows, columns)` at the layer, in the
            order of the image's axes, or for each patch of `occlusion`; `(n, k, h, w,
            c)` of all other methods.
        steps: `(n,)` how many steps `integrated` took; 0 for the other methods.
        seen: `(h, w)` bool: the pixels within the receptive field of at least one unit
            of the layer, or within a patch. Pixels that earlier layers skip, such as a
            strided 1x1 convolution, count as seen inside of a field.
        method: The method.
        baseline: What `integrated` and `occlusion` compared the image with.
        input_index: The number of the input that the map lies on, among those that are
            not held: the first picture that counts, and that the layer depends on if it
            was named.
        placing: Where `raw` lies on the image.
        settings: How it was made.
        subject: What of the model was asked.
    """

    _sheet = "explanation_sheet"

    maps: np.ndarray
    raw: np.ndarray
    steps: np.ndarray
    seen: np.ndarray
    method: Method
    baseline: Baseline
    input_index: int
    placing: Placing = field(repr=False)
    settings: Settings = field(repr=False)
    subject: Subject = field(repr=False)

    def _array(self) -> np.ndarray:
        return self.maps

    @property
    def tiles(self) -> np.ndarray:
        """What `cnnviz.grid` draws: the maps, `(n, k, h, w, 1)`.

        Raises:
            ArgumentError: If they are of signals.
        """
        return super().tiles[..., np.newaxis]

    def __repr__(self) -> str:
        n, k = self.classes.shape
        where = f" at {self.layer}" if self.layer else ""
        size = shape_text(self.maps.shape[2:])
        return (
            f"Explanation({self.method}{where}: {counted(n, 'image')}, "
            f"{counted(k, 'class')}, "
            f"maps of {size})"
        )


def explain(
    model: ImageModel | Network,
    images: Images,
    classes: Class | Sequence[Class] | None = None,
    *,
    top: int = 1,
    against: Class | None = None,
    method: Method = "hirescam",
    layer: LayerName | None = None,
    head: str | int | None = None,
    baseline: Baseline = "black",
    smooth: int = 0,
    region: Region | None = None,
    patch: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Finds what in images speaks for the classes that a network sees, and against.

    What is explained is a logit: the number below the softmax or sigmoid, which would
    flatten it. A head of one sigmoid unit has the classes 1 and 0. An output without
    softmax and sigmoid is explained as it is: what raises it is positive.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image; for a
            network with several inputs a list of arrays or a dict by input name.
        classes: Numbers or names of classes, the same for all images; `"-0"` is what
            lowers output 0. None for the most probable ones of each image.
        top: How many of the most probable classes, where no classes are given; all, if
            there are fewer.
        against: A class to compare the others with: the maps then show what speaks for
            them and not for it, and the score is the difference of the logits. None for
            the logit of each class alone.
        method: `hirescam`: activation times gradient at a layer, exact for what one
            linear layer decides; `gradcam`: the same with mean gradients, rectified, as
            published; `integrated`: integrated gradients, which add up to the
            difference to the baseline within 5 %, and `notes` tell where they do not;
            `gradient`: how far pixels could change the score; `occlusion`: what the
            score loses without a patch, which needs no gradient. `guided`
            (backpropagation) and `deconvnet` are there to be compared with these; their
            maps are no evidence.
        layer: For `hirescam` and `gradcam` the path of a layer; None for the last one
            with positions, not counting pooling, padding and dropout, and in a network
            that answers for every pixel for the deepest of its smallest maps. Tokens
            `(n, rows * columns, c)` that were maps become maps again. None chooses them
            only in networks that do not mix them, as attention does: after that, a
            position says little of the image.
        head: The name or number of the output, for networks with several.
        baseline: For `integrated` and `occlusion` what an image is compared with:
            `black` (0), `white` (1), `mean` (its mean color), `blur`, a number, or an
            image. Of raw values outside [0, 1] none is white: give a number.
        smooth: For `gradient`: over how many noisy copies of the image it is averaged
            (SmoothGrad); 0 for the gradient at the image itself.
        region: For a network that answers for every pixel, and whose score is the mean
            over pixels: a position `(row, column)` of the output, or an array of
            weights `(h, w)` or `(n, h, w)`, of as many axes as the output has. None for
            the pixels that are assigned to the class.
        patch: For `occlusion` the side of a patch in pixels, or one for each axis; None
            for an eighth of the image's side.
        stride: How many pixels lie from one patch to the next, at most the side of a
            patch; None for half of it.
        seed: The seed of the noise.
        batch_size: How many images go through the network at a time; None for fewer of
            large ones.
        callback: A function that a long method calls with two numbers: how much is
            done, and how much there is to do.

    Returns:
        The maps, with what the network says of the classes.

    Raises:
        ArgumentError: If an argument has a value outside its range, or there is no such
            class.
        LayerError: If there is no such layer or output, or no gradient there.
        ImageError: If the images do not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.

    References:
        Draelos and Carin, 2020, https://arxiv.org/abs/2011.08891 (HiResCAM)
        Selvaraju et al., ICCV 2017, https://arxiv.org/abs/1610.02391 (Grad-CAM)
        Sundararajan, Taly and Yan, ICML 2017, https://arxiv.org/abs/1703.01365
        (integrated gradients)
        Simonyan, Vedaldi and Zisserman, 2013, https://arxiv.org/abs/1312.6034
        (gradient); Smilkov et al., 2017, https://arxiv.org/abs/1706.03825 (SmoothGrad)
        Zeiler and Fergus, ECCV 2014, https://arxiv.org/abs/1311.2901 (occlusion)
    """
    counts(top=top)
    counts(0, smooth=smooth)
    seeds(seed=seed)
    counts_or_none(batch_size=batch_size)
    function_or_none(callback=callback)
    choice("method", method, Method)
    if isinstance(baseline, np.ndarray):
        baseline = baseline.copy()  # which the caller may write to
    settings = Settings(method, baseline, smooth, seed, patch, stride, batch_size)
    _check(settings, layer)
    asked = ask_about(
        model,
        images,
        classes,
        top=top,
        against=against,
        head=head,
        layer=layer,
        region=region,
        at=settings.at if settings.takes_one_pass else None,
        batch_size=batch_size,
    )
    probe = asked.probe
    if not settings.takes_one_pass:
        probe = settings.probe(asked.subject, asked.arrays, asked.target)
    case = Case(settings, probe, asked.arrays, asked.target, asked.found, callback)
    return _explanation(asked, case, found_by(case))


def _explanation(asked: Asked, case: Case, raw: Raw) -> Explanation:
    method, facts = case.settings.method, case.probe.facts
    share = np.full(asked.scores.shape, np.nan)
    error = share.copy() if raw.error is None else raw.error
    steps = np.zeros(len(share), int) if raw.steps is None else raw.steps
    if raw.total is not None:
        sums = raw.maps.reshape(*share.shape, -1).sum(-1, dtype=np.float64)
        share = shares(sums, raw.total)
    remarks = [Remark(note) for note in raw.notes]
    for image, column in np.ndindex(*share.shape):
        name = asked.called(image, column)
        if method in CAMS and raw.maps[image, column].max() <= 0:
            text = f"no positive evidence for {name}"
            remarks.append(Remark(text, image, is_drawn=True))
        if method == "integrated" and error[image, column] > TOLERANCE:
            taken = f"{steps[image]:,} steps"
            if steps[image] < MOST_STEPS:
                taken += f", and more, up to {MOST_STEPS}, did not help"
            baseline = case.settings.baseline
            is_blur = isinstance(baseline, str) and baseline == "blur"
            other = "mean" if is_blur else "blur"
            text = (
                f"the map for {name} is off by {100 * error[image, column]:.0f} % of "
                f"what it explains after {taken}; another baseline, such as {other}, "
                "may do better"
            )
            remarks.append(Remark(text, image))
    return Explanation(
        **told_of(asked, facts, raw.maps, remarks),
        maps=raw.placing(raw.maps),
        raw=raw.values,
        share=share,
        error=error,
        steps=steps,
        seen=raw.placing.mask(),
        method=method,
        baseline=case.settings.baseline,
        input_index=facts.input_index,
        images=case.image,
        placing=raw.placing,
        settings=case.settings,
        subject=asked.subject,
    )


def _check(settings: Settings, layer: LayerName | None) -> None:
    """Refuses what the method would not look at."""
    method, baseline = settings.method, settings.baseline
    if layer is not None and method not in CAMS:
        raise ArgumentError(
            f"layer is '{layer}', and the method '{method}' works on pixels; expected "
            f"the method {' or '.join(CAMS)} with a layer"
        )
    is_default = isinstance(baseline, str) and baseline == "black"
    for name, is_given, methods in (
        ("smooth", settings.smooth > 0, ("gradient",)),
        ("patch", settings.patch is not None, ("occlusion",)),
        ("stride", settings.stride is not None, ("occlusion",)),
        ("baseline", not is_default, ("integrated", "occlusion")),
    ):
        if is_given and method not in methods:
            expected = " or ".join(f"'{each}'" for each in methods)
            raise ArgumentError(
                f"{name} is {brief(getattr(settings, name))} for the method "
                f"'{method}'; expected the method {expected} with it"
            )
