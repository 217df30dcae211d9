"""BFV: the textbook, bit for bit; noise that hides; wrong uses that are refused."""

from dataclasses import replace
from functools import lru_cache
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
from yashe.arithmetic import sampling
from yashe.arithmetic.primes import next_ntt_primes
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys
from yashe.errors import (
    EncodingError,
    FormError,
    KeyMismatchError,
    NoiseBudgetExhausted,
    ParameterError,
)
from yashe.parameters.sets import Params
from yashe.schemes import rlwe
from yashe.schemes.bfv import BFV
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import Poly


@lru_cache
def keys_of(params: Params, seed: bytes = SEED) -> Keys:
    return BFV(params).keygen(seed)


def polynomial(element: NttElement, row: int | None = None) -> Poly:
    """The centred coefficients, as the textbook keeps them."""
    residues = element.residues if row is None else element.residues[row]
    return list(NttElement(element.ring, residues).intt().integers())  # type: ignore[call-overload]


def parts(ct: Ciphertext, row: int = 0) -> list[Poly]:
    element = CoefficientElement(ct.params.ring, ct.rows[row])
    return [list(part) for part in np.asarray(element.integers())]


def message(params: Params, values: Any) -> Poly:
    psis = params.plaintext_ring.transform.psi
    return textbook.encode(np.asarray(values).tolist(), params.plaintext_moduli, psis)


# The same seeds give the textbook's numbers.


@given(toys, seeds)
@settings(max_examples=20)
def test_keys_are_those_of_the_textbook(params: Params, seed: bytes) -> None:
    keys, book, own = keys_of(params, seed), textbook_params(params), BFV(params).own_seed(seed)
    s, (b, a) = textbook_bfv.keygen(book, own)
    assert polynomial(keys.secret.s) == s
    assert polynomial(keys.public.b) == b
    assert polynomial(keys.public.a) == a
    relin = keys.relinearization
    for i, (b_i, a_i) in enumerate(textbook_bfv.relin_keygen(book, s, own)):
        assert polynomial(relin.b, i) == b_i
        assert polynomial(relin.a, i) == a_i


@given(st.data(), toys, seeds)
@settings(max_examples=20)
def test_ciphertexts_are_those_of_the_textbook(
    data: st.DataObject, params: Params, seed: bytes
) -> None:
    scheme, keys, book = BFV(params), keys_of(params), textbook_params(params)
    s, public = textbook_bfv.keygen(book, scheme.own_seed(SEED))
    values = data.draw(slot_values(params, (2,)))
    by_public = scheme.encrypt(values, keys.public, seed)
    by_secret, own = scheme.encrypt(values, keys.secret, seed), scheme.own_seed(seed)
    for j in range(2):
        m = message(params, values[j])
        assert parts(by_public, j) == textbook_bfv.encrypt(book, public, m, own, j)
        assert parts(by_secret, j) == textbook_bfv.encrypt_symmetric(book, s, m, own, j)
        assert list(scheme.phase(by_public, j, keys.secret).integers()) == textbook_bfv.phase(
            book, s, parts(by_public, j)
        )


# Four primes of 24 bits are enough for one product at these t.
MULTIPLICATIVE = [params for params in TOYS if params.log2_q - 2 * params.log2_t > 30]
multiplicative = st.sampled_from(MULTIPLICATIVE)


@given(st.data(), multiplicative)
@settings(max_examples=20)
def test_products_and_relinearised_products_are_those_of_the_textbook(
    data: st.DataObject, params: Params
) -> None:
    scheme, keys, book = BFV(params), keys_of(params), textbook_params(params)
    s, _ = textbook_bfv.keygen(book, scheme.own_seed(SEED))
    rlk = textbook_bfv.relin_keygen(book, s, scheme.own_seed(SEED))
    values = data.draw(slot_values(params, (2,)))
    ct = scheme.encrypt(values, keys.public, SEED)
    for product, i, j in ((ct[0] * ct[1], 0, 1), (scheme.square(ct[0]), 0, 0)):
        expected = textbook_bfv.multiply(book, parts(ct, i), parts(ct, j))
        assert parts(product) == expected
        assert scheme.decrypt(product, keys.secret).tolist() == list(
            centred(values[i].astype(object) * values[j], params.t)
        )
        short = scheme.relinearize(product, keys.relinearization)
        assert parts(short) == textbook_bfv.relinearise(book, rlk, expected)
        plain = textbook_bfv.decrypt(book, s, parts(short))
        assert message(params, scheme.decrypt(short, keys.secret)) == plain


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


