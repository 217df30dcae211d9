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
# # What about your own data?
#
# | | |
# |---|---|
# | **You will be able to** | take a table from a CSV file to encrypted predictions, and say what the server learns of it, and what the client learns of the network |
# | **Read before** | [1. What can a server do with numbers it cannot read?](01.ipynb), [9. Can a network live on $x^2$?](09.ipynb); [11. Which parameters, and what do they protect?](11.ipynb) for the last section |
# | **Time** | 60 minutes |
# | **In the papers** | Gilad-Bachrach and others, *CryptoNets* (ICML 2016); Tramèr, Zhang, Juels, Reiter, Ristenpart, *Stealing Machine Learning Models via Prediction APIs* (USENIX Security 2016) |
#
# A clinic has patients, a laboratory has a model. The clinic may not give the patients away, the laboratory does not want to give the model
# away. Here both sit in one notebook, and exchange bytes only. Replace the table by your own: it needs a line with names, numbers, and one
# column to predict.

# %%
import tempfile
from pathlib import Path

import numpy as np

from nn import SquareNet, read_table
from nn.data.tables import write_table
from yashe import checks

# %% [markdown]
# ## A table
#
# The patients are invented, so that nobody's data are in this notebook: four columns, and a disease that is more likely where *both* sugar and
# pressure are high, or both low. No single column shows it.

# %%
rng = np.random.default_rng(14)
standard = np.clip(rng.normal(size=(4, 1500)), -2, 2)  # nobody is very unusual here
spread, mean = np.array([[15], [4], [15], [18]]), np.array([[55], [27], [100], [130]])
age, bmi, sugar, pressure = mean + spread * standard
risk = standard[2] * standard[3] + 0.3 * standard[0] + rng.normal(0, 0.3, 1500)
rows = [
    (f"{a:.0f}", f"{b:.1f}", f"{s:.0f}", f"{p:.0f}", "ill" if r > 0 else "well")
    for a, b, s, p, r in zip(age, bmi, sugar, pressure, risk)
]
path = Path(tempfile.mkdtemp()) / "patients.csv"
write_table(path, ["age", "bmi", "sugar", "pressure", "diagnosis"], rows)
print(path.read_text()[:120])

# %%
table, diagnosis = read_table(path, target="diagnosis")
train, test = slice(0, 1000), slice(1000, 1500)
print(table, {str(word): int(np.sum(diagnosis == word)) for word in ("ill", "well")})

# %% [markdown]
# ## Columns become integers
#
# Ciphertexts hold integers. Each column has an end that becomes 0 and one that becomes the largest integer, `levels`; what lies between goes to the nearest
# one, and what lies beyond is clipped. The ends are learnt from the training rows and are **public**: the client has to know them.
#
# By hand, ages from 20 to 80 in 6 steps, 10 years each: 20 becomes 0, 34 becomes 1, 80 becomes 6, and so does 95.
#
# **Exercise 1.** Write it for one column, a list of numbers.


