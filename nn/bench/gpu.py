"""Whole networks on a GPU, the same source: `cryptonets bench --device gpu`.

A call returns before the GPU has computed anything, so time is taken when it has. Figures are those
of the server with the ciphertexts in its memory; beside them stands how long it takes to get there,
and how long a batch takes in a stream of them, in which the next one comes meanwhile.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np

from nn.data.sets import Dataset
from nn.inference.batches import streamed
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.training.quantize import quantize_pixels
from yashe.arithmetic.parallel import workers
from yashe.arithmetic.places import place
from yashe.arithmetic.residues import IntArray
from yashe.errors import ExactnessError
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

RUNS = 20  # of a full batch
STREAM = 8  # full batches, one after the other


def times_of(step: Callable[[], object], wait: Callable[[], None], repeats: int) -> list[float]:
    """Return the seconds of each of so many calls, without the first two, which compile."""
    times = []
    for _ in range(repeats + 2):
        wait()
        start = time.perf_counter()
        step()
        wait()
        times.append(time.perf_counter() - start)
    return times[2:]


def full_batch(
    name: str, pixels: IntArray, device: str, kind: type[Scheme] = BGV, slots: int = 1
) -> dict[str, Any]:
    """Run a network on a full batch again and again, and compare it with a processor and integers.

    Parameters
    ----------
    name : of a pretrained network
    pixels : of its images, as many as there are
    device : where the server computes
    kind, slots : the scheme, and how many slots there are at least

    Raises
    ------
    ExactnessError
        If a logit is wrong, or a residue is not the processor's.
    """
    model, there = pretrained(name), place(device)
    plan = make_plan(model, scheme=kind, slots=slots)
    n, scheme = plan.params.n, kind(plan.params)
    pixels = np.resize(pixels, (n, *pixels.shape[1:]))
    with workers():
        keys = scheme.keygen()
        ct = encrypt_images(scheme, model, pixels, keys.encryption)
        expected = infer(scheme, plan, ct, plan.server_keys(keys))
    upload = times_of(lambda: ct.to(device), there.wait, 3)
    images, key = ct.to(device), plan.server_keys(keys)
    key = key if key is None else key.to(device)
    times = times_of(lambda: infer(scheme, plan, images, key), there.wait, RUNS)

    def stream() -> None:
        for batch in streamed(repeat(ct, STREAM), device):
            infer(scheme, plan, batch, key)
            del batch

    with workers():
        streams = times_of(stream, there.wait, 1)
    found = infer(scheme, plan, images, key).to("cpu")
    wrong = (decrypt_logits(scheme, found, keys.secret, n) != model.forward(pixels)).any(axis=1)
    if wrong.any() or not np.array_equal(found.rows, expected.rows):
        raise ExactnessError(
            f"{name} on the {device}: {int(wrong.sum())} images have wrong logits, or residues are "
            "not those of the processor"
        )
    seconds = statistics.median(times)
    return {
        "model": name,
        "scheme": scheme.name,
        "n": n,
        "images": n,
        "seconds": seconds,
        "fastest": min(times),
        "slowest": max(times),
        "upload_seconds": statistics.median(upload),
        "upload_bytes": ct.nbytes,
        "stream_seconds": statistics.median(streams) / STREAM,
        "predictions_per_hour": n / seconds * 3600,
    }


def everything(dataset: Dataset, names: list[str], quick: bool, device: str) -> dict[str, Any]:
    """Measure, print as it goes, and return all figures.

    Parameters
    ----------
    dataset : Dataset that the networks are for
    names : pretrained networks
    quick : whether only BGV is measured, with as few slots as it takes
    device : where the server computes
    """
    facts: dict[str, Any] = {"device": place(device).about, "whole": []}
    print(f"{facts['device']}\nfull batches on the server, medians of {RUNS}")
    for name in names:
        levels = pretrained(name).levels
        pixels = quantize_pixels(dataset.test_images, dataset.pixel_max, levels)
        ways: list[tuple[type[Scheme], int]] = (
            [(BGV, 1)] if quick else [(BGV, 1), (BGV, 16384), (BFV, 1)]
        )
        for kind, slots in ways:
            run = full_batch(name, pixels, device, kind, slots)
            facts["whole"].append(run)
            print(
                f"  {name}, {run['scheme']}, n = {run['n']}: {run['seconds'] * 1e3:.1f} ms "
                f"({run['fastest'] * 1e3:.1f} to {run['slowest'] * 1e3:.1f}), "
                f"{run['predictions_per_hour']:,.0f} predictions per hour;\n"
                f"    the batch is there in {run['upload_seconds'] * 1e3:.1f} ms, "
                f"{run['upload_bytes'] / 1e6:.0f} MB; in a stream, read from memory, a batch takes "
                f"{run['stream_seconds'] * 1e3:.1f} ms;\n"
                "    all logits and residues are right"
            )
    return facts
