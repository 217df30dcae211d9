"""Networks for tables: scikit-learn's conventions, and encrypted answers equal to the integers'."""

import copy
import importlib
import json
import warnings
from typing import Any

import numpy as np
import pytest

from nn import SquareNet, SquareNetRegressor, pretrained
from nn.data.tables import Table
from nn.estimators.checks import ClippedWarning, NotFittedError, TableError
from nn.estimators.parties import Client, Server
from nn.estimators.square import fit_pictures
from nn.service.card import ModelCard
from nn.training.quantize import quantize_pixels
from yashe.errors import (
    FheError,
    FormatError,
    KeyMismatchError,
    KindError,
    NoiseBudgetExhausted,
    ParameterError,
    TrainingError,
)

RNG = np.random.default_rng(3)
X = np.round(RNG.normal(size=(160, 3)), 3)
SIGNS = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")  # no line divides them
THREE = np.digitize(X[:, 2], (-0.5, 0.5))
VALUES = 1000 + 50 * X[:, 0] * X[:, 1] + X[:, 2]


@pytest.fixture(scope="module")
def net() -> SquareNet:
    return SquareNet(random_state=0).fit(X, SIGNS)


@pytest.fixture(scope="module")
def regressor() -> SquareNetRegressor:
    return SquareNetRegressor(random_state=0).fit(X, VALUES)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which nothing needs to be learnt well."""
    monkeypatch.setattr("nn.training.fit.FEWEST_STEPS", 10)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClippedWarning)
        yield


def test_a_square_learns_what_no_line_divides(net: SquareNet) -> None:
    new = np.random.default_rng(4).normal(size=(500, 3))
    truth = np.where(new[:, 0] * new[:, 1] > 0, "same", "other")
    assert net.score(new, truth) > 0.8
    assert net.score(new, truth, mode="clear") > 0.8
    linear = SquareNet(hidden=(), random_state=0).fit(X, SIGNS)
    assert linear.score(new, truth) < 0.7


def test_encrypted_outputs_are_those_of_the_integers_for_every_row(
    net: SquareNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of rows far outside of what was learnt, which are clipped alike on both sides."""
    monkeypatch.setattr("nn.service.roles.AT_ONCE", 2)  # of three columns
    rows = np.concatenate([X, [[0.0, 0.0, 0.0], [1e300, -1e300, 5.0]]])
    outputs = net._outputs(rows, "integers")
    assert outputs.dtype == np.int64
    assert (net._outputs(rows, "encrypted") == outputs).all()
    assert (net.predict(rows, mode="encrypted") == net.predict(rows, mode="integers")).all()
    several = SquareNet(hidden=(3, 2), bits=2, epochs=1, random_state=1).fit(X, THREE)
    for method in ("predict", "decision_function", "predict_proba"):
        ask = getattr(several, method)
        assert (ask(rows, mode="encrypted") == ask(rows, mode="integers")).all()


@pytest.mark.usefixtures("short")
def test_what_cannot_run_encrypted_is_refused_before_anything_is_encrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deep = SquareNet(hidden=(2, 2, 2), bits=5, epochs=1, random_state=0).fit(X, SIGNS)
    monkeypatch.setattr("yashe.schemes.bgv.BGV.encrypt", None)
    for ask in (deep.plan, deep.split, lambda: deep.predict(X, mode="encrypted")):
        with pytest.raises(NoiseBudgetExhausted, match="SquareNet: no parameters .* hold t"):
            ask()
    with pytest.raises(TrainingError, match=r"biases are integers below 2\^62"):
        SquareNet(hidden=(2, 2, 2), bits=12, epochs=1, random_state=0).fit(X, SIGNS)


def test_values_are_fixed_point_numbers_whose_scale_is_undone_after_decryption(
    regressor: SquareNetRegressor,
) -> None:
    found = regressor.predict(X, mode="encrypted")
    assert (found == regressor.predict(X)).all()
    assert regressor.score(X, VALUES) > 0.8
    with pytest.raises(TableError, match="values are numbers"):
        regressor.score(X, SIGNS)
    assert regressor.model_.schema is not None
    answers = regressor.model_.schema.answers
    assert (found == answers.offset + answers.scale * regressor._outputs(X, "integers")[:, 0]).all()


def test_probabilities_go_with_the_decisions(net: SquareNet) -> None:
    inside = X[np.abs(X).max(axis=1) < 1]
    shares, logits = net.predict_proba(inside), net.decision_function(inside)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares[:, 1] == pytest.approx(1 / (1 + np.exp(-logits)))
    assert (net.predict(inside) == net.classes_[(logits > 0).astype(int)]).all()


