"""Wrong implementations, each with one mistake that somebody has made or will make.

`test_mutants.py` shows that a law finds every one of them, and that the table in docs/laws.md says
which. `python tests/mutants.py` writes that table.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import subjects
from yashe import laws
from yashe.arithmetic.primes import ntt_primes
from yashe.laws.engine import EngineScheme
from yashe.parameters.sets import Params
from yashe.schemes import rlwe
from yashe.schemes import yashe as yashe_prime
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE
from yashe.textbook import (
    bfv as textbook_bfv,
)
from yashe.textbook import (
    bgv as textbook_bgv,
)
from yashe.textbook import (
    polynomials as textbook,
)
from yashe.textbook import (
    yashe as textbook_yashe,
)
from yashe.textbook.automorphisms import automorphism, inverse_exponent
from yashe.textbook.polynomials import centred, poly_add, poly_mod, poly_mul, poly_scale

N, P = 8, 97
PSI = textbook.root_of_unity(N, P)
MODULI = ntt_primes(8, 4)
BOOK = textbook.Params(N, P, MODULI)
Q = BOOK.q


@dataclass(frozen=True)
class Mutant:
    """A mistake, and the implementation that makes it."""

    kind: str
    mistake: str
    implementation: Any

    def killer(self) -> laws.Law | None:
        """Return the first law that finds the mistake."""
        for law in laws.laws_for(self.implementation):
            try:
                law.check(self.implementation)
            except laws.LawBroken:
                return law
        return None


def changed(subject: Any, **methods: Callable[..., Any]) -> Any:
    """Return the subject with some methods replaced; the new ones take no self."""
    for name, method in methods.items():
        setattr(subject, name, method)
    return subject


def transforms() -> dict[str, Any]:
    def right() -> Any:
        return subjects.TextbookTransform(N, P, PSI)

    def values_at(a: list[int], exponents: list[int], psi: int = PSI, p: int = P) -> list[int]:
        return [textbook.evaluate(a, pow(psi, e, p), p) for e in exponents]

    odd = [2 * k + 1 for k in range(N)]
    reversed_bits = [0, 4, 2, 6, 1, 5, 3, 7]

    def in_place(a: list[int]) -> list[int]:
        a[:] = textbook.ntt(a, PSI, P)
        return a

    def in_float32(a: list[int]) -> list[int]:
        p = ntt_primes(4, 1)[0]
        psi = textbook.root_of_unity(4, p)
        powers = [[centred(pow(psi, e * j, p), p) for j in range(4)] for e in (1, 3, 5, 7)]
        product = np.array(powers, dtype=np.float32) @ np.array(a, dtype=np.float32)
        return [int(x) % p for x in product]

    single = ntt_primes(4, 1)[0]
    return {
        "the inverse forgets the factor 1/n": changed(
            right(), intt=lambda v: [N * x for x in textbook.intt(v, PSI, P)]
        ),
        "the root has psi^n = 1 instead of -1: a cyclic transform": changed(
            right(), ntt=lambda a: values_at(a, [2 * k for k in range(N)])
        ),
        "another primitive root than the one that is stated": changed(
            right(), ntt=lambda a: values_at(a, [3 * e for e in odd])
        ),
        "the values come in bit-reversed order": changed(
            right(), ntt=lambda a: values_at(a, [odd[i] for i in reversed_bits])
        ),
        "the inverse uses psi instead of 1/psi": changed(
            right(), intt=lambda v: [x * pow(N, -1, P) for x in textbook.ntt(v, PSI, P)]
        ),
        "the result overwrites the argument": changed(right(), ntt=in_place),
        "the highest coefficient is left out": changed(
            right(), ntt=lambda a: values_at(a[:-1], odd)
        ),
        "a butterfly adds where it should subtract": changed(
            right(), ntt=lambda a: values_at(a, odd[:4] + odd[:4])
        ),
        "sums of products of 24-bit residues in float32": changed(
            subjects.TextbookTransform(4, single, textbook.root_of_unity(4, single)),
            ntt=in_float32,
        ),
        "a constant is added: not linear": changed(
            right(), ntt=lambda a: [x + 1 for x in textbook.ntt(a, PSI, P)]
        ),
    }


def rings() -> dict[str, Any]:
    n, q = 4, 2**40 - 87

    def right() -> Any:
        return subjects.TextbookRing(n, q)

    def cyclic(a: list[int], b: list[int]) -> list[int]:
        out = [0] * n
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                out[(i + j) % n] += x * y
        return out

    def late(a: list[int], b: list[int]) -> list[int]:
        out = [0] * n
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                out[(i + j) % n] += x * y if i + j <= n else -x * y
        return out

    def by_floats(a: list[int], b: list[int]) -> list[int]:
        twist = np.exp(1j * np.pi * np.arange(n) / n)
        values = np.fft.fft(np.array(a) * twist) * np.fft.fft(np.array(b) * twist)
        return [round(x) for x in (np.fft.ifft(values) / twist).real]

    def on_32_bits(a: list[int], b: list[int]) -> list[int]:
        return [(x + y) % 2**32 for x, y in zip(a, b, strict=True)]

    return {
        "the minus sign at the wrap-around is forgotten": changed(right(), multiply=cyclic),
        "the wrap-around comes one power too late": changed(right(), multiply=late),
        "the product is taken in coefficient form, entry by entry": changed(
            right(), multiply=lambda a, b: [x * y for x, y in zip(a, b, strict=True)]
        ),
        "the product goes through a complex FFT in double precision": changed(
            right(), multiply=by_floats
        ),
        "sums overflow at 32 bits": changed(right(), add=on_32_bits),
        "negation leaves the constant coefficient alone": changed(
            right(), negate=lambda a: [a[0], *(-x for x in a[1:])]
        ),
        "the product forgets one of its factors' last coefficient": changed(
            right(), multiply=lambda a, b: poly_mul([*a[:-1], 0], b)
        ),
    }


def bases() -> dict[str, Any]:
    moduli, product = (5, 7, 97), 5 * 7 * 97

    def right() -> Any:
        return subjects.TextbookBasis(moduli)

    def without_inverse(residues: list[int]) -> int:
        return centred(
            sum(r * product // p for r, p in zip(residues, moduli, strict=True)), product
        )

    return {
        "compose returns 0 .. Q-1 instead of the centred integer": changed(
            right(), compose=lambda r: textbook.compose(r, moduli) % product
        ),
        "residues are 0 .. p-1 instead of centred": changed(
            right(), decompose=lambda x: [x % p for p in moduli]
        ),
        "compose forgets to multiply with the inverses of Q/p": changed(
            right(), compose=without_inverse
        ),
        "compose leaves the last modulus out": changed(
            right(), compose=lambda r: textbook.compose(r[:-1], moduli[:-1])
        ),
        "residues by a remainder that rounds towards zero": changed(
            right(), decompose=lambda x: [int(math.fmod(x, p)) for p in moduli]
        ),
    }


def rescalings() -> dict[str, Any]:
    source, target = MODULI, (97, 113)

    def rescaling(function: Callable[[int], int], ratio: Fraction) -> Any:
        def rescale(residues: list[int]) -> list[int]:
            return [function(textbook.compose(residues, source)) % p for p in target]

        return changed(subjects.EngineRescaling(source, target, ratio), rescale=rescale)

    down, half = Fraction(97 * 113, Q), Fraction(1, 2)

    def without_multiple_of_q(residues: list[int]) -> list[int]:
        y = [r * pow(Q // p, -1, p) % p for r, p in zip(residues, source, strict=True)]
        total = sum(v * (Q // p) for v, p in zip(y, source, strict=True))
        return [total % p for p in target]

    return {
        "floor instead of round": rescaling(lambda x: math.floor(down * x), down),
        "halves are rounded up instead of to the even integer": rescaling(
            lambda x: math.floor(half * x + Fraction(1, 2)), half
        ),
        "the ratio in double precision": rescaling(lambda x: round(float(down) * x), down),
        "the value is taken from 0 .. Q-1": rescaling(lambda x: x % Q, Fraction(1)),
        "the multiple of Q in the sum is not taken away": changed(
            subjects.EngineRescaling(source, target, Fraction(1)), rescale=without_multiple_of_q
        ),
        "numerator and denominator are exchanged": rescaling(lambda x: round(x / down), down),
    }


def gadgets() -> dict[str, Any]:
    n, moduli, w = 4, (97, 113), 4

    def right(w: int | None) -> Any:
        return subjects.TextbookGadget(n, moduli, w)

    base, rns = right(w), right(None)

    def uncentred(a: list[int]) -> list[list[int]]:
        a = [x % base.q for x in a]
        return [[x // w**i % w for x in a] for i in range(len(base.gadget))]

    return {
        "the last digit is missing": changed(
            right(w), digits=lambda a: [*base.digits(a)[:-1], [0] * n]
        ),
        "digits are 0 .. w-1 instead of centred": changed(right(w), digits=uncentred),
        "the digits are shifted by one place": changed(
            right(None), digits=lambda a: [*rns.digits(a)[1:], rns.digits(a)[0]]
        ),
        "the whole polynomial is the first digit": changed(
            right(w), digits=lambda a: [a, *([0] * n for _ in base.gadget[1:])]
        ),
        "the gadget is Q/p without the inverse": changed(
            right(None), gadget=[math.prod(moduli) // p for p in moduli]
        ),
    }


def slots() -> dict[str, Any]:
    primes = (17, 97)

    def right() -> Any:
        return subjects.TextbookSlots(N, primes)

    model = right()
    t = model.t

    def in_natural_order(values: list[int]) -> list[int]:
        pairs = zip(primes, model.psis, strict=True)
        return textbook.poly_compose([textbook.intt(values, psi, p) for p, psi in pairs], primes)

    def natural(m: list[int]) -> list[int]:
        pairs = zip(primes, model.psis, strict=True)
        return textbook.poly_compose([textbook.ntt(m, psi, p) for p, psi in pairs], primes)

    def swapped(values: list[int]) -> list[int]:
        return model.encode([*values[N // 2 :], *values[: N // 2]])

    return {
        "slots in the natural order of the transform": changed(
            right(), encode=in_natural_order, decode=natural
        ),
        "the two rows are exchanged when encoding": changed(right(), encode=swapped),
        "decoding returns 0 .. t-1": changed(
            right(), decode=lambda m: [x % t for x in model.decode(m)]
        ),
        "the values are written into the coefficients": changed(
            right(), encode=lambda values: values, decode=lambda m: m
        ),
        "only one of the primes of t is used": changed(
            right(), encode=lambda values: textbook.encode(values, primes[:1], model.psis[:1])
        ),
    }


def samplers() -> dict[str, Any]:
    right = subjects.TextbookSampler()

    def two_bits(seed: bytes, label: str, n: int) -> list[int]:
        stream = textbook.words(seed, label, 1)
        return [(0, 1, -1, 0)[next(stream) & 3] for _ in range(n)]

    def without_rejection(seed: bytes, label: str, n: int, p: int) -> list[int]:
        stream = textbook.words(seed, label, 1)
        return [centred((next(stream) >> 3) % p, p) for _ in range(n)]

    def narrow(seed: bytes, label: str, n: int) -> list[int]:
        return [round(x / math.sqrt(3.2)) for x in right.gaussian(seed, label, n)]

    numbers = random.Random(1)
    return {
        "3.2 taken for the variance instead of the deviation": changed(
            subjects.TextbookSampler(), gaussian=narrow
        ),
        "errors are all zero": changed(
            subjects.TextbookSampler(), gaussian=lambda seed, label, n: [0] * n
        ),
        "errors are never negative": changed(
            subjects.TextbookSampler(),
            gaussian=lambda seed, label, n: [abs(x) for x in right.gaussian(seed, label, n)],
        ),
        "ternary values from two bits: 0 twice as often": changed(
            subjects.TextbookSampler(), ternary=two_bits
        ),
        "secrets are 0 and 1 only": changed(
            subjects.TextbookSampler(),
            ternary=lambda seed, label, n: [abs(x) for x in right.ternary(seed, label, n)],
        ),
        "uniform residues without rejection: small ones too often": changed(
            subjects.TextbookSampler(), uniform=without_rejection
        ),
        "one stream for all labels": changed(
            subjects.TextbookSampler(), gaussian=lambda seed, label, n: right.gaussian(seed, "", n)
        ),
        "a global random state instead of the seed": changed(
            subjects.TextbookSampler(),
            gaussian=lambda seed, label, n: [round(numbers.gauss(0, 3.2)) for _ in range(n)],
        ),
    }


def bfv_schemes() -> dict[str, Any]:
    right = subjects.TextbookBFV(BOOK)
    zero = [0] * N

    def mutant(**methods: Callable[..., Any]) -> Any:
        return changed(subjects.TextbookBFV(BOOK), **methods)

    def encrypting(
        errors: bool = True,
        mask: bool = True,
        scale: Callable[[list[int]], list[int]] | None = None,
    ) -> Any:
        def encrypt(keys: Any, values: list[int], seed: bytes) -> Any:
            (b, a), scaled = keys[1], (scale or (lambda m: textbook.scale_up(BOOK, m)))(values)
            u = textbook.ternary(seed, "u", N) if mask else zero
            e = [textbook.gaussian(seed, f"e{i}", N) if errors else zero for i in (0, 1)]
            return [
                poly_mod(poly_add(poly_mul(b, u), e[0], scaled), Q),
                poly_mod(poly_add(poly_mul(a, u), e[1]), Q),
            ]

        return mutant(encrypt=encrypt)

    def key_with(s: list[int] | None = None, a: list[int] | None = None) -> Any:
        def keygen(seed: bytes) -> Any:
            secret, (_, uniform), *_ = right.keygen(seed)
            secret, uniform = s or secret, a or uniform
            e = textbook.gaussian(seed, "public-e", N)
            public = textbook_bfv.rlwe_sample(BOOK, secret, uniform, e)
            return secret, public, textbook_bfv.relin_keygen(BOOK, secret, seed), seed

        return mutant(keygen=keygen)

    def relinearizing(change: Callable[[list[int], Any, bytes], Any]) -> Any:
        def keygen(seed: bytes) -> Any:
            s, public, relin, _ = right.keygen(seed)
            return s, public, change(s, relin, seed), seed

        return mutant(keygen=keygen)

    def without_errors(s: list[int], relin: Any, seed: bytes) -> Any:
        s_squared = poly_mul(s, s)
        return [
            (poly_mod(poly_add(poly_scale(poly_mul(a, s), -1), poly_scale(s_squared, g)), Q), a)
            for (_, a), g in zip(relin, textbook.gadget(BOOK, None), strict=True)
        ]

    def of_s(s: list[int], relin: Any, seed: bytes) -> Any:
        wrong = poly_add(s, poly_scale(poly_mul(s, s), -1))
        return [
            (poly_mod(poly_add(b, poly_scale(wrong, g)), Q), a)
            for (b, a), g in zip(relin, textbook.gadget(BOOK, None), strict=True)
        ]

    def stale(s: list[int], relin: Any, seed: bytes) -> Any:
        return right.keygen(bytes(b ^ 255 for b in seed))[2]

    def modulo_first(x: Any, y: Any) -> Any:
        d = [poly_mul(x[0], y[0]), poly_add(poly_mul(x[0], y[1]), poly_mul(x[1], y[0]))]
        d.append(poly_mul(x[1], y[1]))
        return [poly_mod(textbook.poly_round(poly_mod(p, Q), P, Q), Q) for p in d]

    def half_cross(x: Any, y: Any) -> Any:
        d = [poly_mul(x[0], y[0]), poly_mul(x[0], y[1]), poly_mul(x[1], y[1])]
        return [poly_mod(textbook.poly_round(p, P, Q), Q) for p in d]

    def half_square(x: Any, y: Any) -> Any:
        return half_cross(x, y) if x is y else right.multiply(x, y)

    def not_rounded(keys: Any, ct: Any) -> list[int]:
        return [centred(P * x // Q, P) for x in textbook_bfv.phase(BOOK, keys[0], ct)]

    def in_place(x: Any, y: Any) -> Any:
        x[:] = right.add(x, y)
        return x

    def far_off(x: Any, y: Any) -> Any:
        return [[v + 2**40 for v in part] for part in right.multiply(x, y)]

    counter = count()
    return {
        "encryption adds no errors": encrypting(errors=False),
        "u is zero: the message stands in the open": encrypting(mask=False),
        "a scale of (q + q/t)/t instead of q/t": encrypting(
            scale=lambda m: poly_scale(m, (Q + Q // P) // P)
        ),
        "the message is put at the bottom of q": encrypting(scale=lambda m: m),
        "the secret is zero": key_with(s=zero),
        "a is zero: b is an error and hides nothing": key_with(a=zero),
        "all keys come from one seed": mutant(keygen=lambda seed: right.keygen(bytes(32))),
        "encryption repeats its randomness": mutant(
            encrypt=lambda keys, values, seed: right.encrypt(keys, values, bytes(32))
        ),
        "decryption without rounding": mutant(decrypt=not_rounded),
        "decryption returns 0 .. t-1": mutant(
            decrypt=lambda keys, ct: [x % P for x in right.decrypt(keys, ct)]
        ),
        "the difference is a sum": mutant(subtract=right.add),
        "negation forgets the second part": mutant(negate=lambda x: [poly_scale(x[0], -1), *x[1:]]),
        "scalars multiply the first part only": mutant(
            multiply_scalar=lambda x, c: [poly_scale(x[0], c), *x[1:]]
        ),
        "a plaintext is added without scaling": mutant(
            add_plain=lambda x, values: [poly_add(x[0], values), *x[1:]]
        ),
        "a plaintext is added to every part": mutant(
            add_plain=lambda x, values: [poly_add(p, textbook.scale_up(BOOK, values)) for p in x]
        ),
        "a plaintext multiplies entry by entry": mutant(
            multiply_plain=lambda x, values: [
                [a * b for a, b in zip(part, values, strict=True)] for part in x
            ]
        ),
        "the product is reduced modulo q before it is scaled": mutant(multiply=modulo_first),
        "the product forgets one of the mixed terms": mutant(multiply=half_cross),
        "the square counts its mixed term once": mutant(multiply=half_square),
        "the product is right, but off by 2^40 in every coefficient": mutant(multiply=far_off),
        "relinearisation throws the third part away": mutant(relinearize=lambda keys, x: x[:2]),
        "the relinearisation key encrypts s instead of s^2": relinearizing(of_s),
        "the relinearisation key belongs to an older secret": relinearizing(stale),
        "the relinearisation key has no errors": relinearizing(without_errors),
        "the relinearisation key's digits are off by one": relinearizing(
            lambda s, relin, seed: [*relin[1:], relin[0]]
        ),
        "sums overwrite their first operand": mutant(add=in_place),
        "every tenth decryption is wrong": mutant(
            decrypt=lambda keys, ct: zero if next(counter) % 10 == 9 else right.decrypt(keys, ct)
        ),
    }


def rotating_schemes() -> dict[str, Any]:
    right = subjects.TextbookBFV(BOOK)

    def mutant(**methods: Callable[..., Any]) -> Any:
        return changed(subjects.TextbookBFV(BOOK), **methods)

    def with_key(change: Callable[[Any, Any, int], Any]) -> Any:
        """Rotate with a key that is made of the right one, the secret and the exponent."""

        def rotate(keys: Any, x: Any, rotation: Any) -> Any:
            g = subjects.exponent(N, rotation)
            return textbook_bfv.rotate(BOOK, change(right.rotation_key(keys, g), keys[0], g), x, g)

        return mutant(rotate=rotate)

    def without_errors(key: Any, s: list[int], g: int) -> Any:
        s_g = automorphism(s, inverse_exponent(N, g))
        return [
            (poly_mod(poly_add(poly_scale(poly_mul(a, s_g), -1), poly_scale(s, weight)), Q), a)
            for (_, a), weight in zip(key, textbook.gadget(BOOK, None), strict=True)
        ]

    def key_kept(keys: Any, x: Any, rotation: Any) -> Any:
        return [automorphism(part, subjects.exponent(N, rotation)) for part in x]

    def without_signs(keys: Any, x: Any, rotation: Any) -> Any:
        with patch.object(textbook_bfv, "automorphism", unsigned):
            return right.rotate(keys, x, rotation)

    def unsigned(a: list[int], g: int) -> list[int]:
        out = [0] * N
        for i, x in enumerate(a):
            out[g * i % N] = x
        return out

    def to_the_right(keys: Any, x: Any, rotation: Any) -> Any:
        return right.rotate(keys, x, rotation if rotation == "swap" else -rotation)

    def halfway(keys: Any, x: Any, rotation: Any) -> Any:
        return right.rotate(keys, x, N // 4 if rotation == "swap" else rotation)

    def always_by_one(keys: Any, x: Any, rotation: Any) -> Any:
        return right.rotate(keys, x, rotation if rotation == "swap" else 1)

    return {
        "the key is not switched": mutant(rotate=key_kept),
        "coefficients are moved without their signs": mutant(rotate=without_signs),
        "rotations turn to the right": mutant(rotate=to_the_right),
        "the swap turns the rows by half": mutant(rotate=halfway),
        "every rotation is one by one step": mutant(rotate=always_by_one),
        "the rotation key's digits are off by one": with_key(lambda key, s, g: [*key[1:], key[0]]),
        "the rotation key has no errors": with_key(without_errors),
    }


def bgv_schemes() -> dict[str, Any]:
    right = subjects.TextbookBGV(BOOK)
    zero = [0] * N

    def mutant(**methods: Callable[..., Any]) -> Any:
        return changed(subjects.TextbookBGV(BOOK), **methods)

    def encrypting(
        unit: int = P, mask: bool = True, lift: Callable[[list[int]], list[int]] = lambda m: m
    ) -> Any:
        def encrypt(keys: Any, values: list[int], seed: bytes) -> Any:
            b, a = keys[1]
            u = textbook.ternary(seed, "u", N) if mask else zero
            e = [poly_scale(textbook.gaussian(seed, f"e{i}", N), unit) for i in (0, 1)]
            parts = [
                poly_mod(poly_add(poly_mul(b, u), e[0], lift(values)), Q),
                poly_mod(poly_add(poly_mul(a, u), e[1]), Q),
            ]
            return textbook_bgv.Ciphertext(parts)

        return mutant(encrypt=encrypt)

    def not_centred(keys: Any, ct: Any) -> list[int]:
        return [centred(x % Q, P) for x in textbook_bfv.phase(BOOK, keys[0], ct.parts)]

    def keys_of_bfv(seed: bytes) -> Any:
        return subjects.TextbookBFV(BOOK).keygen(seed)

    def relin_of_bfv(seed: bytes) -> Any:
        s, public, *_ = right.keygen(seed)
        return s, public, textbook_bfv.relin_keygen(BOOK, s, seed), seed

    def scaled_down(x: Any, y: Any) -> Any:
        return textbook_bgv.Ciphertext(textbook_bfv.multiply(BOOK, x.parts, y.parts))

    def plain_of_bfv(x: Any, values: list[int]) -> Any:
        return x._replace(parts=textbook_bfv.add_plain(BOOK, x.parts, values))

    def inverse_factor(x: Any, y: Any) -> Any:
        return right.multiply(x, y)._replace(factor=BOOK.q % P)

    return {
        "errors are small instead of multiples of t": encrypting(unit=1),
        "encryption adds no errors": encrypting(unit=0),
        "u is zero: the message stands in the open": encrypting(mask=False),
        "the message is lifted to q/t m, as in BFV": encrypting(
            lift=lambda m: textbook.scale_up(BOOK, m)
        ),
        "the phase is not centred before it is reduced modulo t": mutant(decrypt=not_centred),
        "the keys are those of BFV": mutant(keygen=keys_of_bfv),
        "the relinearisation key is one of BFV": mutant(keygen=relin_of_bfv),
        "a product is scaled down as in BFV": mutant(multiply=scaled_down),
        "a plaintext is added as in BFV": mutant(add_plain=plain_of_bfv),
        "a product gets the factor of a ciphertext that came from BFV": mutant(
            multiply=inverse_factor
        ),
    }


def engine_schemes() -> dict[str, Any]:
    t = ntt_primes(N, 1, below=200)
    params = Params("INSECURE_MUTANT", N, ntt_primes(N, 4), t, security=None)

    def mutant(scheme: Any, **methods: Callable[..., Any]) -> Any:
        return changed(EngineScheme(scheme), **methods)

    def without_errors(scheme: Any, module: Any) -> Any:
        subject = EngineScheme(scheme)

        def no_errors(seed: bytes, labels: list[str], n: int) -> Any:
            return np.zeros((len(labels), n))

        def quietly(method: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any) -> Any:
                with patch.object(module, "gaussian", no_errors):
                    return method(*arguments)

            return run

        return changed(subject, keygen=quietly(subject.keygen), encrypt=quietly(subject.encrypt))

    bfv, yashe = BFV(params), YASHE(params)

    def half_switched(keys: Any, x: Any) -> Any:
        return replace(x, store=x.rows[:, :2], degree=1)

    def halved(x: Any, y: Any) -> Any:
        return replace(x * y, degree=1)

    return {
        "the predicted noise budget forgets what products cost": mutant(
            bfv, predicted_budget=lambda ct: float(bfv.fresh_bound(True).budget(N))
        ),
        "the engine's BFV without errors": without_errors(BFV(params), rlwe),
        "the engine's BGV without errors": without_errors(BGV(params), rlwe),
        "the engine's YASHE' without errors": without_errors(YASHE(params), yashe_prime),
        "the third part is cut off instead of relinearised": mutant(bfv, relinearize=half_switched),
        "a product of YASHE' is taken for degree 1": mutant(yashe, multiply=halved),
    }


def yashe_schemes() -> dict[str, Any]:
    right = subjects.TextbookYASHE(BOOK)
    zero = [0] * N

    def mutant(**methods: Callable[..., Any]) -> Any:
        return changed(subjects.TextbookYASHE(BOOK), **methods)

    def key(factor: int, one: int, t_in_h: int) -> Any:
        def keygen(seed: bytes) -> Any:
            f_small, g = (textbook.ternary(seed, name, N) for name in ("f", "g"))
            for attempt in count():
                f = poly_scale(f_small, factor)
                f[0] += one
                inverse = textbook_yashe.invert(BOOK, f)
                if inverse is not None:
                    break
                f_small = textbook.ternary(seed, f"f{attempt}", N)
            h = poly_mod(poly_scale(poly_mul(g, inverse), t_in_h), Q)
            return f, h, textbook_yashe.evaluation_keygen(BOOK, f, h, seed), seed

        return mutant(keygen=keygen)

    def encrypting(error: bool, mask: bool) -> Any:
        def encrypt(keys: Any, values: list[int], seed: bytes) -> Any:
            e = textbook.gaussian(seed, "e", N) if error else zero
            u = textbook.gaussian(seed, "u", N) if mask else zero
            c = poly_add(textbook.scale_up(BOOK, values), e, poly_mul(keys[1], u))
            return poly_mod(c, Q), 1

        return mutant(encrypt=encrypt)

    def evaluating(change: Callable[[Any, Any, bytes], Any]) -> Any:
        def keygen(seed: bytes) -> Any:
            f, h, evk, _ = right.keygen(seed)
            return f, h, change((f, h), evk, seed), seed

        return mutant(keygen=keygen)

    def without_e(keys: Any, evk: Any, seed: bytes) -> Any:
        f, h = keys
        out = []
        for i, g in enumerate(textbook.gadget(BOOK, None)):
            s = textbook.gaussian(seed, f"evk-s/{i}", N)
            out.append(poly_mod(poly_add(poly_scale(f, g), poly_mul(h, s)), Q))
        return out

    def modulo_first(x: Any, y: Any) -> Any:
        product = poly_mod(poly_mul(x[0], y[0]), Q)
        return poly_mod(textbook.poly_round(product, P, Q), Q), 2

    return {
        "f is not 1 modulo t": key(P, 2, P),
        "f is f' + 1 without the factor t": key(1, 1, P),
        "h is g / f without the factor t": key(P, 1, 1),
        "encryption adds no error e": encrypting(error=False, mask=True),
        "encryption leaves h u out": encrypting(error=True, mask=False),
        "a product is decrypted with f instead of f^2": mutant(
            decrypt=lambda keys, ct: textbook_yashe.decrypt(BOOK, keys[0], ct[0], 1)
        ),
        "key switching changes the degree and nothing else": mutant(
            relinearize=lambda keys, x: (x[0], 1)
        ),
        "the evaluation key has no errors e_i": evaluating(without_e),
        "the evaluation key's digits are off by one": evaluating(
            lambda keys, evk, seed: [*evk[1:], evk[0]]
        ),
        "the evaluation key belongs to an older f": evaluating(
            lambda keys, evk, seed: right.keygen(bytes(b ^ 255 for b in seed))[2]
        ),
        "the product is reduced modulo q before it is scaled": mutant(multiply=modulo_first),
        "the product is not scaled by t/q": mutant(
            multiply=lambda x, y: (poly_mod(poly_mul(x[0], y[0]), Q), 2)
        ),
    }


def mutants() -> list[Mutant]:
    """Return all of them, kind by kind."""
    kinds = {
        "transform": transforms,
        "ring": rings,
        "basis": bases,
        "rescaling": rescalings,
        "gadget": gadgets,
        "slots": slots,
        "sampler": samplers,
        "BFV": bfv_schemes,
        "rotation": rotating_schemes,
        "BGV": bgv_schemes,
        "engine": engine_schemes,
        "YASHE'": yashe_schemes,
    }
    return [
        Mutant(kind, mistake, implementation)
        for kind, make in kinds.items()
        for mistake, implementation in make().items()
    ]


def table() -> str:
    """Return the table of docs/laws.md."""
    lines = ["| of a | mistake | the first law that finds it |", "|---|---|---|"]
    for mutant in mutants():
        killer = mutant.killer()
        found = killer.sentence if killer else "**none**"
        lines.append(f"| {mutant.kind} | {mutant.mistake} | {found} |")
    return "\n".join(lines)


BEGIN, END = "<!-- mutants: begin -->\n", "\n<!-- mutants: end -->"
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "laws.md"

if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
