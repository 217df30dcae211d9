"""Keys: what opens a ciphertext, what makes one, and what moves one from key to key.

A *switching* key holds encryptions of P g_i z for the digits of a gadget
(`yashe.ciphertexts.gadgets`), z being a secret polynomial: s^2 under s to relinearise, or s under
s(X^(1/g)) to rotate. What comes out of the latter decrypts with s(X^(1/g)), and X -> X^g makes that
s (`yashe.arithmetic.automorphisms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar

import numpy as np

from yashe.arithmetic.places import CPU, place_of
from yashe.arithmetic.residues import FloatArray, reduce
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.arithmetic.sampling import uniform
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.errors import KeyMismatchError, NotPicklableError, PlaceError
from yashe.parameters.sets import Params

AnyKey = TypeVar("AnyKey", bound="Key")
AnyPerDigit = TypeVar("AnyPerDigit", bound="PerDigit")


@dataclass(frozen=True, eq=False)
class Key:
    """What every key has: the parameters it is for, and the name of the key set it belongs to.

    Keys do not change, so that a copy of one is the key itself. They are not pickled: a secret one
    would go wherever its pickle goes, to another process or into a log.
    """

    params: Params
    key_id: str

    def __copy__(self: AnyKey) -> AnyKey:
        return self

    def __deepcopy__(self: AnyKey, memo: object) -> AnyKey:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise NotPicklableError(
            f"a {type(self).__name__} is not pickled: yashe.wire.to_bytes and save write public "
            "keys, save_secret_key writes secret ones"
        )

    @property
    def elements(self) -> dict[str, NttElement]:
        """The polynomials that it consists of, by name."""
        return {name: x for name, x in vars(self).items() if isinstance(x, NttElement)}

    def to(self: AnyKey, place: str) -> AnyKey:
        """Return this key in the memory of a place, "cpu" or "gpu".

        Raises
        ------
        DeviceError
            If there is no GPU, or no CuPy.
        """
        moved: dict[str, Any] = {name: x.to(place) for name, x in self.elements.items()}
        return replace(self, **moved)

    def shortened(self: AnyKey, params: Params) -> AnyKey:
        """Return this key for fewer primes of q: the other residues are just left out.

        With fewer primes there are fewer digits, too: g_i is still 1 modulo its primes and 0 modulo
        the others that are kept. But P, if there are spare primes, would be another one.

        Raises
        ------
        KeyMismatchError
            If there are spare primes.
        """
        if params.k == self.params.k:
            return self
        gadget = getattr(self, "gadget", PER_PRIME)
        if gadget.spare:
            raise KeyMismatchError(
                f"a key with spare primes serves {self.params.name} only, not {params.name}: make "
                "one there, with a scheme for these parameters"
            )
        digits = len(gadget.groups(params.k))
        kept: dict[str, Any] = {}
        for name, element in self.elements.items():
            residues = element.residues[..., : params.k, :]
            if residues.ndim > 2:  # one for each digit
                residues = residues[..., :digits, :, :]
            kept[name] = NttElement(params.ring, residues)
        return replace(self, params=params, **kept)


@dataclass(frozen=True, eq=False)
class SecretKey(Key):
    """s, uniform ternary, as an NttElement without batch axes. Whoever has it reads everything."""

    s: NttElement = field(repr=False)


@dataclass(frozen=True, eq=False)
class Pair(Key):
    """(b, a): encryptions of something under s."""

    b: NttElement = field(repr=False)
    a: NttElement = field(repr=False)


class PublicKey(Pair):
    """(b, a) with b + a s = -e small: an encryption of zero, with which anybody can encrypt."""


class PerDigit(Key):
    """A key whose polynomials have a batch axis for the digits of its `gadget`."""

    gadget: Gadget

    def widened(self: AnyPerDigit, size: int) -> AnyPerDigit:
        """Return the key for digits of so many primes: sums of the keys for one prime each.

        A key that has larger digits already is returned as it is. Sums are not sent to anybody.
        """
        gadget = Gadget(size, summed=True)
        if self.gadget != PER_PRIME or size == 1:
            return self
        starts, p = range(0, self.params.k, size), self.params.ring.moduli

        def summed(x: NttElement) -> NttElement:
            sums = [x.residues[start : start + size].sum(axis=0) for start in starts]
            return NttElement(x.ring, reduce(np.stack(sums), p))

        changed: dict[str, Any] = {name: summed(x) for name, x in self.elements.items()}
        changed["gadget"] = gadget
        return replace(self, **changed)


@dataclass(frozen=True, eq=False)
class Relinearization(Pair, PerDigit):
    """Pairs (b_i, a_i) that encrypt P g_i s^2; batch axis for the digits i of the gadget.

    Attributes
    ----------
    rho : 32 public bytes from which the a_i are expanded, if they are; those of key generation are
        not
    """

    gadget: Gadget = PER_PRIME
    rho: bytes | None = field(default=None, repr=False)


class RelinearizationKey(Relinearization):
    """(b_i, a_i) with b_i + a_i s = P g_i s^2 - e_i."""


class BgvPublicKey(Pair):
    """The same for BGV: b + a s = -t e. With BFV's, messages would change, so it is refused."""


