"""Folding: a network without affine maps is the same function as the chain that it was made of."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from nn.foreign.chain import Affine, Weighted, dense, network_of
from nn.networks.layers import Conv2D, Flatten, MeanPool, Square
from nn.networks.model import Sequential
from yashe.errors import ParameterError


def applied(steps, x):
    """Go through a chain step by step, as it is written."""
    for step in steps:
        if isinstance(step, Affine):
            x = step.gain * x + step.shift
        elif isinstance(step, Weighted):
            layer = Sequential([step.layer.unbuilt()], x.shape[1:])
            layer.layers[0].parameters = {"weight": step.weight, "bias": step.bias}
            x = layer.forward(x)
        else:
            x = Sequential([step.unbuilt()], x.shape[1:]).forward(x)
    return x


def affine(rng, shape, shifted):
    gain = rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
    return Affine(gain, rng.normal(size=shape) if shifted else np.zeros(shape))


@st.composite
def chains(draw):
    """Chains that begin with an image and end with a flat row; and the shape of the image."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    side, channels = draw(st.sampled_from([4, 8])), draw(st.integers(1, 3))
    shape, steps = (side, side, channels), []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["affine", "convolution", "pool", "square"]))
        if kind == "affine":
            steps.append(affine(rng, channels, draw(st.booleans())))
        elif kind == "convolution":
            maps, pad = draw(st.integers(1, 3)), draw(st.integers(0, 1))
            layer = Conv2D(maps, 3, pad_end=1, pad_start=pad)
            if min(side + 1 + pad - 2, side) < 1:
                continue
            steps.append(
                Weighted(layer, rng.normal(size=(9 * channels, maps)), rng.normal(size=maps))
            )
            side, channels = layer.infer((side, side, channels))[1:]
        elif kind == "pool" and side % 2 == 0:
            steps.append(MeanPool(2))
            side //= 2
        elif kind == "square" and sum(isinstance(step, Square) for step in steps) < 2:
            steps.append(Square())
    steps.append(Flatten())
    width = side * side * channels
    if draw(st.booleans()):
        steps.append(affine(rng, width, draw(st.booleans())))
    steps.append(dense(rng.normal(size=(width, 3)), rng.normal(size=3)))
    if draw(st.booleans()):
        steps.append(affine(rng, 3, draw(st.booleans())))
    return steps, shape


@given(chains(), st.integers(0, 2**32))
def test_a_folded_network_is_the_function_that_its_chain_is(case, seed):
    steps, shape = case
    model = network_of(steps, shape)
    x = np.random.default_rng(seed).normal(size=(3, *shape))
    expected = applied(steps, x)
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(model.forward(x) / scale, expected / scale, atol=1e-9)


def test_by_hand_batch_normalisation_goes_back_into_the_layer_before_it():
    # y = 3 (2 x + 1) - 4 = 6 x - 1
    model = network_of([dense(np.array([[2.0]]), 1.0), Affine(np.array(3.0), np.array(-4.0))], (1,))
    assert len(model.layers) == 1
    assert model.layers[0].weight.tolist() == [[6.0]]
    assert model.layers[0].bias.tolist() == [-1.0]


def test_by_hand_a_map_behind_a_square_goes_on_into_the_next_layer():
    # (2 (3 x)^2 + 5) 7 = 126 x^2 + 35, where the first layer is 3 x and the last one 14 and 35
    two_and_five = Affine(np.array(2.0), np.array(5.0))
    steps = [dense(np.array([[3.0]])), Square(), two_and_five, dense(np.array([[7.0]]))]
    model = network_of(steps, (1,))
    assert [layer.parameters["weight"].tolist() for layer in model.layers[::2]] == [
        [[3.0]],
        [[14.0]],
    ]
    assert model.layers[2].bias.tolist() == [35.0]
    assert model.forward(np.array([[2.0]])).tolist() == [[126 * 4 + 35.0]]


def test_by_hand_a_shift_behind_a_pool_is_shared_by_the_values_that_it_sums():
    # Four pixels x, each times 1: their sum is 4 x, and with the shift of 8 each has one of 2.
    one = Weighted(Conv2D(1, 1), np.ones((1, 1)), np.zeros(1))
    steps = [one, MeanPool(2), Affine(np.array(3.0), np.array(8.0)), Flatten()]
    model = network_of(steps, (2, 2, 1))
    assert model.layers[0].weight.tolist() == [[3.0]]
    assert model.layers[0].bias.tolist() == [2.0]
    assert model.forward(np.ones((1, 2, 2, 1))).tolist() == [[3 * 4 + 8.0]]


def test_a_shift_in_front_of_a_padded_convolution_gets_a_layer_of_its_own():
    # The zeros of the padding come after the shift, so that no bias can say the same everywhere.
    shift = Affine(np.array(1.0), np.array(1.0))
    convolution = Weighted(Conv2D(1, 3, pad_end=1, pad_start=1), np.ones((9, 1)), np.zeros(1))
    model = network_of([shift, convolution, Flatten()], (2, 2, 1))
    assert [repr(layer) for layer in model.layers] == [
        "Conv2D(maps=1, kernel=1)",
        "Conv2D(maps=1, kernel=3, pad_end=1, pad_start=1)",
        "Flatten()",
    ]
    assert model.forward(np.zeros((1, 2, 2, 1))).tolist() == [[4.0] * 4]
    unpadded = Weighted(Conv2D(1, 2), np.ones((4, 1)), np.zeros(1))
    assert len(network_of([shift, unpadded, Flatten()], (2, 2, 1)).layers) == 2


def test_weights_that_do_not_fit_or_are_too_many_are_refused():
    with pytest.raises(ParameterError, match=r"must have weights of shape \(3, 2\); got \(4, 2\)"):
        network_of([dense(np.ones((4, 2)))], (3,))
    big = Weighted(Conv2D(2**15, 1), np.broadcast_to(1.0, (2**14, 2**15)), np.ones(2**15))
    with pytest.raises(ParameterError, match="must take at most 67,108,864 products"):
        network_of([big], (1, 1, 2**14))
    uneven = Affine(np.arange(4.0).reshape(2, 2, 1), np.array(1.0))
    with pytest.raises(ParameterError, match="Give every channel one number"):
        network_of([uneven, Square(), Flatten()], (2, 2, 1))
