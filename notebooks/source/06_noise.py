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
# # What happens to the noise?
#
# | | |
# |---|---|
# | **You will be able to** | measure the noise of a ciphertext, predict it without a key, say what every operation costs, and spend the budget on purpose |
# | **Read before** | [2. Why polynomials?](02.ipynb) and [5. How do 8,192 images fit into one ciphertext?](05.ipynb) |
# | **Time** | 75 minutes |
# | **In the papers** | Fan and Vercauteren (ePrint 2012/144), sections 3 and 4 |
#
# Every ciphertext carries a small error, and every operation makes it larger. Once it is too large, decryption gives a wrong
# message without a warning. All parameters of a homomorphic scheme are chosen for this one reason.

# %%
import math

from yashe import BFV, checks, make_params
from yashe.ciphertexts import noise
from yashe.errors import NoiseBudgetExhausted
from yashe.pictures import plots
from yashe.textbook import bfv as textbook_bfv
from yashe.textbook.polynomials import Params, centred, poly_mod, scale_up

# %% [markdown]
# ## The budget
#
# The *phase* of a BFV ciphertext is $c_0 + c_1 s$. Multiply it by $t/q$, and it is the message, a multiple of $t$, and a rest:
#
# $$\frac{t}{q}\,(c_0 + c_1 s) = m + t k + \nu .$$
#
# $\nu$ is the **noise**. Decryption rounds it away, as long as all its coefficients are below $\frac12$. How many times can it double
# before that? That is the **noise budget**, in bits.
#
# By hand, $q = 97$, $t = 4$, $m = 1$: the scaled message is $\mathrm{round}(24.25) = 24$. With an error of 3 the phase is 27, and
# $\frac{t}{q} \cdot 27 = \frac{108}{97} = 1 + \frac{11}{97}$: the message, and noise of $\frac{11}{97}$. Doubled twice it is $\frac{44}{97}$, still below
# $\frac12$; three times would be too much. The budget is $\log_2(97/22) = 2.1$ bits.
#
# **Exercise 1.** The budget of a phase. All coefficients count; the worst decides. Stay with integers as long as you can: $\frac{t}{q}$ times a phase of 400
# bits is no float, but the numerator of what is left over, 11 in the example, is a residue modulo a number that you know.


# %% tags=["exercise"]
def budget_bits(phase, q, t):
    """Return the noise budget of a phase in bits."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def budget_bits(phase, q, t):
    """Return the noise budget of a phase in bits."""
    return math.log2(q / (2 * max(abs(x) for x in poly_mod([t * y for y in phase], q))))


# %% tags=["check"]
checks.budget_bits(budget_bits)

# %% [markdown]
# $$\log_2 \frac{1}{2 \max |\nu|} = \log_2 \frac{q}{2 \max \bigl|[\,t \cdot \mathrm{phase}\,]_q\bigr|}$$
#
# ## Fresh ciphertexts
#
# With the public key $(b, a)$, $b = -(a s + e)$, a ciphertext is $(b u + e_0 + \frac{q}{t}m,\; a u + e_1)$, the message rounded to integers by
# $r$. Put it into the phase, and everything large cancels:
#
# $$\nu = \frac{t}{q}\,(e_0 + e_1 s - e\,u + r)$$
#
# The coefficients of $e, e_0, e_1$ are Gaussian with $\sigma = 3.2$; those of $s, u$ are $-1, 0, 1$ with equal probability; $|r| \le \frac12$.
# A coefficient of a product of polynomials is a sum of $n$ products, and *variances* of independent terms add up.
#
# **Exercise 2.** The standard deviation of a coefficient of $\nu$. (A number that is uniform in $[-\frac12, \frac12]$ has variance $\frac1{12}$.)


# %% tags=["exercise"]
def fresh_deviation(n, q, t):
    """Return the standard deviation of t/q (e_0 + e_1 s - e u + r)."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def fresh_deviation(n, q, t):
    """Return the standard deviation of t/q (e_0 + e_1 s - e u + r)."""
    variance = 3.2**2 * (1 + 2 * n * 2 / 3) + 1 / 12
    return t / q * math.sqrt(variance)


# %% tags=["check"]
checks.fresh_deviation(fresh_deviation)

# %% [markdown]
# Theory against a hundred ciphertexts of the textbook:

# %%
toy = Params(n=64, t=257, moduli=(16760833, 16736257))
seed = bytes(range(32))
s, public = textbook_bfv.keygen(toy, seed)
message = [i - 32 for i in range(toy.n)]
found = []
for j in range(100):
    ciphertext = textbook_bfv.encrypt(toy, public, message, seed, j)
    phase = textbook_bfv.phase(toy, s, ciphertext)
    found += [x - y for x, y in zip(phase, scale_up(toy, message))]

