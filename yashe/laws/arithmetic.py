"""The laws of transforms, rings, residues, digits and slots: see `yashe.laws`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Protocol, runtime_checkable

from yashe.laws.law import Comparison, Registry
from yashe.laws.strategies import Polynomial, centred_integers, integers_near_halves, polynomials
from yashe.textbook.automorphisms import automorphism
from yashe.textbook.polynomials import centred, evaluate, poly_add, poly_mod, poly_mul


@runtime_checkable
class Transform(Protocol):
    """A number-theoretic transform of degree n modulo a prime p, psi^n = -1 modulo p.

    ntt(a)[k] is a(psi^(2k+1)), in this order; intt is its inverse. Any residues will do.
    """

    n: int
    p: int
    psi: int

    def ntt(self, a: Polynomial) -> Sequence[int]:
        """Return the values of a."""

    def intt(self, values: Polynomial) -> Sequence[int]:
        """Return the polynomial with these values."""


transform = Registry(
    Transform, a=lambda ntt: polynomials(ntt.n, ntt.p), b=lambda ntt: polynomials(ntt.n, ntt.p)
)


@transform.law()
def ntt_evaluates(ntt: Transform, a: Polynomial) -> Comparison:
    """ntt(a) is the list of a(psi), a(psi^3), a(psi^5), ..., in this order."""
    powers = [pow(ntt.psi, 2 * k + 1, ntt.p) for k in range(ntt.n)]
    return modulo(ntt.ntt(list(a)), ntt.p), [evaluate(a, x, ntt.p) for x in powers]


@transform.law()
def intt_undoes_ntt(ntt: Transform, a: Polynomial) -> Comparison:
    """intt(ntt(a)) is a."""
    return modulo(ntt.intt(list(ntt.ntt(list(a)))), ntt.p), a


@transform.law()
def ntt_is_linear(ntt: Transform, a: Polynomial, b: Polynomial) -> Comparison:
    """ntt(a + b) is ntt(a) + ntt(b)."""
    separate = poly_add(list(ntt.ntt(list(a))), list(ntt.ntt(list(b))))
    together = ntt.ntt(poly_mod(poly_add(a, b), ntt.p))
    return modulo(together, ntt.p), modulo(separate, ntt.p)


@transform.law()
def ntt_multiplies(ntt: Transform, a: Polynomial, b: Polynomial) -> Comparison:
    """ntt(a) * ntt(b) is the ntt of the negacyclic product."""
    values = [x * y % ntt.p for x, y in zip(ntt.ntt(list(a)), ntt.ntt(list(b)), strict=True)]
    return modulo(ntt.intt(values), ntt.p), poly_mod(poly_mul(a, b), ntt.p)


@transform.law()
def ntt_leaves_its_argument(ntt: Transform, a: Polynomial) -> Comparison:
    """The argument of ntt and of intt stays as it was."""
    given = [list(a), list(a)]
    ntt.ntt(given[0])
    ntt.intt(given[1])
    return given, [a, a]


def modulo(values: Sequence[int], q: int) -> Polynomial:
    """Return the values as centred residues, so that any representative counts as right."""
    return poly_mod([int(x) for x in values], q)


@runtime_checkable
class Ring(Protocol):
    """R_q = Z_q[X]/(X^n + 1); polynomials are lists of n residues, any representatives."""

    n: int
    q: int

    def add(self, a: Polynomial, b: Polynomial) -> Sequence[int]:
        """Return a + b."""

    def negate(self, a: Polynomial) -> Sequence[int]:
        """Return -a."""

    def multiply(self, a: Polynomial, b: Polynomial) -> Sequence[int]:
        """Return a * b."""


ring = Registry(Ring, **dict.fromkeys("abc", lambda r: polynomials(r.n, r.q)))


@ring.law()
def addition_commutes(r: Ring, a: Polynomial, b: Polynomial) -> Comparison:
    """The sum commutes: a + b is b + a, coefficient by coefficient modulo q."""
    expected = poly_mod(poly_add(a, b), r.q)
    return [modulo(r.add(a, b), r.q), modulo(r.add(b, a), r.q)], [expected, expected]


@ring.law()
def negation_inverts(r: Ring, a: Polynomial) -> Comparison:
    """The negative inverts: a + (-a) is 0."""
    return modulo(r.add(a, list(r.negate(a))), r.q), [0] * r.n


@ring.law()
def powers_wrap_with_a_minus(r: Ring) -> Comparison:
    """X^(n-1) * X is -1."""
    x, last = [0, 1] + [0] * (r.n - 2), [0] * (r.n - 1) + [1]
    return modulo(r.multiply(last, x), r.q), [-1] + [0] * (r.n - 1)


@ring.law()
def one_is_neutral(r: Ring, a: Polynomial) -> Comparison:
    """1 * a is a."""
    return modulo(r.multiply([1] + [0] * (r.n - 1), a), r.q), a


@ring.law()
def multiplication_commutes(r: Ring, a: Polynomial, b: Polynomial) -> Comparison:
    """The product commutes: a * b is b * a, the negacyclic product modulo q."""
    expected = poly_mod(poly_mul(a, b), r.q)
    return [modulo(r.multiply(a, b), r.q), modulo(r.multiply(b, a), r.q)], [expected, expected]


@ring.law()
def multiplication_associates(r: Ring, a: Polynomial, b: Polynomial, c: Polynomial) -> Comparison:
    """(a * b) * c is a * (b * c)."""
    left = r.multiply(list(r.multiply(a, b)), c)
    return modulo(left, r.q), modulo(r.multiply(a, list(r.multiply(b, c))), r.q)


@ring.law()
def multiplication_distributes(r: Ring, a: Polynomial, b: Polynomial, c: Polynomial) -> Comparison:
    """Products distribute over sums: a * (b + c) is a * b + a * c."""
    apart = r.add(list(r.multiply(a, b)), list(r.multiply(a, c)))
    return modulo(r.multiply(a, list(r.add(b, c))), r.q), modulo(apart, r.q)


@runtime_checkable
class Basis(Protocol):
    """Coprime odd moduli whose product Q represents the integers |x| < Q/2 by residues."""

    moduli: Sequence[int]

    def decompose(self, x: int) -> Sequence[int]:
        """Return the residues of x, one for each modulus."""

    def compose(self, residues: list[int]) -> int:
        """Return the one x in (-Q/2, Q/2) with these residues."""


basis = Registry(Basis, **dict.fromkeys("xy", lambda b: centred_integers(prod(b.moduli) // 2)))


@basis.law()
def residues_are_centred(b: Basis, x: int) -> Comparison:
    """decompose(x) are the residues of x in (-p/2, p/2)."""
    return [int(r) for r in b.decompose(x)], [centred(x, p) for p in b.moduli]


@basis.law()
def compose_undoes_decompose(b: Basis, x: int) -> Comparison:
    """compose(decompose(x)) is x."""
    return int(b.compose(list(b.decompose(x)))), x


@basis.law()
def residues_are_a_ring(b: Basis, x: int, y: int) -> Comparison:
    """Residues multiply and add on their own: compose(x_i y_i + x_i) is x y + x modulo Q."""
    pairs = zip(b.decompose(x), b.decompose(y), b.moduli, strict=True)
    residues = [centred(int(r) * int(s) + int(r), p) for r, s, p in pairs]
    return int(b.compose(residues)), centred(x * y + x, prod(b.moduli))


@runtime_checkable
class Rescaling(Protocol):
    """A change from the moduli `source` to the moduli `target` with a factor `ratio`."""

    source: Sequence[int]
    target: Sequence[int]
    ratio: Fraction

    def rescale(self, residues: list[int]) -> Sequence[int]:
        """Return the residues of round(ratio * x) from those of x; a tie goes to the even one."""


rescaling = Registry(
    Rescaling, x=lambda r: integers_near_halves(Fraction(r.ratio), prod(r.source) // 2)
)


@rescaling.law(examples=300)
def rescale_rounds_exactly(r: Rescaling, x: int) -> Comparison:
    """The result of rescale is round(ratio * x) exactly, for the centred x."""
    got = r.rescale([centred(x, p) for p in r.source])
    exact = round(Fraction(r.ratio) * x)
    pairs = zip(got, r.target, strict=True)
    return [centred(int(y), p) for y, p in pairs], [centred(exact, p) for p in r.target]


@runtime_checkable
class Gadget(Protocol):
    """Small digits d_i of polynomials modulo q, and numbers g_i, with sum_i d_i(a) g_i = a.

    `digit_bound` is what no coefficient of a digit may exceed in absolute value.
    """

    n: int
    q: int
    gadget: Sequence[int]
    digit_bound: int

    def digits(self, a: Polynomial) -> Sequence[Polynomial]:
        """Return one polynomial for each g_i."""


gadget = Registry(Gadget, a=lambda g: polynomials(g.n, g.q))


@gadget.law()
def digits_compose(g: Gadget, a: Polynomial) -> Comparison:
    """The digits times the gadget add up to the polynomial."""
    pairs = zip(g.digits(a), g.gadget, strict=True)
    return modulo(poly_add(*([x * h for x in digit] for digit, h in pairs)), g.q), a


@gadget.law()
def digits_are_small(g: Gadget, a: Polynomial) -> Comparison:
    """Digits are small."""
    too_large = [x for digit in g.digits(a) for x in digit if abs(int(x)) > g.digit_bound]
    return too_large, []


@runtime_checkable
class Slots(Protocol):
    """Messages of n integers modulo t as polynomials modulo t."""

    n: int
    t: int

    def encode(self, values: list[int]) -> Sequence[int]:
        """Return the polynomial."""

    def decode(self, polynomial: Polynomial) -> Sequence[int]:
        """Return the values, each in (-t/2, t/2)."""


slots = Registry(Slots, x=lambda s: polynomials(s.n, s.t), y=lambda s: polynomials(s.n, s.t))


@slots.law()
def decode_undoes_encode(s: Slots, x: list[int]) -> Comparison:
    """decode(encode(x)) is x."""
    return [int(v) for v in s.decode(list(s.encode(x)))], x


@slots.law()
def slots_add(s: Slots, x: list[int], y: list[int]) -> Comparison:
    """The sum of polynomials is the sum in every slot."""
    total = poly_mod(poly_add(list(s.encode(x)), list(s.encode(y))), s.t)
    return [int(v) for v in s.decode(total)], poly_mod(poly_add(x, y), s.t)


@slots.law()
def slots_multiply(s: Slots, x: list[int], y: list[int]) -> Comparison:
    """The product of polynomials is the product in every slot."""
    a, b = ([int(v) for v in s.encode(values)] for values in (x, y))
    expected = [centred(v * w, s.t) for v, w in zip(x, y, strict=True)]
    return [int(v) for v in s.decode(poly_mod(poly_mul(a, b), s.t))], expected


@slots.law()
def slots_rotate(s: Slots, x: list[int]) -> Comparison:
    """X -> X^5 rotates both rows of the 2 x n/2 grid of slots by one."""
    rotated, half = automorphism([int(v) for v in s.encode(x)], 5), s.n // 2
    expected = [*x[1:half], x[0], *x[half + 1 :], x[half]]
    return [int(v) for v in s.decode(poly_mod(rotated, s.t))], expected
