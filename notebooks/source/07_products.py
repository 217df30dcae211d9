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
# | **You will be able to** | multiply two BFV ciphertexts, bring the product back to two parts, say what each step costs, and do the same in BGV, without the division |
# | **Read before** | [6. What happens to the noise?](06.ipynb) |
# | **Time** | 100 minutes |
# | **In the papers** | Fan, Vercauteren (ePrint 2012/144), section 4; Bajard, Eynard, Hasan, Zucca (ePrint 2016/510), section 4; Brakerski, Gentry, Vaikuntanathan (ePrint 2011/277), sections 3 and 4 |
#
# Adding ciphertexts is adding. Multiplying them is the step on which all encrypted computing hangs, and it has two
# surprises: the division by $q$, and a ciphertext that grows. At the end stands a scheme that puts the message at the other end of
# the modulus, and has no division.

# %%
import time

import numpy as np

from yashe import BFV, BGV, checks, make_params
from yashe.arithmetic.primes import ntt_primes
from yashe.ciphertexts import noise
from yashe.pictures import plots
from yashe.textbook import polynomials as textbook
from yashe.textbook import bfv, bgv
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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
assert integers((fast * fast).rows[0]).tolist() == by_hand

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
# ## The message at the lower end
#
# The division by $\frac qt$ is there because the message sits at the upper end of $q$, and the noise below. What if they change places?
# Let the errors be multiples of $t$, and add the message as it is:
#
# $$c_0 = b u + t e_0 + m, \qquad c_1 = a u + t e_1, \qquad b = -(a s + t e).$$
#
# Then the phase is $m + t\,(e_0 + e_1 s - e u)$: a small polynomial, and **modulo $t$ it is the message**. This scheme is called BGV, by Brakerski,
# Gentry and Vaikuntanathan, and it is older than BFV. By hand, $t = 5$, $q = 97$, $m = 2$, error $-3$: the phase is $2 - 15 = -13$, and $-13 = 2$ modulo 5.

# %%
low = Params(n=16, t=97, moduli=ntt_primes(16, 3))
seed = b"lower end".ljust(32)
te, te_0, te_1 = (poly_scale(textbook.gaussian(seed, e, 16), low.t) for e in ("e", "e0", "e1"))
b, a = bfv.rlwe_sample(low, s, textbook.uniform(seed, "a", low), te)  # b = -(a s + t e)
u = textbook.ternary(seed, "u", low.n)
ct = [
    poly_mod(poly_add(poly_mul(b, u), te_0, m), low.q),
    poly_mod(poly_add(poly_mul(a, u), te_1), low.q),
]
phase = bfv.phase(low, s, ct)
print(phase[:5], poly_mod(phase, low.t)[:5])

# %% [markdown]
# ### A product without scaling
#
# $(m + t x)(m' + t x') = m m' + t\,(\dots)$. Modulo $t$ the product of the phases is the product of the messages already. Nothing has to be
# seen as a whole, nothing is rounded: the three parts are products *modulo $q$*, and the library does not even leave the NTT form for them.


# %%
def square(params, ct):
    """Return the three parts of a square, modulo q."""
    parts = [poly_mul(ct[0], ct[0]), poly_scale(poly_mul(ct[0], ct[1]), 2), poly_mul(ct[1], ct[1])]
    return [poly_mod(part, params.q) for part in parts]


def bits(params, ct):
    """Return the size of the phase in bits, and what is left of q."""
    size = max(abs(x) for x in bfv.phase(params, s, ct)).bit_length()
    return f"phase {size} bits, {params.q.bit_length() - 1 - size} left"


key = bgv.relin_keygen(low, s, seed)  # as before, with errors t e_i
squared = bfv.relinearise(low, key, square(low, ct))
assert poly_mod(bfv.phase(low, s, squared), low.t) == poly_mod(poly_mul(m, m), low.t)
for step in (ct, square(low, ct), squared, square(low, squared)):
    print(bits(low, step))

# %% [markdown]
# ### The noise squares
#
# There is the price. The whole phase is multiplied, so its *size is squared*: a phase of 35 bits becomes one of 70, and $q$ has 72. In BFV
# a product costs $\log_2 t + \log_2 n$ bits, no matter what. Here it costs as many bits as the phase has.
#
# The cure is to make the phase small before it is multiplied, by **switching the modulus**. Let $p$ be one of the primes of $q$. Divide both parts by $p$: the
# phase is divided by $p$, $q$ becomes $q/p$, and what is left of $q$ in bits stays the same. Only, the parts are not divisible by $p$, and rounding
# would change them modulo $t$, where the message is. So each coefficient $c$ is changed by a multiple of $t$ first:
#
# $$c' = \frac{c + x}{p}, \qquad x = t\,\bigl[-c\, t^{-1}\bigr]_p .$$
#
# By hand, $t = 5$, $p = 7$: for $c = 9$ the multiple of 5 is $x = 5$, since $14$ is divisible by 7, and $c' = 2$; for $c = 10$ it is $x = -10$,
# and $c' = 0$.
#
# **Exercise 4.** Write it for a list of coefficients. `pow(t, -1, p)` is $t^{-1}$ modulo $p$; `centred(x, p)` is $[x]_p$.


