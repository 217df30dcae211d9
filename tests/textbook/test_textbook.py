"""The textbook against definitions, sympy and sums worked by hand."""

import hashlib
from collections import Counter
from fractions import Fraction
from itertools import islice
from math import log2, pi, prod, sqrt
from types import ModuleType

import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yashe.textbook import bfv as textbook_bfv
from yashe.textbook import polynomials as textbook
from yashe.textbook import yashe as textbook_yashe
from yashe.textbook.polynomials import Params, Poly

# Every one of these primes is 1 (mod 128), so that x^n + 1 splits for each n up to 64.
SMALL_PRIMES = [p for p in sympy.primerange(2**13) if p % 128 == 1]
LARGE_PRIMES = [p for p in range(2**24 - 127, 2**24 - 128 * 200, -128) if sympy.isprime(p)]
SEED = bytes(range(32))

degrees = st.sampled_from([1, 2, 4, 8, 16, 32, 64])
primes = st.sampled_from(SMALL_PRIMES + LARGE_PRIMES)
seeds = st.binary(min_size=32, max_size=32)


def polys(n: int, bound: int) -> st.SearchStrategy[Poly]:
    """Polynomials of n coefficients up to the bound, which itself is drawn often."""
    edge = st.sampled_from([-bound, bound, 0])
    return st.lists(st.one_of(edge, st.integers(-bound, bound)), min_size=n, max_size=n)


# Integers


@given(st.integers(), st.integers(2, 2**70))
def test_a_centred_residue_is_congruent_and_lies_in_the_half_open_interval(x: int, q: int) -> None:
    r = textbook.centred(x, q)
    assert (x - r) % q == 0
    assert -q < 2 * r <= q


def test_an_odd_modulus_has_symmetric_residues() -> None:
    assert sorted({textbook.centred(x, 7) for x in range(-20, 20)}) == [-3, -2, -1, 0, 1, 2, 3]


@given(st.integers(), st.integers(1, 2**70))
@example(1, 2)
@example(3, 2)
@example(-1, 2)
@example(-3, 2)
def test_rounding_equals_that_of_exact_fractions(a: int, b: int) -> None:
    assert textbook.round_div(a, b) == round(Fraction(a, b))


@given(st.data(), st.lists(primes, min_size=1, max_size=5, unique=True))
def test_compose_undoes_decompose_on_the_whole_range(data: st.DataObject, moduli: Poly) -> None:
    half = prod(moduli) // 2
    x = data.draw(st.one_of(st.sampled_from([-half, half]), st.integers(-half, half)))
    residues = textbook.decompose(x, moduli)
    assert residues == [textbook.centred(x, p) for p in moduli]
    assert textbook.compose(residues, moduli) == x


# Polynomials and transforms


@given(st.data(), degrees)
def test_the_negacyclic_product_equals_that_of_sympy(data: st.DataObject, n: int) -> None:
    a, b = data.draw(polys(n, 50)), data.draw(polys(n, 50))
    x = sympy.Symbol("x")
    product = sympy.Poly(a[::-1], x) * sympy.Poly(b[::-1], x)
    rest = sympy.rem(product, sympy.Poly(x**n + 1, x)).all_coeffs()[::-1]
    assert textbook.poly_mul(a, b) == rest + [0] * (n - len(rest))


@given(st.data(), degrees)
@settings(max_examples=30)
def test_polynomials_form_a_commutative_ring(data: st.DataObject, n: int) -> None:
    a, b, c = (data.draw(polys(n, 2**30)) for _ in range(3))
    mul, add = textbook.poly_mul, textbook.poly_add
    assert mul(a, b) == mul(b, a)
    assert mul(mul(a, b), c) == mul(a, mul(b, c))
    assert mul(a, add(b, c)) == add(mul(a, b), mul(a, c))
    assert mul(a, [1] + [0] * (n - 1)) == a


def test_the_known_product_modulo_x4_plus_1() -> None:
    # (1 + 2x + 3x^2 + 4x^3)(5 + 6x + 7x^2 + 8x^3), schoolbook, has the coefficients
    # 5, 16, 34, 60, 61, 52, 32; the upper three come back with their sign changed.
    a, b = [1, 2, 3, 4], [5, 6, 7, 8]
    assert textbook.poly_mul(a, b) == [5 - 61, 16 - 52, 34 - 32, 60]
    # Modulo 17: -56 = -5, -36 = -2, 2, 60 = 9 = -8. And 2 is a psi: 2^4 = 16 = -1.
    assert textbook.multiply_by_ntt(a, b, 2, 17) == [-5, -2, 2, -8]


