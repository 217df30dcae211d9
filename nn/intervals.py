"""Integer intervals that go through the layers of a network like numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.low.shape

    def __repr__(self) -> str:
        return f"Interval(shape={self.shape}, up to {self.bits:.1f} bits)"

    @property
    def bits(self) -> float:
        """log2(2 max|x|): a modulus t of more than this holds every value."""
        largest = max(int(np.abs(self.low).max()), int(np.abs(self.high).max()), 1)
        return 1 + math.log2(largest)

    @property
    def smallest_t(self) -> int:
        """The smallest plaintext modulus that holds every value: 2 max|x| + 1."""
        return 2 * max(int(np.abs(self.low).max()), int(np.abs(self.high).max())) + 1

    def __getitem__(self, key: Any) -> Interval:
        return Interval(self.low[key], self.high[key])

    def reshape(self, *shape: Any) -> Interval:
        """Return the same intervals in another shape."""
        return Interval(self.low.reshape(*shape), self.high.reshape(*shape))

    @staticmethod
    def concatenate(parts: Sequence[Interval], axis: int = 0) -> Interval:
        """Join arrays along an axis."""
        low = np.concatenate([part.low for part in parts], axis=axis)
        return Interval(low, np.concatenate([part.high for part in parts], axis=axis))

    def __matmul__(self, matrix: IntArray) -> Interval:
        up = np.maximum(matrix, 0).astype(object)
        down = np.minimum(matrix, 0).astype(object)
        return Interval(
            self.low @ up + self.high @ down,
            self.high @ up + self.low @ down,
        )

    def __add__(self, other: IntArray) -> Interval:
        shift = np.asarray(other).astype(object)
        return Interval(self.low + shift, self.high + shift)

    def __mul__(self, other: Interval) -> Interval:
        if other is self:  # a square is not negative, which a product of two intervals can't know
            ends = self.low * self.low, self.high * self.high
            least = np.where(self.low * self.high <= 0, 0, np.minimum(*ends))
            return Interval(least.astype(object), np.maximum(*ends))
        ends4 = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(np.minimum.reduce(ends4), np.maximum.reduce(ends4))
