"""What BFV and BGV share: the textbook, bit for bit; seeds and errors; wrong uses refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from twins import book_ct, message, parts, polynomial, solve
from yashe.arithmetic import sampling
from yashe.ciphertexts import noise
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
from yashe.schemes.bgv import BGV
from yashe.schemes.rlwe import RLWE
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook import bgv as textbook_bgv


@dataclass(frozen=True)
class Twin:
    """A scheme, its module of the textbook, and a row as the textbook keeps it."""

    kind: Callable[[Params], RLWE]
    book: Any
    row: Callable[..., Any]

    def symmetric(self, params: Params, s: Any, m: Any, seed: bytes, j: int) -> Any:
        """The textbook's encryption with the secret key."""
        psis = [list(params.ring.transform.psi)] if self.book is textbook_bgv else []
        return self.book.encrypt_symmetric(textbook_params(params), *psis, s, m, seed, j)


TWINS = {"BFV": Twin(BFV, textbook_bfv, parts), "BGV": Twin(BGV, textbook_bgv, book_ct)}
twins = pytest.mark.parametrize("twin", TWINS.values(), ids=TWINS)
TOY = toy_params(64, 2, 4, t_above=2000)


@lru_cache
def keys_of(twin: Twin, params: Params, seed: bytes = SEED) -> Keys:
    keys: Keys = twin.kind(params).keygen(seed)
    return keys


def toy(twin: Twin) -> tuple[RLWE, Keys]:
    return twin.kind(TOY), keys_of(twin, TOY)


# The same seeds give the textbook's numbers.


@twins
@given(toys, seeds)
@settings(max_examples=20)
def test_keys_are_those_of_the_textbook(twin: Twin, params: Params, seed: bytes) -> None:
    keys, book = keys_of(twin, params, seed), textbook_params(params)
    own = twin.kind(params).own_seed(seed)
    s, (b, a) = twin.book.keygen(book, own)
    assert polynomial(keys.secret.s) == s
    assert polynomial(keys.public.b) == b
    assert polynomial(keys.public.a) == a
    relin = keys.relinearization
    for i, (b_i, a_i) in enumerate(twin.book.relin_keygen(book, s, own)):
        assert polynomial(relin.b, i) == b_i
        assert polynomial(relin.a, i) == a_i


@twins
@given(st.data(), toys, seeds)
@settings(max_examples=20)
def test_ciphertexts_are_those_of_the_textbook(
    twin: Twin, data: st.DataObject, params: Params, seed: bytes
) -> None:
    scheme, keys, book = twin.kind(params), keys_of(twin, params), textbook_params(params)
    s, public = twin.book.keygen(book, scheme.own_seed(SEED))
    values = data.draw(slot_values(params, (2,)))
    by_public = scheme.encrypt(values, keys.public, seed)
    by_secret, own = scheme.encrypt(values, keys.secret, seed), scheme.own_seed(seed)
    for j in range(2):
        m = message(params, values[j])
        assert twin.row(by_public, j) == twin.book.encrypt(book, public, m, own, j)
        assert twin.row(by_secret, j) == twin.symmetric(params, s, m, own, j)
        for ct in (by_public, by_secret):
            row = twin.row(ct, j)
            phase = textbook_bfv.phase(book, s, getattr(row, "parts", row))
            assert list(scheme.phase(ct, j, keys.secret).integers()) == phase


# Four primes of 24 bits are enough for one product at these t.
multiplicative = st.sampled_from([p for p in TOYS if p.log2_q - 2 * p.log2_t > 30])


