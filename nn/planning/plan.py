"""What a network needs, proved before anything is encrypted.

Two questions decide whether an encrypted run can be right, and both are answered by running the
network on arrays that prove (`nn.planning.proofs`):

- *Range.* Only the logits must fit into (-t/2, t/2): values in between may wrap, because sums and
  products are exact modulo t. The proof is interval arithmetic over every image with pixels in
  0..levels. It is exact for the first linear layer, whose inputs are independent of each other;
  behind it, it is a bound.
- *Noise.* The predicted budget must last to the end, for parameters that somebody gives or that
  `yashe.schemes.choose` finds.

What it costs is counted layer by layer; with a calibration of this machine
(`nn.planning.calibrate`) the counts become seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nn.networks.base import Layer, Linear, Values
from nn.networks.checks import check_pixels
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import Sequential
from nn.planning.calibrate import Calibration
from nn.planning.descent import promised_bound
from nn.planning.proofs import Forecast as Forecast
from nn.planning.proofs import Interval as Interval
from nn.planning.proofs import check_depends, check_fits, forecast, ranges, run
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

__all__ = ["Forecast", "Interval", "Plan", "PlannedLayer", "forecast", "make_plan", "ranges", "run"]

SPARE_BITS = 1.0  # for the promise of a reply, and for the rounding of predictions
FLOAT_BYTES = 8  # of a residue in memory
HEAD_BYTES = 44  # of a ciphertext on the wire: noise bound and seed


@dataclass(frozen=True)
class PlannedLayer:
    """One line of a plan.

    Attributes
    ----------
    name : of the layer
    shape : of its output
    depth : products in a row up to it
    range_bits : log2(2 max|value|), proved for every input
    budget_bits : predicted noise budget that is left after it, at the worst output
    spent_bits : what it has taken of the budget
    work : operations by kind (`nn.planning.calibrate.KINDS`), relinearisation behind it included
    memory_bytes : of its outputs if all of them were kept
    seen_bits : log2(2 max|value|) among the images that were shown to the plan, if any were
    seconds : estimated, if the plan was calibrated
    """

    name: str
    shape: tuple[int, ...]
    depth: int
    range_bits: float
    budget_bits: float
    spent_bits: float
    work: dict[str, int]
    memory_bytes: int
    seen_bits: float | None = None
    seconds: float | None = None

    @property
    def ciphertexts(self) -> int:
        """Number of its outputs."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """A network, parameters that carry it, and the proof: see `make_plan`.

    Attributes
    ----------
    params : Params
    levels : pixels are 0..levels
    fresh_budget_bits : predicted noise budget of the encrypted images
    layers : one PlannedLayer for each layer
    bytes : of the encrypted "images", the "keys" that the server needs, and the "reply"
    client_work : operations of the client, by kind
    reasons : why these parameters, sentences; empty if they were given
    client_seconds : estimated, by kind, if the plan was calibrated
    """

    params: Params
    levels: int
    fresh_budget_bits: float
    layers: tuple[PlannedLayer, ...]
    bytes: dict[str, int]
    client_work: dict[str, int]
    reasons: tuple[str, ...] = ()
    client_seconds: dict[str, float] | None = None

    def __repr__(self) -> str:
        return (
            f"Plan({self.params}, {len(self.layers)} layers, logits of {self.range_bits:.1f} bits, "
            f"noise budget >= {self.final_budget_bits:.1f} bits)"
        )

    @property
    def range_bits(self) -> float:
        """Bits that the logits need, which t must have."""
        return self.layers[-1].range_bits

    @property
    def final_budget_bits(self) -> float:
        """Predicted noise budget of the encrypted logits."""
        return self.layers[-1].budget_bits

    @property
    def server_seconds(self) -> float | None:
        """Estimated seconds of the server, if the plan was calibrated."""
        seconds = [layer.seconds for layer in self.layers if layer.seconds is not None]
        return sum(seconds) if seconds else None

    def calibrated(self, calibration: Calibration) -> Plan:
        """Return the plan with seconds."""
        layers = (replace(layer, seconds=calibration.estimate(layer.work)) for layer in self.layers)
        client = {k: calibration.estimate({k: n}) for k, n in self.client_work.items()}
        return replace(self, layers=tuple(layers), client_seconds=client)

    def table(self) -> str:
        """Return what is proved, as a table."""
        lines = [
            f"{'layer':<12}{'shape':>14}{'range, bits':>14}{'budget left, bits':>20}",
            f"{'(fresh)':<12}{'':>14}{'':>14}{self.fresh_budget_bits:>20.1f}",
        ]
        for layer in self.layers:
            shape = " x ".join(map(str, layer.shape))
            lines.append(
                f"{layer.name:<12}{shape:>14}{layer.range_bits:>14.1f}{layer.budget_bits:>20.1f}"
            )
        return "\n".join(lines)

    def full_table(self) -> str:
        """Return everything that is known about each layer, and the totals."""
        lines = [
            f"{'':<10}{'':>12}{'':>6}{'cipher-':>9}{'':>9}{'multiply-':>11}{'relinea-':>9}{'':>8}"
            f"{'':>9}{'range, bits':>14}{'noise, bits':>14}",
            f"{'layer':<10}{'shape':>12}{'depth':>6}{'texts':>9}{'squares':>9}{'adds':>11}"
            f"{'rised':>9}{'MiB':>8}{'seconds':>9}{'proved':>8}{'seen':>6}{'spent':>7}{'left':>7}",
        ]
        for layer in self.layers:
            work, shape = layer.work, " x ".join(map(str, layer.shape))
            products = work.get("multiply_add", 0) + work.get("weigh", 0)
            lines.append(
                f"{layer.name:<10}{shape:>12}{layer.depth:>6}{layer.ciphertexts:>9,}"
                f"{work.get('square', 0):>9,}{products:>11,}{work.get('relinearize', 0):>9,}"
                f"{layer.memory_bytes / 2**20:>8.0f}{or_dash(layer.seconds, 2):>9}"
                f"{layer.range_bits:>8.1f}{or_dash(layer.seen_bits, 1):>6}"
                f"{layer.spent_bits:>7.1f}{layer.budget_bits:>7.1f}"
            )
        mib = {name: size / 2**20 for name, size in self.bytes.items()}
        client = self.client_seconds or {}
        encrypt, decrypt = (client.get(kind) for kind in ("encrypt", "decrypt"))
        lines += [
            "",
            f"client  encrypts {self.client_work['encrypt']:,} ciphertexts "
            f"({or_dash(encrypt, 2)} s, {self.fresh_budget_bits:.1f} bits of noise budget), "
            f"decrypts {self.client_work['decrypt']:,} ({or_dash(decrypt, 2)} s)",
            f"wire    images {mib['images']:.1f} MiB, keys {mib['keys']:.1f} MiB, "
            f"reply {mib['reply']:.2f} MiB",
            f"server  {or_dash(self.server_seconds, 2)} s for up to {self.params.n:,} images",
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as what a JSON file can hold."""
        facts = {name: value for name, value in asdict(self).items() if name != "params"}
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
        If the noise may overwhelm the logits, naming the layer; or no parameters would do.
    """
    if not (isinstance(spare_bits, int | float) and 0 <= spare_bits < math.inf):
        raise ParameterError(f"spare_bits must be a number of bits from 0 on, not {spare_bits!r}")
    intervals = ranges(model, model.levels)
    need = intervals[-1].smallest_t
    check_depends(model)
    reasons: tuple[str, ...] = ()
    names = [type(layer).__name__ for layer in model.layers]
    if params is None:
        params, reasons = cheapest_params(model, need, security, public, scheme, spare_bits, slots)
    check_fits(model, need, params, joined_with)
    check_depends(model, params.t)
    forecasts = forecast(model, scheme(params), public)
    budgets = [float(f.noise_budget.min()) for f in forecasts]
    for i, (name, before) in enumerate(zip(names, budgets, strict=False)):
        noise.check_budget(budgets[i + 1], f"the layer {name}", before)
    last = f"the layer {names[-1]}, with {spare_bits:.1f} bits to spare,"
    least = noise.least_budget(params.n)
    noise.check_budget(budgets[-1] - spare_bits, last, budgets[-2], least)
    found = []
    for i, layer in enumerate(model.layers):
        residues = math.prod(layer.output_shape) * params.n * params.k
        found.append(
            PlannedLayer(
                names[i],
                tuple(layer.output_shape),
                sum(isinstance(before, Square) for before in model.layers[: i + 1]),
                intervals[i].bits,
                budgets[i + 1],
                budgets[i] - budgets[i + 1],
                work_of(model.layers, i),
                residues * scheme(params).parts(forecasts[i + 1].degree) * FLOAT_BYTES,
            )
        )
    if pixels is not None:
        proved = max(interval.bits for interval in intervals)
        seen = seen_bits(model, check_pixels(model, pixels), proved)
        found = [replace(line, seen_bits=bits) for line, bits in zip(found, seen, strict=True)]
    client = {"encrypt": math.prod(model.input_shape), "decrypt": math.prod(model.output_shape)}
    sizes = wire_bytes(scheme(params), client, forecasts[-1], public)
    return Plan(params, model.levels, budgets[0], tuple(found), sizes, client, reasons)


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
    names = ["encryption", *(type(layer).__name__ for layer in model.layers)]

    def computation(of: Scheme) -> list[tuple[str, Bound]]:
        bounds = (found.bound for found in forecast(model, of, public))
        return list(zip(names, bounds, strict=True))

    try:
        choice = choose(
            computation, t_at_least, scheme, security, slots, name_of(model), spare_bits
        )
    except NoiseBudgetExhausted as error:
        rings = secure_degrees(security)
        sets = [s for n in rings for s in candidates(n, t_at_least, scheme, security, "largest")]
        where = names[-1]
        if sets:
            largest = max(sets, key=lambda params: params.q)
            where = lacking(largest, computation, scheme, spare_bits)[1]
        raise NoiseBudgetExhausted(
            f"the layer {where} of {model.info.name or 'the network'}: {error}"
        ) from None
    return choice.params, choice.reasons


def name_of(model: Sequential) -> str:
    """Return what to call the parameters of a network: its name, as far as `Params` allows it."""
    name = model.info.name or "network"
    return "".join(c if " " <= c <= "~" else "?" for c in name)[:40]


def work_of(layers: Sequence[Layer], i: int) -> dict[str, int]:
    """Count the operations of layer i, by the kinds of `nn.planning.calibrate`.

    A dense layer behind a square layer sums squares that are not scaled down yet
    (`yashe.circuits.products`). Relinearisation comes before the next square, and at the end.
    """
    layer, work = layers[i], Counter[str]()
    rest = [other for other in layers[i + 1 :] if not isinstance(other, Flatten)]
    past = [other for other in layers[:i] if not isinstance(other, Flatten)]
    outputs = math.prod(layer.output_shape)
    if isinstance(layer, Square):
        work["square"] = outputs
        if not (rest and isinstance(rest[0], Dense)):
            work["sum"] = outputs
    elif isinstance(layer, Dense) and past and isinstance(past[-1], Square):
        work["weigh"], work["sum"] = layer.multiply_adds(), outputs
    elif isinstance(layer, Linear):
        work["multiply_add"], work["output"] = layer.multiply_adds(), outputs
    squared = any(isinstance(other, Square) for other in layers[: i + 1])
    last = i + 1 == len(layers)
    if squared and (last or isinstance(layers[i + 1], Square)):
        work["relinearize"] = outputs
    return dict(work)


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


def wire_bytes(
    scheme: Scheme, client: dict[str, int], logits: Forecast, public: bool
) -> dict[str, int]:
    """Return the bytes of images, keys and reply, packed as in `yashe.wire`.

    Images encrypted with the secret key carry a seed instead of their uniform half.
    """
    params = scheme.params
    polynomial = packed_bytes(params.n, params.moduli)
    parts = scheme.parts(1)
    promised = promised_bound(params.n, int(logits.bound.order.max()))
    reply = params.shortened(logits.scheme.fewest_primes(promised, 1))
    per_image = HEAD_BYTES + polynomial * (parts if public else 1)
    per_logit = HEAD_BYTES + parts * packed_bytes(params.n, reply.moduli)
    return {
        "images": client["encrypt"] * per_image,
        "keys": params.k * parts * polynomial,
        "reply": client["decrypt"] * per_logit,
    }
