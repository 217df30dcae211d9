"""The package's own objects in the form in which the laws want an implementation.

Only translation happens here, between arrays and lists. `laws.check(BFV(params))` comes by here,
and so do `Ntt`, `Ring`, `RnsBasis`, BGV and YASHE'.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import Any

import numpy as np

from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.rings import CoefficientElement, Ring
from yashe.arithmetic.rns import RnsBasis
from yashe.ciphertexts.array import Ciphertext
from yashe.schemes.bgv import BGV
from yashe.schemes.rotations import RotatingScheme
from yashe.textbook.polynomials import Poly, centred, poly_mod


def integers(array: Any) -> Poly:
    """Return an array of integers of any type as a list of Python integers."""
    return [int(x) for x in array]


def subjects(thing: Any) -> list[Any]:
    """Return what the laws can try: for an Ntt one transform for each of its primes."""
    if isinstance(thing, Ntt):
        return [EngineTransform(thing, i) for i in range(len(thing.moduli))]
    if isinstance(thing, Ring):
        return [EngineRing(thing)]
    if isinstance(thing, RnsBasis):
        return [EngineBasis(thing)]
    return [EngineScheme(thing) if isinstance(thing, RotatingScheme) else thing]


class EngineTransform:
    """One of the transforms of an Ntt, by two matrix products."""

    def __init__(self, transform: Ntt, i: int = 0) -> None:
        self.n, self.p, self.psi = transform.n, transform.moduli[i], transform.psi[i]
        self.transform, self.i = transform, i

    def ntt(self, a: Poly) -> Poly:
        """Return the values of a."""
        return self._apply(self.transform.ntt, a)

    def intt(self, values: Poly) -> Poly:
        """Return the polynomial with these values."""
        return self._apply(self.transform.intt, values)

    def _apply(self, transform: Any, a: Poly) -> Poly:
        rows = np.array([poly_mod(a, p) for p in self.transform.moduli], dtype=np.float64)
        return integers(transform(rows)[self.i])


class EngineRing:
    """Elements with residues for every prime, multiplied in NTT form."""

    def __init__(self, ring: Ring) -> None:
        self.ring, self.n, self.q = ring, ring.n, ring.basis.product

    def _element(self, a: Poly) -> CoefficientElement:
        return self.ring.element(np.array(a, dtype=object))

    def add(self, a: Poly, b: Poly) -> Poly:
        """Return a + b."""
        return integers((self._element(a) + self._element(b)).integers())

    def negate(self, a: Poly) -> Poly:
        """Return -a."""
        return integers((-self._element(a)).integers())

    def multiply(self, a: Poly, b: Poly) -> Poly:
        """Return a * b."""
        product = self._element(a).ntt() * self._element(b).ntt()
        return integers(product.intt().integers())


class EngineBasis:
    """The Chinese remainder theorem on arrays of residues."""

    def __init__(self, basis: RnsBasis) -> None:
        self.basis, self.moduli = basis, basis.moduli

    def decompose(self, x: int) -> Poly:
        """Return the residues of x."""
        return integers(self.basis.decompose(np.array([x], dtype=object))[:, 0])

    def compose(self, residues: Poly) -> int:
        """Return the integer with these residues."""
        return int(self.basis.compose(np.array(residues, dtype=np.float64)[:, None])[0])


class EngineScheme:
    """A scheme of the engine, one ciphertext at a time; messages are slots.

    Parameters
    ----------
    scheme : RotatingScheme
    with_secret : encrypt with the secret key, which BFV and BGV can
    """

    add = staticmethod(operator.add)
    subtract = staticmethod(operator.sub)
    negate = staticmethod(operator.neg)
    multiply = multiply_scalar = staticmethod(operator.mul)

    def __init__(self, scheme: RotatingScheme, with_secret: bool = False) -> None:
        self.scheme, self.with_secret = scheme, with_secret
        self.moving: dict[tuple[str, Any], Any] = {}  # rotation keys, which most laws do not need
        self.n, self.t, self.q = scheme.params.n, scheme.params.t, scheme.params.q
        fresh = scheme.fresh_bound(not with_secret)
        self.fresh_deviation = float(fresh.deviation)
        self.product_deviation = float(scheme.product_bound(fresh, fresh).deviation)
        if isinstance(scheme, BGV):  # whose bound has room for the tails of a product of two noises
            self.product_deviation = math.sqrt(2 * self.n) * self.fresh_deviation**2 * self.q
        self.switching_deviation = float(scheme.switching_bound().deviation)

    def keygen(self, seed: bytes) -> Any:
        """Return keys."""
        return self.scheme.keygen(seed)

    def encrypt(self, keys: Any, values: Poly, seed: bytes) -> Ciphertext:
        """Return a ciphertext."""
        return self.scheme.encrypt(values, keys.secret if self.with_secret else keys.public, seed)

    def decrypt(self, keys: Any, ct: Ciphertext) -> Poly:
        """Return the message."""
        return integers(self.scheme.decrypt(ct, keys.secret))

    def add_plain(self, x: Ciphertext, values: Poly) -> Ciphertext:
        """Return x plus a plaintext."""
        return x + self.scheme.encode(values)

    def multiply_plain(self, x: Ciphertext, values: Poly) -> Ciphertext:
        """Return x times a plaintext."""
        return x * self.scheme.encode(values)

    def relinearize(self, keys: Any, x: Ciphertext) -> Ciphertext:
        """Return two parts."""
        return self.scheme.relinearize(x, keys.relinearization)

    def rotate(self, keys: Any, x: Ciphertext, rotation: Any) -> Ciphertext:
        """Return the slots moved, or swapped."""
        made = keys.secret.key_id, rotation
        if made not in self.moving:
            self.moving[made] = self.scheme.rotation_keys(keys.secret, [rotation], bytes(32))
        return self.scheme.rotations(x, [rotation], self.moving[made])[0]

    def noise(self, keys: Any, ct: Ciphertext) -> list[Fraction]:
        """Return the coefficients of the noise."""
        phase = self.scheme.phase(ct, int(ct.index), keys.secret).integers()
        t = 1 if isinstance(self.scheme, BGV) else self.t  # BGV's phase has the factor t already
        return [Fraction(centred(t * x, self.q), self.q) for x in integers(phase)]

    def predicted_budget(self, ct: Ciphertext) -> float:
        """Return the bits that are left, as predicted."""
        return float(ct.noise_budget)

    def parts(self, ct: Ciphertext) -> list[Poly]:
        """Return the parts as lists of integers."""
        rows = self.scheme.params.ring.basis.compose(ct.rows[int(ct.index)])
        return [integers(row) for row in rows]
