"""Networks of squares: `SquareNet` decides between classes, `SquareNetRegressor` predicts values.

net = SquareNet(hidden=(16,), bits=5, random_state=0).fit(X, y)
net.plan()                                   # what it costs, before anything is encrypted
net.predict(X_new, mode="encrypted")
client, server = net.split()                 # two objects that share bytes only
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nn.estimators.base import Estimator
from nn.estimators.checks import TableError, check_targets
from nn.networks.base import FloatArray
from nn.networks.model import Sequential
from nn.networks.schema import Classes, RealArray, Values, r_squared
from nn.training.fit import Loss, logistic, squared_error
from nn.training.loss import for_classes, softmax

WHITE = 255  # of pictures
EXACT = 2.0**53  # below it a float64 is one whole number


class SquareNet(Estimator):
    """A network that decides between classes: two by the sign of one output, more by the largest.

    Parameters
    ----------
    hidden, bits, epochs, random_state
        See `Estimator`.

    Attributes
    ----------
    classes_ : array
        The classes, sorted.
    model_, real_, n_features_in_, feature_names_in_
        See `Estimator`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same sign", "other sign")
    >>> net = SquareNet(random_state=0).fit(X, y)
    >>> print(net.predict([[1.0, -1.0], [-1.0, -2.0]], mode="encrypted"))
    ['other sign' 'same sign']
    """

    _kind = "classifier"

    def _learn_targets(self, targets: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int, Loss]:
        if targets.dtype.kind == "f" and (targets != np.rint(targets)).any():
            raise TableError(
                f"Unknown label type: continuous, such as {targets[targets != np.rint(targets)][0]}"
                ". Classes are texts or whole numbers; SquareNetRegressor learns values."
            )
        if targets.dtype.kind == "f" and np.abs(targets).max() >= EXACT:
            raise TableError(
                f"classes that are floats must be below 2^53, got {np.abs(targets).max():g}: from "
                "there on two whole numbers can be one float. Give them as integers or texts."
            )
        try:
            self.classes_, numbers = np.unique(targets, return_inverse=True)
        except TypeError as error:
            raise TableError(f"classes are all texts or all numbers: {error}.") from error
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise TableError(f"y has one class only, {only!r}; two or more are needed.")
        Classes(tuple(self.classes_.tolist()))  # refused before anything is learnt
        outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        return numbers.astype(np.int64), outputs, logistic

    def _answers(self) -> Classes:
        return Classes(tuple(self.classes_.tolist()), self._unit)

    def decision_function(self, X: Any, mode: str = "integers") -> RealArray:
        """Return logits: of the second class, shape (rows,), or of each, shape (rows, classes)."""
        logits: RealArray = self._outputs(X, mode) * self._unit
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predict_proba(self, X: Any, mode: str = "integers") -> FloatArray:
        """Return what the network takes for the classes' probabilities, shape (rows, classes)."""
        return softmax(for_classes(self._outputs(X, mode) * self._unit))

    def score(self, X: Any, y: Any, mode: str = "integers") -> float:
        """Return the share of rows that get their class."""
        found = self.predict(X, mode)
        return float(np.mean(found == check_targets(y, len(found), type(self).__name__)))


class SquareNetRegressor(Estimator):
    """A network that predicts values, as fixed-point numbers.

    Parameters
    ----------
    hidden, bits, epochs, random_state
        See `Estimator`.

    Attributes
    ----------
    model_, real_, n_features_in_, feature_names_in_
        See `Estimator`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(300, 2))
    >>> net = SquareNetRegressor(random_state=0).fit(X, 100 + 5 * X[:, 0] * X[:, 1])
    >>> float(net.predict([[0.5, -0.5]], mode="encrypted")[0].round(0))
    99.0
    """

    _kind = "regressor"

    def _learn_targets(self, targets: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int, Loss]:
        values = numbers_of(targets)
        with np.errstate(over="ignore", invalid="ignore"):
            self._mean, self._spread = float(values.mean()), float(values.std())
        low, high = values.min(), values.max()
        if low == high or not 0 < self._spread < np.inf:
            raise TableError(
                f"y goes from {low:g} to {high:g}: values must differ, by what a float can say."
            )
        return ((values - self._mean) / self._spread).astype(np.float32), 1, squared_error

    def _answers(self) -> Values:
        return Values(self._unit * self._spread, self._mean)

    def score(self, X: Any, y: Any, mode: str = "integers") -> float:
        """Return R^2 (`nn.networks.schema.r_squared`); 0 if the values are all the same."""
        found = self.predict(X, mode)
        values = numbers_of(check_targets(y, len(found), type(self).__name__))
        return r_squared(found, values, undefined=0.0)


def numbers_of(targets: npt.NDArray[Any]) -> RealArray:
    """Return values as float64 array, or say why they are none."""
    if targets.dtype.kind in "mM":
        raise TableError(f"values are numbers, not {targets.dtype}: count days, or seconds.")
    try:
        return targets.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TableError(f"values are numbers: {error}. SquareNet learns classes.") from error


def fit_pictures(
    pictures: npt.NDArray[np.uint8], labels: npt.NDArray[Any], **options: Any
) -> Sequential:
    """Return an integer network that decides between the classes of grey pictures of one size.

    Parameters
    ----------
    pictures : uint8 array, shape (pictures, height, width, 1), black 0 to white 255
    labels : one for each
    options : of `SquareNet`

    Raises
    ------
    TableError
        If there are fewer than two classes.
    """
    net = SquareNet(**options)
    # The expression of `quantize_pixels`, which rounds it.
    net._learn(np.multiply(pictures, net._levels, dtype=np.float64) / WHITE, labels)
    return net.model_