class BgvRelinearizationKey(Relinearization):
    """The same for BGV: b_i + a_i s = P g_i s^2 - t e_i."""


@dataclass(frozen=True, eq=False)
class RotationKeys(Key):
    """A key for each of some automorphisms X -> X^g: what rotations of slots take.

    Attributes
    ----------
    exponents : the g
    gadget : how polynomials are cut into digits
    """

    exponents: tuple[int, ...]
    gadget: Gadget

    def columns(self, g: int) -> list[NttElement]:
        """Return the columns of the key for X -> X^g, each with a batch axis for the digits."""
        number = self.exponents.index(g)
        return [x[number] for x in self.elements.values()]


@dataclass(frozen=True, eq=False)
class RotationPairs(RotationKeys):
    """Pairs (b_i, a_i) that encrypt P g_i s under s(X^(1/g)), for every g and every digit i.

    Attributes
    ----------
    rho : 32 public bytes from which the a_i are expanded, so that they need not be sent
    b, a : NttElements with batch axes (number of exponents, digits)
    """

    rho: bytes = field(repr=False)
    b: NttElement = field(repr=False)
    a: NttElement = field(repr=False)


class BfvRotationKeys(RotationPairs):
    """Rotation keys of BFV: b_i + a_i s(X^(1/g)) = P g_i s - e_i."""


class BgvRotationKeys(RotationPairs):
    """Rotation keys of BGV: b_i + a_i s(X^(1/g)) = P g_i s - t e_i."""


@dataclass(frozen=True)
class Keys:
    """What key generation returns; only `secret` is secret."""

    secret: SecretKey
    public: Pair
    relinearization: Relinearization
    rotations: RotationPairs

    @property
    def encryption(self) -> SecretKey:
        """The key with which the owner of all of them encrypts, for the least noise."""
        return self.secret


def uniform_halves(params: Params, rho: bytes, labels: Sequence[str]) -> NttElement:
    """Return the a_i of switching keys, uniform modulo q, with a batch axis for their labels."""
    residues = uniform(rho, labels, params.n, params.moduli)
    return CoefficientElement(params.ring, residues).ntt()


def switching_halves(
    params: Params, rho: bytes, gadget: Gadget, exponents: Sequence[int] | None = None
) -> NttElement:
    """Return the a_i of a relinearisation key, or of rotation keys for some exponents.

    The last batch axis is for the digits; rotation keys have one for the exponents before it.
    """
    digits = range(len(gadget.groups(params.k)))
    if exponents is None:
        return uniform_halves(params, rho, [f"relin-a/{i}" for i in digits])
    a = uniform_halves(params, rho, [f"rotation-a/{g}/{i}" for g in exponents for i in digits])
    residues = a.residues.reshape(len(exponents), len(digits), params.k, params.n)
    return NttElement(params.ring, residues)


def check_kind(key: Any, *kinds: type[Key]) -> None:
    """Refuse a key, or anything else, that is of none of these kinds.

    Raises
    ------
    KeyMismatchError
    """
    if not isinstance(key, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise KeyMismatchError(f"this takes a {wanted}, but got a {type(key).__name__}")


def check_key(params: Params, key_id: str, key: AnyKey, rows: FloatArray | None = None) -> AnyKey:
    """Return the key for these parameters, or refuse one that belongs to other ones.

    A key serves its own parameters, and those with fewer primes after a switch of the modulus.

    Parameters
    ----------
    rows : residues of the ciphertexts; None for what is done on the processor only

    Raises
    ------
    KeyMismatchError
    PlaceError
        If it is not in the memory where the ciphertexts are.
    """
    if not params.shortens(key.params):
        raise KeyMismatchError(
            f"the {type(key).__name__} is for {key.params.name}, the data for {params.name}"
        )
    if key.key_id != key_id:
        raise KeyMismatchError(
            f"the {type(key).__name__} {key.key_id[:8]} does not belong to the "
            f"ciphertext's keys {key_id[:8]}"
        )
    there = CPU if rows is None else place_of(rows)
    for element in key.elements.values():
        if place_of(element.residues) is not there:
            raise PlaceError(
                f"the {type(key).__name__} is on the {place_of(element.residues).name}, what it is "
                f'needed for is done on the {there.name}: give key.to("{there.name}")'
            )
    return key.shortened(params)
