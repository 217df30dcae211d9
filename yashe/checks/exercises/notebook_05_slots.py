"""The exercises of notebook 5: many numbers in one polynomial."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from yashe.checks.cases import generator, integers, primes_and_roots, unit
from yashe.checks.compare import Function, WrongAnswer, an, call, modulo, require_equal
from yashe.checks.exercises.notebook_01_computing import SEED, toy
from yashe.checks.report import Check, Claim, exercise
from yashe.ciphertexts.array import Ciphertext
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import Poly, evaluate, intt, poly_mod, slot_exponents

BY_HAND = (17, 9)  # t and psi of the worked case n = 4


def slot_inputs(name: str) -> tuple[list[Any], list[Any]]:
    """Return (n numbers, psi, t): one slot at a time for n = 4, and random ones."""
    t, psi = BY_HAND
    small = [([1, 1, 1, 1], psi, t), *[(unit(4, j), psi, t) for j in range(4)]]
    rng = generator(name)
    cases = primes_and_roots(4, 8, 16, 32)
    return small, [(integers(rng, p // 2, n), root, p) for n, p, root in cases]


def natural_order_decode(m: Poly, psi: int, t: int) -> Poly:
    """Return the values at psi, psi^3, psi^5, ... instead of the slots' order."""
    return textbook.ntt(m, psi, t)


