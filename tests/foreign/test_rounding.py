"""Float networks become integer networks: exact as such, and searched for the fewest bits."""

from pathlib import Path

import numpy as np
import pytest

from nn import from_onnx, load_digits, load_mnist, make_plan, quantize_network, train_rounded
from nn.foreign.chain import Affine, Weighted, dense
from nn.foreign.drafts import Pixels, draft_of
from nn.foreign.network import FloatNetwork
from nn.foreign.retrain import towards
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.networks.layers import Conv2D, Flatten, MeanPool, Square
from nn.networks.model import Sequential
from nn.networks.schema import Classes, Columns, Values
from nn.planning.plan import ranges
from nn.service.card import ModelCard
from yashe import BGV
from yashe.errors import DataError, KindError, ParameterError, RangeError, TrainingError

EXPORTED = Path(__file__).resolve().parent / "exported"


def rows_of(images):
    """Images 0..16 as other libraries take them: channels first, 0..1."""
    return np.moveaxis(images, -1, 1) / 16


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (
        *(rows_of(data.train_images), data.train_labels),
        *(rows_of(data.test_images), data.test_labels),
    )


@pytest.fixture(scope="module")
def network(digits):
    """Random features, squared, and a layer on them that least squares finds: no training."""
    rows, labels, _, _ = digits
    rng = np.random.default_rng(0)
    convolution = Weighted(
        Conv2D(6, 3, pad_end=1, pad_start=1), rng.normal(size=(9, 6)), rng.normal(size=6)
    )
    front = (
        convolution,
        Affine(rng.uniform(0.1, 9, 6), np.zeros(6)),
        Square(),
        MeanPool(2),
        Flatten(),
    )
    features = FloatNetwork(
        (*front, dense(np.eye(96))), (1, 8, 8), (8, 8, 1), Classes(tuple(range(96)))
    )
    found = features.outputs(rows)
    scale = found.std(axis=0)
    whole = np.c_[found / scale, np.ones(len(found))]
    normal = whole.T @ whole + 30 * np.eye(97)
    weight = np.linalg.solve(normal, whole.T @ (np.eye(10)[labels] - 0.1))
    last = dense(weight[:-1] / scale[:, np.newaxis], weight[-1])
    return FloatNetwork((*front, last), (1, 8, 8), (8, 8, 1), Classes(tuple(range(10))))


def test_the_table_shows_that_fewer_bits_in_any_layer_lose_too_much(network, digits):
    rows, labels = digits[:2]
    rounded = quantize_network(network, rows[::3], labels[::3], lost=0.01)
    tried = {(trial.levels, trial.bits): trial for trial in rounded.trials}
    chosen = rounded.chosen
    assert chosen.lost <= 0.01
    for layer, bits in enumerate(chosen.bits):
        fewer = tuple(b - (i == layer) for i, b in enumerate(chosen.bits))
        if bits > 2:
            assert tried[chosen.levels, fewer].lost > 0.01
    half = [trial for trial in rounded.trials if not trial.bits]
    assert [trial.lost <= 0.005 for trial in half] == [False] * (len(half) - 1) + [True]
    assert str(rounded).count("\n") == 1 + len(rounded.trials)
    assert str(rounded).count("chosen") == 1


def test_what_the_table_says_is_true_of_the_network(network, digits):
    rows, labels, test_rows, test_labels = digits
    rounded = quantize_network(network, rows[::3], labels[::3], lost=0.01)
    assert (rounded.predict(rows[::3]) == labels[::3]).mean() == rounded.chosen.score
    model = rounded.model
    assert ranges(model, model.levels)[-1].bits == rounded.chosen.range_bits
    weights = [layer.weight for layer in model.layers if layer.parameters]
    largest = [2 ** (bits - 1) - 1 for bits in rounded.chosen.bits]
    assert [np.abs(weight).max() for weight in weights] == largest
    # Each hidden unit has a step of its own: all of them use their bits.
    assert (np.abs(weights[0]).max(axis=0) == largest[0]).all()
    kept = (network.predict(test_rows) == test_labels).mean()
    assert (rounded.predict(test_rows) == test_labels).mean() > kept - 0.03


