"""An array that lives elsewhere, as on a GPU: a stand-in for those of CuPy, on any machine.

NumPy's functions reach it by dispatch only. Whatever would move numbers between it and NumPy
without being told to is an error here, also where CuPy would allow it: a look at a number waits for
all that was started before, so every look is an explicit `get`, and is counted. Functions and
methods are those that CuPy has too, and no others. `yashe.arithmetic.gpu` runs as it is, with a
stand-in for CuPy.

Copies that run beside what is computed are the worst that streams allow: a copy is made as late as
anybody waits for it, or, while `hurried`, as early as its own stream lets it; what is read from it,
as late as somebody computes; and memory that is free is used again at once.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from yashe.arithmetic import devices, large, places
from yashe.arithmetic.places import check_place_is_exact

# What is used of CuPy, each with the keywords it is given; docs/gpu.md shows it, too.
UFUNCS = {
    "absolute", "add", "equal", "greater", "invert", "less", "less_equal", "matmul", "maximum",
    "multiply", "negative", "not_equal", "rint", "subtract", "true_divide",
}  # fmt: skip
CREATE = {"asarray", "empty", "zeros"}  # with like=
FUNCTIONS = {
    "argwhere": (), "concatenate": (), "einsum": (), "empty_like": (), "stack": ("axis",),
    "take": ("axis",), "where": (),
}  # fmt: skip
METHODS = {
    "all": ("axis",), "any": ("axis",), "astype": ("copy", "order"), "copy": (), "max": ("axis",),
    "reshape": (), "sum": ("axis",), "swapaxes": (),
}  # fmt: skip
DTYPES = {"bool", "float64", "int32", "int64"}
calls: Counter[str] = Counter()  # of functions, and of "get" and "put"


class Elsewhere(NDArrayOperatorsMixin):
    """The array. Only `get` gives its numbers away."""

    def __init__(self, hidden: Any) -> None:
        self._memory = np.asarray(hidden)
        if self._memory.dtype.name not in DTYPES:
            raise TypeError(f"numbers of the type {self._memory.dtype} are nothing for a GPU")

    @property
    def _hidden(self) -> Any:
        """The numbers, behind all that was begun before; not those that are on their way here."""
        if self._memory.dtype != np.int32:
            current().run()
        return self._memory

    def get(self) -> Any:
        """Return the numbers, in new memory."""
        calls["get"] += 1
        return self._hidden.copy()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = {"divide": "true_divide"}.get(ufunc.__name__, ufunc.__name__)  # as CuPy calls it
        if method != "__call__" or name not in UFUNCS:
            raise TypeError(f"np.{name}.{method} is nothing that we know CuPy to have")
        _check_keywords(name, options, ("out",))
        calls[ufunc.__name__] += 1
        given = {name: _open(value) for name, value in options.items()}
        found = ufunc(*map(_open, inputs), **given)
        return options["out"][0] if "out" in options else Elsewhere(found)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        calls[function.__name__] += 1
        if function.__name__ in CREATE:
            if isinstance(args[0], Elsewhere):
                return args[0]
            return Elsewhere(np.array(function(*args, **options)))
        if function.__name__ not in FUNCTIONS:
            raise TypeError(f"np.{function.__name__} is nothing that we know CuPy to have")
        _check_keywords(function.__name__, options, FUNCTIONS[function.__name__])
        return Elsewhere(function(*map(_open, args), **options))

    def set(self, x: Any, stream: Stream) -> None:
        """Begin to copy from pinned memory."""
        assert isinstance(x, Pinned)
        assert stream is current()  # whose memory it is
        assert (self.dtype, self.shape) == (x.dtype, x.shape)
        assert self._memory.flags.c_contiguous
        assert x.flags.c_contiguous  # others would be copied, and the copy forgotten
        calls["set"] += 1
        # A stream does not hold on to arrays: others may get their memory.
        memory, source = self._memory, (ctypes.c_int32 * x.size).from_address(x.ctypes.data)
        stream.begin(lambda: np.copyto(memory.reshape(-1), np.ctypeslib.as_array(source)))

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"{name} is nothing that we know an array of CuPy to have")

        def method(*args: Any, **options: Any) -> Elsewhere:
            calls[name] += 1
            _check_keywords(name, options, METHODS[name])
            return Elsewhere(getattr(self._hidden, name)(*args, **options))

        return method

    def __getitem__(self, key: Any) -> Elsewhere:
        return Elsewhere(self._hidden[_key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, Elsewhere) and value.dtype == np.int32:  # which is on its way
            target, source = self._memory[key], value._memory
            current().begin(lambda: np.copyto(target, source))
        else:
            self._hidden[_key(key)] = _open(value)

    def __len__(self) -> int:
        return len(self._hidden)

    def __iter__(self) -> Iterator[Elsewhere]:
        return (self[i] for i in range(len(self)))

    def _refuse(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("a number elsewhere is looked at by devices.host only")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __complex__ = _refuse

    dtype = property(lambda self: self._memory.dtype)
    nbytes = property(lambda self: self._memory.nbytes)
    ndim = property(lambda self: self._memory.ndim)
    shape = property(lambda self: self._memory.shape)
    size = property(lambda self: self._memory.size)


def _open(x: Any) -> Any:
    """Return what NumPy computes with, and refuse its own arrays beside those elsewhere."""
    if isinstance(x, Elsewhere):
        return x._hidden
    if isinstance(x, np.ndarray):
        raise TypeError(f"an array of NumPy, of shape {x.shape}, beside one elsewhere")
    return type(x)(map(_open, x)) if isinstance(x, list | tuple) else x


def _key(key: Any) -> Any:
    """Return an index of NumPy; a mask would be looked at, and a list be copied there each time."""
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, list | np.ndarray) or (isinstance(k, Elsewhere) and k.dtype != np.int64):
            raise TypeError(f"an index of the type {type(k).__name__} is none for an array there")
    return _open(key)


def _check_keywords(name: str, options: Any, known: tuple[str, ...]) -> None:
    """Refuse keywords that CuPy may not have."""
    if unknown := set(options) - set(known):
        raise TypeError(f"we do not know {name} of CuPy to have the keywords {unknown}")


def put(x: Any) -> Elsewhere:
    """Copy an array of NumPy there."""
    assert type(x) is np.ndarray
    calls["put"] += 1
    return Elsewhere(x.copy())


class Pinned(np.ndarray):
    """Memory from which can be copied beside what is computed."""


def pinned(x: Any) -> Any:
    """Return it as such."""
    return x.view(Pinned)


class Stream:
    """Work that is done in its order, and when somebody waits for it."""

    hurried = False  # whether it is done at once, if it is not that of the stream that computes
    lock = threading.RLock()

    def __init__(self, non_blocking: bool = False) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._done, self.second = 0, non_blocking
        self._free: dict[Any, list[Any]] = {}

    def begin(self, work: Callable[[], None]) -> None:
        """Put work at the end."""
        with self.lock:
            self._work.append(work)
            if self.hurried and self.second:
                self.run()

    def run(self, until: int | None = None) -> None:
        """Do what was begun, all or so much of it."""
        with self.lock:
            while self._work and (until is None or self._done < until):
                self._done += 1
                self._work.popleft()()

    def synchronize(self) -> None:
        """Wait for it."""
        calls["wait"] += 1
        self.run()

    def record(self, event: Event | None = None) -> Event:
        """Return an event, which has come when everything before it is done."""
        event = event or Event()
        event.stream, event.at = self, self._done + len(self._work)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what comes after wait for an event as it is now."""
        stream, at = event.stream, event.at
        self.begin(lambda: stream.run(at))

    def __enter__(self) -> None:
        _now.streams = [*getattr(_now, "streams", []), self]

    def __exit__(self, *error: object) -> None:
        _now.streams.pop()

    def empty(self, kind: Callable[[Any], Any], shape: Any, dtype: Any) -> Any:
        """Return memory, as soon as possible what somebody has had before."""
        free = self._free.setdefault((kind, shape, dtype), [])
        memory = free.pop() if free else np.full(shape, -7, dtype)
        found = kind(memory)
        weakref.finalize(found, free.append, memory)
        return found


