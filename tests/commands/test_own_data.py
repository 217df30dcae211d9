"""Data of one's own on the command line: from a CSV file or pictures to answers in a CSV file."""

from pathlib import Path

import numpy as np
import pytest

from nn.commands.main import main
from nn.commands.tables import kept_aside, kind_of
from nn.data.grey import write_grey
from nn.data.tables import read_table, write_table
from nn.networks.model import Sequential
from nn.networks.schema import Classes, Values
from tiny_service import running

RNG = np.random.default_rng(2)
ROWS = RNG.normal(size=(60, 3)).round(3)
SICK = np.where(ROWS[:, 0] + ROWS[:, 1] > 0, "yes", "no")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with patients.csv, houses.csv and new.csv, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nn.training.fit.FEWEST_STEPS", 60)
    columns = ["number", "age", "weight"]
    told = [(i, *row[:2], sick) for i, (row, sick) in enumerate(zip(ROWS, SICK, strict=True))]
    write_table("patients.csv", [*columns, "sick"], told)
    write_table("houses.csv", ["a", "b", "price"], ROWS * [1, 1, 0] + ROWS[:, :1] * [0, 0, 1e5])
    write_table("new.csv", ["weight", "remark", "age"], [(row[1], "-", row[0]) for row in ROWS[:9]])
    return tmp_path


def run(line: str) -> None:
    assert main(line.split()) == 0


def answers(model: Sequential, rows: np.ndarray) -> list:
    """What the integer network says to raw rows."""
    schema = model.schema
    assert schema is not None
    assert schema.columns is not None
    whole = schema.columns.prepare(rows, model.levels)
    return schema.answers.answers(model.forward(whole)).tolist()


