"""What a check says: claims about a student's function, points, and the kind of a mistake.

A check is a list of claims. A claim is a sentence, its points, and inputs from small to large, so
that the first input that fails is the smallest one known. A failed claim names that input, what
the function gave for it, and the kind of mistake; the right answer never.

The kind comes from *planted mistakes*: functions that are wrong in a way that is often met, each
under a sentence that says what is wrong. A student's function that agrees with one of them
everywhere makes that mistake. The tests feed every planted mistake to its check.
"""

from __future__ import annotations

import copy
import functools
import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from yashe.arithmetic.progress import progress
from yashe.errors import FheError, origin

Function: TypeAlias = Callable[..., Any]
Arguments: TypeAlias = tuple[Any, ...]
Mistakes: TypeAlias = Mapping[str, Function]

MUTABLE = (list, dict, np.ndarray)  # what a function could change
ALWAYS_THE_SAME = ("scheme", "keys")  # what an input is not told of
LONGEST_TEXT = 200  # characters of an input or an answer that a report shows
COMPARED_WITH_MISTAKES = 6  # inputs on which a function must agree with a planted mistake


class CheckFailed(FheError, AssertionError):
    """An exercise is not solved yet; `report` says what is missing."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def _render_traceback_(self) -> list[str]:
        """Show the report alone in a notebook: where in our code it came from helps nobody."""
        return str(self).splitlines()


class WrongAnswer(Exception):
    """What a claim's test raises: the kind of mistake, and what the function has given."""

    def __init__(self, mistake: str, answer: object = None) -> None:
        super().__init__(mistake)
        self.mistake, self.answer = mistake, answer


class Unsolved(NotImplementedError):
    """What an exercise raises until it is solved; cells behind it then say no more than this."""

    def __init__(self, number: int) -> None:
        super().__init__(f"solve exercise {number} first")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True)
class Failure:
    """Why a claim does not hold.

    Attributes
    ----------
    given : the smallest failing input that is known, as text
    answer : what the function returned for it, as text; empty if it returned nothing
    mistake : the kind of mistake
    """

    given: str
    answer: str
    mistake: str


def by_value(student: Function, right: Function, *arguments: Any) -> None:
    """Refuse a function that does not return the same as `right`.

    Raises
    ------
    WrongAnswer
    """
    require_equal(call(student, arguments), right(*_copied(arguments)))


@dataclass(frozen=True)
class Claim:
    """A sentence that a right function makes true.

    Attributes
    ----------
    text : the sentence
    inputs : arguments to try, from small to large
    right : the function to agree with
    points : what the claim is worth
    compare : `compare(student, right, *arguments)` raises WrongAnswer where the student's function
        fails. By default it must return what `right` returns.
    """

    text: str
    inputs: Sequence[Arguments]
    right: Function
    points: int = 1
    compare: Callable[..., None] = by_value


@dataclass(frozen=True)
class Result:
    """One claim with its outcome; `failure` is None if it holds."""

    claim: str
    out_of: int
    failure: Failure | None = None

    @property
    def points(self) -> int:
        """Points earned: all or none."""
        return 0 if self.failure else self.out_of


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of a check, which prints itself.

    Attributes
    ----------
    exercise : name of the exercise
    results : one for each claim
    """

    exercise: str
    results: tuple[Result, ...]

    @property
    def points(self) -> int:
        """Points earned."""
        return sum(result.points for result in self.results)

    @property
    def out_of(self) -> int:
        """Points that can be earned."""
        return sum(result.out_of for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether every claim holds."""
        return self.points == self.out_of

    @property
    def first_failure(self) -> Failure | None:
        """The failure to look at first."""
        return next((result.failure for result in self.results if result.failure), None)

    def __repr__(self) -> str:
        lines = [f"{self.exercise}: {self.points} of {self.out_of} points"]
        told = ""
        for result in self.results:
            mark = "ok  " if result.failure is None else "not "
            lines.append(f"  {mark} {result.claim}")
            if result.failure and result.failure.mistake != told:
                told = result.failure.mistake
                lines.append(f"       input:   {result.failure.given}")
                if result.failure.answer:
                    lines.append(f"       yours:   {result.failure.answer}")
                lines.append(f"       mistake: {result.failure.mistake}")
        return "\n".join(lines)

    __str__ = __repr__


