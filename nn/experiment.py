"""The whole experiment: plan, keys, encryption, inference, decryption, and the comparison.

`run` plays both sides, client and server, in one process, and tells what it does as it goes. What
comes back is compared, logit by logit and image by image, with the integer network in the clear.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from nn.encrypted import Report, decrypt_logits, encrypt_images, infer
from nn.model import Sequential
from nn.plan import Plan, make_plan, ranges
from yashe.bfv import BFV
from yashe.ciphertext import Ciphertext
from yashe.errors import EncodingError
from yashe.paper import INSECURE_YASHE_PAPER_A, PAPER_A, PAPER_B, paper_set_a
from yashe.parallel import watched
from yashe.params import Params
from yashe.residues import IntArray
from yashe.scheme import Scheme
from yashe.security import SOURCE_2024
from yashe.yashe_prime import YASHE

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None  # type: ignore[assignment]

# What is compared with the paper, in the order of `PaperRun.figures`, and how it is written.
FIGURES = {
    "n": ".0f",
    "log2 q": ".0f",
    "plaintext moduli t": ".0f",
    "log2 of their product": ".0f",
    "encrypted batch, bytes": ",.0f",
    "images in it": ".0f",
    "seconds on the server": ".1f",
    "predictions per hour": ",.0f",
}
SHADES = " .:-=+*#%@"
FRESH_SAMPLE = 16  # fresh ciphertexts whose noise is measured; measuring all takes seconds


@dataclass(frozen=True)
class Result:
    """What a run has found.

    Attributes
    ----------
    logits : int64 array, shape (images, classes), decrypted
    agree : images whose decrypted logits all equal those of the integer network
    accuracy : share of images whose largest logit is the label's
    seconds : time for "keys", "encrypt", "infer" and "decrypt", all batches together
    fresh_budget_bits, final_budget_bits : least noise budget measured with the secret key, of the
        images and of the logits before the modulus is switched for the reply
    plan : the Plan
    scheme : name of the scheme
    encrypted_bytes : of one batch of encrypted images, n log2 q bits for each ring element
    reply_bytes : of its encrypted logits, after the modulus was switched to fewer primes
    """

    logits: IntArray
    agree: int
    accuracy: float
    seconds: dict[str, float]
    fresh_budget_bits: float
    final_budget_bits: float
    plan: Plan
    scheme: str
    encrypted_bytes: int
    reply_bytes: int

    @property
    def predictions_per_hour(self) -> float:
        """Images by the hour, from the server's time."""
        return len(self.logits) / self.seconds["infer"] * 3600

    def as_json(self) -> dict[str, Any]:
        """Return the facts as what a JSON file can hold."""
        params = self.plan.params
        return {
            "images": len(self.logits),
            "accuracy": self.accuracy,
            "agree": self.agree,
            "seconds": self.seconds,
            "predictions_per_hour": self.predictions_per_hour,
            "params": {
                "scheme": self.scheme,
                "n": params.n,
                "log2_q": params.log2_q,
                "log2_t": params.log2_t,
                "security_bits": params.security,
            },
            "noise_budget_bits": {
                "fresh": self.fresh_budget_bits,
                "final": self.final_budget_bits,
            },
            "bytes": {"images": self.encrypted_bytes, "reply": self.reply_bytes},
            "peak_memory_bytes": peak_memory_bytes(),
        }


