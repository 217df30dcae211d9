"""What BFV and YASHE' have in common: the message at the upper end of the modulus.

A phase is q/t m plus small noise, modulo q. The size of what is multiplied does not matter then,
only its quotient by q: Brakerski (ePrint 2012/078) called such schemes scale-invariant. The price
is a product over the integers, computed modulo q P for an auxiliary P > n q, and its rounded
division by q/t:

    multiply    round(t/q tensor(a, b))

Ciphertexts are in coefficient form, from which the division and the step from q to q P start.
"""

from __future__ import annotations

import numpy as np

from yashe.arithmetic.devices import blocks
from yashe.arithmetic.residues import FloatArray, reduce_modulo
from yashe.arithmetic.rings import CoefficientElement
from yashe.arithmetic.rns import rescale
from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.schemes.base import Scheme


class ScaleInvariant(Scheme):
    """Embedding and products of BFV and YASHE'."""

    def embedded(self, messages: FloatArray, factor: int = 1) -> FloatArray:
        """Return round(q/t m)."""
        t_basis, q_basis = self.params.plaintext_ring.basis, self.params.ring.basis
        return rescale(messages, t_basis, q_basis, self.params.delta)

    def message(self, phase: CoefficientElement, factor: int) -> CoefficientElement:
        """Return the message modulo t that a phase contains: round(t/q phase)."""
        return phase.rescale(self.params.plaintext_ring, 1 / self.params.delta)

    def scaled_noise(self, phase: CoefficientElement) -> FloatArray:
        """Return q nu = [t phase]_q as residues: the noise times q."""
        return self.params.ring.basis.times(phase.residues, self.params.t)

    def product_rows(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return round(t/q tensor(x, y)).

        The product of polynomials with coefficients below q/2 is exact modulo q P for the auxiliary
        P > n q (`Params.auxiliary_moduli`); scaling by t/q brings it back to the basis of q.
        """
        wide = self.extended(x)
        return self.scaled_down(self.reduced_tensor(wide, wide if x is y else self.extended(y)))

    def extended(self, rows: FloatArray) -> FloatArray:
        """Return residues (..., parts, k, n) modulo q P instead of q, in NTT form."""
        ring, k = self.params.product_ring, self.params.k
        residues = np.empty((*rows.shape[:-2], len(ring.basis), ring.n), like=rows)
        residues[..., :k, :] = rows
        residues[..., k:, :] = rescale(rows, self.params.ring.basis, self.params.auxiliary_basis)
        return ring.transform.ntt(residues)

    def reduced_tensor(
        self, x: FloatArray, y: FloatArray, out: FloatArray | None = None
    ) -> FloatArray:
        """Return the parts of products of extended rows in NTT form, as centred residues."""
        if out is None:
            out = np.empty((*x.shape[:-3], self.parts(2), *x.shape[-2:]), like=x)
        self.tensor(x, y, out)
        parts = out.reshape(-1, *out.shape[-2:])
        for some in blocks(len(parts), 8 * out.shape[-2] * out.shape[-1], out):
            reduce_modulo(parts[some], self.params.product_ring.basis.moduli)
        return out

    def scaled_down(self, tensor: FloatArray) -> FloatArray:
        """Return round(t/q x) modulo q, for parts modulo q P in NTT form."""
        ring, q = self.params.product_ring, self.params.ring
        return rescale(ring.transform.intt(tensor), ring.basis, q.basis, 1 / self.params.delta)

    def product_bound(self, x: Bound, y: Bound) -> Bound:
        """Return the bound of products, before relinearisation, from those of the factors."""
        return noise.product(self.params, self.secret_norm, x, y)
