"""The exercises of notebook 7: products of ciphertexts, digits, and relinearisation."""

from __future__ import annotations

from yashe.arithmetic.primes import ntt_primes
from yashe.checks.cases import generator, integers, polynomials
from yashe.checks.compare import modulo
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook.polynomials import (
    Params,
    Poly,
    base_digits,
    base_gadget,
    poly_add,
    poly_mod,
    poly_mul,
    poly_round,
    poly_scale,
)

# Small ones by hand, and one whose q has several primes.
PARAMS = (Params(2, 3, (97,)), Params(4, 5, (97,)), Params(8, 7, (97, 113)))
LARGE = Params(8, 17, ntt_primes(16, 3))  # products here do not fit into a float


@exercise("07", "poly_mul")
def multiply_ciphertexts() -> Check:
    """Check a function (params, c, d) -> the three parts round(t/q (c_0 + c_1 X)(d_0 + d_1 X))."""
    rng = generator("multiply_ciphertexts")
    toy = PARAMS[1]
    zero, delta = [0] * 4, [round(toy.q / toy.t), 0, 0, 0]
    small = [
        (toy, [delta, zero], [delta, zero]),
        (toy, [zero, delta], [delta, zero]),
        (toy, [delta, zero], [zero, delta]),
        (toy, [zero, delta], [zero, delta]),
    ]
    random = [
        (params, polynomials(rng, params.n, params.q, 2), polynomials(rng, params.n, params.q, 2))
        for params in (*PARAMS, LARGE)
        for _ in range(2)
    ]
    same = modulo(lambda params, c, d: params.q)
    return Check(
        Claim("the message 1 in one part of each, each term alone", small, right, 1, same),
        Claim("any two ciphertexts", random, right, 1, same),
        mistakes={
            "reduced modulo q before it was scaled: scaling has to see the whole product": (
                lambda params, c, d: scaled(params, [poly_mod(p, params.q) for p in tensor(c, d)])
            ),
            "one of the two cross terms of the middle part is missing": (
                lambda params, c, d: scaled(params, without_cross(c, d))
            ),
            "the cross terms are subtracted; (c_0 + c_1 X)(d_0 + d_1 X) has plus signs only": (
                lambda params, c, d: scaled(params, subtracted_cross(c, d))
            ),
            "the parts are multiplied but not scaled by t/q": (
                lambda params, c, d: [poly_mod(p, params.q) for p in tensor(c, d)]
            ),
            "scaled by t/q and cut off towards minus infinity; t/q times the product is rounded": (
                lambda params, c, d: [
                    poly_mod([params.t * x // params.q for x in p], params.q) for p in tensor(c, d)
                ]
            ),
            "t x / q as a float loses the low digits of a large product; use poly_round": (
                lambda params, c, d: [
                    poly_mod([round(params.t * x / params.q) for x in p], params.q)
                    for p in tensor(c, d)
                ]
            ),
            "the cross terms are rounded one by one; add them, then scale and round": (
                lambda params, c, d: rounded_apart(params, c, d)
            ),
            "the parts are in the reverse order: that without X comes first": (
                lambda params, c, d: right(params, c, d)[::-1]
            ),
        },
    )


def right(params: Params, c: list[Poly], d: list[Poly]) -> list[Poly]:
    """Return the textbook's product."""
    return textbook_bfv.multiply(params, c, d)


def tensor(c: list[Poly], d: list[Poly]) -> list[Poly]:
    """Return the three coefficients of a product of polynomials in X, over the integers."""
    cross = poly_add(poly_mul(c[0], d[1]), poly_mul(c[1], d[0]))
    return [poly_mul(c[0], d[0]), cross, poly_mul(c[1], d[1])]


def without_cross(c: list[Poly], d: list[Poly]) -> list[Poly]:
    """Return the same with half of the middle part."""
    return [poly_mul(c[0], d[0]), poly_mul(c[0], d[1]), poly_mul(c[1], d[1])]


def subtracted_cross(c: list[Poly], d: list[Poly]) -> list[Poly]:
    """Return the same with a minus in the middle part."""
    minus = [-x for x in poly_mul(c[1], d[0])]
    first, _, last = tensor(c, d)
    return [first, poly_add(poly_mul(c[0], d[1]), minus), last]


def rounded_apart(params: Params, c: list[Poly], d: list[Poly]) -> list[Poly]:
    """Return the product with a middle part that is rounded twice."""
    crossed = [poly_mul(c[0], d[1]), poly_mul(c[1], d[0])]
    first, _, last = right(params, c, d)
    return [first, poly_mod(poly_add(*scaled(params, crossed)), params.q), last]


def scaled(params: Params, parts: list[Poly]) -> list[Poly]:
    """Return round(t/q part) modulo q for each part."""
    return [poly_mod(poly_round(p, params.t, params.q), params.q) for p in parts]


@exercise("07")
def signed_digits() -> Check:
    """Check a function (a, w, count) -> count digits in (-w/2, w/2], lowest first."""
    rng = generator("signed_digits")
    small = [(0, 10, 2), (3, 10, 2), (13, 10, 2), (7, 10, 2), (1278, 10, 4)]
    ends = [(5, 10, 2), (-5, 10, 2), (2, 4, 3), (-2, 4, 3), (128, 256, 2), (-1278, 10, 5)]
    random = [
        (integers(rng, w**count // 4, 1)[0], w, count)
        for w, count in ((3, 8), (4, 12), (7, 6), (256, 8), (2**20, 4))
    ]

    def right_digits(a: int, w: int, count: int) -> list[int]:
        return [digits[0] for digits in base_digits([a], w ** (count + 1), w)[:count]]

    return Check(
        Claim("small numbers in base 10", small, right_digits),
        Claim("negative numbers, and digits that are exactly w/2", ends, right_digits),
        Claim("large numbers in any base", random, right_digits),
        mistakes={
            "digits from 0 to w - 1; signed digits lie in (-w/2, w/2]": (
                lambda a, w, count: [a // w**i % w for i in range(count)]
            ),
            "the right digits with the highest first; the lowest comes first": (
                lambda a, w, count: right_digits(a, w, count)[::-1]
            ),
            "after a negative digit the carry is missing: take the digit away before you divide": (
                lambda a, w, count: [poly_mod([a // w**i], w)[0] for i in range(count)]
            ),
            "divided with /, which loses the low digits of large integers; // keeps them": (
                lambda a, w, count: divided(a, w, count)
            ),
            "a digit of -w/2, which lies outside of (-w/2, w/2]": (
                lambda a, w, count: [-d for d in right_digits(-a, w, count)]
            ),
        },
    )


def divided(a: int, w: int, count: int) -> list[float]:
    """Return digits of a number that is divided in floating point."""
    digits, rest = [], float(a)
    for _ in range(count):
        digit = rest % w if rest % w <= w / 2 else rest % w - w
        digits.append(digit)
        rest = (rest - digit) / w
    return digits


@exercise("07", "poly_mul", "base_digits")
def relinearise_digits() -> Check:
    """Check a function (params, key, ct, w) -> two parts, with a key in base w."""
    rng = generator("relinearise_digits")
    cases = []
    for params, w in zip((*PARAMS, PARAMS[1]), (4, 8, 16, 3), strict=True):
        s, _ = textbook_bfv.keygen(params, bytes(32))
        key = textbook_bfv.relin_keygen(params, s, bytes(32), w)
        cases.append((params, key, polynomials(rng, params.n, params.q, 3), w))
    params, key, (c_0, c_1, _), w = cases[0]
    nothing = [(params, key, [c_0, c_1, [0] * params.n], w)]
    one = [(params, key, [[0, 0], [0, 0], [1, 0]], w)]
    same = modulo(lambda params, key, ct, w: params.q)

    def right_parts(params: Params, key: list[tuple[Poly, Poly]], ct: list[Poly], w: int) -> object:
        return textbook_bfv.relinearise(params, key, ct, w)

    return Check(
        Claim("a third part that is zero changes nothing", nothing, right_parts, 1, same),
        Claim("a third part that is 1 adds the first pair of the key", one, right_parts, 1, same),
        Claim("any three parts, in several bases", cases, right_parts, 1, same),
        mistakes={
            "the third part is dropped": lambda params, key, ct, w: ct[:2],
            "the third part meets only the first pair of the key, without digits": whole,
            "the digits meet the pairs of the key in the wrong order": (
                lambda params, key, ct, w: textbook_bfv.relinearise(
                    params, key[::-1][: len(base_gadget(params.q, w))], ct, w
                )
            ),
            "b and a have changed places: b_i goes to the first part, a_i to the second": (
                lambda params, key, ct, w: textbook_bfv.relinearise(
                    params, [(a, b) for b, a in key], ct, w
                )
            ),
            "the pairs of the key hold w^i s^2 already; the digits go in as they are": (
                lambda params, key, ct, w: textbook_bfv.relinearise(
                    params,
                    [(poly_scale(b, w**i), poly_scale(a, w**i)) for i, (b, a) in enumerate(key)],
                    ct,
                    w,
                )
            ),
        },
    )


def whole(params: Params, key: list[tuple[Poly, Poly]], ct: list[Poly], w: int) -> list[Poly]:
    """Return the naive relinearisation, whose noise is as large as q."""
    return [
        poly_mod(poly_add(part, poly_mul(ct[2], helper)), params.q)
        for part, helper in zip(ct[:2], key[0], strict=True)
    ]
