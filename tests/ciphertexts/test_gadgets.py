"""Gadgets: digits of any size give the polynomial back, and switching keys with them works."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import SEED, TOYS, integers_up_to, textbook_params, toys
from yashe.arithmetic.residues import canonical
from yashe.arithmetic.rings import NttElement, Ring
from yashe.ciphertexts.gadgets import Gadget, digits, switch
from yashe.errors import KeyMismatchError, ParameterError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rlwe import RLWE
from yashe.textbook import polynomials as textbook

both = pytest.mark.parametrize("kind", [BFV, BGV])
sizes = st.integers(1, 4)


def polynomial(ring: Ring) -> st.SearchStrategy[list[int]]:
    limit = ring.basis.product // 2
    return st.lists(integers_up_to(limit), min_size=ring.n, max_size=ring.n)


@given(st.data(), toys, sizes)
@settings(max_examples=40)
def test_digits_times_gadget_give_the_polynomial_back(
    data: st.DataObject, params: Params, size: int
) -> None:
    ring, gadget = params.ring, Gadget(size)
    c = data.draw(polynomial(ring))
    cut = digits(ring.element(np.array(c, dtype=object)), ring, gadget)
    d = canonical(np.broadcast_to(cut, (len(cut), params.k, params.n)), ring.moduli)
    assert d.shape == (-(-params.k // size), params.k, params.n)
    if size == 1:
        book = textbook.gadget_digits(c, textbook_params(params), None)
        assert [list(row) for row in ring.basis.compose(d)] == book
    for digit, modulus in zip(ring.basis.compose(d), gadget.moduli(params.moduli)[0], strict=True):
        assert max(abs(x) for x in digit) <= modulus // 2
    total = (d * gadget.weights(ring)).sum(axis=0)
    assert list(ring.basis.compose(total)) == c


@given(toys)
def test_the_gadget_is_one_modulo_its_prime_and_zero_modulo_the_others(params: Params) -> None:
    values = params.ring.basis.compose(Gadget().weights(params.ring))[:, 0]
    expected = textbook.rns_gadget(params.moduli)
    assert [textbook.centred(g, params.q) for g in expected] == list(values)


def test_spare_primes_multiply_the_weights_of_the_others() -> None:
    # q = 17 * 97 * 113, P = 113: modulo 17 it is -6, modulo 97 it is 16.
    ring = Ring(8, (17, 97, 113))
    assert Gadget(1, spare=1).weights(ring)[..., 0].tolist() == [[-6, 0, 0], [0, 16, 0]]
    assert Gadget(2, spare=1).weights(ring)[..., 0].tolist() == [[-6, 16, 0]]
    assert Gadget(2, spare=1).moduli((17, 97, 113)) == ([17 * 97], 113)


@both
@pytest.mark.parametrize("gadget", [Gadget(), Gadget(2), Gadget(4), Gadget(3, spare=1)])
@given(data=st.data())
@settings(max_examples=10)
def test_switching_multiplies_with_the_hidden_polynomial_up_to_small_noise(
    kind: type[RLWE], gadget: Gadget, data: st.DataObject
) -> None:
    params = TOYS[-1]
    scheme, ring, t = kind(params), params.ring, params.t
    secret = scheme.keygen(SEED).secret
    key, s = scheme.relinearization_key(secret, SEED, gadget), secret.s
    element = ring.element(np.array(data.draw(polynomial(ring)), dtype=object))
    switched = switch(scheme.cut(scheme.rows(element), gadget), [key.b, key.a], gadget).residues
    phase = NttElement(ring, switched[0]) + NttElement(ring, switched[1]) * s
    noise = (phase - element.ntt() * s * s).intt().integers()
    digit_sizes, spare = gadget.moduli(params.moduli)
    limit = params.n * sum(digit_sizes) * 20 * scheme.error_unit  # no error is larger than 20
    limit += params.n**2 * spare * t if gadget.spare else 0  # r s^2
    assert max(abs(x) for x in np.asarray(noise)) <= limit


@both
def test_gadgets_that_do_not_fit_are_refused(kind: type[RLWE]) -> None:
    params = TOYS[-1]
    scheme = kind(params)
    keys = scheme.keygen(SEED)
    for wrong in (0, -1, 1.5, None, True):
        with pytest.raises(ParameterError, match="whole number"):
            Gadget(wrong)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="whole number of at least 0"):
        Gadget(1, spare=-1)
    for no_gadget in (3, None, Gadget(2, summed=True)):
        with pytest.raises(ParameterError, match=r"keys are made for a Gadget\(size, spare\)"):
            scheme.rotation_keys(keys.secret, [1], gadget=no_gadget)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="4 spare primes of 4 leave none"):
        scheme.rotation_keys(keys.secret, [1], gadget=Gadget(spare=4))
    ct = scheme.switch_modulus(scheme.encrypt([1, 2], keys.secret), 3)
    spared = scheme.rotation_keys(keys.secret, [1], gadget=Gadget(3, spare=1))
    with pytest.raises(KeyMismatchError, match="a key with spare primes serves .* only"):
        scheme.rotate(ct, 1, spared)


REAL = make_params("INSECURE_DIGITS", 4096, 2**16, security=None, log2_q=190)


@both
@pytest.mark.parametrize("gadget", [Gadget(3), Gadget(2, spare=4), Gadget(4, spare=4)])
def test_larger_digits_are_as_noisy_as_predicted_and_hardly_less(
    kind: type[RLWE], gadget: Gadget
) -> None:
    assert REAL.k == 8
    scheme = kind(REAL)
    keys = scheme.keygen(SEED)
    slots: Any = np.arange(4 * REAL.n).reshape(4, -1) % 97
    ct = scheme.encrypt(slots, keys.secret, SEED)
    found = scheme.rotation_keys(keys.secret, [1, "swap"], SEED, gadget)
    for moved in scheme.rotations(ct, [1, "swap"], found):
        budget = scheme.noise_budget(moved, keys.secret)
        # The largest of 4096 Gaussians is 3.9 deviations, and the bound allows for 8.6.
        assert (budget >= moved.noise_budget).all()
        assert (budget <= moved.noise_budget + 2).all()
    grid = slots.reshape(4, 2, -1)
    rotated = scheme.rotate(ct, 1, found)
    expected = np.roll(grid, -1, axis=-1).reshape(slots.shape)
    assert np.array_equal(scheme.decrypt(rotated, keys.secret), expected)
    # Without the spare primes it would have been lost among them; with them it hardly shows.
    if gadget.spare:
        low = scheme.switch_modulus(rotated, REAL.k - gadget.spare)
        unmoved = scheme.switch_modulus(ct, REAL.k - gadget.spare)
        assert np.array_equal(scheme.decrypt(low, keys.secret), expected)
        assert low.noise_budget.min() > unmoved.noise_budget.min() - 6


@both
@pytest.mark.parametrize("gadget", [Gadget(2), Gadget(3, spare=1)])
def test_products_are_relinearised_with_larger_digits(kind: type[RLWE], gadget: Gadget) -> None:
    scheme = kind(REAL)
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt(np.arange(REAL.n) % 50, keys.secret, SEED)
    ct = ct * ct if kind is BFV else scheme.square(ct, REAL.k)
    found = scheme.relinearization_key(keys.secret, SEED, gadget)
    short = scheme.relinearize(ct, found)
    budget = scheme.noise_budget(short, keys.secret)
    assert short.noise_budget <= budget <= short.noise_budget + 12
    assert np.array_equal(scheme.decrypt(short, keys.secret), (np.arange(REAL.n) % 50) ** 2)


@both
def test_grouped_keys_serve_after_a_switch(kind: type[RLWE]) -> None:
    scheme = kind(REAL)
    keys = scheme.keygen(SEED)
    found = scheme.rotation_keys(keys.secret, [1], SEED, Gadget(2))
    ct = scheme.encrypt(np.arange(REAL.n) % 50, keys.secret, SEED)
    for primes in (7, 6, 5):  # the last group loses one prime, then the other, then the next
        low = scheme.switch_modulus(ct, primes)
        rotated = scheme.decrypt(scheme.rotate(low, 1, found), keys.secret)
        assert rotated[0] == 1
        assert rotated[REAL.n // 2 - 1] == 0
