"""Square layers by columns: the same as layer after layer, bit for bit, and exact at the edge."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from operator import mul

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from elsewhere import register
from strategies_engine import SEED, integers_up_to
from yashe.arithmetic.parallel import watched, workers
from yashe.arithmetic.residues import EXACT_LIMIT, IntArray, bound, canonical, column
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys
from yashe.circuits import columns
from yashe.circuits.columns import COLUMNS, SquareLayer, Units
from yashe.errors import (
    EncodingError,
    FormError,
    KeyMismatchError,
    NoiseBudgetExhausted,
    ParameterError,
    RangeError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

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


def by_layers(
    ct: Ciphertext, hidden: Sequence[Units], weights: IntArray, constants: IntArray | int = 0
) -> Ciphertext:
    """(x @ W + b)^2 @ V + c with the operations of ciphertexts."""
    flat = ct.reshape(-1)
    units = [flat[some.inputs].affine(some.weight, some.bias).reshape(-1) for some in hidden]
    h = Ciphertext.concatenate(units)
    square = BGV(h.params).square(h, h.params.k)  # without a switch in between
    return square.affine(weights, constants)


def exact(
    ct: Ciphertext, hidden: Sequence[Units], weights: IntArray, constants: IntArray | int = 0
) -> list[object]:
    """The definition on Python integers, for constants that are embedded as what they are."""
    x = ct.rows[ct.index.reshape(-1)].astype(np.int64).astype(object)
    units = []
    for some in hidden:
        h = np.einsum("km,pkcin->pmcin", some.weight.astype(object), x[some.inputs])
        h[:, :, 0] += some.bias.astype(object)[None, :, None, None]
        units.append(h.reshape(-1, *h.shape[2:]))
    h = np.moveaxis(np.concatenate(units), 1, 0)
    parts = range(len(h))
    squares = np.stack(
        [sum(h[i] * h[m - i] for i in parts if m - i in parts) for m in range(2 * len(h) - 1)],
        axis=1,
    )
    total = np.einsum("um,ucin->mcin", weights.astype(object), squares)
    total[:, 0] += np.asarray(constants, dtype=object).reshape(-1, 1, 1)
    p = np.array(ct.params.moduli, dtype=object)[:, None]
    return ((total + p // 2) % p - p // 2).tolist()


def canonical_rows(ct: Ciphertext) -> np.ndarray:
    return canonical(ct.rows[ct.index.reshape(-1)], column(ct.params.moduli))


@st.composite
def layers(draw: st.DrawFn, inputs: int) -> tuple[list[Units], IntArray, IntArray]:
    """Some kinds of hidden units, weights for their squares, constants; no result is a constant."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    large, largest = (draw(st.sampled_from([1, 30, 2000, 2**40, 2**63])) for _ in range(2))

    def numbers(limit: int, *shape: int) -> IntArray:
        """Of any size; a limit of 2^63 means every int64."""
        return rng.integers(-limit, min(limit, 2**63 - 1), shape, dtype=np.int64, endpoint=True)

    hidden = []
    for _ in range(draw(st.integers(1, 3))):
        positions, taps, maps = (draw(st.integers(1, 4)) for _ in range(3))
        chosen = rng.integers(0, inputs, (positions, taps))
        weight = numbers(large, taps, maps)
        weight[0, ~weight.any(axis=0)] = 1
        hidden.append(Units(chosen, weight, numbers(draw(st.sampled_from([0, 2000])), maps)))
    weights = numbers(largest, sum(some.size for some in hidden), draw(st.integers(1, 3)))
    weights[0, ~weights.any(axis=0)] = 1
    constants = numbers(draw(st.sampled_from([0, 2000, 2**63])), weights.shape[1])
    return hidden, weights, constants


