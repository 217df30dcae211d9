"""Train on while weights are rounded: what fewer bits cost, other weights can make up for.

The rounded network learns to put out what the float network does, so that no labels are needed. It
computes with whole weights and biases; the gradient there is applied to what they were rounded
from, as if rounding were the identity (`nn.training.quantize`: the straight-through estimator).
Batch normalisation is folded already, so steps are small, and what an integer is worth stays.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from nn.foreign.rounding import Calibration, Rounded, finished
from nn.networks.base import FloatArray
from nn.networks.schema import Classes
from nn.training.fit import squared_error
from nn.training.loss import cross_entropy, for_classes, softmax
from nn.training.optim import Adam, cosine_rate
from yashe.arithmetic.whole import of_kind, whole

BATCH = 32


def train_rounded(
    rounded: Rounded,
    rows: Any,
    targets: Any = None,
    epochs: int = 30,
    rate: float = 0.02,
    seed: int = 0,
) -> Rounded:
    """Train a rounded network on, and return the best that was met: never a worse one.

    Parameters
    ----------
    rounded : from `quantize_network`, perhaps with fewer bits than it would choose
    rows, targets : of the training data, as the other library takes them; targets are not trained
        on, they only judge after every epoch, as in `quantize_network`
    epochs : how often all rows are read
    rate : highest step of a weight, in integers
    seed : of the order of the rows

    Returns
    -------
    Rounded, with one trial more

    Raises
    ------
    DataError
        If rows and targets are none.
    """
    of_kind(rounded, "the network", Rounded)
    epochs, network = whole(epochs, "epochs", 1), rounded.network
    calibration, pixels = Calibration.of(network, rows, targets), rounded.prepare(rows)
    teacher, inputs = network.outputs(rows), pixels.astype(np.float64)
    classes = isinstance(network.answers, Classes)
    unit = 1.0 if classes else float(np.std(teacher)) or 1.0
    draft = copy.deepcopy(rounded.draft)
    model = copy.deepcopy(draft.latent)  # computes with what the latent parameters are rounded to
    best = calibration.tried(draft, pixels), copy.deepcopy(draft)
    optimizer, rng = Adam(draft.latent.parameters()), np.random.default_rng(seed)
    for epoch in range(epochs):
        batches = np.array_split(rng.permutation(len(rows)), -(-len(rows) // BATCH))
        for i, batch in enumerate(batches):
            for parameter, rounding in zip(model.parameters(), draft.rounded(), strict=True):
                parameter[...] = rounding
            outputs, seen = model.training_forward(inputs[batch])
            worth = draft.unit / unit
            gradient = towards(outputs * worth, teacher[batch] / unit, classes) * worth
            step, steps = epoch * len(batches) + i, epochs * len(batches)
            optimizer.step(model.backward(seen, gradient), cosine_rate(step, steps, rate))
        trial = calibration.tried(draft, pixels)
        if trial.lost <= best[0].lost:  # the later, the smaller the steps have become
            best = trial, copy.deepcopy(draft)
    trial, draft = best
    return replace(
        rounded,
        model=finished(network, rounded.grid, draft, trial),
        draft=draft,
        trials=(*rounded.trials, trial),
        chosen=trial,
    )


def towards(outputs: FloatArray, teacher: FloatArray, classes: bool) -> FloatArray:
    """Return the gradient at the outputs of their distance from a teacher's.

    That is the cross-entropy of classes, or half of the mean squared difference of values.
    """
    if not classes:
        return squared_error(outputs, teacher[:, 0])[1]
    opinion = softmax(for_classes(teacher))
    return cross_entropy(for_classes(outputs), opinion)[1][:, -outputs.shape[1] :]
