"""X -> X^g: what it is by definition, and how slots move with it."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import TOYS, integers_up_to
from yashe.arithmetic.automorphisms import (
    move_coefficients,
    move_values,
    rotation_exponent,
    swap_exponent,
)
from yashe.arithmetic.rings import Ring
from yashe.textbook import polynomials as textbook

rings = st.sampled_from([params.ring for params in TOYS])


def substituted(a: list[int], g: int) -> list[int]:
    """a(X^g) by definition: the sum of the a_i (X^g)^i."""
    n, total = len(a), [0] * len(a)
    for i, x in enumerate(a):
        sign, place = divmod(i * g, n)
        total[place] += x * (-1) ** sign
    return total


@st.composite
def exponents(draw: st.DrawFn, n: int) -> int:
    return 2 * draw(st.integers(0, n - 1)) + 1


@given(st.data(), rings)
@settings(max_examples=60)
def test_both_forms_are_moved_as_by_definition(data: st.DataObject, r: Ring) -> None:
    g, limit = data.draw(exponents(r.n)), r.basis.product // 2
    a = data.draw(st.lists(integers_up_to(limit), min_size=r.n, max_size=r.n))
    x = r.element(np.array(a, dtype=object))
    expected = r.element(np.array(substituted(a, g), dtype=object))
    before = x.residues.copy()
    assert np.array_equal(move_coefficients(x.residues, g), expected.residues)
    values = move_values(x.ntt().residues, g)
    assert np.array_equal(values, expected.ntt().residues)
    assert np.array_equal(x.residues, before)


@given(st.data(), rings)
def test_moving_twice_is_moving_by_the_product_of_the_exponents(
    data: st.DataObject, r: Ring
) -> None:
    g, h = data.draw(exponents(r.n)), data.draw(exponents(r.n))
    x: Any = np.arange(2.0 * r.n).reshape(2, r.n)
    for move in (move_values, move_coefficients):
        both = move(move(x, g), h)
        assert np.array_equal(both, move(x, g * h % (2 * r.n)))
        assert np.array_equal(move(move(x, g), pow(g, -1, 2 * r.n)), x)
        assert np.array_equal(move(x, 1), x)


def test_rotations_and_the_swap_are_all_automorphisms() -> None:
    for n in (4, 8, 64, 4096):
        rows = [rotation_exponent(n, steps) for steps in range(n // 2)]
        both = rows + [g * swap_exponent(n) % (2 * n) for g in rows]
        assert sorted(both) == list(range(1, 2 * n, 2))


@given(st.data(), rings)
@settings(max_examples=60)
def test_slots_turn_to_the_left_and_rows_are_exchanged(data: st.DataObject, r: Ring) -> None:
    n, p, psi = r.n, r.basis.moduli[0], r.transform.psi[0]
    slots, steps = list(range(1, n + 1)), data.draw(st.integers(-2 * n, 2 * n))
    m = textbook.encode(slots, [p], [psi])
    grid = np.array(slots).reshape(2, -1)
    turned = textbook.decode(substituted(m, rotation_exponent(n, steps)), [p], [psi])
    assert turned == np.roll(grid, -steps, axis=1).ravel().tolist()
    swapped = textbook.decode(substituted(m, swap_exponent(n)), [p], [psi])
    assert swapped == grid[::-1].ravel().tolist()
