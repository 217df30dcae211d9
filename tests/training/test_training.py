"""Training: loss, optimisers, augmentation, and the loop that uses them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn.training.train
from nn.data.sets import load_digits
from nn.networks.layers import Conv2D, Dense, Flatten, Square
from nn.networks.model import Sequential
from nn.training.augment import Augmentation, interpolation, sample
from nn.training.loss import cross_entropy, distillation, smooth_labels, softmax
from nn.training.optim import SGD, Adam, clip_gradients, cosine_rate
from nn.training.train import RECIPES, Trainer, predict, train
from yashe.errors import ParameterError, TrainingError

QUICK = replace(
    RECIPES["digits"], float_epochs=4, rounded_epochs=2, frozen_epochs=2, straight_epochs=1
)
STILL = Augmentation(turn=0, stretch=0, slant=0, shift=0, warp=0, untouched=0)


def logits(draw_shape=(4, 3)):
    """Batches of logits of moderate size."""
    values = st.floats(-30, 30)
    size = draw_shape[0] * draw_shape[1]
    return st.lists(values, min_size=size, max_size=size).map(
        lambda v: np.array(v).reshape(draw_shape)
    )


@given(logits(), st.floats(-1e4, 1e4))
def test_softmax_sums_to_one_and_ignores_a_common_shift(z, shift):
    np.testing.assert_allclose(softmax(z).sum(axis=1), 1)
    np.testing.assert_allclose(softmax(z + shift), softmax(z), atol=1e-9)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes():
    loss, gradient = cross_entropy(np.zeros((2, 4)), smooth_labels(np.array([0, 3]), 4))
    assert loss == pytest.approx(math.log(4))
    # p - target = 1/4 - 1 at the label and 1/4 elsewhere, divided by the batch of 2.
    expected = np.array([[-0.375, 0.125, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]])
    np.testing.assert_allclose(gradient, expected)


def test_smooth_labels_spread_a_share_over_all_classes():
    expected = [[0.01, 0.01, 0.96, 0.01, 0.01]]
    np.testing.assert_allclose(smooth_labels(np.array([2]), 5, 0.05), expected, rtol=1e-6)


def differences(function, at, step=1e-6):
    """Central differences of a scalar function."""
    result = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        move = np.zeros_like(at)
        move[index] = step
        result[index] = (function(at + move) - function(at - move)) / (2 * step)
    return result


@given(logits(), logits())
@settings(deadline=None)
def test_the_gradients_of_the_losses_equal_finite_differences(z, teacher):
    targets = smooth_labels(np.array([0, 1, 2, 0]), 3, 0.1).astype(np.float64)
    z, teacher = z / 6, teacher / 6
    for loss in (
        lambda at: cross_entropy(at, targets),
        lambda at: distillation(at, targets, teacher, weight=0.7, temperature=2.0),
    ):
        numeric = differences(lambda at, loss=loss: loss(at)[0], z)
        np.testing.assert_allclose(loss(z)[1], numeric, atol=1e-7)


def test_distillation_alone_is_smallest_at_the_teacher():
    teacher = np.array([[1.0, -2.0, 0.5]])
    targets = smooth_labels(np.array([1]), 3)
    gradient = distillation(teacher, targets, teacher, weight=1.0)[1]
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_sgd_adds_up_its_momentum():
    w = np.array([1.0])
    optimizer = SGD([w], momentum=0.5)
    # v: 2, then 0.5 * 2 + 2 = 3; w: 1 - 0.1 * 2 = 0.8, then 0.8 - 0.1 * 3 = 0.5.
    optimizer.step([np.array([2.0])], 0.1)
    assert w.item() == pytest.approx(0.8)
    optimizer.step([np.array([2.0])], 0.1)
    assert w.item() == pytest.approx(0.5)


@given(st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
def test_adams_first_step_has_the_length_of_the_rate(size, sign):
    w = np.zeros(1)
    Adam([w]).step([np.array([sign * size])], 0.01)
    assert w.item() == pytest.approx(-sign * 0.01, rel=1e-4)


def test_adams_second_step_by_hand():
    w = np.zeros(1)
    optimizer = Adam([w], epsilon=0.0)
    optimizer.step([np.array([1.0])], 0.1)
    optimizer.step([np.array([3.0])], 0.1)
    # m = 0.9 * 0.1 + 0.1 * 3 = 0.39 over 1 - 0.9^2; v = 0.999 * 0.001 + 0.001 * 9 over 1 - 0.999^2.
    second = (0.39 / 0.19) / math.sqrt(0.009999 / 0.001999)
    assert w.item() == pytest.approx(-0.1 - 0.1 * second)


def test_decay_shrinks_matrices_and_leaves_vectors_alone():
    matrix, vector = np.ones((2, 2)), np.ones(2)
    Adam([matrix, vector], decay=0.5).step([np.zeros((2, 2)), np.zeros(2)], 0.1)
    np.testing.assert_allclose(matrix, 0.95)
    np.testing.assert_array_equal(vector, 1)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_an_optimiser_finds_the_bottom_of_a_bowl(kind):
    w = np.array([[3.0, -2.0]])
    optimizer = kind([w])
    for step in range(400):
        optimizer.step([2 * w], cosine_rate(step, 400, 0.05))
    np.testing.assert_allclose(w, 0, atol=1e-3)


def test_gradients_of_another_network_are_refused():
    with pytest.raises(ParameterError, match=r"one gradient for each parameter.*\(2,\).*\(3,\)"):
        Adam([np.zeros(2)]).step([np.zeros(3)], 0.1)


def test_the_rate_climbs_to_its_peak_and_falls_to_zero():
    rates = [cosine_rate(step, 100, 2.0, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_clipping_shortens_long_gradients_only():
    gradients = [np.array([3.0]), np.array([[4.0]])]
    assert clip_gradients(gradients, 10.0) == 5.0
    assert gradients[0].item() == 3.0
    assert clip_gradients(gradients, 1.0) == 5.0
    assert (gradients[0].item(), gradients[1].item()) == (pytest.approx(0.6), pytest.approx(0.8))


@pytest.fixture(scope="module")
def images():
    return load_digits().train_images[:64].astype(np.float32)


def test_an_augmentation_that_moves_nothing_is_the_identity(images):
    moved = STILL(images, np.random.default_rng(0))
    np.testing.assert_allclose(moved, images, atol=1e-4)


def test_an_augmentation_is_decided_by_its_generator(images):
    first, same, other = (Augmentation()(images, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_augmented_images_stay_in_range_and_some_stay_as_they_are(images):
    before = images.copy()
    moved = Augmentation(untouched=0.5)(images, np.random.default_rng(3))
    np.testing.assert_array_equal(images, before)
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= images.max()
    untouched = np.mean([np.array_equal(a, b) for a, b in zip(moved, images, strict=True)])
    assert 0.3 < untouched < 0.7


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_sampling_at_a_shift_is_a_shift_with_zeros(down, right):
    image = np.arange(1.0, 26).reshape(1, 5, 5).astype(np.float32)
    y, x = np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij")
    found = sample(image, y[np.newaxis] + down, x[np.newaxis] + right)
    padded = np.pad(image[0], 3)
    np.testing.assert_allclose(found[0], padded[3 + down :, 3 + right :][:5, :5])


def test_sampling_between_pixels_is_their_mean():
    image = np.array([[[1.0, 3.0], [5.0, 7.0]]], dtype=np.float32)
    assert sample(image, np.full((1, 1, 1), 0.5), np.full((1, 1, 1), 0.5)).item() == 4.0


def test_interpolated_noise_is_a_blend_of_its_nodes():
    matrix = interpolation(28)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    assert matrix.min() >= 0
    assert matrix[0].argmax() == 0
    assert matrix[-1].argmax() == 4


def test_a_network_learns_what_a_square_can_express():
    # The label is whether the two inputs have the same sign: no linear map knows, a square does.
    rng = np.random.default_rng(4)
    x = rng.normal(size=(512, 1, 1, 2)).astype(np.float32)
    labels = (x.prod(axis=-1) > 0).ravel().astype(np.int64)
    model = Sequential(
        [
            Conv2D(4, 1),
            *(kind() for kind in (nn.training.train.Square, nn.training.train.Flatten)),
            Dense(2),
        ],
        (1, 1, 2),
        rng,
    )
    optimizer = Adam(model.parameters())
    for step in range(300):
        out, inputs = model.training_forward(x)
        gradients = model.backward(inputs, cross_entropy(out, smooth_labels(labels, 2))[1])
        optimizer.step(gradients, cosine_rate(step, 300, 0.05))
    assert np.mean(predict(model, x) == labels) > 0.97


@pytest.fixture
def quick(monkeypatch):
    """A recipe of seconds in the place of the real one."""
    monkeypatch.setitem(RECIPES, "digits", QUICK)


def weights(model):
    """All parameters as one list of bytes, to compare networks exactly."""
    return [p.tobytes() for p in model.parameters()]


@pytest.mark.usefixtures("quick")
def test_the_same_seed_trains_the_same_network(capsys):
    dataset = load_digits()
    first, record = train("digits", dataset, seed=1)
    again, _ = train("digits", dataset, seed=1)
    other, _ = train("digits", dataset, seed=2)
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)
    # pytest's stderr is no terminal, so that a progress bar would be a line of control characters.
    assert capsys.readouterr().err == ""
    assert record["command"] == "cryptonets train digits --model digits --seed 1"
    assert record["test_accuracy"] == np.mean(
        predict(first, nn.training.train.quantize_pixels(dataset.test_images, 16, QUICK.levels))
        == dataset.test_labels
    )
    assert vars(first.info).items() <= record.items()


@pytest.mark.usefixtures("quick")
def test_validation_and_test_images_are_not_learned_from():
    dataset = load_digits()
    held = dataset.train_images.copy()
    held[-QUICK.validation :] = 0
    changed = replace(dataset, train_images=held, test_images=np.zeros_like(dataset.test_images))
    assert weights(train("digits", dataset)[0]) == weights(train("digits", changed)[0])


def test_a_recipe_without_hidden_units_has_one_square():
    recipe = replace(QUICK, hidden=0, limits=(3, 7), densities=(0.8, 1.5))
    trainer = Trainer(recipe, load_digits(), seed=0, progress=False)
    model, floats = trainer.integer_network()
    assert [type(layer) for layer in model.layers] == [Conv2D, Square, Flatten, Dense]
    largest = [np.abs(layer.weight).max() for layer, _ in model.linear_layers()]
    assert largest[0] == 3 < largest[1] <= 7
    assert len(floats) == recipe.networks
    assert trainer.validation_accuracy(model) > 0.5  # it has learnt something, in a moment


def test_a_network_without_brakes_is_stopped_when_it_diverges():
    dataset = load_digits()
    trainer = Trainer(replace(QUICK, rate=1e30), dataset, seed=0, progress=False)
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingError, match=r"diverged: loss .*lower the learning rate"),
    ):
        trainer.train_float("float")


def test_a_disagreement_of_the_exported_network_is_refused(monkeypatch, quick):
    def shifted(model):
        exact = export(model)
        exact.parameters()[-1][0] += 10**12
        return exact

    export = nn.training.train.export
    monkeypatch.setattr(nn.training.train, "export", shifted)
    with pytest.raises(TrainingError, match="they differ for .* validation images"):
        train("digits", load_digits())


def test_an_unknown_name_is_refused():
    with pytest.raises(
        ParameterError, match="one of cryptonets, lean, light, digits; got 'alexnet'"
    ):
        train("alexnet", load_digits())
    with pytest.raises(ParameterError, match="the data must be a Dataset"):
        train("digits", "digits")


def test_a_data_set_without_images_left_for_training_is_refused():
    with pytest.raises(ParameterError, match="Use the whole data set"):
        train("cryptonets", load_digits())


@pytest.mark.slow
def test_the_whole_recipe_for_digits_reaches_its_accuracy():
    model, record = train("digits", load_digits(), progress=False)
    assert record["test_accuracy"] >= 0.98
    assert record["proved_bits"] <= 47.8
    assert model.info.proved_bits == record["proved_bits"]
