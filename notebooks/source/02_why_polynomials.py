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
# # Why polynomials?
#
# | | |
# |---|---|
# | **You will be able to** | say what *learning with errors* is, write an encryption scheme in twenty lines, and see the noise that protects it |
# | **Read before** | [1. What can a server do with numbers it cannot read?](01.ipynb); linear algebra; arithmetic modulo a prime |
# | **Time** | 75 minutes |
# | **In the papers** | O. Regev, *On lattices, learning with errors* (2005); Fan and Vercauteren (ePrint 2012/144), sections 2 and 3 |

# %%
import random

import numpy as np

from yashe import checks
from yashe.arithmetic.primes import next_ntt_primes
from yashe.pictures import plots
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import (
    Params,
    centred,
    gaussian,
    poly_add,
    poly_mod,
    poly_mul,
    round_div,
)

# %% [markdown]
# ## Equations that everybody can solve
#
# Take a secret vector $s$ and publish equations about it: a random matrix $A$ and $b = A s \bmod q$. With as many
# equations as unknowns the secret is gone: elimination finds it.
#
# By hand, $q = 17$: from $s_0 + s_1 = 3$ and $s_1 = 1$ follows $s = (2, 1)$. And from $2 s_0 = 1$ follows $s_0 = 9$, since $2 \cdot 9 = 18 = 1$ modulo 17:
# modulo a prime every number but 0 has an inverse, and dividing is multiplying by it.
#
# **Exercise 1.** Solve $A s = b$ modulo a prime $q$ by elimination. The inverse of $x$ is `pow(x, -1, q)`; if a pivot (the number that you divide by) is 0,
# exchange rows. `A` is a list of rows. Stay with lists: NumPy's integers do not know this `pow`, and its floats know no modulus.


