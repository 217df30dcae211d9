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
# # How do you multiply polynomials fast?
#
# | | |
# |---|---|
# | **You will be able to** | multiply polynomials modulo $x^n + 1$ three ways, and say what each of them costs |
# | **Read before** | [2. Why polynomials?](02.ipynb) |
# | **Time** | 60 minutes |
# | **In the papers** | Bos, Lauter, Loftus, Naehrig (ePrint 2013/075), section 2; D. H. Bailey, *FFTs in external memory* (1990) |
#
# Classifying 8,192 encrypted images takes millions of products of polynomials with 8,192 coefficients. Whoever
# multiplies them as at school waits for years. This notebook gets from years to seconds.

# %%
import random
import time

import numpy as np

from yashe import checks
from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.primes import ntt_primes
from yashe.pictures import plots
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import centred, poly_mod

# %% [markdown]
# ## The definition
#
# $R_p = \mathbb{Z}_p[x]/(x^n+1)$: polynomials of degree below $n$ with coefficients modulo $p$, and $x^n = -1$. So
#
# $$x^i \cdot x^j = \begin{cases} x^{i+j} & i + j < n \\ -x^{i+j-n} & i + j \ge n \end{cases}$$
#
# A power that reaches $x^n$ comes back at the bottom **with its sign changed**. The product is called *negacyclic*.
#
# By hand, $n = 4$:
#
# $$(1 + 2x)\cdot 3x^3 = 3x^3 + 6x^4 = -6 + 3x^3.$$

# %%
textbook.poly_mul([1, 2, 0, 0], [0, 0, 0, 3])

# %% [markdown]
# **Exercise 1.** Write the product from the definition. Coefficients are lists, lowest degree first; return residues
# modulo $p$ between $-(p-1)/2$ and $(p-1)/2$: `centred(x, p)` makes one of an integer, `poly_mod(a, p)` of each entry of a list or an array.


# %% tags=["exercise"]
def negacyclic_product(a, b, p):
    """Return a * b in Z_p[x]/(x^n + 1)."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def negacyclic_product(a, b, p):
    """Return a * b in Z_p[x]/(x^n + 1)."""
    n = len(a)
    out = [0] * n
    for i in range(n):
        for j in range(n):
            sign = 1 if i + j < n else -1
            out[(i + j) % n] += sign * a[i] * b[j]
    return [centred(x, p) for x in out]


# %% tags=["check"]
checks.negacyclic_product(negacyclic_product)

# %% [markdown]
# ## Values instead of coefficients
#
# That took $n^2$ multiplications. The way out: a polynomial of degree below $n$ is also known by its **values at $n$
# points**, and values multiply one by one: $(ab)(z) = a(z)\,b(z)$.
#
# We need points $z$ where $x^n = -1$ does no harm, that is where $z^n = -1$. If $p$ is a prime with $p \equiv 1 \pmod{2n}$,
# there are $n$ of them: the odd powers of a number $\psi$ with $\psi^n = -1$. (All numbers from 1 to $p - 1$ are powers of a single one, $g$, with $g^{p-1} = 1$.
# So $\psi = g^{(p-1)/2n}$ has $\psi^{2n} = 1$, and $\psi^n$ is the other root of 1, which is $-1$.) The *number-theoretic transform* is
#
# $$\mathrm{ntt}(a)_k = a(\psi^{2k+1}) = \sum_{j=0}^{n-1} a_j\, \psi^{(2k+1)j} \bmod p, \qquad k = 0, \dots, n-1.$$
#
# By hand, $n = 4$ and $p = 17$: $\psi = 9$ has $9^2 = 13 = -4$ and $9^4 = 16 = -1$. Its odd powers are $9 = -8,\ -2,\ 8,\ 2$, and
# indeed $(x^2 - 4)(x^2 + 4) = x^4 - 16 = x^4 + 1$ modulo 17.

# %%
n, p = 4, 17
psi = textbook.root_of_unity(n, p)
print("psi =", psi, " odd powers:", [centred(psi ** (2 * k + 1), p) for k in range(n)])
print("values of 1 + x:", textbook.ntt_by_definition([1, 1, 0, 0], psi, p))

# %% [markdown]
# Three steps make a product: transform both, multiply value by value, transform back. They give the same as the
# definition:

# %%
a, b = [1, 2, 3, 4], [5, -6, 7, -8]
values_a, values_b = textbook.ntt(a, psi, p), textbook.ntt(b, psi, p)
product = textbook.intt([x * y for x, y in zip(values_a, values_b)], psi, p)
assert product == poly_mod(textbook.poly_mul(a, b), p)
product

# %% [markdown]
# ## Butterflies
#
# Computing $n$ values of $n$ terms each still costs $n^2$. But the points are special: with each $z = \psi^{2k+1}$ its negative
# $-z = \psi^{2(k+n/2)+1}$ is a point, too. Split $a(x) = e(x^2) + x\,o(x^2)$ into even and odd coefficients:
#
# $$a(z) = e(z^2) + z\,o(z^2), \qquad a(-z) = e(z^2) - z\,o(z^2).$$
#
# The squares $z^2$ are the odd powers of $\psi^2$, so $e$ and $o$ are transforms of half the length, and each product $z \cdot o(z^2)$
# serves two values. In total $\frac{n}{2}\log_2 n$ multiplications.
#
# **Exercise 2.** Write it, recursively. For $n = 1$ the transform of $[a_0]$ is $[a_0]$. Values come in natural order,
# $k = 0, 1, \dots, n-1$, and centred.


# %% tags=["exercise"]
def ntt_butterflies(a, psi, p):
    """Return a(psi^(2k+1)) mod p for k = 0 .. n-1."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def ntt_butterflies(a, psi, p):
    """Return a(psi^(2k+1)) mod p for k = 0 .. n-1."""
    if len(a) == 1:
        return [centred(a[0], p)]
    even = ntt_butterflies(a[0::2], psi * psi % p, p)
    odd = ntt_butterflies(a[1::2], psi * psi % p, p)
    twisted = [pow(psi, 2 * k + 1, p) * y for k, y in enumerate(odd)]
    low = [x + y for x, y in zip(even, twisted)]
    high = [x - y for x, y in zip(even, twisted)]
    return poly_mod(low + high, p)


