"""Residues in float64: exact up to 2^53, refused beyond."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strategies_engine import LARGE_PRIMES, odd_primes
from yashe.arithmetic.residues import (
    EXACT_LIMIT,
    PRIME_LIMIT,
    bound,
    canonical,
    check_exact_sum,
    check_matrix_product_is_exact,
    max_terms,
    reduce,
    worst_products,
)
from yashe.errors import ExactnessError, ParameterError


@st.composite
def primes_and_integers(draw: st.DrawFn) -> tuple[int, int]:
    """A modulus p and an |x| <= 2^53 - p, often next to a half-multiple of p and to the limit."""
    p = draw(odd_primes)
    limit = EXACT_LIMIT - p
    near_half = st.builds(
        lambda m, d: m * p + p // 2 + d,
        st.integers(-limit // p, limit // p - 1),
        st.integers(-3, 4),
    )
    near_limit = st.integers(0, 3 * p).map(lambda d: limit - d)
    x = draw(st.one_of(near_half, near_limit, st.integers(-limit, limit)))
    return p, draw(st.sampled_from([-1, 1])) * max(-limit, min(limit, x))


@given(primes_and_integers())
@example((16777151, 9007165708692369))  # reaches the bound (p + 3) / 2
@example((16777151, -9007165708692369))
def test_reduce_gives_a_congruent_residue_within_the_bound(drawn: tuple[int, int]) -> None:
    p, x = drawn
    r = int(reduce(np.array([x], dtype=np.float64), p)[0])
    assert (x - r) % p == 0
    assert abs(r) <= bound(p)


def test_the_bound_of_reduce_is_reached_next_to_2_to_the_53_and_never_exceeded() -> None:
    worst = 0.0
    for p in LARGE_PRIMES:
        top = (EXACT_LIMIT - p) // p
        multiples = np.arange(top - 4000, top, dtype=np.int64) * p
        for offset in (p // 2 - 1, p // 2, p // 2 + 1, p // 2 + 2):
            x = (multiples + offset).astype(np.float64)
            for sign in (-1, 1):
                worst = max(worst, float(np.abs(reduce(sign * x, p)).max()) - p / 2)
    assert worst == 1.5  # (p + 3) / 2: the margin in `bound` is needed, and enough


@given(primes_and_integers())
@example((16777151, 9007165708692369))
@example((16777151, -9007165708692369))
@example((16760833, 16760833 * 2**28 + 8380417))  # where reduce leaves (p + 1) / 2
@example((16760833, -16760833 * 2**28 - 8380417))
def test_canonical_gives_the_one_representative_below_a_half(drawn: tuple[int, int]) -> None:
    p, x = drawn
    expected = (x + p // 2) % p - p // 2
    assert canonical(np.array([x], dtype=np.float64), p)[0] == expected


@given(odd_primes)
def test_canonical_folds_what_reduce_leaves_beyond_a_half(p: int) -> None:
    x = np.array([bound(p), -bound(p), p // 2, -(p // 2)], dtype=np.float64)
    expected = [(int(v) + p // 2) % p - p // 2 for v in x]
    assert canonical(x, p).tolist() == expected


def test_known_residues_modulo_7() -> None:
    x = np.array([-4.0, -3.0, 3.0, 4.0, 7.0, 10.0])
    assert reduce(x, 7).tolist() == [3.0, -3.0, 3.0, -3.0, 0.0, 3.0]


def test_reduce_and_canonical_return_new_memory_and_leave_their_argument_alone() -> None:
    x = np.array([1.0, 20.0, -9.0])
    for function in (reduce, canonical):
        out = function(x, 17)
        assert not np.shares_memory(out, x)
        assert x.tolist() == [1.0, 20.0, -9.0]


@pytest.mark.parametrize("p", [3, 17, 12289, *LARGE_PRIMES[:3], *LARGE_PRIMES[-3:]])
def test_the_longest_admitted_sum_stays_below_2_to_the_53(p: int) -> None:
    terms = max_terms(p)
    assert terms * bound(p) ** 2 <= EXACT_LIMIT - p < (terms + 1) * bound(p) ** 2
    check_exact_sum(p, terms)
    with pytest.raises(ParameterError, match=f"at most {terms} are exact"):
        check_exact_sum(p, terms + 1)


@pytest.mark.parametrize("p", LARGE_PRIMES[-3:])
def test_a_longest_sum_of_largest_products_is_exact(p: int) -> None:
    terms = max_terms(p)
    largest = bound(p) - (bound(p) + 1) % 2  # an odd number: every bit of the sum matters
    for left, right in ((largest, largest), (largest, -largest), (bound(p), bound(p) - 1)):
        row = np.full((1, terms), left, dtype=np.float64)
        col = np.full((terms, 1), right, dtype=np.float64)
        product = row @ col
        assert int(product[0, 0]) == terms * left * right
        assert (int(reduce(product, p)[0, 0]) - terms * left * right) % p == 0


def test_128_products_of_24_bit_residues_may_be_summed() -> None:
    assert max_terms(LARGE_PRIMES[-1]) == 127
    assert max_terms(2**24 - 2**14 + 1) == 128


@pytest.mark.parametrize("p", [-3, 0, 1, 2, 4, 2**24 - 2, 2**24, 2**24 + 1])
def test_moduli_that_are_even_or_too_large_are_refused(p: int) -> None:
    with pytest.raises(ParameterError, match="odd prime below 2.24"):
        check_exact_sum(p, 1)


def test_the_matrix_product_of_this_machine_is_exact() -> None:
    check_matrix_product_is_exact.__wrapped__()


EXACT_MATMUL = np.matmul
INEXACT = {
    "float32": lambda a, b: EXACT_MATMUL(a.astype(np.float32), b.astype(np.float32)),
    "one bit lost": lambda a, b: EXACT_MATMUL(a, b) + (EXACT_MATMUL(a, b) > 2**52),
    "numbers split at 26 bits": lambda a, b: EXACT_MATMUL(a, b) // 2**26 * 2**26,
}


def test_a_library_is_tried_with_the_largest_residues_of_both_signs_and_the_largest_sums() -> None:
    for x, y, product in worst_products([(64, 128)]):
        for factor in (x, y):
            assert factor.max() == -factor.min() > 0.49 * PRIME_LIMIT
        assert product.max() > 0.99 * EXACT_LIMIT


@pytest.mark.parametrize("product", INEXACT.values(), ids=INEXACT)
def test_an_inexact_matrix_product_is_refused(
    product: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "matmul", product)
    with pytest.raises(ExactnessError, match=r"machine.s .*product is not exact.*install a NumPy"):
        check_matrix_product_is_exact.__wrapped__()
