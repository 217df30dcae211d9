"""At which modulus a network's squares are computed: public numbers, not those of the weights.

BGV drops primes of q before a square (`yashe.schemes.bgv`). Which ones are best depends on the
noise, and the noise on the weights; but everybody who reads a reply sees the choice in its factor
and in its modulus. So it is made for a network that knows nothing of the weights: it has as many
squares, and before, between and behind them linear layers that all multiply by one number, the
largest whose logits t would hold.
"""

from __future__ import annotations

from functools import lru_cache

from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme

PROMISED_BITS = 0.9  # noise budget of every reply, beyond the least that decryption requires


def promised_bits(n: int) -> float:
    """Return the noise budget that logits have at least before they become a reply, in bits."""
    return noise.least_budget(n) + PROMISED_BITS


def promised_bound(n: int, order: int) -> Bound:
    """Return the noise of that order with which just the promised budget is left."""
    return Bound.of(2.0 ** -(promised_bits(n) + 1) / noise.tail_factor(n, order), order)


@lru_cache(maxsize=4096)
def primes_for_squares(kind: type[Scheme], params: Params, squares: int) -> tuple[int, ...]:
    """Return with how many primes of q each square of a network is computed, first to last.

    Parameters
    ----------
    kind : class of the scheme; only BGV drops primes
    params : of the encrypted images
    squares : how many squares there are in a row
    """
    # With w bits for each of the layers logits have (2^(squares + 1) - 1) w bits.
    scheme, bits = kind(params), (params.log2_t - 1) / (2 ** (squares + 1) - 1)
    bound, primes = (scheme.fresh_bound(False) * 2.0**bits).capped(), []
    for square in range(squares):
        if square > 0:
            bound = bound + scheme.relinearization_bound()
            left = scheme.best_for_products(bound)
            if left < scheme.params.k:
                scheme = scheme.at(scheme.params.shortened(left))
                bound = bound + noise.rounding(scheme.params, scheme.secret_norm, 1)
        primes.append(scheme.params.k)
        bound = (scheme.product_bound(bound, bound) * 2.0**bits).capped()
    return tuple(primes)
