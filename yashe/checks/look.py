"""Solutions that a teacher should look at, because the library may have done the work.

Points say what a function returns, not how. A function that calls the library's own, or the right
answer in `yashe.checks`, returns the same. So the text of a solution is read, from the function of
an exercise on to whatever of the submission it uses: each name of this package that it comes to is
told, unless the exercise hands it out; and so is each module with which a program reaches around
itself. A note is no proof, and what is hidden, or copied, is not found.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

PACKAGES = ("yashe", "nn")
# What every exercise may call: the arithmetic of polynomials, but for their product.
HELPERS = (
    "Params", "Unsolved", "centred", "poly_add", "poly_mod", "poly_round", "poly_scale",
    "round_div",
)  # fmt: skip
AROUND = {
    "builtins", "ctypes", "gc", "importlib", "inspect", "multiprocessing", "os", "pickle", "signal",
    "socket", "subprocess", "sys", "threading",
}  # fmt: skip
AROUND_NAMES = {"__import__", "compile", "eval", "exec", "globals", "open", "vars"}


def worth_a_look(cells: list[str], name: str, may_call: tuple[str, ...]) -> str:
    """Return what of a solution a teacher should look at, as one line, or an empty string.

    Parameters
    ----------
    cells : the programs of a submission, in order
    name : of the function that was asked for
    may_call : names of this package that its exercise hands out
    """
    statements = [statement for cell in cells for statement in _statements(cell)]
    imports, bodies = _imports(statements), defaultdict(list)
    for statement in statements:
        bodies[_defines(statement)].append(statement)
    seen, waiting, notes = {name}, [name], set()
    while waiting:
        for used in chain.from_iterable(map(_names, bodies[waiting.pop()])):
            first, *rest = used.split(".")
            whole = ".".join([imports.get(first, first), *rest])
            if whole.split(".")[0] in PACKAGES and not _handed_out(whole, may_call):
                notes.add(f"calls {whole}")
            elif whole.split(".")[0] in AROUND or whole in AROUND_NAMES:
                notes.add(f"uses {whole}")
            if first not in seen:
                seen.add(first)
                waiting.append(first)
    return "; ".join(sorted(notes))


def _statements(cell: str) -> list[ast.stmt]:
    try:
        return ast.parse(cell).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _imports(statements: list[ast.stmt]) -> dict[str, str]:
    """Return what the imported names stand for, such as np -> numpy, wherever they are imported."""
    found = {}
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _defines(statement: ast.stmt) -> str:
    """Return the name of a function or a class, or the one that is given to something else."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return statement.name
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def _names(statement: ast.stmt) -> Iterator[str]:
    """Yield the dotted names that a statement takes from outside."""
    nodes = list(ast.walk(statement))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    inside = set()
    for node in nodes:  # of a.b.c first the whole, and then nothing that is inside of it
        parts, value = [], node
        while isinstance(value, ast.Attribute) and node not in inside:
            parts.append(value.attr)
            value = value.value
            inside.add(value)
        if isinstance(value, ast.Name) and node not in inside and value.id not in own:
            yield ".".join([value.id, *reversed(parts)])


def _handed_out(whole: str, may_call: tuple[str, ...]) -> bool:
    """Return whether a dotted name is one of those that may be called, or belongs to one."""
    return not {*whole.split(".")}.isdisjoint({*may_call, *HELPERS})
