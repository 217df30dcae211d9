"""The final project of notebook 12, graded by laws: a transform, a ring, BFV, and a layer.

A claim here is a law of `yashe.laws`, and its inputs are the parameters to build the student's
object with. The laws need Hypothesis, which comes with the extras `notebooks` and `test`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from yashe.arithmetic.primes import ntt_primes
from yashe.checks.cases import generator
from yashe.checks.compare import Arguments, Function, WrongAnswer, call, error_text, plain
from yashe.checks.report import Check, Claim, exercise
from yashe.errors import ParameterError
from yashe.textbook.polynomials import (
    SIGMA,
    Params,
    Poly,
    centred,
    intt,
    noise_of,
    ntt,
    poly_add,
    poly_mod,
    poly_mul,
    poly_scale,
    root_of_unity,
)

if TYPE_CHECKING:
    from yashe.laws.law import Law

EXAMPLES = 15  # inputs per law, where the tests of this package try a hundred


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


# The scheme grows in three steps; each is graded by the laws that its verbs are enough for.
ENCRYPTION = (
    "decryption_undoes_encryption", "another_key_does_not_decrypt", "encryption_is_randomised",
    "fresh_noise_is_that_of_theory", "parts_do_not_show_the_message",
)  # fmt: skip
SUMS = (
    "decryption_carries_sums", "decryption_carries_differences", "decryption_carries_negation",
    "decryption_carries_scalar_products", "decryption_carries_plain_sums",
    "decryption_carries_plain_products",
)  # fmt: skip
PRODUCTS = (
    "decryption_carries_products", "decryption_carries_squares",
    "relinearisation_keeps_the_message", "relinearised_products_add", "relinearisation_can_wait",
    "operands_stay",
)  # fmt: skip


def known_laws(kind: str) -> list[Law]:
    """Return the laws of a protocol.

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
    return [law for law in laws.LAWS if law.protocol.__name__ == kind]


def by_laws(
    kind: str, facts: Function, inputs: Sequence[Arguments], names: Sequence[str] | None = None
) -> Iterable[Claim]:
    """Yield a claim for each law of a kind, or those with these names.

    `facts` has the arguments of the student's class, and returns attributes that it must have.
    """
    for law in known_laws(kind):
        if names is None or law.name in names:
            yield Claim(law.sentence, inputs, facts, compare=partial(keeps, law))


def keeps(law: Law, student: Function, facts: Function, *arguments: Any) -> None:
    """Refuse a class whose objects do not keep a law.

    The laws are tried with the degree and the moduli that were asked for, and with noise as it
    follows from the phase, whatever the object says of them.
    """
    from yashe.laws.conventions import View  # noqa: PLC0415 (as above)

    law_keeper, known = call(student, arguments), facts(*arguments)
    for name, value in known.items():
        if plain(getattr(law_keeper, name, None)) != value:
            raise WrongAnswer(f"its attribute {name} must be {value}")
    if law.protocol.__name__ == "Scheme":
        ours = Measured(*arguments)
        ours.phase = lambda keys, ct: law_keeper.phase(keys, ct)  # type: ignore[method-assign]
        known |= {"noise": ours.noise, "fresh_deviation": ours.fresh_deviation}
    try:
        law.check(View(law_keeper, known), EXAMPLES)
    except AssertionError as error:
        raise WrongAnswer(told(error)) from error
    except WrongAnswer:
        raise
    except Exception as error:  # before any law: an attribute is missing or wrong
        raise WrongAnswer(f"its attributes are not those that are asked for: {error}") from error


def told(error: AssertionError) -> str:
    """Return what is said about a broken law: the input, or the error, but not the right result."""
    _, _, raised = str(error).partition(": raised ")
    if raised.startswith(("NotImplementedError", "Unsolved")):
        return "it is not written yet"
    what = f"it raises {raised}" if raised else "the law is broken"
    if raised.startswith("WrongAnswer: "):  # of a submission, which is asked in another process
        what = raised.removeprefix("WrongAnswer: ")
    inputs = ", ".join(f"{name} = {value}" for name, value in getattr(error, "inputs", {}).items())
    return what if "not written yet" in what else f"{what} for {inputs or 'these'}"


