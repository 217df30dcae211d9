"""The exercises of notebook 8: decryption of YASHE', lattices in the plane, and safe degrees."""

from __future__ import annotations

from typing import Any

from yashe.arithmetic.primes import ntt_primes
from yashe.attacks.estimates import rlwe_block_size
from yashe.attacks.ntru import dense_sublattice_block_size
from yashe.checks.cases import generator, integers
from yashe.checks.compare import Function, WrongAnswer, call, modulo, plain
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook import yashe as textbook_yashe
from yashe.textbook.polynomials import Params, Poly, centred, poly_mod, poly_round, round_div

Vector = list[int]

BITS_PER_BLOCK = 0.292  # log2 of the steps for each dimension of a block


@exercise("08", "poly_mul")
def yashe_decrypt() -> Check:
    """Check a function (params, f, c) -> [round(t/q [f c]_q)]_t."""
    toy, same = Params(4, 2, (97,)), modulo(lambda params, f, c: params.t)
    one = [1, 0, 0, 0]
    known = [(toy, one, [48, 0, 0, 0]), (toy, one, [48, -45, 3, 0]), (toy, [1, 2, 0, 0], one)]
    rng = generator("yashe_decrypt")
    encrypted = []
    for i, params in enumerate((Params(8, 5, ntt_primes(8, 2)), Params(16, 17, ntt_primes(16, 3)))):
        f, h = textbook_yashe.keygen(params, bytes(32))
        for j in range(3):
            m = integers(rng, params.t // 2, params.n)
            encrypted.append(
                (params, f, textbook_yashe.encrypt(params, h, m, bytes([i + 1] * 32), j))
            )
    return Check(
        Claim("phases that can be read off by hand, n = 4, q = 97, t = 2", known, opened, 1, same),
        Claim("encrypted messages", encrypted, opened, 1, same),
        mistakes={
            "the phase is reduced modulo t, but never scaled by t/q": (
                lambda params, f, c: poly_mod(phase(params, f, c), params.t)
            ),
            "cut off where it has to be rounded": (
                lambda params, f, c: poly_mod(
                    [params.t * x // params.q for x in phase(params, f, c)], params.t
                )
            ),
            "c is scaled and rounded before it meets the key; the phase f c is what is scaled": (
                lambda params, f, c: poly_mod(poly_round(c, params.t, params.q), params.t)
            ),
        },
    )


def opened(params: Params, f: Poly, c: Poly) -> Poly:
    """Return the message."""
    return textbook_yashe.decrypt(params, f, c)


def phase(params: Params, f: Poly, c: Poly) -> Poly:
    """Return [f c]_q."""
    return textbook_yashe.phase(params, f, c)


@exercise("08")
def shortest_vector() -> Check:
    """Check a function (u, v) -> a shortest vector of the lattice with this basis."""
    small = [([1, 0], [0, 1]), ([1, 0], [5, 1]), ([5, 1], [1, 0]), ([2, 1], [1, 3])]
    rng = generator("shortest_vector")
    keys = [([1, -111], [0, 257])]
    for q in (97, 1009, 65537, 2**31 - 1):
        f, g = 2 * integers(rng, int(q**0.4), 1)[0] + 1, 2 * integers(rng, int(q**0.4), 1)[0] + 1
        keys.append(([1, centred(g * pow(f, -1, q), q)], [0, q]))
    return Check(
        Claim("bases where the shortest vector can be seen", small, reduced, compare=as_short),
        Claim("NTRU keys of degree 1", keys, reduced, points=2, compare=as_short),
        mistakes={
            "the shorter of the two given vectors: nothing is subtracted": lambda u, v: min(
                u, v, key=square_length
            ),
            "one step only; repeat until nothing changes": one_step,
            "the longer vector of the reduced basis is returned": lambda u, v: basis(u, v)[1],
        },
    )


def dot(u: Vector, v: Vector) -> int:
    """Return the inner product."""
    return u[0] * v[0] + u[1] * v[1]


def square_length(u: Vector) -> int:
    """Return u . u."""
    return dot(u, u)


def step(u: Vector, v: Vector) -> tuple[Vector, Vector]:
    """Return the pair, shorter first, after one subtraction."""
    u, v = sorted((u, v), key=square_length)
    k = round_div(dot(u, v), dot(u, u))
    return u, [v[0] - k * u[0], v[1] - k * u[1]]


def one_step(u: Vector, v: Vector) -> Vector:
    """Return the shorter vector after one subtraction."""
    return min(step(u, v), key=square_length)


def basis(u: Vector, v: Vector) -> tuple[Vector, Vector]:
    """Return Gauss' reduced basis, shorter vector first."""
    while True:
        before = sorted((u, v), key=square_length)
        u, v = step(u, v)
        if [u, v] == before:
            return u, v


def reduced(u: Vector, v: Vector) -> Vector:
    """Return a shortest vector."""
    return basis(u, v)[0]


def as_short(student: Function, right: Function, u: Vector, v: Vector) -> None:
    """Refuse an answer outside of the lattice, or longer than that of `right`."""
    answer: Any = plain(call(student, (u, v)))
    if not (isinstance(answer, list) and [type(x) for x in answer] == [int, int]):
        raise WrongAnswer("two integers are needed", answer)
    determinant = u[0] * v[1] - u[1] * v[0]
    a, b = answer[0] * v[1] - answer[1] * v[0], u[0] * answer[1] - u[1] * answer[0]
    if a % determinant or b % determinant:
        raise WrongAnswer("this is no a u + b v with integers a and b", answer)
    if answer == [0, 0]:
        raise WrongAnswer("zero is in every lattice; a vector that is not zero is needed", answer)
    if square_length(answer) != square_length(right(u, v)):
        raise WrongAnswer("it lies in the lattice, but there is a shorter one", answer)


@exercise("08", "dense_sublattice_block_size")
def smallest_degree() -> Check:
    """Check a function (log2_q, log2_t, bits) -> the smallest n that is safe enough for YASHE'."""
    easy = [(20, 2, 30), (30, 4, 40)]
    papers = [(383, 40, 128), (190, 17, 128), (218, 20, 192), (383, 40, 80)]
    return Check(
        Claim("small moduli", easy, degree),
        Claim("the moduli of the paper", papers, degree),
        mistakes={
            "the block size itself is compared with the bits; beta costs 0.292 beta bits": (
                lambda log2_q, log2_t, bits: degree(log2_q, log2_t, BITS_PER_BLOCK * bits)
            ),
            "the larger of the two block sizes; an attacker takes the cheaper way": (
                lambda log2_q, log2_t, bits: search(
                    lambda n: max(blocks(n, log2_q, log2_t)) * BITS_PER_BLOCK >= bits
                )
            ),
            "the block size is that for RLWE keys; YASHE' has NTRU keys": (
                lambda log2_q, log2_t, bits: search(
                    lambda n: rlwe_block_size(n, log2_q) * BITS_PER_BLOCK >= bits
                )
            ),
            "the exponent of n instead of n": (
                lambda log2_q, log2_t, bits: degree(log2_q, log2_t, bits).bit_length() - 1
            ),
        },
    )


def blocks(n: int, log2_q: float, log2_t: float) -> tuple[int, int]:
    """Return the block sizes of both starts."""
    return (
        dense_sublattice_block_size(n, log2_q, log2_t),
        dense_sublattice_block_size(n, log2_q, log2_t, from_inverse=True),
    )


def search(is_enough: Function) -> int:
    """Return the smallest power of two from 1024 on that is enough."""
    n = 1024
    while not is_enough(n):
        n *= 2
    return n


def degree(log2_q: float, log2_t: float, bits: float) -> int:
    """Return the smallest n at which both starts cost enough."""
    return search(lambda n: BITS_PER_BLOCK * min(blocks(n, log2_q, log2_t)) >= bits)
