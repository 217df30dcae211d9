"""Parameters that explain themselves: the cheapest set for a computation, and why it is that one.

    choice = choose_params(depth=2, weights=(29, 939, 237), range_bits=48)
    choice.params, print(choice.explanation)

Four constraints decide. The plaintext modulus t must hold the results; q must hold t and the noise,
which grows by about log2 t and some ten bits with every product in a row; the security table limits
q for each ring degree n; and n is the number of slots. Cheapest means the smallest n, then the
fewest primes, then the smallest ones: time grows a little faster than n and about as the square of
the number of primes, and sums of products of small primes are reduced less often.
"""

from __future__ import annotations

import inspect
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import TypeAlias

from yashe.arithmetic.primes import prime_limit
from yashe.arithmetic.whole import shown, truth, whole, whole_numbers
from yashe.ciphertexts import noise
from yashe.ciphertexts.noise import Bound
from yashe.errors import NoiseBudgetExhausted, ParameterError
from yashe.parameters.security import SOURCE_2024, max_log2_q, secure_degrees
from yashe.parameters.sets import T_LIMIT, Params, plaintext_primes, primes_of_q
from yashe.schemes.base import Scheme
from yashe.schemes.bgv import BGV

# The steps of a computation, each with the noise behind it, for given parameters: no ciphertext is
# made for that. `circuit` returns one; `nn.planning.plan` has another for networks.
Computation: TypeAlias = Callable[[Scheme], Iterable[tuple[str, Bound]]]
SchemeType: TypeAlias = Callable[[Params], Scheme]
# Steps by name, with the predicted noise budget in bits that is left behind each of them.
Steps: TypeAlias = tuple[tuple[str, float], ...]


def circuit(depth: int, weights: Sequence[int] = (), public: bool = False) -> Computation:
    """Return the noise of linear layers with products between them.

    Before a product the ciphertexts are brought to the level where it is least noisy, as the verbs
    do it: `Scheme.best_for_products`. Relinearisation comes late, behind the linear layer.

    Parameters
    ----------
    depth : products in a row
    weights : for each of the depth + 1 linear layers (before, between and behind the products) the
        largest sum of absolute weights of an output, up to 2^62; missing ones are 1, no layer at
        all
    public : whether the inputs are encrypted with the public key

    Raises
    ------
    ParameterError
        If the depth is negative, or there are too many weights or one below 1.
    """
    depth = whole(depth, "depth, the products in a row,", 0)
    sums = whole_numbers(weights, "the weights")
    if len(sums) > depth + 1 or not all(1 <= w <= T_LIMIT for w in sums):
        raise ParameterError(
            f"a circuit of depth {shown(depth)} has up to depth + 1 sums of absolute weights, each "
            f"from 1 to 2^62; got {shown(weights)}"
        )
    public = truth(public, "public")

    def steps(scheme: Scheme) -> Iterator[tuple[str, Bound]]:
        bound = scheme.fresh_bound(public)
        yield "encryption", bound
        for products in range(depth + 1):
            if products > 0:
                primes, level = scheme.params.k, scheme.best_for_products(bound)
                if level < primes:
                    scheme, bound = switched(scheme, bound, level)
                    yield f"switch, {primes} to {level} primes", bound
                bound = scheme.product_bound(bound, bound)
                yield f"product {products}", bound
            weight = sums[products] if products < len(sums) else 1
            if weight > 1:
                bound = bound * weight + scheme.plain_addition_bound(min(products + 1, 2))
                yield f"weights {weight}", bound
            if products > 0:
                bound = bound + scheme.switching_bound()
                yield "relinearisation", bound

    return steps


def switched(scheme: Scheme, bound: Bound, primes: int, degree: int = 1) -> tuple[Scheme, Bound]:
    """Return what a switch to so many primes of q makes of a scheme and of noise."""
    low = scheme.level(primes)
    if low is scheme:
        return scheme, bound
    return low, bound + noise.rounding(low.params, low.secret_norm, degree)


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
    steps: Steps
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


def lacking(
    params: Params, computation: Computation, scheme: SchemeType, spare_bits: float = 0
) -> tuple[float, Steps]:
    """Return how many bits are lacking where the noise is largest, and the steps up to there.

    That is 0 bits, and all steps, if nothing is: `spare_bits` of noise budget shall be left at the
    last one. However long a computation is, q allows for some dozens of products at most.
    """
    steps: Steps = ()
    for step, bound in computation(scheme(params)):
        left = float(bound.budget(params.n).min())
        steps = *steps, (step, left)
        if left < 0:
            break
    return max(0.0, noise.least_budget(params.n) + spare_bits - left), steps


