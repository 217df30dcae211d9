"""Square layers by columns: the same as layer after layer, bit for bit, and exact at the edge."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from strategies_engine import SEED, integers_up_to
from yashe import columns, noise
from yashe.bfv import BFV
from yashe.bgv import BGV
from yashe.ciphertext import Ciphertext
from yashe.columns import COLUMNS, Hidden, SquareLayer
from yashe.errors import (
    FormError,
    NoiseBudgetExhausted,
    ParameterError,
    TransparentCiphertextError,
)
from yashe.keys import Keys
from yashe.parallel import watched, workers
from yashe.params import Params, make_params
from yashe.residues import EXACT_LIMIT, IntArray, bound, canonical, column

# Primes of 24 bits, of which 128 products fit; of 21 bits; and n that is no multiple of COLUMNS.
WIDE = make_params("INSECURE_WIDE", 16, 2**12, security=None, log2_q=144)
NARROW = make_params("INSECURE_NARROW", 64, 2**12, security=None, log2_q=147)
LONG = make_params("INSECURE_LONG", 2 * COLUMNS, 2**14, security=None, log2_q=144)
SETS = [WIDE, NARROW, LONG]
# Room for weights larger than the primes: weights are taken modulo t.
LARGE_T = [make_params("INSECURE_LARGE_T_24", 16, 2**46, security=None, log2_q=288),
           make_params("INSECURE_LARGE_T_21", 64, 2**40, security=None, log2_q=273)]  # fmt: skip


@lru_cache
def keys_of(params: Params) -> Keys:
    return BGV(params).keygen(SEED)


def encrypted(params: Params, count: int, factor: int = 1) -> Ciphertext:
    """An array of ciphertexts with a factor, encryptions of small numbers."""
    values = np.random.default_rng(count).integers(-3, 4, (count, params.n), dtype=np.int64)
    ct = BGV(params).encrypt(values, keys_of(params).secret, SEED)
    return replace(ct, factor=factor, public_seed=None)


def by_layers(ct: Ciphertext, hidden: Sequence[Hidden], weights: IntArray) -> Ciphertext:
    """(x @ W + b)^2 @ V with the operations of ciphertexts."""
    flat = ct.reshape(-1)
    units = [flat[some.inputs].affine(some.weight, some.bias).reshape(-1) for some in hidden]
    h = Ciphertext.concatenate(units)
    return BGV(h.params).square(h, h.params.k) @ weights  # without a switch in between


def exact(ct: Ciphertext, hidden: Sequence[Hidden], weights: IntArray) -> list[object]:
    """The definition on Python integers, for constants that are embedded as what they are."""
    x = ct.rows[ct.index.reshape(-1)].astype(np.int64).astype(object)
    units = []
    for some in hidden:
        h = np.einsum("km,pkcin->pmcin", some.weight.astype(object), x[some.inputs])
        h[:, :, 0] += some.bias.astype(object)[None, :, None, None]
        units.append(h.reshape(-1, *h.shape[2:]))
    h_0, h_1 = np.moveaxis(np.concatenate(units), 1, 0)
    squares = np.stack([h_0 * h_0, 2 * h_0 * h_1, h_1 * h_1], axis=1)
    total = np.einsum("um,ucin->mcin", weights.astype(object), squares)
    p = np.array(ct.params.moduli, dtype=object)[:, None]
    return ((total + p // 2) % p - p // 2).tolist()


def canonical_rows(ct: Ciphertext) -> np.ndarray:
    return canonical(ct.rows[ct.index.reshape(-1)], column(ct.params.moduli))


@st.composite
def layers(draw: st.DrawFn, inputs: int) -> tuple[list[Hidden], IntArray]:
    """Some kinds of hidden units and weights for their squares; no result without an input."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    large, largest = (draw(st.sampled_from([1, 30, 2000, 2**40])) for _ in range(2))

    def numbers(limit: int, *shape: int) -> IntArray:
        return rng.integers(-limit, limit + 1, shape, dtype=np.int64)

    hidden = []
    for _ in range(draw(st.integers(1, 3))):
        positions, taps, maps = (draw(st.integers(1, 4)) for _ in range(3))
        chosen = rng.integers(0, inputs, (positions, taps))
        weight = numbers(large, taps, maps)
        weight[0, ~weight.any(axis=0)] = 1
        hidden.append(Hidden(chosen, weight, numbers(draw(st.sampled_from([0, 2000])), maps)))
    weights = numbers(largest, sum(some.size for some in hidden), draw(st.integers(1, 3)))
    weights[0, ~weights.any(axis=0)] = 1
    return hidden, weights


