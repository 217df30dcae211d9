"""NTT-friendly primes and roots of unity.

The negacyclic NTT of degree n needs a primitive 2n-th root of unity modulo p, which exists if and
only if p = 1 (mod 2n). Our primes are below 2^24: trial division by what is below 2^12 finds and
proves them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from itertools import islice
from typing import Any

from yashe.arithmetic.residues import EXACT_LIMIT, PRIME_LIMIT, check_exact_sum
from yashe.arithmetic.whole import shown, whole
from yashe.errors import ParameterError

MIN_DEGREE = 4
MAX_DEGREE = 32768


def check_degree(n: Any) -> int:
    """Return a ring degree as an int, or refuse what is not a power of two in [4, 32768].

    Raises
    ------
    ParameterError
    """
    degree = whole(n, "the ring degree n, a power of two,", MIN_DEGREE, MAX_DEGREE)
    if degree & (degree - 1):
        raise ParameterError(
            f"the ring degree n must be a power of two from {MIN_DEGREE} to {MAX_DEGREE}, not {n}"
        )
    return degree


def ntt_shape(n: int) -> tuple[int, int]:
    """Return (n1, n2) with n1 n2 = n and n1 <= n2 <= 2 n1: the matrix shape of the NTT."""
    n1 = 2 ** ((n.bit_length() - 1) // 2)
    return n1, n // n1


def prime_limit(n: int) -> int:
    """Return the exclusive limit below which the NTT of degree n is exact.

    2^24, except for n = 32768, where sums have 256 terms and primes stay below 2^23.5.
    """
    n = check_degree(n)
    half = math.isqrt(EXACT_LIMIT // ntt_shape(n)[1])  # n2 * half^2 <= 2^53
    return min(PRIME_LIMIT, 2 * half - 4)


def ntt_primes_below(
    n: int, below: int, count: int, avoid: Collection[int] = ()
) -> tuple[int, ...]:
    """Return up to `count` primes p = 1 (mod 2n) below the limit, largest first.

    Primes for which the NTT would not be exact are left out, whatever `below` says.

    Examples
    --------
    >>> ntt_primes_below(4, 100, 3)
    (97, 89, 73)
    """
    below = min(whole(below, "the limit of the primes"), prime_limit(n))
    count, step = whole(count, "the number of primes", 0, PRIME_LIMIT), 2 * check_degree(n)
    candidates = range((below - 2) // step * step + 1, step, -step)
    return tuple(islice((p for p in candidates if p not in avoid and is_prime(p)), count))


def next_ntt_primes(n: int, start: int, count: int) -> tuple[int, ...]:
    """Return up to `count` primes p = 1 (mod 2n) with p >= start, smallest first.

    Examples
    --------
    >>> next_ntt_primes(4, 18, 3)
    (41, 73, 89)
    """
    step, start = 2 * check_degree(n), whole(start, "the smallest prime")
    count = whole(count, "the number of primes", 0, PRIME_LIMIT)
    candidates = range(max(-(-(start - 1) // step), 1) * step + 1, prime_limit(n), step)
    return tuple(islice((p for p in candidates if is_prime(p)), count))


def ntt_primes(
    n: int, count: int, below: int = PRIME_LIMIT, avoid: Collection[int] = ()
) -> tuple[int, ...]:
    """Return the `count` largest primes p = 1 (mod 2n) with p < below that are not in `avoid`.

    Parameters
    ----------
    n : ring degree, power of two in [4, 32768]
    count : how many primes
    below : exclusive upper limit
    avoid : primes that are taken already (bases that meet must be coprime)

    Returns
    -------
    tuple of int, descending

    Raises
    ------
    ParameterError
        If there are not that many.
    """
    found = ntt_primes_below(n, below, count, avoid)
    if len(found) < count:
        raise ParameterError(
            f"only {len(found)} of {shown(count)} primes = 1 (mod {2 * n}) are left below "
            f"{shown(below)}; take fewer primes or a smaller ring degree"
        )
    return found


@lru_cache(maxsize=2**16)  # searches come to the same candidates again and again
def is_prime(p: int) -> bool:
    """Say whether p is a prime number, in at most sqrt(p)/2 divisions."""
    if p % 2 == 0:
        return p == 2
    return p > 1 and all(p % d for d in range(3, math.isqrt(p) + 1, 2))


def check_ntt_prime(n: int, p: int) -> None:
    """Refuse a modulus with which the NTT of degree n does not exist or would not be exact.

    Raises
    ------
    ParameterError
        If p is not a prime = 1 (mod 2n), or too large for sums of n2 products below 2^53.
    """
    n, p = check_degree(n), whole(p, "a modulus, an odd prime below 2^24,", 3, PRIME_LIMIT - 1)
    check_exact_sum(p, ntt_shape(n)[1])
    if (p - 1) % (2 * n) or not is_prime(p):
        raise ParameterError(
            f"an NTT of degree {n} needs a prime p = 1 (mod {2 * n}), not {p}; "
            f"the nearest: {nearest_primes(n, p)}"
        )


def nearest_primes(n: int, p: int) -> str:
    """Name the primes = 1 (mod 2n) on both sides of a number.

    Examples
    --------
    >>> nearest_primes(4, 20)
    '17 or 41'
    """
    return " or ".join(map(str, ntt_primes_below(n, p, 1) + next_ntt_primes(n, p, 1)))


def root_of_unity(n: int, p: int) -> int:
    """Return psi, a primitive 2n-th root of unity modulo p, that is psi^n = -1 (mod p).

    It is g^((p-1)/2n) for the smallest primitive root g of p, so everybody gets the same one.

    Raises
    ------
    ParameterError
        If p is not a prime = 1 (mod 2n).

    Examples
    --------
    >>> root_of_unity(4, 17)
    9
    """
    check_ntt_prime(n, p)
    n, p = int(n), int(p)
    return pow(smallest_primitive_root(p), (p - 1) // (2 * n), p)


def smallest_primitive_root(p: int) -> int:
    """Return the smallest g whose powers are all of 1 .. p-1, for a prime p > 2.

    They are unless g^((p-1)/r) = 1 for a prime r that divides p - 1: the order of g divides p - 1.

    Examples
    --------
    The powers of 2 modulo 7 are 2, 4, 1; those of 3 are 3, 2, 6, 4, 5, 1.

    >>> smallest_primitive_root(7)
    3
    """
    steps = [(p - 1) // r for r in prime_factors(p - 1)]
    return next(g for g in range(2, p) if all(pow(g, step, p) != 1 for step in steps))


def prime_factors(m: int) -> list[int]:
    """Return the primes that divide m, smallest first.

    Examples
    --------
    >>> prime_factors(360)
    [2, 3, 5]
    """
    found = []
    for d in range(2, math.isqrt(m) + 1):
        if m % d == 0:  # d is prime: smaller factors are divided out
            found.append(d)
            while m % d == 0:
                m //= d
    return [*found, m] if m > 1 else found
