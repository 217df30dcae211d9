"""The prediction of the noise holds: for random circuits, in every draw.

A circuit is a chain of random steps on a small pool of ciphertexts; after each step the noise that
is really there, measured with the key, is compared with what was predicted without it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from yashe import noise
from yashe.bfv import BFV
from yashe.ciphertext import Ciphertext
from yashe.noise import Bound
from yashe.params import Params, make_params
from yashe.scheme import Scheme
from yashe.yashe_prime import YASHE

LEVELS = 3  # products in a row
STEPS = ("sum", "difference", "scalar", "constant", "plaintext", "shift", "square", "product",
         "matrix", "cube", "switch")  # fmt: skip


def parameters(n: int, t: int, log2_q: int) -> Params:
    return make_params(f"INSECURE_NOISE_{n}", n, t, security=None, log2_q=log2_q)


# Small rings have the heaviest tails; t from one small prime to two large ones.
SETS = [
    parameters(16, 90, 260),
    parameters(16, 2**30, 330),
    parameters(64, 250, 260),
    parameters(64, 2**22, 330),
    parameters(256, 7000, 310),
    parameters(1024, 40000, 330),
]


@dataclass(frozen=True)
class Draw:
    """One comparison: both budgets in bits, the products in a row, and the last step."""

    predicted: float
    measured: float
    level: int
    step: str

    @property
    def gap(self) -> float:
        return self.measured - self.predicted


@dataclass
class Node:
    """A ciphertext of degree 1 and the products in a row that led to it."""

    ct: Ciphertext
    level: int


def structured_slots(params: Params, rng: np.random.Generator) -> np.ndarray:
    """Slot values of a plaintext: random, the same everywhere, a single one, or very small."""
    half, kind = params.t // 2, rng.integers(4)
    values = rng.integers(-half, half + 1, params.n, dtype=np.int64)
    if kind == 1:
        values[:] = values[0] or 1
    elif kind == 2:
        values[1:] = 0
        values[0] = values[0] or 1
    elif kind == 3:
        values = rng.integers(-1, 2, params.n, dtype=np.int64)
        values[0] = 1
    return values


def random_step(scheme: Scheme, keys, pool: list[Node], rng: np.random.Generator):
    """Return what a random step makes of the pool: ciphertexts to compare, the last for the pool."""
    params = scheme.params
    a, b = (pool[rng.integers(len(pool))] for _ in range(2))
    step = STEPS[rng.integers(len(STEPS))]
    level = max(a.level, b.level)
    if step in ("square", "product", "cube"):
        level = (a.level if step == "square" else level) + 1 + (step == "cube")
        if level > LEVELS:
            step, level = "sum", max(a.level, b.level)
    if step == "sum":
        # x + x as well: dependent terms
        return step, level, [a.ct + b.ct]
    if step == "difference":
        return step, a.level, [a.ct * 3 - a.ct]
    if step == "scalar":
        return step, a.level, [a.ct * int(rng.integers(1, 9) * rng.choice([-1, 1]))]
    if step == "constant":
        return step, a.level, [a.ct + int(rng.integers(params.t))]
    if step == "plaintext":
        return step, a.level, [a.ct * scheme.encode(structured_slots(params, rng))]
    if step == "shift":
        return step, a.level, [a.ct + scheme.encode(structured_slots(params, rng))]
    if step == "matrix":
        pair = Ciphertext.concatenate([a.ct.reshape(1), b.ct.reshape(1)])
        weights = np.array([[rng.integers(1, 5)], [rng.integers(0, 4)]], dtype=np.int64)
        return step, level, [(pair @ weights)[0]]
    if step == "switch":  # as many primes as the noise allows, and back to the others: not possible
        return step, a.level, [a.ct]
    square = a.ct * (a.ct if step == "square" else b.ct)
    linear = scheme.relinearize(square, keys.relinearization)
    if step != "cube":
        return step, level, [square, linear]
    cube = linear * a.ct  # the phase of a occurs twice
    return step, level, [square, linear, cube, scheme.relinearize(cube, keys.relinearization)]


def circuit(scheme: Scheme, seed: int, length: int = 12) -> list[Draw]:
    """Run a random circuit and compare after every step."""
    rng = np.random.default_rng(seed)
    keys = scheme.keygen(rng.bytes(32))
    public = isinstance(scheme, YASHE) or rng.integers(2) == 1
    half = scheme.params.t // 2
    values = rng.integers(-half, half + 1, (3, scheme.params.n), dtype=np.int64)
    fresh = scheme.encrypt(values, keys.public if public else keys.secret, rng.bytes(32))
    pool = [Node(ct, 0) for ct in fresh]
    draws = [compare(scheme, keys, node.ct, 0, "fresh") for node in pool]
    for _ in range(length):
        step, level, results = random_step(scheme, keys, pool, rng)
        draws += [compare(scheme, keys, ct, level, step) for ct in results]
        # The newest replaces a random one, so that circuits grow deep and old ones stay around.
        pool[rng.integers(len(pool))] = Node(results[-1], level)
    return draws


def compare(scheme: Scheme, keys, ct: Ciphertext, level: int, step: str) -> Draw:
    measured = float(scheme.noise_budget(ct, keys.secret))
    return Draw(float(ct.noise_budget), measured, level, step)


def draws_of_circuits(count: int, first_seed: int) -> list[Draw]:
    """At least `count` draws, in turn from all parameter sets and both schemes."""
    found: list[Draw] = []
    seed = first_seed
    while len(found) < count:
        params = SETS[seed % len(SETS)]
        scheme = (BFV, YASHE)[seed // len(SETS) % 2](params)
        found += circuit(scheme, seed)
        seed += 1
    return found
