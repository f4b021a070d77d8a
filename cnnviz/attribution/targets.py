"""Targets: the number that is explained, one for each image and class.

The score is a logit, below softmax or sigmoid, where nothing saturates. Of a network
that answers for every pixel it is the mean logit over a region, by default the pixels
that the network assigns to the class: a sum over all of them would be about the
background. The difference to another class tells what speaks for one *against* it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.errors import ArgumentError
from cnnviz.network.heads import Head
from cnnviz.words import listed, shape_text

Position = tuple[int, ...]
"""One position of an output: `(row, column)`."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is explained of each image, as arrays.

    Attributes:
        rivals: `(n, 1)` the class that the others are compared with; -1 for none.
        classes: `(n, k)` the numbers of the classes; None for the most probable ones.
        signs: `(n, k)` 1, or -1 for what lowers the output; None with the classes.
        regions: `(n, k, ...)` or `(n, 1, ...)` weights of the output's positions; None
            where there are no positions, or where the network decides.
    """

    rivals: np.ndarray
    classes: np.ndarray | None = None
    signs: np.ndarray | None = None
    regions: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """What is given, by name, as float32."""
        return {
            name: np.asarray(array, np.float32)
            for name, array in vars(self).items()
            if array is not None
        }

    def lowers(self, image: int, column: int) -> bool:
        """Whether what lowers a class of an image is explained."""
        return self.signs is not None and bool(self.signs[image, column] < 0)

    def of(
        self, rows: np.ndarray | slice, columns: np.ndarray | slice = slice(None)
    ) -> Target:
        """The target for some of the images, and some of the classes."""
        parts = {
            name: array[rows] if array.shape[1] == 1 else array[rows][:, columns]
            for name, array in self.arrays().items()
        }
        return Target(**parts)


class Answers(NamedTuple):
    """What a network says of images, `(n, k)` each.

    Attributes:
        classes: The numbers of the classes.
        scores: What is explained: logits, or differences of logits.
        probabilities: Of the classes; the values of a head without softmax or sigmoid.
        regions: `(n, k, ...)` the weights of the output's positions, which add up to 1;
            `(n, k)` ones where there is one answer per image.
        assigned: Whether the region is the class's own, or the one that was given;
            otherwise it is the one position where the class comes nearest. True where
            there is one answer per image.
    """

    classes: tf.Tensor
    scores: tf.Tensor
    probabilities: tf.Tensor
    regions: tf.Tensor
    assigned: tf.Tensor


def _class_maps(head: Head) -> tf.Tensor:
    """The logits of a head, `(n, ..., classes)`, with both classes of a binary one.

    Axes between the first and the last are left out if each holds one position.
    """
    logits = head.by_class()
    if logits.shape.rank > 2 and all(size == 1 for size in logits.shape[1:-1]):
        return tf.reshape(logits, [-1, logits.shape[-1]])
    return logits


def answers(
    head: Head, given: dict[str, tf.Tensor], *, top: int, at: Position | None
) -> Answers:
    """Computes the scores of a target in the current graph.

    Args:
        head: The output that is asked.
        given: The arrays of a `Target`, as tensors.
        top: How many of the most probable classes, if none are given.
        at: The only position of the output that counts; None for all.

    Raises:
        ArgumentError: If the region does not fit the output.
    """
    maps = _class_maps(head)
    fixed = _fixed_region(head, maps, given.get("regions"), at)
    flat = None  # logits at positions, `(n, p, classes)`, where there are some
    if maps.shape.rank > 2:
        flat = tf.reshape(maps, [tf.shape(maps)[0], -1, maps.shape[-1]])
    # Where there is no rival, its row is of zeros.
    rivals = tf.one_hot(tf.cast(given["rivals"], tf.int32), head.classes)
    if "classes" in given:
        classes, signs = tf.cast(given["classes"], tf.int32), given["signs"]
    else:
        # No class is compared with itself, if there are others.
        votes = maps if flat is None else _votes(head, flat, fixed)
        votes -= tf.cast(1e9 * rivals[:, 0], votes.dtype)
        classes = tf.math.top_k(votes, min(top, head.classes)).indices
        signs = tf.ones_like(classes, tf.float32)
    chosen = tf.one_hot(classes, head.classes)  # (n, k, classes)
    weights = signs[..., None] * (chosen - rivals)
    regions, assigned = tf.ones_like(signs), tf.ones_like(signs, bool)
    if flat is None:
        scores = tf.einsum("nc,nkc->nk", maps, weights)
        probabilities = tf.einsum("nc,nkc->nk", head.squashed(maps), chosen)
        return Answers(classes, scores, probabilities, regions, assigned)
    if fixed is None:
        regions, assigned = _regions(head, flat, chosen)
    else:
        regions = regions[..., None] * fixed
    regions = tf.stop_gradient(regions)
    means = tf.einsum("nkp,npc->nkc", regions, flat)
    values = tf.einsum("nkp,npc->nkc", regions, head.squashed(flat))
    return Answers(
        classes,
        tf.einsum("nkc,nkc->nk", means, weights),
        tf.einsum("nkc,nkc->nk", values, chosen),
        tf.reshape(regions, tf.concat([tf.shape(classes), tf.shape(maps)[1:-1]], 0)),
        assigned,
    )


def _is_exclusive(head: Head) -> bool:
    """Whether an image, or a pixel, has one class only."""
    return head.kind != "sigmoid" or head.is_binary


def _assigned(head: Head, flat: tf.Tensor) -> tf.Tensor:
    """Which positions belong to which class, as zeros and ones `(n, p, classes)`."""
    if head.classes == 1:
        return tf.ones_like(flat)  # one quantity, which is everywhere
    if _is_exclusive(head):
        return tf.one_hot(tf.argmax(flat, -1), head.classes)
    return tf.cast(flat > 0, tf.float32)


def _votes(head: Head, flat: tf.Tensor, fixed: tf.Tensor | None) -> tf.Tensor:
    """What classes are ranked by, `(n, classes)`."""
    if fixed is not None:
        return tf.reduce_sum(fixed[:, 0, :, None] * flat, 1)
    own, means = _assigned(head, flat), tf.reduce_mean(flat, 1)
    # The number of positions; among equally many, the mean logit decides.
    order = tf.argsort(means, direction="DESCENDING", stable=True)
    places = tf.cast(tf.argsort(order), tf.float64)
    return tf.cast(tf.reduce_sum(own, 1), tf.float64) - places / means.shape[-1]


def _regions(
    head: Head, flat: tf.Tensor, chosen: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The positions of each class; the nearest one for a class that has none."""
    mine = tf.einsum("npc,nkc->nkp", _assigned(head, flat), chosen)
    lead = tf.einsum("npc,nkc->nkp", flat, chosen)
    if _is_exclusive(head):
        lead -= tf.reduce_max(flat, -1)[:, None]
    nearest = tf.one_hot(tf.argmax(lead, -1), tf.shape(flat)[1])
    assigned = tf.reduce_any(mine > 0, -1)
    mine = tf.where(assigned[..., None], mine, nearest)
    return mine / tf.reduce_sum(mine, -1, keepdims=True), assigned


