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
# # How do 8,192 images fit into one ciphertext?
#
# | | |
# |---|---|
# | **You will be able to** | put $n$ numbers into one polynomial so that they are added and multiplied independently, draw their grid, and rotate it, encrypted or not |
# | **Read before** | [3. How do you multiply polynomials fast?](03.ipynb) and [4. How can a float be exact?](04.ipynb) |
# | **Time** | 75 minutes |
# | **In the papers** | Smart and Vercauteren (ePrint 2011/133); Halevi and Shoup (ePrint 2014/106) for rotations |
#
# A ciphertext encrypts a polynomial with 8,192 coefficients. If that carried a single pixel, CryptoNets would be
# 8,192 times slower. The trick that changes this is one that you know already: values instead of coefficients.

# %%
import numpy as np

from yashe import BFV, checks
from yashe.parameters.sets import INSECURE_TOY
from yashe.pictures import plots
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import intt, poly_mod, poly_mul, slot_exponents

# %% [markdown]
# ## A polynomial is its values
#
# Messages are polynomials modulo $x^n + 1$ and modulo the *plaintext modulus* $t$. If $t$ is a prime with $t \equiv 1 \pmod{2n}$, then
# $x^n + 1$ has $n$ roots modulo $t$, the odd powers of $\psi$, and by the Chinese remainder theorem
#
# $$\mathbb{Z}_t[x]/(x^n+1) \;\cong\; \mathbb{Z}_t \times \dots \times \mathbb{Z}_t, \qquad m \mapsto \bigl(m(\psi), m(\psi^3), \dots, m(\psi^{2n-1})\bigr).$$
#
# Sums and products of polynomials are sums and products of the values, place by place. So choose the *values* to be the numbers that
# you want to compute with. The places are called **slots**. Encoding is an inverse transform, decoding a transform.
#
# By hand, $n = 4$, $t = 17$, $\psi = 9$: the constant polynomial 5 has 5 in every slot; the polynomial $x$ has the roots themselves,
# $-8, -2, 8, 2$, in some order.

# %%
t, psi, n = 17, 9, 4
print("values at psi, psi^3, psi^5, psi^7:", textbook.ntt([0, 1, 0, 0], psi, t))

# %% [markdown]
# ## The grid
#
# In which order? Any would do for sums and products. We number the slots in two rows of $n/2$: slot $(r, c)$ is the value at
# $\psi^g$ with
#
# $$g = (-1)^r\, 5^c \bmod 2n,$$
#
# because the powers of 5 and their negatives are exactly the odd numbers modulo $2n$, each once, and because
# then rows can be rotated, as you will see.

# %%
print("n = 4: exponents", slot_exponents(4))
plots.slot_grid(range(16))

# %% [markdown]
# *The grid for n = 16: two rows of eight slots, the number of the slot, and below it the power of psi whose value it is.*
#
# **Exercises 1 and 2.** Write both directions. `intt(values, psi, t)` wants values in the order $\psi, \psi^3, \psi^5, \dots$, so that the
# value at $\psi^g$ stands at index $(g-1)/2$; `slot_exponents(n)` lists $g$ for every slot. `textbook.ntt(m, psi, t)` is the way back. Give them lists of
# Python's integers: the textbook lets numbers grow, and those of a NumPy array have 64 bits and lose what is beyond.


