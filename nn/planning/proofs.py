"""Arrays that prove: what a network can put out, and how noisy its ciphertexts get.

The very same `forward` of the layers runs on these instead of numbers or ciphertexts:

- `Interval` arrays carry the lowest and highest value that any allowed image can cause.
- `Forecast` arrays carry the predicted noise, by the formulas of `yashe.ciphertexts.noise`.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from nn.networks.base import NumberArray
from nn.networks.model import Sequential
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.whole import of_kind, shown, whole
from yashe.ciphertexts.moves import Together
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.ranges import Interval as Interval
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import ParameterError, RangeError, TransparentCiphertextError
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.schemes.choose import switched

# of which sums of two residues are exact in int64: `yashe.arithmetic.linear`
LARGEST_WEIGHT = 2**62
PROBE_PRIME = 2**61 - 1


@dataclass(frozen=True, eq=False)
class Forecast(Together):
    """An array of ciphertexts of which only the predicted noise exists.

    Attributes
    ----------
    scheme : the scheme whose noise it is
    bound : Bound of the array's shape
    degree : as in `yashe.ciphertexts.array.Ciphertext`
    """

    scheme: Scheme
    bound: Bound
    degree: int = 1

    def __repr__(self) -> str:
        least = float(self.noise_budget.min())
        return f"Forecast(shape={self.shape}, {self.scheme.name}, noise budget >= {least:.1f} bits)"

    @property
    def noise_budget(self) -> FloatArray:
        """Predicted noise budget in bits."""
        return self.bound.budget(self.scheme.params.n)

    def __matmul__(self, matrix: IntArray) -> Forecast:
        bound = self.bound @ encode_constant(self.scheme.params, matrix)
        return replace(self, bound=bound.capped())

    def __add__(self, other: IntArray) -> Forecast:
        constants = encode_constant(self.scheme.params, other)
        shape = np.broadcast_shapes(self.shape, constants.shape)
        added = self.scheme.plain_addition_bound(self.degree) * (constants != 0)
        return replace(self, bound=self.bound.broadcast(shape) + added)

    def __mul__(self, other: Forecast) -> Forecast:
        bound = self.scheme.product_bound(self.bound, other.bound)
        return replace(self, bound=bound, degree=self.degree + other.degree)

    def switched(self, primes: int) -> Forecast:
        """Return the forecast after a switch to the first primes of q."""
        scheme, bound = switched(self.scheme, self.bound, primes, self.degree)
        return replace(self, scheme=scheme, bound=bound)


def ranges(model: Sequential, levels: int) -> list[Interval]:
    """Return what every layer can put out for images with pixels in [0, levels], by intervals.

    Raises
    ------
    ParameterError
        If the network is not one of integers, or there are no levels.
    """
    check_integers(model)
    whole(levels, "levels", 1)
    return model.layer_outputs(Interval.of(0, levels, model.input_shape))


def check_integers(model: Sequential) -> None:
    """Refuse a network whose parameters are not int64, or so large that sums are not exact.

    Raises
    ------
    ParameterError
    """
    of_kind(model, "the network", Sequential)
    for i, layer in enumerate(model.layers):
        for name, values in layer.parameters.items():
            kind = type(layer).__name__
            if values.dtype != np.int64:
                raise ParameterError(
                    f"only networks of integers run encrypted, and layer {i}, {kind}, has a {name} "
                    f"of {values.dtype}: quantise the network (nn.training.quantize), or give "
                    "int64 values"
                )
            if values.size and not -LARGEST_WEIGHT < values.min() <= values.max() < LARGEST_WEIGHT:
                raise ParameterError(f"layer {i}, {kind}, has a {name} of 2^62 or more")


def check_depends(model: Sequential, t: int | None = None) -> None:
    """Refuse a network with an output of a layer that is the same number for all images.

    Encrypted it would be readable without a key, so ciphertexts refuse to become that. Two random
    images tell: polynomials of degree d that are not constant agree on them, modulo a large prime,
    with probability d / PROBE_PRIME.

    Parameters
    ----------
    model : integer network
    t : plaintext modulus, modulo which weights act on ciphertexts; None for the integers themselves

    Raises
    ------
    TransparentCiphertextError
        Naming the layer and the output.
    """
    shape = (2, *model.input_shape)
    draws = np.random.default_rng(0).integers(PROBE_PRIME, size=shape, dtype=np.int64)
    x: NumberArray = draws.astype(object)  # integers of Python, for which nothing is too large
    for i, layer in enumerate(model.layers):
        acting = copy(layer)
        if t is not None:
            acting.parameters = {
                name: (w + t // 2) % t - t // 2 for name, w in layer.parameters.items()
            }
        x = acting.forward(x) % PROBE_PRIME
        constant = x[0] == x[1]
        if constant.any():
            place = tuple(np.argwhere(constant)[0].tolist())
            raise TransparentCiphertextError(
                f"layer {i}, {type(layer).__name__}, has an output, {place}, that depends on no "
                f"pixel: its weights are all zero, or cancel. Leave it out: what is the same for "
                "all images is a bias of the next layer"
            )


def check_fits(model: Sequential, need: int, params: Params, joined_with: int = 1) -> None:
    """Refuse a plaintext modulus that does not hold all logits.

    Parameters
    ----------
    need : the smallest one that does
    joined_with : product of other plaintext moduli that hold a part of the result
        (`nn.inference.split`)

    Raises
    ------
    RangeError
        Naming the layer, with the numbers.
    """
    if params.t * whole(joined_with, "joined_with", 1) < need:
        raise RangeError(
            f"the layer {type(model.layers[-1]).__name__}: the logits can reach {shown(need // 2)} "
            f"in absolute value for some image, which needs t of {math.log2(need):.1f} bits, but "
            f"{params.name} has log2 t = {params.log2_t:.1f}; take a larger t, several of them "
            "(nn.inference.split), smaller weights or fewer pixel levels"
        )


def check_network(model: Sequential, params: Params, joined_with: int = 1) -> None:
    """Refuse a network whose encrypted logits would be wrong, or readable, under parameters.

    Raises
    ------
    ParameterError, RangeError, TransparentCiphertextError
        As from `ranges`, `check_fits` and `check_depends`.
    """
    of_kind(model, "the network", Sequential)
    check_fits(model, ranges(model, model.levels)[-1].smallest_t, params, joined_with)
    check_depends(model, params.t)
