"""Change the engine in small ways and count how many changes the tests notice.

    pip install mutmut
    python tests/mutation.py --sample 70

copies the checkout to a temporary folder, lets mutmut make every change it knows to the modules
below, and tries a random sample of them for each module. docs/laws.md has the last result.
"""

import argparse
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    "arithmetic/residues", "arithmetic/ntt", "arithmetic/rns", "circuits/columns",
    "schemes/rlwe", "schemes/bfv", "schemes/bgv", "schemes/yashe",
)  # fmt: skip
TESTS = (
    "arithmetic/test_residues", "arithmetic/test_ntt", "arithmetic/test_rns",
    "arithmetic/test_linear", "circuits/test_columns", "schemes/test_rlwe", "schemes/test_bfv",
    "schemes/test_bgv", "ciphertexts/test_keys", "schemes/test_yashe", "schemes/test_bounds",
    "schemes/test_schemes",
)  # fmt: skip
# A change in a constructor is not seen while objects that were made before it are kept in caches.
FIXTURE = """

import functools
import sys
import weakref

from yashe.parameters.sets import Params

_alive = []
_check = Params.__post_init__
_cached = [name for name, x in vars(Params).items() if isinstance(x, functools.cached_property)]


def _remembered(self):
    _check(self)
    _alive.append(weakref.ref(self))


Params.__post_init__ = _remembered


@pytest.fixture(autouse=True)
def _nothing_is_cached():
    for name, module in list(sys.modules.items()):
        if name.startswith(("yashe", "test_", "strategies")):
            for x in list(vars(module).values()):
                if hasattr(x, "cache_clear"):
                    x.cache_clear()
    for params in (reference() for reference in _alive):
        if params is not None:
            for name in _cached:
                params.__dict__.pop(name, None)
"""


def config() -> str:
    """Return the section of setup.cfg."""
    lists = {
        "source_paths": ["yashe"],
        "only_mutate": [f"yashe/{name}.py" for name in MODULES],
        "also_copy": ["nn", "docs"],
        "pytest_add_cli_args": ["-q", "-x", "-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": [f"tests/{name}.py" for name in TESTS],
    }
    lines = [f"{key} =\n    " + "\n    ".join(values) for key, values in lists.items()]
    return "\n[mutmut]\n" + "\n".join(lines) + "\nuse_git_change_detection = false\n"


def mutmut(folder: Path, *arguments: str) -> str:
    """Run mutmut and return what it prints."""
    run = subprocess.run(
        ["mutmut", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return run.stdout


def verdicts(folder: Path) -> dict[str, str]:
    """Return what is known of every change."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    return dict(line.strip().split(": ") for line in lines if ": " in line)


def main() -> None:
    """Run a sample and print every change that was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=70, help="changes of each module")
    parser.add_argument("--seed", type=int, default=2013075)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkout"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "mutants", "*.egg-info"))
        with (folder / "setup.cfg").open("a", encoding="utf-8") as file:
            file.write(config())
        with (folder / "tests" / "conftest.py").open("a", encoding="utf-8") as file:
            file.write(FIXTURE)
        # makes all, tries one
        mutmut(folder, "run", "yashe.arithmetic.residues.x_column__mutmut_1")
        names, chosen = verdicts(folder), []
        generator = random.Random(arguments.seed)
        for module in MODULES:
            dotted = f"yashe.{module}.".replace("/", ".")
            mine = sorted(x for x in names if x.startswith(dotted))
            chosen += generator.sample(mine, min(arguments.sample, len(mine)))
        mutmut(folder, "run", *chosen)
        results = verdicts(folder)
        for module in MODULES:
            dotted = f"yashe.{module}.".replace("/", ".")
            found = [results[x] for x in chosen if x.startswith(dotted)]
            counts = {result: found.count(result) for result in sorted(set(found))}
            print(module, counts)
        for x in chosen:
            if results[x] != "killed":
                print(f"\n{x}: {results[x]}")
                print(mutmut(folder, "show", x))


if __name__ == "__main__":
    main()
