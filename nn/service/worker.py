"""The thread that computes what a `nn.service.store.Store` has queued, whatever happens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from nn.networks.model import Sequential
from nn.planning.packed import ServerKeys
from nn.planning.plan import Plan, make_plan
from nn.service import roles
from nn.service.limits import DiskError, Job, disk_errors
from nn.service.store import Store
from yashe.arithmetic.parallel import workers
from yashe.errors import FheError, NoiseBudgetExhausted

NO_ROOM = (
    "NoiseBudgetExhausted: the parameters have no room for images of this kind: encrypt them with "
    "the secret key"
)
PATIENCE_SECONDS = 0.5  # between two looks at the queue, or at a disk that refuses

T = TypeVar("T")


class OutOfTimeError(FheError, TimeoutError):
    """A job took longer than the server allows."""


class Worker(threading.Thread):
    """Computes the jobs of a store, one after the other.

    Parameters
    ----------
    store : Store
    model : the network of its card
    threads : for one job
    device : where to compute, as for `nn.inference.encrypted.infer`
    """

    def __init__(
        self, store: Store, model: Sequential, threads: int, device: str | None = None
    ) -> None:
        super().__init__(name="worker", daemon=True)
        self._store, self._model, self._threads, self._device = store, model, threads, device
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Finish the job that is being computed and no other; join() waits for that."""
        self._stopping.set()
        self._store.wake()

    @cached_property
    def _plan(self) -> Plan:
        """For one image at once."""
        return make_plan(self._model, mode="single")

    def again(self) -> Worker:
        """Return a new worker, not started, in the place of one that is dead."""
        return Worker(self._store, self._model, self._threads, self._device)

    def run(self) -> None:
        """Compute until `stop` is called; what waits then stays on the disk for the next server."""
        with workers(self._threads):
            self._insist(self._store.take_over)  # what a worker before this one has left
            while not self._stopping.is_set():
                job = self._insist(self._store.begin, PATIENCE_SECONDS)
                if job is not None:
                    start = time.monotonic()
                    error = self._compute(job)
                    self._insist(self._store.finish, job.id, error, time.monotonic() - start)

    def _insist(self, act: Callable[..., T], *values: Any) -> T | None:
        """Do something as soon as the disk lets us; None if we are stopped before."""
        while True:
            try:
                return act(*values)
            except DiskError:  # `State.trouble` says so meanwhile
                if self._stopping.wait(PATIENCE_SECONDS):
                    return None

    def _compute(self, job: Job) -> str:
        """Write the reply of a job; return "", or why there is none."""
        store, start, done = self._store, time.monotonic(), 0.0

        def progress(share: float) -> None:
            nonlocal done
            done = min(1.0, done + share)
            store.progress = (job.id, done)
            if time.monotonic() - start > store.limits.job_seconds:
                raise OutOfTimeError(f"computing took more than {store.limits.job_seconds:g} s")

        try:
            keys = store.load_keys(job.keys)
            network = self._plan if isinstance(keys[0], ServerKeys) else self._model
            with (
                disk_errors(),
                store.path(job.id, ".in").open("rb") as source,
                store.path(job.id, ".out").open("wb") as target,
            ):
                roles.classify(source, target, network, keys, progress, None, self._device)
                target.flush()
                os.fsync(target.fileno())
        except NoiseBudgetExhausted:  # whose numbers are those of the weights
            return NO_ROOM
        except FheError as error:
            return f"{type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001 - no job may end the service
            return f"a fault of the server: {type(error).__name__}"
        return ""
