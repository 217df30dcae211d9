"""Write docs/performance.md and its plot from measured figures.

cryptonets bench --seal --json bench.json
python docs/make_performance.py bench.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parent

HEAD = """# Performance

How fast the encrypted networks run, what that is relative to the machine and to Microsoft SEAL, how
it grows, and where the time goes. Every figure on this page was printed by

```bash
cryptonets bench --seal --json bench.json
python docs/make_performance.py bench.json
```

"""

TAIL = """
## What makes it fast

- **Everything heavy is an exact matrix product** (`yashe/residues.py`, `yashe/ntt.py`): BLAS runs
  at the full speed of the machine, and no bit is lost.
- **Squares are scaled once for each sum, not once for each square** (`yashe/products.py`). The
  tensor products of 845 hidden units are added up in NTT form modulo q P, and only the 100 sums
  are transformed back and divided by q/t. That saves three fifths of the transforms of a layer.
- **Relinearisation comes last**, on those 100 sums.
- **Ciphertexts stay in coefficient form**, so that a square starts without an inverse transform.
- **The auxiliary modulus is as small as its bound**: P > n q (`Params.auxiliary_moduli`), because
  a tensor product is scaled from q P to q directly.
- **The plan finds the fewest primes** that are proved to be enough (`nn.plan.cheapest_params`).
  For the CryptoNets network that is eight, because its weights were trained to be small.
- **Blocks that fit in the cache**: one helper, `yashe.residues.blocks`; reductions only where the
  bound needs them; sums of weighted rows are reduced once, at the end.
- **Two kinds of threads never meet**: loops over ciphertexts run on threads, BLAS inside them on
  one.

## What was left out

- **Butterflies.** They need fewer multiplications, but at n = 8192 they are 13 levels of at least
  7 element-wise passes over the data each, where the two matrix products come with 13 passes
  altogether.
- **Switching to fewer primes between the layers.** Behind the first dense layer of the CryptoNets
  network only 100 of the 945 squares are left to profit.
- **24-bit storage in memory.** Residues would have to be widened before every use; on the wire
  they are packed (`yashe/packing.py`).
"""


def million(value: float) -> str:
    """Return a rate as a readable number."""
    return f"{value:,.0f}"


def machine(facts: dict[str, Any]) -> str:
    """Return the description of the machine."""
    m = facts["machine"]
    return (
        f"## The machine\n\n{m['cores']} cores ({m['processor']}), {m['system']}, Python "
        f"{m['python']}, NumPy {m['numpy']}. One thread of it multiplies matrices at "
        f"{m['matrix_product_gflops']:.0f} GFLOP/s and copies memory at "
        f"{m['copy_gb_per_second']:.1f} GB/s.\n"
    )


def whole(facts: dict[str, Any]) -> str:
    """Return the table of whole networks, beside SEAL where that ran."""
    lines = [
        "## Whole networks\n",
        "Server side, full batches, in turns, each in fresh processes; medians. SEAL runs the",
        "most favourable program that we could write for it (`nn/bench_seal.py`): the same",
        "weights, zeros skipped, additions instead of products, late relinearisation, two",
        "processes. All logits of all programs are right.\n",
        "| network | program | predictions per hour | least | most |",
        "|---|---|---|---|---|",
    ]
    for name, found in facts["whole"].items():
        for key, rates in found["rates"].items():
            label = "here" if key == "here" else f"SEAL, {key}"
            median = found["medians"][key]
            lines.append(
                f"| {name} | {label} | {million(median)} | {million(min(rates))} | "
                f"{million(max(rates))} |"
            )
    lines.append("")
    for name, found in facts["whole"].items():
        own = [run for run in found["details"] if isinstance(run, dict)]
        seconds = own[0]["seconds"]
        memory = max(run["peak_memory_bytes"] for run in own)
        lines.append(
            f"- {name}: **{found['times_as_fast']:.1f} times as fast as SEAL's best program.** "
            f"Encryption {seconds['encrypt']:.1f} s, inference {seconds['infer']:.1f} s, "
            f"decryption {seconds['decrypt']:.2f} s for {own[0]['n']} images; peak memory of "
            f"client and server in one process {memory / 1e9:.2f} GB."
        )
    return "\n".join(lines) + "\n"


def micro(facts: dict[str, Any]) -> str:
    """Return the table of single operations."""
    lines = ["## Single operations\n", "One thread, medians.\n"]
    for name, speeds in facts["micro"].items():
        lines += [
            f"Parameters of the network {name}:\n",
            "| operation | time | GFLOP/s | of a matrix product | of a memory copy |",
            "|---|---|---|---|---|",
        ]
        for s in speeds:
            gflops = f"{s['gflops']:.1f}" if s["gflops"] else ""
            product = f"{s['of_matrix_product']:.0%}" if s["gflops"] else ""
            copy = f"{s['of_copy']:.0%}" if s["of_copy"] else ""
            lines.append(
                f"| {s['name']} | {s['seconds'] * 1e3:.3f} ms | {gflops} | {product} | {copy} |"
            )
        lines.append("")
    return "\n".join(lines)


def growth(facts: dict[str, Any]) -> str:
    """Return the table of growth, and draw it."""
    lines = [
        "## How the cost grows\n",
        "![Seconds over size, both logarithmic](images/growth.png)\n",
        "| what grows | seconds grow as | measured |",
        "|---|---|---|",
    ]
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    markers = ["o", "s", "^", "D", "v", "x"]
    for s, marker in zip(facts["growth"], markers, strict=True):
        points = ", ".join(f"{x:,}: {t:.3g} s" for x, t in zip(s["x"], s["seconds"], strict=True))
        lines.append(f"| {s['name']} | x^{s['exponent']:.2f} | {points} |")
        relative = [t / s["seconds"][0] for t in s["seconds"]]
        sizes = [x / s["x"][0] for x in s["x"]]
        axis.loglog(sizes, relative, marker=marker, label=f"{s['name']}: x^{s['exponent']:.2f}")
    axis.set_xlabel("size, relative to the smallest")
    axis.set_ylabel("seconds, relative to the smallest")
    axis.legend(fontsize=8)
    figure.savefig(DOCS / "images" / "growth.png", dpi=110)
    lines.append(
        "\nA batch costs the same for one image as for all slots full; beyond that, images are"
        " proportional.\n"
    )
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    facts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sections = [machine(facts), whole(facts), micro(facts), growth(facts)]
    page = HEAD + "\n".join(sections) + TAIL
    (DOCS / "performance.md").write_text(page, encoding="utf-8")
    print(f"performance.md: {len(page.splitlines())} lines")


if __name__ == "__main__":
    main()
