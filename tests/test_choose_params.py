"""Chosen parameters do what they promise, nothing cheaper does, and the reasons are true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yashe import lattice
from yashe.bfv import BFV
from yashe.choose import (
    Choice,
    candidates,
    check_params,
    choose,
    choose_params,
    circuit,
    lacking,
)
from yashe.errors import NoiseBudgetExhausted, ParameterError, SecurityError
from yashe.params import Params
from yashe.security import LEVELS, TABLE_2024, max_log2_q, security_table


def run_circuit(params: Params, weights: list[int], public: bool, seed: int) -> None:
    """Encrypt, compute linear layers with squares between them, decrypt, compare modulo t."""
    scheme, rng = BFV(params), np.random.default_rng(seed)
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


requests = st.fixed_dictionaries(
    {
        "range_bits": st.integers(1, 22),
        "security": st.sampled_from(LEVELS),
        "public": st.booleans(),
        "weights": st.lists(st.sampled_from([1, 7, 300, 20_000]), min_size=1, max_size=3),
    }
)


@settings(max_examples=15)
@example({"range_bits": 1, "security": 128, "public": True, "weights": [7, 20_000, 20_000]}, 0)
@given(requests, st.integers(0, 2**32))
def test_chosen_parameters_run_a_circuit_of_that_shape_and_one_prime_fewer_is_refused(
    request: dict[str, Any], seed: int
) -> None:
    weights = request["weights"]
    depth = len(weights) - 1
    choice = choose_params(depth=depth, **request)
    params, computation = choice.params, circuit(depth, weights, request["public"])
    assert params.t > 2 ** request["range_bits"]
    assert params.q.bit_length() <= max_log2_q(params.n, request["security"])
    assert choice.left_bits > 0
    check_params(params, computation)
    if params.n <= 8192:
        run_circuit(params, weights, request["public"], seed)
    if params.k > 1 and 2 * params.t < math.prod(params.moduli[:-1]):
        with pytest.raises(NoiseBudgetExhausted, match="the step '.*' under .* leaves"):
            check_params(params.shortened(params.k - 1), computation)


def test_nothing_cheaper_would_do() -> None:
    choice = choose_params(depth=2, weights=(29, 939, 237), range_bits=47)
    computation, params = circuit(2, (29, 939, 237)), choice.params
    for n in TABLE_2024:
        for other in candidates(n, 2**47 + 1, 128, "other") if n <= params.n else []:
            cheaper = other.n < params.n or other.k < params.k
            assert (lacking(other, computation) > 0) == cheaper


def test_the_reasons_name_what_decided() -> None:
    choice = choose_params(depth=2, weights=(29, 939, 237), range_bits=47)
    text = choice.explanation
    assert "Not n = 4096: at 128 bits log2 q <= 105 lacks" in text
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
        "product 2", "weights 237", "relinearisation",
    ]  # fmt: skip


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
    with pytest.raises(
        NoiseBudgetExhausted, match=r"lacks \d+.* bits; .* Possible would be"
    ) as info:
        choose_params(4, range_bits=44, slots=20_000)
    # What is said to be possible is, and one more is not.
    words = str(info.value).split("Possible would be ")[1].split()
    bits, depth = int(words[6]), int(words[10])
    choose_params(4, range_bits=bits, slots=20_000)
    choose_params(depth, range_bits=44, slots=20_000)
    for more in ((4, bits + 1), (depth + 1, 44)):
        with pytest.raises(NoiseBudgetExhausted, match="no parameters"):
            choose_params(more[0], range_bits=more[1], slots=20_000)


@pytest.mark.parametrize("weights", [(1, 1, 1), (0,), (-3,)])
def test_a_circuit_has_positive_weights_and_not_too_many(weights: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match=r"depth \+ 1 sums of absolute weights"):
        circuit(1, weights)


def test_a_computation_of_ones_own() -> None:
    # Anything that can say its bounds: here a fresh ciphertext that is multiplied by 1000.
    choice = choose(lambda s: [("mine", s.fresh_bound(True) * 1000)], t_at_least=1000)
    assert isinstance(choice, Choice)
    assert choice.steps[0][0] == "mine"
    assert 1 <= choice.params.k <= 3


# The estimate beside the security tables.


@pytest.mark.parametrize("n", [2048, 4096, 8192, 16384, 32768])
def test_the_estimate_agrees_with_the_table_within_10_bits(n: int) -> None:
    for level, log2_q in zip(LEVELS, TABLE_2024[n], strict=True):
        assert log2_q
        assert abs(lattice.rlwe_security_bits(n, log2_q) - level) < 10


def test_more_modulus_is_less_secure_and_more_dimension_more() -> None:
    bits = [lattice.rlwe_security_bits(4096, log2_q) for log2_q in (50, 80, 110, 200)]
    assert bits == sorted(bits, reverse=True)
    bits = [lattice.rlwe_security_bits(n, 100) for n in (2048, 4096, 8192)]
    assert bits == sorted(bits)


def test_the_cost_of_a_reduction_by_hand() -> None:
    # beta = 300, d = 1024: 300 ln(4/3) / ln(300 / (2 pi e)) = 30.11 dimensions come for free.
    expected = 0.292 * (300 - 30.11) + 16.4 + 13
    assert lattice.reduction_bits(300, 1024) == pytest.approx(expected, abs=0.01)
    assert math.isclose(lattice.reduction_bits(20, 1024), 0.292 * 20 + 16.4 + 13)


def test_the_security_table_shows_both_sources_and_the_estimate() -> None:
    lines = security_table().splitlines()
    assert lines[5].startswith("| 8192 | 218 / 152 / 118 | 214 / 147 / 114 | 121 /")
    assert lines[2].endswith("| 26 / - / - | 127 / - / - |")
