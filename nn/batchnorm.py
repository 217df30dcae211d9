"""Batch normalisation: what keeps a network of squares from diverging while it is trained.

    y = gain * (x - mean) / deviation + shift

A square doubles every exponent, so that after two of them a weight that is twice too large makes a
logit sixteen times too large, and its gradient as well. Normalised layers cannot run away. Nothing
of this is left in the integer network: `nn.quantize` folds it into the biases.

Source: Ioffe and Szegedy, arXiv 1502.03167, section 3, with one deviation (see `BatchNorm`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nn.base import FloatArray, Layer, Shape, Values


class BatchNorm(Layer):
    """Centre every unit, divide the whole layer by one common scale, then gain and shift.

        y = gain * (x - mean) / deviation + shift        mean, shift: one for each unit (last axis)
                                                         deviation, gain: one for the layer

    It keeps a network of squares from diverging (x^2 doubles every exponent) and it exists in
    training only. We deviate from the paper, where every unit has its own deviation: with a common
    one, what is left after folding is a bias, (x + b) times one number for the layer, and one
    number goes through a square and a linear layer without changing any argmax. So an *integer*
    network needs no rescaling at all.

    Attributes
    ----------
    mean, deviation : float32 arrays, shapes (units,) and (1,)
        Running averages over the training batches, used outside of training.
    frozen : bool
        Whether training uses the running averages too, and leaves them as they are.
    """

    momentum: ClassVar[float] = 0.02

    def __init__(self) -> None:
        super().__init__()
        self.mean: FloatArray = np.zeros(0, dtype=np.float32)
        self.deviation: FloatArray = np.ones(1, dtype=np.float32)
        self.frozen = False

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        units = input_shape[-1]
        self.mean = np.zeros(units, dtype=np.float32)
        gain, shift = np.ones(1, dtype=np.float32), np.zeros(units, dtype=np.float32)
        self.parameters = {"gain": gain, "shift": shift}
        return super().build(input_shape, rng)

    def forward(self, x: Values) -> Values:
        """Normalise with the running averages."""
        self.batch_shape(x)
        gain = self.parameters["gain"] / self.deviation
        return (x - self.mean) * gain + self.parameters["shift"]

    def training_forward(self, x: FloatArray) -> FloatArray:
        """Normalise with the averages of this batch and let the running ones follow."""
        if self.frozen:
            return super().training_forward(x)
        mean, deviation = self._averages(x)
        self.mean += self.momentum * (mean - self.mean)
        self.deviation += self.momentum * (deviation - self.deviation)
        gain = self.parameters["gain"] / deviation
        return (x - mean) * gain + self.parameters["shift"]

    def parameter_gradients(self, x: FloatArray, dy: FloatArray) -> dict[str, FloatArray]:
        """Return the gradients of gain and shift."""
        mean, deviation = self._averages(x)
        shift = dy.reshape(-1, dy.shape[-1]).sum(axis=0)
        gain = np.sum((x - mean) * dy, keepdims=True).reshape(1) / deviation
        return {"gain": gain, "shift": shift}

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Return the gradient at x, through the averages as well unless they are frozen."""
        mean, deviation = self._averages(x)
        factor = self.parameters["gain"] / deviation
        if self.frozen:
            return dy * factor
        # Moving all of a unit's inputs together, or all inputs in proportion to their distance
        # from the mean, changes nothing: those two components of the gradient vanish.
        centred = (x - mean) / deviation
        along_mean = dy.reshape(-1, dy.shape[-1]).mean(axis=0)
        dx: FloatArray = factor * (dy - along_mean - centred * np.mean(dy * centred))
        return dx

    def _averages(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self.frozen:
            return self.mean, self.deviation
        units = x.reshape(-1, x.shape[-1])
        mean = units.mean(axis=0)
        # The constant keeps a layer that is zero everywhere from dividing by zero.
        deviation = np.sqrt(np.mean((units - mean) ** 2, keepdims=True)[0] + 1e-6)
        return mean, deviation.astype(x.dtype)