@given(st.data(), st.sampled_from(SETS), st.sampled_from([1, 2, -1]), st.sampled_from([1, 2, 3, 4]))
@settings(max_examples=40)
def test_sums_by_columns_are_those_of_layer_after_layer_bit_for_bit(
    data: st.DataObject, params: Params, factor: int, degree: int
) -> None:
    ct = encrypted(params, 6, factor % params.t).reshape(2, 3)
    with noise.unchecked():
        ct = reduce(mul, [ct] * degree)
    factor = ct.factor
    hidden, weights, constants = data.draw(layers(ct.size))
    with noise.unchecked():
        try:
            expected = by_layers(ct, hidden, weights, constants)
        except TransparentCiphertextError:  # ciphertexts that cancel, weights that are 0 modulo t
            assume(False)
        found = SquareLayer(BGV(params), ct, hidden, weights, constants).sums()
    assert np.array_equal(canonical_rows(found), canonical_rows(expected))
    assert (found.shape, found.degree) == (expected.shape, 2 * degree)
    assert found.factor == expected.factor == factor**2 % params.t
    assert np.abs(found.rows).max() <= bound(max(params.moduli))
    # A bias of zero adds no noise here; `affine` adds it in any case.
    assert (found.bound.deviation <= expected.bound.deviation * (1 + 1e-9)).all()
    if all((x % params.t).all() for x in (constants, *(some.bias for some in hidden))):
        np.testing.assert_allclose(found.bound.deviation, expected.bound.deviation)
    assert np.array_equal(found.bound.order, expected.bound.order)


