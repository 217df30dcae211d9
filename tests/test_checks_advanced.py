"""The checks of notebooks 7 to 12: every planted mistake is found out and told by its name."""

from types import ModuleType
from typing import Any

import pytest

from yashe.checks import broken, cryptonets, multiplication, networks, protection
from yashe.checks.report import EXERCISES, CheckFailed, Claim, Function, Mistakes, examine

MODULES: tuple[ModuleType, ...] = (multiplication, broken, networks, cryptonets, protection)


CASES = [
    (module, name)
    for module in MODULES
    for name in EXERCISES
    if EXERCISES[name].check.__module__ == module.__name__
]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lists the planted mistakes of an exercise, and the right function."""

    def listed(module: ModuleType, name: str) -> tuple[Mistakes, list[Claim]]:
        seen: list[Any] = []

        def spy(
            exercise: str, student: Function, *claims: Claim, mistakes: Mistakes | None = None
        ) -> Any:
            seen.append((mistakes or {}, list(claims)))
            return examine(exercise, student, *claims, mistakes=mistakes)

        monkeypatch.setattr(module, "examine", spy)
        with pytest.raises(CheckFailed, match="0 of"):
            EXERCISES[name].check(stub)
        found: tuple[Mistakes, list[Claim]] = seen[0]
        return found

    return listed


def stub(*arguments: object) -> object:
    """Stand for what students are given."""
    raise NotImplementedError


@pytest.mark.parametrize(("module", "name"), CASES, ids=[name for _, name in CASES])
def test_every_planted_mistake_is_found_and_named(
    planted: Any, module: ModuleType, name: str
) -> None:
    mistakes, _ = planted(module, name)
    assert len(mistakes) >= 3
    for text, wrong in mistakes.items():
        with pytest.raises(CheckFailed) as refused:  # noqa: PT011 (what it says is looked at below)
            EXERCISES[name].check(wrong)
        assert refused.value.report.first_failure is not None
        assert refused.value.report.first_failure.mistake == text


@pytest.mark.parametrize(("module", "name"), CASES, ids=[name for _, name in CASES])
def test_the_right_function_gets_all_points(planted: Any, module: ModuleType, name: str) -> None:
    _, claims = planted(module, name)
    assert EXERCISES[name].check(claims[0].right).passed
