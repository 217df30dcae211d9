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
# # How does a server classify 8,192 images that it cannot see?
#
# | | |
# |---|---|
# | **You will be able to** | write a layer on ciphertexts, run CryptoNets from pixels to decrypted digits, prove beforehand that the run will be right, and compare it with the paper's |
# | **Read before** | [5. How do 8,192 images fit into one ciphertext?](05.ipynb), [7b. Can you multiply without dividing?](07b.ipynb), [9. Can a network live on $x^2$?](09.ipynb) |
# | **Time** | 90 minutes |
# | **In the paper** | Gilad-Bachrach, Dowlin, Laine, Lauter, Naehrig, Wernsing, *CryptoNets* (ICML 2016), sections 3 and 4 |
#
# Everything comes together here: slots, noise, late relinearisation, integers, the range proof. With MNIST if it is on this computer
# (`cryptonets mnist --download` fetches it), otherwise with the small digits that come with the package.

# %%
import time

import numpy as np

from nn import (
    Square,
    decrypt_logits,
    encrypt_images,
    infer,
    load_digits,
    load_mnist,
    make_plan,
    pictures,
    pretrained,
    quantize_pixels,
)
from nn.data.sets import DataNotFoundError
from nn.inference.encrypted import Report
from yashe import BGV, checks, workers
from yashe.arithmetic.parallel import available_cores
from yashe.ciphertexts import noise
from yashe.errors import DeviceError
from yashe.parameters.paper import PAPER_A, PAPER_B
from yashe.textbook import polynomials as textbook

# %%
try:
    data, model = load_mnist(), pretrained("cryptonets")
except DataNotFoundError:
    data, model = load_digits(), pretrained("digits")
pixels = quantize_pixels(data.test_images, data.pixel_max, model.info.levels)
print(data.name, pixels.shape, "pixels 0 ..", model.info.levels)
pictures.digits(pixels[:8], data.test_labels[:8])

# %% [markdown]
# *The first eight test images, as coarse as the network sees them, with their labels.*
#
# ## The network
#
# A convolution, squares, a dense layer, squares, a dense layer. With MNIST it is the paper's network: $845 + 100$ squares.
# Its weights are small integers. In the clear its hundred thousand products would be a trifle.

# %%
print(model.summary())

# %% [markdown]
# ## One image in each slot
#
# A ciphertext has $n$ slots that are computed with independently. The paper's choice is radical: **slot $i$ belongs to image $i$**, and
# each pixel position gets a ciphertext of its own. So a batch of images becomes as many ciphertexts as an image has
# pixels, whether there are 1 or 8,192 images in it, and the network's code does not notice that there is a batch at all.
#
# By hand, $n = 4$: four images of $2 \times 2$ pixels, image $i$ being $\begin{pmatrix} i0 & i1 \\ i2 & i3 \end{pmatrix}$, become the
# four ciphertexts $(00, 10, 20, 30)$, $(01, 11, 21, 31)$, $(02, 12, 22, 32)$, $(03, 13, 23, 33)$.
#
# **Exercise 1.** Bring an array of images of shape (B, H, W, C) into the shape (H, W, C, B), in which the last axis goes into the slots. An array has
# its numbers in an order, and its axes; which of the two has to change?


