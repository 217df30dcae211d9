"""The trace of a computation, and what switching the modulus does to it."""

from __future__ import annotations

import builtins
import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest

from yashe.arithmetic.parallel import for_each, watched, workers
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.trace import Step, Trace, label, observe
from yashe.errors import KeyMismatchError, NoiseBudgetExhausted, ParameterError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

PARAMS = make_params("INSECURE_TRACE", 64, 250, security=None, log2_q=200)
SCHEMES = [BFV(PARAMS), BGV(PARAMS), YASHE(PARAMS)]
SEED = bytes(range(32))


def computation(scheme: Scheme, keys: Any) -> Ciphertext:
    ct = scheme.encrypt(np.ones((3, 4, 2), dtype=np.int64), keys.encryption, SEED)
    with label("Square"):
        ct = scheme.relinearize(ct * ct, keys.relinearization)
    return ct @ np.ones((4, 1), dtype=np.int64) + 7


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_a_trace_tells_every_operation_in_its_order(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    with noise.trace(keys.secret) as trace:
        result = computation(scheme, keys)
    assert [(step.layer, step.count) for step in trace.steps] == [
        ("", 12), ("Square", 12), ("Square", 12), ("", 3), ("", 3),
    ]  # fmt: skip
    assert [step.operation for step in trace.steps][:2] == ["an encryption", "a product"]
    for step in trace.steps:
        assert step.predicted_bits <= step.measured_bits
        assert step.seconds > 0
    assert trace.steps[-1].predicted_bits == float(result.noise_budget.min())
    budgets = [step.predicted_bits for step in trace.steps]
    assert budgets == sorted(budgets, reverse=True)


def test_a_trace_changes_no_result_and_ends_with_its_block() -> None:
    scheme = SCHEMES[0]
    keys = scheme.keygen(SEED)
    plain = computation(scheme, keys)
    with noise.trace(keys.secret) as trace:
        traced = computation(scheme, keys)
    np.testing.assert_array_equal(traced.rows, plain.rows)
    steps = len(trace.steps)
    computation(scheme, keys)
    assert len(trace.steps) == steps


def test_all_is_measured_if_the_sample_is_large_enough() -> None:
    scheme = SCHEMES[0]
    keys = scheme.keygen(SEED)
    with noise.trace(keys.secret, sample=100) as trace:
        ct = scheme.encrypt(np.ones((9, 1), dtype=np.int64), keys.secret, SEED)
    assert trace.steps[0].measured_bits == scheme.noise_budget(ct, keys.secret).min()


def test_the_worst_prediction_is_always_measured() -> None:
    scheme = SCHEMES[0]
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt(np.ones((9, 1), dtype=np.int64), keys.secret, SEED)
    weights = np.ones(9, dtype=np.int64)
    weights[5] = 2**20
    with noise.trace(keys.secret, sample=1) as trace:
        scaled = ct * weights
    assert trace.steps[0].measured_bits == scheme.noise_budget(scaled[5], keys.secret)


def test_equal_operations_in_a_row_become_one_step() -> None:
    a = Step("Dense", "a product", 3, 20.0, 25.0, 0.5)
    assert a.merged(Step("Dense", "a product", 4, 21.0, 24.0, 0.25)) == Step(
        "Dense", "a product", 7, 20.0, 24.0, 0.75
    )


def test_without_a_trace_nobody_listens() -> None:
    observe("nothing", object())


def test_the_table_has_a_line_for_every_step() -> None:
    step = Step("Dense", "a product", 1234, 20.04, 25.06, 0.5)
    header, line = Trace(None, steps=[step]).table().splitlines()
    assert header.split()[:6] == ["layer", "operation", "count", "seconds", "predicted", "measured"]
    assert line.split() == ["Dense", "a", "product", "1234", "0.500", "20.0", "25.1"]


def test_the_table_says_what_could_not_be_measured() -> None:
    steps = [Step("", "a sum", 1, 20.0, 21.0, 0.5), Step("", "a product", 1, 9.0, math.nan, 0.5)]
    _, first, second, note = Trace(None, steps=steps).table().splitlines()
    assert first.split()[-1] == "21.0"
    assert second.split()[-2:] == ["9.0", "-"]
    assert note == "-: could not be measured with this key"
    assert "could not" not in Trace(None, steps=steps[:1]).table()


def test_a_merged_step_has_what_could_be_measured() -> None:
    own, foreign = Step("", "a sum", 1, 20.0, 21.0, 0.5), Step("", "a sum", 1, 9.0, math.nan, 0.5)
    assert own.merged(foreign).measured_bits == foreign.merged(own).measured_bits == 21.0
    assert math.isnan(foreign.merged(foreign).measured_bits)
    assert own.merged(foreign).predicted_bits == 9.0


def test_the_picture_leaves_out_what_could_not_be_measured() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axes = pyplot.subplots()
    steps = [Step("", "a sum", 1, 30.0, math.nan, 0.1), Step("", "a product", 1, 9.0, 12.0, 0.1)]
    for some in (steps, steps[:1], []):
        Trace(None, steps=some).plot(axes)
        figure.canvas.draw()
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [math.nan, 12.0])
    pyplot.close(figure)


