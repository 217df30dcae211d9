"""The laws of random samples and of encryption schemes: see `yashe.laws`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from yashe.arithmetic.sampling import SIGMA, TAIL, derive_seed
from yashe.laws.law import Comparison, Registry
from yashe.laws.strategies import centred_integers, polynomials, seeds
from yashe.textbook.polynomials import centred, poly_add, poly_mod, poly_mul

SAMPLES = 4096  # for statistics: a deviation is known to 1.1 %
FACTOR = 1.15  # of noise against theory, on about 1500 coefficients under many keys
KEYS = 24


@runtime_checkable
class Sampler(Protocol):
    """Random polynomials from a seed and the name of a stream."""

    def ternary(self, seed: bytes, label: str, n: int) -> Sequence[int]:
        """Return n values uniform in {-1, 0, 1}."""

    def gaussian(self, seed: bytes, label: str, n: int) -> Sequence[int]:
        """Return n values of the discrete Gaussian with deviation 3.2, at most 32."""

    def uniform(self, seed: bytes, label: str, n: int, p: int) -> Sequence[int]:
        """Return n values uniform in (-p/2, p/2)."""


sampler = Registry(Sampler, seed=lambda s: seeds())


@sampler.law(examples=3)
def ternary_is_uniform(s: Sampler, seed: bytes) -> Comparison:
    """Ternary samples are -1, 0 and 1, equally often."""
    return evenly(s.ternary(seed, "law", SAMPLES), {-1, 0, 1})


@sampler.law(examples=3)
def gaussian_has_its_moments(s: Sampler, seed: bytes) -> Comparison:
    """Gaussian samples have mean 0, deviation 3.2, and stop at 32."""
    x = [int(v) for v in s.gaussian(seed, "law", SAMPLES)]
    mean = sum(x) / SAMPLES
    variance = sum(v * v for v in x) / SAMPLES
    sigma2 = float(SIGMA) ** 2
    close = abs(mean) < 0.25 and 0.88 < variance / sigma2 < 1.12
    return (close, max(abs(v) for v in x) <= TAIL), (True, True)


@sampler.law(examples=3)
def uniform_is_uniform(s: Sampler, seed: bytes) -> Comparison:
    """Uniform samples take every value modulo p, equally often."""
    return evenly(s.uniform(seed, "law", SAMPLES, 17), set(range(-8, 9)))


def evenly(samples: Sequence[int], values: set[int]) -> Comparison:
    """Compare what was drawn with values, each of which should be drawn equally often."""
    counts, share = Counter(int(x) for x in samples), SAMPLES / len(values)
    odd = {x: c for x, c in counts.items() if abs(c - share) > 5 * math.sqrt(share)}
    return (set(counts), odd), (values, {})


@sampler.law(examples=20)
def samples_depend_on_seed_and_label(s: Sampler, seed: bytes) -> Comparison:
    """A seed and a label determine the samples, others give others."""
    other = bytes(b ^ 1 for b in seed)
    first = list(s.gaussian(seed, "law", 64))
    repeated = list(s.gaussian(seed, "law", 64)) == first
    different = first not in (list(s.gaussian(seed, "b", 64)), list(s.gaussian(other, "law", 64)))
    return (repeated, different), (True, True)


@runtime_checkable
class Scheme(Protocol):
    """A scheme that encrypts n integers modulo t.

    Sums and products are slot by slot; with an attribute `slots = False` a message is a polynomial
    instead, and products are negacyclic. Laws about noise apply to implementations that also have

        noise(keys, ct)       the coefficients of nu, Fractions: t/q phase - nearest integers, or
                              in BGV phase / q
        fresh_deviation       what theory says of their deviation in a fresh ciphertext
        product_deviation     the same for the square of a fresh ciphertext
        switching_deviation   what theory says of what relinearisation adds to it
        predicted_budget(ct)  how many bits are promised to be left, without a key
        q, parts(ct)          the modulus, and the ring elements of a ciphertext, centred

    and laws about slots that move to those that have what `yashe.laws.rotations` says.
    """

    n: int
    t: int

    def keygen(self, seed: bytes) -> Any:
        """Return keys, as one object."""

    def encrypt(self, keys: Any, values: list[int], seed: bytes) -> Any:
        """Return a ciphertext."""

    def decrypt(self, keys: Any, ct: Any) -> Sequence[int]:
        """Return the message, each value in (-t/2, t/2)."""

    def add(self, x: Any, y: Any) -> Any:
        """Return a ciphertext of the sum."""

    def subtract(self, x: Any, y: Any) -> Any:
        """Return a ciphertext of the difference."""

    def negate(self, x: Any) -> Any:
        """Return a ciphertext of the negative."""

    def multiply_scalar(self, x: Any, c: int) -> Any:
        """Return a ciphertext of c times the message, for an integer c that is not 0."""

    def add_plain(self, x: Any, values: list[int]) -> Any:
        """Return a ciphertext of the message plus values."""

    def multiply_plain(self, x: Any, values: list[int]) -> Any:
        """Return a ciphertext of the message times values, which are not all 0."""

    def multiply(self, x: Any, y: Any) -> Any:
        """Return a ciphertext of the product, before relinearisation."""

    def relinearize(self, keys: Any, x: Any) -> Any:
        """Return a ciphertext like a fresh one for the message of a product."""


scheme = Registry(
    Scheme,
    **dict.fromkeys("xyz", lambda s: polynomials(s.n, s.t)),
    nonzero=lambda s: polynomials(s.n, s.t).filter(any),
    c=lambda s: centred_integers(s.t // 2).filter(bool),
    seed=lambda s: seeds(),
)


def product_of(s: Scheme, x: list[int], y: list[int]) -> list[int]:
    """Return the product of two messages."""
    if getattr(s, "slots", True):
        return [centred(a * b, s.t) for a, b in zip(x, y, strict=True)]
    return poly_mod(poly_mul(x, y), s.t)


def decrypted(s: Scheme, keys: Any, ct: Any) -> list[int]:
    """Return the message as Python integers."""
    return [int(v) for v in s.decrypt(keys, ct)]


def pair(s: Scheme, seed: bytes, x: list[int], y: list[int]) -> tuple[Any, Any, Any]:
    """Return keys and encryptions of x and y, with independent randomness."""
    keys = s.keygen(seed)
    return keys, s.encrypt(keys, x, other_seed(seed, 1)), s.encrypt(keys, y, other_seed(seed, 2))


def other_seed(seed: bytes, i: int) -> bytes:
    """Return another seed, for every number another one."""
    return derive_seed(seed, str(i))


@scheme.law(examples=40)
def decryption_undoes_encryption(s: Scheme, seed: bytes, x: list[int]) -> Comparison:
    """Decryption undoes encryption."""
    keys = s.keygen(seed)
    return decrypted(s, keys, s.encrypt(keys, x, other_seed(seed, 1))), x


@scheme.law(examples=40)
def decryption_carries_sums(s: Scheme, seed: bytes, x: list[int], y: list[int]) -> Comparison:
    """Decryption carries sums."""
    keys, a, b = pair(s, seed, x, y)
    return decrypted(s, keys, s.add(a, b)), poly_mod(poly_add(x, y), s.t)


@scheme.law(examples=40)
def decryption_carries_differences(
    s: Scheme, seed: bytes, x: list[int], y: list[int]
) -> Comparison:
    """Decryption carries differences."""
    keys, a, b = pair(s, seed, x, y)
    expected = [centred(v - w, s.t) for v, w in zip(x, y, strict=True)]
    return decrypted(s, keys, s.subtract(a, b)), expected


@scheme.law(examples=40)
def decryption_carries_negation(s: Scheme, seed: bytes, x: list[int]) -> Comparison:
    """Decryption carries negation."""
    keys = s.keygen(seed)
    return decrypted(s, keys, s.negate(s.encrypt(keys, x, other_seed(seed, 1)))), [-v for v in x]


@scheme.law(examples=40)
def decryption_carries_scalar_products(s: Scheme, seed: bytes, x: list[int], c: int) -> Comparison:
    """Decryption carries products with integers."""
    keys = s.keygen(seed)
    ct = s.multiply_scalar(s.encrypt(keys, x, other_seed(seed, 1)), c)
    return decrypted(s, keys, ct), [centred(c * v, s.t) for v in x]


@scheme.law(examples=40)
def decryption_carries_plain_sums(s: Scheme, seed: bytes, x: list[int], y: list[int]) -> Comparison:
    """Decryption carries sums with plaintexts."""
    keys = s.keygen(seed)
    ct = s.add_plain(s.encrypt(keys, x, other_seed(seed, 1)), y)
    return decrypted(s, keys, ct), poly_mod(poly_add(x, y), s.t)


@scheme.law(examples=40)
def decryption_carries_plain_products(
    s: Scheme, seed: bytes, x: list[int], nonzero: list[int]
) -> Comparison:
    """Decryption carries products with plaintexts."""
    keys = s.keygen(seed)
    ct = s.multiply_plain(s.encrypt(keys, x, other_seed(seed, 1)), nonzero)
    return decrypted(s, keys, ct), product_of(s, x, nonzero)


@scheme.law(examples=40)
def decryption_carries_products(s: Scheme, seed: bytes, x: list[int], y: list[int]) -> Comparison:
    """Decryption carries products of ciphertexts."""
    keys, a, b = pair(s, seed, x, y)
    return decrypted(s, keys, s.multiply(a, b)), product_of(s, x, y)


@scheme.law(examples=40)
def decryption_carries_squares(s: Scheme, seed: bytes, x: list[int]) -> Comparison:
    """Decryption carries squares."""
    keys = s.keygen(seed)
    ct = s.encrypt(keys, x, other_seed(seed, 1))
    return decrypted(s, keys, s.multiply(ct, ct)), product_of(s, x, x)


@scheme.law(examples=40)
def relinearisation_keeps_the_message(
    s: Scheme, seed: bytes, x: list[int], y: list[int]
) -> Comparison:
    """Relinearisation keeps the message."""
    keys, a, b = pair(s, seed, x, y)
    return decrypted(s, keys, s.relinearize(keys, s.multiply(a, b))), product_of(s, x, y)


@scheme.law(examples=40)
def relinearised_products_add(
    s: Scheme, seed: bytes, x: list[int], y: list[int], z: list[int]
) -> Comparison:
    """A relinearised product is a ciphertext like any other: it can be added."""
    keys, a, b = pair(s, seed, x, y)
    product = s.relinearize(keys, s.multiply(a, b))
    total = s.add(product, s.encrypt(keys, z, other_seed(seed, 3)))
    return decrypted(s, keys, total), poly_mod(poly_add(product_of(s, x, y), z), s.t)


@scheme.law(examples=20)
def relinearisation_can_wait(
    s: Scheme, seed: bytes, x: list[int], y: list[int], z: list[int], c: int
) -> Comparison:
    """Relinearisation can wait: products take sums, scalars and plaintexts before it."""
    keys, a, b = pair(s, seed, x, y)
    product = s.add(s.multiply(a, b), s.negate(s.multiply(a, a)))
    late = s.relinearize(keys, s.add_plain(s.multiply_scalar(product, c), z))
    difference = [v - w for v, w in zip(product_of(s, x, y), product_of(s, x, x), strict=True)]
    expected = [centred(c * v + w, s.t) for v, w in zip(difference, z, strict=True)]
    return decrypted(s, keys, late), expected


@scheme.law(examples=10)
def operands_stay(s: Scheme, seed: bytes, x: list[int], y: list[int]) -> Comparison:
    """Operations leave their operands as they were."""
    keys, a, b = pair(s, seed, x, y)
    s.add(a, b), s.subtract(a, b), s.negate(a), s.multiply_scalar(a, 3), s.add_plain(a, y)
    product = s.multiply(a, b)
    s.relinearize(keys, product)
    left = [decrypted(s, keys, ct) for ct in (a, b, product)]
    return left, [x, y, product_of(s, x, y)]


@scheme.law(examples=10)
def another_key_does_not_decrypt(s: Scheme, seed: bytes) -> Comparison:
    """The key of somebody else does not decrypt."""
    keys, other = s.keygen(seed), s.keygen(other_seed(seed, 4))
    message = [1] * s.n
    opened = []
    for i in range(4):
        try:
            opened.append(decrypted(s, other, s.encrypt(keys, message, other_seed(seed, i))))
        except (ArithmeticError, ValueError):  # refused: even better
            opened.append([])
    return opened.count(message) == 4, False


@scheme.law(examples=10, needs=("parts",))
def encryption_is_randomised(s: Any, seed: bytes, x: list[int]) -> Comparison:
    """The same message encrypts differently every time."""
    keys = s.keygen(seed)
    several = [s.parts(s.encrypt(keys, x, other_seed(seed, i))) for i in (1, 2, 3)]
    return [several.count(parts) for parts in several], [1, 1, 1]


# Noise and secrecy. What is statistical is tried with few seeds, many samples and wide margins.


@scheme.law(examples=1, needs=("noise", "fresh_deviation"))
def fresh_noise_is_that_of_theory(s: Any, seed: bytes) -> Comparison:
    """A fresh ciphertext is as noisy as theory says, within 15 %."""
    noise = []
    for keys, i in many_keys(s, seed):
        values = [centred(j * (s.t // 3) + i, s.t) for j in range(s.n)]
        noise += s.noise(keys, s.encrypt(keys, values, other_seed(seed, i)))
    return agrees(noise, s.fresh_deviation)


@scheme.law(examples=1, needs=("noise", "switching_deviation"))
def switching_noise_is_that_of_theory(s: Any, seed: bytes) -> Comparison:
    """Relinearisation adds as much noise as theory says, within 15 %."""
    added = []
    for keys, i in many_keys(s, seed):
        ct = s.encrypt(keys, [1] * s.n, other_seed(seed, i))
        product = s.multiply(ct, ct)
        before, after = s.noise(keys, product), s.noise(keys, s.relinearize(keys, product))
        added += [y - x for x, y in zip(before, after, strict=True)]
    return agrees(added, s.switching_deviation)


@scheme.law(examples=1, needs=("noise", "product_deviation"))
def product_noise_is_that_of_theory(s: Any, seed: bytes) -> Comparison:
    """A square is as noisy as theory says, within a factor of 2."""
    noise = []
    for keys, i in many_keys(s, seed):
        ct = s.encrypt(keys, [1] * s.n, other_seed(seed, i))
        noise += s.noise(keys, s.multiply(ct, ct))
    return agrees(noise, s.product_deviation, 2)


@scheme.law(examples=20, needs=("noise", "predicted_budget"))
def noise_is_below_its_prediction(
    s: Any, seed: bytes, x: list[int], y: list[int], c: int
) -> Comparison:
    """The noise stays below its prediction."""
    keys, a, b = pair(s, seed, x, y)
    product = s.multiply(a, b)
    found = []
    for ct in (a, s.add(a, b), s.multiply_scalar(a, c), product, s.relinearize(keys, product)):
        largest = max(abs(v) for v in s.noise(keys, ct))
        found.append(largest <= Fraction(1, 2) / Fraction(2 ** float(s.predicted_budget(ct))))
    return found, [True] * 5


@scheme.law(examples=5, needs=("parts", "q"))
def parts_do_not_show_the_message(s: Any, seed: bytes) -> Comparison:
    """No part of a ciphertext, nor their sum, lies close to the multiples of q/t."""
    keys = s.keygen(seed)
    several = [s.parts(s.encrypt(keys, [1] * s.n, other_seed(seed, i))) for i in range(8)]
    count = len(several[0])
    hidden = []
    for choice in [*range(count), None]:
        seen = [poly_add(*parts) if choice is None else parts[choice] for parts in several]
        # How far t/q x is from the nearest integer: how badly it rounds to a message.
        far = (abs(centred(s.t * int(x), s.q)) / s.q for values in seen for x in values)
        hidden.append(max(far) > 0.25)
    return hidden, [True] * (count + 1)


def many_keys(s: Any, seed: bytes) -> list[tuple[Any, int]]:
    """Return keys with numbers, so many that their ciphertexts have some 1500 coefficients."""
    numbers = range(16, 16 + max(KEYS, 1536 // s.n))
    keys = [s.keygen(other_seed(seed, i)) for i in range(KEYS)]
    return [(keys[i % KEYS], i) for i in numbers]


def agrees(noise: Sequence[Fraction], predicted: float, factor: float = FACTOR) -> Comparison:
    """Compare the deviation of a sample with the predicted one."""
    x = [float(v - round(v)) for v in noise]
    ratio = math.sqrt(sum(v * v for v in x) / len(x)) / predicted
    expected = f"a deviation within a factor of {factor} of theory"
    return expected if 1 / factor < ratio < factor else f"{ratio:.2g} times theory", expected
