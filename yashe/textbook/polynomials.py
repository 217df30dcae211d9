"""The mathematics of the schemes on Python integers: read this first.

Everything happens in R = Z[x]/(x^n + 1) with n a power of two, or in R modulo an integer. An
element is a list of n integers, lowest degree first. No array library, no cleverness: a function
here is the definition, or the shortest algorithm that a student should know, and the fast engine
is compared with it bit for bit. `textbook.bfv`, `textbook.bgv` and `textbook.yashe` build on it.

Notation: [a]_q is the residue of a modulo q in (-q/2, q/2] (for odd q: -(q-1)/2 .. (q-1)/2);
round() goes to the nearest integer, a tie to the even one; psi is a primitive 2n-th root of unity
modulo a prime p = 1 (mod 2n), that is psi^n = -1.

Sources: Fan and Vercauteren, ePrint 2012/144 ("FV"); Bos, Lauter, Loftus and Naehrig, ePrint
2013/075 ("BLLN"); Smart and Vercauteren, ePrint 2011/133, for the slots.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from itertools import islice
from math import inf, log2, prod

Poly = list[int]

SIGMA = Decimal("3.2")  # the width for which the published security tables are computed
TAIL = 32  # errors are cut at 10 sigma: beyond lies less than 2^-74 of the distribution


@dataclass(frozen=True)
class Params:
    """Ring degree n, plaintext modulus t and the distinct primes q_i = 1 (mod 2n) of q."""

    n: int
    t: int
    moduli: tuple[int, ...]

    @property
    def q(self) -> int:
        """Return the ciphertext modulus, the product of `moduli`."""
        return prod(self.moduli)


# Integers: residues, rounding, the Chinese remainder theorem.


def centred(x: int, q: int) -> int:
    """Return [x]_q, the residue of x that lies in (-q/2, q/2] (FV, section 2.1).

    Examples
    --------
    >>> [centred(x, 5) for x in range(6)], centred(2, 4)
    ([0, 1, 2, -2, -1, 0], 2)
    """
    r = x % q
    return r - q if 2 * r > q else r


def round_div(a: int, b: int) -> int:
    """Return round(a / b) for b > 0, exactly; a tie goes to the even integer.

    Examples
    --------
    >>> [round_div(a, 2) for a in (-3, -1, 1, 3, 5)]
    [-2, 0, 0, 2, 2]
    """
    quotient, remainder = divmod(a, b)
    above_half = 2 * remainder > b
    tie_at_odd = 2 * remainder == b and quotient % 2 == 1
    return quotient + 1 if above_half or tie_at_odd else quotient


def decompose(x: int, moduli: Sequence[int]) -> list[int]:
    """Return the centred residues of x, one for each modulus."""
    return [centred(x, p) for p in moduli]


def compose(residues: Sequence[int], moduli: Sequence[int]) -> int:
    """Return the one x in (-q/2, q/2], q the product of the coprime moduli, with these residues.

    Every term is x_i modulo its own modulus and 0 modulo all others, so the sum fits all of them.

    Examples
    --------
    >>> compose([2, -2], [5, 7]), decompose(12, [5, 7])
    (12, [2, -2])
    """
    terms = [x * e for x, e in zip(residues, rns_gadget(moduli), strict=True)]
    return centred(sum(terms), prod(moduli))


# Polynomials modulo x^n + 1.


def poly_mod(a: Poly, q: int) -> Poly:
    """Return [a]_q, coefficient by coefficient."""
    return [centred(x, q) for x in a]


def poly_add(*terms: Poly) -> Poly:
    """Return the sum of polynomials of equal length."""
    return [sum(column) for column in zip(*terms, strict=True)]


def poly_scale(a: Poly, c: int) -> Poly:
    """Return c * a for an integer c."""
    return [c * x for x in a]


def poly_round(a: Poly, numerator: int, denominator: int) -> Poly:
    """Return round(numerator / denominator * a), coefficient by coefficient, exactly."""
    return [round_div(numerator * x, denominator) for x in a]


def poly_mul(a: Poly, b: Poly) -> Poly:
    """Return a * b in Z[x]/(x^n + 1), by definition.

    x^i * x^j = x^(i+j), and since x^n = -1 a power that reaches n comes back n lower with its
    sign changed: that is all there is to a negacyclic product.

    Examples
    --------
    >>> poly_mul([1, 2, 0, 0], [0, 0, 0, 3])  # 3x^3 + 6x^4 = -6 + 3x^3
    [-6, 0, 0, 3]
    """
    n = len(a)
    out = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if i + j < n:
                out[i + j] += x * y
            else:
                out[i + j - n] -= x * y
    return out


def poly_decompose(a: Poly, moduli: Sequence[int]) -> list[Poly]:
    """Return the rows [a]_(q_i), one polynomial for each modulus."""
    return [poly_mod(a, p) for p in moduli]


def poly_compose(rows: Sequence[Poly], moduli: Sequence[int]) -> Poly:
    """Return the polynomial with coefficients in (-q/2, q/2] that has these rows."""
    return [compose(column, moduli) for column in zip(*rows, strict=True)]


# The number-theoretic transform: a polynomial is known by its values at the roots of x^n + 1.


def root_of_unity(n: int, p: int) -> int:
    """Return a psi with psi^n = -1 modulo a prime p = 1 (mod 2n).

    g^((p-1)/2n) has the right order for half of all g, so that the search is short.
    """
    if (p - 1) % (2 * n) != 0:
        raise ValueError(f"x^{n} + 1 splits only modulo primes p = 1 (mod {2 * n}), got p = {p}")
    candidates = (pow(g, (p - 1) // (2 * n), p) for g in range(2, p))
    return next(psi for psi in candidates if pow(psi, n, p) == p - 1)


def evaluate(a: Poly, x: int, p: int) -> int:
    """Return [a(x)]_p by Horner's rule, highest coefficient first."""
    value = 0
    for coefficient in reversed(a):
        value = (value * x + coefficient) % p
    return centred(value, p)


