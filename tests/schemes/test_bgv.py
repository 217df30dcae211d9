"""BGV: the textbook, bit for bit; factors and levels; noise as predicted; what is refused."""

import io
import math
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import (
    OTHER_SEED,
    SEED,
    TOYS,
    centred,
    seeds,
    slot_values,
    textbook_params,
    toy_params,
    toys,
)
from twins import book_ct, message, polynomial, solve
from yashe import wire
from yashe.arithmetic.primes import next_ntt_primes, ntt_primes
from yashe.arithmetic.residues import canonical, column
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys
from yashe.ciphertexts.slots import Plaintext
from yashe.errors import (
    FormatError,
    FormError,
    KeyMismatchError,
    NoiseBudgetExhausted,
    ParameterError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import Params, make_params
from yashe.schemes import rlwe
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV, from_bfv, to_bfv
from yashe.textbook import bgv as textbook_bgv
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import Poly
from yashe.wire.streams import CiphertextWriter


@lru_cache
def keys_of(params: Params, seed: bytes = SEED) -> Keys:
    return BGV(params).keygen(seed)


# The same seeds give the textbook's numbers.


# Room for the product of two phases.
MULTIPLICATIVE = [params for params in TOYS if params.log2_q - 2 * params.log2_t > 30]
multiplicative = st.sampled_from(MULTIPLICATIVE)


@given(st.data(), toys)
@settings(max_examples=20)
def test_sums_and_plain_operands_are_those_of_the_textbook_for_every_factor(
    data: st.DataObject, params: Params
) -> None:
    scheme, keys, book = BGV(params), keys_of(params), textbook_params(params)
    values = data.draw(slot_values(params, (3,)))
    c, factor = data.draw(st.integers(1, 3)), data.draw(units(params.t))
    a, b = scheme.encrypt(values[:2], keys.secret, SEED)
    a, b = replace(a, factor=factor), replace(b, factor=factor)
    x, y, m = book_ct(a, 0), book_ct(b, 1), message(params, values[2])
    assert book_ct(a + b) == textbook_bgv.add(book, x, y)
    assert book_ct(a - b) == textbook_bgv.sub(book, x, y)
    assert book_ct(-a) == textbook_bgv.negate(book, x)
    assert book_ct(a * c) == textbook_bgv.multiply_scalar(book, x, c)
    assert book_ct(a + scheme.encode(values[2])) == textbook_bgv.add_plain(book, x, m)
    if values[2].any():
        with noise.unchecked():
            product = a * scheme.encode(values[2])
        assert book_ct(product) == textbook_bgv.multiply_plain(book, x, m)
    constant = [c] + [0] * (params.n - 1)
    assert book_ct(a + c) == textbook_bgv.add_plain(book, x, constant)


@given(st.data(), toys, seeds)
@settings(max_examples=20)
def test_switching_the_modulus_is_that_of_the_textbook(
    data: st.DataObject, params: Params, seed: bytes
) -> None:
    scheme, keys, book = BGV(params), keys_of(params), textbook_params(params)
    s, _ = textbook_bgv.keygen(book, scheme.own_seed(SEED))
    ct = scheme.encrypt(data.draw(slot_values(params)), keys.secret, seed)
    ct = replace(ct, factor=data.draw(units(params.t)))
    for primes in range(1, params.k):
        if 2 * params.t >= math.prod(params.moduli[:primes]):
            continue
        with noise.unchecked():
            switched = scheme.switch_modulus(ct, primes)
        smaller, expected = textbook_bgv.switch_modulus(book, book_ct(ct), primes)
        assert book_ct(switched) == expected
        budget = textbook_bgv.noise_budget(smaller, s, expected)
        budget = min(budget, switched.params.log2_q - 1)  # no noise at all counts as one unit
        assert float(scheme.noise_budget(switched, keys.secret)) == pytest.approx(budget, abs=1e-3)
        if budget >= noise.least_budget(params.n):
            plain = textbook_bgv.decrypt(smaller, s, expected)
            assert message(params, scheme.decrypt(switched, keys.secret)) == plain


# By hand: n = 4, t = 17, s = 1 - x^3, constants as parts.

HAND = Params("INSECURE_HAND", 4, (97, 113), (17,), security=None)


def by_hand(*constants: int) -> tuple[Ciphertext, Any]:
    """A ciphertext whose parts are constant, which is all values; and the secret 1 - x^3."""
    scheme, keys = BGV(HAND), keys_of(HAND)
    s = HAND.ring.element(np.array([1, 0, 0, -1], dtype=object)).ntt()
    part = [[[c] * 4 for _ in HAND.moduli] for c in constants]
    with noise.unchecked():
        ct = scheme.encrypt([0], keys.secret)
    return replace(ct, store=np.array([part], dtype=np.float64)), replace(keys.secret, s=s)


def slots(*coefficients: int) -> list[int]:
    """What a polynomial stands for."""
    element = HAND.plaintext_ring.element(np.array(coefficients, dtype=object))
    return [int(x) for x in BGV(HAND).decode(Plaintext(HAND, element))]


def test_a_product_by_hand() -> None:
    (ct, secret), scheme = by_hand(5, 3), BGV(HAND)
    with noise.unchecked():  # which is strict for n = 4
        square = ct * ct
        messages = [scheme.decrypt(x, secret).tolist() for x in (ct, square)]
    # The phase of (5, 3) is 5 + 3 (1 - x^3) = 8 - 3x^3, which is its message as well.
    assert list(scheme.phase(ct, 0, secret).integers()) == [8, 0, 0, -3]
    assert messages[0] == slots(8, 0, 0, -3)
    # (5, 3) (5, 3) = (25, 30, 9). s^2 = 1 - 2x^3 + x^6 = 1 - x^2 - 2x^3, and
    # 25 + 30 s + 9 s^2 = 64 - 9x^2 - 48x^3 = (8 - 3x^3)^2, modulo 17 -4 + 8x^2 + 3x^3.
    assert book_ct(square).parts == [[25, 0, 0, 0], [30, 0, 0, 0], [9, 0, 0, 0]]
    assert list(scheme.phase(square, 0, secret).integers()) == [64, 0, -9, -48]
    assert messages[1] == slots(-4, 0, 8, 3)
    budget = float(scheme.noise_budget(square, secret))
    assert budget == pytest.approx(math.log2(97 * 113 / 128))


def test_a_switch_of_the_modulus_by_hand() -> None:
    # From 97 * 113 to 97: c = 25 and the multiple x = 17 [-25/17]_113 of 17. 17 * 20 = 1 modulo
    # 113, -25 * 20 = -500 = -48, x = -816, and (25 - 816) / 113 = -7.
    # The factor is 1/113 = 1/11 = 14 modulo 17, and 14 * 25 = 350 = 10 = -7.
    with noise.unchecked():
        switched = BGV(HAND).switch_modulus(by_hand(25, 25)[0], 1)
    assert book_ct(switched) == ([[-7, 0, 0, 0], [-7, 0, 0, 0]], 14)


# Factors.


def units(t: int) -> st.SearchStrategy[int]:
    """Factors: invertible modulo t, 1 and t - 1 often."""
    invertible = st.integers(1, t - 1).filter(lambda x: math.gcd(x, t) == 1)
    return st.sampled_from([1, t - 1]) | invertible


# Not for n = 4, where u is zero once in 81 times, and then c_1 = t e_1 vanishes in the division.
@given(st.data(), st.sampled_from([params for params in MULTIPLICATIVE if params.n > 4]), seeds)
@settings(max_examples=25)
def test_switching_keeps_messages_and_divides_the_factor(
    data: st.DataObject, params: Params, seed: bytes
) -> None:
    scheme, keys, t = BGV(params), keys_of(params), params.t
    values = data.draw(slot_values(params, (2,)))
    fresh = scheme.encrypt(values, keys.public, seed)
    for ct in (fresh, fresh * fresh, scheme.relinearize(fresh * fresh, keys.relinearization)):
        before = scheme.decrypt(ct, keys.secret).tolist()
        least = scheme.fewest_primes(ct.bound, ct.degree)
        for primes in range(least, params.k + 1):
            switched = scheme.switch_modulus(ct, primes)
            gone = math.prod(params.moduli[primes:])
            assert switched.factor * gone % t == ct.factor
            assert switched.params.moduli == params.moduli[:primes]
            assert scheme.decrypt(switched, keys.secret).tolist() == before
            measured = scheme.noise_budget(switched, keys.secret)
            assert (switched.noise_budget <= measured + 1e-9).all()


@given(st.data(), multiplicative)
@settings(max_examples=25)
def test_a_product_has_the_product_of_the_factors(data: st.DataObject, params: Params) -> None:
    scheme, keys, t = BGV(params), keys_of(params), params.t
    values = data.draw(slot_values(params, (2,)))
    f, g = data.draw(units(t)), data.draw(units(t))
    x, y = scheme.encrypt(values, keys.secret, SEED)
    product = replace(x, factor=f) * replace(y, factor=g)
    assert product.factor == f * g % t
    expected = values[0].astype(object) * values[1] * pow(f * g, -1, t)
    assert scheme.decrypt(product, keys.secret).tolist() == centred(expected, t).tolist()


# Two primes below sqrt(t), which a remainder may be a multiple of: see the @example below.
COMPOSITE = Params("INSECURE_composite", 16, ntt_primes(16, 4), (97, 193), security=None)


@given(st.data(), st.sampled_from([*MULTIPLICATIVE, COMPOSITE]))
def test_sums_of_ciphertexts_with_any_two_factors(data: st.DataObject, params: Params) -> None:
    scheme, keys, t = BGV(params), keys_of(params), params.t
    book = textbook_params(params)
    values = data.draw(slot_values(params, (2,)))
    f, g = data.draw(units(t)), data.draw(units(t))
    x, y = scheme.encrypt(values, keys.secret, SEED)
    x, y = replace(x, factor=f), replace(y, factor=g)
    a, b = values[0].astype(object) * pow(f, -1, t), values[1].astype(object) * pow(g, -1, t)
    total, difference = x + y, x - y
    assert scheme.decrypt(total, keys.secret).tolist() == centred(a + b, t).tolist()
    assert scheme.decrypt(difference, keys.secret).tolist() == centred(a - b, t).tolist()
    assert book_ct(total) == textbook_bgv.add(book, book_ct(x, 0), book_ct(y, 1))
    assert book_ct(difference) == textbook_bgv.sub(book, book_ct(x, 0), book_ct(y, 1))
    # u and v below sqrt(t) cost half of log2(t) bits, where t is a prime.
    if len(params.plaintext_moduli) == 1:
        spent = float((x.bound[0] + y.bound[0]).budget(params.n) - total.noise_budget)
        assert spent <= params.log2_t / 2 + 1e-9


def test_every_pair_of_factors_is_aligned_without_losing_a_part_of_the_message() -> None:
    """With t = 97 * 193, Euclid's remainders for 17 of these factors are multiples of 97 or 193."""
    scheme, keys, t = BGV(COMPOSITE), keys_of(COMPOSITE), COMPOSITE.t
    x, y = scheme.encrypt([[5], [7]], keys.secret, SEED)
    for f in (f for f in range(2, 3000) if math.gcd(f, t) == 1):
        a, b = scheme.aligned(replace(x, factor=f), y)
        assert a.factor == b.factor
        assert math.gcd(a.factor, t) == 1


def test_only_ciphertexts_of_one_scheme_key_and_set_of_parameters_are_aligned() -> None:
    bfv, scheme = BFV(TOY), BGV(TOY)
    a = bfv.encrypt([1, 2, 3], bfv.keygen(SEED).secret)
    mine, theirs = from_bfv(a), scheme.encrypt([1], keys_of(TOY, OTHER_SEED).secret)
    other = BGV(TOYS[5]).encrypt([1], keys_of(TOYS[5]).secret)
    for x, y in ((mine, a), (mine, theirs), (theirs, other), (other, theirs)):
        with pytest.raises(KeyMismatchError, match="do not mix|under different keys"):
            scheme.aligned(x, y)
    few, small = ntt_primes(64, 2), next_ntt_primes(64, 1000, 3)  # no factor between these two
    x, y = (
        BGV(params).encrypt([1], keys_of(params).secret)
        for params in (Params("INSECURE_A", 64, q, (257,), None) for q in (few, small))
    )
    for left, right in ((x, y), (y, x)):
        with pytest.raises(KeyMismatchError, match="do not mix"):
            left + right
    low = scheme.switch_modulus(theirs, 3)
    x, y = scheme.aligned(low, theirs)
    assert (x.params.k, x.factor) == (y.params.k, y.factor)


def test_ciphertexts_that_were_switched_before_and_after_a_product_can_be_added() -> None:
    params = toy_params(64, 1, 5, t_above=1000)
    scheme, keys = BGV(params), keys_of(params)
    ct = scheme.encrypt([[3, -4], [10, 11]], keys.secret, SEED)
    late = scheme.switch_modulus(scheme.relinearize(ct * ct, keys.relinearization), 3)
    early = scheme.switch_modulus(ct, 3)
    early = scheme.relinearize(early * early, keys.relinearization)
    assert late.factor != early.factor
    total = late + early
    assert scheme.decrypt(total, keys.secret)[:, :2].tolist() == [[18, 32], [200, 242]]
    assert not scheme.decrypt(late - early, keys.secret).any()
    assert (total.noise_budget <= scheme.noise_budget(total, keys.secret)).all()
    with pytest.raises(FormError, match="different factors: see scheme.aligned"):
        Ciphertext.concatenate([late, early])


# Which level is best for a product.

LEVELS = [make_params(f"INSECURE_LEVELS_{n}", n, t, None, log2_q=q)
          for n, t, q in ((64, 2**12, 190), (1024, 2**20, 190), (4096, 2**26, 220))]  # fmt: skip


@pytest.mark.parametrize("params", LEVELS, ids=lambda p: p.name)
@pytest.mark.parametrize("depth", ["fresh", "sum", "product", "sum of products"])
def test_the_best_level_for_products_is_better_than_every_other_one(
    params: Params, depth: str
) -> None:
    scheme, keys = BGV(params), keys_of(params)
    rng, half = np.random.default_rng(3), params.t // 2
    ct = scheme.encrypt(rng.integers(-half, half, (3, params.n)), keys.secret, SEED)
    weights = np.array([[30], [-50], [7]], dtype=np.int64)
    if "product" in depth:
        ct = scheme.relinearize(ct * ct, keys.relinearization)
    if "sum" in depth:
        ct = ct @ weights
    ready = scheme.ready_for_product(ct)
    assert ready.params.k == scheme.best_for_products(ct.bound)
    promised, left = {}, {}
    for primes in range(1, params.k + 1):
        if 2 * params.t < math.prod(params.moduli[:primes]):
            with noise.unchecked():
                product = scheme.square(ct, primes)
            promised[primes] = float(product.noise_budget.min())
            left[primes] = float(scheme.noise_budget(product, keys.secret).min())
    assert promised[ready.params.k] == max(promised.values())
    assert left[ready.params.k] >= max(left.values()) - 1.5
    # That is the whole point of it, but fresh ciphertexts have little to gain.
    if "product" in depth:
        assert left[ready.params.k] > left[params.k] + 10
        assert ready.params.k < params.k


@pytest.mark.parametrize("kind", [BFV, BGV])
def test_bgv_multiplies_as_easily_as_bfv(kind: type[Scheme]) -> None:
    """x * x * x, and then a fresh ciphertext in a product and in a sum, with no word of levels."""
    params = make_params("easy", 4096, 2**20 - 2**14)
    scheme, values = kind(params), np.array([7, -8, 0, 11])
    keys = scheme.keygen(SEED)

    def short(ct: Ciphertext) -> Ciphertext:
        return scheme.relinearize(ct, keys.relinearization)

    x = scheme.encrypt(values, keys.public, SEED)
    cube = short(short(x * x) * x)
    assert scheme.decrypt(cube, keys.secret)[:4].tolist() == (values**3).tolist()
    fresh = scheme.encrypt(values, keys.secret, OTHER_SEED)
    for result, expected in (
        (cube + fresh, values**3 + values),
        (fresh - cube, values - values**3),
        (scheme.encrypt([1, 2], keys.secret) - cube, [1, 2, 0, 0] - values**3),
    ):
        assert scheme.decrypt(result, keys.secret)[:4].tolist() == expected.tolist()


def test_a_square_stays_one_object_when_it_is_switched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensor of a square has three products of polynomials, that of a product four."""
    scheme, keys = BGV(LEVELS[0]), keys_of(LEVELS[0])
    ct = scheme.encrypt([3], keys.secret) * 5
    ct = scheme.relinearize(ct * ct, keys.relinearization)
    same = []
    product_rows = BGV.product_rows
    monkeypatch.setattr(
        BGV, "product_rows", lambda self, x, y: same.append(x is y) or product_rows(self, x, y)
    )
    assert scheme.decrypt(ct * ct, keys.secret)[0] == 15**4 % LEVELS[0].t
    assert same == [True]


def test_ciphertexts_of_other_schemes_are_always_ready_for_products() -> None:
    params = LEVELS[0]
    scheme = BFV(params)
    ct = scheme.encrypt([1], scheme.keygen().secret)
    assert scheme.ready_for_product(ct) is ct


# BFV in other words.


@given(st.data(), toys, seeds, st.booleans())
@settings(max_examples=30)
def test_from_bfv_and_to_bfv_are_inverse_and_keep_message_and_noise(
    data: st.DataObject, params: Params, seed: bytes, public: bool
) -> None:
    bfv_scheme, scheme, book = BFV(params), BGV(params), textbook_params(params)
    keys = bfv_scheme.keygen(SEED)
    values = data.draw(slot_values(params, (2,)))
    ct = bfv_scheme.encrypt(values, keys.public if public else keys.secret, seed)
    other = from_bfv(ct)
    assert (other.scheme.name, other.factor) == ("BGV", -params.q % params.t)
    assert other.public_seed is None
    parts = [list(part) for part in np.asarray(bfv_scheme.coefficients(ct.rows[1]).integers())]
    assert book_ct(other, 1) == textbook_bgv.from_bfv(book, parts)
    assert scheme.decrypt(other, keys.secret).tolist() == values.tolist()
    measured = bfv_scheme.noise_budget(ct, keys.secret)
    assert scheme.noise_budget(other, keys.secret).tolist() == measured.tolist()
    spent = ct.noise_budget - other.noise_budget  # see test_rounding_errors_of_messages_add_up
    assert spent == pytest.approx(math.log2(params.n) / 2)
    back = to_bfv(other)
    assert (back.scheme.name, back.factor) == ("BFV", 1)
    compose = params.ring.basis.compose
    assert np.array_equal(compose(back.rows), compose(ct.rows))
    assert np.array_equal(compose(from_bfv(back).rows), compose(other.rows))


@given(st.data(), multiplicative)
@settings(max_examples=20)
def test_ciphertexts_with_any_factor_go_to_bfv(data: st.DataObject, params: Params) -> None:
    scheme, keys, t = BGV(params), keys_of(params), params.t
    values, f = data.draw(slot_values(params)), data.draw(units(t))
    ct = replace(scheme.encrypt(values, keys.secret, SEED), factor=f)
    found = BFV(params).decrypt(to_bfv(ct), keys.secret)
    assert found.tolist() == centred(values.astype(object) * pow(f, -1, t), t).tolist()


@pytest.mark.parametrize("n", [1024, pytest.param(16384, marks=pytest.mark.slow)])
def test_rounding_errors_of_messages_add_up_in_the_embeddings(n: int) -> None:
    """100 times one plaintext in BFV: all roundings are one polynomial, not 100 random ones."""
    params = make_params(f"INSECURE_ROUNDED_{n}", n, 2**20, security=None, log2_q=210)
    bfv, scheme = BFV(params), BGV(params)
    keys = bfv.keygen(SEED)
    t_ring = params.plaintext_ring
    same = np.full((1, n), (params.t - 1) // 2, dtype=np.int64)
    message = Plaintext(params, CoefficientElement(t_ring, same.astype(np.float64)))
    ct = bfv.encrypt([1, 2, 3], keys.secret, SEED)
    for _ in range(100):
        ct = ct + message
    square = scheme.square(from_bfv(ct), params.k)
    assert float(square.noise_budget) <= float(scheme.noise_budget(square, keys.secret))


def test_to_bfv_forgets_the_seed_also_where_nothing_is_scaled() -> None:
    """q = -1 mod t: then the factor of a fresh BGV ciphertext is -q already."""
    n, t = 16, 97
    q = next(
        moduli
        for moduli in combinations(next_ntt_primes(n, 2**20, 40), 4)
        if math.prod(moduli) % t == t - 1
    )
    params = Params("INSECURE_minus_1", n, q, (t,), None)
    ct = BGV(params).encrypt([1, 2, 3], keys_of(params).secret, SEED)
    assert ct.public_seed is not None
    moved = to_bfv(ct)
    assert moved.public_seed is None
    back = wire.from_bytes(wire.to_bytes(moved), Ciphertext)
    secret = replace(BFV(params).keygen(SEED).secret, key_id=ct.key_id, s=keys_of(params).secret.s)
    assert BFV(params).decrypt(back, secret)[:4].tolist() == [1, 2, 3, 0]


def test_changes_of_the_scheme_refuse_what_is_not_of_the_other_scheme() -> None:
    params = toy_params(16, 1, 4)
    ct = BGV(params).encrypt([1], keys_of(params).secret)
    bfv = BFV(params).encrypt([1], BFV(params).keygen().secret)
    for verb, wrong, names in (
        (from_bfv, ct, "of BGV was given to BFV"),
        (to_bfv, bfv, "of BFV was given to BGV"),
        (from_bfv, [bfv], "BFV takes a Ciphertext here, not a list"),
        (to_bfv, 5, "BGV takes a Ciphertext here, not a int"),
    ):
        with pytest.raises(KeyMismatchError, match=names):
            verb(wrong)  # type: ignore[arg-type]


def test_a_computation_may_change_the_scheme_in_between() -> None:
    params = toy_params(64, 1, 5, t_above=1000)
    scheme, keys = BFV(params), BFV(params).keygen(SEED)
    ct = scheme.encrypt([3, -4], keys.public, SEED)
    square = scheme.relinearize(ct * ct, keys.relinearization)
    product = from_bfv(square) * from_bfv(square)
    assert BGV(params).decrypt(product, keys.secret)[:3].tolist() == [81, 256, 0]
    assert scheme.decrypt(to_bfv(product) + 1, keys.secret)[:3].tolist() == [82, 257, 1]


# What encryption promises.


TOY = toy_params(64, 2, 4, t_above=2000)


def test_arrays_without_ciphertexts_go_through_all_verbs() -> None:
    scheme, keys = BGV(TOY), keys_of(TOY)
    nothing = scheme.encrypt(np.zeros((0, 64), dtype=np.int64), keys.secret)
    assert scheme.decrypt(nothing, keys.secret).shape == (0, 64)
    for ct in (
        scheme.relinearize(nothing * nothing, keys.relinearization),
        scheme.ready_for_product(nothing),
        scheme.switch_modulus(nothing, 3) + 1,
        nothing + nothing,
        to_bfv(from_bfv(to_bfv(nothing))),
    ):
        assert ct.shape == (0,)
    assert not scheme.decrypt(scheme.encrypt([], keys.public), keys.secret).any()


def test_transparent_ciphertexts_are_refused() -> None:
    scheme, keys = BGV(TOY), keys_of(TOY)
    ct = scheme.encrypt([[1], [2]], keys.public)
    readable = replace(ct, store=ct.rows * [[[1.0]], [[0.0]]])  # c_1 = 0: the phase is c_0
    for operation in (
        lambda: ct - ct,
        lambda: ct * 0,
        lambda: ct @ np.array([[1, 0], [1, 0]]),
        lambda: readable + 1,
        lambda: scheme.switch_modulus(readable, 3),
    ):
        with pytest.raises(TransparentCiphertextError, match="no longer depends|depends on no"):
            operation()


# Attacks on public data: they work exactly when there are no errors.


def test_one_seed_gives_unrelated_keys_in_bfv_and_bgv() -> None:
    """With one a and one e in both, the difference of the keys would be (t - 1) e, and give s."""
    ours, theirs = keys_of(TOY), BFV(TOY).keygen(SEED)
    assert ours.secret.key_id != theirs.secret.key_id
    assert polynomial(ours.secret.s) != polynomial(theirs.secret.s)
    difference = np.array(polynomial(theirs.public.b - ours.public.b), dtype=object)
    e = difference * pow(TOY.t - 1, -1, TOY.q) % TOY.q
    assert min(e.max(), (TOY.q - e).max()) > TOY.q // 8  # no small error
    for name in ("public", "relinearization"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert not np.array_equal(a.a.canonical(), b.a.canonical())


def read_without_a_key(ct: Ciphertext, keys: Keys) -> Poly:
    """Solve c_1 = a u for u, and read c_0 - b u modulo t: the message, if there were no errors."""
    ring, (c_0, c_1) = ct.params.ring, (NttElement(ct.params.ring, part) for part in ct.rows[0])
    minus_u = ring.element(np.array(solve(c_1, keys.public.a), dtype=object)).ntt()
    return textbook.poly_mod(polynomial(c_0 + keys.public.b * minus_u), ct.params.t)


def test_public_data_does_not_decrypt_unless_encryption_forgets_its_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = toy_params(64, 1, 4)
    scheme, keys = BGV(params), keys_of(params)
    values = np.arange(64, dtype=np.int64) - 32
    m = message(params, values)
    assert read_without_a_key(scheme.encrypt(values, keys.public), keys) != m
    monkeypatch.setattr(rlwe, "gaussian", lambda seed, labels, n: np.zeros((len(labels), n)))
    assert read_without_a_key(scheme.encrypt(values, keys.public), keys) == m


# Noise, on both sides.

WIDE = make_params("INSECURE_WIDE", 1024, 2**17, security=None, log2_q=190)
LARGEST = WIDE.t // 2


def unlucky(params: Params, shape: tuple[int, ...] = ()) -> Plaintext:
    """Messages all of whose coefficients are (t - 1)/2: large, and of one sign."""
    rows = params.plaintext_ring.basis.decompose(np.array([params.t // 2], dtype=np.int64))
    rows = np.broadcast_to(rows, (*shape, len(rows), params.n)).copy()
    return Plaintext(params, CoefficientElement(params.plaintext_ring, rows))


def random_messages(params: Params, shape: tuple[int, ...]) -> Plaintext:
    half = params.t // 2
    values = np.random.default_rng(5).integers(-half, half, (*shape, params.n), dtype=np.int64)
    return BGV(params).encode(values)


MESSAGES = {"random": random_messages, "unlucky": unlucky}


def phases(ct: Ciphertext) -> np.ndarray:
    """All coefficients of nu = phase / q, with the secret key."""
    scheme, q = BGV(ct.params), ct.params.q
    found = [scheme.phase(ct, int(j), keys_of(WIDE).secret).integers() for j in ct.index.flat]
    return np.array([[x / q for x in np.asarray(row)] for row in found])


@pytest.mark.parametrize("kind", ["public", "secret"])
@pytest.mark.parametrize("messages", MESSAGES)
def test_fresh_noise_has_the_width_of_theory_and_mean_0(
    kind: str, messages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def relative(params: Params = WIDE) -> np.ndarray:
        key = getattr(keys_of(params), kind)
        ct = BGV(params).encrypt(MESSAGES[messages](params, (8,)), key, SEED)
        return phases(ct) / ct.bound.deviation[0]

    nu = relative()
    assert nu.std() == pytest.approx(1, abs=0.1)
    assert abs(nu.mean()) < 5 / math.sqrt(nu.size)
    # Encryption that forgets its errors still decrypts. Only this comparison tells.
    monkeypatch.setattr(rlwe, "gaussian", lambda seed, labels, n: np.zeros((len(labels), n)))
    assert relative().std() < 0.9


def test_a_coefficient_beside_half_of_a_large_t_may_be_taken_on_either_side_of_it() -> None:
    """As a float (t - 1)/2 is t/2, if t has 59 bits: with m or with m - t, both is right."""
    params = toy_params(64, 3, 6, t_above=2**19)
    assert (params.t - 1) / params.t == 1.0
    scheme, key, messages = BGV(params), keys_of(params).secret, unlucky(params, (4,))
    ct = scheme.encrypt(messages, key, SEED)
    assert np.array_equal(scheme.decrypt(ct, key), scheme.decode(messages))
    errors = np.array([scheme.phase(ct, j, key).integers() for j in range(4)])
    shares = errors.astype(np.float64) / params.t  # m/t + r + e, of mean 0
    assert np.abs(shares).max() < 40
    assert abs(shares.mean()) < 5 * 3.24 / math.sqrt(shares.size)


def test_theory_by_hand() -> None:
    # t (e + r) + m: 3.2^2 + 1/4 = 10.49, whose root is 3.2388.
    ct = BGV(WIDE).encrypt([0], keys_of(WIDE).secret)
    assert ct.bound.deviation[0] * WIDE.q / WIDE.t == pytest.approx(3.2388, abs=1e-4)
    # t (e_0 + e_1 s - e u + r) + m: 10.24 (1 + 2 * 2/3 * 1024) + 1/4, the root is 118.29.
    ct = BGV(WIDE).encrypt([0], keys_of(WIDE).public)
    assert ct.bound.deviation[0] * WIDE.q / WIDE.t == pytest.approx(118.29, abs=0.01)
    # The square of a polynomial with deviation x has sqrt(2 n) x; 2 sqrt(n) x is promised.
    square = ct * ct
    expected = 2 * math.sqrt(1024) * float(ct.bound.deviation[0]) ** 2 * WIDE.q
    assert square.bound.deviation[0] == pytest.approx(expected)
    assert square.bound.order.tolist() == [3]


def without_dither(self: BGV, messages: Any, e: Any, seed: bytes, numbers: range) -> Any:
    return rlwe.RLWE._noisy(self, messages, e, seed, numbers)


def test_without_the_dither_a_message_shifts_the_mean_of_its_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mean(messages: Plaintext) -> float:
        ct = BGV(WIDE).encrypt(messages, keys_of(WIDE).secret, SEED)
        return float(phases(ct).mean()) * WIDE.q / WIDE.t

    uncertain = 5 * 3.24 / math.sqrt(8 * WIDE.n)
    assert abs(mean(unlucky(WIDE, (8,)))) < uncertain
    monkeypatch.setattr(BGV, "_noisy", without_dither)
    assert mean(unlucky(WIDE, (8,))) == pytest.approx(1 / 2, abs=uncertain)
    assert abs(mean(random_messages(WIDE, (8,)))) < uncertain


@given(st.data(), st.sampled_from([params for params in TOYS if params.n > 4]), seeds)
@settings(max_examples=20)
def test_the_dither_moves_a_coefficient_by_t_towards_0_or_not_at_all(
    data: st.DataObject, params: Params, seed: bytes
) -> None:
    m = [int(x) for x in data.draw(slot_values(params))]
    moved = textbook_bgv.dithered(textbook_params(params), m, seed)
    for before, after in zip(m, moved, strict=True):
        assert after in ({before, before - params.t} if before > 0 else {before, before + params.t})
        assert after == 0 or before != 0
    rate = [x != y for x, y in zip(m, moved, strict=True)]
    expected = sum(abs(x) / params.t for x in m)
    assert abs(sum(rate) - expected) <= 5 * math.sqrt(params.n) / 2 + 1


@pytest.mark.parametrize(
    ("n", "left"), [(8192, 1.0), pytest.param(16384, 0.0, marks=pytest.mark.slow)]
)
def test_without_the_dither_the_prediction_fails_for_an_unlucky_message(
    n: int, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two squares without a switch in between: of equal signs n^3 terms add up, else sqrt(n^3)."""
    params = make_params(f"INSECURE_DITHER_{n}", n, 2**36, security=None, log2_q=204)
    scheme, keys = BGV(params), keys_of(params)

    def margin() -> float:
        ct = scheme.encrypt(unlucky(params), keys.secret, SEED)
        for _ in range(2):
            ct = scheme.relinearize(scheme.square(ct, params.k), keys.relinearization)
        return float(scheme.noise_budget(ct, keys.secret) - ct.noise_budget)

    assert 3 < margin() < 6
    monkeypatch.setattr(BGV, "_noisy", without_dither)
    assert margin() < left


def network_circuit(params: Params, messages: Plaintext, kind: str) -> list[tuple[str, Ciphertext]]:
    """Two affine layers with squares behind them, and a last one: what networks do."""
    scheme, keys = BGV(params), keys_of(params)
    rng = np.random.default_rng(7)

    def weights(rows: int, columns: int) -> Any:
        return rng.choice([-9, -4, 3, 8], size=(rows, columns))

    steps = [("fresh", scheme.encrypt(messages, getattr(keys, kind), SEED))]

    def then(step: str, ct: Ciphertext) -> None:
        steps.append((step, ct))

    for width in (5, 4):
        columns = weights(steps[-1][1].size, width)
        then("affine", steps[-1][1].affine(columns, rng.integers(-100, 100, width)))
        if steps[-1][1].degree == 2:
            then("relinearised", scheme.relinearize(steps[-1][1], keys.relinearization))
        then("ready", scheme.ready_for_product(steps[-1][1]))
        then("squared", steps[-1][1] * steps[-1][1])
    then("affine", steps[-1][1].affine(weights(4, 3), rng.integers(-100, 100, 3)))
    then("relinearised", scheme.relinearize(steps[-1][1], keys.relinearization))
    then("smallest", scheme.switch_modulus(steps[-1][1]))
    return steps


@pytest.mark.parametrize("kind", ["public", "secret"])
@pytest.mark.parametrize("messages", MESSAGES)
@pytest.mark.parametrize("n", [256, 4096])
def test_the_predicted_budget_is_at_most_the_measured_one_and_not_much_less(
    n: int, messages: str, kind: str
) -> None:
    params = make_params(f"INSECURE_NETWORK_{n}", n, 2**20, security=None, log2_q=190)
    key = keys_of(params).secret
    steps = network_circuit(params, MESSAGES[messages](params, (6,)), kind)
    assert [step for step, _ in steps].count("squared") == 2
    assert steps[-1][1].params.k < params.k
    # The more factors a noise has, the more room its tail is given.
    room = {0: 3.5, 1: 6, 3: 9, 7: 22}
    for step, ct in steps:
        gap = BGV(params).noise_budget(ct, key) - ct.noise_budget
        assert gap.min() >= 0, step
        assert gap.max() <= room[int(ct.bound.order.max())], step
    if kind == "secret":  # its phases are switched down to rounding errors before the second square
        assert gap.max() <= 4


# Wrong uses.


def test_keys_of_bfv_are_refused_and_those_of_bgv_by_bfv() -> None:
    """Of one seed, even: they would silently change the messages."""
    for scheme, other in ((BGV(TOY), BFV(TOY)), (BFV(TOY), BGV(TOY))):
        keys, foreign = scheme.keygen(SEED), other.keygen(SEED)
        name = "BgvPublicKey" if scheme.name == "BGV" else "a PublicKey"
        with pytest.raises(KeyMismatchError, match=f"{name} or SecretKey, but got a (Bgv)?Public"):
            scheme.encrypt([1], foreign.public)
        ct = scheme.encrypt([1], keys.public)
        with pytest.raises(KeyMismatchError, match=r"this takes a (Bgv)?Relin.* got a (Bgv)?Relin"):
            scheme.relinearize(ct * ct, foreign.relinearization)
        with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
            scheme.decrypt(ct, foreign.secret)


def test_ciphertexts_of_bfv_are_refused_by_every_verb() -> None:
    bfv_keys, scheme, keys = BFV(TOY).keygen(SEED), BGV(TOY), keys_of(TOY)
    ct, own = BFV(TOY).encrypt([1], bfv_keys.public), scheme.encrypt([1], keys.public)
    for verb in (
        lambda: scheme.decrypt(ct, keys.secret),
        lambda: scheme.noise_budget(ct, keys.secret),
        lambda: scheme.multiply(ct, ct),
        lambda: scheme.relinearize(ct, keys.relinearization),
        lambda: scheme.switch_modulus(ct, 2),
        lambda: scheme.ready_for_product(ct),
    ):
        with pytest.raises(KeyMismatchError, match="a ciphertext of BFV was given to BGV"):
            verb()
    for operation in (lambda: own + ct, lambda: ct - own, lambda: own * ct):
        with pytest.raises(KeyMismatchError, match=r"B.V .* do not mix|BFV was given to BGV"):
            operation()


def test_products_are_refused_when_their_noise_is_too_large() -> None:
    """Without switches the phase is squared every time: t, t^2, t^4; the third square is lost."""
    scheme, keys = BGV(LEVELS[0]), keys_of(LEVELS[0])
    ct = scheme.encrypt([3], keys.secret, SEED)
    switched, every = ct, ct.params.k
    for _ in range(2):
        ct = scheme.relinearize(scheme.square(ct, every), keys.relinearization)
        switched = scheme.relinearize(switched * switched, keys.relinearization)
    with pytest.raises(NoiseBudgetExhausted, match="a product leaves a noise budget of -"):
        scheme.square(ct, every)
    product = switched * switched
    assert scheme.decrypt(product, keys.secret)[0] == centred(3**8, LEVELS[0].t)


# The wire.


def test_products_of_whatever_noise_is_claimed_have_some() -> None:
    scheme, keys = BGV(TOY), keys_of(TOY)
    ct = scheme.encrypt([3], keys.secret)
    claimed = replace(ct, bound=ct.bound * (2.0**-1060 / ct.bound.deviation))
    with np.errstate(all="raise"):
        product = claimed * claimed
    assert (product.bound.deviation > 0).all()
    wire.to_bytes(product)  # which refuses a noise of nothing


def test_ciphertexts_travel_with_their_factor() -> None:
    params = toy_params(64, 1, 5, t_above=1000)
    scheme, keys = BGV(params), keys_of(params)
    ct = scheme.encrypt([[3, -4], [10, 11]], keys.secret, SEED)
    late = scheme.switch_modulus(scheme.relinearize(ct * ct, keys.relinearization), 3)
    back = wire.from_bytes(wire.to_bytes(late), Ciphertext)
    assert (back.factor, back.degree, back.scheme.name) == (late.factor, 1, "BGV")
    assert back.factor != 1
    assert np.array_equal(back.rows, canonical(late.rows, column(late.params.moduli)))
    assert scheme.decrypt(back, keys.secret)[:, :2].tolist() == [[9, 16], [100, 121]]
    # A writer of many blocks keeps to one factor.
    early = scheme.switch_modulus(ct, 3)
    writer = CiphertextWriter(io.BytesIO(), early * early, (4,))
    with pytest.raises(ParameterError, match="switched at the same depths"):
        writer.append(scheme.switch_modulus(ct * ct, 3))


def test_keys_are_kinds_of_their_own_on_the_wire() -> None:
    keys, foreign = keys_of(TOY), BFV(TOY).keygen(SEED)
    for name in ("public", "relinearization"):
        key, other = getattr(keys, name), getattr(foreign, name)
        back = wire.from_bytes(wire.to_bytes(key), type(key))
        assert np.array_equal(back.b.canonical(), key.b.canonical())
        assert np.array_equal(back.a.canonical(), key.a.canonical())
        with pytest.raises(FormatError, match="was required, this is a Bgv"):
            wire.from_bytes(wire.to_bytes(key), type(other))
        with pytest.raises(FormatError, match="a Bgv.* was required, this is a [PR]"):
            wire.from_bytes(wire.to_bytes(other), type(key))
