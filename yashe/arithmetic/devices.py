"""Arrays may live elsewhere, in the memory of a GPU, and everything is done where its data are.

NumPy leaves the arrays of other libraries to these libraries (NEP 13, 18 and 35): `np.multiply` of
two arrays of CuPy runs on the GPU. So all is written for NumPy, and three habits keep it so:

    np.empty(shape, like=x)    new arrays are made like given ones
    near(constant, x)          constants follow the data
    blocks(count, bytes, x)    loops cut their work for its place

On a processor the last two do next to nothing. What is done in another way elsewhere is marked with
`by_place`, and stands in `yashe.arithmetic.large` and `yashe.arithmetic.gpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

CACHE_BYTES = 2**20  # working set of a hot loop: with its scratch it fits in a 2 MiB cache
DEVICE_BYTES = 2**28  # elsewhere: large calls, whose scratch still fits in a small GPU

F = TypeVar("F", bound=Callable[..., Any])

elsewhere: dict[type, Any] = {}  # the `yashe.arithmetic.places.Place` of other arrays than NumPy's


def on_host(x: Any) -> bool:
    """Say whether an array is one of NumPy's."""
    return type(x) not in elsewhere


def host(x: Any) -> Any:
    """Return an array as one of NumPy's: a look at its numbers, and a wait for them."""
    return x if on_host(x) else elsewhere[type(x)].get(x)


def near(constant: Any, x: Any) -> Any:
    """Return an array that somebody keeps and nobody changes, or a number, where x is."""
    return elsewhere[type(x)].near(constant, x) if type(x) in elsewhere else constant


def take(x: Any, numbers: Any) -> Any:
    """Return x[numbers], an int64 array of NumPy; a view of x if they are consecutive."""
    flat = numbers.reshape(-1)
    first, last = (int(flat[0]), int(flat[-1])) if len(flat) else (0, 0)
    if last - first + 1 == len(flat) and (flat[1:] - flat[:-1] == 1).all():
        return x[first : last + 1].reshape(*numbers.shape, *x.shape[1:])
    return np.take(x, np.asarray(numbers, like=x), axis=0)


def blocks(total: int, bytes_per_item: int, x: Any) -> Iterator[slice]:
    """Cut range(total) into slices that are done at once where x is."""
    step = max(1, (CACHE_BYTES if on_host(x) else DEVICE_BYTES) // max(1, bytes_per_item))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


def by_place(function: F) -> F:
    """Let places have a function of this name for the array among the first three arguments."""

    @wraps(function)
    def chosen(*given: Any, **options: Any) -> Any:
        way: Callable[..., Any] = function
        if elsewhere and (there := [x for x in given[:3] if not on_host(x)]):
            way = elsewhere[type(there[0])].ways.get(function.__name__, function)
        return way(*given, **options)

    return cast(F, chosen)


def check(flag: Any, act: Callable[[], None]) -> None:
    """Call act(), which repairs a result or refuses it, if a flag is set; elsewhere perhaps later.

    Whoever looks at a number waits for it (`yashe.arithmetic.places.Place.looked`).
    """
    if not on_host(flag):
        elsewhere[type(flag)].check(flag, act)
    elif flag:
        act()
