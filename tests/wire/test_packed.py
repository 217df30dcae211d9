"""Received ciphertexts: the same numbers as those that were sent, and no more of them at a time."""

import copy
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.inference.encrypted import infer
from strategies_engine import SEED, toy_params, toys
from tiny_roles import tiny_network
from yashe import wire
from yashe.arithmetic.parallel import watched, workers
from yashe.arithmetic.residues import canonical, column
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.packed import NarrowRows, PackedRows
from yashe.circuits import columns
from yashe.circuits.columns import SquareLayer, Units
from yashe.errors import FormatError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.wire import bits

SCHEMES = st.sampled_from([BFV, BGV])
KINDS = st.sampled_from(["secret", "public"])  # a seed stands for a half, or nothing does
TOY = toy_params(64, 2, 5, t_above=2000)
NINE = make_params("INSECURE_NINE", 1024, 2**20, security=None, log2_q=200)


def encrypted(kind: Any, params: Params, key: str, count: int = 6) -> Ciphertext:
    values = np.random.default_rng(count).integers(-3, 4, (count, params.n), dtype=np.int64)
    found: Ciphertext = kind(params).encrypt(values, getattr(kind(params).keygen(SEED), key), SEED)
    return found


def received(ct: Ciphertext) -> Ciphertext:
    return wire.from_bytes(wire.to_bytes(ct), Ciphertext)


def narrow(ct: Ciphertext) -> Ciphertext:
    return replace(
        ct, store=NarrowRows(canonical(ct.rows, column(ct.params.moduli)).astype(np.float32))
    )


def is_packed(ct: Ciphertext) -> bool:
    """Whether the rows have never been asked for as a whole."""
    return isinstance(ct.store, PackedRows) and ct.store._rows is None


def no_rows(patch: pytest.MonkeyPatch) -> None:
    """Let whoever asks for all rows at once fail."""
    patch.setattr(PackedRows, "rows", property(lambda self: pytest.fail("all rows at once")))


@given(st.data(), SCHEMES, toys, KINDS)
@settings(max_examples=30)
def test_any_primes_of_what_is_received_are_those_of_what_was_sent(
    data: st.DataObject, kind: Any, params: Params, key: str
) -> None:
    sent = encrypted(kind, params, key)
    rows = canonical(sent.rows, column(params.moduli))
    first = data.draw(st.integers(0, params.k - 1))
    primes = slice(first, data.draw(st.integers(first + 1, params.k)))
    any_rows = st.lists(st.integers(0, 5), max_size=9).map(lambda some: np.array(some, np.int64))
    numbers = data.draw(st.one_of(st.slices(6), any_rows))
    for there in (received(sent), narrow(sent)):
        assert np.array_equal(there.part(numbers, primes), rows[numbers][:, :, primes])
        columns = there.columns(primes)(1, slice(1, 3))
        assert (columns.dtype, columns.flags.c_contiguous) == (np.float64, True)
        assert np.array_equal(columns, rows[:, 1, primes, 1:3])
        assert is_packed(there)
        assert there.nbytes <= sent.nbytes / 2
        assert (there.place, there.like.size) == ("cpu", 0)
        assert np.array_equal(there.rows, rows)
        assert (is_packed(there), there.nbytes) == (False, sent.nbytes)
        assert np.array_equal(there.part(numbers, primes), rows[numbers][:, :, primes])


def square_layer(ct: Ciphertext) -> SquareLayer:
    """Squares of sums of two neighbours each, summed up twice."""
    inputs = np.arange(ct.size - 1, dtype=np.int64)[:, None] + np.arange(2, dtype=np.int64)
    hidden = Units(inputs, np.array([[2, -1], [1, 3]]), np.array([1, 0]))
    weights = np.random.default_rng(1).integers(-3, 4, (hidden.size, 2), dtype=np.int64)
    assert isinstance(ct.scheme, BGV)
    return SquareLayer(ct.scheme, ct, [hidden], weights, 5)


