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
# # What did the paper use, and why is it broken?
#
# | | |
# |---|---|
# | **You will be able to** | encrypt with YASHE', say what makes it faster than BFV, and compute its secret key from its public key |
# | **Read before** | [7. How do you multiply ciphertexts?](07.ipynb) |
# | **Time** | 90 minutes |
# | **In the papers** | Bos, Lauter, Loftus, Naehrig (ePrint 2013/075), section 3; Albrecht, Bai, Ducas (ePrint 2016/127); Kirchner, Fouque (ePrint 2016/717); Ducas, van Woerden (ePrint 2021/999) |
#
# The CryptoNets paper of 2016 did not encrypt with BFV. It used YASHE', a scheme with one ring element per ciphertext, and
# one product where BFV needs four. In the same year that scheme fell.

# %%
import time

from yashe import BFV, YASHE, checks, make_params
from yashe.arithmetic.primes import ntt_primes
from yashe.attacks import estimates, ntru
from yashe.pictures import plots
from yashe.pictures.attacks import ntru_plane
from yashe.textbook import polynomials as textbook
from yashe.textbook import yashe
from yashe.textbook.polynomials import Params, poly_add, poly_mod, poly_mul, poly_round, poly_scale

# %% [markdown]
# ## A fraction that hides two small polynomials
#
# Take two polynomials with tiny coefficients, $f = t f' + 1$ and $g$, and publish
#
# $$h = \frac{t\,g}{f} \bmod q.$$
#
# Division scrambles: $h$ looks like a uniform element of $R_q$. That nobody can find $f$ and $g$ is the *NTRU assumption*.
#
# By hand, $n = 4$, $q = 97$, $t = 2$, $f' = x$, so $f = 1 + 2x$. The geometric series gives the inverse,
# $(1 + 2x)(1 - 2x + 4x^2 - 8x^3) = 1 - 16x^4 = 17$, and $17 \cdot 40 = 1$ modulo 97. So
# $f^{-1} = 40\,(1 - 2x + 4x^2 - 8x^3) = 40 + 17x - 34x^2 - 29x^3$. Small coefficients went in, large ones came out.

# %%
toy = Params(n=4, t=2, moduli=(97,))
f, g = [1, 2, 0, 0], [1, -1, 0, 0]
inverse = yashe.invert(toy, f)
h = poly_mod(poly_scale(poly_mul(g, inverse), toy.t), toy.q)
print("1/f =", inverse, "  h =", h)
poly_mod(poly_mul(h, f), toy.q)  # t g, small again

# %% [markdown]
# ## The scheme
#
# Encryption adds noise twice, once bare and once times $h$:
#
# $$c = \left[\mathrm{round}\!\left(\tfrac{q}{t} m\right) + e + h u\right]_q.$$
#
# The key holder computes the phase $[f c]_q$. Three things happen in it:
#
# * $f h u = t g u$: small, since $g$ and $u$ are;
# * $f e$: small, since both are;
# * $f \frac{q}{t} m = (t f' + 1)\frac{q}{t} m = q f' m + \frac{q}{t} m$, and $q f' m$ vanishes modulo $q$.
#
# What is left is $\frac{q}{t} m$ plus something small.

# %%
params = Params(n=16, t=17, moduli=ntt_primes(16, 3))
f, h = yashe.keygen(params, b"notebook".ljust(32))
m = [3, 1, 4, 1, 5] + [0] * 11
e, u = (textbook.gaussian(bytes(32), label, params.n) for label in ("e", "u"))
c = poly_mod(poly_add(textbook.scale_up(params, m), e, poly_mul(h, u)), params.q)

# %% [markdown]
# **Exercise 1.** Write the decryption: get to the phase, and from what is left in it to the message, as centred residues. `poly_mod(a, q)` reduces, and
# `poly_round(a, numerator, denominator)` scales and rounds; `poly_mul` is imported above, too. (`params.q` and `params.t` are the two moduli.)


