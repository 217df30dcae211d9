"""Parameter sets: ring degree, moduli, and the security claim they are checked against."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import chain, combinations
from typing import Any

import numpy as np

from yashe.arithmetic.primes import (
    check_degree,
    check_ntt_prime,
    is_prime,
    nearest_primes,
    next_ntt_primes,
    ntt_primes,
    ntt_primes_below,
    prime_limit,
)
from yashe.arithmetic.rings import Ring, ring
from yashe.arithmetic.rns import RnsBasis
from yashe.arithmetic.whole import shown, whole, whole_numbers
from yashe.errors import ParameterError
from yashe.parameters.security import check_security, max_log2_q

MOST_LOG2_Q = 1000  # noise is kept as a float64, as a fraction of q: 1/q must be one
T_LIMIT = 2**62  # slots are int64
MOST_MODULI, MOST_PLAINTEXT_MODULI, LONGEST_NAME = 64, 4, 64  # that are written to files

SUM_BITS = 12  # that the auxiliary modulus of products leaves for the weights of a sum


@dataclass(frozen=True)
class Params:
    """Parameters of a scheme over R = Z[X]/(X^n + 1).

    Parameters
    ----------
    name : what to call the set, at most 53 printable ASCII characters; starts with "INSECURE_" if
        and only if security is None
    n : ring degree and number of slots, power of two in [4, 32768]
    moduli : at most 64 NTT-friendly primes below 2^24 whose product is q, below 2^1000
    plaintext_moduli : at most 4 NTT-friendly primes below 2^24 whose product is t, below 2^62;
        none may divide q
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
        # Whole numbers of other types become integers of Python, which cannot overflow.
        vars(self).update(
            name=check_name(self.name),
            n=check_degree(self.n),
            plaintext_moduli=whole_numbers(self.plaintext_moduli, "the primes of t"),
            moduli=whole_numbers(self.moduli, "the primes of q"),
        )
        if self.security is not None:
            vars(self).update(security=whole(self.security, "the security level in bits"))
        check_plaintext_moduli(self.n, self.plaintext_moduli)
        check_moduli(self.n, self.moduli)
        check_security(self.n, self.q, self.security, self.name)
        if set(self.moduli) & set(self.plaintext_moduli):
            raise ParameterError("q and t must be coprime: they share a prime")
        if 2 * self.t > self.q:
            raise ParameterError(
                f"t (log2 {self.log2_t:.1f}) must be smaller than q/2 (log2 q {self.log2_q:.1f})"
            )

    def __repr__(self) -> str:
        return (
            f"Params({self.name!r}: n={self.n}, log2 q={self.log2_q:.1f} "
            f"({counted(self.k, 'prime')}), log2 t={self.log2_t:.1f}, security={self.security})"
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
        """Primes whose product P exceeds n q; by 12 bits, if the ring has that many primes.

        A product of ciphertexts has coefficients |d| <= 2 n (q/2)^2 = n q^2 / 2 (two products of
        centred polynomials): they are exact modulo q P if q P > n q^2. The 12 bits are room for
        weighted sums of products, which are then scaled down once for the whole sum, not once for
        every product (`yashe.circuits.products`).
        """
        try:
            return self._primes_above(2**SUM_BITS * self.n * self.q)
        except ParameterError:
            return self._primes_above(self.n * self.q)

    def _primes_above(self, limit: int) -> tuple[int, ...]:
        """Return as few primes that are none of q's as have a product above the limit."""
        count = 1
        while math.prod(primes := ntt_primes(self.n, count, avoid=self.moduli)) <= limit:
            count += 1
        return primes

    @cached_property
    def auxiliary_basis(self) -> RnsBasis:
        """The basis of P."""
        return RnsBasis(self.auxiliary_moduli)

    @cached_property
    def product_ring(self) -> Ring:
        """The ring modulo q P in which ciphertexts are multiplied."""
        return ring(self.n, self.moduli + self.auxiliary_moduli)

    def shortened(self, k: int) -> Params:
        """Return the same parameters with only the first k primes of q, their level k.

        Raises
        ------
        ParameterError
            If k is not in [1, self.k], or q would be too small for t.
        """
        k = whole(k, f"q of {self.name} has {self.k} primes: how many to keep", 1, self.k)
        return self if k == self.k else _shortened(self, k)

    def shortens(self, other: Params) -> bool:
        """Say whether these are a level of the parameters `other`: all or the first of its primes.

        All else is the same but the names.
        """
        level = (other.n, other.plaintext_moduli, other.moduli[: self.k])
        return (self.n, self.plaintext_moduli, self.moduli) == level

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of everything that both sides must agree on (the name is not)."""
        text = f"{self.n};{self.moduli};{self.plaintext_moduli}"
        return hashlib.sha256(text.encode("ascii")).hexdigest()


@lru_cache(maxsize=512)
def _shortened(params: Params, k: int) -> Params:
    """Return parameters with only the first k primes of q; products ask again and again."""
    base = params.name.partition(", ")[0]  # of a set that may be shortened itself
    return replace(params, name=f"{base}, {counted(k, 'prime')}", moduli=params.moduli[:k])


def counted(count: int, what: str) -> str:
    """Return a number and what it counts: 1 prime, 2 primes."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def check_name(name: Any) -> str:
    """Return a name, or refuse one that could not be printed or written to a file.

    That holds for the name with fewer primes, too: `Params.shortened` appends ", 63 primes".

    Raises
    ------
    ParameterError
    """
    most = LONGEST_NAME - len(f", {MOST_MODULI - 1} primes")
    if isinstance(name, str) and name.isascii() and name.isprintable():
        base = name.partition(", ")[0]
        if len(base) <= most and len(name) <= LONGEST_NAME:
            return str(name)
    raise ParameterError(
        f"the name of parameters is at most {most} printable ASCII characters, not {shown(name)}"
    )


def check_plaintext_moduli(n: int, moduli: tuple[int, ...]) -> None:
    """Refuse primes of t that do not fit the ring degree, each other, or int64.

    Raises
    ------
    ParameterError
        With the nearest that fit.
    """
    if not 1 <= len(moduli) <= MOST_PLAINTEXT_MODULI:
        raise ParameterError(f"t has 1 to {MOST_PLAINTEXT_MODULI} primes, not {len(moduli)}")
    limit = prime_limit(n)
    for p in moduli:
        if not (p % (2 * n) == 1 and 2 < p < limit and is_prime(p)):
            nearest = nearest_primes(n, p) if p < limit else nearest_t(n, p)
            raise ParameterError(
                f"t must be a product of primes = 1 (mod 2n), here (mod {2 * n}), below {limit}, "
                f"and {shown(p)} is none; the nearest: {nearest}"
            )
    RnsBasis(moduli)  # refuses a prime that occurs twice
    if (t := math.prod(moduli)) >= T_LIMIT:
        raise ParameterError(f"t must stay below 2^62 (slots are int64), not 2^{math.log2(t):.1f}")


def check_moduli(n: int, moduli: tuple[int, ...]) -> None:
    """Refuse primes of q that do not fit the ring degree or each other, or too many of them.

    Raises
    ------
    ParameterError
    """
    if not 1 <= len(moduli) <= MOST_MODULI:
        raise ParameterError(f"q has 1 to {MOST_MODULI} primes, not {len(moduli)}")
    for p in moduli:
        check_ntt_prime(n, p)
    RnsBasis(moduli)  # refuses a prime that occurs twice
    if (bits := math.prod(moduli).bit_length()) > MOST_LOG2_Q:
        raise ParameterError(
            f"log2 q = {bits} bits is more than {MOST_LOG2_Q}: noise is kept as a fraction of q, a "
            "float64, which ends at 2^-1022; take fewer primes"
        )


def nearest_t(n: int, t: int) -> str:
    """Name primes whose product is near t, which is too large to be one of them."""
    (largest,), primes = ntt_primes(n, 1), plaintext_primes(n, t) if t < T_LIMIT else ()
    product = math.prod(primes)
    if not primes or product >= T_LIMIT:
        return "none, because t must stay below 2^62"
    if largest * product > t * t:
        return str(largest)
    return f"{primes}, whose product is {product}"


def plaintext_primes(n: int, minimum: int) -> tuple[int, ...]:
    """Return batching primes for degree n whose product t is at least `minimum`.

    As few primes as possible, and among those nearly the smallest product: every bit of t costs a
    bit of noise budget at each multiplication.

    Raises
    ------
    ParameterError
        If it would take more than four primes, or `minimum` is below 1.

    Examples
    --------
    >>> plaintext_primes(4, 100), plaintext_primes(4, 2**25)
    ((113,), (5849, 5737))
    """
    n = check_degree(n)
    minimum = whole(minimum, "t_at_least, the smallest plaintext modulus that will do,", 1)
    for count in range(1, MOST_PLAINTEXT_MODULI + 1):
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
    log2_q : upper limit of log2 q in bits, at most 1000; default the table's, or what there are
        primes for (n = 32768)

    Raises
    ------
    ParameterError, SecurityError
        If there is no such set.
    """
    n = check_degree(n)
    if isinstance(t_at_least, tuple | list | np.ndarray):
        t_primes = whole_numbers(t_at_least, "the primes of t")
    else:
        t_primes = plaintext_primes(n, t_at_least)
    check_plaintext_moduli(n, t_primes)
    if log2_q is None:
        if security is None:
            raise ParameterError("without a security level, say how large q may be: log2_q=...")
        limit = max_log2_q(n, security)
        possible = (size for size in range(limit, 0, -1) if primes_of_q(n, size, t_primes))
        log2_q = next(possible, limit)
    log2_q = whole(log2_q, "log2_q, the most bits of q,", 1, MOST_LOG2_Q)
    moduli = primes_of_q(n, log2_q, t_primes)
    if not moduli:
        sizes = chain(range(log2_q - 1, 0, -1), range(log2_q + 1, MOST_LOG2_Q))
        nearest = next(size for size in sizes if primes_of_q(n, size, t_primes))
        raise ParameterError(
            f"there are too few primes = 1 (mod {2 * n}) below {prime_limit(n)} for a q of "
            f"{log2_q} bits; the nearest size for which there are enough: log2_q={nearest}"
        )
    return Params(name, n, moduli, t_primes, security)


def primes_of_q(
    n: int, log2_q: int, avoid: tuple[int, ...], count: int | None = None
) -> tuple[int, ...]:
    """Return primes of about the same size with a product below 2^log2_q, the largest such.

    Parameters
    ----------
    n : ring degree
    log2_q : limit of the product in bits
    avoid : primes of t, which must not be among them
    count : how many; default: as few as possible

    Returns
    -------
    tuple of int, descending; empty if there are not so many
    """
    count = count or math.ceil(log2_q / math.log2(prime_limit(n)))
    primes = ntt_primes_below(n, int(2 ** (log2_q / count)), count, avoid)
    return primes if len(primes) == count else ()


INSECURE_TOY = make_params("INSECURE_TOY", 64, 2**18 - 500, security=None, log2_q=120)
