"""YASHE', the scheme of the CryptoNets paper, in RNS.

Source: Bos, Lauter, Loftus and Naehrig, ePrint 2013/075, section 3.

**Broken at every practical size: for reading and for history only.** Its key h = t g / f is an NTRU
key with a modulus far too large for it, and lattice reduction finds f (`yashe.attacks`).

A ciphertext is one ring element c; it encrypts m if f c is q/t m + small noise modulo q:

    keygen      f = t f' + 1 and g, with f' and g ternary, f invertible; h = t g / f
    encrypt     round(q/t m) + e + h u, with e and u Gaussian
    decrypt     round(t/q [f c]_q) mod t, or with f^2 for a product
    multiply    round(t/q c c'): one part again, but f^2 takes the place of f
    relinearize sum_i d_i(c) gamma_i, gamma_i = g_i f + e_i + h s_i: the paper's KeySwitch, under f
    rotate      sum_i d_i(c) gamma_i at X^g, gamma_i = g_i f/f_g + e_i + h_g s_i, f_g = f(X^(1/g))

Read it beside `yashe.schemes.bfv`: the same ring, digits, slots and verbs, one product of
polynomials where BFV has four (three for a square), one part where it has two or three. Why f c is
a phase: f is 1 modulo t, so that f q/t m is q/t m + q f' m, where q f' m vanishes; and f h u = t g
u is small. The price is that f is as large as t, so that each step of the noise costs a factor t
more than in BFV.

Deviations from the paper, as in `yashe.textbook.yashe`: round(q/t m) for floor(q/t) m; f' and g
uniform ternary; digits are residues modulo the q_i instead of base w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.automorphisms import move_values
from yashe.arithmetic.residues import FloatArray, canonical, reduce
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.arithmetic.sampling import check_seed, gaussian, stream, ternary
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.ciphertexts.keys import Key, PerDigit, RotationKeys, check_key, check_kind
from yashe.ciphertexts.noise import Bound
from yashe.errors import SecurityError
from yashe.parameters.sets import Params
from yashe.schemes.definition import Hide
from yashe.schemes.rotations import RotatingScheme
from yashe.schemes.scale_invariant import ScaleInvariant


@dataclass(frozen=True, eq=False)
class YasheSecretKey(Key):
    """f = t f' + 1, as an NttElement without batch axes. Whoever has it reads everything."""

    f: NttElement = field(repr=False)


@dataclass(frozen=True, eq=False)
class YashePublicKey(Key):
    """h = t g / f, with which anybody can encrypt, and from which anybody can compute f."""

    h: NttElement = field(repr=False)


@dataclass(frozen=True, eq=False)
class EvaluationKey(PerDigit):
    """gamma_i = g_i f + e_i + h s_i for every digit i, the paper's evk."""

    gamma: NttElement = field(repr=False)
    gadget: Gadget = PER_PRIME


@dataclass(frozen=True, eq=False)
class YasheRotationKeys(RotationKeys):
    """gamma_i = P g_i f/f_g + e_i + h_g s_i for every g and every digit i, f_g = f(X^(1/g)).

    Attributes
    ----------
    gamma : NttElement with batch axes (number of exponents, digits)
    """

    gamma: NttElement = field(repr=False)


@dataclass(frozen=True)
class YasheKeys:
    """What key generation returns; only `secret` is secret, and not for long."""

    secret: YasheSecretKey
    public: YashePublicKey
    relinearization: EvaluationKey
    rotations: YasheRotationKeys

    @property
    def encryption(self) -> YashePublicKey:
        """The key with which the owner of all of them encrypts: there is only one that does."""
        return self.public