def candidates(
    n: int, t_at_least: int | tuple[int, ...], scheme: SchemeType, security: int, name: str
) -> list[Params]:
    """Return the parameter sets of a ring degree, from the fewest primes to the most.

    t is given by its least value, or by its primes. The primes of q are the largest with which q
    stays within the security table. p = 1 modulo 2n leaves few of them for n = 32768, where BFV and
    YASHE' need as many again for the auxiliary modulus of products.
    """
    limit, found = max_log2_q(n, security), []
    try:
        t = t_at_least if isinstance(t_at_least, tuple) else plaintext_primes(n, t_at_least)
    except ParameterError:  # no product of four primes is as large
        return []
    for k in range(1, 1 + math.ceil(limit / math.log2(prime_limit(n)))):
        moduli = primes_of_q(n, limit, t, k)
        if moduli and 2 * math.prod(t) < math.prod(moduli) and math.prod(t) < T_LIMIT:
            params = Params(f"{name}-{n}", n, moduli, t, security)
            if not has_products(scheme(params)):
                break
            found.append(params)
    return found


def has_products(scheme: Scheme) -> bool:
    """Say whether there are primes for an auxiliary modulus, or products do without one."""
    try:
        return scheme.ntt_form or bool(scheme.params.auxiliary_moduli)
    except ParameterError:
        return False


