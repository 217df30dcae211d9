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

from typing import Any

import numpy as np

from nn.networks.checks import TakesImages, check_pixels, of_kind
from nn.networks.model import Sequential
from nn.planning.program import Report as Report
from nn.planning.program import program_of
from nn.planning.proofs import check_network
from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import whole
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import EncodingError
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
    of_kind("the scheme", scheme, Scheme)
    pixels = check_pixels(network, pixels)
    if not 0 < len(pixels) <= scheme.params.n:
        raise EncodingError(
            f"a batch holds 1 to {scheme.params.n} images (one for each slot), not {len(pixels)}"
        )
    return scheme.encrypt(np.moveaxis(pixels, 0, -1), key, seed)


def decrypt_logits(scheme: Scheme, ct: Ciphertext, key: Any, images: int) -> IntArray:
    """Return the logits of the first `images` slots, int64 array of shape (images, *ct.shape).

    Raises
    ------
    ParameterError
        If there are not so many slots.
    """
    of_kind("the scheme", scheme, Scheme)
    images = whole(images, "the number of images", 1, scheme.params.n)
    return np.moveaxis(scheme.decrypt(ct, key)[..., :images], -1, 0)


def infer(
    scheme: Scheme,
    model: Sequential,
    ct: Ciphertext,
    relinearization: Any,
    report: Report | None = None,
    joined_with: int = 1,
) -> Ciphertext:
    """Return the encrypted logits of encrypted images, for somebody who has no secret key.

    The network is compiled to a program, which is run (`nn.planning.program`), its loops over
    ciphertexts on the workers of `yashe.arithmetic.parallel.workers`. The logits are right for all
    images with pixels 0..model.levels, or refused: see `nn.planning.proofs.check_network`. They are
    for whoever computes; a client gets `nn.inference.replies.reply_of` them, whose noise bound does
    not tell sums of weights.

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
    of_kind("the scheme", scheme, Scheme)
    own = scheme.scheme_of(ct)
    check_network(model, ct.params, joined_with)
    # The network's range is proved as a whole: what was declared of the images has done its work.
    return program_of(model, own).run(ct.modulo(), relinearization, report)
