"""What all schemes do in the same way, beyond what the laws say."""

import numpy as np
import pytest

from yashe.bfv import BFV
from yashe.bgv import BGV
from yashe.ciphertext import Ciphertext
from yashe.errors import KeyMismatchError
from yashe.params import INSECURE_TOY
from yashe.sampling import stream
from yashe.scheme import Scheme
from yashe.trace import trace
from yashe.yashe_prime import YASHE

SCHEMES = [BFV(INSECURE_TOY), BGV(INSECURE_TOY), YASHE(INSECURE_TOY)]
SEED = bytes(range(32))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_operations_tell_their_names(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    with trace(keys.secret) as found:
        ct = scheme.encrypt([1, 2], keys.public)
        product = ct * ct
        scheme.relinearize(product, keys.relinearization)
    expected = "a key switching" if scheme.name == "YASHE'" else "a relinearisation"
    assert [step.operation for step in found.steps] == ["an encryption", "a product", expected]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_relinearisation_keeps_the_shape_and_takes_any_part_of_an_array(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    values = np.arange(12, dtype=np.int64).reshape(2, 3, 2)
    products = scheme.encrypt(values, keys.public) * 1
    products = products * products
    for chosen in (products, products[1], products[:, ::-1], products[1, 2], products.transpose()):
        once = scheme.relinearize(chosen, keys.relinearization)
        assert once.shape == chosen.shape
        assert once.degree == 1
        assert isinstance(once, Ciphertext)
        assert np.array_equal(
            scheme.decrypt(once, keys.secret), scheme.decrypt(chosen, keys.secret)
        )


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_relinearising_twice_changes_nothing(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([3], keys.public)
    assert scheme.relinearize(ct, keys.relinearization) is ct


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_keys_of_one_seed_have_one_name_and_one_value(scheme: Scheme) -> None:
    first, again, other = (scheme.keygen(seed) for seed in (SEED, SEED, bytes(32)))
    assert first.secret.key_id == first.public.key_id == first.relinearization.key_id
    assert first.secret.key_id == again.secret.key_id != other.secret.key_id
    label = "bgv-key-id" if scheme.name == "BGV" else "key-id"
    assert first.secret.key_id == stream(SEED, label, 16).hex()


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_a_scheme_finds_its_smaller_moduli_and_refuses_other_parameters(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([3, -4], keys.public, SEED)
    small = scheme.switch_modulus(ct, INSECURE_TOY.k - 1)
    product = scheme.relinearize(scheme.multiply(small, small), keys.relinearization)
    assert product.params.k == INSECURE_TOY.k - 1
    assert scheme.decrypt(product, keys.secret)[:3].tolist() == [9, 16, 0]
    assert scheme.at(INSECURE_TOY) is scheme
    assert type(scheme.at(small.params)) is type(scheme)
    with pytest.raises(KeyMismatchError, match="the ciphertext is for .*, the scheme for"):
        scheme.at(small.params).decrypt(ct, keys.secret)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@pytest.mark.parametrize("other", SCHEMES, ids=lambda s: s.name)
def test_schemes_do_not_mix(scheme: Scheme, other: Scheme) -> None:
    if scheme is other:
        return
    ours, theirs = scheme.keygen(SEED), other.keygen(SEED)
    a, b = scheme.encrypt([1], ours.public), other.encrypt([1], theirs.public)
    for operation in (lambda: a + b, lambda: a - b, lambda: a * b):
        with pytest.raises(KeyMismatchError, match="do not mix|was given to"):
            operation()
    for verb in (scheme.decrypt, scheme.noise_budget):
        with pytest.raises(KeyMismatchError, match=f"of {other.name} was given to {scheme.name}"):
            verb(b, ours.secret)
    with pytest.raises(KeyMismatchError, match=f"of {other.name} was given to {scheme.name}"):
        scheme.relinearize(b, ours.relinearization)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_arrays_without_ciphertexts_go_through_all_verbs(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    nothing = scheme.encrypt(np.zeros((0, 2), dtype=np.int64), keys.public)
    for ct in (
        nothing + nothing,
        nothing * 3 - 1,
        scheme.relinearize(nothing * nothing, keys.relinearization),
        scheme.switch_modulus(nothing, INSECURE_TOY.k - 1),
        scheme.ready_for_product(nothing),
    ):
        assert ct.shape == (0,)
        assert scheme.decrypt(ct, keys.secret).shape == (0, INSECURE_TOY.n)
