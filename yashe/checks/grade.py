"""Grading: many submissions, one table of points.

    python -m yashe.checks grade FOLDER [--out grades.csv] [--seconds 120] [--memory 2048]

A submission is a program of a stranger. It runs in a process of its own (`yashe.checks.answers`),
which is asked for what its functions return; the checks run here, where its code never comes. So
points cannot be claimed, only earned with answers. What that process sends is read as data, and
what it does to itself (an endless loop, an exit, too much memory) costs the exercise during which
it happens.

It does not stop somebody who wants to harm: a process of the same user may read and write that
user's files, these checks and other hand-ins among them. docs/teaching.md has the container that
takes this away, and says what nothing takes away.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, NoReturn, TextIO

import numpy as np

from yashe.checks.answers import TimeLimitExceeded, time_limit
from yashe.checks.compare import WrongAnswer
from yashe.checks.handins import Submission, programs
from yashe.checks.look import worth_a_look
from yashe.checks.report import EXERCISES, CheckFailed, Exercise, Report
from yashe.checks.values import LONGEST_LINE, read, written
from yashe.errors import DataError, ParameterError

# And threads, of a user who has nothing but submissions: so few that, where they share a memory of
# 4 GiB with this process, one of them is the largest, which is what the kernel ends if it is full.
MOST_PROCESSES = 16
START_SECONDS = 60.0  # Python and NumPy start in two, but a grading machine may be busy
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# What a submission sees of the environment: nothing that could be a secret.
ENVIRONMENT = ("PATH", "LANG", "SYSTEMROOT", "CRYPTONETS_DATA", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Grade:
    """The outcome of one exercise of one student: a row of the table."""

    student: str
    notebook: str
    exercise: str
    points: int
    out_of: int
    seconds: float
    mistake: str
    input: str
    look: str


class Remote:
    """Something that a submission made: it is there, and is asked from here."""

    def __init__(self, process: Process, of: str | int) -> None:
        self._process, self._of = process, of

    def __call__(self, *arguments: Any) -> Any:
        return self._process.ask(self._of, "", arguments)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python and NumPy look for in every object
            raise AttributeError(name)
        value = self._process.ask(self._of, name)
        if value is CALLABLE:
            return lambda *arguments: self._process.ask(self._of, name, arguments)
        return value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the submission>"


CALLABLE = object()


def rights_of(user: str | None) -> dict[str, Any]:
    """Return what gives a process the rights of a user and of no group beside the user's own.

    Raises
    ------
    ParameterError
        If there is no such user, or this process may not give its rights away.
    """
    if user is None:
        return {}
    import pwd  # noqa: PLC0415 (Unix only)

    if os.geteuid() != 0:
        raise ParameterError("--user is for root, who alone can give rights away")
    try:
        return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    except KeyError as error:
        raise ParameterError(f"there is no user {user} on this machine") from error


class Process:
    """A submission at work, until it ends or is ended.

    Parameters
    ----------
    cells : its programs
    names : what the exercises ask for
    seconds : for all cells together
    megabytes : of memory
    spare_seconds : for what is not the student's: starting Python, and an interrupted cell's end
    user : whose rights it gets, if this process may choose
    """

    def __init__(
        self,
        cells: list[str],
        names: list[str],
        seconds: float,
        megabytes: int,
        spare_seconds: float,
        user: str | None = None,
    ) -> None:
        self.reason = ""  # why it is no more
        self.folder = tempfile.mkdtemp()
        if user:
            os.chmod(self.folder, 0o777)
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {"MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(sys.path)}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "yashe.checks.answers"],
                cwd=self.folder,
                env=environment | {"HOME": self.folder},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                **rights_of(user),
            )
        except OSError:
            remove(self.folder)
            raise
        start = {"programs": cells, "names": names, "seconds": seconds, "megabytes": megabytes}
        start["processes"] = MOST_PROCESSES if user else None
        self.defined: list[str] = []
        self.troubles: list[list[str]] = []
        try:
            with time_limit(seconds + spare_seconds):
                reply = self._exchange(start)
            self.defined = [str(name) for name in reply["defined"]]
            self.troubles = [[str(text), str(what)[:300]] for text, what in reply["troubles"]]
        except TimeLimitExceeded:
            self.end("its cells do not end, and cannot be stopped from inside")
        except (WrongAnswer, KeyError, TypeError, ValueError):
            self.end("its process sent what is no answer")

    def missing(self, name: str) -> str:
        """Return why a function is not there."""
        told = [what for text, what in self.troubles if name in text]
        return self.reason or "; ".join(["there is no function of this name", *told[:1]])

    def ask(self, of: str | int, name: str, arguments: Sequence[Any] | None = None) -> Any:
        """Return what a call gives, or an attribute, or CALLABLE.

        Raises
        ------
        WrongAnswer
            If the call raises an error, or the process ends.
        AttributeError
            If there is no such attribute.
        """
        request = {"of": of, "name": name, "arguments": None}
        if arguments is not None:
            request["arguments"] = written(list(arguments), self._number)
        reply = self._exchange(request)
        if "wrong" in reply:
            raise WrongAnswer(str(reply["wrong"])[:300])
        if "missing" in reply:
            raise AttributeError(f"it has no attribute {name}")
        if "callable" in reply:
            return CALLABLE
        try:
            for i, new in dict(reply.get("changed", {})).items():
                _change((arguments or ())[int(i)], read(new, self._remote))
            return read(reply["value"], self._remote)
        except (ValueError, KeyError, TypeError, IndexError):
            self.end("its process sent what is no answer")
            raise WrongAnswer(self.reason) from None

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a line and return the reply to it."""
        if self.reason:
            raise WrongAnswer(self.reason)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline(LONGEST_LINE)
        except OSError:
            line = b""
        try:
            if len(line) < LONGEST_LINE and line.endswith(b"\n"):
                return dict(json.loads(line))
            what = f"an answer of more than {LONGEST_LINE >> 20} MiB" if line else ""
        except (ValueError, TypeError, RecursionError):
            what = "what is no answer"
        self.end(f"its process sent {what}" if what else "")
        raise WrongAnswer(self.reason)

    def _remote(self, number: int, kind: str) -> Remote:
        named = type(kind[:50] if kind.isidentifier() else "object", (Remote,), {})
        remote: Remote = named(self, number)
        return remote

    def _number(self, thing: Any) -> int:
        if not isinstance(thing, Remote) or not isinstance(thing._of, int):
            raise TypeError(f"a {type(thing).__name__} cannot be handed to a submission")
        return thing._of

    def end(self, reason: str = "") -> None:
        """End the process, and what it started in its group, and say why."""
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                if not reason:  # it ended by itself: how?
                    with suppress(subprocess.TimeoutExpired):
                        self.process.wait(1)
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        status = self.process.wait()
        how = f"signal {-status}: memory, perhaps" if status < 0 else f"status {status}"
        self.reason = self.reason or reason or f"its process ended with {how}"
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        remove(self.folder)


