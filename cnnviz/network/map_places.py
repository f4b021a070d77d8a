"""Where the maps of layers lie on the images that they are of."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cnnviz.graph.extents import moving
from cnnviz.graph.receptive_fields import Views, field_of, order_of
from cnnviz.images.boxes import ReceptiveField


class MapPlace(NamedTuple):
    """How the maps of a layer lie on the images of an input.

    Attributes:
        input: The number of the input.
        order: For each axis of the image the number of the map's that goes along it;
            (1, 0) behind a `Permute` that swaps rows and columns. Empty if that is not
            known, or there are no maps.
        field: What a unit sees of the image, gates and statistics apart; None if it is
            not known.
    """

    input: int
    order: tuple[int, ...]
    field: ReceptiveField | None


def map_places(tensor: tf.Tensor, views: Views) -> list[MapPlace]:
    """How maps lie on inputs, those that they move over; none where it is not known.

    Args:
        tensor: The maps, channels last.
        views: What tensors see of the inputs.
    """
    view = moving(views(tensor) or [])
    places = []
    for number in sorted({extent.axis[0] for extent in view}):
        own = [extent for extent in view if extent.axis[0] == number]
        order = order_of(own, range(1, tensor.shape.rank - 1))
        if order is not None:
            places.append(MapPlace(number, order, field_of(own, tensor.shape)))
    return places
