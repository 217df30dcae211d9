"""All of it on one page: a network that reads encrypted digits (`python -m nn.tiny`).

The scheme is BGV in the ring R_q = Z_q[X]/(X^n + 1). A ciphertext (c_0, c_1) hides a message m in

    phase = c_0 + c_1 s = factor m + t (noise)  modulo q,

which takes the secret polynomial s to compute. Sums and products of phases are those of messages,
as long as phases are smaller than q/2. This page uses nothing of the packages around it. They do
the same, residue for residue, but fast, with secure parameters, and with errors where it trusts.
"""

import math
import os
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256, shake_256
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]  # of polynomials: (..., k, n), for k primes and n numbers
Ciphertexts = tuple[Array, int]  # (..., parts, k, n), and the factor, which everybody knows


# 1. Numbers: residues modulo primes below 2^22, in float64, which is exact up to 2^53. The largest
# numbers are sums of n products of residues, below n (2^21)^2 = 2^52.
def primes(below: int, count: int) -> tuple[int, ...]:
    """Return the largest primes p = 1 (mod 2n), modulo which X^n + 1 has n roots."""
    candidates = range((below - 2) // (2 * n) * 2 * n + 1, 1, -2 * n)
    found = (p for p in candidates if all(p % d for d in range(3, math.isqrt(p) + 1, 2)))
    return tuple(next(found) for _ in range(count))


n = 1024  # INSECURE: 128 bits of security take a q of 26 bits here, and n = 8192 for ours of 176.
MODULI, PLAINTEXT_MODULI = primes(2**22, 8), primes(2**21, 2)  # their products are q and t
INSECURE_TINY = "BGV/" + sha256(f"{n};{MODULI};{PLAINTEXT_MODULI}".encode()).hexdigest()
t = math.prod(PLAINTEXT_MODULI)


def centred(x: Any, p: Any) -> Array:
    """Return x modulo an odd p, in [-(p-1)/2, (p-1)/2]."""
    return np.asarray((x + p // 2) % p - p // 2)


def reduce(x: Array, moduli: tuple[int, ...] = MODULI) -> Array:
    """Return each row modulo its own prime."""
    return centred(x, np.array(moduli[: x.shape[-2]], dtype=float)[:, None])


def decompose(x: Array, moduli: tuple[int, ...] = MODULI) -> Array:
    """Return the residues of integers, a row for each prime."""
    return np.stack([centred(x, p) for p in moduli], axis=-2).astype(float)


def compose(x: Array, moduli: tuple[int, ...]) -> Array:
    """Return the integers with these residues: sum_i x_i (q/q_i) [(q/q_i)^-1]_(q_i) modulo q."""
    q, rows = math.prod(moduli), np.moveaxis(x, -2, 0).astype(int).astype(object)
    return centred(sum(rows[i] * (q // p * pow(q // p, -1, p)) for i, p in enumerate(moduli)), q)


# 2. The ring. Polynomials modulo X^n + 1 are multiplied by multiplying their values at its roots.
@lru_cache
def evaluation(p: int) -> Array:
    """Return psi^((2i+1) j) in row i, column j: psi = g^((p-1)/2n), g the smallest generator."""
    divisors = [d for d in range(2, (p - 1) // n + 1) if (p - 1) % d == 0]
    g = next(g for g in range(2, p) if all(pow(g, (p - 1) // d, p) != 1 for d in divisors))
    powers = np.array([pow(g, (p - 1) // (2 * n) * e, p) for e in range(2 * n)], dtype=float)
    i, j = np.ogrid[:n, :n]
    return centred(powers[(2 * i + 1) * j % (2 * n)], p)


def ntt(a: Array, moduli: tuple[int, ...] = MODULI) -> Array:
    """Return the values of polynomials: v_i = a(psi^(2i+1)) = sum_j a_j psi^((2i+1) j)."""
    rows = [np.tensordot(a[..., i, :], evaluation(moduli[i]), (-1, 1)) for i in range(a.shape[-2])]
    return reduce(np.stack(rows, axis=-2), moduli)


def intt(v: Array, moduli: tuple[int, ...] = MODULI) -> Array:
    """Return the polynomials: a_j = n^-1 sum_i v_i psi^-((2i+1) j), the 2i+1 backwards."""
    v = reduce(v[..., ::-1] * [[pow(n, -1, p)] for p in moduli[: v.shape[-2]]], moduli)
    rows = [np.tensordot(v[..., i, :], evaluation(moduli[i]), (-1, 0)) for i in range(v.shape[-2])]
    return reduce(np.stack(rows, axis=-2), moduli)


# 3. Messages. The values modulo t, at psi^(5^i) and psi^-(5^i), are n slots, one for each image.
SLOTS = [sign * 5**i % (2 * n) // 2 for sign in (1, -1) for i in range(n // 2)]


def encode(values: Array) -> Array:
    """Return polynomials m modulo t, (..., n), with these values in their first slots."""
    slots = np.zeros((*values.shape[:-1], n))
    slots[..., SLOTS[: values.shape[-1]]] = values
    m = intt(decompose(slots, PLAINTEXT_MODULI), PLAINTEXT_MODULI)
    return compose(m, PLAINTEXT_MODULI).astype(float)


def decode(m: Array) -> Array:
    """Return the slots of polynomials modulo t."""
    slots = ntt(decompose(m, PLAINTEXT_MODULI), PLAINTEXT_MODULI)[..., SLOTS]
    return compose(slots, PLAINTEXT_MODULI).astype(np.int64)


# 4. Randomness. A seed and a label make a stream of numbers, and these a polynomial. Errors are
# discrete Gaussian with sigma = 3.2: P(X = x) is proportional to exp(-x^2 / 2 sigma^2).
WEIGHTS = np.array([(-Decimal(x * x) / Decimal("20.48")).exp() for x in range(-32, 33)])
BELOW = np.array([int(w * 2**64 / WEIGHTS.sum()) for w in np.cumsum(WEIGHTS[:-1])], dtype="u8")


def stream(seed: bytes, label: str, length: int = 4 * n, dtype: str = "<u4") -> Array:
    """Return the first bytes of SHAKE-256(seed || label), as numbers."""
    return np.frombuffer(shake_256(seed + label.encode()).digest(length), dtype)


def uniform(seed: bytes, label: str) -> Array:
    """Return a polynomial uniform modulo q; draws that would make small residues likelier go."""
    draws = [stream(seed, f"{label}/{p}", 6 * n, "3u1") @ [1, 2**8, 2**16] for p in MODULI]
    kept = [row[row < 2**24 // p * p][:n] for row, p in zip(draws, MODULI, strict=True)]
    return reduce(np.array(kept, dtype=float))


def ternary(seed: bytes, label: str) -> Array:
    """Return a polynomial with coefficients uniform in {-1, 0, 1}: 255 = 3 * 85 bytes count."""
    draws = stream(seed, label, 2 * n, "u1")
    return (draws[draws < 255][:n] % 3).astype(float) - 1


def gaussian(seed: bytes, label: str) -> Array:
    """Return a polynomial of errors, for each draw the smallest x with draw < 2^64 P(X <= x)."""
    draws = stream(seed, label, 8 * n, "<u8")
    return np.searchsorted(BELOW, draws, side="right").astype(float) - 32


def many(sample: Any, seed: bytes, label: str, count: int) -> Array:
    """Return samples with numbered labels."""
    return np.stack([sample(seed, f"{label}/{i}") for i in range(count)])


# 5. Keys and encryption. Without s, an encryption of zero cannot be told from two uniform
# polynomials (ring learning with errors). A ciphertext is one of them, plus the message.
def encryptions_of_zero(s: Array, a: Array, e: Array) -> Array:
    """Return (-(a s + t e), a), whose phase is -t e."""
    return np.stack([reduce(-(a * s + ntt(decompose(t * e)))), a], axis=-3)


def keygen(seed: bytes) -> tuple[Array, Array, Array]:
    """Return s, the public key (b, a), and the relinearisation key: encryptions of the g_i s^2."""
    seed, k = stream(seed, INSECURE_TINY, 32).tobytes(), len(MODULI)
    s = ntt(decompose(ternary(seed, "secret")))
    public = encryptions_of_zero(s, ntt(uniform(seed, "public-a")), gaussian(seed, "public-e"))
    a, e = many(uniform, seed, "relin-a", k), many(gaussian, seed, "relin-e", k)
    relin = encryptions_of_zero(s, ntt(a), e)
    relin[:, 0] += np.eye(k)[:, :, None] * s * s  # g_i is 1 modulo q_i, 0 modulo the others
    return s, public, reduce(relin)


def encrypt(values: Array, key: Array, seed: bytes) -> Ciphertexts:
    """Return (m - a s - t e, a) under s, or (m + b u + t e_0, a u + t e_1) under (b, a)."""
    seed, m = stream(seed, INSECURE_TINY, 32).tobytes(), encode(values).reshape(-1, n)
    if key.ndim == 2:  # s
        a = many(uniform, stream(seed, "encrypt-rho", 32).tobytes(), "encrypt-a", len(m))
        c = encryptions_of_zero(key, a, many(gaussian, seed, "encrypt-e", len(m)))
    else:
        u = ntt(decompose(many(ternary, seed, "encrypt-u", len(m))))
        e = [many(gaussian, seed, f"encrypt-e{part}", len(m)) for part in (0, 1)]
        c = u[:, None] * key + ntt(decompose(t * np.stack(e, axis=1)))
    # Like noise, m + t r is 0 on average: m moves by t, past 0, with probability |m|/t.
    r = -np.sign(m) * (many(stream, seed, "encrypt-r", len(m)) * 2.0**-32 < abs(m) / t)
    c[:, 0] += ntt(decompose(m + t * r))
    return reduce(c).reshape(*values.shape[:-1], *c.shape[1:]), 1


# 6. Computing with ciphertexts, without a key that reads them.
def dense(x: Ciphertexts, weight: Array, bias: Array) -> Ciphertexts:
    """Return all y_j = sum_i w_ij x_i + b_j in a row; a constant b_j has equal values."""
    (c, factor), k = x, x[0].shape[-2]
    y = (weight.T @ c.reshape(*c.shape[:-3], -1)).reshape(-1, len(bias), *c.shape[-3:])
    y[:, :, 0] += decompose(centred(bias.astype(object) * factor, t)[:, None], MODULI[:k])
    return reduce(y).reshape(-1, *c.shape[-3:]), factor


def windows(x: Array) -> Array:
    """Return the 3 x 3 pixels at each position, (6, 6, 9, ...): a convolution is dense on them."""
    return np.stack([x[i : i + 6, j : j + 6] for i in range(3) for j in range(3)], axis=2)


def square(x: Ciphertexts) -> Ciphertexts:
    """Return squares with three parts: (c_0 + c_1 s)^2 = c_0^2 + 2 c_0 c_1 s + c_1^2 s^2."""
    c_0, c_1 = np.moveaxis(x[0], -3, 0)
    return reduce(np.stack([c_0 * c_0, 2 * c_0 * c_1, c_1 * c_1], axis=-3)), x[1] ** 2 % t


def relinearize(x: Ciphertexts, relin: Array) -> Ciphertexts:
    """Return two parts: c_2 s^2 = sum_i d_i g_i s^2, with small digits d_i = [c_2]_(q_i)."""
    (c, factor), k = x, x[0].shape[-2]
    digits, total = intt(c[..., 2, :, :]), c[..., :2, :, :]
    for i in range(k):
        d = ntt(decompose(digits[..., i, :], MODULI[:k]))
        total = reduce(total + d[..., None, :, :] * relin[i, :, :k])
    return total, factor


def switch_modulus(x: Ciphertexts, k: int) -> Ciphertexts:
    """Return t round([c/t]_q / p): q and the phase are divided by p, all primes but k."""
    (c, factor), moduli = x, MODULI[: x[0].shape[-2]]
    q, p = math.prod(moduli), math.prod(moduli[k:])
    c = centred(compose(intt(c), moduli) * pow(t, -1, q), q)
    return ntt(decompose(t * ((c + p // 2) // p), MODULI[:k])), factor * pow(p, -1, t) % t


# 7. Decryption.
def decrypt(x: Ciphertexts, s: Array) -> Array:
    """Return [c_0 + c_1 s + c_2 s^2]_q / factor modulo t, slot by slot."""
    (c, factor), moduli, phase = x, MODULI[: x[0].shape[-2]], np.zeros(())
    for part in np.moveaxis(c, -3, 0)[::-1]:  # Horner's rule
        phase = reduce(phase * s[: len(moduli)] + part)
    phase = compose(intt(phase), moduli)
    if abs(phase).max() > math.prod(moduli) // 8:
        raise ValueError("the noise has overflown: the phase is too large to be trusted")
    return decode(phase * pow(factor, -1, t))


# 8. The network: a convolution, then squares and a dense layer, twice.
def infer(x: Ciphertexts, layers: list[tuple[Array, Array]], relin: Array) -> Ciphertexts:
    """Return the encrypted logits of encrypted images, (8, 8) ciphertexts to (10,)."""
    x = dense((windows(x[0]), x[1]), *layers[0])
    for layer, k in zip(layers[1:], (5, 3), strict=True):
        x = switch_modulus(relinearize(dense(square(x), *layer), relin), k)
    return x


if __name__ == "__main__":
    here = Path(__file__).parent
    table = np.loadtxt(here / "data/digits/digits.csv.gz", int, delimiter=",")[:n]
    images = ((table[:, :64] + 2) // 4).T.reshape(8, 8, n)  # greys 0 to 16 become 0 to 4
    with np.load(here / "networks/pretrained/digits.npz") as file:
        layers = [(file[f"arr_{i}"].astype("i8"), file[f"arr_{i + 1}"]) for i in (1, 3, 5)]
    s, _, relin = keygen(os.urandom(32))  # the client
    x = encrypt(images, s, os.urandom(32))
    y = infer(x, layers, relin)  # the server
    logits = decrypt(y, s)  # the client
    plain = (layers[0][0].T @ windows(images) + layers[0][1][:, None]).reshape(-1, n)
    for weight, bias in layers[1:]:
        plain = weight.T @ plain**2 + bias[:, None]
    print("read as ", *logits.argmax(axis=0)[:24])
    print("they are", *table[:24, 64])
    print("all logits as on plain integers:", bool((logits == plain).all()))