@given(st.data(), st.sampled_from(SETS), st.sampled_from([1, 2, -1]))
@settings(max_examples=40)
def test_sums_by_columns_are_those_of_layer_after_layer_bit_for_bit(
    data: st.DataObject, params: Params, factor: int
) -> None:
    ct = encrypted(params, 6, factor % params.t).reshape(2, 3)
    hidden, weights = data.draw(layers(ct.size))
    with noise.unchecked():
        try:
            expected = by_layers(ct, hidden, weights)
        except TransparentCiphertextError:  # ciphertexts that cancel, weights that are 0 modulo t
            assume(False)
        found = SquareLayer(BGV(params), ct, hidden, weights).sums()
    assert np.array_equal(canonical_rows(found), canonical_rows(expected))
    assert (found.shape, found.degree) == (expected.shape, 2)
    assert found.factor == expected.factor == factor**2 % params.t
    assert np.abs(found.rows).max() <= bound(max(params.moduli))
    # A bias of zero adds no noise here; `affine` adds it in any case.
    assert (found.bound.deviation <= expected.bound.deviation * (1 + 1e-9)).all()
    if all((some.bias % params.t).all() for some in hidden):
        np.testing.assert_allclose(found.bound.deviation, expected.bound.deviation)
    assert np.array_equal(found.bound.order, expected.bound.order)


