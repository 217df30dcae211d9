"""What every layer is, and what the linear ones share.

A layer is a map from one array to another. Feature axes come *last*, leading axes are the batch:
a batch of plain images has shape (B, 28, 28, 1), an encrypted one (28, 28, 1), because the images
of its batch hide in the slots of every ciphertext. So each layer has **one** `forward` for float64
arrays, int64 arrays, `Ciphertext` arrays and the arrays of the range proof. It uses only what they
have in common: `shape`, `reshape`, `x[..., indices]`, `x @ matrix`, `x + array`, `x * x`, and a
class method `concatenate`.

Every linear layer is a list of `Block`s, groups of output positions that share their weights:

    outputs = inputs[..., block.inputs] @ block.weight + block.bias

A dense layer is one block with one position. A convolution has one block for its interior and one
for each border where the kernel sticks out: there the padding is *left out* instead of multiplied,
because a zero pixel needs no ciphertext.

For training, a layer also has its two derivatives, `parameter_gradients` and `input_gradient`.
They receive the layer's input again, so that a layer remembers nothing from one call to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nn.networks.checks import Shape as Shape
from yashe.arithmetic.whole import truth
from yashe.errors import ParameterError, RangeError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IndexArray: TypeAlias = npt.NDArray[np.int64]
NumberArray: TypeAlias = npt.NDArray[Any]
# Whatever has the operations listed above: an ndarray, a Ciphertext array, an array of intervals.
Values: TypeAlias = Any


@dataclass(frozen=True)
class Block:
    """Output positions of a linear layer that use the same weights.

    Attributes
    ----------
    inputs : int64 array, shape (P, K)
        Which of the layer's flattened inputs each of the P positions reads.
    weight : array, shape (K, M)
        One column for each of the M values that a position produces.
    outputs : int64 array, shape (P, M)
        Where these values go among the layer's flattened outputs.
    bias : array, shape (M,)
        What is added to each column.
    """

    inputs: IndexArray
    weight: NumberArray
    outputs: IndexArray
    bias: NumberArray

    def __repr__(self) -> str:
        taps, columns = self.weight.shape
        return f"Block({len(self.inputs)} positions, {taps} taps, {columns} values each)"


@dataclass(frozen=True)
class Patch:
    """The geometry of a block: like `Block`, with `taps` (K,) naming rows of the layer's weight."""

    inputs: IndexArray
    taps: IndexArray
    outputs: IndexArray

    def __repr__(self) -> str:
        return f"Patch({len(self.inputs)} positions, {len(self.taps)} taps)"


class Layer:
    """A map with a known input shape; the base class is the identity.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Feature axes without the batch; known after `build`.
    parameters : dict of arrays
        What training changes. Linear layers: `weight` (K, M) and, if they have one, `bias` (M,).
    scale : int
        What the layer multiplies its mathematical result with (see `MeanPool`).
    """

    scale: int = 1

    def __init__(self) -> None:
        self.input_shape: Shape = ()
        self.output_shape: Shape = ()
        self.parameters: dict[str, NumberArray] = {}

    def __repr__(self) -> str:
        usual = {name: each.default for name, each in signature(type(self)).parameters.items()}
        shown = [f"{k}={v}" for k, v in self.settings().items() if usual.get(k) != v]
        return f"{type(self).__name__}({', '.join(shown)})"

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make an equal, unbuilt layer."""
        return {}

    def unbuilt(self, **changes: Any) -> Layer:
        """Return an equal layer that is not built, with some settings changed."""
        return type(self)(**{**self.settings(), **changes})

    def infer(self, input_shape: Shape) -> Shape:
        """Return the output shape for an input shape, or refuse; changes nothing."""
        return input_shape

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Fix the input shape, create the parameters (zeros without `rng`), return the output."""
        self.output_shape = self.infer(input_shape)
        self.input_shape = input_shape
        return self.output_shape

    def forward(self, x: Values) -> Values:
        """Apply the layer to an array of shape (..., *input_shape)."""
        return x

    def training_forward(self, x: FloatArray) -> FloatArray:
        """Apply the layer as it acts during training; differs for `BatchNorm` only."""
        result: FloatArray = self.forward(x)
        return result

    def parameter_gradients(self, x: FloatArray, dy: FloatArray) -> dict[str, FloatArray]:
        """Return the loss's gradient for each parameter; dy is its gradient at the output."""
        return {}

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Return the loss's gradient at the input, shape of x."""
        return dy

    def batch_shape(self, x: Values) -> Shape:
        """Return the leading axes of x, after checking that the rest is the input shape."""
        split = len(x.shape) - len(self.input_shape)
        if split < 0 or tuple(x.shape[split:]) != self.input_shape:
            raise ParameterError(
                f"{type(self).__name__} takes arrays that end in {self.input_shape}; got shape "
                f"{tuple(x.shape)}. Put the batch in front and the features last."
            )
        return tuple(x.shape[:split])


