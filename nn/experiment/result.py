"""What a run of a network on encrypted images has found, and what it has cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nn.planning.plan import Plan
from yashe.arithmetic.residues import IntArray

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None  # type: ignore[assignment]


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

    def __repr__(self) -> str:
        return f"Clock({self.seconds})"

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the body and add it to `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
