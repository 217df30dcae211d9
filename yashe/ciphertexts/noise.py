"""The noise of a ciphertext, predicted without a key.

Write the phase of a ciphertext (c_0 + c_1 s + ... in BFV, f c in YASHE') over the rationals,

    t/q * phase = m + t k + nu,        m, k integer polynomials.

nu is the (invariant) noise; decryption rounds it away while all its coefficients are below 1/2. In
BGV, where nothing is scaled up, nu is phase / q, the message included, with the same limit. The
*noise budget* is log2(1 / (2 max |nu|)), in bits.

A `Bound` says two things about nu. Its *deviation* bounds the standard deviation of a coefficient
as if secret, phases and errors were independent of each other. Its *order* says how many factors
the terms of nu have at most, beside a small error: powers of the secret, and phases that were
multiplied. The more factors, the heavier the tail: max |nu| stays below `tail_factor(n, order)`
deviations but for probability 2^-40. Deviations of sums add up (Minkowski), because what is summed
in networks is not independent. docs/noise.md derives it all, with the sources.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.rns import RnsBasis
from yashe.arithmetic.sampling import SIGMA
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.ciphertexts.moves import Together
from yashe.ciphertexts.trace import trace as trace  # noise.trace(secret_key)
from yashe.errors import NoiseBudgetExhausted
from yashe.parameters.sets import Params

FAILURE_BITS = 40  # the prediction fails for one ciphertext with probability 2^-40 ...
EVENT_BITS = FAILURE_BITS + 1  # ... which is shared by two events of at most 2^-41
TRUSTED_BITS = 2  # max |nu| <= 1/8: what decryption must see, at n = 32 or more
ROUNDING_VARIANCE = 1 / 12  # of a number uniform in [-1/2, 1/2]
TERNARY_VARIANCE = 2 / 3
ERROR_VARIANCE = float(SIGMA) ** 2
MOMENTS = 64  # Markov's inequality is tried with this many moments at most
HOPELESS = 2.0**400  # deviations beyond this are all the same, and squares of them still finite
LARGEST_ORDER = 127  # noise of more factors is hopeless: its tail alone takes half of any q


@cache  # 128 orders, 14 ring degrees
def variance_moments(n: int, order: int) -> tuple[float, ...]:
    """Return log E[V^p] for p = 1, 2, ..., V being the variance of nu given its factors.

    Half of the factors, a of them, are powers of one secret, the other b are different phases. In
    each of the N = n/2 pairs of complex embeddings their squares are exponential variables, E and
    E_1, ..., E_b, and V is the average over the pairs of X = E^a E_1 ... E_b. Independent factors
    would give V = 1. With E[X^j] = (aj)! (j!)^b,

        E[(X_1 + ... + X_N)^p] = p! [y^p] (sum_j (aj)! (j!)^(b-1) y^j)^N.

    Examples
    --------
    The mean of the fourth power of the secret: E[E^2] = 2, as s occurs twice.

    >>> math.exp(variance_moments(8192, 3)[0])
    2.0
    """
    if order == 0:
        return (0.0,) * MOMENTS
    pairs, secrets, phases = n // 2, (order + 1) // 2, order // 2
    # The best moment is one of the first if there are many factors, whose moments are huge.
    highest = MOMENTS if order <= 2 else max(4, 2 * MOMENTS // order)
    fac = math.factorial
    a = [fac(secrets * j) * fac(j) ** phases // fac(j) for j in range(highest + 1)]
    power = [1]
    for p in range(1, highest + 1):  # the power of a series, coefficient by coefficient (Miller)
        power.append(sum((j * pairs - (p - j)) * a[j] * power[p - j] for j in range(1, p + 1)) // p)
    return tuple(math.log(fac(p) * power[p]) - p * math.log(pairs) for p in range(1, highest + 1))


@cache
def tail_factor(n: int, order: int) -> float:
    """Return how many deviations bound all n coefficients of nu, but for probability 2^-41.

    Given the factors, a coefficient is a sum of independent errors, whose even moments are at most
    those of a Gaussian, (2p-1)!! V^p. By Markov's inequality one of n coefficients exceeds z
    deviations with probability at most n (2p-1)!! E[V^p] / z^(2p), for every p.

    Examples
    --------
    In bits: without factors 3.1, as for a Gaussian. After three products it is all about the rare
    secret that is large in one embedding.

    >>> [round(math.log2(tail_factor(8192, order)), 1) for order in (0, 1, 2, 4, 6)]
    [3.1, 3.1, 3.1, 4.2, 7.2]
    """
    bits = EVENT_BITS + math.log2(n)
    best, gaussian = math.inf, 0.0
    for p, variance in enumerate(variance_moments(n, order), start=1):
        gaussian += math.log(2 * p - 1)
        best = min(best, (bits * math.log(2) + gaussian + variance) / (2 * p))
    return math.exp(min(best, 700))  # hopeless anyway, and still a float


def reuse(ahead: IntArray) -> FloatArray:
    """Return the factor for a phase that the other operand's noise may already contain.

    The noise of x^2 contains the phase of x, so x^2 * x squares it. A phase that is there r times
    already has moments larger by binomial((r+1) p, p) <= ((r+1)^(r+1) / r^r)^p than a new one; the
    root of that is 1, 2, 2.6, 3.1, ... Each product adds 2 to the order, so an operand contains the
    phase of the other at most r times if its order is `ahead` of the other's by 2r or 2r + 1.
    """
    r = np.maximum(ahead // 2, 0).astype(np.float64)
    return np.sqrt((r + 1) ** (r + 1) / r**r)


def least_budget(n: int) -> float:
    """Return the budget in bits that decryption must measure to trust its result: 2, or 48 / n.

    Decryption sees the noise modulo 1 only. Noise that has just passed 1/2 looks like -1/2 and a
    little, so what is near 1/2 cannot be trusted; what is within 1/8 can. That n coefficients of
    Gaussian noise of any width all *look* as small as that, while one of them is beyond 1/2, has
    probability at most 2^-43 for every n, 2^-67 for n = 64, 2^-329 for n = 8192 (docs/noise.md).

    A prediction has no such doubts: operations go on while it is above 0, and plans leave
    `least_budget` at the end, where somebody will decrypt.

    Examples
    --------
    >>> [least_budget(n) for n in (8, 16, 32, 8192)]
    [6.0, 3.0, 2.0, 2.0]
    """
    return max(float(TRUSTED_BITS), 48 / n)


@dataclass(frozen=True, eq=False)
class Bound(Together):
    """What is known, without any key, about the noise of an array of ciphertexts.

    Attributes
    ----------
    deviation : float64 array of any shape, of one coefficient of nu
    order : int64 array of the same shape, factors of a term (secrets and phases) at most
    """

    deviation: FloatArray
    order: IntArray

    @classmethod
    def of(cls, deviation: float, order: int, shape: tuple[int, ...] = ()) -> Bound:
        """Return the same bound for a whole array."""
        return cls(np.full(shape, deviation), np.full(shape, order, dtype=np.int64))

    def __add__(self, other: Bound) -> Bound:
        """Bound the sum of two noises, dependent or not: deviations add up at most."""
        deviation, order = np.broadcast_arrays(self.deviation + other.deviation, self.order)
        return Bound(deviation, np.maximum(order, other.order))

    def __mul__(self, factor: FloatArray | float) -> Bound:
        """Bound the noise times a number, or times a polynomial of that canonical norm."""
        deviation, order = np.broadcast_arrays(self.deviation * np.abs(factor), self.order)
        return Bound(deviation, order)

    def __matmul__(self, weights: IntArray) -> Bound:
        """Bound linear combinations with integer weights: (..., K) @ (K, M)."""
        deviation = self.deviation @ np.abs(weights.astype(np.float64))
        order = np.broadcast_to(self.order.max(axis=-1, keepdims=True), deviation.shape)
        return Bound(deviation, order)

    def capped(self) -> Bound:
        """Return the same bounds, hopeless ones all alike: beyond HOPELESS, or LARGEST_ORDER."""
        hopeless = (self.order > LARGEST_ORDER) | (self.deviation > HOPELESS)
        deviation = np.where(hopeless, HOPELESS, self.deviation)
        return Bound(deviation, np.minimum(self.order, LARGEST_ORDER))

    def budget(self, n: int) -> FloatArray:
        """Return the predicted noise budget log2(1 / (2 max |nu|)) in bits, elementwise."""
        orders, which = np.unique(self.order, return_inverse=True)
        tails = np.array([math.log2(tail_factor(n, int(order))) for order in orders])
        return np.asarray(-1 - tails[which].reshape(self.shape) - np.log2(self.deviation))


# What the operations do; BGV has a product of its own. `secret` is the expected squared norm of
# the secret that multiplies a ciphertext in the phase: 2n/3 for the ternary s of BFV and BGV.


def product(params: Params, secret: float, x: Bound, y: Bound) -> Bound:
    """Return the bound of a product of ciphertexts, before relinearisation.

    nu = nu_1 w_2 + nu_2 w_1 + nu_1 nu_2 + t/q * rounding, where w = m + t k is the phase, t/q times
    one or two polynomials with coefficients uniform modulo q, one of them times the secret: its
    coefficients have variance t^2 (1 + secret) / 12. The product of polynomials with deviations x
    and y has deviation sqrt(n) x y. nu_1 nu_2 is less than 1/t of the rest as long as decryption
    is possible, so that its tail does not matter.
    """
    growth = math.sqrt(params.n) * params.t * math.sqrt(ROUNDING_VARIANCE * (1 + secret))
    deviation = growth * (
        reuse(x.order - y.order) * x.deviation + reuse(y.order - x.order) * y.deviation
    )
    deviation = deviation + math.sqrt(params.n) * x.deviation * y.deviation
    bound = Bound(deviation, np.maximum(x.order, y.order) + 2) + rounding(params, secret, 2)
    return bound.capped()


def rounding(params: Params, secret: float, degree: int) -> Bound:
    """Return the bound of what rounding the parts of a ciphertext adds: t/q (r_0 + r_1 s + ...).

    The r_i are uniform in [-1/2, 1/2].
    """
    norms = 1 + sum(squared_norm(params, secret, power) for power in range(1, degree + 1))
    return Bound.of(params.t / params.q * math.sqrt(ROUNDING_VARIANCE * norms), 1)


def squared_norm(params: Params, secret: float, power: int) -> float:
    """Return what to take for the expected squared norm of a power of the secret.

    The squared embeddings of the secret, exponential variables, all stay below `largest` times
    their mean but for probability 2^-41. A power is counted as s times that, which leaves order 1.
    """
    largest = math.log(params.n // 2 * 2**EVENT_BITS)
    return secret * (secret * largest) ** (power - 1)


def key_switching(
    params: Params, errors: float, hidden: float, gadget: Gadget = PER_PRIME
) -> Bound:
    """Return the bound of t/q (sum_i d_i e_i + r z), which switching a key from z adds.

    The digits d_i are uniform modulo D_i, and with spare primes c = P c' + r leaves an r that is
    uniform modulo P. Errors of keys that are sums are sums as well.

    Parameters
    ----------
    errors : variance of one error, and what it multiplies in the phase
    hidden : expected squared norm of z
    """
    if gadget.summed:
        errors *= gadget.size
    digits, spare = gadget.moduli(params.moduli)
    # By hypot, and as fractions of q: as a float D_i^2 is infinite, and (D_i / q)^2 would be 0.
    *sizes, left = (float(Fraction(params.t * d, params.q)) for d in (*digits, spare))
    lost = left * math.sqrt(hidden) if gadget.spare else 0.0
    size = math.hypot(*(math.sqrt(params.n * errors) * x for x in sizes), lost)
    return Bound.of(math.sqrt(ROUNDING_VARIANCE) * size, 1)


def canonical_norm(coefficients: IntArray) -> FloatArray:
    """Return max |p(zeta)| over the complex roots zeta of X^n + 1.

    A product with p enlarges the deviation by no more, whatever p is and however the noise depends
    on secret and phases. It is |c| for a constant polynomial c.

    Parameters
    ----------
    coefficients : int64 array, shape (..., n)

    Returns
    -------
    float64 array, shape (...)

    Examples
    --------
    >>> round(float(canonical_norm(np.array([3, 0, 0, 0]))), 6)
    3.0
    """
    n = coefficients.shape[-1]
    twist = np.exp(1j * np.pi * np.arange(n) / n)
    return np.asarray(np.abs(np.fft.fft(coefficients * twist)).max(axis=-1), dtype=np.float64)


def measured_budget(x: FloatArray, basis: RnsBasis) -> float:
    """Return log2(1 / (2 max |nu|)) for nu = x / q, x = [t phase]_q given by residues (k, n)."""
    largest = int(np.abs(basis.compose(x)).max())
    return math.log2(basis.product) - math.log2(2 * max(largest, 1))  # no noise counts as a unit


_unchecked: ContextVar[bool] = ContextVar("unchecked", default=False)


@contextmanager
def unchecked() -> Iterator[None]:
    """Let operations and decryption run beyond the noise budget, to see what happens there."""
    token = _unchecked.set(True)
    try:
        yield
    finally:
        _unchecked.reset(token)


def check_budget(budget: float, what: str, before: float | None = None, least: float = 0.0) -> None:
    """Refuse a result whose noise budget is, or is predicted to be, used up.

    Parameters
    ----------
    budget : bits that are left, below zero if more were needed
    what : the operation
    before : bits that there were before the operation, if there was anything before it
    least : bits that have to be left; `least_budget` of n if decryption follows

    Raises
    ------
    NoiseBudgetExhausted
        Unless inside `unchecked()`.
    """
    if budget >= least or _unchecked.get():
        return
    had = "" if before is None else f" (it takes {before - budget:.1f}, {before:.1f} were there)"
    raise NoiseBudgetExhausted(
        f"{what} leaves a noise budget of {budget:.1f} bits{had}, but {least:.3g} are needed; use "
        "more primes in q or a larger n, a smaller t, smaller weights, fewer products in a row, or "
        "switch the modulus later"
    )
