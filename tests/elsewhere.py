"""An array that lives elsewhere, as on a GPU: a stand-in for those of CuPy, on any machine.

NumPy's functions reach it by dispatch only. Whatever would move numbers between it and NumPy
without being told to is an error here, also where CuPy would allow it: a look at a number waits for
all that was started before, so every look is an explicit `get`, and is counted. Functions and
methods are those that CuPy has too, and no others. `yashe.arithmetic.gpu` runs as it is, with a
stand-in for CuPy.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from yashe.arithmetic import devices
from yashe.arithmetic.devices import Place
from yashe.arithmetic.residues import check_matrix_product_is_exact

CREATE = {np.asarray, np.empty, np.zeros}  # with like=
FUNCTIONS = {
    np.argwhere, np.concatenate, np.einsum, np.empty_like, np.stack, np.take, np.where,
}  # fmt: skip
METHODS = {"all", "any", "astype", "copy", "max", "reshape", "sum", "swapaxes", "transpose"}
calls: Counter[str] = Counter()  # of functions, and of "get" and "put"


class Elsewhere(NDArrayOperatorsMixin):
    """The array. Only `get` gives its numbers away."""

    def __init__(self, hidden: Any) -> None:
        self._hidden = np.asarray(hidden)

    def get(self) -> Any:
        """Return the numbers, in new memory."""
        calls["get"] += 1
        return self._hidden.copy()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            raise TypeError(f"np.{ufunc.__name__}.{method} is nothing that CuPy has")
        calls[ufunc.__name__] += 1
        given = {name: _open(value) for name, value in options.items()}
        found = ufunc(*map(_open, inputs), **given)
        return options["out"][0] if "out" in options else Elsewhere(found)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        calls[function.__name__] += 1
        if function in CREATE:
            if isinstance(args[0], Elsewhere):
                return args[0]
            return Elsewhere(np.array(function(*args, **options)))
        if function not in FUNCTIONS:
            raise TypeError(f"np.{function.__name__} is nothing that we know CuPy to have")
        found = function(*map(_open, args), **{name: _open(x) for name, x in options.items()})
        return Elsewhere(found)

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"{name} is nothing that we know an array of CuPy to have")
        calls[name] += 1
        return lambda *args, **options: Elsewhere(getattr(self._hidden, name)(*args, **options))

    def __getitem__(self, key: Any) -> Elsewhere:
        return Elsewhere(self._hidden[_open(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._hidden[_open(key)] = _open(value)

    def __len__(self) -> int:
        return len(self._hidden)

    def __iter__(self) -> Iterator[Elsewhere]:
        return (self[i] for i in range(len(self)))

    def _refuse(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("a number elsewhere is looked at by devices.host only")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __complex__ = _refuse

    T = property(lambda self: Elsewhere(self._hidden.T))
    dtype = property(lambda self: self._hidden.dtype)
    nbytes = property(lambda self: self._hidden.nbytes)
    ndim = property(lambda self: self._hidden.ndim)
    shape = property(lambda self: self._hidden.shape)
    size = property(lambda self: self._hidden.size)


def _open(x: Any) -> Any:
    """Return what NumPy computes with, and refuse its own arrays beside those elsewhere."""
    if isinstance(x, Elsewhere):
        return x._hidden
    if isinstance(x, np.ndarray):
        raise TypeError(f"an array of NumPy, of shape {x.shape}, beside one elsewhere")
    return type(x)(map(_open, x)) if isinstance(x, list | tuple) else x


def put(x: Any) -> Elsewhere:
    """Copy an array of NumPy there."""
    assert type(x) is np.ndarray
    calls["put"] += 1
    return Elsewhere(x.copy())


def fuse() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a function of arrays one of arrays elsewhere, as `cupy.fuse()` does.

    What it calls are operators and functions of `cupy`; here they are NumPy's.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*args: Any) -> Any:
            calls["fused"] += 1
            found = function(*map(_open, args))
            return None if found is None else Elsewhere(found)

        return fused

    return decorate


def stand_in() -> ModuleType:
    """Return a module in the place of `cupy`, with what `yashe.arithmetic.gpu` takes from it."""
    cupy = ModuleType("cupy")
    stream = SimpleNamespace(synchronize=lambda: calls.update(wait=1))
    vars(cupy).update(
        __version__="0", fuse=fuse, rint=np.rint, where=np.where, ndarray=Elsewhere, asarray=put,
        asnumpy=Elsewhere.get, zeros=lambda n: Elsewhere(np.zeros(n)),
        cuda=SimpleNamespace(
            get_current_stream=lambda: stream, Device=lambda: SimpleNamespace(id=0),
            runtime=SimpleNamespace(getDeviceProperties=lambda number: {"name": b"a stand-in"}),
        ),
    )  # fmt: skip
    return cupy


@cache
def module() -> ModuleType:
    """Return `yashe.arithmetic.gpu`, loaded with the stand-in."""
    spec = find_spec("yashe.arithmetic.gpu")
    assert spec is not None
    assert spec.loader is not None
    gpu, before = module_from_spec(spec), {name: sys.modules.get(name) for name in MODULES}
    sys.modules.update({"cupy": stand_in(), "yashe.arithmetic.gpu": gpu})
    spec.loader.exec_module(gpu)
    gpu.place()  # it names its own module
    for name, old in before.items():
        del sys.modules[name]
        if old is not None:
            sys.modules[name] = old
    return gpu


def register(patch: Any, fused: bool = True) -> str:
    """Make the place known for a test, and return its name, for `ct.to(name)`."""
    there = module().place()
    if not fused:
        there = ONLY_NUMPY
    patch.setitem(devices.LOADERS, "gpu", lambda: there)
    patch.setattr(devices, "_places", dict(devices._places))
    patch.setattr(devices, "_copies", {})
    devices.place("gpu")
    check_matrix_product_is_exact(there)  # once for all tests
    calls.clear()
    return there.name


MODULES = ("cupy", "yashe.arithmetic.gpu")
ONLY_NUMPY = Place("gpu", "NumPy's functions", Elsewhere, put, Elsewhere.get, lambda: None)