@given(st.data(), toys, st.booleans())
@settings(max_examples=40)
def test_decryption_undoes_encryption(data: st.DataObject, params: Params, public: bool) -> None:
    scheme, keys = BFV(params), keys_of(params)
    values = data.draw(slot_values(params, (2, 2)))
    ct = scheme.encrypt(values, keys.public if public else keys.secret)
    assert ct.shape == (2, 2)
    assert ct.degree == 1
    decrypted = scheme.decrypt(ct, keys.secret)
    assert decrypted.dtype == np.int64
    assert decrypted.tolist() == values.tolist()


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


def test_a_plaintext_can_be_encrypted_and_no_values_encrypt_zeros() -> None:
    scheme, keys = BFV(TOY), keys_of(TOY)
    ct = scheme.encrypt(scheme.encode([[1, 2], [3, 4]]), keys.public)
    assert scheme.decrypt(ct, keys.secret)[:, :3].tolist() == [[1, 2, 0], [3, 4, 0]]
    assert not scheme.decrypt(scheme.encrypt([], keys.public), keys.secret).any()
    nothing = scheme.encrypt(np.zeros((0, 64), dtype=np.int64), keys.secret)
    assert scheme.decrypt(nothing, keys.secret).shape == (0, 64)


@pytest.mark.parametrize("kind", ["public", "secret"])
def test_a_seed_repeats_an_encryption_and_without_one_it_is_fresh(kind: str) -> None:
    scheme, keys = BFV(TOY), keys_of(TOY)
    key = getattr(keys, kind)
    values = np.zeros((2, 64), dtype=np.int64)
    same = [scheme.encrypt(values, key, SEED).rows for _ in range(2)]
    assert np.array_equal(*same)
    others = [scheme.encrypt(values, key, seed).rows for seed in (OTHER_SEED, None, None)]
    rows = [row.tobytes() for ct in (same[0], *others) for row in ct]
    assert len(set(rows)) == len(rows)  # two equal messages, four seeds: eight ciphertexts
    for ct in (same[0], *others):
        assert len({part.tobytes() for row in ct for part in row}) == 4


def test_the_uniform_half_comes_from_a_seed_that_does_not_give_the_error() -> None:
    """Whoever gets rho and the ciphertext must not be able to draw e."""
    scheme, keys = BFV(TOY), keys_of(TOY)
    a = scheme.encrypt([0], keys.secret, SEED).rows[0, 1]
    moduli = TOY.moduli
    rho = sampling.derive_seed(scheme.own_seed(SEED), "encrypt-rho")
    assert np.array_equal(a, sampling.uniform(rho, "encrypt-a/0", 64, moduli))
    assert not np.array_equal(a, sampling.uniform(scheme.own_seed(SEED), "encrypt-a/0", 64, moduli))
    e = -np.asarray(scheme.phase(scheme.encrypt([0], keys.secret, SEED), 0, keys.secret).integers())
    assert e.tolist() == sampling.gaussian(scheme.own_seed(SEED), "encrypt-e/0", 64).tolist()
    assert e.tolist() != sampling.gaussian(rho, "encrypt-e/0", 64).tolist()


# Attacks on public data: they work exactly when there are no errors.


def solve(b: NttElement, a: NttElement) -> list[int]:
    """-b/a modulo q, value by value: the secret, if b = -a s had no error."""
    rows = [
        [-int(x) * pow(int(y), -1, p) % p for x, y in zip(row_b, row_a, strict=True)]
        for row_b, row_a, p in zip(b.residues, a.residues, b.ring.basis.moduli, strict=True)
    ]
    return list(NttElement(b.ring, np.array(rows, dtype=np.float64)).intt().integers())  # type: ignore[call-overload]


def test_the_public_key_gives_the_secret_only_if_it_has_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = keys_of(TOY)
    found = solve(honest.public.b, honest.public.a)
    assert found != polynomial(honest.secret.s)
    assert max(abs(x) for x in found) > TOY.q // 8
    monkeypatch.setattr(rlwe, "gaussian", lambda seed, label, n: np.zeros(n))
    broken = BFV(TOY).keygen(SEED)
    assert solve(broken.public.b, broken.public.a) == polynomial(broken.secret.s)


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
    monkeypatch.setattr(rlwe, "gaussian", lambda seed, label, n: np.zeros(n))
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


