"""The checks of notebooks 7 to 12: every planted mistake is found out and told by its name."""

import math
import re
import sys
from typing import Any

import pytest

import subjects
import yashe
from students import as_a_student_writes
from yashe.checks.compare import Function
from yashe.checks.exercises import (
    notebook_07_multiplication,
    notebook_12_project,
)
from yashe.checks.report import EXERCISES, Check, CheckFailed, Report
from yashe.errors import ParameterError
from yashe.pictures import attacks
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import Poly

LAWFUL = (
    "MyNtt",
    "MyRing",
    "MyEncryption",
    "MySums",
    "MyBFV",
)  # graded by laws, not by planted mistakes
NAMES = [name for name, e in EXERCISES.items() if e.notebook >= "07" and name not in LAWFUL]


def stub(*arguments: object) -> object:
    """Stand for what students are given."""
    raise NotImplementedError


@pytest.mark.parametrize("name", NAMES)
def test_every_planted_mistake_is_found_and_named(name: str) -> None:
    mistakes = EXERCISES[name].asked().mistakes
    assert len(mistakes) >= 3
    for text, wrong in mistakes.items():
        failure = refused(name, as_a_student_writes(name, wrong)).first_failure
        assert failure is not None
        assert failure.mistake == text


@pytest.mark.parametrize("name", NAMES)
def test_the_right_function_gets_all_points_and_a_stub_none(name: str) -> None:
    right = as_a_student_writes(name, EXERCISES[name].asked().claims[0].right)
    assert EXERCISES[name].check(right).passed
    assert refused(name, stub).points == 0


def refused(name: str, wrong: Function) -> Report:
    """Return the report with which a check refuses something."""
    with pytest.raises(CheckFailed, match=f"{name}: ") as caught:
        EXERCISES[name].check(wrong)
    return caught.value.report


# The final project: classes, graded by laws. The subjects of the laws are what students write.


class Ntt(subjects.TextbookTransform):
    """A right solution of part 1."""

    def __init__(self, n: int, p: int) -> None:
        super().__init__(n, p, textbook.root_of_unity(n, p))


class CyclicNtt(Ntt):
    """Values at the powers of psi^2."""

    def ntt(self, a: Poly) -> Poly:
        return [textbook.evaluate(a, pow(self.psi, 2 * k, self.p), self.p) for k in range(self.n)]


class UnscaledNtt(Ntt):
    """An inverse without the factor 1/n."""

    def intt(self, values: Poly) -> Poly:
        return textbook.poly_scale(super().intt(values), self.n)


class ShuffledNtt(Ntt):
    """The right values in another order, undone by its inverse."""

    def ntt(self, a: Poly) -> Poly:
        return super().ntt(a)[::-1]

    def intt(self, values: Poly) -> Poly:
        return super().intt(values[::-1])


class WritingNtt(Ntt):
    """A transform in place."""

    def ntt(self, a: Poly) -> Poly:
        a[:] = super().ntt(a)
        return a


class TinyNtt(Ntt):
    """Right, but for another degree than was asked for."""

    def __init__(self, n: int, p: int) -> None:
        super().__init__(1, p)


class WipingRing(subjects.TextbookRing):
    """Returns zeros, and makes its arguments zero, so that they agree."""

    def __init__(self, n: int, moduli: tuple[int, ...]) -> None:
        super().__init__(n, math.prod(moduli))

    def multiply(self, a: Poly, b: Poly) -> Poly:
        a[:] = b[:] = [0] * self.n
        return a


class Ring(subjects.TextbookRing):
    """A right solution of part 2."""

    def __init__(self, n: int, moduli: tuple[int, ...]) -> None:
        super().__init__(n, math.prod(moduli))


class CyclicRing(Ring):
    """x^n = 1."""

    def multiply(self, a: Poly, b: Poly) -> Poly:
        n = self.n
        return [sum(a[i] * b[(j - i) % n] for i in range(n)) for j in range(n)]


class OnePrimeRing(Ring):
    """Forgets all primes but the first."""

    def __init__(self, n: int, moduli: tuple[int, ...]) -> None:
        super().__init__(n, moduli)
        self.first = moduli[0]

    def multiply(self, a: Poly, b: Poly) -> Poly:
        return textbook.poly_mod(super().multiply(a, b), self.first)


