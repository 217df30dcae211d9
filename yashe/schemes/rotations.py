"""Verbs that move slots: rotate, swap rows, sum slots; the same in BFV, BGV and YASHE'.

The n slots of a ciphertext are a grid of two rows (`yashe.ciphertexts.slots`). Sums and products
act on each slot alone; these verbs are how one slot gets to know another:

    rotate(ct, steps)    both rows turned to the left: slot i is what slot i + steps was
    swap_rows(ct)        the two rows exchanged
    rotations(ct, list)  several of these of the same ciphertexts, for less work than one by one
    sum_slots(ct)        in every slot the sum of all of them

X -> X^g does it to the message and to the phase alike (`yashe.arithmetic.automorphisms`). But the
phase of the moved ciphertext is one for s(X^g). So its secret part is first moved to the key
s(X^(1/g)) (`yashe.ciphertexts.keys`), out of which X -> X^g makes s:

    (c_0, c_1) -> (c_0 + sum_i d_i(c_1) b_i, sum_i d_i(c_1) a_i) -> the same at X^g

In this order the digits d_i(c_1) do not depend on g: they are cut and transformed once for many
rotations ("hoisting": Halevi and Shoup, ePrint 2018/244, who move first, and then the digits).

A rotation costs the noise and the time of a relinearisation, and takes a key for its g.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from yashe.arithmetic.automorphisms import (
    move_coefficients,
    move_values,
    rotation_exponent,
    swap_exponent,
)
from yashe.arithmetic.devices import take
from yashe.arithmetic.parallel import for_each_group
from yashe.arithmetic.residues import FloatArray, add_modulo
from yashe.arithmetic.sampling import derive_seed
from yashe.arithmetic.whole import shown, whole
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget, switch
from yashe.ciphertexts.keys import AnyKey, Key, PerDigit, RotationKeys, check_key, check_kind
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.ranges import Interval, combined
from yashe.errors import FormError, MissingKeyError, ParameterError
from yashe.schemes.base import Scheme

SWAP = "swap"  # the name of a rotation that exchanges the rows
LARGEST_KEYS = 2**34  # bytes of rotation keys in memory, more than a small machine has


class RotatingScheme(Scheme):
    """A scheme that switches keys: relinearisation, and slots that move."""

    secret_key_type: ClassVar[type[Key]]
    relinearization_key_type: ClassVar[type[PerDigit]]
    rotation_key_type: ClassVar[type[RotationKeys]]

    @abstractmethod
    def rotation_keys(
        self, secret: Any, rotations: Any, seed: bytes | None = None, gadget: Gadget = PER_PRIME
    ) -> RotationKeys:
        """Return keys for some rotations of what is encrypted under this secret key.

        Parameters
        ----------
        secret : SecretKey; with more primes than this scheme it gives smaller keys, for what has
            been switched to its modulus
        rotations : a list of steps, integers of either sign, and of "swap", which exchanges the
            rows; or "sums", what `sum_slots` takes: 1, 2, 4, ..., n/4 and "swap"; or "all", with
            which every rotation works: 1, -1, 2, -2, 4, ... and "swap"
        seed : 32 bytes that determine the keys, or None for fresh ones from the operating system
        gadget : how polynomials are cut into digits; with larger ones than the default keys are
            smaller and rotations faster, and noisier (`yashe.ciphertexts.gadgets`). With spare
            primes they serve only as many primes as this scheme has.

        Returns
        -------
        RotationKeys; they are public

        Raises
        ------
        ParameterError
            If there is no such rotation, or the keys would take more than LARGEST_KEYS of memory.
        KeyMismatchError
            If the secret key is none, or for other parameters.
        """

    def key_material(
        self, secret: AnyKey, seed: bytes | None, what: str, gadget: Gadget
    ) -> tuple[AnyKey, bytes]:
        """Return a secret key for these parameters, and a seed that is for it and this use alone.

        One seed for two secrets, or for two gadgets, would give keys with the same uniform part and
        the same errors, and their difference tells the secret.
        """
        check_kind(secret, self.secret_key_type)
        secret = check_key(self.params, secret.key_id, secret)
        if not isinstance(gadget, Gadget) or gadget.summed:
            raise ParameterError(f"keys are made for a Gadget(size, spare), not {shown(gadget)}")
        label = f"{what}/{secret.key_id}/{gadget.size}/{gadget.spare}"
        return secret, derive_seed(self.own_seed(seed), label)

    def relinearize(self, ct: Ciphertext, key: Any) -> Ciphertext:
        if (scheme := self.scheme_of(ct)) is not self:
            return scheme.relinearize(ct, key)
        check_kind(key, self.relinearization_key_type)
        key = check_key(self.params, ct.key_id, key, ct.rows)
        if ct.degree == 1:
            return ct
        if ct.degree > 2:
            raise FormError(
                f"relinearisation takes c_2 s^2 away, and degree {ct.degree} has higher powers of "
                "s: relinearize before the product, or let the secret key decrypt all parts"
            )
        columns, flat = list(key.elements.values()), ct.index.reshape(-1)
        rows = np.empty((len(flat), len(columns), *ct.rows.shape[2:]), like=ct.rows)

        def relinearize_some(some: slice) -> None:
            parts = take(ct.rows, flat[some])
            kept, cut = parts[:, :-1], self.cut(parts[:, -1], key.gadget)
            switched = self.rows(switch(cut, columns, key.gadget))
            add_modulo(switched[:, : kept.shape[1]], kept, self.params.moduli)
            rows[some] = switched

        # A processor takes one at a time: its digits fill the cache.
        for_each_group(relinearize_some, len(rows), rows, group=1)
        bound = ct.bound[flat] + self.switching_bound(key.gadget)
        return ct.derive(rows, bound, ct.shape, "a relinearisation", 1, ct.within_of(flat))

    def rotate(self, ct: Ciphertext, steps: int, keys: RotationKeys) -> Ciphertext:
        """Return ciphertexts whose slots have moved to the left by `steps`, in each of both rows.

        A rotation without a key of its own is composed of those by 1, -1, 2, -2, 4, ..., if these
        have keys: of half of log2(n/2) of them at most, as a trace of the noise will show. By 0
        steps, or by n/2, takes no key and changes nothing.

        Parameters
        ----------
        ct : Ciphertext of any shape, degree 1
        steps : how far; negative to the right; n/2 is a full turn
        keys : RotationKeys

        Raises
        ------
        MissingKeyError
            If there is no key for it; the message says how to make one.
        FormError
            If the degree is 2.
        KeyMismatchError, NoiseBudgetExhausted
        """
        self.scheme_of(ct)
        for part in self._composition(whole(steps, "steps"), keys):
            ct = self.rotations(ct, [part], keys)[0]
        return ct

    def _composition(self, steps: int, keys: RotationKeys) -> list[int]:
        """Return rotations that have keys and are together one by `steps`; or just that one."""
        check_kind(keys, self.rotation_key_type)
        powers = signed_powers(steps, self.params.n // 2)
        direct, *others = (self.exponent(part) in keys.exponents for part in (steps, *powers))
        return [steps] if direct or not all(others) else powers

    def swap_rows(self, ct: Ciphertext, keys: RotationKeys) -> Ciphertext:
        """Return ciphertexts with both rows of slots exchanged; see `rotate`."""
        return self.rotations(ct, [SWAP], keys)[0]

    def rotations(
        self, ct: Ciphertext, rotations: Iterable[int | str], keys: RotationKeys
    ) -> Ciphertext:
        """Return several rotations of the same ciphertexts, bit for bit what they are one by one.

        Most of a rotation's work is to cut the secret part into digits and to transform these. That
        is done once here, and each rotation is a weighted sum of the same digits.

        Parameters
        ----------
        ct : Ciphertext of any shape, degree 1
        rotations : steps to the left, or "swap"; none of them is composed of others
        keys : RotationKeys with a key for each of them

        Returns
        -------
        Ciphertext of shape (number of rotations, *ct.shape)

        Raises
        ------
        ParameterError, MissingKeyError, FormError, KeyMismatchError, NoiseBudgetExhausted
        """
        if (scheme := self.scheme_of(ct)) is not self:
            return scheme.rotations(ct, rotations, keys)
        check_kind(keys, self.rotation_key_type)
        keys = check_key(self.params, ct.key_id, keys, ct.rows)
        if ct.degree != 1:
            raise FormError(f"a rotation needs degree 1, got {ct.degree}: relinearize first")
        exponents = [self._with_key(rotation, keys) for rotation in self._listed(rotations)]
        moving = [number for number, g in enumerate(exponents) if g != 1]
        columns = [column for j in moving for column in keys.columns(exponents[j])]
        flat, row = ct.index.reshape(-1), ct.rows.shape[1:]
        rows = np.empty((len(exponents), len(flat), *row), like=ct.rows)

        def rotate_some(some: slice) -> None:
            parts = take(ct.rows, flat[some])
            rows[:, some] = parts  # what stays where it is
            if not moving:
                return
            cut = self.cut(parts[:, -1], keys.gadget)
            switched = self.rows(switch(cut, columns, keys.gadget))
            switched = switched.reshape(len(parts), len(moving), *row)
            add_modulo(switched[:, :, :-1], parts[:, None, :-1], self.params.moduli)
            for i, j in enumerate(moving):
                rows[j, some] = self.moved(switched[:, i], exponents[j])

        for_each_group(rotate_some, len(flat), ct.rows)
        still, moved = ct.bound[flat], ct.bound[flat] + self.switching_bound(keys.gadget, 1)
        bounds = [still, *(still if g == 1 else moved for g in exponents)]
        within = combined(
            lambda x: Interval.concatenate([x] * len(exponents)) if exponents else x[:0],
            ct.within_of(flat),
        )
        bound, shape = Bound.concatenate(bounds)[len(flat) :], (len(exponents), *ct.shape)
        return ct.derive(rows.reshape(-1, *row), bound, shape, "a rotation", within=within)

    def _with_key(self, rotation: int | str, keys: RotationKeys) -> int:
        """Return the exponent of a rotation that has a key, or needs none.

        Raises
        ------
        MissingKeyError
        """
        g = self.exponent(rotation)
        if g != 1 and g not in keys.exponents:
            what = SWAP if rotation == SWAP else int(rotation) % (self.params.n // 2)
            raise MissingKeyError(
                f"there is no key for the rotation {what!r} among the {len(keys.exponents)} given: "
                f"scheme.keygen(rotations=[{what!r}, ...]) makes one, or for keys that are there "
                f"already scheme.rotation_keys(secret, [{what!r}, ...])"
            )
        return g

    def sum_slots(
        self, ct: Ciphertext, keys: RotationKeys, width: int | None = None, stride: int = 1
    ) -> Ciphertext:
        """Return in each slot a sum of slots, by doubling: log2(width) rotations.

        Parameters
        ----------
        ct : Ciphertext of any shape, degree 1
        keys : RotationKeys, with "sums" at least, if stride is a power of two
        width : how many slots are summed, from each slot to the right, around the end of its row;
            default: all n of them, both rows
        stride : the distance from one of them to the next; goes with a width

        Returns
        -------
        Ciphertext of the same shape; if ranges were declared, theirs are `width` times as large

        Raises
        ------
        ParameterError
            If a width exceeds a row, or there is a stride without one.
        MissingKeyError, FormError, KeyMismatchError, NoiseBudgetExhausted, RangeError
        """
        row = self.params.n // 2
        stride = whole(stride, "stride")
        if width is None:
            if stride != 1:  # an even one would sum half of the slots, twice
                raise ParameterError(
                    "a stride goes with a width: without one, all slots are summed"
                )
            rows = self.sum_slots(ct, keys, row)
            return rows + self.swap_rows(rows, keys)
        width = whole(width, "width", 1, row)
        total: Ciphertext | None = None
        power, size = ct, 1  # the sums of `size` slots, a power of two
        while size <= width:
            if width & size:
                total = power if total is None else power + self.rotate(total, size * stride, keys)
            if 2 * size <= width:
                power = power + self.rotate(power, size * stride, keys)
            size *= 2
        assert total is not None  # the highest bit of the width is set
        return total

    def moved(self, rows: FloatArray, g: int) -> FloatArray:
        """Return rows at X^g: what is in them is moved, and nothing is computed."""
        return move_values(rows, g) if self.ntt_form else move_coefficients(rows, g)

    def exponent(self, rotation: int | str) -> int:
        """Return the g of a rotation: of steps to the left, or of "swap".

        Raises
        ------
        ParameterError
        """
        if isinstance(rotation, str) and rotation == SWAP:
            return swap_exponent(self.params.n)
        if isinstance(rotation, str):
            raise ParameterError(f'a rotation is a number of steps or "{SWAP}", not {rotation!r}')
        return rotation_exponent(self.params.n, whole(rotation, "a number of steps"))

    def exponents(self, rotations: Any, gadget: Gadget = PER_PRIME) -> tuple[int, ...]:
        """Return the different g of the rotations that keys are wanted for, without 1.

        Raises
        ------
        ParameterError
        """
        row = self.params.n // 2
        powers = [2**i for i in range((row - 1).bit_length())]
        named = {"sums": [*powers, SWAP], "all": [*powers, *(-x for x in powers), SWAP]}
        if isinstance(rotations, str):
            if rotations not in named:
                raise ParameterError(
                    f'rotations are a list of steps and of "{SWAP}", or "sums", or "all", not '
                    f"{rotations!r}"
                )
            rotations = named[rotations]
        found = dict.fromkeys(self.exponent(rotation) for rotation in self._listed(rotations))
        wanted, params = tuple(sorted(found.keys() - {1})), self.params
        polynomials = len(wanted) * len(gadget.groups(params.k)) * self.parts(1)
        if (size := 8 * params.n * params.k * polynomials) > LARGEST_KEYS:
            raise ParameterError(
                f"keys for {len(wanted)} rotations would take {size / 2**30:.1f} GiB of memory, "
                f"more than {LARGEST_KEYS / 2**30:.0f}: take those of which any rotation is "
                "composed, rotations='all', or larger digits, "
                "scheme.rotation_keys(secret, rotations, gadget=Gadget(4))"
            )
        return wanted

    def _listed(self, rotations: Any) -> list[Any]:
        """Return a list of what may be rotations, or refuse what is none, or never ends."""
        try:
            found = list(islice(rotations, self.params.n + 1))
        except TypeError as error:
            raise ParameterError(f"rotations are a list, not {shown(rotations)}") from error
        if len(found) > self.params.n:
            raise ParameterError(f"there are fewer than {self.params.n} rotations, not more")
        return found


def signed_powers(steps: int, row: int) -> list[int]:
    """Return as few powers of two with signs as add up to the steps modulo a row, which is one.

    Of two neighbouring powers at most one is used (the non-adjacent form), so that half of all
    powers suffice: 7 = 8 - 1.

    Examples
    --------
    >>> signed_powers(7, 64), signed_powers(-3, 64), signed_powers(64, 64)
    ([-1, 8], [1, -4], [])
    """
    rest, power, powers = (steps + row // 2) % row - row // 2, 1, []
    while rest:
        if rest % 2:
            sign = 2 - rest % 4  # makes what is left divisible by 4
            powers.append(sign * power)
            rest -= sign
        rest, power = rest // 2, 2 * power
    return powers
