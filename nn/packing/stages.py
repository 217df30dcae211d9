"""A network as few maps: the taps of a convolution, then matrices with squares between them.

A packed image is expensive to rearrange, so what lies between two squares is done at once: linear
layers in a row are one matrix. The first convolution is different. Its *tap* j is the picture seen
through pixel j of the kernel, one number for each position of the kernel. A client sends a
ciphertext for every tap, and then each map of the convolution is a sum of them with one integer
each, for all positions together:

    h_m[p] = sum_j weight[j, m] taps_j[p] + bias[m].

This is the "convolution representation" of LoLa (Brutzkus, Elisha, Gilad-Bachrach, ICML 2019,
section 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nn.networks.base import Layer, Linear
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import Sequential
from yashe.arithmetic.residues import IntArray
from yashe.errors import ParameterError

MOST_MATRICES = 3  # behind each other; with a fourth q would be too large for a fast answer
INT64_SAFE = 2.0**62


class PackingError(ParameterError):
    """A network that one image at once cannot be computed with."""


@dataclass(frozen=True, eq=False)
class Taps:
    """A linear layer that does the same at every position.

    Attributes
    ----------
    pixels : int64 array, shape (K, P); which pixel tap j reads at position p, -1 outside the image
    weight : int64 array, shape (K, M): of tap j in map m
    bias : int64 array, shape (M,)
    layer : its number in the network; -1 if the picture itself is the only tap
    """

    pixels: IntArray
    weight: IntArray
    bias: IntArray
    layer: int

    @property
    def positions(self) -> int:
        """P."""
        return int(self.pixels.shape[1])

    @property
    def maps(self) -> int:
        """M."""
        return int(self.weight.shape[1])


@dataclass(frozen=True, eq=False)
class Matrix:
    """Linear layers in a row as one: y = x @ weight + bias.

    Attributes
    ----------
    weight : int64 array or one of Python integers, shape (inputs, outputs)
    bias : the same, shape (outputs,)
    squared : whether its inputs are squares of what is before it
    layer : number of the last of the layers
    """

    weight: IntArray
    bias: IntArray
    squared: bool
    layer: int


@dataclass(frozen=True, eq=False)
class Stages:
    """A network as taps and matrices; see `stages_of`.

    Attributes
    ----------
    taps : of the first layer
    matrices : one to three, in their order
    """

    taps: Taps
    matrices: tuple[Matrix, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """How many numbers each matrix puts out."""
        return tuple(matrix.weight.shape[1] for matrix in self.matrices)


def stages_of(model: Sequential) -> Stages:
    """Return a network as taps and matrices.

    Raises
    ------
    PackingError
        If it has another form than [convolution or pool, Square] linear layers [Square, linear
        layers [Square, linear layers]], naming the layer where it ends.
    """
    layers, numbers = model.layers, range(len(model.layers))
    kinds = [i for i in numbers if not isinstance(layers[i], Flatten)]
    taps, start, squared = picture(model), 0, False
    if kinds and isinstance(layers[kinds[0]], Conv2D | MeanPool):
        first, *after = kinds
        if after and isinstance(layers[after[0]], Square):
            taps, start = taps_of(layers[first], first), first + 1
    matrices = list[Matrix]()
    while start < len(layers):
        if isinstance(layers[start], Square):
            if squared:
                raise PackingError(f"layer {start}, Square, follows a square: pack one at a time")
            squared, start = True, start + 1
            continue
        stop = next((i for i in numbers[start:] if isinstance(layers[i], Square)), len(layers))
        if any(isinstance(layer, Linear) for layer in layers[start:stop]):
            if len(matrices) == MOST_MATRICES:
                raise PackingError(
                    f"layer {stop - 1}, {layers[stop - 1]!r}, would be matrix number "
                    f"{MOST_MATRICES + 1} in a row, and one image at once takes {MOST_MATRICES}, "
                    "with squares between them; mode='batch' runs any network"
                )
            matrices.append(Matrix(*matrix_of(layers[start:stop]), squared, stop - 1))
            squared = False
        start = stop
    if squared or not matrices:
        raise PackingError(
            f"layer {len(layers) - 1}, {layers[-1]!r}, is the last one, where one image at once "
            "takes a linear layer that sums what is in the slots; mode='batch' runs any network"
        )
    return Stages(taps, tuple(matrices))


def picture(model: Sequential) -> Taps:
    """Return the picture itself as the only tap: its positions are its pixels."""
    pixels = np.arange(math.prod(model.input_shape), dtype=np.int64)[None]
    one, zero = np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    return Taps(pixels, one, zero, -1)


def taps_of(layer: Layer, number: int) -> Taps:
    """Return the taps of a convolution or pool: those that no position lacks, and padding."""
    assert isinstance(layer, Linear)
    weight = layer.weight
    taps, maps = weight.shape
    pixels = np.full((taps, math.prod(layer.output_shape) // maps), -1, dtype=np.int64)
    for patch in layer.patches:
        positions = patch.outputs[:, 0] // maps
        pixels[patch.taps[:, None], positions] = patch.inputs.T
    return Taps(pixels, weight, layer.bias, number)


def matrix_of(layers: Sequence[Layer]) -> tuple[IntArray, IntArray]:
    """Return weight and bias of linear layers in a row, exactly.

    The layers are applied to zero and to the unit vectors; in Python integers if int64 might not
    hold what comes out.
    """
    *flat, last = layers
    if isinstance(last, Dense) and all(isinstance(layer, Flatten) for layer in flat):
        return np.asarray(last.weight), np.asarray(last.bias)
    size, largest = math.prod(layers[0].input_shape), 1.0
    for layer in layers:
        if isinstance(layer, Linear):
            weight, bias = (np.abs(p.astype(np.float64)) for p in (layer.weight, layer.bias))
            largest = largest * float(weight.sum(axis=0).max()) + float(bias.max())
    kind = np.dtype(np.int64) if largest < INT64_SAFE else np.dtype(object)
    x = np.eye(size + 1, size, -1, dtype=np.int64).astype(kind)  # the first row is zero
    x = x.reshape(-1, *layers[0].input_shape)
    for layer in layers:
        x = layer.forward(x)
    rows = x.reshape(size + 1, -1)
    return np.asarray(rows[1:] - rows[0]), np.asarray(rows[0])
