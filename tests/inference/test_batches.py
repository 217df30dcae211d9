"""Batch after batch elsewhere: nothing is computed before it is there, and nothing is lost."""

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elsewhere import Elsewhere, Event, Stream, calls, module, register
from nn.inference.batches import streamed
from yashe.arithmetic.parallel import workers
from yashe.arithmetic.places import LOADERS
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import DeviceError, ExactnessError
from yashe.parameters.sets import make_params
from yashe.schemes.bgv import BGV

SCHEME = BGV(make_params("INSECURE_BATCHES", n=64, t_at_least=2**16, security=None, log2_q=66))
KEYS = SCHEME.keygen(bytes(32))


@pytest.fixture(params=[False, True], ids=["as late as possible", "as early as possible"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a place elsewhere, whose copies take several blocks."""
    monkeypatch.setattr(Stream, "hurried", request.param)
    return small_blocks(monkeypatch)


def small_blocks(patch: pytest.MonkeyPatch) -> str:
    """Let a batch of tests be several blocks, and return the name of a place elsewhere."""
    patch.setattr(module(), "STAGED", 200)
    patch.setattr(module(), "NARROWED", 64)
    return register(patch)


def batch(number: int) -> Ciphertext:
    """A small batch of its own."""
    return SCHEME.encrypt([[number] * 64, [1] * 64], KEYS.secret, bytes([number]) * 32)


def batches(
    count: int, read: Callable[[int], object] = lambda number: None
) -> Iterator[Ciphertext]:
    """Batches as they are read, one after the other."""
    for number in range(count):
        read(number)
        yield batch(number)


def test_batches_arrive_as_they_were_sent(gpu: str) -> None:
    with workers(2):
        found = [(type(ct.rows), ct.place, (ct + 3).to("cpu")) for ct in streamed(batches(5), gpu)]
    assert len(found) == 5
    for number, (kind, where, ct) in enumerate(found):
        expected = batch(number)
        assert (kind, where) == (Elsewhere, "gpu")
        assert np.array_equal(ct.rows, (expected + 3).rows)
        assert np.array_equal(SCHEME.decrypt(ct, KEYS.secret)[0], [number + 3] * 64)
    assert calls["set"] == 5 * 3 * 2  # batches, primes, and two rows one by one


def test_only_rows_that_are_in_use_are_sent(gpu: str) -> None:
    ct = batch(1)[1:]
    (there,) = streamed([ct], gpu)
    assert there.rows.shape == (1, 2, 3, 64)
    assert np.array_equal(there.to("cpu").rows, ct.rows[1:])


def all_right(gpu: str) -> bool:
    """Whether batches are as they were sent, looked at one by one, or at the end of two streams."""
    one_by_one = [ct.to("cpu") for ct in streamed(batches(4), gpu)]
    streams = [list(streamed(batches(count), gpu)) for count in (1, 4)]
    for stream in (one_by_one, *streams):
        for number, ct in enumerate(stream):
            if not np.array_equal(ct.to("cpu").rows, batch(number).rows):
                return False
    return True


WAITS: dict[str, tuple[Any, str, Callable[..., bool]]] = {
    "what is computed waits for the copy": (Stream, "wait_event", lambda s, e: not s.second),
    "a copy waits for what is computed": (Stream, "wait_event", lambda s, e: s.second),
    "pinned memory waits for its copy": (Event, "synchronize", lambda e: True),
    "the end waits for all copies": (Stream, "synchronize", lambda s: s.second),
}


@pytest.mark.parametrize("which", WAITS)
def test_a_wait_that_is_left_out_is_seen(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in can tell: with every wait all is right, and without one of them it is not."""
    gpu = small_blocks(monkeypatch)
    kind, name, chosen = WAITS[which]
    wait, right = getattr(kind, name), []
    for hurried in (False, True):
        monkeypatch.setattr(Stream, "hurried", hurried)
        assert all_right(gpu)
        with monkeypatch.context() as left_out:
            left_out.setattr(kind, name, lambda *at: None if chosen(*at) else wait(*at))
            right.append(all_right(gpu))
    assert not all(right)


@pytest.mark.parametrize("value", [0.5, 2.0**31, -(2.0**31) - 1, np.nan, np.inf])
def test_what_is_no_residue_is_refused_and_what_came_before_is_done(value: float, gpu: str) -> None:
    bad = replace(batch(1), store=batch(1).rows.copy())
    bad.rows[1, 1, 2, 63] = value
    done = list[Ciphertext]()
    with pytest.raises(ExactnessError, match="residues were required, integers of 32 bits"):
        done.extend(ct.to("cpu") for ct in streamed([batch(0), bad, batch(2)], gpu))
    assert len(done) == 1
    assert np.array_equal(done[0].rows, batch(0).rows)
    assert all_right(gpu)


def test_the_largest_residues_arrive(gpu: str) -> None:
    ct = replace(batch(1), store=batch(1).rows.copy())
    ct.rows[0, 0, 0, :2] = 2.0**31 - 1, -(2.0**31)
    (there,) = streamed([ct], gpu)
    assert np.array_equal(there.to("cpu").rows, ct.rows)


def test_one_batch_is_read_ahead_and_no_more(gpu: str) -> None:
    read = list[int]()
    for number, ct in enumerate(streamed(batches(6, read.append), gpu)):
        ct.to("cpu")
        time.sleep(0.01)  # a reader that ran away would be far ahead
        assert len(read) <= number + 2
    assert read == [0, 1, 2, 3, 4, 5]


def test_the_next_batch_is_read_while_this_one_is_computed(gpu: str) -> None:
    reading = threading.Event()
    read = lambda number: number and reading.set()  # noqa: E731
    for ct in streamed(batches(2, read), gpu):
        assert reading.wait(10)
        del ct


def test_what_reading_raises_comes_when_all_before_it_is_done(gpu: str) -> None:
    def read(number: int) -> None:
        if number == 2:
            raise OSError("the file ends here")

    done = []
    with pytest.raises(OSError, match="the file ends here"):
        done.extend(ct.to("cpu").rows for ct in streamed(batches(4, read), gpu))
    assert len(done) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_whoever_stops_early_leaves_nobody_behind(gpu: str) -> None:
    read = list[int]()
    with closing(streamed(batches(9, read.append), gpu)) as them:
        next(them)
    assert len(read) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    assert all_right(gpu)


def on_their_way() -> int:
    """How many arrays of integers of 32 bits there are elsewhere."""
    gc.collect()
    return sum(type(x) is Elsewhere and x.dtype == np.int32 for x in gc.get_objects())


def test_who_gives_a_batch_holds_on_to_none(gpu: str) -> None:
    before = on_their_way()
    given = streamed(batches(1), gpu)
    ct = next(given)
    rows = weakref.ref(ct.rows)
    del ct
    assert rows() is None
    assert on_their_way() == before
    given.close()


def test_batches_are_read_where_what_holds_for_the_caller_holds(gpu: str) -> None:
    held = ContextVar("held", default=False)
    held.set(True)
    seen = list[bool]()
    list(streamed(batches(2, lambda number: seen.append(held.get())), gpu))
    assert seen == [True, True]


def test_a_place_that_is_not_exact_is_refused(gpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inexact = replace(module().place(), get=lambda flag: False)
    monkeypatch.setitem(LOADERS, "gpu", lambda: inexact)
    with pytest.raises(ExactnessError, match="product of the gpu is not exact"):
        next(streamed(batches(1), gpu))


def test_no_batches_are_none_and_an_empty_one_is_one(gpu: str) -> None:
    assert not list(streamed([], gpu))
    (there,) = streamed([batch(0)[:0]], gpu)
    assert there.to("cpu").rows.shape == (0, 2, 3, 64)


@pytest.mark.parametrize("device", ["cpu", None])
def test_on_a_processor_nothing_is_done_ahead_nor_in_another_thread(device: str | None) -> None:
    me, read = threading.get_ident(), list[int]()

    def note(number: int) -> None:
        assert threading.get_ident() == me
        read.append(number)

    for number, ct in enumerate(streamed(batches(3, note), device)):
        assert type(ct.rows) is np.ndarray
        assert read == list(range(number + 1))


def test_without_a_gpu_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "yashe.arithmetic.gpu", raising=False)
    with pytest.raises(DeviceError, match="a GPU needs CuPy"):
        next(streamed(batches(1, lambda number: pytest.fail("read")), "gpu"))
