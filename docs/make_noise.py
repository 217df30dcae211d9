"""Draw the pictures of docs/noise.md and docs/parameters.md, and fill in their tables.

python docs/make_noise.py                       everything that takes a minute
python docs/make_noise.py --networks            the digits network on all schemes, too
python docs/make_noise.py --networks --data DIR ... and the MNIST network (several minutes)

A table stands between two comments, `<!-- name -->` and `<!-- end -->`; all seeds are fixed, so
that the same tables come out again. tests/project/test_docs_figures.py looks whether they still do.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from nn import encrypt_images, infer, load_digits, load_mnist, pretrained, quantize_pixels
from nn.experiment import plan_for
from yashe import BFV, BGV, YASHE, FheError, choose_params, make_params, workers
from yashe.attacks.estimates import rlwe_security_bits
from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.trace import Trace
from yashe.parameters.security import LEVELS, TABLE_2024, security_table
from yashe.schemes.base import Scheme
from yashe.schemes.choose import switched

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
SEED = bytes(range(32))
for folder in (DOCS.parent / "tests", DOCS.parent / "tests" / "ciphertexts"):
    sys.path.insert(0, str(folder))  # the circuits of the property tests


def gaps(draws: int = 2000) -> str:
    """Measured minus predicted bits in random circuits, by ring degree and products in a row."""
    from test_noise_properties import LEVELS as DEPTHS  # noqa: PLC0415
    from test_noise_properties import MORE_SETS, draws_of_circuits  # noqa: PLC0415

    found = draws_of_circuits(draws, MORE_SETS, (BFV, YASHE))
    lines = [
        "| products in a row | draws | smallest gap | median gap | largest gap |",
        "|---|---|---|---|---|",
    ]
    for level in range(DEPTHS + 1):
        bits = [draw.gap for draw in found if draw.level == level]
        lines.append(
            f"| {level} | {len(bits)} | {min(bits):.1f} | {np.median(bits):.1f} | {max(bits):.1f} |"
        )
    bits = [draw.gap for draw in found]
    lines.append(
        f"| all | {len(bits)} | {min(bits):.1f} | {np.median(bits):.1f} | {max(bits):.1f} |"
    )
    return "\n".join(lines)


def tails() -> str:
    """The tail factor in bits, by ring degree and order."""
    lines = ["| n | " + " | ".join(f"order {o}" for o in range(8)) + " |", "|---" * 9 + "|"]
    for n in (16, 256, 4096, 8192, 16384):
        bits = (math_log2(noise.tail_factor(n, o)) for o in range(8))
        lines.append(f"| {n} | " + " | ".join(f"{b:.1f}" for b in bits) + " |")
    return "\n".join(lines)


def math_log2(x: float) -> float:
    return float(np.log2(x))


def costs() -> str:
    """What one operation takes of the budget, for n = 8192 and all schemes."""
    kinds = (BFV, BGV, YASHE)
    heads = "".join(f" {kind.name}, log2 t = 20 | log2 t = 46 |" for kind in kinds)
    lines = ["| step |" + heads, "|---" * (1 + 2 * len(kinds)) + "|"]
    columns = [steps(kind, bits) for kind in kinds for bits in (20, 46)]
    for names in zip(*columns, strict=True):
        cells = (f"{bits:.1f}" for _, bits in names)
        lines.append(f"| {names[0][0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def steps(kind: type[Scheme], t_bits: int) -> list[tuple[str, float]]:
    """What each of a few operations in a row takes, in bits."""
    params = make_params("INSECURE_STEPS", 8192, 2**t_bits, security=None, log2_q=383)
    scheme = kind(params)
    bound, found, before = scheme.fresh_bound(public=True), [], params.log2_q

    def note(name: str, after: Bound) -> Bound:
        nonlocal before
        left = float(after.budget(params.n))
        found.append((name, before - left))
        before = left
        return after

    bound = note("encryption with the public key", bound)
    bound = note("sum of 25 with weights up to 3", bound * 75)
    for product in ("first", "second", "third"):
        if product != "first":
            bound = note("relinearisation", bound + scheme.switching_bound())
            primes = scheme.best_for_products(bound)
            if primes < scheme.params.k:
                scheme, bound = switched(scheme, bound, primes)
            bound = note("switch of the modulus, in BGV", bound)
        bound = note(f"{product} product", scheme.product_bound(bound, bound))
    return found


def choices() -> str:
    """The cheapest parameters by depth and range, at 128 bits."""
    ranges = (8, 16, 24, 32, 40, 48)
    lines = ["| depth | " + " | ".join(f"{b} bits" for b in ranges) + " |", "|---" * 7 + "|"]
    for depth in range(7):
        cells = []
        for bits in ranges:
            try:
                params = choose_params(depth, range_bits=bits).params
                cells.append(f"{params.n}, {params.log2_q:.0f}")
            except FheError:
                cells.append("-")
        lines.append(f"| {depth} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def explanation() -> str:
    """The text for the shape of the CryptoNets network."""
    choice = choose_params(depth=2, weights=(36, 432, 146), range_bits=46)
    return f"```text\n{choice.params}\n{choice.explanation}\n```"


TABLES: dict[str, Callable[[], str]] = {
    "gaps": gaps,
    "tails": tails,
    "costs": costs,
    "choices": choices,
    "explanation": explanation,
    "security": security_table,
}


def draw_security(target: Path) -> None:
    """Draw the estimated security against log2 q, and the entries of the enforced table."""
    axes = plt.subplots(figsize=(8, 4.5), layout="constrained")[1]
    for i, (n, limits) in enumerate(TABLE_2024.items()):
        sizes = np.geomspace(max(20, limits[0] / 3), limits[0] * 1.5, 25)
        bits = [rlwe_security_bits(n, x) for x in sizes]
        axes.plot(sizes, bits, color=f"C{i}", label=f"n = {n}")
        known = [(x, level) for x, level in zip(limits, LEVELS, strict=True) if x]
        axes.plot(*zip(*known, strict=True), "o", color=f"C{i}")
    for level in LEVELS:
        axes.axhline(level, color="black", linewidth=0.5, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_ylim(60, 330)
    axes.set_xlabel("log2 q (bits)")
    axes.set_ylabel("security (bits)")
    axes.set_title("A larger q needs a larger n: estimate (lines), table of 2024 (dots)")
    axes.legend()
    save(axes, target)


def draw_gaps(target: Path) -> None:
    """Draw predicted against measured budgets of random circuits."""
    from test_noise_properties import SETS, draws_of_circuits  # noqa: PLC0415

    axes = plt.subplots(figsize=(8, 4.5), layout="constrained")[1]
    found = draws_of_circuits(800, SETS, (BFV, YASHE))
    for level in sorted({draw.level for draw in found}):
        some = [draw for draw in found if draw.level == level]
        axes.plot(
            [draw.predicted for draw in some],
            [draw.gap for draw in some],
            ".",
            alpha=0.6,
            label=f"{level} products in a row",
        )
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xlabel("predicted noise budget (bits)")
    axes.set_ylabel("measured minus predicted (bits)")
    axes.set_title("No prediction was too optimistic: nothing lies below the line")
    axes.legend()
    save(axes, target)


def save(axes: object, target: Path) -> None:
    axes.figure.savefig(target, dpi=100)  # type: ignore[attr-defined]
    plt.close(axes.figure)  # type: ignore[attr-defined]


def trace_network(name: str, pixels: np.ndarray, kind: type[Scheme]) -> Trace:
    """Run a pretrained network encrypted, and record its noise."""
    model = pretrained(name)
    plan = plan_for(model, kind)
    scheme = kind(plan.params)
    keys = scheme.keygen(SEED)
    with workers(), noise.trace(keys.secret) as trace:
        ct = encrypt_images(scheme, model, pixels[: scheme.params.n], keys.encryption, SEED)
        reply = infer(scheme, plan, ct, plan.server_keys(keys))
        scheme.switch_modulus(reply)
    return trace


def network_table(traces: dict[str, Trace]) -> str:
    """What was predicted and what was measured, operation by operation, for schemes alike."""
    kinds = list(traces)
    lines = [
        "| layer | operation | " + " | ".join(f"{k}: predicted | measured" for k in kinds) + " |",
        "|---" * (2 + 2 * len(kinds)) + "|",
    ]
    for row in zip(*(merged(trace) for trace in traces.values()), strict=True):
        budgets = (f"{step[2]:.1f} | {step[3]:.1f}" for step in row)
        lines.append(f"| {row[0][0]} | {row[0][1]} | " + " | ".join(budgets) + " |")
    return "\n".join(lines)


def merged(trace: Trace) -> list[tuple[str, str, float, float]]:
    """The least budgets of each operation of each layer, whose tiles come one after the other."""
    found: dict[tuple[int, str], tuple[str, str, float, float]] = {}
    layer, number = "", 0
    for step in trace.steps:
        if step.layer != layer or step.operation == "a sum of squares":
            layer, number = step.layer, number + 1
        old = found.get((number, step.operation), ("", "", np.inf, np.inf))
        predicted, measured = min(old[2], step.predicted_bits), min(old[3], step.measured_bits)
        found[number, step.operation] = (layer, step.operation, predicted, measured)
    return list(found.values())


def fill(text: str, tables: dict[str, str]) -> str:
    """Put tables between their comments."""

    def insert(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{tables[name]}\n<!-- end -->" if name in tables else match[0]

    return re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", insert, text, flags=re.DOTALL)


def main() -> None:
    """Make everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", action="store_true", help="run networks on all schemes")
    parser.add_argument("--data", type=Path, help="folder of MNIST: run its network, too")
    arguments = parser.parse_args()
    tables = {name: make() for name, make in TABLES.items()}
    draw_security(IMAGES / "security.png")
    draw_gaps(IMAGES / "noise-gaps.png")
    if arguments.networks:
        digits, model = load_digits(), pretrained("digits")
        pixels = quantize_pixels(digits.test_images, digits.pixel_max, model.info.levels)
        traces = {kind.name: trace_network("digits", pixels, kind) for kind in (BFV, YASHE)}
        tables["digits"] = network_table(traces)
        trace = trace_network("digits", pixels, BGV)
        tables["digits-bgv"] = network_table({"BGV": trace})
        save(trace.plot(), IMAGES / "noise-trace.png")
    if arguments.networks and arguments.data:
        mnist, model = load_mnist(arguments.data), pretrained("cryptonets")
        pixels = quantize_pixels(mnist.test_images, mnist.pixel_max, model.info.levels)
        traces = {kind.name: trace_network("cryptonets", pixels, kind) for kind in (BFV, YASHE)}
        tables["mnist"] = network_table(traces)
        tables["mnist-bgv"] = network_table({"BGV": trace_network("cryptonets", pixels, BGV)})
    for page in (DOCS / "noise.md", DOCS / "parameters.md"):
        page.write_text(fill(page.read_text("utf-8"), tables), "utf-8")


if __name__ == "__main__":
    main()
