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

from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import LARGEST_ORDER, Bound
from yashe.errors import KeyMismatchError, ParameterError
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.wire.envelope import CIPHERTEXTS, SEEDED_CIPHERTEXTS, FrameReader
from yashe.wire.header import NOISE, Contents, read_contents
from yashe.wire.packed import ReceivedRows, check_records, expanded, pack_rows

BLOCK_BYTES = 2**24  # of the body that are read or written at a time
SAMPLE = 4  # coefficients of a half that are compared with its seed


def check_noise(bound: Bound) -> None:
    """Refuse what nothing can be concluded from; for who writes and who reads.

    Raises
    ------
    ParameterError
    """
    deviation, order = bound.deviation, bound.order
    if not (np.isfinite(deviation) & (deviation > 0)).all():
        raise ParameterError("the deviation of a noise must be a positive number")
    if ((order < 0) | (order > LARGEST_ORDER)).any():
        raise ParameterError(f"the order of a noise must not exceed {LARGEST_ORDER}")


def has_seeds(ct: Ciphertext) -> bool:
    """Say whether ciphertexts are told by seeds, without anything else that is known of them."""
    if ct.public_seed is None or ct.degree != 1 or ct.factor != 1:
        return False
    bound, fresh = ct.bound[ct.index], _scheme(ct).fresh_bound(public=False)
    same = (bound.deviation == fresh.deviation) & (bound.order == fresh.order)
    return bool(same.all())


def _scheme(ct: Ciphertext) -> Scheme:
    assert isinstance(ct.scheme, Scheme)
    return ct.scheme


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
        If no reader would accept it. Nothing has been written then.
    """

    def __init__(self, stream: BinaryIO, like: Ciphertext, shape: tuple[int, ...]) -> None:
        kind = SEEDED_CIPHERTEXTS if has_seeds(like) else CIPHERTEXTS
        self.contents = Contents(
            kind, like.params, like.key_id, _scheme(like), like.degree, shape, like.factor
        )
        self._missing = math.prod(shape)
        self._frame = self.contents.frame(stream)

    def append(self, ct: Ciphertext) -> None:
        """Write the next ciphertexts, an array of any shape.

        Raises
        ------
        ParameterError
            If they are more than the shape has room for, or of another degree or seeding, or no
            reader would accept them.
        KeyMismatchError
            If they belong to other keys, parameters or schemes.
        """
        ct, like, record = ct.to("cpu"), self.contents, self.contents.record
        if (ct.key_id, ct.params.digest) != (like.key_id, like.params.digest):
            raise KeyMismatchError("the ciphertexts of one array belong to the same keys")
        if type(ct.scheme) is not type(like.scheme):
            raise KeyMismatchError("the ciphertexts of one array belong to the same scheme")
        if (ct.degree, has_seeds(ct)) != (like.degree, like.kind == SEEDED_CIPHERTEXTS):
            raise ParameterError("the ciphertexts of one array have one degree, seeded or not")
        if ct.factor != like.factor:
            raise ParameterError("the ciphertexts of one array were switched at the same depths")
        if ct.size > self._missing:
            raise ParameterError(f"the array has room for {self._missing} more, got {ct.size}")
        expected = (_scheme(ct).parts(ct.degree), ct.params.k, ct.params.n)
        if ct.store.shape[1:] != expected:
            raise ParameterError(f"rows of shape {expected} were required: {ct.store.shape[1:]}")
        flat, step = ct.index.reshape(-1), max(1, BLOCK_BYTES // record.itemsize)
        heads = _heads(ct, flat)
        for start in range(0, len(flat), step):
            some = slice(start, start + step)
            records = np.zeros(len(flat[some]), dtype=record)
            records["head"] = heads[some]
            pack_rows(ct, flat[some], records["parts"])
            self._frame.write(records.tobytes())
            self._missing -= len(records)

    def close(self) -> None:
        """Write the hash.

        Raises
        ------
        ParameterError
            If ciphertexts are missing.
        """
        self._frame.close()


def _heads(ct: Ciphertext, flat: IntArray) -> NDArray[np.void]:
    """Return what stands before the polynomials of each ciphertext, checked."""
    if has_seeds(ct):
        assert ct.public_seed is not None
        seeds = ct.public_seed[flat]
        for number, numbered in zip(flat, seeds, strict=True):
            row = ct.part(number[None], slice(0, 1))[0, 1, 0, :SAMPLE]
            if not np.array_equal(row, expanded(numbered, SAMPLE, ct.params.moduli[:1])[0]):
                raise ParameterError("a row is not what its seed gives: set public_seed to None")
        return seeds
    bound, heads = ct.bound[flat], np.zeros(len(flat), dtype=NOISE)
    check_noise(bound)
    heads["deviation"], heads["order"] = bound.deviation, bound.order
    return heads


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
        blocks = [self._records(min(step, count - start)) for start in range(0, count, step)]
        records = np.concatenate(blocks)
        return Ciphertext(
            self._scheme,
            self.contents.key_id,
            ReceivedRows(params, records, self._seeded),
            self._bound(records["head"]),
            np.arange(count, dtype=np.int64),
            self.contents.degree,
            records["head"].copy() if self._seeded else None,
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

    def verify(self) -> None:
        """Check the hash and the end of the frame now, before any ciphertext is used.

        Raises
        ------
        FormatError
        """
        self._frame.verify()

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

    def _records(self, count: int) -> NDArray[np.void]:
        """Return the next records of the body, checked."""
        record = self.contents.record
        self.missing -= count
        data = self._frame.read(count * record.itemsize, f"{count} ciphertexts")
        records = np.frombuffer(data, dtype=record)
        with self._frame.refusing():
            check_records(self.contents.params, records)
        return records

    def _bound(self, heads: NDArray[np.void]) -> Bound:
        """Return what the sender says about the noise."""
        if self._seeded:
            return self._scheme.fresh_bound(public=False).broadcast(heads.shape)
        bound = Bound(heads["deviation"].astype(np.float64), heads["order"].astype(np.int64))
        with self._frame.refusing():
            check_noise(bound)
        return bound
