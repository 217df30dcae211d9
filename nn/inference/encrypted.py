"""Networks on encrypted images: the client's two steps, and the server's one between them.

    pixels = quantize_pixels(images, dataset.pixel_max, model.info.levels)
    ct = encrypt_images(scheme, model, pixels, keys.secret)       # client
    logits_ct = infer(scheme, model, ct, keys.relinearization)    # server, which has no secret key
    reply = reply_of(scheme, logits_ct)                           # server (nn.inference.replies)
    logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))

Slot i of every ciphertext belongs to image i: one ciphertext for each pixel *position* carries that
pixel of thousands of images (CryptoNets, section 3.1, "parallel scaling").
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from nn.inference.tiles import apply, hidden_tiles
from nn.networks.base import Block, Layer, Linear
from nn.networks.checks import TakesImages, check_pixels
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import Sequential
from nn.planning.descent import primes_for_squares
from nn.planning.proofs import check_network
from yashe.arithmetic.parallel import watched
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.trace import label
from yashe.circuits.columns import SquareLayer, Units
from yashe.circuits.products import SumsOfSquares
from yashe.errors import EncodingError, ParameterError
from yashe.schemes.base import Scheme


def encrypt_images(
    scheme: Scheme, network: TakesImages, pixels: IntArray, key: Any, seed: bytes | None = None
) -> Ciphertext:
    """Encrypt a batch of images, pixel position by pixel position.

    Parameters
    ----------
    scheme : Scheme
    network : the Sequential that shall classify them, or its ModelCard
    pixels : integers 0..network.levels, shape (B, *network.input_shape), B at most the number of
        slots n
    key : a key that encrypts
    seed : 32 bytes that determine the randomness, for tests only; see `RLWE.encrypt`

    Returns
    -------
    Ciphertext of shape network.input_shape; slot i belongs to image i

    Raises
    ------
    EncodingError
        If there are no images, more than slots, or they are no integers.
    ParameterError
        If they have another shape.
    RangeError
        If a pixel is not in 0..levels, naming image and pixel.
    """
    pixels = check_pixels(network, pixels)
    if not 0 < len(pixels) <= scheme.params.n:
        raise EncodingError(
            f"a batch holds 1 to {scheme.params.n} images (one for each slot), not {len(pixels)}"
        )
    return scheme.encrypt(np.moveaxis(pixels, 0, -1), key, seed)


def decrypt_logits(scheme: Scheme, ct: Ciphertext, key: Any, images: int) -> IntArray:
    """Return the logits of the first `images` slots, int64 array of shape (images, *ct.shape)."""
    return np.moveaxis(scheme.decrypt(ct, key)[..., :images], -1, 0)


@dataclass
class LayerReport:
    """What one layer of an encrypted run has cost.

    Attributes
    ----------
    name : of the layer
    seconds : wall-clock time in it
    ciphertexts : outputs
    budget_bits : predicted noise budget of the worst output
    """

    name: str
    seconds: float = 0.0
    ciphertexts: int = 0
    budget_bits: float = math.inf

    def note(self, ciphertexts: int, bound: Bound, n: int) -> None:
        """Add outputs of the layer, whose noise has that bound at ring degree n."""
        self.ciphertexts += ciphertexts
        self.budget_bits = min(self.budget_bits, float(bound.budget(n).min()))


@dataclass
class Report:
    """What an encrypted run has cost, layer by layer.

    Attributes
    ----------
    layers : one LayerReport for each layer of the network
    progress : told the share (0..1) of the whole work that has just been done
    """

    layers: list[LayerReport] = field(default_factory=list)
    progress: Callable[[float], None] = field(default=lambda share: None, repr=False)

    def begin(self, model: Sequential) -> None:
        """Forget what there was, and make a line for every layer of a network."""
        self.layers = [LayerReport(type(layer).__name__) for layer in model.layers]

    @contextmanager
    def clock(self, layer: int, share: float = 0.0) -> Iterator[None]:
        """Book the time of the body, and its share of the whole work, on that layer."""
        start = time.perf_counter()
        with label(self.layers[layer].name):
            yield
        self.layers[layer].seconds += time.perf_counter() - start
        self.progress(share)

    def step(self, layer: int, step: Callable[[Any], Ciphertext], x: Any) -> Ciphertext:
        """Return step(x), booked with its outputs as a piece of that layer's work."""
        with self.clock(layer):
            out = step(x)
        self.layers[layer].note(out.size, out.bound[out.index], out.params.n)
        return out