# %% tags=["exercise"]
def yashe_decrypt(params, f, c):
    """Return the message of c."""
    raise checks.Unsolved(1)


# %% tags=["solution"]
def yashe_decrypt(params, f, c):
    """Return the message of c."""
    phase = poly_mod(poly_mul(f, c), params.q)
    return poly_mod(poly_round(phase, params.t, params.q), params.t)


# %% tags=["check"]
checks.yashe_decrypt(yashe_decrypt)

# %%
checks.require_equal(yashe_decrypt(params, f, c), m)
m

# %% [markdown]
# $$m = \Bigl[\,\mathrm{round}\bigl(\tfrac{t}{q}\,[f c]_q\bigr)\Bigr]_t .$$
#
# A product is one product of ring elements: $\mathrm{round}(\frac{t}{q} c\,c')$ has the phase $\frac{q}{t} m m' + \dots$ under $f^2$, and an
# evaluation key brings it back under $f$. No parts, no tensor.

# %%
evaluation_key = yashe.evaluation_keygen(params, f, h, bytes(32))
square = poly_mod(poly_round(poly_mul(c, c), params.t, params.q), params.q)
switched = yashe.key_switch(params, evaluation_key, square)
checks.require_equal(yashe_decrypt(params, f, switched), poly_mod(poly_mul(m, m), params.t))

# %% [markdown]
# ## The library's, and what it costs
#
# `yashe.schemes.yashe.YASHE` has the same verbs as `BFV`. Its ciphertexts are those of the textbook, bit for bit:

# %%
engine = YASHE(make_params("INSECURE_SMALL", 16, 17, security=None, log2_q=70))
keys = engine.keygen(bytes(32))
plaintext = engine.encode(range(16))
fast = engine.encrypt(plaintext, keys.public, bytes(32))

small, seed = Params(16, engine.params.t, engine.params.moduli), engine.own_seed(bytes(32))
_, public = yashe.keygen(small, seed)  # a seed is hashed with the scheme and its parameters
message = plaintext.element.integers().tolist()
integers = engine.params.ring.basis.compose  # residues -> Python integers
assert yashe.encrypt(small, public, message, seed) == integers(fast.rows[0, 0]).tolist()

# %% [markdown]
# The same $n$, $q$ and $t$ with both schemes:

# %%
print("          parts    MB   fresh  square   (bits of noise budget)")
for kind in (BFV, YASHE):
    scheme = kind(make_params("INSECURE_COMPARED", 4096, 2**20, security=None, log2_q=190))
    keys = scheme.keygen(bytes(32))
    x = scheme.encrypt([1, 2, 3], keys.public, bytes(32))
    y = scheme.relinearize(x * x, keys.relinearization)
    fresh, square = (float(scheme.noise_budget(ct, keys.secret)) for ct in (x, y))
    parts, megabytes = x.rows.shape[1], x.nbytes / 1e6
    print(f"{scheme.name:<8}{parts:>7}{megabytes:>6.1f}{fresh:>8.1f}{square:>8.1f}")

# %% [markdown]
# Half the memory, and less work. But $f = t f' + 1$ is $t$ times as large as BFV's secret, so that a square costs a factor $t$
# more: the 20 bits of $t$ once more for each level. That is why the paper needed a modulus $q$ of 383 bits. Remember the
# number.
#
# ## The lattice
#
# The equation $h f = t g \pmod q$ is public but for $f$ and $g$. All pairs that satisfy it,
#
# $$L = \{(F, G) : G = h F \bmod q\},$$
#
# form a *lattice*: sums and differences of such pairs are such pairs. A basis is known to everybody: $(1, h)$ and $(0, q)$, with all
# their rotations by powers of $x$. Somewhere in $L$ lies the secret $(f, t g)$. What singles it out? **It is short.**
#
# For $n = 1$ the polynomials are integers, and the lattice is a picture. Let $q = 257$, $f = 7$, $t g = -6$. Then $7 \cdot 147 = 1$
# modulo 257, and $h = -6 \cdot 147 = -111$.

