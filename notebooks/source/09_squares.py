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
# # Can a network live on $x^2$?
#
# | | |
# |---|---|
# | **You will be able to** | train a network whose only nonlinearity is the square, turn it into small integers, and prove how large its outputs can become |
# | **Read before** | [6. What happens to the noise?](06.ipynb); what a gradient is |
# | **Time** | 90 minutes |
# | **In the papers** | Gilad-Bachrach et al., *CryptoNets* (ICML 2016), section 3.2; Ioffe, Szegedy (arXiv 1502.03167), section 3; Bengio, Leonard, Courville (arXiv 1308.3432), section 4 |
#
# Ciphertexts can be added and multiplied. There is no maximum, no comparison, no division, so there is no ReLU. The cheapest
# function that is not linear is $x^2$. Does that suffice to read digits? And if so: with integers? With how large ones?

# %%
import copy

import numpy as np

from nn import pictures as nn_plots
from nn import (
    Dense,
    Flatten,
    Sequential,
    Square,
    load_digits,
    make_plan,
    pretrained,
    quantize_pixels,
)
from nn.networks.base import Layer
from nn.networks.batchnorm import BatchNorm
from nn.networks.model import ModelInfo
from nn.planning.plan import ranges
from nn.training.loss import cross_entropy, smooth_labels
from nn.training.optim import SGD, Adam
from nn.training.quantize import StraightThrough, export
from yashe import checks
from yashe.pictures import plots

# %%
LEVELS = 4  # pixels are the integers 0 .. 4: later they will be encrypted
data = load_digits()  # 8 x 8 pixels, 1,347 images to train on and 450 to test
train_pixels = quantize_pixels(data.train_images, data.pixel_max, LEVELS).astype(np.float32)
test_pixels = quantize_pixels(data.test_images, data.pixel_max, LEVELS)
targets = smooth_labels(data.train_labels, 10)
nn_plots.digits(test_pixels[:8], data.test_labels[:8])

# %% [markdown]
# *Eight of the digits that are kept for the test, in five shades of grey, with their labels.*
#
# ## The gradient of a square
#
# A layer of squares behind a linear one is $y = (x W)^2$, entry by entry. With $h = xW$ and the gradient $\partial y$ of the loss at $y$, the
# chain rule gives
#
# $$\partial h = 2h * \partial y, \qquad \partial W = x^T\, \partial h, \qquad \partial x = \partial h\; W^T.$$
#
# By hand: $x = (1, 2)$, $W = (3, 1)^T$, so $h = 5$. If $\partial y = 1$, then $\partial h = 10$, $\partial W = (10, 20)^T$ and
# $\partial x = (30, 10)$.
#
# **Exercise 1.** Write it, for a batch: `x` has shape (B, K), `w` (K, M), `dy` (B, M), all NumPy arrays.


