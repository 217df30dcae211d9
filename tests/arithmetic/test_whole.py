"""Whole numbers from outside."""

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies_engine import junk
from yashe.arithmetic.whole import shown, whole, whole_numbers
from yashe.errors import ParameterError


@given(st.integers(-100, 100), st.sampled_from([int, np.int8, np.int64, np.array]))
def test_every_type_of_whole_number_becomes_an_int(number: int, kind: Any) -> None:
    assert type(whole(kind(number), "x")) is int
    assert whole(kind(number), "x") == number
    for values in ([kind(number)], (kind(number),), np.array([number])):
        found = whole_numbers(values, "xs")
        assert found == (number,)
        assert type(found[0]) is int


@given(junk)
def test_whatever_is_given_is_a_whole_number_or_refused(value: Any) -> None:
    try:
        number = whole(value, "x")
    except ParameterError:
        assert not isinstance(value, int | np.integer) or isinstance(value, bool)
    else:
        assert number == operator.index(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "x must be a whole number, not True"),
        (2.0, "not 2.0"),
        (np.float64(2), r"not (np.float64\()?2.0"),
        ("2", "not '2'"),
        ([2], r"not \[2\]"),
        (None, "not None"),
    ],
)
def test_what_is_no_whole_number_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        whole(value, "x")


def test_limits_are_included() -> None:
    assert [whole(x, "x", -1, 1) for x in (-1, 0, 1)] == [-1, 0, 1]
    for x in (-2, 2):
        with pytest.raises(ParameterError, match=f"x must be a whole number from -1 to 1, not {x}"):
            whole(x, "x", -1, 1)
    assert whole(10**5000, "x", 0) == 10**5000
    with pytest.raises(ParameterError, match="of at least 0, not a number of thousands of digits"):
        whole(-(10**5000), "x", 0)


@pytest.mark.parametrize(
    "values", [5, "12", b"12", {1, 2}, {1: 2}, np.array(5), range(3), None, np.array([[1]])]
)
def test_what_has_no_order_or_no_numbers_is_no_tuple(values: object) -> None:
    with pytest.raises(ParameterError, match="xs must be a tuple of whole numbers, not "):
        whole_numbers(values, "xs")


@pytest.mark.parametrize("values", [(1, 2.0), [True], np.array([1.0]), [[1]], ("1",)])
def test_every_entry_must_be_a_whole_number(values: object) -> None:
    with pytest.raises(ParameterError, match="each of xs must be a whole number, not "):
        whole_numbers(values, "xs")


@given(junk)
def test_an_error_says_in_a_few_words_what_was_received(value: Any) -> None:
    assert 0 < len(shown(value)) < 400
