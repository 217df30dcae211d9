"""Drawings become images like those of MNIST, or are refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.drawing.strokes import MOST_POINTS, SIDE, digit_of
from yashe.errors import DataError

coordinates = st.floats(-1000, 1000, allow_nan=False)
lines = st.lists(st.lists(st.tuples(coordinates, coordinates).map(list), min_size=1, max_size=8))
drawings = lines.filter(lambda drawn: any(drawn))


@given(drawings)
@settings(max_examples=50)
def test_a_drawing_is_in_the_middle_and_within_the_image(drawn: list[Any]) -> None:
    image = digit_of(drawn)
    assert (image.shape, image.dtype) == ((SIDE, SIDE), np.uint8)
    ink = image.astype(np.float64)
    assert ink.max() > 220  # a dot between four pixels fills none of them
    places = np.arange(SIDE) + 0.5
    for axis in (0, 1):
        mass = ink.sum(axis=axis) @ places / ink.sum()
        assert abs(mass - SIDE / 2) < 6.5  # what is lost beyond the edge weighs little


@given(drawings, st.floats(0.01, 100), coordinates, coordinates)
@settings(max_examples=50)
def test_place_and_size_of_a_drawing_do_not_matter(
    drawn: list[Any], scale: float, x: float, y: float
) -> None:
    moved = [[[scale * a + x, scale * b + y] for a, b in line] for line in drawn]
    size = np.ptp([point for line in drawn for point in line], axis=0).max()
    if size == 0 or size > 1e-3:  # else nothing but rounding errors were drawn
        assert np.abs(digit_of(moved).astype(int) - digit_of(drawn)).max() <= 2


def test_a_line_by_hand() -> None:
    """From (14, 5.1) to (14, 22.9), white within 0.6 pixels: two columns and 18 rows."""
    image = digit_of([[[0, 0], [0, 1]]])
    assert np.flatnonzero(image[14] == 255).tolist() == [13, 14]
    assert np.flatnonzero(image[:, 13] == 255).tolist() == list(range(5, 23))


@pytest.mark.parametrize(
    "wrong",
    [None, 3, "lines", {}, [3], [[3]], [[[1]]], [[[1, 2, 3]]], [[["1", "2"]]], [[[True, False]]]],
)
def test_what_is_no_drawing_is_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match="a drawing is a list of lines"):
        digit_of(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e7, -(10**9)])
def test_coordinates_that_are_no_places_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="at most a million"):
        digit_of([[[0, value]]])


def test_nothing_and_too_much_are_refused() -> None:
    for count, drawn in ((0, []), (0, [[]]), (MOST_POINTS + 1, [[[0, 0]] * (MOST_POINTS + 1)])):
        with pytest.raises(DataError, match=f"1 to {MOST_POINTS} points, not {count}"):
            digit_of(drawn)
