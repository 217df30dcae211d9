"""A network as a chain of layers: forward, backward, a table, and a file.

`Sequential` is the one kind of network here. With float32 parameters it is what training changes;
with int64 parameters it is an *integer network*, which runs exactly, also on ciphertexts.

The file is NumPy's .npz (a zip of plain arrays) and is read without pickle, because unpickling a
stranger's file runs a stranger's program. Beside the parameters it holds one text, JSON with the
layers and what is known about the network; see `ModelInfo`.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nn.base import FloatArray, Layer, Linear, NumberArray, Shape, Values
from nn.batchnorm import BatchNorm
from nn.layers import Conv2D, Dense, Flatten, MeanPool, Square
from yashe.errors import FormatError, ParameterError

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Conv2D, MeanPool, Square, Flatten)
}
# The networks here take 100 KB, and 100,000 products in their largest layer. What asks for 500
# times more is refused before anything is allocated for it.
LARGEST_FILE_BYTES = 1 << 26
LARGEST_LAYER = 1 << 26
FORMAT = 1


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

    @classmethod
    def checked(cls, facts: dict[str, Any]) -> ModelInfo:
        """Make one from a stranger's JSON; ValueError unless names and types are the right ones."""
        types = {field.name: type(field.default) for field in fields(cls)}
        if {name: type(value) for name, value in facts.items()} != types:
            raise ValueError(f"info with {sorted(facts)}, where {sorted(types)} are needed")
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
        names, shapes = [], []
        counts: list[tuple[int, ...]] = []
        for layer in self.layers:
            arguments = ", ".join(f"{key}={value}" for key, value in layer.settings().items())
            names.append(f"{type(layer).__name__}({arguments})")
            shapes.append(" x ".join(map(str, layer.output_shape)))
            parameters = sum(p.size for p in layer.parameters.values())
            squarings = math.prod(layer.output_shape) if isinstance(layer, Square) else 0
            products = layer.multiply_adds() if isinstance(layer, Linear) else 0
            counts.append((parameters, squarings, products))
        counts.append(tuple(map(sum, zip(*counts, strict=True))))
        rows = [("layer", "output shape", "parameters", "squarings", "multiply-adds")]
        for name, shape, (p, q, m) in zip((*names, "total"), (*shapes, ""), counts, strict=True):
            rows.append((name, shape, f"{p:,}", f"{q:,}", f"{m:,}"))
        wide, high = (max(len(row[i]) for row in rows) for i in (0, 1))
        lines = [f"{n:<{wide}}  {s:<{high}}  {p:>10}  {q:>9}  {m:>13}" for n, s, p, q, m in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an integer network to one .npz file, whole or not at all.

        Raises
        ------
        ParameterError
            If the network is not an integer one: only exported networks have a file format.
        """
        kinds = {type(layer).__name__ for layer in self.layers}
        types = {str(p.dtype) for p in self.parameters()}
        if not (kinds <= set(LAYERS) and types == {"int64"}):
            raise ParameterError(
                f"save() takes layers among {', '.join(LAYERS)} with int64 parameters; got "
                f"{', '.join(sorted(kinds))} with {', '.join(sorted(types)) or 'none'}. Export the "
                "network with nn.quantize.export first."
            )
        about = {
            "format": FORMAT,
            "input_shape": self.input_shape,
            "layers": [[type(layer).__name__, layer.settings()] for layer in self.layers],
            "info": asdict(self.info),
        }
        text = np.frombuffer(json.dumps(about, indent=1).encode(), dtype=np.uint8)
        arrays = [narrowed(p) for p in self.parameters()]
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with temporary.open("xb") as file:
                np.savez_compressed(file, text, *arrays)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sequential:
        """Read an integer network that `save` has written; nothing in the file is executed.

        Raises
        ------
        FormatError
            If the file is anything else: not an archive, too large, other types, shapes that
            do not belong to the layers, layers that do not fit together.
        """
        text, *arrays = read_arrays(Path(path))
        try:
            about = json.loads(text.tobytes())
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, and only {FORMAT} is known")
            info = ModelInfo.checked(about["info"])
            input_shape = tuple(about["input_shape"])
            layers = [LAYERS[kind](**settings) for kind, settings in about["layers"]]
            check_sizes(layers, input_shape, [a.shape for a in arrays])
            model = cls(layers, input_shape, info=info)
        # JSON of a stranger can be wrong in every way that Python knows; all are one error here.
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise FormatError(
                f"{path} must hold a network as Sequential.save() writes it; its description is "
                f"not one: {type(error).__name__}: {error}. Fetch or train it again."
            ) from error
        values = iter(arrays)
        for layer in model.layers:
            layer.parameters = {name: next(values).astype(np.int64) for name in layer.parameters}
        return model


def narrowed(values: NumberArray) -> NumberArray:
    """Return integers in the smallest signed type that holds them all: small files."""
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max:
            return values.astype(kind)
    return values


def read_arrays(path: Path) -> list[NumberArray]:
    """Read the arrays arr_0, arr_1, ... of an .npz file: bytes first, then signed integers.

    A header may promise any shape, so it is compared with the bytes that are there before NumPy
    allocates anything.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if names != [f"arr_{i}.npy" for i in range(len(names))] or not names:
                raise ValueError(f"members {names[:4]}")
            total = sum(member.file_size for member in members)
            if total > LARGEST_FILE_BYTES:
                raise ValueError(f"{total} bytes, and at most {LARGEST_FILE_BYTES} are accepted")
            contents = [archive.read(member) for member in members]
        arrays = [parse_array(content) for content in contents]
        if arrays[0].dtype != np.uint8 or any(a.dtype.kind != "i" for a in arrays[1:]):
            raise ValueError(f"types {[str(a.dtype) for a in arrays]}")
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}.") from error
    # RuntimeError: an encrypted archive; NotImplementedError: a compression of another world.
    except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError) as error:
        raise FormatError(
            f"{path} must be an .npz file as Sequential.save() writes it; got something else: "
            f"{error}. Fetch or train it again."
        ) from error
    return arrays


def parse_array(content: bytes) -> NumberArray:
    """Read one .npy file from memory; the bytes must be as many as its header says."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array in a version other than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    data = content[stream.tell() :]
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of {len(data)} bytes whose header says {dtype} {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


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
