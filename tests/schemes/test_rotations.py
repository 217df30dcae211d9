"""Slots that move: laws of rotations, their keys and their noise, in every scheme."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import OTHER_SEED, SEED, centred, slot_values, textbook_params, toy_params
from yashe.arithmetic.parallel import workers
from yashe.arithmetic.rings import NttElement
from yashe.arithmetic.sampling import derive_seed
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import Gadget
from yashe.errors import (
    FormError,
    KeyMismatchError,
    MissingKeyError,
    ParameterError,
    RangeError,
)
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rotations import RotatingScheme, signed_powers
from yashe.schemes.yashe import YASHE
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook import bgv as textbook_bgv
from yashe.textbook import yashe as textbook_yashe
from yashe.textbook.polynomials import Poly

SCHEMES: list[type[RotatingScheme]] = [BFV, BGV, YASHE]
TEXTBOOK = {BFV: textbook_bfv, BGV: textbook_bgv, YASHE: textbook_yashe}
every_scheme = pytest.mark.parametrize("kind", SCHEMES)
# Room for a product and some rotations in YASHE', whose noise is larger by a factor t each time.
TOY = toy_params(64, 1, 7, t_above=2**17)
TOYS = [toy_params(4, 1, 4), toy_params(16, 2, 7, t_above=1000), TOY]
toys = st.sampled_from(TOYS)
ROW = TOY.n // 2
SLOTS = np.arange(TOY.n) - 5
REAL = make_params("INSECURE_ROTATIONS", 4096, 2**16, security=None, log2_q=150)


@lru_cache
def keys_of(kind: type[RotatingScheme], params: Params, rotations: Any = "all") -> Any:
    return kind(params).keygen(SEED, rotations)


def encrypted(kind: type[RotatingScheme], params: Params, values: Any) -> Ciphertext:
    return kind(params).encrypt(values, keys_of(kind, params).encryption, SEED)


def turned(slots: Any, steps: int) -> Any:
    """The oracle: both rows turned to the left."""
    grid = slots.reshape(*slots.shape[:-1], 2, -1)
    return np.roll(grid, -steps, axis=-1).reshape(slots.shape)


def swapped(slots: Any) -> Any:
    return slots.reshape(*slots.shape[:-1], 2, -1)[..., ::-1, :].reshape(slots.shape)


@every_scheme
def test_keys_that_no_memory_holds_are_refused_before_any_is_made(
    kind: type[RotatingScheme],
) -> None:
    params = make_params("INSECURE_MANY", 8192, 2**16, security=None, log2_q=300)
    scheme, secret = kind(params), keys_of(kind, params, ()).secret
    size = 4095 * scheme.parts(1) * 13**2 * 8192 * 8 / 2**30
    sizes = f"4095 rotations would take {size:.1f} GiB of memory, more than 16"
    with pytest.raises(ParameterError, match=sizes):
        scheme.rotation_keys(secret, range(1, 4096))
    every = scheme.exponents(range(1, 4096), Gadget(13))  # which is one thirteenth
    assert len(every) == 4095
    assert len(scheme.exponents("all")) == 24


@every_scheme
@given(data=st.data(), params=toys)
@settings(max_examples=15)
def test_rotation_turns_both_rows_to_the_left(
    kind: type[RotatingScheme], data: st.DataObject, params: Params
) -> None:
    scheme, keys = kind(params), keys_of(kind, params)
    values = data.draw(slot_values(params, (2,)))
    steps = data.draw(st.integers(-2 * params.n, 2 * params.n))
    ct = encrypted(kind, params, values)
    rotated = scheme.rotate(ct, steps, keys.rotations)
    assert rotated.shape == ct.shape
    assert np.array_equal(scheme.decrypt(rotated, keys.secret), turned(values, steps))
    rows = scheme.swap_rows(ct, keys.rotations)
    assert np.array_equal(scheme.decrypt(rows, keys.secret), swapped(values))


@every_scheme
@given(data=st.data(), params=toys)
@settings(max_examples=10)
def test_rotations_compose_turn_back_and_close_a_full_turn(
    kind: type[RotatingScheme], data: st.DataObject, params: Params
) -> None:
    scheme, keys = kind(params), keys_of(kind, params)
    values, ct = (found := data.draw(slot_values(params))), encrypted(kind, params, found)
    steps = st.integers(0, params.n // 2 - 1)
    i, j = data.draw(steps), data.draw(steps)

    def rotate(x: Ciphertext, by: int) -> Ciphertext:
        return scheme.rotate(x, by, keys.rotations)

    def swap(x: Ciphertext) -> Ciphertext:
        return scheme.swap_rows(x, keys.rotations)

    for left, right in (
        (rotate(rotate(ct, i), j), rotate(ct, i + j)),
        (rotate(rotate(ct, i), params.n // 2 - i), ct),
        (rotate(rotate(ct, i), -i), ct),
        (swap(swap(ct)), ct),
        (swap(rotate(ct, i)), rotate(swap(ct), i)),
    ):
        same = (scheme.decrypt(x, keys.secret).tolist() for x in (left, right))
        assert next(same) == next(same)
    assert np.array_equal(scheme.decrypt(ct, keys.secret), values)  # which nothing has changed


@every_scheme
@given(data=st.data())
@settings(max_examples=5)
def test_rotation_commutes_with_sums_and_products(
    kind: type[RotatingScheme], data: st.DataObject
) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    a, b = data.draw(slot_values(TOY)), data.draw(slot_values(TOY))
    plain = scheme.encode(np.arange(1, TOY.n + 1))
    x, y = (encrypted(kind, TOY, values) for values in (a, b))
    product = scheme.relinearize(x * y, keys.relinearization)
    for move, oracle in (
        (lambda ct: scheme.rotate(ct, 3, keys.rotations), lambda slots: turned(slots, 3)),
        (lambda ct: scheme.swap_rows(ct, keys.rotations), swapped),
    ):
        moved = scheme.relinearize(move(x) * move(y), keys.relinearization)
        exact = a.astype(object) * b
        for ct, expected in (
            (move(x + y), oracle(a + b)),
            (move(x) + move(y), oracle(a + b)),
            (move(product), oracle(exact)),
            (moved, oracle(exact)),
            (move(x * plain), oracle(a.astype(object) * np.arange(1, TOY.n + 1))),
            (move(x - 7), oracle(a - 7)),
        ):
            assert scheme.decrypt(ct, keys.secret).tolist() == list(centred(expected, TOY.t))


@every_scheme
def test_hoisted_rotations_are_bit_for_bit_those_one_by_one(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    ct = encrypted(kind, TOY, np.arange(6 * TOY.n).reshape(3, 2, TOY.n) % 100)[:, ::-1]
    wanted = [1, 0, -4, "swap", ROW]
    several = scheme.rotations(ct, wanted, keys.rotations)
    with workers(2):
        by_two = scheme.rotations(ct, wanted, keys.rotations)
    assert several.shape == (5, 3, 2)
    assert np.array_equal(several.rows, by_two.rows)
    for some, rotation in zip(several, wanted, strict=True):
        alone = (
            scheme.swap_rows(ct, keys.rotations)
            if rotation == "swap"
            else scheme.rotate(ct, rotation, keys.rotations)  # type: ignore[arg-type]
        )
        assert np.array_equal(some.rows[some.index], alone.rows[alone.index])
        assert np.array_equal(some.noise_budget, alone.noise_budget)
    nothing = scheme.rotations(ct, [], keys.rotations)
    assert nothing.shape == (0, 3, 2)
    assert scheme.rotate(ct[:0], 1, keys.rotations).shape == (0, 2)


@every_scheme
@given(width=st.integers(1, ROW), stride=st.sampled_from([1, 2, 4]))
@settings(max_examples=8)
def test_slots_are_summed_over_any_width(
    kind: type[RotatingScheme], width: int, stride: int
) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    total = scheme.sum_slots(encrypted(kind, TOY, SLOTS), keys.rotations, width, stride)
    expected = sum(turned(SLOTS, i * stride) for i in range(width))
    assert np.array_equal(scheme.decrypt(total, keys.secret), expected)


@every_scheme
def test_without_a_width_all_slots_are_summed(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY, "sums")
    ct = scheme.encrypt(SLOTS, keys.encryption, within=(-5, 58))
    total = scheme.sum_slots(ct, keys.rotations)
    assert set(scheme.decrypt(total, keys.secret)) == {SLOTS.sum()}
    assert total.within is not None
    assert (total.within.low[0], total.within.high[0]) == (-5 * TOY.n, 58 * TOY.n)
    with pytest.raises(ParameterError, match="a stride goes with a width"):
        scheme.sum_slots(ct, keys.rotations, stride=2)


@every_scheme
def test_a_rotation_keeps_a_declared_range_and_a_sum_is_held_to_it(
    kind: type[RotatingScheme],
) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    high = TOY.t // 2 // 3
    ct = scheme.encrypt([[1], [high]], keys.encryption, within=(0, high))
    moved = scheme.rotations(ct, [0, 1, "swap"], keys.rotations)
    assert moved.within is not None
    assert set(moved.within.high) == {high}
    scheme.sum_slots(ct, keys.rotations, 3)
    with pytest.raises(RangeError, match="it would wrap around"):
        scheme.sum_slots(ct, keys.rotations, 4)
    scheme.sum_slots(ct.modulo(), keys.rotations, 4)


# The textbook.


def book_polynomial(element: Any) -> Poly:
    """The centred coefficients of one polynomial, as the textbook keeps them."""
    coefficients = element.intt() if isinstance(element, NttElement) else element
    return [int(x) for x in np.asarray(coefficients.integers()).ravel()]


@every_scheme
@given(data=st.data(), params=toys)
@settings(max_examples=8)
def test_keys_and_rotations_are_those_of_the_textbook_bit_for_bit(
    kind: type[RotatingScheme], data: st.DataObject, params: Params
) -> None:
    scheme, keys, book = kind(params), keys_of(kind, params), textbook_params(params)
    steps = data.draw(st.sampled_from([1, -1, "swap"]))
    g, secret = scheme.exponent(steps), keys.secret
    own = derive_seed(scheme.own_seed(SEED), f"rotations/{secret.key_id}/1/0")
    module: Any = TEXTBOOK[kind]
    key = module.rotation_keygen(
        book, book_polynomial(secret.f if kind is YASHE else secret.s), g, own
    )
    columns = keys.rotations.columns(g)
    for i, expected in enumerate(key):
        found = [book_polynomial(NttElement(params.ring, column.residues[i])) for column in columns]
        assert (found[0] if kind is YASHE else tuple(found)) == expected
    ct = encrypted(kind, params, data.draw(slot_values(params)))

    def as_book(x: Ciphertext) -> Any:
        parts = [book_polynomial(scheme.coefficients(part)) for part in x.rows[x.index]]
        if kind is BGV:
            return textbook_bgv.Ciphertext(parts, x.factor)
        return parts[0] if kind is YASHE else parts

    moved = scheme.rotations(ct, [steps], keys.rotations)[0]
    assert as_book(moved) == module.rotate(book, key, as_book(ct), g)


# Keys.


@every_scheme
def test_no_steps_and_full_turns_take_no_key(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY, ())
    assert keys.rotations.exponents == ()
    ct = encrypted(kind, TOY, SLOTS)
    for steps in (0, ROW, -TOY.n):
        assert scheme.rotate(ct, steps, keys.rotations) is ct
        assert np.array_equal(scheme.rotations(ct, [steps], keys.rotations).rows, ct.rows)


@every_scheme
def test_a_missing_key_is_named_with_what_makes_it(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY, (1, 2))
    ct = encrypted(kind, TOY, SLOTS)
    for asked, named in ((3, "3"), (-1, str(ROW - 1)), (ROW + 5, "5")):
        with pytest.raises(MissingKeyError, match=rf"rotation {named} .*rotations=\[{named}, "):
            scheme.rotate(ct, asked, keys.rotations)
        with pytest.raises(MissingKeyError, match=rf"rotation_keys\(secret, \[{named}, "):
            scheme.rotations(ct, [1, asked], keys.rotations)
    with pytest.raises(MissingKeyError, match="rotation 'swap' "):
        scheme.sum_slots(ct, keys_of(kind, TOY, (1, 2, 4, 8, 16)).rotations)
    more = scheme.rotation_keys(keys.secret, [3])
    rotated = scheme.decrypt(scheme.rotate(ct, 3, more), keys.secret)
    assert np.array_equal(rotated, turned(SLOTS, 3))


@every_scheme
def test_a_composed_rotation_is_shown_by_the_trace(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    ct = encrypted(kind, TOY, SLOTS)
    with noise.trace(keys.secret) as trace:
        scheme.rotate(ct, 7, keys.rotations)  # 8 - 1
        scheme.rotate(ct, 4, keys.rotations)
    assert [(step.operation, step.count) for step in trace.steps] == [("a rotation", 3)]


@given(st.integers(-(2**40), 2**40), st.sampled_from([2, 4, 32, 4096]))
def test_signed_powers_are_few_and_add_up(steps: int, row: int) -> None:
    powers = signed_powers(steps, row)
    assert (sum(powers) - steps) % row == 0
    assert len(powers) <= (row.bit_length() + 1) // 2
    assert all(abs(x) & (abs(x) - 1) == 0 and abs(x) < row for x in powers)


@every_scheme
def test_what_is_no_rotation_is_refused(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    ct = encrypted(kind, TOY, SLOTS)
    for wrong in ("flip", [1.5], [True], [None], 3, None, ["sums"]):
        with pytest.raises(ParameterError, match=r"rotation|number of steps"):
            scheme.keygen(SEED, wrong)
    for steps in (1.0, True, "swap", None):
        with pytest.raises(ParameterError, match="steps must be a whole number"):
            scheme.rotate(ct, steps, keys.rotations)  # type: ignore[arg-type]
    for width in (0, ROW + 1, 2.0):
        with pytest.raises(ParameterError, match=f"width must be a whole number from 1 to {ROW}"):
            scheme.sum_slots(ct, keys.rotations, width)  # type: ignore[arg-type]


@every_scheme
def test_keys_that_do_not_fit_are_refused(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    ct = encrypted(kind, TOY, SLOTS)
    with pytest.raises(KeyMismatchError, match=r"RotationKeys, but got a .*Key"):
        scheme.rotate(ct, 1, keys.relinearization)
    with pytest.raises(KeyMismatchError, match=r"RotationKeys, but got a (Yashe)?Keys"):
        scheme.rotate(ct, 0, keys)
    with pytest.raises(KeyMismatchError, match="Key"):
        scheme.rotation_keys(keys.public, [1])
    stranger = scheme.keygen(OTHER_SEED, [1])
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        scheme.rotate(ct, 1, stranger.rotations)
    for other in SCHEMES:
        if other is not kind:
            with pytest.raises(KeyMismatchError, match=r"this takes a .* got a .*RotationKeys"):
                scheme.rotate(ct, 1, keys_of(other, TOY).rotations)
            with pytest.raises(KeyMismatchError, match="a ciphertext of"):
                scheme.rotate(encrypted(other, TOY, SLOTS), 0, keys.rotations)
    with pytest.raises(KeyMismatchError, match="takes a Ciphertext"):
        scheme.rotate(SLOTS, 1, keys.rotations)  # type: ignore[arg-type]
    product = ct * ct
    with pytest.raises(FormError, match="a rotation needs degree 1, got 2: relinearize first"):
        scheme.rotate(product, 1, keys.rotations)


@every_scheme
def test_a_key_is_a_function_of_its_seed_and_its_rotation_alone(
    kind: type[RotatingScheme],
) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY, (1, 2, "swap"))
    again = scheme.rotation_keys(keys.secret, ["swap", 2, 2 + ROW, 0], SEED)
    assert again.exponents == tuple(sorted(map(scheme.exponent, [2, "swap"])))
    for g in again.exponents:
        for x, y in zip(again.columns(g), keys.rotations.columns(g), strict=True):
            assert np.array_equal(x.canonical(), y.canonical())
    first = keys.rotations.columns(scheme.exponent(1))[-1].canonical()
    others = [
        keys.rotations.columns(scheme.exponent(2)),
        scheme.rotation_keys(keys.secret, [1], OTHER_SEED).columns(scheme.exponent(1)),
        # One seed for two secrets: with the same a and e their difference would tell the secrets.
        scheme.rotation_keys(scheme.keygen(OTHER_SEED).secret, [1], SEED).columns(
            scheme.exponent(1)
        ),
    ]
    for column in others:
        assert not (column[-1].canonical() == first).all(axis=-1).any()


@every_scheme
def test_keys_serve_after_a_switch_and_can_be_made_for_less(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind, TOY)
    low = TOY.shortened(6)
    ct = scheme.switch_modulus(encrypted(kind, TOY, SLOTS), 6)
    small = kind(low).rotation_keys(keys.secret, [5])
    assert small.columns(scheme.exponent(5))[0].residues.shape == (6, 6, 64)
    for found in (keys.rotations, small):
        rotated = scheme.rotate(ct, 5, found)
        assert rotated.params.k == 6
        assert np.array_equal(scheme.decrypt(rotated, keys.secret), turned(SLOTS, 5))
    with pytest.raises(KeyMismatchError, match="is for"):  # never the other way round
        scheme.rotate(encrypted(kind, TOY, SLOTS), 5, small)


# Noise.


@every_scheme
def test_a_rotation_is_as_noisy_as_predicted_and_hardly_less(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(REAL), keys_of(kind, REAL, (1, "swap"))
    ct = scheme.encrypt(np.arange(8 * REAL.n).reshape(8, -1) % 97, keys.encryption, SEED)
    for moved in (ct, scheme.swap_rows(ct, keys.rotations)):
        rotated = scheme.rotate(moved, 1, keys.rotations)
        found = scheme.noise_budget(rotated, keys.secret)
        # The largest of 4096 Gaussians is 3.9 deviations, and the bound allows for 8.6.
        assert (found >= rotated.noise_budget).all()
        assert (found <= rotated.noise_budget + 2).all()


@every_scheme
def test_moving_alone_changes_no_noise(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(REAL), keys_of(kind, REAL, (1, "swap"))
    # After a product the noise is larger than what a rotation adds.
    ct = scheme.encrypt(np.arange(REAL.n), keys.encryption, SEED)
    product = scheme.relinearize(ct * scheme.encode(np.arange(REAL.n)) * ct, keys.relinearization)
    moved = scheme.rotate(product, 1, keys.rotations)
    assert moved.noise_budget == pytest.approx(product.noise_budget, abs=0.01)
    before, after = (scheme.noise_budget(x, keys.secret) for x in (product, moved))
    assert after == pytest.approx(before, abs=0.01)
