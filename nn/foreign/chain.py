"""From what others' networks are made of to our layers: a chain of steps, folded.

A step is one of our layers without numbers, a layer with its weights, or an *affine map*

    y = gain x + shift        gain, shift: one number for each value

That is what batch normalisation is after training, and a bias that is added on its own, the
division of a mean, a standardisation of inputs. Ciphertexts shall not pay for it, so it goes into
the nearest layer with weights: into the one before,

    gain (W x + b) + shift = (gain W) x + (gain b + shift)

or, if a square stands between them, into the one behind: W (gain x + shift) + b. It is the same
function in exact arithmetic; in floats, the rounding differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nn.networks.base import Layer, Linear, Shape
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import LARGEST_LAYER, Sequential
from yashe.errors import ParameterError

RealArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """gain x + shift, with arrays that broadcast to the features of x."""

    gain: RealArray
    shift: RealArray

    def spread(self, shape: Shape) -> Affine:
        """Return the same map with one number for each value."""
        gain, shift = (np.broadcast_to(part, shape) for part in (self.gain, self.shift))
        return Affine(gain.astype(np.float64), shift.astype(np.float64))

    def behind(self, first: Affine) -> Affine:
        """Return the one map that does what `first` and then this one do."""
        return Affine(self.gain * first.gain, self.gain * first.shift + self.shift)

    def by_unit(self, units: int) -> Affine | None:
        """Return the map with one number for each unit, None if they differ between positions."""
        gain, shift = (part.reshape(-1, units) for part in (self.gain, self.shift))
        if (gain != gain[0]).any() or (shift != shift[0]).any():
            return None
        return Affine(gain[0], shift[0])


@dataclass(frozen=True, eq=False)
class Weighted:
    """A dense layer or a convolution, and its numbers.

    Attributes
    ----------
    layer : unbuilt, with a bias
    weight, bias : float64 arrays of the shapes (K, M) and (M,) that the layer asks for
    """

    layer: Linear
    weight: RealArray
    bias: RealArray

    def behind(self, rows: Affine) -> Weighted:
        """Return the layer that does a map of its inputs as well, one number for each row."""
        weight = rows.gain[:, np.newaxis] * self.weight
        return replace(self, weight=weight, bias=self.bias + rows.shift @ self.weight)

    def before(self, units: Affine) -> Weighted:
        """Return the layer that does a map of its outputs as well, one number for each unit."""
        bias = units.gain * self.bias + units.shift
        return replace(self, weight=self.weight * units.gain, bias=bias)


Plain: TypeAlias = Flatten | MeanPool | Square
Step: TypeAlias = Affine | Weighted | Plain


def dense(weight: RealArray, bias: RealArray | float = 0.0) -> Weighted:
    """Return a dense layer with these numbers."""
    units = weight.shape[1]
    return Weighted(Dense(units), weight, np.broadcast_to(bias, units).astype(np.float64))


def network_of(steps: Sequence[Step], input_shape: Shape) -> Sequential:
    """Fold all affine maps, and return the network with float64 weights.

    Raises
    ------
    ParameterError
        If steps do not fit together, or are too large, or nothing is left of them.
    """
    shape, done, waiting = input_shape, list[Weighted | Plain](), None
    for step in steps:
        if isinstance(step, Affine):
            step = step.spread(shape)
            waiting = taken_before(done, step if waiting is None else step.behind(waiting))
            continue
        after = checked_shape(step, shape)
        if waiting is not None:
            found = carried(waiting, step)
            if found is None:  # it needs a layer of its own
                done.append(as_layer(waiting, shape))
                waiting = None
            else:
                step, waiting = found
                waiting = None if waiting is None else waiting.spread(after)
        done.append(step)
        shape = after
    if waiting is not None:
        done.append(as_layer(waiting, shape))
    layers = [step.layer if isinstance(step, Weighted) else step for step in done]
    model = Sequential([layer.unbuilt() for layer in layers], input_shape)
    pairs = ((step.weight, step.bias) for step in done if isinstance(step, Weighted))
    model.set_parameters(array.copy() for pair in pairs for array in pair)
    return model


def checked_shape(step: Weighted | Plain, shape: Shape) -> Shape:
    """Return what a step makes of an input shape, or refuse it."""
    layer: Layer = step.layer if isinstance(step, Weighted) else step
    after = layer.infer(shape)
    if isinstance(layer, Linear):
        expected = layer.weight_shape(shape)
        if isinstance(step, Weighted) and step.weight.shape != expected:
            raise ParameterError(
                f"{layer!r} on inputs of shape {shape} must have weights of shape {expected}; got "
                f"{step.weight.shape}."
            )
        if (products := math.prod(after) * expected[0]) > LARGEST_LAYER:
            raise ParameterError(
                f"{layer!r} must take at most {LARGEST_LAYER:,} products; on inputs of shape "
                f"{shape} it takes {products:,}. Make the network smaller."
            )
    return after


def taken_before(done: list[Weighted | Plain], affine: Affine) -> Affine | None:
    """Put a map into the last layer with weights, in place; return it if that cannot be."""
    added = 1  # how many values of that layer a pool has summed up
    for i in reversed(range(len(done))):
        step = done[i]
        if isinstance(step, Weighted):
            units = affine.by_unit(step.bias.size)
            if units is None:
                break
            done[i] = step.before(Affine(units.gain, units.shift / added))
            return None
        if isinstance(step, Square):
            break
        added *= step.scale
    return affine


def carried(
    affine: Affine, step: Weighted | Plain
) -> tuple[Weighted | Plain, Affine | None] | None:
    """Move a map from the inputs of a step to its outputs, or into its weights.

    Returns
    -------
    (the step, the map of its outputs, if one is left), or None if it cannot be moved
    """
    if isinstance(step, Flatten):
        return step, Affine(affine.gain.ravel(), affine.shift.ravel())
    if isinstance(step, Square):
        return None if affine.shift.any() else (step, Affine(affine.gain**2, affine.shift))
    if isinstance(step, Weighted) and isinstance(step.layer, Dense):
        return step.behind(affine), None
    units = affine.by_unit(affine.gain.shape[-1])
    if units is None:
        return None
    if isinstance(step, MeanPool):
        return step, Affine(units.gain, units.shift * step.scale)
    assert isinstance(step.layer, Conv2D)
    if units.shift.any() and (step.layer.pad_start or step.layer.pad_end):
        return None  # the zeros of the padding are not shifted
    taps = len(step.weight) // units.gain.size
    return step.behind(Affine(np.tile(units.gain, taps), np.tile(units.shift, taps))), None


def as_layer(affine: Affine, shape: Shape) -> Weighted:
    """Return a layer that is nothing but a map: a diagonal matrix, or a kernel of one pixel."""
    units = affine.spread(shape).by_unit(shape[-1])
    if units is None:
        raise ParameterError(
            f"a map with different numbers for the {math.prod(shape[:-1])} positions of {shape} "
            "must stand beside a layer with weights, and none can take it in. Give every channel "
            "one number."
        )
    layer = Dense(shape[-1]) if len(shape) == 1 else Conv2D(shape[-1], kernel=1)
    return Weighted(layer, np.diag(units.gain), units.shift)
