"""The steps for a matrix in the middle of a packed network: neither the first nor the last one.

Behind the fold of the first matrix both rows of slots hold its outputs again and again. That is
what `yashe.circuits.matrices` takes, and what it returns.

    SquareOnceStep  squares of all outputs, in one ciphertext
    RepeatStep      the matrix: baby steps, giant steps, and what adds up blocks
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nn.planning.calibrate import Work
from nn.planning.packed import PackedStep, ServerKeys
from nn.planning.proofs import Forecast
from nn.planning.steps import Tick
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound
from yashe.circuits.matrices import SlotMatrix


class SquareOnceStep(PackedStep):
    """y^2, of what a matrix in the middle takes."""

    @property
    def what(self) -> str:
        return f"{self.network.stages.outputs[self.number - 1]} squares in one"

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        return self.scheme.square(x, self.scheme.params.k)

    def forecast(self, x: Forecast) -> Forecast:
        return x * x

    def work(self) -> Work:
        return {"square": 1}


class RepeatStep(PackedStep):
    """A matrix whose inputs and outputs fill both rows again and again (`circuits.matrices`)."""

    @property
    def matrix(self) -> SlotMatrix:
        """The matrix."""
        return self.network.middle[self.number - 1]

    @property
    def what(self) -> str:
        m, d = self.network.stages.matrices[self.number].weight.shape[::-1]
        return f"matrix {m} x {d}, {self.rotations} rotations"

    @property
    def rotations(self) -> int:
        """How many there are."""
        matrix = self.matrix
        giants = sum(step > 0 for step, _, _ in matrix.giants)
        return matrix.baby - 1 + giants + len(matrix.folds)

    def prepare(self) -> None:
        assert self.matrix.giants  # encoded by now

    def compute(self, x: Ciphertext, key: ServerKeys, tick: Tick) -> Ciphertext:
        return self.matrix(x, key.fine)

    def forecast(self, x: Forecast) -> Forecast:
        matrix, added = self.matrix, self.scheme.switching_bound(self.gadgets[0], 1)
        babies = Bound.concatenate([x.bound, *[x.bound + added] * (matrix.baby - 1)])
        total: Bound | None = None
        norms = self.network.middle_norms[self.number - 1]
        for (step, used, _), norm in zip(matrix.giants, norms, strict=True):
            some = (babies[used] * norm) @ np.ones((len(used), 1), dtype=np.int64)
            some = some + added if step else some
            total = some if total is None else total + some
        assert total is not None
        for _ in matrix.folds:
            total = total + (total + added)
        return Forecast(self.scheme, total.capped())

    def work(self) -> Work:
        matrix, rotations = self.matrix, self.rotations
        cuts = rotations - max(matrix.baby - 2, 0)  # the baby steps share one
        transforms, passes = self.cutting(cuts, self.gadgets[0])
        products = sum(len(used) for _, used, _ in matrix.giants)
        return {
            "transform": transforms + products * self.level,
            "pass": passes + self.rotating(rotations) + self.passes(products),
        }
