"""The files that students hand in: whose they are, and which notebook.

A folder holds one folder for each student (`ann/03.ipynb`), or files with names in them
(`ann_03.ipynb`). A notebook says itself which one it is: `notebooks/build.py` writes the number
into its metadata, which Jupyter keeps. Where that is lost, and in Python files, the file's name
says it, and only if it can be read in one way: exactly one of its parts is a notebook's number.
Whatever is not graded is listed with the reason.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yashe.checks.report import EXERCISES
from yashe.errors import DataError

NUMBER = re.compile(r"0?(\d{1,2})(b?)")
DATE = re.compile(r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d")
LARGEST_FILE = 16 << 20  # a notebook with pictures has a few megabytes
LARGEST_PROGRAM = 256 << 10  # of all cells; to Python, which parses them here, they are far larger


@dataclass(frozen=True)
class Submission:
    """A file that a student has handed in for one notebook, such as "03" or "07b"."""

    student: str
    notebook: str
    path: Path


@dataclass(frozen=True)
class Skipped:
    """A file that is not graded, and why."""

    path: Path
    why: str


def submissions(folder: Path) -> tuple[list[Submission], list[Skipped]]:
    """Return what is graded in a folder, by student and notebook, and what is skipped.

    Raises
    ------
    DataError
        If there is no such folder, or nothing in it is a hand-in.
    """
    if not folder.is_dir():
        raise DataError(f"a folder of submissions is needed, {folder} is none")
    found: dict[tuple[str, str], Submission] = {}
    skipped = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.startswith((".", "__")) for part in inside.parts):
            continue
        try:
            notebook, rest = which_notebook(path)
            student = inside.parts[0] if len(inside.parts) > 1 else rest
            if not student:
                raise DataError("neither a folder nor the name of the file says whose it is")
            earlier = found.setdefault((student, notebook), Submission(student, notebook, path))
            if earlier.path != path:
                raise DataError(
                    f"a second file of {student} for notebook {notebook}; graded is {earlier.path}"
                )
        except DataError as error:
            skipped.append(Skipped(path, str(error)))
    if not found:
        reasons = "".join(f"\n  {entry.path}: {entry.why}" for entry in skipped)
        how = "name files like ann/03.ipynb or ann_03.ipynb"
        raise DataError(f"nothing in {folder} is a hand-in; {how}{reasons}")
    return [found[key] for key in sorted(found)], skipped


def which_notebook(path: Path) -> tuple[str, str]:
    """Return a file's notebook, and what its name says beside the number.

    Raises
    ------
    DataError
        If it cannot be said, and why.
    """
    if path.is_symlink() or path.suffix not in (".ipynb", ".py"):
        raise DataError("neither a notebook (.ipynb) nor a Python file (.py)")
    notebooks = {exercise.notebook for exercise in EXERCISES.values()}
    parts = [part for part in re.split(r"[\s_.-]+", DATE.sub("", path.stem)) if part]
    numbers = {part: f"{int(n[1]):02}{n[2]}" for part in parts if (n := NUMBER.fullmatch(part))}
    rest = "_".join(part for part in parts if part not in numbers)
    if (said := _in_metadata(path)) in notebooks:
        return said, rest
    candidates = [numbers[part] for part in parts if part in numbers]
    if len(candidates) != 1:
        what = f"{len(candidates)} numbers ({', '.join(candidates)})" if candidates else "no number"
        raise DataError(f"its name has {what}: which notebook is it?")
    if candidates[0] not in notebooks:
        raise DataError(f"there is no notebook {candidates[0]} with exercises")
    return candidates[0], rest


def _in_metadata(path: Path) -> str:
    """Return the number that a notebook says it has, or an empty string."""
    try:
        if path.suffix == ".ipynb" and path.stat().st_size <= LARGEST_FILE:
            return str(json.loads(path.read_bytes())["metadata"]["cryptonets"]["notebook"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # what is wrong with the file is said when it is graded
    return ""


def programs(path: Path) -> list[str]:
    """Return what has to be run of a submission: its code cells but those tagged check.

    Raises
    ------
    DataError
        If it is not a notebook or a program that can be read.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE >> 20} MiB")
        found = [path.read_text(encoding="utf-8")]
        if path.suffix == ".ipynb":
            found = [
                "".join(cell["source"])
                for cell in json.loads(found[0])["cells"]
                if cell["cell_type"] == "code" and "check" not in tags_of(cell)
            ]
        if sum(map(len, found)) > LARGEST_PROGRAM:
            raise ValueError(f"it has more than {LARGEST_PROGRAM >> 10} KiB of code")
        return [without_magics(program) for program in found]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = "an empty file" if path.stat().st_size == 0 else f"{type(error).__name__}: {error}"
        raise DataError(f"the file is not a notebook that can be read: {what}") from error


def tags_of(cell: dict[str, Any]) -> list[str]:
    """Return the tags of a notebook's cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def without_magics(program: str) -> str:
    """Return a cell without the lines of IPython (%pip, !ls): no Python, and nothing to grade."""
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = program.splitlines(keepends=True)
        return "".join(line for line in lines if line.lstrip()[:1] not in ("%", "!"))
    return program
