"""Ciphertexts as they have come, packed, until somebody computes with them.

Of a fresh ciphertext what has come are the bits of c_0, and a seed in the place of c_1: a sixth of
its two polynomials as numbers. `ReceivedRows` keeps that, checked already, and makes numbers of it
for as many primes as somebody asks for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.parallel import for_each_group
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.sampling import uniform_half
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.packed import PackedRows
from yashe.parameters.sets import Params
from yashe.wire.bits import ByteArray, check_polynomials, pack_polynomials, unpack_polynomials


class ReceivedRows(PackedRows):
    """Rows of ciphertexts as records of the wire.

    Parameters
    ----------
    params : of the ciphertexts
    records : what `yashe.wire.header.Contents.record` describes, one for each row, all of which
        `check_records` has seen
    seeded : whether they begin with the seed of their second part
    """

    def __init__(self, params: Params, records: NDArray[np.void], seeded: bool) -> None:
        sent = records.dtype["parts"].shape[0]
        super().__init__(records, (len(records), sent + seeded, params.k, params.n))
        self._params, self._seeded = params, seeded

    def unpack(self, packed: NDArray[np.void], primes: slice, out: FloatArray) -> None:
        n, moduli, sent = self._params.n, self._params.moduli, packed["parts"].shape[1]
        unpack_polynomials(packed["parts"], n, moduli, primes, out[:, :sent])
        if self._seeded:
            for head, row in zip(packed["head"], out, strict=True):
                row[1] = expanded(head, n, moduli[primes])


def check_records(params: Params, records: NDArray[np.void]) -> None:
    """Refuse records whose polynomials are none.

    Raises
    ------
    FormatError
        As `yashe.wire.bits.unpack_polynomials`.
    """

    def check(some: slice) -> None:
        check_polynomials(records["parts"][some], params.n, params.moduli)

    for_each_group(check, len(records), records)


def pack_rows(ct: Ciphertext, numbers: IntArray, out: ByteArray) -> None:
    """Write the first parts of some rows, as many as out, shape (N, parts, bytes), has room for.

    Raises
    ------
    ParameterError
        If they are no residues.
    """

    def pack(some: slice) -> None:
        out[some] = pack_polynomials(ct.part(numbers[some])[:, : out.shape[1]], ct.params.moduli)

    for_each_group(pack, len(out), out)


def expanded(head: np.void, n: int, moduli: tuple[int, ...]) -> FloatArray:
    """Return the first n coefficients of the uniform half that a numbered seed gives."""
    half: FloatArray = uniform_half(head["seed"].tobytes(), [int(head["row"])], n, moduli)[0]
    return half
