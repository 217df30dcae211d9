"""What a ciphertext says, worked out with Python integers alone.

Somebody else's decryption: it is handed raw residues, the secret polynomial and the few numbers
that are public (n, moduli, degree, factor), and returns the slots and the noise. It was written
from docs/schemes.md and docs/wire-format.md, and takes nothing from the package it judges: roots of
unity, transforms, the Chinese remainder theorem and products are its own. So a mistake that
encryption and decryption of the package make together is one that it does not make.

    phase     c_0 + c_1 s + c_2 s^2 in BFV and BGV, f c or f^2 c in YASHE', modulo q, centred
    message   round(t/q phase) in BFV and YASHE', phase / factor in BGV, modulo t
    noise     nu = [t phase]_q / q in BFV and YASHE', phase / q in BGV, exactly, as a fraction
    slots     slot r n/2 + c is the message at psi^((-1)^r 5^c), modulo every prime of t

A polynomial is a list of n Python integers, lowest degree first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, Inexact, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

Polynomial = list[int]
SCHEMES = ("BFV", "BGV", "YASHE'")


class OracleError(Exception):
    """What was handed over is no ciphertext, or no key, of the scheme."""


# Numbers


def centred(x: int, q: int) -> int:
    """Return the representative of x modulo an odd q in (-q/2, q/2)."""
    return (x + q // 2) % q - q // 2


def remainders(rows: Sequence[Sequence[int]], moduli: Sequence[int]) -> list[int]:
    """Return the numbers in [0, q) with these residues, one row for each modulus.

    Chinese remainder theorem: residue r modulo p stands for r times the number that is 1 modulo p
    and 0 modulo the others.
    """
    q, units = math.prod(moduli), _idempotents(tuple(moduli))
    return [sum(map(int.__mul__, column, units)) % q for column in zip(*rows, strict=True)]


@lru_cache
def _idempotents(moduli: tuple[int, ...]) -> tuple[int, ...]:
    """Return for every modulus the number that is 1 modulo it and 0 modulo the others."""
    q = math.prod(moduli)
    return tuple(q // p * pow(q // p, -1, p) for p in moduli)


@lru_cache
def root_of_unity(n: int, p: int) -> int:
    """Return psi = g^((p-1)/2n) modulo p, g the smallest primitive root: psi^n = -1."""
    divisors = [r for r in range(2, math.isqrt(p - 1) + 1) if (p - 1) % r == 0]
    orders = {*divisors, *((p - 1) // r for r in divisors), 1}  # of proper subgroups, all of them
    g = next(g for g in range(2, p) if all(pow(g, order, p) != 1 for order in orders))
    psi = pow(g, (p - 1) // (2 * n), p)
    if pow(psi, n, p) != p - 1:
        raise OracleError(f"{p} has no root of unity of order {2 * n}")
    return psi


# Polynomials modulo X^n + 1


@lru_cache
def _powers(x: int, count: int, p: int) -> list[int]:
    """Return 1, x, x^2, ... modulo p."""
    powers = [1]
    while len(powers) < count:
        powers.append(powers[-1] * x % p)
    return powers


def _fourier(x: list[int], powers: list[int], p: int) -> list[int]:
    """Return sum_j x_j w^(j k) for all k, w of order len(x) given by its powers."""
    if len(x) == 1:
        return x
    even, odd = (_fourier(x[i::2], powers[::2], p) for i in (0, 1))
    turned = [a * w % p for a, w in zip(odd, powers, strict=False)]
    return [(a + b) % p for a, b in zip(even, turned, strict=True)] + [
        (a - b) % p for a, b in zip(even, turned, strict=True)
    ]


def evaluate(a: Polynomial, p: int) -> list[int]:
    """Return a(psi), a(psi^3), a(psi^5), ..., a(psi^(2n-1)) modulo p."""
    n = len(a)
    psi = root_of_unity(n, p)
    twisted = [c * x % p for c, x in zip(a, _powers(psi, n, p), strict=True)]
    return _fourier(twisted, _powers(psi * psi % p, n, p), p)


def interpolate(values: Sequence[int], p: int) -> Polynomial:
    """Return the polynomial modulo p with these values: the inverse of `evaluate`."""
    n = len(values)
    back, share = pow(root_of_unity(n, p), -1, p), pow(n, -1, p)
    sums = _fourier([v * share % p for v in values], _powers(back * back % p, n, p), p)
    return [c * x % p for c, x in zip(sums, _powers(back, n, p), strict=True)]


def product(a: Polynomial, b: Polynomial) -> Polynomial:
    """Return a b modulo X^n + 1 over the integers.

    Kronecker's substitution: with X = 10^width, large enough that coefficients do not run into each
    other, it is one product of two long numbers, and decimal has the fastest one of the library.
    """
    n = len(a)
    largest = n * max(1, *map(abs, a)) * max(1, *map(abs, b))
    width = len(str(largest)) + 1
    half = 5 * 10 ** (width - 1)  # added to every coefficient, so that none is negative
    with localcontext() as context:  # in which nothing is rounded
        context.prec = context.Emax = 2 * n * width + 1
        context.traps[Inexact] = True
        raised = _number(a, width) * _number(b, width) + _number([half] * (2 * n), width)
        digits = str(raised).zfill(2 * n * width)
    c = [int(digits[i : i + width]) - half for i in range(0, len(digits), width)][::-1]
    return [low - high for low, high in zip(c[:n], c[n:], strict=True)]


def _number(a: Polynomial, width: int) -> Decimal:
    """Return a(10^width)."""
    positive, negative = (
        Decimal("".join(str(max(sign * x, 0)).zfill(width) for x in reversed(a)))
        for sign in (1, -1)
    )
    return positive - negative


def residue_rows(residues: Any, n: int, moduli: Sequence[int]) -> list[list[int]]:
    """Return residues of shape (k, n), floats or integers, as lists of Python integers.

    Raises
    ------
    OracleError
        If they have another shape, a fraction, or are larger than (p + 3) / 2, which is what the
        package promises of a reduced residue; numbers from 0 to p - 1 are accepted as well.
    """
    array = np.asarray(residues)
    if array.shape != (len(moduli), n):
        raise OracleError(f"residues of shape {array.shape}, not {(len(moduli), n)}")
    rows = [[int(x) for x in row] for row in array.tolist()]
    for row, given, p in zip(rows, array.tolist(), moduli, strict=True):
        if row != given:
            raise OracleError(f"a residue modulo {p} is not an integer")
        low, high = min(row), max(row)
        if not (0 <= low <= high < p or 2 * max(high, -low) <= p + 3):
            raise OracleError(f"residues modulo {p} from {low} to {high} are not reduced")
    return rows


def polynomial(residues: Any, n: int, moduli: Sequence[int], values: bool) -> Polynomial:
    """Return the polynomial with coefficients in (-q/2, q/2) that residues (k, n) stand for.

    Parameters
    ----------
    values : whether they are its values at psi, psi^3, ... instead of its coefficients
    """
    rows, q = residue_rows(residues, n, moduli), math.prod(moduli)
    if values:
        rows = [interpolate(row, p) for row, p in zip(rows, moduli, strict=True)]
    return [centred(c, q) for c in remainders(rows, moduli)]


# Decryption


@dataclass(frozen=True)
class Reading:
    """What a ciphertext says.

    Attributes
    ----------
    slots : n integers in (-t/2, t/2)
    noise : the largest |nu| of a coefficient, exactly
    """

    slots: tuple[int, ...]
    noise: Fraction

    @property
    def budget(self) -> float:
        """log2(1 / (2 max |nu|)) in bits."""
        if not self.noise:
            return math.inf
        return math.log2(self.noise.denominator) - math.log2(self.noise.numerator) - 1


def phase(parts: Sequence[Polynomial], secret: Polynomial, degree: int, q: int) -> Polynomial:
    """Return the sum of parts[i] secret^i, centred modulo q, by Horner's rule."""
    total = [0] * len(secret)
    for part in reversed(_all_parts(parts, degree, total)):
        if any(total):
            total = product(total, secret)
        total = [centred(a + b, q) for a, b in zip(total, part, strict=True)]
    return total


