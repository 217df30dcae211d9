"""YASHE' on Python integers, as Bos, Lauter, Loftus and Naehrig wrote it down (ePrint 2013/075).

    secret f = t f' + 1 and g, both small; public h = t g / f
    encrypt   c = round(q/t m) + e + h u
    decrypt   [round(t/q * [f c]_q)]_t

The scheme of the CryptoNets paper, and the practical variant (with a prime) of YASHE: a ciphertext
is one element of R_q and a product is one product. Why f c is a phase: f = 1 modulo t, so that
f round(q/t m) = round(q/t m) + f' q m + small, where f' q m vanishes modulo q; and f h u = t g u.

**Broken.** h hides f and g behind the NTRU assumption with a modulus far too large for it:
`attacks` recovers f from h. Nothing encrypted here is secret, at any n of practical size.

Deviations from the paper: round(q/t m) for floor(q/t) m (see `textbook.scale_up`); f' and g, which
the paper draws from a narrow distribution chi_key, are uniform on -1, 0, 1.
"""

from yashe.textbook.automorphisms import automorphism, inverse_exponent
from yashe.textbook.polynomials import (
    Params,
    Poly,
    budget_of,
    centred,
    gadget,
    gadget_digits,
    gaussian,
    intt,
    ntt,
    poly_add,
    poly_compose,
    poly_mod,
    poly_mul,
    poly_round,
    poly_scale,
    root_of_unity,
    scale_down,
    scale_up,
    ternary,
)

EvaluationKey = list[Poly]  # one element for each digit
Ciphertext = Poly


# Keys.


def invert(params: Params, a: Poly) -> Poly | None:
    """Return a^-1 in R_q, or None if there is none.

    Modulo each prime q_i = 1 (mod 2n) an element is its n values at the roots of x^n + 1, and its
    inverse has the inverse values. A single zero among all of them means that there is none.
    """
    rows = []
    for p in params.moduli:
        psi = root_of_unity(params.n, p)
        values = ntt(a, psi, p)
        if 0 in values:
            return None
        rows.append(intt([pow(y, -1, p) for y in values], psi, p))
    return poly_compose(rows, params.moduli)


def keygen(params: Params, seed: bytes) -> tuple[Poly, Poly]:
    """Return the secret key f = [t f' + 1]_q and the public key h = [t g f^-1]_q (KeyGen).

    f' is drawn again as long as f is not invertible modulo q: a fraction of about k n / q_i of
    all f is not, rare for the engine's primes, frequent for q = 17.
    """
    g = ternary(seed, "secret-g", params.n)
    attempt, inverse = 0, None
    while inverse is None:
        f = poly_scale(ternary(seed, f"secret-f/{attempt}", params.n), params.t)
        f[0] += 1
        attempt, inverse = attempt + 1, invert(params, f)
    h = poly_mod(poly_scale(poly_mul(g, inverse), params.t), params.q)
    return poly_mod(f, params.q), h


def evaluation_keygen(
    params: Params, f: Poly, h: Poly, seed: bytes, w: int | None = None
) -> EvaluationKey:
    """Return gamma_i = [g_i f + e_i + h s_i]_q for every gadget element g_i (KeyGen).

    With a base w of 3 or more this is the paper's gamma = [P_(w,q)(f) + e + h s]_q, the powers
    g_i = w^i; with None the g_i are the residue gadget. e_i and s_i are Gaussian. As in
    `textbook_bfv.relin_keygen` the base is part of the label: two keys with equal errors but
    different g_i would differ by (g_i - g_i') f.
    """
    kind = "" if w is None else f"w{w}/"
    key = []
    for i, g in enumerate(gadget(params, w)):
        e = gaussian(seed, f"evk-e/{kind}{i}", params.n)
        s = gaussian(seed, f"evk-s/{kind}{i}", params.n)
        key.append(poly_mod(poly_add(poly_scale(f, g), e, poly_mul(h, s)), params.q))
    return key


def rotation_keygen(params: Params, f: Poly, g: int, seed: bytes) -> EvaluationKey:
    """Return gamma_i = [g_i f/f_g + e_i + h_g s_i]_q for every gadget element g_i.

    f_g = f(X^(1/g)) and h_g = h(X^(1/g)), for an h = t g'/f with a g' of its own: it hides as well
    as the public key, and takes the secret key only. f_g gamma_i is g_i f and little more.
    """
    inverse = invert(params, f)
    assert inverse is not None  # f is a key
    h = poly_mod(
        poly_mul(poly_scale(ternary(seed, "rotation-g", params.n), params.t), inverse), params.q
    )
    back, key = inverse_exponent(params.n, g), []
    inverse_g, h_g = automorphism(inverse, back), automorphism(h, back)
    z = poly_mod(poly_mul(f, inverse_g), params.q)
    for i, weight in enumerate(gadget(params, None)):
        e = gaussian(seed, f"rotation-e/{g}/{i}", params.n)
        s = gaussian(seed, f"rotation-s/{g}/{i}", params.n)
        key.append(poly_mod(poly_add(poly_scale(z, weight), e, poly_mul(h_g, s)), params.q))
    return key


