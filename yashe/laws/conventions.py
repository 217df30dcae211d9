"""Other conventions than those of the laws, for implementations that keep them.

A transform may leave its values in bit-reversed order, and residues may lie in [0, p) instead of
around zero. Both are as right; only, laws have to compare like with like. A `View` stands before an
implementation and translates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from math import prod
from typing import Any, TypeAlias

from yashe.errors import ParameterError
from yashe.laws.arithmetic import Basis, Gadget, Rescaling, Ring, Slots, Transform
from yashe.textbook.polynomials import centred

ORDERS = ("natural", "bit-reversed")
RESIDUES = ("centred", "non-negative")
Change: TypeAlias = Callable[[Sequence[int]], list[int]]


class View:
    """An implementation with some of its methods replaced."""

    def __init__(self, implementation: Any, methods: dict[str, Any]) -> None:
        self._implementation = implementation
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._implementation, name)


def declared(x: Any, order: str = "natural", residues: str = "centred") -> Any:
    """Return an implementation as the laws want it, given which conventions it keeps.

    Parameters
    ----------
    x : an object of one of the protocols
    order : of a transform's values: "natural", or "bit-reversed", as butterflies in place leave it
    residues : "centred", in (-p/2, p/2], or "non-negative", in [0, p)

    Raises
    ------
    ParameterError
        If there is no such convention, or x is nothing that it could be about.
    """
    for value, known in ((order, ORDERS), (residues, RESIDUES)):
        if value not in known:
            raise ParameterError(f"one of the conventions {known} is needed, received {value!r}")
    if order == "bit-reversed":
        if not isinstance(x, Transform):
            raise ParameterError(f"order is about transforms, and this is a {type(x).__name__}")
        x = View(x, {"ntt": _after(x.ntt, reversed_bits), "intt": _before(x.intt, reversed_bits)})
    return View(x, _centring(x)) if residues == "non-negative" else x


def reversed_bits(values: Sequence[int]) -> list[int]:
    """Return the values in the order of indices with their bits reversed; twice is once.

    Examples
    --------
    >>> reversed_bits([0, 1, 2, 3, 4, 5, 6, 7])
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = len(values).bit_length() - 1
    return [values[int(f"{k:0{bits}b}"[::-1], 2)] for k in range(len(values))]


def _centring(x: Any) -> dict[str, Any]:
    """Return methods that hand residues in [0, p) to x, and centre what comes back.

    Where the laws take any representative, nothing has to come back centred.
    """
    if hasattr(x, "ntt"):
        return {name: _before(getattr(x, name), _least(x.p)) for name in ("ntt", "intt")}
    if isinstance(x, Basis):
        composed = _before(x.compose, _least(*x.moduli))
        return {
            "decompose": _after(x.decompose, _centred(*x.moduli)),
            "compose": lambda residues: centred(int(composed(residues)), prod(x.moduli)),
        }
    if isinstance(x, Slots):
        decode = _after(_before(x.decode, _least(x.t)), _centred(x.t))
        return {"encode": _before(x.encode, _least(x.t)), "decode": decode}
    if hasattr(x, "decrypt"):
        plain = ("encrypt", "add_plain", "multiply_plain")
        taking = {name: _before(getattr(x, name), _least(x.t), 1) for name in plain}
        return taking | {"decrypt": _after(x.decrypt, _centred(x.t))}
    if isinstance(x, Gadget):
        return {"digits": _before(x.digits, _least(x.q))}
    if isinstance(x, Rescaling):
        return {"rescale": _before(x.rescale, _least(*x.source))}
    if isinstance(x, Ring):
        least = _least(x.q)
        return {
            "negate": _before(x.negate, least),
            "add": _before(_before(x.add, least), least, 1),
            "multiply": _before(_before(x.multiply, least), least, 1),
        }
    raise ParameterError(f"a {type(x).__name__} has no residues that the laws know of")


def _least(*moduli: int) -> Change:
    """Return what makes residues non-negative, modulo one number or each modulo its own."""
    return lambda values: [int(v) % p for v, p in zip(values, cycle(moduli), strict=False)]


def _centred(*moduli: int) -> Change:
    """Return what centres residues, modulo one number or each modulo its own."""
    return lambda values: [centred(int(v), p) for v, p in zip(values, cycle(moduli), strict=False)]


def _after(method: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a method whose result is changed."""
    return lambda *arguments: change(method(*arguments))


def _before(method: Callable[..., Any], change: Change, i: int = 0) -> Callable[..., Any]:
    """Return a method whose argument number i is changed before it gets it.

    Where the method writes into that argument, its caller has to notice.
    """

    def changed(*arguments: Any) -> Any:
        given = change(arguments[i])
        handed = list(given)
        result = method(*arguments[:i], handed, *arguments[i + 1 :])
        if handed != given:
            arguments[i][:] = handed
        return result

    return changed
