"""Batch normalisation: what keeps a network of squares from diverging while it is trained.

    y = gain * (x - mean) / deviation + shift

A square doubles every exponent, so that after two of them a weight that is twice too large makes a
logit sixteen times too large, and its gradient as well. Normalised layers cannot run away. Nothing
of this is left in the integer network: `nn.training.quantize` folds it into the biases.

Source: Ioffe and Szegedy, arXiv 1502.03167, section 3, with one deviation (see `BatchNorm`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nn.networks.base import FloatArray, Layer, Shape, Values


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
        return (x - self._spread(self.mean)) * gain + self._spread(self.parameters["shift"])

    def training_forward(self, x: FloatArray) -> FloatArray:
        """Normalise with the averages of this batch and let the running ones follow."""
        centred, mean, deviation = self.averages(x)
        if not self.frozen:
            self.mean += self.momentum * (mean - self.mean)
            self.deviation += self.momentum * (deviation - self.deviation)
        gain = self.parameters["gain"] / deviation
        return centred * gain + self._spread(self.parameters["shift"])

    def parameter_gradients(self, x: FloatArray, dy: FloatArray) -> dict[str, FloatArray]:
        """Return the gradients of gain and shift."""
        centred, _, deviation = self.averages(x)
        return {"gain": np.vdot(centred, dy) / deviation, "shift": unit_sums(dy)}

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Return the gradient at x, through the averages as well unless they are frozen."""
        centred, _, deviation = self.averages(x)
        factor = self.parameters["gain"] / deviation
        if self.frozen:
            return dy * factor
        # Moving all of a unit's inputs together, or all inputs in proportion to their distance
        # from the mean, changes nothing: those two components of the gradient vanish.
        along_mean = unit_sums(dy) * (dy.shape[-1] / dy.size)
        along_deviation = np.vdot(dy, centred) / (dy.size * deviation**2)
        dx: FloatArray = factor * (dy - self._spread(along_mean) - centred * along_deviation)
        return dx

    def averages(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return x - mean, the mean and the deviation: the running ones if they are frozen."""
        if self.frozen:
            return x - self._spread(self.mean), self.mean, self.deviation
        mean = unit_sums(x) * (x.shape[-1] / x.size)
        centred = x - self._spread(mean)
        # The constant keeps a layer that is zero everywhere from dividing by zero.
        deviation = np.sqrt(np.vdot(centred, centred) / centred.size + 1e-6)
        return centred, mean, np.array([deviation], dtype=x.dtype)

    def _spread(self, units: FloatArray) -> FloatArray:
        """Repeat one value for each unit over all positions: one long loop, not many short ones."""
        spread: FloatArray = np.broadcast_to(units, self.input_shape).copy()
        return spread


def unit_sums(x: FloatArray) -> FloatArray:
    """Sum over all axes but the last, as a matrix product (several times faster than `sum`)."""
    columns = x.reshape(-1, x.shape[-1])
    sums: FloatArray = np.ones(len(columns), dtype=x.dtype) @ columns
    return sums
