"""The stand-in for CuPy refuses what CuPy refuses, and what would be slow there.

Where CuPy is installed it is asked for the names that are used, which takes no GPU.
"""

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elsewhere import CREATE, FUNCTIONS, METHODS, UFUNCS, Elsewhere, fuse, put
from yashe.arithmetic.places import import_module
from yashe.errors import DeviceError

ROOT = Path(__file__).parents[2]

REFUSED: dict[str, Callable[[Any], Any]] = {
    "np.add.reduce": lambda x: np.add.reduce(x),
    "np.hypot": lambda x: np.hypot(x, x),
    "np.median": lambda x: np.median(x),
    "where=": lambda x: np.add(x, x, where=x > 0),
    "mode=": lambda x: np.take(x, put(np.array([0])), axis=0, mode="clip"),
    "initial=": lambda x: x.max(initial=0.0),
    "x.tolist": lambda x: x.tolist(),
    "a mask": lambda x: x[x > 0],
    "a list of numbers": lambda x: x[[0, 1]],
    "numbers on the processor": lambda x: x[np.array([0, 1])],
    "a place on the processor": lambda x: x.__setitem__(np.array([0]), 1.0),
    "an array on the processor": lambda x: x + np.ones(3),
    "a sum that goes to the processor": lambda x: np.add(x, x, out=np.ones(3)),
    "a look": lambda x: bool(x.any()),
    "a conversion": lambda x: np.array(x),
    "complex numbers": lambda x: put(np.zeros(3, dtype=np.complex128)),
    "Python's integers": lambda x: put(np.array([2**70])),
}


@pytest.mark.parametrize("way", REFUSED)
def test_the_stand_in_refuses(way: str) -> None:
    x = put(np.arange(3.0))
    with pytest.raises((TypeError, AttributeError), match=r"nothing|know|index|beside|looked at"):
        REFUSED[way](x)
    assert x.get().tolist() == [0, 1, 2]


def asks(x: Any) -> None:
    if x > 1:
        x += 1


def calls_numpy(x: Any) -> None:
    x -= np.rint(x)


def writes_to_a_part(x: Any) -> None:
    x[0] = x


def knows_an_array(x: Any) -> None:
    x += np.ones(3)


UNFIT = [asks, calls_numpy, writes_to_a_part, knows_an_array]


@pytest.mark.parametrize("function", UNFIT)
def test_what_cannot_be_fused_is_refused(function: Callable[[Any], None]) -> None:
    with pytest.raises((TypeError, AssertionError)):
        fuse()(function)(put(np.arange(3.0)))


@pytest.mark.parametrize("p", [12289, 12289.0, np.float64(12289)])
def test_numbers_alone_are_not_fused(p: Any) -> None:
    """CuPy 14.2 takes signed char for (p - 1) if p is an integer, and float16 if it is a float."""

    @fuse()
    def way(x: Any, p: Any) -> Any:
        return x + (p - 1) / 2

    x = put(np.arange(3.0))
    with pytest.raises(TypeError, match="numbers alone"):
        way(x, p)
    assert way(x, put(np.array([12289.0]))).get().tolist() == [6144, 6145, 6146]


def test_what_can_be_fused_is_computed() -> None:
    def way(x: Any, y: Any, out: Any) -> Any:
        x *= 2.0
        out[...] = x - y
        return -x / y

    x, y, out = (put(np.array(numbers)) for numbers in ([1.0, 2.0], [4.0, 8.0], [0.0, 0.0]))
    assert fuse()(way)(x, y, out).get().tolist() == [-0.5, -0.5]
    assert (x.get().tolist(), out.get().tolist()) == ([2, 4], [-2, -4])


def test_the_page_on_gpus_lists_what_is_used_of_cupy() -> None:
    """As long as that stands in the stand-in, nothing else can be used."""
    rows = re.findall(r"^\| (\w+) \| (`.+`) \|$", (ROOT / "docs" / "gpu.md").read_text(), re.M)
    shown = {kind: set(re.findall(r"`([\w.]+)`", names)) for kind, names in rows}
    source = (ROOT / "yashe" / "arithmetic" / "gpu.py").read_text("utf-8")
    assert shown == {
        "ufuncs": UFUNCS,
        "functions": {*CREATE, *FUNCTIONS},
        "methods": {*METHODS, "dtype", "nbytes", "ndim", "shape", "size"},
        "itself": own_names(source) - {"cupy.__version__"},
    }


def own_names(source: str) -> set[str]:
    """Return the names of CuPy that `gpu.py` has, apart from those of its arrays and streams."""
    imported = re.findall(r"from (cupyx?) import (.+)", source)
    names = {f"{module}.{name}" for module, some in imported for name in some.split(", ")}
    return names | set(re.findall(r"\bcupy(?:\.\w+)+", source))


def test_cupy_has_what_is_used() -> None:
    """Also where there is no GPU."""
    cupy = pytest.importorskip("cupy")
    for name in {*UFUNCS, *CREATE, *FUNCTIONS}:
        assert callable(getattr(cupy, name))
    for name, keywords in FUNCTIONS.items():
        assert set(keywords) <= set(signature(getattr(cupy, name)).parameters)
    for name in {
        *METHODS,
        "set",
        "get",
        *(n for n in vars(Elsewhere) if n.islower() and n[0] != "_"),
    }:
        assert hasattr(cupy.ndarray, name), name
    for name in own_names((ROOT / "yashe" / "arithmetic" / "gpu.py").read_text("utf-8")):
        found = import_module(name.split(".")[0])
        for part in name.split(".")[1:]:
            found = getattr(found, part)


def test_cupy_without_a_gpu_is_said() -> None:
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="finds no GPU that it can use: .*nvidia-smi"):
        import_module("yashe.arithmetic.gpu").place()
