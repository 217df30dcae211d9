"""The steps of a server for one image at once: the image fills the slots (`nn.packing`).

    TapsStep     the first layer: each map is a sum of taps, one integer for all positions
    WeighStep    its squares, times the weights of the first matrix, added up slot by slot
    TwoPartsStep relinearisation, behind squares
    GatherStep   rotations: what belongs to one output is merged, and folded over the blocks
    BiasStep     biases, and the level of the next square
    AnswerStep   squares, times the weights of the last matrix, and a mask on all but the logits

Rotations stand behind the first matrix, because its products are so noisy that digits of several
primes add little to them (`yashe.ciphertexts.gadgets`). On fresh ciphertexts only digits of one
prime would do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nn.packing.network import PackedNetwork
from nn.planning.calibrate import Work
from nn.planning.proofs import Forecast
from nn.planning.steps import Step, Tick
from yashe.arithmetic.devices import near, take
from yashe.arithmetic.parallel import for_each
from yashe.arithmetic.residues import FloatArray, max_terms, reduce
from yashe.arithmetic.rings import CoefficientElement
from yashe.arithmetic.sampling import fresh_seed
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.keys import Relinearization, RotationPairs
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.slots import Plaintext
from yashe.errors import KeyMismatchError
from yashe.schemes.bgv import BGV


@dataclass(frozen=True)
class ServerKeys:
    """What a server needs of a client's keys, where slots move.

    Attributes
    ----------
    relinearization : with fine digits, too
    fine, coarse : keys for the first rotations and for the last ones, which may be noisier: what
        they add is not summed up again and again
    """

    relinearization: Relinearization
    fine: RotationPairs
    coarse: RotationPairs

    @classmethod
    def check(cls, keys: Any) -> None:
        """Refuse other keys.

        Raises
        ------
        KeyMismatchError
        """
        if not isinstance(keys, cls):
            raise KeyMismatchError(
                "one image at once takes the keys that plan.server_keys(keys) makes, but got a "
                f"{type(keys).__name__}"
            )

    def to(self, place: str) -> ServerKeys:
        """Return these keys in the memory of a place, "cpu" or "gpu"."""
        return ServerKeys(**{name: key.to(place) for name, key in vars(self).items()})


@dataclass(frozen=True)
class PackedStep(Step):
    """A step that knows the packed network.

    Attributes
    ----------
    network : modulo the t of the scheme
    gadgets : how polynomials are cut into digits: fine ones, and coarse ones
    fine_stages : how many stages of the fold take fine digits, as all that is before them
    number : of the matrix that it is for
    """

    network: PackedNetwork
    gadgets: tuple[Gadget, Gadget]
    fine_stages: int
    number: int

    scheme: BGV  # and no other

    def passes(self, ciphertexts: int, parts: int = 2) -> int:
        """Count the polynomials of that many ciphertexts, modulo one prime each."""
        return ciphertexts * parts * self.scheme.params.k

    def cutting(self, polynomials: int, gadget: Gadget) -> tuple[int, int]:
        """Count transforms and passes of polynomials that are cut into digits behind the step.

        It takes passes to write digits of several primes modulo every prime.
        """
        digits = len(gadget.groups(self.level))
        passes = digits if gadget.size > 1 else 0
        return polynomials * self.level * (1 + digits), polynomials * self.level * passes

    def rotating(self, rotations: int) -> int:
        """Count the passes of rotations: a product with a key, a permutation, a sum."""
        return 3 * self.passes(rotations)


class TapsStep(PackedStep):
    """h = taps @ weight + bias."""

    @property
    def what(self) -> str:
        return f"{self.name.lower()}, to {self.network.stages.taps.maps} maps"

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        taps = self.network.stages.taps
        return x.affine(taps.weight, taps.bias)

    def forecast(self, x: Forecast) -> Forecast:
        taps = self.network.stages.taps
        return x @ taps.weight + taps.bias

    def work(self) -> Work:
        taps = self.network.stages.taps
        return {"multiply_add": taps.weight.size, "pass": self.passes(taps.maps)}


class WeighStep(PackedStep):
    """z_j = sum_m weights[j, m] h_m^2, or h_m for a matrix without a square before it."""

    @property
    def squared(self) -> bool:
        """Whether the matrix sums squares."""
        return self.network.stages.matrices[0].squared

    @property
    def what(self) -> str:
        turns, maps = self.network.weights.shape[:2]
        of = f"{maps} squares" if self.squared else f"{maps} inputs"
        return f"{of}, weighed to {turns} sums"

    @cached_property
    def _values(self) -> FloatArray:
        """The weights modulo every prime of q, in NTT form, shape (k, J, M, n)."""
        values = self.scheme.params.ring.element(self.network.weights).ntt().residues
        return np.ascontiguousarray(np.moveaxis(values, -2, 0))

    def prepare(self) -> None:
        assert self._values.size  # transformed by now

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        rows, params = take(x.rows, x.index), self.scheme.params

        def parts(i: int) -> FloatArray:
            h_0, h_1 = rows[:, 0, i], rows[:, 1, i]
            if not self.squared:
                return np.stack([h_0, h_1])
            return reduce(np.stack([h_0 * h_0, 2 * h_0 * h_1, h_1 * h_1]), params.moduli[i])

        out = self.sums(3 if self.squared else 2, parts, rows)
        bound = self._bound(x.bound[x.index])
        degree, factor = (2, x.factor**2 % params.t) if self.squared else (1, x.factor)
        x = replace(x, factor=factor)
        return x.derive(out, bound, (len(out),), "sums of products", degree)

    def sums(self, parts: int, of: Callable[[int], FloatArray], like: FloatArray) -> FloatArray:
        """Return sums over the maps with the weights of the matrix, shape (J, parts, k, n).

        Parameters
        ----------
        parts : of the ciphertexts, or some of them
        of : returns the parts of all maps modulo prime i, residues of shape (parts, M, n)
        like : an array where these are
        """
        params = self.scheme.params
        out = np.empty((len(self.network.weights), parts, params.k, params.n), like=like)

        def one_prime(i: int) -> None:
            p, weights, values = params.moduli[i], near(self._values, like)[i], of(i)
            most = max_terms(p) - 1  # that a float64 holds exactly
            cuts = [slice(j, j + most) for j in range(0, weights.shape[1], most)]
            sums = [np.einsum("jmn,pmn->jpn", weights[:, j], values[:, j]) for j in cuts]
            total = reduce(sums[0], p)
            for more in sums[1:]:
                total = reduce(total + more, p)
            out[:, :, i] = total

        for_each(one_prime, range(params.k))
        return out

    def _bound(self, bound: Bound) -> Bound:
        """Return the bounds of the sums from those of the units."""
        if self.squared:
            bound = self.scheme.product_bound(bound, bound)
        deviation = self.network.weight_norms @ bound.deviation
        order = np.full(deviation.shape, bound.order.max(), dtype=np.int64)
        return Bound(deviation, order).capped()

    def forecast(self, x: Forecast) -> Forecast:
        return Forecast(self.scheme, self._bound(x.bound), 2 if self.squared else 1)

    def work(self) -> Work:
        turns, maps = self.network.weights.shape[:2]
        squares = maps if self.squared else 0
        return {"square": squares, "weigh": turns * maps, "pass": self.passes(turns, 3)}


class TwoPartsStep(PackedStep):
    """Relinearisation with digits of several primes."""

    @property
    def what(self) -> str:
        return "relinearise"

    def compute(self, x: Ciphertext, key: ServerKeys, tick: Tick) -> Ciphertext:
        return self.scheme.relinearize(x, key.relinearization)

    def forecast(self, x: Forecast) -> Forecast:
        added = self.scheme.switching_bound(self.gadgets[0])
        return Forecast(self.scheme, x.bound + added)

    def work(self) -> Work:
        (sums,) = self.shape
        transforms, passes = self.cutting(sums, self.gadgets[0])
        return {"transform": transforms, "pass": self.passes(sums) + passes}


class GatherStep(PackedStep):
    """y = fold(merge(z)), as `nn.packing.layout` has it."""

    @property
    def what(self) -> str:
        layout = self.network.layout
        merge = f"merge {layout.turns} sums, " * (layout.turns > 1)
        return f"{merge}fold {layout.period} blocks"

    def compute(self, x: Ciphertext, key: ServerKeys, tick: Tick) -> Ciphertext:
        scheme, total = self.scheme, x[-1:]
        for j in range(x.size - 2, -1, -1):
            total = x[j : j + 1] + scheme.rotate(total, 1, key.fine)
        for number, stage in enumerate(self.network.layout.folds):
            keys = key.fine if number < self.fine_stages else key.coarse
            for moved in scheme.rotations(total, stage, keys):
                total = total + moved
        return total

    def forecast(self, x: Forecast) -> Forecast:
        added, coarse = (self.scheme.switching_bound(gadget, 1) for gadget in self.gadgets)
        bounds, total = x.bound, x.bound[-1:]
        for j in range(len(bounds.deviation) - 2, -1, -1):
            total = bounds[j : j + 1] + (total + added)
        for number, stage in enumerate(self.network.layout.folds):
            moved = total + (added if number < self.fine_stages else coarse)
            for _ in stage:
                total = total + moved
        return Forecast(self.scheme, total)

    def work(self) -> Work:
        layout, merges = self.network.layout, self.network.layout.turns - 1
        fine = self.cutting(merges + self.fine_stages, self.gadgets[0])
        coarse = self.cutting(len(layout.folds) - self.fine_stages, self.gadgets[1])
        passes = self.rotating(merges + sum(map(len, layout.folds)))
        return {"transform": fine[0] + coarse[0], "pass": passes + fine[1] + coarse[1]}


class BiasStep(PackedStep):
    """Biases of a matrix, after a switch to the level of what comes next."""

    @property
    def what(self) -> str:
        return f"{self.network.stages.outputs[self.number]} biases{self.below}"

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        x = self.scheme.switch_modulus(x, self.level)
        return x + self.scheme.encode(self.network.biases[self.number])

    def forecast(self, x: Forecast) -> Forecast:
        x, basis = x.switched(self.level), self.network.params.plaintext_ring.basis
        message = basis.decompose(self.network.biases[self.number])
        added = x.scheme.plaintext_addition_bound(message, 1)
        return Forecast(x.scheme, x.bound + added)

    def work(self) -> Work:
        switch = 2 * self.scheme.params.k if self.level < self.scheme.params.k else 0
        return {"transform": switch + self.level, "pass": self.passes(1)}


class AnswerStep(PackedStep):
    """The last matrix as `nn.packing.answer` has it: y^2 times a polynomial, plus a mask."""

    @property
    def what(self) -> str:
        return f"{self.network.packing.outputs} logits of squares, masked"

    @cached_property
    def _values(self) -> FloatArray:
        """The weights modulo every prime of q, in NTT form, shape (k, n)."""
        return self.scheme.params.ring.element(self.network.answers).ntt().residues

    def prepare(self) -> None:
        assert self._values.size  # transformed by now

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        y, params = self.scheme.square(x, self.scheme.params.k), self.scheme.params
        rows = reduce(take(y.rows, y.index) * near(self._values, y.rows), params.ring.moduli)
        bound = y.bound[y.index] * self.network.answer_norm
        product = y.derive(rows, bound, y.shape, "a product with a polynomial")
        return product + self._mask()

    def _mask(self) -> Plaintext:
        """Return a mask, never the same one twice."""
        params, answer = self.network.params, self.network.packing.answer(self.network.params)
        mask = answer.mask(self.network.stages.matrices[-1].bias, fresh_seed())
        residues = params.plaintext_ring.basis.decompose(mask[None])
        return Plaintext(self.scheme.params, CoefficientElement(params.plaintext_ring, residues))

    def forecast(self, x: Forecast) -> Forecast:
        bound = self.scheme.product_bound(x.bound, x.bound) * self.network.answer_norm
        mask = np.zeros((*x.shape, 1, 1))
        return Forecast(self.scheme, bound + self.scheme.plaintext_addition_bound(mask, 2), 2)

    def work(self) -> Work:
        # A product with a polynomial, and a sum with a mask that is drawn.
        return {"square": 1, "transform": self.level, "pass": 2 * self.passes(1, 3)}
