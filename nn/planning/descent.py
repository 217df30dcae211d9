"""At which modulus a network's squares are computed: public numbers, not those of the weights.

BGV drops primes of q before a square (`yashe.schemes.bgv`). Which ones are best depends on the
noise, and the noise on the weights; but everybody who reads a reply sees the choice in its factor
and in its modulus. So it is made for a network that knows nothing of the weights: it has as many
squares, and before, between and behind them linear layers that all multiply by one number, the
largest whose logits t would hold.

The same network decides how large the digits of a relinearisation are (`yashe.ciphertexts.keys`):
as large as their noise is far below that of the sums, which makes them few.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from yashe.ciphertexts import noise
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.noise import Bound
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.schemes.choose import switched

UNNOTICED = 2.0**-8  # of the noise that is there: what digits may add, in a network like this one
PROMISED_BITS = 0.9  # noise budget of every reply, beyond the least that decryption requires


def promised_bits(n: int) -> float:
    """Return the noise budget that logits have at least before they become a reply, in bits."""
    return noise.least_budget(n) + PROMISED_BITS


def promised_bound(n: int, order: int) -> Bound:
    """Return the noise of that order with which just the promised budget is left."""
    return Bound.of(2.0 ** -(promised_bits(n) + 1) / noise.tail_factor(n, order), order)


class Level(NamedTuple):
    """Where a square is computed.

    Attributes
    ----------
    primes : of q that are left
    width : primes of q for each digit of the relinearisation before it
    """

    primes: int
    width: int


@lru_cache(maxsize=4096)
def levels_of_squares(
    kind: type[Scheme], params: Params, squares: int, relinearize: bool = True
) -> tuple[Level, ...]:
    """Return where each square of a network is computed, first to last.

    Parameters
    ----------
    kind : class of the scheme; only BGV drops primes
    params : of the encrypted images
    squares : how many squares there are in a row
    relinearize : whether it is done before each but the first, or degrees double
    """
    # With w bits for each of the layers logits have (2^(squares + 1) - 1) w bits.
    scheme, bits = kind(params), (params.log2_t - 1) / (2 ** (squares + 1) - 1)
    bound, levels, width = (scheme.fresh_bound(False) * 2.0**bits).capped(), list[Level](), 1
    for square in range(squares):
        if square > 0:
            degree = 1 if relinearize else 2**square
            if relinearize:
                width = widest_digits(scheme, bound)
                bound = bound + scheme.switching_bound(Gadget(width, summed=True))
            primes = scheme.best_for_products(bound, degree=degree)
            scheme, bound = switched(scheme, bound, primes, degree)
        levels.append(Level(scheme.params.k, width))
        bound = (scheme.product_bound(bound, bound) * 2.0**bits).capped()
    return tuple(levels)


def widest_digits(scheme: Scheme, bound: Bound) -> int:
    """Return how many primes of q digits can have at most so that their noise goes unnoticed."""
    width, room = 1, float(bound.deviation) * UNNOTICED
    while width < scheme.params.k and (
        float(scheme.switching_bound(Gadget(width + 1, summed=True)).deviation) <= room
    ):
        width += 1
    return width
