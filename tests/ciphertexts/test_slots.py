"""Slots: vectors of integers in polynomials, and the messages that do not fit."""

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from strategies_engine import TOYS, centred, slot_values, toys
from yashe.arithmetic.rings import CoefficientElement
from yashe.ciphertexts.slots import (
    Plaintext,
    check_integers,
    decode,
    encode,
    encode_constant,
    slot_positions,
)
from yashe.errors import EncodingError, KeyMismatchError, OperationError, ShapeError
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV
from yashe.textbook import polynomials as textbook


@given(st.data(), toys)
def test_decode_undoes_encode_and_slot_i_is_value_i(data: st.DataObject, params: Params) -> None:
    values = data.draw(slot_values(params, (2,)))
    plaintext = encode(params, values)
    assert plaintext.shape == (2,)
    assert decode(plaintext).dtype == np.int64
    assert decode(plaintext).tolist() == values.tolist()


@given(st.data(), toys)
@settings(max_examples=30)
def test_polynomials_are_those_of_the_textbook(data: st.DataObject, params: Params) -> None:
    values = data.draw(slot_values(params))
    psis = params.plaintext_ring.transform.psi
    expected = textbook.encode(values.tolist(), params.plaintext_moduli, psis)
    plaintext = encode(params, values)
    assert list(plaintext.element.integers()) == expected
    assert decode(plaintext).tolist() == textbook.decode(expected, params.plaintext_moduli, psis)


@given(st.data(), toys)
def test_products_and_sums_of_polynomials_are_those_of_the_slots(
    data: st.DataObject, params: Params
) -> None:
    a, b = data.draw(slot_values(params)), data.draw(slot_values(params))
    x, y = encode(params, a).element, encode(params, b).element
    product = Plaintext(params, (x.ntt() * y.ntt()).intt())
    expected = centred(a.astype(object) * b.astype(object), params.t)
    assert decode(product).tolist() == expected.tolist()
    expected = centred(a.astype(object) + b.astype(object), params.t)
    assert decode(Plaintext(params, x + y)).tolist() == expected.tolist()


two_shapes = mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3).map(
    lambda drawn: drawn.input_shapes
)


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul])
@given(st.data(), toys, two_shapes)
@settings(max_examples=30)
def test_plaintexts_are_combined_slot_by_slot_and_broadcast(
    operation: Any, data: st.DataObject, params: Params, shapes: Any
) -> None:
    a, b = (data.draw(slot_values(params, shape)) for shape in shapes)
    found = operation(encode(params, a), encode(params, b))
    expected = centred(operation(a.astype(object), b.astype(object)), params.t)
    assert decode(found).tolist() == expected.tolist()
    assert found.shape == expected.shape[:-1]
    assert decode(-encode(params, a)).tolist() == (-a).tolist()
    assert decode(+encode(params, a)).tolist() == a.tolist()


def test_plaintexts_do_not_mix_with_numbers_or_with_those_of_other_slots() -> None:
    plaintext = encode(TOYS[1], [[1, 2], [3, 4]])
    for numbers in (3, [1, 2], np.array([1, 2])):
        for operation in (operator.add, operator.sub, operator.mul):
            with pytest.raises(OperationError, match="encode numbers with scheme.encode, one for"):
                operation(plaintext, numbers)
            with pytest.raises(TypeError, match="encode numbers with scheme.encode, one for"):
                operation(numbers, plaintext)
    for one, other in ((TOYS[1], TOYS[0]), (TOYS[2], TOYS[3])):  # another n, another t
        with pytest.raises(KeyMismatchError, match="n and t must be the same; encode the numbers"):
            encode(one, [1]) + encode(other, [1])
    with pytest.raises(ShapeError, match="broadcast"):
        plaintext + encode(TOYS[1], [[1], [2], [3]])
    # Another q does not matter.
    same = encode(TOYS[1].shortened(TOYS[1].k - 1), [1, 1])
    assert decode(plaintext + same)[:, :2].tolist() == [[2, 3], [4, 5]]


@given(st.data(), toys, st.integers(0, 64))
def test_unused_slots_are_zero(data: st.DataObject, params: Params, count: int) -> None:
    values = data.draw(slot_values(params))[:count]
    slots = decode(encode(params, values.tolist()))
    assert slots.tolist() == values.tolist() + [0] * (params.n - len(values))


@pytest.mark.parametrize("n", [4, 8, 64, 1024])
def test_slots_are_in_the_order_of_the_textbooks_grid(n: int) -> None:
    assert (2 * slot_positions(n) + 1).tolist() == textbook.slot_exponents(n)


def test_a_constant_polynomial_holds_one_value_in_all_slots() -> None:
    params = TOYS[1]
    residues = params.plaintext_ring.basis.decompose([[7] + [0] * 7])
    constant = Plaintext(params, CoefficientElement(params.plaintext_ring, residues))
    assert decode(constant).tolist() == [[7] * 8]


