"""Moving numbers between moduli, against exact fractions."""

from fractions import Fraction
from math import isqrt, prod

import numpy as np
import pytest
import sympy
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from strategies_engine import LARGE_PRIMES, integers_up_to, largest, odd_primes
from yashe.arithmetic.residues import FloatArray, bound
from yashe.arithmetic.rns import Rescale, RnsBasis, centred, rescale
from yashe.errors import ParameterError
from yashe.textbook import polynomials as textbook

# 21 primes of 24 bits: what a product of ciphertexts with n = 8192 is scaled from.
MANY = tuple(int(p) for p in list(sympy.primerange(2**24 - 2000, 2**24))[-21:])
Q9, T2 = MANY[:9], (16760833, 16736257)  # log2 q = 216, log2 t = 48

bases = st.lists(odd_primes, min_size=1, max_size=6, unique=True).map(
    lambda moduli: RnsBasis(tuple(moduli))
)


def numbers(basis: RnsBasis) -> st.SearchStrategy[list[int]]:
    return st.lists(integers_up_to(largest(basis.moduli)), min_size=1, max_size=8)


def column_of(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=object)


def exact(values: list[int], target: RnsBasis, ratio: Fraction) -> list[list[int]]:
    """round(ratio x) modulo every prime of the target, by the definition."""
    return [[textbook.centred(round(ratio * x), p) for x in values] for p in target.moduli]


def rescaled(values: list[int], source: RnsBasis, target: RnsBasis, ratio: Fraction) -> FloatArray:
    """The engine's result, which may differ from the centred one by a multiple of the prime."""
    out = rescale(source.decompose(column_of(values)), source, target, ratio)
    assert all(np.abs(row).max() <= bound(p) for row, p in zip(out, target.moduli, strict=True))
    return out


def assert_exact(values: list[int], source: RnsBasis, target: RnsBasis, ratio: Fraction) -> None:
    out = rescaled(values, source, target, ratio)
    got = [
        [textbook.centred(int(x), p) for x in row]
        for row, p in zip(out, target.moduli, strict=True)
    ]
    assert got == exact(values, target, ratio)


