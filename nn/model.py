"""A network as a chain of layers: forward, backward, a table, and a file.

`Sequential` is the one kind of network here. With float32 parameters it is what training changes;
with int64 parameters it is an *integer network*, which runs exactly, also on ciphertexts.

The file is NumPy's .npz (a zip of plain arrays) and is read without pickle, because unpickling a
stranger's file runs a stranger's program. Beside the parameters it holds one text, JSON with the
layers and what is known about the network; see `ModelInfo`.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    FloatArray,
    Layer,
    Linear,
    MeanPool,
    NumberArray,
    Shape,
    Square,
    Values,
)
from yashe.errors import FormatError, ParameterError

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Conv2D, MeanPool, Square, Flatten)
}
# A file is refused before anything of this size is read into memory. The networks here stay below
# 100,000 parameters; the limit leaves room for the square root of everybody's ambition.
LARGEST_FILE_BYTES = 1 << 26


@dataclass(frozen=True)
class ModelInfo:
    """What is known about an integer network.

    Attributes
    ----------
    name : str
        The recipe, e.g. "cryptonets".
    levels : int
        Pixels are integers 0..levels (`nn.quantize.quantize_pixels`).
    command, seed
        What makes the same network again.
    validation_accuracy, test_accuracy : float
        Shares in [0, 1], of the integer network; the choice between networks was made on the first.
    proved_bits : float
        log2(2 max|logit|) over every image that pixels 0..levels can form.
    seconds : float
        What the training took.
    """

    name: str = ""
    levels: int = 1
    command: str = ""
    seed: int = 0
    validation_accuracy: float = 0.0
    test_accuracy: float = 0.0
    proved_bits: float = 0.0
    seconds: float = 0.0


class Sequential:
    """Layers one after the other.

    Parameters
    ----------
    layers : sequence of Layer
        Unbuilt layers; they are built here and belong to this network from then on.
    input_shape : tuple of int
        Feature axes of the input, e.g. (28, 28, 1).
    rng : numpy Generator, optional
        Draws the initial weights; without one they are zero.

    Raises
    ------
    ParameterError
        If a layer cannot take the output of the layer before it.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Shape,
        rng: np.random.Generator | None = None,
        info: ModelInfo | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self.input_shape = shape = tuple(input_shape)
        self.info = info or ModelInfo()
        for layer in self.layers:
            shape = layer.build(shape, rng)
        self.output_shape = shape

    @property
    def scale(self) -> int:
        """What the outputs must be divided by because of the layers' `scale`s; squares square it.

        Exact for layers without bias only: a bias is added to the scaled value as it is.
        """
        scale = 1
        for layer in self.layers:
            scale = scale**2 if isinstance(layer, Square) else scale * layer.scale
        return scale

    def forward(self, x: Values) -> Values:
        """Apply all layers to floats, integers, ciphertexts or intervals (..., *input_shape)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def training_forward(self, x: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
        """Apply all layers as in training; return the output and the input of every layer."""
        inputs = []
        for layer in self.layers:
            inputs.append(x)
            x = layer.training_forward(x)
        return x, inputs

    def backward(self, inputs: list[FloatArray], dy: FloatArray) -> list[FloatArray]:
        """Return the gradients of all parameters, in the order of `parameters()`.

        Parameters
        ----------
        inputs : list of arrays
            What `training_forward` has returned beside the output.
        dy : float array, shape (B, *output_shape)
            The loss's gradient at the output.
        """
        gradients: list[FloatArray] = []
        for i in reversed(range(len(self.layers))):
            layer, x = self.layers[i], inputs[i]
            found = layer.parameter_gradients(x, dy)
            gradients = [found[name] for name in layer.parameters] + gradients
            if i > 0:  # nobody asks for the gradient at the images
                dy = layer.input_gradient(x, dy)
        return gradients

    def parameters(self) -> list[NumberArray]:
        """Return all parameters, layer by layer: the arrays themselves, not copies."""
        return [value for layer in self.layers for value in layer.parameters.values()]

    def linear_layers(self) -> Iterator[tuple[Linear, BatchNorm | None]]:
        """Yield every layer with trainable weights, with the batch normalisation right after it."""
        following: tuple[Layer | None, ...] = (*self.layers[1:], None)
        for layer, after in zip(self.layers, following, strict=True):
            if isinstance(layer, Linear) and "weight" in layer.parameters:
                yield layer, after if isinstance(after, BatchNorm) else None

    def summary(self) -> str:
        """Return the network as a table: one line for each layer, and the totals."""
        head = ("layer", "output shape", "parameters", "squarings", "multiply-adds")
        rows: list[tuple[str, str, int, int, int]] = []
        for layer in self.layers:
            arguments = ", ".join(f"{k}={v}" for k, v in layer.settings().items())
            size = int(np.prod(layer.output_shape))
            rows.append(
                (
                    f"{type(layer).__name__}({arguments})",
                    " x ".join(map(str, layer.output_shape)),
                    sum(p.size for p in layer.parameters.values()),
                    size if isinstance(layer, Square) else 0,
                    layer.multiply_adds() if isinstance(layer, Linear) else 0,
                )
            )
        rows.append(("total", "", *(sum(column) for column in list(zip(*rows, strict=True))[2:])))  # type: ignore[arg-type]
        text = [head, *((a, b, f"{c:,}", f"{d:,}", f"{e:,}") for a, b, c, d, e in rows)]
        widths = [max(map(len, column)) for column in zip(*text, strict=True)]
        lines = [
            "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(cells)).rstrip()
            for cells in (list(zip(row, widths, strict=True)) for row in text)
        ]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an integer network to one .npz file, whole or not at all.

        Raises
        ------
        ParameterError
            If a parameter is not int64: only exported networks have a file format.
        """
        for layer in self.layers:
            if type(layer).__name__ not in LAYERS:
                raise ParameterError(
                    f"an integer network consists of {', '.join(LAYERS)}; got a "
                    f"{type(layer).__name__}. Export the network with nn.quantize.export first."
                )
        arrays = {f"p{i}": p for i, p in enumerate(self.parameters())}
        if any(p.dtype != np.int64 for p in arrays.values()):
            raise ParameterError(
                "save() takes int64 parameters; got a network with floats. Export it with "
                "nn.quantize.export first."
            )
        about = {
            "format": 1,
            "input_shape": self.input_shape,
            "layers": [[type(layer).__name__, layer.settings()] for layer in self.layers],
            "info": asdict(self.info),
        }
        # The smallest type that holds the values: 20 KB instead of 700 for the networks here.
        small = {name: p.astype(np.min_scalar_type(smallest(p))) for name, p in arrays.items()}
        target = Path(path)
        handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, about=np.array(json.dumps(about)), **small)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise


def smallest(values: NumberArray) -> int:
    """Return the value whose type holds all of the values."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return low if low < 0 and -low > high else (high if low >= 0 else -high - 1)