def test_client_and_server_share_bytes_only(net: SquareNet) -> None:
    """Each side can be made from bytes; the server has no secret key, the client no weight.

    With a single square a server needs no other keys either.
    """
    client, server = net.split()
    card, keys, rows = server.card(), client.keys(), client.encrypt(X[:7])
    reply = Server(copy.deepcopy(net.model_)).infer(keys, rows)
    assert all(type(sent) is bytes for sent in (card, keys, rows, reply))
    assert not keys
    assert (client.decrypt(reply, 7) == net.predict(X[:7])).all()
    assert client.outputs(reply, 7).tolist() == net._outputs(X[:7], "integers").tolist()
    assert not {"model", "weight"} & set(json.loads(card))
    weights = net.model_.parameters()[0]
    assert all(str(row) not in card.decode() for row in weights.tolist())
    with pytest.raises(FormatError, match="cut off"):
        server.infer(rows, keys)


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_a_client_encrypts_tables_of_the_columns_of_its_card_and_no_others(
    net: SquareNet, mode: str
) -> None:
    client, server = net.split(mode)
    rows: Any
    for rows, message in (
        (X[:, :1], "3 columns were required, got 1"),  # which would be spread to all of them
        (X[0], "Expected 2D array"),
        ([[1, 2, 3], [4]], "rows of one length"),
        (np.ma.masked_less(X, 0), "none of them masked"),
        (X * np.nan, "contains NaN"),
        ([["a", 1, 2]], "must hold numbers"),
        ([[Missing(), 1, 2]], "must hold numbers, none of them missing"),
        (Table(("x1", "x0", "x2"), X), "must be in the same order"),
    ):
        with pytest.raises(TableError, match=message):
            client.encrypt(rows)
    reply = server.infer(client.keys(), client.encrypt(Table(("x0", "x1", "x2"), X[:2])))
    assert client.outputs(reply, 2).tolist() == net._outputs(X[:2], "integers").tolist()
    for count in (0, -1, 5000, None):
        with pytest.raises(ParameterError, match="rows|images"):
            client.outputs(reply, count)  # type: ignore[arg-type]
    with pytest.raises(KindError, match="the network must be a Sequential"):
        Server(net)  # type: ignore[arg-type]


def test_a_client_encrypts_pictures_and_sees_what_is_none() -> None:
    client = Client(Server(pretrained("digits")).card())
    pictures: Any
    for pictures in (np.ma.masked_all((1, 8, 8, 1)), [[1], [2, 3]], np.full((1, 8, 8, 1), np.nan)):
        with pytest.raises(FheError, match="masked|of one size|must lie in"):
            client.encrypt(pictures)


def test_a_server_computes_for_the_keys_of_whoever_encrypted(short: None) -> None:
    client, server = SquareNet(hidden=(4, 4), random_state=0).fit(X, SIGNS).split(mode="single")
    keys, rows = client.keys(), client.encrypt(X[:1])
    assert len(client.decrypt(server.infer(keys, rows), 1)) == 1
    with pytest.raises(KeyMismatchError, match="under other keys"):
        server.infer(keys, Client(server.card()).encrypt(X[:1]))
    with pytest.raises(FormatError, match="was required"):
        server.infer(rows, keys)


def test_one_row_at_once_gives_the_same_outputs_and_the_plan_says_when(net: SquareNet) -> None:
    client, server = net.split(mode="single")
    reply = server.infer(client.keys(), client.encrypt(X[:3]))
    assert client.outputs(reply, 3).tolist() == net._outputs(X[:3], "integers").tolist()
    assert (client.decrypt(reply, 3) == net.predict(X[:3])).all()
    few, many = net.plan(rows=1), net.plan(rows=4000)
    assert "a batch is faster on this machine" in few.reasons[-1]
    assert many.mode == "batch"  # as thousands of rows take no longer than one


def test_the_card_alone_prepares_raw_rows_and_reads_the_answers(net: SquareNet) -> None:
    card = ModelCard.from_json(net.split()[1].card())
    assert card.schema == net.model_.schema
    assert card.schema.columns is not None
    prepared = card.schema.columns.prepare(X, card.levels)
    assert (card.schema.answers.answers(net.model_.forward(prepared)) == net.predict(X)).all()