class UnchangedRing(Ring):
    """-a = a."""

    def negate(self, a: Poly) -> Poly:
        return a


class OpenBFV(subjects.TextbookBFV):
    """Encrypts with u = 0 and no errors: everything decrypts, and everybody can read it."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        return [textbook.scale_up(self.params, values), [0] * self.n]


class QuietBFV(subjects.TextbookBFV):
    """Leaves the errors of encryption out."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        (b, a), u = keys[1], textbook.ternary(seed, "u", self.n)
        c0 = textbook.poly_add(textbook.poly_mul(b, u), textbook.scale_up(self.params, values))
        return [textbook.poly_mod(part, self.q) for part in (c0, textbook.poly_mul(a, u))]


class TwinBFV(subjects.TextbookBFV):
    """Draws both errors of encryption with one label: e_0 = e_1."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        (b, a), u = keys[1], textbook.ternary(seed, "u", self.n)
        e = textbook.gaussian(seed, "e", self.n)
        hidden = textbook.scale_up(self.params, values)
        c0 = textbook.poly_add(textbook.poly_mul(b, u), e, hidden)
        c1 = textbook.poly_add(textbook.poly_mul(a, u), e)
        return [textbook.poly_mod(part, self.q) for part in (c0, c1)]


class HalfBFV(TwinBFV):
    """Leaves e_1 out."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        c0, c1 = super().encrypt(keys, values, seed)
        e = textbook.gaussian(seed, "e", self.n)
        return [c0, textbook.poly_mod(textbook.poly_add(c1, [-x for x in e]), self.q)]