def choose(
    computation: Computation,
    t_at_least: int,
    scheme: SchemeType,
    security: int = 128,
    slots: int = 1,
    name: str = "chosen",
    spare_bits: float = 0,
) -> Choice:
    """Return the cheapest parameters for a computation, with the reasons.

    Parameters
    ----------
    computation : its noise for given parameters
    t_at_least : smallest plaintext modulus that will do
    scheme : which one will run it
    security : 128, 192 or 256 bits
    slots : how many values a ciphertext must hold
    name : beginning of the parameters' name
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
    rings, slots = secure_degrees(security), whole(slots, "slots, values in a ciphertext,", 1)
    large_enough = [n for n in rings if n >= slots]
    if not large_enough:
        raise ParameterError(
            f"{shown(slots)} slots need a ring degree of as many, and {SOURCE_2024} ends at "
            f"n = {rings[-1]}; use {shown(-(-slots // rings[-1]))} ciphertexts of {rings[-1]} slots"
        )
    reasons, largest = [], (0.0, "")
    if large_enough[0] > rings[0]:
        reasons.append(f"n >= {large_enough[0]}: {slots} slots were asked for.")
    for n in large_enough:
        sets = candidates(n, t_at_least, scheme, security, name)
        log2_q, missing = float(max_log2_q(n, security)), "cannot hold t"
        if sets:
            lack, steps = lacking(sets[-1], computation, scheme, spare_bits)
            if lack == 0:
                return explained(sets, computation, scheme, security, reasons, spare_bits)
            log2_q, missing = sets[-1].log2_q, f"lacks {lack:.1f} bits at the step '{steps[-1][0]}'"
        reasons.append(f"Not n = {n}: at {security} bits log2 q <= {log2_q:.0f} {missing}.")
        largest = max(largest, (log2_q, f"at n = {n} log2 q <= {log2_q:.0f} {missing}"))
    raise NoiseBudgetExhausted(
        f"no parameters of {SOURCE_2024} at {security} bits do, with log2 t >= "
        f"{math.log2(t_at_least):.1f}: {largest[1]}; take fewer products in a row, a smaller range "
        "or smaller weights"
    )


def explained(
    sets: list[Params],
    computation: Computation,
    scheme: SchemeType,
    security: int,
    reasons: list[str],
    spare_bits: float,
) -> Choice:
    """Return the cheapest of the sets, with primes as small as they can be, and say why."""

    def lack(params: Params) -> tuple[float, Steps]:
        return lacking(params, computation, scheme, spare_bits)

    lacks = [lack(sets[0])]
    while lacks[-1][0] > 0:  # the last of the sets is known to do
        lacks.append(lack(sets[len(lacks)]))
    params = narrowed(sets[len(lacks) - 1], lambda smaller: lack(smaller)[0] == 0)
    reasons = [
        *reasons,
        f"n = {params.n}: the smallest that does; {SOURCE_2024} allows log2 q <= "
        f"{max_log2_q(params.n, security)} for it at {security} bits.",
        f"log2 t = {params.log2_t:.1f}: the smallest product of batching primes that is large "
        "enough.",
        f"log2 q = {params.log2_q:.1f}, primes: {params.k}.",
    ]
    if len(lacks) > 1:
        fewer, (bits, steps) = sets[len(lacks) - 2], lacks[-2]
        reasons.append(
            f"Not fewer: {fewer.k} primes, log2 q = {fewer.log2_q:.1f}, lack {bits:.1f} bits at "
            f"the step '{steps[-1][0]}'."
        )
    elif params.k > 1:
        reasons.append(f"Not fewer: with {params.k - 1} primes q would be too small for t.")
    _, steps = lack(params)
    reasons.append(f"{steps[-1][1]:.1f} bits of noise budget are left at the end.")
    return Choice(params, steps, tuple(reasons))


def narrowed(params: Params, suffices: Callable[[Params], bool]) -> Params:
    """Return the parameters with as many, but smaller primes of q: bit by bit, while they do."""
    for log2_q in range(int(params.log2_q), 0, -1):
        moduli = primes_of_q(params.n, log2_q, params.plaintext_moduli, params.k)
        if 2 * params.t > math.prod(moduli):  # also if there are not so many of that size
            break
        smaller = replace(params, moduli=moduli)
        if not suffices(smaller):
            break
        params = smaller
    return params


def choose_params(
    depth: int,
    weights: Sequence[int] = (),
    range_bits: int = 16,
    security: int = 128,
    slots: int | None = None,
    public: bool = False,
    scheme: type[Scheme] = BGV,
) -> Choice:
    """Return the cheapest parameters for what somebody knows of a computation.

    Parameters
    ----------
    depth : products in a row
    weights : sums of absolute weights of the linear layers, see `circuit`
    range_bits : the results lie in [-2^(bits-1), 2^(bits-1)]; 1 to 61
    security : 128, 192 or 256 bits
    slots : how many values a ciphertext must hold, which may ask for a larger n than the rest;
        default: n, whatever n is. A ciphertext always has n slots
    public : whether the inputs are encrypted with the public key
    scheme : BGV or BFV

    Raises
    ------
    ParameterError, SecurityError, NoiseBudgetExhausted
        If it is impossible, with the constraint that failed and the nearest possible request.

    Examples
    --------
    >>> choice = choose_params(depth=1, weights=(100,), range_bits=20)
    >>> choice.params
    Params('chosen-4096': n=4096, log2 q=70.0 (3 primes), log2 t=20.0, security=128)
    """
    if not (inspect.isclass(scheme) and issubclass(scheme, Scheme)) or inspect.isabstract(scheme):
        raise ParameterError(f"scheme must be a scheme like BGV or BFV, not {shown(scheme)}")
    computation, slots = circuit(depth, weights, public), 1 if slots is None else slots
    bits = whole(range_bits, "range_bits, the size of the results,", 1, 61)
    try:
        return choose(computation, 2**bits + 1, scheme, security, slots)
    except NoiseBudgetExhausted as error:
        degrees = [n for n in secure_degrees(security) if n >= slots]

        @cache
        def largest(bits: int) -> list[Params]:
            sets = (candidates(n, 2**bits + 1, scheme, security, "try") for n in degrees)
            return [found[-1] for found in sets if found]

        def possible(depth: int, bits: int) -> bool:
            steps = circuit(depth, weights[: depth + 1], public)
            return any(lacking(params, steps, scheme)[0] == 0 for params in largest(bits))

        raise NoiseBudgetExhausted(f"{error}. {nearest(depth, bits, possible)}") from None


def nearest(depth: int, bits: int, possible: Callable[[int, int], bool]) -> str:
    """Say which smaller requests are possible: fewer bits, if they help, and fewer products."""
    fewer_bits = bisect_left(range(1, bits), True, key=lambda b: not possible(depth, b))
    fewer = next(d for d in count() if not possible(d + 1, bits))  # depth 0 always is
    with_bits = f"depth {shown(depth)} with a range of {fewer_bits} bits or " if fewer_bits else ""
    return f"Possible would be {with_bits}depth {fewer} with {bits} bits"