@twins
@given(st.data(), multiplicative)
@settings(max_examples=20)
def test_products_and_relinearised_products_are_those_of_the_textbook(
    twin: Twin, data: st.DataObject, params: Params
) -> None:
    scheme, keys, book = twin.kind(params), keys_of(twin, params), textbook_params(params)
    s, _ = twin.book.keygen(book, scheme.own_seed(SEED))
    rlk = twin.book.relin_keygen(book, s, scheme.own_seed(SEED))
    values = data.draw(slot_values(params, (2,)))
    ct = scheme.encrypt(values, keys.public, SEED)
    for product, i, j in ((ct[0] * ct[1], 0, 1), (scheme.square(ct[0]), 0, 0)):
        expected = twin.book.multiply(book, twin.row(ct, i), twin.row(ct, j))
        assert twin.row(product) == expected
        assert scheme.decrypt(product, keys.secret).tolist() == list(
            centred(values[i].astype(object) * values[j], params.t)
        )
        short = scheme.relinearize(product, keys.relinearization)
        assert twin.row(short) == twin.book.relinearise(book, rlk, expected)
        plain = twin.book.decrypt(book, s, twin.row(short))
        assert message(params, scheme.decrypt(short, keys.secret)) == plain


# What encryption promises.


@twins
@given(st.data(), toys, st.booleans())
@settings(max_examples=40)
def test_decryption_undoes_encryption(
    twin: Twin, data: st.DataObject, params: Params, public: bool
) -> None:
    scheme, keys = twin.kind(params), keys_of(twin, params)
    values = data.draw(slot_values(params, (2, 2)))
    ct = scheme.encrypt(values, keys.public if public else keys.secret)
    assert (ct.shape, ct.degree, ct.factor) == ((2, 2), 1, 1)
    decrypted = scheme.decrypt(ct, keys.secret)
    assert decrypted.dtype == np.int64
    assert decrypted.tolist() == values.tolist()


@twins
def test_a_plaintext_can_be_encrypted_and_no_values_encrypt_zeros(twin: Twin) -> None:
    scheme, keys = toy(twin)
    ct = scheme.encrypt(scheme.encode([[1, 2], [3, 4]]), keys.public)
    assert scheme.decrypt(ct, keys.secret)[:, :3].tolist() == [[1, 2, 0], [3, 4, 0]]
    assert not scheme.decrypt(scheme.encrypt([], keys.public), keys.secret).any()
    nothing = scheme.encrypt(np.zeros((0, 64), dtype=np.int64), keys.secret)
    assert scheme.decrypt(nothing, keys.secret).shape == (0, 64)


@twins
@pytest.mark.parametrize("kind", ["public", "secret"])
def test_a_seed_repeats_an_encryption_and_without_one_it_is_fresh(twin: Twin, kind: str) -> None:
    scheme, keys = toy(twin)
    key, values = getattr(keys, kind), np.zeros((2, 64), dtype=np.int64)
    same = [scheme.encrypt(values, key, SEED).rows for _ in range(2)]
    assert np.array_equal(*same)
    others = [scheme.encrypt(values, key, seed).rows for seed in (OTHER_SEED, None, None)]
    found = {part.tobytes() for rows in (same[0], *others) for row in rows for part in row}
    assert len(found) == 4 * 2 * 2  # four seeds, two equal messages, two parts: all different


@twins
def test_the_uniform_half_comes_from_a_seed_that_does_not_give_the_error(twin: Twin) -> None:
    """Whoever gets rho and the ciphertext must not be able to draw e."""
    scheme, keys = toy(twin)
    ct = scheme.encrypt([0], keys.secret, SEED)
    own, a = scheme.own_seed(SEED), ct.rows[0, 1]
    rho = sampling.derive_seed(own, "encrypt-rho")
    assert ct.public_seed is not None
    assert ct.public_seed["seed"].tobytes() == rho
    assert np.array_equal(a, sampling.uniform(rho, ["encrypt-a/0"], 64, TOY.moduli)[0])
    assert not np.array_equal(a, sampling.uniform(own, ["encrypt-a/0"], 64, TOY.moduli)[0])
    phase = [int(x) for x in np.asarray(scheme.phase(ct, 0, keys.secret).integers())]
    e = -scheme.error_unit * sampling.gaussian(own, ["encrypt-e/0"], 64)[0]
    assert phase == e.tolist()
    assert phase != (-scheme.error_unit * sampling.gaussian(rho, ["encrypt-e/0"], 64)[0]).tolist()


