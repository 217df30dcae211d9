"""Samples: those of the textbook, of the right shape, and different for every seed and label."""

import hashlib
from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import OTHER_SEED, SEED, odd_primes, seeds
from yashe.arithmetic import sampling
from yashe.arithmetic.sampling import (
    check_seed,
    derive_seed,
    fresh_seed,
    gaussian,
    gaussian_table,
    stream,
    ternary,
    uniform,
)
from yashe.errors import ParameterError
from yashe.textbook import polynomials as textbook

labels = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
MANY = 100_000


@given(seeds, labels, st.integers(1, 3000), odd_primes)
def test_samples_are_those_of_the_textbook(seed: bytes, label: str, n: int, p: int) -> None:
    # Compared as arrays: the difference of two long lists would take minutes to print.
    both = [label, label + "!"]
    rows = [[textbook.uniform_row(seed, one, n, p)] for one in both]
    assert np.array_equal(uniform(seed, both, n, (p,)), rows)
    for sample, plain in ((ternary, textbook.ternary), (gaussian, textbook.gaussian)):
        assert np.array_equal(sample(seed, both, n), [plain(seed, one, n) for one in both])


def test_every_prime_has_a_row_of_its_own() -> None:
    both = uniform(SEED, ["a", "b"], 50, (97, 193))
    assert both.shape == (2, 2, 50)
    for rows, label in zip(both, "ab", strict=True):
        for row, p in zip(rows, (97, 193), strict=True):
            assert row.tolist() == textbook.uniform_row(SEED, label, 50, p)
    assert uniform(SEED, [], 50, (97, 193)).shape == (0, 2, 50)
    assert ternary(SEED, [], 50).shape == gaussian(SEED, [], 50).shape == (0, 50)


def test_too_few_accepted_draws_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream has the same beginning, so a longer one changes nothing."""
    asked: list[int] = []

    def poor_stream(seed: bytes, label: str, length: int) -> bytes:
        asked.append(length)
        refused = 3 * 300 if len(asked) == 1 else 0  # 0xFFFFFF and 0xFF are never accepted
        return b"\xff" * refused + stream(seed, label, length)[refused:]

    monkeypatch.setattr(sampling, "stream", poor_stream)
    assert uniform(SEED, ["a"], 300, (97,)).tolist() == [[textbook.uniform_row(SEED, "a", 300, 97)]]
    first, second = asked
    assert second == 2 * first
    asked.clear()
    assert ternary(SEED, ["a"], 300).tolist() == [textbook.ternary(SEED, "a", 300)]
    first, second = asked
    assert second == 2 * first


def test_the_gaussian_table_is_that_of_the_textbook_without_its_last_entry() -> None:
    table = textbook.gaussian_table()
    assert gaussian_table().tolist() == list(table[:-1])
    assert table[-1] == 2**64


def test_gaussian_draws_at_the_ends_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [int(x) for x in gaussian_table()]
    draws = [0, table[31] - 1, table[31], table[32] - 1, table[32], 2**64 - 1]
    raw = np.array(draws, dtype="<u8").tobytes()
    monkeypatch.setattr(sampling, "stream", lambda seed, label, length: raw)
    # table[31] = 2^64 P(X <= -1): draws below it are negative, those from it up to table[32] zero.
    assert gaussian(SEED, ["e"], 6)[0].tolist() == [
        table.index(next(t for t in table if t > 0)) - 32,
        -1,
        0,
        0,
        1,
        32,
    ]


def test_draws_beside_every_entry_of_the_table_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the upper 16 bits, which are looked up, are the same on both sides of it."""
    table = textbook.gaussian_table()
    draws = [t + d for t in table for d in (-1, 0, 1) if 0 <= t + d < 2**64]
    raw = np.array(draws, dtype="<u8").tobytes()
    monkeypatch.setattr(sampling, "stream", lambda seed, label, length: raw)
    expected = [next(i for i, t in enumerate(table) if u < t) - 32 for u in draws]
    assert gaussian(SEED, ["e"], len(draws))[0].tolist() == expected


# Mean, variance and support. The seeds are fixed, so these never fail by bad luck; the limits are
# five standard deviations of the estimate, on both sides.


@pytest.mark.parametrize("p", [3, 97, 12289, 2**24 - 3])
def test_uniform_samples_have_the_mean_variance_and_support_of_their_distribution(p: int) -> None:
    x = uniform(SEED, ["statistics"], MANY, (p,))[0, 0]
    variance = (p * p - 1) / 12
    kurtosis_factor = sqrt(0.8)  # of the uniform distribution: deviation of x^2 / variance
    assert abs(x.mean()) < 5 * sqrt(variance / MANY)
    assert abs(x.var() / variance - 1) < 5 * kurtosis_factor / sqrt(MANY)
    assert np.abs(x).max() <= p // 2
    if p < 1000:
        assert sorted({int(v) for v in x}) == list(range(-(p // 2), p // 2 + 1))


def test_ternary_samples_are_equally_frequent() -> None:
    counts = Counter(ternary(SEED, ["statistics"], MANY)[0].tolist())
    assert set(counts) == {-1.0, 0.0, 1.0}
    for count in counts.values():
        assert abs(count - MANY / 3) < 5 * sqrt(MANY * 2 / 9)


def test_gaussian_samples_have_mean_0_and_width_3_2() -> None:
    x = gaussian(SEED, ["statistics"], MANY)[0]
    assert abs(x.mean()) < 5 * 3.2 / sqrt(MANY)
    assert abs(x.var() / 3.2**2 - 1) < 5 * sqrt(2 / MANY)
    assert 10 < np.abs(x).max() <= 32
    for value in range(-6, 7):
        expected = MANY * np.exp(-(value**2) / (2 * 3.2**2)) / sqrt(2 * np.pi * 3.2**2)
        assert abs(np.count_nonzero(x == value) - expected) < 5 * sqrt(expected)


@given(seeds, labels, labels)
@settings(max_examples=30)
def test_other_labels_and_other_seeds_give_other_samples(seed: bytes, a: str, b: str) -> None:
    samples = {
        (s, label): (
            uniform(s, [label], 64, (12289,)).tobytes(),
            ternary(s, [label], 64).tobytes(),
            gaussian(s, [label], 64).tobytes(),
        )
        for s in {seed, OTHER_SEED}
        for label in {a, b}
    }
    for kind in range(3):
        assert len({drawn[kind] for drawn in samples.values()}) == len(samples)


def test_the_stream_is_shake_256_of_seed_and_label() -> None:
    expected = hashlib.shake_256(SEED + b"label").digest(100)
    assert stream(SEED, "label", 100) == expected
    assert derive_seed(SEED, "label") == expected[:32]


def test_fresh_seeds_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(fresh_seed()) == len(check_seed(None)) == 32
    assert fresh_seed() != fresh_seed()
    assert check_seed(None) != check_seed(None)
    monkeypatch.setattr(sampling.os, "urandom", lambda length: b"u" * length)
    assert fresh_seed() == check_seed(None) == b"u" * 32
    assert check_seed(SEED) is SEED


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33, "x" * 32, 7, bytearray(32), [0] * 32])
def test_a_seed_that_is_not_32_bytes_is_refused_and_not_repeated(seed: object) -> None:
    with pytest.raises(ParameterError, match="a seed is 32 bytes") as refusal:
        check_seed(seed)  # type: ignore[arg-type]
    assert "xx" not in str(refusal.value)
