"""What BFV and BGV have in common: everything that rests on Ring Learning With Errors.

Both hide a message in a pair (c_0, c_1) whose *phase* c_0 + c_1 s modulo q is the message plus
small noise, and both draw keys and noise alike (Lyubashevsky, Peikert, Regev, ePrint 2012/230):

    keygen      s ternary, a uniform, e Gaussian, b = -(a s + unit e)
    encrypt     (b u + unit e_0 + embedded(m), a u + unit e_1), u ternary;
                or, with the secret key, (embedded(m) - unit e - a s, a)
    relinearize replace c_2 s^2 by an encryption of it (`yashe.ciphertexts.keys`): two parts again
    rotate      replace c_1 s by an encryption of it under s(X^(1/g)), and then X by X^g

They differ in where the message sits. BFV puts it at the upper end, embedded(m) = round(q/t m), and
errors are small integers, unit = 1. BGV leaves it at the lower end, embedded(m) = m, and errors are
multiples of unit = t, so that they vanish modulo t.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from yashe.arithmetic.automorphisms import move_values
from yashe.arithmetic.residues import FloatArray, by_prime, reduce, reduce_modulo
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.arithmetic.sampling import (
    check_seed,
    derive_seed,
    gaussian,
    stream,
    ternary,
    uniform_half,
)
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.ciphertexts.keys import (
    BfvRotationKeys,
    Key,
    Keys,
    Pair,
    PublicKey,
    Relinearization,
    RelinearizationKey,
    RotationPairs,
    SecretKey,
    check_key,
    check_kind,
    switching_halves,
    uniform_halves,
)
from yashe.ciphertexts.noise import Bound
from yashe.schemes.definition import Hide
from yashe.schemes.rotations import RotatingScheme


class RLWE(RotatingScheme):
    """Keys, encryption, relinearisation and the phase of BFV and BGV."""

    first_secret_part = 1
    fixed_parts = False
    secret_key_type = SecretKey
    public_key_type: ClassVar[type[Pair]] = PublicKey
    relinearization_key_type: ClassVar[type[Relinearization]] = RelinearizationKey
    rotation_key_type: ClassVar[type[RotationPairs]] = BfvRotationKeys

    @property
    @abstractmethod
    def error_unit(self) -> int:
        """What all errors are multiples of."""

    def keygen(self, seed: bytes | None = None, rotations: Any = ()) -> Keys:
        """Return a secret, a public and a relinearisation key, and keys for rotations.

        Parameters
        ----------
        seed : 32 bytes that determine the keys, or None for fresh ones from the operating system
        rotations : which ones there shall be keys for; see `rotation_keys`

        Returns
        -------
        Keys, with attributes secret, public, relinearization and rotations

        Raises
        ------
        ParameterError
            If the seed is none, or there is no such rotation.
        """
        given = check_seed(seed)
        seed = self.own_seed(given)
        params, n = self.params, self.params.n
        key_id = stream(seed, "key-id", 16).hex()
        s = self.small(ternary(seed, ["secret"], n)[0]).ntt()
        a = uniform_halves(params, seed, ["public-a"])
        b = self._encryptions_of_zero(s, a, seed, ["public-e"])
        secret = SecretKey(params, key_id, s)
        public = self.public_key_type(params, key_id, b[0], a[0])
        halves = switching_halves(params, seed, PER_PRIME)
        relinearization = self._relinearization_key(secret, halves, seed, PER_PRIME, None)
        return Keys(secret, public, relinearization, self.rotation_keys(secret, rotations, given))

    def relinearization_key(
        self, secret: SecretKey, seed: bytes | None = None, gadget: Gadget = PER_PRIME
    ) -> Relinearization:
        """Return another relinearisation key, with larger digits, or at a lower level.

        Parameters
        ----------
        secret : with more primes than this scheme it gives a smaller key
        seed : 32 bytes that determine the key, or None for fresh ones from the operating system
        gadget : see `rotation_keys`

        Raises
        ------
        KeyMismatchError, ParameterError
        """
        secret, seed = self.key_material(secret, seed, "relinearization", gadget)
        rho = derive_seed(seed, "relin-rho")
        a = switching_halves(self.params, rho, gadget)
        return self._relinearization_key(secret, a, seed, gadget, rho)

    def _relinearization_key(
        self, secret: SecretKey, a: NttElement, seed: bytes, gadget: Gadget, rho: bytes | None
    ) -> Relinearization:
        """Return (P g_i s^2 - (a_i s + unit e_i), a_i) for the digits i of the gadget."""
        labels = [f"relin-e/{i}" for i in range(len(a.residues))]
        zero = self._encryptions_of_zero(secret.s, a, seed, labels)
        b = zero + _weighted(gadget, secret.s * secret.s)
        return self.relinearization_key_type(self.params, secret.key_id, b, a, gadget, rho)

    def rotation_keys(
        self,
        secret: SecretKey,
        rotations: Any,
        seed: bytes | None = None,
        gadget: Gadget = PER_PRIME,
    ) -> RotationPairs:
        secret, seed = self.key_material(secret, seed, "rotations", gadget)
        params, exponents = self.params, self.exponents(rotations, gadget)
        rho = derive_seed(seed, "rotation-rho")
        a = switching_halves(params, rho, gadget, exponents)
        residues, weighted = np.empty_like(a.residues), _weighted(gadget, secret.s)
        for j, g in enumerate(exponents):
            moved = move_values(secret.s.residues, pow(g, -1, 2 * params.n))
            labels = [f"rotation-e/{g}/{i}" for i in range(len(residues[j]))]
            zero = self._encryptions_of_zero(NttElement(params.ring, moved), a[j], seed, labels)
            residues[j] = (zero + weighted).residues
        b = NttElement(params.ring, residues)
        return self.rotation_key_type(params, secret.key_id, exponents, gadget, rho, b, a)

    def _encryptions_of_zero(
        self, s: NttElement, a: NttElement, seed: bytes, labels: list[str]
    ) -> NttElement:
        """Return [-(a_i s + unit e_i)]_q, with a batch axis for the a_i and the labels of e_i."""
        ring, n = self.params.ring, self.params.n
        e = gaussian(seed, labels, n)
        a_s = NttElement(ring, reduce(a.residues * s.residues, ring.moduli))
        return -(a_s + self.small(e, self.error_unit).ntt())

    @property
    def encryption_keys(self) -> tuple[type[Key], ...]:
        return self.public_key_type, SecretKey

    def hiding(self, key: Any, seed: bytes) -> tuple[Hide, bytes | None]:
        if isinstance(key, Pair):
            return partial(self._hide_with_public, key, seed), None
        rho = derive_seed(seed, "encrypt-rho")
        return partial(self._hide_with_secret, key, rho, seed), rho

    def _hide_with_secret(
        self,
        key: SecretKey,
        rho: bytes,
        seed: bytes,
        numbers: range,
        messages: FloatArray,
        out: FloatArray,
    ) -> None:
        """Write (embedded(m) - unit e - a s, a).

        a can be told as 32 bytes, rho, which must not give away e.
        """
        q, n = self.params.ring, self.params.n
        out[:, 1] = uniform_half(rho, numbers, n, q.basis.moduli)
        e = gaussian(seed, [f"encrypt-e/{j}" for j in numbers], n)
        c_0 = self._noisy(messages, -e, seed, numbers).ntt().residues
        arrays = c_0, self.values(out[:, 1]).residues, key.s.residues
        for x, a, s in zip(*map(by_prime, arrays), strict=True):
            x -= a * s
        reduce_modulo(c_0, q.basis.moduli)
        out[:, 0] = self.rows(NttElement(q, c_0))

    def _hide_with_public(
        self, key: Pair, seed: bytes, numbers: range, messages: FloatArray, out: FloatArray
    ) -> None:
        """Write (b u + unit e_0 + embedded(m), a u + unit e_1)."""
        n = self.params.n
        u = self.small(ternary(seed, [f"encrypt-u/{j}" for j in numbers], n)).ntt()
        e_0, e_1 = (gaussian(seed, [f"encrypt-e{i}/{j}" for j in numbers], n) for i in (0, 1))
        c_0 = key.b * u + self._noisy(messages, e_0, seed, numbers).ntt()
        c_1 = key.a * u + self.small(e_1, self.error_unit).ntt()
        out[:, 0], out[:, 1] = self.rows(c_0), self.rows(c_1)

    def _noisy(
        self, messages: FloatArray, e: FloatArray, seed: bytes, numbers: range
    ) -> CoefficientElement:
        """Return embedded(m) + unit e."""
        q = self.params.ring
        noisy = self.embedded(messages)
        noisy += e[:, None] * q.basis.decompose(np.array([self.error_unit], dtype=np.int64))
        reduce_modulo(noisy, q.basis.moduli)
        return CoefficientElement(q, noisy)

    def tensor(self, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
        """Write the parts of a product, x_0 y_0, x_0 y_1 + x_1 y_0, ..., by powers of the secret.

        Parameters
        ----------
        x, y : float64 arrays, shapes (..., a, k, n) and (..., b, k, n), rows in NTT form; one
            object for a square
        out : float64 array, shape (..., a + b - 1, k, n), not reduced: absolute values below
            min(a, b) 2^46
        """
        x_parts, y_parts, parts = (
            [z[..., i, :, :] for i in range(z.shape[-3])] for z in (x, y, out)
        )
        for power, part in enumerate(parts):
            if x is y:
                square_part(x_parts, power, part)
                if power % 2:
                    part += part
            else:
                write_products(pairs(x_parts, y_parts, power), part)

    def phase(self, ct: Ciphertext, row: int, key: SecretKey) -> CoefficientElement:
        """Return c_0 + c_1 s + c_2 s^2 + ... of one row."""
        check_kind(key, SecretKey)
        key = check_key(self.params, ct.key_id, key, ct.like)
        parts = self.values(ct.part(slice(row, row + 1))[0]).residues
        total = parts[-1]
        for part in parts[-2::-1]:  # Horner's rule
            total = reduce(total * key.s.residues + part, self.params.ring.moduli)
        return NttElement(self.params.ring, total).intt()

    @property
    def secret_norm(self) -> float:
        """Expected squared norm of s: 2n/3."""
        return noise.TERNARY_VARIANCE * self.params.n

    def switching_bound(self, gadget: Gadget = PER_PRIME, power: int = 2) -> Bound:
        """Return the bound of t/q (sum_i d_i e_i + r s^power)."""
        hidden = noise.squared_norm(self.params, self.secret_norm, power)
        return noise.key_switching(self.params, noise.ERROR_VARIANCE, hidden, gadget)


Polynomials = Sequence[FloatArray] | FloatArray


def pairs(x: Polynomials, y: Polynomials, power: int) -> list[tuple[FloatArray, FloatArray]]:
    """Return all (x_i, y_j) with i + j = power."""
    first, last = max(0, power - len(y) + 1), min(power, len(x) - 1)
    return [(x[i], y[power - i]) for i in range(first, last + 1)]


def write_products(terms: Sequence[tuple[FloatArray, FloatArray]], out: FloatArray) -> None:
    """Write the sum of products of residues, not reduced."""
    for number, (x, y) in enumerate(terms):
        if number == 0:
            np.multiply(x, y, out=out)
        else:
            out += x * y


def square_part(x: Polynomials, power: int, out: FloatArray) -> None:
    """Write part `power` of the square of x_0 + x_1 s + ..., but half of it if the power is odd.

    x_i x_j and x_j x_i are one product. Where all of them are such pairs, whoever adds squares up
    doubles the sum instead.
    """
    terms = pairs(x, x, power)
    half, middle = terms[: len(terms) // 2], terms[len(terms) // 2 :][: len(terms) % 2]
    write_products(half or middle, out)
    if half and middle:
        out += out
        out += middle[0][0] * middle[0][1]


def _weighted(gadget: Gadget, z: NttElement) -> NttElement:
    """Return P g_i z for the digits i of a gadget, in a new axis."""
    return NttElement(z.ring, reduce(gadget.weights(z.ring) * z.residues, z.ring.moduli))
