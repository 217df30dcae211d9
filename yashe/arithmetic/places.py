"""Places by name, "cpu" and "gpu": two memories, and the way of arrays between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np

from yashe.arithmetic.devices import elsewhere, host
from yashe.arithmetic.residues import FloatArray, worst_products
from yashe.errors import ExactnessError, ParameterError


@dataclass(frozen=True, eq=False)
class Place:
    """A memory, and what is done there; if nothing else is said, that of the processor.

    Attributes
    ----------
    name : as in `ct.to(name)`
    about : which one it is, for people
    arrays : type of the arrays there
    put, get : copy a NumPy array there, and one from there
    near : returns a constant there, which is the second argument's place
    check : what `devices.check` does there
    looked : calls a function; elsewhere flags of `check` wait for its end, and are one look
    wait : returns when everything there is computed
    ways : functions that are done in another way there (`devices.by_place`), by name
    uploads : as in `yashe.arithmetic.gpu`, or None where arrays are at once
    """

    name: str = "cpu"
    about: str = "the processor"
    arrays: type = np.ndarray
    put: Callable[[Any], Any] = np.asarray
    get: Callable[[Any], Any] = np.asarray
    near: Callable[[Any, Any], Any] = lambda constant, x: constant
    check: Callable[[Any, Callable[[], None]], None] = lambda flag, act: act() if flag else None
    looked: Callable[[Callable[[], Any]], Any] = lambda compute: compute()
    wait: Callable[[], None] = lambda: None
    ways: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    uploads: Any = None


CPU = Place()
LOADERS: dict[str, Callable[[], Place]] = {
    "cpu": lambda: CPU,
    "gpu": lambda: import_module("yashe.arithmetic.gpu").place(),  # which imports CuPy
}


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
    if found is not CPU:
        elsewhere[found.arrays] = found
    return found


def place_of(x: Any) -> Place:
    """Return where an array is."""
    found: Place = elsewhere.get(type(x), CPU)
    return found


@lru_cache(maxsize=16)
def check_place_is_exact(there: Place) -> None:
    """Compare worst-case matrix products with Python integers, also a large one.

    A library that splits, rescales or shortens its numbers may do so for large products only.

    Raises
    ------
    ExactnessError
        If the matrix product there is not exact below 2^53.
    """
    shapes = [(1, 3), (64, 128), (128, 128), (512, 128)]
    for times, (x, *columns) in product([1, 64], worst_products(shapes)):
        y, z = (there.put(np.tile(m, times)) for m in columns)
        if not there.get((np.matmul(there.put(x), y) == z).all()):
            raise ExactnessError(
                f"the float64 matrix product of the {there.name} is not exact for integers below "
                "2^53: turn off what emulates or shortens it, such as "
                "CUBLAS_EMULATE_DOUBLE_PRECISION"
            )


def moved(x: FloatArray, name: Any) -> FloatArray:
    """Return an array in the memory of a place, "cpu" or "gpu"; itself, if it is there.

    Raises
    ------
    ParameterError
        If there is no such place.
    DeviceError
        If there is no GPU, or no CuPy.
    ExactnessError
        If matrix products are not exact there.
    """
    there = place(name)
    if isinstance(x, there.arrays):
        return x
    check_place_is_exact(there)
    found: FloatArray = there.put(host(x))
    return found