@twins
def test_the_public_key_gives_the_secret_only_if_it_has_no_error(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, honest = toy(twin)
    found = solve(honest.public.b, honest.public.a)
    assert found != polynomial(honest.secret.s)
    assert max(abs(x) for x in found) > TOY.q // 8
    monkeypatch.setattr(rlwe, "gaussian", lambda seed, labels, n: np.zeros((len(labels), n)))
    broken = twin.kind(TOY).keygen(SEED)
    assert solve(broken.public.b, broken.public.a) == polynomial(broken.secret.s)


# Wrong uses.


@twins
def test_another_key_does_not_decrypt(twin: Twin) -> None:
    (scheme, keys), others = toy(twin), keys_of(twin, TOY, OTHER_SEED)
    ct, theirs = scheme.encrypt([1, 2, 3], keys.public), scheme.encrypt([1], others.public)
    for verb in (scheme.decrypt, scheme.noise_budget):
        with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
            verb(ct, others.secret)
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        scheme.relinearize(scheme.square(ct), others.relinearization)
    for product in (lambda: ct * theirs, lambda: scheme.multiply(ct, theirs)):
        with pytest.raises(KeyMismatchError, match="encrypted under different keys"):
            product()
    # Even if the names are made to agree, the result is noise and is refused.
    forged = replace(ct, key_id=others.secret.key_id)
    with pytest.raises(NoiseBudgetExhausted, match="leaves a noise budget of"):
        scheme.decrypt(forged, others.secret)


@twins
def test_keys_and_plaintexts_for_other_parameters_are_refused(twin: Twin) -> None:
    (scheme, keys), others = toy(twin), keys_of(twin, TOYS[4])
    ct = scheme.encrypt([1], keys.public)
    with pytest.raises(KeyMismatchError, match=f"is for {TOYS[4].name}, the data for"):
        scheme.encrypt([1], others.public)
    with pytest.raises(KeyMismatchError, match=f"a plaintext for {TOYS[4].name} does not fit"):
        scheme.encrypt(twin.kind(TOYS[4]).encode([1]), keys.public)
    with pytest.raises(KeyMismatchError, match=f"is for {TOYS[4].name}, the data for"):
        scheme.relinearize(ct, others.relinearization)


@twins
def test_a_key_of_the_wrong_kind_is_refused(twin: Twin) -> None:
    scheme, keys = toy(twin)
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


@twins
def test_products_of_too_high_a_degree_are_refused(twin: Twin) -> None:
    scheme, keys = toy(twin)
    ct, largest = scheme.encrypt([1, 2], keys.public), scheme.largest_degree
    with noise.unchecked():
        power = scheme.square(ct)
        while power.degree < largest:
            power = scheme.square(power)
        for product in (
            lambda: power * ct,
            lambda: ct * power,
            lambda: power * power,
            lambda: scheme.square(power),
        ):
            with pytest.raises(FormError, match=f"have degree {largest} at most, .* relinearize f"):
                product()


@twins
@pytest.mark.parametrize("seed", [b"short", "x" * 32, 5])
def test_other_seeds_are_refused(twin: Twin, seed: Any) -> None:
    scheme, keys = toy(twin)
    with pytest.raises(ParameterError, match="a seed is 32 bytes"):
        scheme.keygen(seed)
    with pytest.raises(ParameterError, match="a seed is 32 bytes"):
        scheme.encrypt([1], keys.public, seed)


@twins
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (list(range(65)), "65 values do not fit into the 64 slots"),
        ([0.5], "must be integers"),
        ([TOY.t // 2 + 1], "must lie in"),
        (7, r"write \[value\]"),
    ],
)
def test_messages_that_do_not_fit_are_refused(twin: Twin, values: Any, reason: str) -> None:
    scheme, keys = toy(twin)
    with pytest.raises(EncodingError, match=reason):
        scheme.encrypt(values, keys.public)
