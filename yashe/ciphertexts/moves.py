"""What only moves things: NumPy's own functions, done to the numbers of the things.

An array of ciphertexts is an integer array, the `index`, that says which ciphertext stands where.
To index, reshape, transpose or join arrays of ciphertexts is to do it to their indices, and copies
nothing else. NumPy hands its functions over to us (`__array_function__`); the table at the end says
which of them we know. All others are refused: an index holds names, not values.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.opaque import Opaque
from yashe.errors import AxisError, FheError, IndexingError, OperationError, ShapeError

Self = TypeVar("Self", bound="Moves")
AnyTogether = TypeVar("AnyTogether", bound="Together")


def numpys(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of NumPy; its errors become ours, which are of the same built-in kinds."""
    try:
        return function(*arguments, **options)
    except FheError:
        raise
    except IndexError as error:  # that of an axis is a ValueError as well
        kind = AxisError if isinstance(error, ValueError) else IndexingError
        raise kind(str(error)) from error
    except (ValueError, ArithmeticError) as error:  # np.split into 0 parts is a division by zero
        raise ShapeError(str(error)) from error
    except TypeError as error:
        raise OperationError(str(error)) from error


class Moves(Opaque):
    """An array of things in any shape. A subclass says what the things are, and where.

    Attributes
    ----------
    index : int64 array of the array's shape, numbers of the things
    """

    index: IntArray

    @abstractmethod
    def at(self: Self, index: IntArray) -> Self:
        """Return the things with these numbers."""

    @staticmethod
    @abstractmethod
    def stored_together(parts: Sequence[Any]) -> tuple[Any, list[IntArray]]:
        """Return an array that has the things of all parts, and the index of each part in it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array; each of the things holds n slots."""
        return self.index.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.index.ndim

    @property
    def size(self) -> int:
        """Number of things in the array."""
        return self.index.size

    def __len__(self) -> int:
        return int(numpys(len, self.index))

    def __iter__(self: Self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self: Self, key: Any) -> Self:
        return self.at(np.asarray(numpys(self.index.__getitem__, key)))

    def reshape(self: Self, *shape: Any, order: str = "C") -> Self:
        """Return the same things in another shape, like numpy.ndarray.reshape.

        Parameters
        ----------
        shape : as in NumPy
        order : "C", the last axis changes fastest, or "F", the first one does
        """
        if order not in ("C", "F"):
            raise ShapeError(f"the order of a new shape is 'C' or 'F', not {order!r}")
        return self.at(numpys(self.index.reshape, *shape, order=order))

    def ravel(self: Self, order: str = "C") -> Self:
        """Return the same things in one row."""
        return self.reshape(-1, order=order)

    flatten = ravel  # what never changes cannot tell a copy from a view

    def transpose(self: Self, *axes: Any) -> Self:
        """Return the same things with permuted axes, like numpy.ndarray.transpose."""
        return self.at(numpys(self.index.transpose, *axes))

    @property
    def T(self: Self) -> Self:
        """The same things with the axes in reverse order."""
        return self.transpose()

    def swapaxes(self: Self, axis1: int, axis2: int) -> Self:
        """Return the same things with two axes exchanged."""
        return self.at(numpys(self.index.swapaxes, axis1, axis2))

    def squeeze(self: Self, axis: Any = None) -> Self:
        """Return the same things without axes of length 1."""
        return self.at(numpys(self.index.squeeze, axis))

    def take(self: Self, indices: Any, axis: int | None = None) -> Self:
        """Return the things at some positions of an axis, or of the array in one row."""
        return self.at(np.asarray(numpys(self.index.take, indices, axis)))

    def __array_function__(
        self, function: Callable[..., Any], types: Any, arguments: Any, options: Any
    ) -> Any:
        """Do what a function of NumPy does, or say that it cannot be done."""
        if function in CONSTANTS:
            raise OperationError(
                f"numbers that everybody knows need no {self.plural}: "
                "use np.zeros(x.shape, dtype=np.int64), np.ones or np.full"
            )
        if not arguments:
            raise OperationError(
                f"np.{function.__name__} takes {self.plural} in the first place, without a name"
            )
        if function not in FUNCTIONS:
            raise self.refusal(
                f"have no np.{function.__name__}, but + - * @, sums, and what only moves them"
            )
        return numpys(FUNCTIONS[function], *arguments, **options)


def move(function: Callable[..., Any], things: Any, *arguments: Any, **options: Any) -> Any:
    """Return things moved by a function of NumPy, or a list of them."""
    found = _of_index(function, things, *arguments, **options)
    if isinstance(found, list):
        return [things.at(index) for index in found]
    return things.at(np.asarray(found))  # np.flip makes a scalar of an array without axes


def _of_index(function: Callable[..., Any], things: Any, *arguments: Any, **options: Any) -> Any:
    """Return what a function of NumPy makes of the index, or of its shape."""
    if not isinstance(things, Moves):
        raise OperationError(f"np.{function.__name__} moves what stands in the first place only")
    return function(things.index, *arguments, **options)


