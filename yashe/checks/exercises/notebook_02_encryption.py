"""The exercises of notebook 2: why encryption needs errors, and encryption in a few lines."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from yashe.arithmetic.primes import ntt_primes
from yashe.checks.cases import generator, integers, polynomials
from yashe.checks.compare import Function, WrongAnswer, an, call, modulo, plain, require_equal
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook.polynomials import (
    Params,
    Poly,
    centred,
    poly_add,
    poly_mod,
    poly_mul,
    round_div,
    scale_up,
)


@exercise("02")
def solve_without_errors() -> Check:
    """Check a function (A, b, q) -> the s with A s = b modulo a prime q, A square, invertible."""
    by_hand = [([[1]], [3], 17), ([[2]], [1], 17), ([[1, 1], [0, 1]], [3, 1], 17)]
    swaps = [([[0, 1], [1, 0]], [5, -6], 17), ([[0, 2], [3, 1]], [1, 1], 17)]
    rng, random = generator("solve_without_errors"), []
    for n, q in ((3, 97), (5, 257), (10, 12289)):
        unit_lower = [
            [rng.randint(0, q - 1) if j < i else int(i == j) for j in range(n)] for i in range(n)
        ]
        upper = [[rng.randint(1, q - 1) if j >= i else 0 for j in range(n)] for i in range(n)]
        A = [
            [sum(unit_lower[i][m] * upper[m][j] for m in range(n)) % q for j in range(n)]
            for i in range(n)
        ]
        s = integers(rng, 1, n)
        random.append((A, [sum(x * y for x, y in zip(row, s, strict=True)) % q for row in A], q))
    return Check(
        Claim("one or two equations by hand", by_hand, solution, compare=modulo_q),
        Claim(
            "equations in an order in which the first pivot is 0", swaps, solution, compare=modulo_q
        ),
        Claim("ten equations modulo 12289", random, solution, compare=modulo_q),
        mistakes={
            "the transposed equations are solved: row i of A belongs to equation i": (
                lambda A, b, q: solution([list(column) for column in zip(*A, strict=True)], b, q)
            ),
            "this is A b; the s with A s = b is asked for": (
                lambda A, b, q: [sum(x * y for x, y in zip(row, b, strict=True)) for row in A]
            ),
            "the sign: A s = b, not A s + b = 0": (lambda A, b, q: [-x for x in solution(A, b, q)]),
        },
    )


def modulo_q(student: Function, right: Function, *arguments: Any) -> None:
    """Compare lists modulo q, the last argument, whatever the representatives."""
    q, answer = arguments[-1], call(student, arguments)
    entries = plain(answer)
    if not isinstance(entries, list):
        raise WrongAnswer(f"it returns {an(answer)}, where a list of integers is needed", answer)
    if any(isinstance(x, float) for x in entries):
        raise WrongAnswer("modulo q there are no fractions: divide with pow(x, -1, q)", answer)
    if not all(isinstance(x, int) for x in entries):
        raise WrongAnswer("it must return a list of integers", answer)
    require_equal(poly_mod(entries, q), poly_mod(right(*arguments), q))


def solution(A: list[list[int]], b: list[int], q: int) -> list[int]:
    """Return s with A s = b modulo a prime q, by Gauss-Jordan elimination."""
    rows = [[*row, x] for row, x in zip(A, b, strict=True)]
    n = len(rows)
    for i in range(n):
        pivot = next(r for r in range(i, n) if rows[r][i] % q)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        inverse = pow(rows[i][i], -1, q)
        rows[i] = [x * inverse % q for x in rows[i]]
        for r in range(n):
            if r != i:
                rows[r] = [(x - rows[r][i] * y) % q for x, y in zip(rows[r], rows[i], strict=True)]
    return [centred(row[-1], q) for row in rows]


def rlwe_cases(name: str) -> list[tuple[Poly, Poly, Poly, Poly, int, int]]:
    """Return (m, s, a, e, q, t): a message, a secret, a uniform polynomial, an error."""
    zero = [0, 0, 0, 0]
    cases = [
        ([1, 0, 0, 0], zero, zero, zero, 97, 4),
        ([1, 0, -1, 2], zero, [5, 6, 7, 8], zero, 97, 4),
        (zero, [1, 0, 0, 0], [5, -6, 7, 48], zero, 97, 4),
        ([1, 0, -1, 2], [1, -1, 0, 1], [5, -6, 7, 48], [1, 0, -2, 0], 97, 4),
        ([2, -1, 0, 0], [1, 0, 0, 0], [3, 4, 5, 6], [-1, 1, 0, 0], 97, 4),
    ]
    rng = generator(name)
    for n, q, t in ((4, 12289, 16), (16, 12289, 197), (32, prod(ntt_primes(32, 3)), 1000)):
        m, s, e = integers(rng, (t - 1) // 2, n), integers(rng, 1, n), integers(rng, 3, n)
        m[0] = (t - 1) // 2  # the largest there is
        cases.append((m, s, polynomials(rng, n, q, 1)[0], e, q, t))
    return cases


def hidden(scaled: Poly, s: Poly, a: Poly, e: Poly, q: int) -> tuple[Poly, Poly]:
    """Return (-(a s + e) + scaled, a) modulo q."""
    return poly_mod(poly_add(poly_mul(a, [-x for x in s]), [-x for x in e], scaled), q), a


def phase_of(m: Poly, s: Poly, a: Poly, e: Poly, q: int, t: int) -> tuple[Poly, Poly]:
    """Return the ciphertext (-(a s + e) + round(q/t m), a)."""
    return hidden(scale_up(Params(len(m), t, (q,)), m), s, a, e, q)


@exercise("02", "poly_mul")
def encrypt() -> Check:
    """Check a function (m, s, a, e, q, t) -> (c_0, c_1) of symmetric BFV encryption."""

    def right(m: Poly, s: Poly, a: Poly, e: Poly, q: int, t: int) -> tuple[Poly, Poly]:
        return phase_of(m, s, a, e, q, t)

    cases, same = rlwe_cases("encrypt"), modulo(lambda m, s, a, e, q, t: q)
    return Check(
        Claim("no secret and no error: the message alone, scaled up", cases[:2], right, 1, same),
        Claim("a secret, and the case n = 4 by hand", cases[2:5], right, 1, same),
        Claim("any message, up to n = 32", cases[5:], right, 1, same),
        mistakes={
            "the message is not scaled up by q/t: the error will lie on top of it": (
                lambda m, s, a, e, q, t: hidden(m, s, a, e, q)
            ),
            "q/t is cut to an integer before the product; round(q/t m) rounds after it": (
                lambda m, s, a, e, q, t: hidden([q // t * x for x in m], s, a, e, q)
            ),
            "q/t is rounded before the product; round(q/t m) rounds after it": (
                lambda m, s, a, e, q, t: hidden([round(q / t) * x for x in m], s, a, e, q)
            ),
            "q m / t as a float loses the low digits of a large q; round_div keeps them": (
                lambda m, s, a, e, q, t: hidden([round(q * x / t) for x in m], s, a, e, q)
            ),
            "a tie, such as 48.5, is rounded up; round_div goes to the even neighbour": (
                lambda m, s, a, e, q, t: hidden([(2 * q * x + t) // (2 * t) for x in m], s, a, e, q)
            ),
            "a s + e has to be taken away; here it is added": (
                lambda m, s, a, e, q, t: phase_of(m, [-x for x in s], a, [-x for x in e], q, t)
            ),
            "the sign of a s: both a s and e are taken away": (
                lambda m, s, a, e, q, t: phase_of(m, [-x for x in s], a, e, q, t)
            ),
            "the sign of e: both a s and e are taken away": (
                lambda m, s, a, e, q, t: phase_of(m, s, a, [-x for x in e], q, t)
            ),
            "the error e is missing: n equations without errors give s": (
                lambda m, s, a, e, q, t: phase_of(m, s, a, [0] * len(e), q, t)
            ),
            "a and s are multiplied entry by entry; the product of polynomials is poly_mul": (
                lambda m, s, a, e, q, t: phase_of(
                    m, [0] * len(s), a, [x * y + z for x, y, z in zip(a, s, e, strict=True)], q, t
                )
            ),
            "the two parts have changed places: a is the second": (
                lambda m, s, a, e, q, t: phase_of(m, s, a, e, q, t)[::-1]
            ),
        },
    )


@exercise("02", "poly_mul")
def decrypt() -> Check:
    """Check a function (c_0, c_1, s, q, t) -> round(t/q [c_0 + c_1 s]_q) modulo t."""

    def right(c_0: Poly, c_1: Poly, s: Poly, q: int, t: int) -> Poly:
        return read(c_0, c_1, s, q, t, round_div)

    cases = [(*phase_of(m, s, a, e, q, t), s, q, t) for m, s, a, e, q, t in rlwe_cases("decrypt")]
    same = modulo(lambda c_0, c_1, s, q, t: t)
    return Check(
        Claim("no secret: scaling down alone", cases[:2], right, 1, same),
        Claim("the case n = 4 by hand", cases[2:5], right, 1, same),
        Claim("any ciphertext, up to n = 32", cases[5:], right, 1, same),
        mistakes={
            "the error pulls the other way here: division rounds down, where round is asked for": (
                lambda c_0, c_1, s, q, t: read(c_0, c_1, s, q, t, lambda x, y: x // y)
            ),
            "cut off towards 0, where round is asked for": (
                lambda c_0, c_1, s, q, t: read(c_0, c_1, s, q, t, lambda x, y: int(x / y))
            ),
            "divided by q // t: what that cuts off adds up in large messages; t x / q is rounded": (
                lambda c_0, c_1, s, q, t: read(
                    c_0, c_1, s, q, t, lambda x, y: round_div(x // t, y // t)
                )
            ),
            "the phase is not scaled down by t/q": (
                lambda c_0, c_1, s, q, t: read(c_0, c_1, s, q, t, lambda x, y: x // t)
            ),
            "the sign of c_1 s: the phase is c_0 + c_1 s": (
                lambda c_0, c_1, s, q, t: right(c_0, c_1, [-x for x in s], q, t)
            ),
            "c_1 is not used: the phase is c_0 + c_1 s": (
                lambda c_0, c_1, s, q, t: right(c_0, [0] * len(s), s, q, t)
            ),
        },
    )


def read(c_0: Poly, c_1: Poly, s: Poly, q: int, t: int, divide: Callable[[int, int], int]) -> Poly:
    """Return the message, dividing t times the phase by q with a function (x, y) -> x / y."""
    phase = poly_mod(poly_add(c_0, poly_mul(c_1, s)), q)
    return poly_mod([divide(t * x, q) for x in phase], t)
