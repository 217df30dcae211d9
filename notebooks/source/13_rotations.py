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
# # Can slots multiply a matrix?
#
# | | |
# |---|---|
# | **You will be able to** | multiply an encrypted vector by a matrix inside of one ciphertext, count its rotations, and say when one image at a time pays |
# | **Read before** | [5. How do 8,192 images fit into one ciphertext?](05.ipynb), [7. How do you multiply ciphertexts?](07.ipynb); [10. How does a server classify 8,192 images that it cannot see?](10.ipynb) for the comparison at the end |
# | **Time** | 90 minutes |
# | **In the papers** | Halevi and Shoup (ePrint 2014/106), section 4, for diagonals, and (ePrint 2018/244) for baby and giant steps; Juvekar, Vaikuntanathan and Chandrakasan, *GAZELLE* (ePrint 2018/073) |
#
# CryptoNets puts thousands of images into the slots, one pixel into each ciphertext, and images never meet. Somebody who has a *single* image pays as
# much as for thousands. The other way round, all pixels of one image into the slots of one ciphertext, a layer of the network is a matrix
# times a vector, whose entries must meet; and they meet by rotation.

# %%
import time

import numpy as np

from nn import (
    decrypt_logits,
    encrypt_images,
    infer,
    load_digits,
    make_plan,
    pretrained,
    quantize_pixels,
)
from nn.inference.replies import reply_of
from nn.inference.split import join
from yashe import BFV, BGV, checks, make_params
from yashe.circuits.matrices import SlotMatrix
from yashe.circuits.rehearsal import rehearse
from yashe.parameters.sets import INSECURE_TOY

# %% [markdown]
# ## Row by row
#
# The definition: entry $i$ of $M x$ is the inner product of row $i$ with $x$. An inner product in slots is a product and a row sum (exercise 4 of
# notebook 5), so $d$ rows cost $d$ row sums of $\log_2 d$ rotations each, and the results still have to be collected into one ciphertext: each
# of them stands in all slots, and another product keeps one.

# %%
scheme = BFV(INSECURE_TOY)
keys = scheme.keygen(bytes(32), rotations="all")  # what has no key is composed of powers of two
M = np.array([[1, 2, 3, 4], [0, 1, 0, -1], [5, 0, 0, 0], [1, 1, 1, 1]])
vector = np.array([1, 2, 3, 4])
x = scheme.encrypt(np.tile(vector, 16), keys.public)  # with period 4, through both rows
row_by_row = None
for i, row in enumerate(M):
    inner = scheme.sum_slots(x * scheme.encode(np.tile(row, 16)), keys.rotations, width=4)
    only_i = inner * scheme.encode((np.arange(64) % 4 == i).astype(int))
    row_by_row = only_i if row_by_row is None else row_by_row + only_i
print(scheme.decrypt(row_by_row, keys.secret)[:8], "=", M @ vector)
print("rotations:", 4 * 2, f" budget left: {float(row_by_row.noise_budget):.0f} bits")

# %% [markdown]
# ## Diagonal by diagonal
#
# Rotations move *all* slots, and a sum that is needed in one slot only wastes the others. So sort the products $M_{ij} x_j$ otherwise: by how far
# $x_j$ has to move to get to slot $i$, that is by $k = j - i$. Everything that moves by $k$ steps moves in one rotation:
#
# $$M x = \sum_{k=0}^{d-1} \mathrm{diag}_k \odot \mathrm{rot}(x, k), \qquad \mathrm{diag}_k[i] = M_{i,\,(i + k) \bmod d},$$
#
# where $\odot$ is the product slot by slot. $d$ products, $d - 1$ rotations, and the result stands where the next layer wants it.
#
# By hand, $M = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$, $x = (5, 6)$: $\mathrm{diag}_0 = (1, 4)$ and $\mathrm{diag}_1 = (2, 3)$, so
# $(1, 4) \odot (5, 6) + (2, 3) \odot (6, 5) = (5, 24) + (12, 15) = (17, 39)$.
#
# **Exercise 1.** Cut a square matrix, a list of rows, into its diagonals.