# %% tags=["exercise"]
def batch_to_slots(pixels):
    """Return an array of shape (H, W, C, B) with the pixels of an array (B, H, W, C)."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def batch_to_slots(pixels):
    """Return an array of shape (H, W, C, B) with the pixels of an array (B, H, W, C)."""
    return np.moveaxis(pixels, 0, -1)


# %% tags=["check"]
checks.batch_to_slots(batch_to_slots)

# %% [markdown]
# **Guess before you go on.** From the summary above: how many ciphertexts will the client send, how many ciphertexts will be squared, and how
# many relinearised, if relinearisation waits for the sums? Write your numbers down; below you will see what there was.

# %%
guess = {"sent": 0, "squared": 0, "relinearised": 0}  # your numbers

# %% [markdown]
# ## The plan, before
#
# Two things could make the result wrong, silently in the first case: a logit that leaves $(-t/2, t/2)$, and noise that grows beyond
# $q$. Both are excluded by proof before anything is encrypted. The same `forward` of the layers runs once with intervals and once with
# noise forecasts in the place of numbers. What comes out is a **program**: the network compiled to the few steps that a server goes through, each with its
# *level*, the number of primes that are left in $q$, and with the noise budget that is left behind it. Hidden units and their squares
# have no step of their own: they never exist as a whole.

# %%
plan = make_plan(
    model, relinearize=True
)  # as the paper does it; at the end we ask whether that is needed
print(plan.program)

# %% [markdown]
# The plan is the program with everything that is known beside each step:

# %%
print(plan)
plan.params

# %%
pictures.budget(plan)

# %% [markdown]
# *Predicted noise budget behind each layer, in bits, at the worst output: every layer of squares costs more than log2 t bits,
# sums cost a few, and at the end a little is left.*
#
# And what will it cost? Each ciphertext is two polynomials with $n$ coefficients of $\log_2 q$ bits.

# %%
params = plan.params
batch = pixels[: params.n]
ciphertexts = int(np.prod(batch.shape[1:]))
megabytes = ciphertexts * 2 * params.n * params.log2_q / 8 / 1e6
print(f"{len(batch)} images in {ciphertexts} ciphertexts, {megabytes:.0f} MB to send")
print(f"{megabytes * 1000 / len(batch):.0f} kB for each image")
print(f"{megabytes / ciphertexts:.2f} MB for one pixel, be it of one image or of {params.n}")

# %% [markdown]
# (When the client encrypts with the secret key, one of the two polynomials is random and can be sent as a seed of 32 bytes: half of
# that. The file format of `yashe.wire` does so.)
#
# ## Which scheme
#
# The paper ran YASHE', which is broken ([notebook 8](08.ipynb)). Here BGV runs, the default of the library, with the message at the lower end of $q$
# ([notebook 7b](07b.ipynb)). BFV would give the same logits, and `cryptonets mnist --scheme bfv` runs it. The difference is the work of a square: BFV computes it
# modulo $qP$ and divides it by $\frac qt$, back and forth between coefficients and values, 845 times. In BGV it is a product of residues, like everything else between
# two relinearisations. So the convolution, the squares and the sums behind them are done in one go, for a few columns of residues
# at a time, as two matrix products. The price is that phases have to be small before they are squared: between the two layers of squares the server drops primes of $q$.
#
# ## Client: keys and encryption

# %%
scheme = BGV(params)
keys = scheme.keygen()
seconds = {}
with workers(available_cores()):
    start = time.perf_counter()
    encrypted = encrypt_images(scheme, model, batch, keys.secret)
    seconds["encrypt"] = time.perf_counter() - start
slots = scheme.decrypt(encrypted[4, 4, 0], keys.secret)[: len(batch)]
assert slots.tolist() == batch_to_slots(batch)[4, 4, 0].tolist()
encrypted

# %% [markdown]
# ## Server: the first layer, by hand
#
# What does a server do with this? The first layer is a convolution: a small window of weights $w$ wanders over the image in steps of `stride`,
#
# $$y_{ij} = \sum_{a, b} w_{ab}\; x_{\,s i + a,\; s j + b},$$
#
# and where it would stand out over the edge, it is not put. Nothing in this formula asks what $x_{ij}$ *is*. It may be a pixel, or a ciphertext that holds
# one pixel of thousands of images.
#
# By hand, with stride 1: $w = \begin{pmatrix} 1 & -1 \end{pmatrix}$ on the row $(5, 3, 3, 0)$ gives $(2, 0, 3)$; with stride 2, $(2, 3)$.
#
# **Exercise 2.** Write it for everything that can be multiplied by integers and added: `x` is an array (H, W), `x[i, j]` a number or a ciphertext,
# `w` an array of integers. Return a list of rows. The library refuses a product with a zero weight, because its result would hide nothing: leave such terms out.


# %% tags=["exercise"]
def convolution(x, w, stride):
    """Return the rows of sums of w[a, b] x[stride i + a, stride j + b], without an edge."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def convolution(x, w, stride):
    """Return the rows of sums of w[a, b] x[stride i + a, stride j + b], without an edge."""
    (height, width), (rows, columns) = x.shape, w.shape

    def window(i, j):
        total = None
        for a, b in np.argwhere(w):
            term = x[i + a, j + b] * int(w[a, b])
            total = term if total is None else total + term
        return total

    tops, lefts = range(0, height - rows + 1, stride), range(0, width - columns + 1, stride)
    return [[window(i, j) for j in lefts] for i in tops]


