"""The layers of the code: a module imports only modules with a smaller number.

So whoever reads a module has met everything it stands on, and a fault can be looked for from the
bottom upwards. The tables are the reading order.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

YASHE = {
    "errors": 0,
    "opaque": 1,
    "textbook": 0,
    "files": 1,
    "lattice": 1,
    "frames": 1,
    "blas": 1,
    "parallel": 2,
    "residues": 1,
    "security": 2,
    "whole": 1,
    "trace": 3,
    "textbook_bfv": 1,
    "textbook_yashe": 1,
    "textbook_bgv": 2,
    "attacks": 2,
    "moves": 2,
    "packing": 2,
    "primes": 2,
    "rns": 2,
    "sampling": 2,
    "linear": 3,
    "ntt": 3,
    "ring": 4,
    "params": 5,
    "encoding": 6,
    "paper": 6,
    "keys": 6,
    "noise": 6,
    "ranges": 6,
    "rows": 7,
    "ciphertext": 8,
    "definition": 9,
    "scheme": 10,
    "rlwe": 11,
    "scale_invariant": 11,
    "columns": 11,
    "bfv": 12,
    "bgv": 13,
    "choose": 14,
    "products": 12,
    "yashe_prime": 12,
    "plots": 14,
    "plots_attacks": 15,
    "contents": 14,
    "checks.report": 14,
    "checks.cases": 14,
    "checks.arithmetic": 15,
    "checks.broken": 15,
    "checks.cryptonets": 15,
    "checks.first_steps": 15,
    "checks.multiplication": 15,
    "checks.networks": 15,
    "checks.noise": 15,
    "checks.products": 15,
    "checks.protection": 15,
    "checks.slots": 15,
    "streams": 15,
    "wire": 16,
    "strategies": 17,
    "law": 18,
    "laws_of_arithmetic": 19,
    "laws_of_schemes": 19,
    "laws": 20,
    "checks.project": 21,
    "checks": 22,
    "checks.grade": 23,
    "checks.__main__": 24,
    "__init__": 24,
}

NN = {
    "__init__": 0,
    "calibrate": 0,
    "checks": 0,
    "descent": 0,
    "download": 0,
    "idx": 0,
    "png": 0,
    "base": 1,
    "data": 1,
    "flooding": 1,
    "arrays": 2,
    "augment": 2,
    "batchnorm": 2,
    "layers": 2,
    "loss": 2,
    "optim": 2,
    "replies": 2,
    "tiles": 2,
    "model": 3,
    "sources": 3,
    "pretrained": 4,
    "proofs": 4,
    "quantize": 4,
    "encrypted": 5,
    "flops": 5,
    "plan": 5,
    "train": 5,
    "bench_seal": 6,
    "card": 6,
    "growth": 6,
    "plots": 6,
    "split": 6,
    "strategies": 6,
    "tasks": 6,
    "bench_operations": 7,
    "cluster": 7,
    "roles": 7,
    "crews": 8,
    "experiment": 8,
    "jobs": 8,
    "bench": 9,
    "client": 9,
    "eavesdrop": 9,
    "worker": 9,
    "role_commands": 10,
    "service": 10,
    "service_commands": 11,
    "cli": 12,
    "__main__": 13,
}

# All of yashe lies below all of nn.
LEVELS = {f"yashe.{name}": level for name, level in YASHE.items()} | {
    f"nn.{name}": 100 + level for name, level in NN.items()
}

# These need an extra: Hypothesis, or Starlette for the service.
NEED_EXTRAS = {
    "nn.service",
    "yashe.law",
    "nn.strategies",
    "yashe.laws",
    "yashe.laws_of_arithmetic",
    "yashe.laws_of_schemes",
    "yashe.strategies",
}


def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name; a package counts as its __init__."""
    found = {}
    for package in ("yashe", "nn"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if len(parts) > 2 and parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join(parts)] = path
    return found


def imported(source: str) -> set[str]:
    """The modules of ours that a source imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            # `from yashe import ring` names a module, `from yashe.ring import Ring` does not.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for name in names if (module := owner(name)) is not None}


def owner(name: str) -> str | None:
    """The module of ours that a dotted name belongs to: the longest known beginning of it."""
    if name.split(".")[0] not in ("yashe", "nn"):
        return None
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        if (candidate := ".".join(parts[:length])) in LEVELS:
            return candidate
    return f"{parts[0]}.__init__"


MODULES = modules()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_a_place_in_the_table(name: str) -> None:
    assert name in LEVELS, f"add {name} to the table of tests/test_layers.py"


def test_the_table_has_no_row_for_a_module_that_is_gone() -> None:
    assert LEVELS.keys() - MODULES.keys() == set()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_smaller_numbers(name: str) -> None:
    for other in imported(MODULES[name].read_text(encoding="utf-8")):
        assert LEVELS[other] < LEVELS[name], f"{name} must not import {other}"


def test_yashe_never_imports_nn() -> None:
    for name, path in MODULES.items():
        if name.startswith("yashe."):
            others = imported(path.read_text(encoding="utf-8"))
            assert not [other for other in others if other.startswith("nn.")], name


@pytest.mark.parametrize("name", [name for name in MODULES if "textbook" in name])
def test_the_textbook_shares_no_code_with_what_it_checks(name: str) -> None:
    others = imported(MODULES[name].read_text(encoding="utf-8"))
    assert all("textbook" in other for other in others)


def test_the_imports_of_a_source_by_hand() -> None:
    source = """
import numpy as np, yashe
import yashe.ring
from yashe import keys, Params
from yashe.bfv import encrypt
from nn.pretrained import load

def late():
    from yashe.sampling import ternary
"""
    assert imported(source) == {
        "yashe.__init__",
        "yashe.bfv",
        "yashe.keys",
        "yashe.ring",
        "yashe.sampling",
        "nn.pretrained",
    }


def test_no_import_needs_a_tool_of_the_tests() -> None:
    names = sorted(set(MODULES) - NEED_EXTRAS - {"nn.__main__"})
    # A module that is set to None cannot be imported: it is as if it were not installed.
    program = (
        "import sys, importlib\n"
        "for absent in ('hypothesis', 'matplotlib', 'pytest'):\n"
        "    sys.modules[absent] = None\n"
        f"for name in {[name.removesuffix('.__init__') for name in names]}:\n"
        "    importlib.import_module(name)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_a_module_fits_into_the_head() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert not {name: length for name, length in lengths.items() if length > 400}


def test_the_reading_order_in_the_documentation_is_true() -> None:
    """Every module stands there once, with a length that is right to a tenth."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| \[`([^`]+)`\].*\| (\d+) \|$", page, re.MULTILINE)
    listed = {path: (int(level), int(lines)) for level, path, lines in rows}
    assert len(listed) == len(rows)
    for name, path in MODULES.items():
        relative = path.relative_to(ROOT).as_posix()
        if relative in ("yashe/__init__.py", "nn/__init__.py", "nn/__main__.py"):
            continue
        level, lines = listed.pop(relative)
        assert level == LEVELS[name] % 100
        actual = len(path.read_text("utf-8").splitlines())
        assert abs(actual - lines) <= 10 + actual // 10, "run docs/make_reading_order.py"
    assert not listed
