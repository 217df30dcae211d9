"""Ring elements: the laws of Z_q[X]/(X^n + 1), and forms that do not mix."""

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import TOYS, integer_arrays, integers_up_to
from yashe.arithmetic.rings import CoefficientElement, NttElement, Ring, ring
from yashe.errors import FormError, KeyMismatchError, ParameterError
from yashe.textbook import polynomials as textbook

RINGS = [params.ring for params in TOYS]
rings = st.sampled_from(RINGS)


def polynomials(r: Ring) -> st.SearchStrategy[list[int]]:
    """Coefficients up to (q - 1)/2, the extremes often."""
    limit = r.basis.product // 2
    return st.lists(integers_up_to(limit), min_size=r.n, max_size=r.n)


def element(r: Ring, coefficients: list[int]) -> CoefficientElement:
    return r.element(np.array(coefficients, dtype=object))


@given(st.data(), rings)
def test_integers_give_the_coefficients_back(data: st.DataObject, r: Ring) -> None:
    a = data.draw(polynomials(r))
    assert list(element(r, a).integers()) == a
    assert list(element(r, a).ntt().intt().integers()) == a


@given(st.data(), rings)
@settings(max_examples=30)
def test_arithmetic_is_that_of_the_textbook_in_both_forms(data: st.DataObject, r: Ring) -> None:
    a, b = data.draw(polynomials(r)), data.draw(polynomials(r))
    x, y, q = element(r, a), element(r, b), r.basis.product
    expected = {
        "sum": textbook.poly_mod(textbook.poly_add(a, b), q),
        "difference": textbook.poly_mod(textbook.poly_add(a, textbook.poly_scale(b, -1)), q),
        "negative": textbook.poly_scale(a, -1),
        "product": textbook.poly_mod(textbook.poly_mul(a, b), q),
    }
    in_coefficients = {"sum": x + y, "difference": x - y, "negative": -x}
    u, v = x.ntt(), y.ntt()
    in_values = {"sum": u + v, "difference": u - v, "negative": -u, "product": u * v}
    for name, result in in_coefficients.items():
        assert list(result.integers()) == expected[name], name
    for name, result in in_values.items():
        assert list(result.intt().integers()) == expected[name], name


@given(st.data(), st.sampled_from(TOYS))
def test_rescaling_rounds_every_coefficient(data: st.DataObject, params: Any) -> None:
    r, target = params.ring, params.plaintext_ring
    a = data.draw(polynomials(r))
    scaled = element(r, a).rescale(target, Fraction(params.t, params.q))
    assert scaled.ring is target
    expected = textbook.scale_down(textbook.Params(r.n, params.t, params.moduli), a)
    assert list(scaled.integers()) == expected


@given(st.data())
def test_elements_with_leading_axes_are_arrays_of_polynomials(data: st.DataObject) -> None:
    r = RINGS[0]
    a, b = (data.draw(integer_arrays((2, 3, r.n), 1000)) for _ in "ab")
    product = (r.element(a).ntt() * r.element(b).ntt()).intt().integers()
    assert np.shape(product) == (2, 3, r.n)
    for i in range(2):
        for j in range(3):
            assert list(product[i, j]) == textbook.poly_mul(a[i, j].tolist(), b[i, j].tolist())


def test_x_cubed_times_x_is_minus_1_by_hand() -> None:
    r = ring(4, (17, 41))
    x, x_cubed = r.element([0, 1, 0, 0]), r.element([0, 0, 0, 1])
    assert list((x.ntt() * x_cubed.ntt()).intt().integers()) == [-1, 0, 0, 0]


def test_equal_elements_have_equal_canonical_residues() -> None:
    r = ring(4, (17, 41))
    a = r.element([8, -8, 3, 20])
    shifted = CoefficientElement(r, a.residues - r.moduli)
    assert not np.array_equal(shifted.residues, a.residues)
    assert np.array_equal(shifted.canonical(), a.canonical())
    assert np.array_equal(NttElement(r, shifted.residues).canonical(), a.canonical())


def test_operations_return_new_memory_and_leave_their_arguments_alone() -> None:
    r = ring(4, (17, 41))
    a, b = r.element([1, 2, 3, 4]), r.element([5, 6, 7, 8])
    before = a.residues.copy(), b.residues.copy()
    for result in (a + b, a - b, -a, a.ntt(), a.rescale(r), a.ntt() * b.ntt(), a.ntt().intt()):
        assert not np.shares_memory(result.residues, a.residues)
    assert np.array_equal(a.residues, before[0])
    assert np.array_equal(b.residues, before[1])


@pytest.mark.parametrize("operation", [operator.add, operator.sub])
def test_coefficients_and_values_do_not_mix(operation: Callable[[Any, Any], Any]) -> None:
    a = ring(4, (17, 41)).element([1, 2, 3, 4])
    for left, right in ((a, a.ntt()), (a.ntt(), a)):
        with pytest.raises(FormError, match=r"do not mix: convert one of them"):
            operation(left, right)


def test_products_of_coefficients_are_refused() -> None:
    a = ring(4, (17, 41)).element([1, 2, 3, 4])
    for other in (a, a.ntt(), 3):
        with pytest.raises(FormError, match=r"\(a.ntt\(\) \* b.ntt\(\)\).intt\(\)"):
            a * other
    with pytest.raises(FormError, match="do not mix"):
        a.ntt() * a


def test_elements_of_different_rings_do_not_mix() -> None:
    a = ring(4, (17, 41)).element([1, 2, 3, 4])
    others = [ring(4, (17, 73)).element([1, 2, 3, 4]), ring(8, (17, 97)).element([0] * 8)]
    for other in others:
        with pytest.raises(KeyMismatchError, match="elements of different rings"):
            a + other
        with pytest.raises(KeyMismatchError, match="elements of different rings"):
            a.ntt() * other.ntt()
    with pytest.raises(KeyMismatchError, match="degrees differ"):
        a.rescale(others[1].ring)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_too_many_or_too_few_coefficients_are_refused(count: int) -> None:
    with pytest.raises(ParameterError, match=f"expected 4 coefficients, got {count}"):
        ring(4, (17, 41)).element(np.zeros(count, dtype=np.int64))


def test_a_ring_is_built_once() -> None:
    assert ring(4, (17, 41)) is ring(4, (17, 41))
    r = ring(4, (17, 41))
    assert repr(r) == "Ring(n=4, RnsBasis(2 primes, 9.4 bits))"
    assert repr(r.transform) == "Ntt(n=4, 2 primes)"


def test_elements_print_their_form_and_shape_and_no_coefficient() -> None:
    a = ring(4, (17, 41)).element([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert repr(a) == "CoefficientElement(shape=(2,), Ring(n=4, RnsBasis(2 primes, 9.4 bits)))"
    assert str(a.ntt()) == "NttElement(shape=(2,), Ring(n=4, RnsBasis(2 primes, 9.4 bits)))"
