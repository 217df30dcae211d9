"""The noise of a ciphertext, predicted without a key.

Write the phase of a BFV ciphertext as a polynomial over the rationals,

    t/q * (c_0 + c_1 s + ...) = m + t k + nu,        k, m integer polynomials.

nu is the (invariant) noise; decryption rounds it away while all its coefficients are below 1/2. The
*noise budget* is log2(1 / (2 max |nu|)), in bits.

What is tracked is a bound of the standard deviation of one coefficient of nu, as a plain float. It
is propagated by the formulas below, with two tools only: deviations of sums add up at most
(Minkowski; no independence is assumed, since sums of dependent ciphertexts are what networks make),
and the product of polynomials with deviations x and y has deviation sqrt(n) x y (central limit).
The prediction of the largest coefficient is the deviation times `tail_factor(n)`, which a Gaussian
exceeds in any of n coefficients with probability 2^-40.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from yashe.errors import NoiseBudgetExhausted
from yashe.params import Params
from yashe.residues import FloatArray, column, reduce
from yashe.rns import RnsBasis
from yashe.sampling import SIGMA

FAILURE_BITS = 40  # the prediction fails for one ciphertext with probability 2^-40
ROUNDING_VARIANCE = 1 / 12  # of a number uniform in [-1/2, 1/2]
TERNARY_VARIANCE = 2 / 3


@lru_cache(maxsize=64)
def tail_factor(n: int) -> float:
    """Return z such that n Gaussian coefficients all stay within z deviations but for 2^-40."""
    return -NormalDist().inv_cdf(2.0 ** -(FAILURE_BITS + 1) / n)


def least_budget(n: int) -> float:
    """Return the budget in bits that decryption must see to trust its result: 40 / n.

    Once the noise has overflowed, t/q * phase is uniform modulo 1. The chance that n uniform
    coefficients then pretend to a budget of b bits is 2^(-b n): below 2^-40 for b = 40 / n.
    """
    return FAILURE_BITS / n


def fresh_deviation(params: Params, public: bool) -> float:
    """Return the deviation of a fresh ciphertext.

    With a secret key nu = t/q (e + r), r the rounding of q m / t to an integer; with a public key
    nu = t/q (e_0 + e_1 s - e u + r).
    """
    sigma2 = float(SIGMA) ** 2
    errors = sigma2 * (1 + 2 * params.n * TERNARY_VARIANCE) if public else sigma2
    return params.t / params.q * math.sqrt(errors + ROUNDING_VARIANCE)


def plain_addition_deviation(params: Params) -> float:
    """Return what adding round(q/t m) adds: at most t/q * 1/2 in each coefficient."""
    return params.t / params.q / 2


def plain_product_deviation(noise: float, norm: float) -> float:
    """Return the deviation after a product with a plaintext polynomial of Euclidean norm `norm`."""
    return noise * norm


def product_deviation(params: Params, x: FloatArray, y: FloatArray, depth: int) -> FloatArray:
    """Return the deviation of the tensor product of ciphertexts with deviations x and y.

    nu = nu_1 (m_2 + t k_2) + nu_2 (m_1 + t k_1) + nu_1 nu_2 + t/q (r_0 + r_1 s + r_2 s^2), where
    m + t k is t/q (c_0 + c_1 s) up to nu and c_0, c_1 are uniform modulo q: its coefficients have
    variance t^2 (1 + 2n/3) / 12. nu is itself a polynomial of degree `depth` + 1 in s; the powers
    of s are no independent factors, and E[s^(2j)] = j! E[s^2]^j gives the factor sqrt(depth + 2).
    """
    n = params.n
    message = params.t * math.sqrt(ROUNDING_VARIANCE * (1 + n * TERNARY_VARIANCE))
    s_squared = 2 * (n * TERNARY_VARIANCE) ** 2
    rounding = math.sqrt(ROUNDING_VARIANCE * (1 + n * TERNARY_VARIANCE + s_squared))
    growth = math.sqrt(n * (depth + 2)) * message
    return growth * (x + y) + math.sqrt(n) * x * y + params.t / params.q * rounding


def switching_deviation(params: Params) -> float:
    """Return what relinearisation adds: t/q sum_i d_i e_i with digits uniform modulo q_i."""
    digits = sum(p * p / 12 for p in params.moduli)
    return params.t / params.q * math.sqrt(params.n * digits) * float(SIGMA)


def budget_bits(deviation: FloatArray | float, n: int) -> FloatArray:
    """Return the predicted noise budget log2(1 / (2 z deviation)) in bits, elementwise."""
    return -np.log2(2 * tail_factor(n) * np.asarray(deviation, dtype=np.float64))


def measured_budget(x: FloatArray, basis: RnsBasis) -> float:
    """Return log2(1 / (2 max |nu|)) for nu = x / q, x = [t phase]_q given by residues (k, n).

    x / q is known in floating point to about 2^-20 only, so small noise is enlarged modulo q, by
    factors that keep it below a half, until it is large enough to be read off to four digits.
    """
    moduli, shift = column(basis.moduli), 0
    limit = math.log2(basis.product) - 1  # the budget if no coefficient of x exceeds 1
    while (largest := float(np.abs(basis.fraction(x)).max())) < 2.0**-6:
        more = 12 if largest < 2.0**-14 else int(-math.log2(largest)) - 3
        shift += more
        if shift > limit:
            return limit
        x = reduce(x * 2.0**more, moduli)
    return shift - math.log2(2 * largest)


_unchecked: ContextVar[bool] = ContextVar("unchecked", default=False)


@contextmanager
def unchecked() -> Iterator[None]:
    """Let operations and decryption run beyond the noise budget, to see what happens there."""
    token = _unchecked.set(True)
    try:
        yield
    finally:
        _unchecked.reset(token)


def check_budget(budget: float, n: int, what: str) -> None:
    """Refuse a result whose noise budget is, or is predicted to be, used up.

    Raises
    ------
    NoiseBudgetExhausted
        Unless inside `unchecked()`.
    """
    if budget < least_budget(n) and not _unchecked.get():
        raise NoiseBudgetExhausted(
            f"{what} leaves a noise budget of {budget:.1f} bits, but {least_budget(n):.3g} are "
            "needed; use more primes in q or a larger n, a smaller t, smaller weights, fewer "
            "products in a row"
        )
