"""The maps X -> X^g of R, which move what a polynomial holds without computing anything.

For odd g, a(X) -> a(X^g) respects sums and products: X^n = -1 gives X^(gn) = (-1)^g = -1. There are
n such maps, one for each odd g modulo 2n, and they form a group: the *automorphisms* of R.

In NTT form nothing but the order changes, the same for every prime. Value k is a(psi^(2k+1)), so
value k of a(X^g) is the value of a at psi^((2k+1) g). In coefficient form coefficient i goes to
place i g modulo 2n, where n + j stands for place j with a minus sign.

Modulo 2n every odd g is 5^i or -5^i. Slots are arranged by that (`yashe.ciphertexts.slots`): 5^i
turns their two rows by i, and -1 exchanges the rows (Halevi and Shoup, ePrint 2014/106).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from yashe.arithmetic.devices import near
from yashe.arithmetic.residues import FloatArray, IntArray

GENERATOR = 5  # of the exponents that are 1 modulo 4, n/2 of them


def rotation_exponent(n: int, steps: int) -> int:
    """Return the g = 5^steps modulo 2n that turns both rows of slots left by so many steps.

    Examples
    --------
    Four steps are a full turn of the rows of 8 slots, and one to the right is three to the left:

    >>> [rotation_exponent(8, steps) for steps in (0, 1, 2, 3, 4, -1)]
    [1, 5, 9, 13, 1, 13]
    """
    return pow(GENERATOR, steps % (n // 2), 2 * n)


def swap_exponent(n: int) -> int:
    """Return the g that exchanges both rows of slots: -1 modulo 2n."""
    return 2 * n - 1


@lru_cache(maxsize=256)
def value_sources(n: int, g: int) -> IntArray:
    """Return for each value of a(X^g) which value of a it is.

    Examples
    --------
    With n = 4 the values belong to the exponents 1, 3, 5, 7; five times these, modulo 8, is 5, 7,
    1, 3:

    >>> value_sources(4, 5)
    array([2, 3, 0, 1])
    """
    exponents = 2 * np.arange(n, dtype=np.int64) + 1
    return (exponents * g % (2 * n) - 1) // 2


@lru_cache(maxsize=256)
def coefficient_sources(n: int, g: int) -> tuple[IntArray, FloatArray]:
    """Return for each coefficient of a(X^g) which coefficient of a it is, and with which sign.

    Examples
    --------
    X^3 goes to X^15 = -X^3, because X^4 = -1 and X^12 = -1, and X goes to X^5 = -X:

    >>> coefficient_sources(4, 5)
    (array([0, 1, 2, 3]), array([ 1., -1.,  1., -1.]))
    """
    place = np.arange(n, dtype=np.int64) * pow(g, -1, 2 * n) % (2 * n)
    return place % n, np.where(place < n, 1.0, -1.0)


def move_values(values: FloatArray, g: int) -> FloatArray:
    """Return the values of a(X^g), given those of a.

    Parameters
    ----------
    values : float64 array, shape (..., n), NTT form, modulo any prime
    g : odd

    Returns
    -------
    float64 array of the same shape. New memory.
    """
    sources = near(value_sources(values.shape[-1], g), values)
    moved: FloatArray = np.take(values, sources, axis=-1)
    return moved


def move_coefficients(coefficients: FloatArray, g: int) -> FloatArray:
    """Return the coefficients of a(X^g), given those of a, shape (..., n). New memory.

    Examples
    --------
    X -> X^3 makes 1 + 2X + 3X^2 + 4X^3 to 1 + 2X^3 + 3X^6 + 4X^9, where X^6 = -X^2 and X^9 = X:

    >>> move_coefficients(np.array([1.0, 2.0, 3.0, 4.0]), 3)
    array([ 1.,  4., -3.,  2.])
    """
    tables = coefficient_sources(coefficients.shape[-1], g)
    sources, signs = (near(table, coefficients) for table in tables)
    moved: FloatArray = np.take(coefficients, sources, axis=-1)
    moved *= signs
    return moved
