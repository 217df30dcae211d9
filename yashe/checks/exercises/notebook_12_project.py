"""The final project of notebook 12, graded by laws: a transform, a ring, BFV, and a layer.

A claim here is a law of `yashe.laws`, and its inputs are the parameters to build the student's
object with. The laws need Hypothesis, which comes with the extras `notebooks` and `test`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from yashe.arithmetic.primes import ntt_primes
from yashe.checks.cases import generator
from yashe.checks.report import Arguments, Check, Claim, Function, WrongAnswer, call, exercise
from yashe.errors import ParameterError
from yashe.textbook.polynomials import SIGMA, Params, Poly, noise_of

if TYPE_CHECKING:
    from yashe.laws.law import Law

EXAMPLES = 15  # inputs per law, where the tests of this package try a hundred
# What a scheme may have beside its verbs, and the notebook's stub has.
EXTRAS = {"noise", "fresh_deviation", "parts", "q"}


class Measured:
    """What the laws ask of a scheme about noise and secrecy; `phase(keys, ct)` is the student's.

    Parameters
    ----------
    params : textbook.Params
    """

    slots = False  # messages are polynomials, products of messages negacyclic

    def __init__(self, params: Params) -> None:
        self.params, self.n, self.t, self.q = params, params.n, params.t, params.q
        # e_0 + e_1 s - e u for ternary s and u, and the rounding of q/t m (notebook 6).
        variance = float(SIGMA) ** 2 * (1 + 4 * self.n / 3) + 1 / 12
        self.fresh_deviation = self.t / self.q * math.sqrt(variance)

    def phase(self, keys: Any, ct: Any) -> Poly:
        """Return c_0 + c_1 s (+ c_2 s^2) modulo q."""
        raise NotImplementedError

    def noise(self, keys: Any, ct: Any) -> list[Fraction]:
        """Return the coefficients of t/q phase - nearest integers."""
        return [Fraction(x, self.q) for x in noise_of(self.params, self.phase(keys, ct))]


def known_laws(kind: str) -> list[Law]:
    """Return the laws of a protocol that apply to the notebook's classes.

    Raises
    ------
    ParameterError
        If Hypothesis is not installed.
    """
    try:
        from yashe import laws  # noqa: PLC0415 (Hypothesis, behind it, is optional)
    except ImportError as error:
        raise ParameterError(
            'grading by laws needs Hypothesis, which is not installed: pip install ".[notebooks]"'
        ) from error
    chosen = [law for law in laws.LAWS if law.protocol.__name__ == kind]
    return [law for law in chosen if set(law.needs) <= EXTRAS]


def by_laws(kind: str, build: Function, inputs: Sequence[Arguments]) -> Iterable[Claim]:
    """Yield a claim for each law of a kind; `build` has the arguments of the student's class."""
    for law in known_laws(kind):
        yield Claim(law.sentence, inputs, build, compare=partial(keeps, law))


def keeps(law: Law, student: Function, build: Function, *arguments: Any) -> None:
    """Refuse a class whose objects do not keep a law."""
    law_keeper = call(student, arguments)
    try:
        law.check(law_keeper, EXAMPLES)
    except AssertionError as error:
        raise WrongAnswer(told(error)) from error
    except Exception as error:  # before any law: an attribute is missing or wrong
        raise WrongAnswer(f"its attributes are not those that are asked for: {error}") from error


def told(error: AssertionError) -> str:
    """Return what is said about a broken law: the input, or the error, but not the right result."""
    _, _, raised = str(error).partition(": raised ")
    if raised.startswith("NotImplementedError"):
        return "it is not written yet"
    inputs = ", ".join(f"{name} = {value}" for name, value in getattr(error, "inputs", {}).items())
    return f"{f'it raises {raised}' if raised else 'the law is broken'} for {inputs or 'these'}"


@exercise(12)
def MyNtt() -> Check:
    """Check a class with MyNtt(n, p), ntt, intt, psi: see `yashe.laws.Transform`."""

    def build(n: int, p: int) -> None:
        """Name the arguments."""

    inputs = [(4, 17), (8, 97), (64, 257)]
    return Check(*by_laws("Transform", build, inputs))


