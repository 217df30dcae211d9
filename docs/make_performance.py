"""Write docs/performance.md and its plot from measured figures.

cryptonets bench --seal --json bench.json
python docs/make_performance.py bench.json
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from yashe.parameters.paper import LOLA_CORES, LOLA_SECONDS

DOCS = Path(__file__).parent

HEAD = """# Performance

How fast the encrypted networks run, what that is relative to the machine and to Microsoft SEAL, how
it grows, and where the time goes. Every figure on this page, but those of trials in its last two
sections, was printed by

```bash
cryptonets bench --seal --json bench.json
python docs/make_performance.py bench.json
```

"""

TAIL = """
## What makes it fast

- **Everything heavy is an exact matrix product** (`yashe/arithmetic/residues.py`,
  `yashe/arithmetic/ntt.py`): BLAS runs at the full speed of the machine, and no bit is lost.
- **BGV, and ciphertexts that stay in NTT form** (`yashe/schemes/bgv.py`). A product of ciphertexts
  is a product of values modulo q. BFV computes the same product modulo q P, in 17 primes instead of
  9, with 34 transforms for a square, and divides by q/t.
- **A few columns at a time** (`yashe/circuits/columns.py`). In NTT form convolution, square and
  dense layer are pointwise in the values, so that 1024 columns of one prime go through all three
  before the next ones are touched: the 845 squares of three parts, 1.5 GB of residues, never exist.
- **Reductions only where a bound needs them.** The primes are as small as the noise allows
  (`yashe.schemes.choose.narrowed`). Below 2^22.5 or so a weighted sum of 845 unreduced squares
  stays below 2^53; with larger primes it is cut into a few pieces, and only sums are reduced.
- **Images stay packed** (`yashe/ciphertexts/packed.py`): as float32 in the process that encrypts,
  as bits and seeds where they were received, until the first step asks for one prime of all of them
  at a time. New memory is dear, so that encryption is faster, too; and to unpack prime by prime
  costs no more than to unpack at once. What is packed is no array: nobody can multiply it by
  mistake.
- **A message and its errors are one matrix product** (`BGV._noisy`): the t/t_i and t, modulo all
  primes of q, times the y_i of the message and e + r - v, without a change of base before.
- **No relinearisation where nobody needs one** (`nn/planning/program.py`). Three parts, squared,
  are five, and the client decrypts them; the server has no key, and between two squares it only
  switches the modulus. Where the noise does not allow that, relinearisation comes last, on 64
  sums instead of 360 squares, and the modulus is switched right after it.
- **The plan finds the fewest primes** that are proved to be enough
  (`nn.planning.plan.batch_program`).
- **Long calls** (`yashe/arithmetic/parallel.py`). Between two calls of NumPy a thread needs the
  interpreter, which another thread may have, and to wait for it costs some 50 microseconds. With
  256 columns and one ciphertext at a time two threads were 1.25 times as fast as one; with 1024
  columns, and four ciphertexts at a time where there are threads, they are 1.5 to 1.8 times as
  fast, and one thread is as fast as before.
- **Two kinds of threads never meet**: loops over ciphertexts run on threads, BLAS inside them and
  inside transforms on one, whether there are `workers` or not (`yashe/arithmetic/blas.py`).
- In BFV: **squares are scaled once for each sum, not once for each square**
  (`yashe/circuits/products.py`), from an auxiliary modulus that is as small as its bound.

## What was left out

- **Butterflies.** They need fewer multiplications, but at n = 8192 they are 13 levels of at least
  7 element-wise passes over the data each, where the matrix products come with 14 passes
  altogether. One level of them pays, because it halves the larger product
  (`yashe/arithmetic/ntt.py`).
- **Fewer digits where primes go next.** c_2 may be rounded to a multiple of the primes that the
  next switch divides by, so that their digits vanish. With all three of them the rounding error,
  multiplied by s^2, is about n^(1/2) times that of the switch, and a square of it leaves no budget;
  with two of them four digits are left instead of five, and the rounding takes a change of base.
- **A convolution without a gather.** Products with whole rows of an image take no copies of inputs,
  but multiply by five times as many zeros; blocks of 2 x 2 positions copy half as much and multiply
  twice as much. Neither was faster on two threads.
