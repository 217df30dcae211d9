"""Checks of the notebooks' exercises, for students, for tests, and for grading.

    checks.negacyclic_product(my_function)      a Report, or CheckFailed with a Report
    python -m yashe.checks grade FOLDER         the points of many submissions, as a table

A check bears the name of the function that the exercise asks for. It says how many points a
solution has, the smallest input that fails and the kind of mistake, and never the answer. The
checks are found where the exercises are registered; `dir(checks)` lists them.

Modules, in the order of reading:

    compare    whether an answer is right, and in which way it is wrong
    report     claims about a student's function, points, and kinds of mistakes
    cases      inputs for claims, from small to large, the same in every run
    exercises  the exercises, one module for each notebook
    handins    the files that students hand in
    look       solutions that a teacher should look at
    values     values as lines of text, between a check and a submission
    answers    the process of a submission, which answers calls
    grade      many submissions, one table of points
    __main__   the command line

Uses errors, textbook, attacks, arithmetic, parameters, ciphertexts, schemes, wire,
laws.
"""

from collections.abc import Callable

from yashe.checks import exercises  # noqa: F401 (which registers them)
from yashe.checks.compare import (
    Function,
    Unsolved,
    WrongAnswer,
    by_value,
    call,
    modulo,
    require_equal,
)
from yashe.checks.report import (
    EXERCISES,
    Check,
    CheckFailed,
    Claim,
    Exercise,
    Failure,
    Report,
    Result,
    exercise,
)

__all__ = [
    "EXERCISES",
    "Check",
    "CheckFailed",
    "Claim",
    "Exercise",
    "Failure",
    "Function",
    "Report",
    "Result",
    "Unsolved",
    "WrongAnswer",
    "by_value",
    "call",
    "exercise",
    "modulo",
    "require_equal",
]


def __getattr__(name: str) -> Callable[[Function], Report]:
    if name not in EXERCISES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return EXERCISES[name].check


def __dir__() -> list[str]:
    return sorted({*globals(), *EXERCISES})
