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
# # Can you write your own?
#
# | | |
# |---|---|
# | **You will be able to** | say that you have written a homomorphic encryption scheme, and that a neural network runs on it |
# | **Read before** | [3](03.ipynb), [4](04.ipynb), [6](06.ipynb), [7](07.ipynb); [9](09.ipynb) for the network |
# | **Time** | 4 to 8 hours: the final project |
# | **In the papers** | Fan, Vercauteren (ePrint 2012/144), sections 3 and 4; Claessen, Hughes, *QuickCheck* (ICFP 2000), for grading by properties |
#
# Six parts, each stands on the one before: a transform, a ring, encryption, sums, products, a layer of a network. At the end your code, and none of the
# library's, classifies an encrypted digit.
#
# You are not graded by examples, which one could learn by heart, but by **laws**: sentences that every right implementation
# keeps, such as "decryption carries products". A search tries to break them, and shows the smallest input with which it succeeds.
# Some laws are about secrecy: a scheme that adds fine and hides nothing does not pass.

# %%
import time

import numpy as np

from nn import pictures as nn_plots
from nn import Flatten, Square, load_digits, pretrained, quantize_pixels
from nn.networks.layers import Linear
from nn.planning.plan import ranges
from yashe import checks
from yashe.arithmetic.primes import ntt_primes
from yashe.checks.exercises.notebook_12_project import Measured
from yashe.pictures import plots
from yashe.textbook import polynomials as textbook
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
# ## Part 1: a transform
#
# An object that knows a degree $n$ (a power of two) and a prime $p \equiv 1 \pmod{2n}$, finds $\psi$ with $\psi^n = -1$ (`self.psi`), and has two methods on lists
# of integers: `ntt(a)` returns $a(\psi), a(\psi^3), a(\psi^5), \dots$ and `intt(values)` undoes it. Residues may be any representatives.
#
# **Exercise 1.** Write it, with butterflies, please.
#
# By hand, $n = 4$, $p = 17$, $\psi = 2$: $1 + 2x + 3x^2 + 4x^3$ has the values $49 = -2$ at $2$, and $-4, -6, -1$ at $8, -2, -8$.

# %%
textbook.ntt([1, 2, 3, 4], 2, 17), textbook.intt([-2, -4, -6, -1], 2, 17)


# %% tags=["exercise"]
class MyNtt:
    """A number-theoretic transform of degree n modulo p."""

    def __init__(self, n, p):
        self.n, self.p = n, p
        raise checks.Unsolved(1)  # find self.psi

    def ntt(self, a):
        """Return a(psi^(2k+1)) for k = 0 .. n-1."""
        raise checks.Unsolved(1)

    def intt(self, values):
        """Return the polynomial with these values."""
        raise checks.Unsolved(1)