def test_a_plan_says_what_it_takes_before_anything_is_encrypted(net: SquareNet) -> None:
    plan = net.plan(timed=False)
    assert "encrypt 3 columns" in str(plan)
    assert plan.params.security == 128
    assert abs(net._outputs(X, "integers")).max() < plan.params.t / 2
    assert net.model_.info.proved_bits == pytest.approx(plan.range_bits, abs=0.01)


def test_clipped_values_say_so(net: SquareNet) -> None:
    rows = np.array([[0.0, 0.0, 0.0], [99.0, 0.0, -5.0]])
    with pytest.warns(ClippedWarning, match=r"'x0': 1 of 2 .*; the first is 99 in row 1; .*: 2"):
        net.predict(rows)
    assert len(net.clipped(rows)) == 2
    assert net.clipped(rows[:1]) == []


@pytest.mark.usefixtures("short")
def test_names_of_columns_are_kept_and_compared() -> None:
    table = Table(("a", "b", "c"), X)
    net = SquareNet(epochs=1, random_state=0).fit(table, SIGNS)
    assert net.feature_names_in_.tolist() == ["a", "b", "c"]
    inside = Table(("a", "b", "c"), np.zeros((1, 3)))
    net.predict(inside)
    with pytest.raises(TableError, match=r"seen at fit time, yet now missing:\n- c"):
        net.predict(Table(("a", "b", "d"), X))
    with pytest.raises(TableError, match="must be in the same order"):
        net.predict(Table(("b", "a", "c"), X))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        net.predict(np.zeros((1, 3)))
    net.fit(X, SIGNS)
    assert not hasattr(net, "feature_names_in_")


def test_parameters_are_read_set_and_cloned() -> None:
    net = SquareNet(hidden=(4,), bits=3, random_state=7)
    assert net.get_params() == {"hidden": (4,), "bits": 3, "epochs": 40, "random_state": 7}
    assert repr(net.set_params(bits=4)) == (
        "SquareNet(hidden=(4,), bits=4, epochs=40, random_state=7)"
    )
    assert type(net)(**net.get_params()).get_params() == net.get_params()
    with pytest.raises(TableError, match="no parameter 'depth'; it has hidden, bits"):
        net.set_params(depth=3)


def test_the_same_number_makes_the_same_network(net: SquareNet) -> None:
    again = SquareNet(random_state=0).fit(X.tolist(), SIGNS.tolist())
    pairs = zip(again.model_.parameters(), net.model_.parameters(), strict=True)
    assert all((a == b).all() for a, b in pairs)


