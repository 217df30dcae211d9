"""Sums of squares that are scaled once: the same as the textbook, done in that order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yashe import textbook
from yashe.bfv import BFV
from yashe.errors import (
    FormError,
    KeyMismatchError,
    ParameterError,
    TransparentCiphertextError,
)
from yashe.params import make_params
from yashe.products import SumsOfSquares
from yashe.yashe_prime import YASHE

PARAMS = make_params("INSECURE_squares", 16, 2**12, security=None, log2_q=110)
SCHEMES = {"bfv": BFV(PARAMS), "yashe": YASHE(PARAMS)}
KEYS = {name: scheme.keygen(bytes(32)) for name, scheme in SCHEMES.items()}


def encrypted(name, count, seed=0):
    """Ciphertexts of small numbers, and the numbers."""
    values = np.random.default_rng(seed).integers(-3, 4, size=(count, PARAMS.n))
    return SCHEMES[name].encrypt(values, KEYS[name].public, bytes([seed] * 32)), values


def summed(name, ct, weights, tile):
    """The sums, `tile` ciphertexts at a time."""
    sums = SumsOfSquares(SCHEMES[name], weights.shape[1])
    for start in range(0, ct.size, tile):
        some = ct[start : start + tile]
        sums.add(some, sums.squares(some), weights[start : start + tile])
    return sums.total()


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


@pytest.mark.parametrize("name", sorted(SCHEMES))
@pytest.mark.parametrize("largest", [1, 1000, PARAMS.t // 2])
def test_weights_of_every_size_give_the_messages_of_squares_and_matrix_product(name, largest):
    """Large weights overflow the room for sums in q P, so that the squares are scaled before."""
    ct, values = encrypted(name, 6)
    weights = np.random.default_rng(1).integers(-largest, largest + 1, size=(6, 3))
    weights[0] = largest
    total = summed(name, ct, weights, tile=2)
    half = PARAMS.t // 2
    expected = (weights.T @ values**2 + half) % PARAMS.t - half
    assert np.array_equal(SCHEMES[name].decrypt(total, KEYS[name].secret), expected)
    plain = (ct * ct) @ weights
    assert total.degree == plain.degree == 2
    measured = SCHEMES[name].noise_budget(total, KEYS[name].secret)
    assert (measured >= total.noise_budget).all()


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
        sums.add(ct[[j]], sums.squares(ct[[j]]), weights[[j]])
    assert bool(scaled) == (load == "above")
    half = PARAMS.t // 2
    expected = (weights.T @ values**2 + half) % PARAMS.t - half
    assert np.array_equal(SCHEMES["bfv"].decrypt(sums.total(), KEYS["bfv"].secret), expected)


def test_the_room_is_what_the_auxiliary_modulus_leaves():
    capacity = SumsOfSquares(SCHEMES["bfv"], 1)._capacity
    n, q, aux = PARAMS.n, PARAMS.q, PARAMS.auxiliary_basis.product
    # |sum| <= capacity * 2 n (q/2)^2 must stay below q P / 2.
    assert 2 * capacity * n * (q // 2) ** 2 < q * aux // 2
    assert (capacity + 1) * n * q >= aux


def test_degree_two_other_keys_wrong_shapes_and_nothing_are_refused():
    scheme, (ct, _) = SCHEMES["bfv"], encrypted("bfv", 2)
    sums = SumsOfSquares(scheme, 2)
    with pytest.raises(ParameterError, match="at least one ciphertext"):
        sums.total()
    with pytest.raises(FormError, match="relinearize first"):
        sums.squares(ct * ct)
    with pytest.raises(ParameterError, match=r"weights of shape \(2, 2\), got \(2, 3\)"):
        sums.add(ct, sums.squares(ct), np.ones((2, 3), dtype=np.int64))
    sums.add(ct, sums.squares(ct), np.array([[1, 0], [1, 0]]))
    with pytest.raises(TransparentCiphertextError, match="no longer depends"):
        sums.total()
    other = scheme.encrypt([[1]], scheme.keygen(b"o" * 32).public)
    with pytest.raises(KeyMismatchError, match="different keys"):
        sums.add(other, sums.squares(other), np.ones((1, 2), dtype=np.int64))
