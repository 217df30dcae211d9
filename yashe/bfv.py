"""BFV, the scheme of Fan and Vercauteren (ePrint 2012/144), in RNS.

A ciphertext (c_0, c_1) encrypts m if its phase c_0 + c_1 s is q/t m + small noise modulo q:

    keygen      s ternary, a uniform, e Gaussian, b = -(a s + e)
    encrypt     (b u + e_0 + round(q/t m), a u + e_1), u ternary;
                or, with the secret key, (-(a s + e) + round(q/t m), a)
    decrypt     round(t/q [c_0 + c_1 s + c_2 s^2]_q) mod t
    multiply    round(t/q (c_0 c'_0, c_0 c'_1 + c_1 c'_0, c_1 c'_1)): a ciphertext of three parts
    relinearize replace c_2 s^2 by an encryption of it (`yashe.keys`): two parts again

Relinearisation is a verb of its own so that it can come late: sums and products with integers act
on three parts as well as on two, so a square layer is relinearised after the linear layer behind
it, whose outputs are few. All divisions by q are calls of `yashe.rns.rescale`. As everywhere in the
field: secure against eavesdroppers (IND-CPA), not against somebody who can ask for decryptions.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from yashe import noise
from yashe.ciphertext import Ciphertext
from yashe.keys import (
    Keys,
    PublicKey,
    RelinearizationKey,
    SecretKey,
    check_key,
    check_kind,
    gadget,
    switch,
)
from yashe.noise import Bound
from yashe.parallel import for_each
from yashe.residues import FloatArray, reduce
from yashe.ring import CoefficientElement, NttElement
from yashe.sampling import check_seed, derive_seed, gaussian, stream, ternary, uniform
from yashe.scheme import Scheme


class BFV(Scheme):
    """The verbs of BFV for one parameter set.

    Examples
    --------
    >>> from yashe.params import INSECURE_TOY
    >>> scheme = BFV(INSECURE_TOY)
    >>> keys = scheme.keygen()
    >>> ct = scheme.encrypt([1, 2, 3], keys.public)
    >>> ct = scheme.relinearize(ct * ct, keys.relinearization) * 10 - 1
    >>> scheme.decrypt(ct, keys.secret)[:4]
    array([ 9, 39, 89, -1])
    """

    name = "BFV"
    first_secret_part = 1
    fixed_parts = False

    def keygen(self, seed: bytes | None = None) -> Keys:
        """Return a secret, a public and a relinearisation key.

        Parameters
        ----------
        seed : 32 bytes that determine the keys, or None for fresh ones from the operating system

        Returns
        -------
        Keys, with attributes secret, public and relinearization
        """
        seed = check_seed(seed)
        params, n, k = self.params, self.params.n, self.params.k
        key_id = stream(seed, "key-id", 16).hex()
        s = self._small(ternary(seed, "secret", n)).ntt()
        b, a = self._encryptions_of_zero(s, seed, ["public-a"], ["public-e"])
        relin_b, relin_a = self._encryptions_of_zero(
            s, seed, [f"relin-a/{i}" for i in range(k)], [f"relin-e/{i}" for i in range(k)]
        )
        s_squared = (s * s).residues
        g_s_squared = NttElement(params.ring, gadget(params.ring) * s_squared)
        return Keys(
            SecretKey(params, key_id, s),
            PublicKey(params, key_id, _first(b), _first(a)),
            RelinearizationKey(params, key_id, relin_b + g_s_squared, relin_a),
        )

    def _small(self, coefficients: FloatArray) -> CoefficientElement:
        """Return polynomials with small integer coefficients, shape (..., n)."""
        rows = np.repeat(coefficients[..., None, :], self.params.k, axis=-2)
        return CoefficientElement(self.params.ring, reduce(rows, self.params.ring.moduli))

    def _encryptions_of_zero(
        self, s: NttElement, seed: bytes, a_labels: list[str], e_labels: list[str]
    ) -> tuple[NttElement, NttElement]:
        """Return ([-(a_i s + e_i)]_q, a_i), with a batch axis for the labels."""
        ring, n = self.params.ring, self.params.n
        rows = np.stack([uniform(seed, label, n, ring.basis.moduli) for label in a_labels])
        e = self._small(np.stack([gaussian(seed, label, n) for label in e_labels]))
        a = CoefficientElement(ring, rows).ntt()
        a_s = NttElement(ring, reduce(a.residues * s.residues, ring.moduli))
        return -(a_s + e.ntt()), a

    def encrypt(
        self, values: Any, key: PublicKey | SecretKey, seed: bytes | None = None
    ) -> Ciphertext:
        """Encrypt vectors of integers.

        Parameters
        ----------
        values : Plaintext, or integers, array-like of shape (..., m) with m <= n, |value| < t/2
            Slot i holds values[..., i]; unused slots hold 0.
        key : PublicKey, or SecretKey for less noise and less work
        seed : 32 bytes that determine the randomness, or None. Two encryptions with one seed are
            as good as none: give one only in tests and lessons.

        Returns
        -------
        Ciphertext of shape (...), degree 1

        Raises
        ------
        EncodingError
            If there are more values than slots, or they are not integers in (-t/2, t/2).
        KeyMismatchError
            If the key is neither a public nor a secret one, or for other parameters.
        """
        seed = check_seed(seed)
        check_kind(key, PublicKey, SecretKey)
        key = check_key(self.params, key.key_id, key)
        if isinstance(key, PublicKey):
            rows, shape = self.hidden(values, partial(self._hide_with_public, key, seed))
            return self.fresh(rows, key.key_id, True, shape)
        rho = derive_seed(seed, "encrypt-rho")
        rows, shape = self.hidden(values, partial(self._hide_with_secret, key, rho, seed))
        return self.fresh(rows, key.key_id, False, shape, rho)

    def _hide_with_secret(
        self, key: SecretKey, rho: bytes, seed: bytes, numbers: range
    ) -> FloatArray:
        """Return (-(a s + e), a). a can be told as 32 bytes, rho, which must not give away e."""
        ring, n = self.params.ring, self.params.n
        a = np.stack([uniform(rho, f"encrypt-a/{j}", n, ring.basis.moduli) for j in numbers])
        e = self._small(np.stack([gaussian(seed, f"encrypt-e/{j}", n) for j in numbers]))
        a_s = (CoefficientElement(ring, a).ntt() * key.s).intt()
        return np.stack([(-(a_s + e)).residues, a], axis=1)

    def _hide_with_public(self, key: PublicKey, seed: bytes, numbers: range) -> FloatArray:
        """Return (b u + e_0, a u + e_1)."""
        n = self.params.n
        u = self._small(np.stack([ternary(seed, f"encrypt-u/{j}", n) for j in numbers])).ntt()
        e_0, e_1 = (
            self._small(np.stack([gaussian(seed, f"encrypt-e{i}/{j}", n) for j in numbers]))
            for i in (0, 1)
        )
        parts = (key.b * u).intt() + e_0, (key.a * u).intt() + e_1
        return np.stack([part.residues for part in parts], axis=1)

    def tensor(self, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
        """Write the three parts x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1 of a product.

        Parameters
        ----------
        x, y : float64 arrays, shape (..., 2, k, n), extended rows in NTT form; one for a square
        out : float64 array, shape (..., 3, k, n), not reduced: absolute values below 2^48
        """
        (x_0, x_1), (y_0, y_1) = (np.moveaxis(z, -3, 0) for z in (x, y))
        out_0, out_1, out_2 = np.moveaxis(out, -3, 0)
        np.multiply(x_0, y_0, out=out_0)
        np.multiply(x_0, y_1, out=out_1)
        out_1 += out_1 if x is y else x_1 * y_0
        np.multiply(x_1, y_1, out=out_2)

    def relinearize(self, ct: Ciphertext, key: RelinearizationKey) -> Ciphertext:
        """Return ciphertexts of two parts for the same messages; degree 1 ones are unchanged.

        Raises
        ------
        KeyMismatchError
            If the key is another's.
        """
        if (scheme := self.scheme_of(ct)) is not self:
            return scheme.relinearize(ct, key)
        check_kind(key, RelinearizationKey)
        key = check_key(self.params, ct.key_id, key)
        if ct.degree == 1:
            return ct
        ring, flat = self.params.ring, ct.index.reshape(-1)
        rows = np.empty((len(flat), 2, self.params.k, self.params.n))

        def relinearize_one(j: int) -> None:
            row = ct.rows[flat[j]]
            switched = switch(CoefficientElement(ring, row[2]), key.b, key.a)
            rows[j] = reduce(row[:2] + switched.residues, ring.moduli)

        for_each(relinearize_one, range(len(rows)))
        bound = ct.bound[flat] + self.relinearization_bound()
        return ct.derive(rows, bound, ct.shape, "a relinearisation", 1)

    def phase(self, ct: Ciphertext, row: int, key: SecretKey) -> CoefficientElement:
        """Return c_0 + c_1 s (+ c_2 s^2) of one row."""
        check_kind(key, SecretKey)
        key = check_key(self.params, ct.key_id, key)
        parts = CoefficientElement(self.params.ring, ct.rows[row]).ntt().residues
        total = parts[-1]
        for part in parts[-2::-1]:  # Horner's rule
            total = reduce(total * key.s.residues + part, self.params.ring.moduli)
        return NttElement(self.params.ring, total).intt()

    # Noise: nu of t/q (c_0 + c_1 s + c_2 s^2) = m + t k + nu, tracked as `yashe.noise` says.

    @property
    def secret_norm(self) -> float:
        """Expected squared norm of s: 2n/3."""
        return noise.TERNARY_VARIANCE * self.params.n

    def fresh_bound(self, public: bool) -> Bound:
        """Return the bound of t/q (e + r), or of t/q (e_0 + e_1 s - e u + r) for the public key.

        r is the rounding of q/t m to an integer, e, e_0, e_1 are Gaussian and u is like s.
        """
        terms = 1 + 2 * self.secret_norm if public else 1
        variance = noise.ERROR_VARIANCE * terms + noise.ROUNDING_VARIANCE
        return Bound.of(self.params.t / self.params.q * math.sqrt(variance), int(public))

    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding round(q/t m) adds: t/q r, |r| <= 1/2, whatever the degree is."""
        return Bound.of(self.params.t / self.params.q / 2, 0)

    def relinearization_bound(self) -> Bound:
        """Return the bound of t/q sum_i d_i e_i (`yashe.noise.key_switching`)."""
        return Bound.of(self.params.t / self.params.q * noise.key_switching(self.params), 1)


def _first(element: NttElement) -> NttElement:
    """Return the first polynomial of a batch."""
    return NttElement(element.ring, element.residues[0])
