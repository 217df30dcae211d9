"""CryptoNets on Microsoft SEAL, in the most favourable programs that we can write for it.

SEAL is a C++ library, here through its Python bindings (the extra `bench`). It runs the network in
BFV and in BGV, and gets every advantage that we know of:

- one plaintext modulus carries the whole range at n = 8192, where q may have 218 bits. It has four
  primes for data; the last prime, for keys only, may be small, because the noise of relinearisation
  hides below that of the first square. Three primes leave no noise budget;
- linear layers are sums only: inputs with the same weight up to the sign are added up, and these
  few sums are combined by doubling. For ciphertexts of three parts an addition takes 0.07 ms, the
  product with a constant 0.28 ms in BGV, where it is pointwise;
- 16 outputs are summed up at a time, input by input, for all inputs fit into no cache: an addition
  takes 0.09 ms so, and 0.28 ms where all inputs pass by for every output;
- an output is squared at once, and relinearised after the dense layer: 100 ciphertexts, not 845;
  in BGV, where three parts are squared as easily, nothing is, which saves up to a tenth;
- q loses a prime where it pays: between square and dense layer in BFV (0.2 ms a ciphertext), before
  the second square in BGV (earlier, it costs too much noise);
- in BGV all primes for data are larger than t, or adding a bias takes 0.5 ms instead of 0.2;
- two batches run in two processes (the bindings hold the interpreter lock), as ours do.

Every logit is checked against the integer network. `compare` runs both libraries in turns.

*Left out* are the slower ones. Seconds for 8192 images in one process, least of three runs of
trial programs, of which only the first and the fifth were kept:

    =============================  ==========  ======
    program                        cryptonets    lean
    =============================  ==========  ======
    BGV n=8192, one t                     8.0     4.7
    BGV n=16384, one t                   10.6     5.2
    BGV n=8192, two t, 3 primes          11.2     6.3
    BGV n=8192, one t, bit by bit        12.4     6.2
    BFV n=8192, one t                    14.9     6.3
    BFV n=16384, one t                   15.4     8.0
    BFV n=8192, two t, 3 primes          23.8    10.9
    =============================  ==========  ======

(*Bit by bit*: output by output, Horner's rule on the bits of all weights. Three t at n = 4096 with
two primes would take 13 s, and leave no noise budget.)
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from nn.networks.base import Linear
from nn.networks.layers import Square
from nn.networks.model import Sequential
from nn.networks.pretrained import pretrained
from nn.planning.proofs import ranges
from yashe.arithmetic.primes import is_prime
from yashe.arithmetic.residues import IntArray
from yashe.errors import ExactnessError, FheError, ParameterError
from yashe.schemes.bgv import BGV

try:
    import seal
except ImportError:
    seal = None


TILE = 16  # outputs of a layer that are summed up at the same time
HERE = "here"  # how the names of our programs begin


class MissingSealError(FheError, ImportError):
    """SEAL's bindings are not installed."""


@dataclass(frozen=True)
class SealSettings:
    """Scheme ("bfv" or "bgv"), n, bits of the primes of q (the last one for keys only), and t."""

    scheme: str
    n: int
    coefficient_bits: tuple[int, ...]
    t: int


