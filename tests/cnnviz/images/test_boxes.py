"""Which part of an image a unit sees."""

import numpy as np

from cnnviz.images import Box, ReceptiveField, field_boxes


def test_fields_are_where_the_arithmetic_says() -> None:
    # conv3 of the sample network: 18 wide, in steps of 4, beginning 7 before the image.
    field = ReceptiveField((18, 18), (4.0, 4.0), (-7, -7))
    positions = np.array([[0, 0], [3, 4], [6, 1]])
    assert field_boxes(field, positions, (28, 28)) == [
        Box(-7, -7, 18, 18),
        Box(5, 9, 18, 18),
        Box(17, -3, 18, 18),
    ]
    # Whole along one axis, as long as the image along the other.
    whole = [Box(0, 0, 28, 18)] * 3
    field = ReceptiveField((None, 18), (0.0, 4.0), (0, -7))
    assert field_boxes(field, positions, (28, 18)) == whole
    assert field_boxes(None, positions, (28, 18)) == whole
    one_dimensional = ReceptiveField((3,), (1.0,), (0,))
    assert field_boxes(one_dimensional, positions[:, :1], (28, 18)) == whole
    # After upsampling unit 3 of a field of 2 that moves by 1/2 sees from 1.5 to 2.5.
    field = ReceptiveField((2, 2), (0.5, 1.0), (0, 0))
    assert field_boxes(field, np.array([[3, 3]]), (9, 9)) == [Box(1, 3, 3, 2)]
    # Every unit sees the same part.
    field = ReceptiveField((4, 4), (0.0, 0.0), (2, 3))
    assert field_boxes(field, np.array([[0, 0]]), (9, 9)) == [Box(2, 3, 4, 4)]
