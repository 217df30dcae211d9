# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How can a float be exact?
#
# | | |
# |---|---|
# | **You will be able to** | compute modulo a prime in floating point without ever losing a bit, prove it, and calculate with numbers of hundreds of bits by their residues |
# | **Read before** | [3. How do you multiply polynomials fast?](03.ipynb) |
# | **Time** | 60 minutes |
# | **In the papers** | Halevi, Polyakov, Shoup (ePrint 2018/117), section 2, for residues of large numbers |
#
# The transform is two matrix products, and no hardware multiplies matrices of integers as fast as matrices of
# floating-point numbers. Floats are known for rounding. Yet our results are to be right to the last bit. Both is possible.

# %%
import random

import numpy as np

from yashe import checks
from yashe.arithmetic import residues, rns
from yashe.arithmetic.primes import ntt_primes
from yashe.pictures import plots
from yashe.textbook.polynomials import centred

# %% [markdown]
# ## What a float64 is
#
# 53 bits of mantissa, times a power of two. So **every integer up to $2^{53}$ is a float64, exactly**; the first one that is
# not is $2^{53} + 1$:

# %%
x = 2.0**53
print(int(x - 1), int(x), int(x + 1))

# %% [markdown]
# A sum or a product of integers is exact as long as the *result* stays below $2^{53}$ in absolute value: the processor rounds the true
# result to the nearest float64, and the true result is one. Rounding that does not happen is no error.
#
# ## Residues
#
# Keep residues modulo a prime $p < 2^{24}$ small, and around zero: $|x| \le p/2 < 2^{23}$. A product of two is below $2^{46}$ and may be
# reduced with float operations alone, without `%`.
#
# By hand, $p = 17$: how often does 17 go into 100? $100 / 17 = 5.88$, so nearly 6 times, and what is left is $100 - 102 = -2$. And for
# $x = -30$: $-30 / 17 = -1.76$, and $-30 + 34 = 4$.
#
# **Exercise 1.** Write it for whole arrays: `np.rint` rounds to the nearest integer; no loop. Before you run it, say which of your operations
# rounds, and why the result is exact nevertheless.


# %% tags=["exercise"]
def reduce_float(x, p):
    """Return x modulo p, around zero: float64 arrays of integers, both."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def reduce_float(x, p):
    """Return x modulo p, around zero: float64 arrays of integers, both."""
    return x - p * np.rint(x / p)


# %% tags=["check"]
checks.reduce_float(reduce_float)

# %% [markdown]
# $$x \bmod p = x - p \cdot \mathrm{rint}(x / p)$$
#
# The quotient is rounded *on purpose*, and if it is rounded to a neighbour of the right integer, the result is another representative, as good as
# the first. The product and the subtraction have to be exact, and they are: both results are integers below $2^{53}$.
#
# The library does the same, but multiplies by a rounded $1/p$, which is faster than dividing. Next to $p/2$ it may therefore pick the
# neighbouring representative; so a residue is bounded by $(p + 3)/2$, and all bounds are proved with that.

# %%
p = ntt_primes(4096, 1)[0]
x = np.random.default_rng(4).integers(-(2**52), 2**52, 10000).astype(np.float64)
mine, library = reduce_float(x, p), residues.reduce(x, p)
assert np.array_equal(residues.canonical(mine, p), residues.canonical(library, p))
assert np.abs(library).max() <= residues.bound(p)

# %% [markdown]
# ## The bound
#
# A matrix product adds up products: $m$ terms of at most $\bigl(\frac{p+3}{2}\bigr)^2$. Every partial sum, in whatever order they are added,
# stays an exact integer if
#
# $$m \cdot \Bigl(\frac{p+3}{2}\Bigr)^2 \le 2^{53} - p$$
#
# (the $-p$ leaves room for reducing the sum). That one line is why this project can use the fastest matrix products there are.
#
# **Exercise 2.** The largest $m$ for an odd prime $p$. Compute it with integers, `//`: then there is nothing to prove about rounding. And do not
# forget the $-p$: for $p = 5$ it decides.


# %% tags=["exercise"]
def terms_that_fit(p):
    """Return the largest m with m ((p + 3) / 2)^2 <= 2^53 - p."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def terms_that_fit(p):
    """Return the largest m with m ((p + 3) / 2)^2 <= 2^53 - p."""
    return (2**53 - p) // ((p + 3) // 2) ** 2


# %% tags=["check"]
checks.terms_that_fit(terms_that_fit)

# %%
print("a prime of 24 bits:", terms_that_fit(p), "terms; the largest matrix for n = 8192 needs 128")

# %% [markdown]
# ## Where it would break
#
# The bound is not caution: shortly behind it the sums are wrong. Worst-case residues, added in float64 and as Python integers:


