"""A polynomial of what lies in the slots, with few products of ciphertexts.

Horner's rule takes as many products in a row as the degree, and noise does not bear that. After
Paterson and Stockmeyer (SIAM J. Comput. 2, 1973) the coefficients are cut into blocks of B,

    p(x) = p_0(x) + x^B p_1(x) + x^(2B) p_2(x) + ...,

and a block costs nothing but products with integers, once x^2, ..., x^(B-1) are there. The blocks
are put together in halves, p = low + x^(B 2^i) high, so that no more products follow each other
than for the highest power, log2 of the degree, and few more than 2 sqrt(degree) are made in all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.slots import as_integers
from yashe.errors import ParameterError, RangeError
from yashe.schemes.base import Scheme, check_scheme


class SlotPolynomial:
    """p(x) = c_0 + c_1 x + c_2 x^2 + ... modulo t, for every slot.

    Parameters
    ----------
    scheme : BFV, BGV or YASHE
    coefficients : integers, lowest first, modulo t; one behind the first is not zero

    Attributes
    ----------
    coefficients : centred modulo t, up to the last one that is not zero
    wrapped : whether some were given that are others modulo t
    block : B, how many coefficients a block has

    Raises
    ------
    ParameterError, EncodingError
        If it is a constant, or the coefficients are not integers in one row.

    Examples
    --------
    >>> from yashe.parameters.sets import INSECURE_TOY
    >>> from yashe.schemes.bfv import BFV
    >>> scheme = BFV(INSECURE_TOY)
    >>> keys = scheme.keygen()
    >>> x = scheme.encrypt([-1, 0, 1, 2], keys.secret)
    >>> p = SlotPolynomial(scheme, [5, 0, 0, 1])  # 5 + x^3
    >>> scheme.decrypt(p(x, keys.relinearization), keys.secret)[:4]
    array([ 4,  5,  6, 13])
    """

    def __init__(self, scheme: Scheme, coefficients: Any) -> None:
        check_scheme(scheme)
        given = as_integers(coefficients, "coefficients")
        if given.ndim != 1:
            raise ParameterError(f"coefficients are one row of integers, not {given.shape}")
        half = scheme.params.t // 2
        centred = [(int(c) + half) % scheme.params.t - half for c in given]
        self.wrapped = centred != given.tolist()
        self.coefficients: list[int] = np.trim_zeros(centred, "b")
        if len(self.coefficients) < 2:
            raise ParameterError("a polynomial of degree 1 at least was required, modulo t")
        self.scheme = scheme
        self.block = 1 << (len(self.coefficients).bit_length() // 2)

    def __repr__(self) -> str:
        return f"SlotPolynomial(degree {len(self.coefficients) - 1}, blocks of {self.block})"

    def __call__(self, x: Ciphertext, key: Any) -> Ciphertext:
        """Return p(x).

        Parameters
        ----------
        x : Ciphertext of any shape, degree 1
        key : the relinearisation key, in YASHE' the evaluation key

        Raises
        ------
        KeyMismatchError, FormError, NoiseBudgetExhausted
        RangeError
            If x has a declared range, and a result may leave (-t/2, t/2), or a coefficient has.
        """
        self.scheme.check_own(x)
        if x.within is not None and self.wrapped:
            raise RangeError(
                f"where a range is declared, coefficients are within +-{x.params.t // 2}: take a "
                "larger t, or say that numbers modulo t are meant: ct.modulo()"
            )
        powers = {1: x}

        def power(i: int) -> Ciphertext:
            if i not in powers:
                half = power(i // 2)
                product = half * (half if i % 2 == 0 else power(i - i // 2))
                powers[i] = self.scheme.relinearize(product, key)
            return powers[i]

        def value(c: list[int]) -> Ciphertext | int:
            """Return the polynomial with these coefficients: a number if it is a constant."""
            c = np.trim_zeros(c, "b")
            if len(c) < 2:
                return sum(c)
            if len(c) <= self.block:
                terms = [power(i) * w for i, w in enumerate(c) if i and w]
                return sum(terms[1:], terms[0]) + c[0]
            cut = self.block
            while 2 * cut < len(c):
                cut *= 2
            high = value(c[cut:])
            if isinstance(high, int):
                product = power(cut) * high
            else:
                product = self.scheme.relinearize(power(cut) * high, key)
            return product + value(c[:cut])

        found = value(self.coefficients)
        assert not isinstance(found, int)
        return found