# Encryption and decryption.


def encrypt(params: Params, h: Poly, m: Poly, seed: bytes, j: int = 0) -> Ciphertext:
    """Return [round(q/t m) + e + h u]_q with e and u Gaussian (Encrypt, where u is called s).

    j is the place of this ciphertext in an array of them: each place has its own randomness.
    """
    e = gaussian(seed, f"encrypt-e/{j}", params.n)
    u = gaussian(seed, f"encrypt-u/{j}", params.n)
    return poly_mod(poly_add(scale_up(params, m), e, poly_mul(h, u)), params.q)


def phase(params: Params, f: Poly, ct: Ciphertext, degree: int = 1) -> Poly:
    """Return [f^degree c]_q: degree 1, or 2 for a product whose key was not switched yet."""
    value = ct
    for _ in range(degree):
        value = poly_mod(poly_mul(value, f), params.q)
    return value


def decrypt(params: Params, f: Poly, ct: Ciphertext, degree: int = 1) -> Poly:
    """Return [round(t/q * phase)]_t (Decrypt)."""
    return scale_down(params, phase(params, f, ct, degree))


def noise_budget(params: Params, f: Poly, ct: Ciphertext, degree: int = 1) -> float:
    """Return the bits of noise that may still be added; near zero the message is lost."""
    return budget_of(params, phase(params, f, ct, degree))


# Arithmetic on ciphertexts of equal degree. None of it needs a secret.


def add(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m + m'."""
    return poly_mod(poly_add(left, right), params.q)


def multiply_scalar(params: Params, ct: Ciphertext, c: int) -> Ciphertext:
    """Return a ciphertext of c * m. The noise grows by |c|, so c is centred modulo t first."""
    return poly_mod(poly_scale(ct, centred(c, params.t)), params.q)


def negate(params: Params, ct: Ciphertext) -> Ciphertext:
    """Return a ciphertext of -m, with the same noise."""
    return poly_mod(poly_scale(ct, -1), params.q)


def sub(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return a ciphertext of m - m'."""
    return add(params, left, negate(params, right))


def add_plain(params: Params, ct: Ciphertext, m: Poly) -> Ciphertext:
    """Return a ciphertext of the message plus m.

    Adds the noise f * (round(q/t m) - q/t m): f has coefficients up to t, so that rounding costs
    here what it does not cost in BFV. For degree 2 it is f^2, and larger still.
    """
    return add(params, ct, scale_up(params, m))


def multiply_plain(params: Params, ct: Ciphertext, m: Poly) -> Ciphertext:
    """Return a ciphertext of the message times m, slot by slot if both are slot vectors."""
    return poly_mod(poly_mul(ct, poly_mod(m, params.t)), params.q)


def multiply(params: Params, left: Ciphertext, right: Ciphertext) -> Ciphertext:
    """Return c = [round(t/q c_1 c_2)]_q, a ciphertext of m m' under f^2 (Mult, first step).

    f^2 c_1 c_2 is a product of two phases, as in BFV, but no polynomial in an unknown X has to be
    multiplied: one product of ring elements where BFV computes four. The product is over Z.
    """
    return poly_mod(poly_round(poly_mul(left, right), params.t, params.q), params.q)


def key_switch(
    params: Params, evk: EvaluationKey, ct: Ciphertext, w: int | None = None
) -> Ciphertext:
    """Return [sum_i digit_i(c) * gamma_i]_q, under f again (KeySwitch, the second step of Mult).

    f times this is f^2 c + f sum_i digit_i e_i + t g sum_i digit_i s_i: the digits are small, so
    the last two terms are. w must be the base for which the key was made.
    """
    digits = gadget_digits(ct, params, w)
    products = [poly_mul(d, gamma) for d, gamma in zip(digits, evk, strict=True)]
    return poly_mod(poly_add(*products), params.q)


def rotate(params: Params, key: EvaluationKey, ct: Ciphertext, g: int) -> Ciphertext:
    """Return a ciphertext of m(X^g): its key is switched to f(X^(1/g)), and then X becomes X^g."""
    return automorphism(key_switch(params, key, ct), g)
