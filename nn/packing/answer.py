"""The last layer: all logits in one polynomial, and a mask on everything else.

Behind the fold slot (i, b) is y_i in every block b, the same in both rows. So the message is a
polynomial in Y = X^u, u = n/2C, because such polynomials are what takes 2C values, one for each row
and class, and takes them in every block again. Logit o is the sum over the classes of w_i y_i^2.
That sum takes no rotation, if the *client* takes it:

- Two logits at a time: the slots of row 0 hold the weights of one, those of row 1 the weights of
  the other. This *pair* is a polynomial w(Y), and so is its product with y^2.
- Products with X^l, l < u, do not get into each other's way: coefficient l + u j is of X^l Y^j. So
  u polynomials in Y have room in one. Pair number p has D of them: its coefficients, as large as
  t, are cut into D digits to a small base, w = sum_d base^d w_d, because the noise grows with the
  coefficients of what a ciphertext is multiplied with. Digit d is in X^(p D + d).
- The client puts the digits together again. It needs no slots for the sum over the classes: the
  values of Y^j in row 0 are eta^((1 + 4i) j), eta = psi^u, and their sum over i is 0 but for j = 0,
  where it is C, and for j = C, where it is C iota, iota = psi^(n/2); in row 1 it is -C iota. So

    logit of row 0 = C (w_0 + iota w_C),       logit of row 1 = C (w_0 - iota w_C)    (mod t).

*The mask.* The other coefficients are numbers between the layers, and so are the digits one by one.
The server adds a polynomial whose coefficients are uniform modulo t, fresh for every reply, but for
one digit of w_0 and w_C in every pair: these are such that the two formulas above give the biases.
Then the message in the reply is uniform among those that give the logits, and tells nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nn.packing.layout import Layout
from nn.packing.stages import PackingError
from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.sampling import uniform
from yashe.ciphertexts.slots import encode_constant, interpolate
from yashe.parameters.sets import Params

DIGIT_BITS = 4  # shorter digits would hardly make less noise: there are more of them


@dataclass(frozen=True)
class Answer:
    """Where in a polynomial the logits are.

    Attributes
    ----------
    params : with t a prime
    classes : C, of the layout
    outputs : how many logits there are
    """

    params: Params
    classes: int
    outputs: int

    def __post_init__(self) -> None:
        if self.pairs > self.stride:
            raise PackingError(
                f"{self.outputs} logits do not fit into a polynomial of degree {self.params.n} "
                f"with {self.classes} classes: at most {2 * self.stride} do"
            )

    @property
    def stride(self) -> int:
        """u, the step from Y^j to Y^(j + 1)."""
        return self.params.n // (2 * self.classes)

    @property
    def pairs(self) -> int:
        """How many pairs of logits there are."""
        return -(-self.outputs // 2)

    @property
    def digits(self) -> int:
        """D, into how many digits a coefficient is cut."""
        return min(self.stride // self.pairs, -(-self.params.t.bit_length() // DIGIT_BITS))

    @property
    def base(self) -> int:
        """Of the digits, a power of two."""
        return 1 << -(-self.params.t.bit_length() // self.digits)

    @property
    def iota(self) -> int:
        """A square root of -1 modulo t, the value of X^(n/2) in row 0."""
        (psi,) = self.params.plaintext_ring.transform.psi
        return pow(psi, self.params.n // 2, self.params.t)

    @cached_property
    def places(self) -> IntArray:
        """Coefficients with digit d of Y^0 and Y^C of a pair, shape (pairs, 2, D)."""
        p, j, d = np.ogrid[: self.pairs, :2, : self.digits]
        return np.asarray(p * self.digits + d + self.stride * self.classes * j, dtype=np.int64)

    def polynomial(self, weight: IntArray) -> IntArray:
        """Return the coefficients, shape (n,), with which y^2 is multiplied.

        Parameters
        ----------
        weight : shape (classes that are used, outputs)
        """
        layout, n = Layout(self.params.n, 1, self.classes), self.params.n
        columns = np.zeros((2 * self.pairs, weight.shape[0]), dtype=weight.dtype)
        columns[: self.outputs] = weight.T
        slots = encode_constant(self.params, layout.repeated(columns))
        slots = slots.reshape(self.pairs, 2, 2, n // 2)
        of_rows = np.concatenate([slots[:, 0, 0], slots[:, 1, 1]], axis=-1)  # (pairs, n)
        (rest,) = np.moveaxis(interpolate(self.params, of_rows).astype(np.int64), -2, 0)
        rest, found = rest[:, :: self.stride], np.zeros(n, dtype=np.int64)
        for pair, coefficients in enumerate(rest):
            for d in range(self.digits):
                last, half = d == self.digits - 1, self.base // 2
                digit = coefficients if last else (coefficients + half) % self.base - half
                coefficients = (coefficients - digit) // self.base
                found[pair * self.digits + d :: self.stride] = digit
        return found

    def mask(self, bias: IntArray, seed: bytes) -> IntArray:
        """Return the coefficients, shape (n,), that hide all but the logits, and add the biases."""
        t, target = self.params.t, np.zeros(2 * self.pairs, dtype=object)
        target[: self.outputs] = bias.astype(object)
        first, second = target.reshape(-1, 2).T
        found = uniform(seed, ["answer-mask"], self.params.n, (t,))[0, 0].astype(np.int64)
        share = pow(2 * self.classes, -1, t)
        ends = [(first + second) * share, (first - second) * share * pow(self.iota, -1, t)]
        rest = found[self.places].astype(object)
        rest[..., 0] = 0
        lowest = np.stack(ends, axis=-1) - self.joined(rest)
        found[self.places[..., 0]] = encode_constant(self.params, lowest)
        return np.asarray(found, dtype=np.int64)

    def joined(self, digits: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return sum_d base^d digits[..., d]."""
        powers = np.array([self.base**d for d in range(self.digits)], dtype=object)
        return np.asarray(digits @ powers)

    def logits(self, coefficients: IntArray) -> IntArray:
        """Return the logits modulo t, int64 array (outputs,), from a decrypted polynomial (n,)."""
        w_0, w_c = self.joined(coefficients[self.places].astype(object)).T
        both = [w_0 + self.iota * w_c, w_0 - self.iota * w_c]
        values = self.classes * np.stack(both, axis=-1).reshape(-1)
        return encode_constant(self.params, values)[: self.outputs]
