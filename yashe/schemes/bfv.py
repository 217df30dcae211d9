"""BFV, the scheme of Fan and Vercauteren (ePrint 2012/144), in RNS.

A ciphertext (c_0, c_1) encrypts m if its phase c_0 + c_1 s is q/t m + small noise modulo q: the
message is at the upper end. Keys, encryption and relinearisation are those of `yashe.schemes.rlwe`,
and

    embedded(m) round(q/t m)
    decrypt     round(t/q [c_0 + c_1 s + c_2 s^2]_q) mod t
    multiply    round(t/q (c_0 c'_0, c_0 c'_1 + c_1 c'_0, c_1 c'_1)): a ciphertext of three parts

A product of integers of the size of q does not fit into q, so it is computed modulo q P for an
auxiliary P, and then scaled down (`yashe.schemes.scale_invariant`): that is most of BFV's work, and
what `yashe.schemes.bgv` does without. In return nobody has to care about the size of the noise
before a product. Ciphertexts are in coefficient form, and all divisions by q are calls of
`yashe.arithmetic.rns.rescale`.

Relinearisation is a verb of its own so that it can come late: sums and products with integers act
on three parts as well as on two, so a square layer is relinearised after the linear layer behind
it, whose outputs are few. As everywhere in the field: secure against eavesdroppers (IND-CPA), not
against somebody who can ask for decryptions.
"""

from __future__ import annotations

import math

from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.schemes.rlwe import RLWE
from yashe.schemes.scale_invariant import ScaleInvariant


class BFV(ScaleInvariant, RLWE):
    """The verbs of BFV for one parameter set.

    Examples
    --------
    >>> from yashe.parameters.sets import INSECURE_TOY
    >>> scheme = BFV(INSECURE_TOY)
    >>> keys = scheme.keygen()
    >>> ct = scheme.encrypt([1, 2, 3], keys.public)
    >>> ct = scheme.relinearize(ct * ct, keys.relinearization) * 10 - 1
    >>> scheme.decrypt(ct, keys.secret)[:4]
    array([ 9, 39, 89, -1])
    """

    name = "BFV"

    @property
    def error_unit(self) -> int:
        """Errors are small integers: 1."""
        return 1

    # Noise: nu of t/q (c_0 + c_1 s + c_2 s^2) = m + t k + nu, tracked as `yashe.ciphertexts.noise`
    # says.

    def fresh_bound(self, public: bool) -> Bound:
        """Return the bound of t/q (e + r), or of t/q (e_0 + e_1 s - e u + r) for the public key.

        r is the rounding of q/t m to an integer, e, e_0, e_1 are Gaussian and u is like s.
        """
        terms = 1 + 2 * self.secret_norm if public else 1
        variance = noise.ERROR_VARIANCE * terms + noise.ROUNDING_VARIANCE
        return Bound.of(self.params.t / self.params.q * math.sqrt(variance), int(public))

    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding round(q/t m) adds: t/q r, |r| <= 1/2, whatever the degree is."""
        return Bound.of(self.params.t / self.params.q / 2, 0)
