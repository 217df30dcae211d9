"""The command line of the checks: `python -m yashe.checks grade FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from yashe.checks.grade import Submission, grade, submissions, totals, worker, write_csv
from yashe.errors import FheError


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
    grading.add_argument("--out", type=Path, default=Path("grades.csv"), help="table to write")
    grading.add_argument(
        "--seconds",
        type=float,
        default=120.0,
        help="for all cells of a file, and again for each exercise",
    )
    grading.add_argument("--memory", type=int, default=2048, help="MiB for each submission")
    working = commands.add_parser("worker", help="used by grade, for one submission")
    for name, kind in (("student", str), ("notebook", int), ("path", Path), ("results", Path)):
        working.add_argument(name, type=kind)
    working.add_argument("seconds", type=float)
    working.add_argument("memory", type=int)
    chosen = parser.parse_args(arguments)
    if chosen.command == "worker":
        one = Submission(chosen.student, chosen.notebook, chosen.path)
        worker(one, chosen.results, chosen.seconds, chosen.memory)
        return 0
    try:
        grades = []
        for submission in tqdm(submissions(chosen.folder), disable=None, unit="file"):
            grades += grade(submission, chosen.seconds, chosen.memory)
        write_csv(chosen.out, grades)
    except (FheError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(totals(grades))
    print(f"{len(grades)} rows in {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
