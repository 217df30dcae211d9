"""Values as lines of text, on their way between a check and the process of a submission.

A line is JSON, so that reading one runs nothing, whoever wrote it. JSON has numbers, texts and
lists; whatever else an exercise is about is written as {"kind": content}. What has no kind, such as
an object of a class that a student wrote, stays in its process: only its number travels.
"""

from __future__ import annotations

import base64
import json
import numbers
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from yashe import wire
from yashe.checks.exercises.notebook_06_noise import Power
from yashe.checks.exercises.notebook_12_project import Clear
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import BfvRotationKeys
from yashe.parameters import sets as parameters
from yashe.schemes.bfv import BFV
from yashe.textbook.polynomials import Params

LONGEST_LINE = 4 << 20  # of an answer
MOST_KEYS = 1000  # of a dictionary: a million keys with one hash take hours, and nothing stops that
Keep = Callable[[Any], int]  # gives an object a number
Find = Callable[[int, str], Any]  # what stands for the object with a number, of that class


def _array(content: list[Any]) -> Any:
    dtype, shape, entries = content
    if dtype not in ("bool", "int32", "int64", "uint8", "uint64", "float32", "float64"):
        raise ValueError(f"an array of {dtype}")
    return np.array(entries, dtype=dtype).reshape(shape)


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    if len(pairs) > MOST_KEYS:
        raise ValueError(f"a dictionary with {len(pairs)} keys")
    return dict(pairs)


def _integers(make: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return what makes something, but of integers only: Fraction("1e999999999") takes for ever."""

    def of_integers(content: Any) -> Any:
        arguments = content if isinstance(content, list) else [content]
        flat = [x for entry in arguments for x in (entry if type(entry) is tuple else [entry])]
        if not all(type(x) is int for x in flat):
            raise ValueError("integers are needed")
        return make(*arguments)

    return of_integers


def _frame(thing: Any) -> str:
    """Return what `yashe.wire` writes, as text."""
    return base64.b64encode(wire.to_bytes(thing)).decode()


def _framed(text: str, expected: Any) -> Any:
    return wire.from_bytes(base64.b64decode(text), expected)


# For each kind: its type, how it becomes plain, and how it is made again.
KINDS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tuple": (tuple, list, tuple),
    "power": (Power, list, Power),
    "dict": (dict, lambda x: [list(pair) for pair in x.items()], _dict),
    "fraction": (Fraction, lambda x: [x.numerator, x.denominator], _integers(Fraction)),
    "bytes": (bytes, lambda x: base64.b64encode(x).decode(), base64.b64decode),
    "params": (Params, lambda x: [x.n, x.t, x.moduli], _integers(Params)),
    "clear": (Clear, lambda x: x.n, _integers(Clear)),
    "array": (np.ndarray, lambda x: [str(x.dtype), list(x.shape), x.ravel().tolist()], _array),
    "ciphertext": (Ciphertext, _frame, lambda x: _framed(x, Ciphertext)),
    "rotation keys": (BfvRotationKeys, _frame, lambda x: _framed(x, BfvRotationKeys)),
    "scheme": (BFV, lambda x: _frame(x.params), lambda x: BFV(_framed(x, parameters.Params))),
}  # fmt: skip


def written(value: Any, keep: Keep) -> str:
    """Return a value as a line of text."""
    return json.dumps(_plain(value, keep))


def read(line: str | bytes, find: Find) -> Any:
    """Return the value of a line.

    Raises
    ------
    ValueError
        If it is no such line.
    """
    try:
        return _value(json.loads(line), find)
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"no value: {type(error).__name__}") from error


def _plain(value: Any, keep: Keep) -> Any:
    """Return a value as JSON has it. Subclasses are not taken for what they stand on."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if type(value) in (list, range):
        return [_plain(entry, keep) for entry in value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return _plain(value.tolist(), keep)
    for kind, (of, to_plain, _) in KINDS.items():
        if type(value) is of:
            return {kind: _plain(to_plain(value), keep)}
    return {"object": [keep(value), type(value).__name__]}


def _value(plain: Any, find: Find) -> Any:
    """Return what `_plain` has made plain."""
    if isinstance(plain, list):
        return [_value(entry, find) for entry in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "object":
        number, name = content
        return find(int(number), str(name))
    return KINDS[kind][2](_value(content, find))
