"""Whether an answer is right, and in which way a wrong one is wrong, without saying what is right.

A comparison is a function (student, right, *arguments) that raises WrongAnswer where the student's
function fails. Claims use them (`yashe.checks.report`).
"""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from yashe.errors import origin

Function: TypeAlias = Callable[..., Any]
Arguments: TypeAlias = tuple[Any, ...]
Comparison: TypeAlias = Callable[..., None]

MUTABLE = (list, dict, np.ndarray)  # what a function could change
LONGEST_TEXT = 200  # characters of an input or an answer that a report shows


class Unsolved(NotImplementedError):
    """What an exercise raises until it is solved; cells behind it then say no more than this."""

    def __init__(self, number: int) -> None:
        super().__init__(f"solve exercise {number} first")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class WrongAnswer(Exception):
    """What a claim's test raises: the kind of mistake, and what the function has given."""

    def __init__(self, mistake: str, answer: object = None) -> None:
        super().__init__(mistake)
        self.mistake, self.answer = mistake, answer


def by_value(student: Function, right: Function, *arguments: Any) -> None:
    """Refuse a function that does not return the same as `right`.

    Raises
    ------
    WrongAnswer
    """
    require_equal(call(student, arguments), right(*copied(arguments)))


def modulo(modulus: Function) -> Comparison:
    """Return a comparison by value that knows which numbers are the same to a modulus.

    Parameters
    ----------
    modulus : gives the modulus for the arguments of a claim
    """

    def compare(student: Function, right: Function, *arguments: Any) -> None:
        try:
            by_value(student, right, *arguments)
        except WrongAnswer as wrong:
            q, got = modulus(*arguments), plain(wrong.answer)
            expected = plain(right(*copied(arguments)))
            if got == expected or _residues(got, q) != _residues(expected, q):
                raise
            others = f"right modulo {q}: now reduce each number to its residue around zero"
            raise WrongAnswer(others, wrong.answer) from wrong

    return compare


def _residues(value: Any, q: int) -> Any:
    if isinstance(value, list):
        return [_residues(entry, q) for entry in value]
    return value % q if isinstance(value, int) else value


def close(student: Function, right: Function, *arguments: Any) -> None:
    """Compare two numbers, up to one part in a thousand.

    Raises
    ------
    WrongAnswer
    """
    answer, expected = plain(call(student, arguments)), right(*arguments)
    if not isinstance(answer, numbers.Real):
        raise WrongAnswer(f"it returns {an(answer)}, where one number is needed", answer)
    if not math.isclose(float(answer), expected, rel_tol=1e-3, abs_tol=1e-9):
        size = "large" if float(answer) > expected else "small"
        raise WrongAnswer(f"the number is too {size}", answer)


def call(function: Function, arguments: Arguments) -> Any:
    """Call a student's function with copies, and refuse errors and changed arguments.

    Raises
    ------
    WrongAnswer
        If it raises an error, returns nothing, or changes what it was given.
    """
    if not callable(function):
        raise WrongAnswer(f"the check wants the function itself, not {an(function)} that it gave")
    copies = copied(arguments)
    try:
        answer = function(*copies)
    except WrongAnswer:  # of a function that is asked in another process
        raise
    except (Exception, SystemExit) as error:  # a student's function may raise anything
        raise WrongAnswer(error_text(error)) from error
    if answer is None:
        raise WrongAnswer("it returns nothing: is there a return?")
    if any(
        plain(x) != plain(y)
        for x, y in zip(copies, arguments, strict=True)
        if isinstance(y, MUTABLE)
    ):
        raise WrongAnswer("it changes its arguments; make a new list or array instead", answer)
    return answer


def copied(arguments: Arguments) -> Arguments:
    """Return the arguments with new lists and arrays; ciphertexts and keys never change."""
    return tuple(copy.deepcopy(x) if isinstance(x, MUTABLE) else x for x in arguments)


def plain(value: Any) -> Any:
    """Return arrays, tuples and NumPy numbers as lists and Python numbers, to compare them.

    A float that is an integer counts as that integer: residues in float64 arrays are welcome.
    """
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(entry) for entry in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return int(value)
    return value


