"""Noise flooding: a reply that tells the client its logits and nothing about the weights.

The noise of a reply is, like its message, a sum of the client's own noises with the server's
weights. The client knows its noises and its secret key, so it can solve for the weights of a linear
layer (`yashe.attacks.misuse.weights_from_noise`). A server that minds adds to every ciphertext of a
reply

- an encryption of zero with the client's public key, after which c_1 is as good as fresh; where
  three parts are sent (`nn.planning.program`) c_2, a sum of weighted squares of what is public,
  needs one more, (0, z_0, z_1), which is s times an encryption of zero; and
- t times a polynomial with coefficients uniform in [-B, B), so wide that the noise drowns in it.

B is public: it fills what the parameters leave, up to the promised budget (`nn.planning.descent`).
If it were made to measure, whoever measures the noise would read the weights off its width.

If t x is the noise, |x| <= E, the statistical distance between uniform and uniform plus x is at
most E / (2 B) for each coefficient. So N coefficients are hidden up to a distance of 2^-bits in all
if N E 2^(bits - 1) <= B, and E is what is predicted; else the reply is refused. This costs about
bits + log2 N bits of noise budget, 56 for 40 bits and ten logits at n = 8192, two or three primes
of q. Gentry (STOC 2009) has the idea.

It hides how the logits were computed. The logits themselves are an answer of the network, and
whoever asks often enough can train another network on the answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn.planning.descent import PROMISED_BITS, promised_bound
from yashe.arithmetic.residues import reduce
from yashe.arithmetic.sampling import check_seed, derive_seed, stream
from yashe.arithmetic.whole import whole
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import BgvPublicKey, check_key, check_kind
from yashe.ciphertexts.noise import Bound
from yashe.errors import FormError, NoiseBudgetExhausted
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV

MOST_BITS = 256


@dataclass(frozen=True)
class Flooding:
    """The wish to hide the weights: the client's public key, and how well (`flood`)."""

    key: BgvPublicKey
    bits: int

    def __post_init__(self) -> None:
        check_kind(self.key, BgvPublicKey)
        check_bits(self.bits)


def check_bits(bits: int) -> None:
    """Refuse what is no number of bits."""
    whole(bits, "bits, as flooding hides up to a distance of 2^-bits,", 1, MOST_BITS)


def needed_spare(bits: int, coefficients: int, n: int) -> float:
    """Return how much budget beyond the least flooding needs, for N coefficients in the reply.

    bits + log2 N, the promise, and three bits because a bound takes uniform noise for Gaussian
    noise, whose tail is longer.
    """
    check_bits(bits)
    return bits + math.log2(coefficients) + PROMISED_BITS + math.log2(noise.tail_factor(n, 1)) + 0.1


def flooding_exponent(params: Params, degree: int = 1) -> int:
    """Return log2 B, the largest with which the promised budget is left.

    t B / q / sqrt(3) is the deviation. The rest of t B / q has room for what is hidden: a
    polynomial with coefficients up to E <= B / n, which counts as a deviation of sqrt(n) E.

    Parameters
    ----------
    params, degree : of the reply

    Raises
    ------
    NoiseBudgetExhausted
        If there is no room at all.
    """
    zeros = zeros_bound(BGV(params), degree)
    room = float(promised_bound(params.n, 1).deviation - zeros.deviation)
    bits = params.log2_q - params.log2_t + math.log2(room) if room > 0 else -1.0
    if bits < 0:
        raise NoiseBudgetExhausted(
            f"{params.name} with log2 q = {params.log2_q:.1f} has no room for noise flooding: take "
            "keys that were made for it (cryptonets keygen --flood BITS)"
        )
    return math.floor(bits)


def zeros_bound(scheme: BGV, degree: int) -> Bound:
    """Return the noise of the encryptions of zero: one, and s times another one for degree 2."""
    norms = [
        noise.squared_norm(scheme.params, scheme.secret_norm, power) / scheme.secret_norm
        for power in range(1, degree + 1)  # the largest embedding of 1, s, ..., squared
    ]
    return scheme.fresh_bound(True) * sum(map(math.sqrt, norms))


def flood(ct: Ciphertext, key: BgvPublicKey, bits: int, seed: bytes | None = None) -> Ciphertext:
    """Return ciphertexts of the same messages whose noise tells nothing.

    Parameters
    ----------
    ct : of BGV, degree 1 or 2
    key : the public key of its owner
    bits : 2^-bits bounds the statistical distance from noise that does not depend on the weights
    seed : 32 bytes that determine the randomness, for tests only

    Returns
    -------
    Ciphertext of the same shape, of the promised noise

    Raises
    ------
    NoiseBudgetExhausted
        If the noise is too large to be hidden: plan for it (`cryptonets keygen --flood`).
    FormError, ParameterError, KeyMismatchError
    """
    scheme = ct.scheme
    if not isinstance(scheme, BGV):
        raise FormError("ciphertexts of BGV are flooded, nothing else")
    check_kind(key, BgvPublicKey)
    check_key(ct.params, ct.key_id, key)
    check_bits(bits)
    seed, params, flat = check_seed(seed), ct.params, ct.index.reshape(-1)
    exponent = flooding_exponent(params, ct.degree)
    check_hidden(ct, bits, exponent)
    rows = ct.rows[flat]
    for power in range(ct.degree):
        zeros = np.zeros((len(flat), 1), dtype=np.int64)
        # Zero times any factor is zero.
        rows[:, power : power + 2] += scheme.encrypt(
            zeros, key, derive_seed(seed, f"flood-zero/{power}")
        ).rows
    for j, row in enumerate(rows):
        wide = params.t * _uniform(seed, f"flood/{j}", params.n, exponent)
        row[0] += scheme.rows(params.ring.element(wide))
        row[...] = reduce(row, params.ring.moduli)
    bound = promised_bound(params.n, 1).broadcast((len(rows),))
    return ct.derive(rows, bound, ct.shape, "noise flooding", within=ct.within_of(flat))


def check_hidden(ct: Ciphertext, bits: int, exponent: int) -> None:
    """Refuse noise that B = 2^exponent does not hide; there is no way around this check.

    Raises
    ------
    NoiseBudgetExhausted
    """
    params, budget = ct.params, float(ct.noise_budget.min())
    # |nu| <= 2^-(budget + 1), and nu is t/q (x + m/t), the message |m| <= t/2 included.
    largest = 2.0 ** (params.log2_q - params.log2_t - budget - 1) + 0.5
    lacking = math.log2(largest) + math.log2(ct.size * params.n) + bits - 1 - exponent
    if lacking > 0:
        raise NoiseBudgetExhausted(
            f"noise flooding leaves a distance of 2^{lacking - bits:.1f}, but 2^-{bits} was asked "
            f"for: the keys need {lacking:.1f} more bits of noise budget (cryptonets keygen "
            f"--flood {bits})"
        )


def _uniform(seed: bytes, label: str, n: int, exponent: int) -> NDArray[np.object_]:
    """Return n Python integers uniform in [-2^exponent, 2^exponent), dtype object."""
    size = exponent // 8 + 1
    data = stream(seed, label, n * size)
    draws = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    low = 2**exponent
    return np.array([draw % (2 * low) - low for draw in draws], dtype=object)
