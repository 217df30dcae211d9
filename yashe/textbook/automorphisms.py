"""X -> X^g on Python integers: what moves slots.

For odd g the map a(X) -> a(X^g) takes sums to sums and products to products. The value of a(X^g) at
psi^e is that of a at psi^(g e), so the slot with the exponent e of `slot_exponents` gets the value
of the one with exponent g e: for g = 5^i its neighbour i places to the right, for g = -1 the one in
the other row. (Smart and Vercauteren, ePrint 2011/133; Halevi and Shoup, ePrint 2014/106.)

A ciphertext moves in two steps, in every scheme: *rotate* first switches its key from s to
s(X^(1/g)), and then replaces X by X^g, which makes that key s again.
"""

from yashe.textbook.polynomials import Poly


def automorphism(a: Poly, g: int) -> Poly:
    """Return a(X^g) for an odd g, by definition: X^(g i) for every X^i, and X^n = -1.

    Examples
    --------
    >>> automorphism([1, 2, 3, 4], 3)  # 1 + 2X^3 + 3X^6 + 4X^9, where X^6 = -X^2 and X^9 = X
    [1, 4, -3, 2]
    """
    n, out = len(a), [0] * len(a)
    for i, x in enumerate(a):
        turns, place = divmod(g * i, n)
        out[place] = -x if turns % 2 else x
    return out


def inverse_exponent(n: int, g: int) -> int:
    """Return 1/g modulo 2n: X -> X^g and X -> X^(1/g) undo each other.

    Examples
    --------
    >>> automorphism(automorphism([1, 2, 3, 4], 3), inverse_exponent(4, 3))
    [1, 2, 3, 4]
    """
    return pow(g, -1, 2 * n)


def rotation_exponent(n: int, steps: int) -> int:
    """Return the g that turns both rows of slots to the left by `steps`: 5^steps modulo 2n.

    Examples
    --------
    Slots are values at psi^1, psi^5, ...: their exponents times 5 are those of the next slots.

    >>> rotation_exponent(8, 1), rotation_exponent(8, 4)  # four steps are a full turn
    (5, 1)
    """
    return pow(5, steps % (n // 2), 2 * n)
