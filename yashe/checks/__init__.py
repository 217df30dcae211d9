"""Checks of the notebooks' exercises, for students, for tests, and for grading.

    checks.negacyclic_product(my_function)      a Report, or CheckFailed with a Report
    python -m yashe.checks grade FOLDER         the points of many submissions, as a table

A check bears the name of the function that the exercise asks for. It says how many points a
solution has, the smallest input that fails and the kind of mistake, and never the answer.

Modules, in the order of reading:

    report     claims about a student's function, points, and kinds of mistakes
    cases      inputs for claims, from small to large, the same in every run
    exercises  the exercises, one module for each notebook
    grade      many submissions, one table of points
    __main__   the command line

Uses errors, textbook, attacks, arithmetic, parameters, ciphertexts, schemes, laws.
"""

from yashe.checks.exercises.notebook_01_computing import expansion, quadratic, weighted_sum
from yashe.checks.exercises.notebook_02_encryption import decrypt, encrypt, solve_without_errors
from yashe.checks.exercises.notebook_03_products import (
    negacyclic_product,
    ntt_butterflies,
    ntt_two_products,
)
from yashe.checks.exercises.notebook_04_floats import (
    compose_residues,
    reduce_float,
    terms_that_fit,
)
from yashe.checks.exercises.notebook_05_slots import decode_slots, encode_slots, rotate
from yashe.checks.exercises.notebook_06_noise import budget_bits, fresh_deviation, power
from yashe.checks.exercises.notebook_07_multiplication import (
    drop_prime,
    multiply_ciphertexts,
    relinearise_digits,
    signed_digits,
)
from yashe.checks.exercises.notebook_08_broken import (
    shortest_vector,
    smallest_degree,
    yashe_decrypt,
)
from yashe.checks.exercises.notebook_09_networks import (
    dense_interval,
    round_weights,
    square_gradients,
    square_interval,
)
from yashe.checks.exercises.notebook_10_cryptonets import (
    batch_to_slots,
    join_logits,
    predictions_per_hour,
)
from yashe.checks.exercises.notebook_11_protection import (
    degree_for,
    difference_of_messages,
    question_for_the_key,
    secret_by_trying,
)
from yashe.checks.exercises.notebook_12_project import MyBFV, MyNtt, MyRing, linear_layer
from yashe.checks.report import (
    EXERCISES,
    Check,
    CheckFailed,
    Claim,
    Exercise,
    Failure,
    Report,
    Result,
    WrongAnswer,
    by_value,
    call,
    exercise,
    require_equal,
)

__all__ = [
    "EXERCISES",
    "Check",
    "CheckFailed",
    "Claim",
    "Exercise",
    "Failure",
    "MyBFV",
    "MyNtt",
    "MyRing",
    "Report",
    "Result",
    "WrongAnswer",
    "batch_to_slots",
    "budget_bits",
    "by_value",
    "call",
    "compose_residues",
    "decode_slots",
    "decrypt",
    "degree_for",
    "dense_interval",
    "difference_of_messages",
    "drop_prime",
    "encode_slots",
    "encrypt",
    "exercise",
    "expansion",
    "fresh_deviation",
    "join_logits",
    "linear_layer",
    "multiply_ciphertexts",
    "negacyclic_product",
    "ntt_butterflies",
    "ntt_two_products",
    "power",
    "predictions_per_hour",
    "quadratic",
    "question_for_the_key",
    "reduce_float",
    "relinearise_digits",
    "require_equal",
    "rotate",
    "round_weights",
    "secret_by_trying",
    "shortest_vector",
    "signed_digits",
    "smallest_degree",
    "solve_without_errors",
    "square_gradients",
    "square_interval",
    "terms_that_fit",
    "weighted_sum",
    "yashe_decrypt",
]
