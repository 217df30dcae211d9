"""Ciphertexts as they have come, packed, until somebody computes with them.

Of a fresh ciphertext what has come are the bits of c_0, and a seed in the place of c_1: a sixth of
its two polynomials as numbers. `ReceivedRows` keeps that, checked already, and makes numbers of it
for as many primes as somebody asks for, on all workers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.parallel import GROUP, for_each
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.sampling import uniform_half
from yashe.ciphertexts.rows import PackedRows
from yashe.parameters.sets import Params
from yashe.wire.bits import (
    ByteArray,
    check_polynomials,
    pack_polynomials,
    unpack_polynomials,
)


class ReceivedRows(PackedRows):
    """Rows of ciphertexts from records of the wire.

    Parameters
    ----------
    params : of the ciphertexts
    records : what `yashe.wire.header.Contents.record` describes, one for each row, all of which
        `check_records` has seen
    seeded : whether they begin with the seed of their second part
    """

    def __init__(self, params: Params, records: NDArray[np.void], seeded: bool) -> None:
        self._params, self._records, self._seeded = params, records, seeded
        self._sent = records.dtype["parts"].shape[0]
        self.shape = (len(records), self._sent + seeded, params.k, params.n)
        self.nbytes = records.nbytes

    def modulo(self, primes: slice) -> FloatArray:
        n, moduli = self._params.n, self._params.moduli
        count, parts = self.shape[:2]
        rows = np.empty((count, parts, len(moduli[primes]), n))

        def unpack(some: slice) -> None:
            records = self._records[some]
            unpack_polynomials(records["parts"], n, moduli, primes, rows[some, : self._sent])
            if self._seeded:
                for head, row in zip(records["head"], rows[some], strict=True):
                    row[1] = expanded(head, n, moduli[primes])

        _for_each_group(unpack, count)
        return rows


def check_records(params: Params, records: NDArray[np.void]) -> None:
    """Refuse records whose polynomials are none.

    Raises
    ------
    FormatError
        As `yashe.wire.bits.unpack_polynomials`.
    """

    def check(some: slice) -> None:
        check_polynomials(records["parts"][some], params.n, params.moduli)

    _for_each_group(check, len(records))


def pack_rows(rows: FloatArray, index: IntArray, out: ByteArray, moduli: tuple[int, ...]) -> None:
    """Write the first parts of some rows, as many as out, shape (M, parts, bytes), has room for.

    Raises
    ------
    ParameterError
        If they are no residues.
    """

    def pack(some: slice) -> None:
        out[some] = pack_polynomials(rows[index[some], : out.shape[1]], moduli)

    _for_each_group(pack, len(out))


def _for_each_group(body: Callable[[slice], None], count: int) -> None:
    """Call body(slice) for a few rows at a time; whoever watches a computation is told nothing."""
    groups = (slice(start, start + GROUP) for start in range(0, count, GROUP))
    for_each(body, groups, lambda some: 0)


def expanded(head: np.void, n: int, moduli: tuple[int, ...]) -> FloatArray:
    """Return the first n coefficients of the uniform half that a numbered seed gives."""
    return uniform_half(head["seed"].tobytes(), int(head["row"]), n, moduli)
