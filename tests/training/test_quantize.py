"""Small integers: pixels, rounding while training, folding, the proved range, the files."""

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.data.sets import load_digits, load_mnist
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import Sequential
from nn.networks.pretrained import known_names, pretrained, pretrained_names
from nn.training.quantize import StraightThrough, export, folded, proved_bits, quantize_pixels
from nn.training.train import RECIPES, predict
from yashe.errors import ParameterError, TrainingError


@given(st.integers(1, 1000), st.integers(1, 300) | st.integers(2**39, 2**40), st.data())
def test_pixels_are_rounded_to_the_nearest_level_and_halves_up(pixel_max, levels, data):
    pixel = data.draw(st.integers(0, pixel_max))
    exact = math.floor(Fraction(pixel * levels, pixel_max) + Fraction(1, 2))
    assert quantize_pixels(np.array([pixel]), pixel_max, levels).item() == exact


def test_pixels_of_every_type_give_the_same_levels():
    pixels = np.arange(256)
    expected = quantize_pixels(pixels, 255, 3)
    assert expected.dtype == np.int64
    assert [int((expected == level).sum()) for level in range(4)] == [43, 85, 85, 43]
    for kind in (np.uint8, np.float32, np.float64):
        np.testing.assert_array_equal(quantize_pixels(pixels.astype(kind), 255, 3), expected)


@pytest.mark.parametrize("pixel", [-1, 17])
def test_pixels_out_of_range_are_refused(pixel):
    with pytest.raises(ParameterError, match=rf"\[0, 16\]; got \[{pixel}, {pixel}\]"):
        quantize_pixels(np.array([pixel]), 16, 4)


@pytest.mark.parametrize(
    ("images", "pixel_max", "levels", "message"),
    [
        ([[1], [1, 2]], 16, 4, "pixels must be an array of numbers"),
        ("a", 16, 4, "pixels must be numbers; got <U1"),
        (None, 16, 4, "pixels must be numbers; got object"),
        (np.ma.masked_equal([3, 4], 4), 16, 4, "none of them masked"),
        ([float("nan")], 16, 4, r"must lie in \[0, 16\]"),
        ([1], 0, 4, "pixel_max must be a whole number of at least 1"),
        ([1], 16, 0, "levels must be a whole number of at least 1"),
        ([1], 16, 1.5, "levels must be a whole number"),
        ([1], "16", 4, "pixel_max must be a whole number"),
        ([1], 16, None, "levels must be a whole number"),
        ([1], 1, 2**63, "must be at most 2\\^50 to be exact"),
        ([1], 10**400, 4, "must be at most 2\\^50 to be exact"),
    ],
)
def test_what_are_no_pixels_or_no_limits_is_refused(images, pixel_max, levels, message):
    with pytest.raises(ParameterError, match=message):
        quantize_pixels(images, pixel_max, levels)
    assert quantize_pixels([[0, 8], [16, 4]], 16, 4).tolist() == [[0, 2], [4, 1]]


def trainable(seed=0):
    """A float network as training has it, its averages adapted to random images."""
    rng = np.random.default_rng(seed)
    layers = [Conv2D(3, 3, bias=False), BatchNorm(), Square(), MeanPool(2), Flatten()]
    layers += [Dense(5, bias=False), BatchNorm(), Square(), Dense(4, bias=False), BatchNorm()]
    model = Sequential(layers, (6, 6, 1), rng)
    images = rng.integers(0, 4, (200, 6, 6, 1)).astype(np.float32)
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            units = len(layer.mean)
            layer.parameters["shift"] = rng.normal(0, 1, units).astype(np.float32)
            layer.parameters["gain"] = np.array([1.5], dtype=np.float32)
    adapt(model, images)
    return model, images


def adapt(model, images):
    """Set the running averages to those of a batch."""
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            layer.momentum = 1.0
    model.training_forward(images)


def rounded(seed=0):
    """The same network with whole weights and biases."""
    model, images = trainable(seed)
    rounding = StraightThrough(model, (3, 3, 7), (1.1, 0.9, 2.0))
    rounding.apply()
    adapt(model, images)
    rounding.freeze()
    return model, images, rounding


