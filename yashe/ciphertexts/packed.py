"""Rows that take less memory while nobody computes with them.

Arithmetic wants eight bytes for a number of 23 bits, a gigabyte for the pixels of 8192 images. So
large arrays of fresh ciphertexts are packed: as float32, or as the bits that have come over the
wire (`yashe.wire.packed`). Who works prime by prime asks for `part`, and never has more than that.
Who asks for all `rows` gets them, and what was packed is gone. Nothing else can be done to packed
rows: they are no array, so that nobody multiplies them by mistake.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.parallel import for_each_group, watched
from yashe.arithmetic.residues import FloatArray, IntArray

Numbers: TypeAlias = slice | IntArray  # of rows
# Gives some columns of one part of all rows: new contiguous float64 array, shape (N, primes, width)
Columns: TypeAlias = Callable[[int, slice], FloatArray]
ALL = slice(None)


class PackedRows(ABC):
    """Rows of ciphertexts, packed until somebody needs all of them.

    Parameters
    ----------
    packed : array of what each row is packed into
    shape : (number of rows, parts, k, n); default: that of the array
    """

    def __init__(self, packed: NDArray[Any], shape: tuple[int, ...] = ()) -> None:
        self.shape = shape or packed.shape
        self._packed: NDArray[Any] | None = packed
        self._rows: FloatArray | None = None

    @abstractmethod
    def unpack(self, packed: NDArray[Any], primes: slice, out: FloatArray) -> None:
        """Write rows, shape (N, parts, primes, n), from what they are packed into."""

    @property
    def nbytes(self) -> int:
        """Bytes that are kept in memory."""
        return self._kept.nbytes

    @property
    def _kept(self) -> NDArray[Any]:
        packed = self._packed  # looked at first: another thread may be in `rows`
        if packed is not None:
            return packed
        assert self._rows is not None
        return self._rows

    def part(self, numbers: Numbers, primes: slice) -> FloatArray:
        """Return some rows modulo some primes, float64 array of shape (N, parts, primes, n)."""
        kept, (count, parts, k, n) = self._kept, self.shape
        if kept is self._rows:
            return self._rows[numbers, :, primes]
        rows = np.empty((len(np.arange(count)[numbers]), parts, len(range(k)[primes]), n))

        def unpack_some(some: slice) -> None:
            chosen = kept[numbers][some] if isinstance(numbers, slice) else kept[numbers[some]]
            self.unpack(chosen, primes, rows[some])

        with watched(lambda: None):  # it is no step of what is computed
            for_each_group(unpack_some, len(rows), rows)
        return rows

    def columns(self, primes: slice) -> Columns:
        """Return what gives columns of the rows modulo some primes, all of which are unpacked."""
        return columns_of(self.part(ALL, primes))

    @property
    def rows(self) -> FloatArray:
        """All of them, shape (N, parts, k, n)."""
        if self._rows is None:
            self._rows = self.part(ALL, ALL)
            self._packed = None
        return self._rows


class NarrowRows(PackedRows):
    """Rows as float32, which holds integers up to 2^24: residues, and half as many bytes."""

    def unpack(self, packed: NDArray[Any], primes: slice, out: FloatArray) -> None:
        out[...] = packed[:, :, primes]

    def columns(self, primes: slice) -> Columns:
        """Return what gives columns of the rows, unpacked when they are asked for."""
        return columns_of(self._kept[:, :, primes])


def columns_of(rows: NDArray[Any]) -> Columns:
    """Return what gives columns of rows, shape (N, parts, primes, n)."""
    return lambda part, columns: rows[:, part, :, columns].astype(np.float64, order="C")
