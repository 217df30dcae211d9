"""What makes a scheme: where the message is in a phase, and what products and errors are.

BFV, BGV and YASHE' say this much, `yashe.schemes.rlwe` and `yashe.schemes.scale_invariant` what two
of them have in common. What follows from it, the same for all of them, is in `yashe.schemes.base`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.devices import check, host
from yashe.arithmetic.residues import FloatArray, reduce
from yashe.arithmetic.rings import CoefficientElement, NttElement, Ring, ring
from yashe.arithmetic.rns import rescale
from yashe.arithmetic.sampling import check_seed, derive_seed
from yashe.arithmetic.whole import of_kind
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.ciphertexts.keys import Key
from yashe.ciphertexts.noise import Bound
from yashe.errors import TransparentCiphertextError
from yashe.parameters.sets import Params

AnyDefinition = TypeVar("AnyDefinition", bound="Definition")
Hide: TypeAlias = Callable[[range, FloatArray, FloatArray], None]


class Definition(ABC):
    """The parameters of a scheme, and what is different from scheme to scheme.

    Attributes
    ----------
    params : Params
    name : of the scheme
    first_secret_part : the parts of a ciphertext from here on hide the message
    fixed_parts : whether ciphertexts of every degree have the same number of parts
    largest_degree : that a product can have
    ntt_form : whether the rows of a ciphertext are values instead of coefficients
    """

    name: str
    first_secret_part: int
    fixed_parts: bool
    largest_degree = 2
    ntt_form = False

    def __init__(self, params: Params) -> None:
        of_kind(params, f"what {type(self).__name__} takes (see make_params)", Params)
        self.params = params

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.params!r})"

    def own_seed(self, seed: bytes | None) -> bytes:
        """Return what a seed, or a fresh one, is for this scheme and these parameters alone.

        One seed in two schemes, or with two plaintext moduli, would give keys with the same a and
        the same e: their difference is a multiple of e, and e tells the secret.
        """
        return derive_seed(check_seed(seed), f"{self.name}/{self.params.digest}")

    def small(self, coefficients: FloatArray, unit: int = 1) -> CoefficientElement:
        """Return `unit` times polynomials with small integer coefficients, shape (..., n)."""
        ring = self.params.ring
        factors = ring.basis.decompose(np.array([unit], dtype=np.int64))
        return CoefficientElement(ring, reduce(coefficients[..., None, :] * factors, ring.moduli))

    @abstractmethod
    def keygen(self, seed: bytes | None = None, rotations: Any = ()) -> Any:
        """Return keys: attributes `secret`, `public`, `relinearization` and `rotations`."""

    @property
    @abstractmethod
    def encryption_keys(self) -> tuple[type[Key], ...]:
        """The kinds of keys that encrypt."""

    @abstractmethod
    def hiding(self, key: Any, seed: bytes) -> tuple[Hide, bytes | None]:
        """Return how a key encrypts.

        Returns
        -------
        hide : takes numbers, which name the randomness, messages of shape (numbers, primes of t,
            n), and where to write their encryptions, shape (numbers, parts, k, n)
        rho : 32 public bytes that stand for the uniform part of encryptions with a secret key;
            None with a public key
        """

    @abstractmethod
    def tensor(self, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
        """Write the parts of a product of two rows in NTT form, not reduced."""

    @abstractmethod
    def product_rows(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the rows of products of rows; x and y are one object for squares."""

    @abstractmethod
    def relinearize(self, ct: Ciphertext, key: Any) -> Ciphertext:
        """Return ciphertexts of degree 2 as ciphertexts of degree 1 of the same messages.

        Parameters
        ----------
        ct : Ciphertext of any shape and degree 2; those of degree 1 are unchanged
        key : a relinearisation key, with digits of any size (`yashe.ciphertexts.gadgets`)

        Raises
        ------
        KeyMismatchError
            If the key is another's, or another scheme's.
        NoiseBudgetExhausted
        """

    @abstractmethod
    def phase(self, ct: Ciphertext, row: int, key: Any) -> CoefficientElement:
        """Return the phase of one row, in which message and noise are, modulo q."""

    # What the operations do to the noise; `yashe.ciphertexts.noise` says what a Bound is.

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
    def switching_bound(self, gadget: Gadget = PER_PRIME, power: int = 2) -> Bound:
        """Return what switching a key from a power of the secret adds: 2 if to relinearise."""

    @abstractmethod
    def product_bound(self, x: Bound, y: Bound) -> Bound:
        """Return the bound of products, before relinearisation, from those of the factors."""

    def plaintext_addition_bound(self, message: FloatArray, degree: int) -> Bound:
        """Return what adding these messages adds, residues of shape (..., primes of t, n)."""
        return self.plain_addition_bound(degree).broadcast(message.shape[:-2])

    # Where the message is in a phase, and the form of a row.

    @abstractmethod
    def embedded(self, messages: FloatArray, factor: int = 1) -> FloatArray:
        """Return what a phase has to contain for a message.

        Parameters
        ----------
        messages : float64 array, shape (..., primes of t, n), polynomials modulo t
        factor : of the ciphertext; see `yashe.schemes.bgv`, elsewhere 1

        Returns
        -------
        float64 array, shape (..., k, n), centred residues; coefficient by coefficient
        """

    @abstractmethod
    def message(self, phase: CoefficientElement, factor: int) -> CoefficientElement:
        """Return the message modulo t that a phase contains."""

    @abstractmethod
    def scaled_noise(self, phase: CoefficientElement) -> FloatArray:
        """Return q nu = [t phase]_q as residues: the noise times q; t phase is BGV's phase."""

    def rows(self, x: CoefficientElement | NttElement) -> FloatArray:
        """Return residues in the form that the rows of a ciphertext have in this scheme."""
        if self.ntt_form:
            return (x.ntt() if isinstance(x, CoefficientElement) else x).residues
        return (x.intt() if isinstance(x, NttElement) else x).residues

    def values(self, rows: FloatArray) -> NttElement:
        """Return rows in NTT form."""
        ring = self.params.ring
        return NttElement(ring, rows) if self.ntt_form else CoefficientElement(ring, rows).ntt()

    def coefficients(self, rows: FloatArray) -> CoefficientElement:
        """Return rows in coefficient form."""
        ring = self.params.ring
        return NttElement(ring, rows).intt() if self.ntt_form else CoefficientElement(ring, rows)

    def is_open(self, rows: FloatArray) -> NDArray[np.bool_]:
        """Return which rows show their message without a key, by what can be seen of them.

        Parameters
        ----------
        rows : float64 array, shape (N, parts, k, m), some or all of the n columns

        Returns
        -------
        boolean array, shape (N,): here, whether all parts that need the secret are zero
        """
        hidden: NDArray[np.bool_] = (rows[:, self.first_secret_part :] != 0).any(axis=(1, 2, 3))
        return ~hidden

    def check_not_transparent(self, rows: FloatArray, what: str) -> None:
        """Refuse rows that show their message to everybody.

        The first few columns of an honest row are uniform: they look open once in 2^32 times, and
        only then the rest is looked at.

        Raises
        ------
        TransparentCiphertextError
        """

        def look() -> None:
            if host(self.is_open(rows)).any():
                raise TransparentCiphertextError(
                    f"{what} no longer depends on any ciphertext: anybody could read the result; "
                    "compute it in the clear"
                )

        check(self.is_open(rows[..., :16]).any(), look)

    def parts(self, degree: int) -> int:
        """Return how many parts a ciphertext of that degree has."""
        return 1 if self.fixed_parts else degree + 1

    # Fewer primes of q.

    def level(self: AnyDefinition, primes: int) -> AnyDefinition:
        """Return this scheme with only so many of the first primes of q.

        Raises
        ------
        ParameterError
            If there are not so many, or q would be too small for t.
        """
        params = self.params.shortened(primes)
        return self if params is self.params else type(self)(params)

    def switched(self, rows: FloatArray, source: Params) -> FloatArray:
        """Return rows for these parameters from rows for others with more primes.

        With P, the product of the primes that go, round(c / P) is (c - r) / P, where r = [c]_P. To
        divide modulo the primes that stay is to multiply there: only r changes its base.
        """
        basis, k = self.params.ring.basis, self.params.k
        gone = ring(source.n, source.moduli[k:])
        rest = rows[..., :k, :] - self.remainder(rows[..., k:, :], gone)
        return basis.times(rest, pow(gone.basis.product, -1, basis.product))

    def remainder(self, rows: FloatArray, gone: Ring) -> FloatArray:
        """Return r = [c]_P, modulo the primes that stay, from c modulo those of P that go."""
        return rescale(rows, gone.basis, self.params.ring.basis)

    def cut(self, rows: FloatArray, gadget: Gadget) -> CoefficientElement:
        """Return what is cut into digits: rows in coefficient form, or the c' of c = P c' + r."""
        if not gadget.spare:
            return self.coefficients(rows)
        low = self.level(self.params.k - gadget.spare)
        return low.coefficients(low.switched(rows, self.params))

    def switched_factor(self, factor: int, source: Params) -> int:
        """Return the factor of a ciphertext that has been `switched`; see `yashe.schemes.bgv`."""
        return factor

    def best_for_products(self, x: Bound, y: Bound | None = None, degree: int = 1) -> int:
        """Return with how many primes products with these factors are least noisy: all."""
        return self.params.k