# %% tags=["exercise"]
def square_gradients(x, w, dy):
    """Return the gradients at w and at x, in this order, for y = (x @ w) ** 2."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def square_gradients(x, w, dy):
    """Return the gradients at w and at x, in this order, for y = (x @ w) ** 2."""
    dh = 2 * (x @ w) * dy
    return x.T @ dh, dh @ w.T


# %% tags=["check"]
checks.square_gradients(square_gradients)

# %% [markdown]
# The library's layers do the same, one derivative each:

# %%
rng = np.random.default_rng(1)
pair = Sequential([Dense(3, bias=False), Square()], (5,), rng)
x, dy = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
_, inputs = pair.training_forward(x)
dw, dx = square_gradients(x, pair.layers[0].weight, dy)
assert np.allclose(pair.backward(inputs, dy)[0], dw)
assert np.allclose(pair.layers[0].input_gradient(x, 2 * inputs[1] * dy), dx)

# %% [markdown]
# ## Why it diverges
#
# A ReLU passes on what it gets, so that weights that are twice as large give values that are twice as large. A square doubles
# exponents. In the network below, first weights twice as large make the first squares 4 times, the second squares 16 times as
# large, and the logits with them:


# %%
class ReLU(Layer):
    """max(x, 0), for comparison: no ciphertext can do it."""

    def forward(self, x):
        return np.maximum(x, 0)

    def input_gradient(self, x, dy):
        return dy * (x > 0)


# %%
def network(activation, normalised):
    norm = [BatchNorm] if normalised else []
    kinds = [*norm, activation]
    hidden = [Dense(32, bias=False), *(k() for k in kinds), Dense(32, bias=False)]
    tail = [*(k() for k in kinds), Dense(10, bias=False), *(k() for k in norm)]
    return Sequential([Flatten(), *hidden, *tail], (8, 8, 1), np.random.default_rng(0))


# %%
model = network(Square, normalised=False)
before = model.forward(train_pixels[:100])
model.layers[1].parameters["weight"] *= 2
float(np.median(model.forward(train_pixels[:100]) / before))

# %% [markdown]
# Gradients grow along. One step that is a little too long makes the next gradient larger, and after a few steps the
# numbers leave the range of floats. The cure is to *normalise*: between linear layer and square, subtract the mean of the batch and
# divide by its deviation. Whatever the weights do, what is squared stays near 1. (At inference the means are fixed numbers,
# and nothing is left of it but a bias.)


# %%
def train(model, optimizer, rate, epochs, after=lambda: None):
    """Return the loss of each step, as far as it is a number."""
    rng, losses = np.random.default_rng(1), []
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(len(train_pixels)), 42):
            logits, inputs = model.training_forward(train_pixels[chosen])
            loss, dy = cross_entropy(logits, targets[chosen])
            if not np.isfinite(loss):
                return losses
            losses.append(loss)
            optimizer.step(model.backward(inputs, dy), rate)
            after()
    return losses


# %%
def accuracy(model):
    """Return the share of test images that are recognised."""
    logits = model.forward(test_pixels.astype(np.float32))
    return float(np.mean(logits.argmax(axis=1) == data.test_labels))


# %%
def smooth(losses):
    """Return steps, and the mean loss between each and the next: longer and longer averages."""
    steps = [i for i in (1, 2, 3, 5, 8, 12, 20, 32, 50, 80, 125, 200, 320, 500) if i <= len(losses)]
    ends = [*(i - 1 for i in steps[1:]), len(losses)]
    return steps, [np.mean(losses[i - 1 : j]) for i, j in zip(steps, ends)]


# %%
runs = [(ReLU, True, 0.01), (Square, True, 0.01), (Square, False, 1e-4), (Square, False, 3e-4)]
curves = {}
for activation, normalised, rate in runs:
    model = network(activation, normalised)
    with np.errstate(all="ignore"):  # overflows are the lesson here
        losses = train(model, SGD(model.parameters()), rate, epochs=15)
        reached = accuracy(model)
    name = f"{activation.__name__}{' normalised' * normalised}, rate {rate}"
    curves[name] = smooth(losses)
    print(f"{name:<30} {len(losses):>4} steps, {reached:.1%} of the test images")

# %%
plots.curves(curves, "step", "loss (cross-entropy)", "Squares learn, if they are normalised")

# %% [markdown]
# *Loss against the step, both axes logarithmic. With normalised squares it falls nearly as with normalised ReLUs. Without
# normalisation it needs a rate a hundred times smaller and learns less; at three times that rate it leaves the picture
# after a few steps.*
#
# So the answer is **yes**, about as well as with ReLU on these images. On MNIST, the network of squares that comes with this
# project, whose weights are small integers already, reads this share of the test images:

# %%
pretrained("cryptonets").info.test_accuracy

# %% [markdown]
#
# ## Small integers
#
# Encrypted, weights are integers. Rounding fine steps (weights up to 1000, say) harms nobody but makes large logits, and every bit of
# the logits is a bit of $t$, which costs noise budget. So the integers shall be small: all $|w| \le 3$, or 1.
#
# **Exercise 2.** Round an array of weights to integers of at most `limit` in absolute value. The step size follows from how large the
# integers shall be on average: step = (mean of $|w|$) / density; then $\mathrm{round}(w / \mathrm{step})$, cut off at $\pm$ limit.
#
# By hand: $w = (0.1, -0.2, 0.3, -0.6)$, density 1, limit 1. The mean of $|w|$ is 0.3, so $w/\mathrm{step} = (0.33, -0.67, 1, -2)$, rounded
# $(0, -1, 1, -2)$, cut off $(0, -1, 1, -1)$.


# %% tags=["exercise"]
def round_weights(w, density, limit):
    """Return integers in [-limit, limit], in proportion to w; their mean |w| is about density."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def round_weights(w, density, limit):
    """Return integers in [-limit, limit], in proportion to w; their mean |w| is about density."""
    step = np.abs(w).mean() / density
    return np.clip(np.rint(w / step), -limit, limit).astype(np.int64)


# %% tags=["check"]
checks.round_weights(round_weights)

# %% [markdown]
# Two ways to small integers. *Rounding after training* takes a finished network. *Training with rounded weights* computes with the
# rounded ones and lets a float copy of each weight collect the small steps (the straight-through estimator):

# %%
floats = network(Square, normalised=True)
train(floats, SGD(floats.parameters()), 0.03, epochs=15)
print(f"floats {accuracy(floats):.1%}")


# %%
def rounded(limit, epochs):
    """Return the integer network, and the accuracy right after rounding."""
    model = copy.deepcopy(floats)
    rounding = StraightThrough(model, (limit,) * 3, (limit / 3,) * 3)
    rounding.apply()
    at_once = accuracy(model)
    optimizer = Adam(rounding.latent)
    train(model, optimizer, 1e-3, epochs, after=rounding.apply)
    rounding.freeze()  # from here on the biases are integers as well
    train(model, optimizer, 3e-4, epochs - 2, after=rounding.apply)
    return export(model, ModelInfo(name=f"limit {limit}", levels=LEVELS)), at_once


