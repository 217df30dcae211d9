"""A law: a sentence, a function that checks it for one input, and the search for that input.

`yashe.laws.arithmetic` and `yashe.laws.schemes` hold the laws, `yashe.laws` is the entrance.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from yashe.errors import FheError, origin
from yashe.laws.strategies import SearchStrategy, hypothesis, st

Comparison: TypeAlias = tuple[object, object]  # got, expected
Draws: TypeAlias = Mapping[str, Callable[[Any], SearchStrategy[Any]]]

FEW = 5  # laws with at most as many examples are statistical

# What is told of an implementation beside the input that it fails for.
SHOWN = ("n", "p", "q", "t", "psi", "moduli", "source", "target", "ratio")


class LawBroken(FheError, AssertionError):
    """An implementation breaks a law.

    Attributes
    ----------
    law : the Law
    inputs : the smallest input found for which it is broken
    """

    def __init__(self, law: Law, implementation: object, inputs: Mapping[str, object], why: str):
        self.law = law
        self.inputs = dict(inputs)
        known = [name for name in SHOWN if hasattr(implementation, name)]
        facts = {name: getattr(implementation, name) for name in known} | dict(inputs)
        case = ", ".join(f"{name}={value!r}" for name, value in facts.items())
        super().__init__(f"{law.sentence}; smallest counter-example: {case}: {why}")

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback: the message alone."""
        return [f"LawBroken: {self}"]


class _Failure(Exception):
    """An input that breaks the law, on its way through Hypothesis."""


@dataclass(frozen=True, eq=False)
class Law:
    """One law.

    Attributes
    ----------
    name : of the function, unique
    sentence : what holds
    protocol : the kind of implementation it is about
    function : takes the implementation and keyword inputs, returns (got, expected)
    draws : for each name of an input, a strategy for a given implementation
    examples : how many inputs to try
    needs : methods beyond the protocol without which the law does not apply
    """

    name: str
    sentence: str
    protocol: type
    function: Callable[..., Comparison]
    draws: Draws
    examples: int
    needs: tuple[str, ...]

    def applies_to(self, implementation: object) -> bool:
        """Return whether the implementation has what the law is about."""
        fits = isinstance(implementation, self.protocol)
        return fits and all(hasattr(implementation, name) for name in self.needs)

    def check(self, implementation: Any, examples: int | None = None) -> None:
        """Search for an input that breaks the law; the search is the same every time.

        Parameters
        ----------
        implementation : an object, or a Hypothesis strategy that draws them
        examples : how many inputs to try, default the law's own number; statistical laws keep it

        Raises
        ------
        LawBroken
            With the smallest input that breaks it.
        """
        drawn = isinstance(implementation, SearchStrategy)
        _, *names = inspect.signature(self.function).parameters
        last: list[Any] = [implementation, {}, ""]
        # A statistical law is tried with a few seeds, among which none is simpler than another.
        statistical = self.examples <= FEW
        shrink = () if statistical else (hypothesis.Phase.shrink,)

        @hypothesis.settings(
            max_examples=self.examples if statistical or examples is None else examples,
            derandomize=True,
            database=None,
            deadline=None,
            verbosity=hypothesis.Verbosity.quiet,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=(hypothesis.Phase.generate, *shrink),
        )
        @hypothesis.given(st.data())
        def search(data: st.DataObject) -> None:
            last[0] = data.draw(implementation) if drawn else implementation
            inputs = {name: data.draw(self.draws[name](last[0])) for name in names}
            why = self.broken_by(last[0], inputs)
            if why is not None:
                last[1:] = inputs, why
                raise _Failure

        try:
            search()
        except _Failure:  # Hypothesis tries the smallest one last
            broken = LawBroken(self, *last)
        except hypothesis.errors.Flaky:
            last[2] += ", but not every time: equal inputs must give equal results"
            broken = LawBroken(self, *last)
        else:
            return
        raise broken

    def broken_by(self, implementation: object, inputs: Mapping[str, object]) -> str | None:
        """Return how these inputs break the law, or None."""
        given = copy.deepcopy(dict(inputs))
        try:
            got, expected = self.function(implementation, **given)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a reader's code does)
            where = f", {place}" if (place := origin(error, with_file=True)) else ""
            return f"raised {type(error).__name__}: {error}{where}"
        if given != inputs:
            return f"it changed what it was given to {given}"
        if got == expected:
            return None
        return f"got {got}, expected {expected}"


def smallest(strategy: SearchStrategy[Any]) -> Any:
    """Return the simplest thing that a strategy draws, which is what Hypothesis draws first."""
    first = hypothesis.settings(max_examples=1, database=None, phases=(hypothesis.Phase.generate,))
    return hypothesis.find(strategy, lambda x: True, settings=first)


class Registry:
    """Collects laws in the order in which they are written down."""

    def __init__(self, protocol: type, **draws: Callable[[Any], SearchStrategy[Any]]) -> None:
        self.protocol = protocol
        self.draws = draws
        self.laws: list[Law] = []

    def law(
        self, examples: int = 100, needs: tuple[str, ...] = ()
    ) -> Callable[[Callable[..., Comparison]], Callable[..., Comparison]]:
        """Register a function as a law, whose sentence is its docstring."""

        def register(function: Callable[..., Comparison]) -> Callable[..., Comparison]:
            name, sentence = function.__name__, (function.__doc__ or "").rstrip(".")
            law = Law(name, sentence, self.protocol, function, self.draws, examples, needs)
            self.laws.append(law)
            return function

        return register
