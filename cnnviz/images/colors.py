"""Luminance, and colors moved to those of another image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_LEAST_VARIANCE = 1e-4  # of colors, so that the noise of flat images is not enlarged


def recolor(
    image: np.ndarray, examples: Sequence[np.ndarray], shares: np.ndarray
) -> np.ndarray:
    """The image, its colors moved to the mean and covariance of the examples'.

    Of all linear maps that do so, the one that moves colors least.
    """
    mean, covariance = _moments([image], np.ones(1))
    goal_mean, goal = _moments(examples, shares)
    root = _root(covariance)
    inverse = np.linalg.inv(root)
    change = inverse @ _root(root @ goal @ root) @ inverse
    colors = (image - mean) @ change + goal_mean
    return np.clip(colors, 0, 1).astype(np.float32)


def _moments(
    images: Sequence[np.ndarray], shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all colors, with a little of every color added."""
    first: np.ndarray = np.zeros(())
    second: np.ndarray = np.zeros(())
    for image, share in zip(images, shares, strict=True):
        flat = image.reshape(-1, image.shape[-1]).astype(np.float64)
        first = first + share * flat.mean(0)
        second = second + share * (flat.T @ flat) / len(flat)
    noise = _LEAST_VARIANCE * np.eye(len(first))
    return first, second - np.outer(first, first) + noise


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def with_chroma_of(
    content: np.ndarray, image: np.ndarray, ends: tuple[float, float]
) -> np.ndarray:
    """The luma of an image below the chroma of the content.

    Args:
        content: `(h, w, 1)` or `(h, w, 3)`, in the values of the image.
        image: `(h, w, 1)` or `(h, w, 3)`.
        ends: The least and the largest value that colors may have.
    """
    luma = image if image.shape[-1] == 1 else image @ LUMA[:, None]
    if content.shape[-1] == 1:
        return luma.repeat(image.shape[-1], -1)
    colored = luma + content - content @ LUMA[:, None]
    return np.clip(colored, *ends).astype(np.float32)
