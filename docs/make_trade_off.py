"""Fill in the tables of docs/trade-off.md: what accuracy costs.

python docs/make_trade_off.py --data DIR               the pretrained networks (minutes)
python docs/make_trade_off.py --data DIR --candidates  shapes with one square, trained (minutes)

A table stands between two comments, `<!-- name -->` and `<!-- end -->`. The networks run in turns,
full batches, each time in a fresh process. Candidates are trained by a shortened recipe; only the
validation images are looked at. Their plan is run with one thread, and its processor time counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from make_noise import fill
from nn import Conv2D, infer, load_mnist, make_plan, pretrained, quantize_pixels
from nn.bench.latency import medians
from nn.bench.measurements import whole
from nn.bench.seal import in_processes
from nn.cluster.runs import runs
from nn.data.sets import Dataset
from nn.networks.model import ModelInfo
from nn.planning.flops import network_flops
from nn.planning.planned import Plan
from nn.planning.steps import SumsStep
from nn.training.train import RECIPES, Trainer
from yashe import BGV
from yashe.arithmetic.parallel import available_cores

PAGE = Path(__file__).parent / "trade-off.md"
NETWORKS = ("cryptonets", "lean", "light")
# Kernel, stride and maps of the first layer of networks with one square, largest |weight|, and
# levels of a pixel. The first one is `light`.
CANDIDATES = (
    (8, 5, 40, (1, 7), 3),
    (8, 5, 24, (1, 7), 3),
    (8, 4, 32, (1, 7), 3),
    (14, 7, 32, (1, 7), 3),
    (8, 5, 40, (1, 3), 1),
)
SHORT = {"networks": 1, "float_epochs": 5, "rounded_epochs": 4, "frozen_epochs": 2}


def networks(dataset: Dataset, rounds: int = 3, images: int = 11) -> str:
    """Accuracy, speed, bytes and answering time of the pretrained networks."""
    cores = available_cores()
    rates: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for _ in range(rounds):
        for name in NETWORKS:
            (found,) = in_processes([(name, pixels_of(name, dataset), cores)], whole)
            rates[name].append(found["predictions_per_hour"])
    medians_of = {name: statistics.median(each) for name, each in rates.items()}
    lines = [
        "| network | squares | accuracy | n, bits of q | predictions per hour | | "
        "image, kB | reply, kB | keys, MB | one image, ms |",
        "|---" * 10 + "|",
    ]
    for name in NETWORKS:
        model, plan, rate = pretrained(name), make_plan(pretrained(name)), medians_of[name]
        params, size = plan.params, plan.bytes
        squares = sum(step.squares for step in plan.program.steps if isinstance(step, SumsStep))
        with runs(make_plan(model, mode="single"), cores) as single:
            alone = medians(single, model, pixels_of(name, dataset)[:images])
        lines.append(
            f"| `{name}` | {squares:,} "
            f"| {model.info.test_accuracy:.2%} | {params.n}, {params.log2_q:.0f} | {rate:,.0f} "
            f"| {rate / medians_of['cryptonets']:.1f}x | {size['images'] / params.n / 1e3:.1f} "
            f"| {size['reply'] / params.n / 1e3:.2f} | {size['keys'] / 1e6:.1f} "
            f"| {1e3 * alone['encrypt']:.0f} + {1e3 * alone['infer']:.0f} |"
        )
    return "\n".join(lines)


def pixels_of(name: str, dataset: Dataset) -> Any:
    """Test images as a network takes them."""
    return quantize_pixels(dataset.test_images, dataset.pixel_max, pretrained(name).levels)


def candidates(dataset: Dataset) -> str:
    """Validation accuracy and speed of networks with one square."""
    known = make_plan(pretrained("cryptonets"))
    base = rate_of(known)
    lines = [
        "| kernel, stride, maps | weights up to | levels | validation | n, bits of q | primes "
        "| image, kB | MFLOP an image | predictions per core-hour | times `cryptonets` |",
        "|---" * 10 + "|",
        f"| `cryptonets` | | | {known.program.model.info.validation_accuracy:.2%} "
        f"| {size_of(known)} | {base:,.0f} | 1.0 |",
    ]
    for kernel, stride, maps, limits, levels in CANDIDATES:
        recipe = replace(
            RECIPES["light"],
            convolution=Conv2D(maps, kernel=kernel, stride=stride, bias=False),
            limits=limits,
            levels=levels,
            **SHORT,
        )
        trainer = Trainer(recipe, dataset, seed=0, progress=False)
        with threadpool_limits(limits=1):
            model, _ = trainer.integer_network()
        model.info = ModelInfo(name="candidate", levels=levels)
        plan = make_plan(model)
        rate, accuracy = rate_of(plan), trainer.validation_accuracy(model)
        lines.append(
            f"| {kernel} x {kernel}, {stride}, {maps} | {limits[0]}, {limits[1]} | {levels} "
            f"| {accuracy:.2%} | {size_of(plan)} | {rate:,.0f} | {rate / base:.1f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def rate_of(plan: Plan) -> float:
    """Predictions by an hour of one core, least of three runs of a full batch."""
    scheme, shape, found = BGV(plan.params), plan.input_shape, []
    keys = scheme.keygen()
    x = scheme.encrypt(np.zeros((*shape, 1), dtype=np.int64), keys.secret)
    for _ in range(3):
        begin = time.process_time()
        infer(scheme, plan, x, plan.server_keys(keys))
        found.append(time.process_time() - begin)
    return plan.params.n / min(found) * 3600


def size_of(plan: Plan) -> str:
    """Parameters, bytes and matrix products of an image, as cells of a table."""
    params, program = plan.params, plan.program
    kilobytes = plan.bytes["images"] / params.n / 1e3
    flops = network_flops(program) / params.n / 1e6
    return f"{params.n}, {params.log2_q:.0f} | {params.k} | {kilobytes:.1f} | {flops:.1f}"


def main() -> None:
    """Make the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST")
    parser.add_argument("--candidates", action="store_true", help="train the candidates instead")
    arguments = parser.parse_args()
    dataset = load_mnist(arguments.data)
    if arguments.candidates:
        tables = {"candidates": candidates(dataset)}
    else:
        tables = {"networks": networks(dataset)}
    print(*tables.values())
    PAGE.write_text(fill(PAGE.read_text("utf-8"), tables), "utf-8")


if __name__ == "__main__":
    main()
