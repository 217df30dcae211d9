"""What a check says: claims about a student's function, points, and the kind of a mistake.

A check is a list of claims. A claim is a sentence, its points, and inputs from small to large, so
that the first input that fails is the smallest one known. A failed claim names that input, what
the function gave for it, and the kind of mistake; the right answer never.

The kind comes from *planted mistakes*: functions that are wrong in a way that is often met, each
under a sentence that says what is wrong. A student's function that agrees with one of them
everywhere makes that mistake. The tests feed every planted mistake to its check.
"""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TypeAlias

from yashe.arithmetic.progress import progress
from yashe.checks.compare import Arguments, Comparison, Function, WrongAnswer, by_value, short
from yashe.errors import FheError

Mistakes: TypeAlias = Mapping[str, Function]

ALWAYS_THE_SAME = ("scheme", "keys")  # what an input is not told of
COMPARED_WITH_MISTAKES = 6  # inputs on which a function must agree with a planted mistake


class CheckFailed(FheError, AssertionError):
    """An exercise is not solved yet; `report` says what is missing."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def _render_traceback_(self) -> list[str]:
        """Show the report alone in a notebook: where in our code it came from helps nobody."""
        return str(self).splitlines()


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
    compare: Comparison = by_value


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
                told = f"{type(error).__name__}: {short(str(error), quote=False)}"
                unreadable = WrongAnswer(f"the check cannot read its answer: {told}")
                wrong = error if isinstance(error, WrongAnswer) else unreadable
                mistake = self._planted(claim, student) or wrong.mistake
                answer = "" if wrong.answer is None else short(wrong.answer)
                failure = Failure(_named(claim, arguments), answer, mistake)
                return Result(claim.text, claim.points, failure)
        return Result(claim.text, claim.points)

    def _planted(self, claim: Claim, student: Function) -> str:
        """Return the first planted mistake with which the function agrees on several inputs."""
        some = claim.inputs[-COMPARED_WITH_MISTAKES:]
        with redirect_stdout(io.StringIO()):  # a `print` in it has been seen once already
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


def _agree(claim: Claim, student: Function, other: Function, arguments: Arguments) -> bool:
    try:
        claim.compare(student, other, *arguments)
    except Exception:  # noqa: BLE001 - a mistake may raise anything, and is then another one
        return False
    return True


def _named(claim: Claim, arguments: Arguments) -> str:
    """Write arguments with the names that they have in the claim's function."""
    pairs = zip(inspect.signature(claim.right).parameters, arguments, strict=False)
    told = {name: value for name, value in pairs if name not in ALWAYS_THE_SAME}
    return ", ".join(f"{name} = {short(value)}" for name, value in told.items())
