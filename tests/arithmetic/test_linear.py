"""Linear combinations of residue rows, against Python integers."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strategies_engine import LARGE_PRIMES, integer_arrays, integers_up_to, odd_primes, residues
from yashe.arithmetic.linear import RunningSums, WeightedSum, combine, piece
from yashe.arithmetic.residues import EXACT_LIMIT, FloatArray, IntArray, bound, canonical, column
from yashe.errors import ExactnessError, ParameterError
from yashe.textbook import polynomials as textbook

MODULI = (LARGE_PRIMES[-2], 3, 12289)  # bound(2^24 - 17) is odd: no sum is a power of two
LIMITS = st.sampled_from([1, 300, 2**10, 2**23, 2**40, 2**62, 2**63])


def int64_arrays(shape: tuple[int, ...], limit: int) -> st.SearchStrategy[IntArray]:
    """Weights with |w| <= limit; a limit of 2^63 means every int64, -2^63 and 2^63 - 1 often."""
    elements = integers_up_to(limit).map(lambda x: min(x, 2**63 - 1))
    return arrays(np.int64, shape, elements=elements)


def expected(rows: FloatArray, index: IntArray, weights: IntArray) -> list[object]:
    """The definition, sum_j weights[j, m] rows[index[p, j]], on Python integers."""
    x = rows.astype(np.int64).astype(object)[index]  # (P, K, parts, k, n)
    out = np.tensordot(weights.astype(object).T, x, axes=(1, 1)).swapaxes(0, 1)
    out = out.reshape(-1, *out.shape[2:])
    for i, p in enumerate(MODULI):
        out[..., i, :] = (out[..., i, :] + p // 2) % p - p // 2
    return out.tolist()


@given(st.data(), st.integers(1, 3), st.integers(1, 6), st.integers(1, 3), LIMITS)
@settings(max_examples=60)
def test_linear_combinations_are_exact(
    data: st.DataObject, positions: int, terms: int, results: int, limit: int
) -> None:
    rows = data.draw(residues(2, MODULI, batch=(4, 2)))
    index = data.draw(integer_arrays((positions, terms), 3)) % 4
    weights = data.draw(int64_arrays((terms, results), limit))
    before = rows.copy(), weights.copy()
    out = combine(rows, index, weights, MODULI)
    assert out.shape == (positions * results, 2, 3, 2)
    assert canonical(out, column(MODULI)).tolist() == expected(rows, index, weights)
    assert np.abs(out[..., 0, :]).max() <= bound(MODULI[0])
    assert np.array_equal(rows, before[0])
    assert np.array_equal(weights, before[1])


@pytest.mark.parametrize(
    "weight", [1, 2**22 - 1, MODULI[0] // 2, 2**52 + 1, -(2**62) + 1, 2**63 - 1]
)
def test_the_longest_sums_of_the_largest_residues_are_exact(weight: int) -> None:
    terms = 3000
    largest = np.array([bound(p) for p in MODULI], dtype=np.float64)[:, None]
    rows = np.broadcast_to(largest, (1, 1, 3, 4)).copy()
    index = np.zeros((1, terms), dtype=np.int64)
    weights = np.full((terms, 2), weight, dtype=np.int64)
    weights[:, 1] = -weight
    out = canonical(combine(rows, index, weights, MODULI), column(MODULI))
    for i, p in enumerate(MODULI):
        total = textbook.centred(terms * weight * bound(p), p)
        assert np.array_equal(out[0, 0, i], np.full(4, total))
        assert np.array_equal(out[1, 0, i], np.full(4, -total))


def test_columns_beyond_one_block_are_computed_too() -> None:
    rows = np.arange(2 * 8192, dtype=np.float64).reshape(2, 1, 1, 8192) % 97
    weights = np.ones((2, 100), dtype=np.int64)
    out = combine(rows, np.array([[0, 1], [1, 1]], dtype=np.int64), weights, (12289,))
    assert out.shape == (200, 1, 1, 8192)
    assert np.array_equal(out[:100], np.broadcast_to(rows[0] + rows[1], (100, 1, 1, 8192)))
    assert np.array_equal(out[100:], np.broadcast_to(2 * rows[1], (100, 1, 1, 8192)))


def test_a_linear_combination_by_hand() -> None:
    rows = np.array([1.0, 2.0, 8.0]).reshape(3, 1, 1, 1)
    weights = np.array([[1, 3], [2, 0]], dtype=np.int64)
    out = combine(rows, np.array([[0, 1], [2, 2]], dtype=np.int64), weights, (17,))
    # 1 + 2*2 = 5 and 3*1 = 3; 8 + 2*8 = 24 = 7 and 3*8 = 24 = 7 (mod 17).
    assert out.ravel().tolist() == [5, 3, 7, 7]


# Sums modulo one prime, prepared: the largest |x| is a residue, a product of two, or anything.


def room(p: int, largest: int) -> int:
    """The largest weight with which a single product is exact."""
    return (EXACT_LIMIT - 2 * p) // largest


@given(st.data(), odd_primes, st.integers(1, 12), st.integers(1, 3), LIMITS)
@settings(max_examples=4 * settings.default.max_examples)
def test_weighted_sums_are_those_of_python_integers(
    data: st.DataObject, p: int, terms: int, results: int, limit: int
) -> None:
    residue = bound(p)
    largest = data.draw(st.sampled_from([residue, residue**2, 7 * residue, EXACT_LIMIT - p]))
    weights = data.draw(int64_arrays((terms, results), limit))
    x = data.draw(integer_arrays((2, terms, 3), largest)).astype(np.float64)
    offset = data.draw(integer_arrays((results, 1), residue)).astype(np.float64)
    before = x.copy(), weights.copy()
    sums = WeightedSum(weights, (p,), largest)
    given_out = np.full((2, results, 3), np.nan)
    y = sums(x)
    assert np.array_equal(sums(x, out=given_out), y)
    assert np.array_equal(given_out, y)
    assert np.abs(y).max() <= bound(p)
    exact = np.einsum("km,bkn->bmn", weights.astype(object), x.astype(np.int64).astype(object))
    assert canonical(y, p).tolist() == ((exact + p // 2) % p - p // 2).tolist()
    exact = exact + offset.astype(np.int64).astype(object)
    assert (
        canonical(sums(x, offset=offset[:, None]), p).tolist()
        == ((exact + p // 2) % p - p // 2).tolist()
    )
    assert np.array_equal(x, before[0])
    assert np.array_equal(weights, before[1])


@given(st.data(), st.integers(1, 40), st.integers(1, 3), st.integers(0, 200))
def test_no_piece_of_a_sum_is_too_large_and_none_is_smaller_than_is_sure(
    data: st.DataObject, terms: int, results: int, most: int
) -> None:
    sizes = np.abs(data.draw(integer_arrays((terms, results), 60)))
    step, largest = piece(sizes, most), int(sizes.max())
    if largest > most:
        assert step == 0
        return
    pieces = range(0, terms, step)
    assert all((sizes[i : i + step].sum(axis=0) <= most).all() for i in pieces)
    assert largest == 0 or len(pieces) <= -(-terms // (most // largest))
    assert step >= terms or (sizes.sum(axis=0) > most).any()


def test_the_last_piece_is_no_larger_than_the_others() -> None:
    # 0 + 180, or 0 + 60 + 120, is more than 100 at the end: one row at a time.
    assert piece(np.array([[0], [0], [0], [60], [60], [60]]), 100) == 1
    assert piece(np.array([[0], [0], [60], [0], [60], [60]]), 120) == 3


@pytest.mark.parametrize("terms", [127, 254, 300])
def test_large_numbers_are_reduced_first_and_long_sums_of_them_cut(terms: int) -> None:
    p = LARGE_PRIMES[-1]
    residue = (p // 2 - 1) | 1  # odd, so that no sum beyond 2^53 is exact by luck
    x = np.full((terms, 1), residue + (EXACT_LIMIT // p - 2) * p, dtype=np.float64)
    weights = np.full((terms, 2), residue, dtype=np.int64)
    sums = WeightedSum(weights, (p,), EXACT_LIMIT - p)
    assert canonical(sums(x), p).tolist() == [[textbook.centred(terms * residue**2, p)]] * 2


def test_few_pieces_are_tried_however_long_a_sum_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of which only every other one is large, so that equal pieces are hard to find."""
    sizes, calls = np.tile(np.array([[100, 1], [1, 100]]), (2000, 1)), list[int]()
    reduceat = np.add.reduceat
    counted = SimpleNamespace(reduceat=lambda *given: calls.append(1) or reduceat(*given))
    monkeypatch.setattr("yashe.arithmetic.linear.np.add", counted)
    assert piece(sizes, 101) in (1, 2)
    assert len(calls) <= 4


