"""A network compiled to a program: the short list of steps that a server goes through.

    program = program_of(model, scheme)
    print(program)
    logits = program.run(ct, keys.relinearization)

Here it is decided, once and without looking at a ciphertext, what is computed at once, where
ciphertexts are relinearised (as late as possible: before the next square, and at the end), and with
how many primes of q each step works. Everything else only reads the list: a run goes through it, a
plan adds up its noise and its seconds, a cluster hands out its steps or pieces of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nn.networks.base import Layer, Linear, Shape
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import Sequential
from nn.planning.descent import levels_of_squares
from nn.planning.proofs import Forecast
from nn.planning.steps import LayerStep, RelinearizeStep, SquareStep, Step, SumsStep
from yashe.arithmetic.devices import LookedTooLate, checks_later, place_of
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.trace import label
from yashe.errors import ParameterError
from yashe.schemes.base import Scheme


@dataclass(frozen=True)
class StepReport:
    """What one step of a run has cost.

    Attributes
    ----------
    what : it did
    seconds : wall-clock time
    ciphertexts : that it made
    budget_bits : predicted noise budget of the worst of them
    """

    what: str
    seconds: float
    ciphertexts: int
    budget_bits: float


@dataclass
class Report:
    """What a run has cost, step by step.

    Attributes
    ----------
    steps : those that are done
    progress : told the share (0..1) of the whole work that has just been done
    """

    steps: list[StepReport] = field(default_factory=list)
    progress: Callable[[float], None] = field(default=lambda share: None, repr=False)


@dataclass(frozen=True)
class Program:
    """What a server does for a network, under a scheme with its parameters.

    Attributes
    ----------
    model : the network
    scheme : Scheme of the encrypted images
    steps : in their order
    """

    model: Sequential
    scheme: Scheme
    steps: tuple[Step, ...]

    @property
    def inputs(self) -> Shape:
        """Shape of the array of encrypted inputs: here a ciphertext for every pixel position."""
        return self.model.input_shape

    def prepare(self) -> None:
        """Compute what does not depend on an image, which else the first image waits for."""
        for step in self.steps:
            step.prepare()

    @property
    def key_polynomials(self) -> int:
        """How many polynomials these keys have on the wire."""
        return self.scheme.params.k * self.scheme.parts(1)

    @property
    def what(self) -> str:
        """What a client encrypts, for people."""
        what = "pixels" if len(self.model.input_shape) == 3 else "columns"
        return f"{' x '.join(map(str, self.inputs))} {what}"

    def run(
        self, x: Ciphertext, key: Any, report: Report | None = None, start: int = 0
    ) -> Ciphertext:
        """Return the encrypted logits.

        Parameters
        ----------
        x : encrypted images, or what the step before `start` has made
        key : the relinearisation key of the same keys, or what else the steps take
        report : collects times and predicted noise budgets, if given
        start : number of the first step

        Returns
        -------
        Ciphertext of the last step's shape

        Raises
        ------
        ParameterError
            If the ciphertexts have another shape, scheme or level.
        NoiseBudgetExhausted, KeyMismatchError
        """
        expected = self.steps[start - 1].shape if start else self.inputs
        if x.shape != expected:
            raise ParameterError(f"the network takes shape {expected}, got {x.shape}")
        try:
            with checks_later():  # a GPU computes ahead of us, and is looked at once
                return self._run(x, key, report, start)
        except LookedTooLate:  # in one of many thousand runs
            return self._run(x, key, report, start)

    def _run(self, x: Ciphertext, key: Any, told: Report | None, start: int) -> Ciphertext:
        """Go through the steps, for `run`."""
        report, wait = told or Report(), place_of(x.rows).wait
        report.steps, effort = [], sum(step.effort for step in self.steps)

        def tick(step: Step, share: float) -> None:
            report.progress(share * step.effort / effort if effort else 0.0)

        for step in self.steps[start:]:
            begin = time.perf_counter()
            with label(step.name):
                x = step.run(x, key, partial(tick, step))
            if told:
                wait()
            seconds, budget = time.perf_counter() - begin, float(x.noise_budget.min())
            report.steps.append(StepReport(step.what, seconds, x.size, budget))
        return x

    def forecasts(self, public: bool = False) -> list[Forecast]:
        """Return the predicted noise of the fresh ciphertexts, and of what every step makes.

        Parameters
        ----------
        public : whether the images are encrypted with the public key, which is noisier
        """
        fresh = self.scheme.fresh_bound(public).broadcast(self.inputs)
        found = [Forecast(self.scheme, fresh)]
        for step in self.steps:
            found.append(step.forecast(found[-1]))
        return found

    def reply_primes(self, logits: Forecast) -> int:
        """Return how many primes of q are left in a reply; see `nn.inference.replies`."""
        return logits.scheme.fewest_primes(logits.promised().bound, logits.degree)

    def rows(self, public: bool = False) -> list[Row]:
        """Return the program as a table, from the client to the server and back."""
        found = self.forecasts(public)
        begin, logits = self.scheme.params.k, found[-1]
        rows = [Row("client", f"encrypt {self.what}", begin, found[0])]
        rows += [
            Row("server", step.what, step.level, forecast)
            for step, forecast in zip(self.steps, found[1:], strict=True)
        ]
        before, left = logits.scheme.params.k, self.reply_primes(logits)
        reply = "reply" + (f", {before} -> {left} primes" * (left < before))
        switched = logits.promised().switched(left)
        return [
            *rows,
            Row("server", reply, left, switched),
            Row("client", "decrypt", left, switched),
        ]

    def __str__(self) -> str:
        lines = [f"{'on':<8}{'step':<34}{'level':>6}{'ciphertexts':>13}{'bits left':>11}"]
        return "\n".join([*lines, *map(str, self.rows())])


@dataclass(frozen=True)
class Row:
    """A line of a program's table: who does what, with how many primes, and what comes out."""

    on: str
    what: str
    level: int
    forecast: Forecast

    @property
    def ciphertexts(self) -> int:
        """How many there are behind it."""
        return math.prod(self.forecast.shape)

    @property
    def budget_bits(self) -> float:
        """Predicted noise budget of the worst of them."""
        return float(self.forecast.noise_budget.min())

    def __str__(self) -> str:
        line = f"{self.on:<8}{self.what:<34}{self.level:>6}{self.ciphertexts:>13,}"
        return line + f"{self.budget_bits:>11.1f}"


