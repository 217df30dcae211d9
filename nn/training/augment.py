"""New digits from old ones: random shifts, turns, slants and a gentle warp.

Every image is sampled at displaced positions, value(p) = image(A p + shift + warp(p)), with A close
to the identity and a smooth random field `warp` (Simard, Steinkraus and Platt, ICDAR 2003, section
2, who convolve noise with a Gaussian; we interpolate a coarse grid of noise, two small matrix
products). Some images stay as they are: a network that has seen warped digits alone is worse on
straight ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn.networks.base import FloatArray

# The coarse grid of the warp: 5 x 5 values bend a stroke without breaking it.
NODES = 5


@dataclass(frozen=True)
class Augmentation:
    """How far images are moved. Lengths are fractions of the image's side.

    Attributes
    ----------
    turn : float
        Largest angle, in radians.
    stretch, slant : float
        Largest relative change of each axis, and largest off-diagonal entry.
    shift : float
        Largest displacement of the whole image.
    warp : float
        Standard deviation of the displacement at the nodes of the coarse grid.
    untouched : float
        Share of images that stay as they are.
    """

    turn: float = 0.2
    stretch: float = 0.12
    slant: float = 0.15
    shift: float = 0.06
    warp: float = 0.035
    untouched: float = 0.25

    def __call__(self, images: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return a randomly moved copy of a batch.

        Parameters
        ----------
        images : float32 array, shape (B, H, W, 1)
            Any range; what lies outside of an image counts as 0.
        rng : numpy Generator
            The only source of randomness: the same state gives the same images.

        Returns
        -------
        float32 array, shape (B, H, W, 1)
            New memory, values within the range of the input and 0.
        """
        batch, height, width, _ = images.shape
        y, x = self._positions(batch, height, width, rng)
        moved = sample(images[..., 0], y, x)[..., np.newaxis]
        keep = rng.random(batch) < self.untouched
        moved[keep] = images[keep]
        return moved

    def _positions(
        self, batch: int, height: int, width: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Draw where to look for each pixel: two float32 arrays (B, H, W), in pixels."""
        turn = rng.uniform(-self.turn, self.turn, batch)
        sy, sx = 1 + rng.uniform(-self.stretch, self.stretch, (2, batch))
        slant = rng.uniform(-self.slant, self.slant, batch)
        dy, dx = rng.uniform(-self.shift, self.shift, (2, batch)) * [[height], [width]]
        affine = np.array(
            [sy * np.cos(turn), np.sin(turn) + slant, dy, -np.sin(turn), sx * np.cos(turn), dx]
        )
        a, b, c, d, e, f = affine.astype(np.float32)[:, :, np.newaxis, np.newaxis]

        noise = rng.normal(0, self.warp, (2, batch, NODES, NODES)).astype(np.float32)
        warp_y, warp_x = interpolation(height) @ noise @ interpolation(width).T  # (B, H, W) each
        # v, u: the pixel's place relative to the centre, which a turn leaves where it is.
        v, u = np.ogrid[:height, :width]
        v, u = (v - (height - 1) / 2).astype(np.float32), (u - (width - 1) / 2).astype(np.float32)
        y = a * v + b * u + c + np.float32((height - 1) / 2) + height * warp_y
        x = d * v + e * u + f + np.float32((width - 1) / 2) + width * warp_x
        return y, x


def interpolation(size: int) -> FloatArray:
    """Return the matrix (size, NODES) that blends the values at equally spaced nodes smoothly.

    Rows sum to 1. The weights are Gaussians, 0.7 of the nodes' distance wide (one deviation).
    """
    position = np.linspace(0, NODES - 1, size)[:, np.newaxis]
    weight = np.exp(-((position - np.arange(NODES)) ** 2))
    matrix: FloatArray = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def sample(images: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Read images (B, H, W) at fractional positions, bilinear, 0 outside."""
    batch, height, width = images.shape
    # Two rings of zeros: positions are clamped into them, so that no index needs a check.
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    y, x = np.clip(y + 2, 0, height + 2), np.clip(x + 2, 0, width + 2)
    top, left = y.astype(np.int64), x.astype(np.int64)
    down, right = y - top.astype(y.dtype), x - left.astype(x.dtype)
    stride = width + 4
    start = np.arange(batch, dtype=np.int64)[:, np.newaxis, np.newaxis] * ((height + 4) * stride)
    corner = start + top * stride + left
    flat = padded.ravel()
    # The same indices read all four neighbours, from an array that starts later each time. Written
    # as one end plus a share of the difference, a blend never leaves the range of the pixels.
    upper_left, upper_right = flat.take(corner), flat[1:].take(corner)
    lower_left, lower_right = flat[stride:].take(corner), flat[stride + 1 :].take(corner)
    upper = upper_left + right * (upper_right - upper_left)
    lower = lower_left + right * (lower_right - lower_left)
    blended: FloatArray = upper + down * (lower - upper)
    return blended
