"""A plan: a network's program, its parameters, and what is known beside each step.

`nn.planning.plan.make_plan` makes plans. There may be several `runs`, one for each plaintext
modulus; then a plan is the first of them, and knows the others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from nn.networks.base import Shape
from nn.packing.network import Packing
from nn.planning.calibrate import Calibration
from nn.planning.program import Line, Program
from nn.planning.single import PackedProgram
from yashe.arithmetic.whole import of_kind
from yashe.ciphertexts.keys import Keys
from yashe.errors import ParameterError
from yashe.parameters.sets import Params
from yashe.schemes.yashe import YasheKeys


@dataclass(frozen=True)
class Plan:
    """A network's program, parameters that carry it, and the proof: see `make_plan`.

    Attributes
    ----------
    program : what the server will do
    params : Params
    levels : pixels are 0..levels
    digest : of the network, of which all this has been proved
    steps : lines of its table, from the client to the server and back
    bytes : of the encrypted "images", the "keys" that the server needs, and the "reply"
    reasons : why these parameters, sentences; empty if they were given
    others : plans for the other plaintext moduli of the same computation, if it takes several
    calibration : what the seconds are taken from, if there are any
    """

    program: Program
    params: Params
    levels: int
    digest: str
    steps: tuple[Line, ...]
    bytes: dict[str, int]
    reasons: tuple[str, ...] = ()
    others: tuple[Plan, ...] = ()
    calibration: Calibration | None = None

    def __repr__(self) -> str:
        return (
            f"Plan({self.params}, {len(self.steps)} steps, logits of {self.range_bits:.1f} bits, "
            f"noise budget >= {self.final_budget_bits:.1f} bits)"
        )

    @property
    def mode(self) -> str:
        """How images stand in ciphertexts: "single", one in the slots, or "batch", one a slot."""
        return "batch" if self.packing is None else "single"

    @property
    def packing(self) -> Packing | None:
        """How one image fills the slots; None in a batch."""
        return self.program.network.packing if isinstance(self.program, PackedProgram) else None

    @property
    def capacity(self) -> str:
        """How many images a run takes, and how many runs an image."""
        if self.packing is None:
            return f"up to {self.params.n:,} images"
        return "one image" + f", in each of {len(self.runs)} runs" * bool(self.others)

    @property
    def runs(self) -> tuple[Plan, ...]:
        """One plan for each plaintext modulus, under which the server computes the same."""
        return (self, *self.others)

    def check_unchanged(self) -> None:
        """Refuse a network that has changed since the plan was made.

        Raises
        ------
        ParameterError
        """
        if self.program.model.digest != self.digest:
            raise ParameterError(
                "the network has changed since this plan was made, its layers, levels or "
                "parameters, and nothing is proved of what it is now: make_plan(model)"
            )

    def server_keys(self, keys: Any) -> Any:
        """Return what `infer` takes of a client's keys, or None if it needs nothing.

        Rotation keys are made if it needs them.

        Raises
        ------
        KindError
            If they are not what `scheme.keygen` returns.
        """
        of_kind(keys, "the keys of a client", Keys, YasheKeys)
        if isinstance(self.program, PackedProgram):
            return self.program.keys.make(self.program.scheme, keys.secret)
        return keys.relinearization if self.program.needs_keys else None

    @property
    def input_shape(self) -> Shape:
        """Shape of one image."""
        return self.program.model.input_shape

    @property
    def range_bits(self) -> float:
        """Bits that the logits need, which t must have."""
        bits = self.steps[-1].range_bits
        assert bits is not None  # a plan has proved it
        return bits

    @property
    def final_budget_bits(self) -> float:
        """Predicted noise budget of the encrypted logits, before they become a reply."""
        return self.steps[len(self.program.steps)].budget_bits

    @property
    def server_seconds(self) -> float | None:
        """Estimated seconds of the server, if the plan was calibrated."""
        if self.calibration is None:
            return None
        return sum(self.calibration.estimate(s.work) for s in self.steps if s.on == "server")

    def calibrated(self, calibration: Calibration) -> Plan:
        """Return the plan, and those for the other moduli, with seconds."""
        steps = (replace(step, seconds=calibration.estimate(step.work)) for step in self.steps)
        others = tuple(plan.calibrated(calibration) for plan in self.others)
        return replace(self, steps=tuple(steps), others=others, calibration=calibration)

    def seconds_for(self, images: int, cores: int = 1) -> float:
        """Return the server's seconds for so many images.

        Batches follow each other. One image at once has a core for every run, if there are so many.

        Raises
        ------
        ParameterError
            If the plan was not calibrated.
        """
        if self.calibration is None:
            raise ParameterError("only a plan with seconds tells them: plan.calibrated(...)")
        total = sum(run.server_seconds or 0.0 for run in self.runs)
        if self.packing is None:
            return total * -(-images // self.params.n)
        return total * images / min(cores, len(self.runs))

    def __str__(self) -> str:
        mib = {name: size / 2**20 for name, size in self.bytes.items()}
        lines = [
            f"{'':<45}{'cipher-':>8}{'range, bits':>13}{'bits':>7}{'sec-':>7}",
            f"{'on':<7}{'step':<32}{'level':>6}{'texts':>8}{'proved':>7}{'seen':>6}"
            f"{'left':>7}{'onds':>7}",
            *map(row, self.steps),
            "",
            f"wire    images {mib['images']:.1f} MiB, keys {mib['keys']:.1f} MiB, "
            f"reply {mib['reply']:.2f} MiB",
            f"server  {or_dash(self.server_seconds, 2)} s for {self.capacity}",
        ]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as what a JSON file can hold."""
        return {
            "levels": self.levels,
            "steps": [asdict(step) for step in self.steps],
            "bytes": self.bytes,
            "reasons": self.reasons,
            "params": {
                "name": self.params.name,
                "n": self.params.n,
                "log2_q": self.params.log2_q,
                "log2_t": self.params.log2_t,
                "primes": self.params.k,
                "security_bits": self.params.security,
            },
            "server_seconds": self.server_seconds,
        }


def row(line: Line) -> str:
    """Return a line of a plan's table as text."""
    known = f"{or_dash(line.range_bits, 1):>7}{or_dash(line.seen_bits, 1):>6}"
    made = f"{line.level:>6}{line.ciphertexts:>8,}{known}{line.budget_bits:>7.1f}"
    return f"{line.on:<7}{line.what:<32}{made}{or_dash(line.seconds, 2):>7}"


def or_dash(value: float | None, digits: int) -> str:
    """Return a number as text, or a dash for what is not known."""
    return "-" if value is None else f"{value:.{digits}f}"
