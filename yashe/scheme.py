"""What BFV, BGV and YASHE' have in common: the verbs, decryption, and measuring noise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from yashe import noise
from yashe.ciphertext import Ciphertext
from yashe.encoding import Plaintext, check_slots, decode, encode, interpolate
from yashe.errors import FormError, KeyMismatchError
from yashe.noise import Bound
from yashe.parallel import for_each, for_each_group
from yashe.params import Params
from yashe.residues import FloatArray, IntArray
from yashe.ring import CoefficientElement, NttElement
from yashe.rns import rescale
from yashe.sampling import SeedArray
from yashe.trace import observe

AnyScheme = TypeVar("AnyScheme", bound="Scheme")


class Scheme(ABC):
    """What BFV, BGV and YASHE' have in common: parameters, encoding, decryption of a phase.

    A scheme object holds no key. Its verbs are the same in every scheme, so that networks, laws and
    notebooks run on either.
    """

    name: str
    first_secret_part: int  # parts from here on hide the message
    fixed_parts: bool  # whether ciphertexts of every degree have the same number of parts
    ntt_form = False  # whether the rows of a ciphertext are values instead of coefficients

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
    def tensor(self, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
        """Write the parts of a product of two rows in NTT form, not reduced."""

    @abstractmethod
    def product_rows(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the rows of products of rows; x and y are one object for squares."""

    @abstractmethod
    def relinearize(self, ct: Ciphertext, key: Any) -> Ciphertext:
        """Return ciphertexts of degree 2 as ciphertexts of degree 1 of the same messages."""

    @abstractmethod
    def phase(self, ct: Ciphertext, row: int, key: Any) -> CoefficientElement:
        """Return the phase of one row, in which message and noise are, modulo q."""

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
        factor : of the ciphertext; see `yashe.bgv`, elsewhere 1

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

    def fresh(
        self,
        rows: FloatArray,
        key_id: str,
        public: bool,
        shape: tuple[int, ...],
        public_seed: SeedArray | None = None,
    ) -> Ciphertext:
        """Return freshly encrypted rows as a Ciphertext, for the schemes' `encrypt`."""
        bound, params = self.fresh_bound(public), self.params
        noise.check_budget(
            float(bound.budget(params.n)), params.n, f"encryption under {params.name}"
        )
        index = np.arange(len(rows), dtype=np.int64).reshape(shape)
        bounds = bound.broadcast((len(rows),))
        ct = Ciphertext(self, key_id, rows, bounds, index, public_seed=public_seed)
        observe("an encryption", ct)
        return ct

    def hidden(
        self, values: Any, hide: Callable[[range, FloatArray, FloatArray], None]
    ) -> tuple[FloatArray, tuple[int, ...]]:
        """Return rows that hide messages, and the messages' shape, for the schemes' `encrypt`.

        Parameters
        ----------
        values : Plaintext, or integers of shape (..., m)
        hide : takes numbers, messages of shape (numbers, primes of t, n), and where to write the
            encryptions, shape (numbers, parts, k, n)
        """
        if isinstance(values, Plaintext):
            if values.params.digest != self.params.digest:
                raise KeyMismatchError(f"the plaintext is for {values.params.name}")
            shape, encoded = values.shape, values.element.residues
            flat = encoded.reshape(-1, *encoded.shape[-2:])
        else:
            slots = check_slots(self.params, values)
            shape, encoded = slots.shape[:-1], None
            numbers = slots.reshape(math.prod(shape), slots.shape[-1])
        rows = np.empty((math.prod(shape), self.parts(1), self.params.k, self.params.n))

        def hide_some(some: slice) -> None:
            m = interpolate(self.params, numbers[some]) if encoded is None else flat[some]
            hide(range(some.start, some.stop), m, rows[some])

        for_each_group(hide_some, len(rows))
        return rows, shape

    def encode(self, values: Any) -> Plaintext:
        """Put integers into slots; see `yashe.encoding.encode`."""
        return encode(self.params, values)

    def decode(self, plaintext: Plaintext) -> IntArray:
        """Return the slots of a plaintext; see `yashe.encoding.decode`."""
        return decode(plaintext)

    def square(self, ct: Ciphertext) -> Ciphertext:
        """Return ct * ct, for less work than a product of two."""
        return self.multiply(ct, ct)

    def at(self: AnyScheme, params: Params) -> AnyScheme:
        """Return the scheme for a ciphertext's parameters: its own, or with fewer primes.

        Raises
        ------
        KeyMismatchError
            If they are neither.
        """
        if params.digest == self.params.digest:
            return self
        if not params.shortens(self.params):
            raise KeyMismatchError(
                f"the ciphertext is for {params.name}, the scheme for {self.params.name}"
            )
        return type(self)(params)

    def scheme_of(self: AnyScheme, ct: Ciphertext) -> AnyScheme:
        """Return this scheme for a ciphertext's parameters, or refuse one of another scheme.

        Raises
        ------
        KeyMismatchError
        """
        if ct.scheme.name != self.name:
            raise KeyMismatchError(f"a ciphertext of {ct.scheme.name} was given to {self.name}")
        return self.at(ct.params)

    def check_factors(self, a: Ciphertext, b: Ciphertext) -> None:
        """Refuse products of ciphertexts of different keys or parameters, or of degree 2.

        Raises
        ------
        KeyMismatchError, FormError
        """
        a.check_same_keys(b)
        for ct in (a, b):
            if ct.degree != 1:
                raise FormError(
                    f"a product needs ciphertexts of degree 1, got {ct.degree}: relinearize first"
                )

    def multiply(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """Return products, slot by slot; their degree is 2. Arrays broadcast.

        What happens to the rows is `product_rows`, what happens to the noise `product_bound`.

        Raises
        ------
        KeyMismatchError
            If they are for different keys or parameters.
        FormError
            If one of them has degree 2 already.
        NoiseBudgetExhausted
        """
        if (scheme := self.scheme_of(a)) is not self:
            return scheme.multiply(a, b)
        self.check_factors(a, b)
        index_a, index_b = np.broadcast_arrays(a.index, b.index)
        flat_a, flat_b = index_a.ravel(), index_b.ravel()
        rows = np.empty((len(flat_a), self.parts(2), self.params.k, self.params.n))

        def multiply_some(some: slice) -> None:
            x = a.rows[flat_a[some]]
            rows[some] = self.product_rows(x, x if a is b else b.rows[flat_b[some]])

        for_each_group(multiply_some, len(rows))
        bound = self.product_bound(a.bound[flat_a], b.bound[flat_b])
        product = replace(a, factor=a.factor * b.factor % self.params.t)
        return product.derive(rows, bound, index_a.shape, "a product", 2)

    def parts(self, degree: int) -> int:
        """Return how many parts a ciphertext of that degree has."""
        return 1 if self.fixed_parts else degree + 1

    def switch_modulus(self, ct: Ciphertext, primes: int | None = None) -> Ciphertext:
        """Return ciphertexts of the same messages with fewer primes in q, which are smaller.

        Every part c becomes round(q'/q c), in BGV t times round(q'/q c/t). The noise nu stays what
        it is, relative to q, and t/q' (r_0 + r_1 s + ...) comes on top of it, r_i the rounding
        errors. Any key still works: with fewer primes it is a part of itself.

        Parameters
        ----------
        ct : Ciphertext of any shape and degree
        primes : how many of the first primes of q to keep; default: as few as the noise allows

        Returns
        -------
        Ciphertext for `ct.params.shortened(primes)`

        Raises
        ------
        ParameterError
            If there are not so many primes, or so few that t does not fit.
        NoiseBudgetExhausted
            If the noise does not allow it.
        """
        source = self.scheme_of(ct).params
        if primes is None:
            primes = self.at(source).fewest_primes(ct.bound[ct.index], ct.degree)
        scheme = self.at(source.shortened(primes))
        if primes == source.k:
            return ct
        target, flat = scheme.params, ct.index.reshape(-1)
        rows = np.empty((len(flat), ct.rows.shape[1], target.k, target.n))

        def switch_one(j: int) -> None:
            rows[j] = scheme.switched(ct.rows[flat[j]], source)

        for_each(switch_one, range(len(flat)))
        bound = ct.bound[flat] + noise.rounding(target, self.secret_norm, ct.degree)
        factor = scheme.switched_factor(ct.factor, source)
        switched = replace(ct, scheme=scheme, factor=factor)
        return switched.derive(rows, bound, ct.shape, "a switch of the modulus")

    def switched(self, rows: FloatArray, source: Params) -> FloatArray:
        """Return rows for these parameters from rows for others with more primes."""
        basis, q = self.params.ring.basis, self.params.q
        return rescale(rows, source.ring.basis, basis, Fraction(q, source.q))

    def switched_factor(self, factor: int, source: Params) -> int:
        """Return the factor of a ciphertext that has been `switched`; see `yashe.bgv`."""
        return factor

    def best_for_products(self, bound: Bound) -> int:
        """Return with how many primes a product of ciphertexts of degree 1 is least noisy: all."""
        return self.params.k

    def ready_for_product(self, ct: Ciphertext) -> Ciphertext:
        """Return ciphertexts of degree 1 at the modulus where products of them are least noisy."""
        primes = self.scheme_of(ct).best_for_products(ct.bound[ct.index])
        return self.switch_modulus(ct, primes)

    def aligned(self, a: Ciphertext, b: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
        """Return the same messages with one `factor`, so that the ciphertexts can be added."""
        return a, b

    def fewest_primes(self, bound: Bound, degree: int) -> int:
        """Return to how many primes ciphertexts with this noise can be switched."""
        for k in range(1, self.params.k):
            if 2 * self.params.t < math.prod(self.params.moduli[:k]):
                target = self.params.shortened(k)
                after = bound + noise.rounding(target, self.secret_norm, degree)
                if after.budget(target.n).min(initial=math.inf) >= noise.least_budget(target.n):
                    return k
        return self.params.k

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
        scheme = self.scheme_of(ct)
        params = scheme.params
        out = np.empty((ct.size, params.n), dtype=np.int64)
        limit = 2.0 ** -(1 + noise.least_budget(params.n))
        overflows: list[float] = []

        def decrypt_one(j: int) -> None:
            phase = scheme.phase(ct, int(ct.index.flat[j]), key)
            largest = float(np.abs(params.ring.basis.fraction(scheme.scaled_noise(phase))).max())
            if largest > limit:
                overflows.append(-float(np.log2(2 * largest)))
            out[j] = decode(Plaintext(params, scheme.message(phase, ct.factor)))

        for_each(decrypt_one, range(ct.size))
        if overflows:
            noise.check_budget(min(overflows), params.n, "what was computed")
        return out.reshape(*ct.shape, params.n)

    def noise_budget(self, ct: Ciphertext, key: Any) -> FloatArray:
        """Return the noise budget in bits as it really is, which takes the secret key.

        Returns
        -------
        float64 array of ct.shape: log2(1 / (2 max |nu|)), nu = [t phase]_q / q, in BGV phase / q
        """
        scheme, out = self.scheme_of(ct), np.empty(ct.size)

        def measure_one(j: int) -> None:
            x = scheme.scaled_noise(scheme.phase(ct, int(ct.index.flat[j]), key))
            out[j] = noise.measured_budget(x, scheme.params.ring.basis)

        for_each(measure_one, range(ct.size))
        return out.reshape(ct.shape)