class Missing:
    """Like the NA of pandas: nobody knows whether it equals anything, itself included."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(
    ("rows", "targets", "message"),
    [
        (X[0], SIGNS[:3], "Expected 2D array, got 1D array"),
        (X * 1j, SIGNS, "Complex data not supported"),
        (np.where(X > 2, np.nan, X), SIGNS, "contains NaN, first in row"),
        (np.where(X > 2, np.inf, X), SIGNS, "contains infinity, first in row"),
        ([["a", "b"]] * 9, SIGNS[:9], "numbers"),
        ([[1, "b"]] * 9, SIGNS[:9], "numbers"),
        ([[1, None]] * 9, SIGNS[:9], "numbers|NaN"),
        ([[1, 2], [3]], SIGNS[:2], "rows of one length"),
        (np.ma.masked_greater(X, 2), SIGNS, "none of them masked"),
        (np.zeros((0, 3)), [], r"0 sample\(s\)"),
        (np.zeros((4, 0)), SIGNS[:4], r"0 feature\(s\)"),
        (np.zeros((4, 1025)), SIGNS[:4], "at most 1024 columns"),
        (X[:1], SIGNS[:1], "n_samples=1"),
        (np.where([True, False, False], 7.0, X), SIGNS, "column 'x0' is 7 in every row"),
        (X, None, "the target y is None"),
        (X, SIGNS[:-1], "got 159 for 160 rows"),
        (X, np.stack([SIGNS] * 2, axis=1), r"shape \(rows,\); got \(160, 2\)"),
        (X, np.full(160, "a"), "one class only, .*'a'"),
        (X, np.array([1, *SIGNS[1:]], dtype=object), "all texts or all numbers"),
        (X, X[:, 0], "Unknown label type: continuous"),
        (X, np.where(X[:, 0] > 0, 2.0**53, 1), "classes that are floats must be below 2\\^53"),
        (X, np.where(X[:, 0] > 0, np.nan, 1), "y contains NaN"),
        (X, np.array([None, *SIGNS[1:]], dtype=object), "y contains NaN or None"),
        (X, np.array([Missing(), *SIGNS[1:]], dtype=object), "y contains NaN or None"),
        (X, np.ma.masked_equal(X[:, 0] > 0, True), "y has an entry for each row, and none .*mask"),
        (X, [[1], [1, 2]] * 80, "y has one entry for each row"),
        ([[10**400, 1], [1, 2]] * 80, SIGNS, "every column must hold numbers"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused_in_a_sentence(
    rows: Any, targets: Any, message: str
) -> None:
    with pytest.raises(TableError, match=message):
        SquareNet(random_state=0).fit(rows, targets)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1] * 160, "y goes from 0.1 to 0.1: values must differ"),
        (np.where(X[:, 0] > 0, 1.7e308, -1.7e308), "by what a float can say"),
        ([10**400] * 160, "values are numbers"),
        (np.full(160, "2026-01-01", dtype="datetime64[D]"), "values are numbers, not datetime64"),
        (np.ma.masked_greater(X[:, 0], 0), "none of them masked"),
    ],
)
def test_values_that_no_network_can_learn_are_refused(values: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        SquareNetRegressor(random_state=0).fit(X, values)


@pytest.mark.usefixtures("short")
def test_other_mistakes_are_sentences_too(net: SquareNet) -> None:
    with pytest.raises(NotFittedError, match=r"call fit\(X, y\) first"):
        SquareNet().predict(X)
    with pytest.raises(NotFittedError, match="not fitted"):
        SquareNetRegressor().plan()
    with pytest.raises(TableError, match="X has 2 features, but SquareNet is expecting 3"):
        net.predict(X[:, :2])
    with pytest.raises(TableError, match="mode is one of clear, integers, encrypted; got 'secret'"):
        net.predict(X, mode="secret")
    with pytest.raises(TableError, match="values are numbers"):
        SquareNetRegressor().fit(X, SIGNS)
    with pytest.raises(ParameterError, match="bits must be a whole number from 1 to 16, not 17"):
        SquareNet(bits=17).fit(X, SIGNS)
    with pytest.raises(ParameterError, match="a class has 1 to 64 printable"):
        SquareNet(random_state=0).fit(X, np.where(SIGNS == "same", "s" * 65, "o"))
    with pytest.raises(KindError, match="a hidden layer must be a whole number"):
        SquareNet(hidden=(1.5,)).fit(X, SIGNS)  # type: ignore[arg-type]
    with pytest.raises(TableError, match="random_state is a whole number"):
        SquareNet(random_state="x").fit(X, SIGNS)
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        SquareNet(epochs=1).fit(X, SIGNS[:, np.newaxis])


def test_pictures_are_learnt_in_their_shape() -> None:
    light = RNG.integers(0, 256, (60, 3, 2, 1)).astype(np.uint8)
    labels = np.where(light[:, 0, 0, 0] > 127, "light", "dark")
    model = fit_pictures(light, labels, epochs=5, random_state=0)
    assert model.input_shape == (3, 2, 1)
    assert model.schema is not None
    pixels = quantize_pixels(light, 255, model.levels)
    assert np.mean(model.schema.answers.answers(model.forward(pixels)) == labels) > 0.9
    with pytest.raises(TableError, match="y has one class only"):
        fit_pictures(light, np.full(60, "light"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [SquareNet, SquareNetRegressor])
def test_scikit_learns_own_checks_pass(kind: type) -> None:
    pytest.importorskip("sklearn", minversion="1.6")  # which has tags
    checks = importlib.import_module("sklearn.utils.estimator_checks")
    checks.check_estimator(kind(epochs=5, random_state=0), on_skip=None)


@pytest.mark.slow
def test_scikit_learns_tools_work_on_it() -> None:
    pytest.importorskip("sklearn", minversion="1.6")
    base = importlib.import_module("sklearn.base")
    selection = importlib.import_module("sklearn.model_selection")
    net = SquareNet(epochs=20, random_state=0)
    assert base.is_classifier(net)
    assert base.is_regressor(SquareNetRegressor())
    assert base.clone(net).get_params() == net.get_params()
    assert selection.cross_val_score(net, X, SIGNS, cv=3).mean() > 0.8
    search = selection.GridSearchCV(net, {"hidden": [(), (16,)]}, cv=3).fit(X, SIGNS)
    assert search.best_params_ == {"hidden": (16,)}
