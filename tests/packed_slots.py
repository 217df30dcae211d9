"""What a packed program does to slots, in plain integers: the twin of the encrypted one."""

import numpy as np

from nn.packing.layout import Layout
from nn.packing.network import PackedNetwork
from yashe.arithmetic.residues import IntArray


def rotated(slots: IntArray, by: int | str) -> IntArray:
    """Return slots (..., n) turned to the left in both rows, or with the rows exchanged."""
    rows = slots.reshape(*slots.shape[:-1], 2, -1)
    moved = rows[..., ::-1, :] if by == "swap" else np.roll(rows, -by, axis=-1)
    return moved.reshape(slots.shape)


def gathered(layout: Layout, sums: IntArray) -> IntArray:
    """Return merge and fold of slots (J, n)."""
    total = sums[-1]
    for one in sums[-2::-1]:
        total = one + rotated(total, 1)
    for stage in layout.folds:
        total = total + sum(rotated(total, by) for by in stage)
    return total


def before_the_answer(network: PackedNetwork, image: IntArray) -> IntArray:
    """Return slots (n,) behind the first matrix, its biases added."""
    taps, first = network.stages.taps, network.stages.matrices[0]
    slots = network.packing.slots(image).astype(object)
    h = taps.weight.T @ slots + taps.bias[:, None]
    units = h * h if first.squared else h
    products = network.layout.weights(first.weight) * units
    return gathered(network.layout, products.sum(axis=1)) + network.layout.repeated(first.bias)
