"""Tables, classes and values as they come from users: taken as scikit-learn takes them, or refused.

Where scikit-learn has a phrase for a mistake, such as "Reshape your data", it is used here too: its
own checks (`sklearn.utils.estimator_checks`) look for it, and users search for it.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from nn.networks.schema import LARGEST_WIDTH, RealArray
from yashe.errors import FheError


class TableError(FheError, ValueError):
    """A table, classes or values that no network can learn from or predict for."""


class TableKindError(TableError, TypeError):
    """Something that is no table at all."""


class NotFittedError(FheError, ValueError, AttributeError):
    """A network was asked before it had learnt anything."""


class ClippedWarning(UserWarning):
    """Values lie outside of what the network knows, and count as the nearest ones that it knows."""


class ColumnVectorWarning(UserWarning):
    """One column was given where a plain list of classes or values is meant."""


def also_of_sklearn(kind: type, name: str) -> type:
    """Return a class that scikit-learn takes for its own one of that name, if it is in use.

    Its own tools ask for their class. It is never imported here: who uses it has done so.
    """
    theirs = getattr(sys.modules.get("sklearn.exceptions"), name, None)
    return kind if theirs is None else type(name, (kind, theirs), {})


def names_of(X: Any) -> npt.NDArray[np.object_] | None:
    """Return the names of a table's columns as an object array; None for arrays without names."""
    columns = getattr(X, "columns", None)
    if columns is None:
        return None
    names = list(columns)
    texts = [isinstance(name, str) for name in names]
    if any(texts) and not all(texts):
        raise TableKindError(
            "Feature names are only supported if all input features have string names; got "
            f"{names[:5]}. Name all columns, or none."
        )
    return np.array(names, dtype=object) if names and all(texts) else None


def check_table(X: Any, doing: str) -> RealArray:
    """Return rows of numbers as float64 array, shape (rows, columns), or say what they are not.

    Parameters
    ----------
    X : array-like
    doing : the name of the estimator, for messages

    Raises
    ------
    TableError, TableKindError
    """
    if hasattr(X, "toarray"):
        raise TableKindError(
            f"{doing} takes dense tables, and this one is sparse, a {type(X).__name__}: "
            "X.toarray() makes a dense one."
        )
    if np.ma.is_masked(X):
        raise TableError("a table must have numbers everywhere, and none of them masked.")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise TableError(f"a table has rows of one length: {error}") from error
    if array.dtype.kind == "c":
        raise TableError(f"Complex data not supported: {doing} takes real numbers.")
    if array.ndim != 2:
        what = "scalar" if array.ndim == 0 else f"{array.ndim}D array"
        raise TableError(
            f"Expected 2D array, got {what} instead: a table has the shape (rows, columns). "
            "Reshape your data with X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if one "
            "row."
        )
    rows, columns = array.shape
    if rows == 0 or columns == 0:
        raise TableError(
            f"Found array with {rows} sample(s) and {columns} feature(s) (shape={array.shape}) "
            f"while a minimum of 1 is required by {doing}."
        )
    if columns > LARGEST_WIDTH:
        raise TableError(f"tables have at most {LARGEST_WIDTH} columns; got {columns}.")
    if array.dtype.kind not in "biufO":
        raise TableError(f"{doing} takes numbers, and this table is of {array.dtype}: {NUMBERS}")
    try:
        numbers: RealArray = array.astype(np.float64)
    except TypeError as error:
        raise TableKindError(f"{error}: {NUMBERS}") from error
    except (ValueError, OverflowError) as error:  # an integer may be beyond all floats
        raise TableError(f"{error}: {NUMBERS}") from error
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        what = "NaN" if np.isnan(numbers[row, column]) else "infinity"
        raise TableError(
            f"Input X contains {what}, first in row {row}, column {column}: {doing} needs a number "
            "in every place. Fill in what is missing, or leave out the row or the column."
        )
    return numbers


NUMBERS = (
    "every column must hold numbers, none of them missing. Leave others out, count the days of "
    "dates, or make one column of 0 and 1 for each of their values."
)


def check_targets(y: Any, rows: int, doing: str) -> npt.NDArray[Any]:
    """Return classes or values as an array of shape (rows,), or say what they are not.

    Raises
    ------
    TableError
    """
    if y is None:
        raise TableError(f"{doing} requires y to be passed, but the target y is None.")
    if np.ma.is_masked(y):
        raise TableError("y has an entry for each row, and none of them masked.")
    try:
        targets = np.asarray(y)
    except ValueError as error:
        raise TableError(f"y has one entry for each row: {error}") from error
    if targets.ndim == 2 and targets.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected: y.ravel() makes one.",
            also_of_sklearn(ColumnVectorWarning, "DataConversionWarning"),
            stacklevel=3,
        )
        targets = targets[:, 0]
    if targets.ndim != 1:
        raise TableError(f"y has one entry for each row, shape (rows,); got {targets.shape}.")
    if targets.dtype.kind in "fc":
        if not np.isfinite(targets).all():
            raise TableError("Input y contains NaN or infinity: leave out such rows.")
        if targets.dtype.kind == "c":
            raise TableError("Complex data not supported: y must be real.")
    if targets.dtype.kind == "O" and any(map(is_missing, targets)):
        raise TableError("Input y contains NaN or None: leave out rows without an answer.")
    if len(targets) != rows:
        raise TableError(f"y has one entry for each row; got {len(targets)} for {rows} rows.")
    return targets


def is_missing(entry: Any) -> bool:
    """Say whether an entry stands for none: None, NaN, and the NA of pandas, which is no bool."""
    try:
        return entry is None or bool(entry != entry)
    except TypeError:
        return True


def check_learnable(numbers: RealArray, names: list[str], doing: str) -> None:
    """Refuse tables from which nothing can be learnt."""
    if len(numbers) < 2:
        raise TableError(
            f"{doing} needs two rows or more to learn from, better hundreds; got n_samples=1."
        )
    still = np.flatnonzero(numbers.min(axis=0) == numbers.max(axis=0))
    if still.size:
        raise TableError(
            f"column {names[still[0]]!r} is {numbers[0, still[0]]:g} in every row, so nothing can "
            "be learnt from it: leave it out."
        )


def check_names(
    known: npt.NDArray[np.object_] | None, given: npt.NDArray[np.object_] | None, doing: str
) -> None:
    """Compare the names of the columns with those of the training set: same names, same order.

    Raises
    ------
    TableError
    """
    if known is None and given is None:
        return
    if known is None or given is None:
        having, fitted = ("does not have valid", "with") if given is None else ("has", "without")
        warnings.warn(
            f"X {having} feature names, but {doing} was fitted {fitted} feature names",
            UserWarning,
            stacklevel=4,
        )
        return
    if list(known) == list(given):
        return
    unseen, gone = sorted(set(given) - set(known)), sorted(set(known) - set(given))
    message = "The feature names should match those that were passed during fit.\n"
    for title, names in (
        ("Feature names unseen at fit time:\n", unseen),
        ("Feature names seen at fit time, yet now missing:\n", gone),
    ):
        if names:
            message += title + "".join(f"- {name}\n" for name in names[:5])
            message += "- ...\n" if len(names) > 5 else ""
    if not unseen and not gone:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise TableError(message)


def generator(random_state: Any) -> np.random.Generator:
    """Return the generator that a `random_state` means: None, a whole number, or a generator."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if random_state is not None and not (whole and random_state >= 0):
        raise TableError(
            f"random_state is a whole number from 0 on, or None; got {random_state!r}."
        )
    return np.random.default_rng(random_state)
