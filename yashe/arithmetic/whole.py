"""Whole numbers from outside: taken in every type that is one, refused in every other."""

from __future__ import annotations

import operator
import reprlib
from typing import Any

import numpy as np

from yashe.errors import ParameterError


def whole(value: Any, what: str, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as an int of Python, which never overflows.

    Parameters
    ----------
    value : int, NumPy integer, or anything else with `__index__`; True and False are no numbers
    what : its name, for the error
    least, most : limits, both included, if there are any

    Raises
    ------
    ParameterError
        If it is not a whole number, or not within the limits.

    Examples
    --------
    >>> whole(np.int64(4096), "n") ** 6 == 2**72
    True
    """
    try:
        number = operator.index(value)
        fits = not isinstance(value, bool)
        fits &= (least is None or least <= number) and (most is None or number <= most)
    except TypeError:
        fits = False
    if not fits:
        limits = "" if least is None else f" of at least {least}"
        limits = limits if most is None else f" from {least} to {most}"
        raise ParameterError(f"{what} must be a whole number{limits}, not {shown(value)}")
    return number


def whole_numbers(values: Any, what: str) -> tuple[int, ...]:
    """Return the whole numbers of a tuple, a list or an array with one axis; see `whole`.

    Raises
    ------
    ParameterError
    """
    one_axis = isinstance(values, np.ndarray) and values.ndim == 1
    if not (one_axis or isinstance(values, list | tuple)):
        raise ParameterError(f"{what} must be a tuple of whole numbers, not {shown(values)}")
    return tuple(whole(value, f"each of {what}") for value in values)


def shown(value: Any) -> str:
    """Return what to call a value in an error: never long, and Python refuses to print some."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an int of more than 4300 digits
        return "a number of thousands of digits"