@exercise(12)
def MyRing() -> Check:
    """Check a class with MyRing(n, moduli), add, negate, multiply: see `yashe.laws.Ring`."""

    def build(n: int, moduli: tuple[int, ...]) -> None:
        """Name the arguments."""

    inputs = [(4, (17,)), (4, (17, 41)), (16, ntt_primes(16, 3))]
    return Check(*by_laws("Ring", build, inputs))


@exercise(12)
def MyBFV() -> Check:
    """Check a class with MyBFV(params) and the verbs of a scheme: see `yashe.laws.Scheme`."""

    def build(params: Params) -> None:
        """Name the argument."""

    inputs = [(Params(8, 5, ntt_primes(8, 3)),), (Params(16, 257, ntt_primes(16, 4)),)]
    return Check(*by_laws("Scheme", build, inputs))


class Clear:
    """A scheme without encryption: a ciphertext is its message. It counts what it is asked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __repr__(self) -> str:
        return f"messages in the clear, n = {self.n}"

    def multiply_scalar(self, x: list[int], c: int) -> list[int]:
        """Return c x, and refuse c = 0 as the library does."""
        if c == 0:
            raise ParameterError("a product with 0 was asked for: leave the term out instead")
        return [c * value for value in x]

    def add(self, x: list[int], y: list[int]) -> list[int]:
        """Return x + y."""
        return [a + b for a, b in zip(x, y, strict=True)]

    add_plain = add


Matrix = list[list[int]]


@exercise(12)
def linear_layer() -> Check:
    """Check a function (scheme, x, w, b) -> ciphertexts of x @ w + b."""
    rng = generator("linear_layer")

    def case(n: int, k: int, m: int, values: Sequence[int]) -> Arguments:
        x = [[rng.randint(-9, 9) for _ in range(n)] for _ in range(k)]
        w = [[rng.choice(values) for _ in range(m)] for _ in range(k)]
        w[0] = [values[-1]] * m  # no output without any input
        return Clear(n), x, w, [rng.randint(1, 9) for _ in range(m)]

    one = (Clear(2), [[5, 7]], [[3]], [1])
    return Check(
        Claim("one input, one output", [one, (Clear(2), [[5, 7]], [[-2]], [4])], layer),
        Claim("several of both", [case(4, k, k, (1, -2, 3)) for k in (2, 3, 4)], layer),
        Claim(
            "more inputs than outputs, and more outputs than inputs",
            [case(4, 3, 2, (1, -2, 3)), case(4, 2, 5, (1, -2, 3))],
            layer,
        ),
        Claim("zero weights, which cost nothing", [case(4, 6, 3, (0, 0, 2))] * 2, layer),
        mistakes={
            "the bias is missing": lambda scheme, x, w, b: layer(scheme, x, w, [0] * len(b)),
            "the bias is added to every coefficient; it belongs to the constant one": (
                lambda scheme, x, w, b: [
                    [value - bias * (i == 0) + bias for i, value in enumerate(ct)]
                    for ct, bias in zip(layer(scheme, x, w, b), b, strict=True)
                ]
            ),
            "the bias is added once for every input; once is enough": (
                lambda scheme, x, w, b: layer(scheme, x, w, [len(x) * bias for bias in b])
            ),
            "w is read the wrong way round: w[k][j] leads from input k to output j": (
                lambda scheme, x, w, b: layer(
                    scheme, x, [list(row) for row in zip(*w, strict=True)], b
                )
            ),
        },
    )


def layer(scheme: Clear, x: Matrix, w: Matrix, b: list[int], skip: bool = True) -> Matrix:
    """Return x @ w + b."""
    out = []
    for j, bias in enumerate(b):
        total = [0] * scheme.n
        for ct, row in zip(x, w, strict=True):
            if row[j] or not skip:
                total = scheme.add(total, scheme.multiply_scalar(ct, row[j]))
        out.append(scheme.add_plain(total, [bias] + [0] * (scheme.n - 1)))
    return out