def remove(folder: str) -> None:
    """Remove a submission's folder, as far as possible and however deep it is."""
    if os.name == "posix":  # shutil.rmtree calls itself for every level
        with suppress(OSError):
            subprocess.run(["rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _change(argument: Any, new: Any) -> None:
    """Do to an argument what a submission did to its copy."""
    if isinstance(argument, list):
        argument[:] = new
    elif isinstance(argument, dict):
        argument.clear()
        argument.update(new)
    elif isinstance(argument, np.ndarray):
        argument[...] = new


def grade(
    submission: Submission,
    seconds: float = 120.0,
    megabytes: int = 2048,
    spare_seconds: float = START_SECONDS,
    user: str | None = None,
) -> Iterator[Grade]:
    """Yield one grade for each exercise of a submission's notebook, in the order of the exercises.

    Parameters
    ----------
    submission : the file
    seconds : for all cells together, and again for each exercise
    megabytes : of memory
    spare_seconds : for what is not the student's: starting Python, and an interrupted cell's end
    user : whose rights the submission gets, if this process may choose
    """
    asked = {name: e for name, e in EXERCISES.items() if e.notebook == submission.notebook}
    process, why_not = None, ""
    try:
        cells = programs(submission.path)
    except (DataError, OSError) as error:
        cells, why_not = [], str(error)
    try:
        for name, exercise in asked.items():
            start = time.perf_counter()
            if not why_not and (process is None or process.reason):  # the first, or one more
                try:
                    process = Process(cells, list(asked), seconds, megabytes, spare_seconds, user)
                    why_not = process.reason  # what ends while the cells run will end again
                except OSError as error:  # what it has left behind takes all that there is
                    why_not = f"its process cannot be started: {error.strerror}"
            if why_not or process is None or name not in process.defined:
                report = _nothing(exercise, why_not or (process.missing(name) if process else ""))
            else:
                report = _report(exercise, Remote(process, name), process, seconds)
            failure = report.first_failure
            yield Grade(
                submission.student,
                submission.notebook,
                name,
                max(0, min(report.points, report.out_of)),
                report.out_of,
                round(time.perf_counter() - start, 2),
                failure.mistake if failure else "",
                failure.given if failure else "",
                worth_a_look(cells, name, exercise.may_call) if report.points else "",
            )
    finally:
        if process is not None and not process.reason:
            process.end("it is graded")


def _report(exercise: Exercise, student: Remote, process: Process, seconds: float) -> Report:
    """Return the report on a function of a submission. What takes too long ends its process."""
    try:
        with time_limit(seconds):
            return exercise.check(student)
    except CheckFailed as failed:
        return failed.report
    except TimeLimitExceeded:
        process.end(f"it takes longer than {seconds:g} seconds")
    except Exception as error:  # noqa: BLE001 - an answer that no check has thought of
        process.end(f"the check cannot read its answer: {type(error).__name__}")
    return _nothing(exercise, process.reason)


def _nothing(exercise: Exercise, why: str) -> Report:
    """Return the report on what is not there."""

    def absent(*arguments: Any) -> NoReturn:
        raise WrongAnswer(why)

    try:
        return exercise.check(absent)
    except CheckFailed as failed:
        return failed.report


class Table:
    """A table that a spreadsheet opens, written as it goes: one row for each exercise.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """

    def __init__(self, file: TextIO) -> None:
        self.file, self.rows = file, csv.writer(file)
        self._write([field.name for field in fields(Grade)])

    def write(self, row: Grade) -> None:
        """Write a row, at once."""
        self._write([_harmless(value) for value in asdict(row).values()])

    def _write(self, values: list[Any]) -> None:
        self.rows.writerow(values)
        self.file.flush()


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = "\n".join(map(printable, value.split("\n")))
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value


def printable(text: str) -> str:
    """Return a text without what a terminal would obey: students choose the names of files."""
    return "".join(c if c.isprintable() else "?" for c in text)


def totals(grades: Sequence[Grade]) -> str:
    """Return the points of every student and notebook as a table."""
    sums: dict[tuple[str, str], list[int]] = {}
    for row in grades:
        entry = sums.setdefault((printable(row.student), row.notebook), [0, 0, 0])
        entry[0] += row.points
        entry[1] += row.out_of
        entry[2] += bool(row.look)
    width = max((len(student) for student, _ in sums), default=0)
    return "\n".join(
        f"{student:<{width}}  notebook {notebook}  {points:>3} of {out_of}"
        + (f"  look at {looks}" if looks else "")
        for (student, notebook), (points, out_of, looks) in sorted(sums.items())
    )