def test_another_key_does_not_decrypt() -> None:
    scheme, keys, others = BFV(TOY), keys_of(TOY), keys_of(TOY, OTHER_SEED)
    ct = scheme.encrypt([1, 2, 3], keys.public)
    for verb in (scheme.decrypt, scheme.noise_budget):
        with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
            verb(ct, others.secret)
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        scheme.relinearize(scheme.square(ct), others.relinearization)
    # Even if the names are made to agree, the result is noise and is refused.
    forged = Ciphertext(ct.scheme, others.secret.key_id, ct.rows, ct.bound, ct.index)
    with pytest.raises(NoiseBudgetExhausted, match="leaves a noise budget of"):
        scheme.decrypt(forged, others.secret)


def test_keys_and_plaintexts_for_other_parameters_are_refused() -> None:
    scheme, keys, others = BFV(TOY), keys_of(TOY), keys_of(TOYS[4])
    ct = scheme.encrypt([1], keys.public)
    with pytest.raises(KeyMismatchError, match=f"is for {TOYS[4].name}, the data for"):
        scheme.encrypt([1], others.public)
    with pytest.raises(KeyMismatchError, match=f"a plaintext for {TOYS[4].name} does not fit"):
        scheme.encrypt(BFV(TOYS[4]).encode([1]), keys.public)
    with pytest.raises(KeyMismatchError, match=f"is for {TOYS[4].name}, the data for"):
        scheme.relinearize(ct, others.relinearization)


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


def test_products_under_different_keys_are_refused_by_the_verb_and_by_the_operator() -> None:
    scheme = BFV(TOY)
    a, b = (scheme.encrypt([1], keys_of(TOY, seed).public) for seed in (SEED, OTHER_SEED))
    for product in (lambda: a * b, lambda: scheme.multiply(a, b)):
        with pytest.raises(KeyMismatchError, match="encrypted under different keys"):
            product()


def test_a_key_of_the_wrong_kind_is_refused() -> None:
    scheme, keys = BFV(TOY), keys_of(TOY)
    ct = scheme.encrypt([1], keys.public)
    for key in (keys.relinearization, keys, None):
        with pytest.raises(KeyMismatchError, match="PublicKey or SecretKey"):
            scheme.encrypt([1], key)
    for key in (keys.public, keys.relinearization, keys):
        with pytest.raises(KeyMismatchError, match="SecretKey"):
            scheme.decrypt(ct, key)
    for key in (keys.public, keys.secret, keys):
        with pytest.raises(KeyMismatchError, match="RelinearizationKey"):
            scheme.relinearize(scheme.square(ct), key)


def test_products_of_degree_2_are_refused() -> None:
    scheme, keys = BFV(TOY), keys_of(TOY)
    ct = scheme.encrypt([1, 2], keys.public)
    square = scheme.square(ct)
    for product in (lambda: square * ct, lambda: ct * square, lambda: square * square):
        with pytest.raises(FormError, match="degree 1, got 2: relinearize first"):
            product()


@pytest.mark.parametrize("seed", [b"short", "x" * 32, 5])
def test_other_seeds_are_refused(seed: Any) -> None:
    scheme, keys = BFV(TOY), keys_of(TOY)
    with pytest.raises(ParameterError, match="a seed is 32 bytes"):
        scheme.keygen(seed)
    with pytest.raises(ParameterError, match="a seed is 32 bytes"):
        scheme.encrypt([1], keys.public, seed)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (list(range(65)), "65 values do not fit into the 64 slots"),
        ([0.5], "must be integers"),
        ([TOY.t // 2 + 1], "must lie in"),
        (7, r"write \[value\]"),
    ],
)
def test_messages_that_do_not_fit_are_refused(values: Any, reason: str) -> None:
    with pytest.raises(EncodingError, match=reason):
        BFV(TOY).encrypt(values, keys_of(TOY).public)


def test_encryption_is_refused_if_fresh_noise_is_too_large() -> None:
    t = next_ntt_primes(64, 2**20, 1)
    narrow = Params("INSECURE_narrow", 64, TOY.moduli[:1], t, security=None)
    with pytest.raises(NoiseBudgetExhausted, match="encryption under INSECURE_narrow leaves"):
        BFV(narrow).encrypt([1], keys_of(narrow).public)
