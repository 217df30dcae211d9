"""What the slots of a ciphertext lie within, as far as their owner has said it.

Slots compute modulo t: 300 * 300 in a slot that ends at 32768 wraps around, and decrypts to
another number. The noise does not show it. But whoever encrypts may declare a range,

    x = scheme.encrypt([300, 1000], keys.public, within=(0, 1000))

and then every result knows its own, by interval arithmetic: `x + x` lies within (0, 2000), and
`x * x` is refused if (0, 1000000) does not fit into (-t/2, t/2). `x.modulo()` forgets the range:
from there on, wrapping is meant. What a range says is public, and nobody can check it without the
secret key; decryption does.

Networks are proved as a whole by their plan, with these same intervals (`nn.plan`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.errors import RangeError
from yashe.params import Params
from yashe.residues import IntArray


@dataclass(frozen=True, eq=False)
class Interval:
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.low.shape

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

    def __getitem__(self, key: Any) -> Interval:
        return Interval(np.asarray(self.low[key]), np.asarray(self.high[key]))

    def reshape(self, *shape: Any) -> Interval:
        """Return the same intervals in another shape."""
        return Interval(self.low.reshape(*shape), self.high.reshape(*shape))

    @staticmethod
    def concatenate(parts: Sequence[Interval], axis: int = 0) -> Interval:
        """Join arrays along an axis."""
        low = np.concatenate([part.low for part in parts], axis=axis)
        return Interval(low, np.concatenate([part.high for part in parts], axis=axis))

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __add__(self, other: Interval | IntArray) -> Interval:
        if isinstance(other, Interval):
            return Interval(self.low + other.low, self.high + other.high)
        shift = np.asarray(other).astype(object)
        return Interval(self.low + shift, self.high + shift)

    def __matmul__(self, matrix: IntArray) -> Interval:
        up = np.maximum(matrix, 0).astype(object)
        down = np.minimum(matrix, 0).astype(object)
        return Interval(
            self.low @ up + self.high @ down,
            self.high @ up + self.low @ down,
        )

    def __mul__(self, other: Interval) -> Interval:
        if other is self:  # a square is not negative, which a product of two intervals can't know
            ends = self.low * self.low, self.high * self.high
            least = np.where(self.low * self.high <= 0, 0, np.minimum(*ends))
            return Interval(least.astype(object), np.maximum(*ends))
        ends4 = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(np.minimum.reduce(ends4), np.maximum.reduce(ends4))


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
