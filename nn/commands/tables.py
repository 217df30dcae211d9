"""What commands print: a table beside the paper's, and images in characters."""

from __future__ import annotations

import numpy as np

from nn.bench.latency import LOLA_CORES, LOLA_SECONDS
from nn.experiment import Result
from yashe.arithmetic.residues import IntArray
from yashe.parameters.paper import PAPER_A, PAPER_B

SHADES = " .:-=+*#%@"
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
    """Return small images side by side as text, two characters for a pixel, captions below."""
    shades = np.array(list(SHADES))[images[..., 0] * (len(SHADES) - 1) // pixel_max]
    width = 2 * images.shape[2] + 3
    lines = [
        "".join("".join(shade * 2 for shade in image[row]).ljust(width) for image in shades)
        for row in range(images.shape[1])
    ]
    return "\n".join([*lines, "".join(caption.ljust(width) for caption in captions)])
