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
# # How do you multiply ciphertexts?
#
# | | |
# |---|---|
# | **You will be able to** | multiply two BFV ciphertexts, bring the product back to two parts, and say what each step costs |
# | **Read before** | [6. What happens to the noise?](06.ipynb) |
# | **Time** | 75 minutes |
# | **In the papers** | Fan, Vercauteren (ePrint 2012/144), section 4; Bajard, Eynard, Hasan, Zucca (ePrint 2016/510), section 4 |
#
# Adding ciphertexts is adding. Multiplying them is the step on which all encrypted computing hangs, and it has two
# surprises: the division by $q$, and a ciphertext that grows.

# %%
import time

import numpy as np

from yashe import BFV, checks, make_params
from yashe.arithmetic.primes import ntt_primes
from yashe.ciphertexts import noise
from yashe.pictures import plots
from yashe.textbook import polynomials as textbook
from yashe.textbook import bfv
from yashe.textbook.polynomials import (
    Params,
    centred,
    poly_add,
    poly_mod,
    poly_mul,
    poly_round,
    poly_scale,
)

# %% [markdown]
# ## Messages multiply, and so does the factor in front of them
#
# A ciphertext $(c_0, c_1)$ of $m$ has the *phase* $c_0 + c_1 s = \frac{q}{t} m + e$ modulo $q$. Multiply two phases, as polynomials
# over the **integers**:
#
# $$\left(\tfrac{q}{t} m + e\right)\left(\tfrac{q}{t} m' + e'\right) = \tfrac{q^2}{t^2}\, m m' + \tfrac{q}{t}\,(m e' + m' e) + e e'.$$
#
# One factor $\frac{q}{t}$ is too many. Multiply by $\frac{t}{q}$ and round, and what remains is $\frac{q}{t} m m'$ plus small noise: the phase
# of an encryption of $m m'$.
#
# By hand, $n = 4$, $t = 5$, $q = 97$, without noise: $m = 2 + x^3$ becomes $39 + 19x^3$, and $m' = x$ becomes $19x$. Their product is
# $741x + 361x^4 = -361 + 741x$. Times $\frac{5}{97}$, rounded: $-19 + 38x$, the phase of $-1 + 2x$. And indeed
# $(2 + x^3)\,x = -1 + 2x$.

# %%
toy = Params(n=4, t=5, moduli=(97,))
phase, other = textbook.scale_up(toy, [2, 0, 0, 1]), textbook.scale_up(toy, [0, 1, 0, 0])
product = poly_round(poly_mul(phase, other), toy.t, toy.q)
print(phase, other, poly_mul(phase, other), product)
textbook.scale_down(toy, product)

# %% [markdown]
# **The order matters.** Whoever reduces modulo $q$ first and scales afterwards has thrown away the part that counts:

# %%
reduced_first = poly_round(poly_mod(poly_mul(phase, other), toy.q), toy.t, toy.q)
reduced_first, textbook.scale_down(toy, reduced_first)

# %% [markdown]
# ## Three parts
#
# The server has no $s$, so it has no phases. It has the coefficients of $c_0 + c_1 X$, a polynomial in $X$ whose value at
# $X = s$ is the phase. Two such polynomials multiply to
#
# $$(c_0 + c_1 X)(c'_0 + c'_1 X) = c_0 c'_0 + (c_0 c'_1 + c_1 c'_0)\,X + c_1 c'_1\,X^2,$$
#
# whose value at $s$ is the product of the phases. Scale each coefficient by $\frac{t}{q}$, round, reduce modulo $q$: a ciphertext of
# **three** parts, $(d_0, d_1, d_2)$, with the phase $d_0 + d_1 s + d_2 s^2$.
#
# **Exercise 1.** Write it. `params.t` and `params.q` are there; `poly_mul`, `poly_add`, `poly_mod(a, q)` and
# `poly_round(a, numerator, denominator)` are imported above.


