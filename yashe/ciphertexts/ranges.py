"""What the slots of a ciphertext lie within, if their owner has declared it.

Slots compute modulo t: 300 * 300 in a slot that ends at 32768 wraps around, and decrypts to
another number. The noise does not show it. But whoever encrypts may declare a range,

    x = scheme.encrypt([300, 1000], keys.public, within=(0, 1000))

and then every result knows its own, by interval arithmetic: `x + x` lies within (0, 2000), and
`x * x` is refused if (0, 1000000) does not fit into (-t/2, t/2). `x.modulo()` forgets the range:
from there on, wrapping is meant. A range is public, is not written to files (`x.declared` says it
again), and only decryption can find out that somebody has declared a wrong one.

Networks are proved as a whole by their plan, with these same intervals (`nn.planning.plan`), and
sums of squares that are computed together (`yashe.circuits`) take no declared ciphertexts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import shown, whole_numbers
from yashe.ciphertexts.moves import Together
from yashe.errors import RangeError
from yashe.parameters.sets import Params


@dataclass(frozen=True, eq=False)
class Interval(Together):
    """An array of integer intervals [low, high]; arithmetic gives the tightest interval around it.

    Attributes
    ----------
    low, high : object arrays of Python integers, so that nothing can overflow
    """

    low: NDArray[np.object_]
    high: NDArray[np.object_]

    @classmethod
    def of(cls, low: int, high: int, shape: tuple[int, ...] = ()) -> Interval:
        """Return one interval for a whole array."""
        return cls(np.full(shape, int(low), object), np.full(shape, int(high), object))

    def __repr__(self) -> str:
        return f"Interval(shape={self.shape}, up to {self.bits:.1f} bits)"

    @property
    def largest(self) -> int:
        """Largest absolute value of all; 0 for an empty array."""
        ends = [*self.low.ravel(), *self.high.ravel()]
        return max((abs(int(end)) for end in ends), default=0)

    @property
    def bits(self) -> float:
        """log2(2 max|x|): a modulus t of more than this holds every value."""
        return 1 + math.log2(max(self.largest, 1))

    @property
    def smallest_t(self) -> int:
        """The smallest plaintext modulus that holds every value: 2 max|x| + 1."""
        return 2 * self.largest + 1

    def __add__(self, other: Interval | IntArray) -> Interval:
        other = exactly(other)
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval | IntArray) -> Interval:
        other = exactly(other)
        return Interval(self.low - other.high, self.high - other.low)

    def __matmul__(self, matrix: IntArray) -> Interval:
        up = np.maximum(matrix, 0).astype(object)
        down = np.minimum(matrix, 0).astype(object)
        return Interval(self.low @ up + self.high @ down, self.high @ up + self.low @ down)

    def __mul__(self, other: Interval | IntArray) -> Interval:
        other = exactly(other)
        if other is self:  # a square is not negative, which a product of two intervals can't know
            ends = self.low * self.low, self.high * self.high
            least = np.where(self.low * self.high <= 0, 0, np.minimum(*ends))
            return Interval(least.astype(object), np.maximum(*ends))
        ends4 = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(np.minimum.reduce(ends4), np.maximum.reduce(ends4))


def exactly(numbers: Interval | IntArray) -> Interval:
    """Return intervals that hold just these numbers; those of an Interval are returned as such."""
    if isinstance(numbers, Interval):
        return numbers
    exact = np.asarray(np.asarray(numbers).astype(object), dtype=object)
    return Interval(exact, exact)


def declared(params: Params, within: Any, shape: tuple[int, ...]) -> Interval:
    """Return the interval that somebody declares, for all ciphertexts of an array.

    Parameters
    ----------
    within : (low, high), integers in (-t/2, t/2); 0 is always within, because unused slots are 0

    Raises
    ------
    ParameterError, RangeError
    """
    pair = whole_numbers(within, "a range (low, high)")
    low, high = pair if len(pair) == 2 else (1, 0)
    found = Interval.of(min(low, 0), max(high, 0), shape)
    if low > high or found.smallest_t > params.t:
        raise RangeError(
            f"a range (low, high) has low <= high within +-{params.t // 2}, which are the slots of "
            f"{params.name}, not {shown(pair)}"
        )
    return found


def check_within(slots: IntArray, within: Interval, what: str) -> None:
    """Refuse slots, int64 of shape (*within.shape, m), outside of what is declared.

    Raises
    ------
    RangeError
    """
    low, high = (end[..., None] for end in (within.low, within.high))
    outside = (slots < low) | (slots > high)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise RangeError(
            f"{what} {slots[place]} at {place}, but ({within.low[place[:-1]]}, "
            f"{within.high[place[:-1]]}) was declared"
        )


def combined(
    function: Callable[..., Interval], *operands: Interval | IntArray | None
) -> Interval | None:
    """Return function(*operands), or None if none of the ciphertexts' ranges was declared.

    Raises
    ------
    RangeError
        If some were declared and some were not.
    """
    if all(operand is not None for operand in operands):
        return function(*operands)
    if any(isinstance(operand, Interval) for operand in operands):
        raise RangeError(
            "one of two ciphertexts has a declared range, the other one has none: declare it, "
            "ct.declared(low, high), or say that numbers modulo t are meant: ct.modulo()"
        )
    return None


def check_undeclared(within: Interval | None, what: str) -> None:
    """Refuse ciphertexts with a declared range, for computations that would lose it.

    Raises
    ------
    RangeError
    """
    if within is not None:
        raise RangeError(
            f"{what} compute modulo t and follow no declared range: prove that the results fit, "
            "and say that numbers modulo t are meant: ct.modulo()"
        )


def check_fits(params: Params, found: Interval, what: str) -> None:
    """Refuse results that may leave (-t/2, t/2).

    Raises
    ------
    RangeError
    """
    if found.smallest_t > params.t:
        raise RangeError(
            f"{what} can reach {found.largest} in absolute value, but the slots of {params.name} "
            f"end at {params.t // 2}: it would wrap around; take t_at_least={found.smallest_t}, "
            "declare a smaller range, or say that numbers modulo t are meant: ct.modulo()"
        )
