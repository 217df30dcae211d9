"""The CryptoNets paper's two parameter sets and what they reached, for running them again.

Gilad-Bachrach, Dowlin, Laine, Lauter, Naehrig and Wernsing, "CryptoNets: Applying Neural Networks
to Encrypted Data with High Throughput and Accuracy" (ICML 2016), ran YASHE' with

    A   n = 8192, q = 2^383 - 2^33 + 1, key switching with 32-bit digits, two t of 40 bits;
    B   n = 4096, key switching with 10-bit digits, five t of 16 to 18 bits.

A set has several t because each t costs noise: two squares take about 6 log2 t bits of q. The
inputs were encrypted once for every t, and the results joined by the Chinese remainder theorem.

Both sets are **insecure**, whatever was believed then: `yashe.attacks.ntru.estimate_table`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from yashe.arithmetic.primes import ntt_primes
from yashe.parameters.sets import Params, make_params, plaintext_primes

# One image of MNIST on 8 cores: Brutzkus, Elisha, Gilad-Bachrach, "Low Latency Privacy Preserving
# Inference" (LoLa, ICML 2019), table 1
LOLA_SECONDS, LOLA_CORES = 2.2, 8

PIXELS = 784  # of an MNIST image, a ciphertext for each


@dataclass(frozen=True)
class PaperRun:
    """A parameter set of the paper and its published measurement, on a single PC of 2016.

    Attributes
    ----------
    name : "A" or "B"
    n : ring degree
    log2_q : bits
    plaintext_moduli : the network was computed once modulo each
    images : in one batch, one for each slot
    seconds : for the batch
    """

    name: str
    n: int
    log2_q: int
    plaintext_moduli: tuple[int, ...]
    images: int
    seconds: int

    @property
    def predictions_per_hour(self) -> int:
        """Images by the hour: 51,739 and 58,982, the figures of the paper."""
        return round(3600 * self.images / self.seconds)

    @property
    def log2_t(self) -> float:
        """Bits of the product of the plaintext moduli."""
        return math.log2(math.prod(self.plaintext_moduli))

    @property
    def encrypted_bytes(self) -> int:
        """Bytes of the encrypted batch: n log2 q bits for each of 784 pixels and each t."""
        return PIXELS * len(self.plaintext_moduli) * self.n * self.log2_q // 8

    def figures(self) -> tuple[float, ...]:
        """Return what can be compared: n, log2 q, number of t, log2 t, bytes, images, s, rate."""
        numbers = self.n, self.log2_q, len(self.plaintext_moduli), self.log2_t
        batch = self.encrypted_bytes, self.images, self.seconds, self.predictions_per_hour
        return *numbers, *batch


PAPER_A = PaperRun("A", 8192, 383, (1099511922689, 1099512004609), 8192, 570)
# The q of set B is not published with it. 190 bits are those of 2^190 - 2^30 + 1, the default for
# n = 4096 in the authors' library, SEAL; its default for n = 8192 is the q of set A.
PAPER_B = PaperRun("B", 4096, 190, (40961, 65537, 114689, 147457, 188417), 4096, 250)


def paper_set_a(name: str, t_at_least: int) -> Params:
    """Return set A with q of 16 primes, log2 q = 382 to 383, and one t that is large enough.

    Raises
    ------
    ParameterError
        If four batching primes do not reach that t.
    """
    t_primes = plaintext_primes(PAPER_A.n, t_at_least)
    moduli = ntt_primes(PAPER_A.n, 16, avoid=t_primes)
    return Params(name, PAPER_A.n, moduli, t_primes, security=None)


# Set A with one t = 16760833 * 16580609 of 48.0 bits, the largest of two of our primes, where the
# paper has two runs with t of 40 bits: its primes are too large for our arithmetic, and proved
# ranges need fewer bits than the paper provided for. Two squares leave room for that much.
INSECURE_YASHE_PAPER_A = paper_set_a("INSECURE_YASHE_PAPER_A", 16760833 * 16580609)

# Set B with exactly the paper's t, one parameter set for each, and a q of 8 primes, log2 q = 189.6.
# The product of the t has 82.8 bits.
INSECURE_YASHE_PAPER_B = tuple(
    make_params(f"INSECURE_YASHE_PAPER_B_{t}", PAPER_B.n, t, None, PAPER_B.log2_q)
    for t in PAPER_B.plaintext_moduli
)
