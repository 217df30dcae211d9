"""What must be true of any implementation, to be run against yours.

    from yashe import laws
    laws.check(MyNtt(...))        # "ok: 5 laws hold", or LawBroken with the smallest failing input

An implementation is an object with a few attributes and methods on lists of Python integers. The
protocols say which: `Transform`, `Ring`, `Basis`, `Rescaling`, `Gadget`, `Slots`, `Sampler` and
`Scheme`. A law is a function that takes it and some inputs, and returns two things that must be
equal. The inputs are drawn by Hypothesis (the extra `test` installs it), which also shrinks what
fails. The same laws test this package, and docs/laws.md shows which wrong implementations they
find. Nothing is proved: a law is tried on about a hundred inputs.

Modules, in the order of reading:

    strategies   Hypothesis strategies for everything that is computed with here
    law          a sentence, a function that checks it, and the search for a counter-example
    arithmetic   the laws of transforms, rings, residues, digits and slots
    schemes      the laws of random samples and of encryption
    rotations    the laws of slots that move
    engine       the package's own objects, as the laws want them
    conventions  implementations that keep other conventions

Uses errors, textbook, arithmetic, parameters, ciphertexts, schemes.
"""

from __future__ import annotations

from typing import Any

from yashe.arithmetic.progress import progress
from yashe.errors import ParameterError
from yashe.laws import (
    arithmetic,
    rotations,  # noqa: F401 (its laws join those of schemes)
    schemes,
)
from yashe.laws.arithmetic import Basis, Gadget, Rescaling, Ring, Slots, Transform
from yashe.laws.conventions import declared
from yashe.laws.engine import subjects
from yashe.laws.law import Law, LawBroken, smallest
from yashe.laws.schemes import Sampler, Scheme
from yashe.laws.strategies import SearchStrategy

__all__ = [
    "LAWS",
    "Basis",
    "Gadget",
    "Law",
    "LawBroken",
    "Rescaling",
    "Ring",
    "Sampler",
    "Scheme",
    "Slots",
    "Transform",
    "check",
    "laws_for",
]

REGISTRIES = (
    arithmetic.transform,
    arithmetic.ring,
    arithmetic.basis,
    arithmetic.rescaling,
    arithmetic.gadget,
    arithmetic.slots,
    schemes.sampler,
    schemes.scheme,
)
LAWS: tuple[Law, ...] = tuple(law for registry in REGISTRIES for law in registry.laws)


class Report:
    """The laws that were found to hold."""

    def __init__(self, laws: list[Law]) -> None:
        self.laws = laws

    def __repr__(self) -> str:
        return f"ok: {len(self.laws)} laws hold" if len(self.laws) > 1 else "ok: 1 law holds"


def laws_for(implementation: Any) -> list[Law]:
    """Return the laws that apply to an implementation.

    Raises
    ------
    ParameterError
        If it is of no known kind; the message says what each kind needs.
    """
    if isinstance(implementation, SearchStrategy):
        implementation = smallest(implementation)
    implementation = subjects(implementation)[0]
    found = [law for law in LAWS if law.applies_to(implementation)]
    if isinstance(implementation, Scheme):  # which also adds and multiplies, but not polynomials
        found = [law for law in found if law.protocol is Scheme]
    if not found:
        kinds = "; ".join(
            f"{r.protocol.__name__}: {', '.join(members(r.protocol))}" for r in REGISTRIES
        )
        raise ParameterError(
            f"a {type(implementation).__name__} is nothing that laws are known for. "
            f"What each kind needs: {kinds}"
        )
    return found


def members(protocol: type) -> list[str]:
    """Return the names of the attributes and methods of a protocol."""
    return sorted({*protocol.__annotations__, *(m for m in vars(protocol) if m[0] != "_")})


def check(
    implementation: Any,
    *laws: Law,
    examples: int | None = None,
    order: str = "natural",
    residues: str = "centred",
) -> Report:
    """Search for an input for which an implementation breaks a law.

    What takes longer than two seconds shows a bar.

    Parameters
    ----------
    implementation : an object of one of the protocols; an Ntt, Ring, RnsBasis, BFV, BGV or YASHE of
        this package; or a strategy that draws objects of a protocol
    laws : the laws to try, default all that apply
    examples : inputs per law at most, default 100, or fewer where one input costs much
    order : of a transform's values: "natural" or "bit-reversed"
    residues : that it takes and returns: "centred", or "non-negative", in [0, p)

    Returns
    -------
    Report that prints as "ok: 5 laws hold"

    Raises
    ------
    LawBroken
        For the first law that is broken: its sentence and the smallest failing input.
    ParameterError
        If no law applies, or a convention.

    Examples
    --------
    A "transform" of degree 4 that forgets to reduce the exponent:

    >>> class Identity:
    ...     n, p, psi = 4, 17, 9
    ...
    ...     def ntt(self, a):
    ...         return a
    ...
    ...     def intt(self, values):
    ...         return values
    >>> check(Identity())
    Traceback (most recent call last):
    ...
    yashe.laws.law.LawBroken: ntt(a) is the list of a(psi), a(psi^3), ...
    """
    chosen = list(laws) or laws_for(implementation)
    if isinstance(implementation, SearchStrategy):
        tried = [implementation.map(lambda x: declared(x, order, residues))]
    else:
        tried = [declared(x, order, residues) for x in subjects(implementation)]
    work = [(law, subject) for subject in tried for law in chosen]
    for law, subject in progress(work, "law"):
        law.check(subject, examples)
    return Report(chosen)
