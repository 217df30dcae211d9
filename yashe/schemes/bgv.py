"""BGV, the scheme of Brakerski, Gentry and Vaikuntanathan (ePrint 2011/277), in RNS.

A ciphertext (c_0, c_1) encrypts m if its phase c_0 + c_1 s, centred modulo q, is small and

    [c_0 + c_1 s]_q = factor * m  (mod t):

the message is at the lower end, and noise consists of multiples of t. Keys, encryption and
relinearisation are those of `yashe.schemes.rlwe`, and

    embedded(m) factor * m
    decrypt     [c_0 + c_1 s + c_2 s^2 + ...]_q / factor mod t
    multiply    (c_0 c'_0, c_0 c'_1 + c_1 c'_0, c_1 c'_1) mod q; the factors are multiplied

A product is nothing but a product modulo q: no auxiliary modulus, no scaling, no change of form.
Ciphertexts stay in NTT form, where all of arithmetic is pointwise, and that is what makes BGV
several times faster than BFV for a network (`yashe.circuits.columns`).

*Relinearisation is a choice.* A ciphertext is a polynomial in s, and a product the product of
these polynomials: of three parts and three it has five. Whoever multiplies twice without a
relinearisation needs no key for it, and the owner decrypts with s up to s^4. The price is noise,
because a switch of the modulus rounds every part, and rounding errors are multiplied by s^2, too.

*The price.* The phases are multiplied, and so is their size: after d products without precaution it
is of the order of t^(2^d). Modulus switching (`switch_modulus`) divides phase and q by the same
primes before the next product: with phases near the rounding error t |s| / 4 a product costs as
little as in BFV (`best_for_products` finds that point). This is the "leveled" of leveled schemes.

*The factor.* Division by a prime p makes m to m / p modulo t. Nobody has to undo it: the factor is
public, depends on the operations only, and is taken into account where a message is added or read.

*BFV is BGV in other words* (Alperin-Sheriff and Peikert, ePrint 2013/372, appendix): t times a BFV
ciphertext modulo q is a BGV ciphertext of the same message with factor -q, and the noise nu, which
both schemes measure as a fraction of q, is the same number (`from_bfv`, `to_bfv`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from yashe.arithmetic.devices import blocks
from yashe.arithmetic.residues import FloatArray, reduce_modulo
from yashe.arithmetic.rings import CoefficientElement, Ring
from yashe.arithmetic.rns import RnsBasis, centred, rescale
from yashe.arithmetic.sampling import draws
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import BgvPublicKey, BgvRelinearizationKey, BgvRotationKeys
from yashe.ciphertexts.noise import Bound
from yashe.errors import FormError
from yashe.parameters.sets import Params
from yashe.schemes.bfv import BFV
from yashe.schemes.rlwe import RLWE


class BGV(RLWE):
    """The verbs of BGV for one parameter set.

    Examples
    --------
    >>> from yashe.parameters.sets import INSECURE_TOY
    >>> scheme = BGV(INSECURE_TOY)
    >>> keys = scheme.keygen()
    >>> ct = scheme.encrypt([1, 2, 3], keys.public)
    >>> ct = scheme.relinearize(ct * ct, keys.relinearization) * 10 - 1
    >>> scheme.decrypt(ct, keys.secret)[:4]
    array([ 9, 39, 89, -1])
    """

    name = "BGV"
    largest_degree = 8  # three squares in a row; each of them takes more noise than the one before
    ntt_form = True
    public_key_type = BgvPublicKey
    relinearization_key_type = BgvRelinearizationKey
    rotation_key_type = BgvRotationKeys

    @property
    def error_unit(self) -> int:
        """Errors are multiples of t, and vanish modulo t."""
        return self.params.t

    def embedded(self, messages: FloatArray, factor: int = 1) -> FloatArray:
        """Return factor * m mod t, centred, modulo q."""
        t_basis, q_basis = self.params.plaintext_ring.basis, self.params.ring.basis
        return rescale(t_basis.times(messages, factor), t_basis, q_basis)

    def message(self, phase: CoefficientElement, factor: int) -> CoefficientElement:
        """Return phase / factor modulo t."""
        t_ring = self.params.plaintext_ring
        messages = rescale(phase.residues, phase.ring.basis, t_ring.basis)
        messages = t_ring.basis.times(messages, pow(factor, -1, self.params.t))
        return CoefficientElement(t_ring, messages)

    def scaled_noise(self, phase: CoefficientElement) -> FloatArray:
        """Return q nu, which is the phase itself."""
        return phase.residues

    def _noisy(
        self, messages: FloatArray, e: FloatArray, seed: bytes, numbers: range
    ) -> CoefficientElement:
        """Return m + t (e + r), r such that m + t r has mean 0 whatever the message is.

        Noise is predicted for phases with random signs, but a message may be anything. So each
        coefficient of m, centred, is lowered or raised by t with probability |m| / t: towards 0.

        With m = sum_i y_i t/t_i - v t (`yashe.arithmetic.rns`), that is one matrix product modulo
        q, of the t/t_i and t with the y_i and e + r - v. Where m / t is so near to 1/2 that v may
        be the other neighbour, m becomes m - t, which says the same, and r fits to that.
        """
        q, t_basis = self.params.ring, self.params.plaintext_ring.basis
        y, quotient = t_basis.split(messages)
        v = np.rint(quotient)
        share = quotient - v  # m / t
        labels = [f"encrypt-r/{j}" for j in numbers]
        chance = draws(seed, labels, self.params.n, "<u4") * 2.0**-32
        r = np.copysign(chance < np.abs(share), -share)
        terms = np.concatenate([y, (e + r - v)[:, None]], axis=1)
        noisy = np.matmul(_multiples(t_basis, q.basis), terms)
        reduce_modulo(noisy, q.basis.moduli)
        return CoefficientElement(q, noisy)

    def product_rows(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return tensor(x, y) modulo q."""
        rows = np.empty((len(x), x.shape[1] + y.shape[1] - 1, *x.shape[2:]), like=x)
        self.tensor(x, y, rows)
        parts = rows.reshape(-1, *rows.shape[2:])
        for some in blocks(len(parts), 8 * self.params.k * self.params.n, rows):
            reduce_modulo(parts[some], self.params.moduli)
        return rows

    def remainder(self, rows: FloatArray, gone: Ring) -> FloatArray:
        """Return r = t [c / t]_P: a multiple of t, so that only the factor of the message changes.

        c stays in NTT form where its primes stay; only what goes is transformed, and r.
        """
        kept, t = self.params.ring, self.params.t
        x = gone.basis.times(gone.transform.intt(rows), pow(t, -1, gone.basis.product))
        return kept.transform.ntt(kept.basis.times(rescale(x, gone.basis, kept.basis), t))

    def switched_factor(self, factor: int, source: Params) -> int:
        """Return the factor after the division by the primes that are gone."""
        t = self.params.t
        return factor * pow(source.q // self.params.q, -1, t) % t

    def best_for_products(self, x: Bound, y: Bound | None = None, degree: int = 1) -> int:
        """Return with how many primes the worst product of these, or square, is least noisy.

        A phase of q nu and rounding errors of size r give a square of noise (nu + r/q)^2 q times a
        constant, which is least where q nu = r. The more parts a factor has, by its degree, the
        larger r is.
        """
        left, y = {}, x if y is None else y
        for k in range(self.params.k, 0, -1):  # of equally hopeless ones, the largest
            if 2 * self.params.t < math.prod(self.params.moduli[:k]):
                scheme = self.level(k)
                added = noise.rounding(scheme.params, self.secret_norm, degree)
                a, b = (x, y) if k == self.params.k else (x + added, y + added)
                product = scheme.product_bound(a, b)
                left[k] = float(product.budget(scheme.params.n).min(initial=math.inf))
        return max(left, key=lambda k: left[k])

    def aligned(self, a: Ciphertext, b: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
        """Return the same messages at one level and with one factor, so that they can be added.

        Factors differ where one has been switched before a product and the other one after it.
        u a and v b have one factor if u factor_a = v factor_b (mod t). The Euclidean algorithm
        finds such pairs with u v of about t, from (1, v) over (sqrt(t), sqrt(t)) to (u, 1); the one
        that makes the least noise is taken. What is switched is multiplied before.
        """
        if not (a.params.shortens(b.params) or b.params.shortens(a.params)):
            a.check_same_keys(b)  # is refused: between other moduli factors mean nothing
        t, low = a.params.t, min(a.params, b.params, key=lambda params: params.k)
        f_a, f_b = (
            ct.factor if ct.params.k == low.k else BGV(low).switched_factor(ct.factor, ct.params)
            for ct in (a, b)
        )
        if f_a != f_b:
            # Remainders u_i = v_i * ratio modulo t become smaller while the v_i grow. If t is
            # composite they may have a divisor in common with it, and would erase a part of m.
            ratio, pairs = f_b * pow(f_a, -1, t) % t, []
            (r, v), (s, w) = (t, 0), (ratio, 1)
            while s:
                if math.gcd(s, t) == 1:
                    pairs += [(s, w), (s - t, w)]
                (r, v), (s, w) = (s, w), (r - r // s * s, v - r // s * w)
            noise_a, noise_b = (float(ct.bound.deviation.max(initial=0)) for ct in (a, b))
            share = noise_a / noise_b if noise_b else 1.0
            u, v = min(pairs, key=lambda pair: abs(pair[0]) * share + abs(pair[1]))
            a, b = _scaled(a, u), _scaled(b, v)
        return self.at_one_level(a, b)

    # Noise: nu = [c_0 + c_1 s + c_2 s^2 + ...]_q / q, tracked as `yashe.ciphertexts.noise` says.

    def fresh_bound(self, public: bool) -> Bound:
        """Return the bound of (m + t r + t e) / q, or of (m + t r + t (e_0 + e_1 s - e u)) / q.

        m + t r has mean 0 and a variance of at most t^2 / 4.
        """
        terms = 1 + 2 * self.secret_norm if public else 1
        variance = noise.ERROR_VARIANCE * terms + 1 / 4
        return Bound.of(self.params.t / self.params.q * math.sqrt(variance), int(public))

    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding a constant, at most t/2, adds."""
        return Bound.of(self.params.t / self.params.q / 2, 0)

    def plaintext_addition_bound(self, message: FloatArray, degree: int) -> Bound:
        """Return what adding messages adds: deterministic polynomials with coefficients up to t/2.

        An embedding is at most n t/2, as if the deviation were sqrt(n) t/2.
        """
        bound = self.plain_addition_bound(degree) * math.sqrt(self.params.n)
        return bound.broadcast(message.shape[:-2])

    def product_bound(self, x: Bound, y: Bound) -> Bound:
        """Return the bound of nu_1 nu_2 q, the product of two phases divided by q.

        The product of polynomials with deviations x and y has deviation sqrt(n) x y, if they are
        independent. A noise of order o is a product of o + 1 random polynomials at most. If those
        of both factors are the same ones, like in a square, (a + b)-th powers of embeddings take
        the place of a-th powers times b-th powers, whose moments are larger by at most
        ((a+b)^(a+b) / (a^a b^b))^p.
        """
        a, b = (np.asarray(z.order + 1, dtype=np.float64) for z in (x, y))
        same = ((a + b) * np.log2(a + b) - a * np.log2(a) - b * np.log2(b)) / 2
        growth = same + math.log2(self.params.n) / 2 + self.params.log2_q
        # In bits, because q alone nearly overflows a float.
        sizes = (np.log2(np.maximum(z.deviation, 2.0**-1000)) for z in (x, y))
        # Whoever sends a ciphertext claims its noise; from no claim there comes no noise at all.
        bits = np.clip(growth + sum(sizes), -1000, 1 + math.log2(noise.HOPELESS))
        return Bound(np.exp2(bits), x.order + y.order + 1).capped()


@lru_cache(maxsize=64)
def _multiples(t_basis: RnsBasis, q_basis: RnsBasis) -> FloatArray:
    """Return t/t_1, t/t_2, ..., t modulo the primes of q, shape (k, primes of t + 1)."""
    t = t_basis.product
    return q_basis.decompose(np.array([*(t // p for p in t_basis.moduli), t], dtype=object))


def _scaled(ct: Ciphertext, u: int) -> Ciphertext:
    """Return u times the rows, which is the same message with u times the factor."""
    if u == 1:
        return ct
    rows, within = ct.modulo() * u, ct.within_of(ct.index)
    return replace(rows, factor=ct.factor * u % ct.params.t, within=within)


def from_bfv(ct: Ciphertext) -> Ciphertext:
    """Return t times a BFV ciphertext: a BGV ciphertext of the same messages, factor -q.

    The secret key stays the same; the keys that are not secret are others. The noise stays the
    same, too, but its bound grows by sqrt(n): BFV multiplies noise with random polynomials only,
    and may count the rounding errors of messages as if they were random. In BGV they are multiplied
    with each other, and a polynomial of n equal coefficients r has embeddings of n r.

    Raises
    ------
    KeyMismatchError
        If it is not of BFV.
    """
    BFV.check_own(ct)
    params, scheme = ct.params, BGV(ct.params)
    x = CoefficientElement(params.ring, params.ring.basis.times(ct.rows, params.t))
    bound, factor = ct.bound * math.sqrt(params.n), -params.q % params.t
    return replace(
        ct, scheme=scheme, store=scheme.rows(x), bound=bound, factor=factor, public_seed=None
    )


def to_bfv(ct: Ciphertext) -> Ciphertext:
    """Return ciphertexts of BGV as ciphertexts of BFV: the inverse of `from_bfv`.

    Other factors than -q are brought there first, for up to log2(t) - 1 bits of noise.

    Raises
    ------
    KeyMismatchError
        If it is not of BGV.
    FormError
        If BFV has no ciphertexts of its degree.
    """
    BGV.check_own(ct)
    params = ct.params
    if ct.degree > BFV.largest_degree:
        raise FormError(f"ciphertexts of BFV have degree 1 or 2, and this one {ct.degree}")
    if ct.factor != -params.q % params.t:
        ct = _scaled(ct, centred(-params.q * pow(ct.factor, -1, params.t) % params.t, params.t))
    x = CoefficientElement(params.ring, params.ring.transform.intt(ct.rows))
    rows = params.ring.basis.times(x.residues, pow(params.t, -1, params.q))
    return replace(ct, scheme=BFV(params), store=rows, factor=1, public_seed=None)
