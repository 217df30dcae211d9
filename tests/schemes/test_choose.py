"""Chosen parameters do what they promise, nothing cheaper does, and the reasons are true."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strategies_engine import junk
from yashe.attacks import estimates
from yashe.errors import FheError, NoiseBudgetExhausted, ParameterError, SecurityError
from yashe.parameters.security import LEVELS, TABLE_2024, max_log2_q, security_table
from yashe.parameters.sets import primes_of_q
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.choose import (
    Choice,
    candidates,
    choose,
    choose_params,
    circuit,
    lacking,
)
from yashe.schemes.yashe import YASHE

SCHEMES = [BGV, BFV]


def run_circuit(scheme: Scheme, weights: list[int], public: bool, seed: int) -> float:
    """Encrypt, compute linear layers with squares between them, decrypt, compare modulo t.

    Return what the bound of the result says of its noise budget.
    """
    params, rng = scheme.params, np.random.default_rng(seed)
    keys, t = scheme.keygen(rng.bytes(32)), params.t
    values = rng.integers(-(t // 2), t // 2 + 1, (3, 50), dtype=np.int64)
    ct = scheme.encrypt(values, keys.public if public else keys.secret, rng.bytes(32))
    plain: Any = values.astype(object)
    for level, total in enumerate(weights):
        if level > 0:
            ct, plain = ct * ct, plain * plain
        if total > 1:
            w = rng.multinomial(total, [1 / 3] * 3, 3).T * rng.choice([-1, 1], (3, 3))
            bias = int(rng.integers(t))
            ct, plain = ct @ w + bias, w.T.astype(object) @ plain + bias
        ct = scheme.relinearize(ct, keys.relinearization)
    expected = (plain + t // 2) % t - t // 2
    np.testing.assert_array_equal(scheme.decrypt(ct, keys.secret)[:, :50], expected)
    return float(ct.noise_budget.min())


requests = st.fixed_dictionaries(
    {
        "range_bits": st.integers(1, 22),
        "security": st.sampled_from(LEVELS),
        "public": st.booleans(),
        "weights": st.lists(st.sampled_from([1, 7, 300, 20_000]), min_size=1, max_size=4),
        "scheme": st.sampled_from(SCHEMES),
    }
)
LARGE = {"range_bits": 1, "security": 128, "public": True, "weights": [7, 20_000, 20_000]}
DEEP = {"range_bits": 16, "security": 128, "public": False, "weights": [1, 300, 1, 7]}


@settings(max_examples=4)
@example({**LARGE, "scheme": BFV}, 0)
@example({**LARGE, "scheme": BGV}, 0)
@example({**DEEP, "scheme": BGV}, 0)
@given(requests, st.integers(0, 2**32))
def test_chosen_parameters_run_a_circuit_of_that_shape_and_one_prime_fewer_is_refused(
    request: dict[str, Any], seed: int
) -> None:
    weights = request["weights"]
    depth = len(weights) - 1
    choice = choose_params(depth=depth, **request)
    scheme, computation = request["scheme"], circuit(depth, weights, request["public"])
    params = choice.params
    assert params.t > 2 ** request["range_bits"]
    assert params.q.bit_length() <= max_log2_q(params.n, request["security"])
    assert choice.left_bits > 0
    assert lacking(params, computation, scheme)[0] == 0
    if params.n <= 8192:
        left = run_circuit(scheme(params), weights, request["public"], seed)
        if max(weights) < params.t / 2:
            assert left == pytest.approx(choice.left_bits, abs=1e-6)
        assert (
            left >= choice.left_bits - 1e-6
        )  # weights are taken modulo t, which makes them smaller
    if params.k > 1 and 2 * params.t < math.prod(params.moduli[:-1]):
        assert lacking(params.shortened(params.k - 1), computation, scheme)[0] > 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_chosen_parameters_leave_two_bits_at_the_end(scheme: type[Scheme]) -> None:
    """That is what a decryption wants to see; some of these have little more."""
    left = [
        choose_params(depth=1, weights=(1, weight), range_bits=12, scheme=scheme).left_bits
        for weight in (10, 30, 100, 300, 1000, 3000)
    ]
    assert 2 <= min(left) < 2.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_cheaper_would_do(scheme: type[Scheme]) -> None:
    """No smaller ring, no fewer primes, and no smaller ones."""
    choice = choose_params(depth=2, weights=(29, 939, 237), range_bits=47, scheme=scheme)
    computation, params = circuit(2, (29, 939, 237)), choice.params
    for n in TABLE_2024:
        for other in candidates(n, 2**47 + 1, scheme, 128, "other") if n <= params.n else []:
            cheaper = other.n < params.n or other.k < params.k
            assert (lacking(other, computation, scheme)[0] > 0) == cheaper
    size = math.floor(params.log2_q)  # of smaller primes, by less than a bit in all
    smaller = primes_of_q(params.n, size, params.plaintext_moduli, params.k)
    assert lacking(replace(params, moduli=smaller), computation, scheme)[0] > 0


@pytest.mark.parametrize("n", [1024, 2048, 4096, 8192, 16384, 32768])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_candidates_of_a_ring_are_as_large_as_the_table_and_their_number_allow(
    scheme: type[Scheme], n: int
) -> None:
    sets, limit = candidates(n, 2**16 + 1, scheme, 128, "set"), max_log2_q(n, 128)
    assert [params.k for params in sets] == list(range(sets[0].k, sets[-1].k + 1))
    for params, more in pairwise(sets):
        assert more.q > params.q >= math.prod(more.moduli[:-1])
    if n < 32768:
        assert limit - 5 < sets[-1].log2_q < limit
    elif scheme is BGV:  # all primes = 1 (mod 65536) below 2^23.5 but 65537, which is t
        assert (sets[-1].k, sets[-1].plaintext_moduli) == (25, (65537,))
    else:  # as many primes are left for the auxiliary modulus
        assert sets[-1].k == 12


def test_the_reasons_name_what_decided() -> None:
    choice = choose_params(depth=2, weights=(29, 939, 237), range_bits=47)
    text = choice.explanation
    assert (
        "Not n = 4096: at 128 bits log2 q <= 105 lacks 15.3 bits at the step 'product 1'." in text
    )
    assert (
        "n = 8192: the smallest that does; ePrint 2024/463, Table 5.2 allows log2 q <= 214" in text
    )
    assert f"Not fewer: {choice.params.k - 1} primes" in text
    assert f"{choice.left_bits:.1f} bits of noise budget are left at the end." in text
    spent = choice.params.log2_q - choice.left_bits
    rows = [line.split()[-2:] for line in text.splitlines()[-len(choice.steps) :]]
    assert sum(float(spends) for spends, _ in rows) == pytest.approx(spent, abs=0.5)
    assert [name for name, _ in choice.steps] == [
        "encryption", "weights 29", "product 1", "weights 939", "relinearisation",
        "switch, 9 to 6 primes", "product 2", "weights 237", "relinearisation",
    ]  # fmt: skip


def test_bgv_is_the_scheme_unless_another_one_is_asked_for() -> None:
    request = {"depth": 2, "weights": (29, 939, 237), "range_bits": 47}
    assert choose_params(**request) == choose_params(**request, scheme=BGV)
    bfv = choose_params(**request, scheme=BFV)
    assert not any("switch" in name for name, _ in bfv.steps)
    with pytest.raises(SecurityError, match="YASHE' accepts security=None only"):
        choose_params(1, scheme=YASHE)


def test_without_a_number_of_slots_a_ciphertext_has_the_slots_of_the_cheapest_ring() -> None:
    assert choose_params(1) == choose_params(1, slots=1)
    assert choose_params(1).params == choose_params(1, slots=2048).params
    assert choose_params(1).params.n == 2048
    assert choose_params(1, slots=2049).params.n == 4096


def test_slots_can_decide_the_ring() -> None:
    small, large = choose_params(0, range_bits=8), choose_params(0, range_bits=8, slots=5000)
    assert (small.params.n, large.params.n) == (1024, 8192)
    assert "n >= 8192: 5000 slots were asked for." in large.explanation


def test_a_higher_level_takes_no_smaller_ring() -> None:
    rings = [choose_params(1, range_bits=16, security=level).params.n for level in LEVELS]
    assert rings == sorted(rings)
    assert rings[0] < rings[-1]


def test_impossible_requests_name_the_constraint_and_the_nearest_possible_one() -> None:
    with pytest.raises(ParameterError, match="70000 slots .* ends at n = 32768; use 3 ciphertexts"):
        choose_params(1, slots=70_000)
    with pytest.raises(SecurityError, match="128, 192, 256"):
        choose_params(1, security=100)
    with pytest.raises(ParameterError, match="use a number of thousands of digits ciphertexts"):
        choose_params(1, slots=10**5000)


@pytest.mark.parametrize(("scheme", "asked"), [(BGV, 6), (BFV, 4)])
def test_what_is_said_to_be_possible_is_and_one_more_is_not(
    scheme: type[Scheme], asked: int
) -> None:
    def choice(depth: int, bits: int) -> Choice:
        return choose_params(depth, range_bits=bits, slots=20_000, scheme=scheme)

    with pytest.raises(
        NoiseBudgetExhausted, match=r"lacks \d+.* bits at .* Possible would"
    ) as info:
        choice(asked, 44)
    words = str(info.value).split("Possible would be ")[1].split()
    bits, depth = int(words[6]), int(words[10])
    assert choice(asked, bits).params.t > 2**bits
    assert choice(depth, 44).params.t > 2**44
    for more in ((asked, bits + 1), (depth + 1, 44)):
        with pytest.raises(NoiseBudgetExhausted, match="no parameters"):
            choice(*more)


@pytest.mark.parametrize("depth", [13, 10**5000], ids=["13", "10^5000"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_depth_gets_an_answer(scheme: type[Scheme], depth: int) -> None:
    """However deep a circuit is, q ends it after some dozens of products."""
    _, steps = lacking(candidates(16384, 3, scheme, 128, "set")[-1], circuit(depth), scheme)
    assert len(steps) < 60
    assert steps[-1][1] < 0 < steps[-2][1]
    with pytest.raises(NoiseBudgetExhausted, match=r"Possible would be depth \d+ with 16 bits$"):
        choose_params(depth, scheme=scheme)


def test_the_refusal_speaks_of_the_largest_q() -> None:
    """For BFV that is not the one of n = 32768, where there are few primes."""
    with pytest.raises(
        NoiseBudgetExhausted, match=r"bits do, .*: at n = 16384 log2 q <= 425 lacks"
    ):
        choose_params(13, scheme=BFV)
    with pytest.raises(
        NoiseBudgetExhausted, match=r"bits do, .*: at n = 32768 log2 q <= 558 lacks"
    ):
        choose_params(13)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_circuit_without_products_is_possible_whatever_is_asked(scheme: type[Scheme]) -> None:
    request: dict[str, Any] = {"range_bits": 61, "security": 256, "slots": 32768, "scheme": scheme}
    assert choose_params(0, [2**62], public=True, **request).params.n == 32768
    with pytest.raises(NoiseBudgetExhausted, match=r"would be depth \d with 61 bits"):
        choose_params(10, [2**62] * 11, **request)


REFUSED = [
    ({"depth": -1}, "depth, .* whole number of at least 0, not -1"),
    ({"depth": 1.5}, "depth, .* not 1.5"),
    ({"depth": True}, "depth, .* not True"),
    ({"weights": 5}, "the weights must be a tuple of whole numbers, not 5"),
    ({"weights": (math.nan,)}, "each of the weights must be a whole number, not nan"),
    ({"weights": (2**62 + 1,)}, "each from 1 to 2.62; got .4611686018427387905,"),
    ({"weights": "7"}, "the weights must be a tuple of whole numbers, not '7'"),
    ({"range_bits": -1}, "range_bits, .* from 1 to 61, not -1"),
    ({"range_bits": 62}, "range_bits, .* from 1 to 61, not 62"),
    ({"range_bits": 10**9}, "range_bits, .* from 1 to 61, not 1000000000"),
    ({"security": None}, "the security level in bits must be a whole number, not None"),
    ({"slots": -1}, "slots, .* of at least 1, not -1"),
    ({"slots": 0}, "slots, .* of at least 1, not 0"),
    ({"slots": "all"}, "slots, .* not 'all'"),
    ({"public": "no"}, "public must be True or False, not 'no'"),
    ({"public": 1}, "public must be True or False, not 1"),
    ({"scheme": "BGV"}, "a scheme like BGV or BFV, not 'BGV'"),
    ({"scheme": Scheme}, "a scheme like BGV or BFV, not <class"),
    ({"scheme": int}, "a scheme like BGV or BFV, not <class 'int'>"),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSED)
def test_what_is_no_request_is_refused_by_name(request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        choose_params(**{"depth": 1, **request_})


@given(
    st.fixed_dictionaries(
        {"depth": junk | st.integers(0, 30)},
        optional={
            "weights": junk | st.lists(st.integers(1, 2**63) | junk, max_size=3),
            "range_bits": junk | st.integers(1, 61),
            "security": junk | st.sampled_from(LEVELS),
            "slots": junk | st.integers(1, 2**15),
            "public": junk,
            "scheme": junk | st.sampled_from([BGV, BFV, YASHE, Scheme]),
        },
    )
)
def test_whatever_is_asked_for_there_is_a_choice_or_a_typed_error(request: dict[str, Any]) -> None:
    try:
        choice = choose_params(**request)
    except FheError:
        return
    assert choice.left_bits > 0
    assert choice.params.log2_q < max_log2_q(choice.params.n, choice.params.security or 128)


@pytest.mark.parametrize("weights", [(1, 1, 1), (0,), (-3,)])
def test_a_circuit_has_positive_weights_and_not_too_many(weights: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match=r"depth \+ 1 sums of absolute weights"):
        circuit(1, weights)


def test_a_computation_of_ones_own() -> None:
    # Anything that can say its bounds: here a fresh ciphertext that is multiplied by 1000.
    choice = choose(lambda s: [("mine", s.fresh_bound(True) * 1000)], 1000, BFV)
    assert isinstance(choice, Choice)
    assert choice.steps[0][0] == "mine"
    assert 1 <= choice.params.k <= 3


# The estimate beside the security tables.


@pytest.mark.parametrize("n", [2048, 4096, 8192, 16384, 32768])
def test_the_estimate_agrees_with_the_table_within_10_bits(n: int) -> None:
    for level, log2_q in zip(LEVELS, TABLE_2024[n], strict=True):
        assert log2_q
        assert abs(estimates.rlwe_security_bits(n, log2_q) - level) < 10


def test_more_modulus_is_less_secure_and_more_dimension_more() -> None:
    bits = [estimates.rlwe_security_bits(4096, log2_q) for log2_q in (50, 80, 110, 200)]
    assert bits == sorted(bits, reverse=True)
    bits = [estimates.rlwe_security_bits(n, 100) for n in (2048, 4096, 8192)]
    assert bits == sorted(bits)


def test_the_cost_of_a_reduction_by_hand() -> None:
    # beta = 300, d = 1024: 300 ln(4/3) / ln(300 / (2 pi e)) = 30.11 dimensions come for free.
    expected = 0.292 * (300 - 30.11) + 16.4 + 13
    assert estimates.reduction_bits(300, 1024) == pytest.approx(expected, abs=0.01)
    assert math.isclose(estimates.reduction_bits(20, 1024), 0.292 * 20 + 16.4 + 13)


def test_the_security_table_shows_both_sources_and_the_estimate() -> None:
    lines = security_table().splitlines()
    assert lines[5].startswith("| 8192 | 218 / 152 / 118 | 214 / 147 / 114 | 121 /")
    assert lines[2].endswith("| 26 / - / - | 127 / - / - |")
