"""The judge of a random computation: arrays of ciphertexts beside what they must say.

Beside each array stands its *shadow*, the slots as Python integers. After every step

- the oracle decrypts the raw rows of the result, and finds the shadow;
- the noise that the oracle measures is at most the predicted one;
- the package's own decryption finds the shadow as well.

Whatever differs is a `WrongAnswer`, which says how to repeat the computation and what has been done
in it.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import oracle
import reader
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import FheError, NoiseBudgetExhausted
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

SCHEMES: dict[str, Any] = {"BFV": BFV, "BGV": BGV, "YASHE'": YASHE}


def toy(n: int, t: int | tuple[int, ...], log2_q: int) -> Params:
    """Return a set whose name says that it is insecure."""
    return make_params(f"INSECURE_ORACLE_{n}", n, t, security=None, log2_q=log2_q)


# t from a few bits to nearly 62, from one prime and from several; q for three products in a row and
# more, or for one of YASHE'.
MINUS_ONE = (16777153, 16777121, 16776961, 16776689, 16776337)
SMALL = {
    "n=4, t=17": lambda: toy(4, (17,), 140),
    "n=4, t=60 bits": lambda: toy(4, 2**60, 440),
    "n=8, q=-1 mod t": lambda: Params("INSECURE_ORACLE_8", 8, MINUS_ONE, (17,), None),
    "n=8, t=17*97": lambda: toy(8, (97, 17), 170),
    "n=16, t=24 bits": lambda: toy(16, 2**23, 160),
    "n=16, t=40 bits": lambda: toy(16, 2**40, 400),
    "n=32, t=193": lambda: toy(32, (193,), 110),
    "n=64, t=18 bits": lambda: toy(64, 2**18 - 500, 140),
}
LARGE = {
    "n=8192": lambda: toy(8192, 2**20, 190),
    "n=16384": lambda: toy(16384, 2**32, 215),
    "n=32768": lambda: toy(32768, 2**17, 138),
}
_made: dict[str, Params] = {}


def params_of(name: str) -> Params:
    """Return a set of `SMALL` or `LARGE`, made once."""
    if name not in _made:
        _made[name] = {**SMALL, **LARGE}[name]()
    return _made[name]


class WrongAnswer(AssertionError):
    """The package and the oracle disagree."""


@dataclass
class Node:
    """An array of ciphertexts and what it must say: Python integers, shape (*ct.shape, n)."""

    name: str
    ct: Ciphertext
    slots: Any


@dataclass
class Outcome:
    """What has happened: steps that were done, and refusals, each by its verb."""

    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    compared: int = 0

    def __iadd__(self, other: Outcome) -> Outcome:
        self.done += other.done
        self.refused += other.refused
        self.compared += other.compared
        return self


class Judge:
    """A scheme with keys, and the comparison of its ciphertexts with their shadows.

    Parameters
    ----------
    scheme, params : names in `SCHEMES` and in `SMALL` or `LARGE`
    seed : of everything that is random
    """

    def __init__(self, scheme: str, params: str, seed: int) -> None:
        self.call = f"circuits.run({scheme!r}, {params!r}, seed={seed})"
        self.random = random.Random(f"{scheme} {params} {seed}")
        self.params = params_of(params)
        self.scheme = SCHEMES[scheme](self.params)
        self.keys = self.scheme.keygen(self.random.randbytes(32))
        element = self.keys.secret.f if scheme == "YASHE'" else self.keys.secret.s
        n, moduli = self.params.n, self.params.moduli
        self.secret = oracle.polynomial(element.residues, n, moduli, values=True)
        self.outcome = Outcome()
        self.log: list[str] = []
        self.readings: dict[Any, oracle.Reading] = {}

    def wrong(self, what: str) -> WrongAnswer:
        return WrongAnswer("\n".join([f"{what}; repeat: {self.call}", *self.log]))

    def centred(self, slots: Any) -> Any:
        """Return integers modulo t, in (-t/2, t/2)."""
        t = self.params.t
        return (np.asarray(slots, dtype=object) + t // 2) % t - t // 2

    def compare(self, node: Node, what: str) -> None:
        """Judge every ciphertext of an array."""
        ct, n = node.ct, self.params.n
        if node.slots.shape != (*ct.shape, n):
            raise self.wrong(f"{what}: shape {ct.shape} instead of {node.slots.shape[:-1]}")
        slots, predicted = node.slots.reshape(-1, n), ct.noise_budget.reshape(-1)
        least = math.inf
        for j, row in enumerate(ct.index.reshape(-1).tolist()):
            found = self.reading(ct, row, what)
            self.compare_one(f"{what}, ciphertext {j}", found, slots[j])
            least = min(least, found.budget)
            if found.budget < predicted[j]:
                raise self.wrong(
                    f"{what}, ciphertext {j}: a budget of {predicted[j]:.3f} bits is predicted, "
                    f"there are {found.budget:.3f}"
                )
        trusted = max(2, 48 / n)  # bits that decryption wants to measure
        try:
            own = ct.scheme.decrypt(ct, self.keys.secret)
        except NoiseBudgetExhausted as error:
            if least > trusted + 1e-6:
                raise self.wrong(f"{what}: own decryption: {error}") from error
            return
        except FheError as error:
            raise self.wrong(f"{what}: own decryption: {error}") from error
        if least < trusted - 1e-6:
            raise self.wrong(f"{what}: own decryption trusts a budget of {least:.3f} bits")
        if not np.array_equal(own.astype(object), node.slots):
            raise self.wrong(f"{what}: own decryption differs from the integers")

    def reading(self, ct: Ciphertext, row: int, what: str) -> oracle.Reading:
        """Let the oracle read one row; what it has read already it need not read again."""
        p, parts = ct.params, ct.rows[row]
        about = (ct.scheme.name, p.n, p.moduli, p.plaintext_moduli, ct.degree, ct.factor)
        seen = (about, hashlib.sha256(parts.tobytes()).digest())
        if seen not in self.readings:
            try:
                self.readings[seen] = oracle.read(*about[:4], parts, self.secret, *about[4:])
            except oracle.OracleError as error:
                raise self.wrong(f"{what}: {error}") from error
        return self.readings[seen]

    def compare_one(self, what: str, found: oracle.Reading, slots: Any) -> None:
        """Compare one ciphertext with its shadow."""
        self.outcome.compared += 1
        if list(found.slots) != slots.tolist():
            at = next(i for i, x in enumerate(found.slots) if x != slots[i])
            raise self.wrong(
                f"{what}: slot {at} is {found.slots[at]} by the oracle, {slots[at]} by the integers"
            )

    def written(self, node: Node) -> bytes:
        """Return an array as bytes, after the oracle's reader has compared them."""
        ct, what = node.ct, f"the bytes of {node.name}"
        try:
            data = wire.to_bytes(ct)
            frame = reader.read_frame(data)
            readings = reader.decrypt(frame, self.secret)
        except (FheError, oracle.OracleError) as error:
            raise self.wrong(f"{what}: {type(error).__name__}: {error}") from error
        if (frame.shape, frame.moduli, frame.key_id) != (ct.shape, ct.params.moduli, ct.key_id):
            raise self.wrong(f"{what} are those of another array: {frame.shape}, {frame.moduli}")
        slots = node.slots.reshape(-1, self.params.n)
        for j, (row, record) in enumerate(zip(ct.index.flat, frame.records, strict=True)):
            self.compare_one(f"{what}, ciphertext {j}", readings[j], slots[j])
            claim = (ct.bound.deviation[row], ct.bound.order[row])
            if frame.kind != reader.SEEDED and (record.deviation, record.order) != claim:
                raise self.wrong(f"{what}, ciphertext {j}: claims {record.deviation} of {claim}")
        return data