# %%
def share_wrong(p, terms, tries=40):
    generator, wrong = random.Random(terms), 0
    for _ in range(tries):
        a = [p // 2 - generator.randrange(4) for _ in range(terms)]
        b = [p // 2 - generator.randrange(4) for _ in range(terms)]
        true = sum(x * y for x, y in zip(a, b))
        wrong += int(np.array(a, dtype=np.float64) @ np.array(b, dtype=np.float64)) != true
    return wrong / tries


# %%
terms = [2**i for i in range(2, 14)]
primes = {"24 bits": p, "25 bits": 33554393, "26 bits": 67108859}
wrong = {name: [share_wrong(q, m) for m in terms] for name, q in primes.items()}
plots.exactness(terms, wrong, [terms_that_fit(q) for q in primes.values()])

# %% [markdown]
# *Share of wrong sums against their length, for primes of three sizes. Each curve is zero up to the proved bound (dotted line) and
# rises steeply soon after it.*
#
# The library checks the bound when a ring is made, and multiplies worst-case matrices once to see whether this computer's
# matrix product really is exact. What does not fit is refused:

# %%
try:
    residues.check_exact_sum(p, 1000)
except residues.ParameterError as error:
    print(error)

# %% [markdown]
# ## Numbers of hundreds of bits
#
# The ciphertext modulus $q$ has 200 bits, not 24. Take it to be a product of small primes, $q = q_1 q_2 \cdots q_k$. By the
# *Chinese remainder theorem* a number modulo $q$ **is** its residues: every combination of residues belongs to exactly one number
# between $-q/2$ and $q/2$, and sums and products are taken residue by residue. It is like clocks with different numbers of hours:

# %%
plots.rns_clock(12, [5, 7, 11])

# %% [markdown]
# *Three clocks with 5, 7 and 11 hours, all showing 12. Any of 385 numbers can be read off their hands.*
#
# The way back: find numbers $g_i$ that are 1 modulo $q_i$ and 0 modulo all others. Then $x = \sum x_i g_i$ modulo $q$. With
# $Q_i = q/q_i$, which is 0 modulo the others, $g_i = Q_i \cdot (Q_i^{-1} \bmod q_i)$.
#
# By hand, $q = 5 \cdot 7$: $g_1 = 7 \cdot 3 = 21$ and $g_2 = 5 \cdot 3 = 15$. The residues $(2, -2)$ give $42 - 30 = 12$.
#
# **Exercise 3.** Write the way back, for any number of moduli.


# %% tags=["exercise"]
def compose_residues(residues, moduli):
    """Return the x in (-q/2, q/2), q the product of the moduli, with these residues."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def compose_residues(residues, moduli):
    """Return the x in (-q/2, q/2), q the product of the moduli, with these residues."""
    q = 1
    for p in moduli:
        q *= p
    total = sum(x * (q // p) * pow(q // p, -1, p) for x, p in zip(residues, moduli))
    return centred(total, q)


# %% tags=["check"]
checks.compose_residues(compose_residues)

# %% [markdown]
# `yashe.arithmetic.rns` keeps a polynomial as an array of $k$ rows, one for each prime. Your function reads a column of it:

# %%
basis = rns.RnsBasis(ntt_primes(4096, 8))
numbers = [10**50, -(3**100), 12]
rows = basis.decompose(np.array(numbers, dtype=object))
composed = [compose_residues([int(x) for x in column], basis.moduli) for column in rows.T]
checks.require_equal(composed, numbers)
basis

# %% [markdown]
# The one thing that residues are bad at is *size*: no row knows whether $x$ is large, so rounding $\frac{t}{q} x$, which decryption needs, is not
# possible row by row. `yashe.arithmetic.rns.rescale` does it with one small matrix product. It checks where floating point cannot decide a
# rounding, and computes those few coefficients again with Python integers, so that its result is always exact.

# %%
from fractions import Fraction

ratio = Fraction(257, basis.product)
source = [basis.product // 3, -(basis.product // 5), 12345]
small = rns.RnsBasis(ntt_primes(4096, 1))
rounded = rns.rescale(basis.decompose(np.array(source, dtype=object)), basis, small, ratio)
assert [int(x) for x in rounded[0]] == [round(ratio * x) for x in source]
rounded

# %% [markdown]
# ## Three sentences to remember
#
# 1. Every integer up to $2^{53}$ is a float64, so sums and products that stay below are exact, in any order.
# 2. $m \bigl(\frac{p+3}{2}\bigr)^2 \le 2^{53} - p$ turns the fastest matrix product there is into exact arithmetic modulo $p$.
# 3. A number modulo $q_1 \cdots q_k$ is its $k$ residues, and only its size cannot be seen from them.
#
# ## Traps
#
# - **An FFT on complex floats** is not this: its roots of unity are rounded, and large products come out wrong. Here
#   nothing is rounded except where the mathematics says round.
# - **Integers overflow silently.** int64 wraps around at $2^{63}$ without a word; a sum of ten products of 30-bit residues gets there.
# - **Residues from 0 to p - 1** are one bit longer than residues around zero: a factor of four in the number of terms.
#
# **Next:** [5. How do 8,192 images fit into one ciphertext?](05.ipynb)
