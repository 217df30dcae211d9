"""Grey pictures of one size, each of a class: the same networks, on pixels instead of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nn.estimators.base import MOST_BITS, layers
from nn.estimators.checks import TableError, generator
from nn.networks.layers import Flatten
from nn.networks.model import ModelInfo, Sequential
from nn.networks.schema import Classes, Schema
from nn.training.fit import Course, fit, logistic
from nn.training.quantize import proved_bits
from yashe.arithmetic.whole import whole

WHITE = 255


def fit_pictures(
    pictures: npt.NDArray[np.uint8],
    labels: npt.NDArray[Any],
    hidden: tuple[int, ...] = (16,),
    bits: int = 4,
    epochs: int = 40,
    random_state: Any = None,
) -> Sequential:
    """Return an integer network that decides between the classes of pictures.

    Parameters
    ----------
    pictures : uint8 array, shape (pictures, height, width, 1), black 0 to white 255
    labels : one for each
    hidden, bits, epochs, random_state : as in `nn.estimators.base.Estimator`

    Raises
    ------
    TableError
        If there are fewer than two classes.
    """
    levels = 2 ** whole(bits, "bits", 1, MOST_BITS) - 1
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise TableError(f"two classes or more are needed; got {classes.tolist()}.")
    rng, outputs = generator(random_state), 1 if len(classes) == 2 else len(classes)
    # The expression of `quantize_pixels`, which rounds it.
    inputs = np.multiply(pictures, levels, dtype=np.float64) / WHITE
    network = [Flatten(), *layers(hidden, outputs)]
    found = fit(network, inputs, numbers.astype(np.int64), logistic, Course(epochs=epochs), rng)
    model = found.whole
    bits_proved = round(proved_bits(model, levels), 2)
    model.info = ModelInfo(name="SquareNet", levels=levels, proved_bits=bits_proved)
    model.schema = Schema(Classes(tuple(classes.tolist()), found.scale))
    return model