def reshape(things: Moves, shape: Any, order: str = "C") -> Moves:
    """Return the same things in another shape, like numpy.reshape."""
    return things.reshape(shape, order=order)


def join(function: Callable[..., Any], parts: Any, *axis: Any, **options: Any) -> Any:
    """Return what np.concatenate, np.stack or the like makes of arrays of one kind of things."""
    if len(axis) > 1 or options.keys() - {"axis"}:
        raise OperationError(f"np.{function.__name__} takes an axis here, and no other option")
    store, indices = _stored_together(f"np.{function.__name__}", list(parts))
    return store.at(function(indices, *axis, **options))


def where(condition: Any, *choices: Any) -> Any:
    """Return things from one of two arrays, like numpy.where."""
    if isinstance(condition, Moves) or len(choices) != 2:
        raise OperationError("np.where takes a public mask and two arrays: np.where(mask, x, y)")
    store, indices = _stored_together("np.where", choices)
    return store.at(np.where(condition, *indices))


def _stored_together(name: str, parts: Sequence[Any]) -> tuple[Any, list[IntArray]]:
    """Call `stored_together` for parts of one kind, and refuse others: numbers are no names."""
    if not parts:
        raise ShapeError(f"{name} needs at least one array")
    kinds = {type(part) for part in parts}
    kind = kinds.pop()
    if kinds or not issubclass(kind, Moves):
        found = " and ".join(sorted(one.__name__ for one in {*kinds, kind}))
        raise OperationError(
            f"{name} takes ciphertexts only, or plaintexts only, not {found}: encode or encrypt "
            "numbers first"
        )
    return kind.stored_together(parts)


def dot(a: Any, b: Any) -> Any:
    """Return a @ b, or a * b where one of them has no axes, like numpy.dot."""
    if np.ndim(b) > 2 and np.ndim(a) > 1:
        raise ShapeError("np.dot takes at most two axes on the right; write a @ b")
    return a @ b if np.ndim(a) and np.ndim(b) else a * b


def call_method(function: Callable[..., Any], things: Any, *arguments: Any, **options: Any) -> Any:
    """Return what the method of the function's name does."""
    method = getattr(things, function.__name__, None)
    if method is None:
        raise OperationError(f"{type(things).__name__} has no {function.__name__}")
    return method(*arguments, **options)


@dataclass(frozen=True, eq=False)
class Together:
    """Several arrays of one shape that are moved as one: a subclass is a dataclass of them.

    What is no array, and not arrays together, stays as it is.
    """

    def __post_init__(self) -> None:
        for name, x in vars(self).items():
            if isinstance(x, np.generic):  # what NumPy makes of an array without axes
                object.__setattr__(self, name, np.asarray(x))

    def each(
        self: AnyTogether, function: Callable[..., Any], others: Sequence[AnyTogether] = ()
    ) -> AnyTogether:
        """Return what a function makes of each array, and of the same array of the others."""
        found: dict[str, Any] = {}
        for name, x in vars(self).items():
            more = [getattr(other, name) for other in others]
            if isinstance(x, Together):
                found[name] = x.each(function, more)
            elif isinstance(x, np.ndarray):
                found[name] = np.asarray(function(x, *more), dtype=x.dtype)
        return replace(self, **found)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all the arrays."""
        shape: tuple[int, ...] = next(x.shape for x in vars(self).values() if hasattr(x, "shape"))
        return shape

    def __getitem__(self: AnyTogether, key: Any) -> AnyTogether:
        return self.each(lambda x: x[key])

    def reshape(self: AnyTogether, *shape: Any) -> AnyTogether:
        """Return the same arrays in another shape."""
        return self.each(lambda x: x.reshape(*shape))

    def broadcast(self: AnyTogether, shape: tuple[int, ...]) -> AnyTogether:
        """Return the arrays repeated to a larger shape."""
        return self.each(lambda x: np.broadcast_to(x, shape))

    @staticmethod
    def concatenate(parts: Sequence[AnyTogether], axis: int = 0) -> AnyTogether:
        """Join arrays along an axis."""
        return parts[0].each(lambda *arrays: np.concatenate(arrays, axis), parts[1:])


METHODS = (np.copy, np.mean, np.ravel, np.squeeze, np.sum, np.swapaxes, np.take, np.transpose)
QUESTIONS = (np.ndim, np.shape, np.size)
JOINS = (np.column_stack, np.concatenate, np.dstack, np.hstack, np.stack, np.vstack)
MOVES = (
    np.array_split, np.broadcast_to, np.delete, np.diagonal, np.dsplit, np.expand_dims, np.flip,
    np.fliplr, np.flipud, np.hsplit, np.moveaxis, np.repeat, np.roll, np.rollaxis, np.rot90,
    np.split, np.take_along_axis, np.tile, np.vsplit
)  # fmt: skip
CONSTANTS = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{function: partial(call_method, function) for function in METHODS},
    **{function: partial(join, function) for function in JOINS},
    **{function: partial(move, function) for function in MOVES},
    **{function: partial(_of_index, function) for function in QUESTIONS},
    np.reshape: reshape,
    np.where: where,
    np.dot: dot,
}
