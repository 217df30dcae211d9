"""Workers: the same results, errors that arrive, and no two pools fighting for the cores."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from strategies_engine import SEED, TOYS
from yashe.bfv import BFV
from yashe.errors import ParameterError
from yashe.parallel import available_cores, for_each, watched, workers


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


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


@pytest.mark.parametrize("count", [1, 2])
def test_blas_has_one_thread_inside_and_its_own_again_outside(count: int) -> None:
    before = blas_threads()
    inside: list[list[int]] = []
    with workers(count):
        for_each(lambda _: inside.append(blas_threads()), range(2))
    assert inside == [[1] * len(before)] * 2
    assert blas_threads() == before
    with pytest.raises(KeyError, match="gone"), workers(count):
        raise KeyError("gone")
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


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_one_worker_is_refused(count: int) -> None:
    with pytest.raises(ParameterError, match=f"must be at least 1, not {count}"), workers(count):
        pass


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
