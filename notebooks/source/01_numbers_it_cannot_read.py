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
# # What can a server do with numbers it cannot read?
#
# | | |
# |---|---|
# | **You will be able to** | say who holds which key, run a neural network on encrypted digits, and say what it costs |
# | **Read before** | nothing; a little Python and NumPy |
# | **Time** | 45 minutes |
# | **In the papers** | Gilad-Bachrach and others, *CryptoNets* (2016) |
#
# A hospital has images, a company has a neural network that reads them. The hospital may not show its images, the
# company does not want to give its network away. *Homomorphic encryption* settles it: the hospital encrypts, the company
# computes on what it cannot read, and the hospital decrypts an answer that nobody else has seen. CryptoNets was the
# first neural network to work like this. Here it is in ten cells. (Whoever would rather see all of it at once, from primes to
# decrypted digits, reads one page of code: `nn/tiny.py`.)

# %%
import time

import numpy as np

from nn import (
    decrypt_logits,
    encrypt_images,
    infer,
    load_digits,
    make_plan,
    pictures,
    pretrained,
    quantize_pixels,
)
from yashe import BGV, checks, wire, workers

# %% [markdown]
# ## The client: images and keys
#
# 450 digits of 8 x 8 pixels. Encrypted numbers are integers, so pixels are rounded to a few grey levels.

# %%
data, network = load_digits(), pretrained("digits")
images = quantize_pixels(data.test_images, data.pixel_max, network.info.levels)
pictures.digits(images[:16], data.test_labels[:16])

# %% [markdown]
# *Sixteen of the digits, 8 x 8 pixels in a few shades of grey, with their labels.*
#
# The parameters decide what can be computed and how hard it is to break. `make_plan` proves, before anything is encrypted,
# that this network can run with them; [notebook 6](06.ipynb) and [notebook 11](11.ipynb) say how. The scheme is called BGV; [notebook 7b](07b.ipynb) builds it.
# For now it is enough to know three letters. What is encrypted are integers modulo $t$. A ciphertext is two polynomials, each with $n$ coefficients,
# which are integers modulo a much larger $q$.

# %%
params = make_plan(network).params
scheme = BGV(params)
keys = scheme.keygen()
print(params)

# %% [markdown]
# Three keys. `keys.secret` decrypts, and never leaves the client. `keys.public` is for others who are to encrypt but not to read.
# `keys.relinearization` is for the server: a product of two ciphertexts is larger than its factors, and this key makes it small
# again ([notebook 7](07.ipynb)). It reads nothing.
#
# ## The client encrypts
#
# The network does the same with every image. So one ciphertext holds *one pixel position of all images*: 64 ciphertexts
# for 450 digits. The places for numbers in a ciphertext are called **slots**. Slot $i$ belongs to image $i$, and there are 8,192 of them.
#
# The client has the secret key and encrypts with it. It could take the public one, but then the ciphertexts would have more
# noise, and twice as many bytes to send.

# %%
start = time.perf_counter()
with workers():  # on all cores
    encrypted = encrypt_images(scheme, network, images, keys.secret)
print(f"{time.perf_counter() - start:.1f} s")
encrypted

# %% [markdown]
# This is what goes to the server. The same pixel, encrypted twice, gives bytes that have nothing in common, so nobody can
# see which images have equal pixels:

# %%
sent = wire.to_bytes(encrypted[4, 4])
again = wire.to_bytes(scheme.encrypt(images[:, 4, 4, 0], keys.secret))
print(len(sent), "bytes for one pixel of all images, for instance")
print(sent[1000:1016].hex(), "\n" + again[1000:1016].hex())

# %% [markdown]
# ## The server computes
#
# It has the network, the ciphertexts and the relinearisation key. `infer` never sees `keys.secret`: look at its arguments.

# %%
start = time.perf_counter()
with workers():
    reply = infer(scheme, network, encrypted, keys.relinearization)
seconds = time.perf_counter() - start
print(f"{seconds:.1f} s for {len(images)} images; it would take as long for {params.n:,}")
reply

# %% [markdown]
# ## The client decrypts
#
# For each image the network gives ten integers, one for each digit, called *logits*: the largest of them is the answer. Decrypted they are
# the same integers that the network gives in the clear. Not nearly: exactly.

# %%
logits = decrypt_logits(scheme, reply, keys.secret, len(images))
assert (logits == network.forward(images)).all()
predictions = logits.argmax(axis=1)
print(f"{(predictions == data.test_labels).mean():.2%} right, by the label that a person has given")
pictures.both_sides(images[0], encrypted[4, 4], reply[0], logits[0])