def require_equal(answer: Any, expected: Any) -> None:
    """Refuse an answer that is not the expected one, with what can be said about the difference.

    Raises
    ------
    WrongAnswer
    """
    got, right = plain(answer), plain(expected)
    if got == right:
        return
    both = isinstance(answer, np.ndarray) and isinstance(expected, np.ndarray)
    if both and answer.shape != expected.shape:
        raise WrongAnswer(f"its shape is {answer.shape}, where {expected.shape} is needed", answer)
    raise WrongAnswer(_difference(got, right), answer)


def _difference(got: Any, right: Any) -> str:
    """Say in which way an answer is wrong, without saying what is right."""
    where = ""
    while _rows(got) and _rows(right) and len(got) == len(right) and _shapes_agree(got, right):
        i = next(i for i, (x, y) in enumerate(zip(got, right, strict=True)) if x != y)
        where, got, right = f"{where}[{i}]", got[i], right[i]
    return f"in {where}: {_said(got, right)}" if where else _said(got, right)


def _rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, list) for x in value)


def _shapes_agree(got: Any, right: Any) -> bool:
    """Say whether two lists have one shape, or are no arrays: a pair of matrices, say."""
    try:
        return bool(np.shape(got) == np.shape(right))
    except ValueError:  # rows of different lengths
        return True


def _said(got: Any, right: Any) -> str:
    if isinstance(right, list) and not isinstance(got, list):
        return f"it returns one {type(got).__name__}, where a list is needed"
    if not isinstance(right, list):
        if isinstance(got, list):
            return f"it returns a list of {len(got)}, where one number is needed"
        if isinstance(got, int) and isinstance(right, float):
            return "it returns an integer, where the right number has a fraction: // or a rounding?"
        if type(got) is not type(right):
            return f"it returns {an(got)}, where {an(right)} is needed"
        return "the number is wrong"
    if _rows(got) and _rows(right) and not _shapes_agree(got, right):
        return f"its shape is {np.shape(got)}, where {np.shape(right)} is needed"
    if len(got) != len(right):
        entries = "entry" if len(got) == 1 else "entries"
        return f"it returns {len(got)} {entries}, where {len(right)} are needed"
    if any(isinstance(x, list) != isinstance(y, list) for x, y in zip(got, right, strict=True)):
        return "lists stand where numbers are needed, or the other way round"
    if any(isinstance(x, float) and isinstance(y, int) for x, y in zip(got, right, strict=True)):
        return "some entries are not integers: was something divided or rounded?"
    wrong = [i for i, (x, y) in enumerate(zip(got, right, strict=True)) if x != y]
    if all(isinstance(x, int) for x in got) and got == [-x for x in right]:
        several = len(right) == 1 or sum(x != 0 for x in right) > 1
        return f"{'every' if several else 'one'} sign is the wrong way round"
    if sorted(map(repr, got)) == sorted(map(repr, right)):
        return "the values are right, their order is not"
    if len(right) == 1:
        return "its only entry is wrong"
    return f"{len(wrong)} of {len(right)} entries are wrong, the first at index {wrong[0]}"


def an(value: object) -> str:
    """Name the type of a value with its article: an int, a str."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' or name.startswith('nd') else 'a'} {name}"


def error_text(error: BaseException) -> str:
    """Say what an error of a student's code means, and where in that code it arose."""
    if isinstance(error, NotImplementedError):
        unsolved = isinstance(error, Unsolved) or not str(error)
        return "it is not written yet" if unsolved else short(str(error), quote=False)
    if isinstance(error, RecursionError):
        return "it calls itself without end: where does the recursion stop?"
    if isinstance(error, SystemExit):
        return "it ends the whole program (exit); a function returns"
    where = f", {place}" if (place := origin(error)) else ""
    return f"it raises {type(error).__name__}: {short(str(error), quote=False)}{where}"


def short(value: object, quote: bool = True) -> str:
    """Return the beginning of a value as text."""
    text = repr(plain(value)) if quote else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ..."
