"""Fitted models of scikit-learn: the same decisions, exactly; everything else is refused."""

import numpy as np
import pytest

from nn import from_sklearn, make_plan, quantize_network
from yashe.errors import ParameterError

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn import datasets, linear_model, neural_network, pipeline, preprocessing, svm  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CANCER = datasets.load_breast_cancer(return_X_y=True)
WINE = datasets.load_wine(return_X_y=True)
DIABETES = datasets.load_diabetes(return_X_y=True)

IDENTITY = neural_network.MLPClassifier((5,), activation="identity", random_state=0, max_iter=300)
CLASSIFIERS = [
    (linear_model.LogisticRegression(max_iter=1000), CANCER),
    (linear_model.LogisticRegression(max_iter=1000), WINE),
    (linear_model.RidgeClassifier(), WINE),
    (svm.LinearSVC(max_iter=5000), CANCER),
    (svm.LinearSVC(max_iter=5000), WINE),
    (IDENTITY, WINE),
    (IDENTITY, CANCER),
]
SCALERS = [
    preprocessing.StandardScaler(),
    preprocessing.StandardScaler(with_mean=False),
    preprocessing.StandardScaler(with_std=False),
    preprocessing.MinMaxScaler((-1, 1)),
    preprocessing.MaxAbsScaler(),
]


@pytest.mark.parametrize(("model", "data"), CLASSIFIERS, ids=lambda part: str(part)[:30])
def test_a_classifier_decides_as_scikit_learn_does(model, data):
    rows, labels = data
    names = np.array(["no", "yes", "maybe"])[labels]
    fitted = pipeline.make_pipeline(preprocessing.StandardScaler(), model).fit(rows, names)
    network = from_sklearn(fitted)
    assert (network.predict(rows) == fitted.predict(rows)).all()
    if hasattr(model, "decision_function"):
        outputs = fitted.decision_function(rows)
        np.testing.assert_allclose(network.outputs(rows), outputs.reshape(len(rows), -1), atol=1e-8)


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@pytest.mark.parametrize(
    "model",
    [
        linear_model.Ridge(),
        linear_model.Lasso(0.1),
        svm.LinearSVR(),
        neural_network.MLPRegressor(hidden_layer_sizes=(3,), activation="identity", max_iter=50),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_regressor_gives_the_values_of_scikit_learn(model, scaler):
    rows, values = DIABETES[0] + 3, DIABETES[1]  # whose mean is not 0, as it is of DIABETES
    fitted = pipeline.make_pipeline(scaler, model).fit(rows, values)
    np.testing.assert_allclose(from_sklearn(fitted).predict(rows), fitted.predict(rows), atol=1e-8)


def test_rounding_keeps_what_a_pipeline_decides():
    rows, labels = CANCER
    learned = np.arange(len(rows)) % 2 == 0
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression()
    )
    model.fit(rows[learned], labels[learned])
    rounded = quantize_network(from_sklearn(model), rows[learned], labels[learned])
    assert make_plan(rounded.model).range_bits < 20
    assert len(rounded.model.layers) == 1  # the scaler is in the weights
    exact = (model.predict(rows[~learned]) == labels[~learned]).mean()
    assert (rounded.predict(rows[~learned]) == labels[~learned]).mean() > exact - 0.02


def test_columns_keep_the_names_that_the_model_was_fitted_with():
    model = fitted_to(linear_model.RidgeClassifier())
    model.feature_names_in_ = np.array([f"column {i}" for i in range(30)], dtype=object)
    rounded = quantize_network(from_sklearn(model), preprocessing.scale(CANCER[0]))
    assert rounded.model.schema.columns.names[:2] == ("column 0", "column 1")


def fitted_to(model, rows=CANCER[0], labels=CANCER[1]):
    return model.fit(preprocessing.scale(rows), labels)


class Contrary(linear_model.LogisticRegression):
    """Predicts the opposite of what its weights say."""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            RandomForestClassifier(2),
            "one of LogisticRegression, .* got RandomF",
        ),
        (svm.SVC(kernel="linear"), "got SVC. Trees, kernels"),
        (neural_network.MLPClassifier((3,), max_iter=5), "activation='identity'; got 'relu'"),
        (Contrary(), "got Contrary"),
        (
            pipeline.make_pipeline(preprocessing.MinMaxScaler(clip=True), svm.LinearSVC()),
            "not clip",
        ),
        (pipeline.make_pipeline(preprocessing.PolynomialFeatures(), svm.LinearSVC()), "Polynomial"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_other_models_are_refused(model, message):
    with pytest.raises(ParameterError, match=message):
        from_sklearn(fitted_to(model))


def test_a_network_whose_output_is_an_exponential_is_refused():
    network = neural_network.MLPRegressor(hidden_layer_sizes=(2,), activation="identity")
    network.fit(np.ones((4, 1)), np.ones(4))
    network.out_activation_ = "exp"  # since scikit-learn 1.7, for loss="poisson"
    with pytest.raises(ParameterError, match="must have an output that is a sum"):
        from_sklearn(network)


def test_models_without_a_fit_with_several_targets_or_none_at_all_are_refused():
    with pytest.raises(ParameterError, match="LogisticRegression must be fitted"):
        from_sklearn(linear_model.LogisticRegression())
    with pytest.raises(ParameterError, match="got 'LogisticRegression'"):
        from_sklearn("LogisticRegression")
    two = np.c_[CANCER[1], 1 - CANCER[1]]
    three = np.c_[two, CANCER[1]]  # as many as there are classes then: 0, 1, 2
    several = neural_network.MLPClassifier((2,), activation="identity", max_iter=2)
    for model, labels in (
        (linear_model.RidgeClassifier(), two),
        (linear_model.RidgeClassifier(), three),
        (several, three),
        (linear_model.Ridge(), two),
    ):
        with pytest.raises(ParameterError, match="fitted to one target"):
            from_sklearn(fitted_to(model, labels=labels))


def test_sparse_weights_are_weights_and_missing_ones_are_refused():
    rows, labels = WINE
    model = linear_model.LogisticRegression(max_iter=1000).fit(rows, labels)
    decided = model.predict(rows)
    assert (from_sklearn(model.sparsify()).predict(rows) == decided).all()
    model.densify().coef_[0, 0] = np.nan
    with pytest.raises(ParameterError, match="weights must be finite"):
        from_sklearn(model)
