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
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import NoneType
from typing import Any

import numpy as np

from nn.networks.base import Values
from nn.networks.checks import KindError, check_pixels, of_kind, truth
from nn.networks.model import Sequential
from nn.planning.calibrate import Calibration, Work
from nn.planning.program import Program, program_of
from nn.planning.proofs import check_depends, check_fits, ranges, run
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.errors import NoiseBudgetExhausted, ParameterError
from yashe.parameters.security import secure_degrees
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.schemes.bgv import BGV
from yashe.schemes.choose import candidates, choose, lacking
from yashe.wire.bits import packed_bytes

SPARE_BITS = 1.0  # for the promise of a reply, and for the rounding of predictions
HEAD_BYTES = 44  # of a ciphertext on the wire: noise bound and seed


@dataclass(frozen=True)
class PlannedStep:
    """One line of a plan: a step of its program, and what is known about it.

    Attributes
    ----------
    on : "client" or "server"
    what : it does
    level : with how many primes of q its outputs go on
    shape : of the array of ciphertexts that it makes
    range_bits : log2(2 max|value|) of them, proved for every input
    budget_bits : predicted noise budget that is left behind it, at the worst output
    work : operations by kind (`nn.planning.calibrate.KINDS`)
    seen_bits : log2(2 max|value|) among the images that were shown to the plan, if any were
    seconds : estimated, if the plan was calibrated
    """

    on: str
    what: str
    level: int
    shape: tuple[int, ...]
    range_bits: float
    budget_bits: float
    work: Work
    seen_bits: float | None = None
    seconds: float | None = None

    @property
    def ciphertexts(self) -> int:
        """Number of its outputs."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return (
            f"{self.on:<7}{self.what:<32}{self.level:>6}{self.ciphertexts:>8,}"
            f"{self.range_bits:>7.1f}{or_dash(self.seen_bits, 1):>6}{self.budget_bits:>7.1f}"
            f"{or_dash(self.seconds, 2):>7}"
        )


@dataclass(frozen=True)
class Plan:
    """A network's program, parameters that carry it, and the proof: see `make_plan`.

    Attributes
    ----------
    program : what the server will do
    params : Params
    levels : pixels are 0..levels
    steps : PlannedSteps, from the client to the server and back
    bytes : of the encrypted "images", the "keys" that the server needs, and the "reply"
    reasons : why these parameters, sentences; empty if they were given
    """

    program: Program
    params: Params
    levels: int
    steps: tuple[PlannedStep, ...]
    bytes: dict[str, int]
    reasons: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Plan({self.params}, {len(self.steps)} steps, logits of {self.range_bits:.1f} bits, "
            f"noise budget >= {self.final_budget_bits:.1f} bits)"
        )

    @property
    def fresh_budget_bits(self) -> float:
        """Predicted noise budget of the encrypted images."""
        return self.steps[0].budget_bits

    @property
    def range_bits(self) -> float:
        """Bits that the logits need, which t must have."""
        return self.steps[-1].range_bits

    @property
    def final_budget_bits(self) -> float:
        """Predicted noise budget of the encrypted logits, before they become a reply."""
        return self.steps[len(self.program.steps)].budget_bits

    @property
    def server_seconds(self) -> float | None:
        """Estimated seconds of the server, if the plan was calibrated."""
        seconds = [step.seconds for step in self.steps if step.on == "server"]
        return None if None in seconds else sum(s for s in seconds if s is not None)

    def calibrated(self, calibration: Calibration) -> Plan:
        """Return the plan with seconds."""
        steps = (replace(step, seconds=calibration.estimate(step.work)) for step in self.steps)
        return replace(self, steps=tuple(steps))

    def __str__(self) -> str:
        mib = {name: size / 2**20 for name, size in self.bytes.items()}
        lines = [
            f"{'':<45}{'cipher-':>8}{'range, bits':>13}{'bits':>7}{'sec-':>7}",
            f"{'on':<7}{'step':<32}{'level':>6}{'texts':>8}{'proved':>7}{'seen':>6}"
            f"{'left':>7}{'onds':>7}",
            *map(str, self.steps),
            "",
            f"wire    images {mib['images']:.1f} MiB, keys {mib['keys']:.1f} MiB, "
            f"reply {mib['reply']:.2f} MiB",
            f"server  {or_dash(self.server_seconds, 2)} s for up to {self.params.n:,} images",
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as what a JSON file can hold."""
        facts: dict[str, Any] = {
            "levels": self.levels,
            "steps": [asdict(step) for step in self.steps],
            "bytes": self.bytes,
            "reasons": self.reasons,
        }
        facts["params"] = {
            "name": self.params.name,
            "n": self.params.n,
            "log2_q": self.params.log2_q,
            "log2_t": self.params.log2_t,
            "primes": self.params.k,
            "security_bits": self.params.security,
        }
        facts["server_seconds"] = self.server_seconds
        return facts


