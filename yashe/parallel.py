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
    if getattr(_inside, "busy", False):
        for item in items:
            body(item)
        return

    def guarded(item: T) -> None:
        _inside.busy = True
        try:
            body(item)
        finally:
            _inside.busy = False

    pool, tick = _pool.get(), _tick.get()
    for _ in map(guarded, items) if pool is None else pool.map(guarded, items):
        tick()
