"""Grading: points for what is right, whatever else is in a submission."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forks import forked, needs_fork
from yashe.checks import __main__ as command
from yashe.checks import answers, values
from yashe.checks.exercises import notebook_01_computing, notebook_06_noise, notebook_12_project
from yashe.checks.grade import Grade, Table, grade, totals
from yashe.checks.handins import Submission, programs, submissions, which_notebook
from yashe.checks.look import worth_a_look
from yashe.errors import DataError
from yashe.textbook.polynomials import Params

ROOT = Path(__file__).resolve().parent.parent.parent

RIGHT = "def expansion(n, log2_q, images):\n    return 2 * n * log2_q / 8 / images\n"
ENDLESS = "while True: __import__('time').sleep(1)"  # it need not warm the room
BITS = "def expansion(n, log2_q, images):\n    return 2 * n * log2_q / images\n"


def notebook(*cells: str, tags: tuple[str, ...] = (), number: str = "") -> str:
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "metadata": {}, "source": cell.splitlines(keepends=True)}
        for cell in cells
    ]
    if made:
        made[-1]["metadata"] = {"tags": list(tags)}
    metadata = {"cryptonets": {"notebook": number}} if number else {}
    return json.dumps({"cells": made, "metadata": metadata})


def hand_in(folder: Path, name: str, text: str) -> Submission:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Submission("ann", "01", path)


def graded(folder: Path, text: str, seconds: float = 60, **limits: Any) -> dict[str, Grade]:
    """The rows of a hand-in for notebook 1, by exercise."""
    name = "01.ipynb" if text.startswith("{") else "01.py"
    rows = list(grade(hand_in(folder, name, text), seconds, **limits))
    assert [row.exercise for row in rows] == ["weighted_sum", "quadratic", "expansion"]
    return {row.exercise: row for row in rows}


def test_a_right_function_gets_its_points_and_a_wrong_one_its_mistake_named(tmp_path: Path) -> None:
    wrong = "def quadratic(x):\n    return x * x - 3 * x\n"
    rows = graded(tmp_path, notebook("x = 1", RIGHT, wrong))
    assert rows["expansion"].points == rows["expansion"].out_of == 1
    assert rows["quadratic"].points == 0
    assert rows["quadratic"].mistake == "the constant is missing"
    assert rows["quadratic"].input == "x = [[1, 2]]"
    assert rows["weighted_sum"].mistake == "there is no function of this name"


def test_cells_that_fail_and_magics_cost_nothing(tmp_path: Path) -> None:
    failing = "def quadratic(x):\n    return x\n1 / 0\nweighted_sum = max"
    text = notebook(failing, "%pip install something\n" + RIGHT, "!ls", "exit()", "not python")
    rows = graded(tmp_path, text)
    assert rows["expansion"].points == 1
    assert rows["weighted_sum"].mistake == (
        "there is no function of this name; "
        "cell 0: it raises ZeroDivisionError: division by zero, line 3 of <module>"
    )


def test_the_checks_of_a_submission_are_not_run(tmp_path: Path) -> None:
    rows = graded(tmp_path, notebook(BITS, RIGHT, tags=("check",)))
    assert rows["expansion"].points == 0, "a cell tagged check is no solution"


def test_what_a_function_does_to_its_process_costs_its_own_exercise_only(tmp_path: Path) -> None:
    text = "import os, sys\ndef weighted_sum(x, weights, bias):\n    sys.exit()\n"
    text += "def quadratic(x):\n    os._exit(3)\n" + RIGHT
    rows = graded(tmp_path, text)
    assert rows["expansion"].points == 1
    assert rows["weighted_sum"].mistake == "it ends the whole program (exit); a function returns"
    assert rows["quadratic"].mistake == "its process ended with status 3"


def test_an_endless_loop_costs_its_own_exercise_only(tmp_path: Path) -> None:
    rows = graded(tmp_path, f"def quadratic(x):\n    {ENDLESS}\n" + RIGHT, seconds=2)
    assert rows["expansion"].points == 1
    assert rows["quadratic"].points == 0
    assert rows["quadratic"].mistake == "it takes longer than 2 seconds"


def test_an_endless_cell_costs_what_comes_behind_it(tmp_path: Path) -> None:
    text = notebook(RIGHT, ENDLESS, "def quadratic(x):\n    return x")
    rows = graded(tmp_path, text, seconds=2)
    assert rows["expansion"].points == 1
    why = "there is no function of this name; cell 1 was stopped after 2 seconds"
    assert rows["quadratic"].mistake == why
    assert rows["weighted_sum"].mistake == "there is no function of this name"


def test_a_program_that_turns_the_alarm_off_is_stopped_from_outside(tmp_path: Path) -> None:
    text = f"import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\n{ENDLESS}\n"
    rows = graded(tmp_path, text, seconds=0.5, spare_seconds=3).values()
    assert {row.mistake for row in rows} == {
        "its cells do not end, and cannot be stopped from inside"
    }
    assert all(row.points == 0 < row.out_of for row in rows)


def test_too_much_memory_costs_points_not_the_computer(tmp_path: Path) -> None:
    greedy = "def expansion(n, log2_q, images):\n    return len(bytearray(8 << 30))\n"
    rows = graded(tmp_path, greedy, megabytes=1024)
    assert rows["expansion"].points == 0
    assert "MemoryError" in rows["expansion"].mistake


# Cheating. A submission's process has no points to give, and no name to give them to.

ATTACKS = {
    "lines": """
