"""One image in the slots: in plain integers the packed network is the network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.packing.answer import Answer
from nn.packing.layout import Layout, fitting, layout_of
from nn.packing.network import PackedNetwork
from nn.packing.stages import PackingError, matrix_of, stages_of
from packed_slots import before_the_answer, gathered, rotated
from strategies_networks import images, networks
from yashe.arithmetic.primes import ntt_primes
from yashe.ciphertexts.slots import encode, encode_constant
from yashe.parameters.sets import Params, make_params

TOY = make_params("INSECURE_PACKING", 64, 2**20, security=None, log2_q=100)
LARGE = make_params("packing", 8192, 2**22)


def built(layers, shape, weight=1) -> Sequential:
    """A network whose weights are all `weight`."""
    model = Sequential(layers, shape, info=ModelInfo(levels=1))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = np.full(value.shape, weight, dtype=np.int64)
    return model


def product(params: Params, slots, coefficients):
    """The polynomial with these slots, times another, modulo t."""
    ring = params.plaintext_ring
    other = ring.element(coefficients[None])
    message = encode(params, encode_constant(params, slots)[None]).element
    return ring.basis.compose((message.ntt() * other.ntt()).intt().residues, np.int64)[0]


def test_slots_are_as_the_picture_in_the_docstring_has_them() -> None:
    layout = Layout(16, 6, 4)
    assert (layout.blocks, layout.turns, layout.period) == (4, 2, 4)
    assert layout.position_of.tolist() == [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, -1, -1, -1, -1]
    weight = np.arange(18).reshape(6, 3) + 1
    z = layout.weights(weight)[:, 0]
    assert z[0, :8].tolist() == [1, 5, 3, 0, 7, 11, 9, 0]  # of position and output: 0,0 1,1 0,2 -
    assert z[1, :8].tolist() == [0, 4, 2, 6, 0, 10, 8, 12]  # - 1,0 0,1 1,2
    assert layout.folds == ((4,), ("swap",))


def test_few_positions_repeat_themselves_and_are_summed_once() -> None:
    layout = Layout(64, 3, 4)
    assert (layout.turns, layout.period, layout.folds) == (1, 4, ((4, 8, 12),))
    y = gathered(layout, layout.weights(np.ones((3, 2), dtype=np.int64))[:, 0])
    assert y.tolist() == layout.repeated(np.array([3, 3])).tolist()


@given(data=st.data())
def test_a_matrix_product_is_weights_a_merge_and_a_fold(data: st.DataObject) -> None:
    positions, outputs = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9))
    layout = fitting(2 ** data.draw(st.integers(4, 8)), positions, [outputs])
    if layout is None:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, weight = rng.integers(-9, 9, (2, positions)), rng.integers(-9, 9, (2 * positions, outputs))
    products = layout.weights(weight) * layout.spread(x)
    y = gathered(layout, products.sum(axis=1))
    assert y[:outputs].tolist() == (x.T.reshape(-1) @ weight).tolist()
    assert np.array_equal(y, layout.repeated(y[: layout.classes]))  # in all blocks the same


@given(data=st.data())
def test_a_packed_network_is_the_network(data: st.DataObject) -> None:
    model = data.draw(networks(most_squares=3))
    image = data.draw(images(model, 1))
    try:
        network = PackedNetwork.of(model, TOY)
    except PackingError:
        assert fitting(64, *positions_and_outputs(model)) is None
        return
    y, expected = before_the_answer(network, image[0]), model.forward(image)[0]
    if not network.packing.answered:
        assert y[: len(expected)].tolist() == expected.tolist()
        return
    message = product(TOY, y * y, network.answers)
    answer = network.packing.answer(TOY)
    message = message + answer.mask(network.stages.matrices[-1].bias, bytes(32))
    logits = answer.logits(encode_constant(TOY, message))
    assert logits.tolist() == encode_constant(TOY, expected).tolist()


def positions_and_outputs(model):
    stages = stages_of(model)
    return stages.taps.positions, stages.outputs


@pytest.mark.parametrize("name", ["digits", "cryptonets", "lean", "light"])
def test_the_pretrained_networks_pack(name: str) -> None:
    model = pretrained(name)
    image = np.random.default_rng(0).integers(0, model.levels + 1, model.input_shape)
    network = PackedNetwork.of(model, LARGE)
    y, expected = before_the_answer(network, image), model.forward(image[None])[0]
    if not network.packing.answered:  # with one square there is no second matrix
        assert name == "light"
        assert y[: len(expected)].tolist() == encode_constant(LARGE, expected).tolist()
        return
    message = product(LARGE, y * y, network.answers)
    expected = expected - network.stages.matrices[1].bias
    logits = network.packing.answer(LARGE).logits(message)
    assert logits.tolist() == encode_constant(LARGE, expected).tolist()


def test_a_mask_leaves_only_the_logits() -> None:
    answer = Answer(make_params("INSECURE_MASK", 16, 97, security=None, log2_q=40), 2, 3)
    t, bias = answer.params.t, np.array([5, -7, 11])
    masks = np.array([answer.mask(bias, i.to_bytes(32, "big")) for i in range(4000)])
    assert all(answer.logits(mask).tolist() == bias.tolist() for mask in masks[:50])
    # Every coefficient takes every value about equally often: 41 times, give or take 6.4.
    for coefficient in masks.T:
        counts = np.bincount(coefficient + t // 2, minlength=t)
        assert len(counts) == t
        assert ((counts - 4000 / t) ** 2 / (4000 / t)).sum() < 160
    # Two of them are independent of each other, the digits of one number, too.
    places = answer.places
    assert len(set(places.flat)) == places.size
    correlations = np.corrcoef(masks.T) - np.eye(16)
    tied = places.reshape(answer.pairs, -1)
    for pair in tied:  # one equation for each of Y^0 and Y^C
        correlations[np.ix_(pair, pair)] = 0
    assert np.abs(correlations).max() < 0.08


def test_what_is_between_the_layers_does_not_come_through_a_mask() -> None:
    """Two inputs with one answer: the difference of their messages is a difference of masks."""
    answer = Answer(TOY, 4, 2)
    weight = np.array([[1, 0], [1, 1], [2, 1]])
    polynomial = answer.polynomial(weight)
    layout = Layout(TOY.n, 1, 4)
    squares = np.array([[4, 4, 1, 9], [6, 6, -1, 0]])
    assert (squares[:, :3] @ weight).tolist() == [[10, 5], [10, 5]]
    a, b = (product(TOY, layout.repeated(row), polynomial) for row in squares)
    assert (a != b).any()
    rest = encode_constant(TOY, a - b)
    assert answer.logits(rest).tolist() == [0, 0]  # as all differences of masks, and no others


def test_the_digits_of_an_answer_are_short() -> None:
    network = PackedNetwork.of(pretrained("cryptonets"), LARGE)
    answer = network.packing.answer(LARGE)
    assert (answer.digits, answer.base, answer.stride) == (6, 16, 32)
    assert np.abs(network.answers).max() <= answer.base // 2 + 1
    assert network.answer_norm < 2**12 < 2**28 < float(network.weight_norms.min())


def test_digits_of_the_largest_coefficients_are_those_of_the_weights() -> None:
    """t has all 24 bits of six digits, and 7 + 7 16 + ... + 7 16^5 is less than t/2."""
    params = Params("INSECURE_DIGITS", 64, ntt_primes(64, 2), ntt_primes(64, 3)[2:], security=None)
    answer, rng = Answer(params, 4, 2), np.random.default_rng(0)
    assert (answer.stride, answer.digits, answer.base) == (8, 6, 16)
    for _ in range(40):
        weight = rng.integers(-(params.t // 2), params.t // 2, (4, 2))
        squares = rng.integers(0, 100, 4)
        slots = Layout(64, 1, 4).repeated(squares)
        found = answer.logits(product(params, slots, answer.polynomial(weight)))
        assert found.tolist() == encode_constant(params, squares @ weight).tolist()


def test_a_matrix_whose_sums_do_not_fit_into_int64_is_one_of_python_integers() -> None:
    """One input, weights just below 2^31, and four of their products: 2^64, almost."""
    model = built([Dense(4), Dense(1)], (1,), 2**31 - 1)
    for layer in model.layers:
        layer.parameters["bias"][:] = 0
    weight, bias = matrix_of(model.layers)
    assert (weight.tolist(), bias.tolist()) == ([[4 * (2**31 - 1) ** 2]], [0])


def test_linear_layers_in_a_row_are_one_matrix() -> None:
    rng = np.random.default_rng(0)
    layers = [Conv2D(2, 2), MeanPool(2), Flatten(), Dense(3)]
    model = Sequential(layers, (5, 5, 1), info=ModelInfo(levels=1))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = rng.integers(-9, 9, value.shape)
    x = rng.integers(0, 9, (4, 5, 5, 1))
    weight, bias = matrix_of(model.layers)
    assert weight.dtype == np.int64
    assert np.array_equal(x.reshape(4, -1) @ weight + bias, model.forward(x))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = value * 2**40
    weight, bias = matrix_of(model.layers)  # beyond int64
    exact = model.forward(x.astype(object))
    assert weight.dtype == object
    assert np.array_equal(x.reshape(4, -1) @ weight + bias, exact)


def test_a_pool_is_a_convolution_and_padding_is_zero() -> None:
    model = built([Conv2D(1, 3, stride=2, pad_end=1), Square(), Flatten(), Dense(1)], (6, 6, 1))
    taps = stages_of(model).taps
    assert (taps.pixels.shape, taps.layer) == ((9, 9), 0)
    assert (taps.pixels[8].reshape(3, 3)[2] == -1).all()
    assert taps.pixels[0, -1] == 28
    pooled = built([MeanPool(2), Square(), Flatten(), Dense(1)], (4, 4, 2))
    assert stages_of(pooled).taps.pixels.shape == (4, 8)
    dense = built([Flatten(), Dense(3), Square(), Dense(2)], (2, 2, 1))
    stages = stages_of(dense)
    assert (stages.taps.layer, stages.outputs) == (-1, (3, 2))
    assert [matrix.squared for matrix in stages.matrices] == [False, True]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Flatten(), Dense(2), Square(), Dense(2), Square(), Dense(2), Square(), Dense(1)],
         r"layer 7, Dense\(units=1\), would be matrix number 4 in a row"),
        ([Flatten(), Dense(2), Square()], r"layer 2, Square\(\), is the last one"),
        ([Square(), Square(), Flatten(), Dense(2)], "layer 1, Square, follows a square"),
        ([Flatten()], r"layer 0, Flatten\(\), is the last one"),
    ],
)  # fmt: skip
def test_networks_of_another_form_are_refused_by_the_layer(layers, message: str) -> None:
    with pytest.raises(PackingError, match=message):
        stages_of(built(layers, (2, 2, 1)))


def test_what_is_too_large_is_refused() -> None:
    model = built([Flatten(), Dense(60)], (8, 8, 1))
    with pytest.raises(PackingError, match="layer 1 sums 64 positions to 60 outputs"):
        layout_of(stages_of(model), 64)
    with pytest.raises(PackingError, match="9 logits do not fit .* at most 8 do"):
        Answer(TOY, 8, 9)
    with pytest.raises(PackingError, match="9 logits do not fit .* at most 4 do"):
        PackedNetwork.of(built([Flatten(), Dense(8), Square(), Dense(9)], (2, 2, 1)), TOY)
    zeros = built([Conv2D(1, 1), Square(), Flatten(), Dense(3)], (4, 4, 1))
    weight = zeros.layers[3].parameters["weight"]
    weight[0::2, [0, 2]] = weight[1::2, 1] = 0  # all that z_0 is made of
    small = make_params("INSECURE_FEW", 32, 193, security=None, log2_q=60)
    assert layout_of(stages_of(zeros), 32).turns == 2
    with pytest.raises(PackingError, match=r"layer 3, Dense\(units=3\), has so many weights of"):
        PackedNetwork.of(zeros, small)


def test_the_twin_rotates_as_slots_do() -> None:
    slots = np.arange(8)
    assert rotated(slots, 1).tolist() == [1, 2, 3, 0, 5, 6, 7, 4]
    assert rotated(slots, "swap").tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
