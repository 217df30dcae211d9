"""YASHE' in the engine: the same as the textbook, as noisy as predicted, and never called secure.

What any scheme must do is in `test_laws.py`; here is what is special to this one.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yashe.arithmetic.primes import ntt_primes
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound, tail_factor
from yashe.ciphertexts.slots import Plaintext
from yashe.errors import FormError, KeyMismatchError, NoiseBudgetExhausted, SecurityError
from yashe.parameters.paper import (
    INSECURE_YASHE_PAPER_A,
    INSECURE_YASHE_PAPER_B,
    PAPER_A,
    PAPER_B,
    paper_set_a,
)
from yashe.parameters.sets import INSECURE_TOY, Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.yashe import YASHE, YasheKeys
from yashe.textbook import polynomials as textbook
from yashe.textbook import yashe as textbook_yashe

SEED = bytes(range(32))


def toy(n: int, k: int, t_primes: int = 1) -> Params:
    """Parameters with small t, so that the noise leaves room for a product."""
    t = ntt_primes(n, t_primes, below=40 * n)
    return Params(f"INSECURE_{n}_{k}", n, ntt_primes(n, k, avoid=t), t, security=None)


TOYS = [toy(4, 3), toy(8, 4, 2), toy(16, 5, 2), toy(64, 4)]


def textbook_params(params: Params) -> textbook.Params:
    return textbook.Params(params.n, params.t, params.moduli)


def integers(ct: Ciphertext) -> list[int]:
    """The one part of a single ciphertext as the textbook writes it."""
    return [int(x) for x in ct.params.ring.basis.compose(ct.rows[int(ct.index), 0])]


def polynomial(plaintext: Plaintext) -> list[int]:
    basis = plaintext.params.plaintext_ring.basis
    return [int(x) for x in basis.compose(plaintext.element.residues)]


# The same as the textbook, bit for bit.


@pytest.mark.parametrize("params", TOYS, ids=repr)
@given(seed=st.binary(min_size=32, max_size=32))
@example(seed=SEED)
def test_keys_are_those_of_the_textbook(params: Params, seed: bytes) -> None:
    scheme, book = YASHE(params), textbook_params(params)
    keys, own = scheme.keygen(seed), scheme.own_seed(seed)
    f, h = textbook_yashe.keygen(book, own)
    evk = textbook_yashe.evaluation_keygen(book, f, h, own)
    assert list(keys.secret.f.intt().integers()) == f
    assert list(keys.public.h.intt().integers()) == h
    assert [list(row) for row in keys.relinearization.gamma.intt().integers()] == evk


def test_an_f_without_inverse_is_drawn_again_as_in_the_textbook() -> None:
    # With 257 = 1 (mod 128) an f has a zero among its 64 values about once in five draws.
    params = Params("INSECURE_257", 64, (257, 641, 769), (1153,), security=None)
    book, drawn_again = textbook_params(params), 0
    for i in range(12):
        seed = YASHE(params).own_seed(bytes([i]) * 32)
        f, _ = textbook_yashe.keygen(book, seed)
        assert list(YASHE(params).keygen(bytes([i]) * 32).secret.f.intt().integers()) == f
        first = textbook.poly_scale(textbook.ternary(seed, "secret-f/0", 64), params.t)
        first[0] += 1
        drawn_again += f != textbook.poly_mod(first, params.q)
    assert 0 < drawn_again < 12


@pytest.mark.parametrize("params", TOYS, ids=repr)
@given(data=st.data(), seed=st.binary(min_size=32, max_size=32))
def test_ciphertexts_and_products_are_those_of_the_textbook(
    params: Params, data: st.DataObject, seed: bytes
) -> None:
    scheme, book, half = YASHE(params), textbook_params(params), params.t // 2
    slots = st.lists(st.integers(-half, half), min_size=params.n, max_size=params.n)
    values = [data.draw(slots), data.draw(slots)]
    keys = scheme.keygen(SEED)
    f, h = textbook_yashe.keygen(book, scheme.own_seed(SEED))
    evk = textbook_yashe.evaluation_keygen(book, f, h, scheme.own_seed(SEED))
    ct = scheme.encrypt(values, keys.public, seed)
    expected = [
        textbook_yashe.encrypt(book, h, polynomial(scheme.encode(v)), scheme.own_seed(seed), j)
        for j, v in enumerate(values)
    ]
    assert [integers(ct[0]), integers(ct[1])] == expected
    product = ct[0] * ct[1]
    book_product = textbook_yashe.multiply(book, *expected)
    assert integers(product) == book_product
    assert integers(ct[0] * ct[0]) == textbook_yashe.multiply(book, expected[0], expected[0])
    switched = scheme.relinearize(product, keys.relinearization)
    assert integers(switched) == textbook_yashe.key_switch(book, evk, book_product)
    for ours, theirs, degree in ((ct[0], expected[0], 1), (product, book_product, 2)):
        message = textbook_yashe.decrypt(book, f, theirs, degree)
        assert np.array_equal(
            scheme.decrypt(ours, keys.secret),
            scheme.decode(Plaintext(params, params.plaintext_ring.element(message))),
        )


# Noise.


@pytest.mark.parametrize("params", TOYS, ids=repr)
def test_measured_noise_is_that_of_the_textbook(params: Params) -> None:
    scheme, book = YASHE(params), textbook_params(params)
    keys = scheme.keygen(SEED)
    f, _ = textbook_yashe.keygen(book, scheme.own_seed(SEED))
    ct = scheme.encrypt([1, -2, 3], keys.public, SEED)
    for x in (ct, ct * ct, scheme.relinearize(ct * ct, keys.relinearization)):
        exact = textbook_yashe.noise_budget(book, f, integers(x), x.degree)
        assert float(scheme.noise_budget(x, keys.secret)) == pytest.approx(exact, abs=1e-3)


def deviation(scheme: YASHE, ct: Ciphertext, keys: YasheKeys) -> float:
    """The standard deviation of the noise nu over all coefficients, measured exactly."""
    params, squares, count = scheme.params, 0, 0
    for row in ct.index.flat:
        phase = scheme.phase(ct, int(row), keys.secret).integers()
        noise = [textbook.centred(params.t * int(x), params.q) for x in phase]
        squares, count = squares + sum(x * x for x in noise), count + len(noise)
    return math.sqrt(Fraction(squares, count * params.q**2))


def several_keys(params: Params, count: int) -> list[tuple[YASHE, YasheKeys, Ciphertext]]:
    """Keys, each with an array of fresh ciphertexts of random messages."""
    scheme, generator = YASHE(params), np.random.default_rng(7)
    found = []
    for i in range(count):
        keys = scheme.keygen(bytes([i, count]) * 16)
        values = generator.integers(-(params.t // 2), params.t // 2, (8, params.n), dtype=np.int64)
        found.append((scheme, keys, scheme.encrypt(values, keys.public, bytes([i]) * 32)))
    return found


NOISY = make_params("INSECURE_NOISY", 256, 12289, security=None, log2_q=140)


def test_fresh_noise_is_within_10_percent_of_theory() -> None:
    for scheme, keys, ct in several_keys(NOISY, 3):
        ratio = deviation(scheme, ct, keys) / float(scheme.fresh_bound().deviation)
        assert 0.9 < ratio < 1.1, ratio


def test_switching_noise_is_within_10_percent_of_theory() -> None:
    for scheme, keys, ct in several_keys(NOISY, 3):
        square = ct * ct
        switched = scheme.relinearize(square, keys.relinearization)
        added = []
        for i in range(len(ct)):  # nu of the switched minus nu of the square
            phases = [scheme.phase(x, i, keys.secret).integers() for x in (switched, square)]
            added += [
                textbook.centred(NOISY.t * int(x - y), NOISY.q)
                for x, y in zip(*phases, strict=True)
            ]
        squares = Fraction(sum(x * x for x in added), len(added) * NOISY.q**2)
        ratio = math.sqrt(squares) / float(scheme.switching_bound().deviation)
        assert 0.9 < ratio < 1.1, ratio


def test_product_noise_is_below_theory_and_above_half_of_it() -> None:
    # The formula adds the deviations of two terms that are the same in a square and independent in
    # other products. The deviation is that of independent factors, but nu and k share f: sqrt(2).
    for scheme, keys, ct in several_keys(NOISY, 3):
        square, product = ct * ct, ct * ct[::-1]
        assert 0.92 < deviation(scheme, square, keys) / square.bound.deviation.max() < 1.45
        assert 0.64 < deviation(scheme, product, keys) / product.bound.deviation.max() < 1.13


def test_the_rounding_of_a_product_is_within_10_percent_of_theory() -> None:
    # t/q f^2 r is far below the rest of the noise, so it is looked at alone: f is that of real
    # keys, r is uniform, and the product is taken in floating point.
    scheme, n, ratios = YASHE(NOISY), NOISY.n, []
    predicted = math.sqrt(2 / 12) * scheme.secret_norm
    bound = scheme.product_bound(Bound.of(0.0, 0), Bound.of(0.0, 0))
    assert predicted < float(bound.deviation) * NOISY.q / NOISY.t
    for i in range(12):
        f = [int(x) for x in scheme.keygen(bytes([i, 9]) * 16).secret.f.intt().integers()]
        f_squared = np.array(textbook.poly_mul(f, f), dtype=np.float64)
        r = np.random.default_rng(i).uniform(-0.5, 0.5, n)
        whole = np.convolve(f_squared, r)
        negacyclic = whole[:n] - np.append(whole[n:], 0.0)
        ratios.append(float(np.std(negacyclic)) / predicted)
    assert 0.9 < float(np.mean(ratios)) < 1.1, ratios


@pytest.mark.parametrize("degree", [1, 2])
def test_adding_a_plaintext_adds_no_more_than_predicted(degree: int) -> None:
    scheme, keys, ct = several_keys(NOISY, 1)[0]
    x = ct if degree == 1 else ct * ct
    values = np.random.default_rng(3).integers(-6000, 6000, NOISY.n, dtype=np.int64)
    y, added = x + scheme.encode(values), []
    for i in range(4):
        before, after = (scheme.phase(z, i, keys.secret).integers() for z in (x, y))
        for difference in after - before:
            noise = textbook.centred(NOISY.t * int(difference), NOISY.q)
            added.append(float(Fraction(noise, NOISY.q)))
    bound = float(scheme.plain_addition_bound(degree).deviation)
    assert bound / 4 < float(np.std(added)) < bound
    assert np.allclose(y.bound.deviation, x.bound.deviation + bound, rtol=1e-12, atol=0)


@given(data=st.data())
def test_prediction_covers_the_measured_noise(data: st.DataObject) -> None:
    scheme = YASHE(INSECURE_TOY)
    keys = scheme.keygen(data.draw(st.binary(min_size=32, max_size=32)))
    ct = scheme.encrypt([[3, 1, -4], [1, 5, -9]], keys.public)
    product = scheme.relinearize(ct[0] * ct[1], keys.relinearization)
    for x in (ct, ct[0] * ct[1], product, product * 7 - 3, product + ct[0]):
        assert (x.noise_budget <= scheme.noise_budget(x, keys.secret)).all()


def test_products_run_to_exhaustion_and_are_then_refused() -> None:
    scheme = YASHE(INSECURE_TOY)
    keys = scheme.keygen(SEED)
    ct, message = scheme.encrypt([2, 3], keys.public), 2
    while float(ct.noise_budget) > 55:  # a product costs 2 log2 t + 12 = 48 bits, with its tail
        ct, message = scheme.relinearize(ct * ct, keys.relinearization), message**2
        assert scheme.decrypt(ct, keys.secret)[0] == textbook.centred(message, INSECURE_TOY.t)
    assert message > 2
    with pytest.raises(NoiseBudgetExhausted, match="a product leaves a noise budget"):
        ct * ct


# Refusals.


def test_a_security_claim_is_refused_with_the_reason() -> None:
    params = make_params("claims-128", 8192, 2**20)
    with pytest.raises(
        SecurityError,
        match="only.*overstretched.*2016/127.*2016/717.*2021/999: from q",
    ):
        YASHE(params)


def test_encryption_takes_the_public_key_only() -> None:
    scheme = YASHE(INSECURE_TOY)
    keys = scheme.keygen(SEED)
    with pytest.raises(KeyMismatchError, match="takes a YashePublicKey, but got a YasheSecr"):
        scheme.encrypt([1], keys.secret)


def test_keys_of_other_parameters_or_other_sets_are_refused() -> None:
    scheme, other = YASHE(INSECURE_TOY), YASHE(TOYS[3])
    keys, stranger = scheme.keygen(), scheme.keygen()
    ct = scheme.encrypt([1], keys.public)
    with pytest.raises(KeyMismatchError, match="is for INSECURE_64_4, the data for INSECURE_TOY"):
        scheme.encrypt([1], other.keygen().public)
    with pytest.raises(KeyMismatchError, match="a plaintext for INSECURE_64_4 does not fit"):
        scheme.encrypt(other.encode([1]), keys.public)
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        scheme.decrypt(ct, stranger.secret)
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        scheme.relinearize(ct * ct, stranger.relinearization)


def test_ciphertexts_of_the_two_schemes_do_not_mix() -> None:
    yashe, bfv = YASHE(INSECURE_TOY), BFV(INSECURE_TOY)
    ours = yashe.encrypt([1], yashe.keygen(SEED).public)
    theirs = bfv.encrypt([1], bfv.keygen(SEED).public)
    with pytest.raises(KeyMismatchError, match="BFV"):
        _ = ours + theirs


def test_degrees_do_not_mix() -> None:
    scheme = YASHE(INSECURE_TOY)
    ct = scheme.encrypt([1, 2], scheme.keygen(SEED).public)
    with pytest.raises(FormError, match="degree 2 at most, .* 2 and 1 were given: relinearize fir"):
        _ = (ct * ct) * ct
    with pytest.raises(FormError, match="degrees 2 and 1 differ: relinearize first"):
        _ = ct * ct + ct


def test_too_small_a_modulus_is_refused_when_encrypting() -> None:
    params = make_params("INSECURE_SMALL", 64, 2**16, security=None, log2_q=40)
    scheme = YASHE(params)
    with pytest.raises(NoiseBudgetExhausted, match="encryption under INSECURE_SMALL"):
        scheme.encrypt([1], scheme.keygen(SEED).public)


# Secrets.


def test_no_key_is_printed() -> None:
    keys = YASHE(INSECURE_TOY).keygen(SEED)
    assert "residues" not in repr(keys)
    assert "f=" not in repr(keys.secret)


def test_encryption_is_randomised_and_fresh_keys_differ() -> None:
    scheme = YASHE(INSECURE_TOY)
    keys, others = scheme.keygen(), scheme.keygen()
    assert keys.public.key_id != others.public.key_id
    assert not np.array_equal(keys.public.h.canonical(), others.public.h.canonical())
    a, b = scheme.encrypt([1], keys.public), scheme.encrypt([1], keys.public)
    assert not np.array_equal(a.rows, b.rows)


# The paper's sets.


def test_preset_a_follows_the_paper() -> None:
    params = INSECURE_YASHE_PAPER_A
    assert params.n == PAPER_A.n == 8192
    assert abs(params.log2_q - 383) < 1
    assert 47.9 < params.log2_t < 48
    assert params.security is None
    assert len(params.moduli) == 16
    assert paper_set_a("INSECURE_X", 2**51).t >= 2**51


def test_preset_b_follows_the_paper() -> None:
    assert [p.t for p in INSECURE_YASHE_PAPER_B] == [40961, 65537, 114689, 147457, 188417]
    for params in INSECURE_YASHE_PAPER_B:
        assert params.n == PAPER_B.n == 4096
        assert abs(params.log2_q - 190) < 1
        assert params.security is None


def test_the_papers_figures_follow_from_each_other() -> None:
    assert PAPER_A.predictions_per_hour == 51_739
    assert PAPER_B.predictions_per_hour == 58_982
    assert PAPER_A.encrypted_bytes == 784 * 2 * 392_192


def test_two_squares_fit_into_the_papers_sets_as_predicted() -> None:
    # Fresh 2 log2 t + 9 bits, every square 2 log2 t + 11 more: 6 log2 t + 30 in all, in front of
    # the budget's tail factor, without any linear layer.
    for params in (INSECURE_YASHE_PAPER_A, *INSECURE_YASHE_PAPER_B):
        scheme = YASHE(params)
        x = scheme.fresh_bound()
        for _ in range(2):
            x = scheme.product_bound(x, x) + scheme.switching_bound()
        budget = float(x.budget(params.n))
        spent = params.log2_q - budget - math.log2(2 * tail_factor(params.n, int(x.order)))
        assert spent == pytest.approx(6 * params.log2_t + 30, abs=2.5)
        assert budget > 40