def infer(
    scheme: Scheme,
    model: Sequential,
    ct: Ciphertext,
    relinearization: Any,
    report: Report | None = None,
    joined_with: int = 1,
) -> Ciphertext:
    """Return the encrypted logits of encrypted images, for somebody who has no secret key.

    They are right for all images with pixels 0..model.levels, or refused: see
    `nn.planning.proofs.check_network`. They are for whoever computes; a client gets
    `nn.inference.replies.reply_of` them, whose noise bound does not tell sums of weights.

    Parameters
    ----------
    scheme : the scheme of the ciphertexts
    model : integer network
    ct : Ciphertext of the model's input shape
    relinearization : the relinearisation key of the same keys
    report : collects times and predicted noise budgets, if given
    joined_with : product of other plaintext moduli under which the same is computed, for logits
        that are joined afterwards (`nn.inference.split.join`); with more than 1 they are logits
        modulo t

    Returns
    -------
    Ciphertext of the model's output shape, degree 1

    Raises
    ------
    ParameterError
        If the shape is not the model's input shape, or the network not one of integers.
    RangeError
        If the logits might not fit into (-t/2, t/2).
    TransparentCiphertextError
        If an output of a layer depends on no pixel.
    NoiseBudgetExhausted, KeyMismatchError
    """
    check_network(model, ct.params, joined_with)
    return evaluate(scheme, model, ct, relinearization, report)


def evaluate(
    scheme: Scheme,
    model: Sequential,
    ct: Ciphertext,
    relinearization: Any,
    report: Report | None = None,
    summed: bool = False,
) -> Ciphertext:
    """Return what `infer` returns, for a network that has been checked.

    The same messages as from `nn.planning.proofs.run`, but where a square and a dense layer follow
    a linear one, the hidden units, the largest layer of all, never stand in memory as a whole,

        sum over hidden units of square(x @ W1 + b1) * W2

    but are computed a few columns at a time (`yashe.circuits.columns`), or, by schemes with
    ciphertexts in coefficient form, a few units at a time (`yashe.circuits.products`). Loops over
    ciphertexts run on the workers of `yashe.arithmetic.parallel.workers`;
    `nn.cluster.coordinator.predict` computes on other processes and machines.

    Parameters
    ----------
    scheme, model, ct, relinearization, report : of `infer`
    summed : whether ct holds the first stage's sums instead (`stage_sums`), to go on from there

    Returns
    -------
    Ciphertext of the model's output shape, degree 1

    Raises
    ------
    ParameterError
        If the shape is not the model's input shape.
    NoiseBudgetExhausted, KeyMismatchError
    """
    expected = model.layers[stages(model)[0][1] - 1].output_shape if summed else model.input_shape
    if ct.shape != expected:
        raise ParameterError(f"the network takes shape {expected}, got {ct.shape}")
    report = report or Report()
    report.begin(model)
    x, are_squares = ct, [squares(layer) for layer in model.layers]
    primes = primes_for_squares(type(scheme), ct.params, sum(are_squares))

    def relinearized(i: int, x: Ciphertext, before_square: bool) -> Ciphertext:
        """Return x with degree 1, booked on layer i, ready for a product if one follows."""
        if x.degree == 1:
            return x
        with report.clock(i):
            x = scheme.relinearize(x, relinearization)
            if before_square:
                x = scheme.switch_modulus(x, primes[sum(are_squares[: i + 1])])
        report.layers[i].note(0, x.bound[x.index], x.params.n)
        return x

    for start, stop in stages(model):
        first = model.layers[start]
        if stop - start == 1:
            at_its_level = partial(scheme.square, primes=x.params.k)
            x = report.step(start, at_its_level if squares(first) else first.forward, x)
            report.progress(x.size / squarings(model) if squares(first) else 0)
        elif summed and start == 0:
            x = x + dense_layer(model, stop).bias
        else:
            if x.degree == 2 and isinstance(first, Linear):
                x = relinearized(start, report.step(start, first.forward, x), True)
                start += 1
            tiles = list(hidden_tiles(model.layers[start]))
            bias = dense_layer(model, stop).bias
            x = stage_sums(scheme.scheme_of(x), model, start, stop, x, tiles, report, bias)
            report.layers[stop - 1].note(x.size, x.bound[x.index], x.params.n)
        at_end = stop == len(model.layers)
        if at_end or squares(model.layers[stop]):
            x = relinearized(stop - 1, x, not at_end)
    return x


