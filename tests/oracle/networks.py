"""Random integer networks on encrypted images, their logits compared with the definition's.

The package chooses how a network is computed (in columns, in tiles, when to relinearise, where to
switch the modulus). `logits` computes it loop by loop, and the oracle decrypts what comes out: the
logits themselves, not their residues modulo t, and the noise.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

import oracle
from judge import SCHEMES, WrongAnswer
from logits import logits
from nn.inference.encrypted import encrypt_images, infer
from nn.networks.base import Linear
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from strategies_networks import insecure_params_for
from yashe.errors import FheError


def draw(rng: random.Random) -> Sequential:
    """Return a network of up to two squares with convolutions, pools and dense layers."""
    height, width, channels = rng.randint(2, 5), rng.randint(2, 5), rng.randint(1, 2)
    layers: list[Any] = []
    shape = (height, width, channels)

    def append(layer: Any) -> None:
        nonlocal shape
        layers.append(layer)
        shape = layer.infer(shape)

    squares = 0
    while len(shape) == 3:
        kinds = ["conv", "flatten"] + ["square"] * (squares < 2)
        sizes = [m for m in (2, 3, 5) if shape[0] % m == 0 and shape[1] % m == 0]
        kind = rng.choice(kinds + ["pool"] * bool(sizes))
        if kind == "conv":
            kernel = rng.randint(1, min(3, *shape[:2]))
            stride, end = rng.randint(1, 2), rng.randrange(kernel)
            append(Conv2D(rng.randint(1, 3), kernel, stride, end, bias=bool(rng.randrange(2))))
        elif kind == "pool":
            append(MeanPool(rng.choice(sizes)))
        elif kind == "square":
            append(Square())
            squares += 1
        else:
            append(Flatten())
    while squares < 2 and rng.randrange(3):
        append(Dense(rng.randint(1, 4), bias=bool(rng.randrange(2))))
        append(Square())
        squares += 1
    append(Dense(rng.randint(1, 4), bias=bool(rng.randrange(2))))
    model = Sequential(layers, (height, width, channels), info=ModelInfo(levels=rng.randint(1, 4)))
    limit = rng.choice([1, 3, 20])
    for layer in model.layers:
        if isinstance(layer, Linear) and layer.parameters:
            for name, old in layer.parameters.items():
                new = [rng.randint(-limit, limit) for _ in range(old.size)]
                layer.parameters[name] = np.array(new, dtype=np.int64).reshape(old.shape)
            weight = layer.parameters["weight"]
            weight[0, ~weight.any(axis=0)] = 1  # nothing may depend on no pixel
    return model


def described(model: Sequential) -> list[tuple[Any, ...]]:
    """Return the layers in the form that `logits` takes."""
    found: list[tuple[Any, ...]] = []
    for layer in model.layers:
        name = type(layer).__name__
        if isinstance(layer, MeanPool):
            found.append((name, layer.size))
        elif isinstance(layer, Linear):
            numbers = (layer.weight.tolist(), layer.bias.tolist())
            shape = ()
            if isinstance(layer, Conv2D):
                shape = (layer.kernel, layer.stride, layer.pad_end)
            found.append((name, *numbers, *shape))
        else:
            found.append((name,))
    return found


def run(scheme_name: str, seed: int, n: int = 16) -> bool:
    """Compare one network; say whether it was computed, or refused by an FheError.

    Raises
    ------
    WrongAnswer
    """
    rng = random.Random(f"{scheme_name} {seed}")
    model = draw(rng)
    layers = described(model)
    repeat = f"repeat: networks.run({scheme_name!r}, {seed}, n={n})\n{model.summary()}\n{layers}"
    images = rng.randint(1, n)
    size = images * math.prod(model.input_shape)
    pixels = [rng.randint(0, model.info.levels) for _ in range(size)]
    batch = np.array(pixels, dtype=np.int64).reshape(images, *model.input_shape)
    key_seed, encryption_seed, public = rng.randbytes(32), rng.randbytes(32), rng.randrange(2)
    try:
        params = insecure_params_for(model, n)
        scheme = SCHEMES[scheme_name](params)
        keys = scheme.keygen(key_seed)
        key = keys.public if public else keys.encryption
        ct = encrypt_images(scheme, model, batch, key, encryption_seed)
        ct = infer(scheme, model, ct, keys.relinearization)
    except FheError:
        return False
    element = keys.secret.f if scheme_name == "YASHE'" else keys.secret.s
    secret = oracle.polynomial(element.residues, n, params.moduli, values=True)
    zero = np.zeros((n - images, *model.input_shape), dtype=np.int64)  # in slots without an image
    expected = [logits(layers, image) for image in [*batch.tolist(), *zero.tolist()]]
    p, budgets = ct.params, ct.noise_budget.reshape(-1)
    for j, row in enumerate(ct.index.reshape(-1).tolist()):
        found = oracle.read(
            scheme_name, n, p.moduli, p.plaintext_moduli, ct.rows[row], secret, ct.degree, ct.factor
        )
        column = tuple(one[j] for one in expected)
        if found.slots != column:
            raise WrongAnswer(f"logit {j} is {column} by definition, got {found.slots}; {repeat}")
        if found.budget < budgets[j]:
            raise WrongAnswer(f"logit {j}: {budgets[j]} bits predicted, {found.budget}; {repeat}")
    return True