def test_five_commands_lead_from_a_table_to_a_table_of_encrypted_answers(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("train patients.csv --target sick --leave-out number")
    run("keygen keys --model patients.npz")
    run("encrypt new.csv --keys keys --out rows.fhe")
    run("infer patients.npz rows.fhe --keys keys/public --out reply.fhe --workers 1")
    run("decrypt reply.fhe --keys keys --rows 9 --csv answers.csv")
    out = capsys.readouterr().out
    assert "learnt classes of 'sick' from 48 rows" in out
    assert "of 12 rows kept aside (integers)" in out
    assert "9 rows encrypted with the secret key" in out
    model = Sequential.load("patients.npz")
    table, classes = read_table("answers.csv", target="class")
    assert classes.tolist() == answers(model, ROWS[:9, :2])
    assert table.columns == ("output yes",)
    assert np.mean(classes == SICK[:9]) > 0.6
    run("plan patients.npz --untimed")
    assert "encrypt 2 columns" in capsys.readouterr().out


def test_values_come_back_in_their_own_unit(place: Path) -> None:
    run("train houses.csv --target price --out net.npz --hidden --seed 1")
    model = Sequential.load("net.npz")
    assert len(model.layers) == 1
    assert isinstance(model.schema and model.schema.answers, Values)
    run("keygen keys --model net.npz --public")
    run("encrypt houses.csv --keys keys/public --out rows.fhe --count 5")
    run("infer net.npz rows.fhe --keys keys/public --out reply.fhe --workers 1")
    run("decrypt reply.fhe --keys keys --rows 5 --csv answers.csv")
    found = read_table("answers.csv").values[:, 0].tolist()
    assert found == answers(model, ROWS[:5, :2])
    assert np.corrcoef(found, ROWS[:5, 0])[0, 1] > 0.9


def test_a_server_is_asked_about_a_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    run("train patients.csv --target sick --leave-out number --epochs 1")
    model = Sequential.load("patients.npz")
    with running(place / "state", model=model) as (_, url):
        run(f"ask new.csv --server {url} --csv answers.csv")
    _, classes = read_table("answers.csv", target="class")
    assert classes.tolist() == answers(model, ROWS[:9, :2])
    assert "9 rows for SquareNet" in capsys.readouterr().out


def test_pictures_of_folders_are_learnt_and_asked_about(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    for name, low in (("dark", 0), ("light", 128)):
        (place / "shades" / name).mkdir(parents=True)
        for i in range(10):
            picture = RNG.integers(low, low + 128, (3, 2)).astype(np.uint8)
            write_grey(place / "shades" / name / f"{i}.png", picture)
    run("train shades --bits 3 --hidden 2")
    assert "learnt from 16 pictures of 2 classes" in capsys.readouterr().out
    model = Sequential.load("shades.npz")
    assert model.schema is not None
    assert model.schema.answers.kind == "classes"
    assert isinstance(model.schema.answers, Classes)
    assert model.schema.answers.labels == ("dark", "light")
    run("keygen keys --model shades.npz")
    run("encrypt shades/light/3.png shades/dark/3.png --keys keys --out rows.fhe")
    run("infer shades.npz rows.fhe --keys keys/public --out reply.fhe --workers 1")
    run("decrypt reply.fhe --keys keys --images 2 --csv answers.csv")
    assert "2 images: light dark" in capsys.readouterr().out


def test_mistakes_with_own_data_are_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("train patients.csv --target sick --leave-out number --epochs 1")
    run("keygen keys --model patients.npz")
    run("encrypt patients.csv --keys keys --out rows.fhe")
    (place / "empty").mkdir()
    (place / "two.csv").write_text("age,sick\n1,yes\n2,no\n")
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    for line, message in (
        ("train faces", "faces is neither digits nor mnist, nor a CSV file or a folder"),
        ("train patients.csv", "say with --target which column of patients.csv"),
        ("train patients.csv --target sickness", "no column 'sickness'; it has 'number', 'age'"),
        ("train patients.csv --target age", "line 2: column 'sick' has 'no', and a finite number"),
        ("train patients.csv --target sick --kind values", "values are numbers"),
        ("train patients.csv --target sick --model lean", "--model is a recipe for images"),
        ("train digits --target sick", "--target is for tables and pictures of your own"),
        ("train digits --leave-out age", "--leave-out is for tables"),
        ("train digits --bits 4", "--bits is for tables"),
        ("train empty", "must have a folder for each class"),
        ("train patients.csv --target sick --out /nowhere/x.npz", "cannot write"),
        ("train patients.csv --target sick --out patients.csv", "patients.csv is named twice"),
        ("decrypt rows.fhe --keys keys", "say with --rows how many there were"),
        ("eavesdrop rows.fhe", "encrypted images were required, and this is an array of shape"),
        ("train two.csv --target sick", "two.csv must have 3 rows or more"),
        ("encrypt digits --keys keys --out x.fhe", "takes tables with the columns age, weight"),
        ("encrypt houses.csv --keys keys --out x.fhe", "houses.csv has no column 'age', 'weight'"),
    ):
        assert main(line.split()) == 1, line
        captured = capsys.readouterr()
        assert captured.err.startswith("cryptonets: ")
        assert message in captured.err
    after = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    assert after == before


def test_clipped_values_are_told_when_they_are_encrypted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("train patients.csv --target sick --leave-out number --epochs 1")
    run("keygen keys --model patients.npz")
    write_table("odd.csv", ["age", "weight"], [(0.0, 0.0), (0.0, 999.0)])
    capsys.readouterr()
    run("encrypt odd.csv --keys keys --out rows.fhe")
    assert "column 'weight': 1 of 2 values clipped" in capsys.readouterr().out


def test_what_a_target_is_and_which_rows_are_kept_by_hand() -> None:
    assert kind_of(np.array(["a", "b"] * 50)) == "classes"
    assert kind_of(np.arange(20)) == "classes"
    assert kind_of(np.arange(21)) == "values"
    assert kind_of(np.array([0.5, 1.0])) == "values"
    assert kept_aside(3, 0).sum() == 1
    assert kept_aside(100, 0).sum() == 20
    assert (kept_aside(100, 0) != kept_aside(100, 1)).any()
