"""The gadget with which a polynomial is moved from one key to another, in small digits.

Key switching multiplies a polynomial c known to everybody with a secret polynomial z that is given
only in encrypted form: s^2 to relinearise, s to rotate. An encryption of z itself would do, but its
noise would be multiplied by c, whose coefficients are as large as q. So c is cut into digits,

    c = sum_i d_i(c) g_i mod q,    d_i(c) = c mod q_i (centred),
    g_i = (Q/q_i) [(Q/q_i)^-1]_(q_i),

the RNS gadget: digit i is residue row i itself, and g_i is 1 modulo q_i and 0 modulo the others.
The key holds encryptions of the g_i z, and the noise is multiplied by digits below 2^23 only.

*Larger digits* make fewer of them, so that keys are smaller and take less work, for more noise.

- `Gadget(3)` has a digit for every three primes, c modulo their product D_i, and g_i is 1 modulo
  all three of them (Han and Ki, ePrint 2019/688, call the number of digits dnum).
- `Gadget(4, spare=4)` leaves the last four primes, with the product P, to the noise. c = P c' + r
  with |r| < P/2, only c' is cut, modulo the primes before them, and the key holds encryptions of
  P g_i z. What is lost is r z, as large as the rounding of a switch of the modulus by P, in
  return for digits that are shorter by P. It pays where that switch comes next anyway. (Gentry,
  Halevi and Smart, ePrint 2012/099, multiply q by such a P instead, and divide by it at once.)

A key for every prime is also one for larger digits, since the g_i of three primes add up to that of
all three: whoever has it may choose (`yashe.ciphertexts.keys.PerDigit`).

Where the noise is small, on fresh ciphertexts, only small digits are free. How much they add is
`yashe.ciphertexts.noise.key_switching`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yashe.arithmetic.devices import CACHE_BYTES, blocks
from yashe.arithmetic.residues import FloatArray, dot, reduce_modulo
from yashe.arithmetic.rings import CoefficientElement, NttElement, Ring
from yashe.arithmetic.rns import RnsBasis, rescale
from yashe.arithmetic.whole import whole
from yashe.errors import ParameterError


@dataclass(frozen=True)
class Gadget:
    """How polynomials are cut into digits.

    Attributes
    ----------
    size : how many primes of q a digit has; 1, the least noise, is the default
    spare : how many of the last primes of q belong to no digit
    summed : whether the keys for such digits are sums of keys for one prime each, with their errors

    Examples
    --------
    >>> [group.stop for group in Gadget(3).groups(8)], Gadget(4, spare=4).groups(8)
    ([3, 6, 8], [slice(0, 4, None)])
    """

    size: int = 1
    spare: int = 0
    summed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole(self.size, "the primes of a digit", 1))
        object.__setattr__(self, "spare", whole(self.spare, "the number of spare primes", 0))

    def groups(self, k: int) -> list[slice]:
        """Return which of the k primes of q belong to each digit.

        Raises
        ------
        ParameterError
            If more than k - 1 primes are spare.
        """
        if self.spare >= k:
            raise ParameterError(f"{self.spare} spare primes of {k} leave none to cut digits from")
        return [
            slice(i, min(i + self.size, k - self.spare))
            for i in range(0, k - self.spare, self.size)
        ]

    def moduli(self, moduli: Sequence[int]) -> tuple[list[int], int]:
        """Return the moduli D_i of the digits, and the product P of the spare primes."""
        groups = self.groups(len(moduli))
        digits = [math.prod(moduli[group]) for group in groups]
        return digits, math.prod(moduli[groups[-1].stop :])

    def weights(self, ring: Ring) -> FloatArray:
        """Return the P g_i as constant residues, shape (digits, k, 1); by default the identity."""
        groups = self.groups(len(ring.basis))
        _, spare = self.moduli(ring.basis.moduli)
        residues = ring.basis.decompose(np.array([spare], dtype=object))
        weights = np.zeros((len(groups), len(ring.basis), 1))
        for row, group in zip(weights, groups, strict=True):
            row[group] = residues[group]
        return weights


PER_PRIME = Gadget()


def digits(c: CoefficientElement, ring: Ring, gadget: Gadget = PER_PRIME) -> FloatArray:
    """Return the digits of polynomials, in a new axis before the last two.

    Parameters
    ----------
    c : CoefficientElement with residues (..., k', n): modulo the primes that are not spare
    ring : of q, with all k primes

    Returns
    -------
    float64 array, shape (..., digits, k, n); entry [..., i, j, :] is congruent to digit i modulo
    q_j, and not reduced. Digits of one prime are small integers, the same for every q_j: then it
    is (..., digits, 1, n), and a view.
    """
    rows, moduli = c.canonical(), c.ring.basis.moduli
    if gadget.size == 1:
        return rows[..., :, None, :]
    return np.stack(
        [
            rescale(rows[..., group, :], RnsBasis(moduli[group]), ring.basis)
            for group in Gadget(gadget.size).groups(len(moduli))
        ],
        axis=-3,
    )


def switch(
    c: CoefficientElement, columns: Sequence[NttElement], gadget: Gadget = PER_PRIME
) -> NttElement:
    """Return the sums over i of d_i(c) key_i, one for each column of a key, in a new axis.

    With (b_i, a_i) encrypting P g_i z, (sum_i d_i(c) b_i, sum_i d_i(c) a_i) encrypts P c z, with
    the additional noise sum_i d_i(c) e_i. The keys of YASHE' have one column, and several keys may
    be given at once: the digits are transformed once for all of them. The new axis comes before the
    last two.
    """
    ring, cut = columns[0].ring, digits(c, columns[0].ring, gadget)
    out = np.empty((*cut.shape[:-3], len(columns), len(ring.basis), ring.n), like=cut)
    for primes in blocks(len(ring.basis), CACHE_BYTES, cut):
        d = ring.transform.ntt_modulo(primes, cut)
        for number, key in enumerate(columns):
            # A sum of k products of residues: within the bound that RnsBasis has checked.
            total = dot(d, key.residues[:, primes])
            reduce_modulo(total, ring.basis.moduli[primes])
            out[..., number, primes, :] = total
    return NttElement(ring, out)
