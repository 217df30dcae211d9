"""What somebody without the key sees: the bytes of an encrypted image beside those of the image.

The pixels of handwritten digits are mostly black, neighbours are alike, and every digit has its
shape. The ciphertext of the same pixels consists of numbers uniform modulo q_i: each as frequent as
any other, none telling about the next. The table measures just that, and the picture shows it.

This is what the assumption of the scheme says, not its proof: a Caesar cipher of a compressed file
would pass as well. docs/security.md says what the security rests on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nn.data.grey import write_grey
from nn.data.sources import Images
from nn.experiment import drawing
from nn.networks.base import NumberArray
from yashe.errors import DataError, FormatError
from yashe.wire.bits import ByteArray
from yashe.wire.streams import CiphertextReader

SAMPLE = 2**20  # numbers of each kind: enough for three digits of every figure
SCALE = 8  # pixels of the picture for one pixel of an image


@dataclass(frozen=True)
class ByteStatistics:
    """How far some bytes are from being uniform.

    Attributes
    ----------
    count : of bytes
    zeros : share of bytes that are zero; 1/256 if they are uniform
    entropy : of a byte in bits, from the frequencies of the 256 values; 8 if uniform
    chi_squared : sum over values of (observed - expected)^2 / expected; 255 +- 23 if uniform
    correlation : of a byte with the next one, -1..1; 0 +- 1/sqrt(count) if independent
    """

    count: int
    zeros: float
    entropy: float
    chi_squared: float
    correlation: float

    @classmethod
    def of(cls, data: ByteArray) -> ByteStatistics:
        """Measure bytes, uint8 array of shape (count,) with at least two different values."""
        frequencies = np.bincount(data, minlength=256)
        shares = frequencies[frequencies > 0] / len(data)
        expected = len(data) / 256
        values = data.astype(np.float64)
        return cls(
            len(data),
            float(frequencies[0] / len(data)),
            float(-(shares * np.log2(shares)).sum()),
            float(((frequencies - expected) ** 2 / expected).sum()),
            float(np.corrcoef(values[:-1], values[1:])[0, 1]),
        )


def eavesdrop(
    file: BinaryIO, load: Callable[[tuple[int, ...]], Images], picture: Path | None = None
) -> str:
    """Return a table and a drawing of what a file of encrypted images shows.

    Parameters
    ----------
    file : a frame of ciphertexts (batches, height, width, 1)
    load : returns the images that are in it, for their shape
    picture : where to write a picture as PNG, or None

    Raises
    ------
    FormatError
        If it is no such file.
    DataError
        If there is nothing on the images, or Pillow is missing for the picture.
    """
    reader = CiphertextReader.open(file)
    shape, params = reader.contents.shape, reader.contents.params
    if len(shape) != 4:
        raise FormatError(
            f"encrypted images were required, and this is an array of shape {shape}, such as rows "
            "of a table or a reply; try it with images: cryptonets encrypt digits"
        )
    images = load(shape[1:])
    if images.pixels.min() == images.pixels.max():
        raise DataError(
            "the images have one grey value only: give some on which there is something"
        )
    ct = reader.take(math.prod(shape[1:]))
    plain_bytes = shades(images.pixels, images.white + 1).ravel()[:SAMPLE]
    # A number modulo p, written in 24 bits, shows how large p is, which is no secret. What has to
    # be uniform is where in [0, p) it lies, so that [0, p) is cut into 256 parts.
    some = ct.rows[: -(-SAMPLE // (params.k * params.n)), 0]
    numbers = np.mod(some, params.ring.moduli)
    cipher_bytes = shades(numbers, params.ring.moduli).ravel()[:SAMPLE]
    # What each pixel has become: the first coefficient of its c_0, modulo the first prime.
    p = params.moduli[0]
    noise = shades(np.mod(ct.rows[:, 0, 0, 0], p), p).reshape(shape[1:]).astype(np.int64)
    image = shades(images.pixels[0], images.white + 1).astype(np.int64)
    if picture is not None:
        both = np.concatenate([image[..., 0], noise[..., 0]], axis=1).astype(np.uint8)
        write_grey(picture, both.repeat(SCALE, axis=0).repeat(SCALE, axis=1))
    pair = drawing(np.stack([image, noise]), ["what you see", "what the server sees"], 255)
    return f"{table(ByteStatistics.of(plain_bytes), ByteStatistics.of(cipher_bytes))}\n\n{pair}"


def shades(values: NumberArray, end: NumberArray | int) -> ByteArray:
    """Return in which of 256 equal parts of [0, end) values lie, uint8 array."""
    return (values.astype(np.float64) * 256 / end).astype(np.uint8)


def table(plain: ByteStatistics, cipher: ByteStatistics) -> str:
    """Return the two statistics beside what uniform bytes would have."""
    deviation = 1 / math.sqrt(cipher.count)
    rows = [
        ("in 256 steps", "images", "ciphertexts", "uniform"),
        ("values looked at", f"{plain.count:,}", f"{cipher.count:,}", ""),
        ("zeros", f"{plain.zeros:.2%}", f"{cipher.zeros:.2%}", f"{1 / 256:.2%}"),
        ("entropy, bits of 8", f"{plain.entropy:.3f}", f"{cipher.entropy:.3f}", "8.000"),
        ("chi-squared", f"{plain.chi_squared:,.0f}", f"{cipher.chi_squared:,.0f}", "255 +- 23"),
        (
            "correlation with the next",
            f"{plain.correlation:+.4f}",
            f"{cipher.correlation:+.4f}",
            f"0 +- {deviation:.4f}",
        ),
    ]
    return "\n".join(f"{a:<26}{b:>12}{c:>14}{d:>16}" for a, b, c, d in rows)
