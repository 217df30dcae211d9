"""The checks of exercises: they accept what is right, refuse what is wrong, and say why.

Every exercise's planted mistakes are given to its check as if students had made them.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from students import as_a_student_writes
from yashe import checks
from yashe.checks import compare
from yashe.checks.report import Check, Claim, Report
from yashe.errors import FheError
from yashe.parameters.sets import INSECURE_TOY
from yashe.schemes.bfv import BFV

NAMES = sorted(name for name, found in checks.EXERCISES.items() if found.notebook <= "06")


def planted(name: str) -> tuple[tuple[Claim, ...], Mapping[str, Callable[..., Any]]]:
    """The claims and the mistakes of a check."""
    asked = checks.EXERCISES[name].asked()
    return asked.claims, asked.mistakes


@pytest.mark.parametrize("name", NAMES)
def test_the_right_function_gets_all_points(name: str) -> None:
    claims, _ = planted(name)
    report = checks.EXERCISES[name].check(as_a_student_writes(name, claims[0].right))
    assert report.passed
    assert report.points == report.out_of > 0
    assert report.first_failure is None


@pytest.mark.parametrize("name", NAMES)
def test_every_planted_mistake_is_refused_and_named(name: str) -> None:
    _, mistakes = planted(name)
    assert len(mistakes) >= 3, "a check knows at least three ways of being wrong"
    for sentence, wrong in mistakes.items():
        with pytest.raises(checks.CheckFailed, match="mistake:") as caught:
            checks.EXERCISES[name].check(as_a_student_writes(name, wrong))
        report = caught.value.report
        assert report.points < report.out_of
        assert report.first_failure is not None
        assert report.first_failure.mistake == sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_gets_no_point(name: str) -> None:
    def stub(*arguments: object) -> None:
        raise NotImplementedError

    with pytest.raises(checks.CheckFailed, match="it is not written yet") as caught:
        checks.EXERCISES[name].check(stub)
    assert caught.value.report.points == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_check_never_tells_the_answer(name: str) -> None:
    claims, _ = planted(name)
    first = claims[0]
    answer = first.right(*[_as_array(name, x) for x in first.inputs[0]])
    with pytest.raises(checks.CheckFailed, match=name) as caught:
        checks.EXERCISES[name].check(lambda *arguments: None)
    assert caught.value.report.first_failure.answer == ""
    text = str(caught.value).replace(caught.value.report.first_failure.given, "")
    assert str(checks.compare.plain(answer)) not in text or len(str(answer)) < 4


def _as_array(name: str, value: object) -> object:
    """The arrays that a check makes of an input, for those that do."""
    made = name in ("weighted_sum", "quadratic", "reduce_float") and isinstance(value, list)
    return np.array(value) if made else value


def right(x: list[int], p: int) -> list[int]:
    return [y % p for y in x]


TOY = BFV(INSECURE_TOY)
STRANGE = TOY.encrypt([[1]], TOY.keygen(bytes([7] * 32)).secret)  # under a key of nobody's

CLAIM = Claim("residues", [([5], 3), ([5, 7, 9], 3)], right)


def residues(student: Callable[..., Any]) -> Report:
    return Check(CLAIM).report("residues", student)


def mistake_of(student: Callable[..., Any]) -> str:
    report = residues(student)
    assert report.first_failure is not None
    return report.first_failure.mistake


@pytest.mark.parametrize(
    ("student", "mistake"),
    [
        (lambda x, p: None, "it returns nothing: is there a return"),
        (lambda x, p: x[10], "it raises IndexError: list index out of range, line .* of <lambda>"),
        (lambda x, p: 7, "it returns one int, where a list is needed"),
        (lambda x, p: [], "it returns 0 entries, where 1 are needed"),
        (lambda x, p: [[2]] * len(x), "lists stand where numbers are needed"),
        (lambda x, p: [y % p + 0.5 for y in x], "some entries are not integers"),
        (lambda x, p: [-(y % p) for y in x], "every sign is the wrong way round"),
        (lambda x, p: [y % p for y in sorted(x, reverse=True)], "their order is not"),
        (lambda x, p: [9] * len(x), "its only entry is wrong"),
        (lambda x, p: x.clear() or [2], "it changes its arguments"),
        (lambda x: x, "it raises TypeError: .*takes 1 positional argument but 2 were given"),
    ],
)
def test_a_difference_is_described(student: Callable[..., Any], mistake: str) -> None:
    assert __import__("re").search(mistake, mistake_of(student))


def pair_of_matrices(x: int) -> tuple[list[list[int]], list[list[int]]]:
    return [[1, 2], [3, 4]], [[5, 6]]


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (([[1, 2], [3, 0]], [[5, 6]]), "in [0][1]: 1 of 2 entries are wrong, the first at index 1"),
        (([[1, 2], [3, 4]], [[5], [6]]), "in [1]: its shape is (2, 1), where (1, 2) is needed"),
        (([[1, 2], [3, 4]],), "it returns 1 entry, where 2 are needed"),
        (([[1, 2], [3, 4]], [[-5, -6]]), "in [1][0]: every sign is the wrong way round"),
    ],
)
def test_a_difference_is_told_with_its_place(answer: object, mistake: str) -> None:
    report = Check(Claim("a pair", [(0,)], pair_of_matrices)).report("pair", lambda x: answer)
    assert report.first_failure is not None
    assert report.first_failure.mistake == mistake


@pytest.mark.parametrize("others", [[1, 17, -9], [18, 0, 8], [-16, 34, 25]])
def test_an_answer_that_is_right_modulo_p_is_told_so(others: list[int]) -> None:
    same = compare.modulo(lambda x, p: p)
    asked = Check(Claim("residues", [([1, 17, 8], 17)], lambda x, p: [1, 0, 8], compare=same))
    assert asked.report("residues", lambda x, p: np.array([1, 0, 8])).passed
    failure = asked.report("residues", lambda x, p: others).first_failure
    assert failure is not None
    assert failure.mistake.startswith("right modulo 17: now reduce")


@pytest.mark.parametrize("wrong", [[1, 17, 9], [1, 17], None, "x", [1, 17, 8.5]])
def test_an_answer_that_is_wrong_modulo_p_is_not(wrong: object) -> None:
    same = compare.modulo(lambda x, p: p)
    asked = Check(Claim("residues", [([1, 17, 8], 17)], lambda x, p: [1, 0, 8], compare=same))
    failure = asked.report("residues", lambda x, p: wrong).first_failure
    assert failure is not None
    assert "right modulo" not in failure.mistake


def test_a_right_answer_that_changes_its_arguments_is_told_that() -> None:
    same = compare.modulo(lambda x, p: p)
    asked = Check(Claim("residues", [([5], 3)], right, compare=same))
    failure = asked.report("residues", lambda x, p: x.clear() or [2]).first_failure
    assert failure is not None
    assert failure.mistake.startswith("it changes its arguments")


def test_a_result_in_the_place_of_the_function_is_told() -> None:
    assert mistake_of([2]) == "the check wants the function itself, not a list that it gave"  # type: ignore[arg-type]


def test_what_a_function_prints_is_seen_once(capsys: pytest.CaptureFixture[str]) -> None:
    def student(x: list[int], p: int) -> list[int]:
        print("x =", x)
        return [9] * len(x)

    planted = {f"mistake {i}": lambda x, p: [8] for i in range(5)}
    Check(CLAIM, mistakes=planted).report("residues", student)
    assert capsys.readouterr().out == "x = [5]\n"


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("solve_without_errors", lambda A, b, q: np.linalg.solve(A, b)),
        ("solve_without_errors", lambda A, b, q: [x / 2 for x in b]),
        ("budget_bits", lambda phase, q, t: "3.6"),
        ("decrypt", lambda c_0, c_1, s, q, t: "m"),
    ],
)
def test_fractions_and_text_are_no_residues(name: str, student: Callable[..., Any]) -> None:
    with pytest.raises(checks.CheckFailed, match="no fractions|where .* (is|are) needed"):
        checks.EXERCISES[name].check(student)


@pytest.mark.parametrize(
    ("name", "student", "mistake"),
    [
        ("budget_bits", lambda *_: 10**400, "OverflowError: int too large to convert to float"),
        ("question_for_the_key", lambda p: [["a"] * p.n] * 2, "TypeError: unsupported operand"),
        ("weighted_sum", lambda *_: STRANGE, "KeyMismatchError: "),
    ],
)
def test_what_no_check_can_read_is_a_mistake_and_no_traceback(
    name: str, student: Callable[..., Any], mistake: str
) -> None:
    with pytest.raises(checks.CheckFailed, match=f"the check cannot read its answer: {mistake}"):
        checks.EXERCISES[name].check(student)


def test_an_input_is_told_without_the_scheme_and_the_keys() -> None:
    with pytest.raises(checks.CheckFailed, match="row_sum") as caught:
        checks.row_sum(lambda scheme, ct, keys: ct)
    assert caught.value.report.first_failure.given.startswith("ct = [1, 0, ")


def test_an_array_of_another_shape_is_told_by_its_shape() -> None:
    with pytest.raises(
        checks.CheckFailed, match=r"its shape is \(1, 1, 2, 2\), where \(2, 2, 1, 1\)"
    ):
        checks.batch_to_slots(lambda pixels: np.moveaxis(pixels, -1, 0))


def test_one_sign_is_not_every_sign() -> None:
    claim = Claim("residues", [([0, 5], 3)], right)
    report = Check(claim).report("residues", lambda x, p: [0, -2])
    assert report.first_failure is not None
    assert report.first_failure.mistake == "one sign is the wrong way round"


def test_exit_costs_a_claim_not_the_notebook() -> None:
    mistake = mistake_of(lambda x, p: sys.exit())
    assert mistake == "it ends the whole program (exit); a function returns"


def test_an_exercise_that_is_not_solved_says_so_without_a_traceback() -> None:
    def stub(x: list[int], p: int) -> list[int]:
        raise checks.Unsolved(2)

    assert mistake_of(stub) == "it is not written yet"
    assert checks.Unsolved(2)._render_traceback_() == ["solve exercise 2 first"]


def test_an_error_is_told_with_the_line_of_the_student() -> None:
    def student(x: list[int], p: int) -> list[int]:
        return np.linalg.inv([[0.0]])  # raises deep within NumPy

    line = student.__code__.co_firstlineno + 1
    assert mistake_of(student) == (
        f"it raises LinAlgError: Singular matrix, line {line} of student"
    )


def test_endless_recursion_is_described() -> None:
    def endless(x: list[int], p: int) -> list[int]:
        return endless(x, p)

    assert "calls itself without end" in mistake_of(endless)


def test_arrays_and_numpy_integers_count_as_lists_of_integers() -> None:
    report = residues(lambda x, p: np.remainder(np.array(x, dtype=np.float64), p))
    assert report.passed


def test_the_first_failing_input_is_shown_with_its_names() -> None:
    report = residues(lambda x, p: [2] * len(x))
    assert report.first_failure is not None
    assert report.first_failure.given == "x = [5, 7, 9], p = 3"
    assert report.first_failure.answer == "[2, 2, 2]"


def test_claims_are_paid_one_by_one() -> None:
    easy = Claim("one number", [([5], 3)], right, points=2)
    report = Check(easy, CLAIM).report("residues", lambda x, p: [2])
    assert (report.points, report.out_of, report.passed) == (2, 3, False)


def test_a_check_is_described_as_what_students_call() -> None:
    assert list(inspect.signature(checks.power).parameters) == ["student"]
    assert checks.power.__name__ == "power"
    assert "x^k by products alone" in (checks.power.__doc__ or "")


def test_a_failed_check_is_an_error_of_ours_and_an_assertion() -> None:
    assert issubclass(checks.CheckFailed, FheError)
    assert issubclass(checks.CheckFailed, AssertionError)


def test_a_notebook_shows_the_report_without_a_traceback() -> None:
    with pytest.raises(checks.CheckFailed, match="0 of 3 points") as caught:
        checks.ntt_butterflies(lambda a, psi, p: None)
    shown = caught.value._render_traceback_()
    assert shown[0] == "ntt_butterflies: 0 of 3 points"
    assert not [line for line in shown if "File" in line]
