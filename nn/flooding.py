"""Noise flooding: a reply that tells the client its logits and nothing about the weights.

The noise of a reply is, like its message, a sum of the client's own noises with the server's
weights. The client knows its noises and its secret key, so it can solve for the weights of a linear
layer (`yashe.attacks.weights_from_noise`). A server that minds adds to every ciphertext of a reply

- an encryption of zero with the client's public key, after which c_1 is as good as fresh, and
- t times a polynomial with coefficients uniform in [-B, B), so wide that the noise drowns in it.

If t x is the noise, |x| <= E, the statistical distance between uniform and uniform
plus x is at most E / (2 B) for each coefficient. For N coefficients and a distance of 2^-bits in
all, B = N E 2^(bits - 1): this costs about bits + log2 N bits of noise budget, 56 for 40 bits and
ten logits at n = 8192, two or three primes of q. Gentry (STOC 2009) has the idea.

It hides how the logits were computed. The logits themselves are an answer of the network, and
whoever asks often enough can train another network on the answers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from yashe.bgv import BGV
from yashe.ciphertext import Ciphertext
from yashe.errors import FormError, ParameterError
from yashe.keys import BgvPublicKey
from yashe.noise import Bound
from yashe.residues import reduce
from yashe.sampling import check_seed, derive_seed, stream


def needed_budget(bits: int, coefficients: int) -> float:
    """Return how many bits of noise budget flooding takes, for N coefficients in the reply.

    bits + log2 N; one bit for rounding log2 B up, and three because the prediction takes uniform
    noise for Gaussian noise of the same deviation, whose tail is longer.
    """
    return bits + math.log2(coefficients) + 4


def flooding_exponent(ct: Ciphertext, bits: int) -> int:
    """Return log2 B: 2^bits is the inverse of the statistical distance for the whole array."""
    params = ct.params
    # |nu| <= 2^-(budget + 1), and nu is t/q times x, up to the message.
    worst = params.log2_q - params.log2_t - float(ct.noise_budget.min()) - 1
    return math.ceil(worst + math.log2(ct.size * params.n) + bits - 1)


def flood(ct: Ciphertext, key: BgvPublicKey, bits: int, seed: bytes | None = None) -> Ciphertext:
    """Return ciphertexts of the same messages whose noise tells nothing.

    Parameters
    ----------
    ct : of BGV, degree 1
    key : the public key of its owner
    bits : 2^-bits bounds the statistical distance from noise that does not depend on the weights
    seed : 32 bytes that determine the randomness, for tests only

    Returns
    -------
    Ciphertext of the same shape

    Raises
    ------
    NoiseBudgetExhausted
        If the budget does not suffice: plan for it (`cryptonets keygen --flood`).
    FormError, ParameterError, KeyMismatchError
    """
    scheme = ct.scheme
    if not isinstance(scheme, BGV) or ct.degree != 1:
        raise FormError("relinearised ciphertexts of BGV are flooded, nothing else")
    if not 1 <= bits <= 256:
        raise ParameterError(f"flooding hides up to 2^-bits with 1 to 256 bits, not {bits}")
    seed = check_seed(seed)
    exponent, params = flooding_exponent(ct, bits), ct.params
    zeros = np.zeros((*ct.shape, 1), dtype=np.int64)
    hiding = scheme.encrypt(zeros, key, derive_seed(seed, "flood-zero"))
    total = ct + replace(hiding, factor=ct.factor)  # zero times any factor is zero
    rows = total.rows[total.index.reshape(-1)]
    for j, row in enumerate(rows):
        wide = scheme.params.t * _uniform(seed, f"flood/{j}", params.n, exponent)
        row[0] = reduce(row[0] + scheme.rows(params.ring.element(wide)), params.ring.moduli)
    width = math.ldexp(params.t / math.sqrt(3), exponent) / params.q
    bound = total.bound[total.index].reshape(-1) + Bound.of(width, 0)
    flooded = total.derive(rows, bound, total.shape, "noise flooding")
    return replace(flooded, public_seed=None)


def _uniform(seed: bytes, label: str, n: int, exponent: int) -> NDArray[np.object_]:
    """Return n Python integers uniform in [-2^exponent, 2^exponent), dtype object."""
    size = exponent // 8 + 1
    data = stream(seed, label, n * size)
    draws = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    low = 2**exponent
    return np.array([draw % (2 * low) - low for draw in draws], dtype=object)
