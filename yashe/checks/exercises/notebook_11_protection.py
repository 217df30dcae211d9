"""The exercises of notebook 11: tiny keys, the security table, and two kinds of misuse."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from yashe.arithmetic.primes import ntt_primes
from yashe.checks.cases import generator, integers
from yashe.checks.compare import Function, WrongAnswer, call, plain
from yashe.checks.report import Check, Claim, exercise
from yashe.parameters.security import LEVELS, TABLE_2018, TABLE_2024
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook.polynomials import (
    TAIL,
    Params,
    Poly,
    poly_add,
    poly_mod,
    poly_mul,
    poly_scale,
    scale_down,
)

Parts = list[Poly]
Table = Mapping[int, tuple[int | None, ...]]

PARAMS = tuple(Params(n, t, ntt_primes(n, 3)) for n, t in ((4, 3), (8, 17), (16, 5)))


@exercise("11", "poly_mul")
def secret_by_trying() -> Check:
    """Check a function (q, b, a) -> the ternary s for which b + a s is small."""
    small = [(257, [-98], [100]), (257, [5], [100]), (257, [-88], [-90])]
    keys = []
    for i, n in enumerate((2, 4, 4, 4)):
        params = Params(n, 3, ntt_primes(4, 2))
        s, (b, a) = textbook_bfv.keygen(params, bytes([i + 1] * 32))
        keys.append((params.q, b, a))
        assert smallest(params.q, b, a) == s
    return Check(
        Claim("one coefficient, q = 257", small, closest),
        Claim("public keys with n = 2 and n = 4", keys, smallest, points=2),
        mistakes={
            "the sign is the wrong way round: b + a s is small, not b - a s": (
                lambda q, b, a: [-x for x in smallest(q, b, a)]
            ),
            "secrets of 0 and 1 only; a ternary secret has -1 as well": (
                lambda q, b, a: best(q, b, a, (0, 1))
            ),
            "the first secret of all is returned, whether or not it fits": (
                lambda q, b, a: [-1] * len(a)
            ),
            "b + a s is not reduced modulo q before it is called small": (
                lambda q, b, a: min(
                    map(list, product((-1, 0, 1), repeat=len(a))),
                    key=lambda s: max(map(abs, poly_add(b, poly_mul(a, s)))),
                )
            ),
        },
    )


def error(q: int, b: Poly, a: Poly, s: Poly) -> int:
    """Return the largest coefficient of b + a s modulo q."""
    return max(map(abs, poly_mod(poly_add(b, poly_mul(a, s)), q)))


def best(q: int, b: Poly, a: Poly, values: tuple[int, ...]) -> Poly:
    """Return the s with these values for which the error is smallest."""
    return min(map(list, product(values, repeat=len(a))), key=lambda s: error(q, b, a, s))


def closest(q: int, b: Poly, a: Poly) -> Poly:
    """Return the ternary s with the smallest error."""
    return best(q, b, a, (-1, 0, 1))


def smallest(q: int, b: Poly, a: Poly) -> Poly:
    """Return the one ternary s with an error that occurs."""
    found = closest(q, b, a)
    assert error(q, b, a, found) <= TAIL
    return found


@exercise("11", "TABLE_2024")
def degree_for() -> Check:
    """Check a function (log2_q, security) -> the smallest n that the table of 2024 allows."""
    entries = [
        (limit, security)
        for column, security in enumerate(LEVELS)
        for row in TABLE_2024.values()
        if (limit := row[column]) is not None
    ]
    largest = max(limit for limit, security in entries if security == 256)
    between = sorted((limit + 1, security) for limit, security in entries if limit < largest)
    return Check(
        Claim("moduli as large as the table allows", entries, degree),
        Claim("moduli between two entries", between, degree),
        mistakes={
            "this is the table of 2018; the one of 2024 allows less": (
                lambda log2_q, security: lookup(TABLE_2018, log2_q, security)
            ),
            "the wrong column: each level of security has its own": (
                lambda log2_q, security: degree(log2_q, 128)
            ),
            "the entry itself is refused; it is the largest log2 q that is allowed": (
                lambda log2_q, security: lookup(TABLE_2024, log2_q + 1, security)
            ),
            "the largest n; it is secure as well, but slow: the smallest is asked for": (
                lambda log2_q, security: max(TABLE_2024)
            ),
        },
    )


def degree(log2_q: int, security: int) -> int:
    """Return the smallest n of the table of 2024."""
    return lookup(TABLE_2024, log2_q, security)


def lookup(table: Table, log2_q: int, security: int) -> int:
    """Return the smallest n of a table."""
    column = LEVELS.index(security)
    limits = {n: row[column] or 0 for n, row in table.items()}
    return min((n for n, limit in limits.items() if log2_q <= limit), default=max(table))


@exercise("11")
def question_for_the_key() -> Check:
    """Check a function params -> a ciphertext that decrypts to the secret key."""
    return Check(
        Claim("n = 4, t = 3", [(PARAMS[0],)], question, compare=as_telling),
        Claim(
            "other parameters", [(p,) for p in PARAMS[1:]], question, points=2, compare=as_telling
        ),
        mistakes={
            "it decrypts to 1: round(q/t) stands in the part that the key does not touch": (
                lambda params: question(params)[::-1]
            ),
            "it decrypts to 0: s alone is small, and scaling by t/q makes it vanish": (
                lambda params: [[0] * params.n, [1] + [0] * (params.n - 1)]
            ),
            "it decrypts to 1 + s: one of the two parts has to be zero": (
                lambda params: [question(params)[1], question(params)[1]]
            ),
            "it decrypts to -s": lambda params: [
                [0] * params.n,
                poly_scale(question(params)[1], -1),
            ],
        },
    )


def question(params: Params) -> Parts:
    """Return (0, round(q/t))."""
    return [[0] * params.n, [round(params.q / params.t)] + [0] * (params.n - 1)]


def as_telling(student: Function, right: Function, params: Params) -> None:
    """Refuse a ciphertext that does not decrypt, under several keys, as that of `right`."""
    answer = plain(call(student, (params,)))
    shape = [len(part) for part in answer] if isinstance(answer, list) else []
    if shape != [params.n, params.n]:
        raise WrongAnswer(f"two lists of {params.n} integers are needed", answer)
    for i in range(3):
        s, _ = textbook_bfv.keygen(params, bytes([i] * 32))
        got = textbook_bfv.decrypt(params, s, answer)
        if got != textbook_bfv.decrypt(params, s, right(params)):
            raise WrongAnswer(f"under one of the keys it decrypts to {got}", answer)


@exercise("11", "scale_down")
def difference_of_messages() -> Check:
    """Check a function (params, ct, other) -> m - m' for ciphertexts with equal randomness."""
    rng = generator("difference_of_messages")
    pairs = []
    for params in PARAMS:
        _, public = textbook_bfv.keygen(params, bytes(32))
        for j in range(2):
            messages = [integers(rng, params.t // 2, params.n) for _ in range(2)]
            first, second = (
                textbook_bfv.encrypt(params, public, m, bytes(32), j) for m in messages
            )
            pairs.append((params, first, second))
    same = [(params, ct, ct) for params, ct, _ in pairs[::2]]
    return Check(
        Claim("twice the same ciphertext", same, difference),
        Claim("two messages", pairs, difference, points=2),
        mistakes={
            "the difference is not scaled by t/q: messages sit at the top of the modulus": (
                lambda params, ct, other: poly_mod(minus(ct[0], other[0]), params.q)
            ),
            "m' - m, where m - m' is asked for": (
                lambda params, ct, other: difference(params, other, ct)
            ),
            "the second parts are equal; the message is in the first": (
                lambda params, ct, other: scale_down(params, minus(ct[1], other[1]))
            ),
            "m + m': the mask is there twice, where it has to cancel": (
                lambda params, ct, other: scale_down(
                    params, poly_mod(poly_add(ct[0], other[0]), params.q)
                )
            ),
        },
    )


def minus(a: Poly, b: Poly) -> Poly:
    """Return a - b."""
    return poly_add(a, poly_scale(b, -1))


def difference(params: Params, ct: Parts, other: Parts) -> Poly:
    """Return m - m' modulo t."""
    return scale_down(params, poly_mod(minus(ct[0], other[0]), params.q))
