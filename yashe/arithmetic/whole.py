"""Arguments from outside: taken in every type that will do, refused in every other."""

from __future__ import annotations

import operator
import reprlib
from contextlib import suppress
from typing import Any

import numpy as np

from yashe.errors import KindError, ParameterError


def whole(value: Any, what: str, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as an int of Python, which never overflows.

    Parameters
    ----------
    value : int, NumPy integer, or anything else with `__index__`; True and False are no numbers
    what : its name, for the error
    least, most : limits, both included, if there are any

    Raises
    ------
    KindError
        If it is not a whole number.
    ParameterError
        If it is not within the limits.

    Examples
    --------
    >>> whole(np.int64(4096), "n") ** 6 == 2**72
    True
    """
    number: int | None = None
    if not isinstance(value, bool):
        with suppress(TypeError):
            number = operator.index(value)
    if (
        number is not None
        and (least is None or least <= number)
        and (most is None or number <= most)
    ):
        return number
    kind = KindError if number is None else ParameterError
    limits = "" if least is None else f" of at least {least}"
    limits = limits if most is None else f" from {least} to {most}"
    raise kind(f"{what} must be a whole number{limits}, not {shown(value)}")


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


def truth(value: Any, what: str) -> bool:
    """Return the value if it is True or False, else refuse.

    Raises
    ------
    KindError
    """
    if not isinstance(value, bool | np.bool_):
        raise KindError(f"{what} must be True or False, not {shown(value)}")
    return bool(value)


def of_kind(value: Any, what: str, *kinds: type) -> None:
    """Refuse a value that is of none of these classes.

    Raises
    ------
    KindError
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise KindError(f"{what} must be a {wanted}; got {shown(value)}.")


def shown(value: Any) -> str:
    """Return what to call a value in an error: never long, and Python refuses to print some."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an int of more than 4300 digits
        return "a number of thousands of digits"