# %% tags=["check"]
checks.convolution(convolution)

# %% [markdown]
# Now on the encrypted images: the corner in the upper left, with the weights of the network's first map. No key is used until the result
# is compared with what the layer gives in the clear.

# %%
first = model.layers[0]
kernel, corner = first.kernel, first.kernel + first.stride
w = first.parameters["weight"][:, 0].reshape(kernel, kernel)
mine = convolution(encrypted[:corner, :corner, 0], w, first.stride)
units = scheme.decrypt(mine[1][1], keys.secret)[: len(batch)] + first.parameters["bias"][0]
assert np.array_equal(units, first.forward(batch)[:, 1, 1, 0])
print("unit (1, 1) of the first map, for the first images:", units[:8])

# %% [markdown]
# That is a layer of CryptoNets. What is left is squares, relinearisation and the same once more. The library does not go window by window: it writes
# all of them as one product of matrices, and squares the sums while they are at hand.
#
# ## Server: the network, without a key
#
# `infer` gets ciphertexts and the public relinearisation key. The trace around it is ours: it has the secret key, and measures
# what the server can only predict. `infer` does what the plan's program says, step by step:

# %%
report = Report()
with workers(available_cores()), noise.trace(keys.secret, sample=1) as trace:
    start = time.perf_counter()
    reply = infer(scheme, plan, encrypted, keys.relinearization, report)
    seconds["infer"] = time.perf_counter() - start
for step in report.steps:
    print(f"{step.what:<36}{step.ciphertexts:>5} ciphertexts {step.seconds:>7.2f} s")

# %%
there_were = {
    "sent": encrypted.size,
    "squared": sum(int(np.prod(x.output_shape)) for x in model.layers if isinstance(x, Square)),
    "relinearised": sum(s.ciphertexts for s in report.steps if "relinearise" in s.what),
}
for what, count in there_were.items():
    print(f"{what:<13} your guess {guess[what]:>5}, there were {count:>5}")

# %% [markdown]
# ## Client: decryption

# %%
start = time.perf_counter()
logits = decrypt_logits(scheme, reply, keys.secret, len(batch))
seconds["decrypt"] = time.perf_counter() - start
said, labels = logits.argmax(axis=1), data.test_labels[: len(batch)]
print(f"{np.mean(said == labels):.2%} of {len(batch)} images are recognised")

# %% [markdown]
# **The test that counts.** Not the accuracy: *every logit of every image* is the same as in the clear.

# %%
in_the_clear = model.forward(batch)
assert np.array_equal(logits, in_the_clear)
print(f"{logits.size:,} logits agree; the first image:", logits[0])

# %%
pictures.confusion(labels, said)

# %% [markdown]
# *How often each digit (row) is taken for which (column).*

# %%
pictures.misclassified(batch, labels, said)

# %% [markdown]
# *Images that the network gets wrong; the server never knew.*
#
# ## The trace, after
#
# What the plan predicted, and what was there. The prediction has to hold for all keys and all ciphertexts, so it is
# below the measurement.

# %%
for step in trace.steps:
    name = f"{step.layer}: {step.operation}"
    print(
        f"{name:<32} predicted {step.predicted_bits:6.1f}, measured {step.measured_bits:6.1f} bits"
    )
print("primes of q:", params.k, "at the beginning,", reply.params.k, "at the end")

# %% [markdown]
# ## Throughput and latency
#
# A batch takes the same time with one image in it as with $n$. So there are two answers to "how fast?": how long *one* image takes, and how
# many an hour brings.
#
# **Exercise 3.** Some images come in, a batch has room for `slots` of them, and takes `seconds`, full or not. How many
# images are classified per hour?