# %% tags=["exercise"]
def diagonals(M):
    """Return the list of diag_k for k = 0 .. d-1, each a list of d numbers."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def diagonals(M):
    """Return the list of diag_k for k = 0 .. d-1, each a list of d numbers."""
    d = len(M)
    return [[M[i][(i + k) % d] for i in range(d)] for k in range(d)]


# %% tags=["check"]
checks.diagonals(diagonals)

# %% [markdown]
# **Exercise 2.** Multiply. The ciphertext holds $x$ again and again, with period $d$, through both rows, and so shall the result. Encode each diagonal in
# the same way: `scheme.encode(numbers)` takes all `scheme.params.n` of them. Leave out a diagonal of zeros: the library refuses a product with it, which would hide nothing. Why must $x$ be repeated at all? Think of what comes in from the right when a row is rotated.


# %% tags=["exercise"]
def matrix_times(scheme, M, ct, keys):
    """Return an encryption of M x, where ct holds x with period d = len(M), a power of two."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def matrix_times(scheme, M, ct, keys):
    """Return an encryption of M x, where ct holds x with period d = len(M), a power of two."""
    total = None
    for k, diagonal in enumerate(diagonals(M)):
        if any(diagonal):  # a product with zeros only is refused: it would hide nothing
            weights = scheme.encode(diagonal * (scheme.params.n // len(M)))
            term = scheme.rotate(ct, k, keys) * weights
            total = term if total is None else total + term
    return total


# %% tags=["check"]
checks.matrix_times(matrix_times)

# %%
y = matrix_times(scheme, M.tolist(), x, keys.rotations)
assert scheme.decrypt(y, keys.secret)[:4].tolist() == (M @ vector).tolist()
z = matrix_times(scheme, M.tolist(), y, keys.rotations)  # the result is a vector like the first
assert scheme.decrypt(z, keys.secret)[:4].tolist() == (M @ M @ vector).tolist()
print(scheme.decrypt(z, keys.secret)[:4], f" budget left: {float(z.noise_budget):.0f} bits")

# %% [markdown]
# ## Baby steps and giant steps
#
# A rotation costs as much as a relinearisation: digits, transforms, products with a key. $d - 1$ of them are many. But a rotation of a *plaintext*
# costs nothing, and rotations can be shared. Write $k = B j + i$ with $i < B$, and rotate by $B j$ last:
#
# $$M x = \sum_j \mathrm{rot}\Bigl(\sum_{i < B} \mathrm{rot}(\mathrm{diag}_{Bj + i}, -B j) \odot \mathrm{rot}(x, i),\; B j\Bigr).$$
#
# The *baby steps* $\mathrm{rot}(x, i)$ are the same for all $j$ and are made once; each *giant step* rotates a sum.
#
# By hand, $d = 4$, $B = 2$: one baby step ($i = 1$) and one giant step ($j = 1$) instead of three rotations.
#
# **Exercise 3.** How many rotations are there, for $d$ diagonals and $B$ baby steps ($B$ divides $d$)? A rotation by 0 steps is none.


# %% tags=["exercise"]
def rotations_needed(d, baby):
    """Return how many rotations M x takes."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def rotations_needed(d, baby):
    """Return how many rotations M x takes."""
    return (baby - 1) + (d // baby - 1)


# %% tags=["check"]
checks.rotations_needed(rotations_needed)

# %%
for d in (16, 64, 256, 1024):
    counts = {2**b: rotations_needed(d, 2**b) for b in range(d.bit_length())}
    best = min(counts, key=counts.get)
    print(f"{d:>5} diagonals: {d - 1:>5} rotations one by one, {counts[best]:>3} with B = {best}")

# %% [markdown]
# About $2\sqrt d$. There is more: all baby steps rotate the *same* ciphertext, so its digits are cut and transformed once (*hoisting*). And a matrix with
# few rows has few diagonals: its blocks are added up at the end.
#
# ## What the library does
#
# All of that. `SlotMatrix` cuts and encodes a matrix once and says which rotation keys it wants; a *rehearsal* says what a circuit takes before
# anybody's data are there. A dense layer with 64 inputs and 32 outputs, with secure parameters:

# %%
scheme = BGV(make_params("example", n=4096, t_at_least=2**16))
rng = np.random.default_rng(13)
weights, pixels = rng.integers(-3, 4, (32, 64)), rng.integers(0, 5, 64)
layer = SlotMatrix(scheme, weights)
keys = scheme.keygen(rotations=layer.rotations)
x = scheme.encrypt(layer.spread(pixels), keys.secret)
start = time.perf_counter()
y = layer(x, keys.rotations)
print(layer, f"\n{time.perf_counter() - start:.2f} s")
assert scheme.decrypt(y, keys.secret)[:32].tolist() == (weights @ pixels).tolist()

# %%
print(rehearse(scheme, lambda ct, keys: layer(ct, keys.rotations), layer.rotations))

# %% [markdown]
# ## One image, or thousands
#
# | | one pixel of all images in a ciphertext (notebook 10) | one image in a ciphertext |
# |---|---|---|
# | ciphertexts to send, 64 pixels | 64, for 1 to $n$ images | 1 for each image |
# | a dense layer, 64 to 32 | $64 \cdot 32$ products with integers, no rotation | 32 products with plaintexts, and 11 rotations |
# | squares | one for each unit | **one** |
# | keys | relinearisation | relinearisation and a key for each rotation |
#
# Squares become cheap, since all units of a layer stand in one ciphertext; sums become expensive, since they need rotations. With thousands of images at
# once nothing beats the first column. With one image the second is faster by far, and its messages are smaller.
#
# The library compiles a network either way. In mode "single" the client sends *taps*, shifted copies of the image, so that a convolution needs no rotation at all;
# and where you would expect one large $t$, there are two runs with a smaller one each, since a square costs $2 \log_2 t$ bits (docs/single.md tells it all):

# %%
model, digits = pretrained("digits"), load_digits()
pixels = quantize_pixels(digits.test_images[:1], digits.pixel_max, model.info.levels)
plan, batch_plan = make_plan(model, mode="single"), make_plan(model)
print(plan)
for name, found in (("single", plan), ("batch", batch_plan)):
    sent = {what: sum(run.bytes[what] for run in found.runs) / 2**20 for what in plan.bytes}
    print(f"{name:<8}", ", ".join(f"{what} {size:.1f} MiB" for what, size in sent.items()))

# %%
parts = []
for run in plan.runs:
    scheme = BGV(run.params)
    keys = scheme.keygen()
    ct = encrypt_images(scheme, run, pixels, keys.secret)
    start = time.perf_counter()
    reply = reply_of(scheme, infer(scheme, run, ct, run.server_keys(keys)))
    print(f"{time.perf_counter() - start:.2f} s for one image modulo t = {run.params.t}")
    parts.append(decrypt_logits(scheme, reply, keys.secret, 1, run))
logits = join(parts, [run.params.t for run in plan.runs])
assert np.array_equal(logits, model.forward(pixels))
print("logits", logits[0], " digit", logits.argmax(), " label", digits.test_labels[0])

# %% [markdown]
# ## Three sentences to remember
#
# 1. A matrix times a vector in slots is a sum over diagonals: rotate the vector, multiply slot by slot.
# 2. Baby steps and giant steps need about $2\sqrt d$ rotations for $d$ diagonals, because plaintexts are rotated for nothing.
# 3. How numbers are laid out in slots decides what is cheap: sums across ciphertexts are free of rotations, sums within one are not.
#
# ## Traps
#
# - **A vector that is not repeated.** What comes in from the right is then a zero, or the other row's business: the first slots are right by accident, or not at all.
# - **Which way?** Left here means that slot $c$ gets what was in slot $c + 1$. A wrong direction is the product with another matrix, without an error.
# - **A key for everything.** Each rotation key is as large as a relinearisation key. Ask for those that are used; `rotate` composes others out of powers of two.
#
# **Next:** the page *Slots that move* of the documentation has more: polynomials, and larger digits; *One image at once* has the network.
