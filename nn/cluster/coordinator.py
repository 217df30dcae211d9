"""Encrypted inference on other processes and machines: batches, and parts of one, as tasks.

    with processes(2) as crew:                                       # nn.cluster.crews
        for logits in predict(network, batches, keys.relinearization, crew.executor):
            ...

It takes any `concurrent.futures.Executor`. A task is bytes in and bytes out: ciphertexts
travel in the format of `yashe.wire`, fresh ones with the seed of their uniform half instead of it.
Network and evaluation key belong to every task and are sent with the first few; each worker keeps
them under their hash, and one that does not know them (a new one) says so and gets them.

A batch is either one task, or its first stage is cut into `parts`: the sums of squares over
different hidden units are independent, and add up, as ciphertexts do,

    batch -+-> part 0: sums over some units -+
           +-> part 1: sums over others     -+-> + -> the other layers -> logits

Each part gets only the pixels that its units look at. This is for more workers than batches: the
sums are larger than the logits, and somebody has to add them.

Workers die. A task that is lost with its worker is given to another one, a bounded number of
times. Tasks have no side effects, so that the logits are what one process computes; with one part
even the ciphertexts are, bit for bit. (The sums of parts are rounded one by one.)

An executor unpickles what it is told: workers and schedulers must be in reach of friends only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from types import NoneType

from nn.cluster.tasks import Network, Step, first_stage_parts, rest, sums_of_part, whole, work
from nn.networks.model import Sequential
from nn.planning.program import Report
from nn.planning.proofs import check_network
from yashe import wire
from yashe.arithmetic.whole import of_kind
from yashe.arithmetic.whole import whole as whole_number
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Key
from yashe.errors import FheError, ParameterError

MOST_ATTEMPTS = 4  # of a task; a worker that dies takes the tasks of its whole pool with it
LOOK_SECONDS = 1.0  # between two looks at a `WatchedExecutor` whose tasks take their time
LOST = (BrokenExecutor, CancelledError, OSError)  # a worker or a connection is gone, not the sums


class WorkersLostError(FheError, RuntimeError):
    """Workers die again and again, or there are none."""


class WatchedExecutor(Executor):
    """An executor that knows when its workers are gone for good, though its tasks still wait."""

    def check(self) -> None:
        """Say so.

        Raises
        ------
        WorkersLostError
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Crew:
    """Workers that are there.

    Attributes
    ----------
    executor : takes tasks
    size : how many it does at the same time
    name : what they are, for people
    """

    executor: Executor = field(repr=False)
    size: int
    name: str


@dataclass
class Task:
    """One call of `work` that has to be made.

    Attributes
    ----------
    batch : its number
    step, frame : what to do with what
    share : of the batch's work
    attempts : how often it was begun
    informed : whether the worker is told the network, in case it does not know
    """

    batch: int
    step: Step = field(repr=False)
    frame: bytes = field(repr=False)
    share: float
    attempts: int = 0
    informed: bool = False


def predict(
    model: Sequential,
    batches: Iterable[Ciphertext],
    relinearization: Key | None,
    executor: Executor | None = None,
    parts: int = 1,
    in_flight: int = 3,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Ciphertext]:
    """Yield the encrypted logits of encrypted batches, computed on the workers of an executor.

    As from `infer`, they are for whoever computes: a client gets `nn.inference.replies.reply_of`
    them.

    Parameters
    ----------
    model : integer network
    batches : Ciphertexts of the model's input shape; one is taken when there is room for it
    relinearization : the relinearisation key of the same keys, or None, as for `infer`
    executor : whose workers compute; by default this process does, as
        `nn.inference.encrypted.infer`
    parts : into how many tasks the first stage of a batch is cut
    in_flight : how many tasks may be with the executor at the same time, which bounds the memory;
        best one more than there are workers, so that the next one is there when one has finished
    progress : told how much has just been done, in batches

    Yields
    ------
    Ciphertext of the model's output shape for every batch in their order

    Raises
    ------
    ParameterError
        If a batch has another shape, or there are no parts or no room for any task.
    WorkersLostError
        If a task was lost with its worker `MOST_ATTEMPTS` times, or all workers are gone for good.
    RangeError, TransparentCiphertextError
        As from `infer`, before a worker gets anything.
    NoiseBudgetExhausted, KeyMismatchError
        From a worker, as from `infer`; what is wrong is not tried again.
    """
    parts = whole_number(parts, "the number of parts of a batch", 1)
    in_flight = whole_number(in_flight, "the number of tasks in flight", 1)
    of_kind(model, "the network", Sequential)
    of_kind(executor, "the executor", Executor, NoneType)
    model = deepcopy(model)  # for all batches the same, and proved: its owner may change the other
    batches = checked(model, batches)
    if executor is None:
        for batch in batches:
            yield whole(model, relinearization, batch, Report(progress=progress))
        return
    key = b"" if relinearization is None else wire.to_bytes(relinearization)
    run = Run(Network(model, key), executor, parts, in_flight)
    source, yielded = iter(batches), 0
    try:
        while True:
            while run.has_room and (ct := next(source, None)) is not None:
                run.add(ct)
            ct = None  # a batch is large, and its frame is in the task
            if run.idle:
                return
            progress(run.advance())
            while yielded in run.replies:
                yield run.replies.pop(yielded)
                yielded += 1
    finally:
        run.cancel()


