"""A float network in the units in which its numbers become integers.

    input    integer = floor(levels (x - low) / (high - low) + 1/2)
    weight   integer = round(weight unit / step)        bias    integer = round(bias / step)
    output   value = about step times the integer       square  value^2 = about step^2 times it

`unit` is what the integer 1 at the input of a layer is worth. Nothing is rescaled on the way, so
each hidden unit has a step of its own, with which its largest weight becomes the largest integer:
the layer behind multiplies its weights with it before they are rounded. The outputs of the network
have one common step, because they are compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from nn.foreign.chain import Affine, RealArray
from nn.foreign.network import FloatNetwork
from nn.networks.layers import Square
from nn.networks.model import Sequential
from nn.networks.schema import Columns, rounded_outwards
from yashe.arithmetic.residues import IntArray
from yashe.errors import DataError, RangeError

LARGEST_BIAS = 2.0**61  # of an integer network: what is beyond 62 bits, no plan takes


@dataclass(frozen=True)
class Pixels:
    """What the values of images lie between, one range for all: as `Columns` for tables.

    Attributes
    ----------
    low, high : what becomes 0 and what becomes `levels`
    zero : whether the value 0 shall be one of the levels, for which both ends move by up to half of
        one: where a convolution pads with zeros, they are between pixels that are as exact
    """

    low: float
    high: float
    zero: bool = False

    def lowest(self, levels: int) -> float:
        """Return what becomes 0."""
        step = (self.high - self.low) / levels
        return round(self.low / step) * step if self.zero else self.low

    def prepare(self, images: RealArray, levels: int) -> IntArray:
        """Return floor((x - lowest) levels / (high - low) + 1/2), clipped to 0..levels."""
        exact = (images - self.lowest(levels)) * (levels / (self.high - self.low))
        return np.clip(np.floor(exact + 0.5), 0, levels).astype(np.int64)


def grids_of(network: FloatNetwork, inputs: RealArray) -> list[Columns | Pixels]:
    """Learn from calibration rows which values become 0 and `levels`; the first is the finest."""
    if inputs.ndim == 2:
        names = network.columns or tuple(f"x{i}" for i in range(inputs.shape[1]))
        return [columns_of(inputs, names, clipped) for clipped in (True, False)]
    low, high = float(inputs.min()), float(inputs.max())
    if low == high:
        raise DataError(f"images must be of more than one brightness; got {low:g} everywhere.")
    grid = Pixels(*rounded_outwards(low, high))
    # A shift cannot go into a convolution that pads with zeros, and is a layer in front of it.
    alone, behind = network.model(), network.model(worth_of(grid, 1))
    return [replace(grid, zero=weighted(behind) > weighted(alone))]


def columns_of(inputs: RealArray, names: tuple[str, ...], clipped: bool) -> Columns:
    """Return the ends of columns: with outliers clipped, or from the least to the largest value.

    A column that is the same in every row is 0 for all of them: the weights know its value.
    """
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    varied = low < high
    high[~varied] = low[~varied] + 1
    if clipped and varied.any():
        found = Columns.of(inputs[:, varied], list(compress(names, varied)))
        low[varied], high[varied] = found.low, found.high
    return Columns(names, tuple(low.tolist()), tuple(high.tolist()))


def weighted(model: Sequential) -> int:
    """Return how many layers have weights."""
    return sum(bool(layer.parameters) for layer in model.layers)


@dataclass(frozen=True, eq=False)
class Draft:
    """A network in integer units whose weights and biases are not whole yet.

    Attributes
    ----------
    latent : the network, float64 parameters
    levels : inputs are 0..levels
    bits : of the weights of each layer that has some, their sign included
    unit : what the integer 1 at an output is worth
    """

    latent: Sequential
    levels: int
    bits: tuple[int, ...]
    unit: float

    def whole(self) -> Sequential:
        """Return the integer network."""
        layers = [layer.unbuilt() for layer in self.latent.layers]
        model = Sequential(layers, self.latent.input_shape)
        model.set_parameters(part.astype(np.int64) for part in self.rounded())
        return model

    def rounded(self) -> list[RealArray]:
        """Return weight, bias, weight, bias, ... of the integer network, as floats."""
        found = list[RealArray]()
        for i, latent in enumerate(self.latent.parameters()):
            limit = LARGEST_BIAS if i % 2 else largest(self.bits[i // 2])
            if i % 2 and (np.abs(latent) > limit).any():
                raise RangeError(
                    f"biases must fit into 62 bits, and beside weights of {self.bits} bits and "
                    f"inputs 0..{self.levels} they do not: take fewer bits or levels, and train on "
                    "with nn.train_rounded."
                )
            found.append(np.clip(np.rint(latent), -limit, limit))
        return found


def draft_of(
    network: FloatNetwork, grid: Columns | Pixels, levels: int, bits: Sequence[int]
) -> Draft:
    """Return a network in the units in which its weights become integers of so many bits."""
    model = network.model(worth_of(grid, levels))
    left, unit = iter(bits), np.ones(1)
    last = [layer for layer in model.layers if layer.parameters][-1]
    for layer in model.layers:
        if isinstance(layer, Square):
            unit = unit**2
        if not layer.parameters:
            continue
        weight, bias = layer.parameters["weight"], layer.parameters["bias"]
        # Channels come last: row r of the weights reads unit r modulo the number of units.
        weight = unit[np.arange(len(weight)) % len(unit), np.newaxis] * weight
        reach, limit = np.abs(weight).max(axis=None if layer is last else 0), largest(next(left))
        step = np.where(reach > 0, reach, limit) / limit
        layer.parameters = {"weight": weight / step, "bias": bias / step}
        unit = np.atleast_1d(step)
    return Draft(model, levels, tuple(bits), float(unit[0]))


def largest(bits: int) -> int:
    """Return the largest weight of so many bits, one of which is the sign."""
    return (1 << (bits - 1)) - 1


def worth_of(grid: Columns | Pixels, levels: int) -> Affine:
    """Return the values that integers 0..levels at the input stand for."""
    low = np.asarray(grid.low if isinstance(grid, Columns) else grid.lowest(levels))
    return Affine((np.asarray(grid.high) - np.asarray(grid.low)) / levels, low)
