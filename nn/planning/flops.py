"""How many floating-point operations an encrypted run cannot do without: its matrix products.

Counted are the products of the linear layers and those of the transforms, each multiplication and
addition once. The time they would take at the speed of a large matrix product is what the rest of a
run, element-wise passes, memory traffic and Python, is compared with.
"""

from __future__ import annotations

import math

from nn.networks.base import Linear
from nn.planning.program import Program, program_of
from nn.planning.proofs import Forecast
from nn.planning.steps import RelinearizeStep, SquareStep, Step, SwitchStep
from yashe.arithmetic.primes import ntt_shape


def ntt_flops(n: int, transforms: float) -> float:
    """Return the operations of the matrix products of transforms modulo one prime each."""
    n1, n2 = ntt_shape(n)
    return 2.0 * n * (n1 + n2 / 2) * transforms


def network_flops(of: Program) -> float:
    """Return the operations of a run on one batch, layer by layer."""
    program = program_of(of.model, of.scheme, fused=False, relinearize=of.needs_keys)
    inputs = program.forecasts()
    return sum(step_flops(step, x) for step, x in zip(program.steps, inputs, strict=False))


def step_flops(step: Step, x: Forecast) -> float:
    """Return the operations of a step on inputs like x."""
    params, ntt_form = step.scheme.params, step.scheme.ntt_form
    wide = 0 if ntt_form else len(params.product_ring.basis)  # primes of q P
    if isinstance(step, SquareStep):
        return ntt_flops(params.n, step.squares * 2 * wide)
    if isinstance(step, SwitchStep):
        return ntt_flops(params.n, math.prod(step.shape) * step.scheme.parts(x.degree) * params.k)
    if isinstance(step, RelinearizeStep):
        # In coefficient form sums of squares are computed modulo q P, and then scaled down.
        transforms = 3 * wide + relinearization_transforms(params.k, ntt_form, step.width)
        if ntt_form and step.level < params.k:
            transforms += 2 * params.k  # of the primes that go, and of the remainder
        return ntt_flops(params.n, math.prod(step.shape) * transforms)
    rows = step.scheme.parts(x.degree) * (wide if x.degree == 2 and wide else params.k)
    linear = [layer for layer in step.layers if isinstance(layer, Linear)]
    return sum(2.0 * params.n * rows * layer.multiply_adds() for layer in linear)


def relinearization_transforms(k: int, ntt_form: bool, width: int = 1) -> int:
    """Return the transforms of one relinearisation: of c_2, of its digits, and of the result."""
    return -(-k // width) * k + (k if ntt_form else 2 * k)