def ntt_by_definition(a: Poly, psi: int, p: int) -> Poly:
    """Return a(psi^(2k+1)) for k = 0 .. n-1: the values at all roots of x^n + 1, O(n^2) steps."""
    return [evaluate(a, pow(psi, 2 * k + 1, p), p) for k in range(len(a))]


def ntt(a: Poly, psi: int, p: int) -> Poly:
    """Return the same values in the same order by Cooley-Tukey butterflies, O(n log n) steps.

    Split a(x) = even(x^2) + x * odd(x^2). The squares of the roots of x^n + 1 are the roots of
    y^(n/2) + 1, with psi^2 in the place of psi, so both halves are smaller transforms. The root
    with index k + n/2 is the negative of the root with index k: each pair shares its two products.

    Examples
    --------
    >>> ntt([1, 2, 3, 4], 2, 17)  # the values at 2, 2^3 = 8, 2^5 = -2 and 2^7 = -8
    [-2, -4, -6, -1]
    """
    if len(a) == 1:
        return poly_mod(a, p)
    even, odd = ntt(a[0::2], psi * psi % p, p), ntt(a[1::2], psi * psi % p, p)
    twisted = [pow(psi, 2 * k + 1, p) * y for k, y in enumerate(odd)]
    low = [x + y for x, y in zip(even, twisted, strict=True)]
    high = [x - y for x, y in zip(even, twisted, strict=True)]
    return poly_mod(low + high, p)