import os
for fd in range(64):
    try:
        os.write(fd, b'{"student": "ann", "exercise": "expansion", "points": 99}\\n')
    except OSError:
        pass
""",
    "patch": """
import yashe.checks, yashe.checks.report as report
all_of_it = report.Report("expansion", (report.Result("", 99),))
report.Check.report = lambda *_: all_of_it
for exercise in yashe.checks.EXERCISES.values():
    object.__setattr__(exercise, "check", lambda student: all_of_it)
""",
    "pipe": """
import gc, io
def expansion(n, log2_q, images):
    for thing in gc.get_objects():
        if isinstance(thing, io.BufferedWriter):
            thing.write(b'{"value": "1e9", "points": 99, "passed": true}\\n')
    return 7
""",
    "thread": """
import atexit, os, threading
def flood():
    while True:
        for fd in range(3, 12):
            try:
                os.write(fd, b'{"value": "7"}\\n')
            except OSError:
                pass
threading.Thread(target=flood, daemon=True).start()
atexit.register(flood)
""",
    "equal": """
class Equal(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def expansion(n, log2_q, images):
    return Equal(7)
""",
    "children": """
import os, time
for i in range(1500):  # deeper than Python's own rmtree can go
    os.mkdir("deep")
    os.chdir("deep")
os.chdir(os.environ["HOME"])
for i in range(4):
    if os.fork() == 0:
        if i % 2:
            os.setsid()
        while True:
            time.sleep(1)
""",
}


def test_cheating_gives_no_points_and_takes_none(tmp_path: Path) -> None:
    for name, attack in ATTACKS.items():
        wrong = "" if "def expansion" in attack else BITS
        hand_in(tmp_path, f"hand-ins/{name}/01.py", wrong + attack)
    hand_in(tmp_path, "hand-ins/ann/01.py", RIGHT)
    hand_in(tmp_path, "hand-ins/zoe/01.py", RIGHT)
    out = tmp_path / "grades.csv"
    (tmp_path / "folders").mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "yashe.checks", "grade", tmp_path / "hand-ins", "--out", out],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "folders")},
        capture_output=True,
        text=True,
        check=False,
    )
    survivors, left = living(tmp_path), list((tmp_path / "folders").iterdir())
    subprocess.run(["rm", "-rf", tmp_path / "folders"], check=True)  # pytest could not, either
    assert run.returncode == 0, run.stderr
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (len(ATTACKS) + 2)
    points = {row["student"]: row["points"] for row in rows if row["exercise"] == "expansion"}
    assert points == {"ann": "1", "zoe": "1"} | dict.fromkeys(ATTACKS, "0")
    assert sum(int(row["points"]) for row in rows) == 2
    assert not survivors, "the children of a submission are ended with it"
    assert not left, "and its files are removed"


def test_a_submission_that_cannot_be_started_ends_no_grader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process_left(*arguments: object, **options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "folders"))
    (tmp_path / "folders").mkdir()
    path = hand_in(tmp_path, "01.py", RIGHT).path
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "_execute_child", no_process_left)
        rows = list(grade(Submission("ann", "01", path)))
    assert {row.mistake for row in rows} == {
        "its process cannot be started: Resource temporarily unavailable"
    }
    assert all(row.points == 0 < row.out_of for row in rows)


@needs_fork
def test_a_user_who_is_there_for_submissions_has_few_processes() -> None:
    def limits() -> list[int]:
        answers.limit_resources(512, 5)
        kinds = answers.resource.RLIMIT_NPROC, answers.resource.RLIMIT_DATA
        return [answers.resource.getrlimit(kind)[1] for kind in kinds]

    assert forked(limits) == [5, 512 << 20]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() == 0, reason="root may read every process"
)
def test_the_grader_is_closed_to_a_submission_of_the_same_user(tmp_path: Path) -> None:
    text = "import os\ndef expansion(n, log2_q, images):\n"
    text += "    open(f'/proc/{os.getppid()}/mem', 'rb')\n"
    hand_in(tmp_path, "hand-ins/ann/01.py", text)
    out = tmp_path / "grades.csv"
    assert command.main(["grade", str(tmp_path / "hand-ins"), "--out", str(out)]) == 0
    assert "PermissionError" in out.read_text(encoding="utf-8")


def living(folder: Path) -> list[str]:
    """The processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if os.readlink(path).startswith(str(folder)):
                found.append(path.parent.name)
    return found


def test_the_environment_of_the_teacher_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    text = "import os, sys\ndef expansion(n, log2_q, images):\n"
    text += "    raise ValueError(repr((os.environ.get('TOKEN'), sys.argv[1:])))\n"
    rows = graded(tmp_path, text)
    assert "ValueError: (None, []), line 3 of expansion" in rows["expansion"].mistake


# What travels between a check and a submission.

TRAVELLERS = [
    None, True, -3, 10**100, 0.5, "text", b"\0\xff", [1, [2]], (1, (2,)), {"a": (1,), 2: []},
    Fraction(1, 3), Params(4, 5, (97,)),
]  # fmt: skip


@pytest.mark.parametrize("value", TRAVELLERS, ids=repr)
def test_values_arrive_as_they_left(value: Any) -> None:
    back = values.read(values.written(value, len), repr)
    assert back == value
    assert type(back) is type(value)


def test_arrays_powers_and_ciphertexts_arrive_as_they_left() -> None:
    for array in (np.arange(6.0).reshape(2, 3), np.array([], dtype=np.int64), np.array(True)):
        back = values.read(values.written(array, len), repr)
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
    x = notebook_06_noise.Power()
    back = values.read(values.written(x * (x * x), len), repr)
    assert repr(back) == "x^3, with 2 products in a row"
    scheme, keys = notebook_01_computing.toy()
    ct = scheme.encrypt([[1, 2], [3, 4]], keys.secret, bytes(32))
    back = values.read(values.written(ct * ct, len), repr)
    assert scheme.decrypt(back, keys.secret)[:, :2].tolist() == [[1, 4], [9, 16]]
    assert values.read(values.written(notebook_12_project.Clear(4), len), repr).n == 4


def test_what_has_no_kind_stays_where_it_is() -> None:
    class Mine(list[int]):
        pass

    kept: list[Any] = []

    def keep(thing: Any) -> int:
        kept.append(thing)
        return 7

    line = values.written([Mine(), {"keys": object}], keep)
    assert values.read(line, lambda number, kind: (number, kind)) == [
        (7, "Mine"),
        {"keys": (7, "type")},
    ]


@pytest.mark.parametrize(
    "line",
    [
        "", "{}", "[" * 10**5, '{"a": 1, "b": 2}', '{"system": "ls"}', '{"array": ["O", [1], [1]]}',
        '{"array": ["int64", [2], [1]]}', '{"fraction": [1, 0]}', '{"object": "x"}', "9" * 5000,
        '{"ciphertext": "AAAA"}', '{"dict": [1]}', '{"fraction": ["1e99"]}', '{"params": ["4"]}',
        '{"clear": 0.5}', json.dumps({"dict": [[k, 0] for k in range(1001)]}),
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no value: "):
        values.read(line, repr)


def test_classes_are_graded_like_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_12_project, "EXAMPLES", 2)
    text = """
class MyNtt:
    def __init__(self, n, p):
        self.n, self.p = n, p
        self.psi = next(x for x in range(2, p) if pow(x, n, p) == p - 1)

    def ntt(self, a):
        x = [pow(self.psi, 2 * k + 1, self.p) for k in range(self.n)]
        values = [sum(c * v**j for j, c in enumerate(a)) for v in x]
        a.clear()
        return values

    def intt(self, values):
        raise KeyError("missing")

class MyRing:
    def __init__(self, n, moduli):
        raise NotImplementedError

def linear_layer(scheme, x, w, b):
    return MyNtt(4, 17)
"""
    path = hand_in(tmp_path, "12.py", text).path
    rows = {row.exercise: row for row in grade(Submission("ann", "12", path), 60)}
    # It evaluates and is linear; the inverse is missing, and the argument is changed.
    assert (rows["MyNtt"].points, rows["MyNtt"].out_of) == (2, 5)
    assert rows["MyNtt"].mistake.startswith("it raises KeyError: 'missing', line 14 of intt for a")
    assert rows["MyRing"].mistake == "it is not written yet"
    assert rows["MyBFV"].mistake == "there is no function of this name"
    assert rows["linear_layer"].mistake == "it returns one MyNtt, where a list is needed"


# A look at what may have been done by the library.

SOLVED_BY_HAND = """
import numpy as np
from yashe.textbook import polynomials as textbook
from yashe.textbook.polynomials import centred, poly_mod

def helper(a, p):
    return poly_mod(a, p)

def negacyclic_product(a, b, p):
    textbook = a
    return helper([textbook[0] * centred(b[0], p)], p)

library = textbook.ntt([0, 1], 4, 17)
"""


@pytest.mark.parametrize(
    ("program", "note"),
    [
        (SOLVED_BY_HAND, ""),
        (
            "from yashe.textbook.polynomials import poly_mul as product, poly_mod\n"
            "def negacyclic_product(a, b, p): return poly_mod(product(a, b), p)",
            "calls yashe.textbook.polynomials.poly_mul",
        ),
        (
            "import yashe.textbook.polynomials as t\nf = t.poly_mul\n"
            "def help(a, b):\n    return f(a, b)\n"
            "negacyclic_product = lambda a, b, p: help(a, b)",
            "calls yashe.textbook.polynomials.poly_mul",
        ),
        (
            "from yashe import checks\ndef negacyclic_product(a, b, p):\n"
            "    return checks.EXERCISES['negacyclic_product'].asked().claims[0].right(a, b, p)",
            "calls yashe.checks.EXERCISES",
        ),
        (
            "def negacyclic_product(a, b, p):\n    import importlib\n"
            "    return getattr(importlib.import_module('yashe'), 'x')",
            "uses importlib.import_module",
        ),
        ("def negacyclic_product(a, b, p): return eval('a')", "uses eval"),
        ("not python", ""),
    ],
)
def test_solutions_by_the_library_are_worth_a_look(program: str, note: str) -> None:
    assert worth_a_look([program], "negacyclic_product", ()) == note


def test_what_an_exercise_hands_out_is_no_reason_to_look() -> None:
    program = "from yashe.textbook import bfv\ndef f(): return bfv.keygen()"
    assert worth_a_look([program], "f", ()) == "calls yashe.textbook.bfv.keygen"
    assert worth_a_look([program], "f", ("keygen",)) == ""


# Names, and the table.


@pytest.mark.parametrize(
    ("name", "notebook_and_rest"),
    [
        ("03.ipynb", ("03", "")),
        ("3.ipynb", ("03", "")),
        ("ann_03.ipynb", ("03", "ann")),
        ("03_group07.ipynb", ("03", "group07")),
        ("eve_03_2026-11-27.ipynb", ("03", "eve")),
        ("Ann Lee - 12 (1).py", ("12", "Ann_Lee_(1)")),
    ],
)
def test_names_that_can_be_read_in_one_way(
    tmp_path: Path, name: str, notebook_and_rest: tuple[str, str]
) -> None:
    assert which_notebook(hand_in(tmp_path, name, notebook()).path) == notebook_and_rest


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ann_03_04.ipynb", r"its name has 2 numbers \(03, 04\)"),
        ("ann.ipynb", "its name has no number"),
        ("group07.py", "its name has no number"),
        ("ann_99.ipynb", "there is no notebook 99 with exercises"),
        ("03.txt", "neither a notebook"),
    ],
)
def test_other_names_are_not_guessed(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        which_notebook(hand_in(tmp_path, name, notebook()).path)


def test_a_notebook_says_itself_which_one_it_is(tmp_path: Path) -> None:
    path = hand_in(tmp_path, "group07_final.ipynb", notebook(number="03")).path
    assert which_notebook(path) == ("03", "group07_final")
    student = ROOT / "notebooks" / "student" / "04.ipynb"
    renamed = hand_in(tmp_path, "ann/mine.ipynb", student.read_text(encoding="utf-8")).path
    assert which_notebook(renamed) == ("04", "mine")


def test_what_is_not_graded_is_listed(tmp_path: Path) -> None:
    for name in ("ann/3.ipynb", "ann/again/03.ipynb", "bob_04.py", "carl/notes.txt", "05.py"):
        hand_in(tmp_path, name, "")
    hand_in(tmp_path, "ann/.ipynb_checkpoints/03-checkpoint.ipynb", "")
    found, skipped = submissions(tmp_path)
    assert [(s.student, s.notebook, s.path.name) for s in found] == [
        ("ann", "03", "3.ipynb"),
        ("bob", "04", "bob_04.py"),
    ]
    reasons = {entry.path.relative_to(tmp_path).as_posix(): entry.why for entry in skipped}
    assert set(reasons) == {"ann/again/03.ipynb", "carl/notes.txt", "05.py"}
    assert "a second file of ann for notebook 03; graded is " in reasons["ann/again/03.ipynb"]
    assert "says whose it is" in reasons["05.py"]


def test_folders_without_submissions_are_refused(tmp_path: Path) -> None:
    hand_in(tmp_path, "x/03.pdf", "")
    with pytest.raises(DataError, match=r"nothing in .* is a hand-in(.|\n)*03.pdf: neither"):
        submissions(tmp_path)
    with pytest.raises(DataError, match="a folder of submissions is needed"):
        submissions(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "[]", '{"cells": 3}', '{"cells": [{}]}'])
