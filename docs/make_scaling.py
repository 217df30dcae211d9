"""Write docs/scaling.md: what a million and a billion predictions by the hour need.

    cryptonets bench --json bench.json
    python docs/make_scaling.py bench.json

Speeds and memory come from the benchmark. Sizes on the wire, and the time to read and write them,
are measured here. Prices and links are assumptions, and printed as such. The figures of a GPU are
those of docs/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from nn import Dense, Square, make_plan, pretrained
from nn.bench.measurements import timed
from nn.cluster.tasks import first_stage_parts
from yashe import BGV, Ciphertext, wire, workers

TARGETS = (10**6, 10**9)  # predictions by the hour
LINK_GBIT, MACHINE_CORES = 10.0, 64  # of one machine in a data centre
HOUR = 3600.0
# docs/gpu.md: a batch of cryptonets with the six fused functions, and its way there.
GPU, GPU_SECONDS, GPU_UPLOAD_SECONDS = "H100", 0.0132, 0.017


@dataclass(frozen=True)
class Figures:
    """What is known about one network on one machine.

    Attributes
    ----------
    name, n, levels : of the network, and slots
    core_seconds : of one full batch on the server
    client_core_seconds : of encrypting one
    memory : bytes of a process that holds one batch, client included
    request, reply, sums, key : bytes of a batch of images, of its logits before any prime is
        dropped, of the sums of one part, and of the evaluation key
    read, written : core-seconds to read a batch from bytes, and to write it
    first_stage : share of the squares that is in the first stage
    """

    name: str
    n: int
    core_seconds: float
    client_core_seconds: float
    memory: float
    request: float
    reply: float
    sums: float
    key: float
    read: float
    written: float
    first_stage: float

    def per_hour(self, seconds: float) -> float:
        """Return predictions by the hour, if a batch takes so long."""
        return self.n / seconds * HOUR


def runs_of(whole: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the runs of a network with its usual parameters, on as many threads as there are."""
    usual = [run for what, runs in whole.items() if "thread" in what for run in runs]
    threads = max(run["threads"] for run in usual)
    return [run for run in usual if run["threads"] == threads]


def figures(name: str, runs: list[dict[str, Any]]) -> Figures:
    """Put together what the benchmark says about a network, and what can be found out here."""
    threads = runs[0]["threads"]  # as many as there are cores: all of them busy
    model = pretrained(name)
    scheme = BGV(make_plan(model).params)
    params, keys, pixels = scheme.params, scheme.keygen(), math.prod(model.input_shape)
    ct = scheme.encrypt(np.ones((9, 1), dtype=np.int64), keys.secret)

    def size(some: Ciphertext) -> float:
        return (len(wire.to_bytes(some)) - len(wire.to_bytes(some[:1]))) / (len(some) - 1)

    frame = wire.to_bytes(ct)
    with workers(1):
        read, _ = timed(lambda: wire.from_bytes(frame, Ciphertext).rows, 5)  # unpacked
        written, _ = timed(lambda: wire.to_bytes(ct), 5)
    squares = sum(math.prod(x.output_shape) for x in model.layers if isinstance(x, Square))
    (stage,) = first_stage_parts(model, 1)
    sums = next(layer.units for layer in model.layers if isinstance(layer, Dense))
    median = statistics.median

    return Figures(
        name,
        params.n,
        threads * median(run["seconds"]["infer"] for run in runs),
        threads * median(run["seconds"]["encrypt"] for run in runs),
        median(run["peak_memory_bytes"] or 0 for run in runs),
        pixels * size(ct),
        math.prod(model.output_shape) * size(ct + ct),
        sums * size(ct * ct),
        len(wire.to_bytes(keys.relinearization)),
        pixels / len(ct) * read,
        pixels / len(ct) * written,
        len(stage.units) / squares if stage.tiles else 0.0,
    )