@pytest.mark.parametrize("p", [LARGE_PRIMES[-1], LARGE_PRIMES[-2], 2**21 - 9])
@pytest.mark.parametrize("terms", [1, 2, 3, 129])
@pytest.mark.parametrize("sign", [1, -1])
def test_products_that_leave_no_room_for_a_second_one_are_summed_exactly(
    p: int, terms: int, sign: int
) -> None:
    largest = bound(p) ** 2 | 1
    weight = room(p, largest)
    assert 2 * weight > room(p, largest)
    weights = np.full((terms, 2), weight, dtype=np.int64)
    weights[:, 1] = sign * (weight - 1) | 1
    sums = WeightedSum(weights, (p,), largest)
    assert sums.exact == (terms == 1)
    x = np.full((terms, 4), largest, dtype=np.float64)
    x[::2, 2:] *= -1
    exact = weights.T.astype(object) @ x.astype(np.int64).astype(object)
    assert canonical(sums(x), p).tolist() == ((exact + p // 2) % p - p // 2).tolist()


@pytest.mark.parametrize("weight", [301, 2**20 + 1, 2**23 - 2, 2**63 - 1, -(2**63)])
def test_a_product_that_is_too_large_on_its_own_is_not_rounded(weight: int) -> None:
    """A weight times a product of two residues, not one of which float64 would hold."""
    p = LARGE_PRIMES[-2]
    largest = bound(p) ** 2
    x = np.arange(largest - 1000, largest, dtype=np.float64)[None]
    found = WeightedSum(np.array([[weight]]), (p,), largest)(x)
    expected = [textbook.centred(weight * int(value), p) for value in x[0]]
    assert canonical(found, p).tolist() == [expected]


def test_a_weighted_sum_of_nothing_is_zero() -> None:
    sums = WeightedSum(np.zeros((0, 2), dtype=np.int64), (17,), 8)
    assert sums(np.zeros((0, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("p", [3, 12289, LARGE_PRIMES[-1]])
def test_numbers_that_cannot_be_reduced_exactly_are_refused(p: int) -> None:
    one = np.ones((1, 1), dtype=np.int64)
    assert WeightedSum(one, (p,), EXACT_LIMIT - 2 * p).exact
    for largest in (EXACT_LIMIT - p + 1, -1):
        with pytest.raises(ExactnessError, match=f"up to {largest} cannot be reduced modulo {p}"):
            WeightedSum(one, (p,), largest)


def test_weights_that_are_no_matrix_of_integers_and_no_odd_modulus_are_refused() -> None:
    with pytest.raises(ParameterError, match="residues are taken of integers, not of float64"):
        WeightedSum(np.array([[0.5]]), (17,), 8)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"a matrix \(K, M\), not of shape \(3,\)"):
        WeightedSum(np.ones(3, dtype=np.int64), (17,), 8)
    for p in (16, 1, 2**24 + 43):
        with pytest.raises(ParameterError, match=f"an odd prime below 2.24 = 16777216, not {p}"):
            WeightedSum(np.ones((1, 1), dtype=np.int64), (p,), 8)


@pytest.mark.parametrize("p", [LARGE_PRIMES[-1], LARGE_PRIMES[-2], 2**21 - 9])
def test_a_weighted_sum_says_whether_one_product_does(p: int) -> None:
    """Sums of absolute weights up to the limit; the worst result decides."""
    largest, limit = bound(p), room(p, bound(p))
    for excess, exact in ((0, True), (1, False)):
        share, rest = divmod(limit + excess, p // 2)
        column_of = np.full(share + 1, p // 2, dtype=np.int64)
        column_of[0] = rest
        weights = np.stack([column_of, -column_of, column_of // 2], axis=1)
        sums = WeightedSum(weights, (p,), largest)
        assert bool(sums.exact) == exact
        x = np.full((len(weights), 1), largest, dtype=np.float64)
        expected = [[textbook.centred(int(w) * largest, p)] for w in weights.sum(axis=0)]
        assert canonical(sums(x), p).tolist() == expected


def test_weights_larger_than_the_prime_are_centred_first() -> None:
    # 2^61 modulo 17 = 2^(61 mod 8) = 2^5 = 32 = -2, times 8 -16 = 1; exact, because 2 * 8 is small.
    sums = WeightedSum(np.array([[2**61]]), (17,), 10)
    assert sums.exact
    assert sums(np.array([[8.0]])).tolist() == [[1.0]]


@given(st.data(), st.lists(LIMITS, min_size=1, max_size=4))
@settings(max_examples=30)
def test_running_sums_are_the_sums_of_their_tiles(data: st.DataObject, limits: list[int]) -> None:
    sums = RunningSums(2, (2, 3, 2), MODULI)
    total: object = 0
    for limit in limits:  # one tile each
        rows = data.draw(residues(2, MODULI, batch=(5, 2)))
        weights = data.draw(int64_arrays((5, 2), limit))
        sums.add(rows, weights)
        exact = np.tensordot(weights.astype(object).T, rows.astype(np.int64).astype(object), 1)
        total = total + exact
    out = sums.reduce()
    assert canonical(out, column(MODULI)).tolist() == [
        [[[textbook.centred(x, p) for x in row] for row, p in zip(part, MODULI, strict=True)]
         for part in result]
        for result in total
    ]  # fmt: skip
    assert np.abs(out[..., 0, :]).max() <= bound(MODULI[0])


@pytest.mark.parametrize("weight", [2**23 - 2**10 + 1, 2**25 + 1, 2**61, 2**63 - 1, -(2**63)])
def test_running_sums_are_reduced_before_they_could_lose_a_bit(weight: int) -> None:
    """63 equal weights of 2^61 overflow even the sum of the weights in int64."""
    # An odd number of odd products: no bit of the sum is free to be lost.
    rows = np.full((63, 1, 1, 1), bound(MODULI[0]), dtype=np.float64)
    weights = np.full((63, 1), weight, dtype=np.int64)
    sums = RunningSums(1, (1, 1, 1), MODULI[:1])
    for _ in range(20):
        sums.add(rows, weights)
    out = canonical(sums.reduce(), MODULI[0])
    total = 20 * 63 * weight * bound(MODULI[0])
    assert out.ravel().tolist() == [textbook.centred(total, MODULI[0])]


def test_running_sums_refuse_weights_that_are_not_one_integer_for_each_product() -> None:
    """Of shape (3, 1) they would count for both sums, and fractions would be summed as they are."""
    sums, rows = RunningSums(2, (1, 1, 1), MODULI[:1]), np.ones((3, 1, 1, 1))
    for weights in (np.ones((3, 1), np.int64), np.ones((2, 2), np.int64), np.full((3, 2), 0.5)):
        with pytest.raises(ParameterError, match=r"weights of shape \(3, 2\) and type int64, got"):
            sums.add(rows, weights)
    assert not sums.reduce().any()
