"""Parameter sets: what they promise each other, and what they refuse."""

from fractions import Fraction
from math import prod

import pytest
import sympy
from hypothesis import example, given
from hypothesis import strategies as st

from strategies_engine import TOYS, degrees, toys
from yashe.errors import ParameterError, SecurityError
from yashe.params import INSECURE_TOY, Params, make_params, plaintext_primes
from yashe.primes import next_ntt_primes, ntt_primes, prime_limit


def insecure(n: int, moduli: tuple[int, ...], t: tuple[int, ...]) -> Params:
    return Params("INSECURE_test", n, moduli, t, security=None)


@given(toys)
def test_a_set_says_what_it_is(params: Params) -> None:
    assert params.q == prod(params.moduli)
    assert params.t == prod(params.plaintext_moduli)
    assert params.delta == Fraction(params.q, params.t)
    assert params.k == len(params.moduli)
    assert 2**params.log2_q == pytest.approx(params.q)
    assert 2**params.log2_t == pytest.approx(params.t)
    assert params.ring.basis.moduli == params.moduli
    assert params.plaintext_ring.basis.moduli == params.plaintext_moduli


@given(toys)
@example(make_params("INSECURE_46", 16, 90, security=None, log2_q=46))  # q < P < n q for 2 primes
def test_the_auxiliary_primes_hold_a_product_of_ciphertexts_and_not_one_too_many(
    params: Params,
) -> None:
    """Sums of two products of coefficients up to (q - 1)/2 must stay below q P / 2."""
    largest = 2 * params.n * (params.q // 2) ** 2
    p = prod(params.auxiliary_moduli)
    assert largest < params.q * p // 2
    assert p // min(params.auxiliary_moduli) <= params.n * params.q
    assert not set(params.auxiliary_moduli) & set(params.moduli)
    assert params.auxiliary_basis.product == p
    assert params.product_ring.basis.moduli == params.moduli + params.auxiliary_moduli


def test_the_digest_tells_sets_apart_by_their_numbers_not_by_their_name() -> None:
    assert len({params.digest for params in TOYS}) == len(TOYS)
    a = insecure(4, (16777153, 16777121), (17,))
    renamed = Params("INSECURE_other", a.n, a.moduli, a.plaintext_moduli, security=None)
    reordered = insecure(4, a.moduli[::-1], (17,))
    other_t = insecure(4, a.moduli, (41,))
    assert a.digest == renamed.digest
    assert len({a.digest, reordered.digest, other_t.digest}) == 3


def test_the_toy_of_the_lessons() -> None:
    assert repr(INSECURE_TOY) == (
        "Params('INSECURE_TOY': n=64, log2 q=120.0 (5 primes), log2 t=18.0, security=None)"
    )


Q = (16777153, 16777121)  # both are 1 (mod 32)


@pytest.mark.parametrize(
    ("n", "moduli", "t", "reason"),
    [
        (12, Q, (97,), "power of two"),
        (16, Q, (41,), r"primes = 1 .*\(mod 32\).* and 41 is none; the nearest: 97$"),
        (16, (16777153, 16777139), (97,), r"prime p = 1 \(mod 32\), not 16777139; the"),
        (16, (*Q, 97), (97,), "they share a prime"),
        (16, (97,), (193,), r"t \(log2 7.6\) must be smaller than q/2 \(log2 q 6.6\)"),
        (16, Q, ntt_primes(16, 2, avoid=Q), "must be smaller than q/2"),
        (16, ntt_primes(16, 5), (97, 97), r"pairwise coprime: \(97, 97\)"),
        (16, (Q[0], Q[0]), (97,), "pairwise coprime"),
        (16, Q, (), "t has 1 to 4 primes, not 0"),
        (16, Q, next_ntt_primes(16, 97, 5), "t has 1 to 4 primes, not 5"),
        (16, (), (97,), "q has 1 to 64 primes, not 0"),
        (16, next_ntt_primes(16, 100, 65), (97,), "q has 1 to 64 primes, not 65"),
        (16, (*Q, 2**24 + 97 * 32), (97,), "odd prime below 2.24"),
    ],
)
def test_primes_that_do_not_fit_are_refused(
    n: int, moduli: tuple[int, ...], t: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        insecure(n, moduli, t)


def test_t_stays_below_2_to_the_62_because_slots_are_int64() -> None:
    primes = ntt_primes(16, 12)
    assert insecure(16, primes[3:], (*primes[:2], 8161)).t < 2**62
    with pytest.raises(ParameterError, match=r"t must stay below 2\^62"):
        insecure(16, primes[3:], primes[:3])


@given(degrees, st.integers(2, 2**62))
def test_plaintext_primes_reach_the_minimum_with_as_few_primes_as_possible(
    n: int, minimum: int
) -> None:
    primes = plaintext_primes(n, minimum)
    assert prod(primes) >= minimum
    assert all(sympy.isprime(p) and p % (2 * n) == 1 and p < prime_limit(n) for p in primes)
    assert list(primes) == sorted(set(primes), reverse=True)
    fewer = prod(ntt_primes(n, len(primes) - 1))
    assert fewer < minimum or len(primes) == 1
    if len(primes) == 1:
        assert not any(sympy.isprime(p) for p in range(primes[0] - 2 * n, minimum - 1, -2 * n))
    elif minimum > 2**30:
        assert prod(primes) < 1.1 * minimum  # a tenth of a bit of t is all that may be lost


def test_plaintext_primes_beyond_four_are_refused() -> None:
    with pytest.raises(ParameterError, match="no product of at most four .* reaches 97 bits"):
        plaintext_primes(16, 2**96)


@given(degrees, st.integers(1, 2**40), st.integers(60, 200))
def test_made_parameters_use_what_they_are_allowed(n: int, t: int, log2_q: int) -> None:
    params = make_params("INSECURE_made", n, t, security=None, log2_q=log2_q)
    assert params.t >= t
    assert params.q < 2**log2_q
    assert params.log2_q > log2_q - 1


@pytest.mark.parametrize(
    ("n", "level", "limit"), [(4096, 128, 106), (8192, 128, 214), (8192, 192, 147)]
)
def test_made_parameters_keep_to_the_security_table(n: int, level: int, limit: int) -> None:
    params = make_params("secure", n, 2**20, security=level)
    assert limit - 4 < params.log2_q < limit
    assert params.security == level


def test_parameters_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(ParameterError, match="say how large q may be: log2_q="):
        make_params("INSECURE_made", 64, 100, security=None)
    with pytest.raises(SecurityError, match="no entry for n = 64"):
        make_params("made", 64, 100)
    with pytest.raises(SecurityError, match="more than the 106 bits"):
        make_params("made", 4096, 100, log2_q=150)
    with pytest.raises(ParameterError, match="must be smaller than q/2"):
        make_params("INSECURE_made", 64, 2**40, security=None, log2_q=30)