def phase_of_values(
    parts: Sequence[Sequence[list[int]]], secret: Polynomial, degree: int, moduli: Sequence[int]
) -> Polynomial:
    """Return the same for parts given by their values, shape (parts, k, n): value by value."""
    zero, rows = [[0] * len(secret)] * len(moduli), []
    for i, p in enumerate(moduli):
        points, total = _values(tuple(secret), p), zero[0]
        for part in reversed(_all_parts(parts, degree, zero)):
            total = [(a * s + b) % p for a, s, b in zip(total, points, part[i], strict=True)]
        rows.append(interpolate(total, p))
    q = math.prod(moduli)
    return [centred(c, q) for c in remainders(rows, moduli)]


@lru_cache
def _values(a: tuple[int, ...], p: int) -> list[int]:
    """Return `evaluate` of a secret, which is needed again and again."""
    return evaluate([c % p for c in a], p)


def _all_parts(parts: Sequence[Any], degree: int, zero: Any) -> list[Any]:
    """Return degree + 1 parts: one alone, as in YASHE', is multiplied by secret^degree."""
    found = [zero] * degree + list(parts) if len(parts) == 1 else list(parts)
    if len(found) != degree + 1:
        raise OracleError(f"{len(parts)} parts in a ciphertext of degree {degree}")
    return found