class FloorBFV(subjects.TextbookBFV):
    """Cuts q/t m off, where it has to be rounded."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        c0, c1 = super().encrypt(keys, [0] * self.n, seed)
        cut = [self.q * x // self.t for x in values]
        return [textbook.poly_mod(textbook.poly_add(c0, cut), self.q), c1]


class DeltaBFV(FloorBFV):
    """Rounds q/t before the product with m."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        c0, c1 = subjects.TextbookBFV.encrypt(self, keys, [0] * self.n, seed)
        cut = [self.q // self.t * x for x in values]
        return [textbook.poly_mod(textbook.poly_add(c0, cut), self.q), c1]


class FloorProductBFV(subjects.TextbookBFV):
    """Cuts t/q times the product off, where it has to be rounded."""

    def multiply(self, x: Any, y: Any) -> Any:
        tensor = notebook_07_multiplication.tensor(x, y)
        return [textbook.poly_mod([self.t * v // self.q for v in p], self.q) for p in tensor]


class PlainBFV(subjects.TextbookBFV):
    """Adds a plaintext without scaling it."""

    def add_plain(self, x: Any, values: Poly) -> Any:
        return [textbook.poly_mod(textbook.poly_add(x[0], values), self.q), *x[1:]]


class LazyBFV(subjects.TextbookBFV):
    """Encrypts with the same randomness every time."""

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        return super().encrypt(keys, values, bytes(32))


class HastyBFV(subjects.TextbookBFV):
    """Reduces modulo q before it scales a product."""

    def multiply(self, x: Any, y: Any) -> Any:
        tensor = notebook_07_multiplication.tensor(x, y)
        return notebook_07_multiplication.scaled(
            self.params, [textbook.poly_mod(part, self.q) for part in tensor]
        )


class DroppingBFV(subjects.TextbookBFV):
    """Drops the third part."""

    def relinearize(self, keys: Any, x: Any) -> Any:
        return x[:2]


WRONG: dict[str, list[tuple[Function, str]]] = {
    "MyNtt": [
        (CyclicNtt, "a.psi."),
        (UnscaledNtt, "intt"),
        (ShuffledNtt, "in this order"),
        (WritingNtt, "[Aa]rgument"),
        (TinyNtt, "intt\\(ntt\\(a\\)\\) is a"),
    ],
    "MyRing": [
        (CyclicRing, "is -1"),
        (OnePrimeRing, "1 \\* a is a"),
        (UnchangedRing, "\\(-a\\)"),
        (WipingRing, "1 \\* a is a"),
    ],
    "MyEncryption": [
        (OpenBFV, "randomly|differently"),
        (QuietBFV, "as noisy as theory"),
        (LazyBFV, "differently every time"),
        (TwinBFV, "^Errors are drawn one by one"),
        (HalfBFV, "^Errors are drawn one by one"),
        (FloorBFV, "^Messages are scaled and rounded"),
        (DeltaBFV, "^Messages are scaled and rounded"),
    ],
    "MySums": [(PlainBFV, "sums with plaintexts")],
    "MyBFV": [
        (FloorProductBFV, "^Products are scaled and rounded"),
        (HastyBFV, "products of ciphertexts"),
        (DroppingBFV, "Relinearisation"),
    ],
}


@pytest.mark.parametrize(
    ("name", "wrong", "law"),
    [(name, *case) for name, cases in WRONG.items() for case in cases],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_the_project_finds_wrong_classes(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: Function, law: str
) -> None:
    monkeypatch.setattr(notebook_12_project, "EXAMPLES", 2)
    claims = [claim for claim in EXERCISES[name].asked().claims if re.search(law, claim.text)]
    report = Check(*claims).report(name, wrong)
    assert any(result.failure for result in report.results), report


@pytest.mark.parametrize(
    ("name", "right"),
    [("MyNtt", Ntt), ("MyRing", Ring), *((name, subjects.TextbookBFV) for name in LAWFUL[2:])],
)
def test_the_project_accepts_right_classes(
    monkeypatch: pytest.MonkeyPatch, name: str, right: Function
) -> None:
    monkeypatch.setattr(notebook_12_project, "EXAMPLES", 2)
    assert EXERCISES[name].check(right).passed


@pytest.mark.parametrize("name", WRONG)
def test_the_project_refuses_its_stubs(name: str) -> None:
    report = refused(name, stub)
    assert report.points == 0
    assert {r.failure.mistake for r in report.results if r.failure} == {"it is not written yet"}


def test_the_report_on_a_broken_law_does_not_tell_the_right_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notebook_12_project, "EXAMPLES", 4)
    failure = refused("MyNtt", UnscaledNtt).results[1].failure
    assert failure is not None
    assert failure.given == "n = 4, p = 17"
    assert re.fullmatch(r"the law is broken for a = \[[-\d, ]*\]", failure.mistake)


def test_a_zero_weight_must_not_be_multiplied() -> None:
    def generous(scheme: Any, x: Any, w: Any, b: Any) -> Any:
        return notebook_12_project.layer(scheme, x, w, b, skip=False)

    last = refused("linear_layer", generous).results[-1]
    assert last.failure is not None
    assert "a product with 0 was asked for: leave the term out" in last.failure.mistake


def test_without_hypothesis_grading_by_laws_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yashe.laws", None)
    monkeypatch.delattr(yashe, "laws", raising=False)
    with pytest.raises(ParameterError, match=r"grading by laws needs Hypothesis.*notebooks"):
        EXERCISES["MyNtt"].check(Ntt)


# The pictures of notebooks 8 and 11.


def test_the_plane_shows_the_lattice_and_the_secret() -> None:
    pytest.importorskip("matplotlib")
    (axis,) = attacks.ntru_plane(257, -111, (7, -6)).axes
    points = axis.collections[0].get_offsets()
    assert len(points) == 257
    assert all((-111 * x - y) % 257 == 0 for x, y in points)
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["points (F, h F mod q)", "public: (1, h)", "secret: (f, t g)"]


@pytest.mark.parametrize(("q", "secret"), [(257, (7, -5)), (10007, (7, -6))])
def test_the_plane_refuses_what_it_cannot_draw(q: int, secret: tuple[int, int]) -> None:
    with pytest.raises(ParameterError, match=r"h f = t g modulo q, received"):
        attacks.ntru_plane(q, -111, secret)


def test_the_map_shows_the_levels_and_the_points() -> None:
    pytest.importorskip("matplotlib")
    (axis,) = attacks.security_map({"mine": (8192, 190.0)}).axes
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["128 bits", "192 bits", "256 bits", "mine"]
    degrees, limits = axis.lines[0].get_data()
    assert dict(zip(degrees, limits, strict=True))[8192] == 214


def test_the_map_refuses_more_points_than_markers() -> None:
    points = {str(i): (8192, float(i)) for i in range(8)}
    with pytest.raises(ParameterError, match=r"at most 7 points .* received 8"):
        attacks.security_map(points)
