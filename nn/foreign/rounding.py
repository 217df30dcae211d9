"""From a float network to an integer one: the fewest bits that keep the answers.

First the inputs are rounded alone (of a table with outliers clipped, if that loses little), then
all weights to one number of bits, then those of one layer after the other to fewer. Whether answers
are kept is judged on calibration rows: by those that the float network has right and the integer
network has wrong. Rows that rounding happens to put right do not make up for them: with few rows
that would be luck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nn.foreign.chain import RealArray
from nn.foreign.drafts import Draft, Pixels, draft_of, grids_of, weighted, worth_of
from nn.foreign.network import FloatNetwork
from nn.networks.model import ModelInfo, Sequential
from nn.networks.schema import Classes, Columns, Schema
from nn.planning.proofs import ranges
from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import of_kind, whole
from yashe.errors import DataError, ParameterError, TrainingError

FEWEST_BITS, MOST_BITS = 2, 10  # of a weight
LEVELS = tuple(2**bits - 1 for bits in range(1, 11))
MOST_LEVELS = 2**20


@dataclass(frozen=True)
class Trial:
    """A rounding that was tried.

    Attributes
    ----------
    levels : inputs are 0..levels
    bits : of the weights of each layer, with their sign: |weight| < 2^(bits - 1); none if only the
        inputs were rounded
    score : share of right answers, or R^2, on the calibration rows
    lost : share of rows that the float network has right and this one has wrong; for values, by how
        much R^2 has fallen
    range_bits : log2(2 max|output|), proved for every input
    """

    levels: int
    bits: tuple[int, ...]
    score: float
    lost: float
    range_bits: float | None = None

    def __str__(self) -> str:
        bits = " ".join(map(str, self.bits)) or "float"
        proved = "" if self.range_bits is None else f"{self.range_bits:.1f}"
        return (
            f"0..{self.levels:<8}{bits:<18}{self.score:>8.4f}{self.lost:>8.4f}{proved:>13}".rstrip()
        )


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows on which roundings are judged.

    Attributes
    ----------
    inputs : in our layout
    found : what the float network answers
    wanted : what would be right
    """

    network: FloatNetwork
    inputs: RealArray
    found: npt.NDArray[Any]
    wanted: npt.NDArray[Any]

    @classmethod
    def of(cls, network: FloatNetwork, rows: Any, targets: Any = None) -> Calibration:
        """Check rows and targets; without targets, the float network is right."""
        found = network.predict(rows)
        wanted = found if targets is None else checked_targets(network, targets, found.shape)
        return cls(network, network.inputs(rows), found, wanted)

    @property
    def score(self) -> float:
        """Of the float network."""
        return self.network.score(self.found, self.wanted)

    def judged(self, outputs: npt.NDArray[Any]) -> tuple[float, float]:
        """Return the score of outputs, and what is lost against the float network."""
        answers = self.network.answers.answers(outputs)
        score = self.network.score(answers, self.wanted)
        if isinstance(self.network.answers, Classes):
            lost = np.mean((self.found == self.wanted) & (answers != self.wanted))
            return score, float(lost)
        return score, self.score - score

    def tried(self, draft: Draft, pixels: IntArray) -> Trial:
        """Return how good the integer network of a draft is, and its proved range.

        Computed in float64: where numbers have more than 53 bits, sums are rounded. That changes an
        answer only if two outputs are the same to 15 digits.
        """
        model = draft.whole()
        judged = self.judged(model.forward(pixels.astype(np.float64)) * draft.unit)
        return Trial(draft.levels, draft.bits, *judged, ranges(model, draft.levels)[-1].bits)


@dataclass(frozen=True, eq=False)
class Rounded:
    """An integer network that was made of a float network: see `quantize_network`.

    Attributes
    ----------
    model : integer network with the schema of its answers: what `make_plan` and `infer` take
    network : the float network
    grid : Columns or Pixels: how rows become integers
    draft : the same as `model`, before weights became whole
    trials : what was tried, in this order
    chosen : the one that `model` is
    float_score : of the float network on the calibration rows
    """

    model: Sequential
    network: FloatNetwork
    grid: Columns | Pixels
    draft: Draft
    trials: tuple[Trial, ...]
    chosen: Trial
    float_score: float

    def __repr__(self) -> str:
        return f"Rounded({self.model!r}, bits={self.chosen.bits}, score={self.chosen.score:.4f})"

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{'inputs':<11}{'bits of weights':<18}{'score':>8}{'lost':>8}{'range, bits':>13}",
                f"{'float':<11}{'float':<18}{self.float_score:>8.4f}",
                *(f"{trial}{'  chosen' * (trial is self.chosen)}" for trial in self.trials),
            ]
        )

    def prepare(self, rows: Any) -> IntArray:
        """Return rows of the other library as the integer network takes them.

        Values beyond those of the calibration rows are clipped.

        Raises
        ------
        DataError
            If they are no such rows.
        """
        return self.grid.prepare(self.network.inputs(rows), self.model.levels)

    def predict(self, rows: Any) -> npt.NDArray[Any]:
        """Return a label, or a value, for each row: the integer network in the clear."""
        assert self.model.schema is not None
        assert self.chosen.range_bits is not None
        pixels = self.prepare(rows)  # int64, or Python integers where outputs may need more
        outputs = self.model.forward(
            pixels.astype(np.int64 if self.chosen.range_bits < 63 else object)
        )
        return self.model.schema.answers.answers(outputs)


