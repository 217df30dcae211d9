"""What random circuits draw: shapes, numbers and messages, the extremes of each often."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import oracle
from judge import Judge


class Draws(Judge):
    """Draws from `self.random`, for the parameters of the judge."""

    @property
    def large(self) -> bool:
        return self.params.n > 1024

    def shape(self) -> tuple[int, ...]:
        """Return the shape of an array of ciphertexts."""
        small = [(), (1,), (2,)]
        return self.random.choice(small if self.large else [*small, (3,), (2, 2)])

    def weights(self, shape: tuple[int, ...]) -> Any:
        limit = self.random.choice([3, 3, 1000, self.params.t // 2, 2**63 - 1])
        return self.integers(shape, limit)

    def integer(self, limit: int) -> int:
        """Return an integer of at most this absolute value, the extremes often."""
        kind = self.random.randrange(8)
        if kind < 3:
            lowest = -limit if limit < 2**63 - 1 else -(2**63)
            return self.random.choice([lowest, -1, 1, limit])
        if kind < 6:
            return self.random.randint(-min(limit, 5), min(limit, 5))
        return self.random.randint(-limit, limit)

    def integers(self, shape: tuple[int, ...], limit: int) -> Any:
        numbers = [self.integer(limit) for _ in range(math.prod(shape))]
        return np.array(numbers, dtype=np.int64).reshape(shape)

    def messages(self, shape: tuple[int, ...]) -> Any:
        """Return slot values, int64 (*shape, m), m at most n; some all equal, some nearly empty.

        Some are those of the polynomials that noise bounds have to fear: all coefficients as large
        as they can be, with equal signs, or with those of one complex root of X^n + 1.
        """
        n, half = self.params.n, self.params.t // 2
        kind = self.random.randrange(5)
        if kind == 0:
            at = math.pi / n * self.random.choice([0, 1, 2 * self.random.randrange(n // 2) + 1])
            signs = [1 if math.cos(at * j) >= 0 else -1 for j in range(n)]
            largest = self.random.choice([half, half // 2, 1])
            coefficients = [largest * sign for sign in signs]
            slots = oracle.slots_of(coefficients, self.params.plaintext_moduli)
            return np.broadcast_to(np.array(slots, dtype=np.int64), (*shape, n))
        used = self.random.choice([n, n, self.random.randint(1, n)])
        values = self.integers((*shape, used), half)
        if kind == 1:
            values[...] = values[..., :1]
        elif kind == 2:
            values[..., 1:] = 0
        return values

    def said(self, values: Any) -> str:
        """Return what the log says about slot values."""
        return f"values of shape {values.shape}" if self.large else str(values.tolist())

    def padded(self, values: Any) -> Any:
        """Return slot values as Python integers, with zeros in the slots that are not used."""
        slots = np.zeros((*values.shape[:-1], self.params.n), dtype=object)
        slots[..., : values.shape[-1]] = values.astype(object)
        return slots
