"""Grading: many submissions, one table of points.

    python -m yashe.checks grade FOLDER [--out grades.csv] [--seconds 120] [--memory 2048]

FOLDER holds notebooks or Python files with the notebook's number in their name, one folder for each
student (`ann/03.ipynb`) or the name in the file (`ann_03.ipynb`). Every file runs in a process of
its own, with limits on time and memory. All its cells are run but those tagged `check`: those are
ours. Then each exercise of that notebook is checked on the function of its name.

The limits are against mistakes, such as an endless loop. They do not stop somebody who wants to
deceive or to do harm: submissions are programs and have the rights of whoever runs them. Where
that matters, run this command in a container without a network, and read what gets full marks.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from yashe.checks.report import EXERCISES, CheckFailed, Function, Report
from yashe.errors import DataError

NUMBER = re.compile(r"(?<!\d)(0[1-9]|1[0-9])(?!\d)")
START_SECONDS = 60.0  # Python and NumPy start in two, but a grading machine may be busy
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Submission:
    """A file that a student has handed in for one notebook."""

    student: str
    notebook: int
    path: Path


@dataclass(frozen=True)
class Grade:
    """The outcome of one exercise of one student: a row of the table."""

    student: str
    notebook: int
    exercise: str
    points: int
    out_of: int
    seconds: float
    mistake: str
    input: str


def submissions(folder: Path) -> list[Submission]:
    """Return the submissions in a folder, by student and notebook.

    Raises
    ------
    DataError
        If there is no such folder, or nothing in it has a notebook's number in its name.
    """
    if not folder.is_dir():
        raise DataError(f"a folder of submissions is needed, {folder} is none")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".ipynb", ".py") or ".ipynb_checkpoints" in path.parts:
            continue
        numbers = NUMBER.findall(path.stem)
        if numbers:
            student = path.parent.name if path.parent != folder else _name(path, numbers[-1])
            found.append(Submission(student, int(numbers[-1]), path))
    if not found:
        raise DataError(
            f"no file in {folder} has a notebook's number in its name; "
            "name them like ann/03.ipynb or ann_03.ipynb"
        )
    return found


def _name(path: Path, number: str) -> str:
    """Return what is left of a file's name without the number."""
    return path.stem.replace(number, "").strip("_- .") or path.stem


