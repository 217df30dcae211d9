"""What slots lie within: declared, carried through every operation, refused before it wraps."""

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import toy_params
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.ranges import Interval
from yashe.errors import OperationError, ParameterError, RangeError, TransparentCiphertextError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV, from_bfv, to_bfv
from yashe.schemes.yashe import YASHE

PARAMS = toy_params(16, 1, 9, t_above=2**14)
SCHEMES: list[Scheme] = [BFV(PARAMS), BGV(PARAMS), YASHE(PARAMS)]
KEYS = {scheme.name: scheme.keygen(bytes(32)) for scheme in SCHEMES}
REAL = make_params("real", n=8192, t_at_least=2**16)
HALF = PARAMS.t // 2


def encrypt(scheme: Scheme, values: Any, within: tuple[int, int] | None) -> Ciphertext:
    return scheme.encrypt(values, KEYS[scheme.name].encryption, within=within)


Step = Callable[[Scheme, Ciphertext, Any], tuple[Ciphertext, Any]]


def short(scheme: Scheme, ct: Ciphertext) -> Ciphertext:
    return scheme.relinearize(ct, KEYS[scheme.name].relinearization)


# Every operation, on two ciphertexts of 16 slots, and on the numbers in them. Unused slots are 0.
PLAIN = [3, -2, 0, 7]
FULL = np.array(PLAIN + [0] * 12)
STEPS: dict[str, Step] = {
    "add": lambda s, x, v: (x + x[::-1], v + v[::-1]),
    "subtract": lambda s, x, v: (x - x[::-1], v - v[::-1]),
    "negate": lambda s, x, v: (-x, -v),
    "constant": lambda s, x, v: (x + np.array([5, -6]), v + np.array([[5], [-6]])),
    "minus": lambda s, x, v: (7 - x, 7 - v),
    "times": lambda s, x, v: (x * [2, -3], v * [[2], [-3]]),
    "plaintext": lambda s, x, v: (x + s.encode(PLAIN), v + FULL),
    "slots": lambda s, x, v: (x * s.encode(PLAIN), v * FULL),
    "matrix": lambda s, x, v: (x @ [[1, -2], [3, 1]], np.array([[1, 3], [-2, 1]]) @ v),
    "affine": lambda s, x, v: (x.affine([[1, 0], [1, 1]], 4), np.array([[1, 1], [0, 1]]) @ v + 4),
    "sum": lambda s, x, v: (np.stack([x.sum(), x[0]]), np.stack([v.sum(axis=0), v[0]])),
    "product": lambda s, x, v: (short(s, x * x[::-1]), v * v[::-1]),
    "square": lambda s, x, v: (short(s, x * x), v * v),
    "switch": lambda s, x, v: (s.scheme_of(x).switch_modulus(x, max(7, x.params.k - 1)), v),
    "levels": lambda s, x, v: (x + s.switch_modulus(x, max(7, x.params.k - 1)), v + v),
    "move": lambda s, x, v: (copy.deepcopy(np.roll(x, 1).copy()), np.roll(v, 1, axis=0)),
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@given(data=st.data())
@settings(max_examples=40)
def test_slots_stay_within_their_range_or_the_operation_is_refused(
    scheme: Scheme, data: st.DataObject
) -> None:
    """Decryption then is what integers give, without any reduction modulo t."""
    low, high = sorted(data.draw(st.tuples(*[st.integers(-40, 40)] * 2)))
    drawn = data.draw(st.lists(st.integers(low, high), min_size=4, max_size=4))
    values = np.zeros((2, 16), dtype=object)
    values[:, :2] = np.array(drawn).reshape(2, 2)
    ct, bound = encrypt(scheme, values[:, :2].astype(np.int64), (low, high)), max(-low, high, 1)
    for name in data.draw(st.lists(st.sampled_from(sorted(STEPS)), max_size=5)):
        try:
            ct, values = STEPS[name](scheme, ct, values)
        except TransparentCiphertextError:  # (x + y) - (y + x)
            break
        except RangeError:
            # Not without need: the largest operation grows a bound b to 10 b + 10 or to b^2.
            assert max(10 * bound + 10, bound**2) > HALF
            break
        assert ct.within is not None
        found = ct.within[ct.index]
        bound = max(found.largest, 1)
        assert bound <= HALF
        assert (found.low[:, None] <= values).all()
        assert (values <= found.high[:, None]).all()
        assert scheme.decrypt(ct, KEYS[scheme.name].secret).tolist() == values.tolist()


def test_a_square_that_would_wrap_is_refused_at_a_real_degree_and_right_where_it_fits() -> None:
    for scheme in (BFV(REAL), BGV(REAL)):
        keys = scheme.keygen(bytes(32))
        x = scheme.encrypt([300, 1000], keys.public, within=(0, 1000))
        assert "within (0, 1000)" in repr(x)
        with pytest.raises(RangeError, match=r"product can reach 1000000 .* end at 32768.*2000001"):
            x * x
        wrapped = scheme.decrypt(x.modulo() * x.modulo(), keys.secret)[:2]
        assert wrapped.tolist() == [300**2 - REAL.t, 1000**2 - 15 * REAL.t]
        small = scheme.encrypt([181, -5], keys.public, within=(-181, 181))
        assert scheme.decrypt(small * small, keys.secret)[:2].tolist() == [181**2, 25]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_declared_and_undeclared_do_not_mix_without_a_word(scheme: Scheme) -> None:
    x, y = encrypt(scheme, [3], (0, 9)), encrypt(scheme, [4], None)
    for operation in (operator.add, operator.sub, operator.mul):
        for a, b in ((x, y), (y, x)):
            with pytest.raises(RangeError, match="one of two ciphertexts has a declared range"):
                operation(a, b)
        assert operation(x.modulo(), y).within is None
        assert operation(x, y.declared(0, 4)).within is not None
    with pytest.raises(RangeError, match="one of two ciphertexts"):
        np.stack([x, y])


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_parts_of_one_array_keep_the_ranges_that_each_of_them_has_declared(scheme: Scheme) -> None:
    """Else 1000 counts as at most 3, and its square wraps around without a word."""
    ct = encrypt(scheme, [[3], [1000]], None)
    x, y = ct[:1].declared(0, 3), ct[1:].declared(0, 1000)
    joined = np.concatenate([x, y])
    for both in (joined, np.stack([x, y])[:, 0], np.where([True, False], ct.declared(0, 3), y)):
        assert both.within[both.index].high.tolist() == [3, 1000]
        with pytest.raises(RangeError, match="can reach 1000000"):
            both * both
    assert scheme.decrypt(joined, KEYS[scheme.name].secret)[:, 0].tolist() == [3, 1000]
    for parts in ([x, ct], [ct, x]):
        with pytest.raises(RangeError, match="one of two ciphertexts"):
            np.concatenate(parts)
    assert np.concatenate([joined[:1], joined[1:]]).rows is joined.rows


def test_ranges_change_neither_residues_nor_files_nor_the_scheme() -> None:
    scheme, keys = SCHEMES[1], KEYS["BGV"]
    x = scheme.encrypt([3, -2], keys.secret, bytes(32), within=(-3, 3))
    y = scheme.encrypt([3, -2], keys.secret, bytes(32))
    assert wire.to_bytes(x) == wire.to_bytes(y)
    assert wire.from_bytes(wire.to_bytes(x), Ciphertext).within is None
    assert np.array_equal((x * x).rows, (y * y).rows)
    bfv = SCHEMES[0].encrypt([3], KEYS["BFV"].secret, within=(0, 3))
    for moved in (from_bfv(bfv), to_bfv(from_bfv(bfv))):
        assert moved.within is not None
        assert moved.within.largest == 3


@pytest.mark.parametrize(
    ("values", "within", "error", "message"),
    [
        ([5], (0, 4), RangeError, r"there is a slot value 5 at \(0,\), but \(0, 4\) was declared"),
        ([[1], [-2]], (0, 4), RangeError, r"slot value -2 at \(1, 0\)"),
        ([1], (4, 0), RangeError, "has low <= high"),
        ([1], (0, 2**30), RangeError, "which are the slots of"),
        ([1], (0, 1, 2), RangeError, "has low <= high"),
        ([1], 4, ParameterError, "must be a tuple of whole numbers"),
        ([1], (0, 1.5), ParameterError, "must be a whole number"),
        ([1], "04", ParameterError, "must be a tuple of whole numbers"),
    ],
)
def test_what_is_no_range_of_these_slots_is_refused(
    values: Any, within: Any, error: type[Exception], message: str
) -> None:
    for scheme in SCHEMES:
        with pytest.raises(error, match=message):
            encrypt(scheme, values, within)
        with pytest.raises(error, match=message):
            encrypt(scheme, scheme.encode(values), within)


def test_numbers_of_thousands_of_digits_are_refused_with_a_sentence() -> None:
    x = encrypt(SCHEMES[0], [1], None)
    with pytest.raises(RangeError, match="has low <= high .* not a number of thousands of digits"):
        x.declared(0, 10**5000)
    with pytest.raises(OperationError, match=r"not x \*\* a number of thousands of digits"):
        x**10**5000


def test_decryption_finds_out_that_somebody_has_declared_a_wrong_range() -> None:
    for scheme in SCHEMES:
        x = encrypt(scheme, [[7, 900], [1, 2]], None).declared(0, 500)
        with pytest.raises(RangeError, match=r"gives 900 at \(0, 1\), but \(0, 500\) was declared"):
            scheme.decrypt(x, KEYS[scheme.name].secret)
        assert scheme.decrypt(x[1], KEYS[scheme.name].secret)[:2].tolist() == [1, 2]


def test_constants_are_taken_for_what_they_are() -> None:
    """t + 1 is 1 modulo t, but x (t + 1) is not x."""
    x = encrypt(SCHEMES[0], [3], (0, 9))
    for constant in (PARAMS.t + 1, -PARAMS.t, 2**70):
        for operation in (operator.add, operator.sub, operator.mul):
            with pytest.raises(RangeError, match="constants are those of a slot"):
                operation(x, constant)
        with pytest.raises(RangeError, match="constants are those of a slot"):
            x[None] @ [[constant]]
        assert (x.modulo() + constant).within is None


def test_an_empty_array_has_no_range_to_show() -> None:
    x = encrypt(SCHEMES[0], np.zeros((0, 2), dtype=np.int64), (0, 9))
    assert "within" not in repr(x)
    y, nothing = encrypt(SCHEMES[0], [[1], [2], [3]], (0, 9)), np.zeros((3, 0), dtype=np.int64)
    sums = y.reshape(3, 1)[:0].sum(axis=1)
    for empty in (y @ nothing, nothing.T @ y, y.affine(nothing, 1), sums):
        assert empty.within.shape == empty.shape == (0,)
        assert (empty * 2 + 1).within is not None
    assert Interval.of(1, 2, (0,)).smallest_t == 1


@pytest.mark.parametrize("params", [PARAMS, REAL], ids=lambda p: p.name)
def test_ciphertexts_of_yashe_that_anybody_can_read_are_refused(params: Params) -> None:
    """(x + 5) - x is round(q/t 5): it decrypts with f = 1. See also the same for BFV and BGV."""
    if params is REAL:
        params = make_params("INSECURE_real", 8192, 2**16, None, log2_q=200)
    scheme = YASHE(params)
    x = scheme.encrypt([1, 2, 3], scheme.keygen(bytes(32)).public)
    for operation in (
        lambda: (x + 5) - x,
        lambda: (x + scheme.encode([7, -8])) - x,
        lambda: (x * 3 + 5) - x * 2 - x,
        lambda: x - x,
    ):
        with pytest.raises(TransparentCiphertextError, match="no longer depends on any ciphertext"):
            operation()
    assert ((x + 5) - x * 2).size == 1
