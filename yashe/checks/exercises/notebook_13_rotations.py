"""The exercises of notebook 13: matrices in slots that move."""

from __future__ import annotations

from typing import Any

from yashe.checks.cases import generator, integers
from yashe.checks.compare import Function, WrongAnswer, call, require_equal
from yashe.checks.exercises.notebook_01_computing import SEED, toy
from yashe.checks.report import Check, Claim, exercise
from yashe.ciphertexts.array import Ciphertext

Matrix = list[list[int]]


def matrices(name: str, *sizes: int, limit: int = 9) -> list[Matrix]:
    """Return square matrices of integers."""
    rng = generator(name)
    return [[integers(rng, limit, d) for _ in range(d)] for d in sizes]


@exercise("13")
def diagonals() -> Check:
    """Check a function M -> its diagonals, diagonal_k[i] = M[i][(i + k) mod d]."""
    by_hand: list[Matrix] = [[[7]], [[1, 2], [3, 4]], [[1, 2, 3, 4]] * 4]
    return Check(
        Claim("matrices by hand", [(M,) for M in by_hand], cut),
        Claim("matrices of any size", [(M,) for M in matrices("diagonals", 4, 8)], cut),
        mistakes={
            "these are the rows": lambda M: M,
            "these are the columns": lambda M: [list(column) for column in zip(*M, strict=True)],
            "the diagonals go down to the left: column i + k, not k - i": (
                lambda M: [
                    [row[(k - i) % len(M)] for i, row in enumerate(M)] for k in range(len(M))
                ]
            ),
            "column i - k, where i + k is asked for: the right diagonals in the wrong order": (
                lambda M: [
                    [row[(i - k) % len(M)] for i, row in enumerate(M)] for k in range(len(M))
                ]
            ),
            "the diagonals of the transposed matrix: row i stays row i": (
                lambda M: [[M[(i + k) % len(M)][i] for i in range(len(M))] for k in range(len(M))]
            ),
        },
    )


def cut(M: Matrix) -> Matrix:
    """Return the diagonals."""
    d = len(M)
    return [[M[i][(i + k) % d] for i in range(d)] for k in range(d)]


@exercise("13", "rotate", "encode")
def matrix_times() -> Check:
    """Check a function (scheme, M, ct, keys) -> M x, for x repeated with period d in ct."""
    scheme, keys = toy()
    rng = generator("matrix_times")
    easy: list[Matrix] = [[[2, 0], [0, 3]], [[0, 1], [1, 0]]]

    def case(M: Matrix) -> tuple[Any, ...]:
        return scheme, M, integers(rng, 20, len(M)), keys.rotations

    def times(scheme: Any, M: Matrix, ct: list[int], keys: Any) -> list[int]:
        return [sum(a * b for a, b in zip(row, ct, strict=True)) for row in M]

    def on_slots(student: Function, right: Function, *arguments: Any) -> None:
        scheme, M, x, rotations = arguments
        slots = (x * scheme.params.n)[: scheme.params.n]
        answer = call(student, (scheme, M, scheme.encrypt(slots, keys.secret, SEED), rotations))
        if not isinstance(answer, Ciphertext):
            raise WrongAnswer(f"it returns a {type(answer).__name__}, where a ciphertext is needed")
        found = scheme.decrypt(answer, keys.secret).tolist()
        require_equal(found[: len(M)], right(*arguments))
        if found != (found[: len(M)] * scheme.params.n)[: scheme.params.n]:
            raise WrongAnswer("right in the first slots, but not repeated through both rows")

    def transposed(scheme: Any, M: Matrix, ct: list[int], keys: Any) -> list[int]:
        return times(scheme, [list(column) for column in zip(*M, strict=True)], ct, keys)

    def backwards(scheme: Any, M: Matrix, ct: list[int], keys: Any) -> list[int]:
        d, parts = len(M), cut(M)
        return [sum(parts[k][i] * ct[(i - k) % d] for k in range(d)) for i in range(d)]

    return Check(
        Claim("two numbers, scaled and swapped", [case(M) for M in easy], times, 1, on_slots),
        Claim(
            "any matrices",
            [case(M) for M in matrices("matrix_times", 2, 4, 8)],
            times,
            2,
            on_slots,
        ),
        mistakes={
            "this is x M: the diagonals are those of the transposed matrix": transposed,
            "x is rotated the wrong way: diagonal k meets x_(i+k)": backwards,
            "only the main diagonal is used": (
                lambda scheme, M, ct, keys: [M[i][i] * ct[i] for i in range(len(M))]
            ),
        },
    )


@exercise("13")
def rotations_needed() -> Check:
    """Check a function (d, baby) -> rotations of M x with baby steps and giant steps."""

    def needed(d: int, baby: int) -> int:
        return (baby - 1) + (d // baby - 1)

    return Check(
        Claim("four diagonals", [(4, 1), (4, 2), (4, 4)], needed),
        Claim("more of them", [(16, 4), (64, 8), (256, 16), (1024, 16), (4096, 64)], needed),
        mistakes={
            "by 0 steps nothing has to be rotated, neither a baby nor a giant": (
                lambda d, baby: baby + d // baby
            ),
            "every giant step rotates a sum once; the babies are rotated once for all of them": (
                lambda d, baby: (baby - 1) * (d // baby) + d // baby - 1
            ),
            "these are the plaintext products; they stay as many as there are diagonals": (
                lambda d, baby: d
            ),
        },
    )