# %% tags=["check"]
checks.ntt_butterflies(ntt_butterflies)

# %% [markdown]
# ## Two matrix products
#
# Butterflies are few multiplications, but each is a step of its own, and in Python (as in any language that wants to use
# what a processor can do) steps cost more than multiplications. A *matrix product* is one step with millions of
# multiplications, and the libraries for it are the fastest code on any computer.
#
# Write the coefficients row by row into a matrix $X$ with $n_1$ rows and $n_2$ columns, $n = n_1 n_2$, so that index
# $j = j_1 n_2 + j_2$. Number the values $k = k_1 + n_1 k_2$. Then
#
# $$\psi^{(2k+1)j} = \underbrace{\psi^{(2k_1+1)\,n_2\,j_1}}_{A_{k_1 j_1}} \cdot \underbrace{\psi^{(2k_1+1)\,j_2}}_{T_{k_1 j_2}} \cdot \underbrace{\psi^{2 n_1 k_2 j_2}}_{W_{k_2 j_2}}$$
#
# because the factor that is missing, $\psi^{2 n_1 n_2 k_2 j_1} = (\psi^{2n})^{k_2 j_1}$, is 1. So all values are
#
# $$Z = W\,\bigl((A X) * T\bigr)^{T},$$
#
# two products of small matrices and one multiplication entry by entry ($*$); reading $Z$ row by row gives
# $k = 0, 1, \dots, n-1$. ($A$ is $n_1 \times n_1$, $X$ and $T$ are $n_1 \times n_2$, $W$ is $n_2 \times n_2$.)
#
# By hand, $n = 4 = 2 \cdot 2$, $p = 17$, $\psi = 9$, whose powers from $\psi^0$ to $\psi^7$ are $1, -8, -4, -2, -1, 8, 4, 2$:
#
# $$X = \begin{pmatrix} a_0 & a_1 \\ a_2 & a_3 \end{pmatrix}, \quad A = \begin{pmatrix} 1 & \psi^2 \\ 1 & \psi^6 \end{pmatrix}
# = \begin{pmatrix} 1 & -4 \\ 1 & 4 \end{pmatrix}, \quad T = \begin{pmatrix} 1 & \psi \\ 1 & \psi^3 \end{pmatrix}
# = \begin{pmatrix} 1 & -8 \\ 1 & -2 \end{pmatrix}, \quad W = \begin{pmatrix} 1 & 1 \\ 1 & \psi^4 \end{pmatrix} = \begin{pmatrix} 1 & 1 \\ 1 & -1 \end{pmatrix}.$$
#
# For $1 + x$, that is $a = (1, 1, 0, 0)$, the product $A X$ has two rows $(1, 1)$, times $T$ entry by entry they are $(1, -8)$ and $(1, -2)$; and
# $Z = W (A X * T)^T = \begin{pmatrix} -7 & -1 \\ 9 & 3 \end{pmatrix}$, row by row the values $-7, -1, 9 = -8, 3$ that were printed above.

# %%
plots.ntt_forms(16)

