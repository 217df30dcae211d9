"""BFV on Python integers, as Fan and Vercauteren wrote it down (ePrint 2012/144).

    secret s, public a and b = -(a s + e):
    encrypt   (b u + e_0 + round(q/t m), a u + e_1)
    decrypt   [round(t/q * [c_0 + c_1 s + c_2 s^2 + ...]_q)]_t

A ciphertext is a list of parts c_0, c_1, ..., each an element of R_q; its *phase* is the value of
the polynomial c_0 + c_1 X + ... at X = s. Every verb below exists in `textbook.yashe` too, so that
the two schemes can be read side by side. Nothing is refused here: too much noise gives a wrong
message, which is worth seeing once.

Deviations from the paper: round(q/t m) for floor(q/t) m (see `textbook.scale_up`); s and u are
ternary, where the paper draws them from the error distribution or, as an optimisation, from
{0, 1}, because the security tables are computed for ternary secrets.
"""

from itertools import islice

from yashe.textbook.automorphisms import automorphism, inverse_exponent
from yashe.textbook.polynomials import (
    Params,
    Poly,
    budget_of,
    centred,
    gadget,
    gadget_digits,
    gaussian,
    poly_add,
    poly_mod,
    poly_mul,
    poly_round,
    poly_scale,
    scale_down,
    scale_up,
    ternary,
    uniform,
    words,
)

PublicKey = tuple[Poly, Poly]
RelinearizationKey = list[PublicKey]  # one pair for each digit
RotationKey = list[PublicKey]  # the same
Ciphertext = list[Poly]


# Keys. All errors are multiples of a unit, 1: with the unit t these are the keys of `textbook.bgv`.


def derived_seed(seed: bytes, label: str) -> bytes:
    """Return another seed of 32 bytes, which may be published: it does not tell the first one."""
    return bytes(islice(words(seed, label, 1), 32))


def rlwe_sample(params: Params, s: Poly, a: Poly, e: Poly) -> PublicKey:
    """Return ([-(a s + e)]_q, a): it looks uniform, and its phase under s is the small -e."""
    return poly_mod(poly_scale(poly_add(poly_mul(a, s), e), -1), params.q), a


def keygen(params: Params, seed: bytes, unit: int = 1) -> tuple[Poly, PublicKey]:
    """Return the secret key s and the public key (b, a) (FV, SecretKeyGen and PublicKeyGen)."""
    s = ternary(seed, "secret", params.n)
    a = uniform(seed, "public-a", params)
    e = poly_scale(gaussian(seed, "public-e", params.n), unit)
    return s, rlwe_sample(params, s, a, e)


def relin_keygen(
    params: Params, s: Poly, seed: bytes, w: int | None = None, unit: int = 1
) -> RelinearizationKey:
    """Return ([-(a_i s + e_i) + g_i s^2]_q, a_i) for every gadget element g_i (FV, section 4).

    Parameters
    ----------
    params : Params
    s : n values from -1, 0, 1
        The secret key.
    seed : 32 bytes
    w : base of the digits, 3 or more, or None
        A base gives the paper's version 1, g_i = w^i; None the residue gadget of `rns_gadget`.

    Notes
    -----
    The base is part of the label. Two keys with equal a_i and e_i but different g_i would differ
    by (g_i - g_i') s^2, and hand s^2 to anybody who subtracts them.
    """
    kind = "" if w is None else f"w{w}/"
    s_squared, key = poly_mul(s, s), []
    for i, g in enumerate(gadget(params, w)):
        a = uniform(seed, f"relin-a/{kind}{i}", params)
        e = poly_scale(gaussian(seed, f"relin-e/{kind}{i}", params.n), unit)
        b, _ = rlwe_sample(params, s, a, e)
        key.append((poly_mod(poly_add(b, poly_scale(s_squared, g)), params.q), a))
    return key