def test_a_damaged_notebook_gets_no_points_and_the_reason(tmp_path: Path, text: str) -> None:
    submission = hand_in(tmp_path, "01.ipynb", text)
    with pytest.raises(DataError, match="the file is not a notebook that can be read"):
        programs(submission.path)
    rows = list(grade(submission))
    assert [row.points for row in rows] == [0, 0, 0]
    assert all("is not a notebook that can be read" in row.mistake for row in rows)
    assert ("an empty file" in rows[0].mistake) == (text == "")


def test_a_file_with_more_code_than_a_solution_has_is_not_parsed(tmp_path: Path) -> None:
    rows = graded(tmp_path, notebook(RIGHT, "x = 1\n" * 50_000))
    assert all("it has more than 256 KiB of code" in row.mistake for row in rows.values())


def test_lines_that_begin_with_a_percent_sign_are_python_if_the_cell_is(tmp_path: Path) -> None:
    remainder = "x = (7\n% 4)\n"
    path = hand_in(tmp_path, "01.ipynb", notebook(remainder, "%time\ny = 1")).path
    assert programs(path) == [remainder, "y = 1"]


def test_the_table_has_no_formulas_and_is_written_as_it_goes() -> None:
    file = io.StringIO()
    table = Table(file)
    table.write(Grade("=cmd()", "01", "expansion", 0, 1, 0.1, "-1 is wrong", "@x", "\x1b[31m"))
    header, written = list(csv.reader(io.StringIO(file.getvalue())))
    assert header == [
        "student", "notebook", "exercise", "points", "out_of", "seconds", "mistake", "input",
        "look",
    ]  # fmt: skip
    assert written == [
        "'=cmd()", "01", "expansion", "0", "1", "0.1", "'-1 is wrong", "'@x", "?[31m",
    ]  # fmt: skip


