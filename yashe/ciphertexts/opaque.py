"""What behaves like an array of numbers and shows none of them: ciphertexts and plaintexts.

They are added, subtracted and multiplied like NumPy arrays. Whatever would have to look at the
numbers (comparing, dividing, choosing a branch) is impossible, and is refused here with a sentence.
Left alone, Python would say that `x == 5` is False, and NumPy would make an array of objects.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from yashe.errors import OperationError


def _refused(sentence: str, remedy: str = "") -> Any:
    """Return a method that refuses whatever it is called with."""

    def method(self: Opaque, *arguments: Any) -> NoReturn:
        raise self.refusal(sentence, remedy)

    return method


class Opaque:
    """The operators that are impossible, and NumPy's ufuncs.

    Attributes
    ----------
    plural : what to call such objects in an error
    remedy : what to do before such operations
    """

    plural: ClassVar[str]
    remedy: ClassVar[str]

    def refusal(self, sentence: str, remedy: str = "") -> OperationError:
        """Return the error of an impossible operation, "<plural> <sentence>: <remedy>"."""
        return OperationError(f"{self.plural} {sentence}: {remedy or self.remedy}")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refused("cannot be compared")
    __contains__ = _refused("cannot be compared")
    __hash__ = object.__hash__  # of the object itself, not of the numbers
    __bool__ = _refused("are neither true nor false")
    __int__ = __float__ = __complex__ = __index__ = _refused("are no numbers that can be read")
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _refused(
        "cannot be divided, as slots hold integers modulo t"
    )
    __mod__ = __rmod__ = __divmod__ = __rdivmod__ = _refused("have no remainders")
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = _refused(
        "have no bits that can be read"
    )
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refused("have no bits that can be read")
    __abs__ = __round__ = _refused("have no sign and no digits that can be read")
    __pow__ = _refused("have no powers")
    __rpow__ = _refused("are no exponents")
    __matmul__ = __rmatmul__ = _refused("have no matrix products")
    __setitem__ = __delitem__ = _refused(
        "never change", "make a new array, with np.where, np.concatenate or np.delete"
    )

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        """Refuse to become an array of objects."""
        raise self.refusal(
            "hold numbers that NumPy cannot read", f"{self.remedy}; np.stack joins several"
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Do what `+`, `-`, `*`, `@` and `**` do, also with an array on the left."""
        if method == "__call__" and "out" in options:
            raise self.refusal(
                "cannot be written into a NumPy array", "instead of a += x, write a = a + x"
            )
        if method == "__call__" and not options:
            if ufunc in UNARY:
                return UNARY[ufunc](*inputs)
            if ufunc in BINARY:
                operation, reflected = BINARY[ufunc]
                left, right = inputs
                # An array on the left would come back here, without end.
                if isinstance(left, Opaque):
                    return operation(left, right)
                return getattr(right, reflected)(left)
        name = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
        raise self.refusal(f"have no np.{name}, but + - * @ and sums")


UNARY: dict[np.ufunc, Callable[[Any], Any]] = {
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.square: lambda x: x**2,
}
BINARY: dict[np.ufunc, tuple[Callable[[Any, Any], Any], str]] = {
    np.add: (operator.add, "__radd__"),
    np.subtract: (operator.sub, "__rsub__"),
    np.multiply: (operator.mul, "__rmul__"),
    np.matmul: (operator.matmul, "__rmatmul__"),
    np.power: (operator.pow, "__rpow__"),
}
