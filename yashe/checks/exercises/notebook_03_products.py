"""The exercises of notebook 3: products of polynomials, by definition and by transforms."""

from __future__ import annotations

from typing import Any

from yashe.checks.cases import generator, polynomials, primes_and_roots, unit
from yashe.checks.compare import Function, modulo
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook.polynomials import Poly, ntt, ntt_by_definition, poly_mod, poly_mul

EVEN_POWERS = "the values at even powers of psi; the roots of x^n + 1 are the odd powers"
BY_HAND = (17, 9)  # p and psi of the worked case n = 4


@exercise("03")
def negacyclic_product() -> Check:
    """Check a function (a, b, p) -> a * b modulo x^n + 1 and modulo p, centred."""

    def right(a: Poly, b: Poly, p: int) -> Poly:
        return poly_mod(poly_mul(a, b), p)

    rng, same = generator("negacyclic_product"), modulo(lambda a, b, p: p)
    small = [([1, 0], unit(2, j), 17) for j in (0, 1)]
    small += [([0, 1], [0, 1], 17), (unit(4, 3), unit(4, 2), 17), ([1, 2, 0, 0], [0, 0, 0, 3], 17)]
    random = [
        (*polynomials(rng, n, p, 2), p) for n, p in ((2, 5), (4, 17), (8, 97), (16, 12289), (7, 11))
    ]
    return Check(
        Claim("products of powers of x, where each coefficient can be seen", small, right, 1, same),
        Claim("any two polynomials of any length", random, right, 1, same),
        mistakes={
            "a power that reaches x^n comes back without its change of sign": cyclic,
            "the sign is missing where i + j is exactly n: x^n itself is -1": late_sign,
            "powers from x^n on are dropped; x^n is -1, not 0": truncated,
            "the coefficients are multiplied entry by entry; that is no product of polynomials": (
                lambda a, b, p: poly_mod([x * y for x, y in zip(a, b, strict=True)], p)
            ),
            "the highest degree first; the constant comes first": (
                lambda a, b, p: right(a[::-1], b[::-1], p)[::-1]
            ),
        },
    )


def cyclic(a: Poly, b: Poly, p: int) -> Poly:
    """Return a * b modulo x^n - 1."""
    n = len(a)
    return poly_mod([sum(a[i] * b[(j - i) % n] for i in range(n)) for j in range(n)], p)


def late_sign(a: Poly, b: Poly, p: int) -> Poly:
    """Return what a product is whose sign changes beyond x^n only."""
    n, out = len(a), [0] * len(a)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[(i + j) % n] += -x * y if i + j > n else x * y
    return poly_mod(out, p)


def truncated(a: Poly, b: Poly, p: int) -> Poly:
    """Return a * b modulo x^n."""
    n = len(a)
    return poly_mod([sum(a[i] * b[j - i] for i in range(j + 1)) for j in range(n)], p)


def transform_inputs(name: str) -> tuple[list[Any], list[Any]]:
    """Return inputs (a, psi, p) of a transform: small ones that show each root, and random ones."""
    p, psi = BY_HAND
    small = [([3, 0, 0, 0], psi, p), (unit(4, 1), psi, p), (unit(4, 2), psi, p)]
    rng = generator(name)
    random = [
        (*polynomials(rng, n, q, 1), root, q) for n, q, root in primes_and_roots(4, 8, 16, 32, 64)
    ]
    return small, random


def other_points(a: Poly, psi: int, p: int) -> Poly:
    """Return a(omega^k), omega = psi^2: the values that serve cyclic products."""
    return [sum(x * pow(psi, 2 * k * j, p) for j, x in enumerate(a)) for k in range(len(a))]


def bit_reversed(a: Poly, psi: int, p: int) -> Poly:
    """Return the right values in the order in which butterflies in place leave them."""
    values, bits = ntt(a, psi, p), len(a).bit_length() - 1
    return [values[int(f"{k:0{bits}b}"[::-1], 2)] for k in range(len(a))]