class YASHE(ScaleInvariant, RotatingScheme):
    """The verbs of YASHE' for one parameter set that claims no security.

    Parameters
    ----------
    params : Params with security=None

    Raises
    ------
    SecurityError
        If the parameters claim security: there are no secure ones of practical size.

    Examples
    --------
    >>> from yashe.parameters.sets import INSECURE_TOY
    >>> scheme = YASHE(INSECURE_TOY)
    >>> keys = scheme.keygen()
    >>> ct = scheme.encrypt([1, 2, 3], keys.public)
    >>> ct = scheme.relinearize(ct * ct, keys.relinearization) * 10 - 1
    >>> scheme.decrypt(ct, keys.secret)[:4]
    array([ 9, 39, 89, -1])
    """

    name = "YASHE'"
    first_secret_part = 0
    fixed_parts = True
    secret_key_type = YasheSecretKey
    relinearization_key_type = EvaluationKey
    rotation_key_type = YasheRotationKeys
    encryption_keys = (YashePublicKey,)  # the paper has no other encryption

    def __init__(self, params: Params) -> None:
        if isinstance(params, Params) and params.security is not None:
            raise SecurityError(
                f"YASHE' accepts security=None only, but {params.name} claims {params.security} "
                "bits: the published tables are for RLWE, and NTRU keys with so large a q against "
                "n are overstretched (Albrecht, Bai, Ducas, ePrint 2016/127; Kirchner, Fouque, "
                "ePrint 2016/717; Ducas, van Woerden, ePrint 2021/999: from q about n^2.484 on). "
                "Use BFV for data; to learn, take a set of `yashe.parameters.paper`"
            )
        super().__init__(params)

    def keygen(self, seed: bytes | None = None, rotations: Any = ()) -> YasheKeys:
        """Return a secret, a public and an evaluation key, and keys for rotations.

        f' is drawn again as long as f is not invertible modulo q, which a fraction of about k n/q_i
        of all f is not.

        Parameters
        ----------
        seed : 32 bytes that determine the keys, or None for fresh ones from the operating system
        rotations : which ones there shall be keys for; see `rotation_keys`

        Returns
        -------
        YasheKeys, with attributes secret, public, relinearization (the evaluation key), rotations
        """
        given = check_seed(seed)
        seed = self.own_seed(given)
        params, n, k = self.params, self.params.n, self.params.k
        ring, key_id = params.ring, stream(seed, "key-id", 16).hex()
        t_g = self.small(ternary(seed, ["secret-g"], n)[0], params.t).ntt()
        attempt, inverse = 0, None
        while inverse is None:
            t_f = self.small(ternary(seed, [f"secret-f/{attempt}"], n)[0], params.t).ntt()
            f = NttElement(ring, reduce(t_f.residues + 1, ring.moduli))
            attempt, inverse = attempt + 1, _inverse(f)
        h = t_g * inverse
        labels = [f"evk-{{}}/{i}" for i in range(k)]
        gamma = self._hidden(PER_PRIME, f, h, seed, labels)
        secret, public = YasheSecretKey(params, key_id, f), YashePublicKey(params, key_id, h)
        evaluation = EvaluationKey(params, key_id, gamma)
        return YasheKeys(secret, public, evaluation, self.rotation_keys(secret, rotations, given))

    def rotation_keys(
        self,
        secret: YasheSecretKey,
        rotations: Any,
        seed: bytes | None = None,
        gadget: Gadget = PER_PRIME,
    ) -> YasheRotationKeys:
        secret, seed = self.key_material(secret, seed, "rotations", gadget)
        params, exponents, f = self.params, self.exponents(rotations, gadget), secret.f
        numbers = range(len(gadget.groups(params.k)))
        inverse = _inverse(f)
        assert inverse is not None  # f is a key
        # The h of the public key is not at hand. Another one hides as well: t g / f with a new g.
        h = self.small(ternary(seed, ["rotation-g"], params.n)[0], params.t).ntt() * inverse
        gamma = np.empty((len(exponents), len(numbers), params.k, params.n))
        for row, g in zip(gamma, exponents, strict=True):
            inverse_g, h_g = (
                NttElement(params.ring, move_values(x.residues, pow(g, -1, 2 * params.n)))
                for x in (inverse, h)
            )
            labels = [f"rotation-{{}}/{g}/{i}" for i in numbers]
            row[...] = self._hidden(gadget, f * inverse_g, h_g, seed, labels).residues
        found = NttElement(params.ring, gamma)
        return YasheRotationKeys(params, secret.key_id, exponents, gadget, found)

    def _hidden(
        self, gadget: Gadget, z: NttElement, h: NttElement, seed: bytes, labels: list[str]
    ) -> NttElement:
        """Return P g_i z + e_i + h s_i for the digits i of a gadget, in a new axis."""
        ring, n = self.params.ring, self.params.n
        e, s = (
            self.small(gaussian(seed, [label.format(x) for label in labels], n)).ntt() for x in "es"
        )
        # Reduced in between: a sum of two products of residues is exact, one of more need not be.
        g_z = gadget.weights(ring) * z.residues
        h_s = reduce(h.residues * s.residues, ring.moduli)
        return NttElement(ring, reduce(g_z + e.residues + h_s, ring.moduli))

    def hiding(self, key: Any, seed: bytes) -> tuple[Hide, bytes | None]:
        def hide(numbers: range, messages: FloatArray, out: FloatArray) -> None:
            """Write h u + e + round(q/t m)."""
            n, labels = self.params.n, ("encrypt-e", "encrypt-u")
            e, u = (
                self.small(gaussian(seed, [f"{label}/{j}" for j in numbers], n)) for label in labels
            )
            message = CoefficientElement(self.params.ring, self.embedded(messages))
            out[:, 0] = ((key.h * u.ntt()).intt() + e + message).residues

        return hide, None

    def tensor(self, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
        """Write the one part x y of a product: f^2 c c' is the product of two phases.

        Parameters
        ----------
        x, y : float64 arrays, shape (..., 1, k, n), extended rows in NTT form
        out : float64 array, shape (..., 1, k, n), not reduced: absolute values below 2^47
        """
        np.multiply(x, y, out=out)

    def phase(self, ct: Ciphertext, row: int, key: YasheSecretKey) -> CoefficientElement:
        """Return f c of one row, or f^2 c if its degree is 2."""
        check_kind(key, YasheSecretKey)
        key = check_key(self.params, ct.key_id, key, ct.like)
        value = CoefficientElement(self.params.ring, ct.part(slice(row, row + 1))[0, 0]).ntt()
        for _ in range(ct.degree):
            value = value * key.f
        return value.intt()

    def is_open(self, rows: FloatArray) -> NDArray[np.bool_]:
        """Return which rows decrypt with f = 1, like (x + 5) - x, which is round(q/t 5)."""
        q, t = self.params.ring, self.params.t
        nu = np.abs(q.basis.fraction(q.basis.times(rows[:, 0], t))).max(axis=-1)
        found: NDArray[np.bool_] = nu <= 2.0 ** -(1 + noise.least_budget(self.params.n))
        return found

    # Noise: nu of t/q f^degree c = m + t k + nu, tracked as `yashe.ciphertexts.noise` says. f = t
    # f' + 1 takes the place of (1, s), and is larger by a factor t.

    @property
    def secret_norm(self) -> float:
        """Expected squared norm of t f', and of t g: 2n/3 t^2."""
        return noise.TERNARY_VARIANCE * self.params.n * float(self.params.t) ** 2

    def fresh_bound(self, public: bool = True) -> Bound:
        """Return the bound of t/q (f (e + r) + t g u), r the rounding of q/t m."""
        f, t_g = 1 + self.secret_norm, self.secret_norm
        variance = f * (noise.ERROR_VARIANCE + noise.ROUNDING_VARIANCE) + t_g * noise.ERROR_VARIANCE
        return Bound.of(self.params.t / self.params.q * math.sqrt(variance), 1)

    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding round(q/t m) adds: t/q f^degree r, all coefficients |r| <= 1/2."""
        norm = (1 + self.secret_norm) ** (degree / 2)
        return Bound.of(self.params.t / self.params.q / 2 * norm, 2 * degree - 1)

    def switching_bound(self, gadget: Gadget = PER_PRIME, power: int = 2) -> Bound:
        """Return what key switching adds: t/q (f sum_i d_i e_i + t g sum_i d_i s_i + r f^power)."""
        f, t_g = 1 + self.secret_norm, self.secret_norm
        hidden = noise.squared_norm(self.params, f, power)
        return noise.key_switching(self.params, noise.ERROR_VARIANCE * (f + t_g), hidden, gadget)


def _inverse(a: NttElement) -> NttElement | None:
    """Return 1/a, value by value, or None if a value is zero."""
    values = canonical(a.residues, a.ring.moduli)
    if not values.all():
        return None
    rows = [
        [float(pow(int(x), -1, p)) for x in row]
        for row, p in zip(values, a.ring.basis.moduli, strict=True)
    ]
    return NttElement(a.ring, reduce(np.array(rows), a.ring.moduli))