class SealNetwork:
    """A network under one plaintext modulus: keys of a client and the server's work."""

    def __init__(self, model: Sequential, settings: SealSettings) -> None:
        if seal is None:
            raise MissingSealError(
                "the comparison needs SEAL's Python bindings: pip install 'cryptonets-yashe[bench]'"
            )
        self.model, self.settings = model, settings
        parms = seal.EncryptionParameters(getattr(seal.scheme_type, settings.scheme))
        parms.set_poly_modulus_degree(settings.n)
        parms.set_coeff_modulus(
            seal.CoeffModulus.Create(settings.n, list(settings.coefficient_bits))
        )
        parms.set_plain_modulus(seal.Modulus(settings.t))
        context = seal.SEALContext(parms)
        if not context.parameters_set():
            raise ParameterError(f"SEAL refuses {settings}: {context.parameter_error_message()}")
        keygen = seal.KeyGenerator(context)
        secret = keygen.secret_key()
        self.relin_keys = keygen.create_relin_keys()
        self.encryptor = seal.Encryptor(context, secret)
        self.decryptor = seal.Decryptor(context, secret)
        self.encoder = seal.BatchEncoder(context)
        self.evaluator = seal.Evaluator(context)

    def encrypt(self, pixels: IntArray) -> list[Any]:
        """Encrypt images (B, H, W, C), one ciphertext for each pixel position."""
        flat = pixels.reshape(len(pixels), -1)
        slots = np.zeros(self.settings.n, dtype=np.int64)
        found = []
        for column in flat.T:
            slots[: len(column)] = column
            found.append(self.encryptor.encrypt_symmetric(self.encoder.encode(slots)))
        return found

    def infer(self, x: list[Any]) -> list[Any]:
        """Return the encrypted logits, modulo t."""
        layers = self.model.layers
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, Linear):
                x = self.linear(layer, x, isinstance(following, Square))
        return x

    def square(self, ct: Any) -> None:
        """Square in place; q loses its last prime, once, where the noise allows it first."""
        evaluator, bgv, first = self.evaluator, self.settings.scheme == "bgv", ct.size() == 2
        if bgv and not first:
            evaluator.mod_switch_to_next_inplace(ct)  # and three parts are squared as they are
        elif not first:
            evaluator.relinearize_inplace(ct, self.relin_keys)
        evaluator.square_inplace(ct)
        if first and not bgv:
            evaluator.mod_switch_to_next_inplace(ct)

    def linear(self, layer: Linear, x: list[Any], squared: bool) -> list[Any]:
        """Return the outputs of a linear layer, each squared at once, while it is in a cache."""
        out: list[Any] = [None] * math.prod(layer.output_shape)
        for block in layer.blocks():
            biases = [self.constant(int(b)) for b in block.bias]
            for taps, places in zip(block.inputs, block.outputs, strict=True):
                inputs = [x[j] for j in taps]
                for start in range(0, len(places), TILE):
                    tile = slice(start, start + TILE)
                    sums = self.sums(inputs, block.weight[:, tile])
                    for ct, place, bias in zip(sums, places[tile], biases[tile], strict=True):
                        self.evaluator.add_plain_inplace(ct, bias)
                        if squared:
                            self.square(ct)
                        out[place] = ct
        return out

    def constant(self, value: int) -> Any:
        """Return the plaintext with one value in all slots: a constant polynomial."""
        return seal.Plaintext(f"{value % self.settings.t:x}")

    def sums(self, x: list[Any], weights: IntArray) -> list[Any]:
        """Return x @ weights, by groups of inputs with the same weight up to the sign."""
        groups: list[dict[int, Any]] = [{} for _ in weights.T]
        for ct, row in zip(x, weights.tolist(), strict=True):
            for group, w in zip(groups, row, strict=True):
                if w in group:
                    self.evaluator.add_inplace(group[w], ct)
                elif -w in group:
                    self.evaluator.sub_inplace(group[-w], ct)
                elif w:
                    group[w] = seal.Ciphertext(ct)
        return [self.weighted_sum(list(group.values()), list(group)) for group in groups]

    def weighted_sum(self, x: list[Any], weights: list[int]) -> Any:
        """Return sum_j weights[j] x[j] by Horner's rule on the bits of the weights."""
        evaluator, total = self.evaluator, None
        for bit in reversed(range(max(map(abs, weights)).bit_length())):
            if total is not None:
                evaluator.add_inplace(total, total)
            for ct, w in zip(x, weights, strict=True):
                if not (abs(w) >> bit) & 1:
                    continue
                if total is None:
                    total = seal.Ciphertext(ct)
                    if w < 0:
                        evaluator.negate_inplace(total)
                elif w > 0:
                    evaluator.add_inplace(total, ct)
                else:
                    evaluator.sub_inplace(total, ct)
        return total

    def decrypt(self, cts: list[Any], images: int) -> IntArray:
        """Return the logits modulo t, in [0, t), int64 array (images, classes)."""
        rows = [
            np.asarray(self.encoder.decode(self.decryptor.decrypt(ct)), dtype=np.int64)[:images]
            for ct in cts
        ]
        return np.stack(rows, axis=1) % self.settings.t

    def budget(self, cts: list[Any]) -> int:
        """Return SEAL's noise budget in bits, of the worst ciphertext."""
        return int(min(self.decryptor.invariant_noise_budget(ct) for ct in cts))


