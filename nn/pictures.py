"""Pictures of images, networks and their encrypted runs, one line each for a teacher.

Like those of `yashe.pictures.plots`: every function returns a matplotlib Figure, in colours that
everybody can tell apart. matplotlib is an optional dependency: the extra `notebooks` installs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.networks.base import Linear
from nn.networks.model import Sequential
from nn.planning.plan import Plan, seen_bits
from nn.planning.proofs import ranges
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import ParameterError
from yashe.pictures.plots import BLACK, BLUE, GREY, MARKERS, ORANGE, RED, canvas, clean

Array = NDArray[Any]
SHOWN = 64  # a ciphertext is shown as a square of 64 x 64 residues, or all that it has


def digits(images: Array, captions: Sequence[object] = (), columns: int = 8) -> Any:
    """Draw images with captions, row by row.

    Parameters
    ----------
    images : array, shape (count, height, width, 1)
    captions : one for each image, or none
    columns : images in a row
    """
    if len(images) == 0:
        raise ParameterError("there is no image to draw: give at least one")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = canvas(rows, columns, width=1.1 * columns, height=1.3 * rows)
    for i, axis in enumerate(np.atleast_1d(axes).ravel()):
        clean(axis)
        if i < len(images):
            axis.imshow(images[i, ..., 0], cmap="gray_r")
            if len(captions):
                axis.set_title(str(captions[i]), fontsize=9)
    return figure


def misclassified(images: Array, labels: Array, predictions: Array, most: int = 16) -> Any:
    """Draw the images that a network gets wrong: "4 for 9" is a nine that was taken for a four."""
    wrong = np.flatnonzero(labels != predictions)[:most]
    if len(wrong) == 0:
        raise ParameterError("no image is misclassified: there is nothing to draw")
    captions = [f"{predictions[i]} for {labels[i]}" for i in wrong]
    return digits(images[wrong], captions)


def both_sides(image: Array, pixel: Ciphertext, logit: Ciphertext, logits: Array) -> Any:
    """Draw a digit, what the server sees of it twice, and the decrypted answer.

    Parameters
    ----------
    image : array, shape (height, width, 1)
    pixel, logit : single ciphertexts, of one pixel of all images and of one logit of them
    logits : decrypted logits of this image, shape (10,)
    """
    figure, axes = canvas(1, 4, width=11, height=3.0)
    axes[0].imshow(image[..., 0], cmap="gray_r")
    axes[0].set_title("client: a digit")
    sides = ((axes[1], pixel, "one pixel"), (axes[2], logit, "one logit"))
    for axis, ct, what in sides:
        side = min(SHOWN, math.isqrt(ct.params.n))
        residues = ct.rows[ct.index, 1, 0, : side * side].reshape(side, side)
        axis.imshow(residues, cmap="gray")
        axis.set_title(f"server: {what} of all images")
    best = int(logits.argmax())
    colours = [BLUE if i == best else GREY for i in range(len(logits))]
    hatches = ["//" if i == best else "" for i in range(len(logits))]
    axes[3].bar(range(len(logits)), logits, color=colours, hatch=hatches, edgecolor=BLACK)
    axes[3].set_title(f"client: it is a {best}")
    axes[3].set_xticks(range(len(logits)))
    axes[3].set_xlabel("decrypted logits")
    axes[3].set_yticks([])
    for axis in axes[:3]:
        clean(axis)
    return figure


def confusion(labels: Array, predictions: Array) -> Any:
    """Draw how often each digit (row) is taken for which (column); right ones are framed."""
    counts = np.zeros((10, 10), dtype=np.int64)
    np.add.at(counts, (labels, predictions), 1)
    figure, axis = canvas(width=5.2, height=4.6)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[i, j] > 0.5 else BLACK
            axis.text(j, i, f"{count}", ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(10))
    axis.set_yticks(range(10))
    axis.set_xlabel("predicted")
    axis.set_ylabel("label")
    right = int(np.trace(counts))
    axis.set_title(f"{right:,} of {counts.sum():,} right ({right / max(counts.sum(), 1):.2%})")
    return figure


def weights(model: Sequential) -> Any:
    """Draw the distribution of every linear layer's weights.

    Integer networks get one bar for each integer; zeros, which cost nothing encrypted, are hatched.
    """
    layers = [layer for layer, _ in model.linear_layers()]
    if not layers:
        raise ParameterError("the network has no weights to draw")
    figure, axes = canvas(1, len(layers), width=3.6 * len(layers), height=3.0)
    for axis, layer in zip(np.atleast_1d(axes), layers, strict=True):
        _draw_weights(axis, layer)
    return figure


def _draw_weights(axis: Any, layer: Linear) -> None:
    values = layer.parameters["weight"].ravel()
    if values.dtype.kind == "i":
        numbers = np.arange(values.min(), values.max() + 1)
        counts = [(values == number).sum() for number in numbers]
        colours = [ORANGE if number == 0 else BLUE for number in numbers]
        hatches = ["//" if number == 0 else "" for number in numbers]
        axis.bar(numbers, counts, color=colours, hatch=hatches, edgecolor=BLACK, linewidth=0.5)
        zeros = (values == 0).mean()
        axis.set_title(f"{type(layer).__name__}: {values.size:,} weights, {zeros:.0%} zero")
    else:
        axis.hist(values, 60, color=BLUE)
        axis.set_title(f"{type(layer).__name__}: {values.size:,} weights")
    axis.set_xlabel("weight")
    axis.set_ylabel("how many")


def activations(model: Sequential, pixels: Array) -> Any:
    """Draw the bits that every layer's values take: seen on images, and proved for every image.

    Parameters
    ----------
    model : integer network
    pixels : int64 array, shape (count, *model.input_shape), values 0 .. model.info.levels
    """
    proved = [interval.bits for interval in ranges(model, model.info.levels)]
    _, *seen = seen_bits(model, pixels, max(proved))  # but for those of the images
    names = [type(layer).__name__ for layer in model.layers]
    figure, axis = canvas(width=7.5)
    places = np.arange(len(names))
    axis.bar(places - 0.2, proved, 0.4, color=GREY, edgecolor=BLACK, hatch="..", label="proved")
    label = f"seen on {len(pixels):,} images"
    axis.bar(places + 0.2, seen, 0.4, color=BLUE, edgecolor=BLACK, label=label)
    axis.axhline(proved[-1], color=RED, linestyle="--", label="what t must have: the logits")
    axis.set_xticks(places, names)
    axis.set_ylabel("log2 of the range, bits")
    axis.set_title("Only the logits have to fit into t")
    axis.legend()
    return figure


def budget(plan: Plan, measured: Sequence[float] = ()) -> Any:
    """Draw the noise budget through a network.

    Parameters
    ----------
    plan : predicted budgets, from `nn.planning.plan.make_plan`
    measured : budgets of the fresh ciphertexts and of every step's output, as far as known
    """
    steps = plan.steps[: 1 + len(plan.program.steps)]
    names, predicted = [step.what for step in steps], [step.budget_bits for step in steps]
    figure, axis = canvas(width=7.5)
    axis.step(range(len(names)), predicted, where="mid", color=BLUE, label="predicted without key")
    axis.plot(range(len(names)), predicted, MARKERS[0], color=BLUE)
    if len(measured):
        places = range(len(measured))
        axis.plot(places, measured, f"{MARKERS[1]}--", color=RED, label="measured with the key")
    axis.axhline(0, color=BLACK, linewidth=1)
    axis.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize="small")
    axis.set_ylabel("noise budget, bits")
    axis.set_title(f"{plan.params.name}: log2 q = {plan.params.log2_q:.0f}")
    axis.legend()
    return figure
