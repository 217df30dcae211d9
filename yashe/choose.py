"""Parameters that explain themselves: the cheapest set for a computation, and why it is that one.

    choice = choose_params(depth=2, weights=(29, 939, 237), range_bits=48)
    choice.params, print(choice.explanation)

Four constraints decide. The plaintext modulus t must hold the results; q must hold t and the noise,
which grows by about log2 t and some ten bits with every product in a row; the security table limits
q for each ring degree n; and n is the number of slots. Cheapest means the smallest n, and then the
fewest primes: time grows a little faster than n and about as the square of the number of primes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from yashe import noise
from yashe.bfv import BFV
from yashe.errors import NoiseBudgetExhausted, ParameterError
from yashe.noise import Bound
from yashe.params import Params, make_params
from yashe.primes import prime_limit
from yashe.scheme import Scheme
from yashe.security import SOURCE_2024, TABLE_2024, max_log2_q

# The steps of a computation, each with the noise behind it, for given parameters: no ciphertext is
# made for that. `circuit` returns one; `nn.plan` has another for networks.
Computation: TypeAlias = Callable[[Scheme], Sequence[tuple[str, Bound]]]
SchemeType: TypeAlias = Callable[[Params], Scheme]


def circuit(depth: int, weights: Sequence[int] = (), public: bool = False) -> Computation:
    """Return the noise of linear layers with products between them.

    Parameters
    ----------
    depth : products in a row
    weights : for each of the depth + 1 linear layers (before, between and behind the products) the
        largest sum of absolute weights of an output; missing ones are 1, no layer at all
    public : whether the inputs are encrypted with the public key

    Raises
    ------
    ParameterError
        If the depth is negative, or there are too many weights or one below 1.
    """
    if depth < 0 or len(weights) > depth + 1 or any(w < 1 for w in weights):
        raise ParameterError(
            f"a circuit has a depth of at least 0 and up to depth + 1 sums of absolute weights, "
            f"each at least 1; got depth {depth} and weights {tuple(weights)}"
        )
    sums = [*weights, *[1] * (depth + 1 - len(weights))]

    def steps(scheme: Scheme) -> list[tuple[str, Bound]]:
        bound = scheme.fresh_bound(public)
        found = [("encryption", bound)]
        for level, weight in enumerate(sums):
            degree = min(level + 1, 2)
            if level > 0:
                bound = scheme.product_bound(bound, bound)
                found.append((f"product {level}", bound))
            if weight > 1:
                bound = bound * weight + scheme.plain_addition_bound(degree)
                found.append((f"weights {weight}", bound))
            if level > 0:  # late, behind the linear layer
                bound = bound + scheme.relinearization_bound()
                found.append(("relinearisation", bound))
        return found

    return steps


@dataclass(frozen=True)
class Choice:
    """What `choose` has found.

    Attributes
    ----------
    params : the cheapest parameters that do
    steps : of the computation, with the noise budget in bits that is left behind each of them
    reasons : sentences
    """

    params: Params
    steps: tuple[tuple[str, float], ...]
    reasons: tuple[str, ...]

    @property
    def left_bits(self) -> float:
        """Predicted noise budget at the end, in bits."""
        return self.steps[-1][1]

    @property
    def explanation(self) -> str:
        """The reasons, and a table of where the bits of q go."""
        lines = [*self.reasons, "", f"{'step':<28}{'spends, bits':>14}{'left, bits':>14}"]
        before = self.params.log2_q
        for name, left in self.steps:
            lines.append(f"{name:<28}{before - left:>14.1f}{left:>14.1f}")
            before = left
        return "\n".join(lines)


def budgets(params: Params, computation: Computation, scheme: SchemeType = BFV) -> list[float]:
    """Return the predicted noise budget, in bits, behind every step; below zero if it is spent."""
    steps = computation(scheme(params))
    return [float(bound.budget(params.n).min()) for _, bound in steps]


def lacking(
    params: Params, computation: Computation, scheme: SchemeType = BFV, spare_bits: float = 0
) -> float:
    """Return how many bits a computation needs beyond what the parameters have, or 0.

    `spare_bits` of noise budget shall be left at its end.
    """
    left = budgets(params, computation, scheme)
    return max(0.0, -min(left), noise.least_budget(params.n) + spare_bits - left[-1])


def check_params(params: Params, computation: Computation, scheme: SchemeType = BFV) -> None:
    """Refuse parameters that a computation would exhaust.

    Raises
    ------
    NoiseBudgetExhausted
        Naming the first step that goes too far.
    """
    steps, before = computation(scheme(params)), None
    for i, (name, bound) in enumerate(steps):
        left = float(bound.budget(params.n).min())
        least = noise.least_budget(params.n) if i + 1 == len(steps) else 0.0
        noise.check_budget(left, f"the step '{name}' under {params.name}", before, least)
        before = left


def candidates(n: int, t_at_least: int | tuple[int, ...], security: int, name: str) -> list[Params]:
    """Return the parameter sets of a ring degree, from the fewest primes to the most.

    t is given by its least value, or by its primes.

    Up to the table's limit, or as far as there are NTT-friendly primes below 2^24 for q and for the
    auxiliary modulus of products: p = 1 modulo 2n leaves few of them for n = 32768.
    """
    limit, prime_bits = max_log2_q(n, security), math.log2(prime_limit(n))
    sizes = {min(limit, int(k * prime_bits - 0.5)) for k in range(1, 2 + int(limit / prime_bits))}
    found: list[Params] = []
    for log2_q in sorted(sizes):
        try:
            params = make_params(f"{name}-{n}", n, t_at_least, security, log2_q)
            assert params.auxiliary_moduli
        except ParameterError:  # t is too large for such a q, or there are no more primes
            continue
        found.append(params)
    return found


def choose(
    computation: Computation,
    t_at_least: int,
    security: int = 128,
    slots: int = 1,
    scheme: SchemeType = BFV,
    name: str = "chosen",
    spare_bits: float = 0,
) -> Choice:
    """Return the cheapest parameters for a computation, with the reasons.

    Parameters
    ----------
    computation : its noise for given parameters
    t_at_least : smallest plaintext modulus that will do
    security : 128, 192 or 256 bits
    slots : values in a ciphertext
    scheme : the class of the scheme
    name : what to call the parameters; the ring degree is appended
    spare_bits : noise budget that shall be left at the end

    Raises
    ------
    ParameterError
        If there are not so many slots in any ring.
    SecurityError
        If the table has no such level.
    NoiseBudgetExhausted
        If no parameters of the table do, with what the best ones lack.
    """
    rings = [n for n, row in TABLE_2024.items() if row[0] and has_entry(n, security)]
    large_enough = [n for n in rings if n >= slots]
    if not large_enough:
        raise ParameterError(
            f"{slots} slots need a ring degree of at least {slots}, and {SOURCE_2024} ends at "
            f"n = {rings[-1]}; use {-(-slots // rings[-1])} ciphertexts of {rings[-1]} slots"
        )
    reasons = []
    if large_enough[0] > rings[0]:
        reasons.append(f"n >= {large_enough[0]}: {slots} slots were asked for.")
    for n in large_enough:
        sets = candidates(n, t_at_least, security, name)
        if sets and (lack := lacking(sets[-1], computation, scheme, spare_bits)) == 0:
            return explain(sets, computation, scheme, security, reasons, spare_bits)
        missing = f"lacks {lack:.1f} bits" if sets else "cannot hold t"
        most = sets[-1].log2_q if sets else max_log2_q(n, security)
        reasons.append(f"Not n = {n}: at {security} bits log2 q <= {most:.0f} {missing}.")
    raise NoiseBudgetExhausted(
        f"no parameters of {SOURCE_2024} at {security} bits do, with log2 t >= "
        f"{math.log2(t_at_least):.1f}: at n = {large_enough[-1]} log2 q <= {most:.0f} {missing}; "
        "take fewer products in a row, a smaller range or smaller weights"
    )


def has_entry(n: int, security: int) -> bool:
    """Say whether the table has an entry; an unknown level is a SecurityError."""
    max_log2_q(8192, security)
    return TABLE_2024[n][(128, 192, 256).index(security)] is not None


def explain(
    sets: list[Params],
    computation: Computation,
    scheme: SchemeType,
    security: int,
    reasons: list[str],
    spare_bits: float,
) -> Choice:
    """Return the first of the sets that does, the one with the fewest primes, and say why."""
    lack = partial(lacking, computation=computation, scheme=scheme, spare_bits=spare_bits)
    chosen = bisect_left(sets, True, key=lambda params: lack(params) == 0)
    params = sets[chosen]
    fewer = one_prime_fewer(params)
    # Without one of its primes this can still be a little larger than the set before it.
    if fewer and lack(fewer) == 0:
        params, fewer = fewer, one_prime_fewer(fewer)
    # Ciphertexts in NTT form gain from primes that are no larger than they have to be: they are
    # smaller, and more products of residues can be summed before they are reduced.
    if scheme(params).ntt_form:
        params = narrowed(params, lambda smaller: lack(smaller) == 0)
        fewer = one_prime_fewer(params)
    limit = max_log2_q(params.n, security)
    reasons = [
        *reasons,
        f"n = {params.n}: the smallest that does; {SOURCE_2024} allows log2 q <= {limit} for it "
        f"at {security} bits.",
        f"log2 t = {params.log2_t:.1f}: the smallest product of batching primes that is large "
        "enough.",
        f"log2 q = {params.log2_q:.1f}, primes: {params.k}.",
    ]
    if fewer:
        reasons.append(
            f"Not fewer: {fewer.k} primes, log2 q = {fewer.log2_q:.1f}, lack "
            f"{lack(fewer):.1f} bits."
        )
    elif params.k > 1:
        reasons.append(f"Not fewer: with {params.k - 1} primes q would be too small for t.")
    names = [step for step, _ in computation(scheme(params))]
    left = budgets(params, computation, scheme)
    reasons.append(f"{left[-1]:.1f} bits of noise budget are left at the end.")
    return Choice(params, tuple(zip(names, left, strict=True)), tuple(reasons))


def narrowed(params: Params, suffices: Callable[[Params], bool]) -> Params:
    """Return the parameters with as many, but smaller primes of q: bit by bit, while they do."""
    for log2_q in range(int(params.log2_q), params.k, -1):
        try:
            smaller = make_params(
                params.name, params.n, params.plaintext_moduli, params.security, log2_q
            )
        except ParameterError:  # there are not so many primes of that size
            break
        if smaller.k < params.k or not suffices(smaller):
            break
        params = smaller
    return params


def one_prime_fewer(params: Params) -> Params | None:
    """Return the same parameters without the last prime of q, if t allows it."""
    moduli = params.moduli[:-1]
    return replace(params, moduli=moduli) if 2 * params.t < math.prod(moduli) else None


def choose_params(
    depth: int,
    weights: Sequence[int] = (),
    range_bits: int = 16,
    security: int = 128,
    slots: int = 1,
    public: bool = False,
) -> Choice:
    """Return the cheapest BFV parameters for what somebody knows of a computation.

    Parameters
    ----------
    depth : products in a row
    weights : sums of absolute weights of the linear layers, see `circuit`
    range_bits : the results lie in [-2^(bits-1), 2^(bits-1)]
    security : 128, 192 or 256 bits
    slots : values in a ciphertext
    public : whether the inputs are encrypted with the public key

    Raises
    ------
    ParameterError, SecurityError, NoiseBudgetExhausted
        If it is impossible, with the constraint that failed and the nearest possible request.

    Examples
    --------
    >>> choice = choose_params(depth=1, weights=(100,), range_bits=20)
    >>> choice.params
    Params('chosen-4096': n=4096, log2 q=71.0 (3 primes), log2 t=20.0, security=128)
    """
    computation, minimum = circuit(depth, weights, public), 2**range_bits + 1
    try:
        return choose(computation, minimum, security, slots)
    except NoiseBudgetExhausted as error:
        near = nearest(depth, weights, range_bits, security, slots, public)
        raise NoiseBudgetExhausted(f"{error}. {near}") from None


def nearest(
    depth: int, weights: Sequence[int], range_bits: int, security: int, slots: int, public: bool
) -> str:
    """Say which smaller requests are possible: fewer bits, and fewer products."""

    def possible(depth: int, range_bits: int) -> bool:
        computation = circuit(depth, weights[: depth + 1], public)
        try:
            choose(computation, 2**range_bits + 1, security, slots)
        except (NoiseBudgetExhausted, ParameterError):
            return False
        return True

    bits = bisect_left(range(1, range_bits), True, key=lambda b: not possible(depth, b))
    fewer = bisect_left(range(depth), True, key=lambda d: not possible(d, range_bits)) - 1
    found = []
    if bits:
        found.append(f"depth {depth} with a range of {bits} bits")
    if fewer >= 0:
        found.append(f"depth {fewer} with {range_bits} bits")
    return "Possible would be " + (" or ".join(found) or "nothing with these weights")
