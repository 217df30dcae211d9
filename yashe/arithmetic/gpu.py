"""Arrays on a GPU, by CuPy (extra `gpu`): the only file that knows of it.

Nothing here is needed for results. NumPy's functions run on CuPy's arrays as they are, in one pass
over the GPU's memory for every line; `cupy.fuse` makes one pass of several lines, which stand for
those of the same name in `yashe.arithmetic.residues`. Where the compiler fuses a product and a sum
nothing changes: the products are exact.

A GPU goes on computing while Python is ahead of it, and whoever looks at a number waits. So checks
that nearly always pass wait for the end (`looked`), and then all of them are one look.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np

from yashe.arithmetic import large
from yashe.arithmetic.large import moduli_near
from yashe.arithmetic.parallel import for_each
from yashe.arithmetic.places import Place
from yashe.errors import DeviceError, ExactnessError

try:
    import cupy
    from cupy import rint, where
    from cupyx import empty_pinned
except ImportError as error:
    raise DeviceError(
        "a GPU needs CuPy, which is not installed: pip install 'cryptonets-yashe[gpu]' is for "
        "CUDA 12; for CUDA 13 it is pip install 'cupy-cuda13x[ctk]'"
    ) from error

STAGED = 2**22  # residues that wait for their copy at a time: 16 MiB
NARROWED = 2**17  # of them that a worker makes integers of 32 bits at a time, in its cache


@cache
def place() -> Place:
    """Return the current GPU, which has shown that it runs a fused function and a product.

    Raises
    ------
    DeviceError
        If there is none, or a library or the headers of CUDA are missing.
    """
    try:
        x = cupy.zeros((1, 1))
        _reduce(x, 3.0, 1 / 3)  # takes the compiler and its headers
        cupy.asnumpy(x @ x)  # takes cuBLAS
        card = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    except Exception as error:  # of CUDA's many kinds
        reason = str(error).partition("\n")[0]  # folders that were searched may follow
        raise DeviceError(
            f"CuPy {cupy.__version__} finds no GPU that it can use: {reason}; `nvidia-smi` shows "
            "which there are, and the newest CUDA that their driver knows; libraries of CUDA come "
            "with 'cupy-cuda12x[ctk]' or 'cupy-cuda13x[ctk]'"
        ) from error
    about = f"{card}, CuPy {cupy.__version__}"
    move = cupy.ndarray, cupy.asarray, cupy.asnumpy
    ways = {**large.WAYS, **{way.__name__: way for way in FUSED}}
    return Place("gpu", about, *move, near, check, looked, wait, ways, uploads)


_copies: dict[tuple[int, Any], Any] = {}  # of constants


def near(constant: Any, x: Any) -> Any:
    """Return a constant where x is: copied once, and kept as long as it is kept here."""
    if not isinstance(constant, np.ndarray):
        return constant
    key = (id(constant), getattr(getattr(x, "device", None), "id", None))
    if key not in _copies:
        constant.flags.writeable = False
        _copies[key] = np.asarray(constant, like=x)
        weakref.finalize(constant, _copies.pop, key, None)
    return _copies[key]


_later: ContextVar[list[Any] | None] = ContextVar("later", default=None)


def check(flag: Any, act: Callable[[], None]) -> None:
    """Call act() if the flag is set; inside of `looked` at the end."""
    pending = _later.get()
    if pending is not None:
        pending.append(flag)
    elif cupy.asnumpy(flag):
        act()


def looked(compute: Callable[[], Any]) -> Any:
    """Return compute(); if a check finds something, which is rare, compute again with looks."""
    pending: list[Any] = []
    token = _later.set(pending)
    try:
        found = compute()
    finally:
        _later.reset(token)
    return compute() if pending and cupy.asnumpy(np.stack(pending)).any() else found


def wait() -> None:
    """Return when everything that was started is computed."""
    cupy.cuda.get_current_stream().synchronize()


@cache
def _beside() -> Any:
    """Return the stream on which arrays come; one for all, since memory stays with its stream."""
    return cupy.cuda.Stream(non_blocking=True)


@contextmanager
def uploads() -> Iterator[Callable[[Iterable[Any]], Callable[[], Any]]]:
    """Yield `begin`, which begins to copy residues to the GPU beside what it computes.

    `begin(pieces)` takes the residues modulo one prime after the other, each time an array of shape
    (N, parts, 1, n), and may be called in another thread. It returns when it has seen all of them;
    what it returns, `arrive`, gives the array (N, parts, k, n) to whoever computes. Half of the
    bytes are saved on the way, as integers of 32 bits.

    Nobody tells CuPy which streams use some memory (cupy/cupy#8068), so there is an event for each
    handing over: from pinned memory to the copy and back, from the copy to what is computed and
    back.

    Raises
    ------
    ExactnessError
        By `begin`, if a piece consists of no integers of 32 bits. Residues are below 2^24.
    """
    device, beside = cupy.cuda.Device(), _beside()
    buffers = cycle(
        [(empty_pinned(STAGED, np.int32), cupy.cuda.Event(block=True)) for _ in range(2)]
    )

    def copy(x: Any) -> Any:
        there = cupy.empty(x.shape, np.int32)
        rows = max(1, STAGED // max(1, x[:1].size))
        for start in range(0, len(x), rows):
            some, (pinned, copied) = x[start : start + rows], next(buffers)
            narrowed = pinned[: some.size].reshape(some.shape)
            copied.synchronize()  # what was in this buffer before
            narrow(some, narrowed)
            there[start : start + rows].set(narrowed, stream=beside)
            beside.record(copied)
        return there

    def begin(pieces: Iterable[Any]) -> Callable[[], Any]:
        with device, beside:
            coming = [copy(x) for x in pieces]
            arrived = beside.record()

        def arrive() -> Any:
            here = cupy.cuda.get_current_stream()
            here.wait_event(arrived)
            count, parts, _, n = coming[0].shape
            wide = cupy.empty((count, parts, len(coming), n), np.float64)
            for i, x in enumerate(coming):
                wide[:, :, i : i + 1] = x
            beside.wait_event(here.record())  # and only then others may write to
            coming.clear()
            return wide

        return arrive

    try:
        yield begin
    finally:
        beside.synchronize()  # before others get the pinned memory


def narrow(x: Any, out: Any) -> None:
    """Write x, rows of float64 on the processor, as integers of 32 bits, on all workers.

    Raises
    ------
    ExactnessError
        If it is something else.
    """
    rows = max(1, NARROWED // max(1, x[:1].size))

    def narrow_some(start: int) -> None:
        some, written = x[start : start + rows], out[start : start + rows]
        with np.errstate(invalid="ignore"):
            np.copyto(written, some, casting="unsafe")
        if not (written == some).all():
            raise ExactnessError("residues were required, integers of 32 bits: use ct.to")

    for_each(narrow_some, range(0, len(x), rows), lambda start: 0)


@cupy.fuse()  # type: ignore[untyped-decorator]
def _reduce(x: Any, p: Any, inverse: Any) -> None:
    x -= p * rint(x * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def _add(x: Any, y: Any, p: Any, inverse: Any) -> None:
    x += y
    x -= p * rint(x * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def _multiply(x: Any, y: Any, p: Any, inverse: Any, out: Any) -> None:
    z = x * y
    out[...] = z - p * rint(z * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def _twist(x: Any, y: Any, p: Any, inverse: Any) -> None:
    x -= p * rint(x * inverse)
    x *= y
    x -= p * rint(x * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def _canonical(x: Any, p: Any, inverse: Any, half: Any) -> Any:
    # No (p - 1) and no -half: numbers without an array beside them are computed with few bits.
    z = x - p * rint(x * inverse)
    return where(z > half, z - p, where(z + half < 0, z + p, z))


def reduce_inplace(x: Any, p: Any, inverse: Any, scratch: Any = None) -> None:
    """Reduce x in place."""
    _reduce(x, p, inverse)


def add_modulo(x: Any, y: Any, moduli: tuple[int, ...]) -> None:
    """Add y to x in place, reduced."""
    _add(x, y, *moduli_near(moduli, x))


def multiply_modulo(x: Any, y: Any, moduli: tuple[int, ...], out: Any, scratch: Any = None) -> None:
    """Write x y, reduced."""
    _multiply(x, y, *moduli_near(moduli, out), out)


def twist_modulo(x: Any, y: Any, moduli: tuple[int, ...], scratch: Any) -> None:
    """Reduce x, multiply it by y, and reduce it again, in place."""
    _twist(x, y, *moduli_near(moduli, x))


def canonical(x: Any, p: Any) -> Any:
    """Return x reduced to [-(p-1)/2, (p-1)/2]."""
    p = near(p, x)
    return _canonical(x, p, 1.0 / p, (p - 1) / 2)


FUSED = (reduce_inplace, add_modulo, multiply_modulo, twist_modulo, canonical)
