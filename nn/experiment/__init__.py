"""The whole experiment: plan, keys, encryption, inference, decryption, and the comparison.

`run` plays both sides, client and server, in one process, and tells what it does as it goes. What
comes back is compared, logit by logit and image by image, with the integer network in the clear.
Other processes or machines can be the server, as a crew of `nn.cluster.crews`.

Modules, in the order of reading, before this one:

    terminal  bars that tell the truth, and lines that fit
    result    what a run tells, what it has found, and what it has cost
    modes     images in batches, or one by one

Uses yashe.errors, yashe.arithmetic, yashe.parameters, yashe.ciphertexts, yashe.schemes, networks,
planning, inference, cluster.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nn.cluster.coordinator import Crew
from nn.experiment.modes import run_batches, run_single
from nn.experiment.result import Result as Result
from nn.experiment.result import Story as Story
from nn.experiment.result import peak_memory_bytes as peak_memory_bytes
from nn.experiment.terminal import columns
from nn.networks.checks import check_pixels
from nn.networks.model import Sequential
from nn.planning.plan import Plan, make_plan
from nn.planning.proofs import ranges
from yashe.arithmetic.parallel import available_cores
from yashe.arithmetic.residues import IntArray
from yashe.errors import EncodingError, ParameterError
from yashe.parameters.paper import (
    INSECURE_YASHE_PAPER_A,
    LOLA_CORES,
    LOLA_SECONDS,
    PAPER_A,
    PAPER_B,
    paper_set_a,
)
from yashe.parameters.security import SOURCE_2024
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

# What is compared with the paper, in the order of `PaperRun.figures`, and how it is written.
FIGURES = {
    "n": ".0f",
    "log2 q": ".0f",
    "plaintext moduli t": ".0f",
    "log2 of their product": ".0f",
    "encrypted batch, bytes": ",.0f",
    "images": ".0f",
    "seconds on the server": ".1f",
    "predictions per hour": ",.0f",
}
SHADES = " .:-=+*#%@"
GAP = 3  # columns between two drawings


def plan_for(model: Sequential, scheme: type[Scheme], mode: str = "batch", images: int = 1) -> Plan:
    """Return the plan of a network: BGV or BFV at 128 bits, YASHE' with the paper's set A.

    Set A has room for a larger t than we gave it, for networks that need one.
    """
    if scheme is not YASHE or mode == "single":
        return make_plan(model, scheme=scheme, mode=mode, images=images)
    params, need = INSECURE_YASHE_PAPER_A, ranges(model, model.levels)[-1].smallest_t
    if params.t < need:
        params = paper_set_a(f"{params.name}_t{need.bit_length()}", need)
    return make_plan(model, params, public=True, scheme=YASHE)


def run(
    model: Sequential,
    pixels: IntArray,
    labels: IntArray,
    say: Callable[[str], None] = print,
    scheme_type: type[Scheme] = BGV,
    crew: Crew | None = None,
    mode: str = "batch",
    processes: int | None = None,
    device: str = "cpu",
) -> Result:
    """Classify images encrypted, in batches of as many as there are slots, or one by one.

    Parameters
    ----------
    model : integer network
    pixels : int64 array, shape (images, *model.input_shape), values in [0, model.info.levels]
    labels : int64 array, shape (images,)
    say : receives the story, line by line
    scheme_type : BGV, BFV or YASHE
    crew : workers that are the server (`nn.cluster.crews`); by default this process is
    mode : of `make_plan`: "batch", "single" for one image at once, or "auto"
    processes : how many there may be for one image at once; default: one for each core
    device : where the server computes, "cpu" or "gpu"; with a GPU there is this process only

    Raises
    ------
    EncodingError
        If there are no images, or they are no integers.
    ParameterError, RangeError
        If they are not such images.
    RangeError, NoiseBudgetExhausted
        If the network cannot run encrypted (`nn.planning.plan.make_plan`).
    WorkersLostError
        If the crew dies again and again.
    """
    pixels = check_pixels(model, pixels)
    if len(pixels) == 0:
        raise EncodingError("there are no images to classify: give at least one")
    if mode == "single" and crew is not None:
        raise ParameterError(
            "one image at once has processes of its own, one for each plaintext modulus: leave out "
            "the crew (--processes, --dask, --scheduler), or take mode 'batch'"
        )
    if crew is not None and device != "cpu":
        raise ParameterError(
            "a crew computes on processors: leave out the GPU, or --processes, --dask, --scheduler"
        )
    plan = plan_for(model, scheme_type, mode, len(pixels))
    params = plan.params
    scheme = scheme_type(params)
    say("Plan: what every possible image can cause, proved before anything is encrypted\n")
    say(str(plan.program))
    t_bits = " and ".join(f"{one.params.log2_t:.1f}" for one in plan.runs)
    say(
        f"\n{scheme.name} with n = {params.n} slots, log2 q = {params.log2_q:.1f} "
        f"({params.k} primes), log2 t = {t_bits}:\n{security_of(params)}. "
        f"Logits need {plan.range_bits:.1f} bits.\n"
    )
    if mode == "auto" and plan.reasons:
        say(f"{plan.reasons[-1]}\n")
    story = Story(say)
    if plan.mode == "single":
        logits = run_single(plan, pixels, story, processes or available_cores(), device)
    else:
        logits = run_batches(plan, scheme, pixels, story, crew, device)
    return Result.of(plan, logits, pixels, labels, story)


def security_of(params: Params) -> str:
    """Return what is claimed."""
    if params.security is None:
        return f"no security at all ({params.name})"
    return f"{params.security}-bit security by {SOURCE_2024}"


def beside_others(result: Result) -> str:
    """Return a sentence: this run beside the published one for as many images."""
    if result.plan.mode == "single":
        seconds = result.seconds["infer"] / len(result.logits)
        return (
            f"LoLa: {LOLA_SECONDS} s an image on {LOLA_CORES} cores. Here: {seconds:.2f} s on the "
            "server."
        )
    theirs = PAPER_B.predictions_per_hour
    return (
        f"The CryptoNets paper: {theirs:,} predictions per hour. "
        f"Here: {result.predictions_per_hour / theirs:.0f} times as many."
    )


def beside_the_paper(result: Result) -> str:
    """Return a table of this run beside the two published ones."""
    params, seconds = result.plan.params, result.seconds["infer"]
    ours = (params.n, params.log2_q, 1, params.log2_t, result.encrypted_bytes, len(result.logits))
    columns = [
        ("this run", *ours, seconds, result.predictions_per_hour),
        ("paper, set A", *PAPER_A.figures()),
        ("paper, set B", *PAPER_B.figures()),
    ]
    lines = []
    for name, form, *cells in zip(("", *FIGURES), ("", *FIGURES.values()), *columns, strict=True):
        lines.append(f"{name:<24}" + "".join(f"{cell:>16{form}}" for cell in cells))
    return "\n".join(lines)


def drawing(images: IntArray, captions: list[str], pixel_max: int) -> str:
    """Return small images side by side as text, captions below.

    A pixel is two characters wide, which makes it square, or one where the terminal is too narrow
    for that. Images that do not fit even so are left out.
    """
    wide = 2 if len(images) * (2 * images.shape[2] + GAP) <= columns() else 1
    width = max(wide * images.shape[2], *map(len, captions)) + GAP
    shown = max(1, min(len(images), columns() // width))
    shades = np.array(list(SHADES))[images[:shown, ..., 0] * (len(SHADES) - 1) // pixel_max]
    lines = [
        "".join("".join(shade * wide for shade in image[row]).ljust(width) for image in shades)
        for row in range(images.shape[1])
    ]
    lines.append("".join(caption.ljust(width) for caption in captions[:shown]))
    return "\n".join(line.rstrip() for line in lines)
