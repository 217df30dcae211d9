"""The textbook and the engine in the form in which the laws want an implementation.

Only translation happens here, between arrays and lists. A subject is also what to imitate: the
smallest class that is an implementation of a protocol of `yashe.laws`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from yashe.arithmetic import sampling
from yashe.arithmetic.residues import canonical
from yashe.arithmetic.rings import Ring
from yashe.arithmetic.rns import RnsBasis, rescale
from yashe.ciphertexts.gadgets import Gadget, digits
from yashe.ciphertexts.slots import Plaintext, decode, encode
from yashe.parameters.sets import Params
from yashe.textbook import (
    bfv as textbook_bfv,
)
from yashe.textbook import (
    bgv as textbook_bgv,
)
from yashe.textbook import (
    polynomials as textbook,
)
from yashe.textbook import (
    yashe as textbook_yashe,
)
from yashe.textbook.automorphisms import rotation_exponent
from yashe.textbook.polynomials import Poly

SIGMA2 = float(textbook.SIGMA) ** 2


def integers(array: Any) -> Poly:
    """Return an array of integers of any type as a list of Python integers."""
    return [int(x) for x in array]


@dataclass
class TextbookTransform:
    """Cooley-Tukey butterflies."""

    n: int
    p: int
    psi: int

    def ntt(self, a: Poly) -> Poly:
        return textbook.ntt(a, self.psi, self.p)

    def intt(self, values: Poly) -> Poly:
        return textbook.intt(values, self.psi, self.p)


@dataclass
class TextbookRing:
    """Sums and products by definition."""

    n: int
    q: int

    def add(self, a: Poly, b: Poly) -> Poly:
        return textbook.poly_mod(textbook.poly_add(a, b), self.q)

    def negate(self, a: Poly) -> Poly:
        return textbook.poly_scale(a, -1)

    def multiply(self, a: Poly, b: Poly) -> Poly:
        return textbook.poly_mod(textbook.poly_mul(a, b), self.q)


@dataclass
class TextbookBasis:
    """The Chinese remainder theorem on Python integers."""

    moduli: tuple[int, ...]

    def decompose(self, x: int) -> Poly:
        return textbook.decompose(x, self.moduli)

    def compose(self, residues: Poly) -> int:
        return textbook.compose(residues, self.moduli)


@dataclass
class EngineRescaling:
    """The base conversion in floating point, with its repair."""

    source: tuple[int, ...]
    target: tuple[int, ...]
    ratio: Fraction

    def rescale(self, residues: Poly) -> Poly:
        column = np.array(residues, dtype=np.float64)[:, None]
        return integers(
            rescale(column, RnsBasis(self.source), RnsBasis(self.target), self.ratio)[:, 0]
        )


class TextbookGadget:
    """Digits in base w, or residues if w is None."""

    def __init__(self, n: int, moduli: tuple[int, ...], w: int | None = None) -> None:
        self.params = textbook.Params(n, 3, moduli)
        self.n, self.q, self.w = n, self.params.q, w
        self.gadget = textbook.gadget(self.params, w)
        self.digit_bound = max(moduli) // 2 if w is None else w // 2

    def digits(self, a: Poly) -> list[Poly]:
        return textbook.gadget_digits(a, self.params, self.w)


class EngineGadget:
    """Digits that are residues, modulo one prime or several."""

    def __init__(self, n: int, moduli: tuple[int, ...], size: int = 1) -> None:
        self.ring, self.cut = Ring(n, moduli), Gadget(size)
        self.n, self.q = n, self.ring.basis.product
        basis = self.ring.basis
        self.gadget = [int(g) for g in basis.compose(self.cut.weights(self.ring))[:, 0]]
        self.digit_bound = max(self.cut.moduli(moduli)[0]) // 2

    def digits(self, a: Poly) -> list[Poly]:
        found = digits(self.ring.element(np.array(a, dtype=object)), self.ring, self.cut)
        found = np.broadcast_to(found, (len(found), len(self.ring.basis), self.n))
        return [integers(row) for row in self.ring.basis.compose(found)]


class TextbookSlots:
    """Slots by evaluation and interpolation."""

    def __init__(self, n: int, primes: tuple[int, ...]) -> None:
        self.n, self.t, self.primes = n, math.prod(primes), primes
        self.psis = [textbook.root_of_unity(n, p) for p in primes]

    def encode(self, values: Poly) -> Poly:
        return textbook.encode(values, self.primes, self.psis)

    def decode(self, polynomial: Poly) -> Poly:
        return textbook.decode(polynomial, self.primes, self.psis)


class EngineSlots:
    """Slots by the NTT of the plaintext ring."""

    def __init__(self, params: Params) -> None:
        self.params, self.n, self.t = params, params.n, params.t

    def encode(self, values: Poly) -> Poly:
        return integers(encode(self.params, values).element.integers())

    def decode(self, polynomial: Poly) -> Poly:
        element = self.params.plaintext_ring.element(np.array(polynomial, dtype=object))
        return integers(decode(Plaintext(self.params, element)))


class TextbookSampler:
    """Samples read from an endless stream, one by one."""

    def ternary(self, seed: bytes, label: str, n: int) -> Poly:
        return textbook.ternary(seed, label, n)

    def gaussian(self, seed: bytes, label: str, n: int) -> Poly:
        return textbook.gaussian(seed, label, n)

    def uniform(self, seed: bytes, label: str, n: int, p: int) -> Poly:
        return textbook.uniform_row(seed, label, n, p)


class EngineSampler:
    """The same samples, read at once."""

    def ternary(self, seed: bytes, label: str, n: int) -> Poly:
        return integers(sampling.ternary(seed, [label], n)[0])

    def gaussian(self, seed: bytes, label: str, n: int) -> Poly:
        return integers(sampling.gaussian(seed, [label], n)[0])

    def uniform(self, seed: bytes, label: str, n: int, p: int) -> Poly:
        return integers(canonical(sampling.uniform(seed, [label], n, (p,))[0, 0], p))


def exponent(n: int, rotation: Any) -> int:
    """Return the g of a rotation."""
    return 2 * n - 1 if rotation == "swap" else rotation_exponent(n, rotation)


class TextbookScheme:
    """What the textbook schemes have in common: polynomials as messages."""

    slots = False
    fresh_deviation: float

    def __init__(self, params: textbook.Params) -> None:
        self.params = params
        self.n, self.t, self.q = params.n, params.t, params.q
        self.digits = params.n * sum(p * p / 12 for p in params.moduli) * SIGMA2

    def _product_deviation(self, secret_squared: float) -> float:
        message = self.t * math.sqrt((1 + secret_squared) / 12)
        return 2 * math.sqrt(self.n) * message * self.fresh_deviation

    def _noise(self, phase: Poly) -> list[Fraction]:
        return [Fraction(x, self.q) for x in textbook.noise_of(self.params, phase)]


class TextbookBFV(TextbookScheme):
    """`yashe.textbook.bfv`; keys are (s, public key, relinearisation key, seed)."""

    def __init__(self, params: textbook.Params) -> None:
        super().__init__(params)
        errors = SIGMA2 * (1 + 4 * self.n / 3) + 1 / 12
        self.fresh_deviation = self.t / self.q * math.sqrt(errors)
        self.product_deviation = self._product_deviation(2 * self.n / 3)
        self.switching_deviation = self.t / self.q * math.sqrt(self.digits)

    def keygen(self, seed: bytes) -> Any:
        s, public = textbook_bfv.keygen(self.params, seed)
        return s, public, textbook_bfv.relin_keygen(self.params, s, seed), seed

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        return textbook_bfv.encrypt(self.params, keys[1], values, seed)

    def decrypt(self, keys: Any, ct: Any) -> Poly:
        return textbook_bfv.decrypt(self.params, keys[0], ct)

    def add(self, x: Any, y: Any) -> Any:
        return textbook_bfv.add(self.params, x, y)

    def subtract(self, x: Any, y: Any) -> Any:
        return textbook_bfv.sub(self.params, x, y)

    def negate(self, x: Any) -> Any:
        return textbook_bfv.negate(self.params, x)

    def multiply_scalar(self, x: Any, c: int) -> Any:
        return textbook_bfv.multiply_scalar(self.params, x, c)

    def add_plain(self, x: Any, values: Poly) -> Any:
        return textbook_bfv.add_plain(self.params, x, values)

    def multiply_plain(self, x: Any, values: Poly) -> Any:
        return textbook_bfv.multiply_plain(self.params, x, values)

    def multiply(self, x: Any, y: Any) -> Any:
        return textbook_bfv.multiply(self.params, x, y)

    def relinearize(self, keys: Any, x: Any) -> Any:
        return textbook_bfv.relinearise(self.params, keys[2], x)

    def rotate(self, keys: Any, x: Any, rotation: Any) -> Any:
        g = exponent(self.n, rotation)
        return textbook_bfv.rotate(self.params, self.rotation_key(keys, g), x, g)

    def rotation_key(self, keys: Any, g: int) -> Any:
        """Make the key now: most laws need none."""
        return textbook_bfv.rotation_keygen(self.params, keys[0], g, keys[3])

    def phase(self, keys: Any, ct: Any) -> Poly:
        return textbook_bfv.phase(self.params, keys[0], ct)

    def noise(self, keys: Any, ct: Any) -> list[Fraction]:
        return self._noise(self.phase(keys, ct))

    def parts(self, ct: Any) -> list[Poly]:
        return list(ct)


class TextbookBGV(TextbookScheme):
    """`yashe.textbook.bgv`; keys are (s, public key, relinearisation key, seed)."""

    def __init__(self, params: textbook.Params) -> None:
        super().__init__(params)
        errors = SIGMA2 * (1 + 4 * self.n / 3) + 1 / 4
        self.fresh_deviation = self.t / self.q * math.sqrt(errors)
        # A coefficient of a square is a sum of n/2 different products, each of them twice.
        self.product_deviation = math.sqrt(2 * self.n) * self.fresh_deviation**2 * self.q
        self.switching_deviation = self.t / self.q * math.sqrt(self.digits)

    def keygen(self, seed: bytes) -> Any:
        s, public = textbook_bgv.keygen(self.params, seed)
        return s, public, textbook_bgv.relin_keygen(self.params, s, seed), seed

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        return textbook_bgv.encrypt(self.params, keys[1], values, seed)

    def decrypt(self, keys: Any, ct: Any) -> Poly:
        return textbook_bgv.decrypt(self.params, keys[0], ct)

    def add(self, x: Any, y: Any) -> Any:
        return textbook_bgv.add(self.params, x, y)

    def subtract(self, x: Any, y: Any) -> Any:
        return textbook_bgv.sub(self.params, x, y)

    def negate(self, x: Any) -> Any:
        return textbook_bgv.negate(self.params, x)

    def multiply_scalar(self, x: Any, c: int) -> Any:
        return textbook_bgv.multiply_scalar(self.params, x, c)

    def add_plain(self, x: Any, values: Poly) -> Any:
        return textbook_bgv.add_plain(self.params, x, values)

    def multiply_plain(self, x: Any, values: Poly) -> Any:
        return textbook_bgv.multiply_plain(self.params, x, values)

    def multiply(self, x: Any, y: Any) -> Any:
        return textbook_bgv.multiply(self.params, x, y)

    def relinearize(self, keys: Any, x: Any) -> Any:
        return textbook_bgv.relinearise(self.params, keys[2], x)

    def rotate(self, keys: Any, x: Any, rotation: Any) -> Any:
        g = exponent(self.n, rotation)
        key = textbook_bgv.rotation_keygen(self.params, keys[0], g, keys[3])
        return textbook_bgv.rotate(self.params, key, x, g)

    def noise(self, keys: Any, ct: Any) -> list[Fraction]:
        phase = textbook_bfv.phase(self.params, keys[0], ct.parts)
        return [Fraction(x, self.q) for x in phase]

    def parts(self, ct: Any) -> list[Poly]:
        return list(ct.parts)


class TextbookYASHE(TextbookScheme):
    """`yashe.textbook.yashe`; keys (f, h, evaluation key, seed), ciphertexts (element, degree)."""

    def __init__(self, params: textbook.Params) -> None:
        super().__init__(params)
        t_squared = 2 * self.n / 3 * self.t**2
        errors = (1 + t_squared) * (SIGMA2 + 1 / 12) + t_squared * SIGMA2
        self.fresh_deviation = self.t / self.q * math.sqrt(errors)
        self.product_deviation = self._product_deviation(t_squared)
        self.switching_deviation = self.t / self.q * math.sqrt(self.digits * (1 + 2 * t_squared))

    def keygen(self, seed: bytes) -> Any:
        f, h = textbook_yashe.keygen(self.params, seed)
        return f, h, textbook_yashe.evaluation_keygen(self.params, f, h, seed), seed

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Any:
        return textbook_yashe.encrypt(self.params, keys[1], values, seed), 1

    def decrypt(self, keys: Any, ct: Any) -> Poly:
        return textbook_yashe.decrypt(self.params, keys[0], *ct)

    def add(self, x: Any, y: Any) -> Any:
        return textbook_yashe.add(self.params, x[0], y[0]), x[1]

    def subtract(self, x: Any, y: Any) -> Any:
        return textbook_yashe.sub(self.params, x[0], y[0]), x[1]

    def negate(self, x: Any) -> Any:
        return textbook_yashe.negate(self.params, x[0]), x[1]

    def multiply_scalar(self, x: Any, c: int) -> Any:
        return textbook_yashe.multiply_scalar(self.params, x[0], c), x[1]

    def add_plain(self, x: Any, values: Poly) -> Any:
        return textbook_yashe.add_plain(self.params, x[0], values), x[1]

    def multiply_plain(self, x: Any, values: Poly) -> Any:
        return textbook_yashe.multiply_plain(self.params, x[0], values), x[1]

    def multiply(self, x: Any, y: Any) -> Any:
        return textbook_yashe.multiply(self.params, x[0], y[0]), 2

    def relinearize(self, keys: Any, x: Any) -> Any:
        return textbook_yashe.key_switch(self.params, keys[2], x[0]), 1

    def rotate(self, keys: Any, x: Any, rotation: Any) -> Any:
        g = exponent(self.n, rotation)
        key = textbook_yashe.rotation_keygen(self.params, keys[0], g, keys[3])
        return textbook_yashe.rotate(self.params, key, x[0], g), 1

    def noise(self, keys: Any, ct: Any) -> list[Fraction]:
        return self._noise(textbook_yashe.phase(self.params, keys[0], *ct))

    def parts(self, ct: Any) -> list[Poly]:
        return [ct[0]]