# %% tags=["exercise"]
def to_integers(column, low, high, levels):
    """Return each number as an integer from 0 (low) to levels (high)."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def to_integers(column, low, high, levels):
    """Return each number as an integer from 0 (low) to levels (high)."""
    inside = [min(max(x, low), high) for x in column]
    return [round(levels * (x - low) / (high - low)) for x in inside]


# %% tags=["check"]
checks.to_integers(to_integers)

# %% [markdown]
# ## A network
#
# `SquareNet` does the rest of notebook 9: it trains a network of squares, rounds its weights to small integers, and proves its range.
# Three predictions can be had from it: in floating point, with integers, and encrypted. The last two are the same, always.

# %%
net = SquareNet(hidden=(8,), bits=5, random_state=0).fit(table[train], diagnosis[train])
for mode in ("clear", "integers"):
    print(f"{mode:<10}{net.score(table[test], diagnosis[test], mode):.1%} of the test rows")

# %%
columns = net.model_.schema.columns
ages = np.asarray(table)[:8, 0].tolist()
mine = to_integers(ages, columns.low[0], columns.high[0], 31)
print("ages", ages, "->", mine)
assert mine == columns.prepare(np.asarray(table)[:8], 31)[:, 0].tolist()

# %% [markdown]
# ## A plan
#
# Before a single patient is encrypted, it is known what it will take, and that no number leaves its range:

# %%
plan = net.plan(timed=False)
print(plan)
plan.params

# %% [markdown]
# ## Two parties
#
# The server has the network, the client has the rows and the keys. Between them go bytes, and nothing else:

# %%
client, server = net.split()
card = server.card()  # public: columns with their ends, parameters, what the answers mean
evaluation = client.keys()  # what the server computes with: nothing, as there is one square only
question = client.encrypt(np.asarray(table)[test])
reply = server.infer(evaluation, question)
answers = client.decrypt(reply, 500)
assert answers.tolist() == net.predict(table[test]).tolist()
for what, sent in (("card", card), ("keys", evaluation), ("question", question), ("reply", reply)):
    print(f"{what:<9}{len(sent):>10,} bytes")
print(answers[:5], diagnosis[test][:5])

# %% [markdown]
# **The test that counts**, as in notebook 10: every answer is the one that the integers give.
#
# ## What the server learns
#
# Not the rows, not the answers. But it sees how much is sent, and when. A column of up to $n$ rows fits into one ciphertext.
#
# **Exercise 2.** How many ciphertexts does a table become?


# %% tags=["exercise"]
def ciphertexts_sent(rows, columns, slots):
    """Return how many ciphertexts a table becomes, one column of at most `slots` rows in each."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def ciphertexts_sent(rows, columns, slots):
    """Return how many ciphertexts a table becomes, one column of at most `slots` rows in each."""
    return columns * -(-rows // slots)


# %% tags=["check"]
checks.ciphertexts_sent(ciphertexts_sent)

# %%
for count in (1, 500):
    some = np.asarray(table)[:count]
    print(f"{count:>4} rows: {ciphertexts_sent(count, 4, plan.params.n)} ciphertexts,", end=" ")
    print(f"{len(client.encrypt(some)):,} bytes")

# %% [markdown]
# One patient looks like five hundred. What the server does learn: that somebody asks, when, how often, and in how many batches.
#
# ## What the client learns
#
# The other direction is *not* hidden by encryption: the client decrypts answers of the network, and may ask what it likes. A network without a
# hidden layer is $y = w \cdot x + b$.
#
# **Exercise 3.** You have asked for the row of zeros, and for each row with a single 1. What is the network?


# %% tags=["exercise"]
def stolen(at_zero, at_units):
    """Return (list of weights, bias), from the answer at zeros and the answers at unit rows."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def stolen(at_zero, at_units):
    """Return (list of weights, bias), from the answer at zeros and the answers at unit rows."""
    return [answer - at_zero for answer in at_units], at_zero


# %% tags=["check"]
checks.stolen(stolen)

# %%
linear = SquareNet(hidden=(), bits=5, random_state=0).fit(table[train], diagnosis[train])
client, server = linear.split()
ends = linear.model_.schema.columns
low, high = np.array(ends.low), np.array(ends.high)
steps = low + np.eye(4) * (high - low) / 31  # one column one step up: the unit rows
found = client.outputs(server.infer(client.keys(), client.encrypt(np.vstack([low, steps]))), 5)
weights, bias = stolen(int(found[0, 0]), found[1:, 0].tolist())
layer = linear.model_.layers[0].parameters
print("stolen:", weights, bias, " the server's:", layer["weight"][:, 0].tolist(), layer["bias"])
assert weights == layer["weight"][:, 0].tolist()

# %% [markdown]
# Five questions, and the model is gone. A hidden layer takes more questions, not another idea. Encryption protects the *rows* from the server; the
# model is protected by who may ask, and how often. (Nor is a single row of a training set safe in every model: that is *membership inference*, and a
# matter of training.)
#
# Everything that has happened here, from tables to ciphertexts, is on one page of Python in `nn/tiny.py`, which stands on nothing of the rest: read it now.
#
# ## Three sentences to remember
#
# 1. A table becomes integers with public ends, a network of squares with a proved range, and a plan, before anything is encrypted.
# 2. The server learns sizes and times; neither rows nor answers, nor how many rows there are below a full batch.
# 3. The client learns the answers, and with enough of them the network.
#
# ## Traps
#
# - **Ends learnt from all rows**, the test rows among them, or from the client's: then the ends tell something about them.
# - **Accuracy on the training rows.** Test with rows that the network has not seen, and compare encrypted with integers in every answer.
# - **Answers that go back.** If the client tells the server whether an answer was strange, the server learns about the key ([notebook 11](11.ipynb)).
#
# **Next:** `cryptonets train patients.csv --target diagnosis` does all of this with files, for two machines; the page *Your data, your network* of the documentation has its other verbs, and pictures.
