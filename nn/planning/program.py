"""A network compiled to a program: the short list of steps that a server goes through.

    program = program_of(model, scheme)
    print(program)
    logits = program.run(ct, keys.relinearization)

Here it is decided, once and without looking at a ciphertext, what is computed at once, where
ciphertexts are relinearised, and with how many primes of q each step works. Everything else only
reads the list: a run goes through it, a plan adds up its noise and its seconds, a cluster hands out
its steps or pieces of them.

Relinearisation comes as late as possible: before the next square, and at the end, because two parts
make a smaller reply than three. With a single square there is none. Its owner decrypts three parts
with s and s^2, and the server needs no key at all: nothing to send, to keep and to look after, and
nothing that encrypts s^2 under s. With more squares that is a choice in BGV: three parts, squared,
are five. They take more noise, because a switch of the modulus rounds all parts, and the errors of
the third one are multiplied by s^2; but the switch is then all there is between two squares
(`nn.planning.plan` compares both).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nn.networks.base import Layer, Linear, Shape
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import Sequential
from nn.planning.calibrate import Work
from nn.planning.descent import levels_of_squares, promised_bound
from nn.planning.proofs import Forecast
from nn.planning.steps import (
    LayerStep,
    RelinearizeStep,
    SquareStep,
    Step,
    SumsStep,
    SwitchStep,
)
from yashe.arithmetic.places import place_of
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.trace import label
from yashe.errors import FormError, ParameterError
from yashe.schemes.base import Scheme

NEEDS_A_KEY = "; or relinearise between squares, which takes less noise and a key"


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
    inputs : shape of the array of encrypted inputs
    what : a client encrypts, for people
    key_polynomials : how many polynomials the server's keys have on the wire; 0 if it needs none
    """

    model: Sequential
    scheme: Scheme
    steps: tuple[Step, ...]
    inputs: Shape
    what: str
    key_polynomials: int

    @property
    def effort(self) -> float:
        """How much work it is, typically; see `Step.effort`."""
        return sum(step.effort for step in self.steps)

    def prepare(self) -> None:
        """Compute what does not depend on an image, which else the first image waits for."""
        for step in self.steps:
            step.prepare()

    @property
    def needs_keys(self) -> bool:
        """Whether a server has to be given keys for it."""
        return self.key_polynomials > 0

    def run(
        self, x: Ciphertext, key: Any, report: Report | None = None, start: int = 0
    ) -> Ciphertext:
        """Return the encrypted logits.

        Parameters
        ----------
        x : encrypted images, or what the step before `start` has made
        key : the relinearisation key of the same keys, or what else the steps take; None will do
            for a program that `needs_keys` not
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
        there = place_of(x.like)
        found: Ciphertext = there.looked(lambda: self._run(x, key, report, start, there.wait))
        return found

    def _run(
        self, x: Ciphertext, key: Any, told: Report | None, start: int, wait: Callable[[], None]
    ) -> Ciphertext:
        """Go through the steps, for `run`; what nobody asks for is not counted."""
        effort = 0.0
        if told:
            told.steps, effort = [], self.effort

        def tick(step: Step, share: float) -> None:
            if told:
                told.progress(share * step.effort / effort if effort else 0.0)

        for step in self.steps[start:]:
            begin = time.perf_counter()
            with label(step.name):
                x = step.run(x, key, partial(tick, step))
            if told:
                wait()
                seconds, budget = time.perf_counter() - begin, float(x.noise_budget.min())
                told.steps.append(StepReport(step.what, seconds, x.size, budget))
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

    def lines(self, public: bool = False) -> tuple[Line, ...]:
        """Return the program as a table, from the client to the server and back."""
        fresh, *made = self.forecasts(public)
        scheme, logits = made[-1].scheme, made[-1]
        promise = promised_bound(scheme.params.n, int(logits.bound.order.max()))
        before, left = scheme.params.k, scheme.fewest_primes(promise, logits.degree)
        reply = replace(logits, bound=promise.broadcast(logits.shape)).switched(left)
        switch = f", {before} -> {left} primes"

        def line(on: str, what: str, of: Forecast, work: Work) -> Line:
            scheme, budget = of.scheme, float(of.noise_budget.min())
            parts = scheme.parts(of.degree)
            return Line(on, what, scheme.params.k, of.shape, parts, budget, work)

        return (
            line("client", f"encrypt {self.what}", fresh, {"encrypt": math.prod(self.inputs)}),
            *(
                line("server", step.what, forecast, step.work())
                for step, forecast in zip(self.steps, made, strict=True)
            ),
            line("server", "reply" + switch * (left < before), reply, {}),
            line("client", "decrypt", reply, {"decrypt": math.prod(reply.shape)}),
        )

    def __str__(self) -> str:
        lines = [f"{'on':<8}{'step':<34}{'level':>6}{'ciphertexts':>13}{'bits left':>11}"]
        for line in self.lines():
            made = f"{line.level:>6}{line.ciphertexts:>13,}{line.budget_bits:>11.1f}"
            lines.append(f"{line.on:<8}{line.what:<34}{made}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Line:
    """A line of a program's table: who does what, and what is known of what comes out.

    Attributes
    ----------
    on : "client" or "server"
    what : it does
    level : with how many primes of q its outputs go on
    shape : of the array of ciphertexts that it makes
    parts : polynomials in each of them
    budget_bits : predicted noise budget that is left behind it, at the worst output
    work : operations by kind (`nn.planning.calibrate.KINDS`)
    range_bits : log2(2 max|value|) of the outputs, proved for every input, if a plan has done that
    seen_bits : the same among the images that were shown to the plan, if any were
    seconds : estimated, if the plan was calibrated
    """

    on: str
    what: str
    level: int
    shape: Shape
    parts: int
    budget_bits: float
    work: Work
    range_bits: float | None = None
    seen_bits: float | None = None
    seconds: float | None = None

    @property
    def ciphertexts(self) -> int:
        """Number of its outputs."""
        return math.prod(self.shape)


def program_of(
    model: Sequential, scheme: Scheme, fused: bool = True, relinearize: bool = True
) -> Program:
    """Compile a network.

    Parameters
    ----------
    model : integer network
    scheme : of the encrypted images, with its parameters
    fused : whether squares and the dense layer behind them are computed at once; without it, layer
        after layer is, which gives the same messages
    relinearize : whether sums of squares are relinearised before they are squared again, which
        takes a key, or keep all their parts

    Raises
    ------
    FormError
        If the scheme has no ciphertexts of so high a degree.
    """
    layers, steps, given = model.layers, list[Step](), scheme
    squares = sum(isinstance(layer, Square) for layer in layers)
    if not relinearize and 2**squares > scheme.largest_degree:
        raise FormError(
            f"without a relinearisation {squares} squares in a row have degree {2**squares}, and "
            f"ciphertexts of {scheme.name} {scheme.largest_degree} at most: give a "
            "relinearisation key"
        )
    levels = levels_of_squares(type(scheme), scheme.params, squares, relinearize)
    squared, degree = 0, 1

    def add(kind: type[Step], first: int, stop: int, level: int, **options: int) -> None:
        chosen = tuple(layers[first:stop])
        shape = chosen[-1].output_shape
        steps.append(kind(chosen, stop - 1, shape, scheme, level, degree=degree, **options))

    def lower(last: int, primes: int, width: int = 1) -> None:
        nonlocal scheme, degree
        if relinearize:
            add(RelinearizeStep, last, last + 1, primes, width=width)
            degree = 1
        elif primes < scheme.params.k:
            add(SwitchStep, last, last + 1, primes)
        scheme = scheme.level(primes)

    for start, stop in stages(layers) if fused else [(i, i + 1) for i in range(len(layers))]:
        first = start
        if stop - start > 1 and degree > 1 and isinstance(layers[start], Linear):
            # Acts on all parts, however many there are.
            add(LayerStep, start, start + 1, scheme.params.k)
            first += 1
        square = any(isinstance(layer, Square) for layer in layers[first:stop])
        if square and degree > 1:
            lower(first - 1, *levels[squared])
        if stop - start > 1:
            add(SumsStep, first, stop, scheme.params.k)
        else:
            add(SquareStep if square else LayerStep, start, stop, scheme.params.k)
        if square:
            squared, degree = squared + 1, 2 * degree
    if relinearize and degree > 1 and squared > 1:
        lower(len(layers) - 1, scheme.params.k)
    inputs, keyed = model.input_shape, any(isinstance(step, RelinearizeStep) for step in steps)
    what = f"{' x '.join(map(str, inputs))} {'pixels' if len(inputs) == 3 else 'columns'}"
    polynomials = given.params.k * given.parts(1) if keyed else 0
    return Program(model, given, tuple(steps), inputs, what, polynomials)


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