def next_to_ties(source: RnsBasis, ratio: Fraction) -> list[int]:
    """The x for which ratio * x is a half-integer, or misses one by 1 / (2 * denominator) only.

    With ratio = a/b: a x = (b - 1)/2 or (b + 1)/2 modulo an odd b, a x = b/2 modulo an even one.
    """
    a, b, limit = ratio.numerator, ratio.denominator, largest(source.moduli)
    inverse = pow(a, -1, b) if b > 1 else 0
    found = []
    for h in {b // 2, (b + 1) // 2}:
        x = centred(h * inverse % b, b) if b % 2 else h * inverse % b
        found += [x, -x, x + b, x - b, x + limit // b * b, x - limit // b * b]
    return [x for x in found if abs(x) <= limit]


def extremes(source: RnsBasis) -> list[int]:
    half = largest(source.moduli)
    return [0, 1, -1, half, -half, half - 1, 1 - half, half // 2, half // 2 + 1]


@pytest.mark.parametrize("shape", [(0, 2, 8), (3, 2, 0), (2, 0)])
def test_no_numbers_are_moved_to_no_numbers(shape: tuple[int, ...]) -> None:
    out = rescale(np.zeros(shape), RnsBasis((97, 113)), RnsBasis((17, 19, 23)), Fraction(1, 2))
    assert out.shape == (*shape[:-2], 3, shape[-1])


# The ratios that the schemes use, and some that nobody has thought of.
@st.composite
def ratios(draw: st.DrawFn, source: RnsBasis, target: RnsBasis) -> Fraction:
    q, p = source.product, target.product
    usual = [Fraction(1), Fraction(1, 2), Fraction(p, q), Fraction(2, 3), Fraction(-1, 2)]
    if q > 2:
        usual += [Fraction(1, q), Fraction(p // source.moduli[0] + 1, q)]
    others = st.fractions(max_denominator=2**60)
    return draw(st.one_of(st.sampled_from(usual), others))


@given(st.data(), bases, bases)
@settings(max_examples=3 * settings.default.max_examples)
def test_rescale_equals_exact_fractions(
    data: st.DataObject, source: RnsBasis, target: RnsBasis
) -> None:
    ratio = data.draw(ratios(source, target))
    values = data.draw(numbers(source)) + extremes(source)
    values = [x for x in values if abs(x) <= largest(source.moduli)]
    assert_exact(values, source, target, ratio)


@given(st.data(), bases, bases)
@settings(max_examples=3 * settings.default.max_examples)
def test_rescale_is_exact_where_floating_point_cannot_tell(
    data: st.DataObject, source: RnsBasis, target: RnsBasis
) -> None:
    ratio = data.draw(ratios(source, target))
    values = next_to_ties(source, ratio)
    assume(values)
    assert_exact(values, source, target, ratio)


@pytest.mark.parametrize(
    ("source", "target", "ratio"),
    [
        (T2, Q9, Fraction(prod(Q9), prod(T2))),  # encryption
        (Q9, T2, Fraction(prod(T2), prod(Q9))),  # decryption
        (Q9, MANY[9:], Fraction(1)),  # extension for a product
        (MANY, Q9, Fraction(prod(T2), prod(Q9))),  # scaling: the target lies in the source
        (Q9, Q9[:8], Fraction(1, Q9[8])),  # modulus switching
        (Q9, Q9, Fraction(1, 2)),  # ties everywhere
        (MANY, MANY, Fraction(1)),
        (MANY, (3,), Fraction(2**70 + 1, 3)),
    ],
    ids=["encrypt", "decrypt", "extend", "scale", "switch", "halve", "copy", "enlarge"],
)
def test_rescale_is_exact_in_the_steps_of_the_schemes(
    source: tuple[int, ...], target: tuple[int, ...], ratio: Fraction
) -> None:
    basis = RnsBasis(source)
    step = isqrt(basis.product) | 1
    values = extremes(basis) + next_to_ties(basis, ratio)
    values += [centred(i * step, basis.product) for i in range(-200, 200)]
    assert_exact(values, basis, RnsBasis(target), ratio)


@given(st.data(), bases, bases)
@settings(max_examples=30)
def test_residues_that_are_not_quite_reduced_stand_for_the_same_number(
    data: st.DataObject, source: RnsBasis, target: RnsBasis
) -> None:
    """`reduce` may leave (p + 3)/2: such rows are still rescaled exactly."""
    half = largest(source.moduli)
    x = source.decompose(column_of([half, -half, 0, 1]))
    shift = np.array([[p if p > 16 else 0] for p in source.moduli], dtype=np.float64)
    other = np.where(np.abs(x - np.sign(x) * shift) <= (shift + 3) / 2, x - np.sign(x) * shift, x)
    ratio = data.draw(ratios(source, target))
    half_values = [half, -half, 0, 1]
    out = rescale(other, source, target, ratio)
    got = [
        [textbook.centred(int(v), p) for v in row]
        for row, p in zip(out, target.moduli, strict=True)
    ]
    assert got == exact(half_values, target, ratio)


def largest_fractions(source: RnsBasis, sign: int) -> tuple[int, Fraction]:
    """An x and a ratio a/Q for which all y_i and f_i are nearly q_i/2 and 1/2, next to a tie.

    f_i is a/q_i without its integer, and a x = (Q + sign)/2 modulo Q says what a is for each y_i.
    """
    q, x, a = source.product, 0, 0
    for p in source.moduli:
        cofactor, half = q // p, (q + sign) // 2
        pairs = ((y, centred(half * pow(y * cofactor, -1, p), p)) for y in range(p // 2, 0, -1))
        y, f = next((y, f) for y, f in pairs if f > 0.49 * p)
        x, a = x + y * cofactor, a + f * cofactor * pow(cofactor, -1, p)
    return centred(x, q), Fraction(a % q, q)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("count", [9, 11, 12, 13, 14, 21])
def test_rescale_is_exact_where_all_fractions_add_up(count: int, sign: int) -> None:
    source = RnsBasis(MANY[:count])
    x, ratio = largest_fractions(source, sign)
    assert_exact([x, -x], source, RnsBasis(T2), ratio)


def without_repair(source: RnsBasis, target: RnsBasis, ratio: Fraction) -> Rescale:
    """The floating-point formula alone: nothing is ever in doubt."""
    broken = Rescale(source, target, ratio)
    broken._safe = 1.0
    return broken


@pytest.mark.parametrize(
    ("ratio", "reason"),
    [
        (Fraction(prod(T2), prod(Q9)), "the fraction"),  # next to a tie of t/q x
        (Fraction(1), "the quotient"),  # x = (Q - 1)/2, next to a tie of x/Q
    ],
)
def test_these_examples_catch_a_rescale_without_exact_repair(ratio: Fraction, reason: str) -> None:
    source, target = RnsBasis(Q9), RnsBasis(T2)
    half = largest(Q9)
    values = next_to_ties(source, ratio) + [half - i for i in range(100)]
    x = source.decompose(column_of(values))
    assert np.array_equal(Rescale(source, target, ratio)(x), rescale(x, source, target, ratio))
    broken = without_repair(source, target, ratio)(x)
    got = [
        [textbook.centred(int(v), p) for v in row]
        for row, p in zip(broken, target.moduli, strict=True)
    ]
    assert got != exact(values, target, ratio), reason


def test_few_numbers_are_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repair costs time: random numbers need it once in a million times, not always."""
    repaired = []
    original = Rescale._exactly
    monkeypatch.setattr(
        Rescale, "_exactly", lambda self, x: (repaired.append(1), original(self, x))[1]
    )
    source, target = RnsBasis(Q9), RnsBasis(T2)
    generator = np.random.default_rng(2)
    rows = [generator.integers(-(p // 2), p // 2 + 1, size=20000) for p in Q9]
    rescale(np.array(rows, dtype=np.float64), source, target, Fraction(target.product, prod(Q9)))
    assert len(repaired) <= 3


def test_ties_go_to_the_even_number() -> None:
    basis = RnsBasis((97,))
    x = basis.decompose([-5, -3, -1, 1, 3, 5])
    assert rescale(x, basis, basis, Fraction(1, 2)).tolist() == [[-2, -2, 0, 0, 2, 2]]


def test_a_batch_and_blocks_of_columns_are_rescaled_like_single_numbers() -> None:
    source, target, ratio = RnsBasis(Q9), RnsBasis(T2), Fraction(prod(T2), prod(Q9))
    generator = np.random.default_rng(3)
    x = generator.integers(-1000, 1000, size=(2, 3, 9, 7000)).astype(np.float64)
    out = rescale(x, source, target, ratio)
    assert out.shape == (2, 3, 2, 7000)
    for place in ((0, 0, 0), (0, 2, 5460), (1, 0, 5461), (1, 2, 6999)):
        *row, at = place
        single = rescale(x[tuple(row)][:, at : at + 1], source, target, ratio)
        assert np.array_equal(out[tuple(row)][:, at], single[:, 0])


def test_rescale_returns_new_memory_and_leaves_its_argument_alone() -> None:
    basis = RnsBasis(Q9)
    x = basis.decompose(column_of(extremes(basis)))
    before = x.copy()
    out = rescale(x, basis, basis)
    assert np.array_equal(x, before)
    assert not np.shares_memory(out, x)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (4, 3, 5)])
def test_rows_that_do_not_fit_the_source_are_refused(shape: tuple[int, ...]) -> None:
    basis = RnsBasis((17, 97, 193, 257))
    with pytest.raises(ParameterError, match=r"expected residues of shape \(\.\.\., 4, n\)"):
        rescale(np.zeros(shape), basis, basis)


# Bases


@given(st.data(), bases)
@example(None, RnsBasis((3,)))
def test_compose_undoes_decompose(data: st.DataObject | None, basis: RnsBasis) -> None:
    values = extremes(basis) if data is None else data.draw(numbers(basis)) + extremes(basis)
    values = [x for x in values if abs(x) <= largest(basis.moduli)]
    residues = basis.decompose(column_of(values))
    assert residues.dtype == np.float64
    expected = [textbook.decompose(x, basis.moduli) for x in values]
    assert residues.T.tolist() == expected
    assert basis.compose(residues).tolist() == values
    if basis.product < 2**62:
        assert basis.compose(residues, np.int64).tolist() == values


@given(st.data(), bases, st.integers(-(2**200), 2**200))
def test_decompose_reduces_integers_of_any_size(
    data: st.DataObject, basis: RnsBasis, x: int
) -> None:
    residues = basis.decompose(column_of([x]))
    assert residues[:, 0].tolist() == textbook.decompose(x, basis.moduli)
    assert basis.compose(residues)[0] == textbook.centred(x, basis.product)


@given(st.integers(0, 200), st.integers(0, 200))
def test_compose_accepts_residues_that_are_not_reduced(a: int, b: int) -> None:
    basis = RnsBasis((17, 97))
    x = np.array([[a], [b]], dtype=np.float64)
    value = textbook.compose([a, b], basis.moduli)
    assert basis.compose(x)[0] == value
    assert basis.compose(x, np.int64)[0] == value


def test_composing_in_int64_reaches_just_below_2_to_the_62_and_no_further() -> None:
    moduli = (16777213, 16777199, 16369)  # 2^61.9987
    basis = RnsBasis(moduli)
    assert 2**61.99 < basis.product < 2**62
    half = basis.product // 2
    values = np.array([half, -half, half - 1, 0], dtype=np.int64)
    assert basis.compose(basis.decompose(values), np.int64).tolist() == values.tolist()
    larger = RnsBasis((16777213, 16777199, 16411))
    assert larger.product >= 2**62
    with pytest.raises(ParameterError, match="does not fit into int64"):
        larger.compose(np.zeros((3, 1)), np.int64)


@given(st.data(), bases)
@settings(max_examples=60)
def test_the_fraction_is_x_over_q_up_to_its_stated_error(
    data: st.DataObject, basis: RnsBasis
) -> None:
    values = data.draw(numbers(basis))
    fraction = basis.fraction(basis.decompose(column_of(values)))
    assert np.abs(fraction).max() <= 0.5
    error = (len(basis) + 2) ** 2 * 2.0**-30
    for x, got in zip(values, fraction, strict=True):
        distance = abs(Fraction(float(got)) - Fraction(x, basis.product))
        assert min(distance, abs(distance - 1)) < error  # 1/2 and -1/2 are the same


def test_known_residues_and_their_number() -> None:
    basis = RnsBasis((5, 7))
    assert basis.decompose([12, -17]).tolist() == [[2, -2], [-2, -3]]
    assert basis.decompose([3, -3]).tolist() == [[-2, 2], [3, -3]]  # small, but no residues of 5
    assert basis.compose(np.array([[2.0], [-2.0]])).tolist() == [12]
    assert repr(basis) == "RnsBasis(2 primes, 5.1 bits)"
    assert basis == RnsBasis((5, 7)) != RnsBasis((7, 5))
    assert basis.inverse_cofactors == (-2, 3)  # 7^-1 = 3 = -2 (mod 5), 5^-1 = 3 (mod 7)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint32])
def test_integers_of_every_width_are_decomposed(dtype: type) -> None:
    values = np.array([0, 1, 100], dtype=dtype)
    assert RnsBasis((16777213,)).decompose(values).tolist() == [[0, 1, 100]]


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.5], [True], ["1"], [None]])
def test_anything_but_integers_is_not_decomposed(values: list[object]) -> None:
    with pytest.raises(ParameterError, match="residues are taken of integers"):
        RnsBasis((17, 97)).decompose(np.array(values))


def test_floats_among_python_integers_are_found() -> None:
    with pytest.raises(ParameterError, match="residues are taken of integers"):
        RnsBasis((17, 97)).decompose([2**70, 0.5])


@pytest.mark.parametrize(
    ("moduli", "reason"),
    [
        ((), "at least one modulus"),
        ((17, 17), r"pairwise coprime: \(17, 17\)"),
        ((15, 21), "pairwise coprime"),
        ((2, 3), "odd prime below"),
        ((17, 2**24 + 43), "odd prime below"),
        (tuple(LARGE_PRIMES[-1:]) + tuple(sympy.primerange(3, 1000)), "at most 127 are exact"),
    ],
)
def test_moduli_that_form_no_basis_are_refused(moduli: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        RnsBasis(moduli)


def test_a_basis_and_its_base_change_are_as_long_as_their_sums_are_exact() -> None:
    """127 products of residues modulo 2^24 - 3 are exact: k + 2 of them for k = 125 primes."""
    primes = [int(p) for p in sympy.primerange(2**24 - 4000, 2**24)]
    assert len(RnsBasis(tuple(primes[-125:]))) == 125
    with pytest.raises(ParameterError, match="a sum of 128 products"):
        RnsBasis(tuple(primes[-126:]))
    small = RnsBasis(tuple(int(p) for p in sympy.primerange(3, 800))[:126])
    with pytest.raises(ParameterError, match="a sum of 128 products"):
        Rescale(small, RnsBasis((primes[-1],)), Fraction(1))