class Check:
    """What an exercise asks for.

    Parameters
    ----------
    claims : what must hold, the easiest first
    mistakes : planted mistakes, sentence -> wrong function
    """

    def __init__(self, *claims: Claim, mistakes: Mistakes | None = None) -> None:
        self.claims, self.mistakes = claims, mistakes or {}

    def report(self, name: str, student: Function) -> Report:
        """Return the report on a student's function, under the name of the exercise."""
        claims = progress(self.claims, "claim")
        return Report(name, tuple(self._result(claim, student) for claim in claims))

    def _result(self, claim: Claim, student: Function) -> Result:
        """Try the inputs of a claim, up to the first that fails."""
        for arguments in claim.inputs:
            try:
                claim.compare(student, claim.right, *arguments)
            except Exception as error:  # noqa: BLE001 - a ciphertext, say, that nobody can decrypt
                told = f"{type(error).__name__}: {_short(str(error), quote=False)}"
                unreadable = WrongAnswer(f"the check cannot read its answer: {told}")
                wrong = error if isinstance(error, WrongAnswer) else unreadable
                mistake = self._planted(claim, student) or wrong.mistake
                answer = "" if wrong.answer is None else _short(wrong.answer)
                failure = Failure(_named(claim, arguments), answer, mistake)
                return Result(claim.text, claim.points, failure)
        return Result(claim.text, claim.points)

    def _planted(self, claim: Claim, student: Function) -> str:
        """Return the first planted mistake with which the function agrees on several inputs."""
        some = claim.inputs[-COMPARED_WITH_MISTAKES:]
        for text, wrong in self.mistakes.items():
            if all(_agree(claim, student, wrong, arguments) for arguments in some):
                return text
        return ""


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Attributes
    ----------
    notebook : the one that it is in, such as "03"
    check : what students call; it bears the name of the function that they write
    asked : returns what is asked for
    may_call : what of this package a solution may call without a second look
    """

    notebook: str
    check: Callable[[Function], Report]
    asked: Callable[[], Check]
    may_call: tuple[str, ...] = ()


EXERCISES: dict[str, Exercise] = {}


def exercise(
    notebook: str, *may_call: str
) -> Callable[[Callable[[], Check]], Callable[[Function], Report]]:
    """Register what an exercise asks for, and make of it the check that students call.

    Parameters
    ----------
    notebook : such as "03"
    may_call : names of this package that the exercise hands out

    Examples
    --------
    >>> @exercise("99")
    ... def double():
    ...     return Check(Claim("2x", [(0,), (3,)], lambda x: 2 * x))
    >>> double(lambda x: 2 * x)
    double: 1 of 1 points
      ok   2x
    >>> del EXERCISES["double"]
    """

    def register(asked: Callable[[], Check]) -> Callable[[Function], Report]:
        @functools.wraps(asked)
        def check(student: Function) -> Report:
            report = asked().report(asked.__name__, student)
            if not report.passed:
                raise CheckFailed(report)
            return report

        del check.__wrapped__  # its parameters are not those of the check
        EXERCISES[asked.__name__] = Exercise(notebook, check, asked, may_call)
        return check

    return register


def call(function: Function, arguments: Arguments) -> Any:
    """Call a student's function with copies, and refuse errors and changed arguments.

    Raises
    ------
    WrongAnswer
        If it raises an error, returns nothing, or changes what it was given.
    """
    copies = _copied(arguments)
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
        raise WrongAnswer("it changes its arguments; make a new list instead", answer)
    return answer


def _copied(arguments: Arguments) -> Arguments:
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


def _agree(claim: Claim, student: Function, other: Function, arguments: Arguments) -> bool:
    try:
        claim.compare(student, other, *arguments)
    except Exception:  # noqa: BLE001 - a mistake may raise anything, and is then another one
        return False
    return True


def _difference(got: Any, right: Any) -> str:
    """Say in which way an answer is wrong, without saying what is right."""
    if isinstance(right, list) and not isinstance(got, list):
        return f"it returns one {type(got).__name__}, where a list is needed"
    if not isinstance(right, list):
        if isinstance(got, list):
            return f"it returns a list of {len(got)}, where one number is needed"
        if type(got) is not type(right):
            return f"it returns a {type(got).__name__}, where a {type(right).__name__} is needed"
        return "the number is wrong"
    if len(got) != len(right):
        return f"it returns {len(got)} entries, where {len(right)} are needed"
    if any(isinstance(x, list) != isinstance(y, list) for x, y in zip(got, right, strict=True)):
        return "lists stand where numbers are needed, or the other way round"
    if any(isinstance(x, float) and isinstance(y, int) for x, y in zip(got, right, strict=True)):
        return "some entries are not integers: was something divided or rounded?"
    wrong = [i for i, (x, y) in enumerate(zip(got, right, strict=True)) if x != y]
    if isinstance(right[0], list):
        return f"row {wrong[0]}: {_difference(got[wrong[0]], right[wrong[0]])}"
    if all(isinstance(x, int) for x in got) and got == [-x for x in right]:
        several = len(right) == 1 or sum(x != 0 for x in right) > 1
        return f"{'every' if several else 'one'} sign is the wrong way round"
    if sorted(map(repr, got)) == sorted(map(repr, right)):
        return "the values are right, their order is not"
    return f"{len(wrong)} of {len(right)} entries are wrong, the first at index {wrong[0]}"


def error_text(error: BaseException) -> str:
    """Say what an error of a student's code means, and where in that code it arose."""
    if isinstance(error, NotImplementedError):
        unsolved = isinstance(error, Unsolved) or not str(error)
        return "it is not written yet" if unsolved else _short(str(error), quote=False)
    if isinstance(error, RecursionError):
        return "it calls itself without end: where does the recursion stop?"
    if isinstance(error, SystemExit):
        return "it ends the whole program (exit); a function returns"
    where = f", {place}" if (place := origin(error)) else ""
    return f"it raises {type(error).__name__}: {_short(str(error), quote=False)}{where}"


def _named(claim: Claim, arguments: Arguments) -> str:
    """Write arguments with the names that they have in the claim's function."""
    pairs = zip(inspect.signature(claim.right).parameters, arguments, strict=False)
    told = {name: value for name, value in pairs if name not in ALWAYS_THE_SAME}
    return ", ".join(f"{name} = {_short(value)}" for name, value in told.items())


def _short(value: object, quote: bool = True) -> str:
    text = repr(plain(value)) if quote else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ..."