# %%
sigma = fresh_deviation(toy.n, toy.q, toy.t) * toy.q / toy.t
plots.noise_histogram(found, sigma, limit=toy.q / (2 * toy.t))

# %% [markdown]
# *Errors of 6,400 coefficients, as they stand in the phase (that is, q/t times the noise): bars for what was found, the line for
# your formula. All of them have one key, whose length is not exactly what is expected of a random one; hence a few percent between
# the two deviations.*
#
# The library makes the same prediction for every ciphertext, **without any key**, and measures with the key. The prediction has to hold with
# near certainty, so it is a little lower:

# %%
params = make_params("lesson", 4096, 2**16, log2_q=106)
scheme = BFV(params)
keys = scheme.keygen(seed)
x = scheme.encrypt([1, 2, -3], keys.public)
print(
    f"predicted {float(x.noise_budget):.1f} bits, measured {float(scheme.noise_budget(x, keys.secret)):.1f}"
)

# %% [markdown]
# ## What operations cost
#
# | operation | what it does to $\nu$ | bits |
# |---|---|---|
# | $x + y$ | $\nu_x + \nu_y$ | up to 1 |
# | $w \cdot x$, $w$ an integer | $w \nu_x$ | $\log_2 \lvert w \rvert$ |
# | $x \cdot y$ | $t k_y \nu_x + t k_x \nu_y + \dots$ | about $\log_2 t + \log_2 n$ |
# | relinearisation | a little is added | nearly 0, while the noise is large |
#
# A product is expensive because the multiples $t k$ of the other factor, which decryption throws away, multiply the noise. (*Relinearisation* follows a
# product: a product has three parts, and with a key for it the server makes two of them again. [Notebook 7](07.ipynb) builds both.) A *trace* shows it:

# %%
with noise.trace(keys.secret) as trace:
    y = x * 12 + x
    y = scheme.relinearize(y * y, keys.relinearization)
    y = y + y
    y = scheme.relinearize(y * x, keys.relinearization)
print(trace.table())

# %%
axes = trace.plot()

# %% [markdown]
# *Noise budget after each operation, as predicted without a key and measured with it: two products take nearly everything, the other
# operations hardly anything.*
#
# ## Running out
#
# Where the prediction says that the budget would not suffice, the library refuses before it computes nonsense:

# %%
try:
    while True:
        y = scheme.relinearize(y * x, keys.relinearization)
except NoiseBudgetExhausted as error:
    print(error)

# %% [markdown]
# Inside of `noise.unchecked()` it lets you do it. The result decrypts to numbers that have nothing to do with the message. With the textbook, and any
# library that checks nothing, that is what happens, and nobody is told. (Outside of the block even *decryption* refuses: it measures the noise, and
# trusts it only within $\frac18$, because noise just past $\frac12$ looks like $-\frac12$ and a little.)

# %%
with noise.unchecked():
    z = y
    for _ in range(2):
        z = scheme.relinearize(z * x, keys.relinearization)
    print("decrypted", scheme.decrypt(z, keys.secret)[:3])
print("expected ", [centred(338 * v**5, params.t) for v in (1, 2, -3)])

# %% [markdown]
# ## Saving budget
#
# What counts is how many products stand **in a row**, the depth. $x^8 = ((x^2)^2)^2$ has depth 3, $x \cdot x \cdots x$ has depth 7.
#
# **Exercise 3.** Write $x^k$ with products alone, at most $\lceil \log_2 k \rceil$ of them in a row. It has to work for
# everything that has a `*`. (For $x^7$ that is 3: think of $x^3 \cdot x^4$.)


# %% tags=["exercise"]
def power(x, k):
    """Return x^k, k >= 1, with a depth of ceil(log2 k) products."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def power(x, k):
    """Return x^k, k >= 1, with a depth of ceil(log2 k) products."""
    if k == 1:
        return x
    return power(x, k // 2) * power(x, k - k // 2)


# %% tags=["check"]
checks.power(power)

# %% [markdown]
# CryptoNets has two squares in a row: depth 2. The weights between them cost a few bits each. That is why its layers are few, its weights
# small integers, and its $t$ no larger than the logits need.
#
# ## Three sentences to remember
#
# 1. Noise is what decryption rounds away; the budget says how many times it may still double.
# 2. Sums and weights cost a few bits, products about $\log_2 t + \log_2 n$, and what counts is how many are in a row.
# 3. The noise can be predicted without a key, and a computation that would run out of budget is refused.
#
# ## Traps
#
# - **Too little budget gives no error** in the mathematics: round(.) always returns something. An implementation has to refuse.
# - **A larger $q$ is not free.** It makes room for noise, and makes the scheme easier to break ([notebook 11](11.ipynb)).
# - **Never tell a stranger the budget** of a ciphertext that the stranger made: together with enough questions it gives the key away.
#
# **Next:** [7. How do you multiply ciphertexts?](07.ipynb)
