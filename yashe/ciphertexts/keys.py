"""Keys, and the gadget with which one ciphertext is moved from one key to another.

Key switching multiplies a polynomial c known to everybody with a secret polynomial z (here s^2)
that is given only in encrypted form. An encryption of z itself would do, but its noise would be
multiplied by c, whose coefficients are as large as q. So c is cut into small digits,

    c = sum_i d_i(c) g_i mod q,    d_i(c) = c mod q_i (centred),    g_i = (Q/q_i)
    [(Q/q_i)^-1]_(q_i),

the RNS gadget: digit i is residue row i itself, and g_i is 1 modulo q_i and 0 modulo the others.
The key holds encryptions of the g_i z, and the noise is multiplied by digits below 2^23 only.

A rotation is such a move, too, but between secrets: z = s, encrypted under s(X^(1/g)). What comes
out decrypts with s(X^(1/g)), and X -> X^g makes that s (`yashe.arithmetic.automorphisms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar

import numpy as np

from yashe.arithmetic.residues import FloatArray, reduce, reduce_inplace
from yashe.arithmetic.rings import CoefficientElement, NttElement, Ring
from yashe.arithmetic.sampling import uniform
from yashe.errors import KeyMismatchError, NotPicklableError
from yashe.parameters.sets import Params

AnyKey = TypeVar("AnyKey", bound="Key")


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

    def shortened(self: AnyKey, params: Params) -> AnyKey:
        """Return this key for fewer primes of q: the other residues are just left out.

        With fewer primes there are fewer digits, too: g_i is still 1 modulo q_i and 0 modulo the
        other primes that are kept.
        """
        if params.k == self.params.k:
            return self
        elements = {name: x for name, x in vars(self).items() if isinstance(x, NttElement)}
        kept: dict[str, Any] = {}
        for name, element in elements.items():
            residues = element.residues[..., : params.k, :]
            per_digit = residues.ndim > 2
            residues = residues[..., : params.k, :, :] if per_digit else residues
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


class RelinearizationKey(Pair):
    """(b_i, a_i) with b_i + a_i s = g_i s^2 - e_i for every digit i; batch axis of length k."""


class BgvPublicKey(Pair):
    """The same for BGV: b + a s = -t e. With BFV's, messages would change, so it is refused."""


class BgvRelinearizationKey(Pair):
    """The same for BGV: b_i + a_i s = g_i s^2 - t e_i."""


@dataclass(frozen=True, eq=False)
class RotationKeys(Key):
    """A key for each of some automorphisms X -> X^g: what rotations of slots take.

    Attributes
    ----------
    exponents : the g
    """

    exponents: tuple[int, ...]

    def columns(self, g: int) -> list[NttElement]:
        """Return the columns of the key for X -> X^g, each with a batch axis for the digits."""
        number = self.exponents.index(g)
        columns = (x for x in vars(self).values() if isinstance(x, NttElement))
        return [NttElement(x.ring, x.residues[number]) for x in columns]


@dataclass(frozen=True, eq=False)
class BfvRotationKeys(RotationKeys):
    """(b_i, a_i) with b_i + a_i s(X^(1/g)) = g_i s - e_i, for every g and every digit i.

    Attributes
    ----------
    rho : 32 public bytes from which the a_i are expanded, so that they need not be sent
    b, a : NttElements with batch axes (number of exponents, digits)
    """

    rho: bytes = field(repr=False)
    b: NttElement = field(repr=False)
    a: NttElement = field(repr=False)


class BgvRotationKeys(BfvRotationKeys):
    """The same for BGV: b_i + a_i s(X^(1/g)) = g_i s - t e_i."""


@dataclass(frozen=True)
class Keys:
    """What key generation returns; only `secret` is secret."""

    secret: SecretKey
    public: Pair
    relinearization: Pair
    rotations: RotationKeys

    @property
    def encryption(self) -> SecretKey:
        """The key with which the owner of all of them encrypts, for the least noise."""
        return self.secret


def gadget(ring: Ring) -> FloatArray:
    """Return g_0, ..., g_(k-1) as constant residues, shape (k, k, 1): the identity matrix."""
    return np.eye(len(ring.basis))[:, :, None]


def digits(c: CoefficientElement) -> CoefficientElement:
    """Return the RNS digits of polynomials, in a new axis before the last two.

    Parameters
    ----------
    c : CoefficientElement with residues (..., k, n)

    Returns
    -------
    CoefficientElement with residues (..., k, k, n); entry [..., i, j, :] is (c mod q_i) mod q_j
    """
    rows = c.canonical()
    return CoefficientElement(
        c.ring, reduce(np.repeat(rows[..., :, None, :], len(c.ring.basis), axis=-2), c.ring.moduli)
    )


def switch(c: CoefficientElement, *columns: NttElement) -> NttElement:
    """Return the sums over i of d_i(c) key_i, one for each column of a key, in a new axis.

    With (b_i, a_i) encrypting g_i z, (sum_i d_i(c) b_i, sum_i d_i(c) a_i) encrypts c z, with the
    additional noise sum_i d_i(c) e_i. The keys of YASHE' have one column. The new axis comes before
    the last two.
    """
    ring, rows = c.ring, c.canonical()  # row i is digit i, as an integer
    out = np.empty((*rows.shape[:-2], len(columns), *rows.shape[-2:]))
    for j, p in enumerate(ring.moduli):
        d = ring.transform.ntt_modulo(j, rows)
        for column, key in enumerate(columns):
            # A sum of k products of residues: within the bound that RnsBasis has checked.
            total = np.einsum("...in,in->...n", d, key.residues[:, j])
            reduce_inplace(total, p, 1.0 / p, np.empty_like(total))
            out[..., column, j, :] = total
    return NttElement(ring, out)


def rotation_halves(params: Params, rho: bytes, exponents: Sequence[int]) -> NttElement:
    """Return the a_i of rotation keys, uniform modulo q, batch axes (exponents, digits)."""
    n, moduli, k = params.n, params.moduli, params.k
    rows = [uniform(rho, f"rotation-a/{g}/{i}", n, moduli) for g in exponents for i in range(k)]
    residues = np.array(rows).reshape(len(exponents), k, k, n)
    return CoefficientElement(params.ring, residues).ntt()


def check_kind(key: Any, *kinds: type[Key]) -> None:
    """Refuse a key, or anything else, that is of none of these kinds.

    Raises
    ------
    KeyMismatchError
    """
    if not isinstance(key, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise KeyMismatchError(f"this takes a {wanted}, but got a {type(key).__name__}")


def check_key(params: Params, key_id: str, key: AnyKey) -> AnyKey:
    """Return the key for these parameters, or refuse one that belongs to other ones.

    A key serves its own parameters, and those with fewer primes after a switch of the modulus.

    Raises
    ------
    KeyMismatchError
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
    return key.shortened(params)
