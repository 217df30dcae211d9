"""The layers of a network that has to live on additions and multiplications alone.

    Dense       y = x @ W + b
    Conv2D      the same at every position of an image, reading a small window
    MeanPool    the sum of a window
    Square      y = x * x
    Flatten     no arithmetic

That is all a ciphertext can do: there is no ReLU and no maximum among sums and products. The
square as activation and the scaled mean pool are from CryptoNets (Gilad-Bachrach et al., ICML 2016,
section 3.2). What all layers share, with the array convention, is in `nn.networks.base`; what only
training needs, batch normalisation, is in `nn.networks.batchnorm`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nn.networks.base import (
    FloatArray,
    IndexArray,
    Layer,
    Linear,
    NumberArray,
    Patch,
    Shape,
    Values,
    widened,
)
from yashe.arithmetic.whole import shown, whole
from yashe.errors import ParameterError


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
        self.units = whole(units, "units", 1)

    def settings(self) -> dict[str, Any]:
        return {"units": self.units, "bias": self.has_bias}

    def infer(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ParameterError(
                f"Dense takes flat inputs; got the feature shape {input_shape}. Put a Flatten() "
                "in front."
            )
        return (self.units,)

    def weight_shape(self, input_shape: Shape) -> tuple[int, int]:
        return input_shape[0], self.units

    def _patches(self) -> tuple[Patch, ...]:
        taps = np.arange(self.input_shape[0], dtype=np.int64)
        outputs = np.arange(self.units, dtype=np.int64)[np.newaxis]
        return (Patch(taps[np.newaxis], taps, outputs),)

    def forward(self, x: Values) -> Values:
        """Return x @ W + b: the one block without its copies."""
        self.batch_shape(x)
        x = widened(x)
        return x @ self.weight + self.bias if self.has_bias else x @ self.weight

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
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
    pad_start : int
        Rows of zeros at the top and columns of zeros at the left, at most kernel - 1.
    """

    def __init__(
        self,
        maps: int,
        kernel: int,
        stride: int = 1,
        pad_end: int = 0,
        bias: bool = True,
        pad_start: int = 0,
    ) -> None:
        super().__init__(bias)
        self.maps, self.kernel = whole(maps, "maps", 1), whole(kernel, "kernel", 1)
        self.stride = whole(stride, "stride", 1)
        self.pad_end = whole(pad_end, "pad_end", 0)
        self.pad_start = whole(pad_start, "pad_start", 0)
        for name, pad in (("pad_end", pad_end), ("pad_start", pad_start)):
            if pad >= kernel:
                raise ParameterError(
                    f"{name} must lie in [0, kernel) = [0, {kernel}); got {shown(pad)}. With more, "
                    "some positions would read padding alone."
                )

    def settings(self) -> dict[str, Any]:
        settings = {
            "maps": self.maps,
            "kernel": self.kernel,
            "stride": self.stride,
            "pad_end": self.pad_end,
            "bias": self.has_bias,
        }
        return {**settings, "pad_start": self.pad_start} if self.pad_start else settings

    def infer(self, input_shape: Shape) -> Shape:
        """Accept (height, width, channels) that a kernel fits into, padding included."""
        pads = self.pad_start + self.pad_end
        sides = check_image(self, input_shape, max(1, self.kernel - pads))[:2]
        rows, columns = (1 + (s + pads - self.kernel) // self.stride for s in sides)
        return rows, columns, self.maps

    def weight_shape(self, input_shape: Shape) -> tuple[int, int]:
        return self.kernel**2 * input_shape[2], self.maps

    def _patches(self) -> tuple[Patch, ...]:
        """Group the positions by the taps that they can use."""
        height, width, channels = self.input_shape
        rows, columns, maps = self.output_shape
        place = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
        return tuple(
            Patch(
                inputs=window(top[:, np.newaxis], left, (down, right, channels), width),
                taps=window(up, over, (down, right, channels), self.kernel)[0],
                outputs=place[r][:, c].reshape(-1, 1) * maps + np.arange(maps, dtype=np.int64),
            )
            for r, top, up, down in self._spans(rows, height)
            for c, left, over, right in self._spans(columns, width)
        )

    def _spans(self, count: int, side: int) -> list[tuple[IndexArray, IndexArray, int, int]]:
        """Group the positions along one axis by the part of the kernel that lies on the image.

        Returns
        -------
        list of (positions, their first pixels, first tap, taps)
        """
        corner = np.arange(count, dtype=np.int64) * self.stride - self.pad_start
        first, last = np.maximum(0, -corner), np.minimum(self.kernel, side - corner)
        # Most taps first: the interior is block 0.
        parts = sorted(
            set(zip(first.tolist(), last.tolist(), strict=True)), key=lambda p: p[0] - p[1]
        )
        groups = [(np.flatnonzero((first == f) & (last == e)), f, e) for f, e in parts]
        return [(group, corner[group] + f, f, e - f) for group, f, e in groups]


class MeanPool(Linear):
    """The mean over windows of size x size pixels, computed as their *sum*.

    A mean needs a division and integers have none, so the result is `scale` = size^2 times the
    mean, and whoever reads the network's output divides (CryptoNets calls this the scaled mean
    pool, section 3.2). The argmax does not need it.
    """

    def __init__(self, size: int) -> None:
        super().__init__(bias=False)
        self.size = whole(size, "size", 1)
        self.scale = self.size**2

    def settings(self) -> dict[str, Any]:
        return {"size": self.size}

    @property
    def weight(self) -> NumberArray:
        """Ones, shape (size^2, 1)."""
        return np.ones((self.size**2, 1), dtype=np.int64)

    def infer(self, input_shape: Shape) -> Shape:
        """Accept (height, width, channels), both sides multiples of the size."""
        height, width, channels = check_image(self, input_shape, self.size)
        if height % self.size or width % self.size:
            raise ParameterError(
                f"MeanPool({self.size}) takes sides that are multiples of {self.size}; got "
                f"{height} x {width}. Choose another size, or another stride in the layer before."
            )
        return height // self.size, width // self.size, channels

    def weight_shape(self, input_shape: Shape) -> tuple[int, int]:
        return self.size**2, 1

    def build(self, input_shape: Shape, rng: np.random.Generator | None = None) -> Shape:
        """Lay out the patches; the ones are fixed, and therefore no parameter."""
        super().build(input_shape)
        self.parameters = {}
        return self.output_shape

    def parameter_gradients(self, x: FloatArray, dy: FloatArray) -> dict[str, FloatArray]:
        return {}

    def _patches(self) -> tuple[Patch, ...]:
        rows, columns, channels = self.output_shape
        index = np.arange(math.prod(self.input_shape), dtype=np.int64)
        tiles = index.reshape(rows, self.size, columns, self.size, channels)
        inputs = tiles.transpose(0, 2, 4, 1, 3).reshape(-1, self.size**2)
        outputs = np.arange(len(inputs), dtype=np.int64)[:, np.newaxis]
        return (Patch(inputs, np.arange(self.size**2, dtype=np.int64), outputs),)


class Square(Layer):
    """y = x * x, the only activation that homomorphic encryption evaluates cheaply."""

    def forward(self, x: Values) -> Values:
        self.batch_shape(x)
        x = widened(x)
        return x * x

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        return 2 * x * dy


class Flatten(Layer):
    """Merge all feature axes into one."""

    def infer(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x: Values) -> Values:
        return x.reshape((*self.batch_shape(x), *self.output_shape))

    def input_gradient(self, x: FloatArray, dy: FloatArray) -> FloatArray:
        return dy.reshape(x.shape)


def window(top: Any, left: Any, extent: tuple[int, int, int], width: int) -> IndexArray:
    """Index the pixels of a window at every corner (top, left) of a flattened image.

    Returns
    -------
    int64 array, shape (corners, taps)
        taps = down * right * channels for the extent (down, right, channels).
    """
    down, right, channels = extent
    y, x, channel = np.ogrid[:down, :right, :channels]
    corners = np.asarray(top * width + left, dtype=np.int64).reshape(-1, 1, 1, 1)
    pixels = (corners + y * width + x) * channels + channel
    indices: IndexArray = pixels.reshape(corners.size, -1).astype(np.int64)
    return indices


def check_image(layer: Layer, shape: Shape, smallest: int) -> tuple[int, int, int]:
    """Return (height, width, channels) if both sides reach the smallest one allowed."""
    if len(shape) != 3 or min(shape[:2]) < smallest:
        raise ParameterError(
            f"{type(layer).__name__} takes (height, width, channels) with sides of at least "
            f"{smallest}; got {shape}. Put it before any Flatten(), or make its window smaller."
        )
    return shape[0], shape[1], shape[2]
