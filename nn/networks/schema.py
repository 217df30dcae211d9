"""What a network's numbers mean: columns of a table go in, classes or values come out.

A network knows integers only. Its schema says how a row of raw numbers becomes integers 0..levels,

    integer = floor(levels (x - low) / (high - low) + 1/2)        low, high: one for each column

with x clipped to [low, high] before, and what its outputs stand for: the class with the largest
output, or fixed-point numbers, value = offset + scale * output. A schema is public. Whoever
encrypts and whoever decrypts needs it, so it goes into the model card (`nn.service.card`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nn.networks.base import NumberArray
from nn.networks.checks import check_facts
from yashe.arithmetic.residues import IntArray
from yashe.errors import DataError, FheError, ParameterError

LARGEST_WIDTH = 1024  # columns: a card with all of them is small enough to be sent
LONGEST_NAME = 64
MOST_CLASSES = 4096

RealArray: TypeAlias = npt.NDArray[np.float64]
Label: TypeAlias = str | int | float | bool


@dataclass(frozen=True)
class Columns:
    """Raw columns, and how they become integers.

    Attributes
    ----------
    names : of the columns, in their order
    low, high : what becomes 0 and what becomes `levels`, one for each column; what lies beyond
        is clipped
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.names) == len(self.low) == len(self.high) <= LARGEST_WIDTH:
            raise ParameterError(
                f"a table has 1 to {LARGEST_WIDTH} columns, each with a name, a low and a high "
                f"end; got {len(self.names)}, {len(self.low)} and {len(self.high)}."
            )
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ParameterError(f"every column needs a name of its own; {twice!r} is there twice.")
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            check_text("the name of a column", name)
            finite = type(low) is type(high) is float and -math.inf < low < high < math.inf
            if not (finite and low / 2 < high / 2):  # `shares` divides by the halves' distance
                raise ParameterError(f"column {name!r} must go from low to high, not {low}, {high}")

    def __repr__(self) -> str:
        more = ", ..." if len(self.names) > 4 else ""
        return f"Columns({len(self.names)}: {', '.join(self.names[:4])}{more})"

    @classmethod
    def of(cls, rows: RealArray, names: Sequence[str]) -> Columns:
        """Learn the ends of columns from the rows of a training set.

        Each column goes from its mean minus three standard deviations to its mean plus three, but
        no farther than its values do. So one outlier does not squeeze all others into few integers.
        A column with two values goes from the one to the other. The ends are then rounded outwards
        to whole hundredths of what is between them: that is enough, and no row's own number.

        Parameters
        ----------
        rows : float64 array, shape (rows, columns), finite
        names : one for each column

        Raises
        ------
        DataError
            If a column has one value only: it tells nothing, and must be left out.
        """
        least, most = rows.min(axis=0), rows.max(axis=0)
        size = np.maximum(np.maximum(-least, most), np.finfo(np.float64).tiny)
        mean = size * (rows / size).mean(axis=0)  # of the quotients, which cannot overflow
        with np.errstate(over="ignore"):  # to infinity, which is beyond all values
            spread = size * (3 * (rows / size).std(axis=0))
        ends = []
        for i, name in enumerate(names):
            if least[i] == most[i]:
                raise DataError(
                    f"column {name!r} is {least[i]:g} in every row, so nothing can be learnt from "
                    "it: leave it out."
                )
            two = bool(np.isin(rows[:, i], (least[i], most[i])).all())
            low = least[i] if two else max(least[i], mean[i] - spread[i])
            high = most[i] if two else min(most[i], mean[i] + spread[i])
            ends.append(rounded_outwards(float(low), float(high)))
        low_ends, high_ends = zip(*ends, strict=True)
        return cls(tuple(map(str, names)), low_ends, high_ends)

    def clipped(self, rows: RealArray) -> RealArray:
        """Return the rows with every value moved into [low, high] of its column."""
        return np.clip(rows, self.low, self.high)

    def shares(self, rows: RealArray) -> RealArray:
        """Return (x - low) / (high - low) of the clipped rows, in [0, 1]."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        # Halves, because high - low may be beyond float64.
        shares: RealArray = (self.clipped(rows) / 2 - low / 2) / (high / 2 - low / 2)
        return shares

    def prepare(self, rows: RealArray, levels: int) -> IntArray:
        """Return a table as a network takes it.

        Parameters
        ----------
        rows : float64 array, shape (rows, columns), finite
        levels : what the upper end becomes

        Returns
        -------
        int64 array, shape of the rows, values 0..levels

        Examples
        --------
        >>> Columns(("age",), (20.0,), (80.0,)).prepare(np.array([[18.0], [20.5], [50.0]]), 60)
        array([[ 0],
               [ 1],
               [30]])
        """
        return np.floor(levels * self.shares(rows) + 0.5).astype(np.int64)

    def outside(self, rows: RealArray) -> list[str]:
        """Return a sentence for every column in which values are clipped."""
        sentences = []
        beyond = rows != self.clipped(rows)
        for i in np.flatnonzero(beyond.any(axis=0)).tolist():
            first = int(np.argmax(beyond[:, i]))
            sentences.append(
                f"column {self.names[i]!r}: {np.count_nonzero(beyond[:, i])} of {len(rows)} values "
                f"clipped to [{self.low[i]:g}, {self.high[i]:g}]; the first is {rows[first, i]:g} "
                f"in row {first}"
            )
        return sentences


@dataclass(frozen=True)
class Classes:
    """Outputs that decide for a class: the largest one; a single output decides by its sign.

    Attributes
    ----------
    labels : of the classes, two or more, in their order
    scale : a logit, in the sense of logistic regression, is scale * output
    """

    labels: tuple[Label, ...]
    scale: float = 1.0
    kind: str = field(default="classes", init=False, repr=False)

    def __post_init__(self) -> None:
        if not 2 <= len(self.labels) <= MOST_CLASSES:
            raise ParameterError(
                f"there are 2 to {MOST_CLASSES} classes to decide between; got {len(self.labels)}."
            )
        kinds = {type(label) for label in self.labels}
        if len(kinds) > 1 or not kinds <= {str, int, float, bool}:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise ParameterError(f"classes are all texts, all numbers or all bools; got {names}.")
        if len(set(map(str, self.labels))) < len(self.labels):
            raise ParameterError(f"every class needs a label of its own; got {self.labels}.")
        for label in self.labels:
            check_text("a class", str(label))
        check_scale(self.scale)

    def answers(self, outputs: NumberArray) -> npt.NDArray[Any]:
        """Return one label for each row of outputs, shape (rows, outputs)."""
        one = outputs.shape[-1] == 1
        found = outputs[:, 0] > 0 if one else outputs.argmax(axis=-1)
        return np.asarray(self.labels)[found.astype(np.int64)]


@dataclass(frozen=True)
class Values:
    """Outputs that are fixed-point numbers: value = offset + scale * output.

    Attributes
    ----------
    scale : what one unit of the output is worth, in the unit of the values
    offset : the value of output 0
    """

    scale: float
    offset: float = 0.0
    kind: str = field(default="values", init=False, repr=False)

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if not (isinstance(self.offset, float) and math.isfinite(self.offset)):
            raise ParameterError(f"an offset is a number, not {self.offset!r}")

    def answers(self, outputs: NumberArray) -> RealArray:
        """Return one value for each row of outputs, shape (rows, 1)."""
        return self.offset + self.scale * np.asarray(outputs[:, 0], dtype=np.float64)


def r_squared(found: npt.NDArray[Any], values: npt.NDArray[Any], undefined: float) -> float:
    """Return R^2 = 1 - (mean squared error) / (variance of the values), of those that were found.

    That is 1 if all are right, and 0 for what the mean of the values would get.

    Parameters
    ----------
    undefined : what to return for values that are all the same
    """
    variance = np.var(values)
    return float(1 - np.mean((found - values) ** 2) / variance) if variance else undefined


@dataclass(frozen=True)
class Schema:
    """What goes in, and what comes out.

    Attributes
    ----------
    answers : Classes or Values
    columns : Columns, or None for pictures, whose pixels need no more than `levels`
    """

    answers: Classes | Values
    columns: Columns | None = None

    @classmethod
    def plain(cls, outputs: int) -> Schema:
        """Return the schema of a network of which only the number of outputs is known."""
        return cls(Values(1.0) if outputs == 1 else Classes(tuple(range(outputs))))

    def check(self, input_shape: tuple[int, ...], outputs: int) -> None:
        """Refuse a schema that is not of a network with these shapes."""
        columns = self.columns
        if columns is not None and (len(columns.names),) != tuple(input_shape):
            raise ParameterError(f"{len(columns.names)} columns for inputs of shape {input_shape}")
        kinds = len(self.answers.labels) if isinstance(self.answers, Classes) else 1
        if outputs != kinds and (outputs, kinds) != (1, 2):
            raise ParameterError(f"{outputs} outputs for {self.answers}")

    @classmethod
    def from_json(cls, facts: Any) -> Schema:
        """Return the schema of a stranger's parsed JSON, as `dataclasses.asdict` makes it.

        Raises
        ------
        ValueError, ParameterError
            If it is none.
        """
        columns = facts.get("columns") if isinstance(facts, dict) else None
        check_facts(facts, {"answers": dict, "columns": type(columns)})
        answers = facts["answers"]
        if answers.get("kind") == "classes":
            check_facts(answers, {"labels": list, "scale": float, "kind": str})
            found: Classes | Values = Classes(tuple(answers["labels"]), answers["scale"])
        else:
            check_facts(answers, {"scale": float, "offset": float, "kind": str})
            found = Values(answers["scale"], answers["offset"])
        if columns is None:
            return cls(found)
        check_facts(columns, {"names": list, "low": list, "high": list})
        return cls(found, Columns(*(tuple(columns[name]) for name in ("names", "low", "high"))))


def rounded_outwards(low: float, high: float) -> tuple[float, float]:
    """Round two ends away from each other, to multiples of a power of ten.

    The power is the largest one of at most a hundredth of their distance.

    Examples
    --------
    >>> rounded_outwards(17.234, 80.111)
    (17.2, 80.2)
    """
    hundredth = high / 100 - low / 100
    if not 1e-300 < hundredth < 1e300:  # neighbours among the floats, or as far apart as they get
        return low, high
    power = 10.0 ** math.floor(math.log10(hundredth))
    down, up = math.floor(low / power) * power, math.ceil(high / power) * power
    # Sixteen digits end in noise such as 17.200000000000003; the nearest shorter number is meant.
    digits = max(0, -math.floor(math.log10(power)))
    return round(down, digits), round(up, digits)


def check_text(what: str, text: Any, error: type[FheError] = ParameterError) -> None:
    """Refuse what cannot be printed in one line, by an error of the class given."""
    if not (isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and text.isprintable()):
        raise error(f"{what} has 1 to {LONGEST_NAME} printable characters; got {str(text)[:80]!r}.")


def check_scale(scale: Any) -> None:
    """Refuse what cannot be the worth of one unit."""
    if not (isinstance(scale, float) and 0 < scale < math.inf):
        raise ParameterError(f"a scale is a positive number, not {scale!r}")