def test_the_known_slots_of_x_for_n_4_and_t_17() -> None:
    # psi = 9; the grid is psi^1 = 9 = -8, psi^5 = 8; psi^-1 = 9^7 = 2, psi^-5 = psi^3 = -2.
    params = Params("INSECURE_hand", 4, (16777153, 16777121), (17,), security=None)
    plaintext = encode(params, [-8, 8, 2, -2])
    assert list(plaintext.element.integers()) == [0, 1, 0, 0]


@given(toys)
def test_the_largest_values_pass_and_the_next_are_refused(params: Params) -> None:
    half = params.t // 2
    assert decode(encode(params, [half, -half]))[:2].tolist() == [half, -half]
    for value in (half + 1, -half - 1, 2**62, -(2**63)):
        with pytest.raises(EncodingError, match=rf"must lie in \[-{half}, {half}\] .*, got \["):
            encode(params, [0, value])


def test_more_values_than_slots_are_refused() -> None:
    with pytest.raises(EncodingError, match="5 values do not fit into the 4 slots .* batches"):
        encode(TOYS[0], [1] * 5)


def test_no_values_at_all_are_zeros() -> None:
    assert decode(encode(TOYS[0], [])).tolist() == [0, 0, 0, 0]
    assert encode(TOYS[0], np.zeros((0, 4), dtype=np.int64)).shape == (0,)


NO_INTEGERS = {
    "a float": [1.0],
    "a fraction": [0.5],
    "text": ["1"],
    "bytes": [b"1"],
    "a boolean": [True],
    "nothing": [None],
    "complex": [1j],
    "rows of different lengths": [[1, 2], [3]],
    "a float beside a wide integer": [2**64, 1.0],
    "a fraction beside a huge integer": [10**400, 0.5],
    "a boolean beside a wide integer": [2**64, True],
    "objects": np.array([1, None], dtype=object),
    "a date, which is an integer inside": np.array(["2020-01-01"], dtype="M8[ns]"),
    "a masked integer": np.ma.array([1, 2], mask=[False, True]),
}
WIDE = {
    "65 bits": [2**64],
    "64 bits without sign": np.array([2**63], dtype=np.uint64),
    "integers that NumPy would make floats": [2**63, -1],
    "201 bits": [2**200, -(2**200)],
    "objects that are integers": np.array([2**70, np.int64(3)], dtype=object),
    "one number": 2**70,
    "a table": [[2**70, 1], [2, 3]],
}


@pytest.mark.parametrize("values", NO_INTEGERS.values(), ids=NO_INTEGERS)
def test_anything_but_integers_is_refused(values: Any) -> None:
    with pytest.raises(EncodingError, match="slot values must be integers, (not|in|and)"):
        encode(TOYS[0], values)
    with pytest.raises(EncodingError, match="constants must be integers, (not|in|and)"):
        encode_constant(TOYS[0], values)


@pytest.mark.parametrize("values", WIDE.values(), ids=WIDE)
def test_wide_integers_are_constants_modulo_t_and_no_slot_values(values: Any) -> None:
    params = TOYS[2]
    with pytest.raises(EncodingError, match="slot values must be integers of at most 64 bits"):
        encode(params, values)
    found = encode_constant(params, values)
    assert found.dtype == np.int64
    assert found.tolist() == centred(values, params.t).tolist()


def test_integers_in_an_array_of_objects_are_integers() -> None:
    params = TOYS[2]
    values = np.array([[1, -2], [3, np.int8(4)]], dtype=object)
    assert decode(encode(params, values))[:, :2].tolist() == [[1, -2], [3, 4]]
    assert check_integers(values, "values").dtype == np.int64


def test_what_is_no_plaintext_has_no_slots_to_show() -> None:
    scheme = BGV(TOYS[0])
    ct = scheme.encrypt([1], scheme.keygen(bytes(32)).public)
    for thing in (ct, 5, None, [1, 2]):
        with pytest.raises(
            OperationError, match=f"not of a {type(thing).__name__}: ciphertexts are"
        ):
            scheme.decode(thing)  # type: ignore[arg-type]


def test_a_single_number_is_no_vector() -> None:
    with pytest.raises(EncodingError, match=r"write \[value\]"):
        encode(TOYS[0], 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_integers_of_every_width_are_encoded(dtype: type) -> None:
    params = TOYS[2]
    values = np.array([0, 1, 100], dtype=dtype)
    assert decode(encode(params, values))[:3].tolist() == [0, 1, 100]
    assert check_integers(values, "values").dtype == np.int64
    assert encode_constant(params, values).tolist() == [0, 1, 100]


@given(toys, st.integers(-(2**63), 2**63 - 1))
def test_constants_wrap_modulo_t(params: Params, value: int) -> None:
    assert encode_constant(params, value) == textbook.centred(value, params.t)
    assert encode_constant(params, [[value]]).shape == (1, 1)


def test_encode_leaves_its_argument_alone_and_the_repr_shows_no_message() -> None:
    values = np.array([1, 2, 3], dtype=np.int64)
    plaintext = encode(TOYS[1], values)
    assert values.tolist() == [1, 2, 3]
    assert repr(plaintext) == "Plaintext(shape=(), INSECURE_8_2_4)"
