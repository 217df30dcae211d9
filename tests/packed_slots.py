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
    """Return slots (n,) behind all matrices but the last one, or behind the only one."""
    slots = behind_the_first(network, image)
    n, classes = network.params.n, network.packing.classes
    for matrix, d, m in zip(network.stages.matrices[1:-1], classes, classes[1:], strict=False):
        assert np.array_equal(slots, np.tile(slots[:d], n // d))  # whatever the next one takes
        x = slots[: len(matrix.weight)].astype(object) ** 2
        slots = Layout(n, 1, m).repeated(x @ matrix.weight + matrix.bias)
    return slots


def behind_the_first(network: PackedNetwork, image: IntArray) -> IntArray:
    """Return slots (n,) behind the first matrix, its biases added."""
    taps, first = network.stages.taps, network.stages.matrices[0]
    slots = network.packing.slots(image).astype(object)
    h = taps.weight.T @ slots + taps.bias[:, None]
    units = h * h if first.squared else h
    products = network.layout.weights(first.weight) * units
    return gathered(network.layout, products.sum(axis=1)) + network.layout.repeated(first.bias)