def quantity(value: float, unit: str) -> str:
    """Return a value with three digits and a decimal prefix."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def count(value: float) -> str:
    """Return how many are needed: a whole number, at least one."""
    return f"{max(1, math.ceil(value)):,}"


def rounded(value: float) -> str:
    """Return a large number with three digits that count."""
    return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def needs(f: Figures, price: float) -> str:
    """Return the table of what the targets need."""
    columns = []
    for target in TARGETS:
        batches = target / f.n / HOUR  # by the second
        cores = batches * f.core_seconds
        columns.append(
            [
                count(cores),
                quantity(max(1, math.ceil(cores)) * f.memory, "B"),
                quantity(8 * batches * f.request, "bit/s"),
                quantity(8 * batches * f.reply, "bit/s"),
                count(batches * f.client_core_seconds),
                f"{max(1, math.ceil(cores)) * price:,.2f}",
                f"{cores * price / target * 1e6:.3f}",
            ]
        )
    names = [
        "cores of the server, all busy",
        "memory, one process for each core",
        "encrypted images in",
        "encrypted logits out, at most",
        "cores of all clients together, encrypting",
        "price by the hour",
        "price of a million predictions",
    ]
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return table([f.name, *[f"{target:,} by the hour" for target in TARGETS]], rows)


def limits(f: Figures) -> dict[str, float]:
    """Return predictions by the hour that one of each resource allows, if all others were free."""
    link = LINK_GBIT * 1e9 / 8
    return {
        "a core that computes": f.per_hour(f.core_seconds),
        "a core that reads ciphertexts from bytes": f.per_hour(f.read),
        "a core that reads them and writes them again": f.per_hour(f.read + f.written),
        f"a link of {LINK_GBIT:g} Gbit/s": f.per_hour(f.request / link),
    }


def latency(f: Figures) -> str:
    """Return how long one batch takes when its first stage is cut into parts."""
    link, rows = LINK_GBIT * 1e9 / 8, []
    for parts in (1, 2, 4, 8, 16, 32):
        computing = f.core_seconds * (f.first_stage / parts + 1 - f.first_stage)
        sending = (f.request + (parts > 1) * parts * f.sums) / link
        total = computing + sending
        rows.append([str(parts), f"{computing:.2f}", f"{sending:.2f}", f"{total:.2f}"])
    return table(["parts, one core each", "computing, s", "sending, s", "together, s"], rows)


def facts_of_page(facts: dict[str, Any], price: float) -> dict[str, str]:
    """Return what stands for the names in the template; what is about one network, of the first."""
    found = [figures(name, runs_of(whole)) for name, whole in facts["whole"].items()]
    machine, f = facts["machine"], found[0]
    load, cores = machine["load_average"], machine["cores"]
    core, _, relay, link = limits(f).values()
    resources = [[what, *[rounded(limits(x)[what]) for x in found]] for what in limits(f)]
    busy = (
        f"**The machine was busy (load {load:.0f} on {cores} cores): these figures are too "
        "pessimistic. Measure again on a quiet one.**\n"
    )
    return {
        "machine": f"{machine['processor']}, {cores} cores, NumPy {machine['numpy']}",
        "busy": busy if load is not None and load > cores else "",
        "name": f.name,
        "n": f"{f.n:,}",
        "key": quantity(f.key, "B"),
        "core_seconds": f"{f.core_seconds:.1f}",
        "core_milliseconds": f"{f.core_seconds / f.n * 1e3:.2f}",
        "request": quantity(f.request / f.n, "B"),
        "reply": quantity(f.reply / f.n, "B"),
        "price": f"{price:g}",
        "needs": "\n\n".join(needs(x, price) for x in found),
        "limits": table(["", *[x.name for x in found]], resources),
        "link": f"{LINK_GBIT:g} Gbit/s",
        "cores_of_link": f"{link / core:,.0f}",
        "cores_of_relay": f"{relay / core:,.0f}",
        "reading": f"{f.read / f.core_seconds:.0%}",
        "machines": count(TARGETS[-1] / min(link, MACHINE_CORES * core)),
        "machine_cores": f"{MACHINE_CORES}",
        "first_stage": f"{f.first_stage:.0%}",
        "sums": quantity(f.sums, "B"),
        "latency": latency(f),
        "gpu": GPU,
        "gpu_milliseconds": f"{1e3 * GPU_SECONDS:.1f}",
        "gpu_upload_milliseconds": f"{1e3 * GPU_UPLOAD_SECONDS:.0f}",
        "gpu_rate": rounded(f.per_hour(GPU_SECONDS)),
        "gpu_cores": rounded(f.core_seconds / GPU_SECONDS),
        "gpu_bits": quantity(8 * f.request / GPU_SECONDS, "bit/s"),
        "gpu_readers": f"{f.read / GPU_SECONDS:,.0f}",
        "gpu_clients": f"{f.client_core_seconds / GPU_SECONDS:,.0f}",
        "gpus": count(TARGETS[-1] / f.per_hour(GPU_SECONDS)),
        "links": count(TARGETS[-1] / link),
    }


def main() -> None:
    """Read the benchmark, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("bench", type=Path, help="from cryptonets bench --json")
    parser.add_argument("--core-hour", type=float, default=0.04, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("scaling.md"))
    arguments = parser.parse_args()
    facts = json.loads(arguments.bench.read_text("utf-8"))
    template = Template(Path(__file__).with_name("scaling.template").read_text("utf-8"))
    page = template.substitute(facts_of_page(facts, arguments.core_hour))
    arguments.out.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
