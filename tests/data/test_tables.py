"""CSV files as people have them: read, or refused with the line at which they go wrong."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.data import tables
from nn.data.tables import Table, read_table, write_table
from yashe.errors import FormatError, IndexingError, ParameterError

GOOD = 'age,"weight, kg",sick\n30,70.5,no\n41,8e1,yes\n'


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        "\n" + GOOD.replace("\n4", "\n\n,,\n4") + "\n \n",
        'age;"weight, kg";sick\n30;70.5;no\n41;8e1;yes\n',
        'age\tweight, kg\tsick\n 30 \t+70.5\tno\n41\t80\t"yes"\n',
    ],
)
def test_a_table_is_read_however_it_was_written(content: str, tmp_path: Path) -> None:
    table, sick = read_table(written(tmp_path, content), target="sick")
    assert table.columns == ("age", "weight, kg")
    assert table.values.tolist() == [[30.0, 70.5], [41.0, 80.0]]
    assert sick.tolist() == ["no", "yes"]


def test_columns_are_found_by_name_and_others_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "name,b,a\nAnn,1,2\nBob,3,4\n")
    assert read_table(path, columns=["a", "b"]).values.tolist() == [[2, 1], [4, 3]]
    assert read_table(path, leave_out=["name"]).columns == ("b", "a")


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["1", "2", "-3"], np.array([1, 2, -3])),
        (["1", "2.5"], np.array([1.0, 2.5])),
        (["1.0", "2e3"], np.array([1, 2000])),
        (["1", "high"], np.array(["1", "high"])),
        (["9007199254740993", "9007199254740992"], np.array([2**53 + 1, 2**53])),  # two classes
        (["9007199254740993.0", "1"], np.array([9007199254740992.0, 1.0])),
    ],
)
def test_a_target_is_whole_numbers_or_numbers_or_texts(
    texts: list[str], found: np.ndarray, tmp_path: Path
) -> None:
    path = written(tmp_path, "x,y\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts)))
    _, target = read_table(path, target="y")
    assert target.dtype.kind == found.dtype.kind
    assert target.tolist() == found.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3\n", "line 3: 2 fields are required, as in the first line; got 1"),
        ("a,b\n1,\n", "line 2: the value of column 'b' is missing"),
        ("a,b\n1,?\n", "line 2: the value of column 'b' is missing, '.': fill it in"),
        ("a,b\n1,NaN\n", "line 2: the value of column 'b' is missing"),
        ("a,b\n1,inf\n", "line 2: column 'b' has 'inf', and a finite number"),
        ("a,b\n1,1e999\n", "line 2: column 'b' has '1e999'"),
        ("a,b\n1,1_000\n", "line 2: column 'b' has '1_000'"),
        ("a;b\n1;1,5\n", "line 2: column 'b' has '1,5': write decimals with a point"),
        ("a,b\n1,red\n", "one column of 0 and 1 for each of its values"),
        ('a,b\n1,"2\n\n3,4\n', "line 4: column 'b' has '2"),
        ("a,b\n", "a line with names and at least one row"),
        ("", "a line with names and at least one row"),
        ("1,2\n3,4\n", "the first line must have the names of the columns"),
        ("a,a\n3,4\n", "column 'a' is there twice"),
        ("a,\n3,4\n", "column 2 must have a name.*index=False"),
        ("a,\x07\n3,4\n", "the name of a column has 1 to 64 printable characters"),
        (b"a,b\n1,2\n\xff,3\n", "line 3: text in UTF-8 is required"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: text in UTF-8 is required"),
        ("a,b\n1," + "9" * 200_000 + "\n", "line 2: no CSV: field larger than"),
        ("a," * 1025 + "b\n", "at most 1024 columns"),
        ("y\n1\n", "no column 'target'; it has 'y'"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    target = "target" if message.startswith("no column") else None
    with pytest.raises(FormatError, match=message):
        read_table(written(tmp_path, content), target=target)


def test_a_table_with_nothing_beside_its_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no columns beside 'y'"):
        read_table(written(tmp_path, "y\n1\n"), target="y")
    with pytest.raises(FormatError, match="cannot read"):
        read_table(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"leave_out": "ab"}, "named in a list, not by 'ab'"),  # which would leave out a and b
        ({"columns": "ab"}, "named in a list, not by 'ab'"),
        ({"columns": 3}, "named in a list, not by 3"),
        ({"columns": ["a", "a"]}, "'a' is two"),
        ({"columns": ["a", "b"], "leave_out": ["b"]}, "'b' is two"),
        ({"columns": ["a", "b"], "target": "b"}, "'b' is two"),  # it would be learnt from itself
    ],
)
def test_columns_are_named_once_and_in_a_list(
    named: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "ab,a,b\n1,2,3\n")
    with pytest.raises(ParameterError, match=message):
        read_table(path, **named)
    for no_path in (None, 3, b"table.csv"):
        with pytest.raises(FormatError, match="the name of a file was required"):
            read_table(no_path)  # type: ignore[arg-type]


def test_large_files_are_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a,b\n" + "1,2\n" * 100)
    monkeypatch.setattr(tables, "MOST_CELLS", 50)
    with pytest.raises(FormatError, match="at most 50 fields"):
        read_table(path)
    monkeypatch.setattr(tables, "LARGEST_BYTES", 100)
    with pytest.raises(FormatError, match="at most 100 bytes"):
        read_table(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_table_or_an_error_of_ours(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = written(Path(folder), content)
        try:
            table = read_table(path)
        except FormatError as error:
            table, message = None, str(error)
        assert str(path) in message if table is None else np.isfinite(table.values).all()


@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2), min_size=1))
def test_what_is_written_is_read_back_to_the_last_bit(rows: list[list[float]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, ["a", "b;"], rows)
        assert read_table(path).values.tolist() == rows


def test_a_written_text_is_no_formula_of_a_spreadsheet(tmp_path: Path) -> None:
    write_table(tmp_path / "out.csv", ["class", "n"], [["=1+1", -5], ["good, really", 2]])
    text = (tmp_path / "out.csv").read_text()
    assert text == 'class,n\n\'=1+1,-5\n"good, really",2\n'


def test_a_table_is_indexed_by_rows() -> None:
    table = Table(("a", "b"), np.arange(8.0).reshape(4, 2))
    assert len(table[1:3]) == 2
    assert table[np.array([True, False, False, True])].values.tolist() == [[0, 1], [6, 7]]
    assert np.asarray(table).shape == table.shape == (4, 2)
    assert repr(table) == "Table(4 rows of a, b)"
    for column in ("a", 9, [9], [True]):
        with pytest.raises(IndexingError, match="indexed by rows"):
            table[column]
    with pytest.raises(ParameterError, match="indexed by rows"):
        table[0]