@exercise("12")
def MyNtt() -> Check:
    """Check a class with MyNtt(n, p), ntt, intt, psi: see `yashe.laws.Transform`."""

    def facts(n: int, p: int) -> dict[str, Any]:
        return {"n": n, "p": p}

    inputs = [(4, 17), (8, 97), (64, 257)]
    return Check(*by_laws("Transform", facts, inputs))


@exercise("12")
def MyRing() -> Check:
    """Check a class with MyRing(n, moduli), add, negate, multiply: see `yashe.laws.Ring`."""

    def facts(n: int, moduli: tuple[int, ...]) -> dict[str, Any]:
        return {"n": n, "q": math.prod(moduli)}

    inputs = [(4, (17,)), (4, (17, 41)), (16, ntt_primes(16, 3))]
    return Check(*by_laws("Ring", facts, inputs))


def facts_of_scheme(params: Params) -> dict[str, Any]:
    """Return the attributes that a scheme must have."""
    return {"n": params.n, "t": params.t, "q": params.q}


def scheme_inputs() -> list[Arguments]:
    """Return the parameters to build a student's scheme with."""
    return [(Params(8, 5, ntt_primes(8, 3)),), (Params(16, 257, ntt_primes(16, 4)),)]


HANDED_OUT = ("Measured", "gaussian", "poly_mul", "rns_gadget", "ternary", "uniform")


@exercise("12", *HANDED_OUT)
def MyEncryption() -> Check:
    """Check a class with keygen, encrypt, decrypt, parts, phase: see `yashe.laws.Scheme`."""
    small = [(Params(4, 5, ntt_primes(4, 3)),)]
    halves = [(Params(8, t, ntt_primes(8, 3)),) for t in (5, 17)]
    return Check(
        *by_laws("Scheme", facts_of_scheme, scheme_inputs(), ENCRYPTION),
        Claim("Messages are scaled and rounded", halves, facts_of_scheme, compare=rounds_messages),
        Claim("Errors are drawn one by one", small, facts_of_scheme, compare=draws_errors),
    )  # fmt: skip


@exercise("12", *HANDED_OUT)
def MySums() -> Check:
    """Check a class that adds ciphertexts, numbers and plaintexts: see `yashe.laws.Scheme`."""
    return Check(*by_laws("Scheme", facts_of_scheme, scheme_inputs(), SUMS))


@exercise("12", *HANDED_OUT)
def MyBFV() -> Check:
    """Check a class that multiplies and relinearises as well: see `yashe.laws.Scheme`."""
    halves = [(Params(8, t, ntt_primes(8, 3)),) for t in (5, 17)]
    return Check(
        *by_laws("Scheme", facts_of_scheme, scheme_inputs(), PRODUCTS),
        Claim("Products are scaled and rounded", halves, facts_of_scheme, compare=rounds_products),
    )  # fmt: skip


def asked(scheme: Any, verb: str, *arguments: Any) -> Any:
    """Return what a verb of a student's scheme gives; its errors are wrong answers."""
    try:
        return getattr(scheme, verb)(*arguments)
    except WrongAnswer:
        raise
    except Exception as error:
        raise WrongAnswer(error_text(error)) from error


def parts_of(scheme: Any, ct: Any, count: int) -> list[Poly]:
    """Return the parts of a ciphertext as lists of integers."""
    parts = plain(asked(scheme, "parts", ct))
    fits = isinstance(parts, list) and len(parts) == count
    if not fits or not all(
        isinstance(part, list) and [type(x) for x in part] == [int] * scheme.n for part in parts
    ):
        raise WrongAnswer(f"parts(ct) must be {count} lists of {scheme.n} integers here", parts)
    return list(parts)


