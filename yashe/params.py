"""Parameter sets: ring degree, moduli, and the security claim they are checked against."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import combinations

from yashe.errors import ParameterError
from yashe.primes import (
    check_degree,
    check_ntt_prime,
    next_ntt_primes,
    ntt_primes,
    ntt_primes_below,
    prime_limit,
)
from yashe.residues import PRIME_LIMIT
from yashe.ring import Ring, ring
from yashe.rns import RnsBasis
from yashe.security import check_security, max_log2_q


@dataclass(frozen=True)
class Params:
    """Parameters of a scheme over R = Z[X]/(X^n + 1).

    Parameters
    ----------
    name : what to call the set; starts with "INSECURE_" if and only if security is None
    n : ring degree and number of slots, power of two in [4, 32768]
    moduli : NTT-friendly primes below 2^24 whose product is q
    plaintext_moduli : NTT-friendly primes below 2^24 whose product is t; none may divide q
    security : claimed classical security in bits (128, 192, 256), or None for toys

    Raises
    ------
    ParameterError
        If the primes do not fit n or each other.
    SecurityError
        If the enforced table does not cover (n, q, security), naming its entry.

    Examples
    --------
    >>> INSECURE_TOY
    Params('INSECURE_TOY': n=64, log2 q=120.0 (5 primes), log2 t=18.0, security=None)
    """

    name: str
    n: int
    moduli: tuple[int, ...]
    plaintext_moduli: tuple[int, ...]
    security: int | None = 128

    def __post_init__(self) -> None:
        check_degree(self.n)
        check_security(self.n, math.prod(self.moduli), self.security, self.name)
        if set(self.moduli) & set(self.plaintext_moduli):
            raise ParameterError("q and t must be coprime: they share a prime")
        if 2 * self.t > self.q:
            raise ParameterError(
                f"t (log2 {self.log2_t:.1f}) must be smaller than q/2 (log2 q {self.log2_q:.1f})"
            )
        if self.t >= 2**62:
            raise ParameterError(f"t must stay below 2^62 (slots are int64), not {self.log2_t:.1f}")
        for moduli in (self.moduli, self.plaintext_moduli):
            for p in moduli:
                check_ntt_prime(self.n, p)
            RnsBasis(moduli)  # refuses a prime that occurs twice, and no primes at all

    def __repr__(self) -> str:
        return (
            f"Params({self.name!r}: n={self.n}, log2 q={self.log2_q:.1f} ({self.k} primes), "
            f"log2 t={self.log2_t:.1f}, security={self.security})"
        )

    @cached_property
    def q(self) -> int:
        """Ciphertext modulus."""
        return math.prod(self.moduli)

    @cached_property
    def t(self) -> int:
        """Plaintext modulus: slots hold the integers |m| < t/2."""
        return math.prod(self.plaintext_moduli)

    @cached_property
    def delta(self) -> Fraction:
        """q/t, by which messages are scaled up."""
        return Fraction(self.q, self.t)

    @property
    def k(self) -> int:
        """Number of primes of q."""
        return len(self.moduli)

    @property
    def log2_q(self) -> float:
        """Size of q in bits."""
        return math.log2(self.q)

    @property
    def log2_t(self) -> float:
        """Size of t in bits."""
        return math.log2(self.t)

    @cached_property
    def ring(self) -> Ring:
        """The ring R_q of ciphertexts."""
        return ring(self.n, self.moduli)

    @cached_property
    def plaintext_ring(self) -> Ring:
        """The ring R_t of messages; its NTT is the batching of slots."""
        return ring(self.n, self.plaintext_moduli)

    @cached_property
    def auxiliary_moduli(self) -> tuple[int, ...]:
        """Primes whose product P exceeds n q.

        A product of ciphertexts has coefficients |d| <= 2 n (q/2)^2 = n q^2 / 2 (two products of
        centred polynomials): they are exact modulo q P if q P > n q^2.
        """
        count = 1
        while True:
            primes = ntt_primes(self.n, count, avoid=self.moduli)
            if math.prod(primes) > self.n * self.q:
                return primes
            count += 1

    @cached_property
    def auxiliary_basis(self) -> RnsBasis:
        """The basis of P."""
        return RnsBasis(self.auxiliary_moduli)

    @cached_property
    def product_ring(self) -> Ring:
        """The ring modulo q P in which ciphertexts are multiplied."""
        return ring(self.n, self.moduli + self.auxiliary_moduli)

    def shortened(self, k: int) -> Params:
        """Return the same parameters with only the first k primes of q.

        Raises
        ------
        ParameterError
            If k is not in [1, self.k], or q would be too small for t.
        """
        if not 1 <= k <= self.k:
            raise ParameterError(
                f"q of {self.name} has {self.k} primes: keep 1 to {self.k}, not {k}"
            )
        if k == self.k:
            return self
        name = self.name.partition(", ")[0]  # of a set that may be shortened itself
        return replace(self, name=f"{name}, {k} primes", moduli=self.moduli[:k])

    def shortens(self, other: Params) -> bool:
        """Say whether these are the parameters `other`, or those with fewer primes."""
        return self.digest == other.digest or (
            self.k < other.k and self.digest == other.shortened(self.k).digest
        )

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of everything that both sides must agree on (the name is not)."""
        text = f"{self.n};{self.moduli};{self.plaintext_moduli}"
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def plaintext_primes(n: int, minimum: int) -> tuple[int, ...]:
    """Return batching primes for degree n whose product t is at least `minimum`.

    As few primes as possible, and among those nearly the smallest product: every bit of t costs a
    bit of noise budget at each multiplication.

    Raises
    ------
    ParameterError
        If it would take more than four primes.

    Examples
    --------
    >>> plaintext_primes(4, 100), plaintext_primes(4, 2**25)
    ((113,), (5849, 5737))
    """
    for count in range(1, 5):
        if prime_limit(n) ** count <= minimum:
            continue
        middle = int(minimum ** (1 / count))
        near = next_ntt_primes(n, middle, 12) + ntt_primes_below(n, middle, 12)
        candidates = []
        for chosen in combinations(near, count - 1):
            last = next_ntt_primes(n, -(-minimum // math.prod(chosen)), 1)
            if last and last[0] not in chosen:
                candidates.append((*chosen, *last))
        if candidates:
            return tuple(sorted(min(candidates, key=math.prod), reverse=True))
    raise ParameterError(
        f"no product of at most four batching primes for n = {n} reaches "
        f"{minimum.bit_length()} bits"
    )


def make_params(
    name: str,
    n: int,
    t_at_least: int | tuple[int, ...],
    security: int | None = 128,
    log2_q: int | None = None,
) -> Params:
    """Return a parameter set with nearly the largest q that `log2_q` or the security table allows.

    Parameters
    ----------
    name : what to call the set
    n : ring degree
    t_at_least : smallest plaintext modulus that will do: 2 * (largest |value|) + 1; or the primes
        of the plaintext modulus themselves
    security : level in bits that limits q; None for toys, which then need `log2_q`
    log2_q : upper limit of log2 q in bits; default the table's

    Raises
    ------
    ParameterError, SecurityError
        If there is no such set.
    """
    if log2_q is None:
        if security is None:
            raise ParameterError("without a security level, say how large q may be: log2_q=...")
        log2_q = max_log2_q(n, security)
    t_primes = t_at_least if isinstance(t_at_least, tuple) else plaintext_primes(n, t_at_least)
    count = math.ceil(log2_q / math.log2(prime_limit(n)))
    below = min(PRIME_LIMIT, int(2 ** (log2_q / count)))
    return Params(name, n, ntt_primes(n, count, below, avoid=t_primes), t_primes, security)


INSECURE_TOY = make_params("INSECURE_TOY", 64, 2**18 - 500, security=None, log2_q=120)