# %%
ntru_plane(257, -111, (7, -6))

# %% [markdown]
# *Every grey point (F, hF mod q) fits the public key. The public basis vector (1, -111), dashed, is long; the secret (7, -6) is the
# shortest point of all and lies well inside the circle of radius $\sqrt{q}$, where a random lattice of this density has
# hardly a point.*
#
# ## Two dimensions: Gauss
#
# To find the shortest vector in the plane, take the longer of two basis vectors and subtract from it the multiple of the
# shorter one that makes it as short as possible; that is round($u \cdot v / u \cdot u$) times. Repeat until nothing changes. It is
# Euclid's algorithm with angles, and it is over two hundred years old.
#
# By hand: $u = (1, -111)$, $v = (0, 257)$. $u \cdot v = -28527$, $u \cdot u = 12322$, quotient $-2.3$: $v \leftarrow v + 2u = (2, 35)$, now the
# shorter. $u \cdot v = -3883$, $v \cdot v = 1229$, quotient $-3.2$: $u \leftarrow u + 3v = (7, -6)$. Two steps, and the key is there.
#
# **Exercise 2.** Write it. `textbook.round_div(a, b)` is round($a/b$) for integers, exactly.


# %% tags=["exercise"]
def shortest_vector(u, v):
    """Return a shortest vector, not zero, among all a u + b v with integers a and b."""
    raise checks.Unsolved(2)


# %% tags=["solution"]
def shortest_vector(u, v):
    """Return a shortest vector, not zero, among all a u + b v with integers a and b."""

    def dot(x, y):
        return x[0] * y[0] + x[1] * y[1]

    while True:
        if dot(u, u) > dot(v, v):
            u, v = v, u
        k = textbook.round_div(dot(u, v), dot(u, u))
        if k == 0:
            return u
        v = [v[0] - k * u[0], v[1] - k * u[1]]


# %% tags=["check"]
checks.shortest_vector(shortest_vector)

# %%
assert [abs(x) for x in shortest_vector([1, -111], [0, 257])] == [7, 6]

# %% [markdown]
# ## More dimensions: LLL
#
# With degree $n$ the lattice has $2n$ dimensions. Lenstra, Lenstra and Lovasz (1982) do Gauss' step for neighbouring pairs of a whole
# basis, in polynomial time. In many dimensions what comes out is no longer the shortest vector but one that is too long by a factor
# of about $1.02^{2n}$. For a secret that is short *enough* that does not matter.
#
# Here is a YASHE' key with $n = 16$ and a modulus of 24 bits, and somebody who knows nothing but $h$:

# %%
victim = Params(n=16, t=2, moduli=ntt_primes(16, 1))
secret, public = yashe.keygen(victim, b"victim".ljust(32))
message = [1, 0, 0, 1, 1, 1, 0, 1] + [0] * 8
intercepted = yashe.encrypt(victim, public, message, bytes(32))

# %%
start = time.perf_counter()
stolen = ntru.recover_yashe_key(victim, public)  # h goes in, nothing else
print(f"{time.perf_counter() - start:.1f} s")
opened = yashe_decrypt(victim, stolen, intercepted)
checks.require_equal(opened, message)
print("message:", opened)

# %% [markdown]
# ## Why a large modulus breaks it
#
# A random lattice of $2n$ dimensions and volume $q^n$ has shortest vectors of length about $\sqrt{q}$ (times $\sqrt{n/\pi e}$). The
# secret $(f, tg)$ has length about $t\sqrt{4n/3}$, whatever $q$ is. A larger $q$ makes the secret *relatively* shorter, until
# it sticks out so far that weak reduction finds it. BFV's secret sticks out of a lattice, too, the more the larger $q$ is. But the
# NTRU lattice contains not one short vector but all $n$ rotations $x^i (f, tg)$, a whole **dense sublattice**, and reduction
# runs into that much earlier. Such a key is called *overstretched*; Ducas and van Woerden put the beginning at about
# $q = 0.004\,n^{2.484}$. For $n = 8192$:

# %%
print(f"overstretched from {ntru.fatigue_log2_q(8192):.0f} bits on; the paper's q has 383")

# %% [markdown]
# How hard is an attack? It reduces blocks of $\beta$ dimensions and takes about $2^{0.292\,\beta}$ steps; $\beta = 2$ is LLL. What block size
# finds the key, for the paper's parameter sets and for larger degrees?

# %%
from IPython.display import Markdown

Markdown(ntru.estimate_table())

# %% [markdown]
# The two columns for YASHE' are two ways to write down the same lattice, with $h$ or with $1/h$. The second is a remark of this project
# that nobody has tried at real sizes; a defender has to count on it all the same. For the paper's set A the answer is a block size
# of about 4: hardly more than LLL. In 16,384 dimensions that is a large computation, but a finite one. BFV with the same $n$ and $q$ is
# too weak as well, at a block size of 130, but not gone.
#
# **Exercise 3.** How large must $n$ be for a given $q$? Find the smallest power of two $n \ge 1024$ at which *both* ways to start the attack
# take at least $2^{\mathrm{bits}}$ steps: `ntru.dense_sublattice_block_size(n, log2_q, log2_t)` and the same with
# `from_inverse=True` are their block sizes $\beta$.


# %% tags=["exercise"]
def smallest_degree(log2_q, log2_t, bits):
    """Return the smallest n at which recovering a YASHE' key takes 2^bits steps."""
    raise checks.Unsolved(3)


# %% tags=["solution"]
def smallest_degree(log2_q, log2_t, bits):
    """Return the smallest n at which recovering a YASHE' key takes 2^bits steps."""
    n = 1024
    while True:
        first = ntru.dense_sublattice_block_size(n, log2_q, log2_t)
        second = ntru.dense_sublattice_block_size(n, log2_q, log2_t, from_inverse=True)
        if 0.292 * min(first, second) >= bits:
            return n
        n *= 2


# %% tags=["check"]
checks.smallest_degree(smallest_degree)

# %%
n = smallest_degree(383, 40, 128)
print(f"the paper's q and t would need n = {n}, {n // 8192} times the paper's")

# %%
degrees = [2**i for i in range(12, 19)]
block_sizes = {
    "BFV": [estimates.rlwe_block_size(n, 383) for n in degrees],
    "YASHE', from h": [ntru.dense_sublattice_block_size(n, 383, 40) for n in degrees],
    "YASHE', from 1/h": [
        ntru.dense_sublattice_block_size(n, 383, 40, from_inverse=True) for n in degrees
    ],
    "128 bits of work": [128 / 0.292] * len(degrees),
}
plots.curves(
    {name: (degrees, sizes) for name, sizes in block_sizes.items()},
    "degree n",
    "block size of the attack",
    "What it takes to find the key, log2 q = 383",
)

# %% [markdown]
# *Block sizes against the degree n, both axes logarithmic, for the paper's modulus of 383 bits and t of 40 bits. BFV passes the
# line of 128 bits before n = 32768, YASHE' at n = 65536, or at n = 262144 if the better basis counts.*
#
# ## Three sentences to remember
#
# 1. A YASHE' ciphertext is one ring element, because $f = 1$ modulo $t$ and $f h$ is small.
# 2. Its key is the shortest thing in a public lattice, and a large modulus makes it easy to see.
# 3. Every level of multiplication wants a larger modulus: what makes the scheme useful is what breaks it.
#
# ## Traps
#
# - **A security table is for one problem.** $n = 8192$ with 214 bits is safe for RLWE and worthless for NTRU. The library therefore gives
#   YASHE' no security level at all: every parameter set is called `INSECURE_`.
# - **"LLL cannot do 16,384 dimensions."** Estimates for attackers must not count on their software staying as it is.
# - **The toy proves nothing about size.** At $n = 16$ BFV falls as well; the toy shows how the attack works, the table how far it
#   reaches.
#
# **Next:** [9. Can a network live on $x^2$?](09.ipynb)