@given(st.data(), st.sampled_from(SETS))
@settings(max_examples=20)
def test_the_messages_are_sums_of_squares_and_the_noise_is_below_its_prediction(
    data: st.DataObject, params: Params
) -> None:
    scheme, key, t = BGV(params), keys_of(params).secret, params.t
    ct = encrypted(params, 5)
    hidden, weights = data.draw(layers(ct.size))
    x = scheme.decrypt(ct, key).astype(object)
    h = np.concatenate(
        [
            (np.einsum("km,pks->pms", some.weight.astype(object), x[some.inputs])
             + some.bias.astype(object)[:, None]).reshape(-1, params.n)
            for some in hidden
        ]
    )  # fmt: skip
    expected = (weights.astype(object).T @ (h * h) + t // 2) % t - t // 2
    try:
        found = SquareLayer(scheme, ct, hidden, weights).sums()
    except TransparentCiphertextError:
        assume(False)
    assert scheme.decrypt(found, key).tolist() == expected.tolist()
    assert (found.noise_budget <= scheme.noise_budget(found, key)).all()


# Where float64 ends.


def extreme(params: Params, count: int, value: str) -> Ciphertext:
    """Ciphertexts whose residues are all as large as can be, or nearly so and odd."""
    p = column(params.moduli)
    sizes = {"largest": (p + 3) / 2, "odd": (p - 3) / 2, "negative": -(p - 3) / 2}
    rows = np.broadcast_to(sizes[value], (count, 2, params.k, params.n)).copy()
    rows[:, :, :, 1::2] *= -1
    return replace(encrypted(params, count), rows=rows)


def identity(count: int) -> Hidden:
    """Hidden units that are the inputs."""
    one, zero = np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    return Hidden(np.arange(count, dtype=np.int64)[:, None], one, zero)


@pytest.mark.parametrize("params", LARGE_T, ids=lambda p: p.name)
@pytest.mark.parametrize("value", ["largest", "odd", "negative"])
@pytest.mark.parametrize("load", ["below", "at", "above", "far above", "huge"])
def test_sums_of_squares_are_exact_on_both_sides_of_the_limit(
    params: Params, value: str, load: str
) -> None:
    """Up to about 2^53 / (p/2)^2 of weights are summed as they are, more only after reduction."""
    p, count = max(params.moduli), 5
    room = (EXACT_LIMIT - 2 * p) // bound(p) ** 2
    total = {"below": room - 1, "at": room, "above": room + 1, "far above": 3 * room | 1,
             "huge": count * (p // 2) - 2}[load]  # fmt: skip
    weights = np.full((count, 2), total // count, dtype=np.int64)
    weights[0] += total % count
    weights[:, 1] *= [1, -1, 1, -1, 1]
    assert np.abs(weights).sum(axis=0).tolist() == [total, total]
    ct = extreme(params, count, value)
    with noise.unchecked():
        layer = SquareLayer(BGV(params), ct, [identity(count)], weights)
        found = layer.sums()
    first = columns._ModuloPrime(layer, params.moduli.index(p))
    assert first.reduced_first == (load in ("above", "far above", "huge"))
    assert canonical_rows(found).tolist() == exact(ct, [identity(count)], weights)


@pytest.mark.parametrize("params", LARGE_T, ids=lambda p: p.name)
@pytest.mark.parametrize("value", ["largest", "odd"])
@pytest.mark.parametrize("taps", [1, 127, 200])
def test_the_longest_sums_of_the_largest_weights_are_exact(
    params: Params, value: str, taps: int
) -> None:
    """Hundreds of weights of half a prime need sums in pieces, and squares that are reduced."""
    ct, rng = extreme(params, 7, value), np.random.default_rng(taps)
    chosen = rng.integers(0, 7, (3, taps))
    weight = np.full((taps, 4), max(params.moduli) // 2, dtype=np.int64)
    weight[:, 1:] *= rng.choice([1, -1], (taps, 3))
    hidden = [Hidden(chosen, weight, np.zeros(4, dtype=np.int64)), identity(7)]
    weights = rng.integers(-params.t // 2 + 1, params.t // 2, (19, 3), dtype=np.int64)
    with noise.unchecked():
        found = SquareLayer(BGV(params), ct, hidden, weights).sums()
    assert canonical_rows(found).tolist() == exact(ct, hidden, weights)


@given(st.lists(integers_up_to(2**45), min_size=1, max_size=6), st.integers(0, 5))
def test_a_bias_is_added_to_the_first_part_before_the_square(bias: list[int], unit: int) -> None:
    params, unit = LARGE_T[0], unit % len(bias)
    weight = np.ones((2, len(bias)), dtype=np.int64)
    hidden = [Hidden(np.array([[0, 1]]), weight, np.array(bias, dtype=np.int64))]
    weights = np.zeros((len(bias), 1), dtype=np.int64)
    weights[unit] = 1
    ct = extreme(params, 2, "largest")
    with noise.unchecked():
        found = SquareLayer(BGV(params), ct, hidden, weights).sums()
    assert canonical_rows(found).tolist() == exact(ct, hidden, weights)


@pytest.mark.parametrize("params", LARGE_T, ids=lambda p: p.name)
def test_what_a_bias_makes_larger_than_a_residue_is_reduced_before_the_square(
    params: Params,
) -> None:
    p = max(params.moduli)
    ct, one = extreme(params, 1, "odd"), np.ones((1, 1), dtype=np.int64)
    hidden = [Hidden(np.array([[0]]), one, np.array([p // 2]))]  # (p - 3)/2 + (p - 1)/2 = p - 2
    weights = np.array([[((EXACT_LIMIT - 2 * p) // bound(p) ** 2 - 1) | 1]])
    with noise.unchecked():
        found = SquareLayer(BGV(params), ct, hidden, weights).sums()
    assert canonical_rows(found).tolist() == exact(ct, hidden, weights)


# How the work is cut.


def an_example(params: Params) -> tuple[Ciphertext, list[Hidden], IntArray]:
    rng = np.random.default_rng(1)
    chosen, bias = rng.integers(0, 6, (4, 3)), np.array([1, -2], dtype=np.int64)
    hidden = [Hidden(chosen, rng.integers(1, 5, (3, 2)), bias), identity(6)]
    return encrypted(params, 6), hidden, rng.integers(-5, 6, (14, 3))


@pytest.mark.parametrize("width", [1, 3, 7, 16, 1000])
def test_blocks_of_any_width_give_the_same(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = SquareLayer(BGV(WIDE), *an_example(WIDE)).sums()
    monkeypatch.setattr(columns, "COLUMNS", width)
    layer = SquareLayer(BGV(WIDE), *an_example(WIDE))
    assert np.array_equal(layer.sums().rows, expected.rows)
    assert layer.steps == WIDE.k * -(-16 // width)


def test_a_short_ring_is_one_block_and_a_long_one_several() -> None:
    assert WIDE.n < COLUMNS < LONG.n
    for params, blocks in ((WIDE, 1), (LONG, 2)):
        layer, ticks = SquareLayer(BGV(params), *an_example(params)), []
        with watched(lambda ticks=ticks: ticks.append(1)):
            layer.sums()
        assert len(ticks) == layer.steps == params.k * blocks


def test_two_workers_give_what_one_gives() -> None:
    found = []
    for count in (1, 2):
        with workers(count):
            found.append(SquareLayer(BGV(LONG), *an_example(LONG)).sums().rows)
    assert np.array_equal(*found)


def test_operands_stay_as_they_were() -> None:
    ct, hidden, weights = an_example(WIDE)
    arrays = [ct.rows, weights, *(x for some in hidden for x in (some.inputs, some.weight))]
    before = [x.copy() for x in arrays]
    SquareLayer(BGV(WIDE), ct, hidden, weights).sums()
    for x, y in zip(arrays, before, strict=True):
        assert np.array_equal(x, y)


def test_identity_units_add_no_noise_to_their_inputs() -> None:
    ct = encrypted(WIDE, 6)
    layer = SquareLayer(BGV(WIDE), ct, [identity(6)], np.ones((6, 1), dtype=np.int64))
    assert layer.hidden_bound.deviation.tolist() == ct.bound.deviation.tolist()
    square = ct * ct
    assert layer.squared_bound.deviation.tolist() == square.bound.deviation.tolist()


def test_only_the_chosen_ciphertexts_of_a_larger_store_take_part() -> None:
    """An array is an index into rows: reversed and repeated ones give other sums."""
    ct, hidden, weights = an_example(WIDE)
    for some in (ct[::-1], ct[[5, 5, 0, 1, 0, 3]], ct.reshape(3, 2).transpose(1, 0)):
        found = SquareLayer(BGV(WIDE), some, hidden, weights).sums()
        expected = by_layers(some, hidden, weights)
        assert np.array_equal(canonical_rows(found), canonical_rows(expected))


# Wrong uses.


def test_weights_of_another_shape_are_refused() -> None:
    ct, hidden, weights = an_example(WIDE)
    for wrong in (weights[:-1], weights[:, 0], weights[None], np.concatenate([weights, weights])):
        with pytest.raises(ParameterError, match="14 units, but weights of shape"):
            SquareLayer(BGV(WIDE), ct, hidden, wrong)


def test_schemes_in_coefficient_form_are_refused() -> None:
    scheme = BFV(WIDE)
    ct = scheme.encrypt(np.ones((6, 1), dtype=np.int64), scheme.keygen(SEED).secret)
    _, hidden, weights = an_example(WIDE)
    with pytest.raises(FormError, match="BFV keeps no ciphertexts in NTT form"):
        SquareLayer(scheme, ct, hidden, weights)


def test_ciphertexts_of_degree_2_are_refused() -> None:
    ct, hidden, weights = an_example(WIDE)
    with pytest.raises(FormError, match="degree 1, got 2: relinearize first"):
        SquareLayer(BGV(WIDE), ct * ct, hidden, weights)


def test_a_sum_without_weights_is_refused_and_so_is_one_of_constants() -> None:
    ct, hidden, weights = an_example(WIDE)
    weights = weights.copy()
    weights[:, 1] = 0
    with pytest.raises(TransparentCiphertextError, match="a sum of squares no longer depends"):
        SquareLayer(BGV(WIDE), ct, hidden, weights).sums()
    constant = Hidden(hidden[0].inputs, 0 * hidden[0].weight, hidden[0].bias)
    with pytest.raises(TransparentCiphertextError, match="a sum of squares no longer depends"):
        SquareLayer(BGV(WIDE), ct, [constant], np.ones((8, 1), dtype=np.int64)).sums()


def test_sums_that_are_too_noisy_are_refused() -> None:
    ct, hidden, _ = an_example(WIDE)
    weights = np.full((14, 1), WIDE.t // 2, dtype=np.int64)
    for _ in range(2):  # two square layers without a switch of the modulus
        square = BGV(WIDE).square(ct, WIDE.k)
        ct = BGV(WIDE).relinearize(square, keys_of(WIDE).relinearization) * (WIDE.t // 2)
    with pytest.raises(NoiseBudgetExhausted, match="a sum of squares leaves a noise budget of -"):
        SquareLayer(BGV(WIDE), ct, hidden, weights).sums()