@pytest.mark.parametrize("key", ["secret", "public"])
@pytest.mark.parametrize("threads", [1, 2])
def test_sums_of_squares_of_received_ciphertexts_are_those_of_the_sent_ones_bit_for_bit(
    key: str, threads: int
) -> None:
    sent = encrypted(BGV, TOY, key)
    there, ticks = received(sent), list[int]()
    layer = square_layer(there)
    with workers(threads), watched(lambda: ticks.append(1)):
        found = layer.sums()
    assert np.array_equal(found.rows, square_layer(sent).sums().rows)
    assert is_packed(there)
    assert len(ticks) == layer.steps  # to unpack is no step


def peak_bytes(act: Callable[[], Any]) -> int:
    act()  # what is prepared once and kept
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_sums_of_squares_need_one_prime_of_what_is_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "COLUMNS", 256)  # and not all at once
    there = received(encrypted(BGV, NINE, "secret", 128))
    numbers = 128 * 2 * 9 * 1024 * 8
    assert there.nbytes < numbers / 5
    assert peak_bytes(square_layer(there).sums) < numbers / 3  # with the squares of some columns
    assert peak_bytes(lambda: square_layer(received(there)).ct.rows) > numbers  # it would show


@pytest.mark.parametrize("key", ["secret", "public"])
def test_narrow_encryptions_are_the_same_in_half_of_the_memory(key: str) -> None:
    scheme, own = BGV(TOY), getattr(BGV(TOY).keygen(SEED), key)
    values = np.random.default_rng(3).integers(-9, 9, (10, 64), dtype=np.int64)
    with workers(2):
        found = scheme.encrypt(values, own, SEED, narrow=True)
    expected = scheme.encrypt(values, own, SEED)
    assert found.nbytes == expected.nbytes / 2
    assert wire.to_bytes(found) == wire.to_bytes(expected)
    assert wire.to_bytes(found[::-1]) == wire.to_bytes(expected[::-1])
    assert is_packed(found)  # what is written is packed a few rows at a time
    assert np.array_equal(scheme.decrypt(found, BGV(TOY).keygen(SEED).secret)[:, :64], values)
    assert np.array_equal(square_layer(found).sums().rows, square_layer(expected).sums().rows)
    assert is_packed(found)
    assert np.array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_asks_for_one_prime_of_its_images_at_a_time(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, params = tiny_network(), make_params("INSECURE_TINY", 64, 2**16, None, 160)
    scheme, keys = BGV(params), BGV(params).keygen(SEED)
    values = np.random.default_rng(0).integers(0, 4, (*model.input_shape, 64), dtype=np.int64)
    sent = scheme.encrypt(values, keys.secret, SEED)
    expected = infer(scheme, model, sent, keys.relinearization)
    there = received(sent)
    no_rows(monkeypatch)
    with workers(threads):
        found = infer(scheme, model, there, keys.relinearization)
    assert np.array_equal(found.rows, expected.rows)


def test_every_other_operation_takes_what_is_received() -> None:
    sent = encrypted(BGV, TOY, "secret")
    scheme, key = BGV(TOY), BGV(TOY).keygen(SEED).secret
    there = received(sent)
    assert np.array_equal(scheme.decrypt(there, key), scheme.decrypt(sent, key))
    for operation in (
        lambda x: x + x,
        lambda x: x[1:3] * 5,
        lambda x: x.copy(),
        lambda x: x @ np.arange(1, 7),
        lambda x: np.concatenate([x, x[:2].copy()]),
        lambda x: scheme.square(x[0]),
        lambda x: scheme.switch_modulus(x, 4),
        lambda x: copy.deepcopy(x[2:4]),
    ):
        assert np.array_equal(
            scheme.decrypt(operation(received(sent)), key), scheme.decrypt(operation(sent), key)
        )
    moved = replace(there, bound=there.bound)[::-1]
    assert wire.to_bytes(moved) == wire.to_bytes(sent[::-1])


def test_a_residue_that_is_none_is_refused_before_anything_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = bytearray(wire.to_bytes(encrypted(BGV, TOY, "secret")))
    last = bits.packed_bytes(TOY.n, TOY.moduli[-1:])
    data[-32 - last : -32] = b"\xff" * last  # of the last ciphertext, modulo the last prime
    monkeypatch.setattr("yashe.wire.streams.ReceivedRows", lambda *_: pytest.fail("kept"))
    with pytest.raises(FormatError, match=rf"a residue modulo {TOY.moduli[-1]} must be smaller"):
        wire.from_bytes(bytes(data), Ciphertext)
