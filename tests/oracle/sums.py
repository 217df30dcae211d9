"""Random sums of squares as networks compute them, with weights of any size, judged by the oracle.

sum over j of weights[j, m] (sum over i of x_i w_ij + b_j)^2     BGV, a few columns at a time
sum over j of weights[j, m] x_j^2                                BFV, YASHE', a few units at a time
"""

from __future__ import annotations

from typing import Any

import numpy as np

from draws import Draws
from judge import Node, Outcome
from yashe.ciphertexts.array import Ciphertext
from yashe.circuits.columns import SquareLayer, Units
from yashe.circuits.products import SumsOfSquares
from yashe.errors import FheError


class Sums(Draws):
    """One sum of squares, of an array of up to 40 ciphertexts."""

    def run(self) -> Outcome:
        self.call = self.call.replace("circuits", "sums")
        units, results = self.random.randint(1, 40), self.random.randint(1, 3)
        x = self.messages((units,))
        slots = self.padded(x)
        key = self.random.choice([self.keys.public, self.keys.encryption])
        ct = self.scheme.encrypt(x, key, self.random.randbytes(32))
        compute = self.by_columns if self.scheme.ntt_form else self.by_units
        try:
            sums, hidden, weights = compute(ct, slots, results)
        except FheError as error:
            self.outcome.refused["sums of squares", type(error).__name__] += 1
            return self.outcome
        self.outcome.done["sums of squares"] += 1
        expected = np.tensordot(weights.astype(object).T, hidden * hidden, axes=1)
        self.compare(Node("sums", sums, self.centred(expected)), "sums of squares")
        return self.outcome

    def numbers(self, shape: tuple[int, ...]) -> Any:
        """Return weights, int64, as large as their sums may be or as small as in a network."""
        limit = self.random.choice([3, 1000, 2**30, self.params.t // 2])
        weights = self.integers(shape, limit)
        self.log.append(f"weights {weights.tolist()}")
        return weights

    def by_units(self, ct: Ciphertext, slots: Any, results: int) -> tuple[Ciphertext, Any, Any]:
        weights = self.numbers((ct.size, results))
        sums, tile = SumsOfSquares(self.scheme, results), self.random.randint(1, ct.size)
        for start in range(0, ct.size, tile):
            some = slice(start, start + tile)
            sums.add_squares(ct[some], weights[some])
        return sums.total(), slots, weights

    def by_columns(self, ct: Ciphertext, slots: Any, results: int) -> tuple[Ciphertext, Any, Any]:
        layers, hidden = [], []
        for _ in range(self.random.randint(1, 2)):
            positions, taps, maps = (self.random.randint(1, 4) for _ in range(3))
            chosen = self.random.choices(range(ct.size), k=positions * taps)
            inputs = np.array(chosen, dtype=np.int64).reshape(positions, taps)
            weight, bias = self.numbers((taps, maps)), self.numbers((maps,))
            layers.append(Units(inputs, weight, bias))
            for read in inputs:
                affine = np.tensordot(weight.astype(object).T, slots[read], axes=1)
                hidden += list(affine + bias.astype(object)[:, None])
        weights = self.numbers((len(hidden), results))
        return SquareLayer(self.scheme, ct, layers, weights).sums(), np.array(hidden), weights


def run(scheme: str, params: str, seed: int) -> Outcome:
    """Compute one array of sums."""
    return Sums(scheme, params, seed).run()