def squares(layer: Layer) -> bool:
    """Say whether a layer multiplies ciphertexts."""
    return isinstance(layer, Square)


def squarings(model: Sequential) -> int:
    """Count the ciphertexts that a network squares, by which the progress is measured."""
    return sum(math.prod(layer.output_shape) for layer in model.layers if squares(layer))


def stages(model: Sequential) -> list[tuple[int, int]]:
    """Cut the layers into ranges [start, stop): those longer than one are computed in tiles.

    They are: at most one linear layer, a square, any number of Flatten, a dense layer.
    """
    layers, found, i = model.layers, [], 0
    while i < len(layers):
        j = i + isinstance(layers[i], Linear)
        if j < len(layers) and squares(layers[j]):
            j += 1
            while j < len(layers) and isinstance(layers[j], Flatten):
                j += 1
            if j < len(layers) and isinstance(layers[j], Dense):
                found.append((i, j + 1))
                i = j + 1
                continue
        found.append((i, i + 1))
        i += 1
    return found


def stage_sums(
    scheme: Scheme,
    model: Sequential,
    start: int,
    stop: int,
    x: Ciphertext,
    tiles: Sequence[Block],
    report: Report,
    bias: IntArray | int = 0,
) -> Ciphertext:
    """Return the sums of squares times weights over some hidden units of a stage, plus a bias.

    Sums over different units of one stage may be computed anywhere, and added up.

    Parameters
    ----------
    scheme : of the ciphertexts
    start, stop : the layers of the stage, longer than one (`stages`)
    x : its input, of degree 1, of which only what the tiles take has to be there
    tiles : some or all `hidden_tiles` of its first layer
    report : which has begun
    bias : of the dense layer with which the stage ends, if it is to be added here
    """
    compute = sums_by_columns if scheme.ntt_form else sums_by_units
    return compute(scheme, model, start, stop, x, tiles, report, bias)


def sums_by_columns(
    scheme: Scheme,
    model: Sequential,
    start: int,
    stop: int,
    x: Ciphertext,
    tiles: Sequence[Block],
    report: Report,
    bias: IntArray | int,
) -> Ciphertext:
    """Return `stage_sums` in NTT form: all units at once, a few columns at a time."""
    weight, n = dense_layer(model, stop).weight, x.params.n
    hidden = [Units(tile.inputs, tile.weight, tile.bias) for tile in tiles]
    units = np.concatenate([tile.outputs.ravel() for tile in tiles])
    layer = SquareLayer(scheme, x, hidden, weight[units], bias)
    square = start + isinstance(model.layers[start], Linear)
    if square > start:
        report.layers[start].note(len(units), layer.hidden_bound, n)
    report.layers[square].note(len(units), layer.squared_bound, n)
    share = len(units) / squarings(model) / layer.steps
    with report.clock(stop - 1), watched(lambda: report.progress(share)):
        return layer.sums()


def sums_by_units(
    scheme: Scheme,
    model: Sequential,
    start: int,
    stop: int,
    x: Ciphertext,
    tiles: Sequence[Block],
    report: Report,
    bias: IntArray | int,
) -> Ciphertext:
    """Return `stage_sums` in coefficient form: a few units at a time."""
    weight = dense_layer(model, stop).weight
    square = start + isinstance(model.layers[start], Linear)
    sums = SumsOfSquares(scheme, weight.shape[1])
    for tile in tiles:
        compute = partial(apply, tile)
        hidden = report.step(start, compute, x) if square > start else compute(x)
        bound = hidden.bound[hidden.index]
        report.layers[square].note(hidden.size, scheme.product_bound(bound, bound), x.params.n)
        with report.clock(stop - 1, hidden.size / squarings(model)):
            sums.add_squares(hidden, weight[tile.outputs.ravel()])
    with report.clock(stop - 1):
        return sums.total(bias)


def dense_layer(model: Sequential, stop: int) -> Dense:
    """Return the dense layer with which a stage ends."""
    dense = model.layers[stop - 1]
    assert isinstance(dense, Dense)
    return dense