def run_seal(name: str, settings: SealSettings, pixels: IntArray) -> dict[str, Any]:
    """Run one batch under one modulus; return times and budget; a wrong logit is an error."""
    model = pretrained(name)
    network = SealNetwork(model, settings)
    start = time.perf_counter()
    ct = network.encrypt(pixels)
    encrypted = time.perf_counter()
    reply = network.infer(ct)
    inferred = time.perf_counter()
    logits = network.decrypt(reply, len(pixels))
    decrypted = time.perf_counter()
    if not (logits == model.forward(pixels) % settings.t).all():
        raise ExactnessError(f"SEAL's logits are wrong under {settings}")
    return {
        "encrypt": encrypted - start,
        "infer": inferred - encrypted,
        "decrypt": decrypted - inferred,
        "budget_bits": network.budget(reply),
    }


def batching_prime(n: int, at_least: int) -> int:
    """Return the smallest prime = 1 (mod 2n) from `at_least` on, of any size."""
    p = -(-at_least // (2 * n)) * 2 * n + 1
    while not is_prime(p):
        p += 2 * n
    return p


def settings_for(name: str) -> dict[str, SealSettings]:
    """Return SEAL's fastest settings of each scheme for a pretrained network's proved range."""
    model = pretrained(name)
    logits = ranges(model, model.info.levels)[-1]
    need = 2 * max(int(np.abs(logits.low).max()), int(np.abs(logits.high).max())) + 1
    t = batching_prime(8192, need)
    found = {"BFV n=8192, one t": SealSettings("bfv", 8192, (51, 51, 51, 36, 29), t)}
    if sum(isinstance(layer, Square) for layer in model.layers) > 1:
        found["BGV n=8192, one t"] = SealSettings("bgv", 8192, (48, 48, 48, 56, 18), t)
    else:  # nobody needs relinearisation, or more than two primes
        t = batching_prime(4096, need)
        found["BGV n=4096, one t"] = SealSettings("bgv", 4096, (40, 41, 28), t)
    return found


def in_processes(jobs: list[tuple[Any, ...]], run: Callable[..., Any]) -> list[Any]:
    """Run jobs at the same time, each in a fresh process."""
    with ProcessPoolExecutor(len(jobs), mp_context=get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(run, *job) for job in jobs]]


def compare(
    name: str,
    pixels: IntArray,
    rounds: int,
    own: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """Run a network here and on SEAL in turns (A B C A B C ...), each time in fresh processes.

    Either side has two at the same time, each with a batch and one thread; the slower one counts.

    Parameters
    ----------
    name : pretrained network
    pixels : int64 images; repeated to fill the batches
    rounds : how often
    own : runs the network here: `nn.bench.measurements.whole`

    Returns
    -------
    dict with, for every program, its predictions per hour in every round, their median, and the
    details; and `times_as_fast`, the best of our medians over the best of SEAL's
    """
    rates: dict[str, list[float]] = {}
    details: list[Any] = []
    ours = {HERE: (1, BGV), f"{HERE}, n = 16384": (1, BGV, 16384)}
    for _ in range(rounds):
        for label, arguments in ours.items():
            results = in_processes([(name, pixels, *arguments)] * 2, own)
            slowest = min(result["predictions_per_hour"] for result in results)
            rates.setdefault(label, []).append(2 * slowest)
            details.append(results)
        for label, settings in settings_for(name).items():
            batches = np.resize(pixels, (2, settings.n, *pixels.shape[1:]))
            results = in_processes([(name, settings, batch) for batch in batches], run_seal)
            slowest = max(result["infer"] for result in results)
            rates.setdefault(label, []).append(2 * settings.n / slowest * 3600)
            details.append(results)
    medians = {key: statistics.median(values) for key, values in rates.items()}
    best = max(value for key, value in medians.items() if not key.startswith(HERE))
    return {
        "rates": rates,
        "medians": medians,
        "times_as_fast": max(medians[key] for key in ours) / best,
        "details": details,
    }


def comparison_table(found: dict[str, Any]) -> str:
    """Return a comparison as text."""
    lines = [f"  {'predictions per hour':<24}{'median':>12}{'least':>12}{'most':>12}"]
    for key, values in found["rates"].items():
        name = key if key.startswith(HERE) else f"SEAL, {key}"
        median = found["medians"][key]
        lines.append(f"  {name:<24}{median:>12,.0f}{min(values):>12,.0f}{max(values):>12,.0f}")
    lines.append(
        f"  the best of ours is {found['times_as_fast']:.2f} times as fast as the best of SEAL's"
    )
    return "\n".join(lines)
