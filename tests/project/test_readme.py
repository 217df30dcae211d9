"""The documentation is true: its programs run, its outputs are right, its links lead somewhere.

In README.md and docs/*.md every block marked `python` is run, the blocks of a page one after the
other in one namespace. A block marked `output` right behind it is what it must print.
"""

import configparser
import contextlib
import doctest
import importlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from test_layers import MODULES, NEED_EXTRAS

from yashe.checks import EXERCISES

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/*.md"))]
TEST_COMMAND = 'pip install ".[test]" && pytest'

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, with the line on which their text starts."""
    return [
        Block(match[1], match[2], page.count("\n", 0, match.start(2)) + 1)
        for match in FENCE.finditer(page)
    ]


def run(page: str, name: str) -> None:
    """Run the programs of a page and compare what they print with the outputs behind them."""
    namespace: dict[str, object] = {"__name__": name}
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            # Empty lines in front make a traceback name the line of the page.
            program = compile("\n" * (block.line - 1) + block.text, name, "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(program, namespace)
            printed = out.getvalue()
        elif block.language == "output":
            assert printed == block.text, f"{name}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_programs_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with patch.dict(EXERCISES):  # a page registers one of its own
        run(page.read_text(encoding="utf-8"), page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_to_files(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    # The site's notebooks are copies of the committed solutions (docs/conf.py).
    for link in LINK.findall(text):
        copied = ROOT / "notebooks" / "solutions" / link.removeprefix("notebooks/")
        assert (page.parent / link).exists() or copied.exists(), link


def test_the_readme_has_a_program() -> None:
    assert [block for block in blocks(README.read_text("utf-8")) if block.language == "python"]


def test_the_readme_and_the_continuous_integration_state_one_test_command() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert [line.strip() for line in lines].count(TEST_COMMAND) == 1
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text("utf-8")
    assert TEST_COMMAND in (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_one_version_is_stated_everywhere() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    version = setup["metadata"]["version"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {version}\n" in citation


def test_a_page_with_a_wrong_output_or_a_broken_program_is_noticed() -> None:
    run("text\n```python\nx = 2\n```\n```python\nprint(x + 1)\n```\n```output\n3\n```\n", "right")
    with pytest.raises(AssertionError, match="wrong, line 5"):
        run("```python\nprint(1)\n```\n```output\n2\n```\n", "wrong")
    with pytest.raises(ZeroDivisionError, match="division"):
        run("```python\n1 / 0\n```\n", "broken")
    run("```bash\nnot python\n```\n", "other")


@pytest.mark.parametrize("name", sorted(set(MODULES) - NEED_EXTRAS - {"nn.__main__"}))
def test_the_examples_of_a_docstring_print_what_they_say(name: str) -> None:
    module = importlib.import_module(name.removesuffix(".__init__"))
    assert doctest.testmod(module).failed == 0