class Linear(Layer):
    """What dense, convolution and pooling layers share: everything but their geometry.

    Subclasses say which patches there are and what shape the weight has.
    """

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.has_bias = truth(bias, "bias")
        self.patches: tuple[Patch, ...] = ()

    @property
    def weight(self) -> NumberArray:
        """The weight, shape (K, M)."""
        weight: NumberArray = widened(self.parameters["weight"])
        return weight

    @property
    def bias(self) -> NumberArray:
        """The bias, shape (M,); zeros for a layer without one."""
        zeros = np.zeros(self.weight.shape[1], dtype=self.weight.dtype)
        bias: NumberArray = widened(self.parameters["bias"]) if self.has_bias else zeros
        return bias

    def weight_shape(self, input_shape: Shape) -> tuple[int, int]:
        """Return (K, M): taps of a full patch, values per position."""
        raise NotImplementedError

    def _patches(self) -> tuple[Patch, ...]:
        raise NotImplementedError

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Fix the input shape, lay out the patches, create weight and bias."""
        super().build(input_shape, rng)
        self.patches = self._patches()
        shape = self.weight_shape(input_shape)
        # Variance in = variance out (LeCun et al., "Efficient BackProp", section 4.6). Batch
        # normalisation forgives any other scale, but weights of one size learn at one speed.
        weight = np.zeros(shape) if rng is None else rng.normal(0, shape[0] ** -0.5, shape)
        self.parameters = {"weight": weight.astype(np.float32)}
        if self.has_bias:
            self.parameters["bias"] = np.zeros(shape[1], dtype=np.float32)
        return self.output_shape

    def blocks(self) -> tuple[Block, ...]:
        """Return the layer as blocks, the form in which every backend evaluates it."""
        weight, bias = self.weight, self.bias
        return tuple(Block(p.inputs, weight[p.taps], p.outputs, bias) for p in self.patches)

    def multiply_adds(self) -> int:
        """Count the products of a weight with an input."""
        return sum(p.inputs.size * p.outputs.shape[1] for p in self.patches)

    def forward(self, x: Values) -> Values:
        """Evaluate block by block, then put the positions in order."""
        batch = self.batch_shape(x)
        flat = widened(x).reshape((*batch, math.prod(self.input_shape)))
        parts = []
        for block in self.blocks():
            part = gather(flat, block.inputs) @ block.weight
            part = part + block.bias if self.has_bias else part
            parts.append(part.reshape((*batch, block.outputs.size)))
        order = np.argsort(np.concatenate([p.outputs.ravel() for p in self.patches]))
        return gather(concatenate(parts), order).reshape((*batch, *self.output_shape))

    def parameter_gradients(self, x: FloatArray, dy: FloatArray) -> dict[str, FloatArray]:
        """Sum inputs times output gradients over all positions of all images."""
        flat, dy = self._flatten(x, self.input_shape), self._flatten(dy, self.output_shape)
        gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        for patch in self.patches:
            columns = gather(flat, patch.inputs).reshape(-1, len(patch.taps))  # (B P, K)
            dy_part = gather(dy, patch.outputs).reshape(-1, patch.outputs.shape[1])  # (B P, M)
            gradients["weight"][patch.taps] += columns.T @ dy_part
            if self.has_bias:
                gradients["bias"] += dy_part.sum(axis=0)
        return gradients

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Send every output's gradient back to the inputs it has read."""
        dx = np.zeros_like(self._flatten(x, self.input_shape))
        dy = self._flatten(dy, self.output_shape)
        for patch, block in zip(self.patches, self.blocks(), strict=True):
            back = gather(dy, patch.outputs) @ block.weight.T  # (B, P, K)
            # One tap at a time: within one tap all positions read different inputs, so that the
            # indexed += adds each of them exactly once.
            for tap in range(len(patch.taps)):
                dx[:, patch.inputs[:, tap]] += back[..., tap]
        return dx.reshape(x.shape)

    @staticmethod
    def _flatten(x: FloatArray, features: Shape) -> FloatArray:
        return x.reshape(-1, math.prod(features))


def widened(x: Values) -> Values:
    """Return integers as int64, in which no small ones wrap; others as they are.

    With int64, NumPy makes floats of uint64, which round from 2^53 on.

    Raises
    ------
    RangeError
        If there are integers beyond int64.
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iub" or x.dtype == np.int64:
        return x
    if x.dtype == np.uint64 and (x > np.iinfo(np.int64).max).any():
        raise RangeError(f"integers must lie below 2^63 to be computed with, got {x.max()}")
    return x.astype(np.int64)


def gather(x: Values, indices: IndexArray) -> Values:
    """Return x[..., indices]; for a plain array in C order, which the product after it likes."""
    return np.take(x, indices, axis=-1) if isinstance(x, np.ndarray) else x[..., indices]


def concatenate(parts: list[Values]) -> Values:
    """Join arrays of any backend along their last axis."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=-1)
    return type(parts[0]).concatenate(parts, axis=-1)