# %% tags=["exercise"]
def drop_prime(c, p, t):
    """Return (c + x) / p for each c, x the smallest multiple of t that makes it an integer."""
    raise NotImplementedError


# %% tags=["solution"]
def drop_prime(c, p, t):
    """Return (c + x) / p for each c, x the smallest multiple of t that makes it an integer."""
    return [(a + t * centred(-a * pow(t, -1, p), p)) // p for a in c]


# %% tags=["check"]
checks.drop_prime(drop_prime)

# %%
p, fewer = low.moduli[-1], Params(low.n, low.t, low.moduli[:-1])
switched = [poly_mod(drop_prime(part, p, low.t), fewer.q) for part in squared]
assert switched == bgv.switch_modulus(low, bgv.Ciphertext(squared), 2)[1].parts
print("squared: ", bits(low, squared), "  its square:", bits(low, square(low, squared)))
print("switched:", bits(fewer, switched), "  its square:", bits(fewer, square(fewer, switched)))

# %% [markdown]
# With a shorter $q$ *more* of it is left. Not arbitrarily often: what was added, $\frac{x}{p}$, is at most $\frac t2$ in each coefficient of $c_0$ and of $c_1$, and
# $c_1$ is multiplied by $s$. Below about $t \sqrt{n/18}$ no phase can be brought, and when it is there, a product costs as little as in BFV. How many
# primes are left is the *level* of a ciphertext; the library finds the best level by predicting all of them (`ready_for_product`).
#
# ### The factor
#
# The new phase is $\frac{1}{p}$ of the old one modulo $t$, and so is its message. Nobody repairs that. The ciphertext carries a public number with it,
# the **factor**, here $p^{-1}$ modulo $t$; products multiply factors, and decryption divides by them.

# %%
factor = pow(p, -1, low.t)
phase = bfv.phase(fewer, s, switched)
print("modulo t:       ", poly_mod(phase, low.t)[:5])
print("without factor: ", poly_mod(poly_scale(phase, pow(factor, -1, low.t)), low.t)[:5])

# %% [markdown]
# ### BFV is BGV in other words
#
# Multiply both parts of a BFV ciphertext by $t$. Its phase $\frac qt m + e$, where $\frac qt m$ has been rounded by $r$, becomes $q m + t\,(e + r)$, and $q m$ vanishes modulo $q$. What is
# left is small, $t\,(e + r)$, but hides $m$ nevertheless: $t r = t\,\mathrm{round}(\frac qt m) - q m$ is $-q m$ modulo $t$. A BGV ciphertext with the factor $-q$.

# %%
_, public = bfv.keygen(low, b"notebook".ljust(32))  # the same secret
upper = bfv.encrypt(low, public, m, bytes(32))
lower = [poly_mod(poly_scale(part, low.t), low.q) for part in upper]
phase = bfv.phase(low, s, lower)
assert poly_mod(poly_scale(phase, pow(-low.q, -1, low.t)), low.t) == m
print("phase", phase[:5], " factor", -low.q % low.t)

# %% [markdown]
# So the two ends are one scheme, and equally secure. They differ in what a computer has to do. The 64 squares and 2 sums from above, with both:

# %%
for kind in (BFV, BGV):
    scheme = kind(make_params("example", n=4096, t_at_least=2**16))
    keys = scheme.keygen()
    x = scheme.encrypt(np.arange(64)[:, None], keys.secret)
    start = time.perf_counter()
    sums = (x * x) @ weights
    seconds = time.perf_counter() - start
    result = scheme.decrypt(scheme.relinearize(sums, keys.relinearization), keys.secret)
    assert result[:, 0].tolist() == expected
    print(f"{scheme.name}  {seconds:.2f} s")

# %% [markdown]
# That is why the networks of this project run on BGV.
#
# ## Three sentences to remember
#
# 1. BFV multiplies over the integers, scales by $t/q$, rounds, and only then reduces modulo $q$; BGV multiplies modulo $q$, and keeps phases small.
# 2. A product has three parts, and relinearisation makes two of them with encryptions of $s^2$.
# 3. Digits keep the noise of relinearisation small; sums before it keep it rare.
#
# ## Traps
#
# - **Reducing too early.** In BFV the product of the phases is meaningless modulo $q$; the library computes modulo $qP$ with
#   $P > nq$, where it is exact.
# - **Squaring a large phase.** In BGV, relinearise, switch the modulus, then multiply, in this order: relinearisation adds an error of $t$ times
#   24 bits, which the switch takes away again.
# - **Rounding where the message is.** A BGV ciphertext divided by $p$ and rounded decrypts to anything.
# - **A key for every base.** Two relinearisation keys from the same seed but with different $g_i$ differ by
#   $(g_i - g'_i)\,s^2$: whoever subtracts them has $s^2$. The base is part of the label of each random stream.
# - **Three parts are not a factor.** The library refuses to multiply a product that was not relinearised
#   (`FormError`), because five parts are hardly ever what was meant.
#
# **Next:** [8. What did the paper use, and why is it broken?](08.ipynb)