def rotation_keygen(params: Params, s: Poly, g: int, seed: bytes, unit: int = 1) -> RotationKey:
    """Return ([-(a_i s_g + e_i) + g_i s]_q, a_i) for every gadget element g_i, s_g = s(X^(1/g)).

    An encryption of s under another key, as the relinearisation key is one of s^2 under s. The a_i
    come from a seed of their own, as in `encrypt_symmetric`, so that they need not be sent.
    """
    rho = derived_seed(seed, "rotation-rho")
    s_g, key = automorphism(s, inverse_exponent(params.n, g)), []
    for i, weight in enumerate(gadget(params, None)):
        a = uniform(rho, f"rotation-a/{g}/{i}", params)
        e = poly_scale(gaussian(seed, f"rotation-e/{g}/{i}", params.n), unit)
        b, _ = rlwe_sample(params, s_g, a, e)
        key.append((poly_mod(poly_add(b, poly_scale(s, weight)), params.q), a))
    return key


# Encryption and decryption.


def encrypt(params: Params, pk: PublicKey, m: Poly, seed: bytes, j: int = 0) -> Ciphertext:
    """Return (b u + e_0 + round(q/t m), a u + e_1), all modulo q (FV, Encrypt).

    j is the place of this ciphertext in an array of them: each place has its own randomness.
    """
    b, a = pk
    u = ternary(seed, f"encrypt-u/{j}", params.n)
    e_0 = gaussian(seed, f"encrypt-e0/{j}", params.n)
    e_1 = gaussian(seed, f"encrypt-e1/{j}", params.n)
    c_0 = poly_add(poly_mul(b, u), e_0, scale_up(params, m))
    c_1 = poly_add(poly_mul(a, u), e_1)
    return [poly_mod(c_0, params.q), poly_mod(c_1, params.q)]


def encrypt_symmetric(params: Params, s: Poly, m: Poly, seed: bytes, j: int = 0) -> Ciphertext:
    """Return (-(a s + e) + round(q/t m), a): less noise, and a can be sent as a seed.

    Whoever holds s needs no public key. The noise is -e alone, where public-key encryption has
    e_0 + e_1 s - e u.

    a comes from its own seed rho = SHAKE-256(seed || "encrypt-rho"), which may be published in
    the place of a. Were a drawn from `seed` itself, publishing it would publish e as well, and
    n linear equations without errors give s.
    """
    a = uniform(derived_seed(seed, "encrypt-rho"), f"encrypt-a/{j}", params)
    b, _ = rlwe_sample(params, s, a, gaussian(seed, f"encrypt-e/{j}", params.n))
    return [poly_mod(poly_add(b, scale_up(params, m)), params.q), a]


def phase(params: Params, s: Poly, ct: Ciphertext) -> Poly:
    """Return [c_0 + c_1 s + c_2 s^2 + ...]_q by Horner's rule (FV, Decrypt and section 4)."""
    value = [0] * params.n
    for part in reversed(ct):
        value = poly_mod(poly_add(poly_mul(value, s), part), params.q)
    return value


def decrypt(params: Params, s: Poly, ct: Ciphertext) -> Poly:
    """Return [round(t/q * phase)]_t for a ciphertext of any number of parts."""
    return scale_down(params, phase(params, s, ct))


def noise_budget(params: Params, s: Poly, ct: Ciphertext) -> float:
    """Return the bits of noise that may still be added; near zero the message is lost."""
    return budget_of(params, phase(params, s, ct))


# Arithmetic on ciphertexts. None of it needs a secret.