# %% [markdown]
# *Left: log2 n = 4 levels of butterflies; solid wires add, dashed ones subtract. Right: the same transform as two products
# of 4 x 4 matrices. With n = 8192 the matrices are 64 x 64 and 128 x 128. Of W the picture shows half, as the library keeps it.*
#
# The right half of $W$ is its left half again, with a minus sign in the odd rows, as $\psi^{2 n_1 k_2 n_2 / 2} = (-1)^{k_2}$. So the library adds and subtracts the two halves of
# what $W$ is multiplied with first, one level of butterflies after all, and saves half of that product. You need not.
#
# **Exercise 3.** Write it with NumPy. Use `np.array(..., dtype=object)`, which computes with Python's integers of any
# size; the [next notebook](04.ipynb) is about doing without. Powers of $\psi$ are `pow(psi, e, p)`; `poly_mod(Z.ravel(), p)` reduces at the end.


# %% tags=["exercise"]
def ntt_two_products(a, psi, p, n1):
    """Return the same values as ntt_butterflies, as W ((A X) * T)^T."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def ntt_two_products(a, psi, p, n1):
    """Return the same values as ntt_butterflies, as W ((A X) * T)^T."""
    n, n2 = len(a), len(a) // n1
    power = [pow(psi, e, p) for e in range(2 * n)]
    X = np.array(a, dtype=object).reshape(n1, n2)
    A = np.array(
        [[power[(2 * k + 1) * n2 * j % (2 * n)] for j in range(n1)] for k in range(n1)],
        dtype=object,
    )
    T = np.array(
        [[power[(2 * k + 1) * j % (2 * n)] for j in range(n2)] for k in range(n1)], dtype=object
    )
    W = np.array(
        [[power[2 * n1 * k * j % (2 * n)] for j in range(n2)] for k in range(n2)], dtype=object
    )
    Z = W @ ((A @ X) * T).T
    return [centred(x, p) for x in Z.ravel()]


# %% tags=["check"]
checks.ntt_two_products(ntt_two_products)

# %% [markdown]
# ## What the library does
#
# `yashe.arithmetic.ntt.Ntt` is exercise 3 on `float64` matrices, for many primes and polynomials at once. Same values, same order:

# %%
n = 64
(p,) = ntt_primes(n, 1)
fast = Ntt(n, (p,))
generator = random.Random(3)
a = [generator.randint(-(p // 2), p // 2) for _ in range(n)]
values = fast.ntt(np.array([a], dtype=np.float64))[0]
assert poly_mod([int(x) for x in values], p) == textbook.ntt(a, fast.psi[0], p)
values[:4]

# %% [markdown]
# ## What does it cost?
#
# One product of two polynomials, in seconds on this computer:


# %%
def seconds(compute, repeat=1):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return min(times)


def matrix_product(x, y):
    return fast.intt(np.remainder(fast.ntt(x) * fast.ntt(y), p))


# %%
cost = {"definition": ([], []), "butterflies": ([], []), "two matrix products": ([], [])}
for n in (16, 64, 256, 1024, 4096):
    (p,) = ntt_primes(n, 1)
    fast = Ntt(n, (p,))
    psi, a = fast.psi[0], [generator.randint(-1000, 1000) for _ in range(n)]
    x = np.array([a], dtype=np.float64)
    runs = [lambda: textbook.multiply_by_ntt(a, a, psi, p), lambda: matrix_product(x, x)]
    if n <= 1024:
        runs.insert(0, lambda: textbook.poly_mul(a, a))
    for name, run in zip(list(cost)[-len(runs) :], runs):
        cost[name][0].append(n)
        cost[name][1].append(seconds(run, 20 if "matrix" in name else 5))

# %%
plots.curves(cost, "degree n", "seconds for one product", "Products modulo $x^n + 1$")

# %% [markdown]
# *Cost of one product against the degree n, both axes logarithmic: the definition grows by a factor of 4 with each doubling,
# butterflies by a little more than 2. At n = 16 the definition is the fastest; from n = 256 on two matrix products lie far below both.*
#
# ## Three sentences to remember
#
# 1. In $\mathbb{Z}_p[x]/(x^n+1)$ a power that reaches $x^n$ comes back with its sign changed.
# 2. At the odd powers of $\psi$, $\psi^n = -1$, products of polynomials are products of values.
# 3. The transform is two products of matrices of size about $\sqrt{n}$, and matrix products are what computers do best.
#
# ## Traps
#
# - **Even powers of $\psi$** are the roots of $x^n - 1$: products come out cyclic, without the sign.
# - **Order.** Butterflies in place leave the values in bit-reversed order; two implementations that disagree often
#   agree after sorting.
# - **Fewer multiplications is not faster.** Two matrix products of size $\sqrt{n}$ take $2 n\sqrt{n}$ multiplications, more than
#   $\frac{n}{2}\log_2 n$, and win by factors of hundreds here.
#
# **Next:** [4. How can a float be exact?](04.ipynb)
