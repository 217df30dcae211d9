"""What BFV, BGV and YASHE' have in common: the verbs, levels, decryption, and measuring noise."""

from __future__ import annotations

import math
import operator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from yashe.arithmetic.devices import take
from yashe.arithmetic.parallel import for_each, for_each_group
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.sampling import numbered_seeds
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import check_key, check_kind
from yashe.ciphertexts.moves import numpys
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.packed import NarrowRows
from yashe.ciphertexts.ranges import check_within, combined, declared
from yashe.ciphertexts.slots import (
    Plaintext,
    check_same_slots,
    check_slots,
    decode,
    encode,
    interpolate,
)
from yashe.ciphertexts.trace import observe
from yashe.errors import FormError, KeyMismatchError, ParameterError
from yashe.schemes.definition import Definition

AnyScheme = TypeVar("AnyScheme", bound="Scheme")


def check_scheme(scheme: Any) -> None:
    """Refuse what is no scheme; often it is the class, and not yet an object of it.

    Raises
    ------
    ParameterError
    """
    if not isinstance(scheme, Scheme):
        found = scheme.__name__ if isinstance(scheme, type) else f"a {type(scheme).__name__}"
        raise ParameterError(f"this takes a scheme with parameters, BGV(params), not {found}")


class Scheme(Definition):
    """What follows from the definition of a scheme: products, levels, decryption of a phase.

    A scheme object holds no key. Its verbs are the same in every scheme, so that networks, laws and
    notebooks run on either.
    """

    def encrypt(
        self,
        values: Any,
        key: Any,
        seed: bytes | None = None,
        within: tuple[int, int] | None = None,
        narrow: bool = False,
    ) -> Ciphertext:
        """Encrypt vectors of integers.

        Parameters
        ----------
        values : Plaintext, or integers, array-like of shape (..., m) with m <= n, |value| < t/2
            Slot i holds values[..., i]; unused slots hold 0.
        key : public key or, but in YASHE', SecretKey, for less noise and less work
        seed : 32 bytes that determine the randomness, or None. Two encryptions with one seed are
            as good as none: give one only in tests and lessons.
        within : (low, high) that the slots lie within, or None if they are numbers modulo t; public
            (`yashe.ciphertexts.ranges`)
        narrow : whether rows are kept in half the memory until all of them are needed, for whoever
            computes prime by prime (`yashe.ciphertexts.packed`)

        Returns
        -------
        Ciphertext of shape (...), degree 1

        Raises
        ------
        EncodingError
            If there are more values than slots, or they are not integers in (-t/2, t/2).
        RangeError
            If a slot is not within what is declared.
        KeyMismatchError
            If the key is none of these, or for another scheme or other parameters.
        """
        seed, params = self.own_seed(seed), self.params
        check_kind(key, *self.encryption_keys)
        key = check_key(params, key.key_id, key)
        if isinstance(values, Plaintext):
            check_same_slots(params, values.params)
            values = decode(values)
        slots = check_slots(params, values)
        shape, interval = slots.shape[:-1], None
        if within is not None:
            interval = declared(params, within, shape)
            check_within(slots, interval, "there is a slot value")
            interval = interval.reshape(-1)
        numbers = slots.reshape(math.prod(shape), slots.shape[-1])
        row = (self.parts(1), params.k, params.n)
        rows: Any = np.empty((len(numbers), *row), np.float32 if narrow else np.float64)
        hide, rho = self.hiding(key, seed)

        def hide_some(some: slice) -> None:
            out = np.empty((some.stop - some.start, *row)) if narrow else rows[some]
            hide(range(some.start, some.stop), interpolate(params, numbers[some]), out)
            if narrow:
                rows[some] = out  # exact: residues are below 2^24

        for_each_group(hide_some, len(rows), rows)
        bound = self.fresh_bound(public=rho is None)
        noise.check_budget(float(bound.budget(params.n)), f"encryption under {params.name}")
        index = np.arange(len(rows), dtype=np.int64).reshape(shape)
        bounds = bound.broadcast((len(rows),))
        seeds = None if rho is None else numbered_seeds(rho, len(rows))
        store = NarrowRows(rows) if narrow else rows
        ct = Ciphertext(self, key.key_id, store, bounds, index, public_seed=seeds, within=interval)
        observe("an encryption", ct)
        return ct

    def encode(self, values: Any) -> Plaintext:
        """Put integers into slots; see `yashe.ciphertexts.slots.encode`."""
        return encode(self.params, values)

    def decode(self, plaintext: Plaintext) -> IntArray:
        """Return the slots of a plaintext; see `yashe.ciphertexts.slots.decode`."""
        return decode(plaintext)

    def square(self, ct: Ciphertext, primes: int | None = None) -> Ciphertext:
        """Return ct * ct, for less work than a product of two; see `multiply`."""
        return self.multiply(ct, ct, primes)

    def scheme_of(self: AnyScheme, ct: Ciphertext) -> AnyScheme:
        """Return this scheme at the level of a ciphertext, or refuse one of another scheme.

        Raises
        ------
        KeyMismatchError
        """
        self.check_own(ct)
        if not ct.params.shortens(self.params):
            raise KeyMismatchError(
                f"the ciphertext is for {ct.params.name}, the scheme for {self.params.name}"
            )
        return self.level(ct.params.k)

    @classmethod
    def check_own(cls, ct: Ciphertext) -> None:
        """Refuse what is not a ciphertext of this scheme.

        Raises
        ------
        KeyMismatchError
        """
        if not isinstance(ct, Ciphertext):
            raise KeyMismatchError(
                f"{cls.name} takes a Ciphertext here, not a {type(ct).__name__} (np.stack makes "
                "one array of several; products with integers are written ct * 5)"
            )
        if ct.scheme.name != cls.name:
            raise KeyMismatchError(f"a ciphertext of {ct.scheme.name} was given to {cls.name}")

    def check_operands(self, a: Ciphertext, b: Ciphertext) -> None:
        """Refuse products of ciphertexts of different keys or parameters, or of too high a degree.

        Raises
        ------
        KeyMismatchError, FormError
        """
        a.check_same_keys(b)
        if a.degree + b.degree > self.largest_degree:
            raise FormError(
                f"products in {self.name} have degree {self.largest_degree} at most, and factors "
                f"of degrees {a.degree} and {b.degree} were given: relinearize first"
            )

    def at_one_level(self, a: Ciphertext, b: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
        """Return the same ciphertexts with as many primes of q as both of them have.

        Raises
        ------
        KeyMismatchError
            If they are for different parameters, keys or schemes.
        """
        if a.params.k > b.params.k and b.params.shortens(a.params):
            a = a.scheme.switch_modulus(a, b.params.k)
        elif b.params.k > a.params.k and a.params.shortens(b.params):
            b = b.scheme.switch_modulus(b, a.params.k)
        a.check_same_keys(b)
        return a, b

    def multiply(self, a: Ciphertext, b: Ciphertext, primes: int | None = None) -> Ciphertext:
        """Return products, slot by slot; degrees add up. Arrays broadcast.

        Both are switched to the modulus where this product is least noisy (`best_for_products`; in
        BFV and YASHE' the largest that both have). What happens to the rows is `product_rows`,
        what happens to the noise `product_bound`.

        Parameters
        ----------
        a, b : Ciphertexts under the same keys, of degree 1; BGV takes any, up to `largest_degree`
            of the product
        primes : how many primes of q to multiply with, for lessons and programs that know

        Raises
        ------
        KeyMismatchError
            If they are for different keys or parameters.
        FormError
            If the product's degree would be larger: relinearise before.
        NoiseBudgetExhausted
        """
        for ct in (a, b):
            self.check_own(ct)
        numpys(np.broadcast_shapes, a.shape, b.shape)
        a, b = self._factors(a, b, primes)
        scheme = self.scheme_of(a)
        index_a, index_b = np.broadcast_arrays(a.index, b.index)
        flat_a, flat_b = index_a.ravel(), index_b.ravel()
        degree = a.degree + b.degree
        row = (scheme.parts(degree), scheme.params.k, scheme.params.n)
        rows = np.empty((len(flat_a), *row), like=a.rows)

        def multiply_some(some: slice) -> None:
            x = take(a.rows, flat_a[some])
            rows[some] = scheme.product_rows(x, x if a is b else take(b.rows, flat_b[some]))

        for_each_group(multiply_some, len(rows), rows)
        bound = scheme.product_bound(a.bound[flat_a], b.bound[flat_b])
        product = replace(a, factor=a.factor * b.factor % scheme.params.t)
        x, y = a.within_of(flat_a), b.within_of(flat_b)
        within = combined(lambda x: x * x, x) if a is b else combined(operator.mul, x, y)
        return product.derive(rows, bound, index_a.shape, "a product", degree, within)

    def _factors(
        self, a: Ciphertext, b: Ciphertext, primes: int | None
    ) -> tuple[Ciphertext, Ciphertext]:
        """Return both factors at the level for their product; one object for a square."""
        square = a is b
        if not square:
            a, b = self.at_one_level(a, b)
        scheme = self.scheme_of(a)
        scheme.check_operands(a, b)
        if primes is None:
            degree = max(a.degree, b.degree)
            primes = scheme.best_for_products(a.bound[a.index], b.bound[b.index], degree)
        a = scheme.switch_modulus(a, primes)
        return a, a if square else scheme.switch_modulus(b, primes)

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
        high = self.scheme_of(ct)
        if primes is None:
            primes = high.fewest_primes(ct.bound[ct.index], ct.degree)
        scheme = high.level(primes)
        if scheme is high:
            return ct
        source, target, flat = high.params, scheme.params, ct.index.reshape(-1)
        rows = np.empty((len(flat), ct.rows.shape[1], target.k, target.n), like=ct.rows)

        def switch_some(some: slice) -> None:
            rows[some] = scheme.switched(take(ct.rows, flat[some]), source)

        for_each_group(switch_some, len(flat), rows, group=1)
        bound = ct.bound[flat] + noise.rounding(target, self.secret_norm, ct.degree)
        factor = scheme.switched_factor(ct.factor, source)
        switched = replace(ct, scheme=scheme, factor=factor)
        within = ct.within_of(flat)
        return switched.derive(rows, bound, ct.shape, "a switch of the modulus", within=within)

    def ready_for_product(self, ct: Ciphertext) -> Ciphertext:
        """Return ciphertexts at the modulus where squares of them are least noisy."""
        primes = self.scheme_of(ct).best_for_products(ct.bound[ct.index], degree=ct.degree)
        return self.switch_modulus(ct, primes)

    def aligned(self, a: Ciphertext, b: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
        """Return the same messages as they can be added: at one level, and with one `factor`."""
        return self.at_one_level(a, b)

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
            If the noise is so large that the message cannot be trusted: max |nu| above 1/8, or
            less for toys. Noise that has overflowed passes with probability at most 2^-43
            (`yashe.ciphertexts.noise.least_budget`).
        RangeError
            If a slot is not within what was declared: somebody has declared a wrong range.
        """
        scheme = self.scheme_of(ct)
        params = scheme.params
        out = np.empty((ct.size, params.n), dtype=np.int64)
        least = noise.least_budget(params.n)
        overflows: list[float] = []

        def decrypt_one(j: int) -> None:
            phase = scheme.phase(ct, int(ct.index.flat[j]), key).to("cpu")
            shares = np.abs(params.ring.basis.fraction(scheme.scaled_noise(phase)))
            largest = float(shares.max())
            if largest > 2.0 ** -(1 + least):
                overflows.append(-float(np.log2(2 * largest)))
            out[j] = decode(Plaintext(params, scheme.message(phase, ct.factor)))

        for_each(decrypt_one, range(ct.size))
        if overflows:
            noise.check_budget(min(overflows), "what was computed", least=least)
        slots = out.reshape(*ct.shape, params.n)
        if ct.within is not None:
            check_within(slots, ct.within[ct.index], "decryption gives")
        return slots

    def noise_budget(self, ct: Ciphertext, key: Any) -> FloatArray:
        """Return the noise budget in bits as it really is, which takes the secret key.

        Returns
        -------
        float64 array of ct.shape: log2(1 / (2 max |nu|)), nu = [t phase]_q / q, in BGV phase / q
        """
        scheme, out = self.scheme_of(ct), np.empty(ct.size)

        def measure_one(j: int) -> None:
            x = scheme.scaled_noise(scheme.phase(ct, int(ct.index.flat[j]), key).to("cpu"))
            out[j] = noise.measured_budget(x, scheme.params.ring.basis)

        for_each(measure_one, range(ct.size))
        return out.reshape(ct.shape)
