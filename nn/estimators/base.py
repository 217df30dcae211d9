"""What estimators share: parameters, learning, and three modes of predicting.

    "clear"      the float network, before anything was rounded: what rounding costs is seen by it
    "integers"   the integer network, on rounded columns; this is the default
    "encrypted"  the same on ciphertexts: keys, bytes to a server, bytes back

Integers and ciphertexts give the same outputs, always: a plan proves that they fit, or refuses.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from nn.estimators.checks import (
    ClippedWarning,
    NotFittedError,
    TableError,
    also_of_sklearn,
    check_learnable,
    check_names,
    check_table,
    check_targets,
    generator,
    names_of,
)
from nn.estimators.parties import Client, Server
from nn.networks.base import Layer, NumberArray
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import ModelInfo
from nn.networks.schema import Classes, Columns, RealArray, Schema, Values
from nn.planning.plan import Plan, make_plan, with_seconds
from nn.training.fit import Course, Loss, fit
from nn.training.quantize import proved_bits
from yashe.arithmetic.parallel import available_cores
from yashe.arithmetic.whole import whole

MODES = ("clear", "integers", "encrypted")
MOST_BITS = 16
MOST_EPOCHS = 100_000
MOST_UNITS = 4096

Self = TypeVar("Self", bound="Estimator")


class Estimator:
    """What networks for classes and for values share: parameters, fitting, and the three modes.

    Parameters
    ----------
    hidden : tuple of int
        Units of each hidden layer, a square behind each. With () the network is linear.
    bits : int, 1 to 16
        Columns become integers of so many bits. More are finer, and cost noise budget.
    epochs : int
        How often the rows are read (`nn.training.fit.Course`).
    random_state : int, None, or a generator of NumPy
        Initial weights and the order of the rows. A number makes the same network again.

    Attributes
    ----------
    model_ : Sequential
        The integer network with its schema: what `save` writes, and a server needs.
    real_ : Sequential
        The float network.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : object array
        Their names, if the table had any.
    """

    _kind: ClassVar[str]  # "classifier" or "regressor", as scikit-learn says

    def __init__(
        self,
        hidden: tuple[int, ...] = (16,),
        bits: int = 5,
        epochs: int = 40,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.bits = bits
        self.epochs = epochs
        self.random_state = random_state

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

    # What scikit-learn's tools ask of an estimator.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor by name."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def set_params(self: Self, **params: Any) -> Self:
        """Change arguments of the constructor; they count from the next `fit` on."""
        for name, value in params.items():
            if name not in self.get_params():
                raise TableError(
                    f"{type(self).__name__} has no parameter {name!r}; it has "
                    f"{', '.join(self.get_params())}."
                )
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn, which alone calls this."""
        from sklearn.utils import (  # noqa: PLC0415 (optional: whoever calls this has it)
            ClassifierTags,
            InputTags,
            RegressorTags,
            Tags,
            TargetTags,
        )

        classes = self._kind == "classifier"
        return Tags(
            estimator_type=self._kind,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if classes else None,
            regressor_tags=None if classes else RegressorTags(),
            input_tags=InputTags(),
        )

    # Learning.

    def fit(self: Self, X: Any, y: Any) -> Self:
        """Learn from rows X, shape (rows, columns), and their classes or values y, shape (rows,).

        Raises
        ------
        TableError
            If X is no table of numbers, a column never changes, y has fewer than two classes, or
            is not made of numbers where values are learnt.
        TrainingError
            If training diverges.
        """
        doing = type(self).__name__
        names, numbers = names_of(X), check_table(X, doing)
        targets = check_targets(y, len(numbers), doing)
        called = [f"x{i}" for i in range(numbers.shape[1])] if names is None else list(names)
        check_learnable(numbers, called, doing)
        columns = Columns.of(numbers, called)
        self._learn(self._levels * columns.shares(numbers), targets, columns)
        self.n_features_in_ = numbers.shape[1]
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    @property
    def _levels(self) -> int:
        """Inputs become integers 0..levels."""
        return (1 << whole(self.bits, "bits", 1, MOST_BITS)) - 1

    def _learn(
        self, inputs: RealArray, targets: npt.NDArray[Any], columns: Columns | None = None
    ) -> None:
        """Learn from rows of a table, or from pictures, with inputs in 0..levels."""
        course = Course(epochs=whole(self.epochs, "epochs", 1, MOST_EPOCHS))
        hidden = self.hidden if isinstance(self.hidden, tuple | list) else (self.hidden,)
        units = [whole(width, "a hidden layer", 1, MOST_UNITS) for width in hidden]
        wanted, outputs, loss = self._learn_targets(targets)
        network = layers(units, outputs)
        if inputs.ndim > 2:  # pictures
            network = [Flatten(), *network]
        found = fit(network, inputs, wanted, loss, course, generator(self.random_state))
        self.real_, self.model_, self._unit = found.real, found.whole, found.scale
        bits = round(proved_bits(found.whole, self._levels), 2)
        self.model_.info = ModelInfo(type(self).__name__, self._levels, proved_bits=bits)
        self.model_.schema = Schema(self._answers(), columns)

    def _learn_targets(self, targets: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int, Loss]:
        """Return targets as the loss takes them, how many outputs that needs, and the loss."""
        raise NotImplementedError

    def _answers(self) -> Classes | Values:
        """Return what the outputs of the integer network mean."""
        raise NotImplementedError

    # Predicting.

    @property
    def _schema(self) -> tuple[Columns, Classes | Values]:
        """What goes in, and what comes out."""
        if not hasattr(self, "model_"):
            kind = also_of_sklearn(NotFittedError, "NotFittedError")
            raise kind(
                f"This {type(self).__name__} instance is not fitted yet: call fit(X, y) first."
            )
        schema = self.model_.schema
        assert schema is not None
        assert schema.columns is not None
        return schema.columns, schema.answers

    def _outputs(self, X: Any, mode: str) -> NumberArray:
        """Return the outputs for raw rows, shape (rows, outputs), in units of the integer network.

        They are whole numbers in all modes but "clear".
        """
        columns, _ = self._schema
        if mode not in MODES:
            raise TableError(f"mode is one of {', '.join(MODES)}; got {mode!r}.")
        rows = self._rows(X)
        levels = self.model_.levels
        if mode == "clear":
            real = (levels * columns.shares(rows)).astype(np.float32)
            clear: NumberArray = self.real_.forward(real).astype(np.float64) / self._unit
            return clear
        if mode == "integers":
            whole: NumberArray = self.model_.forward(columns.prepare(rows, levels))
            return whole
        client, server = self.split()
        return client.outputs(server.infer(client.keys(), client.encrypt(rows)), len(rows))

    def _rows(self, X: Any) -> RealArray:
        """Return raw rows of the right columns, and warn if some will be clipped."""
        columns, _ = self._schema
        doing = type(self).__name__
        names, rows = names_of(X), check_table(X, doing)
        check_names(getattr(self, "feature_names_in_", None), names, doing)
        if rows.shape[1] != self.n_features_in_:
            raise TableError(
                f"X has {rows.shape[1]} features, but {doing} is expecting {self.n_features_in_} "
                "features as input."
            )
        if found := columns.outside(rows):
            more = f"; columns in which values are clipped: {len(found)}" if len(found) > 1 else ""
            warnings.warn(f"{found[0]}{more}", ClippedWarning, stacklevel=4)
        return rows

    def clipped(self, X: Any) -> list[str]:
        """Return a sentence for each column of raw rows in which values will be clipped."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClippedWarning)
            return self._schema[0].outside(self._rows(X))

    def predict(self, X: Any, mode: str = "integers") -> npt.NDArray[Any]:
        """Return the class or the value of each row.

        Parameters
        ----------
        X : raw rows, shape (rows, columns)
        mode : "clear", "integers" or "encrypted": see the top of the module

        Raises
        ------
        NotFittedError, TableError
            If there is no network yet, or X is no table for it.
        RangeError, NoiseBudgetExhausted
            If the network cannot run encrypted: fewer bits, or fewer layers, help.
        """
        return self._schema[1].answers(self._outputs(X, mode))

    def plan(self, timed: bool = True, rows: int | None = None) -> Plan:
        """Return what an encrypted run needs and costs: ranges, noise, bytes, seconds.

        Parameters
        ----------
        timed : whether to measure this machine, some seconds, the first time
        rows : how many there will be: then the plan is the faster one of a batch in slots and one
            row at once, `plan.mode`, and its `reasons` say why; None for a batch
        """
        _ = self._schema
        if rows is not None:
            return make_plan(self.model_, mode="auto", images=rows)
        plan = make_plan(self.model_)
        return with_seconds(plan, available_cores()) if timed else plan

    def split(self, mode: str = "batch") -> tuple[Client, Server]:
        """Return a client and a server, who share bytes only.

        Parameters
        ----------
        mode : "batch", or "single" for one row at once; `plan(rows=...).mode` says what is faster
        """
        _ = self._schema
        server = Server(self.model_, mode)
        return Client(server.card()), server

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the integer network with its schema: for `cryptonets plan`, `keygen`, `serve`."""
        _ = self._schema
        self.model_.save(path)


def layers(hidden: Sequence[int], outputs: int) -> list[Layer]:
    """Return the layers of a network while it is trained."""
    found: list[Layer] = []
    for units in hidden:
        found += [Dense(units, bias=False), BatchNorm(), Square()]
    return [*found, Dense(outputs, bias=False), BatchNorm()]
