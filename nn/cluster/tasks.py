"""What a worker of `nn.cluster` does, bytes in and bytes out; and how a network is cut for many.

A task is a function of network, evaluation key and ciphertexts; see `work`. Three kinds are enough:
`whole` batches, or `sums_of_part` for every part of the first stage, and then the `rest`. Whoever
hands them out has checked that network and parameters fit (`nn.cluster.coordinator.predict`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from nn.networks.base import Block, Layer, Linear
from nn.networks.layers import Dense
from nn.networks.model import Sequential
from nn.planning.program import Program, Report, program_of, stages
from nn.planning.steps import TILE_UNITS, SumsStep, hidden_tiles
from yashe import wire
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Key
from yashe.schemes.base import Scheme

MOST_NETWORKS = 2  # that a worker remembers; each takes megabytes, most of them for the key

Step = Callable[[Sequential, Key | None, Ciphertext], Ciphertext]


@dataclass(frozen=True)
class Network:
    """What all tasks have in common: the network, and a frame with the key; no bytes for none."""

    model: Sequential
    key: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of layers, parameters and key, hexadecimal."""
        return hashlib.sha256(self.model.digest.encode() + self.key).hexdigest()


_networks: dict[str, tuple[Sequential, Key | None]] = {}  # of this worker, by digest, oldest first


def work(step: Step, digest: str, network: Network | None, frame: bytes) -> bytes | None:
    """Do one task on a worker.

    Parameters
    ----------
    step : what to do
    digest : of the network
    network : the network itself, unless the worker should know it
    frame : ciphertexts

    Returns
    -------
    A frame of ciphertexts, or None if the worker does not know the network.
    """
    if network is not None and digest not in _networks:
        for oldest in list(_networks)[: len(_networks) + 1 - MOST_NETWORKS]:
            _networks.pop(oldest, None)
        key = wire.from_bytes(network.key, Key) if network.key else None
        _networks[digest] = network.model, key
    known = _networks.get(digest)
    if known is None:
        return None
    return wire.to_bytes(step(*known, wire.from_bytes(frame, Ciphertext)))


def whole(
    model: Sequential, key: Key | None, ct: Ciphertext, report: Report | None = None
) -> Ciphertext:
    """Return the logits of a batch."""
    return program_for(model, key, ct).run(ct, key, report)


def rest(model: Sequential, key: Key | None, ct: Ciphertext) -> Ciphertext:
    """Return the logits, from the sums of the first step, which have no bias yet."""
    program = program_for(model, key, ct)
    return program.run(ct + first_sums(program).dense.bias, key, start=1)


def sums_of_part(
    number: int, parts: int, model: Sequential, key: Key | None, ct: Ciphertext
) -> Ciphertext:
    """Return the sums over one part of the first step.

    Parameters
    ----------
    number, parts : which of `first_stage_parts(model, parts)`
    ct : the `inputs` of the part
    """
    part = first_stage_parts(model, parts)[number]
    index = np.zeros(math.prod(model.input_shape), dtype=np.int64)
    index[part.inputs] = ct.index  # the other pixels are not there, and nobody looks at them
    x = replace(ct, index=index.reshape(model.input_shape))
    return first_sums(program_for(model, key, ct)).sums(x, part.tiles)


def program_for(model: Sequential, key: Key | None, ct: Ciphertext) -> Program:
    """Return the program for the scheme that ciphertexts carry, and the key that there is."""
    assert isinstance(ct.scheme, Scheme)
    return program_of(model, ct.scheme, relinearize=key is not None)


def first_sums(program: Program) -> SumsStep:
    """Return the first step of a program that begins with sums of squares."""
    first = program.steps[0]
    assert isinstance(first, SumsStep)
    return first


@dataclass
class Part:
    """Hidden units of the first step, and the pixels that they look at.

    Attributes
    ----------
    tiles : of the units
    inputs : int64 array, numbers of pixels, ascending
    """

    tiles: list[Block] = field(default_factory=list)
    inputs: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __repr__(self) -> str:
        return f"Part({len(self.tiles)} tiles, {len(self.inputs)} inputs)"

    @property
    def units(self) -> IntArray:
        """Numbers of the hidden units."""
        return np.concatenate([tile.outputs.ravel() for tile in self.tiles])


def first_stage_parts(model: Sequential, parts: int) -> list[Part]:
    """Cut the first step of a network into at most `parts` pieces of about the same work.

    Returns
    -------
    A list of parts; a single, empty one where the network does not begin with a `SumsStep`, that is
    with squares, or a linear layer and squares, that a dense layer adds up. In every part each sum
    has a weight that is not zero, because a sum of nothing would not be a ciphertext.
    """
    stop = stages(model.layers)[0][1]
    first, dense = model.layers[0], model.layers[stop - 1]
    if stop == 1 or not isinstance(dense, Dense):
        return [Part()]
    total = len(dense.weight)
    found = [Part()]
    for tile in hidden_tiles(first, min(TILE_UNITS, max(1, total // parts))):
        if found[-1].tiles:
            units = found[-1].units
            done = sum(len(part.units) for part in found)
            if done * parts >= len(found) * total and dense.weight[units].any(axis=0).all():
                found.append(Part())
        found[-1].tiles.append(tile)
    if len(found) > 1 and not dense.weight[found[-1].units].any(axis=0).all():
        found[-2].tiles += found.pop().tiles
    for part in found:
        part.inputs = inputs_of(first, part.units)
    return found


def inputs_of(first: Layer, units: IntArray) -> IntArray:
    """Return the numbers of the inputs that some outputs of a first layer depend on, ascending."""
    if not isinstance(first, Linear):
        return np.sort(units)
    positions = [b.inputs[np.isin(b.outputs, units).any(axis=1)] for b in first.blocks()]
    return np.unique(np.concatenate([inputs.ravel() for inputs in positions]))
