"""CryptoNets on Microsoft SEAL, in the most favourable program that we can write for it.

SEAL is a C++ library, here through its Python bindings (the extra `bench`). It gets every advantage
that we know of:

- linear layers are sums only: inputs with the same weight are added up first, one addition for each
  weight that is not zero, and the few sums are combined by doubling; a negative weight subtracts (a
  product with t - |w| would cost log2 t bits of noise);
- relinearisation comes after the dense layer, on 100 ciphertexts instead of 845;
- biases are encoded once;
- at n = 8192 the range is split over two small plaintext moduli, which cost less noise each, and
  the two halves of the work run in two processes (the bindings hold the interpreter lock);
- at n = 16384 one modulus carries the whole range, and two batches run in two processes.

Every logit is checked against the integer network. `compare` runs both libraries in turns.
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

from nn import pretrained
from nn.base import Linear
from nn.layers import Square
from nn.model import Sequential
from nn.plan import make_plan, ranges
from yashe.errors import FheError, ParameterError
from yashe.primes import is_prime
from yashe.residues import IntArray

try:
    import seal
except ImportError:
    seal = None


class MissingSealError(FheError, ImportError):
    """SEAL's bindings are not installed."""


@dataclass(frozen=True)
class SealSettings:
    """Ring degree, bit sizes of the primes of q (the last one for keys only), and one t."""

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
        parms = seal.EncryptionParameters(seal.scheme_type.bfv)
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
        evaluator = self.evaluator
        for layer in self.model.layers:
            if isinstance(layer, Linear):
                x = self.linear(layer, x)
            elif isinstance(layer, Square):
                for ct in x:
                    if ct.size() > 2:
                        evaluator.relinearize_inplace(ct, self.relin_keys)
                    evaluator.square_inplace(ct)
        return x

    def linear(self, layer: Linear, x: list[Any]) -> list[Any]:
        """Return the outputs of a linear layer."""
        out: list[Any] = [None] * math.prod(layer.output_shape)
        for block in layer.blocks():
            biases = [self.constant(int(b)) for b in block.bias]
            for taps, places in zip(block.inputs, block.outputs, strict=True):
                for weights, place, bias in zip(block.weight.T, places, biases, strict=True):
                    ct = self.weighted_sum([x[j] for j in taps], weights)
                    self.evaluator.add_plain_inplace(ct, bias)
                    out[place] = ct
        return out

    def constant(self, value: int) -> Any:
        """Return the plaintext with one value in all slots: a constant polynomial."""
        return seal.Plaintext(f"{value % self.settings.t:x}")

    def weighted_sum(self, x: list[Any], weights: IntArray) -> Any:
        """Return sum_j weights[j] x[j] by Horner's rule on the bits of the weights."""
        evaluator, total = self.evaluator, None
        for bit in reversed(range(int(np.abs(weights).max()).bit_length())):
            if total is not None:
                evaluator.add_inplace(total, total)
            for ct, w in zip(x, weights.tolist(), strict=True):
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
    """Run one batch under one modulus; return times, budget, and whether every logit is right."""
    model = pretrained.load(name)
    network = SealNetwork(model, settings)
    start = time.perf_counter()
    ct = network.encrypt(pixels)
    encrypted = time.perf_counter()
    reply = network.infer(ct)
    inferred = time.perf_counter()
    logits = network.decrypt(reply, len(pixels))
    decrypted = time.perf_counter()
    return {
        "encrypt": encrypted - start,
        "infer": inferred - encrypted,
        "decrypt": decrypted - inferred,
        "budget_bits": network.budget(reply),
        "right": bool((logits == model.forward(pixels) % settings.t).all()),
    }


def batching_prime(n: int, at_least: int, avoid: int = 0) -> int:
    """Return the smallest prime = 1 (mod 2n) from `at_least` on, of any size."""
    p = -(-at_least // (2 * n)) * 2 * n + 1
    while p == avoid or not is_prime(p):
        p += 2 * n
    return p


def settings_for(name: str) -> dict[str, list[SealSettings]]:
    """Return SEAL's two fast settings for a pretrained network's proved range.

    Each is a pair of jobs for two processes: one batch under two moduli, or two batches under one.
    """
    model = pretrained.load(name)
    logits = ranges(model, model.info.levels)[-1]
    need = 2 * max(int(np.abs(logits.low).max()), int(np.abs(logits.high).max())) + 1
    first = batching_prime(8192, math.isqrt(need) + 1)
    second = batching_prime(8192, math.isqrt(need) + 1, avoid=first)
    one = batching_prime(16384, need)
    return {
        "n=8192, two t": [SealSettings(8192, (43, 44, 44, 44), t) for t in (first, second)],
        "n=16384, one t": [SealSettings(16384, (54, 54, 54, 54, 55), one)] * 2,
    }


def in_processes(jobs: list[tuple[Any, ...]], run: Callable[..., Any]) -> list[Any]:
    """Run jobs at the same time, each in a fresh process."""
    with ProcessPoolExecutor(len(jobs), mp_context=get_context("spawn")) as pool:
        return [future.result() for future in [pool.submit(run, *job) for job in jobs]]


def compare(
    name: str,
    pixels: IntArray,
    rounds: int,
    own: Callable[[str, IntArray, int], dict[str, Any]],
    cores: int,
) -> dict[str, Any]:
    """Run a network here and on SEAL in turns (A B C A B C ...), each time in fresh processes.

    Parameters
    ----------
    name : pretrained network
    pixels : int64 images; repeated to fill the largest batches
    rounds : how often
    own : runs the network here: `nn.bench.whole`
    cores : threads for our side; SEAL gets two processes

    Returns
    -------
    dict with, for every program, its predictions per hour in every round, their median, and the
    details; and `times_as_fast`, our median over the best of SEAL's
    """
    pixels = np.concatenate([pixels] * -(-2 * 16384 // len(pixels)))
    rates: dict[str, list[float]] = {"here": []}
    details: list[Any] = []
    slots = make_plan(pretrained.load(name)).params.n
    for _ in range(rounds):
        (mine,) = in_processes([(name, pixels[:slots], cores)], own)
        rates["here"].append(mine["full_batch_per_hour"])
        details.append(mine)
        for setting, pair in settings_for(name).items():
            same_t = pair[0] == pair[1]
            batches = [pixels[i * s.n * same_t :][: s.n] for i, s in enumerate(pair)]
            jobs = [(name, s, batch) for s, batch in zip(pair, batches, strict=True)]
            results = in_processes(jobs, run_seal)
            images = pair[0].n * (1 + same_t)
            slowest = max(result["infer"] for result in results)
            rates.setdefault(setting, []).append(images / slowest * 3600)
            details.append(results)
    medians = {key: statistics.median(values) for key, values in rates.items()}
    best = max(value for key, value in medians.items() if key != "here")
    return {
        "rates": rates,
        "medians": medians,
        "times_as_fast": medians["here"] / best,
        "details": details,
    }


def comparison_table(found: dict[str, Any]) -> str:
    """Return a comparison as text."""
    lines = [f"  {'predictions per hour':<24}{'median':>12}{'least':>12}{'most':>12}"]
    for key, values in found["rates"].items():
        name = key if key == "here" else f"SEAL, {key}"
        median = found["medians"][key]
        lines.append(f"  {name:<24}{median:>12,.0f}{min(values):>12,.0f}{max(values):>12,.0f}")
    lines.append(f"  here {found['times_as_fast']:.2f} times as fast as the best SEAL program")
    return "\n".join(lines)
