"""BGV on Python integers, after Brakerski, Gentry and Vaikuntanathan (ePrint 2011/277).

    secret s, public a and b = -(a s + t e):
    encrypt   (b u + t e_0 + m, a u + t e_1)
    decrypt   [[c_0 + c_1 s + c_2 s^2 + ...]_q / factor]_t

Read `textbook.bfv` first: BGV is BFV with the message at the other end. There m is lifted to q/t m,
far above small errors, here it stays below and the errors are multiples of t: [.]_t removes them,
as long as the phase as a whole stays below q/2. What only moves parts around is the same in both
schemes and taken from there.

A product multiplies the phases, so their size is squared. Switching to a smaller modulus divides
phase and modulus alike before that, and leaves a *factor* behind, which a ciphertext carries along.

Deviations from the paper: messages are modulo any odd t where the paper has t = 2; the factor is
kept instead of chosen as 1; s and u are ternary; and m is dithered, see `dithered`.
"""

from math import gcd, inf, log2
from typing import NamedTuple

from yashe.textbook import bfv as textbook_bfv
from yashe.textbook.bfv import PublicKey, RelinearizationKey, RotationKey
from yashe.textbook.polynomials import (
    Params,
    Poly,
    centred,
    gaussian,
    intt,
    poly_add,
    poly_compose,
    poly_mod,
    poly_mul,
    poly_scale,
    ternary,
    uniform_row,
    words,
)


class Ciphertext(NamedTuple):
    """Parts c_0, c_1, ..., elements of R_q, whose phase is factor * m modulo t."""

    parts: list[Poly]
    factor: int = 1


# Keys.


def keygen(params: Params, seed: bytes) -> tuple[Poly, PublicKey]:
    """Return the secret key s and the public key ([-(a s + t e)]_q, a): BFV's, with the unit t."""
    return textbook_bfv.keygen(params, seed, params.t)


def relin_keygen(params: Params, s: Poly, seed: bytes) -> RelinearizationKey:
    """Return ([-(a_i s + t e_i) + g_i s^2]_q, a_i) for every element g_i of the residue gadget."""
    return textbook_bfv.relin_keygen(params, s, seed, unit=params.t)


def rotation_keygen(params: Params, s: Poly, g: int, seed: bytes) -> RotationKey:
    """Return ([-(a_i s_g + t e_i) + g_i s]_q, a_i) for every g_i, s_g = s(X^(1/g))."""
    return textbook_bfv.rotation_keygen(params, s, g, seed, params.t)


# Encryption and decryption.


def dithered(params: Params, m: Poly, seed: bytes, j: int = 0) -> Poly:
    """Return [m]_t, every coefficient x moved by t towards 0 with probability |x| / t.

    Modulo t nothing has changed, and the mean is x - (|x| / t) t sign(x) = 0 whatever x is. Without
    that, somebody could choose a message all of whose coefficients have the sign that hurts most,
    and a product of two such phases is up to sqrt(n) times as large as one of random phases.
    """
    t, draws, out = params.t, words(seed, f"encrypt-r/{j}", 4), []
    for x in poly_mod(m, t):
        moves = next(draws) * t < 2**32 * abs(x)  # a uniform number in [0, 1) is below |x| / t
        out.append(x + moves * (t if x < 0 else -t))
    return out


def encrypt(params: Params, pk: PublicKey, m: Poly, seed: bytes, j: int = 0) -> Ciphertext:
    """Return (b u + t e_0 + m, a u + t e_1), all modulo q, with m dithered.

    j is the place of this ciphertext in an array of them: each place has its own randomness.
    """
    b, a = pk
    u = ternary(seed, f"encrypt-u/{j}", params.n)
    te_0 = poly_scale(gaussian(seed, f"encrypt-e0/{j}", params.n), params.t)
    te_1 = poly_scale(gaussian(seed, f"encrypt-e1/{j}", params.n), params.t)
    c_0 = poly_add(poly_mul(b, u), te_0, dithered(params, m, seed, j))
    c_1 = poly_add(poly_mul(a, u), te_1)
    return Ciphertext([poly_mod(c_0, params.q), poly_mod(c_1, params.q)])


def encrypt_symmetric(
    params: Params, psis: Poly, s: Poly, m: Poly, seed: bytes, j: int = 0
) -> Ciphertext:
    """Return (-(a s + t e) + m, a), m dithered: less noise, and a can be sent as a seed.

    The seed rho of a is derived as in `textbook_bfv.encrypt_symmetric`, and gives residues which
    are here the *values* of a at the roots of x^n + 1, psis[i] being the psi modulo q_i. They are
    as uniform as coefficients, and the engine, which computes with values, needs no transform.
    """
    rho = textbook_bfv.derived_seed(seed, "encrypt-rho")
    values = [uniform_row(rho, f"encrypt-a/{j}", params.n, p) for p in params.moduli]
    rows = [intt(y, psi, p) for y, psi, p in zip(values, psis, params.moduli, strict=True)]
    te = poly_scale(gaussian(seed, f"encrypt-e/{j}", params.n), params.t)
    b, a = textbook_bfv.rlwe_sample(params, s, poly_compose(rows, params.moduli), te)
    return Ciphertext([poly_mod(poly_add(b, dithered(params, m, seed, j)), params.q), a])


def decrypt(params: Params, s: Poly, ct: Ciphertext) -> Poly:
    """Return [phase / factor]_t for a ciphertext of any number of parts."""
    phase = textbook_bfv.phase(params, s, ct.parts)
    return poly_mod(poly_scale(phase, pow(ct.factor, -1, params.t)), params.t)


