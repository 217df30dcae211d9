"""Keys, and the gadget with which one ciphertext is moved from one key to another.

Key switching multiplies a polynomial c known to everybody with a secret polynomial z (here s^2)
that is given only in encrypted form. An encryption of z itself would do, but its noise would be
multiplied by c, whose coefficients are as large as q. So c is cut into small digits,

    c = sum_i d_i(c) g_i mod q,    d_i(c) = c mod q_i (centred),    g_i = (Q/q_i)
    [(Q/q_i)^-1]_(q_i),

the RNS gadget: digit i is residue row i itself, and g_i is 1 modulo q_i and 0 modulo the others.
The key holds encryptions of the g_i z, and the noise is multiplied by digits below 2^23 only.

Where there is more room for noise, digits may be larger and fewer, and each digit fewer is k
transforms fewer: c modulo the product of a few primes goes with the sum of their g_i, and with the
sum of the keys for them. So the key is the same, and who switches decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from typing import Any, NoReturn, TypeVar

import numpy as np

from yashe.arithmetic.residues import FloatArray, reduce, reduce_inplace
from yashe.arithmetic.rings import CoefficientElement, NttElement, Ring
from yashe.arithmetic.rns import centred
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
            per_digit = residues.ndim == 3
            kept[name] = NttElement(params.ring, residues[: params.k] if per_digit else residues)
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


@dataclass(frozen=True)
class Keys:
    """What key generation returns; only `secret` is secret."""

    secret: SecretKey
    public: Pair
    relinearization: Pair

    @property
    def encryption(self) -> SecretKey:
        """The key with which the owner of all of them encrypts, for the least noise."""
        return self.secret


def gadget(ring: Ring) -> FloatArray:
    """Return g_0, ..., g_(k-1) as constant residues, shape (k, k, 1): the identity matrix."""
    return np.eye(len(ring.basis))[:, :, None]


def digits(c: CoefficientElement, width: int = 1) -> CoefficientElement:
    """Return the digits of polynomials, in a new axis before the last two.

    Digit i belongs to a few primes q_j with the product Q_i. It is the sum of their y_j Q_i / q_j,
    y_j = [c (Q_i / q_j)^-1]_(q_j): congruent to c modulo Q_i, and at most Q_i / 2 for each of them.

    Parameters
    ----------
    c : CoefficientElement with residues (..., k, n)
    width : primes of q for a digit; the last one may have fewer

    Returns
    -------
    CoefficientElement with residues (..., digits, k, n); entry [..., i, j, :] is digit i modulo q_j
    """
    y = _shares(c, width)
    rows = [_digits_modulo(j, y, c.ring, width) for j in range(len(c.ring.basis))]
    return CoefficientElement(c.ring, reduce(np.stack(rows, axis=-2), c.ring.moduli))


def _shares(c: CoefficientElement, width: int) -> FloatArray:
    """Return the y_j of `digits`, shape (..., k, n)."""
    inverses, _ = _cofactors(c.ring.basis.moduli, width)
    return c.canonical() if width == 1 else reduce(c.residues * inverses, c.ring.moduli)


def _digits_modulo(j: int, y: FloatArray, ring: Ring, width: int) -> FloatArray:
    """Return the digits modulo q_j, or as they are if they are residues of one prime."""
    if width == 1:
        return y
    (_, cofactors), p = _cofactors(ring.basis.moduli, width), ring.basis.moduli[j]
    found: FloatArray = np.matmul(cofactors[j], y)
    reduce_inplace(found, p, 1.0 / p, np.empty_like(found))
    return found


@lru_cache(maxsize=64)
def _cofactors(moduli: tuple[int, ...], width: int) -> tuple[FloatArray, FloatArray]:
    """Return [(Q_i / q_j)^-1]_(q_j), shape (k, 1), and all Q_i / q_j, shape (k, digits, k)."""
    k = len(moduli)
    cofactors = [math.prod(moduli[j - j % width :][:width]) // p for j, p in enumerate(moduli)]
    inverses = [centred(pow(c, -1, p), p) for c, p in zip(cofactors, moduli, strict=True)]
    matrices = np.zeros((k, -(-k // width), k))
    for (i, p), (j, c) in product(enumerate(moduli), enumerate(cofactors)):
        matrices[i, j // width, j] = centred(c % p, p)
    return np.array(inverses, dtype=np.float64)[:, None], matrices


def grouped(key: NttElement, width: int) -> NttElement:
    """Return a column of the key for digits of a few primes: the sums of those for one."""
    if width == 1:
        return key
    sums = np.add.reduceat(key.residues, range(0, len(key.residues), width), axis=0)
    return NttElement(key.ring, reduce(sums, key.ring.moduli))


def switch(c: CoefficientElement, *columns: NttElement, width: int = 1) -> NttElement:
    """Return the sums over i of d_i(c) key_i, one for each column of a key, in a new axis.

    With (b_i, a_i) encrypting g_i z, (sum_i d_i(c) b_i, sum_i d_i(c) a_i) encrypts c z, with the
    additional noise sum_i d_i(c) e_i. The keys of YASHE' have one column. The new axis comes before
    the last two.

    Parameters
    ----------
    c : CoefficientElement with residues (..., k, n)
    columns : of a key, `grouped` if digits have several primes
    width : primes of q for each digit
    """
    ring, y = c.ring, _shares(c, width)
    out = np.empty((*y.shape[:-2], len(columns), *y.shape[-2:]))
    for j, p in enumerate(ring.moduli):
        d = ring.transform.ntt_modulo(j, _digits_modulo(j, y, ring, width))
        for column, key in enumerate(columns):
            # A sum of at most k products of residues: within the bound that RnsBasis has checked.
            total = np.einsum("...in,in->...n", d, key.residues[:, j])
            reduce_inplace(total, p, 1.0 / p, np.empty_like(total))
            out[..., column, j, :] = total
    return NttElement(ring, out)


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
