"""The layers of a network that has to live on additions and multiplications alone.

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
The square as activation is from CryptoNets (Gilad-Bachrach et al., ICML 2016), section 3.2.1; batch
normalisation is Ioffe and Szegedy, arXiv 1502.03167, section 3, with one deviation (`BatchNorm`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from yashe.errors import ParameterError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IndexArray: TypeAlias = npt.NDArray[np.int64]
NumberArray: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
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


@dataclass(frozen=True)
class Patch:
    """The geometry of a block: like `Block`, with `taps` (K,) naming rows of the layer's weight."""

    inputs: IndexArray
    taps: IndexArray
    outputs: IndexArray


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

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make an equal, unbuilt layer."""
        return {}

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Fix the input shape, create the parameters (zeros without `rng`), return the output."""
        self.input_shape = self.output_shape = input_shape
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

    Subclasses fill `patches` in `build`, and call `_create` for the parameters.
    """

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.has_bias = bias
        self.patches: tuple[Patch, ...] = ()

    @property
    def weight(self) -> NumberArray:
        """The weight, shape (K, M)."""
        return self.parameters["weight"]

    @property
    def bias(self) -> NumberArray:
        """The bias, shape (M,); zeros for a layer without one."""
        if self.has_bias:
            return self.parameters["bias"]
        return np.zeros(self.weight.shape[1], dtype=self.weight.dtype)

    def _create(self, shape: Shape, rng: np.random.Generator | None) -> None:
        # He et al., arXiv 1502.01852: unit variance in, unit variance out. Batch normalisation
        # forgives any other scale, but weights of one size learn at one speed.
        weight = np.zeros(shape) if rng is None else rng.normal(0, shape[0] ** -0.5, shape)
        self.parameters = {"weight": weight.astype(np.float32)}
        if self.has_bias:
            self.parameters["bias"] = np.zeros(shape[1], dtype=np.float32)

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
        flat = x.reshape((*batch, math.prod(self.input_shape)))
        parts = [
            (gather(flat, b.inputs) @ b.weight + b.bias).reshape((*batch, b.outputs.size))
            for b in self.blocks()
        ]
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


class Dense(Linear):
    """Every output reads every input: y = x @ W + b.

    Parameters
    ----------
    units : int
        Number of outputs; W has shape (inputs, units).
    bias : bool
        Whether there is a b. A layer in front of a `BatchNorm` needs none.
    """

    def __init__(self, units: int, bias: bool = True) -> None:
        super().__init__(bias)
        self.units = positive("units", units)

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make an equal, unbuilt layer."""
        return {"units": self.units, "bias": self.has_bias}

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Accept a flat input and create one block with one position."""
        if len(input_shape) != 1:
            raise ParameterError(
                f"Dense takes flat inputs; got the feature shape {input_shape}. Put a Flatten() "
                "in front."
            )
        self.input_shape, self.output_shape = input_shape, (self.units,)
        taps = np.arange(input_shape[0], dtype=np.int64)
        outputs = np.arange(self.units, dtype=np.int64)[np.newaxis]
        self.patches = (Patch(taps[np.newaxis], taps, outputs),)
        self._create((input_shape[0], self.units), rng)
        return self.output_shape

    def forward(self, x: Values) -> Values:
        """Return x @ W + b: the one block without its copies."""
        self.batch_shape(x)
        return x @ self.weight + self.bias

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Return dy @ W^T."""
        dx: FloatArray = dy @ self.weight.T
        return dx