def test_totals_by_hand() -> None:
    rows = [
        Grade("ann", "01", "a", 2, 3, 0.0, "", "", ""),
        Grade("ann", "01", "b", 1, 1, 0.0, "", "", "calls yashe.x"),
    ]
    assert totals(rows) == "ann  notebook 01    3 of 4  look at 1"


def test_the_command_writes_the_table_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path, "hand-ins/ann/01.py", RIGHT)
    hand_in(tmp_path, "hand-ins/ann/dra\x1bft.py", RIGHT)
    out = tmp_path / "grades.csv"
    assert command.main(["grade", str(tmp_path / "hand-ins"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ann  notebook 01    1 of 6" in said
    assert "dra?ft.py: its name has no number: which notebook is it?" in said
    assert len(out.read_text(encoding="utf-8").splitlines()) == 4


def test_the_command_says_what_is_wrong_before_it_grades(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "grade", lambda *_: pytest.fail("it grades"))
    assert command.main(["grade", str(tmp_path / "nowhere")]) == 1
    assert "error: a folder of submissions is needed" in capsys.readouterr().err
    hand_in(tmp_path, "ann/01.py", RIGHT)
    assert command.main(["grade", str(tmp_path), "--out", str(tmp_path / "no/grades.csv")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
    for user, message in ((1000, "--user is for root"), (0, "there is no user of-no-machine")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert command.main(["grade", str(tmp_path), "--user", "of-no-machine"]) == 1
        assert message in capsys.readouterr().err