def noise_budget(params: Params, s: Poly, ct: Ciphertext) -> float:
    """Return log2(q / (2 max|phase|)): the whole phase counts, message and noise."""
    largest = max(abs(x) for x in textbook_bfv.phase(params, s, ct.parts))
    return log2(params.q) - log2(2 * largest) if largest else inf


# Arithmetic on ciphertexts. None of it needs a secret.


def multiply_scalar(params: Params, ct: Ciphertext, c: int) -> Ciphertext:
    """Return a ciphertext of c * m."""
    return ct._replace(parts=textbook_bfv.multiply_scalar(params, ct.parts, c))


def negate(params: Params, ct: Ciphertext) -> Ciphertext:
    """Return a ciphertext of -m."""
    return ct._replace(parts=textbook_bfv.negate(params, ct.parts))


def scaled(params: Params, ct: Ciphertext, u: int) -> Ciphertext:
    """Return u times the parts: the same message with u times the factor."""
    return multiply_scalar(params, ct, u)._replace(factor=u * ct.factor % params.t)


def aligned(params: Params, left: Ciphertext, right: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
    """Return ciphertexts of the same messages with one factor.

    One could be multiplied by c = right.factor / left.factor, but that can be as large as t/2. With
    c = u / v modulo t for some |u|, |v| <= sqrt(t), u for the one and v for the other do less harm.
    Euclid's algorithm for t and c finds them (Thue's lemma): all of its remainders are r = v c
    modulo t, and as r becomes smaller v grows, |r v| <= t. Those that have no common divisor with t
    can be used, because a factor has to be invertible; the smallest |u| + |v| is taken.
    """
    if left.factor == right.factor:
        return left, right
    c, pairs = right.factor * pow(left.factor, -1, params.t) % params.t, []
    (r, v), (s, w) = (params.t, 0), (c, 1)
    while s:
        if gcd(s, params.t) == 1:
            pairs += [(s, w), (s - params.t, w)]
        (r, v), (s, w) = (s, w), (r % s, v - r // s * w)
    u, v = min(pairs, key=lambda pair: abs(pair[0]) + abs(pair[1]))
    return scaled(params, left, u), scaled(params, right, v)


def add(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m + m', whatever the factors are."""
    left, right = aligned(params, left, right)
    return left._replace(parts=textbook_bfv.add(params, left.parts, right.parts))


def sub(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m - m'."""
    return add(params, left, negate(params, right))


def add_plain(params: Params, ct: Ciphertext, m: Poly) -> Ciphertext:
    """Return a ciphertext of the message plus m: [factor * m]_t is added to the phase."""
    m = poly_mod(poly_scale(m, ct.factor), params.t)
    return ct._replace(parts=textbook_bfv.add(params, ct.parts, [m]))


def multiply_plain(params: Params, ct: Ciphertext, m: Poly) -> Ciphertext:
    """Return a ciphertext of the message times m, slot by slot if both are slot vectors."""
    return ct._replace(parts=textbook_bfv.multiply_plain(params, ct.parts, m))


def multiply(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m * m': the product of two polynomials in X, modulo q.

    Nothing has to be scaled: (factor m + t ...) (factor' m' + t ...) is factor factor' m m' modulo
    t. This is the whole difference to BFV, and why BGV is faster.
    """
    products = textbook_bfv.tensor(params, left.parts, right.parts)
    factor = left.factor * right.factor % params.t
    return Ciphertext([poly_mod(d, params.q) for d in products], factor)


def relinearise(params: Params, rlk: RelinearizationKey, ct: Ciphertext) -> Ciphertext:
    """Return a ciphertext of two parts with the message of a three-part one, as in BFV."""
    return ct._replace(parts=textbook_bfv.relinearise(params, rlk, ct.parts))


def rotate(params: Params, key: RotationKey, ct: Ciphertext, g: int) -> Ciphertext:
    """Return a ciphertext of m(X^g), as in BFV; an integer factor does not move."""
    return ct._replace(parts=textbook_bfv.rotate(params, key, ct.parts, g))


def switch_modulus(params: Params, ct: Ciphertext, primes: int) -> tuple[Params, Ciphertext]:
    """Return parameters with the first primes of q only, and the ciphertext divided by the others.

    With d the product of the primes that go, every part c becomes (c + x) / d for the smallest
    multiple x of t that makes this an integer: x = t [-c / t]_d. Adding x changes nothing modulo t,
    and the division makes the factor f to f / d (Gentry, Halevi and Smart, ePrint 2012/099).
    """
    q, t = params.q, params.t
    smaller = Params(params.n, t, params.moduli[:primes])
    d = q // smaller.q
    parts = []
    for part in ct.parts:
        x = [t * centred(-c * pow(t, -1, d), d) for c in part]
        divided = [c // d for c in poly_add(part, x)]
        parts.append(poly_mod(divided, smaller.q))
    return smaller, Ciphertext(parts, ct.factor * pow(d, -1, t) % t)


def from_bfv(params: Params, ct: textbook_bfv.Ciphertext) -> Ciphertext:
    """Return t times a BFV ciphertext: the same message under the same s, with the factor -q.

    The noise nu of BFV, t phase = q (m + t k + nu), is small, so that [t phase]_q = q nu. And that
    is t phase - q m - q t k, which is -q m modulo t: the noise knows the message, and hides it.
    """
    parts = [poly_mod(poly_scale(part, params.t), params.q) for part in ct]
    return Ciphertext(parts, -params.q % params.t)
