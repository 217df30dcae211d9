"""Small networks for anybody's numbers: floats first, then rounded while they go on learning.

    float    a network with batch normalisation, on inputs that are not rounded
    rounded  a copy of it computes with rounded weights, on rounded inputs
    frozen   batch normalisation stands still and biases are whole: what is trained now is, row for
             row, the integer network that is returned

It is the way of `nn.training.train`, for inputs that are no images of digits: without augmentation
and teachers, and for classes and values alike. Batch normalisation gets its averages from all rows
at the end of a part, because small tables make few batches.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nn.networks.base import FloatArray, Layer
from nn.networks.batchnorm import BatchNorm
from nn.networks.model import Sequential
from nn.training.loss import cross_entropy, for_classes, smooth_labels
from nn.training.optim import Adam, clip_gradients, cosine_rate
from nn.training.quantize import LARGEST_BIAS, StraightThrough, export, folded
from yashe.errors import TrainingError

LARGEST_GRADIENT_NORM = 1.0
FEWEST_STEPS = 300  # of a part: tables with few rows are read more often

Loss: TypeAlias = Callable[[FloatArray, npt.NDArray[Any]], tuple[float, FloatArray]]


@dataclass(frozen=True)
class Course:
    """How long and how fast a network learns.

    Attributes
    ----------
    epochs : how often all rows are read in the first part; half as often in the second and third
    batch : rows for one step
    rate : highest learning rate of the first part; a third of it in the others
    decay : weight decay
    noise : standard deviation of what is added to the inputs of every batch, as a share of their
        range; it keeps networks from learning the rows of small tables by heart
    limit : largest |weight| of the integer network
    density : mean |weight| at the start of rounding (`nn.training.quantize.StraightThrough`)
    """

    epochs: int = 40
    batch: int = 32
    rate: float = 1e-2
    decay: float = 0.1
    noise: float = 0.05
    limit: int = 7
    density: float = 2.0

    def steps(self, rows: int, share: float = 1.0) -> int:
        """Return the steps of a part that is this share of the epochs."""
        return max(FEWEST_STEPS, math.ceil(share * self.epochs * rows / self.batch))


@dataclass(frozen=True)
class Fitted:
    """What training makes.

    Attributes
    ----------
    real : the float network, on inputs that are not rounded
    whole : the integer network
    scale : outputs of the float network are about scale * outputs of the integer one
    """

    real: Sequential
    whole: Sequential
    scale: float


def fit(
    layers: list[Layer],
    inputs: FloatArray,
    targets: npt.NDArray[Any],
    loss: Loss,
    course: Course,
    rng: np.random.Generator,
) -> Fitted:
    """Train layers on inputs and targets.

    Parameters
    ----------
    layers : unbuilt: dense ones without bias, each with a `BatchNorm` after it and all but the
        last with a `Square` after that; perhaps a `Flatten` in front
    inputs : float64 array, shape (rows, *input shape), not rounded; whole numbers are meant
    targets : one for each row, as the loss takes them
    loss : returns the mean loss of a batch and its gradient at the outputs
    course : how long and how fast
    rng : draws the initial weights and the order of the rows

    Raises
    ------
    TrainingError
        If training diverges.
    """
    model = Sequential(layers, inputs.shape[1:], rng)
    # Rounded before they become float32: row for row what `Columns.prepare` gives.
    whole = np.floor(inputs + 0.5).astype(np.float32)
    real = inputs.astype(np.float32)
    deviation = np.float32(course.noise * np.ptp(whole))

    def blurred(x: FloatArray) -> FloatArray:
        moved: FloatArray = x + deviation * rng.standard_normal(x.shape, dtype=np.float32)
        return moved

    steps = course.steps(len(real))
    optimizer = Adam(model.parameters(), decay=course.decay)
    for step, rows in enumerate(batches(len(real), course.batch, steps, rng)):
        rate = cosine_rate(step, steps, course.rate, warmup=20)
        descend(model, optimizer, loss, blurred(real[rows]), targets[rows], rate)
    settle(model, real)
    found = copy.deepcopy(model)

    count = len(list(folded(model)))
    rounding = StraightThrough(model, (course.limit,) * count, (course.density,) * count)
    optimizer = Adam(rounding.latent, decay=course.decay)
    half = course.steps(len(real), 0.5)
    rounding.apply()
    for step, rows in enumerate(batches(len(real), course.batch, 2 * half, rng)):
        if step == half:
            settle(model, whole)
            rounding.freeze()
        rate = cosine_rate(step, 2 * half, course.rate / 3)
        descend(model, optimizer, loss, blurred(whole[rows]), targets[rows], rate)
        rounding.apply()
    last = list(folded(model))[-1]
    return Fitted(found, trimmed(export(model)), last.unit * last.factor)


def trimmed(model: Sequential) -> Sequential:
    """Return a network without the hidden units that rounding has left without any weight.

    Such a unit is a constant, which nobody needs to encrypt and no server may (a ciphertext that
    depends on no input can be read by anybody). Its square goes into the biases of the next layer.

    Parameters
    ----------
    model : integer network of dense layers, a square behind each but the last

    Returns
    -------
    Sequential
        The same outputs for every input. New memory, but for what has not changed.
    """
    parameters = [dict(layer.parameters) for layer, _ in model.linear_layers()]
    for here, behind in pairwise(parameters):
        used = here["weight"].any(axis=0)
        if used.all() or not used.any():
            continue
        constants = here["bias"][~used].astype(object) ** 2  # Python integers, of any size
        bias = behind["bias"].astype(object) + constants @ behind["weight"][~used].astype(object)
        if max(map(abs, bias)) >= LARGEST_BIAS:
            raise TrainingError("biases are integers below 2^62: take fewer bits, or fewer layers.")
        behind["bias"] = bias.astype(np.int64)
        here["weight"], here["bias"] = here["weight"][:, used], here["bias"][used]
        behind["weight"] = behind["weight"][used]
    widths = (values["bias"].size for values in parameters)
    layers = [
        layer.unbuilt(units=next(widths)) if layer.parameters else layer.unbuilt()
        for layer in model.layers
    ]
    found = Sequential(layers, model.input_shape)
    found.set_parameters(array for values in parameters for array in values.values())
    return found


def batches(
    rows: int, size: int, count: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of `count` batches of one size, all rows in a new order again and again."""
    order = np.zeros(0, dtype=np.int64)
    size = min(size, rows)
    for _ in range(count):
        if len(order) < size:
            order = np.concatenate([order, rng.permutation(rows)])
        yield order[:size]
        order = order[size:]


