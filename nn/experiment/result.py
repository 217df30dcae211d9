"""What a run of a network on encrypted images tells, what it has found, and what it has cost."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn.planning.plan import Plan
from nn.planning.program import Line
from yashe.arithmetic.residues import FloatArray, IntArray

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None  # type: ignore[assignment]


class Story:
    """What is told of a run as it goes, and measured on the way.

    Attributes
    ----------
    say : receives the lines
    seconds : for "keys", "encrypt", "infer" and "decrypt", all batches together
    budgets : least noise budgets measured, of the "fresh" images and of the "final" logits
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.seconds: dict[str, float] = {}
        self.budgets: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Story({self.seconds}, {self.budgets})"

    @contextmanager
    def timed(self, name: str) -> Iterator[Callable[[], float]]:
        """Time the body and add it to `name`; what is yielded tells its seconds so far."""
        start = time.perf_counter()
        yield lambda: time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def tell(
        self, what: str, seconds: float | None = None, bits: float | None = None, how: str = ""
    ) -> None:
        """Say a line: what, how long it took, and the noise budget after it with how it is known.

        It fits into 80 columns.
        """
        time_taken = f"{'':>9}" if seconds is None else f"{seconds:>7.2f} s"
        budget = "" if bits is None else f"{bits:>7.1f} bits {how}"
        self.say(f"{what:<47}{time_taken}{budget}".rstrip())

    def measured(
        self, name: str, what: str, bits: FloatArray, seconds: float | None = None
    ) -> None:
        """Say a line with the least noise budget that has been measured of `name` up to now."""
        self.budgets[name] = min(self.budgets.get(name, math.inf), float(bits.min()))
        self.tell(what, seconds, self.budgets[name], "measured")


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
    """

    logits: IntArray
    agree: int
    accuracy: float
    seconds: dict[str, float]
    fresh_budget_bits: float
    final_budget_bits: float
    plan: Plan

    @classmethod
    def of(
        cls, plan: Plan, logits: IntArray, pixels: IntArray, labels: IntArray, story: Story
    ) -> Result:
        """Compare logits with those of the integer network, and their classes with the labels."""
        forward, parts = plan.program.model.forward, np.array_split(pixels, 10)
        expected = np.concatenate([forward(part) for part in parts])
        agree = int((logits == expected).all(axis=1).sum())
        accuracy = float((logits.argmax(axis=1) == labels).mean())
        budgets = story.budgets["fresh"], story.budgets["final"]
        return cls(logits, agree, accuracy, story.seconds, *budgets, plan)

    @property
    def scheme(self) -> str:
        """Name of the scheme."""
        return self.plan.program.scheme.name

    @property
    def encrypted_bytes(self) -> int:
        """Of one batch, or image, encrypted: n log2 q bits for each ring element."""
        return sum(ring_bytes(run, run.steps[0]) for run in self.plan.runs)

    @property
    def reply_bytes(self) -> int:
        """The same of its encrypted logits, after the modulus was switched to fewer primes."""
        return sum(ring_bytes(run, run.steps[-1]) for run in self.plan.runs)

    def __repr__(self) -> str:
        return (
            f"Result({self.scheme}: {len(self.logits):,} images, {self.agree:,} as the integers, "
            f"accuracy {self.accuracy:.2%}, {self.seconds['infer']:.2f} s on the server)"
        )

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


def ring_bytes(run: Plan, line: Line) -> int:
    """Return the bytes of the ciphertexts of a line, n log2 q bits for each ring element."""
    log2_q = math.log2(math.prod(run.params.moduli[: line.level]))
    return round(line.ciphertexts * line.parts * run.params.n * log2_q / 8)


def peak_memory_bytes() -> int | None:
    """Return the largest memory that this process has had, or None where nobody counts it."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
