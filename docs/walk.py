"""A walk through the code: what the four verbs touch on the MNIST network, counted.

python docs/walk.py             how many functions and modules of ours each verb goes through
python docs/walk.py --names     and which
python docs/walk.py --lines     how many lines of code, docstrings and comments each room has

Counted are functions that are called at least once (comprehensions and lambdas belong to the
function around them) and the modules in which they stand, on one thread. The server runs the plan,
which has proved the network; for a network without a plan, `infer` proves it first.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from nn import decrypt_logits, encrypt_images, infer, make_plan, pretrained
from rooms import ROOT, members, rooms, source
from yashe import BGV

LAYOUT = {
    tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER
}  # fmt: skip
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef
Place = tuple[str, str]  # module, function


def touched(call: Callable[[], Any]) -> tuple[set[Place], Any]:
    """Return which functions of ours a call goes through, and what it returns."""
    found: set[Place] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith((f"{ROOT}/yashe/", f"{ROOT}/nn/")):
            name = code.co_qualname if sys.version_info >= (3, 11) else code.co_name
            outer = name.split(".<locals>")[0]
            if not outer.endswith((">", "__getattr__")):
                path = Path(code.co_filename).relative_to(ROOT).with_suffix("")
                found.add((".".join(path.parts), outer))

    sys.setprofile(note)
    try:
        result = call()
    finally:
        sys.setprofile(None)
    return found, result


def walk() -> dict[str, set[Place]]:
    """Return what every verb goes through, by its name."""
    model = pretrained("cryptonets")
    steps: dict[str, set[Place]] = {}
    steps["make_plan"], plan = touched(lambda: make_plan(model))
    scheme = BGV(plan.params)
    keys, pixels = scheme.keygen(), np.ones((2, *model.input_shape), dtype=np.int64)
    steps["encrypt_images"], ct = touched(lambda: encrypt_images(scheme, plan, pixels, keys.secret))
    server_keys = plan.server_keys(keys)
    steps["infer"], reply = touched(lambda: infer(scheme, plan, ct, server_keys))
    steps["decrypt_logits"], logits = touched(
        lambda: decrypt_logits(scheme, reply, keys.secret, len(pixels))
    )
    assert np.array_equal(logits, model.forward(pixels))
    return steps


def kinds_of_lines(text: str) -> tuple[int, int, int]:
    """Return how many lines of a module are code, docstrings and comments of their own."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in LAYOUT:
            code |= set(range(token.start[0], token.end[0] + 1))
    code -= docstrings
    return len(code), len(docstrings), len(comments - code - docstrings)


def print_lines() -> None:
    """Print the lines of every room, and of all."""
    print(f"{'room':<18}{'modules':>8}{'code':>8}{'docstrings':>12}{'comments':>10}")
    total = np.zeros(4, dtype=np.int64)
    for room in rooms():
        found = [kinds_of_lines(source(name)) for name in members(room)]
        row = np.array([len(found), *map(sum, zip(*found, strict=True))])
        total += row
        print("{:<18}{:>8}{:>8,}{:>12,}{:>10,}".format(room, *row.tolist()))
    print("{:<18}{:>8}{:>8,}{:>12,}{:>10,}".format("all", *total.tolist()))


def main() -> None:
    """Print the walk, or the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", action="store_true", help="print every function, too")
    parser.add_argument("--lines", action="store_true", help="print the lines of each room instead")
    arguments = parser.parse_args()
    if arguments.lines:
        print_lines()
        return
    for verb, places in walk().items():
        modules = {module for module, _ in places}
        print(f"{verb:<16}{len(places):>4} functions in {len(modules):>2} modules")
        if arguments.names:
            for module in sorted(modules):
                names = sorted(name for where, name in places if where == module)
                print(f"    {module}: {', '.join(names)}")


if __name__ == "__main__":
    main()