def halves(a: Poly) -> tuple[Poly, Poly]:
    """Return the lower and the upper half of the coefficients."""
    return a[: len(a) // 2], a[len(a) // 2 :]


def butterflies(
    a: Poly,
    psi: int,
    p: int,
    root: Function = lambda psi: psi * psi,
    sign: int = -1,
    point: Function = lambda psi, k: psi ** (2 * k + 1),
    split: Function = lambda a: (a[0::2], a[1::2]),
) -> Poly:
    """Return a transform by butterflies, any step of which can be replaced by a wrong one."""
    if len(a) == 1:
        return poly_mod(a, p)
    steps = (root, sign, point, split)
    even, odd = (butterflies(half, root(psi) % p, p, *steps) for half in split(a))
    pairs = [(x, point(psi, k) * y) for k, (x, y) in enumerate(zip(even, odd, strict=True))]
    return poly_mod([x + y for x, y in pairs] + [x + sign * y for x, y in pairs], p)


@exercise("03")
def ntt_butterflies() -> Check:
    """Check a function (a, psi, p) -> a(psi^(2k+1)) for k = 0 .. n-1, for n a power of two."""

    def right(a: Poly, psi: int, p: int) -> Poly:
        return ntt_by_definition(a, psi, p)

    small, random = transform_inputs("ntt_butterflies")
    alone, same = [([5], 16, 17), ([-3], 16, 17)], modulo(lambda a, psi, p: p)
    return Check(
        Claim("one coefficient alone, n = 1", alone, right, 1, same),
        Claim("constants, x and x^2 for n = 4, psi = 9, p = 17", small, right, 1, same),
        Claim("any polynomial up to n = 64", random, right, 1, same),
        mistakes={
            EVEN_POWERS: lambda a, psi, p: poly_mod(other_points(a, psi, p), p),
            "the values at the right points in bit-reversed order: -z has the index k + n/2": (
                bit_reversed
            ),
            "the halves use psi; the roots of y^(n/2) + 1 are powers of psi^2": (
                lambda a, psi, p: butterflies(a, psi, p, root=lambda psi: psi)
            ),
            "the twisted odd half is added twice; the second half of the values takes it away": (
                lambda a, psi, p: butterflies(a, psi, p, sign=1)
            ),
            "o(z^2) is multiplied by psi^k; the points are z = psi^(2k+1)": (
                lambda a, psi, p: butterflies(a, psi, p, point=lambda psi, k: psi**k)
            ),
            "the first and the second half of the coefficients; e has the even ones, o the odd": (
                lambda a, psi, p: butterflies(a, psi, p, split=halves)
            ),
        },
    )


@exercise("03")
def ntt_two_products() -> Check:
    """Check a function (a, psi, p, n1) -> the same values, computed as W (A X * T)^T."""

    def right(a: Poly, psi: int, p: int, n1: int) -> Poly:
        return ntt_by_definition(a, psi, p)

    small, random = transform_inputs("ntt_two_products")
    same = modulo(lambda a, psi, p, n1: p)
    shapes = [(a, psi, p, n1) for a, psi, p in random for n1 in (2, len(a) // 2)]
    return Check(
        Claim("n = 4 as a 2 x 2 matrix", [(*case, 2) for case in small], right, 1, same),
        Claim("flat and tall matrices up to n = 64", shapes, right, 1, same),
        mistakes={
            EVEN_POWERS: lambda a, psi, p, n1: poly_mod(other_points(a, psi, p), p),
            "right values, read out column by column; Z is read row by row": transposed,
            "the twist T between the two products is missing": (
                lambda a, psi, p, n1: two_products(a, psi, p, n1, twist=0)
            ),
            "X is filled column by column; a fills it row by row": (
                lambda a, psi, p, n1: two_products(filled_by_columns(a, n1), psi, p, n1)
            ),
            "W has the powers of psi^n1; its exponents are 2 n1 k2 j2": (
                lambda a, psi, p, n1: two_products(a, psi, p, n1, outer=1)
            ),
        },
    )


def transposed(a: Poly, psi: int, p: int, n1: int) -> Poly:
    """Return the values in the order of the columns of Z."""
    values, n2 = ntt(a, psi, p), len(a) // n1
    return [values[k1 + n1 * k2] for k1 in range(n1) for k2 in range(n2)]


def filled_by_columns(a: Poly, n1: int) -> Poly:
    """Return the coefficients in the order in which a matrix filled by columns has its rows."""
    return [a[j1 + n1 * j2] for j1 in range(n1) for j2 in range(len(a) // n1)]


def two_products(a: Poly, psi: int, p: int, n1: int, twist: int = 1, outer: int = 2) -> Poly:
    """Return W (A X * T)^T, with other exponents of T and W if wanted."""
    n2 = len(a) // n1
    return poly_mod(
        [
            sum(
                a[j1 * n2 + j2]
                * pow(psi, (2 * k1 + 1) * (n2 * j1 + twist * j2) + outer * n1 * k2 * j2, p)
                for j1 in range(n1)
                for j2 in range(n2)
            )
            for k2 in range(n2)
            for k1 in range(n1)
        ],
        p,
    )
