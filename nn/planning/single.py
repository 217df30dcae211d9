"""A network compiled for one image at once, and the parameters for that.

    run = packed_program(PackedNetwork.of(model, params), BGV(params), levels)

A network whose logits take more than one small plaintext modulus is run once for each of several,
as in `nn.inference.split`: every prime of t is a run of its own, with keys of its own. A product
costs log2 t bits of q for each square, so that small t are cheap, and the runs do not wait for each
other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from nn.networks.base import Shape
from nn.networks.model import Sequential
from nn.packing.network import PackedNetwork
from nn.packing.stages import PackingError
from nn.planning.packed import (
    AnswerStep,
    BiasStep,
    GatherStep,
    LowerStep,
    PackedStep,
    ServerKeys,
    TapsStep,
    WeighStep,
)
from nn.planning.program import Program
from yashe.arithmetic.primes import next_ntt_primes, prime_limit
from yashe.ciphertexts import noise
from yashe.ciphertexts.keys import Keys
from yashe.errors import NoiseBudgetExhausted
from yashe.parameters.sets import Params, counted
from yashe.schemes.bgv import BGV
from yashe.schemes.choose import candidates, narrowed

RINGS = (4096, 8192, 16384)


@dataclass(frozen=True)
class Levels:
    """With how many primes of q the parts of a packed program work.

    Attributes
    ----------
    first : fresh ciphertexts, and the first matrix
    rotations : what is rotated, and the keys for it
    last : the second matrix
    """

    first: int
    rotations: int
    last: int


@dataclass(frozen=True)
class PackedProgram(Program):
    """What a server does for one image at once.

    Attributes
    ----------
    network : packed, modulo the t of the scheme
    levels : of its parts
    """

    network: PackedNetwork
    levels: Levels
    scheme: BGV

    @property
    def inputs(self) -> Shape:
        return (self.network.packing.taps,)

    @property
    def key_params(self) -> Params:
        return self.scheme.params.shortened(self.levels.rotations)

    @property
    def key_polynomials(self) -> int:
        """Both halves of the relinearisation key, one of each rotation key, which has a seed."""
        return self.levels.rotations * (2 + len(self.network.layout.rotations))

    def server_keys(self, keys: Keys, seed: bytes | None = None) -> ServerKeys:
        """Return what a server needs, from the keys of a client: rotation keys are made here."""
        scheme = self.scheme.at(self.key_params)
        rotations = scheme.rotation_keys(keys.secret, self.network.layout.rotations, seed)
        return ServerKeys(keys.relinearization.shortened(self.key_params), rotations)

    @property
    def what(self) -> str:
        return counted(self.network.packing.taps, "tap") + " of one image"


def packed_program(
    model: Sequential, network: PackedNetwork, scheme: BGV, levels: Levels
) -> PackedProgram:
    """Compile a packed network under a scheme with `levels.first` primes."""
    steps, stages = list[PackedStep](), network.stages

    def add(kind: type[PackedStep], layer: int, shape: Shape, primes: int) -> None:
        at = scheme.at(scheme.params.shortened(steps[-1].primes if steps else levels.first))
        layers = (model.layers[max(layer, 0)],)
        steps.append(kind(layers, layer, shape, at, network, primes))

    first, sums = stages.matrices[0], (network.layout.turns,)
    if stages.taps.layer >= 0:
        add(TapsStep, stages.taps.layer, (stages.taps.maps,), levels.first)
    add(WeighStep, first.layer, sums, levels.first)
    add(LowerStep, first.layer, sums, levels.rotations)
    add(GatherStep, first.layer, (1,), levels.rotations)
    add(BiasStep, first.layer, (1,), levels.last)
    if network.packing.answered:
        add(AnswerStep, stages.matrices[1].layer, (1,), levels.last)
    return PackedProgram(model, scheme, tuple(steps), network, levels)


def enough_primes(n: int, minimum: int) -> tuple[int, ...]:
    """Return as few batching primes as possible, of about one size, with a product >= minimum."""
    count = math.ceil(math.log2(minimum) / math.log2(prime_limit(n)))
    while True:
        primes = next_ntt_primes(n, math.ceil(minimum ** (1 / count)), count)
        if len(primes) == count and math.prod(primes) >= minimum:
            return tuple(primes)
        count += 1


def packed_programs(
    model: Sequential,
    need: int,
    security: int,
    spare_bits: float,
    public: bool,
    params: Params | None = None,
) -> tuple[PackedProgram, ...]:
    """Return the cheapest programs for one image, one for each prime of t.

    Cheapest means the smallest n, then the fewest primes of q, then the least work, then the
    smallest primes.

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
    NoiseBudgetExhausted
        If no parameters do.
    """

    def programs(params: Params, levels: Levels) -> tuple[PackedProgram, ...]:
        runs = [replace(params, plaintext_moduli=(t,)) for t in params.plaintext_moduli]
        return tuple(
            packed_program(model, network, BGV(run), levels)
            for network, run in zip(networks, runs, strict=True)
        )

    def carries(params: Params, levels: Levels) -> bool:
        found = programs(params, levels)
        return all(spare(program, public) >= spare_bits for program in found)

    refused: PackingError | None = None
    name = f"{(model.info.name or 'network')[:30]}-single"
    for n in (params.n,) if params else RINGS:
        sets = [params] if params else candidates(n, enough_primes(n, need), BGV, security, name)
        try:
            networks = [
                PackedNetwork.of(model, replace(first, plaintext_moduli=(t,)))
                for first in sets[:1]
                for t in first.plaintext_moduli
            ]
        except PackingError as error:  # a larger ring has more slots
            refused = error
            continue
        for candidate in sets:
            levels = [each for each in all_levels(candidate) if carries(candidate, each)]
            if levels:
                work = [transforms(programs(candidate, each)[0]) for each in levels]
                cheapest = levels[work.index(min(work))]
                if params is None:
                    candidate = narrowed(candidate, partial(carries, levels=cheapest))
                return programs(candidate, cheapest)
    if refused is not None:
        raise refused
    raise NoiseBudgetExhausted(
        f"{name}: no parameters at {security} bits of security carry one image at once; "
        "mode='batch' takes less noise"
    )


def all_levels(params: Params) -> Iterator[Levels]:
    """Yield all levels for some parameters whose q is larger than 2 t."""
    k = params.k
    least = next(j for j in range(1, k + 1) if math.prod(params.moduli[:j]) > 2 * params.t)
    for rotations in range(least, k + 1):
        for last in range(least, rotations + 1):
            yield Levels(k, rotations, last)


def spare(program: PackedProgram, public: bool) -> float:
    """Return the predicted noise budget at the end beyond what decryption requires, in bits.

    It is negative if the budget is used up before.
    """
    budgets = [float(found.noise_budget.min()) for found in program.forecasts(public)]
    return min(*budgets, budgets[-1] - noise.least_budget(program.scheme.params.n))


def transforms(program: PackedProgram) -> int:
    """Count the transforms modulo one prime, which are most of the work."""
    return sum(step.work().get("transform", 0) for step in program.steps)
