"""From floats to small integers, without losing the digits.

Rounding a trained network ruins it unless the integers are large, and large integers need a large
plaintext modulus. So the network is trained *while* it is rounded: a float copy of each weight, the
latent weight, collects the small steps of the optimiser, and the network computes with

    weight = clip(round(latent / step), -limit, limit)          shift: such that the bias is whole

The gradient at the rounded point is applied to the latent one, as if rounding were the identity
(the straight-through estimator: Bengio, Leonard and Courville, arXiv 1308.3432, section 4).

Integers need no rescaling on their way. Batch normalisation has one deviation for a whole layer, so
that it makes the same numbers of x W / step as of x W, and after training it folds into a bias:

    gain (x W - mean) / deviation + shift = gain / deviation (x W + bias)
    bias = shift deviation / gain - mean

The factor in front is one number for the layer. It goes through linear layers as it is, through
squares squared, and arrives as one positive factor of all logits, which no argmax sees: dropped.
`folded` follows it, because a bias has to be a whole number in the units of the integer network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn.networks.base import FloatArray, Linear, NumberArray
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Square
from nn.networks.model import ModelInfo, Sequential
from yashe.arithmetic.whole import shown, whole
from yashe.ciphertexts.ranges import Interval
from yashe.errors import ParameterError, TrainingError

LARGEST_PRODUCT = 2**50  # of pixel and levels: neither its quotient nor 1/2 more crosses a half
LARGEST_BIAS = 2.0**62  # the limit of `nn.planning.proofs.LARGEST_WEIGHT`


def quantize_pixels(images: NumberArray, pixel_max: int, levels: int) -> npt.NDArray[np.int64]:
    """Round pixels 0..pixel_max to integers 0..levels: floor(levels p / pixel_max + 1/2).

    Parameters
    ----------
    images : array-like of any shape and number type
        Values in [0, pixel_max].
    pixel_max : int
        The brightest pixel: 255 for MNIST, 16 for the 8x8 digits.
    levels : int
        The largest integer of the result.

    Returns
    -------
    int64 array, shape of the images

    Raises
    ------
    ParameterError
        If a pixel is no number in [0, pixel_max], a limit no whole number of at least 1, or their
        product above 2^50, beyond which float64 could round to another level.

    Examples
    --------
    >>> quantize_pixels(np.array([0, 42, 43, 127, 128, 255]), 255, 3)
    array([0, 0, 1, 1, 2, 3])
    """
    white, levels = whole(pixel_max, "pixel_max", 1), whole(levels, "levels", 1)
    if white * levels > LARGEST_PRODUCT:
        raise ParameterError(
            f"pixel_max * levels must be at most 2^50 to be exact, not {shown(white * levels)}"
        )
    if np.ma.is_masked(images):
        raise ParameterError("pixels must be numbers, and none of them masked.")
    try:
        images = np.asarray(images)
    except ValueError as error:  # rows of different lengths
        raise ParameterError(f"pixels must be an array of numbers: {error}") from error
    if images.dtype.kind not in "biuf":
        raise ParameterError(f"pixels must be numbers; got {images.dtype}.")
    if images.size and not (images.min() >= 0 and images.max() <= white):
        raise ParameterError(
            f"pixels must lie in [0, {white}]; got [{images.min()}, {images.max()}]. Pass the "
            "images as the data set has them, with its pixel_max."
        )
    # In float64 a quotient of whole numbers that is an exact half comes out as that half.
    quotient = np.multiply(images, levels, dtype=np.float64) / white
    return np.floor(quotient + 0.5).astype(np.int64)


@dataclass(frozen=True)
class RoundedWeight:
    """A latent weight, the weight that is made of it, and how: see the top of the module."""

    latent: FloatArray
    weight: NumberArray
    step: float
    limit: int

    def __repr__(self) -> str:
        return f"RoundedWeight(shape={self.weight.shape}, step={self.step:.3g}, limit={self.limit})"

    def apply(self) -> None:
        """Round the latent weight into the network."""
        # Beyond the last integer a latent weight would first have to come all the way back before
        # it could change anything, so it waits half a step outside.
        edge = (self.limit + 0.5) * self.step
        np.clip(self.latent, -edge, edge, out=self.latent)
        self.weight[...] = np.clip(np.rint(self.latent / self.step), -self.limit, self.limit)


class StraightThrough:
    """Keeps the latent parameters of a network and puts their rounded values into it.

    Parameters
    ----------
    model : Sequential
        Trained with floats; every layer with weights is followed by a `BatchNorm` and has no bias
        of its own. Its parameters become integers (weights) or such that biases are (shifts).
    limits : tuple of int
        For each of these layers the largest |weight| allowed.
    densities : tuple of float
        For each of them the mean |weight| to start with, which fixes the step. Small weights make
        small logits and little noise; a mean near 1 with a limit of 3 leaves about half of the
        weights at -1, 0 or 1.

    Attributes
    ----------
    latent : list of arrays
        One float copy for each of `model.parameters()`: what the optimiser changes.
    weights : list of RoundedWeight
        For each layer with weights how they are rounded.
    whole_biases : bool
        Whether shifts are rounded too. That makes sense once batch normalisation is frozen.
    """

    def __init__(
        self, model: Sequential, limits: tuple[int, ...], densities: tuple[float, ...]
    ) -> None:
        self.model = model
        self.latent = [p.copy() for p in model.parameters()]
        self.whole_biases = False
        self.weights: list[RoundedWeight] = []
        matrices = [latent for latent in self.latent if latent.ndim > 1]  # one in each such layer
        for fold, latent, limit, density in zip(
            folded(model), matrices, limits, densities, strict=True
        ):
            step = float(np.abs(latent).mean()) / density
            fold.norm.mean /= step
            fold.norm.deviation /= step
            self.weights.append(RoundedWeight(latent, fold.layer.weight, step, limit))

    def __repr__(self) -> str:
        return f"StraightThrough({self.weights}, whole_biases={self.whole_biases})"

    def apply(self) -> None:
        """Put the rounded values of the latent parameters into the network."""
        for latent, parameter in zip(self.latent, self.model.parameters(), strict=True):
            parameter[...] = latent
        for weight in self.weights:
            weight.apply()
        if self.whole_biases:
            for fold in folded(self.model):
                bias = np.rint(fold.bias) * fold.unit
                fold.norm.parameters["shift"][...] = (bias + fold.norm.mean) * fold.factor

    def freeze(self) -> None:
        """Stop batch normalisation from moving, and round the biases from now on."""
        self.whole_biases = True
        for fold in folded(self.model):
            fold.norm.frozen = True
        self.apply()


@dataclass(frozen=True)
class Fold:
    """A layer with weights, its batch normalisation, and what folding makes of the two.

    Attributes
    ----------
    unit : float
        What the integer 1 at the layer's output is in the trained network's numbers.
    factor : float
        gain / deviation.
    bias : float64 array, shape (M,)
        The integer network's bias before it is rounded.
    """

    layer: Linear
    norm: BatchNorm
    unit: float
    factor: float
    bias: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Fold({self.layer!r}, unit={self.unit:.3g}, factor={self.factor:.3g})"


def folded(model: Sequential) -> Iterator[Fold]:
    """Yield the layers with weights in the units of the integer network, first to last.

    Raises
    ------
    ParameterError
        If such a layer has a bias, or no batch normalisation after it.
    """
    unit = 1.0
    followed_by = dict(model.linear_layers())
    for layer in model.layers:
        if isinstance(layer, Square):
            unit = unit**2
        if not isinstance(layer, Linear) or layer not in followed_by:
            continue
        norm = followed_by[layer]
        if norm is None or layer.has_bias:
            raise ParameterError(
                "rounding takes layers without bias, each followed by a BatchNorm; got a "
                f"{type(layer).__name__} with bias={layer.has_bias} and "
                f"{'no BatchNorm' if norm is None else 'a BatchNorm'} after it."
            )
        factor = float(norm.parameters["gain"][0]) / float(norm.deviation[0])
        bias = norm.parameters["shift"] / factor - norm.mean.astype(np.float64)
        yield Fold(layer, norm, unit, factor, bias / unit)
        unit *= factor


def export(model: Sequential, info: ModelInfo | None = None) -> Sequential:
    """Fold batch normalisation into biases and return the integer network.

    Parameters
    ----------
    model : Sequential
        With whole-numbered weights, as `StraightThrough` leaves it.

    Returns
    -------
    Sequential
        The same layers without `BatchNorm`, int64 weights and biases. New memory.

    Raises
    ------
    TrainingError
        If a weight is not an integer, a bias no integer below 2^62, or the last gain not positive
        (the order of the logits would turn round).
    """
    folds = list(folded(model))
    for fold in folds:
        if np.any(fold.layer.weight != np.rint(fold.layer.weight)):
            raise TrainingError(
                f"export takes whole-numbered weights; {type(fold.layer).__name__} has others. "
                "Train with StraightThrough and call its apply() before."
            )
        largest = float(np.abs(fold.bias).max())
        if not largest < LARGEST_BIAS:
            raise TrainingError(
                f"biases are integers below 2^62; one of {type(fold.layer).__name__} would be "
                f"{largest:.1e}. Take fewer levels for the inputs, or fewer squares in a row."
            )
    if not folds or folds[-1].unit * folds[-1].factor <= 0:
        raise TrainingError(
            "export takes a network whose last layer is followed by a BatchNorm with a positive "
            "gain. Train longer, or with another seed."
        )
    layers = [
        layer.unbuilt(bias=True) if layer.parameters else layer.unbuilt()
        for layer in model.layers
        if not isinstance(layer, BatchNorm)
    ]
    integer = Sequential(layers, model.input_shape, info=info)
    whole = ((fold.layer.weight, np.rint(fold.bias)) for fold in folds)
    integer.set_parameters(part.astype(np.int64) for pair in whole for part in pair)
    return integer


def proved_bits(model: Sequential, levels: int) -> float:
    """Return log2(2 max|logit|) over all images with pixels in [0, levels], by intervals.

    An upper bound, not the maximum: intervals forget that the same pixel cannot be bright in one
    place and dark in another. A plaintext modulus t of at least 2^bits holds every logit.
    """
    inputs = Interval.of(0, levels, model.input_shape)
    bits: float = model.layer_outputs(inputs)[-1].bits
    return bits
