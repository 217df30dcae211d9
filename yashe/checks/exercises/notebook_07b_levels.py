"""The exercises of notebook 7b: the message at the lower end of the modulus, and levels."""

from __future__ import annotations

from yashe.arithmetic.primes import ntt_primes
from yashe.checks.cases import generator, integers, polynomials
from yashe.checks.compare import modulo
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook import bgv as textbook_bgv
from yashe.textbook.polynomials import (
    Params,
    Poly,
    centred,
    poly_add,
    poly_mod,
    poly_mul,
    poly_round,
    scale_down,
)


def opened(c0: Poly, c1: Poly, s: Poly, q: int, t: int) -> Poly:
    """Return the message."""
    return poly_mod(poly_mod(poly_add(c0, poly_mul(c1, s)), q), t)


@exercise("07b", "poly_mul")
def decrypt_low() -> Check:
    """Check a function (c0, c1, s, q, t) -> the message of a BGV ciphertext."""
    nothing, same = [0, 0, 0, 0], modulo(lambda c0, c1, s, q, t: t)
    by_hand = [
        ([2, 0, 0, 0], nothing, nothing, 97, 5),
        ([-13, 5, 0, 0], nothing, nothing, 97, 5),
        ([-13, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], 97, 5),
        ([40, 0, 0, 0], [44, 0, 0, 0], [1, 0, 0, 0], 97, 5),
    ]
    rng, encrypted = generator("decrypt_low"), []
    for n, t in ((4, 17), (8, 97), (16, 257)):
        params = Params(n, t, ntt_primes(16, 3))
        s, public = textbook_bgv.keygen(params, bytes([n] * 32))
        ct = textbook_bgv.encrypt(params, public, integers(rng, t // 2, n), bytes(32))
        encrypted.append((*ct.parts, s, params.q, t))
    return Check(
        Claim("small phases, by hand", by_hand, opened, 1, same),
        Claim("encrypted messages", encrypted, opened, 1, same),
        mistakes={
            "c0 + c1 s must be reduced modulo q, centred, before it is reduced modulo t": (
                lambda c0, c1, s, q, t: poly_mod(poly_add(c0, poly_mul(c1, s)), t)
            ),
            "this is the phase; modulo t it is the message": (
                lambda c0, c1, s, q, t: poly_mod(poly_add(c0, poly_mul(c1, s)), q)
            ),
            "scaled by t/q: that is BFV, where the message is at the other end": (
                lambda c0, c1, s, q, t: scale_down(
                    Params(len(s), t, (q,)),
                    textbook_bfv.phase(Params(len(s), t, (q,)), s, [c0, c1]),
                )
            ),
            "the phase is reduced to 0 .. q - 1, where a small negative number is a large one": (
                lambda c0, c1, s, q, t: [centred(x % q, t) for x in poly_add(c0, poly_mul(c1, s))]
            ),
            "the sign of c1 s: the phase is c0 + c1 s": (
                lambda c0, c1, s, q, t: opened(c0, [-x for x in c1], s, q, t)
            ),
        },
    )


@exercise("07b")
def drop_prime() -> Check:
    """Check a function (c, p, t) -> (c + x) / p, x the smallest multiple of t that allows it."""
    rng = generator("drop_prime")
    divisible = [([0], 7, 5), ([14, -7], 7, 5), ([97 * 50, 0, -97], 97, 17)]
    small = [([9], 7, 5), ([-9], 7, 5), ([10, 1, -3, 6], 7, 5), ([40, -40, 13], 11, 3)]
    random = [
        (polynomials(rng, n, p * q, 1)[0], p, t)
        for n, p, q, t in ((4, 97, 113, 17), (8, 193, 16777153, 65537), (4, 16776961, 2**100, 97))
    ]

    def right_quotient(c: Poly, p: int, t: int) -> Poly:
        return [(a + t * centred(-a * pow(t, -1, p), p)) // p for a in c]

    return Check(
        Claim("coefficients that p divides already", divisible, right_quotient),
        Claim("small numbers, by hand", small, right_quotient),
        Claim("any coefficients", random, right_quotient),
        mistakes={
            "c / p is rounded, which changes the residue modulo t: x must be a multiple of t": (
                lambda c, p, t: poly_round(c, 1, p)
            ),
            "the multiples of t are taken from 0 on: take those on both sides of 0": (
                lambda c, p, t: [(a + t * (-a * pow(t, -1, p) % p)) // p for a in c]
            ),
            "the sign of x: c + x has to be divisible by p, not c - x": (
                lambda c, p, t: [(a + t * centred(a * pow(t, -1, p), p)) // p for a in c]
            ),
            "divided with /, which loses the low digits of large integers; // keeps them": (
                lambda c, p, t: [int((a + t * centred(-a * pow(t, -1, p), p)) / p) for a in c]
            ),
            "the inverse of t is missing: x is t times the residue of -c / t": (
                lambda c, p, t: [(a + t * centred(-a, p)) // p for a in c]
            ),
            "c + x is right, but not divided by p": (
                lambda c, p, t: [a + t * centred(-a * pow(t, -1, p), p) for a in c]
            ),
            "reduced modulo t at the end: it stays a polynomial modulo what is left of q": (
                lambda c, p, t: poly_mod(right_quotient(c, p, t), t)
            ),
        },
    )