# %%
networks = {}
print("limit   rounded   trained rounded   bits of t")
for limit in (1, 2, 3, 7, 15):
    networks[limit], at_once = rounded(limit, epochs=8)
    bits = ranges(networks[limit], LEVELS)[-1].bits
    print(f"{limit:>5}{at_once:>10.1%}{accuracy(networks[limit]):>18.1%}{bits:>12.1f}")

# %% [markdown]
# Weights of -1, 0 and 1 cost little if the network was trained with them, and a third of the digits if it was rounded
# afterwards. What does the smallest network look like?

# %%
nn_plots.weights(networks[1])

# %% [markdown]
# *How often each weight occurs in the three layers of the smallest network. Zeros, hatched, cost nothing when it runs
# encrypted.*
#
# ## How large can a logit become?
#
# The last column is not what was seen on images. It is **proved**, for every image that pixels $0, \dots, 4$ can form, by
# *interval arithmetic*: carry the lowest and the highest possible value through every layer.
#
# $$y = \sum_k w_k x_k + b: \qquad \text{lowest } y = \sum_{w_k > 0} w_k\, \mathrm{low}_k + \sum_{w_k < 0} w_k\, \mathrm{high}_k + b$$
#
# and the other way round for the highest. By hand, $n = 4$ pixels in $[0, 4]$ with weights $(1, -2, 0, 3)$ and bias 1: lowest
# $-8 + 1 = -7$, highest $4 + 12 + 1 = 17$.
#
# **Exercise 3.** Write it for a dense layer: `low`, `high` have shape (K,), `w` (K, M), `b` (M,).


# %% tags=["exercise"]
def dense_interval(low, high, w, b):
    """Return the lowest and the highest possible x @ w + b for low <= x <= high."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def dense_interval(low, high, w, b):
    """Return the lowest and the highest possible x @ w + b for low <= x <= high."""
    up, down = np.maximum(w, 0), np.minimum(w, 0)
    return low @ up + high @ down + b, high @ up + low @ down + b


# %% tags=["check"]
checks.dense_interval(dense_interval)

# %% [markdown]
# **Exercise 4.** And for the square. Mind the intervals that contain zero.


# %% tags=["exercise"]
def square_interval(low, high):
    """Return the lowest and the highest possible x ** 2 for low <= x <= high, entry by entry."""
    raise checks.Unsolved(4)


# %% tags=["solution"]
def square_interval(low, high):
    """Return the lowest and the highest possible x ** 2 for low <= x <= high, entry by entry."""
    ends = np.minimum(low * low, high * high), np.maximum(low * low, high * high)
    return np.where((low <= 0) & (high >= 0), 0, ends[0]), ends[1]


# %% tags=["check"]
checks.square_interval(square_interval)

# %% [markdown]
# Both together, through a whole network, agree with the library's proof:

# %%
low, high = np.zeros(64, dtype=np.int64), np.full(64, LEVELS, dtype=np.int64)
for layer in networks[1].layers:
    if isinstance(layer, Dense):
        low, high = dense_interval(low, high, layer.weight, layer.bias)
    elif isinstance(layer, Square):
        low, high = square_interval(low, high)
proof = ranges(networks[1], LEVELS)[-1]
assert low.tolist() == proof.low.tolist()
assert high.tolist() == proof.high.tolist()
print(f"every logit of every image lies in [{low.min():,}, {high.max():,}]: {proof.bits:.1f} bits")

# %%
nn_plots.activations(networks[1], test_pixels)

# %% [markdown]
# *Bits that the values behind each layer take, proved for all images and seen on 450 of them. Only the logits have to fit into
# t: sums and products are exact modulo t, so what wraps on the way unwraps at the end.*
#
# With the range known, everything else follows: $t$, then the noise, then $q$ and $n$. This is the **plan**, made before
# anything is encrypted:

# %%
plan = make_plan(networks[1])
print(plan)
plan.params

# %% [markdown]
# ## Three sentences to remember
#
# 1. A network whose only nonlinearity is $x^2$ learns nearly as well as one with ReLU, if what is squared is normalised.
# 2. Integers in $\{-1, 0, 1\}$ do if the network is trained with them, and do not if it is rounded afterwards.
# 3. Only the logits have to fit into $t$, and interval arithmetic proves that they do, for every image.
#
# ## Traps
#
# - **Choosing on the test set.** This notebook looks at test images to show accuracies; whoever *chooses* between networks by them
#   no longer knows how good the choice is. The recipes of `nn.training.train` choose on images kept apart.
# - **"No logit on the test set had more than 25 bits."** The next image may. The last picture shows how far the test set and the
#   proof lie apart; only one of them is a promise.
# - **Batch normalisation with one deviation for each unit** does not fold into integer biases. `nn.networks.batchnorm` has one for
#   the whole layer.
#
# **Next:** [10. CryptoNets](10.ipynb)