# %% tags=["solution"]
class MyNtt:
    """A number-theoretic transform of degree n modulo p."""

    def __init__(self, n, p):
        self.n, self.p = n, p
        candidates = (pow(g, (p - 1) // (2 * n), p) for g in range(2, p))
        self.psi = next(psi for psi in candidates if pow(psi, n, p) == p - 1)
        self.powers = [pow(self.psi, k, p) for k in range(2 * n)]

    def ntt(self, a):
        """Return a(psi^(2k+1)) for k = 0 .. n-1."""
        return self.butterflies(list(a), 1)

    def butterflies(self, a, stride):
        """Return the values of a at the odd powers of psi^stride."""
        if len(a) == 1:
            return a
        even, odd = self.butterflies(a[0::2], 2 * stride), self.butterflies(a[1::2], 2 * stride)
        twisted = [self.powers[(2 * k + 1) * stride] * y % self.p for k, y in enumerate(odd)]
        pairs = list(zip(even, twisted))
        return [(x + y) % self.p for x, y in pairs] + [(x - y) % self.p for x, y in pairs]

    def intt(self, values):
        """Return the polynomial with these values."""
        return self.undo(list(values), 1)

    def undo(self, values, stride):
        """Undo `butterflies`, without the divisions by 2: they are all done at the top."""
        n = len(values)
        if n == 1:
            return values
        low, high = values[: n // 2], values[n // 2 :]
        even = [x + y for x, y in zip(low, high)]
        odd = [
            (x - y) * self.powers[-(2 * k + 1) * stride % (2 * self.n)]
            for k, (x, y) in enumerate(zip(low, high))
        ]
        out = [0] * n
        out[0::2], out[1::2] = self.undo(even, 2 * stride), self.undo(odd, 2 * stride)
        if stride > 1:
            return [x % self.p for x in out]
        scale = pow(self.n, -1, self.p)
        return [x * scale % self.p for x in out]


# %% tags=["check"]
checks.MyNtt(MyNtt)

# %% [markdown]
# ## Part 2: a ring
#
# $R_q = \mathbb{Z}_q[x]/(x^n+1)$ for a $q$ that is a product of several primes. Multiply modulo each prime with your transform, then join the
# residues by the Chinese remainder theorem (notebook 4).
#
# By hand: 2 modulo 5 and $-2$ modulo 7 is 12 modulo 35.
#
# **Exercise 2.** Write it.


# %% tags=["exercise"]
class MyRing:
    """Z_q[x]/(x^n + 1), q the product of primes = 1 (mod 2n)."""

    def __init__(self, n, moduli):
        self.n, self.moduli = n, moduli
        raise checks.Unsolved(2)  # self.q is the product

    def add(self, a, b):
        """Return a + b."""
        raise checks.Unsolved(2)

    def negate(self, a):
        """Return -a."""
        raise checks.Unsolved(2)

    def multiply(self, a, b):
        """Return a * b, with one transform for each prime."""
        raise checks.Unsolved(2)


# %% tags=["solution"]
class MyRing:
    """Z_q[x]/(x^n + 1), q the product of primes = 1 (mod 2n)."""

    def __init__(self, n, moduli):
        self.n, self.moduli, self.q = n, moduli, 1
        for p in moduli:
            self.q *= p
        self.transforms = [MyNtt(n, p) for p in moduli]
        self.ones = [self.q // p * pow(self.q // p, -1, p) for p in moduli]

    def add(self, a, b):
        """Return a + b."""
        return [centred(x + y, self.q) for x, y in zip(a, b)]

    def negate(self, a):
        """Return -a."""
        return [centred(-x, self.q) for x in a]

    def multiply(self, a, b):
        """Return a * b, with one transform for each prime."""
        rows = []
        for p, transform in zip(self.moduli, self.transforms):
            x, y = transform.ntt([c % p for c in a]), transform.ntt([c % p for c in b])
            rows.append(transform.intt([u * v % p for u, v in zip(x, y)]))
        columns = zip(*rows)
        return [
            centred(sum(r * one for r, one in zip(column, self.ones)), self.q) for column in columns
        ]


# %% tags=["check"]
checks.MyRing(MyRing)

# %% [markdown]
# ## Part 3: encryption
#
# BFV on polynomials: a message is a list of $n$ integers in $(-\frac{t}{2}, \frac{t}{2}]$, and products of messages are negacyclic. The scheme grows in
# three steps, each a class that stands on the one before. First what notebook 2 has shown: keys, encryption with the public key, decryption.
# With the public key $(b, a)$, $b = -(a s + e)$,
#
# $$c_0 = b u + e_0 + \mathrm{round}\bigl(\tfrac{q}{t} m\bigr), \qquad c_1 = a u + e_1 .$$
#
# By hand, $q = 97$, $t = 5$: $m = 2$ becomes $\mathrm{round}(38.8) = 39$, and $m = -1$ becomes $-19$.
#
# What `keygen` returns and what a ciphertext is, is up to you; operations return new objects. Samples come from
# `textbook.ternary(seed, label, n)`, `textbook.gaussian(seed, label, n)` and `textbook.uniform(seed, label, params)`. **A label must never occur
# twice with the same seed for two things that have to be independent.**
#
# The laws want to see the noise. That is written already, in the class `Measured`: it stands on your `phase`, and expects ternary $s$ and $u$ and
# Gaussian errors, as in notebook 6.
#
# **Exercise 3.** Write the class. Decryption undoes it, fresh noise is that of theory, no part shows the message, and nothing that is drawn is drawn twice.


# %% tags=["exercise"]
class MyEncryption(Measured):
    """Encryption of messages in Z_t[x]/(x^n + 1)."""

    def __init__(self, params):
        super().__init__(params)
        self.ring = MyRing(params.n, params.moduli)

    def keygen(self, seed):
        """Return secret and public key, as one object."""
        raise checks.Unsolved(3)

    def encrypt(self, keys, values, seed):
        """Return a ciphertext of a message, made with the public key."""
        raise checks.Unsolved(3)

    def parts(self, ct):
        """Return the ring elements of a ciphertext, as lists of centred integers."""
        raise checks.Unsolved(3)

    def phase(self, keys, ct):
        """Return c_0 + c_1 s (+ c_2 s^2) modulo q."""
        raise checks.Unsolved(3)

    def decrypt(self, keys, ct):
        """Return the message."""
        raise checks.Unsolved(3)


# %% tags=["solution"]
class MyEncryption(Measured):
    """Encryption of messages in Z_t[x]/(x^n + 1)."""

    def __init__(self, params):
        super().__init__(params)
        self.ring = MyRing(params.n, params.moduli)

    def zero(self, s, seed, label):
        """Return (-(a s + e), a): what looks uniform and has the small phase -e."""
        a = textbook.uniform(seed, f"a {label}", self.params)
        e = textbook.gaussian(seed, f"e {label}", self.n)
        return self.ring.negate(self.ring.add(self.ring.multiply(a, s), e)), a

    def scaled(self, values):
        """Return round(q/t m)."""
        return poly_round(values, self.q, self.t)

    def keygen(self, seed):
        """Return secret and public key, as one object."""
        s = textbook.ternary(seed, "s", self.n)
        return s, self.zero(s, seed, "public")

    def encrypt(self, keys, values, seed):
        """Return a ciphertext of a message, made with the public key."""
        b, a = keys[1]
        u = textbook.ternary(seed, "u", self.n)
        e0, e1 = (textbook.gaussian(seed, f"encrypt {i}", self.n) for i in (0, 1))
        c0 = self.ring.add(self.ring.add(self.ring.multiply(b, u), e0), self.scaled(values))
        return [c0, self.ring.add(self.ring.multiply(a, u), e1)]

    def parts(self, ct):
        """Return the ring elements of a ciphertext, as lists of centred integers."""
        return ct

    def phase(self, keys, ct):
        """Return c_0 + c_1 s (+ c_2 s^2) modulo q."""
        value = [0] * self.n
        for part in reversed(ct):
            value = self.ring.add(self.ring.multiply(value, keys[0]), part)
        return value

    def decrypt(self, keys, ct):
        """Return the message."""
        return poly_mod(poly_round(self.phase(keys, ct), self.t, self.q), self.t)


# %% tags=["check"]
checks.MyEncryption(MyEncryption)

# %% [markdown]
# Is the noise what theory says? Not larger, and **not smaller** either: less noise is less secrecy.

# %%
params = Params(n=64, t=257, moduli=ntt_primes(64, 2))
mine = MyEncryption(params)
keys = mine.keygen(b"mine".ljust(32))
errors = []
for i in range(20):
    ct = mine.encrypt(keys, [i] * 64, bytes([i] * 32))
    errors += [round(x * params.q / params.t) for x in mine.noise(keys, ct)]
plots.noise_histogram(errors, mine.fresh_deviation * params.q / params.t, params.q / (2 * params.t))

# %% [markdown]
# *How often each error occurs in fresh ciphertexts of your scheme, beside the Gaussian that theory predicts.*
#
# ## Part 4: sums
#
# Everything that takes no product of two ciphertexts. A phase is linear in the parts, so most of these are one line; only plaintexts need a
# thought: one that is *added* has to be scaled like a message, one that is *multiplied* must not be.
#
# By hand, $q = 97$, $t = 5$: the phase $39$ holds 2. Plus $19$ it is $58$, and holds 3; times 2 it is $78 = -19$, and holds $-1 = 4$.
#
# **Exercise 4.** Write them. The numbers of parts of two ciphertexts may differ: products come with three.


# %% tags=["exercise"]
class MySums(MyEncryption):
    """Sums, differences, and what integers and plaintexts do to ciphertexts."""

    def add(self, x, y):
        """Return a ciphertext of the sum; the numbers of parts may differ."""
        raise checks.Unsolved(4)

    def negate(self, x):
        """Return a ciphertext of the negative."""
        raise checks.Unsolved(4)

    def subtract(self, x, y):
        """Return a ciphertext of the difference."""
        raise checks.Unsolved(4)

    def multiply_scalar(self, x, c):
        """Return a ciphertext of c times the message, for an integer c."""
        raise checks.Unsolved(4)

    def add_plain(self, x, values):
        """Return a ciphertext of the message plus values."""
        raise checks.Unsolved(4)

    def multiply_plain(self, x, values):
        """Return a ciphertext of the message times the polynomial values."""
        raise checks.Unsolved(4)


# %% tags=["solution"]
class MySums(MyEncryption):
    """Sums, differences, and what integers and plaintexts do to ciphertexts."""

    def add(self, x, y):
        """Return a ciphertext of the sum; the numbers of parts may differ."""
        short, long = sorted((x, y), key=len)
        both = [self.ring.add(a, b) for a, b in zip(short, long)]
        return both + long[len(short) :]

    def negate(self, x):
        """Return a ciphertext of the negative."""
        return [self.ring.negate(part) for part in x]

    def subtract(self, x, y):
        """Return a ciphertext of the difference."""
        return self.add(x, self.negate(y))

    def multiply_scalar(self, x, c):
        """Return a ciphertext of c times the message, for an integer c."""
        return [poly_mod(poly_scale(part, c), self.q) for part in x]

    def add_plain(self, x, values):
        """Return a ciphertext of the message plus values."""
        return [self.ring.add(x[0], self.scaled(values)), *x[1:]]

    def multiply_plain(self, x, values):
        """Return a ciphertext of the message times the polynomial values."""
        return [self.ring.multiply(part, values) for part in x]


# %% tags=["check"]
checks.MySums(MySums)

# %% [markdown]
# ## Part 5: products
#
# Notebook 7 in one class: the product over the integers, scaled by $\frac tq$ and rounded, in three parts; and back to two with a key. Now `keygen` has more to
# return. With the residues as digits (notebook 7), the key holds encryptions of $g_i s^2$, where `textbook.rns_gadget(moduli)` gives the $g_i$.
#
# By hand, $q = 97$, $t = 5$: phases $39$ and $-19$ hold 2 and $-1$. Their product is $-741$; times $\frac{5}{97}$ it is $-38.2$, and $-38$ holds $-2$.
#
# **Exercise 5.** Write them.


# %% tags=["exercise"]
class MyBFV(MySums):
    """BFV, with products."""

    def keygen(self, seed):
        """Return secret, public and relinearisation key, as one object."""
        raise checks.Unsolved(5)

    def multiply(self, x, y):
        """Return a ciphertext of the product, in three parts."""
        raise checks.Unsolved(5)

    def relinearize(self, keys, x):
        """Return a ciphertext of two parts for the message of a product."""
        raise checks.Unsolved(5)


# %% tags=["solution"]
class MyBFV(MySums):
    """BFV, with products."""

    def keygen(self, seed):
        """Return secret, public and relinearisation key, as one object."""
        s, public = super().keygen(seed)
        s_squared, help = self.ring.multiply(s, s), []
        for i, g in enumerate(textbook.rns_gadget(self.params.moduli)):
            b, a = self.zero(s, seed, f"help {i}")
            help.append((self.ring.add(b, poly_scale(s_squared, g)), a))
        return s, public, help

    def multiply(self, x, y):
        """Return a ciphertext of the product, in three parts."""
        (a, b), (c, d) = x, y
        tensor = poly_mul(a, c), poly_add(poly_mul(a, d), poly_mul(b, c)), poly_mul(b, d)
        return [poly_mod(poly_round(part, self.t, self.q), self.q) for part in tensor]

    def relinearize(self, keys, x):
        """Return a ciphertext of two parts for the message of a product."""
        c0, c1, c2 = x
        for p, (b, a) in zip(self.params.moduli, keys[2]):
            digit = poly_mod(c2, p)
            c0 = self.ring.add(c0, self.ring.multiply(digit, b))
            c1 = self.ring.add(c1, self.ring.multiply(digit, a))
        return [c0, c1]


# %% tags=["check"]
checks.MyBFV(MyBFV)

# %% [markdown]
# ## Part 6: a layer
#
# A linear layer on ciphertexts: output $j$ is $\sum_k w_{kj}\, x_k + b_j$. The bias is added to the constant coefficient. A weight of zero costs
# nothing: leave it out.
#
# **Exercise 6.** Write it, with the verbs of your scheme: `scheme.multiply_scalar`, `scheme.add`, `scheme.add_plain`, and `scheme.n`.


# %% tags=["exercise"]
def linear_layer(scheme, x, w, b):
    """Return ciphertexts of x @ w + b; x: list of K ciphertexts, w: K lists of M, b: list of M."""
    raise checks.Unsolved(6)


# %% tags=["solution"]
def linear_layer(scheme, x, w, b):
    """Return ciphertexts of x @ w + b; x: list of K ciphertexts, w: K lists of M, b: list of M."""
    out = []
    for j, bias in enumerate(b):
        terms = [scheme.multiply_scalar(ct, row[j]) for ct, row in zip(x, w) if row[j]]
        total = terms[0]
        for term in terms[1:]:
            total = scheme.add(total, term)
        out.append(scheme.add_plain(total, [bias] + [0] * (scheme.n - 1)))
    return out


# %% tags=["check"]
checks.linear_layer(linear_layer)

# %% [markdown]
# ## Everything together
#
# The network for 8 x 8 digits that comes with the package: a convolution, 144 squares, a dense layer, 32 squares, a dense layer. The
# parameters are a toy ($n = 16$, no security at all), but the modulus is as large as the network needs.

# %%
model = pretrained("digits")
t = ranges(model, model.info.levels)[-1].smallest_t
params = Params(n=16, t=t, moduli=ntt_primes(16, 9))
data = load_digits()
pixels = quantize_pixels(data.test_images[:1], data.pixel_max, model.info.levels)
print(f"log2 t = {t.bit_length()}, log2 q = {params.q.bit_length()}")
nn_plots.digits(pixels, data.test_labels[:1])

# %% [markdown]
# *The digit that will be encrypted, pixel by pixel.*

# %%
mine = MyBFV(params)
keys = mine.keygen(b"mine".ljust(32))


def encrypted_pixel(i, value):
    """Return a ciphertext of one pixel, with randomness of its own."""
    return mine.encrypt(keys, [int(value)] + [0] * 15, (b"pixel %d" % i).ljust(32))


def budget(ct):
    """Return the noise budget in bits."""
    return textbook.budget_of(params, mine.phase(keys, ct))


# %%
def linear(layer, x):
    """Apply a layer block by block: positions of an image that share their weights."""
    out = [None] * int(np.prod(layer.output_shape))
    for block in layer.blocks():
        w, b = block.weight.tolist(), block.bias.tolist()
        for inputs, outputs in zip(block.inputs, block.outputs):
            results = linear_layer(mine, [x[i] for i in inputs], w, b)
            for j, ct in zip(outputs, results):
                out[j] = ct
    return out


# %%
start = time.perf_counter()
x = [encrypted_pixel(i, value) for i, value in enumerate(pixels.ravel())]
for layer in model.layers:
    if isinstance(layer, Linear):
        x = linear(layer, x)
    elif isinstance(layer, Square):  # relinearise late: right before the next square
        x = [mine.relinearize(keys, ct) if len(ct) == 3 else ct for ct in x]
        x = [mine.multiply(ct, ct) for ct in x]
    assert isinstance(layer, (Linear, Square, Flatten))
    print(f"{type(layer).__name__:<8}{len(x):>5} ciphertexts, {budget(x[0]):6.1f} bits left")
print(f"{time.perf_counter() - start:.1f} s")

# %%
logits = [mine.decrypt(keys, ct)[0] for ct in x]
assert logits == model.forward(pixels)[0].tolist()
print("logits:", logits)
print("your scheme says:", int(np.argmax(logits)), " the label is:", int(data.test_labels[0]))

# %% [markdown]
# Every logit agrees with the network in the clear. The rest is speed: the same mathematics with $n = 8192$ slots in matrix products, in
# `yashe/schemes/rlwe.py`, `yashe/schemes/scale_invariant.py` and `yashe/schemes/bfv.py`, which you can read now; and then `yashe/schemes/bgv.py`, which is faster still.
#
# ## Three sentences to remember
#
# 1. A scheme is a ring, a way to hide, and laws that connect what happens inside with what happens outside.
# 2. Laws find what examples miss, and secrecy needs laws of its own, because broken secrecy decrypts perfectly.
# 3. A neural network needs nothing from a scheme but sums, products with integers, and squares.
#
# ## Traps
#
# - **A transform that changes its argument** makes every comparison of a list with itself succeed. There is a law against it.
# - **Randomness that repeats**: the same label with the same seed in two places, or a fixed seed in `encrypt`.
# - **Toys are toys.** What you have written is right, and at $n = 16$ everybody can read it (notebook 11, exercise 1).
#
# **Where to go from here:** run the laws with more examples, `laws.check(MyNtt(256, 7681), examples=1000)`; write slots
# (notebook 5) for your scheme; or read `docs/architecture.md` and change the engine.