def _fixed_region(
    head: Head, maps: tf.Tensor, weights: tf.Tensor | None, at: Position | None
) -> tf.Tensor | None:
    """The region that was given, `(n, k, p)` or broadcast to that."""
    if weights is None and at is None:
        return None
    sizes = maps.shape.as_list()[1:-1]
    if not sizes:
        others = [f"head='{name}'" for name in head.heads if name != head.name]
        raise ArgumentError(
            f"region is given; output '{head.name}' answers once for each image, not "
            "for every position",
            hint=f"Choose another output: {listed(others)}." if others else None,
        )
    told = shape_text(sizes)
    if at is not None:
        if None in sizes or len(at) != len(sizes) or not _inside(at, sizes):
            raise ArgumentError(
                f"region is {at}; expected a position of output '{head.name}', which "
                f"has {told} positions"
            )
        place = int(np.ravel_multi_index(at, sizes))
        return tf.one_hot(place, int(np.prod(sizes)))[None, None]
    given = [] if weights is None else weights.shape.as_list()[2:]
    if len(sizes) != len(given) or any(
        n not in (None, m) for n, m in zip(sizes, given, strict=True)
    ):
        raise ArgumentError(
            f"region is a mask of {shape_text(given)}; output '{head.name}' "
            f"has {told} positions"
        )
    shape = tf.shape(weights)
    flat = tf.reshape(weights, [shape[0], shape[1], -1])
    return flat / tf.reduce_sum(flat, -1, keepdims=True)


def _inside(at: Position, sizes: list[int]) -> bool:
    return all(0 <= i < n for i, n in zip(at, sizes, strict=True))
