"""Grading: points for what is right, whatever else is in a submission."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from yashe import checks
from yashe.checks import __main__ as command
from yashe.checks.grade import Grade, Submission, grade, programs, submissions, totals, write_csv
from yashe.errors import DataError

ROOT = Path(__file__).resolve().parent.parent.parent

RIGHT = "def expansion(n, log2_q, images):\n    return 2 * n * log2_q / 8 / images\n"
BITS = "def expansion(n, log2_q, images):\n    return 2 * n * log2_q / images\n"


def notebook(*cells: str, tags: tuple[str, ...] = ()) -> str:
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "metadata": {}, "source": cell.splitlines(keepends=True)}
        for cell in cells
    ]
    made[-1]["metadata"] = {"tags": list(tags)}
    return json.dumps({"cells": made})


def hand_in(folder: Path, name: str, text: str) -> Submission:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Submission("ann", 1, path)


def by_exercise(grades: list[Grade]) -> dict[str, Grade]:
    return {row.exercise: row for row in grades}


def test_a_right_function_gets_its_points_and_the_others_none(tmp_path: Path) -> None:
    rows = by_exercise(grade(hand_in(tmp_path, "01.ipynb", notebook("x = 1", RIGHT)), seconds=60))
    assert set(rows) == {name for name, e in checks.EXERCISES.items() if e.notebook == 1}
    assert rows["expansion"].points == rows["expansion"].out_of == 1
    assert rows["quadratic"].points == 0
    assert rows["quadratic"].mistake == "there is no function of this name"


def test_a_wrong_function_gets_its_mistake_named(tmp_path: Path) -> None:
    rows = by_exercise(grade(hand_in(tmp_path, "01.py", BITS), seconds=60))
    assert rows["expansion"].points == 0
    assert rows["expansion"].mistake == "these are bits; a byte has eight"
    assert rows["expansion"].input == "n = 8, log2_q = 8, images = 1"


def test_cells_that_fail_and_magics_cost_nothing(tmp_path: Path) -> None:
    text = notebook("1 / 0", "%pip install something\n" + RIGHT, "!ls", "exit()", "not python")
    rows = by_exercise(grade(hand_in(tmp_path, "01.ipynb", text), seconds=60))
    assert rows["expansion"].points == 1


def test_the_checks_of_a_submission_are_not_run(tmp_path: Path) -> None:
    text = notebook(BITS, RIGHT, tags=("check",))
    rows = by_exercise(grade(hand_in(tmp_path, "01.ipynb", text), seconds=60))
    assert rows["expansion"].points == 0, "a cell tagged check is no solution"


def test_an_endless_loop_costs_its_own_exercise_only(tmp_path: Path) -> None:
    endless = "def quadratic(x):\n    while True:\n        pass\n"
    rows = by_exercise(grade(hand_in(tmp_path, "01.py", endless + RIGHT), seconds=3))
    assert rows["expansion"].points == 1
    assert rows["quadratic"].points == 0
    assert rows["quadratic"].mistake == "it takes longer than 3 seconds"


def test_an_endless_cell_costs_what_comes_behind_it(tmp_path: Path) -> None:
    text = notebook(RIGHT, "while True:\n    pass", "def quadratic(x):\n    return x")
    rows = by_exercise(grade(hand_in(tmp_path, "01.ipynb", text), seconds=3))
    assert rows["expansion"].points == 1
    assert rows["quadratic"].mistake == "there is no function of this name"


def test_a_program_that_turns_the_alarm_off_is_stopped_from_outside(tmp_path: Path) -> None:
    text = "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\nwhile True: pass\n"
    rows = grade(hand_in(tmp_path, "01.py", text), seconds=0.5, spare_seconds=3)
    assert {row.mistake for row in rows} == {"it does not end, and cannot be stopped from inside"}
    assert all(row.points == 0 < row.out_of for row in rows)


def test_too_much_memory_costs_points_not_the_computer(tmp_path: Path) -> None:
    greedy = "def expansion(n, log2_q, images):\n    return len(bytearray(8 << 30))\n"
    rows = by_exercise(grade(hand_in(tmp_path, "01.py", greedy), seconds=60, megabytes=1024))
    assert rows["expansion"].points == 0
    assert "MemoryError" in rows["expansion"].mistake


def test_a_process_that_ends_keeps_what_was_graded_before(tmp_path: Path) -> None:
    # expansion is the last exercise of notebook 1; the ones before it are done by then.
    text = "import os\ndef quadratic(x):\n    return x * x - 3 * x + 2\n"
    text += "def expansion(n, log2_q, images):\n    os._exit(3)\n"
    rows = by_exercise(grade(hand_in(tmp_path, "01.py", text), seconds=60))
    assert rows["quadratic"].points == rows["quadratic"].out_of
    assert "ended with status 3" in rows["expansion"].mistake


def test_students_are_named_by_folder_or_by_file(tmp_path: Path) -> None:
    for name in ("ann/03.ipynb", "bob_04.py", "ann/notes.txt", "carl/readme.py"):
        hand_in(tmp_path, name, "")
    hand_in(tmp_path, "ann/.ipynb_checkpoints/03-checkpoint.ipynb", "")
    found = [(s.student, s.notebook) for s in submissions(tmp_path)]
    assert found == [("ann", 3), ("bob", 4)]


def test_folders_without_submissions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file in .* has a notebook's number"):
        submissions(tmp_path)
    with pytest.raises(DataError, match="a folder of submissions is needed"):
        submissions(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "[]", '{"cells": 3}', '{"cells": [{}]}'])
def test_a_damaged_notebook_is_refused_and_gets_no_points(tmp_path: Path, text: str) -> None:
    submission = hand_in(tmp_path, "01.ipynb", text)
    with pytest.raises(DataError, match="is not a notebook that can be read"):
        list(programs(submission.path))


def test_the_table_has_no_formulas(tmp_path: Path) -> None:
    row = Grade("=cmd()", 1, "expansion", 0, 1, 0.1, "-1 is wrong", "@x")
    write_csv(tmp_path / "grades.csv", [row])
    with (tmp_path / "grades.csv").open(encoding="utf-8", newline="") as file:
        header, written = list(csv.reader(file))
    assert header == [
        "student", "notebook", "exercise", "points", "out_of", "seconds", "mistake", "input",
    ]  # fmt: skip
    assert written == ["'=cmd()", "1", "expansion", "0", "1", "0.1", "'-1 is wrong", "'@x"]


def test_totals_by_hand() -> None:
    rows = [Grade("ann", 1, "a", 2, 3, 0.0, "", ""), Grade("ann", 1, "b", 1, 1, 0.0, "", "")]
    assert totals(rows) == "ann  notebook 01    3 of 4"


def test_the_command_writes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand_in(tmp_path, "hand-ins/ann/01.py", RIGHT)
    out = tmp_path / "grades.csv"
    assert command.main(["grade", str(tmp_path / "hand-ins"), "--out", str(out)]) == 0
    assert "ann  notebook 01    1 of 6" in capsys.readouterr().out
    assert len(out.read_text(encoding="utf-8").splitlines()) == 4


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["grade", str(tmp_path / "nowhere")]) == 1
    assert "error: a folder of submissions is needed" in capsys.readouterr().err