def programs(path: Path) -> Iterator[str]:
    """Yield what has to be run of a submission: its code cells but those tagged check.

    Raises
    ------
    DataError
        If it is not a notebook that can be read.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield text
        return
    try:
        cells = json.loads(text)["cells"]
        for cell in cells:
            tags = cell.get("metadata", {}).get("tags", [])
            if cell["cell_type"] == "code" and "check" not in tags:
                lines = "".join(cell["source"]).splitlines(keepends=True)
                # Magics of IPython (%pip, !ls) are not Python, and nothing that is graded.
                yield "".join(line for line in lines if line.lstrip()[:1] not in ("%", "!"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a notebook that can be read: {error}") from error


def check_one(submission: Submission, seconds: float) -> Iterator[Grade]:
    """Run a submission in this process and yield a grade for each of its exercises.

    Cells that fail are passed over, so that one mistake does not cost everything behind it.
    """
    namespace: dict[str, Any] = {"__name__": "submission"}
    with suppress(TimeLimitExceeded), time_limit(seconds):
        for number, program in enumerate(programs(submission.path)):
            try:
                exec(compile(program, f"{submission.path.name}, cell {number}", "exec"), namespace)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a cell may raise anything
                print(f"cell {number}: {type(error).__name__}: {error}", file=sys.stderr)
    for name, exercise in EXERCISES.items():
        if exercise.notebook == submission.notebook:
            start = time.perf_counter()
            report = _report(exercise.check, namespace.get(name), seconds)
            failure = report.first_failure
            yield Grade(
                submission.student,
                submission.notebook,
                name,
                report.points,
                report.out_of,
                round(time.perf_counter() - start, 2),
                failure.mistake if failure else "",
                failure.given if failure else "",
            )


def _report(check: Callable[[Function], Report], student: Any, seconds: float) -> Report:
    """Return the report on a function, or on its absence, or on its taking too long."""

    def absent(*arguments: Any) -> NoReturn:
        raise NotImplementedError("there is no function of this name")

    try:
        with time_limit(seconds):
            return check(student if callable(student) else absent)
    except CheckFailed as failed:
        return failed.report
    except TimeLimitExceeded:

        def slow(*arguments: Any) -> NoReturn:
            raise NotImplementedError(f"it takes longer than {seconds:g} seconds")

        return _report(check, slow, seconds)


class TimeLimitExceeded(BaseException):
    """Something took too long; no `except Exception` of a submission can stop it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the body after some seconds, where the system has alarms."""
    if not hasattr(signal, "setitimer"):  # Windows: the limit on the whole process remains
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise TimeLimitExceeded

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def worker(submission: Submission, results: Path, seconds: float, megabytes: int) -> None:
    """Grade one submission and write a line for each exercise; runs in a process of its own."""
    limit_memory(megabytes)
    with results.open("w", encoding="utf-8") as file:
        for grade in check_one(submission, seconds):
            file.write(json.dumps(asdict(grade)) + "\n")
            file.flush()  # what is done counts, whatever comes


def limit_memory(megabytes: int) -> None:
    """Limit the memory of this process, where the operating system can."""
    if resource is not None:
        size = megabytes << 20
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def grade(
    submission: Submission,
    seconds: float = 120.0,
    megabytes: int = 2048,
    spare_seconds: float = START_SECONDS,
) -> list[Grade]:
    """Return the grades of one submission, run in a process of its own.

    Parameters
    ----------
    submission : the file
    seconds : for all cells together, and again for each exercise
    megabytes : of memory
    spare_seconds : for what is not the student's: starting Python, and an interrupted cell's end
    """
    names = [name for name, e in EXERCISES.items() if e.notebook == submission.notebook]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        arguments = [submission.student, submission.notebook, submission.path.resolve()]
        command = [sys.executable, "-m", "yashe.checks", "worker", *arguments, results]
        command += [seconds, megabytes]
        environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(sys.path)}
        try:
            ended = subprocess.run(
                [str(word) for word in command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds * (len(names) + 1) + spare_seconds,
                check=False,
            )
            reason = f"its process ended with status {ended.returncode}: memory, perhaps"
        except subprocess.TimeoutExpired:
            reason = "it does not end, and cannot be stopped from inside"
        lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    done = [_from_line(line) for line in lines]
    missing = [name for name in names if name not in {row.exercise for row in done}]
    for name in missing:
        out_of = _report(EXERCISES[name].check, None, seconds).out_of
        row = Grade(submission.student, submission.notebook, name, 0, out_of, 0.0, reason, "")
        done.append(row)
    return done


def _from_line(line: str) -> Grade:
    values = json.loads(line)
    return Grade(**{field.name: values[field.name] for field in fields(Grade)})


def write_csv(path: Path, grades: Sequence[Grade]) -> None:
    """Write a table that a spreadsheet opens: one row for each exercise of each student.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    names = [field.name for field in fields(Grade)]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(names)
        for row in grades:
            table.writerow([_harmless(value) for value in asdict(row).values()])


def _harmless(value: Any) -> Any:
    dangerous = isinstance(value, str) and value.startswith(FORMULA_STARTS)
    return f"'{value}" if dangerous else value


def totals(grades: Sequence[Grade]) -> str:
    """Return the points of every student and notebook as a table."""
    sums: dict[tuple[str, int], list[int]] = {}
    for row in grades:
        entry = sums.setdefault((row.student, row.notebook), [0, 0])
        entry[0] += row.points
        entry[1] += row.out_of
    width = max((len(student) for student, _ in sums), default=0)
    return "\n".join(
        f"{student:<{width}}  notebook {notebook:02}  {points:>3} of {out_of}"
        for (student, notebook), (points, out_of) in sorted(sums.items())
    )
