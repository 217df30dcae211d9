"""BFV: sums as in the textbook; noise that hides; wrong uses. See test_rlwe.py, too."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import (
    SEED,
    TOYS,
    centred,
    seeds,
    slot_values,
    textbook_params,
    toy_params,
    toys,
)
from twins import message, parts, solve
from yashe.arithmetic.primes import next_ntt_primes
from yashe.arithmetic.rings import CoefficientElement
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys
from yashe.errors import (
    KeyMismatchError,
    NoiseBudgetExhausted,
)
from yashe.parameters.sets import Params
from yashe.schemes import rlwe
from yashe.schemes.bfv import BFV
from yashe.textbook import bfv as textbook_bfv


@lru_cache
def keys_of(params: Params, seed: bytes = SEED) -> Keys:
    return BFV(params).keygen(seed)


# Four primes of 24 bits are enough for one product at these t.
MULTIPLICATIVE = [params for params in TOYS if params.log2_q - 2 * params.log2_t > 30]
multiplicative = st.sampled_from(MULTIPLICATIVE)


@given(st.data(), toys)
@settings(max_examples=20)
def test_sums_and_plain_operands_are_those_of_the_textbook(
    data: st.DataObject, params: Params
) -> None:
    scheme, keys, book = BFV(params), keys_of(params), textbook_params(params)
    values = data.draw(slot_values(params, (3,)))
    c = data.draw(st.integers(1, 3))
    a, b = scheme.encrypt(values[:2], keys.secret, SEED)
    x, y, m = parts(a, 0), parts(b, 1), message(params, values[2])
    assert parts(a + b) == textbook_bfv.add(book, x, y)
    assert parts(a - b) == textbook_bfv.sub(book, x, y)
    assert parts(-a) == textbook_bfv.negate(book, x)
    assert parts(a * c) == textbook_bfv.multiply_scalar(book, x, c)
    assert parts(a + scheme.encode(values[2])) == textbook_bfv.add_plain(book, x, m)
    if values[2].any():
        with noise.unchecked():
            product = a * scheme.encode(values[2])
        assert parts(product) == textbook_bfv.multiply_plain(book, x, m)
    constant = [c] + [0] * (params.n - 1)
    assert parts(a + c) == textbook_bfv.add_plain(book, x, constant)


# What encryption promises.


@given(multiplicative, seeds)
@settings(max_examples=20)
def test_relinearisation_keeps_the_message_and_leaves_degree_1_alone(
    params: Params, seed: bytes
) -> None:
    scheme, keys = BFV(params), keys_of(params)
    half = params.t // 2
    values = [half, -half, 1, -1]
    ct = scheme.encrypt(values, keys.public, seed)
    assert scheme.relinearize(ct, keys.relinearization) is ct
    square = scheme.square(ct)
    assert (square.degree, square.rows.shape[1]) == (2, 3)
    short = scheme.relinearize(square, keys.relinearization)
    assert (short.degree, short.rows.shape[1]) == (1, 2)
    for result in (square, short):
        slots = scheme.decrypt(result, keys.secret)[:4]
        assert slots.tolist() == centred([v * v for v in values], params.t).tolist()


TOY = toy_params(64, 2, 4, t_above=2000)


# Attacks on public data: they work exactly when there are no errors.


def read_without_a_key(ct: Ciphertext, keys: Keys) -> list[int]:
    """Solve c_1 = a u for u, and read c_0 - b u: the message, if there were no errors."""
    ring = ct.params.ring
    c = [CoefficientElement(ring, part).ntt() for part in ct.rows[0]]
    minus_u = ring.element(np.array(solve(c[1], keys.public.a), dtype=object)).ntt()
    rest = (c[0] + keys.public.b * minus_u).intt()
    scaled = rest.rescale(ct.params.plaintext_ring, 1 / ct.params.delta)
    return [int(x) for x in scaled.ntt().canonical()[0]]


def test_public_data_does_not_decrypt_unless_encryption_forgets_its_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = toy_params(64, 1, 4)
    scheme, keys = BFV(params), keys_of(params)
    values = np.arange(64, dtype=np.int64) - 32
    slots = scheme.encode(values).element.ntt().canonical()[0].tolist()
    assert read_without_a_key(scheme.encrypt(values, keys.public), keys) != slots
    monkeypatch.setattr(rlwe, "gaussian", lambda seed, labels, n: np.zeros((len(labels), n)))
    assert read_without_a_key(scheme.encrypt(values, keys.public), keys) == slots


def test_the_parts_of_a_ciphertext_are_spread_over_all_residues() -> None:
    """The mean and the deviation of uniform residues, two-sided, for both encryptions."""
    scheme, keys = BFV(TOY), keys_of(TOY)
    for key in (keys.public, keys.secret):
        rows = scheme.encrypt(np.zeros((20, 64), dtype=np.int64), key, SEED).rows
        for i, p in enumerate(TOY.moduli):
            for part in range(2):
                x = rows[:, part, i].ravel() / p
                assert abs(x.mean()) < 5 / np.sqrt(12 * x.size)
                assert abs(x.var() * 12 - 1) < 5 * np.sqrt(0.8 / x.size)


# Wrong uses.


def test_ciphertexts_for_other_parameters_are_refused_by_every_verb() -> None:
    """t' = 97 and t = 97 * 193 share q and the key's name: m would be read as 193 m."""
    q = toy_params(16, 2, 4, t_above=90).moduli
    large = Params("INSECURE_large_t", 16, q, (97, 193), security=None)
    small = Params("INSECURE_small_t", 16, q, (97,), security=None)
    keys, ct = keys_of(large), BFV(small).encrypt([1, 2, 3], keys_of(small).secret)
    scheme, ct = BFV(large), replace(ct, key_id=keys.secret.key_id)
    for verb in (
        lambda: scheme.decrypt(ct, keys.secret),
        lambda: scheme.noise_budget(ct, keys.secret),
        lambda: scheme.square(ct),
        lambda: scheme.multiply(ct, ct),
        lambda: scheme.relinearize(ct, keys.relinearization),
    ):
        with pytest.raises(KeyMismatchError, match="INSECURE_small_t"):
            verb()


def test_encryption_is_refused_if_fresh_noise_is_too_large() -> None:
    t = next_ntt_primes(64, 2**20, 1)
    narrow = Params("INSECURE_narrow", 64, TOY.moduli[:1], t, security=None)
    with pytest.raises(NoiseBudgetExhausted, match="encryption under INSECURE_narrow leaves"):
        BFV(narrow).encrypt([1], keys_of(narrow).public)
