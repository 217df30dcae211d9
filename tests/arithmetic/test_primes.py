"""NTT-friendly primes against brute force and sympy."""

from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from strategies_engine import degrees, junk, ntt_moduli
from yashe.arithmetic.primes import (
    check_degree,
    check_ntt_prime,
    is_prime,
    next_ntt_primes,
    ntt_primes,
    ntt_primes_below,
    ntt_shape,
    prime_factors,
    prime_limit,
    root_of_unity,
    smallest_primitive_root,
)
from yashe.arithmetic.residues import PRIME_LIMIT, check_exact_sum
from yashe.errors import ParameterError

ALL_DEGREES = [2**i for i in range(2, 16)]


@pytest.mark.parametrize("n", ALL_DEGREES)
def test_the_matrix_of_the_transform_is_nearly_square(n: int) -> None:
    check_degree(n)
    n1, n2 = ntt_shape(n)
    assert n1 * n2 == n
    assert n1 <= n2 <= 2 * n1


@pytest.mark.parametrize("n", [-4, 0, 1, 2, 3, 6, 12, 2**16, 4.0, True, "8", None])
def test_a_degree_that_is_no_power_of_two_from_4_to_32768_is_refused(n: object) -> None:
    with pytest.raises(ParameterError, match="power of two.* from 4 to 32768, not"):
        check_degree(n)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", ALL_DEGREES)
def test_the_largest_prime_below_the_limit_passes_the_bound_of_the_transform(n: int) -> None:
    (p,) = ntt_primes(n, 1)
    assert p < prime_limit(n) <= PRIME_LIMIT
    check_ntt_prime(n, p)
    check_exact_sum(p, ntt_shape(n)[1])


def test_the_limit_is_half_a_bit_lower_at_degree_32768() -> None:
    assert prime_limit(32768) == 11863278  # 2 floor(sqrt(2^53 / 256)) - 4, about 2^23.5
    assert prime_limit(16384) == 2**24 - 4
    assert prime_limit(8192) == 2**24 - 4
    assert prime_limit(4096) == 2**24
    # 2^24 - 16973823 is = 1 (mod 65536) and prime, but sums of 256 products could pass 2^53.
    above = next(
        p for p in range(2**24 - 2**16 + 1, prime_limit(32768), -(2**16)) if sympy.isprime(p)
    )
    with pytest.raises(ParameterError, match=r"a sum of 256 products .* may exceed 2\^53"):
        check_ntt_prime(32768, above)


@given(degrees, st.integers(3, 20000), st.integers(0, 6))
def test_no_prime_is_skipped_downwards_or_upwards(n: int, start: int, count: int) -> None:
    friendly = [p for p in sympy.primerange(60000) if p % (2 * n) == 1]
    below = [p for p in friendly if p < start][::-1][:count]
    above = [p for p in friendly if p >= start][:count]
    assert list(ntt_primes_below(n, start, count)) == below
    assert list(next_ntt_primes(n, start, count)) == above


@pytest.mark.parametrize(
    "start", [0, 4093**2 - 500, 2**24 - 1000]
)  # 4093: prime, its square below 2^24
def test_primes_their_factors_and_their_roots_are_those_of_sympy(start: int) -> None:
    for m in range(start, start + 1000):
        assert is_prime(m) == sympy.isprime(m)
        assert m == 0 or prime_factors(m) == sorted(sympy.factorint(m))
        assert m == 2 or not is_prime(m) or smallest_primitive_root(m) == sympy.primitive_root(m)


def test_a_prime_itself_counts_upwards_and_does_not_count_downwards() -> None:
    assert next_ntt_primes(4, 17, 1) == (17,)
    assert next_ntt_primes(4, 0, 2) == (17, 41)
    assert ntt_primes_below(4, 17, 1) == ()
    assert ntt_primes_below(4, 18, 1) == (17,)


def test_primes_that_are_taken_are_left_out() -> None:
    assert ntt_primes(4, 2, below=100) == (97, 89)
    assert ntt_primes(4, 2, below=100, avoid=(97, 73)) == (89, 41)


def test_too_many_primes_are_refused_with_their_number() -> None:
    with pytest.raises(ParameterError, match=r"only 2 of 3 primes = 1 \(mod 8\) are left below 50"):
        ntt_primes(4, 3, below=50)


@pytest.mark.parametrize("n", ALL_DEGREES)
def test_psi_is_the_root_of_the_smallest_generator(n: int) -> None:
    for p in (*next_ntt_primes(n, 3, 1), *ntt_primes(n, 1)):
        psi = root_of_unity(n, p)
        assert pow(psi, n, p) == p - 1
        assert psi == pow(sympy.primitive_root(p), (p - 1) // (2 * n), p)


def test_psi_by_hand() -> None:
    # 3 generates Z_17^*: 3^8 = -1. A primitive 8th root of unity is 3^2 = 9, and 9^4 = -1.
    assert root_of_unity(4, 17) == 9


@given(st.data(), degrees)
def test_the_odd_powers_of_psi_are_all_roots_of_x_to_the_n_plus_1(
    data: st.DataObject, n: int
) -> None:
    p = data.draw(ntt_moduli(n))
    psi = root_of_unity(n, p)
    roots = {pow(psi, 2 * k + 1, p) for k in range(n)}
    assert len(roots) == n
    assert all(pow(root, n, p) == p - 1 for root in roots)


@pytest.mark.parametrize(
    ("n", "p", "reason"),
    [
        (4, 33, r"prime p = 1 \(mod 8\), not 33; the nearest: 17 or 41"),  # 1 (mod 8), but 3 * 11
        (4, 19, r"prime p = 1 \(mod 8\), not 19; the nearest: 17 or 41"),  # prime, but 3 (mod 8)
        (8, 41, r"prime p = 1 \(mod 16\), not 41; the nearest: 17 or 97"),  # not 1 (mod 16)
        (4, 3, "not 3; the nearest: 17"),
        (4, 17.0, "a modulus, .* whole number from 3 to 16777215, not 17.0"),
        (4, 10**50, "a modulus, .* not 1000000000"),
        (4, 16, "odd prime below"),
        (4, 2**24 + 73, "odd prime below"),
        (5, 11, "power of two"),
    ],
)
def test_a_modulus_without_a_transform_is_refused(n: int, p: int, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        root_of_unity(n, p)


def test_primes_are_integers_of_python_whatever_was_given() -> None:
    n = np.int64(4096)
    for found in (
        ntt_primes(n, np.int8(3)),  # type: ignore[arg-type]
        next_ntt_primes(n, np.int32(2**20), np.uint8(3)),  # type: ignore[arg-type]
        (check_degree(n), root_of_unity(n, np.int64(40961))),  # type: ignore[arg-type]
    ):
        assert {type(p) for p in found} == {int}
    psi = root_of_unity(n, np.int64(40961))  # type: ignore[arg-type]
    assert pow(psi, 4096, 40961) == 40960
    with pytest.raises(ParameterError, match="a modulus, .* not a number of thousands of digits"):
        root_of_unity(4, 10**5000)


@given(junk, junk, junk)
def test_a_search_for_primes_finds_some_or_says_what_it_was_not_given(
    n: Any, start: Any, count: Any
) -> None:
    for search in (ntt_primes_below, next_ntt_primes):
        for degree in (n, 4096):
            try:
                found = search(degree, start, count)
            except ParameterError:
                continue
            assert len(found) <= count