# %% tags=["exercise"]
def multiply_ciphertexts(params, c, d):
    """Return the three parts of the product of c = [c_0, c_1] and d = [d_0, d_1]."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def multiply_ciphertexts(params, c, d):
    """Return the three parts of the product of c = [c_0, c_1] and d = [d_0, d_1]."""
    tensor = [
        poly_mul(c[0], d[0]),
        poly_add(poly_mul(c[0], d[1]), poly_mul(c[1], d[0])),
        poly_mul(c[1], d[1]),
    ]
    return [poly_mod(poly_round(part, params.t, params.q), params.q) for part in tensor]


# %% tags=["check"]
checks.multiply_ciphertexts(multiply_ciphertexts)

# %% [markdown]
# The key opens three parts as well as two: $d_0 + d_1 s + d_2 s^2$.

# %%
params = Params(n=16, t=17, moduli=ntt_primes(16, 3))
s, public = bfv.keygen(params, b"notebook".ljust(32))
m = [1, 2, 3] + [0] * 13
ct = bfv.encrypt(params, public, m, bytes(32))
squared = multiply_ciphertexts(params, ct, ct)
assert bfv.decrypt(params, s, squared) == poly_mod(poly_mul(m, m), params.t)
len(squared), bfv.decrypt(params, s, squared)[:6]

# %% [markdown]
# ## Back to two parts
#
# Three parts become five with the next product, then nine. To go back, the client publishes help: an encryption of $s^2$.
# With $(b, a)$ such that $b + a s \approx s^2$,
#
# $$d_0 + d_1 s + d_2 s^2 \approx (d_0 + d_2 b) + (d_1 + d_2 a)\,s.$$
#
# The trap is in the sign $\approx$. If $b + as = s^2 - e$, the error is $d_2 e$, and the coefficients of $d_2$ are as large as $q$:

# %%
seed = b"help".ljust(32)
a, e = textbook.uniform(seed, "a", params), textbook.gaussian(seed, "e", params.n)
b, _ = bfv.rlwe_sample(params, s, a, e)
b = poly_mod(poly_add(b, poly_mul(s, s)), params.q)
d0, d1, d2 = squared
naive = [poly_mod(poly_add(d, poly_mul(d2, h)), params.q) for d, h in ((d0, b), (d1, a))]
print(f"before: {bfv.noise_budget(params, s, squared):.1f} bits of noise budget")
print(f"after:  {bfv.noise_budget(params, s, naive):.1f} bits; the message is lost")

# %% [markdown]
# ## Digits
#
# So $d_2$ is not multiplied as a whole. Write it in base $w$, with small signed digits:
#
# $$d_2 = \sum_i D_i\, w^i, \qquad -\tfrac{w}{2} < D_i \le \tfrac{w}{2},$$
#
# and let the client publish an encryption of $w^i s^2$ for every $i$. Now each error is multiplied by a digit, and digits are small.
# The same idea as in writing 1234 with ten numerals instead of a single one with thousands of strokes.
#
# By hand, base 10 with signed digits: $1278 = 8 \to -2$ carry 1, $8 \to -2$ carry 1, $3$, $1$: so $1278 = -2 - 2\cdot 10 + 3 \cdot 100 + 1 \cdot 1000$.
#
# **Exercise 2.** Find the digits of an integer, lowest first. `centred(x, w)` gives the residue in $(-\frac{w}{2}, \frac{w}{2}]$.


# %% tags=["exercise"]
def signed_digits(a, w, count):
    """Return count digits d_i in (-w/2, w/2] with a = d_0 + d_1 w + d_2 w^2 + ..."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def signed_digits(a, w, count):
    """Return count digits d_i in (-w/2, w/2] with a = d_0 + d_1 w + d_2 w^2 + ..."""
    digits = []
    for _ in range(count):
        digits.append(centred(a, w))
        a = (a - digits[-1]) // w
    return digits


# %% tags=["check"]
checks.signed_digits(signed_digits)

# %% [markdown]
# `textbook.base_digits(d2, q, w)` does this for every coefficient and returns the digit polynomials $D_0, D_1, \dots$ The key is a
# list of pairs $(b_i, a_i)$ with $b_i + a_i s = w^i s^2 - e_i$.
#
# **Exercise 3.** Write the relinearisation with that key.


