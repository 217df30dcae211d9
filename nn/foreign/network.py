"""A network that was trained elsewhere, as it is: in floats, in our layers, with its own rows.

Others put the channels of an image first, (channels, height, width); here they come last. Whoever
has a `FloatNetwork` gives rows as the other library takes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nn.foreign.chain import RealArray, Step, network_of
from nn.networks.base import Shape
from nn.networks.model import Sequential
from nn.networks.schema import Classes, Schema, Values, r_squared
from yashe.errors import DataError, ParameterError


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """What `from_onnx`, `from_torch` and `from_sklearn` return.

    Attributes
    ----------
    steps : what it computes, affine maps included (`nn.foreign.chain`)
    row_shape : of one row as the other library takes it: (columns,) or (channels, height, width)
    input_shape : of the same row in our layout
    answers : what the outputs stand for: Classes, or Values
    name : of the integer network that will be made of it
    columns : names of the columns, if the rows are those of a table and it is known
    notes : sentences: what was left out, and why that changes no answer
    """

    steps: tuple[Step, ...]
    row_shape: Shape
    input_shape: Shape
    answers: Classes | Values
    name: str = "imported"
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        model = self.model()
        if not all(np.isfinite(numbers).all() for numbers in model.parameters()):
            raise ParameterError("all weights must be finite numbers; some are not.")
        outputs = model.output_shape
        if len(outputs) != 1:
            raise ParameterError(
                f"a network must end with one flat row of outputs, not with {outputs}. Let it end "
                "with Flatten and a dense layer."
            )
        Schema(self.answers).check(self.input_shape, outputs[0])

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.model().layers))
        return f"FloatNetwork({self.row_shape}: {layers})"

    def __str__(self) -> str:
        return "\n".join([self.model().summary(), *self.notes])

    def model(self, *first: Step) -> Sequential:
        """Return the network in our layers, with float64 weights, behind other steps if wanted."""
        return network_of([*first, *self.steps], self.input_shape)

    def inputs(self, rows: Any) -> RealArray:
        """Return rows in our layout, float64 array of shape (rows, *input_shape).

        Raises
        ------
        DataError
            If they have another shape, or not all of them are numbers.
        """
        try:
            values = np.asarray(rows, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"rows must be an array of numbers: {error}.") from error
        if values.ndim < 1 or values.shape[1:] != self.row_shape or not len(values):
            wanted = ", ".join(map(str, self.row_shape))
            raise DataError(f"rows must have the shape (rows, {wanted}); got {values.shape}.")
        missing = ~np.isfinite(values)
        if np.ma.is_masked(rows):
            missing |= np.ma.getmaskarray(rows)
        if missing.any():
            row = int(np.argwhere(missing)[0][0])
            raise DataError(f"rows must be numbers, none of them missing; row {row} has others.")
        if len(self.input_shape) == 1:
            return values
        height, width, channels = self.input_shape
        images = values.reshape(len(values), channels, height, width)
        return np.ascontiguousarray(np.moveaxis(images, 1, -1))

    def outputs(self, rows: Any) -> RealArray:
        """Return what the network computes of rows, float64 array of shape (rows, outputs)."""
        found: RealArray = self.model().forward(self.inputs(rows))
        return found

    def predict(self, rows: Any) -> npt.NDArray[Any]:
        """Return a label, or a value, for each row."""
        return self.answers.answers(self.outputs(rows))

    def score(self, found: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
        """Return how good answers are: the share of right classes, or R^2 for values."""
        if isinstance(self.answers, Classes):
            return float(np.mean(found == targets))
        return r_squared(found, targets, undefined=-math.inf)


def answers_for(outputs: int, labels: Sequence[Any] | None, regression: bool) -> Classes | Values:
    """Return what outputs stand for: a value, or classes with the labels given, or 0, 1, 2, ...

    Raises
    ------
    ParameterError
        If there are not as many of them.
    """
    if regression:
        return Values(1.0)
    if outputs == 1 and labels is None:
        raise ParameterError(
            "a single output must be a value or decide between two classes by its sign: say "
            "regression=True, or labels=(no, yes)."
        )
    if isinstance(labels, str) or not isinstance(labels, Iterable | None):
        raise ParameterError(f"labels are a list, one for each class; got {labels!r}.")
    found = range(outputs) if labels is None else labels
    return Classes(
        tuple(label.item() if isinstance(label, np.generic) else label for label in found)
    )
