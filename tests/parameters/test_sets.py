"""Parameter sets: what they promise each other, and what they refuse."""

import re
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import example, given
from hypothesis import strategies as st

from strategies_engine import SEED, TOYS, degrees, junk, toys
from yashe import wire
from yashe.arithmetic.primes import next_ntt_primes, ntt_primes, prime_limit
from yashe.errors import FheError, ParameterError, SecurityError
from yashe.parameters.security import max_log2_q
from yashe.parameters.sets import INSECURE_TOY, Params, make_params, plaintext_primes, primes_of_q
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE


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
    assert p // min(params.auxiliary_moduli) <= 2**12 * params.n * params.q
    assert not set(params.auxiliary_moduli) & set(params.moduli)
    assert params.auxiliary_basis.product == p
    assert params.product_ring.basis.moduli == params.moduli + params.auxiliary_moduli


def test_the_auxiliary_primes_leave_room_for_sums_where_there_are_enough() -> None:
    """A layer of MNIST sums up squares with such weights; see `SumsOfSquares`."""
    for log2_q in (150, 165, 180, 190, 198, 206):
        params = make_params("sums", 8192, 2**46, log2_q=log2_q)
        assert prod(params.auxiliary_moduli) > 2**12 * params.n * params.q


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


@pytest.mark.parametrize(
    ("n", "primes", "offer"),
    [
        # 383953334664724481 is a prime of 58 bits, = 1 (mod 65536); the product is 3 % larger.
        (
            32768,
            (383953334664724481,),
            "(7667713, 786433, 65537), whose product is 395197451495145473",
        ),
        (4096, (65537, 2**24 + 1), "16760833"),
        (4096, (97,), "40961"),
        (4096, (65536,), "40961 or 65537"),
        (4096, (-5,), "40961"),
        (4096, (2**62 - 1,), "none, because t must stay below 2^62"),
        (4096, (10**5000,), "none, because t must stay below 2^62"),
    ],
)
def test_primes_of_t_are_checked_before_those_of_q_and_the_nearest_are_offered(
    n: int, primes: tuple[int, ...], offer: str
) -> None:
    """Even where q has no primes at all, or wrong ones."""
    words = rf"product of primes = 1 \(mod 2n\), here \(mod {2 * n}\), below {prime_limit(n)}, and "
    for request in ({}, {"log2_q": 3}):
        with pytest.raises(ParameterError, match=words) as info:
            make_params("a", n, primes, **request)
        assert str(info.value).endswith(f" is none; the nearest: {offer}")
    with pytest.raises(ParameterError, match=words):
        Params("a", n, (9, 9), primes)


@given(degrees, st.integers(2, 2**61))
def test_the_primes_that_are_offered_are_taken(n: int, t: int) -> None:
    try:
        make_params("INSECURE_t", n, (t,), None, log2_q=200)
    except ParameterError as error:
        offer = str(error).split("the nearest: ")[1]
        found = re.findall(r"\d+", offer.partition(", whose")[0])
        offers = [tuple(map(int, found))] if "product" in offer else [(int(p),) for p in found]
        assert offers
        for primes in offers:
            assert make_params("INSECURE_t", n, primes, None, 200).plaintext_moduli == primes
    else:
        assert sympy.isprime(t)


@pytest.mark.parametrize("security", [128, 192, 256])
def test_the_largest_ring_has_the_largest_q_for_which_there_are_primes(security: int) -> None:
    """The table allows 868 bits at 128, and all primes = 1 (mod 65536) below 2^24 have 587."""
    params, limit = make_params("large", 32768, 2**16, security), max_log2_q(32768, security)
    found = (primes_of_q(32768, size, params.plaintext_moduli) for size in range(limit, 0, -1))
    assert params.moduli == next(moduli for moduli in found if moduli)


def test_one_prime_is_called_one_prime() -> None:
    assert "(1 prime)" in repr(INSECURE_TOY.shortened(1))
    assert INSECURE_TOY.shortened(1).name == "INSECURE_TOY, 1 prime"
    assert INSECURE_TOY.shortened(2).name == "INSECURE_TOY, 2 primes"