def test_weights_become_integers_within_their_limits():
    model, _, _ = rounded()
    for (layer, _), limit in zip(model.linear_layers(), (3, 3, 7), strict=True):
        np.testing.assert_array_equal(layer.weight, np.rint(layer.weight))
        assert 0 < np.abs(layer.weight).max() <= limit


def test_the_density_is_the_mean_weight_before_rounding():
    model, _ = trainable()
    rounding = StraightThrough(model, (1000, 1000, 1000), (90.0, 90.0, 90.0))
    rounding.apply()
    for layer, _ in model.linear_layers():
        assert np.abs(layer.weight).mean() == pytest.approx(90, abs=1)


def test_fine_steps_change_nothing():
    model, images = trainable()
    before = model.forward(images)
    StraightThrough(model, (10**6,) * 3, (1e4,) * 3).apply()
    np.testing.assert_allclose(model.forward(images), before, rtol=1e-2, atol=1e-2)


def test_a_latent_weight_moves_until_its_rounded_value_jumps():
    model, _, rounding = rounded()
    weight, latent = model.parameters()[0], rounding.latent[0]
    start, step = weight[0, 0], rounding.weights[0].step
    latent[0, 0] = (start + 0.4) * step
    rounding.apply()
    assert weight[0, 0] == start
    latent[0, 0] = (start + 0.6) * step
    rounding.apply()
    assert weight[0, 0] == min(start + 1, 3)
    latent[0, 0] = 100 * step
    rounding.apply()
    assert weight[0, 0] == 3
    assert latent[0, 0] == pytest.approx(3.5 * step)


def test_a_frozen_network_trains_on_what_it_will_be():
    model, images, rounding = rounded()
    np.testing.assert_array_equal(model.training_forward(images)[0], model.forward(images))
    for latent in rounding.latent:
        latent += np.float32(0.01)
    rounding.apply()
    for fold in folded(model):
        np.testing.assert_allclose(fold.bias, np.rint(fold.bias), rtol=1e-4, atol=1e-2)


@given(st.integers(0, 20))
@settings(deadline=None, max_examples=10)
def test_the_exported_integers_are_the_trained_network_but_for_one_factor(seed):
    model, images, _ = rounded(seed)
    exact = export(model)
    assert all(p.dtype == np.int64 for p in exact.parameters())
    last = list(folded(model))[-1]
    logits = exact.forward(images.astype(np.int64))
    trained = model.forward(images.astype(np.float64))
    np.testing.assert_allclose(logits * last.unit * last.factor, trained, rtol=1e-3, atol=1e-3)


