"""Right functions and planted mistakes, for the arguments that the checks hand to students.

A check compares with functions of numbers. Where it hands out ciphertexts, or powers that know
their history, what a student would write is made of such a function here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from yashe.checks.exercises import notebook_01_computing, notebook_06_noise


def as_a_student_writes(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, for the arguments that the check hands to students."""
    if name == "power":
        return lambda x, k: balanced(int(math.log2(function(2, k))))
    if name in ("row_sum", "matrix_times"):
        return on_numbers(function)
    return function


def balanced(degree: int) -> notebook_06_noise.Power:
    """Return a power of x with as few products in a row as possible."""
    half = degree // 2
    return balanced(half) * balanced(degree - half) if half else notebook_06_noise.Power()


def on_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that opens its ciphertext, computes, and fills a new one periodically."""
    scheme, keys = notebook_01_computing.toy()

    def student(given: Any, *arguments: Any) -> Any:
        *before, ct, rotations = arguments
        x = scheme.decrypt(ct, keys.secret).tolist()
        d = len(before[0]) if before else len(x)
        values = function(given, *before, x[:d], rotations)
        return scheme.encrypt((values * len(x))[: len(x)], keys.secret, bytes(32))

    return student
