"""Weighted sums of squares of linear combinations, one prime and a few columns at a time.

In NTT form every operation of a network between two relinearisations is pointwise: value i of a
result depends on values i of the inputs only, prime by prime. So the computation

    h_j   = sum_i w_ij x_i + b_j            (two parts)
    h_j^2 = (h_j0^2, 2 h_j0 h_j1, h_j1^2)   (three parts; of three parts five)
    s_m   = sum_j v_jm h_j^2 + c_m

can be carried through for some columns before the next ones are touched. Nothing but x and s ever
stands in memory, what is in between takes some megabytes, and it is nearly all matrix products.
Only schemes that keep ciphertexts in NTT form can do this: `yashe.schemes.bgv`.

Residues are reduced where the bound of `yashe.arithmetic.residues` needs it, and no earlier. With
primes below 2^22.5 or so the sum of hundreds of squares with small weights is exact without any
reduction of the squares (`WeightedSum`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from yashe.arithmetic.devices import on_host, take
from yashe.arithmetic.large import at_once, spread
from yashe.arithmetic.linear import WeightedSum
from yashe.arithmetic.parallel import for_each
from yashe.arithmetic.residues import FloatArray, IntArray, bound, reduce_modulo
from yashe.arithmetic.rns import RnsBasis
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.packed import Columns
from yashe.ciphertexts.ranges import check_undeclared
from yashe.ciphertexts.slots import check_integers, encode_constant
from yashe.errors import FormError, ParameterError
from yashe.schemes.base import Scheme, check_scheme
from yashe.schemes.rlwe import square_part

COLUMNS = 1024  # at a time: threads wait for each other between calls, so that long ones pay
MOST_BYTES = 2**32  # of units and inputs that a GPU has at a time
MOST_KEPT = 64  # layers that are kept there
_kept: dict[bytes, _Modulo] = {}


@dataclass(frozen=True)
class Units:
    """Hidden units: one affine map, applied to several selections of the inputs.

    Attributes
    ----------
    inputs : int64 array, shape (P, K), numbers of inputs
    weight : int64 array, shape (K, M)
    bias : int64 array, shape (M,)

    Raises
    ------
    EncodingError
        If they are not integers.
    ParameterError
        If their shapes do not fit, or there is no unit or no input.
    """

    inputs: IntArray
    weight: IntArray
    bias: IntArray

    def __post_init__(self) -> None:
        for what in ("inputs", "weight", "bias"):
            array = check_integers(getattr(self, what), f"the {what} of hidden units")
            object.__setattr__(self, what, array)
        inputs, weight, bias = self.inputs.shape, self.weight.shape, self.bias.shape
        if len(inputs) != 2 or len(weight) != 2 or inputs[1:] + bias != weight:
            raise ParameterError(
                "hidden units need inputs (P, K), a weight (K, M) and a bias (M,), not arrays of "
                f"shapes {inputs}, {weight} and {bias}"
            )
        if 0 in inputs + weight:
            raise ParameterError(f"no hidden units, or none of their inputs: {inputs} and {weight}")

    @property
    def size(self) -> int:
        """Number of units: P M, in C order."""
        return len(self.inputs) * len(self.bias)


class SquareLayer:
    """The computation of the module docstring, prepared for one array of ciphertexts.

    Parameters
    ----------
    scheme : Scheme in NTT form
    ct : Ciphertext of any shape, of which the scheme has squares
    hidden : units, one or more, all of whose inputs are in ct
    weights : integers, shape (units, results)
    constants : integers that are added to the sums, shape (results,), or one for all

    Attributes
    ----------
    hidden_bound, squared_bound : Bound of shape (units,)
    steps : blocks of columns of one prime

    Raises
    ------
    FormError
        If the scheme keeps its ciphertexts in coefficient form, or squares have too high a degree.
    KeyMismatchError
        If ct belongs to another scheme or to other parameters.
    EncodingError
        If weights or constants are not integers.
    ParameterError
        If there are no units, inputs that are not in ct, or weights or constants of another shape.
    RangeError
        If ct has a declared range.
    """

    def __init__(
        self,
        scheme: Scheme,
        ct: Ciphertext,
        hidden: Sequence[Units],
        weights: Any,
        constants: Any = 0,
    ) -> None:
        check_scheme(scheme)
        if not scheme.ntt_form:
            raise FormError(f"{scheme.name} keeps no ciphertexts in NTT form")
        scheme = scheme.scheme_of(ct)
        scheme.check_operands(ct, ct)
        check_undeclared(ct.within, "sums of squares")
        units, params = sum(some.size for some in hidden), scheme.params
        weights, constants = (encode_constant(params, x) for x in (weights, constants))
        if weights.ndim != 2 or len(weights) != units or not weights.size:
            raise ParameterError(f"{units} units, but weights of shape {weights.shape}")
        results = weights.shape[1:]
        if constants.shape not in ((), results):
            raise ParameterError(f"{results[0]} sums, but constants of shape {constants.shape}")
        for some in hidden:
            if not 0 <= some.inputs.min() <= some.inputs.max() < ct.size:
                raise ParameterError(
                    f"the inputs of hidden units are numbers from 0 to {ct.size - 1}, not "
                    f"{some.inputs.min()} to {some.inputs.max()}"
                )
        self.scheme, self.ct, self.weights = scheme, ct, weights
        self.constants = np.broadcast_to(constants, results)
        self.flat = ct.index.reshape(-1)
        self.hidden = [
            replace(
                some,
                weight=encode_constant(params, some.weight),
                bias=encode_constant(params, some.bias),
            )
            for some in hidden
        ]
        added = scheme.plain_addition_bound(ct.degree)
        bounds = [  # a bias of zero adds nothing
            (ct.bound[self.flat[some.inputs]] @ some.weight + added * (some.bias != 0)).reshape(-1)
            for some in self.hidden
        ]
        self.hidden_bound = Bound.concatenate(bounds)
        self.squared_bound = scheme.product_bound(self.hidden_bound, self.hidden_bound)
        matrices = [weights, *(some.weight for some in self.hidden)]
        self.primes = max((at_once(w, params.moduli, ct.like) for w in matrices), key=len)
        # A GPU takes all columns of all units, but not more than a few gigabytes.
        column_bytes = 8 * params.k * (units + ct.size)
        width = COLUMNS if on_host(ct.like) else max(1, MOST_BYTES // column_bytes)
        self.columns = [slice(c, c + width) for c in range(0, params.n, width)]
        self.steps = len(self.primes) * len(self.columns)

    def __repr__(self) -> str:
        units, results = self.weights.shape
        return f"SquareLayer({self.scheme!r}, {units} units, {results} sums)"

    def sums(self) -> Ciphertext:
        """Return the sums s, an array of shape (results,) and twice the degree of ct.

        Raises
        ------
        NoiseBudgetExhausted, TransparentCiphertextError
            If a sum is too noisy, or depends on no ciphertext.
        """
        params, t, degree = self.scheme.params, self.scheme.params.t, 2 * self.ct.degree
        parts = self.scheme.parts(degree)
        out = np.empty((len(self.constants), parts, params.k, params.n), like=self.ct.like)
        for primes in self.primes:
            read = self.ct.columns(primes)  # what is packed is unpacked now, or as it is read
            fill = partial(self._prepared(primes).fill, read, out[:, :, primes])
            for_each(fill, self.columns)
        squared = replace(self.ct, factor=self.ct.factor**2 % t)
        total = self.squared_bound @ self.weights
        total = total + self.scheme.plain_addition_bound(degree) * (self.constants != 0)
        return squared.derive(out, total, total.shape, "a sum of squares", degree)

    def _prepared(self, primes: slice) -> _Modulo:
        """Return the computation modulo some primes; for a GPU it is kept, where its copies are."""
        if on_host(self.ct.like):
            return _Modulo(self, primes)
        facts = self.scheme.params.digest, self.ct.degree, self.ct.factor, primes
        digest = hashlib.sha256(repr(facts).encode())
        arrays = [
            getattr(some, name) for some in self.hidden for name in ("inputs", "weight", "bias")
        ]
        for array in (self.flat, self.weights, self.constants, *arrays):
            digest.update(repr(array.shape).encode() + array.tobytes())
        key = digest.digest()
        if key not in _kept:
            if len(_kept) >= MOST_KEPT:
                _kept.clear()
            _kept[key] = _Modulo(self, primes)
        return _kept[key]

    def embedded(self, constants: IntArray, factor: int) -> FloatArray:
        """Return what phases have to contain for constants (M,): residues (M, k, 1)."""
        messages = self.scheme.params.plaintext_ring.basis.decompose(constants)
        residues: FloatArray = self.scheme.embedded(messages, factor).T[:, :, None]
        return residues


class _Modulo:
    """The same modulo one prime or all, with what its blocks of columns have in common."""

    def __init__(self, layer: SquareLayer, primes: slice) -> None:
        p, factor = layer.scheme.params.moduli[primes], layer.ct.factor
        self.moduli, self.units = p, len(layer.weights)
        self.parts = layer.scheme.parts(layer.ct.degree)
        self.taps, self.linear, self.bias = (
            list[IntArray](),
            list[WeightedSum](),
            list[FloatArray](),
        )
        for some in layer.hidden:
            taps, weight = layer.flat[some.inputs], some.weight
            bias = layer.embedded(some.bias, factor)[:, primes].copy()
            if not on_host(layer.ct.like):  # all positions in one product
                weight = RnsBasis(p).decompose(weight)[:, 0].astype(np.int64)
                taps, weight = spread(taps, weight)
                bias = np.tile(bias, (weight.shape[1] // len(bias), 1, 1))
            self.taps.append(taps)
            self.linear.append(WeightedSum(weight, p, bound(max(p))))
            self.bias.append(bias)
        # Reduces the squares only if their weighted sum would not be exact otherwise. Of so many
        # products a part of a square consists, where it is not doubled later.
        terms = layer.ct.degree // 2 * 2 + 1
        self.dense = WeightedSum(layer.weights, p, terms * bound(max(p)) ** 2)
        self.constants = layer.embedded(layer.constants, factor**2)[:, primes].copy()

    def fill(self, read: Columns, out: FloatArray, columns: slice) -> None:
        """Compute out[..., columns] from columns of the inputs, both modulo these primes."""
        h = [self._hidden(read(part, columns), part) for part in range(self.parts)]
        squares = np.empty(h[0].shape, like=h[0])
        for part in range(out.shape[1]):
            square_part(h, part, squares)
            total = self.dense(squares, offset=self.constants if part == 0 else None)
            total = total.reshape(len(self.constants), len(self.moduli), -1)
            if part % 2:  # doubled here, where it is a residue again
                total *= 2
                reduce_modulo(total, self.moduli)
            out[:, part, :, columns] = total

    def _hidden(self, x: FloatArray, part: int) -> FloatArray:
        """Return one part of all hidden units, residues (units, primes * width)."""
        x = x.reshape(len(x), -1)
        h, start = np.empty((self.units, x.shape[-1]), like=x), 0
        for taps, linear, bias in zip(self.taps, self.linear, self.bias, strict=True):
            stop = start + len(taps) * len(bias)
            y = h[start:stop].reshape(len(taps), len(bias), -1)
            linear(take(x, taps), out=y, offset=bias if part == 0 else None)
            start = stop
        return h
