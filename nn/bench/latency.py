"""One image at once: how long a single answer takes, and when a batch is faster."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from nn.cluster.runs import runs
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from yashe.arithmetic.parallel import available_cores
from yashe.arithmetic.residues import IntArray
from yashe.errors import ExactnessError
from yashe.parameters.paper import LOLA_CORES, LOLA_SECONDS


def one_by_one(name: str, pixels: IntArray, batch_seconds: float) -> dict[str, Any]:
    """Classify images one by one, print what it takes, and return the facts.

    Parameters
    ----------
    name : of a pretrained network
    pixels : a few images; the first of them is not counted
    batch_seconds : that a server takes for a batch, with as many threads as there are cores

    Raises
    ------
    ExactnessError
        If a logit is not that of the integer network.
    """
    model = pretrained(name)
    plan = make_plan(model, mode="single")
    times: dict[str, list[float]] = {"encrypt": [], "infer": [], "decrypt": []}
    with runs(plan, available_cores()) as both:
        for image in np.split(pixels, len(pixels)):
            marks = [time.perf_counter()]
            both.encrypt(image)
            marks.append(time.perf_counter())
            both.infer()
            marks.append(time.perf_counter())
            logits = both.decrypt()
            marks.append(time.perf_counter())
            if not np.array_equal(logits, model.forward(image)):
                raise ExactnessError(f"{name}: the encrypted logits are not the integers'")
            for verb, start, end in zip(times, marks, marks[1:], strict=False):
                times[verb].append(end - start)
    seconds = {verb: statistics.median(found[1:]) for verb, found in times.items()}
    facts = {
        "seconds": seconds,
        "end_to_end_seconds": sum(seconds.values()),
        "bytes": {key: sum(run.bytes[key] for run in plan.runs) for key in plan.bytes},
        "runs": len(plan.runs),
        "log2_q": plan.params.log2_q,
        "crossover_images": batch_seconds / seconds["infer"],
        "lola_seconds": LOLA_SECONDS,
    }
    print(
        f"\n{name}: one image at once, medians of {len(pixels) - 1}: encrypt "
        f"{seconds['encrypt']:.3f} s, server {seconds['infer']:.3f} s, decrypt "
        f"{seconds['decrypt']:.3f} s (LoLa: {LOLA_SECONDS} s on {LOLA_CORES} cores); a batch is "
        f"faster from {facts['crossover_images']:.0f} images on"
    )
    return facts
