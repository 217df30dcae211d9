"""A network compiled for one image at once, and the parameters for that.

    run = packed_program(PackedNetwork.of(model, params), BGV(params), levels)

A network whose logits take more than one small plaintext modulus is run once for each of several,
as in `nn.inference.split`: every prime of t is a run of its own, with keys of its own. A product
costs log2 t bits of q for each square, so that small t are cheap, and the runs do not wait for each
other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, combinations_with_replacement

from nn.networks.base import Shape
from nn.networks.model import Sequential
from nn.packing.network import PackedNetwork, Packing
from nn.packing.stages import PackingError
from nn.planning.middle import RepeatStep, SquareOnceStep
from nn.planning.packed import (
    AnswerStep,
    BiasStep,
    GatherStep,
    PackedStep,
    ServerKeys,
    TapsStep,
    TwoPartsStep,
    WeighStep,
)
from nn.planning.program import Program
from yashe.arithmetic.primes import next_ntt_primes, ntt_primes, prime_limit
from yashe.ciphertexts import noise
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.keys import SecretKey
from yashe.circuits.matrices import steps_of
from yashe.errors import NoiseBudgetExhausted, RangeError
from yashe.parameters.sets import Params, counted, primes_of_q
from yashe.schemes.bgv import BGV
from yashe.schemes.choose import candidates

RINGS = (4096, 8192, 16384)
LARGEST_DIGIT = 4  # primes; no network here bears the noise of larger ones
TAPS = -1  # the number of the taps, where matrices have theirs
MOST_RUNS = 32  # of one network, each modulo a prime at least: logits of 700 bits
MOST_SKEW_BITS = 3  # beyond that the smaller q costs more than is won


@dataclass(frozen=True)
class Levels:
    """With how many primes of q the parts of a packed program work.

    Attributes
    ----------
    first : fresh ciphertexts, the first matrix, and rotations
    last : the last matrix
    gadget : how polynomials are cut into digits: the larger these are, the less work, and the more
        noise
    fine_stages : of the fold that use it; the others have one digit only, and leave to the noise
        what the primes that go next can hold
    between : matrices that are not the first and not the last one
    """

    first: int
    last: int
    gadget: Gadget
    fine_stages: int
    between: tuple[int, ...] = ()

    @property
    def gadgets(self) -> tuple[Gadget, Gadget]:
        """Fine digits, and coarse ones."""
        second = (*self.between, self.last)[0]
        return self.gadget, Gadget(second, spare=self.first - second)


@dataclass(frozen=True)
class KeyPlan:
    """Which keys a server needs; no secret of the network.

    Attributes
    ----------
    packing : how one image fills the slots
    levels : of the program
    """

    packing: Packing
    levels: Levels

    @property
    def rotations(self) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
        """What slots are moved by with fine digits, and with coarse ones."""
        layout, fine = self.packing.layout, self.levels.fine_stages
        folds, merges = layout.folds, [1] * (layout.turns > 1)  # by one, again and again
        found = [*merges, *chain(*folds[:fine])]
        for shape in self.packing.shapes:
            baby, giants, blocks = steps_of(*shape)
            found += {*range(1, baby), *giants[1:], *blocks}.difference(found)
        return tuple(found), tuple(chain(*folds[fine:]))

    @property
    def polynomials(self) -> int:
        """One half of each key; the other one is told by a seed."""
        fine, coarse = (len(gadget.groups(self.levels.first)) for gadget in self.levels.gadgets)
        few, many = map(len, self.rotations)
        return fine * (1 + few) + coarse * many

    def make(self, scheme: BGV, secret: SecretKey, seed: bytes | None = None) -> ServerKeys:
        """Make them."""
        fine, coarse = (
            scheme.rotation_keys(secret, rotations, seed, gadget)
            for rotations, gadget in zip(self.rotations, self.levels.gadgets, strict=True)
        )
        relinearization = scheme.relinearization_key(secret, seed, self.levels.gadget)
        return ServerKeys(relinearization, fine, coarse)


@dataclass(frozen=True)
class PackedProgram(Program):
    """What a server does for one image at once.

    Attributes
    ----------
    network : packed, modulo the t of the scheme
    keys : which the server needs
    """

    network: PackedNetwork
    keys: KeyPlan
    scheme: BGV


def packed_program(
    model: Sequential, network: PackedNetwork, scheme: BGV, levels: Levels
) -> PackedProgram:
    """Compile a packed network under a scheme with `levels.first` primes."""
    steps, stages = list[PackedStep](), network.stages

    def add(kind: type[PackedStep], number: int, shape: Shape, primes: int) -> None:
        layer = stages.matrices[number].layer if number >= 0 else stages.taps.layer
        at = scheme.level(steps[-1].level if steps else levels.first)
        layers = (model.layers[max(layer, 0)],)
        how = levels.gadgets, levels.fine_stages, number
        steps.append(kind(layers, layer, shape, at, primes, network, *how))

    sums, primes = (network.layout.turns,), levels.first
    if stages.taps.layer >= 0:
        add(TapsStep, TAPS, (stages.taps.maps,), primes)
    add(WeighStep, 0, sums, primes)
    if stages.matrices[0].squared:
        add(TwoPartsStep, 0, sums, primes)
    add(GatherStep, 0, (1,), primes)
    for number, primes in enumerate((*levels.between, levels.last)):
        if number:
            add(SquareOnceStep, number, (1,), steps[-1].level)
            add(TwoPartsStep, number, (1,), steps[-1].level)
            add(RepeatStep, number, (1,), steps[-1].level)
        add(BiasStep, number, (1,), primes)
    if network.packing.answered:
        add(AnswerStep, len(stages.matrices) - 1, (1,), levels.last)
    taps, keys = network.packing.taps, KeyPlan(network.packing, levels)
    sent = (taps,), counted(taps, "tap") + " of one image", keys.polynomials
    return PackedProgram(model, scheme, tuple(steps), *sent, network, keys)


def enough_primes(n: int, minimum: int) -> tuple[int, ...]:
    """Return as few batching primes as possible, of about one size, with a product >= minimum.

    Raises
    ------
    RangeError
        If it takes more than MOST_RUNS.
    """
    bits = math.log2(minimum)
    for count in range(math.ceil(bits / math.log2(prime_limit(n))), MOST_RUNS + 1):
        primes = next_ntt_primes(n, math.ceil(2 ** (bits / count)), count)
        if len(primes) == count and math.prod(primes) >= minimum:
            return tuple(primes)
    raise RangeError(
        f"logits of {bits:.0f} bits take more than {MOST_RUNS} batching primes at n = {n}: take "
        "fewer squares, smaller weights or fewer pixel levels"
    )


def packed_programs(
    model: Sequential,
    need: int,
    security: int,
    spare_bits: float,
    public: bool,
    params: Params | None = None,
) -> tuple[PackedProgram, ...]:
    """Return the cheapest programs for one image, one for each prime of t.

    Cheapest means the smallest n, then the fewest transforms.

    Parameters
    ----------
    model : integer network
    need : the smallest t that holds the logits
    security : level in bits
    spare_bits : noise budget that shall be left at the end beyond what decryption requires
    public : whether the image will be encrypted with the public key
    params : parameters that are given, with all primes of t, or None to look for the cheapest

    Raises
    ------
    PackingError
        If the slots do not hold the network, naming the layer.
    RangeError
        If the logits take too many primes.
    NoiseBudgetExhausted
        If no parameters do.
    """
    refused: PackingError | None = None
    name = f"{model.name}-single"
    for n in (params.n,) if params else RINGS:
        sets = [params] if params else candidates(n, enough_primes(n, need), BGV, security, name)
        try:
            networks = tuple(PackedNetwork.of(model, run) for one in sets[:1] for run in runs(one))
        except PackingError as error:  # a larger ring has more slots
            refused = error
            continue
        refused = None
        search = Search(model, networks, public, spare_bits, params is not None)
        chosen = search.cheapest(sets)
        if chosen is not None:
            return tuple(search.programs(*chosen))
    if refused is not None:
        raise refused
    raise NoiseBudgetExhausted(
        f"{name}: no parameters at {security} bits of security carry one image at once; "
        "mode='batch' takes less noise"
    )


@lru_cache(maxsize=64)
def runs(params: Params) -> tuple[Params, ...]:
    """Return parameters for every prime of t."""
    return tuple(replace(params, plaintext_moduli=(t,)) for t in params.plaintext_moduli)


@dataclass(frozen=True)
class Search:
    """The search for parameters and levels at one ring degree.

    Attributes
    ----------
    networks : packed, for every prime of t
    model, public, spare_bits : as for `packed_programs`
    given : whether the parameters must be used as they are
    """

    model: Sequential
    networks: tuple[PackedNetwork, ...]
    public: bool
    spare_bits: float
    given: bool

    def programs(self, params: Params, levels: Levels) -> Iterator[PackedProgram]:
        """Yield the program of every run."""
        for network, run in zip(self.networks, runs(params), strict=True):
            yield packed_program(self.model, network, BGV(run), levels)

    def carries(self, params: Params, levels: Levels) -> bool:
        """Say whether the noise leaves every run what it shall leave."""
        for program in self.programs(params, levels):
            budgets = [float(found.noise_budget.min()) for found in program.forecasts(self.public)]
            if min(*budgets, budgets[-1] - noise.least_budget(params.n)) < self.spare_bits:
                return False
        return True

    def cost(self, params: Params, levels: Levels) -> int:
        """Count the transforms of client and server: most of their work."""
        program = next(self.programs(params, levels))
        server = sum(step.work().get("transform", 0) for step in program.steps)
        return math.prod(program.inputs) * params.k + server

    def cheapest(self, sets: Sequence[Params]) -> tuple[Params, Levels] | None:
        """Return what costs least: one prime more than necessary may allow larger digits."""
        best: tuple[Params, Levels] | None = None
        for params in sets:
            if best is not None and params.k > best[0].k + 1:
                break
            levels = sorted(self.possible(params), key=partial(self.cost, params))
            if best is not None:
                levels = [each for each in levels if self.cost(params, each) < self.cost(*best)]
            tried = (
                (one, each)
                for each in levels
                for one in ([params] if self.given else skewed(params, each))
            )
            best = next((found for found in tried if self.carries(*found)), best)
        return best

    def possible(self, params: Params) -> Iterator[Levels]:
        """Yield levels with digits of up to `LARGEST_DIGIT` primes, if the finest would do."""
        k, stages = params.k, len(self.networks[0].layout.folds)
        count = len(self.networks[0].packing.between)
        for last, *higher in combinations_with_replacement(range(1, k + 1), count + 1):
            between = tuple(higher[::-1])
            fewest = stages if (*between, last)[0] == k else 0  # no primes are spare for others
            levels = [
                Levels(k, last, Gadget(size), fine, between)
                for size in range(1, min(k, LARGEST_DIGIT) + 1)
                for fine in range(stages, fewest - 1, -1)
            ]  # the first ones have the least noise
            holds = 2 * params.t < math.prod(params.moduli[:last])
            if holds and self.carries(params, levels[0]):
                yield from levels


def skewed(params: Params, levels: Levels) -> Iterator[Params]:
    """Yield parameters whose first primes, those behind the fold, are smaller and smaller.

    Where the others are spare, what the fold adds is as large as the first primes are in comparison
    with them, and that counts twice in the square that follows.
    """
    yield params
    second = levels.gadgets[1].size
    if levels.gadgets[1].spare:
        for bits in range(1, MOST_SKEW_BITS + 1):
            size = math.floor(math.log2(math.prod(params.moduli[:second]))) - bits
            first = primes_of_q(params.n, size, params.plaintext_moduli, second)
            avoid = (*params.plaintext_moduli, *first)
            others = ntt_primes(params.n, params.k - second, avoid=avoid)
            if 2 * params.t < math.prod(first) and math.prod(first + others) < params.q:
                yield replace(params, moduli=first + others)
