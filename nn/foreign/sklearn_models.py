"""Models of scikit-learn that are sums and products: linear ones, and scalers in front of them.

Only attributes of a fitted model are read, and scikit-learn itself is not imported. A class is
known by its name and home, because a subclass may predict something else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nn.foreign.chain import Affine, RealArray, Step, dense
from nn.foreign.network import FloatNetwork, answers_for
from yashe.errors import ParameterError

CLASSIFIERS = ("LogisticRegression", "LinearSVC", "RidgeClassifier", "MLPClassifier")
REGRESSORS = ("LinearRegression", "Ridge", "Lasso", "ElasticNet", "LinearSVR", "MLPRegressor")


def from_sklearn(model: Any) -> FloatNetwork:
    """Take over a fitted model of scikit-learn exactly, or refuse it.

    Parameters
    ----------
    model : a linear model (`LogisticRegression`, `LinearSVC`, `RidgeClassifier`, `Ridge`, `Lasso`,
        ...), an `MLPClassifier` or `MLPRegressor` with activation="identity", or a `Pipeline` of
        scalers and one of these

    Returns
    -------
    FloatNetwork, for `quantize_network`; between two classes the sign of its one output decides

    Raises
    ------
    ParameterError
        If it is another model, not fitted, or cannot be followed with sums and products.
    """
    scalers: list[Any] = []
    if name_of(model) == "Pipeline":
        *scalers, model = [step for _, step in model.steps if step != "passthrough"] or [None]
    name = name_of(model)
    if name not in CLASSIFIERS + REGRESSORS:
        raise ParameterError(
            f"a model of scikit-learn must be one of {', '.join(CLASSIFIERS + REGRESSORS)}, or a "
            f"Pipeline of scalers and one of them; got {name or repr(model)[:80]}. Trees, kernels "
            "and neighbours compare numbers, and ciphertexts cannot be compared: fit a linear "
            "model, or a network of squares."
        )
    scaled: list[Step] = [scaler_step(scaler) for scaler in scalers]
    if name.startswith("MLP"):
        if model.activation != "identity" and len(fitted(model, "coefs_")) > 1:
            raise ParameterError(
                f"{name} must have activation='identity'; got {model.activation!r}, which sums and "
                "products cannot follow. Notebook 9, 'Can a network live on x^2?', shows how a "
                "network of squares is trained."
            )
        if fitted(model, "out_activation_") not in ("identity", "logistic", "softmax"):
            raise ParameterError(
                f"{name} must have an output that is a sum; got {model.out_activation_!r} of it. "
                "Take loss='squared_error'."
            )
        weights = zip(fitted(model, "coefs_"), model.intercepts_, strict=True)
        layers = [dense(real(weight), real(bias)) for weight, bias in weights]
    else:
        weight = np.atleast_2d(real(fitted(model, "coef_"))).T
        layers = [dense(weight, real(model.intercept_))]
    outputs, width = layers[-1].bias.size, int(fitted(model, "n_features_in_"))
    labels = None if name in REGRESSORS else np.asarray(model.classes_).tolist()
    binarizer = getattr(model, "_label_binarizer", None)  # of those that take several labels a row
    if getattr(binarizer, "y_type_", "").startswith("multilabel") or outputs != (
        1 if labels is None or len(labels) == 2 else len(labels)
    ):
        raise ParameterError(f"{name} must have been fitted to one target; got several.")
    answers = answers_for(outputs, labels, regression=labels is None)
    columns = tuple(map(str, getattr([*scalers, model][0], "feature_names_in_", ())))
    return FloatNetwork((*scaled, *layers), (width,), (width,), answers, name, columns)


def scaler_step(scaler: Any) -> Affine:
    """Return the affine map of a fitted scaler."""
    name = name_of(scaler)
    ones = np.ones(1)
    if name == "StandardScaler":
        scale = ones if fitted(scaler, "scale_") is None else real(scaler.scale_)
        mean = real(scaler.mean_) if scaler.with_mean else 0 * ones  # learnt, and not subtracted
        return Affine(1 / scale, -mean / scale)
    if name == "MinMaxScaler" and not scaler.clip:
        return Affine(real(fitted(scaler, "scale_")), real(scaler.min_))
    if name == "MaxAbsScaler" and not getattr(scaler, "clip", False):
        return Affine(1 / real(fitted(scaler, "scale_")), 0 * ones)
    raise ParameterError(
        "in front of a model there must be a StandardScaler, a MinMaxScaler or a MaxAbsScaler that "
        f"does not clip; got {name or repr(scaler)[:80]}. Do what it does before rows are given."
    )


def name_of(model: Any) -> str:
    """Return the name of a class of scikit-learn, or nothing for any other."""
    kind = type(model)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else ""


def fitted(model: Any, attribute: str) -> Any:
    """Return what a model has only after `fit`."""
    if not hasattr(model, attribute):
        raise ParameterError(f"the {type(model).__name__} must be fitted; call its fit() before.")
    return getattr(model, attribute)


def real(values: Any) -> RealArray:
    """Return numbers as a float64 array with at least one axis; `sparsify` makes them sparse."""
    dense = values.toarray() if hasattr(values, "toarray") else values
    return np.atleast_1d(np.asarray(dense, dtype=np.float64))
