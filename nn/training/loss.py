"""What training makes small: cross-entropy, label smoothing, distillation.

    p = softmax(z)      loss = -sum_k target_k log p_k      gradient at z: p - target

The gradient is that simple for every target that sums to 1, so a smoothed label (Szegedy et al.,
arXiv 1512.00567, section 7) and a teacher's opinion (Hinton, Vinyals and Dean, arXiv 1503.02531)
only change the target. Every function returns (mean loss, gradient at the logits).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nn.networks.base import FloatArray


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities, shape of the logits (..., classes).

    The largest logit is subtracted first, so that no exponential overflows.
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def for_classes(outputs: FloatArray) -> FloatArray:
    """Return one logit for each class; a single output is that of the second of two, beside 0."""
    one = outputs.shape[-1] == 1
    return np.concatenate([np.zeros_like(outputs), outputs], axis=-1) if one else outputs


def smooth_labels(
    labels: npt.NDArray[np.int64], classes: int, smoothing: float = 0.0
) -> FloatArray:
    """Return targets (B, classes): 1 - smoothing at the label, the rest spread over all classes."""
    targets = np.full((len(labels), classes), smoothing / classes, dtype=np.float32)
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return targets


def cross_entropy(logits: FloatArray, targets: FloatArray) -> tuple[float, FloatArray]:
    """Return the mean cross-entropy of a batch and its gradient at the logits (B, classes)."""
    probabilities = softmax(logits)
    # 1e-12 stands for a probability that has underflowed: a large loss instead of an infinite one.
    loss = -np.mean(np.sum(targets * np.log(probabilities + 1e-12), axis=-1))
    return float(loss), (probabilities - targets) / np.float32(len(logits))


def distillation(
    logits: FloatArray,
    targets: FloatArray,
    teacher: FloatArray,
    weight: float = 0.7,
    temperature: float = 2.0,
) -> tuple[float, FloatArray]:
    """Mix the labels' cross-entropy with the teacher's, at a temperature that softens both.

    Parameters
    ----------
    logits, targets, teacher : float arrays, shape (B, classes)
        The student's logits, the labels as targets, and the teacher's logits.
    weight : float
        Share of the teacher, in [0, 1].
    temperature : float
        Divides the logits on both sides. The teacher's term is multiplied by its square, so that
        the size of its gradient does not depend on it (Hinton et al., section 2).
    """
    hard, hard_gradient = cross_entropy(logits, targets)
    soft, soft_gradient = cross_entropy(logits / temperature, softmax(teacher / temperature))
    loss = (1 - weight) * hard + weight * temperature**2 * soft
    return loss, (1 - weight) * hard_gradient + weight * temperature * soft_gradient
