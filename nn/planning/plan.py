"""What a network needs, proved before anything is encrypted.

Two questions decide whether an encrypted run can be right, and both are answered by running the
network on arrays that prove (`nn.planning.proofs`):

- *Range.* Only the logits must fit into (-t/2, t/2): values in between may wrap, because sums and
  products are exact modulo t. The proof is interval arithmetic over every image with pixels in
  0..levels. It is exact for the first linear layer, whose inputs are independent of each other;
  behind it, it is a bound.
- *Noise.* The predicted budget must last to the end, for parameters that somebody gives or that
  `yashe.schemes.choose` finds.

A plan is the network's program (`nn.planning.program`) with what is known beside each step. What a
step costs is counted; with a calibration of this machine (`nn.planning.calibrate`) that becomes
seconds.

There are two ways to compile a network. In mode "batch" slot i is image i: thousands of images cost
as much as one. In mode "single" the slots hold one image (`nn.planning.single`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import NoneType

import numpy as np

from nn.networks.checks import check_pixels
from nn.networks.layers import Square
from nn.networks.model import Sequential
from nn.planning.calibrate import calibrate
from nn.planning.planned import Plan as Plan
from nn.planning.program import NEEDS_A_KEY, Line, Program, program_of
from nn.planning.proofs import check_depends, check_fits, ranges
from nn.planning.single import packed_programs
from yashe.arithmetic.parallel import available_cores
from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import of_kind, shown, truth, whole
from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.errors import KindError, NoiseBudgetExhausted, ParameterError
from yashe.parameters.sets import MOST_LOG2_Q, Params
from yashe.schemes.base import Scheme
from yashe.schemes.bgv import BGV
from yashe.schemes.choose import choose, lacking
from yashe.wire.bits import packed_bytes

MODES = ("batch", "single", "auto")
SPARE_BITS = 1.0  # for the promise of a reply, and for the rounding of predictions
MOST_GROWTH = 17 / 16  # of images, for a program without a relinearisation
HEAD_BYTES = 44  # of a ciphertext on the wire: noise bound and seed


def make_plan(
    model: Sequential,
    params: Params | None = None,
    security: int = 128,
    public: bool = False,
    scheme: Callable[[Params], Scheme] = BGV,
    spare_bits: float = SPARE_BITS,
    pixels: IntArray | None = None,
    joined_with: int = 1,
    slots: int = 1,
    mode: str = "batch",
    images: int = 1,
    relinearize: bool | None = None,
) -> Plan:
    """Prove that a network can run encrypted, for given parameters or for the cheapest ones.

    Parameters
    ----------
    model : integer network whose `info.levels` says how large a pixel can be
    params : parameters to check, or None to look for the fewest primes at the smallest n
    security : level in bits for the parameters to look for
    public : whether the images will be encrypted with the public key
    scheme : the class of the scheme that will run it
    spare_bits : noise budget that shall be left beyond what decryption requires; a server needs
        `SPARE_BITS` for its promise (`nn.inference.replies`), and more for flooding
    pixels : images of the network, to show beside the proof what they really reach
    joined_with : product of other plaintext moduli that hold a part of the result
        (`nn.inference.split`)
    slots : images that a batch shall hold at least
    mode : "batch", a slot for each of many images, or "single", the slots for one image. For a
        single image every prime of t is a run of its own, so that there may be several:
        `Plan.runs`. "auto" measures this machine, the first time for some seconds, and takes what
        is faster for so many images; `Plan.reasons` says from how many on it is a batch
    images : how many there will be, for mode "auto"
    relinearize : for batches, whether sums of squares are relinearised before they are squared
        again, which takes a key, or keep all their parts (`nn.planning.program`); None takes what
        is less work, where that makes images larger by a sixteenth at most

    Raises
    ------
    ParameterError
        If the network is not one of integers, or another argument is not what it should be.
    RangeError
        If the logits may leave (-t/2, t/2), naming the layer, with the numbers.
    TransparentCiphertextError
        If an output of a layer depends on no pixel, naming the layer.
    FormError
        If nothing shall be relinearised, and the scheme has no squares of so many parts.
    NoiseBudgetExhausted
        If the noise may overwhelm the logits, naming the step; or no parameters would do.
    """
    if not (isinstance(spare_bits, int | float) and 0 <= spare_bits <= MOST_LOG2_Q):
        raise ParameterError(
            f"spare_bits must be a number of bits from 0 to {MOST_LOG2_Q}, not {shown(spare_bits)}"
        )
    of_kind(model, "the network", Sequential)
    of_kind(params, "params", Params, NoneType)
    if not callable(scheme):
        raise KindError(f"scheme must be the class of a scheme, like BGV; got {shown(scheme)}.")
    if mode not in MODES:
        raise ParameterError(f"mode must be one of {', '.join(MODES)}; got {shown(mode)}")
    public, joined_with = truth(public, "public"), whole(joined_with, "joined_with", 1)
    if relinearize is not None:
        relinearize = truth(relinearize, "relinearize")
    if mode == "auto":
        common = (security, public, scheme, spare_bits, pixels, joined_with, slots)
        batch = make_plan(model, params, *common, relinearize=relinearize)
        one_by_one = partial(make_plan, model, params, *common, "single")
        return faster(batch, one_by_one, whole(images, "images", 1))
    intervals = ranges(model, model.levels)
    need = intervals[-1].smallest_t
    check_depends(model)
    bits = [1 + math.log2(model.levels), *(interval.bits for interval in intervals)]
    seen = None if pixels is None else seen_bits(model, check_pixels(model, pixels), max(bits))
    if params is not None:
        check_fits(model, need, params, joined_with)
    reasons: tuple[str, ...] = ()
    programs: tuple[Program, ...]
    if mode == "single":
        if scheme is not BGV:
            raise ParameterError("one image at once runs under BGV, whose products need no scaling")
        if relinearize is not None:
            raise ParameterError("one image at once is always relinearised: its slots move anyway")
        programs = packed_programs(model, need, security, spare_bits, public, params)
    else:
        given = (model, need, params, security, public, scheme, spare_bits, slots)
        program, reasons = less_work(model, scheme, partial(batch_program, *given), relinearize)
        programs = (program,)
    plans = []
    for program in programs:
        params, lines = program.scheme.params, program.lines(public)
        check_depends(model, params.t)
        # The layers behind which a line stands; images and reply come before the first and last.
        places = [0, *(step.last + 1 for step in program.steps), *[len(model.layers)] * 2]
        steps = tuple(
            replace(line, range_bits=bits[place], seen_bits=seen[place] if seen else None)
            for line, place in zip(lines, places, strict=True)
        )
        size = wire_bytes(program, lines, public)
        plans.append(Plan(program, params, model.levels, model.digest, steps, size, reasons))
    return replace(plans[0], others=tuple(plans[1:]))


def faster(batch: Plan, make: Callable[[], Plan], images: int) -> Plan:
    """Return the plan that is faster for so many images, with seconds, and why it is that one.

    Parameters
    ----------
    batch : a plan for batches
    make : makes the plan for one image at once, or refuses it; then it is a batch
    """
    try:
        single = make()
    except (ParameterError, NoiseBudgetExhausted) as error:
        return replace(batch, reasons=(*batch.reasons, f"Not one image at once: {error}."))
    cores = available_cores()
    batch, single = (with_seconds(plan, cores) for plan in (batch, single))
    first = crossover(batch, single, cores)
    reason = (
        f"One image at once takes {single.seconds_for(1, cores):.2f} s, a batch "
        f"{batch.seconds_for(1, cores):.2f} s whatever is in it: from {first} images on a batch is "
        "faster on this machine (estimates)."
    )
    chosen = single if images < first else batch
    return replace(chosen, reasons=(*chosen.reasons, reason))


def with_seconds(plan: Plan, cores: int, again: bool = False, device: str = "cpu") -> Plan:
    """Return a plan with seconds on this machine, measured as it will run.

    A batch has all cores. Of one image at once each run has a core, beside those of the others.
    """
    kind, threads, together = type(plan.program.scheme), cores, 1
    if plan.mode == "single":
        threads, together = 1, min(cores, len(plan.runs)) if device == "cpu" else 1
    return plan.calibrated(calibrate(plan.params, kind, threads, again, device, together))


def crossover(batch: Plan, single: Plan, cores: int) -> int:
    """Return from how many images on a batch is faster, by two plans with seconds."""
    return max(1, math.ceil(batch.seconds_for(1, cores) / single.seconds_for(1, cores)))


def less_work(
    model: Sequential,
    scheme: Callable[[Params], Scheme],
    compiled: Callable[[bool], tuple[Program, tuple[str, ...]]],
    relinearize: bool | None,
) -> tuple[Program, tuple[str, ...]]:
    """Return the program that is less work, and the reasons for its parameters.

    Parameters
    ----------
    compiled : the program with a relinearisation between squares, or without one
    relinearize : which of them was asked for; None for the better one

    Raises
    ------
    NoiseBudgetExhausted
        If the noise allows none of them.
    """
    squares = sum(isinstance(layer, Square) for layer in model.layers)
    possible = squares > 1 and 2**squares <= getattr(scheme, "largest_degree", 2)
    ways = (True, False) if possible and relinearize is None else (relinearize is not False,)
    found, refused = dict[bool, tuple[Program, tuple[str, ...]]](), list[NoiseBudgetExhausted]()
    for way in ways:
        try:
            found[way] = compiled(way)
        except NoiseBudgetExhausted as error:
            refused.append(error)
    if not found:
        hint = NEEDS_A_KEY if squares > 1 and relinearize is False else ""
        raise NoiseBudgetExhausted(f"{refused[0]}{hint}")
    if len(found) == 1:
        return next(iter(found.values()))
    (keyed, why), (keyless, why_not) = found[True], found[False]
    large, small = (program.scheme.params for program in (keyless, keyed))
    share = keyed.effort / keyless.effort
    if large.n > small.n or large.log2_q > MOST_GROWTH * small.log2_q or share < 1:
        return keyed, (*why, f"Relinearised: else n = {large.n}, log2 q = {large.log2_q:.1f}.")
    return keyless, (*why_not, f"Not relinearised: that would be {share:.1f} times as much work.")


def batch_program(
    model: Sequential,
    t_at_least: int,
    params: Params | None,
    security: int,
    public: bool,
    scheme: Callable[[Params], Scheme],
    spare_bits: float,
    slots: int,
    relinearize: bool,
) -> tuple[Program, tuple[str, ...]]:
    """Return the program for batches under given parameters, or the cheapest and the reasons.

    Cheapest are the smallest n, then the fewest primes.

    Raises
    ------
    NoiseBudgetExhausted
        If these parameters do not do, or not even the largest ones, naming the step at which they
        end.
    """

    def computation(of: Scheme) -> list[tuple[str, Bound]]:
        program = program_of(model, of, relinearize=relinearize)
        names = ["encryption", *(step.what for step in program.steps)]
        bounds = (found.bound for found in program.forecasts(public))
        return list(zip(names, bounds, strict=True))

    if params is not None:
        _, (*earlier, (step, left)) = lacking(params, computation, scheme)
        before = earlier[-1][1] if earlier else None
        what = f"the step '{step}', with {spare_bits:.1f} bits to spare,"
        noise.check_budget(left - spare_bits, what, before, noise.least_budget(params.n))
        return program_of(model, scheme(params), relinearize=relinearize), ()
    try:
        choice = choose(computation, t_at_least, scheme, security, slots, model.name, spare_bits)
    except NoiseBudgetExhausted as error:
        raise NoiseBudgetExhausted(f"{model.name}: {error}") from None
    return program_of(model, scheme(choice.params), relinearize=relinearize), choice.reasons


def seen_bits(model: Sequential, pixels: IntArray, proved_bits: float) -> list[float]:
    """Return log2(2 max|value|) of some images, and of every layer's output for them.

    What may leave 64 bits is computed in floats, whose rounding the logarithm does not show.
    """
    largest = np.ones(1 + len(model.layers))
    kind = np.int64 if proved_bits < 63 else np.float64
    for part in np.array_split(pixels, max(1, len(pixels) // 500)):
        seen = [part, *model.layer_outputs(part.astype(kind))]
        largest = np.maximum(largest, [np.abs(x).max(initial=1) for x in seen])
    return [1 + math.log2(value) for value in largest]


def wire_bytes(program: Program, lines: Sequence[Line], public: bool) -> dict[str, int]:
    """Return the bytes of images, keys and reply, packed as in `yashe.wire`.

    Images encrypted with the secret key carry a seed instead of their uniform half.
    """
    params, images, reply = program.scheme.params, lines[0], lines[-1]

    def size(line: Line, parts: int) -> int:
        moduli = params.moduli[: line.level]
        return line.ciphertexts * (HEAD_BYTES + parts * packed_bytes(params.n, moduli))

    return {
        "images": size(images, images.parts if public else 1),
        "keys": program.key_polynomials * packed_bytes(params.n, params.moduli),
        "reply": size(reply, reply.parts),
    }
