"""Arrays of ciphertexts: NumPy on encrypted slots, with NumPy itself as the oracle.

Every law evaluates one expression twice, on ciphertexts and on integers modulo t.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices, mutually_broadcastable_shapes

from strategies_engine import OTHER_SEED, SEED, centred, integer_arrays, toy_params
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys
from yashe.errors import (
    AxisError,
    EncodingError,
    FormError,
    KeyMismatchError,
    NoiseBudgetExhausted,
    OperationError,
    ShapeError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import Params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

PARAMS = [
    toy_params(4, 1, 4, t_above=100),
    toy_params(8, 2, 5, t_above=1000),
    toy_params(16, 1, 5, t_above=2**20),
]
TOY = PARAMS[1]
# The laws are tried on rows in NTT form, too: parameters with this ending are for BGV.
FOR_BGV = [replace(params, name=f"{params.name}_BGV") for params in PARAMS]
params_of_laws = st.sampled_from([*PARAMS, *FOR_BGV])
two_shapes = mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3).map(
    lambda drawn: drawn.input_shapes
)


def scheme_for(params: Params) -> BFV | BGV:
    return BGV(params) if params.name.endswith("_BGV") else BFV(params)


@lru_cache
def keys_of(params: Params, seed: bytes = SEED) -> Keys:
    return scheme_for(params).keygen(seed)


@st.composite
def encrypted(
    draw: st.DrawFn, params: Params, shape: tuple[int, ...], seed: bytes = SEED
) -> tuple[Ciphertext, np.ndarray]:
    """An array of ciphertexts, and its slots as Python integers, shape (*shape, n).

    Two arrays with one seed share their uniform halves: their difference is transparent.
    """
    values = draw(integer_arrays((*shape, params.n), params.t // 2))
    key = getattr(keys_of(params), draw(st.sampled_from(["public", "secret"])))
    return scheme_for(params).encrypt(values, key, seed), values.astype(object)


def encrypt(values: Any, params: Params = TOY) -> Ciphertext:
    return scheme_for(params).encrypt(values, keys_of(params).secret)


def decrypt(ct: Ciphertext) -> IntArray:
    return scheme_for(ct.params).decrypt(ct, keys_of(ct.params).secret)


def assert_equal(ct: Ciphertext, expected: np.ndarray) -> None:
    """The slots of every ciphertext are the expected integers modulo t."""
    assert ct.shape == expected.shape[:-1]
    assert (ct.ndim, ct.size) == (len(ct.shape), int(np.prod(ct.shape)))
    assert decrypt(ct).tolist() == centred(expected, ct.params.t).tolist()


def nonzero_arrays(shape: tuple[int, ...], t: int) -> st.SearchStrategy[IntArray]:
    """Integers that are no multiple of t, beyond (-t/2, t/2) too."""
    return integer_arrays(shape, 3 * t).map(lambda a: np.where(a % t == 0, 1, a))


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
operators = pytest.mark.parametrize("operation", OPERATORS.values(), ids=OPERATORS)
Operation = Callable[[Any, Any], Any]


@operators
@given(st.data(), params_of_laws, two_shapes)
@settings(max_examples=25)
def test_ciphertexts_are_combined_slot_by_slot_and_broadcast(
    operation: Operation, data: st.DataObject, params: Params, shapes: tuple[Any, Any]
) -> None:
    (a, x), (b, y) = (
        data.draw(encrypted(params, shape, seed))
        for shape, seed in zip(shapes, (SEED, OTHER_SEED), strict=True)
    )
    assert_equal(operation(a, b), operation(x, y))


@operators
@given(st.data(), params_of_laws, two_shapes)
@settings(max_examples=25)
def test_an_integer_array_has_one_number_for_all_slots_of_a_ciphertext(
    operation: Operation, data: st.DataObject, params: Params, shapes: tuple[Any, Any]
) -> None:
    more_axes, fewer_axes = sorted(shapes, key=len, reverse=True)
    ct, x = data.draw(encrypted(params, more_axes))
    c = data.draw(nonzero_arrays(fewer_axes, params.t))
    wide = c.astype(object)[..., None]
    assert_equal(operation(ct, c), operation(x, wide))
    assert_equal(operation(c, ct), operation(wide, x))


@operators
@given(st.data(), params_of_laws)
@settings(max_examples=25)
def test_numbers_stand_on_either_side(
    operation: Operation, data: st.DataObject, params: Params
) -> None:
    ct, x = data.draw(encrypted(params, (2,)))
    c = int(data.draw(nonzero_arrays((), params.t)))
    for number in (c, np.int64(c)):
        assert_equal(operation(ct, number), operation(x, c))
        assert_equal(operation(number, ct), operation(c, x))


@operators
@given(st.data(), params_of_laws, two_shapes)
@settings(max_examples=25)
def test_a_plaintext_has_one_number_per_slot(
    operation: Operation, data: st.DataObject, params: Params, shapes: tuple[Any, Any]
) -> None:
    ct, x = data.draw(encrypted(params, shapes[0]))
    values = data.draw(integer_arrays((*shapes[1], params.n), params.t // 2))
    values[..., 0] = np.where(values[..., 0] == 0, 1, values[..., 0])
    plaintext = scheme_for(params).encode(values)
    assert_equal(operation(ct, plaintext), operation(x, values.astype(object)))
    assert_equal(operation(plaintext, ct), operation(values.astype(object), x))


@given(st.data(), params_of_laws)
@settings(max_examples=20)
def test_negation_and_sums_of_negations_are_differences(
    data: st.DataObject, params: Params
) -> None:
    (a, x), (b, y) = (data.draw(encrypted(params, (2,), seed)) for seed in (SEED, OTHER_SEED))
    assert_equal(-a, -x)
    assert_equal(a + -b, x - y)
    negated = -a
    assert_equal(-negated, x)


@operators
@given(st.data(), params_of_laws, st.integers(-(2**200), 2**200))
@settings(max_examples=25)
def test_numbers_of_any_size_count_modulo_t(
    operation: Operation, data: st.DataObject, params: Params, number: int
) -> None:
    ct, x = data.draw(encrypted(params, (2,)))
    number += number % params.t == 0
    for c in (number, [number, 1], np.array([1, number], dtype=object)):
        wide = np.asarray(c, dtype=object)[..., None]
        assert_equal(operation(ct, c), operation(x, wide))
        assert_equal(operation(c, ct), operation(wide, x))
    assert_equal(ct @ [number, -1], number * x[0] - x[1])
    assert_equal([[number, 1]] @ ct, number * x[:1] + x[1:])


@given(st.data(), params_of_laws, st.lists(st.integers(1, 3), max_size=3).map(tuple))
@settings(max_examples=40)
def test_sums_along_axes_are_those_of_numpy(
    data: st.DataObject, params: Params, shape: tuple[int, ...]
) -> None:
    ct, x = data.draw(encrypted(params, shape))
    axes = st.sampled_from(range(-len(shape), len(shape))) if shape else st.nothing()
    some = st.lists(axes, unique_by=lambda axis: axis % len(shape)).map(tuple)
    axis = data.draw(st.one_of(st.none(), axes, some))
    keepdims = data.draw(st.booleans())
    expected = [np.sum(slot, axis=axis, keepdims=keepdims) for slot in np.moveaxis(x, -1, 0)]
    expected = np.stack(np.asarray(expected, dtype=object), axis=-1)
    assert_equal(ct.sum(axis, keepdims), expected)
    assert_equal(np.sum(ct, axis=axis, keepdims=keepdims), expected)


def test_a_sum_of_nothing_and_a_mean_are_refused() -> None:
    ct = encrypt_ids((2, 3))
    assert ct[:0].sum(axis=1).shape == (0,)
    with transparent("depends on no ciphertext"):
        ct[:0].sum(axis=0)
    with pytest.raises(AxisError, match="axis 2 is out of bounds"):
        ct.sum(axis=2)
    for mean in (ct.mean, lambda: ct.mean(axis=0), lambda: np.mean(ct, axis=0)):
        with pytest.raises(
            OperationError, match=r"no mean.*: decrypt x.sum\(axis\), divide by the"
        ):
            mean()


@given(st.data(), params_of_laws)
@settings(max_examples=15)
def test_the_first_and_second_power_are_those_of_numpy(data: st.DataObject, params: Params) -> None:
    ct, x = data.draw(encrypted(params, (2,)))
    for square in (ct**2, ct ** np.int64(2), np.square(ct), np.power(ct, 2)):
        assert_equal(square, x**2)
        assert square.degree == 2
    assert_equal(ct**1, x)
    assert_equal(+ct, x)


def test_other_powers_say_how_to_get_them() -> None:
    ct = encrypt([[1], [2]])
    for exponent in (0, 3, -1, [1, 2], 2**70):
        with pytest.raises(OperationError, match=r"not x \*\* .* relinearize in between"):
            ct**exponent
    with pytest.raises(EncodingError, match="an exponent must be integers, not float64"):
        ct**2.0
    with pytest.raises(OperationError, match="ciphertexts are no exponents"):
        2**ct
    with pytest.raises(FormError, match="degree 2 at most, .* 2 and 2 were given: relinearize fir"):
        (ct**2) ** 2


@given(st.data(), params_of_laws)
@settings(max_examples=15)
def test_dot_is_the_matrix_product_or_a_product_with_a_number(
    data: st.DataObject, params: Params
) -> None:
    ct, x = data.draw(encrypted(params, (2,)))
    matrix = data.draw(nonzero_arrays((2, 3), params.t))
    wide = matrix.astype(object)
    for product in (ct.dot(matrix), np.dot(ct, matrix), np.matmul(ct, matrix)):
        assert_equal(product, wide.T @ x)
    for product in (np.dot(matrix.T, ct), np.matmul(matrix.T, ct)):
        assert_equal(product, wide.T @ x)
    for product in (ct.dot(3), np.dot(ct, 3), np.dot(3, ct)):
        assert_equal(product, 3 * x)


def test_products_that_numpys_dot_would_order_otherwise_are_refused() -> None:
    with pytest.raises(ShapeError, match="at most two axes on the right; write a @ b"):
        np.dot(np.ones((2, 2), dtype=np.int64), encrypt_ids((2, 2, 1)))


def test_augmented_assignments_make_new_ciphertexts() -> None:
    first = ct = encrypt([[3], [4]])
    ct += 1
    ct *= [2, 3]
    ct -= first
    ct @= [[1, 1], [0, 1]]
    assert decrypt(ct)[:, 0].tolist() == [5, 16]
    assert decrypt(first)[:, 0].tolist() == [3, 4]


@pytest.mark.parametrize("scheme", [BFV(TOY), BGV(TOY)], ids=["BFV", "BGV"])
@operators
def test_plaintexts_fit_ciphertexts_with_fewer_primes(operation: Operation, scheme: Any) -> None:
    keys = scheme.keygen(SEED)
    values = np.array([[1, -2, 3], [500, 5, -6]], dtype=np.int64)
    ct = scheme.switch_modulus(scheme.encrypt(values, keys.public), TOY.k - 1)
    assert ct.params.digest != TOY.digest
    plaintext = scheme.encode([7, 11, 13])
    found = scheme.decrypt(operation(ct, plaintext), keys.secret)[:, :3]
    assert found.tolist() == centred(operation(values, np.array([7, 11, 13])), TOY.t).tolist()
    found = scheme.decrypt(operation(plaintext, ct), keys.secret)[:, :3]
    assert found.tolist() == centred(operation(np.array([7, 11, 13]), values), TOY.t).tolist()


shapes_before_matrix = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@given(st.data(), params_of_laws, shapes_before_matrix, st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=40)
def test_matrices_multiply_from_both_sides_like_numpys(
    data: st.DataObject, params: Params, before: tuple[int, ...], k: int, m: int
) -> None:
    ct, x = data.draw(encrypted(params, (*before, k)))
    matrix = data.draw(nonzero_arrays((k, m), params.t))
    wide = matrix.astype(object)
    slots_first = np.moveaxis(x, -1, 0)  # NumPy's matmul with the slots as a batch
    assert_equal(ct @ matrix, np.moveaxis(slots_first @ wide, 0, -1))
    assert_equal(ct @ matrix[:, 0], np.moveaxis(slots_first @ wide[:, 0], 0, -1))
    if not before:
        assert_equal(matrix.T @ ct, wide.T @ x)
        assert_equal(matrix[:, 0] @ ct, wide[:, 0] @ x)


@given(st.data(), params_of_laws, st.integers(0, 1), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=30)
def test_a_matrix_on_the_left_multiplies_the_last_axis_but_one(
    data: st.DataObject, params: Params, stack: int, k: int, m: int
) -> None:
    shape = (2,) * stack + (k, 2)
    ct, x = data.draw(encrypted(params, shape))
    matrix = data.draw(nonzero_arrays((m, k), params.t))
    wide, slots_first = matrix.astype(object), np.moveaxis(x, -1, 0)
    assert_equal(matrix @ ct, np.moveaxis(wide @ slots_first, 0, -1))
    assert_equal(matrix[0] @ ct, np.moveaxis(wide[0] @ slots_first, 0, -1))


@given(st.data(), params_of_laws, shapes_before_matrix, st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=30)
def test_an_affine_map_is_a_product_and_a_sum_and_leaves_its_operands_alone(
    data: st.DataObject, params: Params, before: tuple[int, ...], k: int, m: int
) -> None:
    ct, x = data.draw(encrypted(params, (*before, k)))
    matrix = data.draw(nonzero_arrays((k, m), params.t))
    shape = data.draw(st.sampled_from([(), (1,), (m,), (*before, m)]))
    constants = data.draw(integer_arrays(shape, 3 * params.t))
    some, rows = ct[:], ct.rows.copy()
    found = ct.affine(matrix, constants)
    product = np.moveaxis(np.moveaxis(x, -1, 0) @ matrix.astype(object), 0, -1)
    assert_equal(found, product + np.asarray(constants, dtype=object)[..., None])
    apart = ct @ matrix + constants
    assert np.array_equal(found.rows, apart.rows)
    assert np.array_equal(found.noise_budget, apart.noise_budget)
    assert_equal(ct.affine(matrix[:, 0], 5), product[..., 0, :] + 5)
    assert not np.shares_memory(found.rows, some.rows)
    assert np.array_equal(some.rows, rows)


def test_an_affine_map_to_one_output_broadcasts_against_several_constants() -> None:
    ct, constants = encrypt([[1], [2]]), np.array([5, 0, 7])
    found = ct.affine([[1], [10]], constants)
    assert decrypt(found)[:, :2].tolist() == [[26, 5], [21, 0], [28, 7]]


def test_a_sum_with_a_constant_leaves_its_operand_alone() -> None:
    ct = encrypt([[1], [2]])
    rows = ct.rows.copy()
    assert decrypt(ct + 5)[:, 0].tolist() == [6, 7]
    assert np.array_equal(ct.rows, rows)


def test_only_a_constant_that_is_not_zero_adds_noise() -> None:
    ct = encrypt([[1], [2]])
    before, after = ct.bound.deviation, (ct + np.array([0, 5])).bound.deviation
    added = float(BFV(TOY).plain_addition_bound(1).deviation)
    assert after.tolist() == [before[0], before[1] + added]


def test_zero_weights_are_skipped_and_inputs_without_weight_are_not_read() -> None:
    values = np.arange(4 * 8, dtype=np.int64).reshape(4, 8)
    ct = encrypt(values)
    weights = np.array([[0, 2], [0, 0], [1, 0], [0, 0]], dtype=np.int64)
    poisoned = ct.rows.copy()
    poisoned[[1, 3]] = np.nan
    unread = Ciphertext(ct.scheme, ct.key_id, poisoned, ct.bound, ct.index)
    assert_equal(unread @ weights, weights.T @ values)


# Moving ciphertexts around.


@given(st.data(), basic_indices((2, 3, 4), allow_newaxis=True))
@settings(max_examples=50)
def test_basic_indices_are_those_of_numpy(data: st.DataObject, key: Any) -> None:
    moved = encrypt_ids((2, 3, 4))[key]
    assert_ids(moved, np.arange(24, dtype=np.int64).reshape(2, 3, 4)[key])


def encrypt_ids(shape: tuple[int, ...]) -> Ciphertext:
    """Ciphertexts that hold their own number in slot 0."""
    return _ids(int(np.prod(shape))).reshape(shape)


@lru_cache
def _ids(count: int) -> Ciphertext:
    return encrypt(np.arange(count, dtype=np.int64)[:, None])


def assert_ids(ct: Ciphertext, expected: Any) -> None:
    assert ct.shape == np.shape(expected)
    assert decrypt(ct)[..., 0].tolist() == np.asarray(expected).tolist()


INDICES = {
    "an index array": np.array([[2, 0], [1, 1]]),
    "a list": [2, 2, 0],
    "a mask": np.array([True, False, True]),
    "index arrays": (np.array([0, 2]), np.array([3, 1])),
    "an ellipsis": (..., np.array([0, 3, 3])),
    "everything": (),
    "nothing": slice(0, 0),
}


@pytest.mark.parametrize("key", INDICES.values(), ids=INDICES)
def test_other_indices_are_those_of_numpy(key: Any) -> None:
    ids = np.arange(12, dtype=np.int64).reshape(3, 4)
    assert_ids(encrypt_ids((3, 4))[key], ids[key])


def test_shapes_axes_and_parts_are_those_of_numpy() -> None:
    ct, ids = encrypt_ids((2, 3)), np.arange(6, dtype=np.int64).reshape(2, 3)
    for shape in ((6,), (3, 2), (1, 6, 1), (-1, 2)):
        assert_ids(ct.reshape(shape), ids.reshape(shape))
        assert_ids(ct.reshape(*shape), ids.reshape(shape))
    assert_ids(ct.transpose(), ids.T)
    assert_ids(ct.reshape(1, 2, 3).transpose(2, 0, 1), ids.reshape(1, 2, 3).transpose(2, 0, 1))
    assert len(ct) == 2
    assert [decrypt(row)[:, 0].tolist() for row in ct] == ids.tolist()
    for axis in (0, 1, -1):
        assert_ids(
            Ciphertext.concatenate([ct, ct[:, :1] if axis else ct[:1]], axis=axis),
            np.concatenate([ids, ids[:, :1] if axis else ids[:1]], axis=axis),
        )
    with pytest.raises(IndexError, match="out of bounds"):
        ct[2]


def test_moving_ciphertexts_copies_no_residue_and_arithmetic_copies_all() -> None:
    ct = encrypt_ids((2, 3))
    before = ct.rows.copy()
    for moved in (ct[0], ct[:, [2, 0]], ct.reshape(6), ct.transpose(), ct[..., None]):
        assert moved.rows is ct.rows
    for result in (ct + ct, ct - 1, 1 - ct, -ct, ct * 2, ct * ct, ct @ np.ones((3, 1), np.int64),
                   ct.affine(np.ones((3, 1), np.int64), 1),
                   ct + BFV(TOY).encode([1]), ct * BFV(TOY).encode([1])):  # fmt: skip
        assert not np.shares_memory(result.rows, ct.rows)
        assert np.array_equal(ct.rows, before)


def test_operations_after_moving_use_the_moved_ciphertexts() -> None:
    ct, ids = encrypt_ids((2, 3)), np.arange(6, dtype=np.int64).reshape(2, 3)
    mixed, expected = ct.transpose()[[2, 0, 0]], ids.T[[2, 0, 0]]  # (3, 2)
    assert_ids(mixed + ct[:1, :2], expected + ids[:1, :2])
    assert_ids(mixed * ct[1, 2], expected * ids[1, 2])
    assert_ids(mixed * 7 - 1, expected * 7 - 1)
    assert_ids(mixed @ np.array([[1, -1], [2, 0]]), expected @ np.array([[1, -1], [2, 0]]))


# Expressions.


@given(st.data(), st.sampled_from([*PARAMS[:2], *FOR_BGV[:2]]))
@settings(max_examples=15)
def test_a_network_on_ciphertexts_is_the_network_on_integers(
    data: st.DataObject, params: Params
) -> None:
    ct, x = data.draw(encrypted(params, (3, 2)))
    first = data.draw(nonzero_arrays((3, 3), 5))
    second = data.draw(nonzero_arrays((3, 2), 5))
    bias = data.draw(integer_arrays((2,), 1000))
    taps = np.array([[0, 1, 2], [3, 4, 5], [1, 1, 3]])
    hidden = ct.reshape(6)[taps] @ first
    out = (hidden * hidden).reshape(-1)[[0, 4, 8]] @ second + bias
    assert out.degree == 2
    expected = np.einsum("pkn,km->pmn", x.reshape(6, -1)[taps], first.astype(object)) ** 2
    expected = np.einsum("kn,km->mn", expected.reshape(9, -1)[[0, 4, 8]], second.astype(object))
    expected = expected + bias.astype(object)[:, None]
    assert_equal(out, expected)
    short = scheme_for(params).relinearize(out, keys_of(params).relinearization)
    assert_equal(short, expected)


@given(st.data())
@settings(max_examples=15)
def test_ciphertexts_of_degree_1_and_2_are_added_in_both_orders(data: st.DataObject) -> None:
    (a, x), (b, y) = (data.draw(encrypted(TOY, (2,), seed)) for seed in (SEED, OTHER_SEED))
    square = a * a
    assert_equal(square + b, x * x + y)
    assert_equal(b + square, y + x * x)
    assert_equal(square - b, x * x - y)
    assert_equal(b - square, y - x * x)
    assert (square + b).degree == (b - square).degree == 2
    assert_equal(5 - square * 3, 5 - 3 * x * x)
    values = np.arange(8, dtype=np.int64) + 1
    assert_equal(square + BFV(TOY).encode(values), x * x + values.astype(object))
    assert_equal(square * BFV(TOY).encode(values), x * x * values.astype(object))
    with pytest.raises(FormError, match="degrees 2 and 1: relinearize first"):
        Ciphertext.concatenate([square, b])


# What is refused.


def transparent(reason: str) -> Any:
    return pytest.raises(TransparentCiphertextError, match=reason)


PRODUCT_WITH_ZERO = "a product with 0 .* leave the term out instead"
ZERO_WEIGHTS = "a result whose weights are all zero .* leave it out"


@pytest.mark.parametrize("zero", [0, TOY.t, -3 * TOY.t, np.int64(0), np.zeros(2, np.int64)])
def test_a_product_with_zero_is_refused(zero: Any) -> None:
    ct = encrypt([[1], [2]])
    for product in (lambda: ct * zero, lambda: zero * ct):
        with transparent(PRODUCT_WITH_ZERO):
            product()


def test_a_single_zero_among_weights_is_refused_as_a_product_and_skipped_in_a_matrix() -> None:
    ct = encrypt([[1], [2]])
    with transparent(PRODUCT_WITH_ZERO):
        ct * np.array([1, 0])
    assert decrypt(ct @ np.array([1, 0]))[0] == 1
    assert decrypt(ct @ np.array([1, TOY.t]))[0] == 1
    for matrix in (np.array([[1, 0], [1, 0]]), np.array([[1, TOY.t], [1, 0]])):
        with transparent(ZERO_WEIGHTS):
            ct @ matrix
        with transparent(ZERO_WEIGHTS):
            matrix.T @ ct
    with transparent(ZERO_WEIGHTS):
        ct @ np.zeros(2, dtype=np.int64)


def test_differences_and_products_that_lose_the_ciphertext_are_refused() -> None:
    ct = encrypt([[1], [2]])
    for result in (
        lambda: ct - ct,
        lambda: ct + -ct,
        lambda: ct - ct[[0, 0]],
        lambda: ct[0] * BFV(TOY).encode([0]),
        lambda: ct @ np.array([1, 1]) - ct[0] - ct[1],
        lambda: ct[[0, 0]] @ np.array([1, -1]),
        lambda: ct[0] * ct[0] - ct[0] * ct[0],
    ):
        with transparent("no longer depends on any ciphertext: anybody could read"):
            result()
    assert decrypt(ct - ct[::-1])[:, 0].tolist() == [-1, 1]


def test_a_result_whose_first_residues_happen_to_be_zero_is_not_refused() -> None:
    """Only the whole secret part tells: here all but one of its residues are zero."""
    ct = encrypt([1])
    rows = ct.rows.copy()
    rows[:, 1:] = 0
    rows[0, 1, -1, -1] = 1
    sparse = Ciphertext(ct.scheme, ct.key_id, rows, ct.bound, ct.index)
    assert (sparse + 1).shape == ()


NO_INTEGERS = [0.5, 2.0, "1", None, True, 1j, [1.5, 2.5], np.array([True, False])]


@pytest.mark.parametrize("other", NO_INTEGERS, ids=repr)
def test_anything_but_integers_is_refused(other: Any) -> None:
    ct = encrypt([[1], [2]])
    for operation in (operator.add, operator.sub, operator.mul, operator.matmul):
        with pytest.raises(EncodingError, match="must be integers"):
            operation(ct, other)
        with pytest.raises(EncodingError, match="must be integers"):
            operation(other, ct)


def test_matrices_that_do_not_fit_are_refused() -> None:
    ct = encrypt([[1], [2]])
    for shape in ((3, 2), (3,), (2, 2, 2), ()):
        ones = np.ones(shape, dtype=np.int64)
        with pytest.raises(ShapeError, match=re.escape(f"shapes (2,) @ {shape} do not fit")):
            ct @ ones
    for shape in ((2, 3), (3,), (2, 2, 2), ()):
        ones = np.ones(shape, dtype=np.int64)
        with pytest.raises(ValueError, match=re.escape(f"shapes {shape} @ (2,) do not fit")):
            ones @ ct
    matrix = np.ones((2, 2), dtype=np.int64)
    with pytest.raises(ShapeError, match=r"shapes \(\) @ \(2, 2\) do not fit"):
        ct[0] @ matrix
    with pytest.raises(ShapeError, match=r"shapes \(2, 2\) @ \(\) do not fit"):
        matrix @ ct[0]


def test_the_shapes_of_a_product_that_does_not_fit_are_named_as_they_were_written() -> None:
    ct = encrypt_ids((3, 4))
    with pytest.raises(ShapeError, match=r"shapes \(2, 4\) @ \(3, 4\) do not fit"):
        np.ones((2, 4), dtype=np.int64) @ ct
    with pytest.raises(ShapeError, match=r"shapes \(3, 4\) @ \(3, 2\) do not fit"):
        ct @ np.ones((3, 2), dtype=np.int64)


def test_a_product_without_results_is_empty_and_one_without_terms_is_refused() -> None:
    ct = encrypt([[1], [2], [3]])
    for empty in (ct @ np.zeros((3, 0)), np.zeros((0, 3)) @ ct, ct[:0] * 5, ct[:0] * ct[:0]):
        assert empty.shape == (0,)
        assert decrypt(empty).shape == (0, TOY.n)
    assert (ct[:, None][:0] @ np.ones((1, 4), dtype=np.int64)).shape == (0, 4)
    for no_terms in (lambda: ct[:0] @ np.zeros((0, 2)), lambda: np.zeros((2, 0)) @ ct[:0]):
        with transparent(ZERO_WEIGHTS):
            no_terms()


def test_other_keys_and_other_parameters_do_not_mix() -> None:
    ct = encrypt([[1], [2]])
    scheme = BFV(TOY)
    stranger = scheme.encrypt([[1], [2]], keys_of(TOY, OTHER_SEED).public)
    foreign = encrypt([[1], [2]], PARAMS[0])
    for operation in (operator.add, operator.sub, operator.mul):
        with pytest.raises(KeyMismatchError, match="encrypted under different keys"):
            operation(ct, stranger)
        with pytest.raises(KeyMismatchError, match="do not mix|is for"):
            operation(ct, foreign)
        with pytest.raises(KeyMismatchError, match=f"plaintext for {PARAMS[0].name} does not fit"):
            operation(ct, BFV(PARAMS[0]).encode([1]))
    with pytest.raises(KeyMismatchError, match="encrypted under different keys"):
        Ciphertext.concatenate([ct, stranger])
    with pytest.raises(KeyMismatchError, match="do not mix"):
        Ciphertext.concatenate([ct, foreign])


def test_other_schemes_do_not_mix() -> None:
    class Other(BFV):
        name = "Other"

    ct = encrypt([1])
    other = Other(TOY).encrypt([1], keys_of(TOY).public)
    for operation in (operator.add, operator.sub, operator.mul):
        with pytest.raises(KeyMismatchError, match="do not mix|Other was given"):
            operation(ct, other)
    with pytest.raises(KeyMismatchError, match="a ciphertext of Other was given to BFV"):
        BFV(TOY).decrypt(other, keys_of(TOY).secret)


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    ct = encrypt([[1], [2]])
    others = (np.ones(3, np.int64), encrypt([[1], [2], [3]]), BFV(TOY).encode([[1], [2], [3]]))
    for other in others:
        for operation in (operator.add, operator.sub, operator.mul):
            with pytest.raises(ShapeError, match="broadcast"):
                operation(ct, other)
            with pytest.raises(ValueError, match="broadcast"):
                operation(other, ct)


@operators
def test_numbers_do_not_add_axes_because_slots_may_be_meant(operation: Operation) -> None:
    ct = encrypt([[1, 2, 3], [4, 5, 6]])
    question = r"numbers of shape .* one for each ciphertext. For one per slot write scheme.encode"
    for one, numbers in ((ct[0], [1, 2, 3]), (ct, [[1, 2]]), (ct[0], [5]), (ct, [1, 2, 3])):
        with pytest.raises(ShapeError, match=question):
            operation(one, numbers)
        with pytest.raises(ShapeError, match=question):
            operation(numbers, one)
    # What may have been meant:
    values = np.array([1, 2, 3], dtype=np.int64)
    per_slot = decrypt(operation(ct[0], BFV(TOY).encode(values)))[:3]
    assert per_slot.tolist() == operation(values, values).tolist()
    three = decrypt(operation(np.broadcast_to(ct[0], (3,)), values))[:, 0]
    assert three.tolist() == operation(1, values).tolist()


def test_constants_that_do_not_fit_an_affine_map_are_refused() -> None:
    ct, matrix = encrypt([[1], [2]]), np.ones((2, 3), np.int64)
    for shape in ((2,), (2, 3), (3, 1)):
        with pytest.raises(ShapeError, match=r"do not broadcast with ciphertexts of shape \(3,\)"):
            ct.affine(matrix, np.ones(shape, np.int64))
    with pytest.raises(EncodingError, match="constants must be integers, not float64"):
        ct.affine(matrix, 0.5)


def test_an_operation_that_would_use_the_budget_up_is_refused_before_it_is_sent() -> None:
    matrix = np.array([[999, 998], [997, 996]])
    steps: dict[str, Callable[[Ciphertext], Ciphertext]] = {
        "a product with a constant": lambda ct: ct * 1000,
        "a matrix product": lambda ct: ct @ matrix,
        "a sum": lambda ct: ct + ct[::-1],
    }
    for what, step in steps.items():
        with pytest.raises(NoiseBudgetExhausted, match=f"{what} leaves a noise budget"):
            repeat(step, encrypt([[1], [2]]))


def repeat(step: Callable[[Ciphertext], Ciphertext], ct: Ciphertext) -> None:
    """Run one operation again and again: sooner or later it is refused."""
    for _ in range(200):
        ct = step(ct)


def test_the_repr_tells_shape_degree_and_budget_and_warns() -> None:
    ct = encrypt([[1], [2]])
    text = repr(ct)
    assert text.startswith("Ciphertext(shape=(2,), BFV INSECURE_8_2_5, degree=1")
    assert f"noise budget >= {ct.noise_budget.min():.1f} bits)" in text
    assert "EXHAUSTED" not in text
    with noise.unchecked():
        for _ in range(40):
            ct = ct * 1000
    assert "NOISE BUDGET EXHAUSTED" in repr(ct)
    assert "inf" in repr(ct[:0])


def test_the_budget_is_predicted_for_every_ciphertext_of_its_own() -> None:
    ct = encrypt([[1], [2]]) * np.array([1, 64])
    fine, worn = ct.noise_budget
    assert fine - worn == pytest.approx(6)
    assert ct[::-1].noise_budget.tolist() == [worn, fine]
    joined = Ciphertext.concatenate([ct[1:], ct])
    assert joined.noise_budget.tolist() == [worn, fine, worn]


def test_bytes_are_counted() -> None:
    ct = encrypt(np.zeros((3, 8), dtype=np.int64))
    assert ct.nbytes == 3 * 2 * 5 * 8 * 8  # ciphertexts, parts, primes, coefficients, bytes