# %% tags=["exercise"]
def encode_slots(slots, psi, t):
    """Return the polynomial whose value at psi^g is slots[i], g = slot_exponents(n)[i]."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def encode_slots(slots, psi, t):
    """Return the polynomial whose value at psi^g is slots[i], g = slot_exponents(n)[i]."""
    values = [0] * len(slots)
    for number, g in zip(slots, slot_exponents(len(slots))):
        values[(g - 1) // 2] = number
    return intt(values, psi, t)


# %% tags=["check"]
checks.encode_slots(encode_slots)


# %% tags=["exercise"]
def decode_slots(m, psi, t):
    """Return the slots of m, centred."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def decode_slots(m, psi, t):
    """Return the slots of m, centred."""
    values = textbook.ntt(m, psi, t)
    return [values[(g - 1) // 2] for g in slot_exponents(len(m))]


# %% tags=["check"]
checks.decode_slots(decode_slots)

# %% [markdown]
# One product of polynomials is now $n$ products of numbers:

# %%
a, b = encode_slots([1, 2, 3, 4], psi, t), encode_slots([5, -6, 2, 1], psi, t)
product = poly_mod(poly_mul(a, b), t)
print("coefficients", a, "*", b, "=", product)
print("slots       ", decode_slots(product, psi, t), "modulo 17")
checks.require_equal(decode_slots(product, psi, t), poly_mod([5, -12, 6, 4], t))

# %% [markdown]
# ## What the library does
#
# `scheme.encode` gives the same polynomial, for arrays of any shape, and `t` may be a product of several primes, so that slots can hold
# large integers:

# %%
scheme = BFV(INSECURE_TOY)
ring = INSECURE_TOY.plaintext_ring
numbers = list(range(-32, 32))
mine = encode_slots(numbers, ring.transform.psi[0], INSECURE_TOY.t)
library = scheme.encode(numbers)
checks.require_equal(mine, library.element.canonical()[0])
print(f"{INSECURE_TOY.n} slots, numbers up to {INSECURE_TOY.t // 2:,}")

# %% [markdown]
# What does not fit is an error, where other libraries wrap around silently:

# %%
for values in (range(65), [10**6]):
    try:
        scheme.encode(list(values))
    except ValueError as error:
        print(type(error).__name__, "-", error)

# %% [markdown]
# ## Images across ciphertexts
#
# Which numbers belong into one ciphertext? CryptoNets puts **one pixel position of all images** into it: slot $i$ belongs to image $i$.
# Every operation of the network then happens to all images at once, and images never meet. The array of images
# `(B, 8, 8, 1)` becomes an array `(8, 8, 1)` of ciphertexts:

# %%
from nn import load_digits

images = load_digits().test_images[:64].astype(np.int64)
keys = scheme.keygen(bytes(32))
encrypted = scheme.encrypt(np.moveaxis(images, 0, -1), keys.secret)
print(images.shape, "->", encrypted.shape, "with", INSECURE_TOY.n, "slots each")
brighter = scheme.decrypt(3 * encrypted + 1, keys.secret)
assert np.array_equal(np.moveaxis(brighter, -1, 0), 3 * images + 1)

# %% [markdown]
# The other choice, all pixels of one image in one ciphertext, answers a single image faster, but then pixels of one ciphertext
# have to meet, and that takes rotations.
#
# ## Rotating the grid
#
# Replace $x$ by $x^5$ in $m$. The value of $m(x^5)$ at $\psi^g$ is the value of $m$ at $\psi^{5g}$: the next column. The whole row has moved by
# one, and nothing had to be decrypted for it. Coefficient $j$ moves to place $5j$, and $x^n = -1$ decides its sign.
#
# By hand, $n = 4$: $x^2$ goes to $x^{10} = x^{8} \cdot x^2 = x^2$, since $x^8 = (-1)^2 = 1$; and $x$ goes to $x^5 = -x$.
#
# **Exercise 3.** Write $m \mapsto m(x^5)$.


# %% tags=["exercise"]
def rotate(m, t):
    """Return m(x^5) modulo x^n + 1 and modulo t, centred."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def rotate(m, t):
    """Return m(x^5) modulo x^n + 1 and modulo t, centred."""
    n, out = len(m), [0] * len(m)
    for j, coefficient in enumerate(m):
        passes, place = divmod(5 * j, n)
        out[place] += coefficient * (-1) ** passes
    return poly_mod(out, t)


# %% tags=["check"]
checks.rotate(rotate)

# %%
t16, psi16 = 97, textbook.root_of_unity(16, 97)
m = encode_slots(range(16), psi16, t16)
plots.slot_grid(decode_slots(rotate(m, t16), psi16, t16), psi_powers=False)

# %% [markdown]
# *The same slots after one rotation: both rows have moved by one column to the left, and the first column has come
# round to the end.*
#
# ## Rotating what cannot be read
#
# A ciphertext is two polynomials $(c_0, c_1)$ with $c_0 + c_1 s = \frac qt m + e$. Whoever replaces $x$ by $x^5$ in both, without any key, gets
#
# $$c_0(x^5) + c_1(x^5)\, s(x^5) = \tfrac qt\, m(x^5) + e(x^5),$$
#
# the rotated message, and noise that is as small as before. Only, it is encrypted under another key, $s(x^5)$. The client publishes help,
# a **rotation key**, with which the server brings it back under $s$, without learning either (how, [notebook 7](07.ipynb) tells for products). For every number of steps there
# is such a key, so one asks for a few.

# %%
keys = scheme.keygen(bytes(32), rotations="sums")  # by 1, 2, 4, ..., and for exchanging the rows
x = scheme.encrypt(range(64), keys.public)
moved = scheme.rotate(x, 1, keys.rotations)
swapped = scheme.swap_rows(x, keys.rotations)
for ct in (x, moved, swapped):
    first, second = scheme.decrypt(ct, keys.secret).reshape(2, 32)
    print(first[:4], "...", first[-1], "|", second[:4], "...", second[-1])

# %% [markdown]
# And in your polynomials? The library's slots are yours, and so are its rotations:

# %%
psi64, t64 = ring.transform.psi[0], INSECURE_TOY.t
mine = decode_slots(rotate(encode_slots(range(64), psi64, t64), t64), psi64, t64)
checks.require_equal(mine, scheme.decrypt(moved, keys.secret))

# %% [markdown]
# Now numbers of one ciphertext can meet. A ciphertext plus itself rotated by one step has in slot $c$ the sum of $c$ and $c+1$; that, plus itself
# rotated by two steps, sums of four.
#
# By hand, a row of four: $(1, 2, 3, 4) + (2, 3, 4, 1) = (3, 5, 7, 5)$, and $(3, 5, 7, 5) + (7, 5, 3, 5) = (10, 10, 10, 10)$.
#
# **Exercise 4.** Write the sum of a whole row in this way; 32 slots take five rotations. `scheme.rotate(ct, steps, keys)` rotates; a row has `scheme.params.n // 2` slots, and keys
# are there for 1, 2, 4, 8, ...


# %% tags=["exercise"]
def row_sum(scheme, ct, keys):
    """Return a ciphertext that holds, in every slot, the sum of its row."""
    raise checks.Unsolved(4)


# %% tags=["solution"]
def row_sum(scheme, ct, keys):
    """Return a ciphertext that holds, in every slot, the sum of its row."""
    step = 1
    while step < scheme.params.n // 2:
        ct, step = ct + scheme.rotate(ct, step, keys), 2 * step
    return ct


# %% tags=["check"]
checks.row_sum(row_sum)

# %%
weights = np.arange(64) % 3 - 1
dot = row_sum(scheme, x * scheme.encode(weights), keys.rotations)  # an inner product, encrypted
half = np.arange(64) < 32
print(scheme.decrypt(dot, keys.secret)[0], "=", np.sum((np.arange(64) * weights)[half]))
print(f"before {float(x.noise_budget):.1f} bits, after {float(dot.noise_budget):.1f}")
assert scheme.decrypt(dot, keys.secret)[0] == np.sum((np.arange(64) * weights)[half])

# %% [markdown]
# Sums of rows are inner products, and inner products are matrices: [notebook 13](13.ipynb) goes on from here.
#
# ## Three sentences to remember
#
# 1. Modulo a prime $t \equiv 1 \pmod{2n}$ a polynomial is $n$ independent numbers, its values at the odd powers of $\psi$.
# 2. CryptoNets puts one pixel of all images into a ciphertext: the time for one image is the time for 8,192.
# 3. $x \mapsto x^5$ rotates the two rows of slots, of messages and, with a rotation key, of ciphertexts, so that numbers of one ciphertext can meet.
#
# ## Traps
#
# - **Not every $t$ has slots.** $t$ has to be a product of primes $\equiv 1 \pmod{2n}$; $t = 2^{20}$ has none.
# - **Everything is modulo $t$.** A slot that passes $t/2$ comes back at $-t/2$. `nn.planning.plan` proves in advance that no result does.
# - **Names.** What SEAL calls rotating rows other libraries call rotating columns; look at a picture before you trust a word.
#
# **Next:** [6. What happens to the noise?](06.ipynb)
