"""A network as a chain of layers: forward, backward, a table, and a file.

`Sequential` is the one kind of network here. With float32 parameters it is what training changes;
with int64 parameters it is an *integer network*, which runs exactly, also on ciphertexts.

The file is NumPy's .npz (a zip of plain arrays) and is read without pickle, because unpickling a
stranger's file runs a stranger's program. Beside the parameters it holds one text, JSON with the
layers and what is known about the network; see `ModelInfo`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from nn.networks.arrays import LARGEST_FILE_BYTES, narrowed, read_arrays
from nn.networks.base import FloatArray, Layer, Linear, NumberArray, Shape, Values, widened
from nn.networks.batchnorm import BatchNorm
from nn.networks.checks import check_facts, json_object, shape_of
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.schema import Schema
from yashe.arithmetic.whole import shown, whole
from yashe.ciphertexts.ranges import Interval
from yashe.errors import FormatError, KindError, ParameterError, RangeError, ShapeError
from yashe.wire.files import read_input, whole_file

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Conv2D, MeanPool, Square, Flatten)
}
# The networks here take 100,000 products in their largest layer. What asks for 500 times more is
# refused before anything is allocated for it.
LARGEST_LAYER = 1 << 26
MOST_LAYERS = 100
LARGEST_TEXT_BYTES = 1 << 19  # of the layers, and what is known: 1 KB in the networks here
FORMAT = 1


@dataclass(frozen=True)
class ModelInfo:
    """What is known about an integer network.

    Attributes
    ----------
    name : str
        The recipe, e.g. "cryptonets".
    levels : int
        Pixels are integers 0..levels (`nn.training.quantize.quantize_pixels`).
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", whole(self.levels, "levels", 1))

    @classmethod
    def checked(cls, facts: dict[str, Any]) -> ModelInfo:
        """Make one from a stranger's JSON; ValueError unless names and types are the right ones."""
        check_facts(facts, {field.name: type(field.default) for field in fields(cls)})
        return cls(**facts)


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
    schema : Schema, optional
        What the numbers mean; without one, pixels go in, and classes 0, 1, 2, ... come out.

    Raises
    ------
    ParameterError
        If there are no layers, one is there twice or belongs to another network, or a layer cannot
        take the output of the layer before it.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Shape,
        rng: np.random.Generator | None = None,
        info: ModelInfo | None = None,
        schema: Schema | None = None,
    ) -> None:
        self.layers = check_layers(layers)
        self.input_shape = shape = shape_of("input_shape", input_shape)
        self.info = info or ModelInfo()
        for layer in self.layers:
            shape = layer.build(shape, rng)
        self.output_shape = shape
        self.schema = schema
        if schema is not None:
            schema.check(self.input_shape, shape[-1])

    def __repr__(self) -> str:
        return f"Sequential({list(self.layers)}, {self.input_shape}) -> {self.output_shape}"

    @property
    def name(self) -> str:
        """What to call the network where only 40 printable ASCII characters are allowed."""
        name = self.info.name or "network"
        return "".join(c if " " <= c <= "~" else "?" for c in name)[:40]

    @property
    def levels(self) -> int:
        """Pixels of an integer network are integers 0..levels."""
        return self.info.levels

    def forward(self, x: Values) -> Values:
        """Apply all layers to floats, integers, ciphertexts or intervals (..., *input_shape).

        Integers of all types are computed with in int64; Python integers (dtype object) are exact
        whatever their size.

        Raises
        ------
        KindError
            If it is no array, or a masked one, whose masks layers would lose.
        RangeError
            If outputs of an integer network might not fit into int64.
        """
        if not hasattr(x, "shape") or isinstance(x, np.ma.MaskedArray):
            raise KindError(f"layers take arrays, without masks; got a {type(x).__name__}.")
        if isinstance(x, np.ndarray) and x.dtype.kind in "iub":
            x = widened(x)
            self._check_int64(x)
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def layer_outputs(self, x: Values) -> list[Values]:
        """Return what each layer puts out, for an array of any backend; it is not checked."""
        found = []
        for layer in self.layers:
            x = layer.forward(x)
            found.append(x)
        return found

    def _check_int64(self, x: NumberArray) -> None:
        """Refuse integers whose outputs might wrap: first by one bound for all, then by intervals.

        Between the layers values may wrap, because sums and products are exact modulo 2^64.
        """
        if not x.size or any(p.dtype.kind == "f" for p in self.parameters()):
            return
        largest = float(np.abs(x.astype(np.float64)).max())
        for layer in self.layers:
            if isinstance(layer, Linear):
                weight, bias = (np.abs(p.astype(np.float64)) for p in (layer.weight, layer.bias))
                largest = largest * float(weight.sum(axis=0).max()) + float(bias.max())
            elif isinstance(layer, Square):
                largest = min(largest, 2.0**500) ** 2
        if largest < 2.0**62:
            return
        images = x.reshape((-1, *self.input_shape))
        ends = (end(images, axis=0).astype(object) for end in (np.min, np.max))
        outputs = self.layer_outputs(Interval(*ends))[-1]
        if outputs.smallest_t > 2**64:
            raise RangeError(
                f"outputs may reach {shown(outputs.smallest_t // 2)}, and int64 ends at 2^63: "
                "compute with Python integers, forward(x.astype(object))"
            )

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

    def set_parameters(self, values: Iterable[NumberArray]) -> None:
        """Replace all parameters, in the order of `parameters()`, by arrays of any type.

        Raises
        ------
        ShapeError
            If there are more or fewer of them, or one has another shape.
        """
        arrays, wanted = [np.asarray(v) for v in values], [p.shape for p in self.parameters()]
        if (shapes := [array.shape for array in arrays]) != wanted:
            raise ShapeError(f"parameters of shapes {wanted[:8]} were required, got {shapes[:8]}")
        left = iter(arrays)
        for layer in self.layers:
            layer.parameters = {name: next(left) for name in layer.parameters}

    @property
    def digest(self) -> str:
        """SHA-256 of layers, levels and all parameters: another one, if any of them has changed."""
        found = hashlib.sha256(f"{self!r} {self.levels}".encode())
        for array in self.parameters():
            found.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return found.hexdigest()

    def linear_layers(self) -> Iterator[tuple[Linear, BatchNorm | None]]:
        """Yield every layer with trainable weights, with the batch normalisation right after it."""
        following: tuple[Layer | None, ...] = (*self.layers[1:], None)
        for layer, after in zip(self.layers, following, strict=True):
            if isinstance(layer, Linear) and "weight" in layer.parameters:
                yield layer, after if isinstance(after, BatchNorm) else None

    def summary(self) -> str:
        """Return the network as a table, layer by layer, and the totals; in 80 columns."""
        rows, totals = [], np.zeros(3, dtype=np.int64)
        for layer in self.layers:
            shape = " x ".join(map(str, layer.output_shape))
            parameters = sum(p.size for p in layer.parameters.values())
            squares = math.prod(layer.output_shape) if isinstance(layer, Square) else 0
            products = layer.multiply_adds() if isinstance(layer, Linear) else 0
            rows.append((repr(layer), shape, parameters, squares, products))
            totals += parameters, squares, products
        head = f"{'layer':<32}{'output shape':<14}{'parameters':>11}"
        head += f"{'squares':>9}{'multiply-adds':>14}"
        rule = "-" * len(head)
        lines = [head, rule]
        for name, shape, p, q, m in [*rows, ("total", "", *totals.tolist())]:
            first, *more = textwrap.wrap(name, 31, subsequent_indent="    ")
            lines.append(f"{first:<32}{shape:<14}{p:>11,}{q:>9,}{m:>14,}")
            lines += more
        lines.insert(-1, rule)
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an integer network to one .npz file, whole or not at all.

        Raises
        ------
        ParameterError
            If the network is not an integer one: only exported networks have a file format; or
            if no reader would accept it.
        FormatError
            If the folder does not exist or the disk refuses.
        """
        kinds = {type(layer).__name__ for layer in self.layers}
        types = {str(p.dtype) for p in self.parameters()}
        if not (kinds <= set(LAYERS) and types == {"int64"}):
            raise ParameterError(
                f"save() takes layers among {', '.join(LAYERS)} with int64 parameters; got "
                f"{', '.join(sorted(kinds))} with {', '.join(sorted(types)) or 'none'}. Export the "
                "network with nn.training.quantize.export first."
            )
        about = {
            "format": FORMAT,
            "input_shape": self.input_shape,
            "layers": [[type(layer).__name__, layer.settings()] for layer in self.layers],
            "info": asdict(self.info),
            "schema": None if self.schema is None else asdict(self.schema),
        }
        text = np.frombuffer(json.dumps(about, indent=1).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, text, *(narrowed(p) for p in self.parameters()))
        try:
            self._parsed(buffer.getvalue())
        except ValueError as error:
            raise ParameterError(f"no reader would accept this network: {error}") from error
        with whole_file(path) as file:
            file.write(buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sequential:
        """Read an integer network that `save` has written; nothing in the file is executed.

        Raises
        ------
        FormatError
            If the file is anything else: not an archive, too large, other types, shapes that
            do not belong to the layers, layers that do not fit together.
        """
        content = read_input(path, LARGEST_FILE_BYTES)
        try:
            return cls._parsed(content)
        # A stranger's archive and its JSON can be wrong in every way that Python knows.
        except Exception as error:
            raise FormatError(
                f"{path} must hold a network as Sequential.save() writes it; got something else: "
                f"{type(error).__name__}: {str(error)[:500]}. Fetch or train it again."
            ) from error

    @classmethod
    def _parsed(cls, content: bytes) -> Sequential:
        """Return the network of an archive; ValueError, or nearly anything else, if it is none."""
        text, *arrays = read_arrays(content, 1 + 2 * MOST_LAYERS, LARGEST_TEXT_BYTES)
        about = json_object(text.tobytes(), LARGEST_TEXT_BYTES)
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']}, and only {FORMAT} is known")
        info = ModelInfo.checked(about["info"])
        if len(about["layers"]) > MOST_LAYERS:
            raise ValueError(f"{len(about['layers'])} layers, at most {MOST_LAYERS} are accepted")
        input_shape = tuple(about["input_shape"])
        layers = [LAYERS[kind](**settings) for kind, settings in about["layers"]]
        check_sizes(layers, input_shape, [a.shape for a in arrays])
        described = about.get("schema")
        schema = None if described is None else Schema.from_json(described)
        model = cls(layers, input_shape, info=info, schema=schema)
        model.set_parameters(array.astype(np.int64) for array in arrays)
        return model


def check_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers as a tuple, or refuse what cannot be a chain of layers of its own."""
    if not isinstance(layers, Sequence):
        raise KindError(f"a network is a list of layers; got {shown(layers)}.")
    found = tuple(layers)
    if not found:
        raise ParameterError("a network has at least one layer; got none.")
    for i, layer in enumerate(found):
        if not isinstance(layer, Layer):
            raise KindError(f"layer {i} must be a Layer such as Square(); got {shown(layer)}.")
        if any(layer is other for other in found[:i]):
            raise ParameterError(
                f"layer {i}, {layer!r}, is in the network twice, and its weights would be shared: "
                "make a second layer."
            )
        if layer.output_shape:
            raise ParameterError(
                f"layer {i}, {layer!r}, belongs to another network, which would lose its weights: "
                "make a new layer."
            )
    return found


def check_sizes(layers: list[Layer], input_shape: Shape, shapes: list[Shape]) -> None:
    """Refuse (ValueError) before building if weights do not fit or the network is too large."""
    shape = input_shape
    expected: list[Shape] = []
    for layer in layers:
        before, shape = shape, layer.infer(shape)
        if not all(type(side) is int and side > 0 for side in (*before, *shape)):
            raise ValueError(f"shapes of {before} and {shape}")
        work = math.prod(before) + math.prod(shape)
        if isinstance(layer, Linear):
            taps, maps = layer.weight_shape(before)
            work += math.prod(shape) * taps
            if not isinstance(layer, MeanPool):
                expected += [(taps, maps), (maps,)] if layer.has_bias else [(taps, maps)]
        if work > LARGEST_LAYER:
            raise ValueError(f"a layer with {work} products, and {LARGEST_LAYER} are accepted")
    if shapes != expected:
        raise ValueError(f"parameters of shapes {shapes[:8]} where {expected[:8]} are needed")