def test_outputs_are_about_the_floats_for_many_bits(network, digits):
    rows = digits[0][:50]
    rounded = quantize_network(network, rows, levels=1600, bits=12)
    floats = network.outputs(rows)
    scale = rounded.model.schema.answers.scale
    outputs = rounded.model.forward(rounded.prepare(rows).astype(object)).astype(float)
    np.testing.assert_allclose(outputs * scale, floats, atol=np.abs(floats).max() / 50)


def encrypted(model, pixels):
    """Outputs of an integer network, by way of ciphertexts under the parameters of its plan."""
    scheme = BGV(make_plan(model).params)
    keys = scheme.keygen()
    ct = encrypt_images(scheme, model, pixels, keys.secret)
    return decrypt_logits(
        scheme, infer(scheme, model, ct, keys.relinearization), keys.secret, len(pixels)
    )


def test_training_on_wins_back_what_few_bits_have_lost(network, digits):
    rows = digits[0][::2]
    few = quantize_network(network, rows, levels=7, bits=3)
    trained = train_rounded(few, rows, epochs=4)
    assert trained.chosen.lost < few.chosen.lost / 2
    assert trained.trials == (*few.trials, trained.chosen)
    assert trained.chosen.bits == few.chosen.bits
    again = train_rounded(few, rows, epochs=4)
    assert (again.model.layers[-1].weight == trained.model.layers[-1].weight).all()
    assert few.chosen.lost == quantize_network(network, rows, levels=7, bits=3).chosen.lost
    worse = train_rounded(trained, rows, epochs=1, rate=5.0)
    assert worse.chosen.lost <= trained.chosen.lost


def test_a_step_leads_towards_the_teacher() -> None:
    outputs, teacher = np.array([[2.0], [-3.0]]), np.array([[0.5], [1.0]])
    np.testing.assert_allclose(towards(outputs, teacher, classes=False), (outputs - teacher) / 2)
    # One output decides between two classes: its derivative is sigmoid(z) - sigmoid(teacher).
    slope = (1 / (1 + np.exp(-outputs)) - 1 / (1 + np.exp(-teacher))) / 2
    np.testing.assert_allclose(towards(outputs, teacher, classes=True), slope)
    assert not towards(np.eye(3), np.eye(3), classes=True).any()


def test_encrypted_rows_get_the_outputs_of_the_integers():
    rng = np.random.default_rng(3)
    hidden, last = dense(rng.normal(size=(5, 4)), 0.3), dense(rng.normal(size=(4, 3)), 0.1)
    network = FloatNetwork((hidden, Square(), last), (5,), (5,), Classes(("a", "b", "c")))
    rows = rng.normal(size=(300, 5))
    rounded = quantize_network(network, rows, lost=0.02)
    assert make_plan(rounded.model).range_bits == pytest.approx(rounded.chosen.range_bits)
    pixels = rounded.prepare(rows)
    outputs = encrypted(rounded.model, pixels)
    assert (outputs == rounded.model.forward(pixels)).all()
    assert (rounded.model.schema.answers.answers(outputs) == rounded.predict(rows)).all()


@pytest.mark.slow
def test_a_network_that_pytorch_has_exported_loses_half_a_point_at_most(mnist_folder):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    data, network = load_mnist(mnist_folder), from_onnx(EXPORTED / "mnist.onnx")
    kept = slice(-5000, None)  # exported/make.py has not trained on them
    rows, labels = np.moveaxis(data.train_images[kept], -1, 1) / 255, data.train_labels[kept]
    rounded = quantize_network(network, rows, labels)
    assert rounded.chosen.lost <= 0.005
    plan = make_plan(rounded.model)  # proved for every image, at 128 bits
    assert plan.range_bits == pytest.approx(rounded.chosen.range_bits)
    test_rows = np.moveaxis(data.test_images, -1, 1) / 255
    floats = (network.predict(test_rows) == data.test_labels).mean()
    assert floats > 0.98
    assert (rounded.predict(test_rows) == data.test_labels).mean() >= floats - 0.005