def test_the_picture_shows_both_budgets() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axes = pyplot.subplots()
    steps = [Step("", "an encryption", 1, 30.0, 31.0, 0.1), Step("A", "a product", 1, 9, 12, 0.1)]
    drawn = Trace(None, steps=steps).plot(axes)
    assert drawn is axes
    curves = [line.get_ydata() for line in axes.lines[:2]]
    np.testing.assert_array_equal(curves, [[31.0, 12], [30.0, 9]])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["an encryption", "A: a product"]
    pyplot.close(figure)


def test_the_picture_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_matplotlib(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'cryptonets-yashe\[notebooks\]'"):
        Trace(None).plot()


# A trace looks on.

OTHER = make_params("INSECURE_OTHER_TRACE", 64, 250, security=None, log2_q=120)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_what_the_key_cannot_measure_is_computed_and_recorded_all_the_same(scheme: Scheme) -> None:
    others = scheme.keygen(bytes(32))
    expected = computation(scheme, others)
    secret_keys = [other.keygen(SEED).secret for other in SCHEMES]
    secret_keys += [type(scheme)(OTHER).keygen(SEED).secret, others.public]
    for key in [*secret_keys, None, "no key"]:
        with noise.trace(key) as trace:
            result = computation(scheme, others)
        np.testing.assert_array_equal(result.rows, expected.rows)
        assert [step.count for step in trace.steps] == [12, 12, 12, 3, 3]
        assert all(math.isnan(step.measured_bits) for step in trace.steps)
        assert trace.steps[-1].predicted_bits == float(result.noise_budget.min())
        assert trace.table().count("      -") == 5


def test_own_results_are_measured_between_those_of_others() -> None:
    scheme = SCHEMES[0]
    keys, others = scheme.keygen(SEED), scheme.keygen(bytes(32))
    with noise.trace(keys.secret) as trace:
        mine = scheme.encrypt([1], keys.public, SEED)
        theirs = scheme.encrypt([1], others.public, SEED)
        theirs * theirs
        mine * mine
    encryptions, products = trace.steps
    assert encryptions.count == products.count == 2
    assert encryptions.measured_bits == scheme.noise_budget(mine, keys.secret)
    assert products.measured_bits == scheme.noise_budget(mine * mine, keys.secret)


def test_measuring_does_not_tick() -> None:
    scheme, ticks = SCHEMES[0], []
    keys = scheme.keygen(SEED)
    with noise.trace(keys.secret), watched(lambda: ticks.append(1)):
        scheme.encrypt(np.ones((9, 1), dtype=np.int64), keys.public, SEED)
    assert len(ticks) == 9


@pytest.mark.parametrize("sample", [0, -1, 1.5, True, "4"])
def test_a_trace_without_a_sample_is_refused(sample: Any) -> None:
    with (
        pytest.raises(ParameterError, match="of at least 1, not"),
        noise.trace(None, sample),
    ):
        pass


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bodies_on_workers_are_traced_under_their_label(count: int) -> None:
    scheme = SCHEMES[0]
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt(np.ones((8, 1), dtype=np.int64), keys.public, SEED)

    def body(i: int) -> None:
        with label(f"layer {i % 2}"):
            ct[i] * ct[i]
        ct[i] * 2

    with workers(count), noise.trace(keys.secret) as trace, label("outside"):
        for_each(body, range(8))
        ct[0] + 1
    found: Counter[tuple[str, str]] = Counter()
    for step in trace.steps:
        found[step.layer, step.operation] += step.count
        assert step.predicted_bits <= step.measured_bits
    constant, added = "a product with a constant", trace.steps[-1].operation
    assert found == {
        ("layer 0", "a product"): 4,
        ("layer 1", "a product"): 4,
        ("outside", constant): 8,
        ("outside", added): 1,
    }


def test_nothing_is_lost_when_threads_record_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, real = SCHEMES[0], Step.merged
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([1], keys.public, SEED)

    def slowly(step: Step, other: Step) -> Step:
        time.sleep(0.001)  # another thread's turn
        return real(step, other)

    monkeypatch.setattr(Step, "merged", slowly)
    with workers(4), noise.trace(keys.secret) as trace:
        for_each(lambda _: observe("nothing", ct), range(40))
    assert [(step.operation, step.count) for step in trace.steps] == [("nothing", 40)]


def test_threads_of_the_user_that_share_trace_and_workers_do_not_wait_for_each_other() -> None:
    scheme = SCHEMES[0]
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt(np.ones((8, 1), dtype=np.int64), keys.public, SEED)

    def compute() -> None:
        for _ in range(3):
            for_each(lambda i: ct[i] * 2, range(8))
            ct * 3

    with workers(2), noise.trace(keys.secret) as trace, ThreadPoolExecutor(3) as mine:
        for future in [mine.submit(copy_context().run, compute) for _ in range(3)]:
            future.result(timeout=60)
        assert sum(step.count for step in trace.steps) == 3 * 3 * 16
        mine.submit(compute).result(timeout=60)  # without the context
    assert sum(step.count for step in trace.steps) == 3 * 3 * 16


# Switching the modulus.


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_a_switched_ciphertext_has_the_same_messages_under_the_same_key(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    values = np.arange(-64, 64, dtype=np.int64).reshape(2, 64)
    square = scheme.square(scheme.encrypt(values, keys.encryption, SEED))
    expected = scheme.decrypt(square, keys.secret)
    for primes in range(PARAMS.k, 3, -1):
        small = scheme.switch_modulus(square, primes)
        assert small.params.moduli == PARAMS.moduli[:primes]
        assert small.shape == square.shape
        assert small.degree == 2
        np.testing.assert_array_equal(scheme.decrypt(small, keys.secret), expected)
        linear = scheme.relinearize(small, keys.relinearization)
        np.testing.assert_array_equal(scheme.decrypt(linear * 1, keys.secret), expected)
        assert (small.noise_budget <= scheme.noise_budget(small, keys.secret)).all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_the_computation_goes_on_with_fewer_primes(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    small = scheme.switch_modulus(scheme.encrypt([5, -6], keys.public, SEED), PARAMS.k - 2)
    square = scheme.relinearize(small * small, keys.relinearization) + small
    assert scheme.decrypt(square * 2 - 1, keys.secret)[:3].tolist() == [59, 59, -1]
    fresh = scheme.level(small.params.k).encrypt([1, 2], keys.public, SEED)
    assert scheme.decrypt(fresh + small, keys.secret)[:2].tolist() == [6, -4]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_by_default_as_few_primes_are_kept_as_the_noise_allows(scheme: Scheme) -> None:
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([1, -2], keys.encryption, SEED)
    square = scheme.relinearize(ct * ct, keys.relinearization)
    reply = scheme.switch_modulus(square)
    assert reply.params.k < PARAMS.k
    assert scheme.decrypt(reply, keys.secret)[:2].tolist() == [1, 4]
    assert reply.rows.nbytes == square.rows.nbytes * reply.params.k // PARAMS.k
    if reply.params.k > 1:
        with pytest.raises((NoiseBudgetExhausted, ParameterError), match="switch|must be smaller"):
            scheme.switch_modulus(square, reply.params.k - 1)


@pytest.mark.parametrize("scheme_class", [BFV, BGV])
def test_the_rounding_of_a_switch_is_within_10_percent_of_theory(
    scheme_class: type[Scheme],
) -> None:
    # With nearly no noise before it, the noise behind a switch is that of rounding: its standard
    # deviation is t/q' sqrt((1 + |s|^2) / 12), and max |nu| / deviation is about sqrt(2 log 2n).
    params = make_params("INSECURE_ROUNDING", 1024, 40000, security=None, log2_q=120)
    scheme, largest = scheme_class(params), []
    for i in range(5):
        keys = scheme.keygen(bytes([i]) * 32)
        ct = scheme.encrypt(np.zeros((20, 1), dtype=np.int64), keys.secret, bytes([i]) * 32)
        small = scheme.switch_modulus(ct, 3)
        largest += (2.0 ** -(1 + scheme.noise_budget(small, keys.secret))).tolist()
        theory = noise.rounding(small.params, scheme.secret_norm, 1)
    draws = np.random.default_rng(1).normal(size=(2000, 1024))
    expected = float(theory.deviation) * float(np.abs(draws).max(axis=1).mean())
    assert 0.9 < float(np.mean(largest)) / expected < 1.1


def test_impossible_switches_are_refused() -> None:
    scheme = SCHEMES[0]
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([1], keys.secret, SEED)
    for primes in (0, PARAMS.k + 1):
        with pytest.raises(ParameterError, match=f"has {PARAMS.k} primes: .* from 1 to {PARAMS.k}"):
            scheme.switch_modulus(ct, primes)
    yashe = SCHEMES[-1]
    square = yashe.square(yashe.encrypt([1], yashe.keygen(SEED).public, SEED))
    with pytest.raises(NoiseBudgetExhausted, match="a switch of the modulus leaves"):
        yashe.switch_modulus(square, 1)
    other = BFV(make_params("INSECURE_OTHER", 64, 250, security=None, log2_q=100))
    small = scheme.switch_modulus(ct, 5)
    with pytest.raises(KeyMismatchError, match="INSECURE_TRACE, 5 primes"):
        other.switch_modulus(small)
    with pytest.raises(KeyMismatchError, match="does not belong"):
        scheme.decrypt(small, scheme.keygen(bytes(32)).secret)


def test_shortened_parameters_are_named_after_the_original() -> None:
    assert PARAMS.shortened(5).shortened(3).name == "INSECURE_TRACE, 3 primes"
    assert PARAMS.shortened(5).shortens(PARAMS)
    assert not PARAMS.shortens(PARAMS.shortened(5))
    assert PARAMS.shortened(PARAMS.k) is PARAMS
    assert math.isclose(PARAMS.shortened(3).log2_q, math.log2(math.prod(PARAMS.moduli[:3])))


def test_shortened_keys_are_the_keys_of_shortened_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One randomness makes the same key for fewer primes: a uniform row is drawn for each prime.
    monkeypatch.setattr(BFV, "own_seed", lambda self, seed: seed)
    keys, short = BFV(PARAMS).keygen(SEED), PARAMS.shortened(4)
    direct = BFV(short).keygen(SEED)
    for name in ("secret", "public", "relinearization"):
        made, kept = getattr(direct, name), getattr(keys, name).shortened(short)
        for field in ("s", "b", "a"):
            if hasattr(made, field):
                np.testing.assert_array_equal(
                    getattr(made, field).canonical(), getattr(kept, field).canonical()
                )


def test_parameters_of_other_rings_are_no_shortening() -> None:
    other = Params("INSECURE_T", 64, PARAMS.moduli[:5], (257,), security=None)
    assert other.shortens(PARAMS) is (PARAMS.plaintext_moduli == (257,))
