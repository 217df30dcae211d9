"""BGV without relinearisation: ciphertexts of more than three parts, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, reduce
from operator import mul

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import SEED, TOYS, slot_values, textbook_params
from twins import book_ct
from yashe import wire
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys
from yashe.errors import FormError, NoiseBudgetExhausted, ParameterError
from yashe.parameters.sets import Params, make_params
from yashe.schemes import rlwe
from yashe.schemes.bgv import BGV, to_bfv
from yashe.textbook import bgv as textbook_bgv

toys = st.sampled_from(TOYS)


@lru_cache
def keys_of(params: Params) -> Keys:
    return BGV(params).keygen(SEED)


def power(ct: Ciphertext, exponent: int) -> Ciphertext:
    """ct * ct * ..., whatever the noise is; at one level, so that rows can be compared."""
    with noise.unchecked():
        return reduce(lambda x, y: x.scheme.multiply(x, y, x.params.k), [ct] * exponent)


def by_the_book(ct: Ciphertext) -> textbook_bgv.Ciphertext:
    """One ciphertext as integers."""
    return book_ct(ct, int(ct.index))


@given(st.data(), toys, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=30)
def test_products_of_all_degrees_are_those_of_the_textbook(
    data: st.DataObject, params: Params, left: int, right: int
) -> None:
    scheme, book = BGV(params), textbook_params(params)
    a, b = scheme.encrypt(data.draw(slot_values(params, (2,))), keys_of(params).secret, SEED)
    x, y = power(a, left), power(b, right)
    with noise.unchecked():
        product = scheme.multiply(x, y, params.k)
    assert by_the_book(product) == textbook_bgv.multiply(book, by_the_book(x), by_the_book(y))
    assert (product.degree, product.rows.shape[1]) == (left + right, left + right + 1)


@given(st.data(), toys, st.integers(1, 4))
@settings(max_examples=30)
def test_a_square_of_any_degree_is_the_product_with_itself(
    data: st.DataObject, params: Params, degree: int
) -> None:
    """And its phase is the square of the phase: that is all that decryption needs."""
    scheme, secret = BGV(params), keys_of(params).secret
    ct = scheme.encrypt(data.draw(slot_values(params)), secret, SEED)
    x = power(ct, degree)
    with noise.unchecked():
        square, product = scheme.multiply(x, x, params.k), scheme.multiply(x, x[...], params.k)
    assert by_the_book(square) == by_the_book(product)
    phase = scheme.phase(x, int(x.index), secret).ntt()
    squared = scheme.phase(square, int(square.index), secret).ntt()
    difference = squared.residues - phase.residues * phase.residues
    assert not (difference % np.array(params.moduli)[:, None]).any()


@pytest.mark.parametrize("n", [256, 8192])
def test_the_noise_of_five_parts_is_at_most_what_was_predicted_and_not_much_less(n: int) -> None:
    """A sum of squares, a switch of all three parts, and the sum of squares of that.

    The prediction takes the largest embedding of s for each of its powers, 5 bits each time more
    than the typical one.
    """
    params = make_params("INSECURE_PARTS", n, 2**40, security=None, log2_q=210)
    scheme, keys = BGV(params), BGV(params).keygen(SEED)
    values = np.random.default_rng(n).integers(-3, 4, (12, n), dtype=np.int64)
    weights = np.random.default_rng(1).integers(1, 4, (12, 3), dtype=np.int64)
    x = scheme.encrypt(values, keys.secret, SEED)
    sums = (x * x) @ weights
    low = scheme.ready_for_product(sums)
    assert low.params.k < params.k
    result = (low * low).sum()
    assert (result.degree, result.rows.shape[1]) == (4, 5)
    for ct, gap in ((sums, 6), (low, 6), (result, 14)):
        measured = scheme.noise_budget(ct, keys.secret)
        assert (ct.noise_budget <= measured).all()
        assert (measured <= ct.noise_budget + gap).all()
    expected = (((values**2).T @ weights) ** 2).sum(axis=1)
    assert np.array_equal(scheme.decrypt(result, keys.secret), expected)


def test_more_parts_are_ready_for_a_product_with_more_primes() -> None:
    """Rounding errors are multiplied by s^2 as well, so the best level is a higher one."""
    params = make_params("INSECURE_PARTS", 8192, 2**40, security=None, log2_q=210)
    scheme = BGV(params)
    bound = scheme.fresh_bound(False) * 2.0**45
    best = [scheme.best_for_products(bound, degree=degree) for degree in (1, 2, 4)]
    assert best == sorted(best)
    assert best[0] < best[2]


MANY = next(params for params in TOYS if params.log2_q - 2 * params.log2_t > 30)


def test_relinearisation_takes_three_parts_and_not_more() -> None:
    scheme, keys = BGV(MANY), keys_of(MANY)
    ct = power(scheme.encrypt([1, 2], keys.secret, SEED), 3)
    with pytest.raises(FormError, match="degree 3 has higher powers of s: relinearize before"):
        scheme.relinearize(ct, keys.relinearization)


def test_bfv_has_no_such_ciphertexts() -> None:
    ct = power(BGV(MANY).encrypt([1, 2], keys_of(MANY).secret, SEED), 4)
    with pytest.raises(FormError, match="ciphertexts of BFV have degree 1 or 2, and this one 4"):
        to_bfv(ct)


@pytest.mark.parametrize("degree", [3, 4, 8])
def test_all_parts_travel(degree: int) -> None:
    ct = power(BGV(MANY).encrypt([[1, 2], [3, 4]], keys_of(MANY).secret, SEED), degree)
    ct = ct.scheme.switch_modulus(ct, MANY.k)
    back = wire.from_bytes(wire.to_bytes(ct), Ciphertext)
    assert (back.degree, back.rows.shape) == (degree, ct.rows.shape)
    assert np.array_equal(back.rows, ct.rows)
    with pytest.raises(ParameterError, match="rows of shape"):
        wire.to_bytes(replace(ct, degree=degree - 1))


def test_without_relinearisation_three_squares_are_the_most() -> None:
    scheme = BGV(MANY)
    ct = power(scheme.encrypt([1, 2], keys_of(MANY).secret, SEED), 8)
    with pytest.raises(
        FormError, match="degree 8 at most, .* degrees 8 and 1 .* relinearize first"
    ):
        mul(ct, scheme.encrypt([1], keys_of(MANY).secret, SEED))


def test_a_square_without_its_double_products_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the laws above rest on: wrong products do not decrypt."""
    params = make_params("INSECURE_PARTS", 256, 2**20, security=None, log2_q=190)
    scheme, keys = BGV(params), BGV(params).keygen(SEED)
    ct = scheme.encrypt([3, -2], keys.secret, SEED)
    square = ct * ct
    assert scheme.decrypt(square * square, keys.secret)[:2].tolist() == [81, 16]
    halves = rlwe.square_part

    def undoubled(x: rlwe.Polynomials, number: int, out: np.ndarray) -> None:
        halves(x, number, out)
        if len(x) == 3 and number == 2:
            out -= x[0] * x[2]

    monkeypatch.setattr(rlwe, "square_part", undoubled)
    with pytest.raises(NoiseBudgetExhausted, match="leaves a noise budget"):
        scheme.decrypt(square * square, keys.secret)
