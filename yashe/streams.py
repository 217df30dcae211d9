"""Arrays of ciphertexts, written and read block by block, so that they may be larger than memory.

A fresh BFV or BGV ciphertext made with the secret key is (c_0, a) with a uniform: instead of a, the
seed and the row number from which it was expanded are sent, which halves the message.
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
LARGEST_ORDER = 127  # of a noise bound: a product adds two, or doubles it in BGV


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
            kind, Ciphertext, params, 0, like.key_id, scheme, like.degree, shape, like.factor
        )
        self._like, self._missing = like, math.prod(shape)
        self._frame = FrameWriter(
            stream,
            kind,
            bytes.fromhex(params.digest),
            ciphertext_description(like, scheme, shape),
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
        if ct.factor != like.factor:
            raise ParameterError("the ciphertexts of one array were switched at the same depths")
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
    missing : how many ciphertexts have not been taken yet
    """

    def __init__(self, frame: FrameReader, contents: Contents) -> None:
        if contents.scheme is None:
            raise frame.error(f"ciphertexts were required, this is a {contents.type.__name__}")
        self._frame, self.contents, self._scheme = frame, contents, contents.scheme
        self.missing = math.prod(contents.shape)

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

    def take(self, count: int) -> Ciphertext:
        """Return the next ciphertexts in C order, a one-dimensional array.

        Raises
        ------
        FormatError
            If they are not there, or not valid.
        """
        params, step = self.contents.params, max(1, BLOCK_BYTES // self.contents.record.itemsize)
        if not 0 < count <= self.missing:
            raise ParameterError(f"1 to {self.missing} ciphertexts can be taken, not {count}")
        rows = np.empty((count, self._parts, params.k, params.n))
        bounds: list[Bound] = []
        seeds: set[bytes] = set()
        in_place = True  # every row is numbered by its place
        for start in range(0, count, step):
            some = slice(start, min(start + step, count))
            records = self._records(some.stop - some.start)
            rows[some] = self._rows(records)
            bounds.append(self._bound(records))
            if self._seeded:
                places = np.arange(some.start, some.stop, dtype=np.int64)
                in_place = in_place and np.array_equal(records["row"], places)
                seeds |= {one.tobytes() for one in records["seed"]}
        return Ciphertext(
            self._scheme,
            self.contents.key_id,
            rows,
            Bound.concatenate(bounds),
            np.arange(count, dtype=np.int64),
            self.contents.degree,
            seeds.pop() if in_place and len(seeds) == 1 else None,
            self.contents.factor,
        )

    def blocks(self) -> Iterator[Ciphertext]:
        """Yield all ciphertexts in C order, as one-dimensional arrays of some 16 MB on the wire.

        The hash is at the end: whoever stops before does not know whether the file is whole.

        Raises
        ------
        FormatError
        """
        step = max(1, BLOCK_BYTES // self.contents.record.itemsize)
        while self.missing:
            yield self.take(min(step, self.missing))
        self.close()

    def read(self) -> Ciphertext:
        """Return the whole array.

        Raises
        ------
        FormatError
        """
        ct = self.take(self.missing)
        self.close()
        return ct.reshape(self.contents.shape)

    def close(self) -> None:
        """Check that the frame ends here, and its hash.

        Raises
        ------
        FormatError
        """
        self._frame.close()

    @property
    def _seeded(self) -> bool:
        return self.contents.kind == SEEDED_CIPHERTEXTS

    @property
    def _parts(self) -> int:
        return 1 if self._scheme.fixed_parts else self.contents.degree + 1

    def _records(self, count: int) -> NDArray[np.void]:
        """Return the next records of the body."""
        record = self.contents.record
        self.missing -= count
        return np.frombuffer(
            self._frame.read(count * record.itemsize, f"{count} ciphertexts"), dtype=record
        )

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