def intt(values: Poly, psi: int, p: int) -> Poly:
    """Return the polynomial with these values: every butterfly of `ntt` undone.

    Undoing one butterfly divides by 2; log2(n) levels of them are the well-known factor 1/n.
    """
    n = len(values)
    if n == 1:
        return poly_mod(values, p)
    half = pow(2, -1, p)
    pairs = list(zip(values[: n // 2], values[n // 2 :], strict=True))
    even = [(x + y) * half for x, y in pairs]
    odd = [(x - y) * half * pow(psi, -(2 * k + 1), p) for k, (x, y) in enumerate(pairs)]
    out = [0] * n
    out[0::2] = intt(even, psi * psi % p, p)
    out[1::2] = intt(odd, psi * psi % p, p)
    return out


def multiply_by_ntt(a: Poly, b: Poly, psi: int, p: int) -> Poly:
    """Return [a * b]_p: at every root, the value of a product is the product of the values."""
    values = [x * y for x, y in zip(ntt(a, psi, p), ntt(b, psi, p), strict=True)]
    return intt(values, psi, p)


# Slots: one plaintext polynomial carries n integers that are added and multiplied independently.


def slot_exponents(n: int) -> list[int]:
    """Return the exponent g = (-1)^r * 5^c mod 2n of every slot r * n/2 + c of the 2 x n/2 grid.

    The powers of 5 reach the g = 1 (mod 4) and their negatives the others, so every odd exponent
    occurs once. In this order x -> x^5 rotates both rows of the grid and x -> x^-1 swaps them.

    Examples
    --------
    >>> slot_exponents(8)
    [1, 5, 9, 13, 15, 11, 7, 3]
    """
    row = [pow(5, c, 2 * n) for c in range(n // 2)]
    return row + [-g % (2 * n) for g in row]


def encode(slots: Sequence[int], primes: Sequence[int], psis: Sequence[int]) -> Poly:
    """Return the m in R_t, t the product of the primes t_j, whose value in slot i is slots[i].

    Modulo each t_j the value of slot i is m(psi_j^g), g the i-th of `slot_exponents`: an inverse
    transform finds m modulo t_j, the Chinese remainder theorem joins the parts.
    """
    values = [0] * len(slots)
    for value, g in zip(slots, slot_exponents(len(slots)), strict=True):
        values[(g - 1) // 2] = value
    rows = [intt(values, psi, p) for p, psi in zip(primes, psis, strict=True)]
    return poly_compose(rows, primes)


def decode(m: Poly, primes: Sequence[int], psis: Sequence[int]) -> list[int]:
    """Return the n slot values of m, each in (-t/2, t/2]."""
    exponents = slot_exponents(len(m))
    rows = [
        [evaluate(m, pow(psi, g, p), p) for g in exponents]
        for p, psi in zip(primes, psis, strict=True)
    ]
    return poly_compose(rows, primes)


# In BFV and YASHE' messages ride on top of the noise, at a distance of q/t from each other.


def scale_up(params: Params, m: Poly) -> Poly:
    """Return round(q/t * m): a message moved to the top of the modulus.

    FV and BLLN write floor(q/t) * m. Then t * floor(q/t) = q - r_t(q), r_t(q) = q mod t, leaves
    r_t(q) * m behind as noise; rounding once, after the product, leaves at most t/2.

    Examples
    --------
    With q = 17, t = 5, m = 2 and an error of -1 the papers' floor(17/5) * 2 = 6 is no longer
    readable, while round(17/5 * 2) = 7 is:

    >>> toy = Params(n=1, t=5, moduli=(17,))
    >>> scale_up(toy, [2]), scale_down(toy, [7 - 1]), scale_down(toy, [6 - 1])
    ([7], [2], [1])
    """
    return poly_mod(poly_round(m, params.q, params.t), params.q)


def scale_down(params: Params, phase: Poly) -> Poly:
    """Return [round(t/q * phase)]_t: the message, if the noise has not grown too large."""
    return poly_mod(poly_round(phase, params.t, params.q), params.t)


def noise_of(params: Params, phase: Poly) -> Poly:
    """Return [t * phase]_q, which is q times the invariant noise t/q * phase - nearest integer.

    Decryption rounds correctly as long as every coefficient stays below q/2 in absolute value.
    """
    return poly_mod(poly_scale(phase, params.t), params.q)


def budget_of(params: Params, phase: Poly) -> float:
    """Return log2(q / (2 * max|noise|)), the bits by which the noise may still grow."""
    largest = max(abs(x) for x in noise_of(params, phase))
    return log2(params.q) - log2(2 * largest) if largest else inf


# Gadgets: write a polynomial in small digits, so that an encrypted number can be multiplied by it
# with little noise. For every gadget sum_i digit_i(a) * gadget_i = a (mod q).


def base_gadget(q: int, w: int) -> list[int]:
    """Return the powers 1, w, w^2, ...: P_(w,q)(1) of BLLN, T^i of FV, section 4.

    There are floor(log_w q) + 2 of them (BLLN): with centred digits, and w > 2, that is enough
    for every residue modulo q.
    """
    powers = [1]
    while powers[-1] <= q:
        powers.append(powers[-1] * w)
    return powers


def base_digits(a: Poly, q: int, w: int) -> list[Poly]:
    """Return the digits of [a]_q in base w, each in (-w/2, w/2], lowest first: D_(w,q) of BLLN."""
    rest, digits = poly_mod(a, q), []
    for _ in base_gadget(q, w):
        digits.append(poly_mod(rest, w))
        rest = [(x - d) // w for x, d in zip(rest, digits[-1], strict=True)]
    return digits


def rns_gadget(moduli: Sequence[int]) -> list[int]:
    """Return g_i = (q/q_i) * ((q/q_i)^-1 mod q_i): 1 modulo q_i and 0 modulo the other primes.

    The digits are the rows of `poly_decompose`, which a residue number system has at hand anyway
    (Bajard, Eynard, Hasan and Zucca, ePrint 2016/510).
    """
    q = prod(moduli)
    return [q // p * pow(q // p, -1, p) for p in moduli]


def gadget(params: Params, w: int | None) -> list[int]:
    """Return the gadget vector: powers of w, or the residue gadget if w is None."""
    return rns_gadget(params.moduli) if w is None else base_gadget(params.q, w)


def gadget_digits(a: Poly, params: Params, w: int | None) -> list[Poly]:
    """Return the digits that belong to `gadget(params, w)`."""
    return poly_decompose(a, params.moduli) if w is None else base_digits(a, params.q, w)


# Randomness: a function of a label and a seed, which is for one scheme and one set of parameters.


def words(seed: bytes, label: str, width: int) -> Iterator[int]:
    """Read SHAKE-256(seed || label) as endless little-endian integers of `width` bytes.

    Seeds have one common length (32 bytes), or two of them could meet in the same stream.
    """
    xof = hashlib.shake_256(seed + label.encode("ascii"))
    start, end = 0, 1024 * width
    while True:
        block = xof.digest(end)[start:]
        for i in range(0, len(block), width):
            yield int.from_bytes(block[i : i + width], "little")
        start, end = end, 2 * end


def uniform_row(seed: bytes, label: str, n: int, p: int) -> Poly:
    """Return n independent uniform residues modulo p < 2^24, centred.

    Integers beyond the last whole multiple of p below 2^24 would favour small residues: dropped.
    """
    limit = 2**24 // p * p
    accepted = (u for u in words(seed, f"{label}/{p}", 3) if u < limit)
    return poly_mod(list(islice(accepted, n)), p)


def uniform(seed: bytes, label: str, params: Params) -> Poly:
    """Return a uniform element of R_q: an independent uniform row for each prime of q."""
    rows = [uniform_row(seed, label, params.n, p) for p in params.moduli]
    return poly_compose(rows, params.moduli)


def ternary(seed: bytes, label: str, n: int) -> Poly:
    """Return n uniform values from -1, 0, 1. The byte 255 is dropped since 255 = 3 * 85."""
    return [u % 3 - 1 for u in islice((u for u in words(seed, label, 1) if u < 255), n)]


@cache
def gaussian_table() -> tuple[int, ...]:
    """Return floor(2^64 * P(X <= i - TAIL)) for i = 0 .. 2 * TAIL; the last entry is 2^64.

    X is the discrete Gaussian of weight exp(-x^2 / (2 * SIGMA^2)) on |x| <= TAIL, computed with
    60 decimal digits, of which a 64-bit table needs 20.
    """
    with localcontext() as context:
        context.prec = 60
        weights = [(-Decimal(x * x) / (2 * SIGMA**2)).exp() for x in range(-TAIL, TAIL + 1)]
        total = sum(weights)
        return tuple(int(2**64 * sum(weights[: i + 1]) / total) for i in range(len(weights)))


def gaussian(seed: bytes, label: str, n: int) -> Poly:
    """Return n discrete Gaussian errors: 64 random bits each, looked up in the distribution."""
    return [bisect_right(gaussian_table(), u) - TAIL for u in islice(words(seed, label, 8), n)]
