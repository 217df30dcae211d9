"""How YASHE' breaks, by its public key alone.

Two parts, on the lists of integers of the textbook:

1. `recover_yashe_key` finds a toy YASHE' secret from public data alone, with LLL.
2. `dense_sublattice_block_size` estimates what the same attack needs at real sizes, and
   `rlwe_block_size` what it takes to break BFV there; `estimate_table` prints both.

Sources: Albrecht, Bai and Ducas, ePrint 2016/127; Kirchner and Fouque, Eurocrypt 2017 (ePrint
2016/717); Ducas and van Woerden, ePrint 2021/999; Chen, thesis, Paris 7 2013, for delta(beta);
Alkim, Ducas, Poeppelmann and Schwabe, ePrint 2015/1092, section 6.3, for RLWE.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import TYPE_CHECKING

from yashe.attacks.estimates import log2_delta, rlwe_block_size, smallest_block
from yashe.errors import ParameterError
from yashe.textbook.polynomials import Params, Poly, poly_mod, poly_mul

if TYPE_CHECKING:
    from sympy.polys.matrices import DomainMatrix


def integer_matrix(rows: Sequence[Sequence[int]]) -> DomainMatrix:
    """Return an exact sympy matrix with these rows."""
    from sympy import ZZ  # noqa: PLC0415 - loading it takes longer than all of part 2, without it
    from sympy.polys.matrices import DomainMatrix  # noqa: PLC0415

    entries = [[ZZ(x) for x in row] for row in rows]
    return DomainMatrix(entries, (len(rows), len(rows[0])), ZZ)


# 1. The key of a toy YASHE' from its public key.


def times_x(a: Poly) -> Poly:
    """Return x * a: every coefficient moves up, and the last comes back as its negative."""
    return [-a[-1], *a[:-1]]


def ntru_lattice(params: Params, h: Poly) -> list[list[int]]:
    """Return a basis of all (F, G) in R x R with G = h F modulo q, one vector of length 2n a row.

    The n rows (0, q x^i) come first: LLL starts from the short vectors that it has to mix in
    last, which made it several times faster in our trials than the other order.
    """
    n = params.n
    rows = [[0] * (n + i) + [params.q] + [0] * (n - 1 - i) for i in range(n)]
    shifted = h
    for i in range(n):
        rows.append([int(i == j) for j in range(n)] + shifted)
        shifted = times_x(shifted)
    return rows


def is_yashe_key(params: Params, h: Poly, f: Poly) -> bool:
    """Return whether f = 1 modulo t and h f = t g for a ternary g: all that a key has to be."""
    if poly_mod(f, params.t) != [1] + [0] * (params.n - 1):
        return False
    return set(poly_mod(poly_mul(h, f), params.q)) <= {-params.t, 0, params.t}


def recover_yashe_key(params: Params, h: Poly) -> Poly:
    """Return a secret key f of the YASHE' public key h = t g / f, found by lattice reduction.

    (f, t g) and its n rotations (x^i f, x^i t g) lie in the lattice of `ntru_lattice` and have
    length about t sqrt(4n/3), while a lattice of that volume has by chance nothing much shorter
    than sqrt(q). The larger q is against t, the deeper they stick out, and LLL, which takes only
    polynomial time, runs into them.

    Parameters
    ----------
    params : Params
        A toy: n up to 32. sympy's LLL takes under a second for n = 16 and some ten for n = 32.
    h : n integers, centred modulo q
        The public key.

    Returns
    -------
    n integers
        f, checked by `is_yashe_key`; for t = 2 perhaps -f, which decrypts as well.

    Raises
    ------
    ParameterError
        If the reduced basis shows no key: n too large, q too small for the attack, or numbers too
        large for sympy's LLL.
    """
    try:
        reduced = integer_matrix(ntru_lattice(params, h)).lll().to_list()
    except AssertionError:  # sympy 1.14 gives up in this way when numbers are too large for it
        reduced = []
    for row in reduced:
        candidate = [int(x) for x in row[: params.n]]
        for _ in range(2 * params.n):
            if is_yashe_key(params, h, candidate):
                return candidate
            candidate = times_x(candidate)
    raise ParameterError(
        f"LLL found no key: it needs n <= 32 and q far above t^2 n, and received n = {params.n}, "
        f"log2 q = {log2(params.q):.0f}, log2 t = {log2(params.t):.0f}. Take a smaller toy."
    )


# 2. Heuristic estimates of what the same attack needs at real sizes; see `yashe.attacks.estimates`.


def shortest_half_bits(n: int, drop: float, slope: float) -> float:
    """Return the mean log2 length of the n shortest of 2n Gram-Schmidt vectors after BKZ.

    Before, n of them have `drop` bits and n of them 0. BKZ turns the step into a ramp that falls
    by 2 * slope bits from vector to vector, slope = log2(delta), between flat ends: drop / 4 bits
    on average over its lower half of drop / (4 slope) vectors. If the ramp has no room for flat
    ends, its lower half begins at drop / 2 and falls n times.
    """
    if drop <= 4 * n * slope:
        return drop**2 / (16 * n * slope)
    return drop / 2 - n * slope


def dense_sublattice_block_size(
    n: int, log2_q: float, log2_t: float, *, from_inverse: bool = False
) -> int:
    """Estimate the BKZ block size that recovers a YASHE' key from h: 2 means plain LLL. Heuristic.

    The rotations of (f, t g) span a sublattice of rank n and volume about (t sqrt(4n/3))^n inside
    {(F, t G) : G = h F / t mod q}. Lemma (Pataki and Tural): no sublattice of rank n has a smaller
    volume than the product of the n shortest Gram-Schmidt vectors. Better reduction makes these
    longer (`shortest_half_bits`). A block size that would violate the lemma cannot finish without
    having found the sublattice: this is the argument of Kirchner and Fouque, and an upper bound.
    Ducas and van Woerden show that the sublattice is found even a little earlier.

    Parameters
    ----------
    n : ring degree
    log2_q, log2_t : bits
    from_inverse : bool
        False starts from the basis that one writes down first: rows of t q, and of 1 below, a drop
        of log2 q + log2 t. True starts from a basis of the same lattice that is written
        with 1/h: rows of q, and of t below: a drop of log2 q - log2 t, which is the better start.
        The second choice is our own remark on the first and has not been tried at real sizes, but
        a defender has to count on it.

    Returns
    -------
    int
        beta, at most `LARGEST_BLOCK`.

    Examples
    --------
    The CryptoNets paper's parameters, and the same modulus at four and eight times the degree:

    >>> [dense_sublattice_block_size(n, 383, 40) for n in (8192, 32768, 65536)]
    [4, 289, 783]
    """
    key_bits = log2(4 * n / 3) / 2
    drop = log2_q - log2_t if from_inverse else log2_q + log2_t
    sublattice_bits = key_bits if from_inverse else log2_t + key_bits
    return smallest_block(
        lambda beta: shortest_half_bits(n, drop, log2_delta(beta)) >= sublattice_bits
    )


def fatigue_log2_q(n: int) -> float:
    """Return log2 of the q above which ternary NTRU is overstretched, 0.004 n^2.484.

    Measured and explained by Ducas and van Woerden. Up to there NTRU is as hard as RLWE; beyond,
    the whole key space hangs out of the lattice at once.
    """
    return log2(0.004) + 2.484 * log2(n)


ESTIMATED = (  # name, n, log2 q, log2 t
    ("the paper's set A", 8192, 383, 40),
    ("the paper's set B (q: see yashe.parameters.paper)", 4096, 190, 17),
    ("q at the 2018 RLWE limit", 8192, 218, 20),
    ("set A, n * 4", 32768, 383, 40),
    ("set A, n * 8", 65536, 383, 40),
    ("set A, n * 16", 131072, 383, 40),
    ("set A, n * 32", 262144, 383, 40),
)


def estimate_table() -> str:
    """Return the estimates as a Markdown table: the block sizes, for YASHE' and for RLWE."""
    lines = [
        "| parameters | n | log2 q | log2 t | YASHE', from h | from 1/h | RLWE, same n and q |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, n, log2_q, log2_t in ESTIMATED:
        blocks = (
            dense_sublattice_block_size(n, log2_q, log2_t),
            dense_sublattice_block_size(n, log2_q, log2_t, from_inverse=True),
            rlwe_block_size(n, log2_q),
        )
        lines.append("| " + " | ".join(map(str, (name, n, log2_q, log2_t, *blocks))) + " |")
    return "\n".join(lines)
