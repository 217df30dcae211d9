"""One image at once, with a process for each plaintext modulus.

    with runs(make_plan(model, mode="single")) as both:
        both.encrypt(image)          # the client's part
        both.infer()                 # the server's
        logits = both.decrypt()      # the client's

The runs of a plan do not depend on each other, and are some hundred short calls of NumPy each,
between which threads would wait for the interpreter: with a process each, two runs on two cores
take as long as one. A process is client and server of its run, as `nn.experiment` is in one
process; `nn.service` keeps them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

from nn.cluster.coordinator import WorkersLostError
from nn.cluster.crews import use_one_thread
from nn.inference.ahead import Ahead, Announcement
from nn.inference.encrypted import Report, decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.inference.split import join
from nn.planning.plan import Plan
from nn.planning.program import StepReport
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import FormError
from yashe.schemes.bgv import BGV


class Budgets(NamedTuple):
    """Least noise budgets in bits, measured with the secret key.

    Attributes
    ----------
    fresh, final : of the encrypted image, and of the logits
    """

    fresh: float
    final: float


class Run:
    """Client and server of one run.

    Attributes
    ----------
    plan : of this plaintext modulus
    device : where the server computes
    """

    def __init__(self, plan: Plan, device: str = "cpu") -> None:
        self.plan, self.scheme, self.device = plan, BGV(plan.params), device
        self._keys = self.scheme.keygen()
        self._server_keys = plan.server_keys(self._keys)
        plan.program.prepare()
        self._announced: Announcement | None = None
        self._ahead: Ahead | None = None
        self._image: Ciphertext | None = None
        self._logits: Ciphertext | None = None
        self._reply: Ciphertext | None = None

    def __repr__(self) -> str:
        return f"Run({self.plan.params.name}, t = {self.plan.params.t})"

    def prepare(self) -> None:
        """Server: do what the next image is not needed for (`nn.inference.ahead`)."""
        self._announced = Announcement(self.scheme, self.plan, self._keys.secret)
        self._ahead = Ahead(self.plan, self._announced.seeds, self._server_keys)

    def encrypt(self, pixels: IntArray) -> None:
        """Client: encrypt an image, shape (1, *input_shape)."""
        if self._announced is None:
            self._ahead = None  # is for another image
            self._image = encrypt_images(self.scheme, self.plan, pixels, self._keys.encryption)
        else:
            self._image, self._announced = self._announced.encrypt(pixels), None

    def infer(self) -> list[StepReport]:
        """Server: compute the reply, and return what the steps have cost."""
        report, image = Report(), needed(self._image, "encrypt")
        if self._ahead is None:
            keys = self._server_keys
            self._logits = infer(self.scheme, self.plan, image, keys, report, device=self.device)
        else:
            ahead, self._ahead = self._ahead, None
            self._logits = ahead.infer(image, report)
        self._reply = reply_of(self.scheme, self._logits)
        return report.steps

    def decrypt(self) -> IntArray:
        """Client: return the logits modulo t, shape (1, outputs)."""
        reply = needed(self._reply, "infer")
        return decrypt_logits(self.scheme, reply, self._keys.secret, 1, self.plan)

    def budgets(self) -> Budgets:
        """Client: measure the noise of the last image."""
        both = needed(self._image, "encrypt"), needed(self._logits, "infer")
        found = (self.scheme.noise_budget(ct, self._keys.secret).min() for ct in both)
        return Budgets(*map(float, found))


def needed(ct: Ciphertext | None, verb: str) -> Ciphertext:
    """Return a ciphertext, or refuse that there is none yet.

    Raises
    ------
    FormError
    """
    if ct is None:
        raise FormError(f"there is no ciphertext yet: call {verb}() before")
    return ct


@dataclass
class Runs:
    """All runs of a plan, at the same time.

    Attributes
    ----------
    plan : for one image at once
    call : does one verb of every run, and returns what they return
    """

    plan: Plan
    call: Callable[..., list[Any]] = field(repr=False)

    def prepare(self) -> None:
        """Server: do what the next image is not needed for, before `encrypt`."""
        self.call("prepare")

    def encrypt(self, pixels: IntArray) -> None:
        """Client: encrypt an image, shape (1, *input_shape), once for every modulus."""
        self.call("encrypt", pixels)

    def infer(self) -> list[StepReport]:
        """Server: compute the replies, and return what the steps of the slowest run have cost."""
        reports: list[list[StepReport]] = self.call("infer")
        return max(reports, key=lambda steps: sum(step.seconds for step in steps))

    def decrypt(self) -> IntArray:
        """Client: return the logits, shape (1, outputs)."""
        return join(self.call("decrypt"), [run.params.t for run in self.plan.runs])

    def budgets(self) -> Budgets:
        """Client: measure the noise of the last image; the least of all runs."""
        return Budgets(*np.min(self.call("budgets"), axis=0).tolist())


@contextmanager
def runs(plan: Plan, workers: int = 2, device: str = "cpu") -> Iterator[Runs]:
    """Make keys for every run of a plan, in a process each if there are workers for it.

    On a GPU, which is one for all of them, there is this process only.

    Raises
    ------
    WorkersLostError
        From any verb, if a process has died.
    """
    if min(workers, len(plan.runs)) < 2 or device != "cpu":
        here = [Run(one, device) for one in plan.runs]
        yield Runs(plan, lambda verb, *given: [getattr(run, verb)(*given) for run in here])
        return
    count = len(plan.runs)
    with process_each(Run, [(one,) for one in plan.runs]) as call:
        yield Runs(plan, lambda verb, *given: call(verb, *([x] * count for x in given)))


@contextmanager
def process_each(
    kind: Callable[..., Any], given: Sequence[tuple[Any, ...]]
) -> Iterator[Callable[..., list[Any]]]:
    """Make an object in a process of its own for each of several tuples of arguments.

    Yields
    ------
    call(verb, *arguments) does a verb of all objects at the same time, and returns what they
    return. Each argument is a sequence, with one for each object.

    Raises
    ------
    WorkersLostError
        From a call, if a process has died.
    """
    with ExitStack() as stack:
        pools = [
            stack.enter_context(
                ProcessPoolExecutor(
                    1, mp_context=get_context("spawn"), initializer=begin, initargs=(kind, some)
                )
            )
            for some in given
        ]

        def call(verb: str, *arguments: Sequence[Any]) -> list[Any]:
            try:
                each = zip(pools, *arguments, strict=True)
                futures = [pool.submit(act, verb, *some) for pool, *some in each]
                return [future.result() for future in futures]
            except BrokenExecutor as error:
                raise WorkersLostError(
                    "a process for one image at once has died, and what it held with it: begin anew"
                ) from error

        call("__repr__")  # until they are made
        yield call


_own: list[Any] = []  # of a process: the object that it is there for


def begin(kind: Callable[..., Any], given: tuple[Any, ...]) -> None:
    """Start a process: make its object."""
    use_one_thread()
    _own.append(kind(*given))


def act(verb: str, *given: Any) -> Any:
    """Do one verb of this process's object."""
    return getattr(_own[0], verb)(*given)
