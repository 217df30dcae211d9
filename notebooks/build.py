"""Make the student and the solution notebooks from the sources in notebooks/source.

    python notebooks/build.py             both kinds of every notebook; solutions are executed
    python notebooks/build.py 03          only number 3
    python notebooks/build.py --check     fail if a committed notebook is not what its source says
    python notebooks/build.py --measure   print what each solution takes on this computer

A source is a Python file in jupytext's percent format, so that editors show it as a notebook and
diffs stay readable. Cells may have tags:

    exercise    a stub, shown to students; in the solutions the cell behind it replaces it
    solution    only in the solutions
    check       calls a function of yashe.checks on what the student wrote

Student notebooks carry no outputs. Solutions are executed with nbclient (extra `notebooks`) and
committed with their outputs, because people read them on the web before they run them. Ids of
cells are hashes of their text, so that a notebook changes only where its source does.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER / "source"
MARKER = re.compile(r"^# %%(?P<markdown> \[markdown\])?(?: tags=(?P<tags>\[[^\]]*\]))?\s*$")
CAPTION = re.compile(r"\*(?!\*)([^*]+)\*(?!\*)")  # what stands in italics below a picture
TAGS = {"exercise", "solution", "check"}
CELL_SECONDS = 300  # a cell of a solution that runs longer than this is a mistake
IN_COLAB = """\
import importlib.util

if importlib.util.find_spec("yashe") is None:  # in Colab, for instance
    %pip install -q "cryptonets-yashe[notebooks] @ git+{url}"
"""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Cell:
    """A cell of a source: its kind ("code" or "markdown"), its text and its tags."""

    kind: str
    text: str
    tags: tuple[str, ...] = ()


def cells_of(source: str) -> list[Cell]:
    """Return the cells of a source in the percent format.

    Raises
    ------
    ValueError
        If a cell has no marker, an unknown tag, or a solution has no exercise before it.
    """
    cells: list[Cell] = []
    kind, tags, lines = "header", (), list[str]()

    def close() -> None:
        text = "\n".join(lines).strip("\n")
        if kind == "markdown":
            text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.split("\n"))
        if kind != "header":
            cells.append(Cell(kind, text, tags))

    for number, line in enumerate(source.split("\n"), 1):
        if not line.startswith("# %%"):
            lines.append(line)
            continue
        if (match := MARKER.match(line)) is None:
            raise ValueError(f"line {number}: '# %%', '[markdown]' and 'tags=[...]', not {line!r}")
        close()
        kind = "markdown" if match["markdown"] else "code"
        tags, lines = tuple(json.loads(match["tags"] or "[]")), []
        if not set(tags) <= TAGS:
            raise ValueError(f"line {number}: the tags are {sorted(TAGS)}, not {list(tags)}")
        if "solution" in tags and (not cells or "exercise" not in cells[-1].tags):
            raise ValueError(f"line {number}: a solution stands right behind its exercise")
    close()
    return cells


def student_cells(cells: list[Cell]) -> list[Cell]:
    """Return what students get: everything but the solutions."""
    return [cell for cell in cells if "solution" not in cell.tags]


def with_installation(cells: list[Cell], url: str) -> list[Cell]:
    """Return the cells with one that installs the project, behind the title, if it has a place."""
    return [cells[0], Cell("code", IN_COLAB.format(url=url).rstrip()), *cells[1:]] if url else cells


def repository() -> str:
    """Return where the project is public: `url` in setup.cfg, or an empty string."""
    config = configparser.ConfigParser()
    config.read(FOLDER.parent / "setup.cfg", encoding="utf-8")
    return config["metadata"].get("url", "")


def solution_cells(cells: list[Cell]) -> list[Cell]:
    """Return the cells with every solution in the place of its exercise."""
    following = [*cells[1:], Cell("markdown", "")]
    return [
        cell for cell, after in zip(cells, following, strict=True) if "solution" not in after.tags
    ]


def metadata(cell: Cell, after: Cell) -> dict[str, Any]:
    """Return a cell's tags, and for a picture its text alternative: the caption that follows."""
    found: dict[str, Any] = {"tags": list(cell.tags)} if cell.tags else {}
    caption = CAPTION.match(after.text) if after.kind == "markdown" else None
    if cell.kind == "code" and caption:
        text = " ".join(caption[1].split()).replace("`", "").replace("$", "")
        found["mystnb"] = {"image": {"alt": text}}
    return found


