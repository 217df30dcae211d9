"""What numbers mean: raw columns become integers, outputs become classes or values."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.networks.layers import Dense
from nn.networks.model import Sequential
from nn.networks.schema import LARGEST_WIDTH, Classes, Columns, Schema, Values, rounded_outwards
from nn.service.card import LARGEST_CARD_BYTES
from yashe.errors import DataError, FormatError, ParameterError

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)
COLUMNS = Columns(("age", "weight"), (20.0, 40.0), (80.0, 100.0))


def test_a_prepared_table_by_hand() -> None:
    """60 levels over 60 years: an integer for each year, halves upwards, clipped at both ends."""
    rows = np.array([[20.0, 100.0], [18.0, 40.0], [20.49, 70.0], [20.5, 101.0]])
    assert COLUMNS.prepare(rows, 60).tolist() == [[0, 60], [0, 0], [0, 30], [1, 60]]
    assert COLUMNS.outside(rows) == [
        "column 'age': 1 of 4 values clipped to [20, 80]; the first is 18 in row 1",
        "column 'weight': 1 of 4 values clipped to [40, 100]; the first is 101 in row 3",
    ]


def test_learnt_ends_by_hand() -> None:
    """An outlier does not widen a column, a column of two values keeps both, ends are rounded."""
    wide = np.array([float(i % 10) for i in range(99)] + [1000.0])
    two = np.array([0.0] * 99 + [1.0])
    found = Columns.of(np.stack([wide, two], axis=1), ["wide", "two"])
    mean, deviation = wide.mean(), wide.std()
    assert found.low == (0.0, 0.0)
    assert found.high[1] == 1.0
    assert mean + 3 * deviation <= found.high[0] <= 1.01 * (mean + 3 * deviation)
    assert found.high[0] == 312.0  # 14.4 + 3 x 99.1 = 311.7; a hundredth of it allows whole ones
    assert rounded_outwards(17.234, 80.111) == (17.2, 80.2)
    assert rounded_outwards(-0.01714, 0.01234) == (-0.0172, 0.0124)


@given(st.lists(NUMBERS, min_size=2, max_size=8, unique=True), st.integers(1, 4095))
def test_integers_lie_in_the_levels_and_keep_the_order_of_the_numbers(
    numbers: list[float], levels: int
) -> None:
    rows = np.array(sorted(numbers))[:, np.newaxis]
    columns = Columns.of(rows, ["x"])
    whole = columns.prepare(rows, levels)[:, 0]
    assert whole.min() >= 0
    assert whole.max() <= levels
    assert (np.diff(whole) >= 0).all()
    beyond = columns.prepare(np.array([[-1e300], [1e300]]), levels)
    assert beyond.tolist() == [[0], [levels]]


@given(st.lists(st.text(min_size=1, max_size=9).filter(str.isprintable), min_size=2, unique=True))
def test_a_schema_comes_back_from_its_json(names: list[str]) -> None:
    columns = Columns(tuple(names), tuple(0.1 * i for i in range(len(names))), (99.5,) * len(names))
    for answers in (Classes(tuple(names), 0.3), Classes((1, 2)), Values(1e-9, -4.5)):
        schema = Schema(answers, columns)
        assert Schema.from_json(json.loads(json.dumps(asdict(schema)))) == schema


def test_the_largest_and_the_smallest_numbers_are_prepared_like_all_others() -> None:
    rows = np.array([[-1.5e308, 1e-300], [1.5e308, 3e-300], [0.0, 2e-300]])
    columns = Columns.of(rows, ["large", "small"])
    assert columns.prepare(rows, 2).tolist() == [[0, 0], [2, 2], [1, 1]]


def test_answers_by_hand() -> None:
    two, three = Classes(("no", "yes")), Classes((10, 20, 30))
    assert two.answers(np.array([[-5], [0], [1]])).tolist() == ["no", "no", "yes"]
    assert three.answers(np.array([[1, 5, 2], [9, 9, 0]])).tolist() == [20, 10]
    assert Values(0.5, 100.0).answers(np.array([[-4], [3]])).tolist() == [98.0, 101.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("age", "age")}, "'age' is there twice"),
        ({"names": ("age", "a\nb")}, "64 printable characters"),
        ({"names": ("age",)}, "a low and a high end; got 1, 2 and 2"),
        ({"low": (20.0, 100.0)}, "column 'weight' must go from low to high, not 100.0, 100.0"),
        ({"low": (20.0, float("nan"))}, "from low to high"),
        ({"high": (80, 100.0)}, "column 'age' must go"),
        ({"low": (0.0, 0.0), "high": (5e-324, 1.0)}, "column 'age' must go"),
    ],
)
def test_columns_that_cannot_be_prepared_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(COLUMNS, **change)


def test_answers_that_mean_nothing_are_refused() -> None:
    for labels, message in (
        (("one",), "2 to 4096 classes"),
        (("a", 1), "all texts, all numbers"),
        (("a", "a"), "a label of its own"),
        ((None, None), "all texts"),
        (("a", ""), "1 to 64 printable"),
    ):
        with pytest.raises(ParameterError, match=message):
            Classes(labels)  # type: ignore[arg-type]
    for scale in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ParameterError, match="a scale is a positive number"):
            Values(scale)
    with pytest.raises(ParameterError, match="an offset is a number"):
        Values(1.0, float("nan"))
    with pytest.raises(DataError, match="column 'b' is 7 in every row"):
        Columns.of(np.array([[1.0, 7.0], [2.0, 7.0]]), ["a", "b"])


def test_a_schema_of_another_network_is_refused() -> None:
    for outputs, answers in ((2, Values(1.0)), (3, Classes((0, 1))), (1, Classes((0, 1, 2)))):
        with pytest.raises(ParameterError, match="outputs for"):
            Sequential([Dense(outputs)], (2,), schema=Schema(answers, COLUMNS))
    with pytest.raises(ParameterError, match="2 columns for inputs"):
        Sequential([Dense(1)], (3,), schema=Schema(Values(1.0), COLUMNS))


def test_a_network_is_saved_with_its_schema_or_without(tmp_path: Any) -> None:
    for schema in (Schema(Classes(("a", "b")), COLUMNS), None):
        model = Sequential([Dense(1)], (2,), schema=schema)
        for layer in model.layers:
            layer.parameters = {k: v.astype(np.int64) for k, v in layer.parameters.items()}
        model.save(tmp_path / "net.npz")
        assert Sequential.load(tmp_path / "net.npz").schema == schema


@pytest.mark.parametrize(
    "described",
    [
        1,
        [],
        {},
        {"answers": {"kind": "values"}, "columns": None},
        {"answers": {"kind": ["values"], "scale": 1.0, "offset": 0.0}, "columns": None},
        {"answers": {"kind": "values", "scale": 1.0, "offset": 0.0}, "columns": []},
        {"answers": {"kind": "values", "scale": 1.0, "offset": 0.0}, "columns": [1]},
        {"answers": {"kind": "values", "scale": 1.0, "offset": 0.0}, "columns": {"names": 1}},
        {"answers": {"kind": "classes", "labels": [[], []], "scale": 1.0}, "columns": None},
    ],
)
def test_a_strangers_schema_is_refused_as_a_file(described: Any, tmp_path: Any) -> None:
    model = Sequential([Dense(1)], (2,))
    for layer in model.layers:
        layer.parameters = {k: v.astype(np.int64) for k, v in layer.parameters.items()}
    path = tmp_path / "net.npz"
    model.save(path)
    text, *arrays = (np.load(path)[name] for name in np.load(path).files)
    about = {**json.loads(text.tobytes()), "schema": described}
    np.savez(path, np.frombuffer(json.dumps(about).encode(), np.uint8), *arrays)
    with pytest.raises(FormatError, match="got something else: (Value|Parameter)Error"):
        Sequential.load(path)


def test_the_widest_table_fits_into_files_and_cards(tmp_path: Any) -> None:
    """Of names that JSON writes with six letters for each character."""
    names = tuple(f"{i:04}" + "é" * 60 for i in range(LARGEST_WIDTH))
    columns = Columns(names, (-1.2345678901234567e-300,) * LARGEST_WIDTH, (1.0,) * LARGEST_WIDTH)
    model = Sequential([Dense(1)], (LARGEST_WIDTH,), schema=Schema(Values(1.0), columns))
    for layer in model.layers:
        layer.parameters = {k: v.astype(np.int64) for k, v in layer.parameters.items()}
    model.save(tmp_path / "net.npz")
    assert Sequential.load(tmp_path / "net.npz").schema == model.schema
    assert len(json.dumps(asdict(model.schema), indent=1)) < LARGEST_CARD_BYTES
