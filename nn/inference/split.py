"""Networks whose logits fit into no single plaintext modulus: one run for each of several.

The CryptoNets paper did the same (section 5): the images are encrypted once for every t_i, the
network is evaluated modulo each of them, and the Chinese remainder theorem joins the logits, since
integer arithmetic modulo t_1 t_2 ... is arithmetic modulo every t_i. Each run needs less of q,
because each product costs log2 t_i bits; but everything is done as often as there are moduli.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.networks.model import Sequential
from nn.planning.plan import Plan, make_plan
from nn.planning.proofs import ranges
from nn.planning.single import RINGS, enough_primes
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.slots import check_integers
from yashe.errors import NoiseBudgetExhausted, ParameterError, RangeError, ShapeError
from yashe.schemes.bgv import BGV
from yashe.schemes.choose import candidates


def make_plans(
    model: Sequential, security: int = 128, pixels: IntArray | None = None, mode: str = "batch"
) -> tuple[Plan, ...]:
    """Return one plan if one plaintext modulus holds the logits, else one for each of several.

    For one image at once (mode "single") every prime of t is a run, of which `make_plan` knows.

    Raises
    ------
    RangeError, NoiseBudgetExhausted
        If no number of moduli helps; the error is that of the single plan, and names the layer.
    """
    if mode == "single":
        return make_plan(model, security=security, pixels=pixels, mode=mode).runs
    try:
        return (make_plan(model, security=security, pixels=pixels),)
    except (RangeError, NoiseBudgetExhausted, ParameterError) as error:
        need = ranges(model, model.levels)[-1].smallest_t
        for n in RINGS:
            primes = enough_primes(n, need)
            if cheapest_for(model, n, primes[:1], need, security, pixels) is None:
                continue  # larger t are noisier
            for parts in range(2, len(primes) + 1):
                groups = (primes[i::parts] for i in range(parts))
                plans = (cheapest_for(model, n, t, need, security, pixels) for t in groups)
                found = [plan for plan in takewhile(bool, plans) if plan]
                if len(found) == parts:
                    return tuple(found)
        raise error


def cheapest_for(
    model: Sequential,
    n: int,
    t_primes: tuple[int, ...],
    need: int,
    security: int,
    pixels: IntArray | None,
) -> Plan | None:
    """Return the plan with the fewest primes of q for these primes of t, or None."""
    others = -(-need // math.prod(t_primes))  # what the other moduli make up for
    for params in candidates(n, t_primes, BGV, security, f"{model.name}-mod"):
        try:
            return make_plan(model, params, pixels=pixels, joined_with=others)
        except NoiseBudgetExhausted:
            continue
    return None


def join(residues: Sequence[IntArray], moduli: Sequence[int]) -> IntArray:
    """Return the integers with these centred residues, centred modulo the product of the moduli.

    Parameters
    ----------
    residues : int64 arrays of one shape, one for each modulus
    moduli : pairwise coprime

    Returns
    -------
    int64 array, or one of Python integers (dtype object) if int64 could not hold them

    Raises
    ------
    EncodingError, ShapeError, ParameterError
        If the residues are no integers, of several shapes, or more or fewer than moduli; or if the
        moduli have a divisor in common.

    Examples
    --------
    -8 is 2 modulo 5 and -1 modulo 7:

    >>> join([np.array([2]), np.array([-1])], [5, 7])
    array([-8])
    """
    residues = [check_integers(x, "residues") for x in residues]
    if len(residues) != len(moduli) or len(shapes := {x.shape for x in residues}) != 1:
        raise ShapeError(
            f"residues of one shape were required, modulo each of {len(moduli)} moduli"
        )
    if math.lcm(*moduli) != (product := math.prod(moduli)):
        raise ParameterError(f"moduli without a common divisor were required, not {moduli}")
    total = np.zeros(shapes.pop(), dtype=object)
    for residue, t in zip(residues, moduli, strict=True):
        others = product // t
        total = total + residue.astype(object) * (others * pow(others, -1, t))
    centred = (total + product // 2) % product - product // 2
    return centred.astype(np.int64) if product < 2**63 else centred


def classify(plans: Sequence[Plan], pixels: IntArray) -> IntArray:
    """Return the logits of a batch, computed encrypted once for every plan, and joined.

    Parameters
    ----------
    plans : of `make_plans`
    pixels : int64 array, shape (images, *model.input_shape), at most as many images as slots

    Returns
    -------
    integers, shape (images, *model.output_shape)
    """
    residues = []
    for plan in plans:
        scheme = BGV(plan.params)
        keys = scheme.keygen()
        ct = encrypt_images(scheme, plan, pixels, keys.secret)
        reply = reply_of(scheme, infer(scheme, plan, ct, plan.server_keys(keys)))
        residues.append(decrypt_logits(scheme, reply, keys.secret, len(pixels)))
    return join(residues, [plan.params.t for plan in plans])


def describe(plans: Sequence[Plan]) -> str:
    """Return the full tables of all plans, with why there are several."""
    if len(plans) == 1:
        return str(plans[0])
    bits = plans[0].range_bits
    title = (
        f"No single small plaintext modulus carries logits of {bits:.1f} bits: the network is "
        f"evaluated once for each of {len(plans)} moduli, and the results are joined (CRT)."
    )
    tables = [f"log2 t = {plan.params.log2_t:.1f}\n{plan}" for plan in plans]
    return "\n\n".join([title, *tables])
