"""Weighted sums of squares, scaled once for each sum instead of once for each square.

A product of ciphertexts ends with the transform back to coefficients and the rounded division

    round(t/q tensor(ct_j, ct_j)),

which is more than half of its work. A dense layer behind a square layer only needs the sums of many
such products, and the tensor products themselves can be summed: they are exact modulo q P, and in
NTT form, where they arise. So

    sum_j w_j ct_j^2 = round(t/q sum_j w_j tensor(ct_j, ct_j))

costs one division for each sum; and it rounds once, so that there is a little less noise. It works
as long as the sum itself fits: a tensor product has coefficients up to n q^2 / 2, so the absolute
weights of a sum may add up to P / (n q). Where they exceed that, what has been summed is scaled
down before going on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from yashe.arithmetic.devices import take
from yashe.arithmetic.linear import RunningSums
from yashe.arithmetic.parallel import for_each_group
from yashe.arithmetic.residues import FloatArray, IntArray, add_modulo
from yashe.arithmetic.whole import whole
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.ranges import check_undeclared
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import FormError, KeyMismatchError, ParameterError
from yashe.schemes.base import Scheme
from yashe.schemes.scale_invariant import ScaleInvariant


class SumsOfSquares:
    """The sums over j of weights[j, m] ct_j^2, for ciphertexts that come a few at a time.

    Parameters
    ----------
    scheme : BFV or YASHE'
    results : number of sums

    Raises
    ------
    FormError
        If products of the scheme are not scaled down.
    ParameterError
        If there is not one sum.
    """

    def __init__(self, scheme: Scheme, results: int) -> None:
        if not isinstance(scheme, ScaleInvariant):
            raise FormError(f"{scheme!r} does not scale its products: see yashe.circuits.columns")
        results = whole(results, "the number of sums of squares", 1)
        params = scheme.params
        self.scheme: ScaleInvariant = scheme
        self.results = results
        self._capacity = (params.product_ring.basis.product // params.q - 1) // (
            params.n * params.q
        )
        self._tensors = self._running_sums(params.product_ring.basis.moduli)
        self._load = 0  # bound of the sum of absolute weights in _tensors
        self._scaled: RunningSums | None = None
        self._buffer = np.empty((0,))  # of the largest tile: fresh memory costs time
        self._bound = Bound.of(0.0, 0, (results,))
        self._template: Ciphertext | None = None

    def __repr__(self) -> str:
        return f"SumsOfSquares({self.scheme!r}, {self.results} sums)"

    def _running_sums(self, moduli: tuple[int, ...]) -> RunningSums:
        shape = (self.scheme.parts(2), len(moduli), self.scheme.params.n)
        return RunningSums(self.results, shape, moduli)

    def add_squares(self, ct: Ciphertext, weights: Any) -> None:
        """Add weights[j, m] ct_j^2 to sum m.

        Parameters
        ----------
        ct : Ciphertext of any shape and degree 1; all that are added have the same keys
        weights : integers, shape (ct.size, results); like all constants they count modulo t

        Raises
        ------
        KeyMismatchError, FormError
            If the ciphertexts belong to other parameters than the scheme, to other keys than those
            before, or have degree 2 already.
        EncodingError, ParameterError
            If the weights are not integers, or of another shape.
        RangeError
            If the ciphertexts have a declared range.
        """
        if self.scheme.scheme_of(ct) is not self.scheme:
            raise KeyMismatchError(
                f"the ciphertexts are for {ct.params.name}, the sums for {self.scheme.params.name}"
            )
        if self._template is not None:
            self._template.check_same_keys(ct)
        self.scheme.check_operands(ct, ct)
        check_undeclared(ct.within, "sums of squares")
        weights = encode_constant(self.scheme.params, weights)
        if weights.shape != (ct.size, self.results):
            raise ParameterError(
                f"expected weights of shape {(ct.size, self.results)}, got {weights.shape}"
            )
        if not ct.size:
            return
        self._template = ct
        bound = ct.bound[ct.index.reshape(-1)]
        self._bound = self._bound + self.scheme.product_bound(bound, bound) @ weights
        tensors = self._tensor_squares(ct)
        # Python integers, because weights of up to t/2 < 2^61 may add up to more than an int64.
        load = int(np.abs(weights).sum(axis=0, dtype=object).max())
        if load > self._capacity:  # these weights alone are too large: scale every square
            self._add_scaled(self._scale(tensors), weights)
            return
        if self._load + load > self._capacity:
            self._flush()
        self._load += load
        self._tensors.add(tensors, weights)

    def _tensor_squares(self, ct: Ciphertext) -> FloatArray:
        """Return the tensor squares of an array of ciphertexts.

        Returns
        -------
        float64 array, shape (ct.size, parts, primes of q P, n), centred residues in NTT form; the
        next call writes over it
        """
        flat = ct.index.reshape(-1)
        if len(self._buffer) < len(flat):
            self._buffer = np.empty((len(flat), *self._tensors.shape[1:]), like=ct.rows)
        tensors = self._buffer[: len(flat)]

        def square_some(some: slice) -> None:
            x = self.scheme.extended(take(ct.rows, flat[some]))
            self.scheme.reduced_tensor(x, x, tensors[some])

        for_each_group(square_some, len(flat), tensors)
        return tensors

    def _flush(self) -> None:
        """Scale down what has been summed, and begin again."""
        self._add_scaled(self._scale(self._tensors.reduce()), np.eye(self.results, dtype=np.int64))
        self._tensors = self._running_sums(self._tensors.moduli)
        self._load = 0

    def _add_scaled(self, rows: FloatArray, weights: IntArray) -> None:
        if self._scaled is None:
            self._scaled = self._running_sums(self.scheme.params.moduli)
        self._scaled.add(rows, weights)

    def _scale(self, tensors: FloatArray) -> FloatArray:
        """Return round(t/q x) of every row, on all workers."""
        params = self.scheme.params
        rows = np.empty((len(tensors), self.scheme.parts(2), params.k, params.n), like=tensors)

        def scale_some(some: slice) -> None:
            rows[some] = self.scheme.scaled_down(tensors[some])

        for_each_group(scale_some, len(tensors), tensors)
        return rows

    def total(self, constants: Any = 0) -> Ciphertext:
        """Return what has been added so far, plus constants: shape (results,), degree 2.

        Parameters
        ----------
        constants : integers that are added to the sums, shape (results,), or one for all

        Raises
        ------
        EncodingError, ShapeError
            If the constants are not integers, or of another shape.
        ParameterError
            If nothing has been added.
        NoiseBudgetExhausted, TransparentCiphertextError
            If a sum is too noisy, or all its weights are zero.
        """
        if self._template is None:
            raise ParameterError("a sum of squares needs at least one ciphertext")
        rows = self._scale(self._tensors.reduce())
        if self._scaled is not None:
            add_modulo(rows, self._scaled.reduce(), self.scheme.params.moduli)
        sums = self._template.derive(rows, self._bound, (self.results,), "a sum of squares", 2)
        total: Ciphertext = sums + constants
        return total
