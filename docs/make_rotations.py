"""Draw and measure rotations, for docs/rotations.md: python docs/make_rotations.py

Milliseconds are the least of many, of one core's time. The other columns are the same everywhere.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from yashe import BFV, BGV, make_params
from yashe.ciphertexts.gadgets import Gadget
from yashe.wire import to_bytes

PAGE = Path(__file__).parent / "rotations.md"
SEED = bytes(range(32))
N, REPEATS = 8192, 40
GADGETS = {
    "`Gadget()`, the default": Gadget(),
    "`Gadget(3)`, three primes to a digit": Gadget(3),
    "`Gadget(4, spare=4)`, four primes left to the noise": Gadget(4, spare=4),
}


def milliseconds(run: Callable[[], object]) -> float:
    """Return the least time of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def hoisting() -> str:
    """Return how rotations compare with relinearisation, at nine primes."""
    lines = ["| | relinearisation | rotation | one of eight at once |", "|---|---|---|---|"]
    return "\n".join([*lines, compared(BGV), compared(BFV)])


def compared(kind: type[BGV | BFV]) -> str:
    """Return one row of that table."""
    scheme, steps = kind(make_params("rotations", N, t_at_least=2**16)), range(1, 9)
    assert scheme.params.k == 9
    keys = scheme.keygen(SEED, steps)
    x = scheme.encrypt(np.arange(N) % 5, keys.secret, SEED)
    product = scheme.multiply(x, x, 9)
    relinearised = milliseconds(lambda: scheme.relinearize(product, keys.relinearization))
    rotated = milliseconds(lambda: scheme.rotate(x, 1, keys.rotations))
    hoisted = milliseconds(lambda: scheme.rotations(x, steps, keys.rotations)) / len(steps)
    return f"| {scheme.name} | {relinearised:.1f} | {rotated:.1f} | {hoisted:.1f} |"


def digits() -> str:
    """Return what larger digits cost and give, in BGV at eight primes."""
    call = "`scheme.rotation_keys(secret, [1], gadget=...)`"
    lines = [f"| {call} | digits | ms | budget left | key, sent |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(cut(name, gadget) for name, gadget in GADGETS.items())])


def cut(name: str, gadget: Gadget) -> str:
    """Return one row of that table."""
    scheme = BGV(make_params("digits", N, t_at_least=2**22, log2_q=189))
    assert scheme.params.k == 8
    secret = scheme.keygen(SEED).secret
    x = scheme.encrypt(np.arange(N) % 5, secret, SEED)
    keys = scheme.rotation_keys(secret, [1], SEED, gadget)
    left = float(scheme.rotate(x, 1, keys).noise_budget)
    count, size = len(gadget.groups(8)), len(to_bytes(keys)) / 1e6
    spent = f"{left:.1f} of {float(x.noise_budget):.1f} bits"
    ms = milliseconds(lambda: scheme.rotate(x, 1, keys))
    return f"| {name} | {count} | {ms:.1f} | {spent} | {size:.2f} MB |"


def draw(path: Path) -> None:
    """Draw the slots of a toy before and after a rotation, a swap and a sum, as they decrypt."""
    scheme = BGV(make_params("INSECURE_PICTURE", 16, 90, security=None, log2_q=90))
    keys = scheme.keygen(SEED, "sums")
    x = scheme.encrypt(np.arange(16), keys.secret, SEED)
    shown = {
        "x": x,
        "rotate(x, 1)": scheme.rotate(x, 1, keys.rotations),
        "swap_rows(x)": scheme.swap_rows(x, keys.rotations),
        "sum_slots(x, width=2)": scheme.sum_slots(x, keys.rotations, 2),
    }
    figure, axes = plt.subplots(2, 2, figsize=(9, 3), layout="constrained")
    for axis, (title, ct) in zip(axes.flat, shown.items(), strict=True):
        grid = scheme.decrypt(ct, keys.secret).reshape(2, 8)
        axis.imshow(grid, cmap="cividis", aspect="auto", vmin=0, vmax=30)
        for (r, c), value in np.ndenumerate(grid):
            colour = "white" if value < 15 else "black"
            axis.text(c, r, value, ha="center", va="center", color=colour, fontsize=11)
        axis.set_title(title, family="monospace", fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Draw the picture, and fill in both tables."""
    draw(PAGE.parent / "images" / "rotations.png")
    text = PAGE.read_text("utf-8")
    for name, table in {"hoisting": hoisting(), "digits": digits()}.items():
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end -->)"
        text = re.sub(pattern, lambda m, table=table: m[1] + table + m[2], text, flags=re.DOTALL)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
