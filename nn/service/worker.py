"""The thread that computes what a `nn.service.store.Store` has queued."""

from __future__ import annotations

import threading
import time

from nn.networks.model import Sequential
from nn.service import roles
from nn.service.store import DONE, FAILED, RUNNING, Store
from yashe import wire
from yashe.arithmetic.parallel import workers
from yashe.ciphertexts.keys import BgvRelinearizationKey
from yashe.errors import FheError, NoiseBudgetExhausted
from yashe.wire.files import open_input, whole_file

NO_ROOM = (
    "NoiseBudgetExhausted: the parameters have no room for images of this kind: encrypt them with "
    "the secret key"
)


class OutOfTimeError(FheError, TimeoutError):
    """A job took longer than the server allows."""


class Worker(threading.Thread):
    """Computes the jobs of a store, one after the other.

    Parameters
    ----------
    store : Store
    model : the network of its card
    threads : for one job
    """

    def __init__(self, store: Store, model: Sequential, threads: int) -> None:
        super().__init__(name="worker", daemon=True)
        self._store, self._model, self._threads = store, model, threads
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Finish the job that is being computed and no other; join() waits for that."""
        self._stopping.set()
        self._store.queue.put(None)

    def run(self) -> None:
        """Compute until `stop` is called; what waits then stays on the disk for the next server."""
        with workers(self._threads):
            while (name := self._store.queue.get()) is not None and not self._stopping.is_set():
                self._compute(name)

    def _compute(self, name: str) -> None:
        store, start = self._store, time.monotonic()
        job = store.change(name, status=RUNNING, attempts=store.job(name).attempts + 1)
        done = 0.0

        def progress(share: float) -> None:
            nonlocal done
            done = min(1.0, done + share)
            store.note_progress(name, done)
            if time.monotonic() - start > store.limits.job_seconds:
                raise OutOfTimeError(f"computing took more than {store.limits.job_seconds:g} s")

        try:
            key = wire.load(store.key_path(job.keys), BgvRelinearizationKey, store.card.params)
            with (
                open_input(store.path(name, ".in")) as source,
                whole_file(store.path(name, ".out")) as target,
            ):
                roles.classify(source, target, self._model, key, progress)
            outcome: dict[str, object] = {"status": DONE, "progress": 1.0}
        except NoiseBudgetExhausted:  # whose numbers are those of the weights
            outcome = {"status": FAILED, "error": NO_ROOM}
        except FheError as error:
            outcome = {"status": FAILED, "error": f"{type(error).__name__}: {error}"}
        except Exception as error:  # noqa: BLE001 - one bad job must not end the service
            outcome = {"status": FAILED, "error": f"a fault of the server: {type(error).__name__}"}
        store.change(name, **outcome, seconds=time.monotonic() - start)
