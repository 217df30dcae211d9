"""The last step of a server: encrypted logits become a reply, and say nothing needlessly.

A predicted noise bound is made of sums of |weights|, and how many primes of q it allows to drop is
a number of the weights as well. So whatever a reply says beside its residues is made of public
numbers: the parameters, the number of squares, and the promise that logits have a little noise
budget left, for which the plan leaves room (`nn.planning.plan.SPARE_BITS`).

The noise itself is still that of the weights, unless it is flooded (`nn.inference.flooding`).
"""

from __future__ import annotations

from dataclasses import replace

from nn.inference.flooding import Flooding, flood
from nn.planning.descent import PROMISED_BITS, promised_bits, promised_bound
from yashe.arithmetic.whole import of_kind
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.schemes.base import Scheme


def reply_of(scheme: Scheme, logits: Ciphertext, flooding: Flooding | None = None) -> Ciphertext:
    """Return the same messages at as few primes as the promise allows, for the client.

    Parameters
    ----------
    scheme : of the logits
    logits : Ciphertext of any shape
    flooding : hides the weights, at a price

    Returns
    -------
    Ciphertext of the same shape. Its noise bound, factor and parameters are the same for all
    networks that have as many squares and relinearisations, under these parameters.

    Raises
    ------
    NoiseBudgetExhausted
        If less than the promised budget is predicted, or flooding needs more.
    FormError, KeyMismatchError
        From `flood`, or for what are no logits of this scheme.
    """
    of_kind(scheme, "the scheme", Scheme)
    scheme = scheme.scheme_of(logits)
    n, left = logits.params.n, float(logits.noise_budget.min())
    least = noise.least_budget(n)
    noise.check_budget(left - PROMISED_BITS, "the promise of a reply", left, least)
    if flooding is not None:
        logits = flood(logits, flooding.key, flooding.bits)
    elif left >= promised_bits(n):  # less only inside of `noise.unchecked`
        promised = promised_bound(n, int(logits.bound.order.max()))
        logits = replace(logits, bound=promised.broadcast(logits.bound.shape), public_seed=None)
    return scheme.switch_modulus(logits)