def peak_memory_bytes() -> int | None:
    """Return the largest memory that this process has had, or None where nobody counts it."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Clock:
    """Adds up seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the body and add it to `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def plan_for(model: Sequential, scheme: type[Scheme]) -> Plan:
    """Return the plan of a network: BFV at 128 bits, YASHE' with set A of the CryptoNets paper.

    Set A has room for a larger t than we gave it, for networks that need one.
    """
    if scheme is not YASHE:
        return make_plan(model)
    params, need = INSECURE_YASHE_PAPER_A, ranges(model, model.info.levels)[-1].smallest_t
    if params.t < need:
        params = paper_set_a(f"{params.name}_t{need.bit_length()}", need)
    return make_plan(model, params, public=True, scheme=YASHE)


def run(
    model: Sequential,
    pixels: IntArray,
    labels: IntArray,
    say: Callable[[str], None] = print,
    scheme_type: type[Scheme] = BFV,
) -> Result:
    """Classify images encrypted, in batches of as many as there are slots.

    Parameters
    ----------
    model : integer network
    pixels : int64 array, shape (images, *model.input_shape), values in [0, model.info.levels]
    labels : int64 array, shape (images,)
    say : receives the story, line by line
    scheme_type : BFV or YASHE

    Raises
    ------
    EncodingError
        If there are no images.
    RangeError, NoiseBudgetExhausted
        If the network cannot run encrypted (`nn.plan.make_plan`).
    """
    if len(pixels) == 0:
        raise EncodingError("there are no images to classify: give at least one")
    clock = Clock()
    plan = plan_for(model, scheme_type)
    params = plan.params
    scheme = scheme_type(params)
    say("Plan: what every possible image can cause, proved before anything is encrypted\n")
    say(plan.table())
    say(
        f"\n{scheme.name} with n = {params.n} slots, log2 q = {params.log2_q:.1f} "
        f"({params.k} primes), log2 t = {params.log2_t:.1f}:\n{security_of(params)}. "
        f"Logits need {plan.range_bits:.1f} bits.\n"
    )
    with clock("keys"):
        keys = scheme.keygen()
    say(f"client  makes keys {'':<34}{clock.seconds['keys']:>7.2f} s")

    reports, logits, fresh, final = [], [], float("inf"), float("inf")
    for start in range(0, len(pixels), params.n):
        batch = pixels[start : start + params.n]
        with clock("encrypt"), bar("encrypting", batch[0].size) as progress:
            begin = time.perf_counter()
            with watched(lambda: progress.update(1)):
                ct = encrypt_images(scheme, batch, keys.encryption)
            seconds = time.perf_counter() - begin
        sample = scheme.noise_budget(ct.reshape(-1)[:FRESH_SAMPLE], keys.secret)
        fresh = min(fresh, float(sample.min()))
        say(
            f"client  encrypts {len(batch)} images in {ct.size} ciphertexts, "
            f"{ct.nbytes / 2**20:.0f} MiB".ljust(52)
            + f"{seconds:>7.2f} s    noise budget {fresh:5.1f} bits"
        )
        report = Report()
        with clock("infer"), bar("inferring", 100) as progress:
            report.progress = lambda share: progress.update(round(100 * share, 1))
            logits_ct = infer(scheme, model, ct, keys.relinearization, report)
            reply = scheme.switch_modulus(logits_ct)
        reports.append(report)
        for line in report.layers:
            if line.ciphertexts:
                say(
                    f"server  {line.name:<10} makes {line.ciphertexts:>5} ciphertexts".ljust(52)
                    + f"{line.seconds:>7.2f} s    at least     {line.budget_bits:5.1f} bits"
                )
        final = min(final, float(scheme.noise_budget(logits_ct, keys.secret).min()))
        say(
            f"server  replies modulo {reply.params.k} of {params.k} primes, "
            f"{wire_bytes(reply) / 2**20:.1f} MiB".ljust(52)
            + f"{'':>9}    noise budget {final:5.1f} bits"
        )
        with clock("decrypt"):
            begin = time.perf_counter()
            logits.append(decrypt_logits(scheme, reply, keys.secret, len(batch)))
            seconds = time.perf_counter() - begin
        left = float(scheme.noise_budget(reply, keys.secret).min())
        say(
            f"client  decrypts {reply.size} ciphertexts".ljust(52)
            + f"{seconds:>7.2f} s    noise budget {left:5.1f} bits"
        )
    decrypted = np.concatenate(logits)
    expected = np.concatenate([model.forward(part) for part in np.array_split(pixels, 10)])
    return Result(
        decrypted,
        int((decrypted == expected).all(axis=1).sum()),
        float((decrypted.argmax(axis=1) == labels).mean()),
        clock.seconds,
        fresh,
        final,
        plan,
        scheme.name,
        wire_bytes(ct),
        wire_bytes(reply),
    )


def wire_bytes(ct: Ciphertext) -> int:
    """Return the bytes of ciphertexts, n log2 q bits for each ring element."""
    elements = ct.size * int(ct.rows.shape[1])
    return round(elements * ct.params.n * ct.params.log2_q / 8)


def security_of(params: Params) -> str:
    """Return what is claimed."""
    if params.security is None:
        return f"no security at all ({params.name})"
    return f"{params.security}-bit security by {SOURCE_2024}"


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


def bar(what: str, total: int) -> Any:
    """Return a progress bar, drawn only where stderr is a terminal."""
    return tqdm(total=total, desc=what, disable=None, leave=False)


def drawing(images: IntArray, captions: list[str], pixel_max: int) -> str:
    """Return small images side by side as text, two characters for a pixel, captions below."""
    shades = np.array(list(SHADES))[images[..., 0] * (len(SHADES) - 1) // pixel_max]
    width = 2 * images.shape[2] + 3
    lines = [
        "".join("".join(shade * 2 for shade in image[row]).ljust(width) for image in shades)
        for row in range(images.shape[1])
    ]
    return "\n".join([*lines, "".join(caption.ljust(width) for caption in captions)])