def test_too_few_primes_of_q_come_with_the_size_for_which_there_are_enough() -> None:
    for n, log2_q in ((32768, 868), (32768, 10), (8192, 30)):
        with pytest.raises(
            ParameterError, match=f"for a q of {log2_q} bits; the .* log2_q="
        ) as info:
            make_params("INSECURE_q", n, 2, None, log2_q=log2_q)
        nearest = int(str(info.value).split("log2_q=")[1])
        primes = plaintext_primes(n, 2)
        found = primes_of_q(n, nearest, primes)
        assert prod(found) < 2**nearest
        between = range(min(nearest, log2_q) + 1, max(nearest, log2_q))
        assert not any(primes_of_q(n, size, primes) for size in between)


def test_q_stays_below_2_to_the_1000_because_noise_is_a_float() -> None:
    """At the edge everything is still finite; 28 bits more, and 1/q would be no float64."""
    params = make_params("INSECURE_edge", 64, 2**16, None, log2_q=1000)
    assert 998 < params.log2_q < 1000
    for scheme in (BFV(params), BGV(params), YASHE(params)):
        keys = scheme.keygen(SEED)
        fresh = scheme.encrypt([3], keys.public, SEED)
        product = scheme.relinearize(fresh * fresh, keys.relinearization)
        assert scheme.decrypt(product, keys.secret)[0] == 9
        for ct in (fresh, product):
            predicted, real = float(ct.noise_budget), float(scheme.noise_budget(ct, keys.secret))
            assert 900 < predicted < real < 1000
    p = ntt_primes(64, params.k + 1, avoid=params.plaintext_moduli)[-1]
    with pytest.raises(
        ParameterError, match="q = 10[0-9]+ bits is more than 1000: noise is .* float"
    ):
        replace(params, moduli=(*params.moduli, p))
    with pytest.raises(
        ParameterError, match="log2_q, the most bits of q, .* from 1 to 1000, not 1001"
    ):
        make_params("INSECURE_edge", 64, 2**16, None, log2_q=1001)


def test_whole_numbers_of_every_type_become_integers_of_python() -> None:
    plain = make_params("a", 4096, (65537,), 128, 100)
    for kind in (np.int64, np.uint32):
        level = np.int16(128)
        numbers: Any = (kind(4096), [kind(p) for p in plain.moduli], np.array([65537], kind), level)
        assert Params("a", *numbers) == plain
        made = make_params("a", kind(4096), [kind(65537)], level, kind(100))  # type: ignore[arg-type]
        assert made == plain == make_params("a", kind(4096), kind(2**16), level, kind(100))
        assert hash(made) == hash(plain)
        assert made.digest == plain.digest
        assert 98 < made.log2_q < 100
        assert {type(x) for x in (made.n, made.q, made.security, *made.moduli)} == {int}
    assert make_params(np.str_("a"), 4096, (65537,), 128, 100) == plain


def test_a_name_is_printable_ascii_and_leaves_room_for_a_number_of_primes() -> None:
    primes = ntt_primes(16, 20)
    longest = "INSECURE_" + 44 * "~"
    params = Params(longest, 16, primes[1:], primes[:1], None)
    for k in range(2, params.k):
        assert params.shortened(k).name == f"{longest}, {k} primes"
        assert params.shortened(k).shortened(2) == params.shortened(2)
        assert wire.from_bytes(wire.to_bytes(params.shortened(k)), Params) == params.shortened(k)
    names: list[Any] = [
        longest + "x",
        "INSECURE_\n",
        "INSECURE_\x1b[2J",
        "INSECURE_ä",
        b"x",
        5,
        None,
    ]
    for name in [*names, "INSECURE_, " + 60 * "x"]:
        with pytest.raises(
            ParameterError, match="name .* at most 53 printable ASCII characters, not"
        ):
            Params(name, 16, primes[1:], primes[:1], None)
        with pytest.raises(
            ParameterError, match="name .* at most 53 printable ASCII characters, not"
        ):
            make_params(name, 16, primes[:1], None, 100)