def add(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m + m': part by part, a missing part counting as zero."""
    length, zero = max(len(left), len(right)), [0] * params.n
    padded = [ct + [zero] * (length - len(ct)) for ct in (left, right)]
    return [poly_mod(poly_add(x, y), params.q) for x, y in zip(*padded, strict=True)]


def multiply_scalar(params: Params, ct: Ciphertext, c: int) -> Ciphertext:
    """Return a ciphertext of c * m. The noise grows by |c|, so c is centred modulo t first."""
    c = centred(c, params.t)
    return [poly_mod(poly_scale(part, c), params.q) for part in ct]


def negate(params: Params, ct: Ciphertext) -> Ciphertext:
    """Return a ciphertext of -m, with the same noise."""
    return [poly_mod(poly_scale(part, -1), params.q) for part in ct]


def sub(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m - m'."""
    return add(params, left, negate(params, right))


def add_plain(params: Params, ct: Ciphertext, m: Poly) -> Ciphertext:
    """Return a ciphertext of the message plus m: round(q/t m) alone encrypts m without noise."""
    return add(params, ct, [scale_up(params, m)])


def multiply_plain(params: Params, ct: Ciphertext, m: Poly) -> Ciphertext:
    """Return a ciphertext of the message times m, slot by slot if both are slot vectors."""
    m = poly_mod(m, params.t)
    return [poly_mod(poly_mul(part, m), params.q) for part in ct]


def multiply(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m * m', one part longer than both together need (FV, section 4).

    The two polynomials in X are multiplied over Z, not modulo q, because round(t/q * .) has to
    see the whole product: phase * phase' = (q/t)^2 m m' + ..., and t/q of it is q/t m m' + ...

    Two-part ciphertexts give the paper's three parts:
    round(t/q c_0 c_0'), round(t/q (c_0 c_1' + c_1 c_0')), round(t/q c_1 c_1').
    """
    scaled = (poly_round(d, params.t, params.q) for d in tensor(params, left, right))
    return [poly_mod(d, params.q) for d in scaled]


def tensor(params: Params, left: Ciphertext, right: Ciphertext) -> list[Poly]:
    """Return the coefficients of the product of c_0 + c_1 X + ... and c_0' + c_1' X + ..."""
    products = [[0] * params.n for _ in range(len(left) + len(right) - 1)]
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            products[i + j] = poly_add(products[i + j], poly_mul(x, y))
    return products


def relinearise(
    params: Params, rlk: RelinearizationKey, ct: Ciphertext, w: int | None = None
) -> Ciphertext:
    """Return a ciphertext of two parts with the message of a three-part one (FV, Relin, version 1).

    c_2 is written in small digits; sum_i digit_i * rlk_i then has the phase c_2 s^2 minus
    sum_i digit_i * e_i. w must be the base for which the key was made.
    """
    c_0, c_1, c_2 = ct
    switched = key_switch(params, rlk, c_2, w)
    return [poly_mod(poly_add(x, y), params.q) for x, y in zip((c_0, c_1), switched, strict=True)]


def key_switch(
    params: Params, key: list[PublicKey], c: Poly, w: int | None = None
) -> tuple[Poly, Poly]:
    """Return (sum_i digit_i(c) b_i, sum_i digit_i(c) a_i), not reduced."""
    switched_0, switched_1 = [0] * params.n, [0] * params.n
    for digit, (b, a) in zip(gadget_digits(c, params, w), key, strict=True):
        switched_0 = poly_add(switched_0, poly_mul(digit, b))
        switched_1 = poly_add(switched_1, poly_mul(digit, a))
    return switched_0, switched_1


def rotate(params: Params, key: RotationKey, ct: Ciphertext, g: int) -> Ciphertext:
    """Return a ciphertext of m(X^g): slots moved by a rotation, or rows exchanged for g = 2n - 1.

    c_0 + sum_i digit_i(c_1) b_i and sum_i digit_i(c_1) a_i have the phase of ct minus
    sum_i digit_i e_i, but under s(X^(1/g)). With X^g in the place of X that is s.
    """
    c_0, c_1 = ct
    switched_0, switched_1 = key_switch(params, key, c_1)
    moved = (automorphism(part, g) for part in (poly_add(c_0, switched_0), switched_1))
    return [poly_mod(part, params.q) for part in moved]
