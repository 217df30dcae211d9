"""The notebooks: what is committed is what the sources say, solutions pass, stubs do not."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from yashe import checks
from yashe.checks.exercises import notebook_12_project

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9][0-9]*_*.py"))


def load(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


build = load(ROOT / "notebooks" / "build.py")


def cells(source: Path) -> list[Any]:
    return list(build.cells_of(source.read_text(encoding="utf-8")))


def exercises(source: Path) -> list[tuple[Any, Any, Any]]:
    """The stub, the solution and the check of every exercise, in this order."""
    found = cells(source)
    starts = [i for i, cell in enumerate(found) if "exercise" in cell.tags]
    return [(found[i], found[i + 1], found[i + 2]) for i in starts]


def only_defines(program: str) -> bool:
    """Whether a cell imports and defines, and computes nothing."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    return all(isinstance(node, kinds) for node in ast.parse(program).body)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_committed_notebooks_are_what_their_source_says(source: Path) -> None:
    for target, made in build.targets(source):
        assert not build.is_stale(target, made), f"{target}: run python notebooks/build.py"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_an_exercise_is_a_stub_a_solution_and_a_check(source: Path) -> None:
    triples = exercises(source)
    assert triples, "a notebook without exercises is a lecture"
    for number, (stub, solution, check) in enumerate(triples, 1):
        assert "solution" in solution.tags
        assert "check" in check.tags
        assert set(re.findall(r"raise (.*?\))", stub.text)) == {f"checks.Unsolved({number})"}
    text = "\n".join(cell.text for cell in cells(source) if cell.kind == "markdown")
    numbers = [
        int(n)
        for said in re.findall(r"\*\*Exercises? (.*?)\.\*\*", text)
        for n in said.split(" and ")
    ]
    assert numbers == list(range(1, len(triples) + 1))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_check_refuses_the_stub_and_accepts_the_solution(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The laws of notebook 12 are tried with all inputs where the whole solution runs, below.
    monkeypatch.setattr(notebook_12_project, "EXAMPLES", 2)
    solved: dict[str, Any] = {"__name__": source.stem}
    for cell in cells(source):
        if cell.kind != "code":
            continue
        if "exercise" in cell.tags:
            stub = cell.text
        elif "check" in cell.tags:
            unsolved = dict(solved)
            exec(stub, unsolved)
            with pytest.raises(checks.CheckFailed, match=": 0 of"):
                exec(cell.text, unsolved)
            exec(cell.text, solved)
        elif "solution" in cell.tags or only_defines(cell.text):
            exec(cell.text, solved)


@pytest.mark.parametrize("form", [tuple, np.array])
@pytest.mark.parametrize("number", ["02", "05"])
def test_what_a_check_accepts_the_cells_behind_it_accept(
    number: str, form: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student may return tuples or arrays; the solutions return lists."""
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "agg")
    (source,) = (path for path in SOURCES if build.number_of(path) == number)
    space: dict[str, Any] = {"__name__": source.stem}
    for cell in build.solution_cells(cells(source)):
        if cell.kind == "code":
            exec(cell.text, space)
        if "solution" in cell.tags:
            (name,) = re.findall(r"^def (\w+)", cell.text, re.MULTILINE)
            space[name] = in_form(space[name], form)


def in_form(function: Callable[..., Any], form: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return the function with another form of its results, if they are lists."""

    def student(*arguments: Any) -> Any:
        answer = function(*arguments)
        return form(answer) if isinstance(answer, (list, tuple)) else answer

    return student


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_has_its_form(source: Path) -> None:
    found = cells(source)
    text = "\n".join(cell.text for cell in found if cell.kind == "markdown")
    title = found[0].text.splitlines()[0]
    assert title.startswith("# ")
    assert title.endswith("?") or source.stem in ("10_cryptonets", "12_write_your_own"), title
    for part in ("**You will be able to**", "**Read before**", "**Time**", "paper"):
        assert part in found[0].text, part
    assert "## Three sentences to remember" in text
    assert "## Traps" in text
    code = [cell for cell in found if cell.kind == "code"]
    lengths = {cell.text: len(cell.text.splitlines()) for cell in code if not cell.tags}
    assert not {text: length for text, length in lengths.items() if length > 30}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_to_notebooks(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+)\.ipynb\)", text)) <= {
        build.number_of(path) for path in SOURCES
    }


def facts(source: Path) -> tuple[str, list[str], str]:
    """The question of a notebook, what to read before it, and the minutes, as it says itself."""
    head = cells(source)[0].text
    question = head.splitlines()[0].removeprefix("# ").replace("$x^2$", "x²")
    rows = dict(re.findall(r"\| \*\*(.*?)\*\* \| (.*) \|", head))
    before = re.findall(r"\]\(0?(\w+)\.ipynb\)", rows["Read before"])
    return question, before, rows["Time"].removesuffix(" minutes")


LINE = (  # of a table of notebooks: number, question, what to read before, minutes
    r"\| \[?(?P<n>\d+b?)(?:\]\(\S*\))? \| (?P<question>[^|]*) \| GOAL(?P<before>[^|]*?) ?\| "
    r"(?P<minutes>[^|]*) \|"
)
TABLES = {
    "notebooks/README.md": LINE.replace("GOAL", ""),
    "docs/teaching.md": LINE.replace("GOAL", r"[^|]* \| ") + r" (?P<points>\d+) \|",
}