@given(st.data(), degrees, primes)
def test_horner_gives_the_sum_of_powers(data: st.DataObject, n: int, p: int) -> None:
    a, x = data.draw(polys(n, p // 2)), data.draw(st.integers(-p, p))
    value = textbook.evaluate(a, x, p)
    assert value == textbook.centred(sum(c * x**j for j, c in enumerate(a)), p)


@given(degrees, primes)
def test_psi_has_order_2n(n: int, p: int) -> None:
    psi = textbook.root_of_unity(n, p)
    assert sympy.n_order(psi, p) == 2 * n


def test_a_prime_without_roots_is_refused() -> None:
    with pytest.raises(ValueError, match=r"primes p = 1 \(mod 16\), got p = 41"):
        textbook.root_of_unity(8, 41)


@given(st.data(), degrees, primes)
def test_butterflies_definition_and_matrix_agree(data: st.DataObject, n: int, p: int) -> None:
    a = data.draw(polys(n, p // 2))
    psi = textbook.root_of_unity(n, p)
    matrix = [[pow(psi, (2 * k + 1) * j, p) for j in range(n)] for k in range(n)]
    by_matrix = [
        textbook.centred(sum(m * c for m, c in zip(row, a, strict=True)), p) for row in matrix
    ]
    assert textbook.ntt_by_definition(a, psi, p) == by_matrix
    assert textbook.ntt(a, psi, p) == by_matrix


@given(st.data(), degrees, primes)
def test_the_inverse_transform_gives_the_polynomial_back(
    data: st.DataObject, n: int, p: int
) -> None:
    a = data.draw(polys(n, p // 2))
    psi = textbook.root_of_unity(n, p)
    before = list(a)
    assert textbook.intt(textbook.ntt(a, psi, p), psi, p) == a
    assert a == before


@given(st.data(), degrees, primes)
def test_the_product_by_transforms_is_the_negacyclic_product(
    data: st.DataObject, n: int, p: int
) -> None:
    a, b = data.draw(polys(n, p // 2)), data.draw(polys(n, p // 2))
    expected = textbook.poly_mod(textbook.poly_mul(a, b), p)
    assert textbook.multiply_by_ntt(a, b, textbook.root_of_unity(n, p), p) == expected


# Slots


def slot_setting(data: st.DataObject, n: int) -> tuple[list[int], list[int], int]:
    """Draw the primes of t, a psi for each, and t."""
    factors = data.draw(st.lists(primes, min_size=1, max_size=3, unique=True))
    return factors, [textbook.root_of_unity(n, p) for p in factors], prod(factors)


@given(st.data(), degrees.filter(lambda n: n > 1))
def test_decode_undoes_encode_for_products_of_primes(data: st.DataObject, n: int) -> None:
    factors, psis, t = slot_setting(data, n)
    slots = data.draw(polys(n, t // 2))
    m = textbook.encode(slots, factors, psis)
    assert all(abs(x) <= t // 2 for x in m)
    assert textbook.decode(m, factors, psis) == slots


@given(st.data(), degrees.filter(lambda n: n > 1))
def test_slots_add_and_multiply_one_by_one(data: st.DataObject, n: int) -> None:
    factors, psis, t = slot_setting(data, n)
    v, w = data.draw(polys(n, t // 2)), data.draw(polys(n, t // 2))
    a, b = textbook.encode(v, factors, psis), textbook.encode(w, factors, psis)
    added = textbook.decode(textbook.poly_add(a, b), factors, psis)
    multiplied = textbook.decode(textbook.poly_mul(a, b), factors, psis)
    assert added == [textbook.centred(x + y, t) for x, y in zip(v, w, strict=True)]
    assert multiplied == [textbook.centred(x * y, t) for x, y in zip(v, w, strict=True)]


def test_the_known_slots_of_x_for_n_4_and_t_17() -> None:
    # The exponents are 1, 5 and -1 = 7, -5 = 3; with psi = 2 the polynomial x has the values
    # 2, 2^5 = 32 = -2, 2^7 = 128 = -8 and 2^3 = 8.
    assert textbook.slot_exponents(4) == [1, 5, 7, 3]
    assert textbook.decode([0, 1, 0, 0], [17], [2]) == [2, -2, -8, 8]


@given(st.sampled_from([4, 8, 16, 32]), st.data())
def test_x_to_x5_rotates_both_rows_and_x_to_its_inverse_swaps_them(
    n: int, data: st.DataObject
) -> None:
    factors, psis, t = slot_setting(data, n)
    slots = data.draw(polys(n, t // 2))
    m = textbook.encode(slots, factors, psis)

    def substituted(g: int) -> Poly:
        power, out = [0] * n, [0] * n
        for j, c in enumerate(m):
            power = [0] * n
            power[j * g % n] = c if j * g % (2 * n) < n else -c
            out = textbook.poly_add(out, power)
        return textbook.decode(out, factors, psis)

    top, bottom = slots[: n // 2], slots[n // 2 :]
    assert substituted(5) == top[1:] + top[:1] + bottom[1:] + bottom[:1]
    assert substituted(2 * n - 1) == bottom + top


# Gadgets


@given(st.data(), degrees, st.lists(primes, min_size=1, max_size=4, unique=True))
@settings(max_examples=50)
def test_digits_times_gadget_give_the_polynomial_back(
    data: st.DataObject, n: int, moduli: list[int]
) -> None:
    params = Params(n, 2, tuple(moduli))
    a = data.draw(polys(n, params.q // 2))
    for w in (None, 3, 4, 2**10, 2**32):
        digits, gadget = textbook.gadget_digits(a, params, w), textbook.gadget(params, w)
        terms = [textbook.poly_scale(d, g) for d, g in zip(digits, gadget, strict=True)]
        assert textbook.poly_mod(textbook.poly_add(*terms), params.q) == a
        bounds = moduli if w is None else [w] * len(digits)
        for digit, bound in zip(digits, bounds, strict=True):
            assert all(-bound < 2 * x <= bound for x in digit)


def test_the_paper_counts_floor_of_log_w_q_plus_2_digits() -> None:
    assert textbook.base_gadget(1000, 10) == [1, 10, 100, 1000, 10000]
    assert textbook.base_gadget(999, 10) == [1, 10, 100, 1000]


# Samplers


def test_words_are_the_bytes_of_shake_256_across_blocks() -> None:
    count = 5000  # the first block has 1024 words, the next ones double the length
    reference = hashlib.shake_256(SEED + b"secret/1").digest(3 * count)
    expected = [int.from_bytes(reference[3 * i : 3 * i + 3], "little") for i in range(count)]
    assert list(islice(textbook.words(SEED, "secret/1", 3), count)) == expected


@pytest.mark.parametrize("p", [17, 12289, 2**23 + 9, LARGE_PRIMES[0]])
def test_uniform_rows_are_reduced_words_below_the_last_whole_multiple(p: int) -> None:
    # Of the words for p = 2^23 + 9 half are dropped.
    reference = hashlib.shake_256(SEED + f"a/{p}".encode()).digest(3 * 800)
    values = [int.from_bytes(reference[i : i + 3], "little") for i in range(0, 2400, 3)]
    kept = [v for v in values if v < p * (2**24 // p)]
    assert textbook.uniform_row(SEED, "a", 300, p) == [textbook.centred(v, p) for v in kept[:300]]


def test_uniform_residues_have_the_mean_and_variance_of_the_uniform_distribution() -> None:
    p, n = 12289, 20000
    row = textbook.uniform_row(SEED, "a", n, p)
    assert max(abs(x) for x in row) <= p // 2
    # The variance of one value is (p^2 - 1) / 12; five standard errors on either side.
    sigma = sqrt((p * p - 1) / 12)
    assert abs(sum(row) / n) < 5 * sigma / sqrt(n)
    assert sum(x * x for x in row) / n == pytest.approx(sigma**2, rel=5 * sqrt(0.8 / n))


def test_a_uniform_element_has_independent_uniform_rows() -> None:
    params = Params(8, 2, (17, 97))
    rows = textbook.poly_decompose(textbook.uniform(SEED, "a", params), params.moduli)
    assert rows == [textbook.uniform_row(SEED, "a", 8, p) for p in (17, 97)]


def test_ternary_values_are_equally_frequent() -> None:
    counts = Counter(textbook.ternary(SEED, "secret", 30000))
    assert set(counts) == {-1, 0, 1}
    assert all(abs(c - 10000) < 5 * sqrt(30000 * 2 / 9) for c in counts.values())


def test_ternary_drops_the_byte_255() -> None:
    stream = hashlib.shake_256(SEED + b"secret").digest(2000)
    assert 255 in stream
    kept = [u % 3 - 1 for u in stream if u != 255]
    assert textbook.ternary(SEED, "secret", 1500) == kept[:1500]


def test_the_gaussian_table_is_a_symmetric_distribution_of_width_3_2() -> None:
    table = textbook.gaussian_table()
    assert len(table) == 65
    assert table[-1] == 2**64
    weights = [b - a for a, b in zip((0, *table), table, strict=False)]
    assert all(abs(x - y) <= 1 for x, y in zip(weights, reversed(weights), strict=True))
    assert weights[32] / 2**64 == pytest.approx(1 / (3.2 * sqrt(2 * pi)), rel=1e-12)
    assert weights[33] / weights[32] == pytest.approx(2.718281828459045 ** (-1 / 20.48), rel=1e-12)
    variance = sum(w * (i - 32) ** 2 for i, w in enumerate(weights)) / 2**64
    assert variance == pytest.approx(3.2**2, rel=1e-9)


def test_gaussian_samples_have_mean_0_and_width_3_2() -> None:
    n = 20000
    sample = textbook.gaussian(SEED, "e", n)
    assert max(abs(x) for x in sample) <= 32
    assert abs(sum(sample) / n) < 5 * 3.2 / sqrt(n)
    assert sum(x * x for x in sample) / n == pytest.approx(3.2**2, rel=5 * sqrt(2 / n))


@given(st.integers(0, 64))
def test_inversion_gives_the_smallest_value_whose_table_entry_exceeds_u(i: int) -> None:
    table = textbook.gaussian_table()
    for u in (table[i] - 1, table[i]):
        if 0 <= u < 2**64:
            expected = min(j for j, entry in enumerate(table) if u < entry) - 32
            stream = (w for w in [u])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(textbook, "words", lambda *_args, stream=stream: stream)
                assert textbook.gaussian(SEED, "e", 1) == [expected]


def test_other_seeds_and_other_labels_give_other_samples() -> None:
    draws = [(SEED, "a"), (SEED, "b"), (bytes(32), "a")]
    samples = {tuple(textbook.gaussian(seed, label, 64)) for seed, label in draws}
    assert len(samples) == 3
    assert textbook.gaussian(SEED, "a", 64) == textbook.gaussian(SEED, "a", 64)


# Both schemes: the same laws, since they have the same verbs.

TOY_MODULI = tuple(LARGE_PRIMES[:4])


class Scheme:
    """One of the two schemes with its keys; products stay unswitched until asked."""

    def __init__(self, module: ModuleType, params: Params, seed: bytes = SEED) -> None:
        self.module, self.params = module, params
        self.secret, self.public = module.keygen(params, seed)
        self.is_bfv = module is textbook_bfv

    def encrypt(self, m: Poly, j: int = 0) -> list[Poly] | Poly:
        return self.module.encrypt(self.params, self.public, m, b"e" * 32, j)

    def decrypt(self, ct: list[Poly] | Poly, degree: int = 1) -> Poly:
        extra = () if self.is_bfv else (degree,)
        return self.module.decrypt(self.params, self.secret, ct, *extra)

    def budget(self, ct: list[Poly] | Poly, degree: int = 1) -> float:
        extra = () if self.is_bfv else (degree,)
        return self.module.noise_budget(self.params, self.secret, ct, *extra)

    def switched(self, ct: list[Poly] | Poly, w: int | None) -> list[Poly] | Poly:
        p, s = self.params, self.secret
        if self.is_bfv:
            rlk = textbook_bfv.relin_keygen(p, s, SEED, w)
            return textbook_bfv.relinearise(p, rlk, ct, w)
        evk = textbook_yashe.evaluation_keygen(p, s, self.public, SEED, w)
        return textbook_yashe.key_switch(p, evk, ct, w)


both = pytest.mark.parametrize("module", [textbook_bfv, textbook_yashe], ids=["bfv", "yashe"])
toys = st.builds(
    Params,
    n=st.sampled_from([1, 2, 4, 8, 16]),
    t=st.sampled_from([2, 3, 17, 97, 256, 7681]),
    moduli=st.just(TOY_MODULI),
)


@both
@given(data=st.data(), params=toys, seed=seeds)
@settings(max_examples=40, deadline=None)
def test_decryption_undoes_encryption(
    module: ModuleType, data: st.DataObject, params: Params, seed: bytes
) -> None:
    scheme = Scheme(module, params, seed)
    m = data.draw(polys(params.n, (params.t - 1) // 2))
    assert scheme.decrypt(scheme.encrypt(m)) == m


@both
@given(data=st.data(), params=toys)
@settings(max_examples=40, deadline=None)
def test_decryption_carries_sums_differences_and_plain_operands(
    module: ModuleType, data: st.DataObject, params: Params
) -> None:
    scheme, t = Scheme(module, params), params.t
    m, m2 = data.draw(polys(params.n, t // 2)), data.draw(polys(params.n, t // 2))
    c = data.draw(st.integers(-t, t))
    ct, ct2 = scheme.encrypt(m, 0), scheme.encrypt(m2, 1)
    before = [list(part) if isinstance(part, list) else part for part in ct]
    minus = textbook.poly_scale(m2, -1)
    cases = [
        (module.add(params, ct, ct2), textbook.poly_add(m, m2)),
        (module.sub(params, ct, ct2), textbook.poly_add(m, minus)),
        (module.negate(params, ct2), minus),
        (module.multiply_scalar(params, ct, c), textbook.poly_scale(m, c)),
        (module.add_plain(params, ct, m2), textbook.poly_add(m, m2)),
        (module.multiply_plain(params, ct, m2), textbook.poly_mul(m, m2)),
    ]
    for result, expected in cases:
        assert scheme.decrypt(result) == textbook.poly_mod(expected, t)
    assert ct == before


@both
@given(data=st.data(), params=toys)
@settings(max_examples=30, deadline=None)
def test_decryption_carries_products_before_and_after_key_switching(
    module: ModuleType, data: st.DataObject, params: Params
) -> None:
    scheme, t = Scheme(module, params), params.t
    m, m2 = data.draw(polys(params.n, t // 2)), data.draw(polys(params.n, t // 2))
    product = module.multiply(params, scheme.encrypt(m, 0), scheme.encrypt(m2, 1))
    expected = textbook.poly_mod(textbook.poly_mul(m, m2), t)
    assert scheme.decrypt(product, degree=2) == expected
    for w in (None, 2**10):
        assert scheme.decrypt(scheme.switched(product, w)) == expected


def test_three_part_ciphertexts_multiply_and_add_like_others() -> None:
    params = Params(8, 17, TOY_MODULI)
    scheme = Scheme(textbook_bfv, params)
    m = [1, -2, 3, 0, 5, -6, 7, 8]
    ct = scheme.encrypt(m)
    square = textbook_bfv.multiply(params, ct, ct)
    cube = textbook_bfv.multiply(params, square, ct)
    assert [len(square), len(cube)] == [3, 4]
    expected = textbook.poly_mul(textbook.poly_mul(m, m), m)
    assert scheme.decrypt(cube) == textbook.poly_mod(expected, 17)
    both_sizes = textbook.poly_add(textbook.poly_mul(m, m), m)
    assert scheme.decrypt(textbook_bfv.add(params, ct, square)) == textbook.poly_mod(both_sizes, 17)


def test_rounding_the_message_once_saves_the_noise_of_the_papers_floor() -> None:
    # With t^2 near q the papers' remainder r_t(q) * m alone exceeds what decryption can remove:
    # 16775041 = 2183 * 7681 + 7418, and 7418 * 3840 is more than 16775041 / 2.
    params = Params(4, 7681, (16775041,))
    m = [3840, -3840, 3000, 1]
    floored = textbook.poly_mod(textbook.poly_scale(m, params.q // params.t), params.q)
    assert params.q % params.t * 3840 > params.q // 2
    assert textbook.scale_down(params, floored) != m
    assert textbook.scale_down(params, textbook.scale_up(params, m)) == m


def test_a_bfv_phase_by_hand_for_n_4_and_q_17() -> None:
    # s = 1 - x^3, c = (2 + x, 3): c_0 + c_1 s = 5 + x - 3x^3. With t = 5 rounding 5/17 of it
    # gives 25/17 -> 1, 5/17 -> 0, 0, -15/17 -> -1.
    params = Params(4, 5, (17,))
    s, ct = [1, 0, 0, -1], [[2, 1, 0, 0], [3, 0, 0, 0]]
    assert textbook_bfv.phase(params, s, ct) == [5, 1, 0, -3]
    assert textbook_bfv.decrypt(params, s, ct) == [1, 0, 0, -1]
    # The noise [5 * phase]_17 is 25 - 17 = 8, 5, 0, -15 + 17 = 2: no bit of budget is left.
    assert textbook.noise_of(params, [5, 1, 0, -3]) == [8, 5, 0, 2]
    assert textbook_bfv.noise_budget(params, s, ct) == pytest.approx(log2(17 / 16))


def test_a_bfv_square_by_hand_for_n_1() -> None:
    # In Z modulo 17, t = 4, s = 1: c = (7, 2) has the phase 9, 4/17 * 9 = 2.1 -> 2. The parts of
    # the square are 4/17 * 49 = 11.5 -> 12 = -5, 4/17 * 28 = 6.6 -> 7 and 4/17 * 4 = 0.9 -> 1.
    params = Params(1, 4, (17,))
    ct = [[7], [2]]
    assert textbook_bfv.multiply(params, ct, ct) == [[-5], [7], [1]]
    # Their sum is 3, and 4/17 * 3 = 0.7 -> 1 is not 2^2 = 0 modulo 4: phase 9 was 0.5 off from
    # 17/4 * 2 = 8.5, and the square doubles that and more. A q this small has no room for it.
    assert textbook_bfv.decrypt(params, [1], [[-5], [7], [1]]) == [1]


# Keys and ciphertexts, term by term


@pytest.mark.parametrize("j", [0, 3])
def test_bfv_encryption_is_its_formula(j: int) -> None:
    params, m = Params(8, 17, TOY_MODULI), [1, -2, 3, 0, 5, -6, 7, 8]
    _, (b, a) = textbook_bfv.keygen(params, SEED)
    c_0, c_1 = textbook_bfv.encrypt(params, (b, a), m, SEED, j)
    u = textbook.ternary(SEED, f"encrypt-u/{j}", 8)
    for part, key, label in ((c_0, b, f"encrypt-e0/{j}"), (c_1, a, f"encrypt-e1/{j}")):
        rest = textbook.poly_add(part, textbook.poly_scale(textbook.poly_mul(key, u), -1))
        message = textbook.scale_up(params, m) if part is c_0 else [0] * 8
        expected = textbook.poly_add(textbook.gaussian(SEED, label, 8), message)
        assert textbook.poly_mod(rest, params.q) == expected


@pytest.mark.parametrize("j", [0, 3])
def test_yashe_encryption_is_its_formula(j: int) -> None:
    params, m = Params(8, 17, TOY_MODULI), [1, -2, 3, 0, 5, -6, 7, 8]
    _, h = textbook_yashe.keygen(params, SEED)
    ct = textbook_yashe.encrypt(params, h, m, SEED, j)
    hu = textbook.poly_mul(h, textbook.gaussian(SEED, f"encrypt-u/{j}", 8))
    rest = textbook.poly_mod(textbook.poly_add(ct, textbook.poly_scale(hu, -1)), params.q)
    e = textbook.gaussian(SEED, f"encrypt-e/{j}", 8)
    assert rest == textbook.poly_add(textbook.scale_up(params, m), e)


@pytest.mark.parametrize("w", [None, 2**10])
def test_the_evaluation_key_is_its_formula(w: int | None) -> None:
    params, kind = Params(8, 17, TOY_MODULI), "" if w is None else f"w{w}/"
    f, h = textbook_yashe.keygen(params, SEED)
    evk = textbook_yashe.evaluation_keygen(params, f, h, SEED, w)
    for i, (gamma, g) in enumerate(zip(evk, textbook.gadget(params, w), strict=True)):
        hs = textbook.poly_mul(h, textbook.gaussian(SEED, f"evk-s/{kind}{i}", 8))
        known = textbook.poly_add(hs, textbook.poly_scale(f, g))
        rest = textbook.poly_add(gamma, textbook.poly_scale(known, -1))
        e = textbook.gaussian(SEED, f"evk-e/{kind}{i}", 8)
        assert textbook.poly_mod(rest, params.q) == e


@both
def test_plain_operands_are_centred_so_that_t_minus_1_costs_as_little_as_minus_1(
    module: ModuleType,
) -> None:
    params = Params(8, 17, TOY_MODULI)
    ct = Scheme(module, params).encrypt([1, -2, 3, 0, 5, -6, 7, 8])
    negative = module.negate(params, ct)
    assert module.multiply_scalar(params, ct, 16) == negative
    assert module.multiply_plain(params, ct, [16] + [0] * 7) == negative


@both
@given(params=toys, seed=seeds)
@settings(max_examples=30, deadline=None)
def test_public_keys_satisfy_their_equation(
    module: ModuleType, params: Params, seed: bytes
) -> None:
    secret, public = module.keygen(params, seed)
    if module is textbook_bfv:
        assert set(secret) <= {-1, 0, 1}
        error = textbook_bfv.phase(params, secret, list(public))
        assert textbook.poly_scale(error, -1) == textbook.gaussian(seed, "public-e", params.n)
    else:
        tg = textbook.poly_mod(textbook.poly_mul(secret, public), params.q)
        g = textbook.ternary(seed, "secret-g", params.n)
        assert tg == textbook.poly_scale(g, params.t)
        assert textbook.poly_mod(secret, params.t) == [1] + [0] * (params.n - 1)


def test_f_is_drawn_again_until_it_is_invertible() -> None:
    # Modulo 17 some f among the first tries have a root in common with x^4 + 1.
    params, drawn_again = Params(4, 3, (17,)), 0
    for i in range(40):
        seed = bytes([i]) * 32
        f, _ = textbook_yashe.keygen(params, seed)
        inverse = textbook_yashe.invert(params, f)
        assert inverse is not None
        assert textbook.poly_mod(textbook.poly_mul(f, inverse), 17) == [1, 0, 0, 0]
        first = textbook.poly_scale(textbook.ternary(seed, "secret-f/0", 4), 3)
        drawn_again += textbook.poly_mod([first[0] + 1, *first[1:]], 17) != f
    assert 0 < drawn_again < 40


def test_keys_for_different_gadgets_share_no_randomness() -> None:
    params = Params(8, 17, TOY_MODULI)
    s, _ = textbook_bfv.keygen(params, SEED)
    rns = textbook_bfv.relin_keygen(params, s, SEED)
    base = textbook_bfv.relin_keygen(params, s, SEED, 2**10)
    assert all(x[1] != y[1] for x, y in zip(rns, base, strict=False))
    f, h = textbook_yashe.keygen(params, SEED)
    noises = []
    for w in (None, 2**10):
        gamma = textbook_yashe.evaluation_keygen(params, f, h, SEED, w)[0]
        g = textbook.gadget(params, w)[0]
        rest = textbook.poly_add(gamma, textbook.poly_scale(f, -g))
        noises.append(textbook.poly_mod(rest, params.q))
    assert noises[0] != noises[1]


def test_relinearisation_keys_encrypt_the_gadget_times_s_squared() -> None:
    params = Params(8, 17, TOY_MODULI)
    s, _ = textbook_bfv.keygen(params, SEED)
    for i, (b, a) in enumerate(textbook_bfv.relin_keygen(params, s, SEED)):
        g = textbook.rns_gadget(TOY_MODULI)[i]
        message = textbook.poly_scale(textbook.poly_mul(s, s), -g)
        phase = textbook_bfv.phase(params, s, [b, a])
        error = textbook.poly_mod(textbook.poly_add(phase, message), params.q)
        expected = textbook.gaussian(SEED, f"relin-e/{i}", 8)
        assert error == textbook.poly_scale(expected, -1)


# Noise


def fresh_noise(module: ModuleType, params: Params, keys: int) -> list[float]:
    """Noise of zero, divided by t: as an error in the phase, over several keys."""
    noise: list[int] = []
    for i in range(keys):
        secret, public = module.keygen(params, bytes([i]) * 32)
        ct = module.encrypt(params, public, [0] * params.n, bytes([i]) * 32, 0)
        noise += textbook.noise_of(params, module.phase(params, secret, ct))
    return [x / params.t for x in noise]


def test_fresh_bfv_noise_has_the_width_that_theory_says() -> None:
    # e_0 + e_1 s - e u with variance sigma^2 (1 + 2 * n * 2/3) and at most 32 (1 + 2n).
    n = 64
    noise = fresh_noise(textbook_bfv, Params(n, 97, TOY_MODULI), keys=30)
    expected = 3.2 * sqrt(1 + 4 * n / 3)
    assert sqrt(sum(x * x for x in noise) / len(noise)) == pytest.approx(expected, rel=0.1)
    assert max(abs(x) for x in noise) <= 32 * (1 + 2 * n)


def test_fresh_bfv_noise_without_a_public_key_is_one_error() -> None:
    params = Params(64, 97, TOY_MODULI)
    s, _ = textbook_bfv.keygen(params, SEED)
    ct = textbook_bfv.encrypt_symmetric(params, s, [0] * 64, SEED, 3)
    error = textbook.gaussian(SEED, "encrypt-e/3", 64)
    assert textbook_bfv.phase(params, s, ct) == textbook.poly_scale(error, -1)
    m = list(range(-32, 32))
    ct = textbook_bfv.encrypt_symmetric(params, s, m, SEED)
    assert textbook_bfv.decrypt(params, s, ct) == m


def test_the_seed_of_the_public_half_does_not_determine_the_error() -> None:
    params = Params(64, 97, TOY_MODULI)
    s, _ = textbook_bfv.keygen(params, SEED)
    b, a = textbook_bfv.encrypt_symmetric(params, s, [0] * 64, SEED)
    rho = hashlib.shake_256(SEED + b"encrypt-rho").digest(32)
    assert a == textbook.uniform(rho, "encrypt-a/0", params)
    guessed = textbook.gaussian(rho, "encrypt-e/0", 64)
    assert textbook_bfv.phase(params, s, [b, a]) != textbook.poly_scale(guessed, -1)


def test_fresh_yashe_noise_has_the_width_that_theory_says() -> None:
    # f e + t g u with f = t f' + 1: variance 2 * t^2 * n * 2/3 * sigma^2.
    n, t = 64, 97
    noise = fresh_noise(textbook_yashe, Params(n, t, TOY_MODULI), keys=30)
    expected = t * 3.2 * sqrt(4 * n / 3)
    assert sqrt(sum(x * x for x in noise) / len(noise)) == pytest.approx(expected, rel=0.1)


@both
def test_squaring_uses_the_budget_up_and_then_the_message_is_lost(module: ModuleType) -> None:
    params = Params(8, 17, TOY_MODULI)
    scheme = Scheme(module, params)
    m = [2, 0, 0, 1, 0, 0, 0, 0]
    ct = scheme.encrypt(m)
    budgets = [scheme.budget(ct)]
    while scheme.decrypt(ct) == m:
        ct = scheme.switched(module.multiply(params, ct, ct), 2**4)
        m = textbook.poly_mod(textbook.poly_mul(m, m), 17)
        budgets.append(scheme.budget(ct))
    assert budgets == sorted(budgets, reverse=True)
    # Eight coefficients of pure noise come within a bit of q/2; the last good one had bits left.
    assert budgets[-1] < 1 < budgets[-2]
    assert 5 <= len(budgets) <= 20


def test_a_ciphertext_without_noise_has_an_infinite_budget() -> None:
    params = Params(2, 17, TOY_MODULI)
    assert textbook_bfv.noise_budget(params, [1, 0], [[0, 0], [0, 0]]) == float("inf")


# Nothing without the key


@both
def test_another_key_decrypts_to_something_else(module: ModuleType) -> None:
    # Not a law of toys: for n = 8 and t = 2 f is now and then a unit of R, and then h = t g / f is
    # short itself, so that every short key opens the ciphertext.
    params = Params(16, 17, TOY_MODULI)
    m = [1, 0] * 8
    for i in range(20):
        scheme = Scheme(module, params, bytes([i]) * 32)
        ct = scheme.encrypt(m)
        other, _ = module.keygen(params, bytes([i + 1]) * 32)
        assert scheme.decrypt(ct) == m
        assert module.decrypt(params, other, ct) != m
        assert scheme.encrypt(m, j=1) != ct
        no_key = [0] * 16 if scheme.is_bfv else [1] + [0] * 15
        assert module.decrypt(params, no_key, ct) != m
