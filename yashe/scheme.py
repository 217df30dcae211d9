"""What BFV and YASHE' have in common: the verbs, decryption, and measuring noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from yashe import noise
from yashe.ciphertext import Ciphertext
from yashe.encoding import Plaintext, decode, encode
from yashe.noise import Bound
from yashe.parallel import for_each
from yashe.params import Params
from yashe.residues import FloatArray, IntArray, reduce
from yashe.ring import CoefficientElement


class Scheme(ABC):
    """What BFV and YASHE' have in common: parameters, encoding, decryption of a phase.

    A scheme object holds no key. Its verbs are the same in every scheme, so that networks, laws and
    notebooks run on either.
    """

    name: str
    first_secret_part: int  # parts from here on hide the message
    fixed_parts: bool  # whether ciphertexts of every degree have the same number of parts

    def __init__(self, params: Params) -> None:
        self.params = params

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.params!r})"

    @abstractmethod
    def keygen(self, seed: bytes | None = None) -> Any:
        """Return fresh keys, with attributes `secret`, `public` and `relinearization`."""

    @abstractmethod
    def encrypt(self, values: Any, key: Any, seed: bytes | None = None) -> Ciphertext:
        """Encrypt slot vectors, integers of shape (..., at most n), or a Plaintext."""

    @abstractmethod
    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Return the products of ciphertexts of degree 1, slot by slot; their degree is 2."""

    @abstractmethod
    def relinearize(self, ct: Ciphertext, key: Any) -> Ciphertext:
        """Return ciphertexts of degree 2 as ciphertexts of degree 1 of the same messages."""

    @abstractmethod
    def phase(self, ct: Ciphertext, row: int, key: Any) -> CoefficientElement:
        """Return the phase of one row: q/t times the message, plus noise, modulo q."""

    # What the operations do to the noise; `yashe.noise` says what a Bound is.

    @property
    @abstractmethod
    def secret_norm(self) -> float:
        """Expected squared norm of the secret that multiplies a ciphertext in the phase."""

    @abstractmethod
    def fresh_bound(self, public: bool) -> Bound:
        """Return the bound of a fresh ciphertext, made with the public or the secret key."""

    @abstractmethod
    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding an encoded message to a ciphertext of that degree adds."""

    @abstractmethod
    def relinearization_bound(self) -> Bound:
        """Return what relinearisation adds."""

    def product_bound(self, x: Bound, y: Bound) -> Bound:
        """Return the bound of products, before relinearisation, from those of the factors."""
        return noise.product(self.params, self.secret_norm, x, y)

    def fresh(
        self,
        rows: FloatArray,
        key_id: str,
        public: bool,
        shape: tuple[int, ...],
        public_seed: bytes | None = None,
    ) -> Ciphertext:
        """Return freshly encrypted rows as a Ciphertext, for the schemes' `encrypt`."""
        bound, params = self.fresh_bound(public), self.params
        noise.check_budget(
            float(bound.budget(params.n)), params.n, f"encryption under {params.name}"
        )
        index = np.arange(len(rows), dtype=np.int64).reshape(shape)
        bounds = bound.broadcast((len(rows),))
        ct = Ciphertext(self, key_id, rows, bounds, index, public_seed=public_seed)
        noise.observe("an encryption", ct)
        return ct

    def encode(self, values: Any) -> Plaintext:
        """Put integers into slots; see `yashe.encoding.encode`."""
        return encode(self.params, values)

    def decode(self, plaintext: Plaintext) -> IntArray:
        """Return the slots of a plaintext; see `yashe.encoding.decode`."""
        return decode(plaintext)

    def square(self, ct: Ciphertext) -> Ciphertext:
        """Return ct * ct, for less work than a product of two."""
        return self.multiply(ct, ct)

    def decrypt(self, ct: Ciphertext, key: Any) -> IntArray:
        """Return the encrypted integers.

        Parameters
        ----------
        ct : Ciphertext of any shape and degree
        key : the SecretKey

        Returns
        -------
        int64 array, shape (*ct.shape, n), slots in (-t/2, t/2)

        Raises
        ------
        KeyMismatchError
            If the key is another's.
        NoiseBudgetExhausted
            If the noise is so large that the message cannot be trusted. Once noise has overflowed,
            it passes this check with probability at most 2^-40.
        """
        params, t_ring = self.params, self.params.plaintext_ring
        out = np.empty((ct.size, params.n), dtype=np.int64)
        limit = 2.0 ** -(1 + noise.least_budget(params.n))
        overflows: list[float] = []

        def decrypt_one(j: int) -> None:
            phase = self.phase(ct, int(ct.index.flat[j]), key)
            largest = float(np.abs(params.ring.basis.fraction(_times_t(phase, params))).max())
            if largest > limit:
                overflows.append(-float(np.log2(2 * largest)))
            message = phase.rescale(t_ring, 1 / params.delta)
            out[j] = decode(Plaintext(params, message))

        for_each(decrypt_one, range(ct.size))
        if overflows:
            noise.check_budget(min(overflows), params.n, "what was computed")
        return out.reshape(*ct.shape, params.n)

    def noise_budget(self, ct: Ciphertext, key: Any) -> FloatArray:
        """Return the noise budget in bits as it really is, which takes the secret key.

        Returns
        -------
        float64 array of ct.shape: log2(1 / (2 max |nu|)), nu = [t phase]_q / q
        """
        out = np.empty(ct.size)

        def measure_one(j: int) -> None:
            x = _times_t(self.phase(ct, int(ct.index.flat[j]), key), self.params)
            out[j] = noise.measured_budget(x, self.params.ring.basis)

        for_each(measure_one, range(ct.size))
        return out.reshape(ct.shape)


def _times_t(phase: CoefficientElement, params: Params) -> FloatArray:
    """Return t * phase mod q, whose quotient by q is the noise."""
    t_mod_q = params.ring.basis.decompose(np.array([params.t], dtype=np.int64))
    return reduce(phase.residues * t_mod_q, params.ring.moduli)
