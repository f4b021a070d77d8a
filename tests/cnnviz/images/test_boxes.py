"""Which part of an image a unit sees."""

import numpy as np

from cnnviz.images import Box, ReceptiveField, field_boxes, image_spans
from cnnviz.images.boxes import mass_boxes, seen_box, seen_spans


def test_fields_are_where_the_arithmetic_says() -> None:
    # conv3 of the sample network: 18 wide, in steps of 4, beginning 7 before the image.
    field = ReceptiveField((18, 18), (4.0, 4.0), (-7, -7))
    positions = np.array([[0, 0], [3, 4], [6, 1]])
    assert field_boxes(field, positions, (28, 28)) == [
        Box(-7, -7, 18, 18),
        Box(5, 9, 18, 18),
        Box(17, -3, 18, 18),
    ]
    # Whole along one axis, as long as the image along the other, but not in its place.
    field = ReceptiveField((None, 18), (0.0, 4.0), (0, -7))
    assert field_boxes(field, positions, (28, 18)) == [
        Box(0, -7, 28, 18),
        Box(0, 9, 28, 18),
        Box(0, -3, 28, 18),
    ]
    # What the second and the third unit see holds all of the columns.
    whole = [Box(0, 0, 28, 18)] * 3
    field = ReceptiveField((None, 32), (0.0, 4.0), (0, -16))
    assert field_boxes(field, positions[1:], (28, 18)) == [Box(0, 0, 28, 18)] * 2
    assert field_boxes(field, positions, (28, 18))[0] == Box(0, -16, 28, 32)
    assert field_boxes(None, positions, (28, 18)) == whole
    one_dimensional = ReceptiveField((3,), (1.0,), (0,))
    assert field_boxes(one_dimensional, positions[:, :1], (28, 18)) == whole
    # After upsampling unit 3 of a field of 2 that moves by 1/2 sees from 1.5 to 2.5.
    field = ReceptiveField((2, 2), (0.5, 1.0), (0, 0))
    assert field_boxes(field, np.array([[3, 3]]), (9, 9)) == [Box(1, 3, 3, 2)]
    # Every unit sees the same part.
    field = ReceptiveField((4, 4), (0.0, 0.0), (2, 3))
    assert field_boxes(field, np.array([[0, 0]]), (9, 9)) == [Box(2, 3, 4, 4)]


def test_mass_is_boxed_by_one_square_size() -> None:
    masses = np.zeros((4, 20, 12))
    masses[0, 5:9, 3:5] = 1  # 4x2: the square is as large as the largest needs
    masses[1, 19, 11] = 7  # in a corner: the square stays inside
    masses[2, 0:6, 2] = 1
    masses[3, 10, 6], masses[3, 0, 0] = 99, 1  # one part in a hundred is left out
    assert mass_boxes(masses) == [
        Box(4, 1, 6, 6),
        Box(14, 6, 6, 6),
        Box(0, 0, 6, 6),
        Box(7, 3, 6, 6),
    ]
    # No more than half of what may be left out is left out at one end.
    masses = np.zeros((2, 20, 12))
    masses[0, 10, 6], masses[0, 4, 6] = 98, 2
    masses[1, 10, 6], masses[1, 4, 6] = 97, 3
    assert mass_boxes(masses[:1]) == [Box(10, 6, 1, 1)]
    assert mass_boxes(masses) == [Box(7, 3, 7, 7), Box(4, 3, 7, 7)]
    # Without any mass all is shown, also where that is no square.
    assert mass_boxes(np.zeros((1, 4, 10))) == [Box(-3, 0, 10, 10)]


def test_images_lie_on_all_of_a_map_whose_units_do_not_move() -> None:
    # The whole along the rows; along the columns what every unit sees is the same.
    field = ReceptiveField((None, 4), (1.0, 0.0), (0, 3))
    assert image_spans(field, [5, 2], [28, 28]) == ((0.0, 5.0), (0.0, 2.0))


def test_nothing_is_seen_outside_of_where_fields_are_clipped() -> None:
    field = ReceptiveField((5, None), (2.0, 0.0), (-2, 0), ((3, 8), (1, 4)))
    assert seen_spans(field, (6, 1), (12, 7)) == ((3, 9), (1, 5))
    assert seen_spans(field._replace(clip=None), (6, 1), (12, 7)) == ((0, 12), (0, 7))
    assert field._replace(clip=(None, (1, 4))).ends((12, 7)) == ((0, 12), (1, 5))
    # Units run backwards: the pixels 6, 4, 2 and 0.
    field_back = ReceptiveField((1, 2), (-2.0, 1.0), (6, 0))
    assert seen_spans(field_back, (4, 3), (8, 7)) == ((0, 7), (0, 4))
    assert seen_box(field, (12, 7)) == Box(3, 1, 6, 4)
    assert seen_box(field._replace(clip=None), (12, 7)) is None
    assert Box(-2, 2, 7, 9).within(Box(3, 1, 6, 4)) == Box(3, 2, 2, 3)
    assert Box(0, 0, 3, 9).within(Box(3, 1, 6, 4)) == Box(0, 0, 3, 9)
    # A picture of a signal, three columns for each step.
    assert field.of_signal(3.0).clip == (None, (9, 26))
    assert field._replace(clip=(None, (1, 4))).of_signal().clip is None