def or_dash(value: float | None, digits: int) -> str:
    """Return a number as text, or a dash for what is not known."""
    return "-" if value is None else f"{value:.{digits}f}"


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

    Raises
    ------
    ParameterError
        If the network is not one of integers, or another argument is not what it should be.
    RangeError
        If the logits may leave (-t/2, t/2), naming the layer, with the numbers.
    TransparentCiphertextError
        If an output of a layer depends on no pixel, naming the layer.
    NoiseBudgetExhausted
        If the noise may overwhelm the logits, naming the step; or no parameters would do.
    """
    if not (isinstance(spare_bits, int | float) and 0 <= spare_bits < math.inf):
        raise ParameterError(f"spare_bits must be a number of bits from 0 on, not {spare_bits!r}")
    of_kind("the network", model, Sequential)
    of_kind("params", params, Params, NoneType)
    if not callable(scheme):
        raise KindError(f"scheme must be the class of a scheme, like BGV; got {scheme!r}.")
    public = truth("public", public)
    intervals = ranges(model, model.levels)
    need = intervals[-1].smallest_t
    check_depends(model)
    reasons: tuple[str, ...] = ()
    if params is None:
        params, reasons = cheapest_params(model, need, security, public, scheme, spare_bits, slots)
    check_fits(model, need, params, joined_with)
    check_depends(model, params.t)
    program = program_of(model, scheme(params))
    rows = program.rows(public)
    budgets = [row.budget_bits for row in rows[: len(program.steps) + 1]]
    for row, before in zip(rows[1:], budgets[:-1], strict=False):
        noise.check_budget(row.budget_bits, f"the step '{row.what}'", before)
    last = f"the step '{rows[len(budgets) - 1].what}', with {spare_bits:.1f} bits to spare,"
    least = noise.least_budget(params.n)
    noise.check_budget(budgets[-1] - spare_bits, last, budgets[-2], least)
    bits = [1 + math.log2(model.levels), *(interval.bits for interval in intervals)]
    seen: list[float] | None = None
    if pixels is not None:
        pixels = check_pixels(model, pixels)
        seen = [1 + math.log2(max(1, int(pixels.max()))), *seen_bits(model, pixels, max(bits))]
    # The layers behind which a row stands; images and reply come before the first and last one.
    places = [0, *(step.last + 1 for step in program.steps), *[len(model.layers)] * 2]
    works = [
        {"encrypt": math.prod(model.input_shape)},
        *(step.work() for step in program.steps),
        {},
        {"decrypt": math.prod(model.output_shape)},
    ]
    steps = tuple(
        PlannedStep(
            row.on, row.what, row.level, row.forecast.shape, bits[place], row.budget_bits, work,
            None if seen is None else seen[place],
        )
        for row, place, work in zip(rows, places, works, strict=True)
    )  # fmt: skip
    return Plan(program, params, model.levels, steps, wire_bytes(program, public), reasons)


def cheapest_params(
    model: Sequential,
    t_at_least: int,
    security: int,
    public: bool,
    scheme: Callable[[Params], Scheme],
    spare_bits: float = 0,
    slots: int = 1,
) -> tuple[Params, tuple[str, ...]]:
    """Return the parameters with the smallest n, then the fewest primes, and the reasons.

    Raises
    ------
    NoiseBudgetExhausted
        If not even the largest ones do, naming the layer at which they end.
    """

    def computation(of: Scheme) -> list[tuple[str, Bound]]:
        program = program_of(model, of)
        names = ["encryption", *(step.what for step in program.steps)]
        bounds = (found.bound for found in program.forecasts(public))
        return list(zip(names, bounds, strict=True))

    try:
        choice = choose(
            computation, t_at_least, scheme, security, slots, name_of(model), spare_bits
        )
    except NoiseBudgetExhausted as error:
        rings = secure_degrees(security)
        sets = [s for n in rings for s in candidates(n, t_at_least, scheme, security, "largest")]
        where = "encryption"
        if sets:
            largest = max(sets, key=lambda params: params.q)
            where = lacking(largest, computation, scheme, spare_bits)[1]
        raise NoiseBudgetExhausted(
            f"the step '{where}' of {model.info.name or 'the network'}: {error}"
        ) from None
    return choice.params, choice.reasons


def name_of(model: Sequential) -> str:
    """Return what to call the parameters of a network: its name, as far as `Params` allows it."""
    name = model.info.name or "network"
    return "".join(c if " " <= c <= "~" else "?" for c in name)[:40]


def seen_bits(model: Sequential, pixels: IntArray, proved_bits: float) -> list[float]:
    """Return log2(2 max|value|) of every layer's output for some images.

    What may leave 64 bits is computed in floats, whose rounding the logarithm does not show.
    """
    largest = [1] * len(model.layers)
    kind = np.int64 if proved_bits < 63 else np.float64

    def note(i: int, x: Values) -> None:
        largest[i] = max(largest[i], int(np.abs(x).max()))

    for part in np.array_split(pixels, max(1, len(pixels) // 500)):
        run(model, part.astype(kind), observe=note)
    return [1 + math.log2(value) for value in largest]


def wire_bytes(program: Program, public: bool) -> dict[str, int]:
    """Return the bytes of images, keys and reply, packed as in `yashe.wire`.

    Images encrypted with the secret key carry a seed instead of their uniform half.
    """
    params, parts = program.scheme.params, program.scheme.parts(1)
    reply = params.shortened(program.reply_primes(program.forecasts(public)[-1]))
    polynomial = packed_bytes(params.n, params.moduli)
    per_image = HEAD_BYTES + polynomial * (parts if public else 1)
    per_logit = HEAD_BYTES + parts * packed_bytes(params.n, reply.moduli)
    return {
        "images": math.prod(program.model.input_shape) * per_image,
        "keys": params.k * parts * polynomial,
        "reply": math.prod(program.model.output_shape) * per_logit,
    }
