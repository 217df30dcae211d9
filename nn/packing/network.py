"""What client and server know of a packed network: how a picture is laid out, and its weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nn.networks.model import Sequential
from nn.packing.answer import Answer
from nn.packing.layout import Layout, layout_of
from nn.packing.stages import PackingError, Stages, stages_of
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.ciphertexts.noise import canonical_norm
from yashe.ciphertexts.slots import encode_constant, interpolate
from yashe.circuits.matrices import SlotMatrix, power_of_two
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV


@dataclass(frozen=True, eq=False)
class Packing:
    """What a client has to know: how to fill slots, and where the logits will be. No weights.

    Attributes
    ----------
    pixels : int64 array (K, P), which pixel tap j reads at position p; -1 for none
    layout : of the positions
    outputs : how many logits there are
    answered : whether they are in a polynomial (`nn.packing.answer`), else in the first slots
    between : how many numbers each matrix puts out that is not the first and not the last one
    """

    pixels: IntArray
    layout: Layout
    outputs: int
    answered: bool
    between: tuple[int, ...] = ()

    @property
    def taps(self) -> int:
        """K, the ciphertexts that a client sends."""
        return len(self.pixels)

    def slots(self, image: IntArray) -> IntArray:
        """Return what a client encrypts for an image, int64 array (K, n)."""
        flat = image.reshape(-1)
        return self.layout.spread(np.where(self.pixels < 0, 0, flat[self.pixels]))

    def answer(self, params: Params) -> Answer:
        """Return where the logits are, modulo the t of these parameters."""
        return Answer(params, self.classes[-1], self.outputs)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shapes of the matrices between the first and the last one, rows and columns."""
        return tuple(zip(self.between, self.classes, strict=False))

    @property
    def classes(self) -> list[int]:
        """With which period the numbers behind each matrix but the last one fill the rows."""
        return [self.layout.classes, *map(power_of_two, self.between)]

    def logits(self, params: Params, slots: IntArray) -> IntArray:
        """Return the logits modulo t, int64 array (outputs,), from decrypted slots (n,)."""
        if not self.answered:
            return slots[: self.outputs]
        basis = params.plaintext_ring.basis
        coefficients = basis.compose(interpolate(params, slots[None]), np.int64)[0]
        return self.answer(params).logits(coefficients)


@dataclass(frozen=True, eq=False)
class PackedNetwork:
    """A network's weights as the polynomials that a server multiplies with, modulo one t.

    Attributes
    ----------
    stages : of the network
    packing : what a client knows of it
    params : whose n and t these are; q does not matter
    """

    stages: Stages
    packing: Packing
    params: Params

    @classmethod
    def of(cls, model: Sequential, params: Params) -> PackedNetwork:
        """Pack a network.

        Raises
        ------
        PackingError
            If it has another form, or too many positions or outputs, naming the layer.
        """
        stages = stages_of(model)
        layout, answered = layout_of(stages, params.n), len(stages.matrices) > 1
        between = stages.outputs[1:-1]
        packing = Packing(stages.taps.pixels, layout, stages.outputs[-1], answered, between)
        found = cls(stages, packing, params)
        if answered:
            packing.answer(params)
        if not found.weights.any(axis=(1, 2)).all():
            layer = stages.matrices[0].layer
            raise PackingError(
                f"layer {layer}, {model.layers[layer]!r}, has so many weights of zero that one of "
                f"{layout.turns} sums would depend on no pixel; mode='batch' runs any network"
            )
        return found

    @property
    def layout(self) -> Layout:
        """Of the positions."""
        return self.packing.layout

    @cached_property
    def weights(self) -> IntArray:
        """The first matrix, int64 coefficients (J, M, n)."""
        slots = self.layout.weights(self.stages.matrices[0].weight)
        residues = interpolate(self.params, encode_constant(self.params, slots))
        return self.params.plaintext_ring.basis.compose(residues, np.int64)

    @cached_property
    def weight_norms(self) -> FloatArray:
        """By how much these enlarge noise, shape (J, M)."""
        return canonical_norm(self.weights)

    @cached_property
    def biases(self) -> list[IntArray]:
        """Biases of every matrix but the last one in slots, int64 arrays (n,)."""
        pairs = zip(self.packing.classes, self.stages.matrices, strict=False)
        slots = [Layout(self.params.n, 1, c).repeated(matrix.bias) for c, matrix in pairs]
        return [encode_constant(self.params, values) for values in slots]

    @cached_property
    def middle(self) -> list[SlotMatrix]:
        """The matrices that are not the first and not the last one; any q does."""
        found = []
        pairs = zip(self.packing.classes, self.stages.matrices[1:-1], strict=False)
        for period, matrix in pairs:
            padded = np.zeros((matrix.weight.shape[1], period), dtype=np.int64)
            padded[:, : len(matrix.weight)] = encode_constant(self.params, matrix.weight.T)
            found.append(SlotMatrix(BGV(self.params), padded))
        return found

    @cached_property
    def middle_norms(self) -> list[list[FloatArray]]:
        """By how much these enlarge noise: for each giant step, of its products."""
        basis = self.params.plaintext_ring.basis
        return [
            [canonical_norm(basis.compose(p.element.residues, np.int64)) for _, _, p in m.giants]
            for m in self.middle
        ]

    @cached_property
    def answers(self) -> IntArray:
        """The last matrix, int64 coefficients (n,)."""
        weight = self.stages.matrices[-1].weight
        return self.packing.answer(self.params).polynomial(weight)

    @cached_property
    def answer_norm(self) -> float:
        """By how much it enlarges noise."""
        return float(canonical_norm(self.answers))