@pytest.mark.slow
def test_a_network_that_pytorch_has_exported_runs_encrypted(digits):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    rows, _, test_rows, test_labels = digits
    network = from_onnx(EXPORTED / "digits.onnx")
    rounded = train_rounded(quantize_network(network, rows, levels=15, bits=4), rows, epochs=10)
    assert rounded.chosen.lost <= 0.005
    pixels = rounded.prepare(test_rows)
    outputs = encrypted(rounded.model, pixels)
    assert (outputs == rounded.model.forward(pixels)).all()
    assert (rounded.model.schema.answers.answers(outputs) == rounded.predict(test_rows)).all()
    assert (rounded.predict(test_rows) == test_labels).mean() > 0.96


def linear(weight, bias, **more):
    width = len(weight)
    return FloatNetwork((dense(np.array(weight, float), bias),), (width,), (width,), **more)


def test_a_table_is_standardised_by_its_columns_and_the_card_prepares_it(tmp_path):
    # One column in thousands, one in thousandths: each has its own ends.
    rng = np.random.default_rng(1)
    rows = rng.uniform([1000, 0.001], [3000, 0.009], (400, 2))
    wanted = rows @ [0.002, 700.0] - 3
    network = linear([[0.002], [700.0]], -3.0, answers=Values(1.0))
    rounded = quantize_network(network, rows, wanted, lost=0.001)
    assert rounded.chosen.score > 0.998
    error = np.abs(rounded.predict(rows) - wanted)
    assert error.max() < 0.05 * np.ptp(wanted)
    rounded.model.save(tmp_path / "model.npz")
    loaded = Sequential.load(tmp_path / "model.npz")
    card = ModelCard.from_json(ModelCard.of(loaded).to_json())
    assert isinstance(card.schema.columns, Columns)
    pixels = card.schema.columns.prepare(rows, card.levels)
    assert (pixels == rounded.prepare(rows)).all()
    assert (card.schema.answers.answers(loaded.forward(pixels)) == rounded.predict(rows)).all()


def test_columns_may_be_the_same_everywhere_and_outliers_that_decide_are_not_clipped():
    rng = np.random.default_rng(4)
    rows = np.c_[rng.normal(size=500), np.full(500, 7.0)]
    rows[:20, 0] = 40.0  # beyond three standard deviations, and what the network looks for
    network = linear([[1.0], [-3.0]], -14.0, answers=Classes(("usual", "far")))
    rounded = quantize_network(network, rows)
    assert rounded.grid.high[0] == 40.0
    assert rounded.grid.low[1] == 7.0
    assert (rounded.predict(rows) == network.predict(rows)).all()
    assert set(rounded.predict(rows)) == {"usual", "far"}


def test_by_hand_two_classes_and_one_output():
    # The output is 2 x - 1: yes from x = 1/2 on. Levels 0..2 stand for 0, 1/2 and 1.
    network = linear([[2.0]], -1.0, answers=Classes(("no", "yes")))
    rows = np.array([[0.0], [0.25], [0.75], [1.0]])
    rounded = quantize_network(network, rows, ["no", "no", "yes", "yes"], levels=4, bits=3)
    # unit = 1/4; the weight 2 is 0.5 for an integer, and 3 at most: step 1/6, bias -1 is -6.
    assert rounded.model.layers[0].weight.tolist() == [[3]]
    assert rounded.model.layers[0].bias.tolist() == [-6]
    assert rounded.model.schema.answers.scale == pytest.approx(1 / 6)
    assert rounded.predict(rows).tolist() == ["no", "no", "yes", "yes"]


