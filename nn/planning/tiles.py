"""A layer cut into blocks of a few units, which need not all exist at the same time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from nn.networks.base import Block, Layer, Linear
from yashe.ciphertexts.array import Ciphertext

TILE_UNITS = 128  # hidden units that exist at the same time


def hidden_tiles(first: Layer, units: int = TILE_UNITS) -> Iterator[Block]:
    """Yield a layer in blocks of about `units` hidden units.

    Parameters
    ----------
    first : a linear layer, whose outputs are the units; or any other, whose inputs they are
    """
    if isinstance(first, Linear):
        for block in first.blocks():
            yield from cut(block, units)
    else:
        count = math.prod(first.input_shape)
        one, zero = np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
        for begin in range(0, count, units):
            numbers = np.arange(begin, min(begin + units, count), dtype=np.int64)[:, None]
            yield Block(numbers, one, numbers, zero)


def apply(block: Block, x: Ciphertext) -> Ciphertext:
    """Return the outputs of a block, flat."""
    chosen = x.reshape(-1)[block.inputs]
    if block.weight.shape == (1, 1) and block.weight[0, 0] == 1 and not block.bias.any():
        return chosen.reshape(-1)
    return chosen.affine(block.weight, block.bias).reshape(-1)


def cut(block: Block, units: int) -> Iterator[Block]:
    """Cut a block into blocks of about `units` outputs, along positions or else along columns."""
    positions, columns = block.outputs.shape
    step = max(1, units // columns)
    if positions > 1 or columns <= units:
        for p in range(0, positions, step):
            rows = slice(p, p + step)
            yield Block(block.inputs[rows], block.weight, block.outputs[rows], block.bias)
        return
    for c in range(0, columns, units):
        some = slice(c, c + units)
        yield Block(block.inputs, block.weight[:, some], block.outputs[:, some], block.bias[some])
