"""One thread for BLAS, the library behind NumPy's matrix products, while we compute.

BLAS would like to use all cores for each of our many small products. Threads that wait for each
other after every small product gain nothing, and where other threads or programs want the same
cores they lose a lot: encryption becomes ten times slower. So loops and transforms run inside of

    with one_blas_thread:
        ...
"""

from __future__ import annotations

import os
from contextlib import ContextDecorator
from functools import cache
from threading import Lock, get_ident
from typing import Any

import numpy as np  # noqa: F401 (so that its BLAS is there to be found)
from threadpoolctl import ThreadpoolController


@cache
def libraries() -> list[Any]:
    """Find the BLAS libraries of this process: NumPy's, and others that are there by now.

    Only the first call looks, because looking takes a millisecond. Libraries that are loaded later
    (SciPy brings its own) keep their threads: we do not compute with them.
    """
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def set_threads(library: Any, number: int) -> None:
    """Set how many threads a library uses."""
    # Newer versions of threadpoolctl obey only one thread, the first one, until that lets go.
    let_go = getattr(library, "clear_controlling_thread", lambda force: None)
    let_go(force=True)
    library.set_num_threads(number)
    let_go(force=True)


def limit() -> list[tuple[Any, int]]:
    """Set all libraries to one thread, and return those that had more, with their numbers."""
    found = [(library, library.num_threads) for library in libraries()]
    several = [(library, number) for library, number in found if number != 1]
    for library, _ in several:
        set_threads(library, 1)
    return several


class OneBlasThread(ContextDecorator):
    """The block of a `with`, or a decorated function, in which BLAS has one thread.

    A process has one number of BLAS threads. Whoever comes first, from any thread, sets it to one,
    and whoever leaves last sets it back, in whatever order they come and go.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._inside: list[int] = []  # threads, as often as they have come
        self._before: list[tuple[Any, int]] = []  # what has to be set back

    def __enter__(self) -> None:
        libraries()  # looks without the lock
        with self.lock:
            if not self._inside:
                self._before = limit()
            self._inside.append(get_ident())

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self._inside.remove(get_ident())
            self._set_back()

    def _set_back(self) -> None:
        if not self._inside:
            for library, number in self._before:
                if library.num_threads == 1:  # else somebody else has set it since: let it be
                    set_threads(library, number)
            self._before = []

    def after_fork_in_child(self) -> None:
        """Forget the other threads, which the child does not have."""
        self._inside = [thread for thread in self._inside if thread == get_ident()]
        self._set_back()
        self.lock.release()


one_blas_thread = OneBlasThread()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(  # nobody is half inside when the process is copied
        before=one_blas_thread.lock.acquire,
        after_in_parent=one_blas_thread.lock.release,
        after_in_child=one_blas_thread.after_fork_in_child,
    )