- **Hidden units in tiles for a second-level cache.** A hundred units at a time, gathered, squared
  and reduced before the next ones: where the next cache is large, it saves a tenth of one thread's
  time at most, and its calls are too short for two threads.
- **SHAKE-128 in the place of SHAKE-256**, and fewer bytes for a Gaussian sample. A quarter of the
  time of an encryption is SHAKE, and Python keeps the interpreter while it computes it, so that a
  second thread gains nothing there. SHAKE-128 takes a fifth less, and all seeds would mean
  something else. All streams of a ciphertext expanded together, or 16 ciphertexts at a time, change
  nothing.
- **Processes for the client.** In a trial two of them encrypted and packed a batch in 2.7 s
  instead of 3.9 s; but they have to be started, and each has to be given the secret key.
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


def row(label: str, rates: list[float]) -> str:
    """Return the beginning of a row of rates."""
    middle = statistics.median(rates)
    return f"| {label} | {million(middle)} | {million(min(rates))} | {million(max(rates))} |"


def whole(facts: dict[str, Any]) -> str:
    """Return the tables of whole networks."""
    lines = [
        "## Whole networks\n",
        "Server side, full batches, in turns, each in a fresh process. BGV with the parameters of",
        "the plan, if nothing else is said, and all logits right. *Times its matrix products* says",
        "how much longer it took than the matrix products of its linear layers and transforms",
        "alone would take, at the speed of a large matrix product on as many threads.\n",
    ]
    for name, programs in facts["whole"].items():
        lines += [
            f"### {name}\n",
            "| | predictions per hour | least | most | times its matrix products | peak memory |",
            "|---|---|---|---|---|---|",
        ]
        for what, runs in programs.items():
            rates = [run["predictions_per_hour"] for run in runs]
            products = statistics.median(run["times_matrix_products"] for run in runs)
            memory = max(run["peak_memory_bytes"] for run in runs)
            lines.append(row(what, rates) + f" {products:.2f} | {memory / 1e9:.2f} GB |")
        lines += ["", *phases(programs), "", *two_programs(facts["alone"][name]), ""]
    lines += [
        "The peak memory in the table is that of client and server in one process, which has all",
        "images as numbers. n = 4096 is too small for these networks at 128 bits",
        "(`cryptonets plan`).\n",
    ]
    return "\n".join(lines)


def two_programs(alone: dict[str, Any]) -> list[str]:
    """Return what client and server take as two programs with a file between them."""
    return [
        f"{who.capitalize()} alone, from file to file: {facts['seconds']:.2f} s, "
        f"{facts['peak_memory_bytes'] / 1e9:.2f} GB."
        for who, facts in alone.items()
    ]


def phases(programs: dict[str, Any]) -> list[str]:
    """Return where the time of the fastest usual run goes."""
    what = max((key for key in programs if "thread" in key), key=lambda key: int(key.split()[0]))
    runs = programs[what]

    def middle(values: Any) -> float:
        return statistics.median(values)

    seconds = {key: middle(run["seconds"][key] for run in runs) for key in runs[0]["seconds"]}
    steps = {key: middle(run["steps"][key] for run in runs) for key in runs[0]["steps"]}
    first = runs[0]
    said = ", ".join(f"{key} {value:.2f} s" for key, value in seconds.items())
    parts = ", ".join(f"{key} {value:.2f} s" for key, value in steps.items() if value > 0.005)
    return [
        f"{first['n']} images, log2 q = {first['log2_q']:.1f} in {first['primes']} primes, "
        f"log2 t = {first['log2_t']:.1f}; {first['gflop']:.0f} GFLOP of matrix products. "
        f"Medians with {what}: {said}. The inference, step by step: {parts}.",
    ]


