"""How many floating-point operations an encrypted run cannot do without: its matrix products.

Counted are the products of the linear layers and those of the transforms, each multiplication and
addition once. The time they would take at the speed of a large matrix product is what the rest of a
run, element-wise passes, memory traffic and Python, is compared with.
"""

from __future__ import annotations

import math

from nn.networks.base import Linear
from nn.networks.layers import Square
from nn.networks.model import Sequential
from nn.planning.proofs import Forecast, forecast
from yashe.arithmetic.primes import ntt_shape
from yashe.schemes.base import Scheme


def ntt_flops(n: int, transforms: float) -> float:
    """Return the operations of the matrix products of transforms modulo one prime each."""
    n1, n2 = ntt_shape(n)
    return 2.0 * n * (n1 + n2 / 2) * transforms


def network_flops(model: Sequential, scheme: Scheme) -> float:
    """Return the operations of a run on one batch, layer by layer as `encrypted.infer` does."""
    total, n = 0.0, scheme.params.n
    steps = forecast(model, scheme)
    for layer, x, y in zip(model.layers, steps, steps[1:], strict=False):
        k, parts = x.scheme.params.k, x.scheme.parts(x.degree)
        if isinstance(layer, Linear):
            # In coefficient form the sums of squares are computed modulo q P.
            wide = x.degree == 2 and not scheme.ntt_form
            rows = parts * (len(x.scheme.params.product_ring.basis) if wide else k)
            total += 2.0 * n * rows * layer.multiply_adds()
        elif isinstance(layer, Square):
            count = math.prod(layer.output_shape)
            total += ntt_flops(n, count * transforms_before_square(x, y))
            if not scheme.ntt_form:
                total += ntt_flops(n, count * 2 * len(y.scheme.params.product_ring.basis))
    last = steps[-1].scheme.params
    outputs = math.prod(model.output_shape)
    return total + ntt_flops(n, outputs * relinearization_transforms(last.k, scheme.ntt_form))


def transforms_before_square(x: Forecast, y: Forecast) -> float:
    """Return the transforms that bring one input of a square layer, x, into its form."""
    k, k_after, ntt_form = x.scheme.params.k, y.scheme.params.k, x.scheme.ntt_form
    if x.degree == 1:
        return 0.0
    scaled = 0 if ntt_form else 3 * len(x.scheme.params.product_ring.basis)  # of each sum
    switched = 2 * (k + k_after) if ntt_form and k_after < k else 0
    return scaled + relinearization_transforms(k, ntt_form) + switched


def relinearization_transforms(k: int, ntt_form: bool) -> int:
    """Return the transforms of one relinearisation: of c_2, of k digits, and of the result."""
    return k * k + (k if ntt_form else 2 * k)
