"""Work on several cores: one helper for every loop over ciphertexts.

Ciphertexts are independent of each other, and NumPy lets other threads run while it computes. So
the loops of the schemes are written as `for_each(body, items)`, which is a plain loop unless inside

    with workers(2):
        ...

BLAS would also like to use all cores for each of its many small products, and two kinds of threads
that fight for the same cores are slower than one: inside `workers`, BLAS gets a single thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from threadpoolctl import threadpool_limits

from yashe.errors import ParameterError

T = TypeVar("T")

_pool: ContextVar[ThreadPoolExecutor | None] = ContextVar("pool", default=None)
_tick: ContextVar[Callable[[], object]] = ContextVar("tick", default=lambda: None)
_inside = threading.local()
GROUP = 4  # ciphertexts that a worker takes at once


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def workers(count: int | None = None) -> Iterator[None]:
    """Let loops inside use `count` threads, by default one for each core.

    Raises
    ------
    ParameterError
        If the count is not positive.
    """
    count = available_cores() if count is None else count
    if count < 1:
        raise ParameterError(f"the number of workers must be at least 1, not {count}")
    with threadpool_limits(limits=1, user_api="blas"):
        pool = ThreadPoolExecutor(count, thread_name_prefix="yashe") if count > 1 else None
        token = _pool.set(pool)
        try:
            yield
        finally:
            _pool.reset(token)
            if pool is not None:
                pool.shutdown()


@contextmanager
def watched(tick: Callable[[], object]) -> Iterator[None]:
    """Call `tick` in this thread whenever a loop inside has finished an item: for progress bars."""
    token = _tick.set(tick)
    try:
        yield
    finally:
        _tick.reset(token)


def for_each(body: Callable[[T], None], items: Iterable[T]) -> None:
    """Call body(item) for all items, in any order, on the workers if there are any.

    An exception of a body is raised here. Loops inside of a body are plain loops.
    """
    _run(body, items, lambda item: 1)


def for_each_group(body: Callable[[slice], None], count: int) -> None:
    """Call body(slice) for a few of `count` items at a time.

    Threads wait for each other whenever one of them is between two calls of NumPy: the more each
    call has to do, the less they wait.
    """
    groups = [slice(i, min(i + GROUP, count)) for i in range(0, count, GROUP)]
    _run(body, groups, lambda group: group.stop - group.start)


def _run(body: Callable[[T], None], tasks: Iterable[T], size: Callable[[T], int]) -> None:
    """Call body(task) for all tasks, and tick for each of the items that a task consists of."""
    if getattr(_inside, "busy", False):
        for task in tasks:
            body(task)
        return

    def guarded(task: T) -> T:
        _inside.busy = True
        try:
            body(task)
        finally:
            _inside.busy = False
        return task

    pool, tick = _pool.get(), _tick.get()
    for task in map(guarded, tasks) if pool is None else pool.map(guarded, tasks):
        for _ in range(size(task)):
            tick()
