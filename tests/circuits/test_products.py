"""Sums of squares that are scaled once: the same as the textbook, done in that order."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from strategies_engine import centred
from yashe.circuits.products import SumsOfSquares
from yashe.errors import (
    EncodingError,
    FormError,
    KeyMismatchError,
    ParameterError,
    RangeError,
    ShapeError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE
from yashe.textbook import polynomials as textbook

PARAMS = make_params("INSECURE_squares", 16, 2**12, security=None, log2_q=110)
SCHEMES = {"bfv": BFV(PARAMS), "yashe": YASHE(PARAMS)}
KEYS = {name: scheme.keygen(bytes(32)) for name, scheme in SCHEMES.items()}


def encrypted(name, count, seed=0):
    """Ciphertexts of small numbers, and the numbers."""
    values = np.random.default_rng(seed).integers(-3, 4, size=(count, PARAMS.n))
    return SCHEMES[name].encrypt(values, KEYS[name].public, bytes([seed] * 32)), values


def summed(name, ct, weights, tile, constants=0):
    """The sums, `tile` ciphertexts at a time."""
    sums = SumsOfSquares(SCHEMES[name], weights.shape[1])
    for start in range(0, ct.size, tile):
        sums.add_squares(ct[start : start + tile], weights[start : start + tile])
    return sums.total(constants)


def exact(weights, values, constants=0, t=PARAMS.t):
    """The messages on Python integers, modulo t, centred."""
    wide = weights.astype(object).T @ values.astype(object) ** 2
    return centred(wide + np.asarray(constants, dtype=object).reshape(-1, 1), t)


def integers(residues):
    """Polynomials as lists of Python integers."""
    return PARAMS.ring.basis.compose(residues).tolist()


def tensor_square(name, parts):
    """The tensor square of a ciphertext by definition."""
    product = textbook.poly_mul
    if name == "yashe":
        return [product(parts[0], parts[0])]
    a, b = parts
    return [product(a, a), textbook.poly_scale(product(a, b), 2), product(b, b)]


@settings(max_examples=15)
@given(
    name=st.sampled_from(sorted(SCHEMES)),
    count=st.integers(1, 5),
    tile=st.integers(1, 5),
    seed=st.integers(0, 255),
)
def test_the_sum_of_squares_is_the_rounded_sum_of_tensor_squares(name, count, tile, seed):
    ct, _ = encrypted(name, count, seed)
    weights = np.random.default_rng(seed).integers(-7, 8, size=(count, 2))
    weights[0, ~weights.any(axis=0)] = 1
    total = summed(name, ct, weights, tile)
    squares = [tensor_square(name, integers(row)) for row in ct.rows]
    for m in range(2):
        for part, found in enumerate(integers(total.rows[m])):
            exact = textbook.poly_add(
                *(
                    textbook.poly_scale(square[part], int(w))
                    for square, w in zip(squares, weights[:, m], strict=True)
                )
            )
            rounded = textbook.poly_round(exact, PARAMS.t, PARAMS.q)
            assert found == textbook.poly_mod(rounded, PARAMS.q)


# Large weights overflow the room for sums in q P, so that the squares are scaled before; and those
# beyond 2^62 overflow an int64 wherever something is added to them, or their sign is changed.
LARGEST = [1, 1000, PARAMS.t // 2, 2**30, 2**60, 2**63]


@st.composite
def weights_up_to(draw, count, results):
    """Weights of every size, the largest and the smallest int64 often."""
    largest = draw(st.sampled_from(LARGEST))
    number = st.one_of(st.sampled_from([-largest, largest]), st.integers(-largest, largest))
    rows = st.lists(number.map(lambda x: min(x, 2**63 - 1)), min_size=results, max_size=results)
    rows = draw(st.lists(rows, min_size=count, max_size=count))
    return np.array(rows, dtype=np.int64)


@settings(max_examples=40)
@given(st.data(), st.sampled_from(sorted(SCHEMES)), st.integers(1, 6), st.integers(1, 6))
def test_weights_of_every_size_give_the_messages_of_squares_and_matrix_product(
    data, name, count, tile
):
    scheme, secret = SCHEMES[name], KEYS[name].secret
    ct, values = encrypted(name, count)
    weights = data.draw(weights_up_to(count, 3))
    constants = data.draw(weights_up_to(1, 3))[0]
    assume((weights % PARAMS.t).any(axis=0).all())
    total = summed(name, ct, weights, tile, constants)
    assert np.array_equal(scheme.decrypt(total, secret), exact(weights, values, constants))
    plain = (ct * ct).affine(weights, constants)
    assert total.degree == plain.degree == 2
    assert (total.noise_budget >= plain.noise_budget - 1e-6).all()
    assert (scheme.noise_budget(total, secret) >= total.noise_budget).all()


@pytest.mark.parametrize("weight", [2**63 - 1, -(2**63), 2**60, -(2**61)])
def test_the_largest_weights_are_exact_at_a_real_degree(weight):
    """Nine weights of 2^60 add up to 2^63 and more, whose sign is the other one in an int64."""
    params = make_params("INSECURE_4096", 4096, 2**20, security=None, log2_q=140)
    scheme, count = BFV(params), 9
    keys = scheme.keygen(bytes(32))
    values = np.arange(-3, count - 3)[:, None] * np.ones(params.n, dtype=np.int64)
    ct = scheme.encrypt(values, keys.secret, bytes(32))
    weights = np.full((count, 1), weight)
    sums = SumsOfSquares(scheme, 1)
    for tile in (slice(0, 5), slice(5, 9)):
        sums.add_squares(ct[tile], weights[tile])
    total = sums.total(weight)
    found = scheme.decrypt(total, keys.secret)
    assert np.array_equal(found, exact(weights, values, weight, params.t))
    assert (scheme.noise_budget(total, keys.secret) >= total.noise_budget).all()


@pytest.mark.parametrize("scheme", [BFV, BGV, YASHE], ids=lambda scheme: scheme.name)
def test_a_network_with_large_weights_computes_modulo_t_if_that_is_meant(scheme):
    scheme = scheme(make_params("INSECURE_64", 16, 2**20, security=None, log2_q=400))
    keys = scheme.keygen(bytes(32))
    info, weight = ModelInfo(name="large", levels=3), 2**61
    model = Sequential([Flatten(), Square(), Dense(2)], (3, 3, 1), info=info)
    model.layers[-1].parameters["weight"] = np.full((9, 2), weight)
    model.layers[-1].parameters["bias"] = np.array([0, weight])
    pixels = np.random.default_rng(0).integers(1, 4, size=(16, 3, 3, 1))
    ct = encrypt_images(scheme, model, pixels, keys.encryption)
    with pytest.raises(RangeError, match="the layer Dense: the logits can reach"):
        infer(scheme, model, ct, keys.relinearization)
    reply = infer(scheme, model, ct, keys.relinearization, joined_with=2**80)
    sums = (pixels.reshape(16, 9).astype(object) ** 2).sum(axis=1)[:, None] * weight
    logits = decrypt_logits(scheme, reply, keys.secret, 16)
    assert np.array_equal(logits, centred(sums + np.array([[0, weight]]), scheme.params.t))
    model.layers[-1].parameters["bias"] = np.array([0, -(2**63)])
    with pytest.raises(ParameterError, match=r"has a bias of 2\^62 or more"):
        infer(scheme, model, ct, keys.relinearization, joined_with=2**80)


@pytest.mark.parametrize("scheme", [BFV, YASHE], ids=lambda scheme: scheme.name)
def test_weights_may_add_up_to_more_than_an_int64(scheme):
    """Nine weights of t/2 = 2^60."""
    scheme = scheme(make_params("INSECURE_2_61", 16, 2**61, security=None, log2_q=600))
    keys, t = scheme.keygen(bytes(32)), scheme.params.t
    assert 9 * (t // 2) > 2**63
    values = np.arange(1, 10)[:, None] * np.ones(16, dtype=np.int64)
    sums, weights = SumsOfSquares(scheme, 1), np.full((9, 1), t // 2)
    sums.add_squares(scheme.encrypt(values, keys.encryption), weights)
    found = scheme.decrypt(sums.total(), keys.secret)
    assert np.array_equal(found, exact(weights, values, t=t))


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_constants_add_their_noise_and_zero_adds_none(name):
    sums = SumsOfSquares(SCHEMES[name], 3)
    sums.add_squares(encrypted(name, 2)[0], np.ones((2, 3), dtype=np.int64))
    without, found = (sums.total(x).bound.deviation for x in (0, [5, 0, PARAMS.t]))
    added = SCHEMES[name].plain_addition_bound(2).deviation
    assert found.tolist() == (without + added * np.array([1, 0, 0])).tolist()
    assert (found > without).tolist() == [True, False, False]


# A sum that has been read stays what it was.


@pytest.mark.parametrize("name", sorted(SCHEMES))
@pytest.mark.parametrize("room", [1, 10**6])
def test_a_total_is_the_sum_so_far_and_later_squares_do_not_change_it(name, room, monkeypatch):
    """With little room, what was summed is scaled down in between: there is more than one store."""
    scheme, secret = SCHEMES[name], KEYS[name].secret
    ct, values = encrypted(name, 6)
    sums = SumsOfSquares(scheme, 2)
    monkeypatch.setattr(sums, "_capacity", room)
    weights, found = np.array([[1, 2], [2, 1], [0, 1], [3, 5], [1, 0], [1, 1]]), []
    for tile in (slice(0, 1), slice(1, 4), slice(4, 6)):
        sums.add_squares(ct[tile], weights[tile])
        found += [sums.total(), sums.total(7), sums.total()]
    totals = [total.rows.copy() for total in found]
    sums.add_squares(ct, weights)
    for j, (total, rows) in enumerate(zip(found, totals, strict=True)):
        assert np.array_equal(total.rows, rows)
        stop = (1, 4, 6)[j // 3]
        expected = exact(weights[:stop], values[:stop], [7, 7] if j % 3 == 1 else 0)
        assert np.array_equal(scheme.decrypt(total, secret), expected)
    expected = exact(np.concatenate([weights] * 2), np.concatenate([values] * 2))
    assert np.array_equal(scheme.decrypt(sums.total(), secret), expected)


def test_squares_of_tiles_that_are_there_at_the_same_time_do_not_get_mixed_up():
    """(2 + 3) 1^2 = 5, and 10^2 = 100; a square written over the other would give 500."""
    scheme, keys = SCHEMES["bfv"], KEYS["bfv"]
    a, b = (scheme.encrypt([[x]], keys.secret) for x in (1, 10))
    sums, others = SumsOfSquares(scheme, 1), SumsOfSquares(scheme, 1)
    sums.add_squares(a, [[2]])
    others.add_squares(b, [[1]])
    sums.add_squares(a, [[3]])
    assert scheme.decrypt(sums.total(), keys.secret)[0, 0] == 5
    assert scheme.decrypt(others.total(), keys.secret)[0, 0] == 100


def test_ciphertexts_and_weights_stay_as_they_were():
    ct, _ = encrypted("bfv", 3)
    weights, rows = np.array([[PARAMS.t], [2**40], [3]]), ct.rows.copy()
    summed("bfv", ct, weights, tile=2, constants=5)
    assert weights.tolist() == [[PARAMS.t], [2**40], [3]]
    assert np.array_equal(ct.rows, rows)


@pytest.mark.parametrize("load", ["below", "at", "above"])
def test_what_fits_is_summed_to_the_last_bit_of_the_room(load, monkeypatch):
    """Sums of absolute weights up to P / (n q) stay exact; one more is scaled down first."""
    ct, values = encrypted("bfv", 3)
    sums = SumsOfSquares(SCHEMES["bfv"], 1)
    scaled = []
    monkeypatch.setattr(sums, "_flush", lambda flush=sums._flush: (scaled.append(1), flush()))
    room = 20
    monkeypatch.setattr(sums, "_capacity", room)
    weights = np.array([[10], [9], [{"below": 0, "at": 1, "above": 2}[load]]])
    for j in range(3):
        sums.add_squares(ct[[j]], weights[[j]])
    assert bool(scaled) == (load == "above")
    found = SCHEMES["bfv"].decrypt(sums.total(), KEYS["bfv"].secret)
    assert np.array_equal(found, exact(weights, values))


@pytest.mark.parametrize("last", [3, 4])
def test_squares_whose_weights_are_too_large_together_are_scaled_each(last, monkeypatch):
    """10 + 7 + 3 fit into the room of 20, and 10 + 7 + 4 do not."""
    ct, values = encrypted("bfv", 3)
    sums, weights = SumsOfSquares(SCHEMES["bfv"], 1), np.array([[10], [7], [last]])
    monkeypatch.setattr(sums, "_capacity", 20)
    sums.add_squares(ct, weights)
    assert sums._load == {3: 20, 4: 0}[last]
    found = SCHEMES["bfv"].decrypt(sums.total(), KEYS["bfv"].secret)
    assert np.array_equal(found, exact(weights, values))


def test_the_room_is_what_the_auxiliary_modulus_leaves():
    capacity = SumsOfSquares(SCHEMES["bfv"], 1)._capacity
    n, q, aux = PARAMS.n, PARAMS.q, PARAMS.auxiliary_basis.product
    # |sum| <= capacity * 2 n (q/2)^2 must stay below q P / 2.
    assert 2 * capacity * n * (q // 2) ** 2 < q * aux // 2
    assert (capacity + 1) * n * q >= aux


# Wrong uses.


def test_degree_two_other_keys_other_parameters_and_nothing_are_refused():
    scheme, (ct, _) = SCHEMES["bfv"], encrypted("bfv", 2)
    sums, ones = SumsOfSquares(scheme, 2), np.ones((2, 2), dtype=np.int64)
    with pytest.raises(ParameterError, match="at least one ciphertext"):
        sums.total()
    sums.add_squares(ct[:0], ones[:0])
    with pytest.raises(ParameterError, match="at least one ciphertext"):
        sums.total()
    with pytest.raises(FormError, match="relinearize first"):
        sums.add_squares(ct * ct, ones)
    sums.add_squares(ct, ones)
    other = scheme.encrypt([[1], [2]], scheme.keygen(b"o" * 32).public)
    with pytest.raises(KeyMismatchError, match="different keys"):
        sums.add_squares(other, ones)
    with pytest.raises(KeyMismatchError, match="4 primes, the sums for INSECURE_squares"):
        sums.add_squares(scheme.switch_modulus(ct, 4), ones)
    with pytest.raises(KeyMismatchError, match="a ciphertext of YASHE' was given to BFV"):
        sums.add_squares(encrypted("yashe", 2)[0], ones)
    # What was refused has left nothing behind.
    expected = summed("bfv", ct, ones, tile=2)
    assert np.array_equal(sums.total().rows, expected.rows)
    assert np.array_equal(sums.total().noise_budget, expected.noise_budget)


def test_weights_and_constants_that_do_not_fit_are_refused():
    ct, _ = encrypted("bfv", 2)
    sums = SumsOfSquares(SCHEMES["bfv"], 2)
    for shape in ((2, 3), (2,), (1, 2), (2, 2, 1), ()):
        with pytest.raises(ParameterError, match=r"weights of shape \(2, 2\), got \("):
            sums.add_squares(ct, np.ones(shape, dtype=np.int64))
    for weights in (np.full((2, 2), 0.5), np.ones((2, 2)), np.ones((2, 2), dtype=bool)):
        with pytest.raises(EncodingError, match="must be integers, not"):
            sums.add_squares(ct, weights)
    sums.add_squares(ct, np.ones((2, 2), dtype=np.int64))
    for shape in ((3,), (1, 2), (2, 1)):
        with pytest.raises(ShapeError, match=r"do not broadcast with ciphertexts of shape \(2,\)"):
            sums.total(np.ones(shape, dtype=np.int64))
    with pytest.raises(EncodingError, match="must be integers, not float64"):
        sums.total(0.5)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_ciphertexts_of_a_declared_range_are_refused_because_nobody_follows_it(name):
    """Else 100^2 would wrap around t = 4129 without a word."""
    ct, sums = encrypted(name, 2)[0].declared(-100, 100), SumsOfSquares(SCHEMES[name], 1)
    with pytest.raises(RangeError, match=r"sums of squares .* no declared range: .* ct.modulo\(\)"):
        sums.add_squares(ct, [[1], [1]])
    sums.add_squares(ct.modulo(), [[1], [1]])
    assert sums.total().within is None


def test_sums_say_what_they_are():
    assert repr(SumsOfSquares(SCHEMES["bfv"], 2)) == f"SumsOfSquares({SCHEMES['bfv']!r}, 2 sums)"


def test_no_sums_and_schemes_in_ntt_form_are_refused():
    for results in (0, -1, 1.5, "a", None):
        with pytest.raises(ParameterError, match=f"whole number of at least 1, not {results!r}"):
            SumsOfSquares(SCHEMES["bfv"], results)
    with pytest.raises(FormError, match="None does not scale its products"):
        SumsOfSquares(None, 1)
    with pytest.raises(FormError, match=r"BGV\(.* does not scale its products"):
        SumsOfSquares(BGV(PARAMS), 1)


@pytest.mark.parametrize("name", sorted(SCHEMES))
@pytest.mark.parametrize("zero", [0, PARAMS.t, -(2**40) * PARAMS.t])
@pytest.mark.parametrize("constants", [0, 7, [1, 7]])
def test_a_sum_without_weights_is_refused_and_no_constant_hides_it(name, zero, constants):
    """The one part of a ciphertext of YASHE' would be the constant, for everybody to read."""
    ct, _ = encrypted(name, 2)
    weights = np.array([[1, zero], [1, zero]])
    with pytest.raises(TransparentCiphertextError, match="a sum of squares no longer depends"):
        summed(name, ct, weights, 2, constants)