# %% tags=["exercise"]
def solve_without_errors(A, b, q):
    """Return the s with A s = b modulo the prime q, for an invertible n x n matrix A."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def solve_without_errors(A, b, q):
    """Return the s with A s = b modulo the prime q, for an invertible n x n matrix A."""
    rows = [[*row, x] for row, x in zip(A, b)]
    for i in range(len(rows)):
        pivot = next(r for r in range(i, len(rows)) if rows[r][i] % q)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        inverse = pow(rows[i][i], -1, q)
        rows[i] = [x * inverse % q for x in rows[i]]
        for r in range(len(rows)):
            if r != i:
                rows[r] = [(x - rows[r][i] * y) % q for x, y in zip(rows[r], rows[i])]
    return [centred(row[-1], q) for row in rows]


# %% tags=["check"]
checks.solve_without_errors(solve_without_errors)

# %% [markdown]
# ## Equations that nobody can solve
#
# Now add a small error to every equation: $b = A s + e \bmod q$ with $e$ around $\pm 3$. Elimination multiplies and adds
# the errors until they fill everything, and what comes out has nothing to do with $s$:

# %%
generator, q = random.Random(2), 12289
s = [generator.choice([-1, 0, 1]) for _ in range(10)]
A = [[generator.randrange(q) for _ in s] for _ in s]
exact = [sum(x * y for x, y in zip(row, s)) % q for row in A]
blurred = [x + generator.choice([-3, -2, -1, 1, 2, 3]) for x in exact]
print("secret      ", s)
print("without e   ", poly_mod(solve_without_errors(A, exact, q), q))
print("with e      ", poly_mod(solve_without_errors(A, blurred, q), q))

# %% [markdown]
# Finding $s$ from many such pairs is *learning with errors* (LWE). For ten unknowns one can still search; for a thousand the
# best algorithms known take longer than the universe is old, on quantum computers, too. Everything in this course stands
# on that.
#
# ## From vectors to polynomials
#
# A thousand unknowns need a matrix of a million random numbers. Polynomials save it. Take polynomials with $n$ coefficients modulo $q$, and wherever
# $x^n$ arises in a product, replace it by $-1$. (This ring is written $R_q = \mathbb{Z}_q[x]/(x^n + 1)$.) Multiplying by a polynomial $a$ *is* then a
# matrix product, with a matrix that one column describes. For $n = 4$, coefficients from the constant on, and without the modulus:

# %%
a = [1, 2, 3, 4]
matrix = np.array([poly_mul(a, [int(i == j) for i in range(4)]) for j in range(4)]).T
s = [1, 0, -1, 1]
print(matrix)
assert list(matrix @ s) == poly_mul(a, s)

# %% [markdown]
# The first column is $a$, and each column is the one before it, shifted down; what falls out at the bottom comes back on top with its
# sign changed. So one polynomial $a$ replaces $n^2$ numbers, one product $a s$ gives $n$ equations at once, and
# ring-LWE says:
#
# $$(a,\; b = a s + e) \text{ looks like two random polynomials, if } e \text{ is small and random.}$$
#
# Why $x^n + 1$ with $n$ a power of two, and not $x^n - 1$? Since $x^n - 1 = (x - 1)(\dots)$, setting $x = 1$ would turn the product
# into one equation between numbers, $b(1) = a(1)s(1) + e(1)$, in which $s(1)$ and $e(1)$ are small: few guesses suffice, and the $n$ unknowns no longer
# protect each other. The polynomial $x^n + 1$ has no factors over the integers.
#
# ## An encryption scheme
#
# If $(a, as + e)$ looks random, it hides whatever is added to it. A message $m$ has coefficients between $-t/2$ and $t/2$, with $t$
# much smaller than $q$, and is scaled up so that the small error cannot reach it. We write $[x]_q$ for the residue of $x$ modulo $q$ that lies around
# zero, in $(-\frac q2, \frac q2]$: $[96]_{97} = -1$. Such residues are called *centred*. Of a polynomial each coefficient is meant.
#
# $$\mathrm{encrypt}(m) = (c_0, c_1) = \bigl([-(a s + e) + \mathrm{round}(\tfrac{q}{t} m)]_q,\; a\bigr)$$
#
# $$c_0 + c_1 s = \mathrm{round}(\tfrac{q}{t} m) - e \pmod q, \qquad \mathrm{decrypt} = \bigl[\mathrm{round}(\tfrac{t}{q}\,[c_0 + c_1 s]_q)\bigr]_t$$
#
# What the owner of $s$ computes, $[c_0 + c_1 s]_q$, is called the *phase* of the ciphertext.
#
# By hand, $n = 4$, $q = 97$, $t = 4$, $m = 1 - x^2 + 2x^3$: $\frac{q}{t} m = 24.25 - 24.25x^2 + 48.5 x^3$ rounds to $24 - 24x^2 + 48x^3$ (a tie goes to
# the even integer). With $s = 1 - x + x^3$, $a = 5 - 6x + 7x^2 + 48x^3$, $e = 1 - 2x^2$:

# %%
m, s, a, e = [1, 0, -1, 2], [1, -1, 0, 1], [5, -6, 7, 48], [1, 0, -2, 0]
scaled = [round_div(97 * x, 4) for x in m]
c_0 = poly_mod(poly_add(poly_mul(a, [-x for x in s]), [-x for x in e], scaled), 97)
print("scaled message", scaled, " c_0", c_0)
print("phase c_0 + c_1 s", poly_mod(poly_add(c_0, poly_mul(a, s)), 97))

# %% [markdown]
# The phase differs from the scaled message by $-e$ alone, and dividing by $q/t = 24.25$ and rounding takes that away.
#
# **Exercises 2 and 3.** Write both directions, for given $a$ and $e$. Polynomials are lists of integers. `poly_mul(a, b)` multiplies two of them, `poly_add(a, b, ...)`
# adds two or more, and `poly_mod(a, q)` makes every coefficient a centred residue; `round_div(x, y)` is round(x/y) of two integers, without floats.


# %% tags=["exercise"]
def encrypt(m, s, a, e, q, t):
    """Return (c_0, c_1) = (-(a s + e) + round(q/t m), a), all modulo q and centred."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def encrypt(m, s, a, e, q, t):
    """Return (c_0, c_1) = (-(a s + e) + round(q/t m), a), all modulo q and centred."""
    scaled = [round_div(q * x, t) for x in m]
    mask = [-x for x in poly_add(poly_mul(a, s), e)]
    return poly_mod(poly_add(mask, scaled), q), a


