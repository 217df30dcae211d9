"""The front doors: what a user needs is a name of `yashe` or `nn`, and importing them is free."""

import ast
import importlib
import pydoc
import subprocess
import sys
from types import ModuleType

import pytest

import nn
import yashe
from rooms import ROOT, card, path_of

DOORS = [yashe, nn]
NAMES = [(door, name) for door in DOORS for name in door.__all__]


@pytest.mark.parametrize(("door", "name"), NAMES, ids=lambda x: getattr(x, "__name__", x))
def test_a_name_is_what_its_home_calls_so(door: ModuleType, name: str) -> None:
    found = getattr(door, name)
    assert found is getattr(importlib.import_module(door._HOMES[name]), name)
    assert found.__name__ == name
    assert not isinstance(found, ModuleType)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_type_checkers_read_the_same_names_and_homes(door: ModuleType) -> None:
    (block,) = (
        node
        for node in ast.parse(path_of(door.__name__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    read = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert read == door._HOMES
    assert sorted(read) == sorted(door.__all__)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_the_names_are_shown_by_tab_and_by_help_and_nothing_else(door: ModuleType) -> None:
    text = pydoc.render_doc(door, renderer=pydoc.plaintext)
    assert dir(door) == sorted(door.__all__)
    for name in door.__all__:
        assert name in text


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_no_name_is_a_room(door: ModuleType) -> None:
    assert not card(door.__name__).entries.keys() & set(door.__all__)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_an_unknown_name_is_refused(door: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{door.__name__}' has no attribute 'Yashe'"):
        _ = door.Yashe
    with pytest.raises(ImportError, match="cannot import name 'Yashe'"):
        exec(f"from {door.__name__} import Yashe")


def test_importing_both_packages_loads_nothing_else() -> None:
    program = (
        "import importlib, sys\n"
        "before = set(sys.modules)\n"
        "import yashe, nn\n"
        "print(*sorted(set(sys.modules) - before))\n"
        "from yashe import BGV\n"
        "print('numpy' in sys.modules, 'nn.networks' in sys.modules)\n"
        "import nn.commands.main, yashe.checks.answers\n"
        "print(*{'dask', 'hypothesis', 'matplotlib', 'sympy'} & set(sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # Whoever calls a command or grades waits for what it needs, and not for a second library.
    assert run.stdout.splitlines() == ["nn yashe", "True False", ""], run.stderr
