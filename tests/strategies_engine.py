"""What the tests of the engine draw: primes, residues, parameters, and the extremes of each."""

from math import prod

import numpy as np
import sympy
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from yashe.arithmetic.primes import next_ntt_primes, ntt_primes
from yashe.arithmetic.residues import FloatArray, IntArray, bound
from yashe.parameters.sets import Params
from yashe.textbook import polynomials as textbook

SEED = bytes(range(32))
OTHER_SEED = bytes(32)

# What a user may give in the place of a number, a tuple or a name.
numbers = st.one_of(
    st.sampled_from([0, 1, 2, -1, 3, 4096, 65537, 2**62, 2**64, -(2**64), 10**5000, True, False]),
    st.integers(),
    st.sampled_from([np.int64(4096), np.uint8(200), np.int32(-5), np.True_, np.array(4096)]),
    st.floats(),
    st.sampled_from([np.float64(4096.0), np.float32("nan"), 4096.0, 1j]),
    st.none(),
)
junk = st.one_of(
    numbers,
    st.text(max_size=70),
    st.binary(max_size=3),
    st.lists(numbers, max_size=5),
    st.lists(numbers, max_size=5).map(tuple),
    st.sampled_from(
        [np.arange(3), np.array([[257]]), np.array([257.0]), {}, {257}, range(3), object(), int]
    ),
)
seeds = st.binary(min_size=32, max_size=32)
degrees = st.sampled_from([4, 8, 16, 32, 64])

# Primes of any size, the extremes often; the largest is 2^24 - 3.
LARGE_PRIMES = list(sympy.primerange(2**24 - 1000, 2**24))
odd_primes = st.one_of(
    st.sampled_from([3, 5, 7, 17, *LARGE_PRIMES]),
    st.integers(3, 2**24 - 4).map(lambda x: int(sympy.nextprime(x - 1))),
)


def ntt_moduli(n: int) -> st.SearchStrategy[int]:
    """Primes = 1 (mod 2n): the smallest ones and the largest for which sums are exact."""
    return st.sampled_from([*next_ntt_primes(n, 3, 5), *ntt_primes(n, 5)])


def integers_up_to(limit: int) -> st.SearchStrategy[int]:
    """Integers |x| <= limit, the limits and zero often."""
    return st.one_of(st.sampled_from([-limit, 0, limit]), st.integers(-limit, limit))


def integer_arrays(shape: tuple[int, ...], limit: int) -> st.SearchStrategy[IntArray]:
    """int64 arrays with |x| <= limit, the limits and zero often."""
    return arrays(np.int64, shape, elements=integers_up_to(limit))


@st.composite
def residues(
    draw: st.DrawFn, n: int, moduli: tuple[int, ...], batch: tuple[int, ...] = ()
) -> FloatArray:
    """Residues (*batch, k, n) up to the largest that `reduce` may leave behind."""
    rows = [draw(integer_arrays((*batch, n), bound(p))) for p in moduli]
    return np.stack(rows, axis=-2).astype(np.float64)


def toy_params(n: int, t_primes: int = 1, q_primes: int = 3, t_above: int = 2) -> Params:
    """An insecure set: t from the smallest primes above `t_above`, q from the largest ones."""
    t = next_ntt_primes(n, t_above, t_primes)
    q = ntt_primes(n, q_primes, avoid=t)
    return Params(f"INSECURE_{n}_{t_primes}_{q_primes}", n, q, t, security=None)


def textbook_params(params: Params) -> textbook.Params:
    """The same parameters for the textbook."""
    return textbook.Params(params.n, params.t, params.moduli)


# Small plaintext moduli, large ones, products of two; enough primes of q for one product.
TOYS = [
    toy_params(4, 1, 3),
    toy_params(8, 2, 4, t_above=1000),
    toy_params(16, 1, 3, t_above=2**16),
    toy_params(16, 2, 5, t_above=2**22),
    toy_params(64, 1, 4),
    toy_params(64, 2, 4, t_above=2000),
]
toys = st.sampled_from(TOYS)


def slot_values(params: Params, shape: tuple[int, ...] = ()) -> st.SearchStrategy[IntArray]:
    """Arrays (*shape, n) of slot values in [-(t-1)/2, (t-1)/2], the limits and zero often."""
    return integer_arrays((*shape, params.n), params.t // 2)


def centred(values: object, t: int) -> IntArray:
    """The oracle of every homomorphism law: integers of any size modulo t, centred."""
    wide = np.asarray(values, dtype=object)
    return np.asarray((wide + t // 2) % t - t // 2, dtype=np.int64)


def largest(moduli: tuple[int, ...]) -> int:
    """The largest integer that a basis represents, (Q - 1) / 2."""
    return prod(moduli) // 2
