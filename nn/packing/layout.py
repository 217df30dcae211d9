"""Which position and which output every slot is for, and the rotations that sum them up.

A dense layer multiplies P positions with weights for O outputs, and sums over positions. All n
slots work at it at once. The slots are 2 rows of n/2 (`yashe.ciphertexts.slots`); a row is cut into
*blocks* of C columns, and a column's place in its block is its *class*:

    class  i = column mod C            the output that a slot is for, or nearly
    block  b = row (n / 2C) + column // C           some of the positions

There are S = n/C blocks, and so each has to take J = ceil(P/S) positions. Where fewer blocks do, a
power of two, the others repeat them, and there is less to sum. Slot (i, b) *holds* the
position J b + (i mod J): the position changes from class to class, because a slot holds one number.
For j = 0, ..., J - 1 let z_j be the products of that with the weights for output i - j:

    z_j (i, b) = weight[J b + (i mod J), i - j] h[J b + (i mod J)].

As j runs, class o + j runs through all J positions of a block for output o. So

    merge   rotate z_j by j and add: y = z_0 + rot(z_1 + rot(z_2 + ...))     J - 1 rotations
    fold    add what is C, 2 C and 3 C columns away, then 4 C, 8 C, 12 C, ..., then the other row

and slot (i, b) is output i, in every block the same. A rotation carries class C - 1 into the next
block, which is harmless while no output is there: O + J - 1 <= C.

    n = 16, P = 6, O = 3, C = 4: four blocks of two positions each (J = 2)

    row 0                             row 1
    class     0 1 2 3 | 0 1 2 3       0 1 2 3 | 0 1 2 3
    position  0 1 0 1 | 2 3 2 3       4 5 4 5 | - - - -
    z_0 for   0 1 2 - | 0 1 2 -       0 1 2 - | 0 1 2 -      output i
    z_1 for   - 0 1 2 | - 0 1 2       - 0 1 2 | - 0 1 2      output i - 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nn.packing.stages import PackingError, Stages
from yashe.arithmetic.residues import IntArray

RADIX = 4  # of the fold: with 2 there are more digits to cut, with 8 many more keys


@dataclass(frozen=True)
class Layout:
    """The slots of one image.

    Attributes
    ----------
    n : number of slots
    positions : P, that are summed over
    classes : C, a power of two, at most n/2
    """

    n: int
    positions: int
    classes: int

    @property
    def blocks(self) -> int:
        """S, in both rows together."""
        return self.n // self.classes

    @property
    def turns(self) -> int:
        """J, how many positions a block has, and so how many products a merge turns into one."""
        return -(-self.positions // self.blocks)

    @property
    def period(self) -> int:
        """How many blocks, a power of two, hold all positions once."""
        return 1 << (-(-self.positions // self.turns) - 1).bit_length()

    @cached_property
    def class_of(self) -> IntArray:
        """The class of every slot, shape (n,)."""
        return np.arange(self.n, dtype=np.int64) % self.classes

    @cached_property
    def position_of(self) -> IntArray:
        """The position that every slot holds, shape (n,); -1 where there is none."""
        block = np.arange(self.n, dtype=np.int64) // self.classes % self.period
        position = block * self.turns + self.class_of % self.turns
        return np.where(position < self.positions, position, -1)

    def spread(self, values: IntArray) -> IntArray:
        """Return slots (..., n) from one value for each position (..., P)."""
        return np.where(self.position_of < 0, 0, values[..., self.position_of])

    def weights(self, weight: IntArray) -> IntArray:
        """Return the factors of a dense layer, slots (J, M, n).

        Parameters
        ----------
        weight : shape (P M, O), of map m at position p in row p M + m
        """
        by_position = weight.reshape(self.positions, -1, weight.shape[1])
        outputs = self.class_of - np.arange(self.turns, dtype=np.int64)[:, None]  # (J, n)
        used = (self.position_of >= 0) & (outputs >= 0) & (outputs < weight.shape[1])
        chosen = by_position[self.position_of, :, np.where(used, outputs, 0)]  # (J, n, M)
        return np.where(used[:, None], np.moveaxis(chosen, -1, 1), 0)

    def repeated(self, values: IntArray) -> IntArray:
        """Return slots (..., n) that hold one value for each class (..., O), in every block."""
        padded = np.zeros((*values.shape[:-1], self.classes), dtype=values.dtype)
        padded[..., : values.shape[-1]] = values
        return padded[..., self.class_of]

    @property
    def folds(self) -> tuple[tuple[int | str, ...], ...]:
        """The stages of a fold: by what each rotates its input, to add it all up.

        Up to `RADIX` - 1 rotations of the same ciphertexts cost little more than one.
        """
        stages, blocks, row = list[tuple[int | str, ...]](), 1, self.n // 2 // self.classes
        while blocks < min(self.period, row):
            radix, step = min(RADIX, min(self.period, row) // blocks), blocks * self.classes
            stages.append(tuple(i * step for i in range(1, radix)))
            blocks *= radix
        return (*stages, *[("swap",)] * (self.period > row))


def fitting(n: int, positions: int, outputs: Sequence[int]) -> Layout | None:
    """Return the layout with the fewest classes in which no output is lost, or None.

    Parameters
    ----------
    n : number of slots
    positions : that the first matrix sums over
    outputs : how many each matrix puts out
    """
    classes = 1
    while 2 * classes <= n:
        found = Layout(n, positions, classes)
        if max(outputs) <= classes and outputs[0] + found.turns - 1 <= classes:
            return found
        classes *= 2
    return None


def layout_of(stages: Stages, n: int) -> Layout:
    """Return the layout of a network.

    Raises
    ------
    PackingError
        If the slots do not hold it, naming the layer.
    """
    found, first = fitting(n, stages.taps.positions, stages.outputs), stages.matrices[0]
    if found is None:
        raise PackingError(
            f"layer {first.layer} sums {stages.taps.positions} positions to {stages.outputs[0]} "
            f"outputs, which do not fit into the {n} slots of a ciphertext side by side; take a "
            "larger stride, fewer outputs, or mode='batch'"
        )
    return found