# %% tags=["exercise"]
def relinearise_digits(params, key, ct, w):
    """Return two parts with the message of ct = [d_0, d_1, d_2]; key[i] encrypts w^i s^2."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def relinearise_digits(params, key, ct, w):
    """Return two parts with the message of ct = [d_0, d_1, d_2]; key[i] encrypts w^i s^2."""
    d0, d1, d2 = ct
    for digit, (b, a) in zip(textbook.base_digits(d2, params.q, w), key):
        d0 = poly_add(d0, poly_mul(digit, b))
        d1 = poly_add(d1, poly_mul(digit, a))
    return [poly_mod(d0, params.q), poly_mod(d1, params.q)]


# %% tags=["check"]
checks.relinearise_digits(relinearise_digits)

# %%
w = 256
key = bfv.relin_keygen(params, s, bytes(32), w)
two_parts = relinearise_digits(params, key, squared, w)
assert bfv.decrypt(params, s, two_parts) == bfv.decrypt(params, s, squared)
print(f"before: {bfv.noise_budget(params, s, squared):.1f} bits of noise budget")
print(
    f"after:  {bfv.noise_budget(params, s, two_parts):.1f} bits, two parts, {len(key)} pairs in the key"
)

# %% [markdown]
# ## Which base?
#
# A small $w$ means many digits: a large key and many products. A large $w$ means large digits: much noise. The library
# takes neither. It keeps every number as residues modulo primes $q_0, q_1, \dots$ anyway, and **the residues are digits**: with
#
# $$g_i = \frac{q}{q_i}\left[\left(\frac{q}{q_i}\right)^{-1}\right]_{q_i} \qquad\text{we have}\qquad d_2 = \sum_i\, [d_2]_{q_i}\; g_i \pmod q.$$
#
# Digits that cost nothing to find, one for each prime of 24 bits.


# %%
def noise_added(w):
    """Return how many digits there are, and the largest error that relinearisation adds."""
    key = bfv.relin_keygen(params, s, bytes(32), w)
    before = bfv.phase(params, s, squared)
    after = bfv.phase(params, s, bfv.relinearise(params, key, squared, w))
    error = poly_mod(poly_add(after, poly_scale(before, -1)), params.q)
    return len(key), max(abs(x) for x in error)


# %%
points = [noise_added(2**bits) for bits in (2, 3, 4, 6, 8, 12, 16, 20, 24)]
plots.curves(
    {"digits in base w": tuple(zip(*points)), "residues as digits": tuple(zip(noise_added(None)))},
    "digits, that is pairs in the key",
    "noise that is added (absolute)",
    "Few digits or little noise",
)

# %% [markdown]
# *Relinearisation of one product, n = 16, q of 72 bits, both axes logarithmic: with 37 digits (w = 4) the noise added is a few
# hundred, with 4 digits (w = 2^24) it is about 2^28. Three residues add hardly more than four digits.*
#
# ## What the library does
#
# The same, bit for bit: rows of residues in, rows of residues out. Its product of two ciphertexts against exercise 1:

# %%
engine = BFV(make_params("INSECURE_SMALL", 16, 17, security=None, log2_q=70))
keys = engine.keygen(bytes(32))
fast = engine.encrypt(range(16), keys.public, bytes(32))
integers = engine.params.ring.basis.compose  # residues -> Python integers
parts = [[int(x) for x in part] for part in integers(fast.rows[0])]
small = Params(16, engine.params.t, engine.params.moduli)
by_hand = multiply_ciphertexts(small, parts, parts)
checks.require_equal(by_hand, integers((fast * fast).rows[0]))

# %% [markdown]
# ## Late
#
# Sums act on three parts as well as on two. In a network a layer of squares is followed by a layer of sums, and sums
# have fewer outputs than inputs. So do not relinearise the squares, relinearise the sums. 64 squares, 2 sums:

# %%
scheme = BFV(make_params("example", n=4096, t_at_least=2**16))
keys = scheme.keygen()
x = scheme.encrypt(np.arange(64)[:, None], keys.secret)  # 64 ciphertexts
weights = np.arange(128).reshape(64, 2) % 5 - 2
squares = x * x

start = time.perf_counter()
early = scheme.relinearize(squares, keys.relinearization) @ weights  # 64 relinearisations
middle = time.perf_counter()
late = scheme.relinearize(squares @ weights, keys.relinearization)  # 2
end = time.perf_counter()

# %%
expected = (np.arange(64) ** 2 @ weights).tolist()
assert scheme.decrypt(late, keys.secret)[:, 0].tolist() == expected
assert scheme.decrypt(early, keys.secret)[:, 0].tolist() == expected
print(f"early {middle - start:.2f} s, late {end - middle:.2f} s")

# %% [markdown]
# In CryptoNets this is 100 relinearisations instead of 845. The trace of a computation shows the two steps one by
# one, and that it is the product that costs noise, not the relinearisation:

# %%
with noise.trace(keys.secret) as trace:
    y = scheme.encrypt([1, 2, 3], keys.public)
    y = scheme.relinearize(y * y, keys.relinearization)
for step in trace.steps:
    print(f"{step.operation:<20} {step.measured_bits:6.1f} bits left")

# %% [markdown]
# ## Three sentences to remember
#
# 1. BFV multiplies over the integers, scales by $t/q$, rounds, and only then reduces modulo $q$.
# 2. A product has three parts, and relinearisation makes two of them with encryptions of $s^2$.
# 3. Digits keep the noise of relinearisation small; sums before it keep it rare.
#
# ## Traps
#
# - **Reducing too early.** In BFV the product of the phases is meaningless modulo $q$; the library computes modulo $qP$ with
#   $P > nq$, where it is exact.
# - **A key for every base.** Two relinearisation keys from the same seed but with different $g_i$ differ by
#   $(g_i - g'_i)\,s^2$: whoever subtracts them has $s^2$. The base is part of the label of each random stream.
# - **Three parts are no factor in BFV.** The library refuses to multiply a product that was not relinearised
#   (`FormError`). In BGV it does not: five parts are right there, too, cost more noise, and can never be relinearised to two.
#
# **Next:** [7b. Can you multiply without dividing?](07b.ipynb) It shows the scheme that the networks here run on. Or go on with
# [8. What did the paper use, and why is it broken?](08.ipynb), which needs only what you know now.
