"""Where arrays live: in the memory of the processor, or in that of a GPU.

NumPy leaves the arrays of other libraries to these libraries (NEP 13, 18 and 35): `np.multiply` of
two arrays of CuPy runs on the GPU. So everything here is written for NumPy, and runs where its data
are. Three habits keep it so:

    np.empty(shape, like=x)    new arrays are made like given ones
    near(constant, x)          constants follow the data, and are copied once
    blocks(count, bytes, x)    loops cut their work for its place

A processor wants blocks that stay in its cache, a GPU few large calls. What NumPy says in several
passes over memory a GPU can do in one (`kernels`), and it goes on computing while Python is ahead
of it: whoever looks at a number waits. So checks that nearly always pass wait for the end (`check`
inside of `checks_later`), and then all of them are one look.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from yashe.errors import ParameterError

CACHE_BYTES = 2**19  # working set of a hot loop: with its scratch it fits in a 2 MiB cache
DEVICE_BYTES = 2**28  # elsewhere: large calls, whose scratch still fits in a small GPU


@dataclass(frozen=True)
class Place:
    """A memory, and what is done there.

    Attributes
    ----------
    name : as in `ct.to(name)`
    about : which one it is, for people
    arrays : type of the arrays there
    put, get : copy a NumPy array there, and one from there
    wait : returns when everything there is computed
    kernels : what `kernels` returns, or None
    uploads : as in `yashe.arithmetic.gpu`, or None where arrays are at once
    """

    name: str
    about: str
    arrays: type
    put: Callable[[Any], Any]
    get: Callable[[Any], Any]
    wait: Callable[[], None]
    kernels: Any = None
    uploads: Any = None


CPU = Place("cpu", "the processor", np.ndarray, np.asarray, np.asarray, lambda: None)
LOADERS: dict[str, Callable[[], Place]] = {
    "cpu": lambda: CPU,
    "gpu": lambda: import_module("yashe.arithmetic.gpu").place(),  # which imports CuPy
}
_places: dict[type, Place] = {np.ndarray: CPU}  # those that are in use
_copies: dict[tuple[int, type, Any], Any] = {}  # of constants


def place(name: Any) -> Place:
    """Return a place by its name.

    Raises
    ------
    ParameterError
        If there is no such place.
    DeviceError
        If it is "gpu", and there is no GPU, or no CuPy.
    """
    if not isinstance(name, str) or name not in LOADERS:
        raise ParameterError(f'data are on the "cpu" or on the "gpu", not on {name!r}')
    found = LOADERS[name]()
    _places[found.arrays] = found
    return found


def place_of(x: Any) -> Place:
    """Return where an array is."""
    return _places.get(type(x), CPU)


def on_host(x: Any) -> bool:
    """Say whether an array is one of NumPy's."""
    return isinstance(x, np.ndarray)


def host(x: Any) -> Any:
    """Return an array as one of NumPy's: a look at its numbers, and a wait for them."""
    return place_of(x).get(x)


def near(constant: Any, x: Any) -> Any:
    """Return a constant array where x is. It is copied there once, and may not change any more.

    Parameters
    ----------
    constant : an array of NumPy that somebody keeps, no view that is made anew; or a number
    """
    if isinstance(x, np.ndarray) or not isinstance(constant, np.ndarray):
        return constant
    key = (id(constant), type(x), getattr(getattr(x, "device", None), "id", None))
    if key not in _copies:
        constant.flags.writeable = False
        _copies[key] = np.asarray(constant, like=x)
        weakref.finalize(constant, _copies.pop, key, None)
    return _copies[key]


def take(x: Any, numbers: Any) -> Any:
    """Return x[numbers], an int64 array of NumPy; a view of x if they are consecutive."""
    flat = numbers.reshape(-1)
    first, last = (int(flat[0]), int(flat[-1])) if len(flat) else (0, 0)
    if last - first + 1 == len(flat) and (flat[1:] - flat[:-1] == 1).all():
        return x[first : last + 1].reshape(*numbers.shape, *x.shape[1:])
    return np.take(x, np.asarray(numbers, like=x), axis=0)


def blocks(total: int, bytes_per_item: int, x: Any) -> Iterator[slice]:
    """Cut range(total) into slices that are done at once where x is."""
    size = CACHE_BYTES if isinstance(x, np.ndarray) else DEVICE_BYTES
    step = max(1, size // max(1, bytes_per_item))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def kernels(x: Any) -> Any:
    """Return the module with fused operations for the place of x, or None if NumPy's are it."""
    return None if isinstance(x, np.ndarray) else place_of(x).kernels


_later: ContextVar[list[Any] | None] = ContextVar("later", default=None)


class LookedTooLate(Exception):
    """A look at the end has found something: compute again, and look at once."""


@contextmanager
def checks_later() -> Iterator[None]:
    """Let `check` look at the flags of a GPU when the block ends, all at once.

    Raises
    ------
    LookedTooLate
        If one of them was set.
    """
    pending: list[Any] = []
    token = _later.set(pending)
    try:
        yield
    finally:
        _later.reset(token)
    if pending and host(np.stack(pending)).any():
        raise LookedTooLate("compute it again, without checks_later")


def check(flag: Any, act: Callable[[], None]) -> None:
    """Call act(), which repairs a result or refuses it, if the flag is set; see `checks_later`."""
    pending = _later.get()
    if pending is not None and place_of(flag) is not CPU:
        pending.append(flag)
    elif host(flag):
        act()
