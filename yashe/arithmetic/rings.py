"""Elements of R_q = Z_q[X]/(X^n + 1), with their form in the type.

A `CoefficientElement` holds the coefficients of polynomials, an `NttElement` their values at the
odd powers of psi (`yashe.arithmetic.ntt`). Sums work in either form, products only between NTT
forms, rescaling only on coefficients; anything else is a `FormError`. Elements are arrays of
polynomials: the residues have shape (..., k, n), k rows for the k primes of q, and leading axes are
a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

import numpy as np

from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.places import moved
from yashe.arithmetic.residues import FloatArray, canonical, column, reduce
from yashe.arithmetic.rns import RnsBasis, rescale
from yashe.errors import FormError, KeyMismatchError, ParameterError


class Ring:
    """R_q for a ring degree n and NTT-friendly primes; `ring(n, moduli)` makes each of them once.

    Attributes
    ----------
    n : ring degree
    basis : RnsBasis of q
    transform : the Ntt modulo every prime
    moduli : float64 column (k, 1), for arithmetic on residues (..., k, n)

    Raises
    ------
    ParameterError
        If a modulus does not fit the degree or the exactness bound.
    ExactnessError
        If this machine's matrix product is not exact.
    """

    def __init__(self, n: int, moduli: tuple[int, ...]) -> None:
        self.n = n
        self.basis = RnsBasis(moduli)
        self.transform = Ntt(n, self.basis.moduli)
        self.moduli = column(self.basis.moduli)

    def __repr__(self) -> str:
        return f"Ring(n={self.n}, {self.basis!r})"

    def element(self, coefficients: object) -> CoefficientElement:
        """Return polynomials from integer coefficients, array-like of shape (..., n)."""
        residues = self.basis.decompose(coefficients)
        if residues.shape[-1] != self.n:
            raise ParameterError(f"expected {self.n} coefficients, got {residues.shape[-1]}")
        return CoefficientElement(self, residues)


ring = lru_cache(maxsize=64)(Ring)
Form = TypeVar("Form", bound="Element")  # the type says the form, and sums keep it


@dataclass(frozen=True, eq=False)
class Element:
    """Polynomials of one ring in one form: what both forms can do.

    Attributes
    ----------
    ring : Ring
    residues : float64 array, shape (..., k, n), centred residues
    """

    ring: Ring
    residues: FloatArray

    def __repr__(self) -> str:  # and no residue: it may be a secret
        return f"{type(self).__name__}(shape={self.residues.shape[:-2]}, {self.ring!r})"

    def __getitem__(self: Form, key: int) -> Form:
        return type(self)(self.ring, self.residues[key])

    def __add__(self: Form, other: Form) -> Form:
        return self._combined(other, np.add)

    def __sub__(self: Form, other: Form) -> Form:
        return self._combined(other, np.subtract)

    def __neg__(self: Form) -> Form:
        return type(self)(self.ring, -self.residues)

    def _combined(self: Form, other: Form, operation: np.ufunc) -> Form:
        """Return operation(self, other) reduced, for elements of one ring in one form."""
        if type(self) is not type(other):
            raise FormError(
                f"{type(self).__name__} and {type(other).__name__} do not mix: "
                "convert one of them with .ntt() or .intt()"
            )
        if self.ring.n != other.ring.n or self.ring.basis != other.ring.basis:
            raise KeyMismatchError(f"elements of different rings: {self.ring!r} and {other.ring!r}")
        residues = reduce(operation(self.residues, other.residues), self.ring.moduli)
        return type(self)(self.ring, residues)

    def to(self: Form, place: str) -> Form:
        """Return the same polynomials in the memory of a place, "cpu" or "gpu"; see `moved`."""
        return type(self)(self.ring, moved(self.residues, place))

    def canonical(self) -> FloatArray:
        """Return the residues in [-(q_i - 1)/2, (q_i - 1)/2], to compare elements bit for bit."""
        return canonical(self.residues, self.ring.moduli)


class CoefficientElement(Element):
    """Polynomials given by their coefficients, lowest degree first."""

    def ntt(self) -> NttElement:
        """Return the same polynomials in NTT form."""
        return NttElement(self.ring, self.ring.transform.ntt(self.residues))

    def rescale(self, target: Ring, ratio: Fraction | int = 1) -> CoefficientElement:
        """Return round(ratio * x), coefficient by coefficient, in another ring of the degree."""
        if target.n != self.ring.n:
            raise KeyMismatchError(f"degrees differ: {self.ring!r} and {target!r}")
        return CoefficientElement(
            target, rescale(self.residues, self.ring.basis, target.basis, ratio)
        )

    def __mul__(self, other: object) -> CoefficientElement:
        raise FormError("products are taken in NTT form: (a.ntt() * b.ntt()).intt()")

    def integers(self) -> object:
        """Return the centred coefficients as Python integers, object array of shape (..., n)."""
        return self.ring.basis.compose(self.residues)


class NttElement(Element):
    """Polynomials given by their values at the odd powers of psi, in natural order."""

    def intt(self) -> CoefficientElement:
        """Return the same polynomials in coefficient form."""
        return CoefficientElement(self.ring, self.ring.transform.intt(self.residues))

    def __mul__(self, other: NttElement) -> NttElement:
        return self._combined(other, np.multiply)
