"""What arrays of ciphertexts need to know of their scheme, and nothing more."""

from __future__ import annotations

from typing import Any, Protocol

from yashe.noise import Bound
from yashe.params import Params
from yashe.residues import FloatArray
from yashe.ring import CoefficientElement, NttElement


class Arithmetic(Protocol):
    """What a ciphertext needs to know of its scheme; `yashe.scheme.Scheme` has it.

    Attributes
    ----------
    name : of the scheme
    params : its parameters
    first_secret_part : the parts of a ciphertext from here on hide the message
    fixed_parts : whether ciphertexts of degree 2 have as many parts as those of degree 1
    ntt_form : whether rows are values instead of coefficients
    """

    name: str
    params: Params
    first_secret_part: int
    fixed_parts: bool
    ntt_form: bool

    def multiply(self, a: Any, b: Any) -> Any:
        """Return the products of ciphertexts, slot by slot."""

    def rows(self, x: CoefficientElement | NttElement) -> FloatArray:
        """Return polynomials in the form of rows."""

    def values(self, rows: FloatArray) -> NttElement:
        """Return rows in NTT form."""

    def embedded(self, messages: FloatArray, factor: int) -> FloatArray:
        """Return what the first part of a ciphertext needs for messages modulo t."""

    def switch_modulus(self, ct: Any, primes: int) -> Any:
        """Return the same ciphertexts with fewer primes in q."""

    def aligned(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return the same messages as they can be added."""

    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding a constant adds to the noise."""

    def plaintext_addition_bound(self, message: FloatArray, degree: int) -> Bound:
        """Return what adding encoded messages adds to the noise."""