def rounds_messages(student: Function, facts: Function, params: Params) -> None:
    """Refuse a scheme that adds something else than round(q/t m) to its first part."""
    scheme, t, q = call(student, (params,)), params.t, params.q
    keys = asked(scheme, "keygen", bytes(32))
    m = [centred(3 * j + 1, t) for j in range(params.n)]
    zero, hidden = (
        parts_of(scheme, asked(scheme, "encrypt", keys, message, bytes(range(32))), 2)
        for message in ([0] * params.n, m)
    )
    # d = round(q/t m) modulo q is another way of saying that |q m - t d| <= t/2 modulo q t.
    columns = zip(m, zero[0], hidden[0], strict=True)
    rests = [centred(q * x - t * (b - a), q * t) for x, a, b in columns]
    if zero[1] != hidden[1]:
        raise WrongAnswer("the second part depends on the message")
    if 2 * max(map(abs, rests)) > t:
        raise WrongAnswer(
            f"in the first part m becomes something else than round(q/t m), for m = {m}: was it "
            "cut off, or was q/t rounded before the product?"
        )


def rounds_products(student: Function, facts: Function, params: Params) -> None:
    """Refuse a scheme whose products are not t/q times the product over the integers, rounded."""
    scheme, t, q = call(student, (params,)), params.t, params.q
    keys = asked(scheme, "keygen", bytes(32))
    x, y = (asked(scheme, "encrypt", keys, [i] * params.n, bytes([i] * 32)) for i in (1, 2))
    (a, b), (c, d) = parts_of(scheme, x, 2), parts_of(scheme, y, 2)
    tensor = poly_mul(a, c), poly_add(poly_mul(a, d), poly_mul(b, c)), poly_mul(b, d)
    answer = parts_of(scheme, asked(scheme, "multiply", x, y), 3)
    for whole, part in zip(tensor, answer, strict=True):
        rests = [centred(t * v - q * w, q * q) for v, w in zip(whole, part, strict=True)]
        if 2 * max(map(abs, rests)) > q:
            raise WrongAnswer(
                "some coefficients of a product differ from t/q times the product over the "
                "integers by more than 1/2: were they cut off where they have to be rounded?"
            )


def draws_errors(student: Function, facts: Function, params: Params) -> None:
    """Refuse a scheme in which errors cancel: then a known message gives the randomness away.

    For the message 0, c_0 = b u + e_0 and c_1 = a u + e_1. If e_0 = e_1 (the same label, twice),
    c_0 - c_1 = (b - a) u without any error. Do two ciphertexts stand to each other as two ternary u
    do? With n = 4 there are 81 of them to try. Modulo one prime of q, where division is easy.
    """
    scheme, n, p = call(student, (params,)), params.n, params.moduli[0]
    keys = asked(scheme, "keygen", bytes(32))
    first, second = (
        parts_of(scheme, asked(scheme, "encrypt", keys, [0] * n, bytes([i] * 32)), 2)
        for i in (1, 2)
    )
    psi = root_of_unity(n, p)
    ternary = [u for u in map(list, product((-1, 0, 1), repeat=n)) if any(u)]
    for (i, j), where in {
        (1, 0): "c_0 is b u: where is e_0?",
        (0, 1): "c_1 is a u: where is e_1?",
        (1, -1): "c_0 - c_1 is (b - a) u, without any error: were both drawn with one label?",
        (1, 1): "c_0 + c_1 is (b + a) u, without any error",
    }.items():
        x, y = (
            ntt(poly_mod(poly_add(poly_scale(c[0], i), poly_scale(c[1], j)), p), psi, p)
            for c in (first, second)
        )
        if not all(x):
            continue  # (hardly ever) no division by x: nothing can be said
        ratio = intt([b * pow(a, -1, p) % p for a, b in zip(x, y, strict=True)], psi, p)
        if any(poly_mod(poly_mul(ratio, u), p) in ternary for u in ternary):
            raise WrongAnswer(f"of encryptions of 0, {where}")


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


@exercise("12")
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