class Event:
    """A place in the work of a stream."""

    def __init__(self, block: bool = False) -> None:
        self.stream, self.at = FIRST, 0

    def synchronize(self) -> None:
        """Wait until it has come."""
        self.stream.run(self.at)


FIRST = Stream()  # that computes
_now = threading.local()  # the streams that were entered in a thread


def current() -> Stream:
    """Return the stream of this thread."""
    return (getattr(_now, "streams", None) or [FIRST])[-1]


OPERATORS = {np.add, np.greater, np.less, np.multiply, np.negative, np.subtract, np.true_divide}


ARRAYS = (np.ndarray, np.generic)  # NumPy makes numbers of arrays without an axis


class Traced(NDArrayOperatorsMixin):
    """What a fused function sees of an array: operators, and all of it to write to.

    CuPy calls the function once, with names in the place of numbers, and compiles what was done to
    them. So nothing can be asked of them, and functions of NumPy know nothing to do with them.
    """

    def __init__(self, numbers: Any) -> None:
        self._numbers = numbers

    @classmethod
    def call(cls, function: Callable[..., Any], *given: Any, out: Any = ()) -> Any:
        """Return what a function of NumPy makes of the numbers."""
        if any(isinstance(x, np.ndarray) for x in given):
            raise TypeError("an array that a fused function was not given")
        if not any(isinstance(x, Traced) and isinstance(x._numbers, ARRAYS) for x in given):
            raise TypeError("numbers alone, which cupy.fuse computes with as few as 8 bits")
        opened, results = (
            [x._numbers if isinstance(x, Traced) else x for x in some] for some in (given, out)
        )
        found = function(*opened, **({"out": tuple(results)} if results else {}))
        return out[0] if results else cls(found)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, out: Any = ()) -> Any:
        if ufunc not in OPERATORS:
            raise TypeError(f"np.{ufunc.__name__} is nothing that cupy.fuse knows")
        return self.call(ufunc, *given, out=out)

    def __setitem__(self, key: Any, value: Traced) -> None:
        assert key is Ellipsis
        self._numbers[...] = value._numbers

    def _refuse(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("a fused function can ask nothing of numbers that are not there yet")

    __array__ = __array_function__ = __bool__ = __float__ = __int__ = __getitem__ = _refuse


def fuse() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a function of arrays one of arrays elsewhere, as `cupy.fuse()` does.

    What it calls are operators and functions of `cupy`; here they are NumPy's.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*args: Any) -> Any:
            calls["fused"] += 1
            given = (x.item() if isinstance(x, np.generic) else _open(x) for x in args)
            found = function(*map(Traced, given))
            return None if found is None else Elsewhere(found._numbers)

        return fused

    return decorate


def stand_in() -> dict[str, ModuleType]:
    """Return modules in the place of CuPy's, with what `yashe.arithmetic.gpu` takes from them."""
    cupy, cupyx = ModuleType("cupy"), ModuleType("cupyx")
    vars(cupyx).update(empty_pinned=partial(FIRST.empty, pinned))
    vars(cupy).update(
        __version__="0", fuse=fuse, rint=partial(Traced.call, np.rint),
        where=partial(Traced.call, np.where), ndarray=Elsewhere, asarray=put,
        asnumpy=Elsewhere.get, zeros=lambda shape: Elsewhere(np.zeros(shape)),
        empty=lambda shape, dtype: current().empty(Elsewhere, shape, dtype),
        cuda=SimpleNamespace(
            get_current_stream=current, Device=type("Device", (nullcontext,), {"id": 0}),
            Stream=Stream, Event=Event,
            runtime=SimpleNamespace(getDeviceProperties=lambda number: {"name": b"a stand-in"}),
        ),
    )  # fmt: skip
    return {"cupy": cupy, "cupyx": cupyx}


@cache
def module() -> ModuleType:
    """Return `yashe.arithmetic.gpu`, loaded with the stand-in."""
    spec = find_spec("yashe.arithmetic.gpu")
    assert spec is not None
    assert spec.loader is not None
    gpu = module_from_spec(spec)
    modules = {**stand_in(), "yashe.arithmetic.gpu": gpu}
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    spec.loader.exec_module(gpu)
    gpu.place()  # it names its own module
    for name, old in before.items():
        del sys.modules[name]
        if old is not None:
            sys.modules[name] = old
    return gpu


@cache
def only_numpy() -> places.Place:
    """Return the place without fused functions."""
    return replace(module().place(), ways=large.WAYS)


def register(patch: Any, fused: bool = True) -> str:
    """Make the place known for a test, and return its name, for `ct.to(name)`."""
    there = module().place() if fused else only_numpy()
    patch.setitem(places.LOADERS, "gpu", lambda: there)
    patch.setitem(devices.elsewhere, Elsewhere, there)
    patch.setattr(module(), "_copies", {})
    check_place_is_exact(there)  # once for all tests
    calls.clear()
    return there.name
