"""Work on several cores: one helper for every loop over ciphertexts.

Ciphertexts are independent of each other, and NumPy lets other threads run while it computes. So
the loops of the schemes are written as `for_each(body, items)`, which is a plain loop unless inside

    with workers(2):
        ...

Bodies run in copies of the caller's context: what holds there (`noise.trace`, `trace.label`,
`noise.unchecked`, since NumPy 2.0 `numpy.errstate`) holds in all threads of the pool. Threads that
you start yourself begin with an empty context, as usual in Python: there loops are plain, and
nothing is traced. Give a copy of yours to every call if they shall have it, too:

    futures = [mine.submit(copy_context().run, scheme.encrypt, x, key) for x in values]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from yashe.arithmetic.blas import limit, one_blas_thread
from yashe.arithmetic.devices import by_place
from yashe.arithmetic.whole import whole

T = TypeVar("T")

GROUP = 4  # ciphertexts that a thread beside others takes at once
MOST_WORKERS = 1024  # each may become a thread, and no machine that we know has more cores

_pool: ContextVar[ThreadPoolExecutor | None] = ContextVar("pool", default=None)
_tick: ContextVar[Callable[[], object]] = ContextVar("tick", default=lambda: None)
_open: set[ThreadPoolExecutor] = set()  # whose threads exist
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_open.clear)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def workers(count: int | None = None) -> Iterator[None]:
    """Let loops inside use `count` threads, by default one for each core.

    The child of an `os.fork` has none of them: its loops are plain until it has its own `workers`.

    Raises
    ------
    ParameterError
        If the count is no integer from 1 to `MOST_WORKERS`.
    """
    what = "the number of workers, by default one for each core,"
    count = available_cores() if count is None else whole(count, what, 1, MOST_WORKERS)
    with one_blas_thread:
        # Some BLAS libraries (MKL, those with OpenMP) have a number of threads for every thread.
        pool = ThreadPoolExecutor(count, "yashe", initializer=limit) if count > 1 else None
        token = _pool.set(pool)
        if pool:
            _open.add(pool)
        try:
            yield
        finally:
            _pool.reset(token)
            if pool in _open:
                _open.remove(pool)
                pool.shutdown()


@contextmanager
def watched(tick: Callable[[], object]) -> Iterator[None]:
    """Call `tick` in this thread whenever a loop inside has finished an item: for progress bars."""
    token = _tick.set(tick)
    try:
        yield
    finally:
        _tick.reset(token)


def alone() -> Context:
    """Return a copy of this thread's context in which loops are plain and nobody watches them."""
    context = copy_context()
    context.run(_pool.set, None)
    context.run(_tick.set, lambda: None)
    return context


def for_each(
    body: Callable[[T], None], items: Iterable[T], size: Callable[[T], int] = lambda item: 1
) -> None:
    """Call body(item) for all items, in any order, on the workers if there are any.

    Loops inside of a body are plain loops, unless it has `workers` of its own. If bodies raise, the
    exception of the first such item is raised here, as in a plain loop, once no body runs any more;
    those that have not begun are left out.

    Parameters
    ----------
    size : how often whoever watches is told that an item is finished
    """
    pool, tick, context = _pool.get(), _tick.get(), alone()

    def call(item: T) -> None:
        context.copy().run(body, item)  # a context cannot serve two threads at once

    def finished(item: T) -> None:
        for _ in range(size(item)):
            tick()

    with one_blas_thread:
        if pool not in _open:
            for item in items:
                call(item)
                finished(item)
            return
        begun: list[tuple[T, Future[None]]] = []
        try:
            for item in items:
                begun.append((item, pool.submit(call, item)))
            for item, future in begun:
                future.result()
                finished(item)
        finally:
            for _, future in begun:
                future.cancel()
            wait([future for _, future in begun])


@by_place
def for_each_group(
    body: Callable[[slice], None], count: int, results: Any, group: int = GROUP
) -> None:
    """Call body(slice) for a few of `count` items at a time.

    Threads wait for each other whenever one of them is between two calls of NumPy: the more each
    call has to do, the less they wait. So several threads take `GROUP` items at a time.

    Parameters
    ----------
    results : array with an entry for every item, in the memory where the work is done
    group : how many items a processor takes at a time where there is one thread
    """
    if _pool.get() in _open:
        group = max(group, GROUP)

    def length(some: slice) -> int:
        return int(some.stop - some.start)

    groups = [slice(i, min(i + group, count)) for i in range(0, count, group)]
    for_each(body, groups, length)