def slots_of(message: Polynomial, plaintext_moduli: Sequence[int]) -> tuple[int, ...]:
    """Return the slots of a message: slot r n/2 + c is its value at psi^((-1)^r 5^c)."""
    n, t = len(message), math.prod(plaintext_moduli)
    exponents = [pow(5, c, 2 * n) for c in range(n // 2)]
    exponents += [2 * n - e for e in exponents]
    values = [evaluate([c % p for c in message], p) for p in plaintext_moduli]
    at_slots = [[row[e // 2] for e in exponents] for row in values]  # value k is at psi^(2k+1)
    return tuple(centred(x, t) for x in remainders(at_slots, plaintext_moduli))


def read(
    scheme: str,
    n: int,
    moduli: Sequence[int],
    plaintext_moduli: Sequence[int],
    parts: Any,
    secret: Polynomial,
    degree: int = 1,
    factor: int = 1,
    values: bool | None = None,
) -> Reading:
    """Decrypt a ciphertext and measure its noise.

    Parameters
    ----------
    scheme : "BFV", "BGV" or "YASHE'"
    moduli, plaintext_moduli : primes, whose products are q and t
    parts : residues, shape (parts, k, n)
    secret : s or f, over the integers
    degree : power of the secret in the phase
    factor : what messages are multiplied with in BGV
    values : whether the residues are values at psi, psi^3, ...; they are in BGV

    Raises
    ------
    OracleError
        If these are not residues of a ciphertext.
    """
    if scheme not in SCHEMES:
        raise OracleError(f"no scheme {scheme}")
    q, t = math.prod(moduli), math.prod(plaintext_moduli)
    values = scheme == "BGV" if values is None else values
    rows = [residue_rows(part, n, moduli) for part in parts]
    if values:
        x = phase_of_values(rows, secret, degree, moduli)
    else:
        x = phase([remainders(part, moduli) for part in rows], secret, degree, q)
    if scheme == "BGV":
        inverse = pow(factor, -1, t)
        message, noise = [c * inverse % t for c in x], x
    else:
        # round(a/b) = floor((2 a + b) / 2 b)
        message = [(2 * t * c + q) // (2 * q) % t for c in x]
        noise = [centred(t * c, q) for c in x]
    return Reading(slots_of(message, plaintext_moduli), Fraction(max(map(abs, noise)), q))