def test_zero_becomes_a_level_where_a_convolution_pads_with_it():
    assert Pixels(-0.4, 2.8, zero=True).prepare(np.array([-0.4, 0.0, 2.8]), 8).tolist() == [0, 1, 8]
    assert Pixels(-0.4, 2.8).prepare(np.array([-0.4, 2.8, 9.0, -9.0]), 3).tolist() == [0, 3, 3, 0]
    rng = np.random.default_rng(2)
    convolution = Weighted(Conv2D(2, 3, pad_start=1), rng.normal(size=(9, 2)), np.zeros(2))
    steps = (convolution, Flatten(), dense(rng.normal(size=(18, 3))))
    network = FloatNetwork(steps, (1, 4, 4), (4, 4, 1), Classes((0, 1, 2)))
    rows = rng.uniform(-0.4, 2.8, (200, 1, 4, 4))
    rounded = quantize_network(network, rows, levels=255, bits=[2, 12, 12])
    assert rounded.grid.zero
    assert (rounded.predict(rows) == network.predict(rows)).mean() > 0.97
    assert rounded.model.layers[0].weight.tolist() == [[1]]
    draft = draft_of(network, rounded.grid, 255, [2, 12, 12])
    assert draft.latent.layers[0].bias[0] == pytest.approx(round(draft.latent.layers[0].bias[0]))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lost": 1}, ParameterError, "lost must be a number in"),
        ({"lost": True}, ParameterError, "lost must be a number in"),
        ({"levels": 0}, ParameterError, "levels must be a whole number from 1"),
        ({"bits": 1}, ParameterError, "bits must be a whole number from 2"),
        ({"levels": 2**21}, ParameterError, "levels must be a whole number from 1 to 1048576, not"),
        ({"bits": 33}, ParameterError, "bits must be a whole number from 2 to 32, not 33"),
        ({"bits": 32, "levels": 2**20}, RangeError, "biases must fit into 62 bits"),
        ({"bits": [3]}, ParameterError, "those of 2 layers; got 1 numbers"),
        ({"targets": [1, 2]}, DataError, r"targets must have the shape \(4,\); got \(2,\)"),
        ({"targets": [0, 1, 2, 10]}, DataError, "targets must be among .* got 10"),
        ({"rows": np.zeros((2, 8, 8, 1))}, DataError, r"shape \(rows, 1, 8, 8\)"),
        ({"rows": np.zeros((0, 1, 8, 8))}, DataError, r"shape \(rows, 1, 8, 8\)"),
        ({"rows": np.zeros((4, 1, 8, 8))}, DataError, "more than one brightness"),
        ({"rows": [["a"]]}, DataError, "must be an array of numbers"),
        ({"rows": [[10**400]]}, DataError, "must be an array of numbers"),
        (
            {"rows": np.ma.masked_all((4, 1, 8, 8))},
            DataError,
            "missing; row 0",
        ),
        ({"targets": np.ma.masked_equal([0, 1, 2, 3], 1)}, DataError, "none of them masked"),
        ({"targets": [0, 1, None, 3]}, DataError, "must be a row of labels or numbers"),
        ({"targets": [[0], [1, 2], 3, 4]}, DataError, "must be a row of labels or numbers"),
        ({"network": 3}, KindError, "must be a FloatNetwork"),
    ],
    ids=str,
)
def test_what_cannot_be_rounded_is_refused(network, digits, change, error, message):
    given = {"network": network, "rows": digits[0][:4], **change}
    with pytest.raises(error, match=message):
        quantize_network(**given)


def test_a_rounding_that_loses_too_much_is_refused(digits):
    # Two classes whose outputs differ by less than 10 bits can tell.
    network = linear([[1.0, 1.0001]], 0.0, answers=Classes(("a", "b")))
    rows = np.linspace(-1, 1, 50)[:, np.newaxis]
    with pytest.raises(TrainingError, match="no weights of up to 10 bits lose at most 0.0000"):
        quantize_network(network, rows, lost=0.0, levels=1023)
