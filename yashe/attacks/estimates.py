"""What lattice reduction can do, and what it costs: estimates, not proofs.

BKZ with block size beta finds vectors of length delta(beta)^d vol^(1/d) in a lattice of dimension
d. delta says how good it is, beta how expensive: about 2^(0.292 beta) steps. An attack is estimated
by the smallest beta for which what it looks for is short enough to be found.

Sources: Chen, thesis, Paris 7 2013, for delta(beta); Alkim, Ducas, Poeppelmann and Schwabe, ePrint
2015/1092, section 6.3, for the primal attack on LWE; Becker, Ducas, Gama and Laarhoven, ePrint
2015/1128, for the cost of sieving; Albrecht, Player and Scott, ePrint 2015/046, section 3.2, for
the number of calls; Ducas, ePrint 2017/999, for the dimensions that come for free.
"""

from __future__ import annotations

from collections.abc import Callable
from math import e, log, log2, pi, sqrt

import numpy as np

# Below 40 the formula for delta does not hold; values seen in experiments (Chen), beta = 2 is LLL.
SMALL_BLOCKS = 2, 5, 10, 15, 20, 25, 28, 40
SMALL_DELTAS = 1.0219, 1.01862, 1.01616, 1.01485, 1.0142, 1.01342, 1.01331, 1.01295
LARGEST_BLOCK = 100_000  # 2^29200 steps: no question depends on what lies beyond


def log2_delta(beta: int) -> float:
    """Return log2 of the root Hermite factor of BKZ with block size beta >= 2 (Chen)."""
    if beta < SMALL_BLOCKS[-1]:
        return log2(np.interp(beta, SMALL_BLOCKS, SMALL_DELTAS))
    return log2((pi * beta) ** (1 / beta) * beta / (2 * pi * e)) / (2 * (beta - 1))


def smallest_block(is_enough: Callable[[int], bool]) -> int:
    """Return the smallest block size for which a condition holds that larger blocks keep."""
    low, high = 2, LARGEST_BLOCK
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low


def primal_dimension(n: int, log2_q: float, beta: int, sigma: float) -> tuple[int, float]:
    """Return the dimension d in which the primal attack with BKZ-beta is best, and log2 vol^(1/d).

    The lattice of m equations contains (sigma' s, e, 1), sigma' = sigma / sqrt(2/3) making both
    halves equally long; d = m + n + 1 and vol = q^m sigma'^n. The last Gram-Schmidt vectors are
    longest for d = sqrt(n (log q - log sigma') / log delta).
    """
    ratio_bits = log2(sigma / sqrt(2 / 3))
    best = int(sqrt(max(n * (log2_q - ratio_bits), 0) / log2_delta(beta))) - n
    m = min(max(best, 1), 2 * n)
    d = m + n + 1
    return d, (m * log2_q + n * ratio_bits) / d


def rlwe_block_size(n: int, log2_q: float, sigma: float = 3.2) -> int:
    """Estimate the BKZ block size that finds a ternary RLWE secret: primal attack, unique SVP.

    The short vector is found as soon as its projection on the last block, sigma sqrt(beta), is
    shorter than the Gram-Schmidt vector there:
    sigma sqrt(beta) <= delta^(2 beta - d - 1) vol^(1/d) (Alkim et al., section 6.3).

    Examples
    --------
    >>> rlwe_block_size(8192, 214)  # the 2024 table's limit for 128 bits
    334
    """

    def is_enough(beta: int) -> bool:
        d, volume_bits = primal_dimension(n, log2_q, beta, sigma)
        last = (2 * beta - d - 1) * log2_delta(beta) + volume_bits
        return log2(sigma * sqrt(beta)) <= last

    return smallest_block(is_enough)


def reduction_bits(beta: int, d: int) -> float:
    """Return log2 of the operations of BKZ-beta in dimension d.

    8d calls of a sieve, which costs 2^(0.292 b + 16.4) in dimension b. A sieve in dimension b finds
    the shortest vector of dimension beta = b + beta ln(4/3) / ln(beta / (2 pi e)). The exponent
    alone, 0.292 beta, is the core-SVP hardness.
    """
    free = beta * log(4 / 3) / log(beta / (2 * pi * e)) if beta > 40 else 0.0
    return 0.292 * (beta - free) + 16.4 + log2(8 * d)


def rlwe_security_bits(n: int, log2_q: float, sigma: float = 3.2) -> float:
    """Estimate the classical security of RLWE with a ternary secret, in bits.

    Within 10 bits of the table that is enforced, at every entry for n = 2048 to 32768. The table
    was made by trying many attacks with a better model of each; it decides, this explains.

    Examples
    --------
    >>> [round(rlwe_security_bits(8192, log2_q)) for log2_q in (114, 147, 214)]
    [250, 186, 121]
    """
    beta = rlwe_block_size(n, log2_q, sigma)
    return reduction_bits(beta, primal_dimension(n, log2_q, beta, sigma)[0])