@pytest.mark.parametrize("document", TABLES)
def test_tables_say_of_a_notebook_what_it_says_itself(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    rows = {found["n"]: found for found in re.finditer(TABLES[document], text)}
    numbers = [build.number_of(source).removeprefix("0") for source in SOURCES]
    assert list(rows) == numbers
    for number, source in zip(numbers, SOURCES, strict=True):
        question, before, minutes = facts(source)
        said = [] if rows[number]["before"] in ("–", "") else rows[number]["before"].split(", ")
        assert (rows[number]["question"], said) == (question, before), number
        if minutes.isdigit():
            assert rows[number]["minutes"] == minutes, number


def test_the_table_of_points_is_what_the_checks_give() -> None:
    text = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    said = {f["n"]: int(f["points"]) for f in re.finditer(TABLES["docs/teaching.md"], text)}
    given = dict.fromkeys(said, 0)
    for exercise in checks.EXERCISES.values():
        points = sum(claim.points for claim in exercise.asked().claims)
        given[exercise.notebook.removeprefix("0")] += points
    assert said == given


def test_the_exercises_of_the_notebooks_are_the_checks_there_are() -> None:
    checked = {
        line.split("(")[0].split(".")[-1]
        for source in SOURCES
        for _, _, check in exercises(source)
        for line in check.text.splitlines()
        if "checks" in line and "(" in line and "import" not in line
    }
    registered = {
        name
        for name, exercise in checks.EXERCISES.items()
        if exercise.notebook in {build.number_of(path) for path in SOURCES}
    }
    assert registered <= checked


def test_student_notebooks_have_no_solution_and_no_output() -> None:
    for path in sorted((ROOT / "notebooks" / "student").glob("*.ipynb")):
        made = json.loads(path.read_text(encoding="utf-8"))
        tags = [tag for cell in made["cells"] for tag in cell["metadata"].get("tags", [])]
        assert "solution" not in tags
        assert not [cell for cell in made["cells"] if cell.get("outputs")]


SOURCE = """# ---
# jupyter: header
# ---

# %% [markdown]
# # Title
#
# Text.

# %%
x = 1

# %% tags=["exercise"]
def f(): ...


# %% tags=["solution"]
def f():
    return 1


# %% tags=["check"]
assert f() == 1
"""


def test_cells_by_hand() -> None:
    found = build.cells_of(SOURCE)
    assert [(cell.kind, cell.tags) for cell in found] == [
        ("markdown", ()),
        ("code", ()),
        ("code", ("exercise",)),
        ("code", ("solution",)),
        ("code", ("check",)),
    ]
    assert found[0].text == "# Title\n\nText."
    assert found[1].text == "x = 1"
    assert [cell.tags for cell in build.student_cells(found)][2:] == [("exercise",), ("check",)]
    assert [cell.tags for cell in build.solution_cells(found)][2:] == [("solution",), ("check",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %% [raw]\n", "line 1: '# %%', .* not '# %% .raw.'"),
        ('# %% tags=["slow"]\n', "the tags are .* not .'slow'."),
        ('# %%\nx = 1\n# %% tags=["solution"]\n', "right behind its exercise"),
    ],
)
def test_a_malformed_source_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build.cells_of(text)


def test_the_caption_below_a_picture_is_its_text_alternative() -> None:
    picture = build.Cell("code", "plots.draw()")
    for text, alternative in (
        ("*Two\nbars, `x`.*\n\nMore.", "Two bars, x."),
        ("**No** caption", None),
    ):
        made = build.notebook([picture, build.Cell("markdown", text)])
        expected = {"mystnb": {"image": {"alt": alternative}}} if alternative else {}
        assert made["cells"][0]["metadata"] == expected


def test_every_picture_has_a_text_alternative() -> None:
    for path in sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
            if any("image/png" in data for data in outputs):
                assert "mystnb" in cell["metadata"], (
                    f"{path.name}: a caption below {cell['source']}"
                )


def test_equal_cells_have_different_ids() -> None:
    made = build.notebook([build.Cell("code", "x"), build.Cell("code", "x")])
    assert len({cell["id"] for cell in made["cells"]}) == 2


def test_a_changed_source_makes_its_notebooks_stale(tmp_path: Path) -> None:
    made = build.notebook(build.cells_of(SOURCE), "01")
    target = tmp_path / "student" / "01.ipynb"
    assert build.is_stale(target, made)
    target.parent.mkdir()
    target.write_text(build.written(made), encoding="utf-8")
    assert not build.is_stale(target, made)
    changed = build.cells_of(SOURCE.replace("x = 1", "x = 2"))
    assert build.is_stale(target, build.notebook(changed, "01"))


def test_outputs_of_a_solution_do_not_count_but_must_be_there(tmp_path: Path) -> None:
    made = build.notebook(build.solution_cells(build.cells_of(SOURCE)))
    target = tmp_path / "solutions" / "01.ipynb"
    target.parent.mkdir()
    target.write_text(build.written(made), encoding="utf-8")
    assert build.is_stale(target, made), "it has not been executed"
    for number, cell in enumerate(made["cells"]):
        if cell["cell_type"] == "code":
            cell |= {"execution_count": number, "outputs": [{"text": "hello"}]}
    target.write_text(build.written(made), encoding="utf-8")
    assert not build.is_stale(target, build.without_outputs(made))


def test_an_unknown_number_is_refused() -> None:
    with pytest.raises(SystemExit, match="no notebook 99; there are 01, 02"):
        build.sources(["99"])


def test_a_public_project_installs_itself_where_it_is_missing() -> None:
    found = build.student_cells(build.cells_of(SOURCE))
    url = "https://example.org/project"
    made = build.with_installation(found, url)
    assert [made[0], *made[2:]] == found
    assert f'%pip install -q "cryptonets-yashe[notebooks] @ git+{url}"' in made[1].text
    assert build.with_installation(found, "") == found


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_solution_runs_from_the_first_cell_to_the_last(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    # As a script, in a process of its own: it needs no Jupyter, and shows the first error.
    script = tmp_path / "solution.py"
    script.write_text(build.script(cells(source)), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT / "notebooks",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
