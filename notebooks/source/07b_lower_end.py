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
# # Can you multiply without dividing?
#
# | | |
# |---|---|
# | **You will be able to** | open and multiply ciphertexts whose message is at the lower end of the modulus, keep phases small by switching the modulus, and say what BFV and BGV have in common |
# | **Read before** | [7. How do you multiply ciphertexts?](07.ipynb) |
# | **Time** | 45 minutes |
# | **In the papers** | Brakerski, Gentry, Vaikuntanathan (ePrint 2011/277), sections 3 and 4 |
#
# The product of BFV had to be divided by $\frac qt$ and rounded, over the integers: that is most of its work. Here is the scheme that
# puts the message at the other end of the modulus, and has no division. The networks of this project run on it.

# %%
import time

import numpy as np

from yashe import BFV, BGV, checks, make_params
from yashe.arithmetic.primes import ntt_primes
from yashe.textbook import polynomials as textbook
from yashe.textbook import bfv, bgv
from yashe.textbook.polynomials import (
    Params,
    centred,
    poly_add,
    poly_mod,
    poly_mul,
    poly_scale,
)

# %% [markdown]
# ## The message at the lower end
#
# In BFV the division by $\frac qt$ is there because the message sits at the upper end of $q$, and the noise below. What if they change places?
# Let the errors be multiples of $t$, and add the message as it is:
#
# $$c_0 = b u + t e_0 + m, \qquad c_1 = a u + t e_1, \qquad b = -(a s + t e).$$
#
# Then the phase is $m + t\,(e_0 + e_1 s - e u)$: a small polynomial, and **modulo $t$ it is the message**. This scheme is called BGV, by Brakerski,
# Gentry and Vaikuntanathan, and it is older than BFV. By hand, $t = 5$, $q = 97$, $m = 2$, error $-3$: the phase is $2 - 15 = -13$, and $-13 = 2$ modulo 5.

# %%
low = Params(n=16, t=97, moduli=ntt_primes(16, 3))
m = [1, 2, 3] + [0] * 13
s, _ = bfv.keygen(low, b"notebook".ljust(32))
seed = b"lower end".ljust(32)
te, te_0, te_1 = (poly_scale(textbook.gaussian(seed, e, 16), low.t) for e in ("e", "e0", "e1"))
b, a = bfv.rlwe_sample(low, s, textbook.uniform(seed, "a", low), te)  # b = -(a s + t e)
u = textbook.ternary(seed, "u", low.n)
ct = [
    poly_mod(poly_add(poly_mul(b, u), te_0, m), low.q),
    poly_mod(poly_add(poly_mul(a, u), te_1), low.q),
]

# %% [markdown]
# **Exercise 1.** Open it. Two moduli are at work, and one of them comes first.


# %% tags=["exercise"]
def decrypt_low(c0, c1, s, q, t):
    """Return the message of (c0, c1), centred modulo t."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def decrypt_low(c0, c1, s, q, t):
    """Return the message of (c0, c1), centred modulo t."""
    phase = poly_mod(poly_add(c0, poly_mul(c1, s)), q)
    return poly_mod(phase, t)


# %% tags=["check"]
checks.decrypt_low(decrypt_low)

# %%
checks.require_equal(decrypt_low(*ct, s, low.q, low.t), m)
print("phase", bfv.phase(low, s, ct)[:5], " message", decrypt_low(*ct, s, low.q, low.t)[:5])

# %% [markdown]
# ## A product without scaling
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
# ## The noise squares
#
# There is the price. The whole phase is multiplied, so its *size is squared*: a phase of 34 bits becomes one of 69 here, and $q$ has 72. In BFV
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
# **Exercise 2.** Write it for a list of coefficients. `pow(t, -1, p)` is $t^{-1}$ modulo $p$; `centred(x, p)` is $[x]_p$.


# %% tags=["exercise"]
def drop_prime(c, p, t):
    """Return (c + x) / p for each c, x the smallest multiple of t that makes it an integer."""
    raise checks.Unsolved(2)


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
# ## The factor
#
# The new phase is $\frac{1}{p}$ of the old one modulo $t$, and so is its message. Nobody repairs that. The ciphertext carries a public number with it,
# the **factor**, here $p^{-1}$ modulo $t$; products multiply factors, and decryption divides by them.

# %%
factor = pow(p, -1, low.t)
phase = bfv.phase(fewer, s, switched)
print("modulo t:       ", poly_mod(phase, low.t)[:5])
print("without factor: ", poly_mod(poly_scale(phase, pow(factor, -1, low.t)), low.t)[:5])

# %% [markdown]
# ## BFV is BGV in other words
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
# So the two ends are one scheme, and equally secure. They differ in what a computer has to do. The 64 squares and 2 sums of notebook 7, with both:

# %%
weights = np.arange(128).reshape(64, 2) % 5 - 2
expected = (np.arange(64) ** 2 @ weights).tolist()
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
# ## Three sentences to remember
#
# 1. BGV has the message at the lower end: modulo $t$ the phase is the message, so products need no scaling and no rounding.
# 2. A product squares the size of the phase, and switching the modulus makes the phase small again, at the price of a prime.
# 3. BFV and BGV are one scheme in other words; they differ in what a computer has to do.
#
# ## Traps
#
# - **Squaring a large phase.** Relinearise, switch the modulus, then multiply, in this order: relinearisation adds an error of $t$ times
#   24 bits, which the switch takes away again.
# - **Rounding where the message is.** A BGV ciphertext divided by $p$ and rounded decrypts to anything.
# - **Forgetting the factor.** Two ciphertexts at different levels carry different factors; before they are added, one of them has to be multiplied.
#
# **Next:** [8. What did the paper use, and why is it broken?](08.ipynb)
