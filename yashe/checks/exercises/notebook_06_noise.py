"""The exercises of notebook 6: measuring, predicting and saving noise."""

from __future__ import annotations

import math
from typing import Any

from yashe.checks.cases import generator, integers
from yashe.checks.compare import Comparison, Function, WrongAnswer, call, close
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook.polynomials import Params, Poly, budget_of, scale_up

LARGEST_DEGREE = 1000  # of a power that is computed to see whether it is the right one


@exercise("06")
def budget_bits() -> Check:
    """Check a function (phase, q, t) -> log2(q / (2 max |[t phase]_q|))."""

    def right(phase: Poly, q: int, t: int) -> float:
        return budget_of(Params(len(phase), t, (q,)), phase)

    q, t = 12289, 16
    by_hand = [([1, 0, 0, 0], 97, 4), ([24 + 3, 0, -24, 0], 97, 4), ([24, -5, 0, 0], 97, 4)]
    rng, random = generator("budget_bits"), []
    for size in (1, 20, 300):
        m = scale_up(Params(16, t, (q,)), integers(rng, 7, 16))
        random.append(([x + y for x, y in zip(m, integers(rng, size, 16), strict=True)], q, t))
    return Check(
        Claim("phases for q = 97, t = 4, by hand", by_hand, right, compare=close),
        Claim("noise of every size", random, right, compare=close),
        mistakes={
            "the message is counted as noise: t phase has to be reduced modulo q": (
                lambda phase, q, t: math.log2(q / (2 * max(abs(t * x) for x in phase)))
            ),
            "one bit too much: decryption fails at q/2 already": (
                lambda phase, q, t: right(phase, q, t) + 1
            ),
            "residues from 0 to q - 1 make noise just below 0 look large; take them around zero": (
                lambda phase, q, t: math.log2(q / (2 * (max(t * x % q for x in phase) or 1)))
            ),
            "only the first coefficient counts; the worst of all decides": (
                lambda phase, q, t: right(phase[:1], q, t)
            ),
            "natural logarithms; bits are base 2": (
                lambda phase, q, t: right(phase, q, t) * math.log(2)
            ),
            "these are bits of noise, not bits that are left": (
                lambda phase, q, t: math.log2(q) - 1 - right(phase, q, t)
            ),
        },
    )


@exercise("06")
def fresh_deviation() -> Check:
    """Check a function (n, q, t) -> deviation of nu in a public-key encryption of BFV.

    nu = t/q (e_0 + e_1 s - e u + r), with sigma = 3.2, s and u uniform in {-1, 0, 1}, r in
    [-1/2, 1/2].
    """

    def right(n: int, q: int, t: int) -> float:
        return t / q * math.sqrt(3.2**2 * (1 + 4 * n / 3) + 1 / 12)

    def of_variance(errors: float, rounding: float = 1 / 12, single: int = 1) -> Function:
        return lambda n, q, t: t / q * math.sqrt(3.2**2 * (single + errors * n) + rounding)

    cases = [(1, 97, 4), (4, 12289, 16), (1024, 2**26, 257), (8192, 2**200, 2**40)]
    return Check(
        Claim("from n = 1 to n = 8192", cases, right, compare=close),
        mistakes={
            "e_1 s and e u have variance sigma^2 2n/3 each; here one of them is missing": (
                of_variance(2 / 3)
            ),
            "s and u are 0 in one third of their coefficients: their variance is 2/3, not 1": (
                of_variance(2)
            ),
            "the minus sign takes nothing away: the variance of a difference is a sum, too": (
                of_variance(0)
            ),
            "e_0 is missing": of_variance(4 / 3, single=0),
            "r is missing, or not 1/12": of_variance(4 / 3, rounding=0),
            "sigma is a deviation: its square is the variance": (
                lambda n, q, t: t / q * math.sqrt(3.2 * (1 + 4 * n / 3) + 1 / 12)
            ),
            "this is the variance; the deviation is its root": (
                lambda n, q, t: right(n, q, t) ** 2
            ),
            "the noise of the phase; nu is t/q times that": lambda n, q, t: right(n, q, t) * q / t,
            "deviations do not add up for independent terms; variances do": (
                lambda n, q, t: t / q * (3.2 + 2 * 3.2 * math.sqrt(2 * n / 3) + 12**-0.5)
            ),
        },
    )


class Power(tuple["Power", ...]):
    """A power of x by its history: () is x itself, (a, b) the product of a and b.

    So neither its degree nor its depth is a number that somebody could write into it.
    """

    __slots__ = ()

    def __mul__(self, other: object) -> Power:
        if not isinstance(other, Power):
            raise TypeError(f"x can be multiplied by powers of x only, not by {other!r}")
        return Power((self, other))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        degree, depth = degree_and_depth(self)
        return f"x^{degree}, with {depth} products in a row"


def degree_and_depth(power: tuple[Any, ...]) -> tuple[int, int]:
    """Return k of x^k, and how many products stand in a row, for what is built like a Power."""
    known: dict[int, tuple[int, int]] = {}

    def visit(node: tuple[Any, ...]) -> tuple[int, int]:
        if id(node) not in known:
            if not isinstance(node, tuple) or len(node) not in (0, 2):
                raise TypeError
            factors = [visit(factor) for factor in node] or [(1, -1)]
            known[id(node)] = sum(k for k, _ in factors), 1 + max(d for _, d in factors)
        return known[id(node)]

    return visit(power)


def both(*compares: Comparison) -> Comparison:
    """Return a comparison that makes several, one after the other."""

    def compare(*arguments: Any) -> None:
        for one in compares:
            one(*arguments)

    return compare


@exercise("06")
def power() -> Check:
    """Check a function (x, k) -> x^k by products alone, at most ceil(log2 k) in a row."""

    def right(x: int, k: int) -> int:
        return int(x**k)

    def same(student: Function, expected: Function, x: int, k: int) -> None:
        degree, _ = history(student, k)
        if degree > LARGEST_DEGREE or x**degree != expected(x, k):
            raise WrongAnswer(f"this is x^{degree}")

    def shallow(student: Function, expected: Function, x: int, k: int) -> None:
        _, depth = history(student, k)
        if depth > (k - 1).bit_length():
            raise WrongAnswer(
                f"{depth} products in a row, and every one of them takes its bits from the budget"
            )

    def history(student: Function, k: int) -> tuple[int, int]:
        try:
            return degree_and_depth(call(student, (Power(), k)))
        except (TypeError, RecursionError) as error:
            raise WrongAnswer("it must return a product of x, and needs * only") from error

    cases = [(3, 1), (3, 2), (3, 3), (-2, 4), *((2, k) for k in (5, 6, 7, 8, 15, 16, 17, 100))]
    return Check(
        Claim("powers up to the hundredth", cases, right, compare=same),
        Claim("as few products in a row as possible", cases, right, compare=both(same, shallow)),
        mistakes={
            "one factor too many": lambda x, k: x ** (k + 1),
            "one factor too few": lambda x, k: x ** (k - 1),
            "x is squared k times": lambda x, k: x ** (2 ** min(k, 8)),
        },
    )