def test_export_shares_no_memory_with_the_trained_network():
    model, _, _ = rounded()
    exact = export(model)
    before = copy.deepcopy(exact.parameters())
    for parameter in model.parameters():
        parameter += 5
    for a, b in zip(exact.parameters(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_with_fractions_is_not_exported():
    model, _ = trainable()
    with pytest.raises(TrainingError, match="whole-numbered weights; Conv2D has others"):
        export(model)


def test_a_negative_last_gain_is_refused():
    model, _, _ = rounded()
    model.layers[-1].parameters["gain"] *= -1
    with pytest.raises(TrainingError, match="positive gain"):
        export(model)


@pytest.mark.parametrize(
    ("layers", "got"),
    [
        ([Dense(2)], "Dense with bias=True and no BatchNorm"),
        ([Dense(2), BatchNorm()], "Dense with bias=True and a BatchNorm"),
        ([Dense(2, bias=False), Square(), BatchNorm()], "bias=False and no BatchNorm"),
    ],
)
def test_layers_that_do_not_fold_are_refused(layers, got):
    model = Sequential(layers, (3,), np.random.default_rng(0))
    with pytest.raises(ParameterError, match=got):
        StraightThrough(model, (1,), (1.0,))


def test_the_proved_bits_of_a_tiny_network_by_hand():
    model = Sequential([Dense(1), Square(), Dense(2)], (2,))
    model.layers[0].parameters = {"weight": np.array([[2], [-3]]), "bias": np.array([1])}
    model.layers[2].parameters = {"weight": np.array([[1, -5]]), "bias": np.array([0, 7])}
    # Inputs 0..4: 2x - 3y + 1 in [-11, 9], squared [0, 121], logits [0, 121] and [-598, 7].
    assert proved_bits(model, 4) == pytest.approx(math.log2(2 * 598))


def test_an_interval_that_leaves_out_zero_keeps_its_smallest_square():
    model = Sequential([Dense(1), Square(), Dense(1)], (1,))
    model.layers[0].parameters = {"weight": np.array([[1]]), "bias": np.array([-9])}
    model.layers[2].parameters = {"weight": np.array([[1]]), "bias": np.array([-60])}
    # Inputs 0..4: [-9, -5], squared [25, 81], logits [-35, 21]: the lower end decides.
    assert proved_bits(model, 4) == pytest.approx(math.log2(70))


@given(st.integers(0, 30), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_no_image_leaves_the_proved_range(seed, levels):
    exact = export(rounded(seed % 5)[0])
    rng = np.random.default_rng(seed)
    images = rng.integers(0, levels + 1, (50, 6, 6, 1))
    # Besides random images: for each weight column of the convolution the one that it likes most.
    favourite = np.where(rng.random((50, 6, 6, 1)) < 0.5, 0, levels)
    logits = exact.forward(np.concatenate([images, favourite]))
    assert np.abs(logits).max() <= 2 ** (proved_bits(exact, levels) - 1) * (1 + 1e-12)


def test_the_proof_of_one_dense_layer_is_reached_by_an_image():
    rng = np.random.default_rng(5)
    model = Sequential([Dense(3)], (10,))
    weight, bias = rng.integers(-9, 10, (10, 3)), rng.integers(-99, 100, 3)
    model.layers[0].parameters = {"weight": weight, "bias": bias}
    corners = np.concatenate([7 * (weight.T > 0), 7 * (weight.T < 0)])
    reached = int(np.abs(model.forward(corners)).max())
    assert proved_bits(model, 7) == pytest.approx(math.log2(2 * reached))


def test_there_is_one_pretrained_network_for_each_recipe():
    assert pretrained_names() == tuple(sorted(RECIPES))
    with pytest.raises(ParameterError, match="got 'resnet', and .* digits, lean, light, mnist"):
        pretrained("resnet")
    with pytest.raises(ParameterError, match="got None"):
        pretrained(None)
    assert known_names() == ("cryptonets", "digits", "lean", "light", "mnist")
    assert pretrained("mnist").info == pretrained("cryptonets").info


@pytest.mark.parametrize(
    ("name", "limits", "bits", "squarings"),
    [
        ("cryptonets", (3, 3, 7), 47.8, 845 + 100),
        ("lean", (1, 3, 15), 47.8, 360 + 64),
        ("light", (1, 7), 24.0, 1000),
        ("digits", (7, 7, 7), 47.8, 144 + 32),
    ],
)
def test_a_pretrained_network_is_what_its_file_says(name, limits, bits, squarings):
    model = pretrained(name)
    for (layer, _), limit in zip(model.linear_layers(), limits, strict=True):
        assert np.abs(layer.weight).max() <= limit
    assert model.info.name == name
    assert model.info.levels == RECIPES[name].levels
    assert round(proved_bits(model, model.info.levels), 2) == model.info.proved_bits <= bits
    squares = [math.prod(s.output_shape) for s in model.layers if isinstance(s, Square)]
    assert sum(squares) == squarings


def measured(model, dataset):
    """The accuracy of a network on the test images of a data set."""
    pixels = quantize_pixels(dataset.test_images, dataset.pixel_max, model.info.levels)
    # float64 is exact here: every number on the way is whole and below 2^53.
    return float(np.mean(predict(model, pixels.astype(np.float64)) == dataset.test_labels))


def test_the_digits_network_has_the_accuracy_that_its_file_says():
    model = pretrained("digits")
    assert measured(model, load_digits()) == model.info.test_accuracy >= 0.98


@pytest.mark.parametrize(
    ("name", "least"), [("cryptonets", 0.99), ("lean", 0.99), ("light", 0.986)]
)
def test_the_mnist_networks_have_the_accuracy_that_their_files_say(name, least, mnist_folder):
    model = pretrained(name)
    assert measured(model, load_mnist(mnist_folder)) == model.info.test_accuracy
    assert model.info.validation_accuracy >= least