def test_parameters_shorten_others_if_only_primes_at_the_end_of_q_are_gone() -> None:
    """Whatever the others are, even such that have no level of as many primes, the answer is no."""
    params = make_params("INSECURE_long", 64, 2**20, None, 120)
    for k in range(2, params.k + 1):
        assert params.shortened(k).shortens(params)
        assert params.shortened(k).shortens(params.shortened(k))
        assert not params.shortened(k).shortens(params.shortened(k - 1)) if k > 2 else True
    small, t = params.shortened(2), params.plaintext_moduli
    large_t = replace(params, plaintext_moduli=ntt_primes(64, 2, avoid=params.moduli))
    with pytest.raises(ParameterError, match="must be smaller than q/2"):
        large_t.shortened(2)
    other_n = insecure(16, params.moduli, t)
    other_q = replace(params, moduli=params.moduli[::-1])
    for other in (large_t, other_n, other_q, replace(params, plaintext_moduli=(257,))):
        assert not small.shortens(other)
        assert not params.shortens(other)
        assert not other.shortens(params)


def valid(params: Params) -> None:
    """Refuse a set that breaks a promise of `Params`, whatever it was made from."""
    assert type(params.n) is int
    assert {type(p) for p in params.moduli + params.plaintext_moduli} == {int}
    assert all(sympy.isprime(p) and p % (2 * params.n) == 1 for p in params.moduli)
    assert all(sympy.isprime(p) and p % (2 * params.n) == 1 for p in params.plaintext_moduli)
    assert 2 * params.t < params.q < 2**1000
    assert params.t < 2**62
    assert (params.security is None) == params.name.startswith("INSECURE_")
    assert wire.from_bytes(wire.to_bytes(params), Params) == params


numbers_or_junk = junk | st.sampled_from([16, 4096, 17, 97, 65537, 120])
names = st.sampled_from(["INSECURE_x", "x"]) | junk
levels = st.sampled_from([None, 128]) | junk


@given(names, numbers_or_junk, numbers_or_junk, levels, st.none() | numbers_or_junk)
@example("a", 2**15, (383953334664724481,), 128, None)
@example("INSECURE_x", 16, 97, None, 10**5000)
def test_whatever_is_asked_for_parameters_are_valid_or_refused(
    name: Any, n: Any, t: Any, security: Any, log2_q: Any
) -> None:
    try:
        params = make_params(name, n, t, security, log2_q)
    except FheError:
        return
    valid(params)


primes_or_junk = st.one_of(
    junk,
    st.sampled_from([ntt_primes(16, 4), list(ntt_primes(16, 3)), (97,), np.array([193])]),
    st.lists(numbers_or_junk, max_size=3),
)


@given(names, numbers_or_junk, primes_or_junk, primes_or_junk, levels)
@example("INSECURE_x", 16, ntt_primes(16, 4), [97], None)
def test_whatever_parameters_consist_of_they_are_valid_or_refused(
    name: Any, n: Any, moduli: Any, plaintext_moduli: Any, security: Any
) -> None:
    try:
        params = Params(name, n, moduli, plaintext_moduli, security)
    except FheError:
        return
    valid(params)


@given(numbers_or_junk, numbers_or_junk)
def test_whatever_minimum_is_given_primes_reach_it_or_it_is_refused(n: Any, minimum: Any) -> None:
    try:
        primes = plaintext_primes(n, minimum)
    except FheError:
        return
    assert prod(primes) >= minimum >= 1


@given(numbers_or_junk)
def test_whatever_number_of_primes_is_to_be_kept_there_is_a_level_or_an_error(k: Any) -> None:
    try:
        level = INSECURE_TOY.shortened(k)
    except ParameterError:
        return
    assert level.k == k
