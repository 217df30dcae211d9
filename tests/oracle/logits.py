"""Integer networks by their definition, loop by loop, on Python integers.

A network is a list of layers, a layer a tuple that begins with its name; an image is a list of
rows of pixels of channels. Written from the definitions in docs and papers: it shares no line with
the packages.
"""

from __future__ import annotations

from typing import Any

Layer = tuple[Any, ...]


def convolution(x: Any, weight: Any, bias: Any, kernel: int, stride: int, pad_end: int) -> Any:
    """Return out[r][c][m] = bias[m] + sum over y, x, channels of pixel times weight.

    The weight has a row for every (y, x, channel) of the window, in this order, and a column for
    every map m. Beyond the lower and the right border there are `pad_end` lines of zeros.
    """
    height, width = len(x) + pad_end, len(x[0]) + pad_end
    channels = len(x[0][0])

    def pixel(r: int, c: int, channel: int) -> int:
        return x[r][c][channel] if r < len(x) and c < len(x[0]) else 0

    def unit(top: int, left: int, m: int) -> int:
        window = [
            pixel(top + i, left + j, channel)
            for i in range(kernel)
            for j in range(kernel)
            for channel in range(channels)
        ]
        return bias[m] + sum(v * row[m] for v, row in zip(window, weight, strict=True))

    return [
        [
            [unit(top, left, m) for m in range(len(bias))]
            for left in range(0, width - kernel + 1, stride)
        ]
        for top in range(0, height - kernel + 1, stride)
    ]


def pooled(x: Any, size: int) -> Any:
    """Return the sums over windows of size x size pixels."""
    return [
        [
            [
                sum(x[r + i][c + j][channel] for i in range(size) for j in range(size))
                for channel in range(len(x[0][0]))
            ]
            for c in range(0, len(x[0]), size)
        ]
        for r in range(0, len(x), size)
    ]


def squared(x: Any) -> Any:
    """Return all numbers squared, however deep in lists they are."""
    return [squared(y) for y in x] if isinstance(x, list) else x * x


def flat(x: Any) -> list[int]:
    """Return all numbers in order."""
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def logits(layers: list[Layer], image: Any) -> list[int]:
    """Return the outputs of a network for one image."""
    x = image
    for name, *arguments in layers:
        if name == "Conv2D":
            x = convolution(x, *arguments)
        elif name == "MeanPool":
            x = pooled(x, *arguments)
        elif name == "Square":
            x = squared(x)
        elif name == "Flatten":
            x = flat(x)
        else:
            assert name == "Dense"
            weight, bias = arguments
            x = [
                b + sum(v * row[m] for v, row in zip(x, weight, strict=True))
                for m, b in enumerate(bias)
            ]
    return flat(x)