def program_of(model: Sequential, scheme: Scheme, fused: bool = True) -> Program:
    """Compile a network.

    Parameters
    ----------
    model : integer network
    scheme : of the encrypted images, with its parameters
    fused : whether squares and the dense layer behind them are computed at once; without it, layer
        after layer is, which gives the same messages
    """
    layers, steps, given = model.layers, list[Step](), scheme
    levels = levels_of_squares(
        type(scheme), scheme.params, sum(isinstance(layer, Square) for layer in layers)
    )
    squared, degree = 0, 1

    def relinearize(last: int, left: int, width: int = 1) -> None:
        nonlocal scheme, degree
        shape, params = layers[last].output_shape, scheme.params
        steps.append(RelinearizeStep((layers[last],), last, shape, scheme, left, width))
        scheme, degree = scheme.at(params.shortened(left)), 1

    def compute(kind: type[Step], first: int, stop: int) -> None:
        chosen = tuple(layers[first:stop])
        steps.append(kind(chosen, stop - 1, chosen[-1].output_shape, scheme))

    for start, stop in stages(layers) if fused else [(i, i + 1) for i in range(len(layers))]:
        first = start
        if stop - start > 1 and degree == 2 and isinstance(layers[start], Linear):
            compute(LayerStep, start, start + 1)  # acts on three parts as well as on two
            first += 1
        if degree == 2 and any(isinstance(layer, Square) for layer in layers[first:stop]):
            relinearize(first - 1, *levels[squared])
        if stop - start > 1:
            compute(SumsStep, first, stop)
        else:
            compute(SquareStep if isinstance(layers[start], Square) else LayerStep, start, stop)
        if any(isinstance(layer, Square) for layer in layers[first:stop]):
            squared, degree = squared + 1, 2
    if degree == 2:
        relinearize(len(layers) - 1, scheme.params.k)
    return Program(model, given, tuple(steps))


def stages(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Cut layers into ranges [start, stop); one that is longer than one is a `SumsStep`.

    They are: at most one linear layer, a square, any number of Flatten, a dense layer.
    """
    found, i = list[tuple[int, int]](), 0
    while i < len(layers):
        j = i + isinstance(layers[i], Linear)
        if j < len(layers) and isinstance(layers[j], Square):
            j += 1
            while j < len(layers) and isinstance(layers[j], Flatten):
                j += 1
            if j < len(layers) and isinstance(layers[j], Dense):
                found.append((i, j + 1))
                i = j + 1
                continue
        found.append((i, i + 1))
        i += 1
    return found
