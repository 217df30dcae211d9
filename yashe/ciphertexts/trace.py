"""The noise of a computation, operation by operation: what was predicted, what is really there.

    with noise.trace(keys.secret) as trace:
        ct = scheme.encrypt([1, 2, 3], keys.public)
        ct = scheme.relinearize(ct * ct, keys.relinearization)
    print(trace.table())
    trace.plot()

Inside of the `with`, every operation that makes new ciphertexts tells its name and its result to
`observe`. A trace decrypts a sample of them to measure their noise, so it needs the secret key: it
is for whoever develops a computation, never for the server. It looks on, and changes nothing: what
it cannot measure, because it is encrypted under another key, it records without a measurement.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from yashe.arithmetic.parallel import alone
from yashe.arithmetic.whole import whole

SAMPLE = 4  # ciphertexts of each result that are measured


@dataclass(frozen=True)
class Step:
    """One operation, or several equal ones in a row.

    Attributes
    ----------
    layer : what the operation belongs to (see `label`), or ""
    operation : its name
    count : ciphertexts it made
    predicted_bits : least predicted noise budget among them
    measured_bits : least measured one among a sample of them, nan if none could be measured
    seconds : since the operation before it, in whatever thread that was
    """

    layer: str
    operation: str
    count: int
    predicted_bits: float
    measured_bits: float
    seconds: float

    def merged(self, other: Step) -> Step:
        """Return both steps as one."""
        return replace(
            self,
            count=self.count + other.count,
            predicted_bits=min(self.predicted_bits, other.predicted_bits),
            measured_bits=float(np.fmin(self.measured_bits, other.measured_bits)),  # nan if both
            seconds=self.seconds + other.seconds,
        )


@dataclass
class Trace:
    """What `trace` has recorded.

    Attributes
    ----------
    secret_key : with which noise is measured
    sample : at most so many ciphertexts of each result are measured, evenly spread
    steps : the operations in their order
    """

    secret_key: Any = field(repr=False)
    sample: int = SAMPLE
    steps: list[Step] = field(default_factory=list)
    _clock: float = field(default_factory=time.perf_counter, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def record(self, operation: str, result: Any) -> None:
        """Measure a result and add a step, or enlarge the last one if it is the same operation."""
        with self._lock:  # several threads may compute
            seconds = time.perf_counter() - self._clock
            if result.size:
                predicted, measured = float(result.noise_budget.min()), self._measured(result)
                step = Step(_label.get(), operation, result.size, predicted, measured, seconds)
                last = self.steps[-1] if self.steps else None
                if last and (last.layer, last.operation) == (step.layer, step.operation):
                    self.steps[-1] = last.merged(step)
                else:
                    self.steps.append(step)
            self._clock = time.perf_counter()  # measuring is not the computation's time

    def _measured(self, result: Any) -> float:
        """Return the least budget in bits among a sample, nan if it cannot be measured."""
        chosen = np.linspace(0, result.size - 1, min(self.sample, result.size)).astype(np.int64)
        chosen[0] = result.noise_budget.argmin()  # the worst one is always measured
        some = result.reshape(-1)[chosen]
        try:
            # Alone, because the workers may be waiting for our lock.
            return float(alone().run(result.scheme.noise_budget, some, self.secret_key).min())
        except Exception:  # noqa: BLE001 (whatever fails here must not end the computation)
            return math.nan

    def table(self) -> str:
        """Return all steps as a table."""
        lines = [
            f"{'layer':<11}{'operation':<30}{'count':>7}{'seconds':>9}{'predicted':>11}"
            f"{'measured':>10}  bits of noise budget"
        ]
        for step in self.steps:
            measured = "-" if math.isnan(step.measured_bits) else f"{step.measured_bits:.1f}"
            lines.append(
                f"{step.layer:<11}{step.operation:<30}{step.count:>7}{step.seconds:>9.3f}"
                f"{step.predicted_bits:>11.1f}{measured:>10}"
            )
        if any(math.isnan(step.measured_bits) for step in self.steps):
            lines.append("-: could not be measured with this key")
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Draw the budget as it falls from step to step, and return Matplotlib's axes.

        Parameters
        ----------
        axes : Matplotlib axes to draw on, or None for new ones

        Raises
        ------
        ImportError
            If Matplotlib is missing; it comes with the extra "notebooks".
        """
        if axes is None:
            try:
                from matplotlib import pyplot  # noqa: PLC0415 (optional)
            except ImportError as error:
                raise ImportError(
                    "trace.plot() needs Matplotlib: pip install 'cryptonets-yashe[notebooks]'"
                ) from error
            axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")[1]
        places = range(len(self.steps))
        measured = [step.measured_bits for step in self.steps]
        predicted = [step.predicted_bits for step in self.steps]
        axes.fill_between(places, predicted, step="mid", alpha=0.2, color="tab:blue")
        axes.step(places, measured, where="mid", color="tab:orange", label="measured with the key")
        axes.step(places, predicted, where="mid", color="tab:blue", label="predicted without it")
        axes.axhline(0, color="black", linewidth=1)
        names = [f"{step.layer}: {step.operation}".removeprefix(": ") for step in self.steps]
        axes.set_xticks(places, names, rotation=40, ha="right", fontsize="small")
        axes.set_ylabel("noise budget (bits)")
        axes.set_title("Every operation spends noise budget")
        axes.legend()
        return axes


_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
_label: ContextVar[str] = ContextVar("label", default="")


@contextmanager
def trace(secret_key: Any, sample: int = SAMPLE) -> Iterator[Trace]:
    """Record the noise of every operation inside; see the module's docstring.

    Parameters
    ----------
    secret_key : of the ciphertexts that will be computed
    sample : how many ciphertexts of each result are measured at most, at least 1

    Raises
    ------
    ParameterError
        If the sample is no positive integer.
    """
    found = Trace(secret_key, whole(sample, "the sample of a trace, ciphertexts,", 1))
    token = _trace.set(found)
    try:
        yield found
    finally:
        _trace.reset(token)


@contextmanager
def label(name: str) -> Iterator[None]:
    """Let the operations inside belong to `name`, for instance to a layer of a network."""
    token = _label.set(name)
    try:
        yield
    finally:
        _label.reset(token)


def observe(operation: str, result: Any) -> None:
    """Tell the trace, if there is one, that an operation has made these ciphertexts."""
    if found := _trace.get():
        found.record(operation, result)
