"""Workers: the same results, errors that arrive, and no two pools fighting for the cores."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from forks import forked, needs_fork
from strategies_engine import SEED, TOYS
from yashe.arithmetic.parallel import (
    GROUP,
    MOST_WORKERS,
    available_cores,
    for_each,
    for_each_group,
    watched,
    workers,
)
from yashe.ciphertexts import noise
from yashe.errors import NoiseBudgetExhausted, ParameterError
from yashe.schemes.bfv import BFV


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def run(
    loop: Callable[[Callable[[int], None], Iterable[int]], None], count: int, failing: set[int]
) -> tuple[list[int], list[int], str | None]:
    """Return which items were handled before the first failure, the ticks, and the failure."""
    handled: list[int] = []
    ticks: list[int] = []

    def body(i: int) -> None:
        if i in failing:
            raise StopIteration(f"item {i}") if i % 2 else ZeroDivisionError(f"item {i}")
        handled.append(i)

    error = None
    with watched(lambda: ticks.append(threading.get_ident())):
        try:
            loop(body, (i for i in range(count)))
        except (StopIteration, ZeroDivisionError) as found:
            error = f"{type(found).__name__} {found}"
    assert len(handled) == len(set(handled))
    first = min(failing & set(range(count)), default=count)
    return sorted(i for i in handled if i < first), ticks, error


@given(
    count=st.integers(0, 20),
    failing=st.sets(st.integers(0, 30), max_size=3),
    threads=st.sampled_from([None, 1, 2, 3, 8]),
)
@example(count=0, failing=set(), threads=2)
@example(count=5, failing={1, 3}, threads=2)
def test_a_loop_is_the_plain_loop_for_any_number_of_workers(
    count: int, failing: set[int], threads: int | None
) -> None:
    def plain(body: Callable[[int], None], items: Iterable[int]) -> None:
        for item in items:
            body(item)

    expected, _, error = run(plain, count, failing)
    with workers(threads) if threads else nullcontext():
        handled, ticks, raised = run(for_each, count, failing)
    assert (handled, raised) == (expected, error)
    assert ticks == [threading.get_ident()] * len(expected)  # as many, in this thread


@given(count=st.integers(0, 5 * GROUP), threads=st.sampled_from([None, 1, 2, 3]))
def test_groups_are_all_items_each_once_and_each_ticks(count: int, threads: int | None) -> None:
    seen: list[int] = []
    ticks: list[int] = []
    with workers(threads) if threads else nullcontext(), watched(lambda: ticks.append(1)):
        for_each_group(
            lambda some: seen.extend(range(some.start, some.stop)), count, np.zeros(count)
        )
    assert sorted(seen) == list(range(count))
    assert len(ticks) == count


@pytest.mark.parametrize(("threads", "sizes"), [(1, [1] * 6), (2, [GROUP, 2])])
def test_threads_take_several_items_at_a_time(threads: int, sizes: list[int]) -> None:
    """Their calls are longer then, and they wait less for each other."""
    seen: list[slice] = []
    with workers(threads):
        for_each_group(seen.append, 6, np.zeros(6), group=1)
    assert [some.stop - some.start for some in sorted(seen, key=lambda some: some.start)] == sizes


@pytest.mark.parametrize("count", [1, 2, 3, None])
def test_every_item_is_handled_once(count: int | None) -> None:
    seen: list[int] = []
    with workers(count):
        for_each(seen.append, range(100))
    assert sorted(seen) == list(range(100))


def test_without_workers_items_come_in_order_in_this_thread() -> None:
    seen: list[tuple[int, int]] = []
    for_each(lambda i: seen.append((i, threading.get_ident())), range(5))
    assert seen == [(i, threading.get_ident()) for i in range(5)]


def test_two_workers_really_work_at_the_same_time() -> None:
    """Both bodies wait for each other: one worker alone would wait for ever."""
    meeting = threading.Barrier(2)
    with workers(2):
        for_each(lambda _: meeting.wait(timeout=60), range(2))


def test_one_worker_inside_of_several_is_one() -> None:
    threads: set[int] = set()
    with workers(2), workers(1):
        for_each(lambda _: threads.add(threading.get_ident()), range(10))
    assert threads == {threading.get_ident()}


def test_loops_inside_of_loops_do_not_wait_for_each_other() -> None:
    seen: list[tuple[int, int, int]] = []

    def outer(i: int) -> None:
        for_each(lambda j: for_each(lambda k: seen.append((i, j, k)), range(3)), range(3))

    with workers(2):
        for_each(outer, range(8))
    assert sorted(seen) == [(i, j, k) for i in range(8) for j in range(3) for k in range(3)]


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_a_body_is_raised_and_the_workers_go_on(count: int) -> None:
    def body(i: int) -> None:
        if i == 3:
            raise ZeroDivisionError("three")

    seen: list[int] = []
    with workers(count):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="three"):
                for_each(body, range(6))
        for_each(lambda i: for_each(seen.append, [i]), range(4))
    assert sorted(seen) == [0, 1, 2, 3]


def test_no_body_runs_any_more_when_an_error_arrives() -> None:
    begun, finished = threading.Event(), threading.Event()
    handled: list[int] = []

    def body(i: int) -> None:
        if i == 0:
            assert begun.wait(timeout=60)
            raise ZeroDivisionError("while another one runs")
        begun.set()
        time.sleep(0.02)
        handled.append(i)
        finished.set()

    with workers(2):
        with pytest.raises(ZeroDivisionError, match="while another one runs"):
            for_each(body, range(500))
        assert finished.is_set()
        ended = len(handled)
        time.sleep(0.05)
        assert len(handled) == ended < 499  # the rest was left out


@pytest.mark.parametrize("count", [1, 2])
def test_a_tick_or_the_items_may_end_a_loop(count: int) -> None:
    def out_of_time() -> None:
        raise TimeoutError("enough")

    def items() -> Iterable[int]:
        yield from range(3)
        raise LookupError("no more items")

    handled: list[int] = []
    with workers(count):
        with watched(out_of_time), pytest.raises(TimeoutError, match="enough"):
            for_each(handled.append, range(3))
        with pytest.raises(LookupError, match="no more items"):
            for_each(handled.append, items())
        handled.clear()
        for_each(handled.append, range(3))
    assert sorted(handled) == [0, 1, 2]


def test_a_body_may_have_workers_of_its_own() -> None:
    meeting = threading.Barrier(4)

    def body(_: int) -> None:
        with workers(2):
            for_each(lambda _: meeting.wait(timeout=60), range(2))

    with workers(2):
        for_each(body, range(2))


@pytest.mark.parametrize("count", [None, 1, 2])
def test_blas_has_one_thread_inside_and_its_own_again_outside(count: int | None) -> None:
    inside: list[list[int]] = []
    with threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        with workers(count) if count else nullcontext():
            for_each(lambda _: inside.append(blas_threads()), range(2))
        assert inside == [[1] * len(before)] * 2
        assert blas_threads() == before
        with pytest.raises(KeyError, match="gone"), workers(count):
            raise KeyError("gone")
        with pytest.raises(KeyError, match="gone"):
            for_each(lambda _: {}["gone"], range(2))
        assert blas_threads() == before


def test_after_the_workers_loops_are_plain_again() -> None:
    with workers(2):
        pass
    threads: set[int] = set()
    for_each(lambda _: threads.add(threading.get_ident()), range(10))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("count", [1, 2])
def test_every_finished_item_ticks_in_this_thread(count: int) -> None:
    ticks: list[int] = []
    with workers(count), watched(lambda: ticks.append(threading.get_ident())):
        for_each(lambda _: for_each(lambda _: None, range(5)), range(7))
    assert ticks == [threading.get_ident()] * 7  # inner loops do not tick
    for_each(lambda _: None, range(3))
    assert len(ticks) == 7


@pytest.mark.parametrize("count", [0, -1, 1.5, 2.0, True, "2", [2], MOST_WORKERS + 1, 10**9])
def test_what_is_no_number_of_workers_is_refused(count: Any) -> None:
    message = f"by default one for each core, must be a whole number from 1 to {MOST_WORKERS}, not"
    with pytest.raises(ParameterError, match=message), workers(count):
        pass


def test_a_number_of_workers_may_come_from_numpy() -> None:
    meeting = threading.Barrier(2)
    with workers(np.int64(2)):  # type: ignore[arg-type]
        for_each(lambda _: meeting.wait(timeout=60), range(2))


def test_there_is_at_least_one_core() -> None:
    assert available_cores() >= 1


def test_a_computation_is_the_same_on_one_and_on_two_workers() -> None:
    scheme = BFV(TOYS[4])
    values = np.arange(6 * 64, dtype=np.int64).reshape(6, 64) % 100 - 50
    results = []
    for count in (1, 2):
        with workers(count):
            keys = scheme.keygen(SEED)
            ct = scheme.encrypt(values, keys.public, SEED)
            square = scheme.relinearize((ct @ np.eye(6, dtype=np.int64)) * ct, keys.relinearization)
            decrypted = scheme.decrypt(square, keys.secret)
            results.append((ct.rows, square.rows, decrypted))
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


# What holds where a loop is called holds in its bodies.

COUNTS = [None, 1, 2]


def inside(count: int | None) -> Any:
    return workers(count) if count else nullcontext()


@pytest.mark.parametrize("count", COUNTS)
def test_unchecked_holds_in_the_threads_of_the_workers(count: int | None) -> None:
    scheme = BFV(TOYS[4])
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt([1, 2], keys.public, SEED)
    hopeless: list[Any] = []

    def body(_: int) -> None:
        power = ct
        for _ in range(20):
            power = scheme.relinearize(power * power, keys.relinearization)
        hopeless.append(power)

    with inside(count), noise.unchecked():
        for_each(body, range(2))
    assert [power.noise_budget < 0 for power in hopeless] == [True, True]
    with inside(count), pytest.raises(NoiseBudgetExhausted, match="budget"):
        for_each(body, range(2))


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="a thread has its own")
@pytest.mark.parametrize("count", COUNTS)
def test_numpys_error_state_holds_in_the_threads_of_the_workers(count: int | None) -> None:
    zero = np.zeros(1)
    with inside(count), np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="div"):
        for_each(lambda _: np.divide(1, zero), range(3))


# Threads of others.


def test_threads_of_the_user_compute_the_same_with_or_without_a_context() -> None:
    scheme = BFV(TOYS[4])
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt(np.arange(30).reshape(10, 3), keys.public, SEED)
    expected = scheme.decrypt(ct, keys.secret)
    with workers(2), ThreadPoolExecutor(3) as mine:
        for _ in range(3):
            plain = [mine.submit(scheme.decrypt, ct, keys.secret) for _ in range(3)]
            shared = [
                mine.submit(copy_context().run, scheme.decrypt, ct, keys.secret) for _ in range(3)
            ]
            for future in plain + shared:
                np.testing.assert_array_equal(future.result(timeout=60), expected)


def test_a_context_that_outlives_its_workers_has_plain_loops() -> None:
    with workers(2):
        context = copy_context()
    threads: set[int] = set()
    context.run(for_each, lambda _: threads.add(threading.get_ident()), range(5))
    assert threads == {threading.get_ident()}


# The child of a fork has none of the threads.


def threads_of_a_loop() -> int:
    """Return how many threads a loop has beside this one."""
    threads: set[int] = set()
    for_each(lambda _: threads.add(threading.get_ident()), range(6))
    return len(threads - {threading.get_ident()})


@needs_fork
def test_loops_of_a_child_are_plain_until_it_has_workers() -> None:
    meeting = threading.Barrier(2)

    def in_child() -> list[int]:
        found = [threads_of_a_loop()]
        with workers(2):
            for_each(lambda _: meeting.wait(timeout=60), range(2))
        return [*found, threads_of_a_loop()]

    with workers(2):
        assert threads_of_a_loop() >= 1
        assert forked(in_child) == [0, 0]
        assert threads_of_a_loop() >= 1


@needs_fork
def test_a_child_leaves_the_block_of_its_parents_workers() -> None:
    with threadpool_limits(3, user_api="blas"):
        before = blas_threads()
        block = workers(2)
        block.__enter__()
        for_each(lambda _: None, range(4))

        def in_child() -> list[Any]:
            inside = blas_threads()
            block.__exit__(None, None, None)
            return [inside, threads_of_a_loop(), blas_threads()]

        assert forked(in_child) == [[1] * len(before), 0, before]
        block.__exit__(None, None, None)
        assert blas_threads() == before


@needs_fork
def test_a_body_may_fork() -> None:
    found: list[int] = []
    with workers(2):
        for_each(lambda _: found.append(forked(threads_of_a_loop)), range(2))
    assert found == [0, 0]