class Conv2D(Linear):
    """A convolution (in truth a correlation, as everywhere in this field) over height and width.

    Parameters
    ----------
    maps : int
        Number of feature maps; W has shape (kernel * kernel * channels, maps).
    kernel, stride : int
        Side of the square kernel, and the distance between neighbouring positions.
    pad_end : int
        Rows of zeros at the bottom and columns of zeros at the right, at most kernel - 1.
    bias : bool
        Whether each map has a bias.
    """

    def __init__(
        self, maps: int, kernel: int, stride: int = 1, pad_end: int = 0, bias: bool = True
    ) -> None:
        super().__init__(bias)
        self.maps, self.kernel = positive("maps", maps), positive("kernel", kernel)
        self.stride = positive("stride", stride)
        if not 0 <= pad_end < kernel:
            raise ParameterError(
                f"pad_end must lie in [0, kernel) = [0, {kernel}); got {pad_end}. With more, some "
                "positions would read padding alone."
            )
        self.pad_end = pad_end

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make an equal, unbuilt layer."""
        return {
            "maps": self.maps,
            "kernel": self.kernel,
            "stride": self.stride,
            "pad_end": self.pad_end,
            "bias": self.has_bias,
        }

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Accept (height, width, channels) and group the positions by the taps they can use."""
        height, width, channels = check_image(self, input_shape, self.kernel - self.pad_end)
        rows = 1 + (height + self.pad_end - self.kernel) // self.stride
        columns = 1 + (width + self.pad_end - self.kernel) // self.stride
        self.input_shape, self.output_shape = input_shape, (rows, columns, self.maps)
        at = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
        self.patches = tuple(
            Patch(
                inputs=self._window(top[:, None], left, down, right, width, channels),
                taps=self._window(np.zeros(1, np.int64), 0, down, right, self.kernel, channels)[0],
                outputs=at[r][:, c].reshape(-1, 1) * self.maps + np.arange(self.maps),
            )
            for r, top, down in self._spans(rows, height)
            for c, left, right in self._spans(columns, width)
        )
        self._create((self.kernel**2 * channels, self.maps), rng)
        return self.output_shape

    def _spans(self, count: int, side: int) -> list[tuple[IndexArray, IndexArray, int]]:
        """Group the positions along one axis: (positions, their first pixels, pixels in reach)."""
        first = np.arange(count, dtype=np.int64) * self.stride
        reach = np.minimum(self.kernel, side - first)
        # Largest reach first: the interior is block 0.
        groups = [np.flatnonzero(reach == r) for r in sorted(set(reach.tolist()), reverse=True)]
        return [(g, first[g], int(reach[g[0]])) for g in groups]

    @staticmethod
    def _window(
        top: Any, left: Any, down: int, right: int, width: int, channels: int
    ) -> IndexArray:
        """Index the pixels of a window at every (top, left): shape (positions, taps)."""
        corner = (np.asarray(top) * width + np.asarray(left)).reshape(-1, 1, 1, 1)
        y, x, channel = np.ogrid[:down, :right, :channels]
        window = (corner + y * width + x) * channels + channel
        return window.reshape(corner.size, -1).astype(np.int64)


class MeanPool(Linear):
    """The mean over windows of size x size pixels, computed as their *sum*.

    A mean needs a division and integers have none, so the result is `scale` = size^2 times the
    mean, and whoever reads the network's output divides (CryptoNets calls this the scaled mean
    pool, section 3.2). The argmax does not need it.
    """

    def __init__(self, size: int) -> None:
        super().__init__(bias=False)
        self.size = positive("size", size)
        self.scale = size**2

    def settings(self) -> dict[str, Any]:
        """Return the arguments that make an equal, unbuilt layer."""
        return {"size": self.size}

    @property
    def weight(self) -> NumberArray:
        """Ones: fixed, and therefore no parameter."""
        return np.ones((self.size**2, 1), dtype=np.int64)

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Accept (height, width, channels), both sides multiples of the size."""
        height, width, channels = check_image(self, input_shape, self.size)
        if height % self.size or width % self.size:
            raise ParameterError(
                f"MeanPool({self.size}) takes sides that are multiples of {self.size}; got "
                f"{height} x {width}. Choose another size, or another stride in the layer before."
            )
        self.input_shape = input_shape
        self.output_shape = (height // self.size, width // self.size, channels)
        index = np.arange(math.prod(input_shape), dtype=np.int64).reshape(
            height // self.size, self.size, width // self.size, self.size, channels
        )
        inputs = index.transpose(0, 2, 4, 1, 3).reshape(-1, self.size**2)
        outputs = np.arange(len(inputs), dtype=np.int64)[:, np.newaxis]
        self.patches = (Patch(inputs, np.arange(self.size**2, dtype=np.int64), outputs),)
        return self.output_shape


class Square(Layer):
    """y = x * x, the only activation that homomorphic encryption evaluates cheaply."""

    def forward(self, x: Values) -> Values:
        """Return x * x."""
        self.batch_shape(x)
        return x * x

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Return 2 x dy."""
        return 2 * x * dy


class Flatten(Layer):
    """Merge all feature axes into one."""

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Accept any shape."""
        self.input_shape, self.output_shape = input_shape, (math.prod(input_shape),)
        return self.output_shape

    def forward(self, x: Values) -> Values:
        """Reshape."""
        return x.reshape((*self.batch_shape(x), *self.output_shape))

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        """Reshape back."""
        return dy.reshape(x.shape)


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
        """Accept any shape; the units are its last axis."""
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


def positive(name: str, value: int) -> int:
    """Return the value if it is at least 1, else refuse."""
    if value < 1:
        raise ParameterError(f"{name} must be at least 1; got {value}.")
    return value


def check_image(layer: Layer, shape: Shape, smallest: int) -> tuple[int, int, int]:
    """Return (height, width, channels) if both sides reach the smallest one allowed."""
    if len(shape) != 3 or min(shape[:2]) < smallest:
        raise ParameterError(
            f"{type(layer).__name__} takes (height, width, channels) with sides of at least "
            f"{smallest}; got {shape}. Put it before any Flatten(), or make its window smaller."
        )
    return shape[0], shape[1], shape[2]
