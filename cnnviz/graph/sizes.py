"""How much a graph computes: what decides how many images fit into memory."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_WITHOUT_VALUES = ("Identity", "Reshape", "ReadVariableOp", "Const", "Placeholder")
"""Operations whose outputs are those of others, or no part of an image's."""


def numbers_per_image(graph: tf.Graph) -> int:
    """How many numbers one image becomes on its way through a graph.

    Counted are the floating-point tensors with an axis of images and more, the first
    axis left out; an unknown size counts as 1.

    Args:
        graph: The graph, of any number of images.
    """
    return sum(
        int(np.prod([size or 1 for size in output.shape[1:]]))
        for operation in graph.get_operations()
        if operation.type not in _WITHOUT_VALUES
        for output in operation.outputs
        if output.dtype.is_floating and (output.shape.rank or 0) > 1
    )
