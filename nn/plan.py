"""What a network needs, proved before anything is encrypted.

Two questions decide whether an encrypted run can be right, and both are answered by running the
very same `forward` of the layers on other kinds of arrays:

- *Range.* `Interval` arrays carry the lowest and highest value that any allowed image can cause.
  Only the logits must fit into (-t/2, t/2): values in between may wrap, because sums and products
  are exact modulo t.
- *Noise.* `Forecast` arrays carry the predicted deviation of the noise, by the formulas of
  `yashe.noise`, for parameters that somebody gives or that `make_plan` finds.
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
from yashe.bfv import BFV
from yashe.errors import NoiseBudgetExhausted, ParameterError, RangeError
from yashe.noise import Bound
from yashe.params import Params, make_params
from yashe.residues import FloatArray, IntArray
from yashe.scheme import Scheme
from yashe.security import max_log2_q


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


def run(
    model: Sequential,
    x: Values,
    relinearize: Callable[[Values], Values] = lambda x: x,
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
    relinearize : what to do with an array before a square, and at the end
    observe : called with the number of a layer and its output
    """
    for i, layer in enumerate(model.layers):
        x = layer.forward(relinearize(x) if isinstance(layer, Square) else x)
        observe(i, x)
    return relinearize(x)


@dataclass(frozen=True)
class PlannedLayer:
    """One line of a plan.

    Attributes
    ----------
    name : of the layer
    shape : of its output
    range_bits : log2(2 max|value|), proved for every input
    budget_bits : predicted noise budget that is left after it, at the worst output
    """

    name: str
    shape: tuple[int, ...]
    range_bits: float
    budget_bits: float


@dataclass(frozen=True)
class Plan:
    """A network, parameters that carry it, and the proof: see `make_plan`."""

    params: Params
    levels: int
    fresh_budget_bits: float
    layers: tuple[PlannedLayer, ...]

    @property
    def range_bits(self) -> float:
        """Bits that the logits need, which t must have."""
        return self.layers[-1].range_bits

    @property
    def final_budget_bits(self) -> float:
        """Predicted noise budget of the encrypted logits."""
        return self.layers[-1].budget_bits

    def table(self) -> str:
        """Return the plan as a table."""
        lines = [
            f"{'layer':<12}{'shape':>14}{'range, bits':>14}{'budget left, bits':>20}",
            f"{'(fresh)':<12}{'':>14}{'':>14}{self.fresh_budget_bits:>20.1f}",
        ]
        for layer in self.layers:
            shape = " x ".join(map(str, layer.shape))
            lines.append(
                f"{layer.name:<12}{shape:>14}{layer.range_bits:>14.1f}{layer.budget_bits:>20.1f}"
            )
        return "\n".join(lines)


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
    final = run(model, found[0], Forecast.relinearize, lambda i, x: found.append(x))
    return [*found[:-1], final]


def make_plan(
    model: Sequential,
    params: Params | None = None,
    security: int = 128,
    public: bool = False,
    scheme: Callable[[Params], Scheme] = BFV,
    spare_bits: float = 0,
) -> Plan:
    """Prove that a network can run encrypted, for given parameters or for the cheapest ones.

    Parameters
    ----------
    model : integer network whose `info.levels` says how large a pixel can be
    params : parameters to check, or None to look for the fewest primes at the smallest n
    security : level in bits for the parameters to look for
    public : whether the images will be encrypted with the public key
    scheme : the class of the scheme that will run it
    spare_bits : noise budget that shall be left for the server, e.g. for flooding

    Raises
    ------
    RangeError
        If the logits may leave (-t/2, t/2), with the numbers.
    NoiseBudgetExhausted
        If the noise may overwhelm the logits, naming the layer; or no parameters would do.
    """
    levels = model.info.levels
    intervals = ranges(model, levels)
    need = intervals[-1].smallest_t
    if params is None:
        params = cheapest_params(model, need, security, public, scheme, spare_bits)
    if params.t < need:
        raise RangeError(
            f"the logits can reach {need // 2} in absolute value for some image, which needs t of "
            f"{math.log2(need):.1f} bits, but {params.name} has log2 t = {params.log2_t:.1f}; "
            "take a larger t, smaller weights or fewer pixel levels"
        )
    forecasts = forecast(model, scheme(params), public)
    budgets = [float(f.noise_budget.min()) for f in forecasts]
    names = [type(layer).__name__ for layer in model.layers]
    for name, budget in zip(names, budgets[1:], strict=True):
        noise.check_budget(budget, params.n, f"the layer {name}")
    layers = tuple(
        PlannedLayer(name, tuple(interval.shape), interval.bits, budget)
        for name, interval, budget in zip(names, intervals, budgets[1:], strict=True)
    )
    return Plan(params, levels, budgets[0], layers)


def cheapest_params(
    model: Sequential,
    t_at_least: int,
    security: int,
    public: bool,
    scheme: Callable[[Params], Scheme],
    spare_bits: float = 0,
) -> Params:
    """Return the parameters with the smallest n, and then the fewest primes, that carry a network.

    Raises
    ------
    NoiseBudgetExhausted
        If not even the largest ones do.
    """
    best = -math.inf
    for n in (4096, 8192, 16384):
        limit = max_log2_q(n, security)
        for log2_q in sorted({*range(47, limit, 24), limit}):  # two primes, three primes, ...
            try:
                params = make_params(f"{model.info.name}-{n}", n, t_at_least, security, log2_q)
            except ParameterError:  # t alone is too large for such a q
                continue
            best = float(forecast(model, scheme(params), public)[-1].noise_budget.min())
            if best >= noise.least_budget(n) + spare_bits:
                return params
    raise NoiseBudgetExhausted(
        f"no parameters of the security table carry {model.info.name or 'this network'} with "
        f"log2 t >= {math.log2(t_at_least):.1f}: at n = 16384 it ends with {best:.1f} bits of "
        "noise budget; take fewer squares in a row, smaller weights or fewer pixel levels"
    )