def notebook(cells: list[Cell], number: str = "") -> dict[str, Any]:
    """Return a notebook (nbformat 4.5) without outputs, which knows its number."""
    found: dict[str, int] = {}
    out = []
    for cell, after in zip(cells, [*cells[1:], Cell("markdown", "")], strict=True):
        digest = hashlib.sha256(f"{cell.kind} {cell.text}".encode()).hexdigest()[:12]
        found[digest] = found.get(digest, 0) + 1
        repeated = f"-{found[digest]}" if found[digest] > 1 else ""
        entry: dict[str, Any] = {
            "cell_type": cell.kind,
            "id": digest + repeated,
            "metadata": metadata(cell, after),
            "source": cell.text.splitlines(keepends=True),
        }
        if cell.kind == "code":
            entry |= {"execution_count": None, "outputs": []}
        out.append(entry)
    own = METADATA | {"cryptonets": {"notebook": number}}
    return {"cells": out, "metadata": own, "nbformat": 4, "nbformat_minor": 5}


def executed(made: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook with its outputs, run from the notebooks folder.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises: a solution that its check refuses is one.
    ValueError
        If a cell warns.
    """
    import nbformat
    from nbclient import NotebookClient

    node: Any = nbformat.reads(written(made), as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(
        node,
        timeout=CELL_SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute(env=os.environ | {"PYTHONPATH": str(FOLDER.parent), "TQDM_DISABLE": "1"})
    node["metadata"] = made["metadata"]  # without the version of the Python that ran it
    for cell in node["cells"]:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise ValueError(f"a cell warns, which readers would see:\n{output['text']}")
    return dict(json.loads(nbformat.writes(node)))  # type: ignore[no-untyped-call]


def written(made: dict[str, Any]) -> str:
    """Return the text of a notebook's file, the same for the same notebook."""
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def without_outputs(made: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook as it is before it is executed."""
    cells = [
        cell | ({"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {})
        for cell in made["cells"]
    ]
    return made | {"cells": cells}


def targets(source: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the student and the solution notebook of a source, with what belongs in them."""
    cells = cells_of(source.read_text(encoding="utf-8"))
    number = number_of(source)
    student = with_installation(student_cells(cells), repository())
    yield FOLDER / "student" / f"{number}.ipynb", notebook(student, number)
    yield FOLDER / "solutions" / f"{number}.ipynb", notebook(solution_cells(cells), number)


def number_of(source: Path) -> str:
    """Return a notebook's number, such as "03" or "07b"."""
    return source.name.partition("_")[0]


def is_stale(target: Path, made: dict[str, Any]) -> bool:
    """Say whether a committed notebook differs from its source in more than its outputs."""
    if not target.is_file():
        return True
    committed = json.loads(target.read_text(encoding="utf-8"))
    if target.parent.name == "solutions":
        missing = [
            cell
            for cell in committed["cells"]
            if cell["cell_type"] == "code" and cell["execution_count"] is None
        ]
        return bool(missing) or without_outputs(committed) != made
    return bool(committed != made)


def script(cells: list[Cell]) -> str:
    """Return the code of a solution as a program, which runs without Jupyter."""
    return "\n\n".join(cell.text for cell in solution_cells(cells) if cell.kind == "code")


def measure(source: Path) -> str:
    """Run a solution as a program; return its number, seconds and peak memory as a line.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    program = script(cells_of(source.read_text(encoding="utf-8")))
    program += "\nimport resource as _r; print(_r.getrusage(_r.RUSAGE_SELF).ru_maxrss)"
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parent), "MPLBACKEND": "agg"}
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if run.returncode:
        raise RuntimeError(f"{source.name}\n{run.stderr}")
    kilobytes = int(run.stdout.splitlines()[-1])  # as Linux counts
    return f"{number_of(source):<3}  {seconds:6.1f} s  {kilobytes / 1024:6.0f} MiB"


def sources(numbers: list[str]) -> list[Path]:
    """Return the sources with these numbers, or all of them.

    Raises
    ------
    SystemExit
        If there is none of a number.
    """
    found = sorted(SOURCES.glob("[0-9][0-9]*_*.py"))
    known = {number_of(path) for path in found}
    if unknown := sorted(set(numbers) - known):
        raise SystemExit(f"no notebook {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [path for path in found if not numbers or number_of(path) in numbers]


def main(arguments: list[str] | None = None) -> int:
    """Build or check; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the notebooks from notebooks/source.")
    parser.add_argument("numbers", nargs="*", help="such as 03; default all")
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    parser.add_argument("--measure", action="store_true", help="only print times and memory")
    chosen = parser.parse_args(arguments)
    stale = []
    for source in sources(chosen.numbers):
        if chosen.measure:
            print(measure(source), flush=True)
            continue
        for target, made in targets(source):
            where = target.relative_to(FOLDER.parent).as_posix()
            if chosen.check:
                if is_stale(target, made):
                    stale.append(where)
                continue
            if target.parent.name == "solutions":
                made = executed(made)
            target.parent.mkdir(exist_ok=True)
            target.write_text(written(made), encoding="utf-8")
            print(where, flush=True)
    if stale:
        print("stale, run python notebooks/build.py:\n" + "\n".join(stale), file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
