"""The house: a room imports only rooms before it, and inside a room the order of its card holds.

So whoever reads a module has met everything it stands on, and a fault can be looked for from the
ground upwards. The order is on the cards, the docstrings of the packages' `__init__.py`.
"""

import ast
import importlib
import re
import subprocess
import sys

import pytest

from rooms import (
    ROOT,
    card,
    imported,
    lines,
    members,
    modules,
    owner,
    path_of,
    place,
    room_of,
    rooms,
    source,
    used_rooms,
)

# These need an extra: Hypothesis, Starlette for the service, or CuPy.
NEED_EXTRAS = {
    "nn.service.guard",
    "nn.service.http",
    "yashe.arithmetic.gpu",
    "yashe.laws",
    "yashe.laws.arithmetic",
    "yashe.laws.conventions",
    "yashe.laws.engine",
    "yashe.laws.law",
    "yashe.laws.rotations",
    "yashe.laws.schemes",
    "yashe.laws.strategies",
}
MODULES = modules()
PACKAGES = [name for name in MODULES if path_of(name).stem == "__init__" and card(name).entries]
ROOMS = [name for name in rooms() if card(name).entries]


def test_a_module_is_on_one_card() -> None:
    for name in MODULES:
        place(name)  # or LookupError, which says what to do


def test_a_card_names_only_what_is_there() -> None:
    for name in PACKAGES:
        there = {path.name.removesuffix(".py") for path in path_of(name).parent.iterdir()}
        assert not card(name).entries.keys() - there, name


def test_a_module_imports_only_what_stands_before_it() -> None:
    for name in MODULES:
        for other in imported(source(name)) - {name}:
            assert place(other) < place(name), f"{name} must not import {other}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_card_says_which_rooms_are_used(room: str) -> None:
    assert card(room).uses == used_rooms(room)


@pytest.mark.parametrize("room", ROOMS)
def test_a_card_asks_a_question_or_says_what_is_in_the_room(room: str) -> None:
    assert re.search(r"[.?]$", card(room).question)


def test_a_room_can_be_seen_in_one_look() -> None:
    for name in PACKAGES:
        most = 20 if name == "yashe.checks.exercises" else 17  # there, as many as notebooks
        assert len([entry for entry in card(name).entries if entry != "__main__"]) <= most, name


def test_yashe_never_imports_nn() -> None:
    for name in MODULES:
        if room_of(name).startswith("yashe"):
            others = imported(source(name))
            assert not [other for other in others if other.startswith("nn")], name


def test_the_textbook_shares_no_code_with_what_it_checks() -> None:
    for name in (name for name in MODULES if name.startswith("yashe.textbook")):
        assert all(other.startswith("yashe.textbook") for other in imported(source(name))), name


def test_no_module_runs_what_it_reads() -> None:
    """But for the grader, whose business is to run the programs of students."""
    for name in MODULES:
        assert runs(source(name)) == ({"exec"} if name == "yashe.checks.answers" else set()), name


def runs(text: str) -> set[str]:
    """What of Python runs what it reads, and what a source uses of it."""
    used = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add(node.module or "")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            used |= set() if ast.unparse(node.value) == "False" else {"pickle"}
    return used & {"eval", "exec", "pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def test_what_runs_what_it_reads_by_hand() -> None:
    assert runs("import pickle, os\nfrom joblib import load\nexec('x')") == {
        "pickle",
        "joblib",
        "exec",
    }
    assert runs("np.load(file, allow_pickle=True)") == {"pickle"}
    assert runs("np.load(file, allow_pickle=False)") == set()


def test_imports_are_absolute() -> None:
    for name in MODULES:
        assert not re.search(r"^\s*from \.", source(name), re.MULTILINE), name


def test_the_imports_of_a_source_by_hand() -> None:
    text = """
import numpy as np, yashe
import yashe.arithmetic.rings
from yashe.ciphertexts import keys
from yashe import Params
from yashe.schemes.bfv import encrypt
from nn.networks.pretrained import load

def late():
    from yashe.arithmetic.sampling import ternary
"""
    assert imported(text) == {
        "yashe",
        "yashe.schemes.bfv",
        "yashe.ciphertexts.keys",
        "yashe.arithmetic.rings",
        "yashe.arithmetic.sampling",
        "nn.networks.pretrained",
    }


def test_places_by_hand() -> None:
    order = [
        "yashe.errors",
        "yashe.arithmetic.residues",
        "yashe.arithmetic.ntt",
        "yashe.arithmetic",  # a card stands behind what it lists
        "yashe.schemes.bgv",
        "yashe",
        "nn.networks.base",
    ]
    assert sorted(order, key=place) == order


def test_no_import_needs_a_tool_of_the_tests() -> None:
    names = sorted(set(MODULES) - NEED_EXTRAS - {"nn.__main__"})
    # A module that is set to None cannot be imported: it is as if it were not installed.
    program = (
        "import sys, importlib\n"
        "for absent in ('hypothesis', 'matplotlib', 'pytest'):\n"
        "    sys.modules[absent] = None\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_a_module_fits_into_the_head() -> None:
    lengths = {name: lines(name) for name in MODULES}
    assert not {name: length for name, length in lengths.items() if length > 400}


def test_what_pages_and_docstrings_name_is_there() -> None:
    """`yashe.arithmetic.ntt.Ntt` in backticks is a module, or a name in one."""
    pages = [
        *ROOT.glob("*.md"),
        *(path for folder in ("docs", "yashe", "nn") for path in ROOT.glob(f"{folder}/**/*.py")),
        *(path for folder in ("docs", "notebooks/source") for path in ROOT.glob(f"{folder}/*.*")),
    ]
    named = {
        (name, page.name)
        for page in pages
        if page.suffix in (".md", ".py", ".template")
        for name in re.findall(r"`((?:yashe|nn)(?:\.\w+)+)`", page.read_text(encoding="utf-8"))
    }
    missing = []
    for name, page in sorted(named):
        module = owner(name)
        rest = name.removeprefix(module).split(".")[1:]
        if rest and not hasattr(importlib.import_module(module), rest[0]):
            missing.append((name, page))
    assert not missing


def test_the_reading_order_in_the_documentation_is_true() -> None:
    """Every module with code stands there once, with a length that is right to a tenth."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[^]]+\]\(\.\./([^)]+)\).*\| (\d+) \|$", page, re.MULTILINE)
    listed = {path: int(length) for path, length in rows}
    assert len(listed) == len(rows)
    for name in (name for room in rooms() for name in members(room)):
        stated = listed.pop(path_of(name).relative_to(ROOT).as_posix())
        assert abs(lines(name) - stated) <= 10 + lines(name) // 10, "run docs/make_reading_order.py"
    assert not listed
