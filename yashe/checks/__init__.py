"""Checks of the notebooks' exercises, for students, for tests, and for grading.

    checks.negacyclic_product(my_function)      a Report, or CheckFailed with a Report
    python -m yashe.checks grade FOLDER         the points of many submissions, as a table

A check bears the name of the function that the exercise asks for. It says how many points a
solution has, the smallest input that fails and the kind of mistake, and never the answer.
"""

from yashe.checks.broken import shortest_vector, smallest_degree, yashe_decrypt
from yashe.checks.first_steps import (
    decrypt,
    encrypt,
    expansion,
    quadratic,
    solve_without_errors,
    weighted_sum,
)
from yashe.checks.multiplication import multiply_ciphertexts, relinearise_digits, signed_digits
from yashe.checks.products import negacyclic_product, ntt_butterflies, ntt_two_products
from yashe.checks.report import (
    EXERCISES,
    CheckFailed,
    Claim,
    Exercise,
    Failure,
    Report,
    Result,
    WrongAnswer,
    call,
    examine,
    exercise,
    require_equal,
)

__all__ = [
    "EXERCISES",
    "CheckFailed",
    "Claim",
    "Exercise",
    "Failure",
    "Report",
    "Result",
    "WrongAnswer",
    "call",
    "decrypt",
    "encrypt",
    "examine",
    "exercise",
    "expansion",
    "multiply_ciphertexts",
    "negacyclic_product",
    "ntt_butterflies",
    "ntt_two_products",
    "quadratic",
    "relinearise_digits",
    "require_equal",
    "shortest_vector",
    "signed_digits",
    "smallest_degree",
    "solve_without_errors",
    "weighted_sum",
    "yashe_decrypt",
]