@given(st.data(), st.sampled_from(SETS))
@settings(max_examples=20)
def test_the_messages_are_sums_of_squares_and_the_noise_is_below_its_prediction(
    data: st.DataObject, params: Params
) -> None:
    scheme, key, t = BGV(params), keys_of(params).secret, params.t
    ct = encrypted(params, 5)
    hidden, weights, constants = data.draw(layers(ct.size))
    x = scheme.decrypt(ct, key).astype(object)
    h = np.concatenate(
        [
            (np.einsum("km,pks->pms", some.weight.astype(object), x[some.inputs])
             + some.bias.astype(object)[:, None]).reshape(-1, params.n)
            for some in hidden
        ]
    )  # fmt: skip
    expected = weights.astype(object).T @ (h * h) + constants.astype(object)[:, None]
    expected = (expected + t // 2) % t - t // 2
    try:
        found = SquareLayer(scheme, ct, hidden, weights, constants).sums()
    except TransparentCiphertextError:
        assume(False)
    assert scheme.decrypt(found, key).tolist() == expected.tolist()
    assert (found.noise_budget <= scheme.noise_budget(found, key)).all()


# Where float64 ends.


def extreme(params: Params, count: int, value: str, parts: int = 2) -> Ciphertext:
    """Ciphertexts whose residues are all as large as can be, or nearly so and odd."""
    p = column(params.moduli)
    sizes = {"largest": (p + 3) / 2, "odd": (p - 3) / 2, "negative": -(p - 3) / 2}
    rows = np.broadcast_to(sizes[value], (count, parts, params.k, params.n)).copy()
    rows[:, :, :, 1::2] *= -1
    return replace(encrypted(params, count), store=rows, degree=parts - 1)


def identity(count: int) -> Units:
    """Hidden units that are the inputs."""
    one, zero = np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    return Units(np.arange(count, dtype=np.int64)[:, None], one, zero)


@pytest.mark.parametrize("params", LARGE_T, ids=lambda p: p.name)
@pytest.mark.parametrize("value", ["largest", "odd", "negative"])
@pytest.mark.parametrize("load", ["below", "at", "above", "far above", "huge"])
@pytest.mark.parametrize(("parts", "terms"), [(2, 1), (3, 3), (4, 3), (5, 5)])
def test_sums_of_squares_are_exact_on_both_sides_of_the_limit(
    params: Params, value: str, load: str, parts: int, terms: int
) -> None:
    """Up to about 2^53 / (p/2)^2 of weights are summed as they are, more only after reduction.

    A part of a square of three parts is 2 h_0 h_2 + h_1^2, three times as large.
    """
    p, count = max(params.moduli), 5
    room = (EXACT_LIMIT - 2 * p) // (terms * bound(p) ** 2)
    total = {"below": room - 1, "at": room, "above": room + 1, "far above": 3 * room | 1,
             "huge": count * (p // 2) - 2}[load]  # fmt: skip
    weights = np.full((count, 2), total // count, dtype=np.int64)
    weights[0] += total % count
    weights[:, 1] *= [1, -1, 1, -1, 1]
    assert np.abs(weights).sum(axis=0).tolist() == [total, total]
    ct = extreme(params, count, value, parts)
    with noise.unchecked():
        layer = SquareLayer(BGV(params), ct, [identity(count)], weights)
        found = layer.sums()
    i = params.moduli.index(p)
    first = columns._Modulo(layer, slice(i, i + 1))
    assert first.dense.exact == (load in ("below", "at"))
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
    hidden = [Units(chosen, weight, np.zeros(4, dtype=np.int64)), identity(7)]
    weights = rng.integers(-params.t // 2 + 1, params.t // 2, (19, 3), dtype=np.int64)
    with noise.unchecked():
        found = SquareLayer(BGV(params), ct, hidden, weights).sums()
    assert canonical_rows(found).tolist() == exact(ct, hidden, weights)


@given(st.lists(integers_up_to(2**45), min_size=1, max_size=6), st.integers(0, 5))
def test_a_bias_is_added_to_the_first_part_before_the_square(bias: list[int], unit: int) -> None:
    params, unit = LARGE_T[0], unit % len(bias)
    weight = np.ones((2, len(bias)), dtype=np.int64)
    hidden = [Units(np.array([[0, 1]]), weight, np.array(bias, dtype=np.int64))]
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
    hidden = [Units(np.array([[0]]), one, np.array([p // 2]))]  # (p - 3)/2 + (p - 1)/2 = p - 2
    weights = np.array([[((EXACT_LIMIT - 2 * p) // bound(p) ** 2 - 1) | 1]])
    with noise.unchecked():
        found = SquareLayer(BGV(params), ct, hidden, weights).sums()
    assert canonical_rows(found).tolist() == exact(ct, hidden, weights)


@pytest.mark.parametrize("params", LARGE_T, ids=lambda p: p.name)
@pytest.mark.parametrize("value", ["largest", "odd", "negative"])
def test_constants_are_added_to_sums_that_are_as_large_as_can_be(
    params: Params, value: str
) -> None:
    p, ct = max(params.moduli), extreme(params, 1, value)
    room = (EXACT_LIMIT - 2 * p) // bound(p) ** 2
    weights = np.array([[room, -room, 1, room + 1, 3 * room | 1]])
    constants = np.array([p // 2, -(p // 2), 0, p // 2, params.t // 2])
    with noise.unchecked():
        found = SquareLayer(BGV(params), ct, [identity(1)], weights, constants).sums()
    assert canonical_rows(found).tolist() == exact(ct, [identity(1)], weights, constants)


# How the work is cut.


def an_example(params: Params) -> tuple[Ciphertext, list[Units], IntArray]:
    rng = np.random.default_rng(1)
    chosen, bias = rng.integers(0, 6, (4, 3)), np.array([1, -2], dtype=np.int64)
    hidden = [Units(chosen, rng.integers(1, 5, (3, 2)), bias), identity(6)]
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


def test_constants_add_their_noise_and_zero_adds_none() -> None:
    scheme, (ct, hidden, weights) = BGV(WIDE), an_example(WIDE)
    sums = [SquareLayer(scheme, ct, hidden, weights, x).sums() for x in (0, [5, 0, WIDE.t])]
    without, found = (total.bound.deviation for total in sums)
    added = scheme.plain_addition_bound(2).deviation
    assert added > 0
    assert found.tolist() == (without + added * np.array([1, 0, 0])).tolist()
    assert (found > without).tolist() == [True, False, False]


def test_biases_of_units_add_their_noise_and_zero_adds_none() -> None:
    scheme, (ct, _, _) = BGV(WIDE), an_example(WIDE)
    units = Units(np.array([[0], [1]]), np.array([[2, 2]]), np.array([0, 5]))
    bound = SquareLayer(scheme, ct, [units], np.ones((4, 1), dtype=np.int64)).hidden_bound
    added = scheme.plain_addition_bound(1).deviation * np.array([0, 1, 0, 1])
    assert bound.deviation.tolist() == (2 * ct.bound.deviation[[0, 0, 1, 1]] + added).tolist()


def test_only_the_chosen_ciphertexts_of_a_larger_store_take_part() -> None:
    """An array is an index into rows: reversed and repeated ones give other sums."""
    ct, hidden, weights = an_example(WIDE)
    for some in (ct[::-1], ct[[5, 5, 0, 1, 0, 3]], ct.reshape(3, 2).transpose(1, 0)):
        found = SquareLayer(BGV(WIDE), some, hidden, weights).sums()
        expected = by_layers(some, hidden, weights)
        assert np.array_equal(canonical_rows(found), canonical_rows(expected))


def test_a_layer_computes_at_the_level_of_its_ciphertexts() -> None:
    """With fewer primes than the scheme has; not modulo the scheme's."""
    scheme, (ct, hidden, weights) = BGV(WIDE), an_example(WIDE)
    lower = scheme.switch_modulus(ct, 4)
    found = SquareLayer(scheme, lower, hidden, weights).sums()
    assert found.params.k == 4
    assert np.array_equal(canonical_rows(found), canonical_rows(by_layers(lower, hidden, weights)))


# Wrong uses.


@pytest.mark.parametrize(
    ("inputs", "weight", "bias"),
    [
        ((3,), (3, 2), (2,)),
        ((4, 3), (2, 2), (2,)),
        ((4, 3), (3,), (2,)),
        ((4, 3), (3, 2), (3,)),
        ((4, 3), (3, 2), (1, 2)),
        ((4, 3), (3, 2), ()),
        ((4, 3, 1), (3, 2), (2,)),
    ],
)
def test_hidden_units_whose_arrays_do_not_fit_are_refused(
    inputs: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...]
) -> None:
    with pytest.raises(ParameterError, match=r"inputs \(P, K\), a weight \(K, M\) and a bias"):
        Units(*(np.zeros(shape, dtype=np.int64) for shape in (inputs, weight, bias)))


@pytest.mark.parametrize(("positions", "taps", "maps"), [(0, 3, 2), (4, 0, 2), (4, 3, 0)])
def test_no_hidden_units_and_units_without_an_input_are_refused(
    positions: int, taps: int, maps: int
) -> None:
    shapes = (positions, taps), (taps, maps), (maps,)
    with pytest.raises(ParameterError, match="no hidden units, or none of their inputs"):
        Units(*(np.zeros(shape, dtype=np.int64) for shape in shapes))


@pytest.mark.parametrize("what", ["inputs", "weight", "bias"])
@pytest.mark.parametrize("dtype", [float, bool])
def test_hidden_units_of_fractions_are_refused(what: str, dtype: type) -> None:
    _, (hidden, _), _ = an_example(WIDE)
    with pytest.raises(EncodingError, match=f"the {what} of hidden units must be integers"):
        replace(hidden, **{what: getattr(hidden, what).astype(dtype)})


@pytest.mark.parametrize("number", [-1, 6, 2**62])
def test_inputs_that_are_not_there_are_refused(number: int) -> None:
    """-1 is not the last one: inputs are numbers, and a wrong one is a wrong network."""
    ct, hidden, weights = an_example(WIDE)
    inputs = hidden[0].inputs.copy()
    inputs[1, 1] = number
    with pytest.raises(ParameterError, match=f"numbers from 0 to 5, not .*{number}"):
        SquareLayer(BGV(WIDE), ct, [replace(hidden[0], inputs=inputs), hidden[1]], weights)


def test_weights_and_constants_of_fractions_are_refused() -> None:
    ct, hidden, weights = an_example(WIDE)
    with pytest.raises(EncodingError, match="must be integers, not float64"):
        SquareLayer(BGV(WIDE), ct, hidden, weights * 0.5)
    with pytest.raises(EncodingError, match="must be integers, not float64"):
        SquareLayer(BGV(WIDE), ct, hidden, weights, 0.5)


def test_constants_of_another_shape_are_refused() -> None:
    ct, hidden, weights = an_example(WIDE)
    for shape in ((2,), (1, 3), (3, 1), (1,)):
        with pytest.raises(ParameterError, match="3 sums, but constants of shape"):
            SquareLayer(BGV(WIDE), ct, hidden, weights, np.ones(shape, dtype=np.int64))


def test_ciphertexts_of_a_declared_range_are_refused_because_nobody_follows_it() -> None:
    ct, hidden, weights = an_example(WIDE)
    with pytest.raises(RangeError, match=r"sums of squares .* no declared range: .* ct.modulo\(\)"):
        SquareLayer(BGV(WIDE), ct.declared(-9, 9), hidden, weights)


def test_a_layer_says_what_it_computes() -> None:
    ct, hidden, weights = an_example(WIDE)
    layer = SquareLayer(BGV(WIDE), ct, hidden, weights)
    assert repr(layer) == f"SquareLayer({BGV(WIDE)!r}, 14 units, 3 sums)"


def test_no_units_and_no_sums_are_refused() -> None:
    ct, hidden, weights = an_example(WIDE)
    with pytest.raises(ParameterError, match=r"0 units, but weights of shape \(0, 3\)"):
        SquareLayer(BGV(WIDE), ct, [], weights[:0])
    with pytest.raises(ParameterError, match=r"14 units, but weights of shape \(14, 0\)"):
        SquareLayer(BGV(WIDE), ct, hidden, weights[:, :0])


def test_ciphertexts_of_other_parameters_and_schemes_are_refused() -> None:
    _, hidden, weights = an_example(WIDE)
    with pytest.raises(KeyMismatchError, match="the ciphertext is for INSECURE_NARROW"):
        SquareLayer(BGV(WIDE), encrypted(NARROW, 6), hidden, weights)
    scheme = BFV(WIDE)
    ct = scheme.encrypt(np.ones((6, 1), dtype=np.int64), scheme.keygen(SEED).secret)
    with pytest.raises(KeyMismatchError, match="a ciphertext of BFV was given to BGV"):
        SquareLayer(BGV(WIDE), ct, hidden, weights)


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


def test_ciphertexts_of_too_high_a_degree_are_refused() -> None:
    ct, hidden, weights = an_example(WIDE)
    with noise.unchecked():
        power = ((ct**2) ** 2) ** 2
    with pytest.raises(FormError, match="degree 8 at most, .* 8 and 8 were given: relinearize f"):
        SquareLayer(BGV(WIDE), power, hidden, weights)


def test_a_sum_without_weights_is_refused_and_so_is_one_of_constants() -> None:
    ct, hidden, weights = an_example(WIDE)
    weights = weights.copy()
    weights[:, 1] = 0
    with pytest.raises(TransparentCiphertextError, match="a sum of squares no longer depends"):
        SquareLayer(BGV(WIDE), ct, hidden, weights).sums()
    for zero in (0, WIDE.t):  # all weights count modulo t
        constant = replace(hidden[0], weight=zero * hidden[0].weight)
        with pytest.raises(TransparentCiphertextError, match="a sum of squares no longer depends"):
            SquareLayer(BGV(WIDE), ct, [constant], np.ones((8, 1), dtype=np.int64), 7).sums()
    twice = Units(np.array([[0], [0]]), np.array([[1]]), np.array([3]))
    with pytest.raises(TransparentCiphertextError, match="a sum of squares no longer depends"):
        SquareLayer(BGV(WIDE), ct, [twice], np.array([[5], [-5]]), 7).sums()


def test_sums_that_are_too_noisy_are_refused() -> None:
    ct, hidden, _ = an_example(WIDE)
    weights = np.full((14, 1), WIDE.t // 2, dtype=np.int64)
    for _ in range(2):  # two square layers without a switch of the modulus
        square = BGV(WIDE).square(ct, WIDE.k)
        ct = BGV(WIDE).relinearize(square, keys_of(WIDE).relinearization) * (WIDE.t // 2)
    with pytest.raises(NoiseBudgetExhausted, match="a sum of squares leaves a noise budget of -"):
        SquareLayer(BGV(WIDE), ct, hidden, weights).sums()


# On a GPU.


@pytest.mark.parametrize("fused", [False, True], ids=["NumPy's functions", "fused functions"])
def test_layers_elsewhere_are_those_of_a_processor_and_each_is_its_own(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is prepared is kept there; a layer that differs in anything is another one."""
    place = register(monkeypatch, fused)
    monkeypatch.setattr(columns, "_kept", {})
    ct, hidden, weights = an_example(WIDE)
    first, second = hidden
    variants = [
        (ct, hidden, weights, 0),
        (ct, hidden, -weights, 0),
        (ct, hidden, weights, 5),
        (replace(ct, factor=3), hidden, weights, 5),
        (ct[::-1], hidden, weights, 0),
        (ct, [replace(first, bias=first.bias + 1), second], weights, 0),
        (ct, [replace(first, weight=2 * first.weight), second], weights, 0),
        (ct, [replace(first, inputs=first.inputs[::-1]), second], weights, 0),
        (ct, [second, first], weights, 0),
    ]
    with noise.unchecked():
        variants.append((replace(ct * ct, factor=1), hidden, weights, 0))  # of three parts
    for _ in range(2):
        for some, units, numbers, constants in variants:
            with noise.unchecked():
                expected = SquareLayer(BGV(WIDE), some, units, numbers, constants).sums()
                found = SquareLayer(BGV(WIDE), some.to(place), units, numbers, constants).sums()
            assert found.place == place
            assert np.array_equal(canonical_rows(found.to("cpu")), canonical_rows(expected))
    assert len(columns._kept) == len(variants)


@pytest.mark.parametrize("params", LARGE_T, ids=lambda p: p.name)
def test_large_weights_elsewhere_are_summed_prime_by_prime(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = register(monkeypatch)
    ct, (first, second), weights = an_example(params)
    large = first.weight * (params.t // 11)
    for units, numbers in (
        ([replace(first, weight=large), second], weights),
        ([first, second], weights * (params.t // 11)),
    ):
        with noise.unchecked():
            expected = SquareLayer(BGV(params), ct, units, numbers, 7).sums()
            layer = SquareLayer(BGV(params), ct.to(place), units, numbers, 7)
            assert len(layer.primes) == params.k
            assert np.array_equal(canonical_rows(layer.sums().to("cpu")), canonical_rows(expected))


def test_a_layer_elsewhere_is_cut_where_it_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    place = register(monkeypatch)
    ct, hidden, weights = an_example(WIDE)
    expected = SquareLayer(BGV(WIDE), ct, hidden, weights).sums()
    monkeypatch.setattr(columns, "MOST_BYTES", 8 * WIDE.k * (14 + 6) * 5)  # five columns
    layer = SquareLayer(BGV(WIDE), ct.to(place), hidden, weights)
    assert layer.steps == -(-16 // 5)
    assert np.array_equal(layer.sums().to("cpu").rows, expected.rows)


def test_not_more_than_some_layers_are_kept_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    place = register(monkeypatch)
    monkeypatch.setattr(columns, "_kept", {})
    monkeypatch.setattr(columns, "MOST_KEPT", 2)
    ct, hidden, weights = an_example(WIDE)
    for constant in range(5):
        SquareLayer(BGV(WIDE), ct.to(place), hidden, weights, constant).sums()
        assert len(columns._kept) <= 2