def checked(model: Sequential, batches: Iterable[Ciphertext]) -> Iterator[Ciphertext]:
    """Yield batches, but refuse those under whose parameters the network may be wrong."""
    known = ""
    for batch in batches:
        of_kind(batch, "a batch", Ciphertext)
        if batch.params.digest != known:
            check_network(model, batch.params)
            known = batch.params.digest
        yield batch.modulo()  # the network's range is proved as a whole, as for `infer`
        del batch  # which is half a gigabyte, while the next one is made


class Run:
    """The tasks of one `predict`: those that wait, those that run, and what has come back.

    Attributes
    ----------
    replies : logits by the number of their batch
    """

    def __init__(self, network: Network, executor: Executor, parts: int, in_flight: int) -> None:
        self.network, self.executor, self.in_flight = network, executor, in_flight
        self.parts = first_stage_parts(network.model, parts)
        self.asked_parts = parts  # the workers cut in the same way
        self.replies: dict[int, Ciphertext] = {}
        self._sums: dict[int, list[Ciphertext]] = {}  # of the parts that have come back
        self._waiting: deque[Task] = deque()
        self._running: dict[Future[bytes | None], Task] = {}
        self._batches = 0
        self._uninformed = in_flight  # so many first tasks carry the network to their workers

    @property
    def has_room(self) -> bool:
        """Whether another batch may come."""
        return len(self._running) + len(self._waiting) < self.in_flight

    @property
    def idle(self) -> bool:
        """Whether everything is done."""
        return not self._running and not self._waiting

    def add(self, ct: Ciphertext) -> None:
        """Make the tasks of another batch, and begin as many as there is room for."""
        expected = self.network.model.input_shape
        if ct.shape != expected:
            raise ParameterError(f"the network takes shape {expected}, got {ct.shape}")
        number, self._batches = self._batches, self._batches + 1
        if len(self.parts) == 1:
            self._waiting.append(Task(number, whole, wire.to_bytes(ct), 1.0))
        else:
            share = 1 / (len(self.parts) + 1)
            for i, part in enumerate(self.parts):
                step = partial(sums_of_part, i, self.asked_parts)
                frame = wire.to_bytes(ct.reshape(-1)[part.inputs])
                self._waiting.append(Task(number, step, frame, share))
        self._begin()

    def advance(self) -> float:
        """Wait until a task has ended, begin others, and return how much was done, in batches."""
        done: set[Future[bytes | None]] = set()
        while not done:
            done, _ = wait(self._running, LOOK_SECONDS, return_when=FIRST_COMPLETED)
            if not done and isinstance(self.executor, WatchedExecutor):
                self.executor.check()
        shares = [self._ended(future, self._running.pop(future)) for future in done]
        self._begin()
        return sum(shares)

    def cancel(self) -> None:
        """Ask the executor to forget what still waits."""
        for future in self._running:
            future.cancel()

    def _begin(self) -> None:
        """Hand waiting tasks over while there is room."""
        while self._waiting and len(self._running) < self.in_flight:
            task = self._waiting.popleft()
            if self._uninformed:
                self._uninformed -= 1
                task.informed = True
            network = self.network if task.informed else None
            try:
                future = self.executor.submit(
                    work, task.step, self.network.digest, network, task.frame
                )
            except BrokenExecutor as error:
                self._again(task, error)
            else:
                self._running[future] = task

    def _ended(self, future: Future[bytes | None], task: Task) -> float:
        """Take what a task has brought, or let it be done again; return the share that is done."""
        try:
            frame = future.result()
        except LOST as error:
            self._again(task, error)
            return 0.0
        if frame is None:
            task.informed = True
            self._waiting.appendleft(task)
            return 0.0
        ct = wire.from_bytes(frame, Ciphertext)
        if task.step in (whole, rest):
            self.replies[task.batch] = ct
            return task.share
        sums = self._sums.setdefault(task.batch, [])
        sums.append(ct)
        if len(sums) == len(self.parts):
            total = sum(sums[1:], start=sums[0])
            del self._sums[task.batch]
            self._waiting.appendleft(Task(task.batch, rest, wire.to_bytes(total), task.share))
        return task.share

    def _again(self, task: Task, error: BaseException) -> None:
        """Put a lost task back; the new worker may not know the network."""
        task.attempts += 1
        if task.attempts >= MOST_ATTEMPTS:
            raise WorkersLostError(
                f"a task was lost with its worker {task.attempts} times ({type(error).__name__}): "
                "perhaps the workers have too little memory, so that fewer of them would do "
                "better; or use an executor that replaces dead workers, as nn.cluster.crews does"
            ) from error
        task.informed = True
        self._waiting.appendleft(task)
