"""Arrays on a GPU, by CuPy (extra `gpu`): the only file that knows of it.

Nothing here is needed for results. NumPy's functions run on CuPy's arrays as they are, in one pass
over the GPU's memory for every line; `cupy.fuse` makes one pass of several lines. Each function
stands for some lines of NumPy that are beside its call, mostly in `yashe.arithmetic.residues`.
Where the compiler fuses a product and a sum nothing changes: the products are exact.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from yashe.arithmetic.devices import Place
from yashe.errors import DeviceError

try:
    import cupy
    from cupy import rint, where
except ImportError as error:
    raise DeviceError(
        "a GPU needs CuPy, which is not installed: pip install 'cryptonets-yashe[gpu]' is for "
        "CUDA 12; for CUDA 13 it is pip install cupy-cuda13x"
    ) from error


@cache
def place() -> Place:
    """Return the current GPU.

    Raises
    ------
    DeviceError
        If there is none.
    """
    try:
        cupy.zeros(1).sum().get()
        card = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    except Exception as error:  # of CUDA's many kinds
        raise DeviceError(
            f"CuPy {cupy.__version__} finds no GPU that it can use: {error}; `nvidia-smi` shows "
            "which there are, and the newest CUDA that their driver knows"
        ) from error
    about, kernels = f"{card}, CuPy {cupy.__version__}", sys.modules[__name__]
    return Place("gpu", about, cupy.ndarray, cupy.asarray, cupy.asnumpy, wait, kernels)


def wait() -> None:
    """Return when everything that was started is computed."""
    cupy.cuda.get_current_stream().synchronize()


@cupy.fuse()  # type: ignore[untyped-decorator]
def reduce(x: Any, p: Any, inverse: Any) -> None:
    """Reduce x in place."""
    x -= p * rint(x * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def add(x: Any, y: Any, p: Any, inverse: Any) -> None:
    """Add y to x in place, reduced."""
    x += y
    x -= p * rint(x * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def multiply(x: Any, y: Any, p: Any, inverse: Any, out: Any) -> None:
    """Write x y, reduced."""
    z = x * y
    out[...] = z - p * rint(z * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def twist(x: Any, y: Any, p: Any, inverse: Any) -> None:
    """Reduce x, multiply it by y, and reduce it again, in place."""
    x -= p * rint(x * inverse)
    x *= y
    x -= p * rint(x * inverse)


@cupy.fuse()  # type: ignore[untyped-decorator]
def canonical(x: Any, p: Any, inverse: Any) -> Any:
    """Return x reduced to [-(p-1)/2, (p-1)/2]."""
    z = x - p * rint(x * inverse)
    half = (p - 1) / 2
    return where(z > half, z - p, where(z < -half, z + p, z))
