"""The command line of the checks: `python -m yashe.checks grade FOLDER`."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from yashe.checks.grade import Table, grade, printable, rights_of, totals
from yashe.checks.handins import submissions
from yashe.checks.report import EXERCISES
from yashe.errors import FheError

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36  # linux/prctl.h


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m yashe.checks",
        description="Grade the exercises of the notebooks.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    grading = commands.add_parser(
        "grade",
        help="grade all submissions in a folder",
        description="Run every submission in a process of its own, check its exercises, and write "
        "a table. Submissions are programs: run those of strangers in a container.",
    )
    grading.add_argument("folder", type=Path, help="such as one with ann/03.ipynb in it")
    grading.add_argument("--out", default="grades.csv", help="table to write; - is the output")
    grading.add_argument(
        "--seconds",
        type=float,
        default=120.0,
        help="for all cells of a file, and again for each exercise",
    )
    grading.add_argument("--memory", type=int, default=2048, help="MiB for each submission")
    grading.add_argument("--user", help="who submissions run as, if root grades: nobody")
    chosen = parser.parse_args(arguments)
    grades = []
    try:
        rights_of(chosen.user)
        found, skipped = submissions(chosen.folder)
        for exercise in EXERCISES.values():
            exercise.asked()  # what is not installed, such as Hypothesis, is said before the work
        with opened(chosen.out) as file, alone():
            table = Table(file)
            for submission in tqdm(found, disable=None, unit="file"):
                with children_ended():
                    for row in grade(submission, chosen.seconds, chosen.memory, user=chosen.user):
                        grades.append(row)
                        table.write(row)
    except (FheError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    words = sys.stderr if chosen.out == "-" else sys.stdout
    print(totals(grades), file=words)
    for entry in skipped:
        print(printable(f"not graded: {entry.path}: {entry.why}"), file=words)
    print(f"{len(grades)} rows in {chosen.out}", file=words)
    return 0


@contextmanager
def opened(out: str) -> Iterator[TextIO]:
    """Open the table, before anything has been graded in vain."""
    if out == "-":
        yield sys.stdout
        return
    with open(out, "w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def alone() -> Iterator[None]:
    """Close this process's memory and files to others of the same user, and adopt orphans.

    Linux only. Without it a submission could write into the process that has the points, and
    children that it leaves behind would live on.
    """
    settings = ((PR_SET_DUMPABLE, 0, 1), (PR_SET_CHILD_SUBREAPER, 1, 0))
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else lambda *_: 0
    for option, during, _ in settings:
        prctl(option, during, 0, 0, 0)
    try:
        yield
    finally:
        for option, _, after in settings:
            prctl(option, after, 0, 0, 0)


@contextmanager
def children_ended() -> Iterator[None]:
    """End all children that are there after the body and were not before."""
    before = children()
    yield
    while left := children() - before:
        for child in left:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def children() -> set[int]:
    """Return the children of this process, where Linux says them."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found |= {int(word) for word in path.read_text().split()}
    return found


if __name__ == "__main__":
    sys.exit(main())