def single(facts: dict[str, Any]) -> str:
    """Return the table of one image at once."""
    lines = [
        "## One image at once\n",
        "Seconds for one image (`--mode single`), medians, a process for each plaintext modulus.",
        "*Prepared*: what needs no image is done before it is there (`nn/inference/ahead.py`).\n",
        "| network | encrypt | server | prepared | decrypt | upload | keys | reply |",
        "|---|---|---|---|---|---|---|---|",
    ]
    crossovers = []
    for name, found in facts["single"].items():
        seconds, size = found["seconds"], found["bytes"]
        crossovers.append(
            f"`{name}` from {found['crossover_images']:.0f} images on, and by the plan's estimate "
            f"from {found['planned_crossover_images']} on"
        )
        lines.append(
            f"| {name} | {seconds['encrypt']:.3f} s | {seconds['infer']:.3f} s | "
            f"{found['ahead_seconds']:.3f} s | {seconds['decrypt']:.3f} s | "
            f"{size['images'] / 1e6:.1f} MB | {size['keys'] / 1e6:.1f} MB | "
            f"{size['reply'] / 1e6:.2f} MB |"
        )
    lines += [
        f"| LoLa, {LOLA_CORES} cores | | {LOLA_SECONDS} s | | | | | |",
        "",
        "LoLa is Brutzkus, Elisha, Gilad-Bachrach, ICML 2019, table 1. A batch, full",
        f"or not, takes the server less time than images one by one for {'; '.join(crossovers)}.",
    ]
    return "\n".join(lines) + "\n"


def beside_seal(facts: dict[str, Any]) -> str:
    """Return the tables beside SEAL, if it ran."""
    if not facts["seal"]:
        return ""
    lines = [
        "## Beside Microsoft SEAL\n",
        "SEAL runs the most favourable programs that we could write for it (`nn/bench/seal.py`),",
        "in both of its integer schemes: the same weights, zeros skipped, additions instead of",
        "products, late relinearisation. All programs run in turns, each in two processes at the",
        "same time, with a batch and a thread each, and all their logits are right.\n",
        "| network | program | predictions per hour | least | most |",
        "|---|---|---|---|---|",
    ]
    for name, found in facts["seal"].items():
        for key, rates in found["rates"].items():
            lines.append(
                row(f"{name} | {key if key.startswith('here') else f'SEAL, {key}'}", rates)
            )
    lines.append("")
    for name, found in facts["seal"].items():
        lines.append(
            f"- {name}: **{found['times_as_fast']:.1f} times as fast as SEAL's best program**, by "
            "the best of ours."
        )
    for scheme, found in facts["operations"].items():
        lines += ["", *operations(scheme, found)]
    return "\n".join(lines) + "\n"


def operations(scheme: str, found: dict[str, Any]) -> list[str]:
    """Return single operations beside SEAL's."""
    bits, seconds = found["log2_q"], found["seconds"]
    libraries = list(seconds)
    lines = [
        f"Single operations of {scheme}, n = {found['n']}, one thread, log2 q = "
        f"{bits['here']:.0f} here and {bits['SEAL']} in SEAL; milliseconds:\n",
        "| | " + " | ".join(libraries) + " |",
        "|---|" + "---|" * len(libraries),
    ]
    for name in seconds["here"]:
        cells = (seconds[library].get(name) for library in libraries)
        shown = " | ".join("" if cell is None else f"{cell * 1e3:.3f}" for cell in cells)
        lines.append(f"| {name} | {shown} |")
    per_bit = found["ntt_seconds_per_bit_and_polynomial"]
    lines += [
        "",
        f"(Transforms: of one prime here, of one polynomial in SEAL. By the bit of modulus, ours "
        f"takes {per_bit['here'] / per_bit['SEAL']:.2f} times as long as SEAL's.)",
    ]
    return lines


def micro(facts: dict[str, Any]) -> str:
    """Return the tables of single operations."""
    first = next(iter(facts["whole"]))
    lines = ["## Single operations\n", f"One thread, medians, parameters of the network {first}."]
    for name, speeds in facts["micro"].items():
        lines += [
            f"\n{name}:\n",
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
    return "\n".join(lines) + "\n"


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
    sections = [machine, whole, single, beside_seal, micro, growth]
    page = HEAD + "\n".join(section(facts) for section in sections) + TAIL
    (DOCS / "performance.md").write_text(page, encoding="utf-8")
    print(f"performance.md: {len(page.splitlines())} lines")


if __name__ == "__main__":
    main()
