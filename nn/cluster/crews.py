"""Workers for `nn.cluster`: processes of this machine, or a Dask cluster of several.

    with processes(2) as crew: ...                       two processes here
    with dask_cluster(2) as crew: ...                    two Dask workers here, to try it
    with dask_cluster(address="tcp://host:8786") as crew: ...    the workers of that scheduler

Every worker computes on one thread: batches are what runs at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from nn.cluster.coordinator import Crew, WatchedExecutor, WorkersLostError
from yashe.errors import FheError, ParameterError

T = TypeVar("T")
CONNECT_SECONDS = 20


class MissingDaskError(FheError, ImportError):
    """Dask is not installed."""


class RestartingPool(Executor):
    """A pool of processes that is made anew when one of them dies.

    Python's own pool breaks for good then, with all tasks that it has; they are lost here, too,
    but the next task finds new processes. Processes are spawned, not forked: a copy of a process
    with threads may hang.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ParameterError(f"the number of processes must be at least 1, not {count}")
        self.count = count
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.count, mp_context=get_context("spawn"), initializer=use_one_thread
        )

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Let a process compute fn(*args, **kwargs)."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def use_one_thread() -> None:
    """Leave the other cores to the other processes."""
    threadpool_limits(limits=1, user_api="blas")


@contextmanager
def processes(count: int) -> Iterator[Crew]:
    """Start processes, and end them afterwards.

    Raises
    ------
    ParameterError
        If the count is not positive.
    """
    with RestartingPool(count) as pool:
        wait([pool.submit(use_one_thread) for _ in range(count)])  # until Python has started
        yield Crew(pool, count, f"{count} processes" if count > 1 else "1 process")


class DaskExecutor(WatchedExecutor):
    """The executor of a Dask client, which notices when the scheduler does not come back.

    Dask tries to reach a lost scheduler for `CONNECT_SECONDS`, then gives up; its tasks, however,
    would wait for ever.
    """

    def __init__(self, client: Any) -> None:
        self._client, self._executor = client, client.get_executor(pure=False)

    def check(self) -> None:
        """Refuse to go on with a client that has given up."""
        if self._client.status in ("closing", "closed"):
            raise WorkersLostError(
                "the Dask scheduler is gone, and did not come back: start it again, and the run"
            )

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Let a worker compute fn(*args, **kwargs)."""
        self.check()
        future: Future[T] = self._executor.submit(fn, *args, **kwargs)
        return future


@contextmanager
def dask_cluster(count: int = 1, address: str | None = None) -> Iterator[Crew]:
    """Start Dask workers here, or use those of a scheduler; they need this package, too.

    Dask itself starts a lost worker again and repeats its tasks, three times at most.

    Parameters
    ----------
    count : how many to start, if there is no address
    address : of a scheduler, e.g. "tcp://192.168.0.1:8786"

    Raises
    ------
    MissingDaskError
        If `distributed` is not installed.
    WorkersLostError
        If there is no scheduler (any more), it has no workers, or they died again and again.
    """
    try:  # here, so that only who wants a cluster waits for it
        import dask  # noqa: PLC0415
        import distributed  # noqa: PLC0415
    except ImportError:
        raise MissingDaskError(
            "a cluster needs Dask: pip install 'cryptonets-yashe[cluster]', here and there"
        ) from None
    # A task carries its ciphertexts with it, so that it can be repeated anywhere. Dask would
    # rather have large arguments sent before, and warns.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GB"}):
        if address is None:
            here = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address=None
            )
            with here, distributed.Client(here) as client:
                yield from crew_of(client, "started here")
            return
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise WorkersLostError(
                f"no Dask scheduler answers at {address}: start one with `dask scheduler`, and "
                f"workers with `dask worker {address} --nthreads 1`"
            ) from error
        with client:
            yield from crew_of(client, f"of {address}")


def crew_of(client: Any, where: str) -> Iterator[Crew]:
    """Yield the workers of a Dask client."""
    from distributed.scheduler import KilledWorker  # noqa: PLC0415

    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError) as error:
        raise WorkersLostError(
            "the scheduler has no workers: start some with `dask worker ADDRESS --nthreads 1`"
        ) from error
    size = sum(client.nthreads().values())
    try:
        yield Crew(DaskExecutor(client), size, f"{size} Dask workers {where}")
    except KilledWorker as error:
        raise WorkersLostError(
            "Dask has given up a task whose workers died again and again: perhaps they have too "
            "little memory, so that fewer of them would do better"
        ) from error
