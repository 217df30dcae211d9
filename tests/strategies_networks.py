"""Hypothesis strategies for small integer networks, and images for them."""

from __future__ import annotations

import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from nn.networks.base import Layer, Linear
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.planning.proofs import check_depends, ranges
from yashe.arithmetic.primes import ntt_primes
from yashe.arithmetic.residues import IntArray
from yashe.errors import TransparentCiphertextError
from yashe.laws.strategies import centred_integers
from yashe.parameters.sets import Params, plaintext_primes


@st.composite
def networks(draw: st.DrawFn, most_squares: int = 2, largest_weight: int = 3) -> Sequential:
    """Integer networks of up to 5 x 5 pixels, with a convolution or pool, squares, dense layers.

    Weights are at most `largest_weight` in absolute value, 0 is one of them, and no output has
    weights that are all zero, or cancel.
    """
    side = draw(st.integers(2, 5))
    layers: list[Layer] = []
    if draw(st.booleans()):
        layers.append(Conv2D(draw(st.integers(1, 2)), kernel=2, stride=draw(st.integers(1, 2))))
    elif side % 2 == 0 and draw(st.booleans()):
        layers.append(MeanPool(2))
    squares = draw(st.integers(0, most_squares))
    for _ in range(squares):
        layers += [Square(), Flatten(), Dense(draw(st.integers(1, 4)))]
    if not squares:
        layers += [Flatten(), Dense(draw(st.integers(1, 4)))]
    levels = draw(st.integers(1, 3))
    model = Sequential(layers, (side, side, 1), info=ModelInfo(name="drawn", levels=levels))
    for layer in model.layers:
        if isinstance(layer, Linear) and layer.parameters:
            for name, zeros in layer.parameters.items():
                values = draw(_arrays(zeros.shape, largest_weight))
                if name == "weight":  # a column of zeros would be a transparent result
                    values[0, ~values.any(axis=0)] = 1
                layer.parameters[name] = values
    try:
        check_depends(model)
    except TransparentCiphertextError:  # weights that cancel, too
        hypothesis.reject()
    return model


def _arrays(shape: tuple[int, ...], largest: int) -> SearchStrategy[NDArray[np.int64]]:
    size = int(np.prod(shape))
    values = st.lists(centred_integers(largest), min_size=size, max_size=size)
    return values.map(lambda x: np.array(x, dtype=np.int64).reshape(shape))


def images(model: Sequential, count: int) -> SearchStrategy[IntArray]:
    """int64 arrays (count, *model.input_shape) of pixels from 0 to the network's levels."""
    size = count * int(np.prod(model.input_shape))
    pixels = st.lists(st.integers(0, model.info.levels), min_size=size, max_size=size)
    shape = (count, *model.input_shape)
    return pixels.map(lambda x: np.array(x, dtype=np.int64).reshape(shape))


def insecure_params_for(model: Sequential, n: int = 16) -> Params:
    """Return toy parameters with which both schemes can run a network of up to two squares.

    YASHE' needs 2 log2 t + 24 bits for each product and one more, and the weights some 30.
    """
    t_primes = plaintext_primes(n, ranges(model, model.levels)[-1].smallest_t)
    squares = sum(isinstance(layer, Square) for layer in model.layers)
    t_bits = sum(p.bit_length() for p in t_primes)
    bits = (squares + 1) * (2 * t_bits + 24) + 40
    moduli = ntt_primes(n, 1 + bits // 23, avoid=t_primes)
    return Params(f"INSECURE_DRAWN_{n}", n, moduli, t_primes, security=None)
