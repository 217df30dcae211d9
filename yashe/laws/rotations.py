"""The laws of slots that move: see `yashe.laws`.

They apply to a `Scheme` that also has

    rotate(keys, x, rotation)   slots moved: by 1 or 2 steps to the left in both rows, or "swap",
                                both rows exchanged; keygen(seed) makes the keys for these three

Slot i of the grid is column i mod n/2 of row i div n/2. With `slots = False`, where messages are
polynomials, a rotation by i steps makes m(X) to m(X^g), g = 5^i modulo 2n, and the swap takes g =
-1.
"""

from __future__ import annotations

from typing import Any

from yashe.laws.law import Comparison
from yashe.laws.schemes import agrees, decrypted, many_keys, other_seed, pair, product_of, scheme
from yashe.textbook.automorphisms import automorphism, rotation_exponent
from yashe.textbook.polynomials import poly_add, poly_mod


def moved(s: Any, x: list[int], rotation: int | str) -> list[int]:
    """Return a message as a rotation has to leave it."""
    n = len(x)
    if not getattr(s, "slots", True):
        g = 2 * n - 1 if isinstance(rotation, str) else rotation_exponent(n, rotation)
        return poly_mod(automorphism(x, g), s.t)
    rows = x[: n // 2], x[n // 2 :]
    if isinstance(rotation, str):
        return rows[1] + rows[0]
    return [value for row in rows for value in row[rotation:] + row[:rotation]]


@scheme.law(examples=10, needs=("rotate",))
def rotation_turns_both_rows(s: Any, seed: bytes, x: list[int]) -> Comparison:
    """A rotation by one turns both rows of slots to the left."""
    keys = s.keygen(seed)
    ct = s.encrypt(keys, x, other_seed(seed, 1))
    return decrypted(s, keys, s.rotate(keys, ct, 1)), moved(s, x, 1)


@scheme.law(examples=10, needs=("rotate",))
def swap_exchanges_the_rows(s: Any, seed: bytes, x: list[int]) -> Comparison:
    """The swap exchanges both rows of slots."""
    keys = s.keygen(seed)
    ct = s.encrypt(keys, x, other_seed(seed, 1))
    return decrypted(s, keys, s.rotate(keys, ct, "swap")), moved(s, x, "swap")


@scheme.law(examples=10, needs=("rotate",))
def rotations_compose(s: Any, seed: bytes, x: list[int]) -> Comparison:
    """Two rotations by one are a rotation by two."""
    keys = s.keygen(seed)
    ct = s.encrypt(keys, x, other_seed(seed, 1))
    twice = s.rotate(keys, s.rotate(keys, ct, 1), 1)
    return decrypted(s, keys, twice), decrypted(s, keys, s.rotate(keys, ct, 2))


@scheme.law(examples=6, needs=("rotate",))
def a_full_turn_is_none(s: Any, seed: bytes, x: list[int]) -> Comparison:
    """A full turn, and two swaps, leave everything where it was."""
    keys = s.keygen(seed)
    ct = s.encrypt(keys, x, other_seed(seed, 1))
    for rotation in ["swap", "swap", *([1] * (s.n // 2))]:
        ct = s.rotate(keys, ct, rotation)
    return decrypted(s, keys, ct), x


@scheme.law(examples=6, needs=("rotate",))
def rotation_commutes(s: Any, seed: bytes, x: list[int], y: list[int]) -> Comparison:
    """Rotation commutes with sums and products."""
    keys, a, b = pair(s, seed, x, y)
    found, expected = [], []
    for rotation in (1, "swap"):
        c, d = (s.rotate(keys, ct, rotation) for ct in (a, b))
        product = s.rotate(keys, s.relinearize(keys, s.multiply(a, b)), rotation)
        for ct in (s.rotate(keys, s.add(a, b), rotation), s.add(c, d), product, s.multiply(c, d)):
            found.append(decrypted(s, keys, ct))
        total, exact = poly_mod(poly_add(x, y), s.t), product_of(s, x, y)
        expected += [moved(s, message, rotation) for message in (total, total, exact, exact)]
    return found, expected


@scheme.law(examples=1, needs=("rotate", "noise", "switching_deviation"))
def rotation_noise_is_that_of_theory(s: Any, seed: bytes) -> Comparison:
    """A rotation moves the noise and adds as much as theory says, within 15 %."""
    added = []
    for keys, i in many_keys(s, seed):
        ct = s.encrypt(keys, [1] * s.n, other_seed(seed, i))
        before = automorphism(s.noise(keys, ct), rotation_exponent(s.n, 1))
        after = s.noise(keys, s.rotate(keys, ct, 1))
        added += [y - x for x, y in zip(before, after, strict=True)]
    return agrees(added, s.switching_deviation)
