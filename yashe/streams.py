"""Arrays of ciphertexts, written and read block by block, so that they may be larger than memory.

A fresh BFV ciphertext made with the secret key is (c_0, a) with a uniform: instead of a, the seed
and the row number from which it was expanded are sent, which halves the message.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from yashe.ciphertext import Ciphertext
from yashe.contents import (
    CIPHERTEXTS,
    SEEDED_CIPHERTEXTS,
    Contents,
    ciphertext_description,
    read_contents,
)
from yashe.errors import FormatError, KeyMismatchError, ParameterError
from yashe.frames import FrameReader, FrameWriter
from yashe.noise import Bound
from yashe.packing import pack_polynomials, unpack_polynomials
from yashe.parallel import for_each
from yashe.params import Params
from yashe.residues import FloatArray
from yashe.sampling import uniform
from yashe.scheme import Scheme

BLOCK_BYTES = 2**24  # of the body that are read or written at a time
LARGEST_ORDER = 32  # of a noise bound: a product adds one, and costs some thirty bits of q


class CiphertextWriter:
    """Writes an array of ciphertexts of a known shape, piece by piece, in C order.

    Parameters
    ----------
    stream : where to write
    like : a Ciphertext with the scheme, key, degree and seeding of all of them
    shape : of the whole array

    Raises
    ------
    ParameterError
        If the parameters have a name that cannot be sent.
    """

    def __init__(self, stream: BinaryIO, like: Ciphertext, shape: tuple[int, ...]) -> None:
        kind = CIPHERTEXTS if like.public_seed is None else SEEDED_CIPHERTEXTS
        params, scheme = like.params, like.scheme
        assert isinstance(scheme, Scheme)
        self.contents = Contents(
            kind, Ciphertext, params, 0, like.key_id, scheme, like.degree, shape
        )
        self._like, self._missing = like, math.prod(shape)
        self._frame = FrameWriter(
            stream,
            kind,
            bytes.fromhex(params.digest),
            ciphertext_description(scheme, like.key_id, like.degree, shape),
            self._missing * self.contents.record.itemsize,
        )

    def append(self, ct: Ciphertext) -> None:
        """Write the next ciphertexts, an array of any shape.

        Raises
        ------
        ParameterError
            If they are more than the shape has room for, or of another degree or seeding.
        KeyMismatchError
            If they belong to other keys or parameters.
        """
        like = self._like
        if (ct.key_id, ct.params.digest) != (like.key_id, like.params.digest):
            raise KeyMismatchError("the ciphertexts of one array belong to the same keys")
        if ct.degree != like.degree or (ct.public_seed is None) != (like.public_seed is None):
            raise ParameterError("the ciphertexts of one array have one degree, seeded or not")
        if ct.size > self._missing:
            raise ParameterError(f"the array has room for {self._missing} more, got {ct.size}")
        self._missing -= ct.size
        flat, record = ct.index.reshape(-1), self.contents.record
        step = max(1, BLOCK_BYTES // record.itemsize)
        for start in range(0, len(flat), step):
            rows = flat[start : start + step]
            records = np.zeros(len(rows), dtype=record)
            if ct.public_seed is None:
                records["deviation"] = ct.bound.deviation[rows]
                records["order"] = ct.bound.order[rows]
            else:
                records["seed"] = np.frombuffer(ct.public_seed, dtype=np.uint8)
                records["row"] = rows
            parts = record["parts"].shape[0]
            records["parts"] = pack_polynomials(ct.rows[rows, :parts], ct.params.moduli)
            self._frame.write(records.tobytes())

    def close(self) -> None:
        """Write the hash.

        Raises
        ------
        ParameterError
            If ciphertexts are missing.
        """
        self._frame.close()


class CiphertextReader:
    """Reads an array of ciphertexts, whole or block by block; `CiphertextReader.open(stream)`.

    Attributes
    ----------
    contents : what the head of the frame says, with the shape
    """

    def __init__(self, frame: FrameReader, contents: Contents) -> None:
        if contents.scheme is None:
            raise frame.error(f"ciphertexts were required, this is a {contents.type.__name__}")
        self._frame, self.contents, self._scheme = frame, contents, contents.scheme

    @classmethod
    def open(cls, stream: BinaryIO, params: Params | None = None) -> CiphertextReader:
        """Read the head of a frame.

        Parameters
        ----------
        stream : that begins with a frame; need not be able to seek
        params : the parameters that are required, or None for any

        Raises
        ------
        FormatError
            If it holds anything but ciphertexts.
        KeyMismatchError
            If the parameters are not the required ones.
        """
        frame = FrameReader(stream)
        return cls(frame, read_contents(frame, params))

    def blocks(self) -> Iterator[Ciphertext]:
        """Yield all ciphertexts in C order, as one-dimensional arrays.

        The hash is at the end: whoever stops before does not know whether the file is whole.

        Raises
        ------
        FormatError
        """
        for records in self._records():
            rows, index = self._rows(records), np.arange(len(records), dtype=np.int64)
            yield Ciphertext(
                self._scheme,
                self.contents.key_id,
                rows,
                self._bound(records),
                index,
                self.contents.degree,
            )

    def read(self) -> Ciphertext:
        """Return the whole array.

        Raises
        ------
        FormatError
        """
        shape, params = self.contents.shape, self.contents.params
        size, at = math.prod(shape), 0
        rows = np.empty((size, self._parts, params.k, params.n))
        bounds: list[Bound] = []
        seed: bytes | None = None
        for records in self._records():
            stop = at + len(records)
            rows[at:stop] = self._rows(records)
            bounds.append(self._bound(records))
            # The seed is that of the array if all rows have it, numbered from 0.
            if self._seeded:
                first = records["seed"][0].tobytes() if at == 0 else seed
                numbered = (records["row"] == np.arange(at, stop, dtype=np.int64)).all()
                same = {one.tobytes() for one in records["seed"]} == {first}
                seed = first if numbered and same else None
            at = stop
        index = np.arange(size, dtype=np.int64).reshape(shape)
        return Ciphertext(
            self._scheme,
            self.contents.key_id,
            rows,
            Bound.concatenate(bounds),
            index,
            self.contents.degree,
            seed,
        )

    @property
    def _seeded(self) -> bool:
        return self.contents.kind == SEEDED_CIPHERTEXTS

    @property
    def _parts(self) -> int:
        return 1 if self._scheme.fixed_parts else self.contents.degree + 1

    def _records(self) -> Iterator[NDArray[np.void]]:
        """Yield the body in blocks, and check the hash behind it."""
        record, missing = self.contents.record, math.prod(self.contents.shape)
        step = max(1, BLOCK_BYTES // record.itemsize)
        while missing:
            count = min(step, missing)
            data = self._frame.read(count * record.itemsize, f"{count} ciphertexts")
            yield np.frombuffer(data, dtype=record)
            missing -= count
        self._frame.close()

    def _rows(self, records: NDArray[np.void]) -> FloatArray:
        """Return the residues (m, parts, k, n) of some records, uniform halves expanded."""
        params = self.contents.params
        try:
            sent = unpack_polynomials(records["parts"], params.n, params.moduli)
        except FormatError as error:
            raise self._frame.error(str(error)) from error
        if not self._seeded:
            return sent
        rows = np.empty((len(records), self._parts, params.k, params.n))
        rows[:, :1] = sent

        def expand(j: int) -> None:
            seed, label = records["seed"][j].tobytes(), f"encrypt-a/{records['row'][j]}"
            rows[j, 1] = uniform(seed, label, params.n, params.moduli)

        for_each(expand, range(len(records)))
        return rows

    def _bound(self, records: NDArray[np.void]) -> Bound:
        """Return what the sender says about the noise."""
        if self._seeded:
            return self._scheme.fresh_bound(public=False).broadcast((len(records),))
        deviation, order = records["deviation"], records["order"]
        if not (np.isfinite(deviation).all() and (deviation > 0).all()):
            raise self._frame.error("the deviation of a noise must be a positive number")
        if (order > LARGEST_ORDER).any():
            raise self._frame.error(f"the order of a noise must not exceed {LARGEST_ORDER}")
        return Bound(deviation.astype(np.float64), order.astype(np.int64))
