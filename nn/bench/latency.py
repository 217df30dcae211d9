"""One image at once: how long a single answer takes, and when a batch is faster."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from nn.cluster.runs import Runs, runs
from nn.networks.model import Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import Plan, crossover, make_plan, with_seconds
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
    model, cores = pretrained(name), available_cores()
    plan = make_plan(model, mode="single")
    with runs(plan, cores) as both:
        seconds = medians(both, model, pixels)
        ahead = medians(both, model, pixels, ahead=True)
    facts = {
        "seconds": seconds,
        "end_to_end_seconds": sum(seconds.values()),
        "ahead_seconds": ahead["infer"],
        "bytes": {key: sum(run.bytes[key] for run in plan.runs) for key in plan.bytes},
        "runs": len(plan.runs),
        "log2_q": plan.params.log2_q,
        "crossover_images": batch_seconds / seconds["infer"],
        "planned_crossover_images": planned_crossover(model, plan, cores),
        "lola_seconds": LOLA_SECONDS,
    }
    print(
        f"\n{name}: one image at once, medians of {len(pixels) - 1}: encrypt "
        f"{seconds['encrypt']:.3f} s, server {seconds['infer']:.3f} s, decrypt "
        f"{seconds['decrypt']:.3f} s\n"
        f"  server with what needs no image done before: {ahead['infer']:.3f} s\n"
        f"  a batch is faster from {facts['crossover_images']:.0f} images on, as measured, and "
        f"from {facts['planned_crossover_images']} on by the plan's estimate\n"
        f"  (LoLa takes {LOLA_SECONDS} s for an image of MNIST on {LOLA_CORES} cores)"
    )
    return facts


def medians(
    both: Runs, model: Sequential, pixels: IntArray, ahead: bool = False
) -> dict[str, float]:
    """Return the median seconds of every verb, but for the first image.

    Parameters
    ----------
    ahead : whether what needs no image is done before each of them, and not counted
    """
    times: dict[str, list[float]] = {"encrypt": [], "infer": [], "decrypt": []}
    for image in np.split(pixels, len(pixels)):
        if ahead:
            both.prepare()
        marks = [time.perf_counter()]
        both.encrypt(image)
        marks.append(time.perf_counter())
        both.infer()
        marks.append(time.perf_counter())
        logits = both.decrypt()
        marks.append(time.perf_counter())
        if not np.array_equal(logits, model.forward(image)):
            name = model.info.name
            raise ExactnessError(f"{name}: the encrypted logits are not the integers'")
        for verb, start, end in zip(times, marks, marks[1:], strict=False):
            times[verb].append(end - start)
    return {verb: statistics.median(found[1:]) for verb, found in times.items()}


def planned_crossover(model: Sequential, single: Plan, cores: int) -> int:
    """Return from how many images on a batch is faster, as the plan estimates it now."""
    batch, single = (with_seconds(plan, cores, again=True) for plan in (make_plan(model), single))
    return crossover(batch, single, cores)
