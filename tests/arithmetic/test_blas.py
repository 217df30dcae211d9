"""BLAS has one thread while we compute, in whatever order threads come and go, and forks."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from forks import forked, needs_fork
from strategies_engine import SEED, TOYS
from yashe.arithmetic import blas
from yashe.arithmetic.blas import one_blas_thread
from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.parallel import for_each, workers
from yashe.arithmetic.rns import Rescale
from yashe.schemes.bfv import BFV


def numbers() -> list[int]:
    """How many threads each BLAS library uses, as threadpoolctl finds it anew."""
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def every_library() -> None:
    """Look for libraries once more: other tests may have loaded one since."""
    blas.libraries.cache_clear()


@pytest.fixture
def three() -> Iterator[list[int]]:
    """A machine on which BLAS uses three threads."""
    with threadpool_limits(3, user_api="blas"):
        yield numbers()


THREADS = 3
BLOCKS = {"one_blas_thread": lambda: one_blas_thread, "workers": lambda: workers(2)}


@given(
    steps=st.lists(
        st.tuples(st.integers(0, THREADS - 1), st.sampled_from([*BLOCKS, "leave"])), max_size=8
    )
)
@example(steps=[(0, "workers"), (1, "workers"), (0, "leave"), (1, "leave")])
def test_blas_has_one_thread_until_the_last_has_left_and_then_as_many_as_before(
    steps: list[tuple[int, str]],
) -> None:
    outside = numbers()
    threads = [ThreadPoolExecutor(1) for _ in range(THREADS)]
    blocks: list[list[AbstractContextManager[Any]]] = [[] for _ in threads]
    leaving = [(i, "leave") for i in range(THREADS) for _ in steps]
    with threadpool_limits(3, user_api="blas"):
        before = numbers()
        for i, step in steps + leaving:
            if step != "leave":
                blocks[i].append(BLOCKS[step]())
                threads[i].submit(blocks[i][-1].__enter__).result(timeout=60)
            elif blocks[i]:
                left = blocks[i].pop()
                threads[i].submit(left.__exit__, None, None, None).result(timeout=60)
            assert numbers() == ([1] * len(before) if any(blocks) else before)
    assert numbers() == outside  # threadpoolctl obeys this thread again
    for thread in threads:
        thread.shutdown()


def test_threads_that_come_and_go_at_once_leave_what_was_there(three: list[int]) -> None:
    with ThreadPoolExecutor(4) as crew:
        for _ in crew.map(lambda _: for_each(lambda _: None, range(2)), range(400)):
            pass
    assert numbers() == three


def test_an_error_inside_leaves_what_was_there(three: list[int]) -> None:
    with pytest.raises(KeyError, match="gone"), one_blas_thread:
        raise KeyError("gone")
    assert numbers() == three


def test_a_number_that_somebody_sets_meanwhile_stays(three: list[int]) -> None:
    with one_blas_thread:
        for library in blas.libraries():
            blas.set_threads(library, 2)
    assert numbers() == [2] * len(three)


@pytest.mark.parametrize("computes", ["Ntt.evaluate", "Ntt.interpolate", "Rescale._convert"])
def test_transforms_and_rescalings_take_one_thread_of_blas(
    three: list[int], computes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, name = computes.partition(".")
    kind = {"Ntt": Ntt, "Rescale": Rescale}[owner]
    real, seen = getattr(kind, name), []

    def watching(*arguments: Any) -> Any:
        seen.append(numbers())
        return real(*arguments)

    monkeypatch.setattr(kind, name, watching)
    scheme = BFV(TOYS[4])
    keys = scheme.keygen(SEED)
    ct = scheme.encrypt(scheme.encode([1, 2]), keys.public, SEED) * scheme.encode([3, 4])
    assert scheme.decrypt(ct, keys.secret)[:2].tolist() == [3, 8]
    scheme.params.ring.transform.ntt_modulo(slice(0, 1), np.zeros((1, scheme.params.n)))
    assert seen
    assert all(found == [1] * len(three) for found in seen)
    assert numbers() == three


def test_libraries_with_a_number_for_each_thread_get_one_in_all_threads_of_a_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class PerThread(threading.local):
        num_threads = 8

        def set_num_threads(self, number: int) -> None:
            self.num_threads = number

    library = PerThread()
    monkeypatch.setattr(blas, "libraries", lambda: [library])
    meeting, seen = threading.Barrier(2), []

    def body(_: int) -> None:
        meeting.wait(timeout=60)
        seen.append(library.num_threads)

    with workers(2):
        for_each(body, range(2))
        assert library.num_threads == 1
    assert seen == [1, 1]
    assert library.num_threads == 8


@needs_fork
def test_a_child_forgets_the_threads_that_it_does_not_have(three: list[int]) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread:
            inside.set()
            leave.wait(timeout=60)

    with ThreadPoolExecutor(1) as crew:
        crew.submit(other)
        assert inside.wait(timeout=60)
        assert forked(numbers) == three
        assert numbers() == [1] * len(three)
        leave.set()
    assert numbers() == three


@needs_fork
def test_a_child_leaves_the_block_in_which_it_was_made(three: list[int]) -> None:
    with one_blas_thread, one_blas_thread:
        in_child: list[list[int]] = []

        def go_on() -> list[list[int]]:
            for _ in range(2):
                in_child.append(numbers())
                one_blas_thread.__exit__()
            return [*in_child, numbers()]

        assert forked(go_on) == [[1] * len(three), [1] * len(three), three]
    assert numbers() == three


def test_matrix_products_are_the_same_after_it(three: list[int]) -> None:
    a = np.arange(90000, dtype=np.float64).reshape(300, 300) % 7
    with one_blas_thread:
        inside = a @ a
    np.testing.assert_array_equal(inside, a @ a)
