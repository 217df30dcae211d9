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

import numpy as np

from yashe.ciphertext import Ciphertext
from yashe.errors import FormError, ParameterError
from yashe.linear import RunningSums
from yashe.noise import Bound
from yashe.parallel import for_each_group
from yashe.residues import FloatArray, IntArray
from yashe.scale_invariant import ScaleInvariant
from yashe.scheme import Scheme


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
    """

    def __init__(self, scheme: Scheme, results: int) -> None:
        if not isinstance(scheme, ScaleInvariant):
            raise FormError(f"{scheme.name} does not scale its products: see yashe.columns")
        params = scheme.params
        self.scheme: ScaleInvariant = scheme
        self.results = results
        self._capacity = (params.product_ring.basis.product // params.q - 1) // (
            params.n * params.q
        )
        self._tensors = self._running_sums(params.product_ring.basis.moduli)
        self._scaled: RunningSums | None = None
        self._buffer = np.empty((0,))  # of the largest tile: fresh memory costs time
        self._load = 0  # bound of the sum of absolute weights in _tensors
        self._bound = Bound.of(0.0, 0, (results,))
        self._template: Ciphertext | None = None

    def _running_sums(self, moduli: tuple[int, ...]) -> RunningSums:
        shape = (self.scheme.parts(2), len(moduli), self.scheme.params.n)
        return RunningSums(self.results, shape, moduli)

    def squares(self, ct: Ciphertext) -> FloatArray:
        """Return the tensor squares of an array of ciphertexts, for `add`.

        Returns
        -------
        float64 array, shape (ct.size, parts, primes of q P, n), centred residues in NTT form; the
        next call writes over it

        Raises
        ------
        KeyMismatchError, FormError
            If they belong to other parameters than the scheme, or have degree 2 already.
        """
        self.scheme.check_factors(ct, ct)
        flat = ct.index.reshape(-1)
        if len(self._buffer) < len(flat):
            self._buffer = np.empty((len(flat), *self._tensors.total.shape[1:]))
        tensors = self._buffer[: len(flat)]

        def square_some(some: slice) -> None:
            x = self.scheme.extended(ct.rows[flat[some]])
            self.scheme.reduced_tensor(x, x, tensors[some])

        for_each_group(square_some, len(flat))
        return tensors

    def add(self, ct: Ciphertext, tensors: FloatArray, weights: IntArray) -> None:
        """Add weights[j, m] ct_j^2 to sum m.

        Parameters
        ----------
        ct : Ciphertext of any shape, all of one key
        tensors : their `squares`
        weights : int64 array, shape (ct.size, results)
        """
        if weights.shape != (ct.size, self.results):
            raise ParameterError(
                f"expected weights of shape {(ct.size, self.results)}, got {weights.shape}"
            )
        if self._template is not None:
            self._template.check_same_keys(ct)
        self._template = ct
        squared = self.scheme.product_bound(*[ct.bound[ct.index.reshape(-1)]] * 2)
        self._bound = self._bound + squared @ weights
        load = int(np.abs(weights).sum(axis=0).max())
        if load > self._capacity:  # these weights alone are too large: scale every square
            self._add_scaled(self.scheme.scaled_down(tensors), weights)
            return
        if self._load + load > self._capacity:
            self._flush()
        self._load += load
        self._tensors.add(tensors, weights)

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
        rows = np.empty((len(tensors), self.scheme.parts(2), params.k, params.n))

        def scale_some(some: slice) -> None:
            rows[some] = self.scheme.scaled_down(tensors[some])

        for_each_group(scale_some, len(tensors))
        return rows

    def total(self, what: str = "a sum of squares") -> Ciphertext:
        """Return the sums, an array of shape (results,) and degree 2.

        Raises
        ------
        ParameterError
            If nothing has been added.
        NoiseBudgetExhausted, TransparentCiphertextError
            If a sum is too noisy, or all its weights are zero.
        """
        if self._template is None:
            raise ParameterError("a sum of squares needs at least one ciphertext")
        if self._scaled is None:
            rows = self._scale(self._tensors.reduce())
        else:
            self._flush()
            rows = self._scaled.reduce()
        return self._template.derive(rows, self._bound, (self.results,), what, 2)