# %% tags=["exercise"]
def predictions_per_hour(images, slots, seconds):
    """Return the images per hour, if so many images are classified in batches."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def predictions_per_hour(images, slots, seconds):
    """Return the images per hour, if so many images are classified in batches."""
    batches = -(-images // slots)
    return images / (batches * seconds) * 3600


# %% tags=["check"]
checks.predictions_per_hour(predictions_per_hour)

# %%
for images in (1, 100, params.n, params.n + 1, 100 * params.n):
    rate = predictions_per_hour(images, params.n, seconds["infer"])
    print(f"{images:>7} images: {rate:>12,.0f} per hour")

# %% [markdown]
# Beside the paper (a computer of 2016, the paper's network; ours depends on the computer and the data set at hand):

# %%
full = predictions_per_hour(params.n, params.n, seconds["infer"])
print(f"{'':<24}{'here':>10}{'paper, set A':>14}{'paper, set B':>14}")
rows = [
    ("slots", params.n, PAPER_A.n, PAPER_B.n),
    ("log2 q", round(params.log2_q), PAPER_A.log2_q, PAPER_B.log2_q),
    ("plaintext moduli", 1, len(PAPER_A.plaintext_moduli), len(PAPER_B.plaintext_moduli)),
    ("seconds for a batch", round(seconds["infer"]), PAPER_A.seconds, PAPER_B.seconds),
    (
        "predictions per hour",
        round(full),
        PAPER_A.predictions_per_hour,
        PAPER_B.predictions_per_hour,
    ),
]
for name, *values in rows:
    print(f"{name:<24}{values[0]:>10,}{values[1]:>14,}{values[2]:>14,}")

# %% [markdown]
# The same source runs on a GPU, if there is one, and CuPy (`docs/gpu.md` says how): ciphertexts and key go there, and everything follows them.

# %%
try:
    there, key = encrypted.to("gpu"), keys.relinearization.to("gpu")
    infer(scheme, plan, there, key)  # the first time its programs are compiled
    start = time.perf_counter()
    again = infer(scheme, plan, there, key).to("cpu")
    print(f"{1e3 * (time.perf_counter() - start):.1f} ms on the GPU")
    assert np.array_equal(again.rows, reply.rows)  # the same residues
except DeviceError:
    print("There is no GPU here.")

# %% [markdown]
# ## Is relinearisation needed?
#
# It makes two parts of three, with a key that encrypts $s^2$. But who says that three parts cannot be squared? In BGV a ciphertext is a polynomial in $s$, a product
# the product of these polynomials, and whoever has $s$ also has $s^2, s^3, s^4$. Then the server has **no key at all**: none that could be lost, and nobody has to
# believe that $s^2$ may be encrypted under $s$. The price is noise. A switch rounds every part, and the errors of the third one are multiplied by $s^2$; so $q$ needs
# more bits, and the reply has five parts instead of two.

# %%
keyless = make_plan(model, relinearize=False)
print(keyless.program)
for name, one in {"relinearised": plan, "not": keyless}.items():
    sizes = {what: f"{size / 1e6:.1f} MB" for what, size in one.bytes.items()}
    print(f"{name:<13} log2 q = {one.params.log2_q:.1f}, {sizes}")
print(make_plan(model).reasons[-1])

# %% [markdown]
# The last line is what the planner says if nobody tells it what to do: it takes what is less work for the server, unless images would grow by more than a sixteenth.
#
# ## What the paper did with a large range
#
# The logits need more than 40 bits. A large $t$ costs noise budget, so the paper ran the whole network **twice, modulo two different**
# $t$ (set A; with set B five times), and joined the results by the Chinese remainder theorem, your exercise 3 of [notebook 4](04.ipynb):

# %%
t1, t2 = PAPER_A.plaintext_moduli
exact = [int(x) for x in in_the_clear[0]]
first_run, second_run = [x % t1 for x in exact], [x % t2 for x in exact]
joined = [textbook.compose([x, y], [t1, t2]) for x, y in zip(first_run, second_run)]
assert joined == exact
print(
    "range proved:", round(plan.range_bits, 1), "bits; one t of the paper:", round(np.log2(t1), 1)
)

# %% [markdown]
# Here one run is enough: weights trained to be small need fewer bits, and $t$ is a product of two primes of 24 bits, each of which
# the arithmetic handles exactly.
#
# ## Three sentences to remember
#
# 1. Each slot belongs to an image and each ciphertext to a pixel position, so that one run classifies thousands of images.
# 2. The plan proves beforehand that no logit overflows and no noise does; afterwards every logit equals the one in the clear.
# 3. Throughput is high and latency is bad: a single image takes as long as a full batch.
#
# ## Traps
#
# - **"It has the same accuracy, so it works."** A wrong logit hardly ever changes the largest one. Compare all of them.
# - **The right shape is no proof.** An array can have it, and the pixels of one image in the slots of eight, without an error. Compare one pixel.
# - **Predictions per hour without the batch size** mean nothing; and neither do they without the security level.
#
# **Next:** [11. Which parameters, and what do they protect?](11.ipynb)
