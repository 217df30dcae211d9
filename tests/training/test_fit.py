"""Small networks for anybody's numbers: what is trained is what is exported."""

import numpy as np
import numpy.typing as npt
import pytest

from nn.estimators.base import layers
from nn.networks.base import FloatArray
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import Sequential
from nn.planning.plan import make_plan
from nn.training.fit import Course, Loss, batches, fit, logistic, settle, squared_error, trimmed
from nn.training.loss import cross_entropy, smooth_labels
from yashe.errors import TrainingError, TransparentCiphertextError

RNG = np.random.default_rng(0)
QUICK = Course(epochs=1)


@pytest.mark.parametrize(
    ("loss", "width", "targets"),
    [
        (logistic, 1, np.array([0, 1, 1])),
        (logistic, 3, np.array([0, 2, 1])),
        (squared_error, 1, np.array([0.5, -1.0, 2.0])),
    ],
)
def test_gradients_are_those_of_finite_differences(
    loss: Loss, width: int, targets: npt.NDArray[np.float64]
) -> None:
    outputs = RNG.normal(size=(3, width))
    _, gradient = loss(outputs, targets)
    for place in np.ndindex(outputs.shape):
        step = np.zeros_like(outputs)
        step[place] = 1e-5
        difference = loss(outputs + step, targets)[0] - loss(outputs - step, targets)[0]
        assert difference / 2e-5 == pytest.approx(gradient[place], abs=1e-5)


def test_one_logit_is_two_of_which_the_first_is_zero() -> None:
    logits, labels = np.array([[2.0], [-3.0]]), np.array([1, 1])
    both = np.concatenate([np.zeros((2, 1)), logits], axis=1)
    assert logistic(logits, labels)[0] == cross_entropy(both, smooth_labels(labels, 2))[0]


def test_every_row_is_read_once_before_any_is_read_twice() -> None:
    for rows, size in ((7, 3), (5, 5), (3, 8)):
        order = np.concatenate(list(batches(rows, size, 2 * rows, np.random.default_rng(1))))
        counts = np.bincount(order[: rows * (len(order) // rows)], minlength=rows)
        assert counts.min() == counts.max()


@pytest.mark.parametrize("hidden", [(), (4,), (3, 2)])
def test_the_integer_network_gives_the_values_of_the_float_one_times_a_scale(
    hidden: tuple[int, ...],
) -> None:
    x = RNG.integers(0, 32, (80, 3)).astype(np.float64)
    sums = x.sum(axis=1)
    y = ((sums - sums.mean()) / sums.std()).astype(np.float32)
    found = fit(layers(hidden, 1), x, y, squared_error, Course(epochs=30), RNG)
    assert all(p.dtype == np.int64 for p in found.whole.parameters())
    assert max(int(np.abs(layer.weight).max()) for layer, _ in found.whole.linear_layers()) <= 7
    whole = found.scale * found.whole.forward(x.astype(np.int64))[:, 0]
    real = found.real.forward(x.astype(np.float32))[:, 0]
    for outputs in (whole, real):
        assert np.mean((outputs - y) ** 2) < 0.3  # 1 for what their mean would get


def test_units_that_rounding_left_without_weights_go_into_the_biases_behind_them() -> None:
    """Unit 1 of the first layer is the constant -3, of which 9 times 2 goes into a bias."""
    model = Sequential([Flatten(), Dense(3), Square(), Dense(2), Square(), Dense(1)], (2, 1))
    weights = ([[1, 0, 2], [0, 0, -1]], [[1, 0], [2, 0], [3, 0]], [[5], [7]])
    biases = ([1, -3, 0], [4, 6], [0])
    dense = [layer for layer, _ in model.linear_layers()]
    for layer, weight, bias in zip(dense, weights, biases, strict=True):
        layer.parameters = {"weight": np.array(weight), "bias": np.array(bias)}
    found = trimmed(model)
    shapes = [layer.weight.shape for layer, _ in found.linear_layers()]
    assert shapes == [(2, 2), (2, 1), (1, 1)]
    assert [layer.bias.tolist() for layer, _ in found.linear_layers()] == [[1, 0], [22], [252]]
    x = RNG.integers(0, 32, (50, 2, 1))
    assert (found.forward(x) == model.forward(x)).all()
    make_plan(found)
    with pytest.raises(TransparentCiphertextError, match="depends on no pixel"):
        make_plan(model)
    dense[0].parameters["weight"][...] = 0  # then there is nothing left to compute with
    assert next(layer.weight.shape for layer, _ in trimmed(model).linear_layers()) == (2, 3)
    dense[0].parameters.update(weight=np.array([[1, 0, 2]] * 2), bias=np.array([0, 2**31, 0]))
    with pytest.raises(TrainingError, match="below 2\\^62"):
        trimmed(model)


def test_settled_averages_are_those_of_all_rows() -> None:
    x = RNG.normal(5, 2, (50, 3)).astype(np.float32)
    model = Sequential(layers((4,), 2), (3,), RNG)
    settle(model, x)
    y = x
    for layer in model.layers:
        y = layer.forward(y)
        if isinstance(layer, BatchNorm):
            assert np.abs(y.mean(axis=0)).max() < 1e-4
            assert y.std() == pytest.approx(1, abs=1e-3)


def test_averages_are_settled_on_all_rows_at_the_end_of_the_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The float part sees the inputs as they are, the rounded part whole numbers."""
    seen = []

    def note(model: Sequential, inputs: FloatArray) -> None:
        frozen = [layer.frozen for layer in model.layers if isinstance(layer, BatchNorm)]
        seen.append((inputs.tolist(), any(frozen)))
        settle(model, inputs)

    monkeypatch.setattr("nn.training.fit.FEWEST_STEPS", 10)
    monkeypatch.setattr("nn.training.fit.settle", note)
    x = np.array([[1.25], [2.5], [3.75]])
    fit(layers((2,), 1), x, np.array([0, 1, 0]), logistic, QUICK, RNG)
    assert seen == [([[1.25], [2.5], [3.75]], False), ([[1.0], [3.0], [4.0]], False)]


def test_the_same_seed_makes_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nn.training.fit.FEWEST_STEPS", 10)
    x, y = RNG.uniform(0, 31, (40, 2)), RNG.normal(size=40).astype(np.float32)
    one, two, other = (
        fit(layers((3,), 1), x, y, squared_error, QUICK, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    pairs = zip(one.whole.parameters(), two.whole.parameters(), strict=True)
    assert all((a == b).all() for a, b in pairs)
    pairs = zip(one.whole.parameters(), other.whole.parameters(), strict=True)
    assert not all((a == b).all() for a, b in pairs)


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    x, y = np.ones((4, 2)) * [[1.0, 2.0]], np.full(4, np.nan, np.float32)
    with pytest.raises(TrainingError, match="training has diverged: loss nan"):
        fit(layers((2,), 1), x, y, squared_error, QUICK, RNG)
