"""The steps of which a server's computation consists.

A step acts on ciphertexts (`run`), on their predicted noise (`forecast`), and says how much work it
is (`work`). `nn.planning.program` puts them in a row.

    LayerStep        a linear layer, a pool or a Flatten, by its own `forward`
    SquareStep       squares
    SumsStep         squares of the outputs of a linear layer, summed up by a dense layer, at once
    RelinearizeStep  degree 2 becomes degree 1; in BGV some primes of q go, too
    SwitchStep       some primes of q go, and nothing else does

`SumsStep` is what makes networks fast. Its hidden units, the largest layer of all, never stand in
memory as a whole,

    sum over hidden units of square(x @ W1 + b1) * W2 + b2

they are computed a few columns at a time (`yashe.circuits.columns`), or, by schemes with
ciphertexts in coefficient form, a few units at a time (`yashe.circuits.products`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nn.networks.base import Block, Layer, Linear, Shape
from nn.networks.layers import Dense
from nn.planning.calibrate import TYPICAL, Work
from nn.planning.proofs import Forecast
from yashe.arithmetic.parallel import watched
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.keys import PerDigit
from yashe.ciphertexts.trace import label
from yashe.circuits.columns import SquareLayer, Units
from yashe.circuits.products import SumsOfSquares
from yashe.errors import ParameterError
from yashe.schemes.base import Scheme

TILE_UNITS = 128  # hidden units that exist at the same time
Tick = Callable[[float], None]  # told which share of a step has just been done


def no_tick(share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Step(ABC):
    """One step of a program.

    Attributes
    ----------
    layers : of the network, those that it computes
    last : number of the layer whose outputs it makes
    shape : of the array of ciphertexts that it makes
    scheme : Scheme at the level of its inputs, that is with as many primes of q
    level : with how many primes of q its outputs go on
    degree : of its inputs
    """

    layers: tuple[Layer, ...]
    last: int
    shape: Shape
    scheme: Scheme
    level: int
    degree: int = field(default=1, kw_only=True)

    @property
    def name(self) -> str:
        """The layer that it ends with, for traces."""
        return type(self.layers[-1]).__name__

    @property
    @abstractmethod
    def what(self) -> str:
        """What it does, for people."""

    @property
    def below(self) -> str:
        """The primes before and behind it, if it switches to fewer."""
        before = self.scheme.params.k
        return f", {before} -> {self.level} primes" * (self.level < before)

    @property
    def effort(self) -> float:
        """How much work it is, typically, by which progress is measured."""
        times = TYPICAL[self.scheme.ntt_form]
        return sum(count * times[kind] for kind, count in self.work().items())

    def linear_work(self, layer: Layer) -> dict[str, int]:
        """Count what a linear layer does to all parts of its inputs; others do nothing."""
        if not isinstance(layer, Linear):
            return {}
        products = layer.multiply_adds() * self.scheme.parts(self.degree) // self.scheme.parts(1)
        return {"multiply_add": products, "output": math.prod(layer.output_shape)}

    def prepare(self) -> None:
        """Compute what does not depend on the inputs, if there is something."""
        return

    def run(self, x: Ciphertext, key: Any, tick: Tick = no_tick) -> Ciphertext:
        """Return the outputs.

        Parameters
        ----------
        x : Ciphertext, the outputs of the step before
        key : the relinearisation key
        tick : told the shares of the work as they are done; they add up to 1

        Raises
        ------
        ParameterError
            If the ciphertexts are not at the level of the program.
        NoiseBudgetExhausted, KeyMismatchError
        """
        if (x.scheme.name, x.params.digest) != (self.scheme.name, self.scheme.params.digest):
            raise ParameterError(
                f"the step '{self.what}' is for {self.scheme.name} {self.scheme.params.name}, the "
                f"ciphertexts are for {x.scheme.name} {x.params.name}"
            )
        told: list[float] = []

        def tell(share: float) -> None:
            told.append(share)
            tick(share)

        outputs = self.compute(x, key, tell)
        tick(1 - sum(told))
        return outputs

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        """Return the outputs, for `run`, which tells the shares that are not told here."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forecast(self, x: Forecast) -> Forecast:
        """Return the predicted noise of the outputs from that of the inputs."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    @abstractmethod
    def work(self) -> Work:
        """Count the operations, by the kinds of `nn.planning.calibrate`."""


class LayerStep(Step):
    """A layer that multiplies no ciphertexts."""

    @property
    def what(self) -> str:
        to = " x ".join(map(str, self.shape))
        return f"{self.name.lower()}, to {to}"

    def work(self) -> Work:
        return self.linear_work(self.layers[0])


class SquareStep(Step):
    """Squares, at the level where they are: the program has chosen it."""

    @property
    def what(self) -> str:
        return f"{self.squares} squares"

    @property
    def squares(self) -> int:
        """How many ciphertexts are squared."""
        return math.prod(self.shape)

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        return self.scheme.square(x, self.level)

    def work(self) -> Work:
        return {"square": products_in(self.degree) * self.squares // 3, "sum": self.squares}


class SumsStep(Step):
    """At most one linear layer, a square, any number of Flatten, and a dense layer."""

    @property
    def what(self) -> str:
        units = f"{self.squares} units, squared" if self.linear else f"{self.squares} squares"
        return f"{units}, to {len(self.dense.bias)} sums"

    @property
    def linear(self) -> Linear | None:
        """The linear layer that makes the units; None if the inputs are the units."""
        first = self.layers[0]
        return first if isinstance(first, Linear) else None

    @property
    def dense(self) -> Dense:
        """The layer that adds squares up."""
        dense = self.layers[-1]
        assert isinstance(dense, Dense)
        return dense

    @property
    def squares(self) -> int:
        """How many units are squared."""
        return len(self.dense.weight)

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        return self.sums(x, list(hidden_tiles(self.layers[0])), self.dense.bias, tick)

    def sums(
        self, x: Ciphertext, tiles: Sequence[Block], bias: IntArray | int = 0, tick: Tick = no_tick
    ) -> Ciphertext:
        """Return the sums over some hidden units, plus a bias.

        Sums over different units may be computed anywhere, and added up (`nn.cluster`).

        Parameters
        ----------
        x : the inputs, of which only what the tiles take has to be there
        tiles : some or all `hidden_tiles` of the first layer
        bias : of the dense layer, if it is to be added here
        tick : of `run`
        """
        if not self.scheme.ntt_form:
            return self._by_units(x, tiles, bias, tick)
        hidden = [Units(tile.inputs, tile.weight, tile.bias) for tile in tiles]
        units = np.concatenate([tile.outputs.ravel() for tile in tiles])
        layer = SquareLayer(self.scheme, x, hidden, self.dense.weight[units], bias)
        with watched(lambda: tick(1 / layer.steps)):
            return layer.sums()

    def _by_units(
        self, x: Ciphertext, tiles: Sequence[Block], bias: IntArray | int, tick: Tick
    ) -> Ciphertext:
        """Return `sums` in coefficient form, of a few units at a time instead of a few columns."""
        weight = self.dense.weight
        sums = SumsOfSquares(self.scheme, weight.shape[1])
        units = sum(tile.outputs.size for tile in tiles)
        for tile in tiles:
            with label(type(self.layers[0]).__name__):
                hidden = x.reshape(-1)[tile.inputs]
                hidden = hidden.affine(tile.weight, tile.bias) if self.linear else hidden
            sums.add_squares(hidden.reshape(-1), weight[tile.outputs.ravel()])
            tick(tile.outputs.size / units)
        return sums.total(bias)

    def work(self) -> Work:
        return {
            "square": products_in(self.degree) * self.squares // 3,
            "sum": len(self.dense.bias),
            "weigh": (2 * self.degree + 1) * self.dense.multiply_adds() // 3,
            **self.linear_work(self.layers[0]),
        }


def hidden_tiles(first: Layer, units: int = TILE_UNITS) -> Iterator[Block]:
    """Yield a layer in blocks of at most `units` hidden units.

    Parameters
    ----------
    first : a linear layer, whose outputs are the units; or any other, whose inputs they are
    """
    if isinstance(first, Linear):
        blocks = first.blocks()
    else:
        numbers = np.arange(math.prod(first.input_shape), dtype=np.int64)[:, None]
        one, zero = np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
        blocks = (Block(numbers, one, numbers, zero),)
    for block in blocks:
        positions, columns = block.outputs.shape
        step = max(1, units // columns)
        for p in range(0, positions, step):
            for c in range(0, columns, units):
                rows, some = slice(p, p + step), slice(c, c + units)
                outputs = block.outputs[rows, some]
                yield Block(block.inputs[rows], block.weight[:, some], outputs, block.bias[some])


def products_in(degree: int) -> int:
    """Return how many products of parts a square consists of: three of two parts."""
    return (degree + 1) * (degree + 2) // 2


@dataclass(frozen=True)
class RelinearizeStep(Step):
    """Relinearisation, and before a square a switch to the level where it will be computed.

    Attributes
    ----------
    width : primes of q for each digit
    """

    width: int = 1

    @property
    def what(self) -> str:
        return f"relinearise{self.below}"

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        if isinstance(key, PerDigit):  # anything else is refused below
            key = key.widened(self.width)
        with watched(lambda: tick(1 / len(x.rows))):
            relinearized = self.scheme.relinearize(x, key)
        return self.scheme.switch_modulus(relinearized, self.level)

    def forecast(self, x: Forecast) -> Forecast:
        added = self.scheme.switching_bound(Gadget(self.width, summed=True))
        return Forecast(self.scheme, x.bound + added).switched(self.level)

    def work(self) -> Work:
        # By transforms: those of c_2, of its digits, and of a switch of two parts. What is measured
        # has a digit for each prime.
        k, digits = self.scheme.params.k, -(-self.scheme.params.k // self.width)
        return {"relinearize": math.ceil(math.prod(self.shape) * (digits + 3) / (k + 3))}


class SwitchStep(Step):
    """A switch to the level of the next square, of all parts that there are."""

    @property
    def what(self) -> str:
        return f"switch{self.below}"

    def compute(self, x: Ciphertext, key: Any, tick: Tick) -> Ciphertext:
        with watched(lambda: tick(1 / len(x.rows))):
            return self.scheme.switch_modulus(x, self.level)

    def forecast(self, x: Forecast) -> Forecast:
        return x.switched(self.level)

    def work(self) -> Work:
        parts = math.prod(self.shape) * self.scheme.parts(self.degree)
        return {"transform": parts * self.scheme.params.k}
