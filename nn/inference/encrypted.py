"""Networks on encrypted images: the client's two steps, and the server's one between them.

    plan = make_plan(model)
    scheme = BGV(plan.params)
    keys = scheme.keygen()
    ct = encrypt_images(scheme, plan, pixels, keys.secret)           # client
    logits_ct = infer(scheme, plan, ct, plan.server_keys(keys))      # server, without a secret key
    reply = reply_of(scheme, logits_ct)                              # server: nn.inference.replies
    logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))

The plan has proved that the logits will be right. Given a network without a plan, `infer` proves it
first, and relinearises if it has a key for that.

Slot i of every ciphertext belongs to image i: one ciphertext for each pixel *position* carries that
pixel of thousands of images (CryptoNets, section 3.1, "parallel scaling"). With a plan for one
image at once (`nn.packing`) the slots hold that image instead:

    plan = make_plan(model, mode="single")
    for run in plan.runs:    # one for each plaintext modulus, joined by `nn.inference.split.join`
        scheme = BGV(run.params)
        keys = scheme.keygen()
        ct = encrypt_images(scheme, run, pixels[:1], keys.secret)
        reply = reply_of(scheme, infer(scheme, run, ct, run.server_keys(keys)))
        logits = decrypt_logits(scheme, reply, keys.secret, 1, run)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nn.networks.checks import TakesImages, check_pixels
from nn.networks.model import Sequential
from nn.packing.network import Packing
from nn.planning.packed import ServerKeys
from nn.planning.plan import Plan
from nn.planning.program import NEEDS_A_KEY, program_of
from nn.planning.program import Report as Report
from nn.planning.proofs import check_network
from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import of_kind, whole
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Key
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import EncodingError, NoiseBudgetExhausted, ParameterError
from yashe.schemes.base import Scheme


def encrypt_images(
    scheme: Scheme, network: TakesImages, pixels: IntArray, key: Any, seed: bytes | None = None
) -> Ciphertext:
    """Encrypt a batch of images pixel position by pixel position, or one image tap by tap.

    Pixels are encrypted modulo t: what a plan proves to fit are the logits, and pixels may be
    larger, if a bias takes them back, or t is one of several.

    Parameters
    ----------
    scheme : Scheme
    network : the Sequential that shall classify them, its plan, or its ModelCard
    pixels : integers 0..network.levels, shape (B, *network.input_shape), B at most the number of
        slots n; 1 for one image at once
    key : a key that encrypts
    seed : 32 bytes that determine the randomness, for tests only; see `RLWE.encrypt`

    Returns
    -------
    Ciphertext of shape network.input_shape; slot i belongs to image i. For one image at once: of
    shape (taps,), as `nn.packing.network.Packing` fills the slots

    Raises
    ------
    EncodingError
        If there are no images, more than there is room for, or they are no integers.
    ParameterError
        If they have another shape.
    RangeError
        If a pixel is not in 0..levels, naming image and pixel.
    """
    of_kind(scheme, "the scheme", Scheme)
    pixels = check_pixels(network, pixels)
    packing: Packing | None = getattr(network, "packing", None)  # of a plan or a card
    if packing is not None:
        if len(pixels) != 1:
            raise EncodingError(
                f"one image at once was planned, not {len(pixels)}: encrypt them one by one, or "
                "make a plan with mode='batch'"
            )
        slots = encode_constant(scheme.params, packing.slots(pixels[0]))
        return scheme.encrypt(slots, key, seed)
    if not 0 < len(pixels) <= scheme.params.n:
        raise EncodingError(
            f"a batch holds 1 to {scheme.params.n} images (one for each slot), not {len(pixels)}"
        )
    slots = encode_constant(scheme.params, np.moveaxis(pixels, 0, -1))
    return scheme.encrypt(slots, key, seed, narrow=scheme.ntt_form)


def decrypt_logits(
    scheme: Scheme, ct: Ciphertext, key: Any, images: int, network: TakesImages | None = None
) -> IntArray:
    """Return the logits of the first `images` slots, int64 array of shape (images, *ct.shape).

    Parameters
    ----------
    network : for one image at once, the plan or card that says where its logits are; what is
        returned has the shape (1, outputs), and is modulo the t of the scheme

    Raises
    ------
    ParameterError
        If there are not so many slots.
    """
    of_kind(scheme, "the scheme", Scheme)
    packing: Packing | None = getattr(network, "packing", None)
    images = whole(images, "the number of images", 1, scheme.params.n if packing is None else 1)
    if packing is not None:
        if ct.shape != (1,):
            raise ParameterError(f"a reply for one image has shape (1,), got {ct.shape}")
        return packing.logits(ct.params, scheme.decrypt(ct, key)[0])[None]
    return np.moveaxis(scheme.decrypt(ct, key)[..., :images], -1, 0)


def infer(
    scheme: Scheme,
    model: Sequential | Plan,
    ct: Ciphertext,
    relinearization: Any,
    report: Report | None = None,
    joined_with: int = 1,
    device: str | None = None,
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
    model : integer network, or a plan of it, whose program is run as it is
    ct : Ciphertext of the model's input shape, or of as many taps as the plan says
    relinearization : the relinearisation key of the same keys, or None: then nothing is
        relinearised, whose noise not all parameters bear (`nn.planning.program`). With a plan, what
        its `server_keys` makes
    report : collects times and predicted noise budgets, if given
    joined_with : product of other plaintext moduli under which the same is computed, for logits
        that are joined afterwards (`nn.inference.split.join`); with more than 1 they are logits
        modulo t
    device : "cpu" or "gpu", if ciphertexts and key shall be brought there, and the logits back; by
        default it is computed where the ciphertexts are (docs/gpu.md)

    Returns
    -------
    Ciphertext of the model's output shape, of degree 1 if there was a relinearisation; for one
    image at once of shape (1,)

    Raises
    ------
    ParameterError
        If the shape is not the model's input shape, or the network not one of integers, or not the
        one any more that was planned.
    RangeError
        If the logits might not fit into (-t/2, t/2).
    TransparentCiphertextError
        If an output of a layer depends on no pixel.
    NoiseBudgetExhausted, KeyMismatchError
    PlaceError
        If ciphertexts and key are in different places.
    DeviceError
        If there is no such device.
    """
    of_kind(scheme, "the scheme", Scheme)
    own = scheme.scheme_of(ct)
    if device is not None:
        key, before = relinearization, ct.place
        key = key.to(device) if isinstance(key, Key | ServerKeys) else key
        return infer(scheme, model, ct.to(device), key, report, joined_with).to(before)
    if isinstance(model, Plan):  # and all is proved
        model.check_unchanged()
        if model.packing is not None:
            ServerKeys.check(relinearization)
        return model.program.run(ct.modulo(), relinearization, report)
    check_network(model, ct.params, joined_with)
    # The network's range is proved as a whole: what was declared of the images has done its work.
    program = program_of(model, own, relinearize=relinearization is not None)
    try:
        return program.run(ct.modulo(), relinearization, report)
    except NoiseBudgetExhausted as error:
        hint = NEEDS_A_KEY if relinearization is None else ""
        raise NoiseBudgetExhausted(f"{error}{hint}") from None
