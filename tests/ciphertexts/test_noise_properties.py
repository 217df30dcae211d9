"""The prediction of the noise holds: for random circuits, in every draw.

A circuit is a chain of random steps on a small pool of ciphertexts; after each step the noise that
is really there, measured with the key, is compared with what was predicted without it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.slots import Plaintext
from yashe.errors import NoiseBudgetExhausted, TransparentCiphertextError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rotations import RotatingScheme
from yashe.schemes.yashe import YASHE
from yashe.textbook import polynomials as textbook

LEVELS = 3  # products in a row
STEPS = ("sum", "difference", "scalar", "constant", "plaintext", "shift", "square", "product",
         "matrix", "cube", "switch")  # fmt: skip


def parameters(n: int, t: int, log2_q: int) -> Params:
    return make_params(f"INSECURE_NOISE_{n}", n, t, security=None, log2_q=log2_q)


# The smaller a ring, the heavier the tails; t from one small prime to two large ones.
SETS = [
    parameters(16, 2**30, 330),
    parameters(64, 250, 260),
    parameters(256, 7000, 310),
    parameters(1024, 40000, 330),
]
MORE_SETS = [
    *SETS,
    parameters(16, 90, 260),
    parameters(64, 2**22, 330),
    parameters(4096, 2**20, 340),
]


@dataclass(frozen=True)
class Draw:
    """One comparison: both budgets in bits, the products in a row, and the last step."""

    predicted: float
    measured: float
    level: int
    step: str

    @property
    def gap(self) -> float:
        return self.measured - self.predicted


@dataclass
class Node:
    """A ciphertext of degree 1 and the products in a row that led to it."""

    ct: Ciphertext
    level: int


def structured_slots(params: Params, rng: np.random.Generator) -> np.ndarray:
    """Slot values of a plaintext: random, the same everywhere, a single one, or very small."""
    half, kind = params.t // 2, rng.integers(4)
    values = rng.integers(-half, half + 1, params.n, dtype=np.int64)
    if kind == 1:
        values[:] = values[0] or 1
    elif kind == 2:
        values[1:] = 0
        values[0] = values[0] or 1
    elif kind == 3:
        values = rng.integers(-1, 2, params.n, dtype=np.int64)
        values[0] = 1
    return values


def random_step(
    scheme: Scheme, keys: Any, pool: list[Node], rng: np.random.Generator
) -> tuple[str, int, list[Ciphertext]]:
    """Return a random step, its level and its results: all are compared, the last is kept."""
    params = scheme.params
    a, b = (pool[rng.integers(len(pool))] for _ in range(2))
    step = STEPS[rng.integers(len(STEPS))]
    level = max(a.level, b.level)
    if step in ("square", "product", "cube"):
        after = (a.level if step == "square" else level) + 1 + (step == "cube")
        step, level = (step, after) if after <= LEVELS else ("sum", level)
    if step == "sum":  # of dependent terms, too: x + x
        return step, level, [a.ct + b.ct]
    if step == "matrix":
        x, y = scheme.aligned(a.ct, b.ct)
        pair = Ciphertext.concatenate([x.reshape(1), y.reshape(1)])
        weights = np.array([[rng.integers(1, 5)], [rng.integers(0, 4)]], dtype=np.int64)
        return step, level, [(pair @ weights)[0]]
    if step in ("square", "product", "cube"):
        other = a.ct if step == "square" else b.ct
        product = a.ct * other
        if scheme.ntt_form and not rng.integers(4):  # BGV at the level where its operands are
            product = scheme.multiply(a.ct, other, min(a.ct.params.k, other.params.k))
        linear = scheme.relinearize(product, keys.relinearization)
        if step != "cube":
            return step, level, [product, scheme.switch_modulus(product), linear]
        cube = linear * a.ct  # which contains the phase of a twice
        return step, level, [product, linear, cube, scheme.relinearize(cube, keys.relinearization)]
    if step == "switch":  # for all of them, or the first product would do it
        fewest, primes = scheme.switch_modulus(a.ct), a.ct.params.k - 1
        for node in pool:
            node.ct = scheme.switch_modulus(node.ct, min(primes, node.ct.params.k))
        return step, a.level, [fewest, a.ct]
    plaintext = Plaintext(a.ct.params, scheme.encode(structured_slots(params, rng)).element)
    simple = {
        "difference": lambda: a.ct * 3 - a.ct,
        "scalar": lambda: a.ct * int(rng.integers(1, 9) * rng.choice([-1, 1])),
        "constant": lambda: a.ct + int(rng.integers(params.t)),
        "plaintext": lambda: a.ct * plaintext,
        "shift": lambda: a.ct + plaintext,
    }
    return step, a.level, [simple[step]()]


def compare(scheme: Scheme, keys: Any, ct: Ciphertext, level: int, step: str) -> Draw:
    measured = float(scheme.noise_budget(ct, keys.secret))
    return Draw(float(ct.noise_budget), measured, level, step)


def circuit(scheme: Scheme, seed: int, length: int = 12) -> list[Draw]:
    """Run a random circuit, until it is refused at the latest, and compare after every step."""
    rng = np.random.default_rng(seed)
    keys = scheme.keygen(rng.bytes(32))
    key = keys.public if rng.integers(2) else keys.encryption
    half = scheme.params.t // 2
    values = rng.integers(-half, half + 1, (3, scheme.params.n), dtype=np.int64)
    pool = [Node(ct, 0) for ct in scheme.encrypt(values, key, rng.bytes(32))]
    draws = [compare(scheme, keys, node.ct, 0, "fresh") for node in pool]
    for _ in range(length):
        try:
            step, level, results = random_step(scheme, keys, pool, rng)
        except (NoiseBudgetExhausted, TransparentCiphertextError):  # x + (-1) * x
            break
        draws += [compare(scheme, keys, ct, level, step) for ct in results]
        # The newest replaces a random one, so that circuits grow deep and old ones stay around.
        pool[rng.integers(len(pool))] = Node(results[-1], level)
    return draws


def draws_of_circuits(
    count: int, sets: list[Params], schemes: tuple[type[Scheme], ...]
) -> list[Draw]:
    """At least `count` draws, in turn from all parameter sets and all schemes."""
    found: list[Draw] = []
    for seed in itertools.count():
        scheme = schemes[seed // len(sets) % len(schemes)](sets[seed % len(sets)])
        found += circuit(scheme, seed)
        if len(found) >= count:
            return found
    raise AssertionError


def check(draws: list[Draw], bits_per_level: float) -> None:
    """Every prediction holds, and the predictions are no exaggeration."""
    assert min(draw.gap for draw in draws) >= 0
    assert {draw.step for draw in draws} == {"fresh", *STEPS}
    assert np.median([draw.gap for draw in draws]) <= 6
    medians = [np.median([d.gap for d in draws if d.level == i]) for i in range(LEVELS + 1)]
    assert medians[0] <= 3
    assert medians[LEVELS] - medians[0] <= bits_per_level * LEVELS


# In BGV a product has the noise of both factors in it, multiplied: its tail is heavier.
@pytest.mark.parametrize(
    ("schemes", "bits"), [((BFV, YASHE), 3), ((BGV,), 5)], ids=["scale invariant", "BGV"]
)
def test_measured_noise_stays_below_the_prediction_in_random_circuits(
    schemes: tuple[type[Scheme], ...], bits: float
) -> None:
    check(draws_of_circuits(450, SETS, schemes), bits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schemes", "bits"), [((BFV, YASHE), 3), ((BGV,), 5)], ids=["scale invariant", "BGV"]
)
def test_measured_noise_stays_below_the_prediction_in_20000_draws(
    schemes: tuple[type[Scheme], ...], bits: float
) -> None:
    check(draws_of_circuits(20_000, MORE_SETS, schemes), bits)


# Slots that move. What has been summed over a group of rotations is the same after each of them,
# its noise as well; and x may be multiplied by its own moved copy.


def moving_circuit(kind: type[RotatingScheme], params: Params, seed: int) -> list[Draw]:
    """Rotate, sum over slots and multiply what has moved, with digits of all sizes."""
    rng = np.random.default_rng(seed)
    scheme = kind(params)
    keys = scheme.keygen(rng.bytes(32))
    # Digits of one prime for a fresh ciphertext, larger ones where more noise is there.
    small, large = (
        scheme.rotation_keys(keys.secret, "sums", rng.bytes(32), gadget)
        for gadget in (Gadget(), Gadget(2))
    )
    half = params.t // 2
    values = rng.integers(-half, half + 1, params.n, dtype=np.int64)
    x = scheme.encrypt(values, keys.public if rng.integers(2) else keys.encryption, rng.bytes(32))
    moved = scheme.rotate(x, 2 ** int(rng.integers(params.n.bit_length() - 2)), small)
    swapped = scheme.swap_rows(moved, large)
    plaintext = scheme.encode(structured_slots(params, rng))
    orbit = scheme.sum_slots(x, small)
    block = scheme.sum_slots(x, large, params.n // 4)
    # Rows with a group of equal slots: their noise lies in few coefficients.
    products = [x * moved, orbit * orbit, scheme.sum_slots(x * plaintext, large) * moved]
    linear = [scheme.relinearize(product, keys.relinearization) for product in products]
    later = [scheme.rotate(linear[0], 1, large), scheme.sum_slots(linear[1], small)]
    several = linear[0] * scheme.swap_rows(linear[0], small)
    steps = {"rotation": [moved, swapped], "orbit": [orbit, block, orbit * plaintext],
             "product": [*products, *linear], "later": later, "deeper": [several]}  # fmt: skip
    return [
        compare(scheme, keys, ct, 1 + (name == "deeper"), name)
        for name, cts in steps.items()
        for ct in cts
    ]


MOVING = [parameters(16, 90, 260), parameters(64, 250, 260), parameters(256, 250, 300)]


@pytest.mark.parametrize("kind", [BFV, BGV, YASHE])
@pytest.mark.parametrize("params", MOVING[:2], ids=lambda params: str(params.n))
def test_measured_noise_stays_below_the_prediction_where_slots_move(
    kind: type[RotatingScheme], params: Params
) -> None:
    draws = [draw for seed in range(2) for draw in moving_circuit(kind, params, seed)]
    assert min(draw.gap for draw in draws) >= 0
    assert np.median([draw.gap for draw in draws if draw.step == "rotation"]) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BFV, BGV, YASHE])
@pytest.mark.parametrize("params", MOVING, ids=lambda params: str(params.n))
def test_measured_noise_stays_below_the_prediction_where_slots_move_often(
    kind: type[RotatingScheme], params: Params
) -> None:
    for seed in range(1000, 1010):
        assert min(draw.gap for draw in moving_circuit(kind, params, seed)) >= 0


# The pieces of the prediction, against formulas that were found another way.


@pytest.mark.parametrize("n", [4, 16, 1024])
def test_the_moments_of_one_factor_are_those_of_a_gamma_variable(n: int) -> None:
    # A sum of N exponential variables has the moments N (N+1) ... (N+p-1).
    pairs = n // 2
    expected = np.cumsum([math.log(1 + i / pairs) for i in range(noise.MOMENTS)])
    np.testing.assert_allclose(noise.variance_moments(n, 1), expected, atol=1e-9)


@pytest.mark.parametrize("order", range(1, 9))
def test_the_moments_in_a_single_embedding_are_products_of_factorials(order: int) -> None:
    # n = 2: nothing is averaged, and E[X^p] = (a p)! (p!)^b.
    a, b = (order + 1) // 2, order // 2
    moments = noise.variance_moments(2, order)
    exact = [math.factorial(a * p) * math.factorial(p) ** b for p in range(1, len(moments) + 1)]
    np.testing.assert_allclose(moments, [math.log(x) for x in exact])


def test_the_second_moment_of_an_average_by_hand() -> None:
    # Order 2, X = E E_1: E[X] = 1, E[X^2] = 2 * 2 = 4. The average of N = 8 has the second moment
    # (8 * 4 + 8 * 7 * 1) / 64 = 88 / 64.
    first, second = (math.exp(x) for x in noise.variance_moments(16, 2)[:2])
    assert (first, second) == pytest.approx((1, 88 / 64))


def test_without_factors_the_tail_is_that_of_a_gaussian() -> None:
    for n in (4, 1024, 32768):
        exact = -NormalDist().inv_cdf(2.0 ** -(noise.EVENT_BITS + 1) / n)
        assert exact < noise.tail_factor(n, 0) < 1.06 * exact


def test_more_factors_have_heavier_tails_and_larger_rings_lighter_ones() -> None:
    for n in (16, 256, 8192):
        factors = [noise.tail_factor(n, order) for order in range(9)]
        assert factors == sorted(factors)
    for order in range(1, 9):
        moments = [noise.variance_moments(2**i, order)[9] for i in range(2, 16)]
        assert moments == sorted(moments, reverse=True)


def test_a_phase_that_may_occur_again_counts_more() -> None:
    # binomial(2p, p) <= 4^p and binomial(3p, p) <= (27/4)^p; the square roots of 4 and 27/4.
    ahead = np.array([-4, 0, 1, 2, 3, 4], dtype=np.int64)
    expected = [1, 1, 1, 2, 2, math.sqrt(27 / 4)]
    np.testing.assert_allclose(noise.reuse(ahead), expected)
    x, y = Bound.of(1e-9, 2), Bound.of(1e-9, 0)
    params = SETS[0]
    assert noise.product(params, 10, x, y).deviation > noise.product(params, 10, y, y).deviation


@given(st.data())
def test_a_product_grows_by_the_canonical_norm_at_most(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([1, 2, 4, 16]))
    coefficients = st.lists(st.integers(-(2**20), 2**20), min_size=n, max_size=n)
    p, x = (np.array(data.draw(coefficients), dtype=np.int64) for _ in range(2))
    product = np.array(textbook.poly_mul(p.tolist(), x.tolist()), dtype=np.float64)
    largest = float(noise.canonical_norm(p)) * float(np.linalg.norm(x))
    assert np.linalg.norm(product) <= largest * (1 + 1e-9) + 1e-6


def test_the_canonical_norm_of_a_constant_is_its_value() -> None:
    assert noise.canonical_norm(
        np.array([[-7, 0, 0, 0], [0, 0, 5, 0]], dtype=np.int64)
    ).tolist() == pytest.approx([7, 5])


def test_bounds_of_sums_add_deviations_and_keep_the_larger_order() -> None:
    x = Bound.concatenate([Bound.of(1.0, 0, (1,)), Bound.of(10.0, 3, (1,))])
    weights = np.array([[2, 1], [-3, 0]], dtype=np.int64)
    both = x @ weights
    assert both.deviation.tolist() == [32, 1]
    assert both.order.tolist() == [3, 3]
    total = x + Bound.of(5.0, 1)
    assert total.deviation.tolist() == [6, 15]
    assert total.order.tolist() == [1, 3]
    alone = (x[1] + Bound.of(5.0, 4)).capped()  # NumPy makes numbers of arrays without axes
    assert alone.order.shape == ()
    assert Bound.concatenate([alone.reshape(1), x]).order.tolist() == [4, 0, 3]


# Running out.


@pytest.mark.parametrize("scheme_class", [BFV, BGV, YASHE])
@pytest.mark.parametrize("seed", range(4))
def test_a_budget_run_to_zero_is_refused_and_never_a_wrong_message(
    scheme_class: type[Scheme], seed: int
) -> None:
    scheme = scheme_class(parameters(64, 250, 130))
    keys, rng = scheme.keygen(bytes([seed]) * 32), np.random.default_rng(seed)
    message = rng.integers(-100, 100, 64, dtype=np.int64)
    ct, t = scheme.encrypt(message, keys.encryption, bytes([seed]) * 32), scheme.params.t
    refused_early = refused_late = 0
    for _ in range(9):
        with noise.unchecked():
            after = scheme.relinearize(ct * ct, keys.relinearization) * 5
        message = (message * message * 5 + t // 2) % t - t // 2
        try:
            scheme.relinearize(ct * ct, keys.relinearization) * 5
        except NoiseBudgetExhausted:
            refused_early += 1
        try:
            np.testing.assert_array_equal(scheme.decrypt(after, keys.secret), message)
        except NoiseBudgetExhausted:
            refused_late += 1
        ct = after
    assert "NOISE BUDGET EXHAUSTED" in repr(ct)
    assert 9 > refused_early >= refused_late > 0


def test_a_refusal_names_the_operation_and_the_bits() -> None:
    scheme = BFV(parameters(64, 250, 60))
    keys = scheme.keygen(bytes(32))
    square = scheme.encrypt([1], keys.secret, bytes(32)) * 120
    square = square * square * 100 * 100 * 100
    had = float(square.noise_budget)
    assert 0 < had < 6
    match = (
        rf"a product with a constant leaves .* -\d.*\(it takes 6\.9, {had:.1f} were there\).*more"
    )
    with pytest.raises(NoiseBudgetExhausted, match=match):
        square * 120