# %% [markdown]
# *From left to right: a digit; the ciphertext of one pixel and that of one logit as the server sees them, grey noise both; and
# the ten decrypted logits, the largest of which is the answer.*
#
# ## What is a network made of?
#
# Sums with weights, and squares. No more is needed, and no more is possible: ciphertexts can be added, multiplied by
# integers, and multiplied by each other. CryptoNets therefore has $x^2$ where other networks have $\max(x, 0)$. By
# hand, with the pixels 3 and 5, weights 2 and $-1$ and a square behind them: $(2 \cdot 3 - 5)^2 = 1$.
#
# `encrypt` takes an array whose last axis fills the slots: `[[3], [5]]` becomes two ciphertexts, with one number in each.
# For a second image, with the pixels 4 and 1, it would be `[[3, 4], [5, 1]]`: still two ciphertexts, and two slots of each in use.

# %%
x = scheme.encrypt([[3], [5]], keys.secret)
y = np.array([2, -1]) @ x
print(scheme.decrypt(y * y, keys.secret)[0])

# %% [markdown]
# Now you are the server. `x` is an array of ciphertexts that behaves like a NumPy array; you have no key.
#
# *How exercises work:* replace the line `raise checks.Unsolved(...)`, run the cell, then the one below, which checks your function. A check says how many
# points you have, which input fails and what kind of mistake it looks like, and never the answer. Cells further down may use what you
# have written, so solve exercises in their order: a cell that needs one that is missing says which.
#
# **Exercise 1.** Return an encryption of `weights[0] * x[0] + weights[1] * x[1] + ... + bias`. `x[0]`, `x[1]`, ... are ciphertexts, `weights` is a list
# of integers, `bias` an integer. (The check encrypts with a small toy. Where it tells you its input, you see what is encrypted: a row for each
# ciphertext, a column for each slot.)


# %% tags=["exercise"]
def weighted_sum(x, weights, bias):
    """Return an encryption of the weighted sum of the ciphertexts x[0], x[1], ..., plus bias."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def weighted_sum(x, weights, bias):
    """Return an encryption of the weighted sum of the ciphertexts x[0], x[1], ..., plus bias."""
    return np.array(weights) @ x + bias


# %% tags=["check"]
checks.weighted_sum(weighted_sum)

# %% [markdown]
# **Exercise 2.** Return an encryption of $x^2 - 3x + 2$, slot by slot: a 5 in some slot of $x$ becomes $25 - 15 + 2 = 12$ in the same slot.


# %% tags=["exercise"]
def quadratic(x):
    """Return an encryption of x^2 - 3 x + 2."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def quadratic(x):
    """Return an encryption of x^2 - 3 x + 2."""
    return x * x - 3 * x + 2


# %% tags=["check"]
checks.quadratic(quadratic)

# %% [markdown]
# ## What does it cost?
#
# A ciphertext is two polynomials with $n$ coefficients modulo $q$, that is $2 n \log_2 q$ bits, however many images share it.
#
# **Exercise 3.** How many bytes does an encrypted pixel take *for each image*?


# %% tags=["exercise"]
def expansion(n, log2_q, images):
    """Return the bytes of a ciphertext, divided by the images that share it."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def expansion(n, log2_q, images):
    """Return the bytes of a ciphertext, divided by the images that share it."""
    return 2 * n * log2_q / 8 / images


# %% tags=["check"]
checks.expansion(expansion)

# %% [markdown]
# The library sends ciphertexts fresh from the secret key at half that size: one of the two polynomials is random anyway, and can
# be sent as the 32 bytes from which it was made. That is why there were fewer bytes above than there are in the first line below:

# %%
for count in (1, len(images), params.n):
    print(
        f"{count:>5} images: {expansion(params.n, params.log2_q, count):>10,.1f} bytes for each pixel"
    )

# %% [markdown]
# ## Three sentences to remember
#
# 1. The secret key stays with the client; the server computes with ciphertexts and learns nothing from them.
# 2. Sums and products of integers are all there is, and they are exact.
# 3. One ciphertext holds one pixel of thousands of images, so the cost is high for one image and low for many.
#
# ## Traps
#
# - **Encrypted is not authenticated.** A server can return an encryption of anything; the client cannot tell.
# - **The client must not show what it decrypts** of ciphertexts that somebody else made up: the answers give its key away
#   ([notebook 11](11.ipynb)).
# - **The network is not protected by encryption.** Whoever may ask enough questions can learn a lot about it.
#
# **Next:** [2. Why polynomials?](02.ipynb)
