"""What all schemes do in the same way, beyond what the laws say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yashe.arithmetic.primes import next_ntt_primes
from yashe.arithmetic.sampling import stream
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.trace import trace
from yashe.errors import KeyMismatchError, ParameterError
from yashe.parameters.sets import INSECURE_TOY, Params, make_params
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

SCHEMES = [BFV(INSECURE_TOY), BGV(INSECURE_TOY), YASHE(INSECURE_TOY)]
SEED = bytes(range(32))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_operations_tell_their_names(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    with trace(keys.secret) as found:
        ct = scheme.encrypt([1, 2], keys.public)
        product = ct * ct
        scheme.relinearize(product, keys.relinearization)
    told = [step.operation for step in found.steps]
    assert told == ["an encryption", "a product", "a relinearisation"]


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
    assert first.secret.key_id == stream(scheme.own_seed(SEED), "key-id", 16).hex()


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_a_scheme_finds_its_smaller_moduli_and_refuses_other_parameters(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([3, -4], keys.public, SEED)
    small = scheme.switch_modulus(ct, INSECURE_TOY.k - 1)
    product = scheme.relinearize(scheme.multiply(small, small), keys.relinearization)
    assert product.params.k == INSECURE_TOY.k - 1
    assert scheme.decrypt(product, keys.secret)[:3].tolist() == [9, 16, 0]
    assert scheme.level(INSECURE_TOY.k) is scheme
    assert scheme.level(small.params.k).params is small.params
    with pytest.raises(KeyMismatchError, match="the ciphertext is for .*, the scheme for"):
        scheme.level(small.params.k).decrypt(ct, keys.secret)


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


@pytest.mark.parametrize("scheme_class", [BFV, BGV, YASHE])
@given(data=st.data(), width=st.integers(1, 4))
@settings(max_examples=10)
def test_relinearisation_with_digits_of_any_width_keeps_messages_and_bounds(
    scheme_class: type[Scheme], data: st.DataObject, width: int
) -> None:
    params = make_params("INSECURE_wide", 64, 2**10, security=None, log2_q=250)
    scheme = scheme_class(params)
    keys = scheme.keygen(SEED)
    x = np.array(data.draw(st.lists(st.integers(-20, 20), min_size=64, max_size=64)))
    squares = scheme.square(scheme.encrypt(x[None], keys.encryption, SEED))
    found = scheme.relinearize(squares, keys.relinearization.widened(width))
    assert found.degree == 1
    assert np.array_equal(scheme.decrypt(found, keys.secret)[0], x * x)
    assert found.noise_budget[0] <= scheme.noise_budget(found, keys.secret)[0]
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ParameterError, match="primes of a digit must be a whole number"):
            keys.relinearization.widened(wrong)


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


@given(st.data())
@settings(max_examples=25)
def test_one_seed_gives_unrelated_keys_in_every_scheme_and_for_all_parameters(
    data: st.DataObject,
) -> None:
    """With one a and one e for two plaintext moduli, b - b' = (t' - t) e, and e tells s."""
    q = next_ntt_primes(64, 2**22, 4)
    t = next_ntt_primes(64, 2**10, 4)
    sets = [
        Params(f"INSECURE_{i}{j}", 64, q[:k], (p,), None)
        for i, k in enumerate((3, 4))
        for j, p in enumerate(t[:2])
    ]
    seed = data.draw(st.binary(min_size=32, max_size=32))
    one, two = data.draw(
        st.lists(
            st.tuples(st.sampled_from([BFV, BGV, YASHE]), st.sampled_from(sets)),
            min_size=2,
            max_size=2,
            unique_by=lambda pair: (pair[0].name, pair[1].digest),
        )
    )
    found = []
    for kind, params in (one, two):
        scheme = kind(params)
        keys = scheme.keygen(seed)
        ct = scheme.encrypt([[1], [2]], keys.encryption, seed)
        names = ("b", "a", "h", "s", "f", "gamma")
        polynomials = [
            getattr(key, name).residues[..., :3, :]
            for key in (keys.secret, keys.public, keys.relinearization)
            for name in names
            if hasattr(key, name)
        ]
        rows = [row for x in polynomials for row in x.reshape(-1, 64)]
        found.append({row.tobytes() for row in (*rows, *ct.rows.reshape(-1, 64))})
        found[-1].add(keys.secret.key_id.encode())
    assert not found[0] & found[1]


@pytest.mark.parametrize("kind", [BFV, BGV, YASHE])
@pytest.mark.parametrize("junk", [None, 5, "toy", {"n": 64}])
def test_a_scheme_takes_parameters_and_nothing_else(kind: type[Scheme], junk: Any) -> None:
    with pytest.raises(ParameterError, match="must be a Params"):
        kind(junk)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_verbs_take_ciphertexts_and_nothing_else(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([1, 2], keys.public, SEED)
    for junk in ([ct, ct], 5, None, np.zeros(3)):
        for verb in (
            lambda junk=junk: scheme.decrypt(junk, keys.secret),
            lambda junk=junk: scheme.multiply(ct, junk),
            lambda junk=junk: scheme.multiply(junk, ct),
            lambda junk=junk: scheme.relinearize(junk, keys.relinearization),
            lambda junk=junk: scheme.switch_modulus(junk, 2),
            lambda junk=junk: scheme.noise_budget(junk, keys.secret),
        ):
            with pytest.raises(KeyMismatchError, match="takes a Ciphertext here"):
                verb()
    for primes in (2.5, "3", True, 0, -1, 99):
        with pytest.raises(ParameterError, match=r"primes"):
            scheme.switch_modulus(ct, primes)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_operands_of_different_levels_meet_at_the_lower_one(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    x = scheme.encrypt([[3, -4], [5, 6]], keys.public, SEED)
    low = scheme.switch_modulus(scheme.encrypt([[3, -4], [5, 6]], keys.public, bytes(32)), 4)
    for a, b in ((x, low), (low, x), (low, x[0]), (x[0], low)):
        for result, expected in ((a + b, (6, -8)), (a - b, (0, 0)), (a * b, (9, 16))):
            assert result.params.k <= 4
            shown = scheme.decrypt(result, keys.secret).reshape(-1, 64)[0, :2]
            assert tuple(shown) == expected
    other = type(scheme)(make_params("INSECURE_OTHER", 64, 2**10, None, 120))
    foreign = other.encrypt([1], other.keygen(SEED).public)
    for operation in (lambda: x + foreign, lambda: foreign - x, lambda: x * foreign):
        with pytest.raises(KeyMismatchError, match="do not mix|for the scheme|the scheme for"):
            operation()