def quantize_network(
    network: FloatNetwork,
    rows: Any,
    targets: Any = None,
    lost: float = 0.005,
    levels: int | None = None,
    bits: int | Sequence[int] | None = None,
) -> Rounded:
    """Round a float network to the fewest bits that keep its answers on calibration rows.

    First the inputs: as few levels as lose half of what may be lost. Then all weights, to one
    number of bits, and then those of one layer after the other to fewer.

    Parameters
    ----------
    network : from `from_onnx`, `from_torch` or `from_sklearn`
    rows : as the other library takes them, of its training or validation data; never of the test
        data, which would be no test any more
    targets : their labels or values; by default what the float network answers
    lost : the share of rows that the float network has right and the integer network may have
        wrong; of values, by how much R^2 may fall
    levels : inputs become 0..levels; by default it is searched
    bits : of the weights of all layers, or of each one; by default they are searched

    Returns
    -------
    Rounded, whose `model` is an ordinary integer network

    Raises
    ------
    DataError
        If rows and targets are none.
    TrainingError
        If nothing that is tried loses so little.
    """
    of_kind(network, "the network", FloatNetwork)
    if isinstance(lost, bool) or not (isinstance(lost, int | float) and 0 <= lost < 1):
        raise ParameterError(f"lost must be a number in [0, 1), such as 0.005; got {lost!r}.")
    calibration, trials = Calibration.of(network, rows, targets), list[Trial]()

    def attempt(grid: Columns | Pixels, levels: int, bits: tuple[int, ...] = ()) -> Trial:
        pixels = grid.prepare(calibration.inputs, levels)
        if bits:
            return calibration.tried(draft_of(network, grid, levels, bits), pixels)
        outputs = network.model(worth_of(grid, levels)).forward(pixels.astype(np.float64))
        return Trial(levels, (), *calibration.judged(outputs))

    def noted(*rounding: Any) -> Trial:
        trials.append(attempt(*rounding))
        return trials[-1]

    grids = grids_of(network, calibration.inputs)
    fine = (grid for grid in grids if attempt(grid, LEVELS[-1]).lost <= lost / 2)
    grid = next(fine, grids[-1])
    if levels is None:
        enough = (n for n in LEVELS if noted(grid, n).lost <= lost / 2)
        levels = next(enough, LEVELS[-1])
    levels = whole(levels, "levels", 1, MOST_LEVELS)
    layers = weighted(network.model(worth_of(grid, levels)))
    if bits is None:
        chosen = fewest_bits(partial(noted, grid, levels), layers, lost)
    else:
        each = list(bits) if isinstance(bits, Sequence) else [bits] * layers
        if len(each) != layers:
            raise ParameterError(f"bits must be those of {layers} layers; got {len(each)} numbers.")
        chosen = noted(grid, levels, tuple(whole(n, "bits", FEWEST_BITS, 32) for n in each))
    draft = draft_of(network, grid, chosen.levels, chosen.bits)
    model = finished(network, grid, draft, chosen)
    return Rounded(model, network, grid, draft, tuple(trials), chosen, calibration.score)


def fewest_bits(attempt: Callable[[tuple[int, ...]], Trial], layers: int, lost: float) -> Trial:
    """Return the last trial that loses no more: first all layers alike, then one by one."""
    alike = (attempt((bits,) * layers) for bits in range(FEWEST_BITS, MOST_BITS + 1))
    chosen = next((trial for trial in alike if trial.lost <= lost), None)
    if chosen is None:
        raise TrainingError(
            f"no weights of up to {MOST_BITS} bits lose at most {lost:.4f}. Allow more to be lost; "
            "or name levels and bits, and train on with nn.train_rounded."
        )
    for layer in range(layers):
        while layers > 1 and chosen.bits[layer] > FEWEST_BITS:  # a single one was tried before
            fewer = tuple(bits - (i == layer) for i, bits in enumerate(chosen.bits))
            trial = attempt(fewer)
            if trial.lost > lost:
                break
            chosen = trial
    return chosen


def finished(
    network: FloatNetwork, grid: Columns | Pixels, draft: Draft, trial: Trial
) -> Sequential:
    """Return the integer network of a draft, with what is known about it."""
    model, classes = draft.whole(), isinstance(network.answers, Classes)
    model.info = ModelInfo(
        name=network.name,
        levels=trial.levels,
        validation_accuracy=trial.score if classes else 0.0,
        proved_bits=round(trial.range_bits or 0.0, 2),
    )
    columns = grid if isinstance(grid, Columns) else None
    model.schema = Schema(replace(network.answers, scale=draft.unit), columns)
    return model


def checked_targets(
    network: FloatNetwork, targets: Any, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return the targets of calibration rows, or refuse what cannot be such."""
    classes = isinstance(network.answers, Classes)
    try:
        wanted = np.asarray(targets)
        different = np.unique(wanted).tolist() if classes else []
    except (TypeError, ValueError) as error:
        raise DataError(f"targets must be a row of labels or numbers: {error}.") from error
    if np.ma.is_masked(targets):
        raise DataError("targets must be there for all rows, and none of them masked.")
    if wanted.shape != shape:
        raise DataError(f"targets must have the shape {shape}; got {wanted.shape}.")
    if isinstance(network.answers, Classes):
        labels = network.answers.labels
        unknown = [label for label in different if label not in labels]
        if unknown:
            raise DataError(f"targets must be among {labels[:10]}; got {unknown[0]!r}.")
    elif wanted.dtype.kind not in "iuf" or not np.isfinite(wanted).all():
        raise DataError("targets must be numbers, none of them missing.")
    return wanted
