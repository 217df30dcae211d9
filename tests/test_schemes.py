"""What both schemes do in the same way, beyond what the laws say."""

import numpy as np
import pytest

from yashe.bfv import BFV
from yashe.ciphertext import Ciphertext
from yashe.params import INSECURE_TOY
from yashe.sampling import stream
from yashe.scheme import Scheme
from yashe.trace import trace
from yashe.yashe_prime import YASHE

SCHEMES = [BFV(INSECURE_TOY), YASHE(INSECURE_TOY)]
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
    assert first.secret.key_id == stream(SEED, "key-id", 16).hex()
