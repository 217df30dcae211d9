"""Arrays that prove: what a network can put out, and how noisy its ciphertexts get.

The very same `forward` of the layers runs on these instead of numbers or ciphertexts:

- `Interval` arrays carry the lowest and highest value that any allowed image can cause.
- `Forecast` arrays carry the predicted noise, by the formulas of `yashe.noise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.base import Values
from nn.layers import Square
from nn.model import Sequential
from yashe import noise
from yashe.noise import Bound
from yashe.residues import FloatArray, IntArray
from yashe.scheme import Scheme


@dataclass(frozen=True, eq=False)
class Interval:
    """An array of integer intervals [low, high]; arithmetic gives the tightest interval around it.

    Attributes
    ----------
    low, high : object arrays of Python integers, so that nothing can overflow
    """

    low: NDArray[np.object_]
    high: NDArray[np.object_]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.low.shape

    @property
    def bits(self) -> float:
        """log2(2 max|x|): a modulus t of more than this holds every value."""
        largest = max(int(np.abs(self.low).max()), int(np.abs(self.high).max()), 1)
        return 1 + math.log2(largest)

    @property
    def smallest_t(self) -> int:
        """The smallest plaintext modulus that holds every value: 2 max|x| + 1."""
        return 2 * max(int(np.abs(self.low).max()), int(np.abs(self.high).max())) + 1

    def __getitem__(self, key: Any) -> Interval:
        return Interval(self.low[key], self.high[key])

    def reshape(self, *shape: Any) -> Interval:
        """Return the same intervals in another shape."""
        return Interval(self.low.reshape(*shape), self.high.reshape(*shape))

    @staticmethod
    def concatenate(parts: Sequence[Interval], axis: int = 0) -> Interval:
        """Join arrays along an axis."""
        low = np.concatenate([part.low for part in parts], axis=axis)
        return Interval(low, np.concatenate([part.high for part in parts], axis=axis))

    def __matmul__(self, matrix: IntArray) -> Interval:
        up = np.maximum(matrix, 0).astype(object)
        down = np.minimum(matrix, 0).astype(object)
        return Interval(
            self.low @ up + self.high @ down,
            self.high @ up + self.low @ down,
        )

    def __add__(self, other: IntArray) -> Interval:
        shift = np.asarray(other).astype(object)
        return Interval(self.low + shift, self.high + shift)

    def __mul__(self, other: Interval) -> Interval:
        if other is self:  # a square is not negative, which a product of two intervals can't know
            ends = self.low * self.low, self.high * self.high
            least = np.where(self.low * self.high <= 0, 0, np.minimum(*ends))
            return Interval(least.astype(object), np.maximum(*ends))
        ends4 = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(np.minimum.reduce(ends4), np.maximum.reduce(ends4))


@dataclass(frozen=True, eq=False)
class Forecast:
    """An array of ciphertexts of which only the predicted noise exists.

    Attributes
    ----------
    scheme : the scheme whose noise it is
    bound : Bound of the array's shape
    degree : as in `yashe.ciphertext.Ciphertext`
    """

    scheme: Scheme
    bound: Bound
    degree: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.bound.shape

    @property
    def noise_budget(self) -> FloatArray:
        """Predicted noise budget in bits."""
        return self.bound.budget(self.scheme.params.n)

    def __getitem__(self, key: Any) -> Forecast:
        return replace(self, bound=self.bound[key])

    def reshape(self, *shape: Any) -> Forecast:
        """Return the same forecasts in another shape."""
        return replace(self, bound=self.bound.reshape(*shape))

    @staticmethod
    def concatenate(parts: Sequence[Forecast], axis: int = 0) -> Forecast:
        """Join arrays along an axis."""
        return replace(parts[0], bound=Bound.concatenate([p.bound for p in parts], axis))

    def __matmul__(self, matrix: IntArray) -> Forecast:
        return replace(self, bound=self.bound @ matrix)

    def __add__(self, other: IntArray) -> Forecast:
        shape = np.broadcast_shapes(self.shape, np.shape(other))
        added = self.scheme.plain_addition_bound(self.degree)
        return replace(self, bound=self.bound.broadcast(shape) + added)

    def __mul__(self, other: Forecast) -> Forecast:
        return replace(self, bound=self.scheme.product_bound(self.bound, other.bound), degree=2)

    def relinearize(self) -> Forecast:
        """Return the forecast after relinearisation."""
        if self.degree == 1:
            return self
        return replace(self, bound=self.bound + self.scheme.relinearization_bound(), degree=1)

    def before_square(self) -> Forecast:
        """Return the forecast after relinearisation and a switch of the modulus, if they happen."""
        if self.degree == 1:
            return self
        bound = self.relinearize().bound
        primes = self.scheme.best_for_products(bound)
        if primes == self.scheme.params.k:
            return replace(self, bound=bound, degree=1)
        scheme = self.scheme.at(self.scheme.params.shortened(primes))
        bound = bound + noise.rounding(scheme.params, scheme.secret_norm, 1)
        return replace(self, scheme=scheme, bound=bound, degree=1)


def run(
    model: Sequential,
    x: Values,
    before_square: Callable[[Values], Values] = lambda x: x,
    at_end: Callable[[Values], Values] = lambda x: x,
    observe: Callable[[int, Values], None] = lambda i, x: None,
) -> Values:
    """Apply a network layer by layer, relinearising as late as possible.

    This is the definition of an encrypted evaluation; `nn.encrypted.infer` computes the same in
    tiles. A square needs ciphertexts of degree 1, everything else takes any degree, so
    relinearisation comes right before the next square, and once at the end.

    Parameters
    ----------
    model : integer network
    x : array of any backend, ending in the model's input shape
    before_square, at_end : what to do with an array before a square, and with the result
    observe : called with the number of a layer and its output
    """
    for i, layer in enumerate(model.layers):
        x = layer.forward(before_square(x) if isinstance(layer, Square) else x)
        observe(i, x)
    return at_end(x)


def ranges(model: Sequential, levels: int) -> list[Interval]:
    """Return what every layer can put out for images with pixels in [0, levels], by intervals."""
    zeros = np.zeros(model.input_shape, dtype=np.int64).astype(object)
    found: list[Interval] = []
    run(model, Interval(zeros, zeros + levels), observe=lambda i, x: found.append(x))
    return found


def forecast(model: Sequential, scheme: Scheme, public: bool = False) -> list[Forecast]:
    """Return the predicted noise of the fresh ciphertexts and of every layer's output.

    Parameters
    ----------
    model : integer network
    scheme : Scheme, with its parameters
    public : whether the images are encrypted with the public key, which is noisier
    """
    found = [Forecast(scheme, scheme.fresh_bound(public).broadcast(model.input_shape))]
    final = run(
        model,
        found[0],
        Forecast.before_square,
        Forecast.relinearize,
        lambda i, x: found.append(x),
    )
    return [*found[:-1], final]