# %% tags=["check"]
checks.encrypt(encrypt)


# %% tags=["exercise"]
def decrypt(c_0, c_1, s, q, t):
    """Return round(t/q [c_0 + c_1 s]_q) modulo t, centred."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def decrypt(c_0, c_1, s, q, t):
    """Return round(t/q [c_0 + c_1 s]_q) modulo t, centred."""
    phase = poly_mod(poly_add(c_0, poly_mul(c_1, s)), q)
    return poly_mod([round_div(t * x, q) for x in phase], t)


# %% tags=["check"]
checks.decrypt(decrypt)

# %% [markdown]
# ## What the library does
#
# The textbook module draws $s$, $a$ and $e$ from pseudo-random streams (SHAKE-256), so that a seed, 32 bytes, repeats everything. With its random
# polynomials your functions give its ciphertext, number for number:

# %%
params = Params(n=256, t=256, moduli=next_ntt_primes(256, 1 << 20, 1))
seed = bytes(32)
s, _ = textbook_bfv.keygen(params, seed)
m = [generator.randint(-127, 127) for _ in range(params.n)]
c_0, c_1 = textbook_bfv.encrypt_symmetric(params, s, m, seed)
e = gaussian(seed, "encrypt-e/0", params.n)
checks.require_equal(encrypt(m, s, c_1, e, params.q, params.t), (c_0, c_1))
checks.require_equal(decrypt(c_0, c_1, s, params.q, params.t), m)

# %% [markdown]
# Ciphertexts add up like messages, without any key:

# %%
two = [poly_add(c_0, c_0), poly_add(c_1, c_1)]
twice = poly_mod([2 * x for x in m], params.t)
checks.require_equal(decrypt(*two, s, params.q, params.t), twice)

# %% [markdown]
# ## The noise
#
# What the owner of $s$ finds around every message is the error: here for 40 ciphertexts with 256 coefficients each.


# %%
def error_of(j):
    c_0, c_1 = textbook_bfv.encrypt_symmetric(params, s, m, seed, j)
    phase = poly_mod(poly_add(c_0, poly_mul(c_1, s)), params.q)
    return poly_mod(poly_add(phase, [-x for x in textbook.scale_up(params, m)]), params.q)


errors = [x for j in range(40) for x in error_of(j)]
plots.noise_histogram(errors, sigma=3.2, limit=params.q / (2 * params.t))

# %% [markdown]
# *Errors in the phase: bars for what was found, the line for a Gaussian of standard deviation 3.2. The room
# for them, q/(2t), is far outside of the picture; [notebook 6](06.ipynb) uses it up.*
#
# And what does somebody find who has no secret? Correlate the ciphertext with the message: nothing.

# %%
with_secret = np.corrcoef(m, poly_mod(poly_add(c_0, poly_mul(c_1, s)), params.q))[0, 1]
without = np.corrcoef(m, c_0)[0, 1]
print(f"correlation with the message: {with_secret:.3f} with the secret, {without:.3f} without")

# %% [markdown]
# ## Three sentences to remember
#
# 1. Linear equations modulo $q$ are easy; with a small error in each of them nobody knows how to solve a thousand.
# 2. A polynomial modulo $x^n + 1$ is an $n \times n$ matrix that one column describes.
# 3. The message sits on top of the modulus, the error at the bottom, and decryption rounds the error away.
#
# ## Traps
#
# - **The same $a$ and $e$ twice** (the same seed): the difference of two ciphertexts is the difference of the messages.
# - **No error.** With $e = 0$ exercise 1 breaks the scheme. An error is not a flaw that one would like to get rid of.
# - **Leaving out both reductions.** $c_0 + c_1 s$ is known up to multiples of $q$ only, and $\frac tq$ makes multiples of $t$ of those. One of the two reductions,
#   modulo $q$ before or modulo $t$ behind, takes them away; without either the result may be off by any multiple of $t$.
#
# **Next:** [3. How do you multiply polynomials fast?](03.ipynb)