def descend(
    model: Sequential,
    optimizer: Adam,
    loss: Loss,
    inputs: FloatArray,
    targets: npt.NDArray[Any],
    rate: float,
) -> None:
    """Make one step on one batch."""
    outputs, seen = model.training_forward(inputs)
    value, dy = loss(outputs, targets)
    gradients = model.backward(seen, dy.astype(np.float32))
    norm = clip_gradients(gradients, LARGEST_GRADIENT_NORM)
    if not (math.isfinite(value) and math.isfinite(norm)):
        raise TrainingError(
            f"training has diverged: loss {value}, gradient norm {norm}. Squares amplify: put a "
            "BatchNorm in front of every Square, lower the learning rate, or take fewer layers."
        )
    optimizer.step(gradients, rate)


def settle(model: Sequential, inputs: FloatArray) -> None:
    """Give batch normalisation the averages of all rows: those of few batches are not exact."""
    x = inputs
    for layer in model.layers:
        if isinstance(layer, BatchNorm) and not layer.frozen:
            _, layer.mean, layer.deviation = layer.averages(x)
        x = layer.forward(x)


def logistic(outputs: FloatArray, labels: npt.NDArray[np.int64]) -> tuple[float, FloatArray]:
    """Return the cross-entropy of class numbers, and its gradient at the outputs."""
    logits = for_classes(outputs)
    value, gradient = cross_entropy(logits, smooth_labels(labels, logits.shape[-1]))
    return value, gradient[:, -outputs.shape[-1] :]


def squared_error(outputs: FloatArray, values: FloatArray) -> tuple[float, FloatArray]:
    """Return half of the mean squared error of one output for each row, and its gradient."""
    difference = outputs - values[:, np.newaxis]
    return float(np.mean(difference**2)) / 2, difference / np.float32(len(difference))
