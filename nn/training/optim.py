"""How training walks downhill: SGD with momentum, AdamW, a cosine schedule, gradient clipping.

An optimiser owns a list of arrays and changes them in place, one `step(gradients, rate)` at a time.
"""

from __future__ import annotations

import math

import numpy as np

from nn.networks.base import FloatArray
from yashe.errors import ParameterError

BETAS = (0.9, 0.999)  # of Adam: how slowly the averages of gradients and of their squares move


class Optimizer:
    """Base class: remembers the arrays that it changes."""

    def __init__(self, parameters: list[FloatArray]) -> None:
        self.parameters = parameters

    def __repr__(self) -> str:
        size = sum(p.size for p in self.parameters)
        return f"{type(self).__name__}({len(self.parameters)} arrays, {size:,} numbers)"

    def step(self, gradients: list[FloatArray], rate: float) -> None:
        """Move every parameter against its gradient; the learning rate is positive."""
        raise NotImplementedError

    def check(self, gradients: list[FloatArray]) -> None:
        """Refuse gradients that do not belong to the parameters."""
        shapes = [p.shape for p in self.parameters], [g.shape for g in gradients]
        if shapes[0] != shapes[1]:
            raise ParameterError(
                f"step() takes one gradient for each parameter, of its shape {shapes[0]}; got "
                f"{shapes[1]}. Pass them in the order of Sequential.parameters()."
            )


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: v <- momentum v + g, w <- w - rate v."""

    def __init__(self, parameters: list[FloatArray], momentum: float = 0.9) -> None:
        super().__init__(parameters)
        self.momentum = momentum
        self.velocities = [np.zeros_like(p) for p in parameters]

    def step(self, gradients: list[FloatArray], rate: float) -> None:
        """Move every parameter against its averaged gradient."""
        self.check(gradients)
        for w, g, v in zip(self.parameters, gradients, self.velocities, strict=True):
            v *= self.momentum
            v += g
            w -= rate * v


class Adam(Optimizer):
    """Adam (Kingma and Ba, arXiv 1412.6980, Algorithm 1) with the decay of AdamW.

    Decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, Algorithm 2) acts on matrices
    only: gains, shifts and biases have one axis and are left alone.
    """

    def __init__(
        self, parameters: list[FloatArray], decay: float = 0.0, epsilon: float = 1e-8
    ) -> None:
        super().__init__(parameters)
        self.decay, self.epsilon = decay, epsilon
        self.steps = 0
        self.means = [np.zeros_like(p) for p in parameters]
        self.squares = [np.zeros_like(p) for p in parameters]

    def step(self, gradients: list[FloatArray], rate: float) -> None:
        """Move every parameter by about the rate, whatever the size of its gradient."""
        self.check(gradients)
        self.steps += 1
        beta1, beta2 = BETAS
        # Both averages start at zero; these factors undo what that costs in the first steps.
        correct1, correct2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for w, g, m, v in zip(self.parameters, gradients, self.means, self.squares, strict=True):
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            if w.ndim > 1:
                w *= 1 - rate * self.decay
            w -= (rate / correct1) * m / (np.sqrt(v / correct2) + self.epsilon)


def cosine_rate(step: int, steps: int, peak: float, warmup: int = 0) -> float:
    """Return the learning rate of one step: a line up to the peak, then half a cosine down to 0.

    Loshchilov and Hutter, arXiv 1608.03983, equation (5), with one period.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def clip_gradients(gradients: list[FloatArray], largest: float) -> float:
    """Shrink all gradients together, in place, to a norm of at most `largest`.

    Returns
    -------
    float
        The norm before. Not finite when the loss has diverged: then nothing is changed.
    """
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
    if math.isfinite(norm) and norm > largest:
        for g in gradients:
            g *= largest / norm
    return norm
