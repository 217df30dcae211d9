"""A walk through the code: what the four verbs touch on the MNIST network, counted.

python docs/walk.py             how many functions and modules of ours each verb goes through
python docs/walk.py --names     and which

Counted are functions that are called at least once (comprehensions and lambdas belong to the
function around them) and the modules in which they stand, on one thread.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from nn import decrypt_logits, encrypt_images, infer, make_plan, pretrained
from yashe import BGV

ROOT = Path(__file__).resolve().parent.parent
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
    steps["encrypt_images"], ct = touched(
        lambda: encrypt_images(scheme, model, pixels, keys.secret)
    )
    steps["infer"], reply = touched(lambda: infer(scheme, model, ct, keys.relinearization))
    steps["decrypt_logits"], logits = touched(
        lambda: decrypt_logits(scheme, reply, keys.secret, len(pixels))
    )
    assert np.array_equal(logits, model.forward(pixels))
    return steps


def main() -> None:
    """Print the walk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", action="store_true", help="print every function, too")
    arguments = parser.parse_args()
    for verb, places in walk().items():
        modules = {module for module, _ in places}
        print(f"{verb:<16}{len(places):>4} functions in {len(modules):>2} modules")
        if arguments.names:
            for module in sorted(modules):
                names = sorted(name for where, name in places if where == module)
                print(f"    {module}: {', '.join(names)}")


if __name__ == "__main__":
    main()