@exercise("05", "intt", "slot_exponents")
def encode_slots() -> Check:
    """Check a function (slots, psi, t) -> the polynomial with these values in its slots."""

    def right(slots: Poly, psi: int, t: int) -> Poly:
        return textbook.encode(slots, [t], [psi])

    small, random = slot_inputs("encode_slots")
    same = modulo(lambda slots, psi, t: t)
    return Check(
        Claim("one slot at a time for n = 4, t = 17", small, right, 1, same),
        Claim("any numbers up to n = 32", random, right, 1, same),
        mistakes={
            "slot i is the value at psi^(2i+1); the grid has its own order, slot_exponents": (
                lambda slots, psi, t: intt(slots, psi, t)
            ),
            "the numbers became coefficients; products of those are not slot by slot": (
                lambda slots, psi, t: poly_mod(slots, t)
            ),
            "slot i goes to index (g - 1) / 2; here it comes from there": (
                lambda slots, psi, t: intt(
                    [slots[(g - 1) // 2] for g in slot_exponents(len(slots))], psi, t
                )
            ),
            "this decodes: it evaluates, where encoding interpolates": (
                lambda slots, psi, t: decoded(slots, psi, t)
            ),
            "the numbers overflowed in an array: intt wants a list of Python's integers": (
                lambda slots, psi, t: in_array(slots, psi, t, np.int64)
            ),
            "the numbers were rounded in an array: intt wants a list of Python's integers": (
                lambda slots, psi, t: in_array(slots, psi, t, np.float64)
            ),
        },
    )


def in_array(slots: Poly, psi: int, t: int, dtype: DTypeLike) -> Poly:
    """Return what comes out if the values are in an array of 64 bits a number."""
    values = np.zeros(len(slots), dtype=dtype)
    values[[(g - 1) // 2 for g in slot_exponents(len(slots))]] = slots
    with np.errstate(all="ignore"):
        return intt(values, psi, t)  # type: ignore[arg-type]


def decoded(m: Poly, psi: int, t: int) -> Poly:
    """Return the slots of m."""
    return [evaluate(m, pow(psi, g, t), t) for g in slot_exponents(len(m))]


@exercise("05", "ntt", "evaluate", "slot_exponents")
def decode_slots() -> Check:
    """Check a function (m, psi, t) -> the values of m in slot order."""

    def right(m: Poly, psi: int, t: int) -> Poly:
        return decoded(m, psi, t)

    small, random = slot_inputs("decode_slots")
    same = modulo(lambda m, psi, t: t)
    return Check(
        Claim("constants and powers of x for n = 4, t = 17", small, right, 1, same),
        Claim("any polynomial up to n = 32", random, right, 1, same),
        mistakes={
            "slot i is the value at psi^(2i+1); the grid has its own order, slot_exponents": (
                natural_order_decode
            ),
            "the values at powers of 5 themselves; slots are at powers of psi": (
                lambda m, psi, t: [evaluate(m, g, t) for g in slot_exponents(len(m))]
            ),
            "slot i comes from index (g - 1) / 2; here it goes there": sent_back,
            "coefficients are not slots": lambda m, psi, t: poly_mod(m, t),
            "the second row repeats the first; its exponents are the negatives": (
                lambda m, psi, t: decoded(m, psi, t)[: len(m) // 2] * 2
            ),
        },
    )


def sent_back(m: Poly, psi: int, t: int) -> Poly:
    """Return the values of m in the order that undoes that of the slots."""
    order = [(g - 1) // 2 for g in slot_exponents(len(m))]
    values = textbook.ntt(m, psi, t)
    return [values[order.index(j)] for j in range(len(m))]


def automorphism(m: Poly, g: int) -> Poly:
    """Return m(x^g) modulo x^n + 1, for odd g."""
    n, out = len(m), [0] * len(m)
    for j, coefficient in enumerate(m):
        place = g * j % (2 * n)
        if place < n:
            out[place] += coefficient
        else:
            out[place - n] -= coefficient
    return out


@exercise("05")
def rotate() -> Check:
    """Check a function (m, t) -> m(x^5) modulo x^n + 1 and t, which rotates the rows of slots."""

    def right(m: Poly, t: int) -> Poly:
        return poly_mod(automorphism(m, 5), t)

    rng, same = generator("rotate"), modulo(lambda m, t: t)
    small = [(unit(4, j), 17) for j in range(4)]
    random = [(integers(rng, p // 2, n), p) for n, p, _ in primes_and_roots(8, 16, 64)]
    return Check(
        Claim("where each power of x goes for n = 4", small, right, 1, same),
        Claim("any polynomial up to n = 64", random, right, 1, same),
        mistakes={
            "the sign changes with every passage through x^n, so x^(2n) = 1 has none": (
                lambda m, t: wrong_signs(m, t)
            ),
            "no sign changes at all: x^n is -1": (
                lambda m, t: [abs_place(m, j) for j in range(len(m))]
            ),
            "coefficient j goes to place 5 j; here place j gets coefficient 5 j": (
                lambda m, t: poly_mod(automorphism(m, pow(5, -1, 2 * len(m))), t)
            ),
            "the coefficients are rotated, not the slots": lambda m, t: m[1:] + m[:1],
            "x goes to x^3; the rows of the grid are powers of 5": (
                lambda m, t: poly_mod(automorphism(m, 3), t)
            ),
        },
    )


def wrong_signs(m: Poly, t: int) -> Poly:
    """Return m(x^5) with a minus wherever 5 j >= n, however often x^n is passed."""
    n, out = len(m), [0] * len(m)
    for j, coefficient in enumerate(m):
        out[5 * j % n] += coefficient if 5 * j < n else -coefficient
    return poly_mod(out, t)


def abs_place(m: Poly, place: int) -> int:
    """Return the coefficient that comes to a place, without any sign."""
    n = len(m)
    return next(m[j] for j in range(n) if 5 * j % n == place)


@exercise("05", "rotate", "swap_rows")
def row_sum() -> Check:
    """Check a function (scheme, ct, keys) -> a ciphertext with the sum of its row in every slot."""
    scheme, keys = toy()
    n = scheme.params.n
    rng = generator("row_sum")
    single = [[int(i == j) for i in range(n)] for j in (0, 5, n // 2, n - 1)]
    several = [list(range(n)), integers(rng, 500, n)]

    def right(scheme: Any, ct: list[int], keys: Any) -> list[int]:
        rows = ct[: n // 2], ct[n // 2 :]
        return [sum(row) for row in rows for _ in row]

    def on_slots(student: Function, expected: Function, *arguments: Any) -> None:
        scheme, x, rotations = arguments
        answer = call(student, (scheme, scheme.encrypt(x, keys.secret, SEED), rotations))
        if not isinstance(answer, Ciphertext):
            raise WrongAnswer(f"it returns {an(answer)}, where a ciphertext is needed")
        require_equal(scheme.decrypt(answer, keys.secret), expected(scheme, x, rotations))

    cases = [[(scheme, x, keys.rotations) for x in values] for values in (single, several)]
    half = n // 2
    return Check(
        Claim("a single 1, in either row", cases[0], right, compare=on_slots),
        Claim("any numbers", cases[1], right, compare=on_slots),
        mistakes={
            "the sum of all slots: the rows have to stay apart": (
                lambda scheme, ct, keys: [sum(ct)] * n
            ),
            "the steps stop too early: half of each row is summed": (
                lambda scheme, ct, keys: [
                    sum(ct[r * half + (c + i) % half] for i in range(half // 2))
                    for r in (0, 1)
                    for c in range(half)
                ]
            ),
            "the slots stay apart: sums of ciphertexts add slot by slot, so rotate first": (
                lambda scheme, ct, keys: ct
            ),
            "always the first ciphertext is rotated; rotate what is summed so far": (
                lambda scheme, ct, keys: [
                    sum(ct[r * half + (c + i) % half] for i in (0, *powers_of_two(half)))
                    for r in (0, 1)
                    for c in range(half)
                ]
            ),
            "the last step is a full turn: everything is there twice": (
                lambda scheme, ct, keys: [2 * x for x in right(scheme, ct, keys)]
            ),
        },
    )


def powers_of_two(below: int) -> list[int]:
    """Return 1, 2, 4, ... below a number."""
    return [1 << i for i in range((below - 1).bit_length())]
