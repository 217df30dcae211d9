"""Other processes and machines compute what one process computes, also when some of them die."""

import io
import json
import multiprocessing
import os
import pickle  # noqa: TID251 - as executors of processes send things
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import make_scaling
from nn.cluster import tasks
from nn.cluster.coordinator import (
    MOST_ATTEMPTS,
    WatchedExecutor,
    WorkersLostError,
    predict,
)
from nn.cluster.crews import Crew, MissingDaskError, RestartingPool, dask_cluster, processes
from nn.cluster.tasks import first_stage_parts
from nn.commands.main import main
from nn.experiment import run
from nn.inference.encrypted import encrypt_images, infer
from nn.networks.layers import Conv2D, Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import FheError, KeyMismatchError, KindError, ParameterError
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.wire.bits import packed_bytes
from yashe.wire.envelope import SEEDED_CIPHERTEXTS, FrameReader
from yashe.wire.header import read_contents

PARAMS = make_params("INSECURE_cluster", 64, 2**30, security=None, log2_q=230)
SCHEMES = {"BGV": BGV(PARAMS), "BFV": BFV(PARAMS)}
KEYS_OF = {name: scheme.keygen(bytes(32)) for name, scheme in SCHEMES.items()}
SCHEME, KEYS = SCHEMES["BGV"], KEYS_OF["BGV"]
ARCHITECTURES: dict[str, Callable[[], list[Any]]] = {
    "cryptonets": lambda: [
        Conv2D(2, kernel=3, stride=2, pad_end=1),
        Square(),
        Flatten(),
        Dense(5),
        Square(),
        Dense(3),
    ],
    "one position": lambda: [Conv2D(9, kernel=5), Square(), Flatten(), Dense(3)],
    "flatten first": lambda: [Flatten(), Dense(4), Square(), Dense(3)],
    "square first": lambda: [Square(), Flatten(), Dense(3)],
    "no stage": lambda: [Conv2D(2, kernel=2), Square(), Conv2D(1, kernel=2)],
}


def network(name: str, seed: int = 1) -> Sequential:
    """A small integer network for images of 5x5 pixels; no output has only zero weights."""
    model = Sequential(ARCHITECTURES[name](), (5, 5, 1), info=ModelInfo(name="small", levels=3))
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        for key, value in layer.parameters.items():
            drawn = generator.integers(-2, 3, size=value.shape, dtype=np.int64)
            if key == "weight":
                drawn[0, ~drawn.any(axis=0)] = 1
            layer.parameters[key] = drawn
    return model


@cache
def encrypted(
    count: int, shape: tuple[int, ...] = (5, 5, 1), which: str = "BGV"
) -> list[Ciphertext]:
    """Batches of images."""
    generator, scheme, key = np.random.default_rng(count), SCHEMES[which], KEYS_OF[which].secret
    model = Sequential([Flatten()], shape, info=ModelInfo(levels=3))
    return [
        encrypt_images(scheme, model, generator.integers(0, 4, (64, *shape), dtype=np.int64), key)
        for _ in range(count)
    ]


def frames(replies: Any) -> list[bytes]:
    return [wire.to_bytes(reply) for reply in replies]


@cache
def computed(name: str, count: int) -> list[Ciphertext]:
    """What one process computes of some batches."""
    return alone(network(name), encrypted(count))


def alone(model: Sequential, batches: list[Ciphertext], which: str = "BGV") -> list[Ciphertext]:
    """What one process computes."""
    key = KEYS_OF[which].relinearization
    return [infer(SCHEMES[which], model, ct, key) for ct in batches]


class Recorder(Executor):
    """Computes at once, and remembers what it was given; some submissions are lost.

    Parameters
    ----------
    lost : numbers of the submissions whose worker dies
    forgetful : whether every submission meets a new worker
    """

    def __init__(self, lost: frozenset[int] = frozenset(), forgetful: bool = False) -> None:
        self.lost, self.forgetful = lost, forgetful
        self.calls: list[tuple[Any, ...]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append(args)
        if self.forgetful:
            tasks._networks.clear()
        future: Future[Any] = Future()
        if len(self.calls) - 1 in self.lost:
            future.set_exception(BrokenExecutor("a worker has died"))
            return future
        try:
            future.set_result(fn(*args, **kwargs))
        except FheError as error:
            future.set_exception(error)
        return future

    @property
    def networks(self) -> int:
        """How often the network was sent."""
        return sum(network is not None for _, _, network, _ in self.calls)


@pytest.fixture(autouse=True)
def _new_workers() -> Iterator[None]:
    tasks._networks.clear()
    yield
    tasks._networks.clear()


@settings(max_examples=10)
@given(name=st.sampled_from(sorted(ARCHITECTURES)), count=st.integers(0, 4), room=st.integers(1, 4))
def test_any_executor_computes_the_ciphertexts_of_one_process_bit_for_bit(name, count, room):
    model, batches = network(name), encrypted(count)
    with ThreadPoolExecutor(2) as pool:
        found = predict(model, batches, KEYS.relinearization, pool, in_flight=room)
        assert frames(found) == frames(computed(name, count))


@pytest.mark.parametrize("which", sorted(SCHEMES))
@settings(max_examples=4)
@given(
    name=st.sampled_from(sorted(ARCHITECTURES)),
    seed=st.integers(0, 2**16),
    parts=st.integers(1, 20),
    count=st.integers(1, 3),
)
@example(name="cryptonets", seed=1, parts=4, count=2)
def test_parts_of_batches_add_up_to_the_logits_of_one_process(which, name, seed, parts, count):
    model, batches = network(name, seed), encrypted(count, which=which)
    scheme, keys = SCHEMES[which], KEYS_OF[which]
    found = predict(model, batches, keys.relinearization, Recorder(), parts=parts)
    for reply, expected in zip(found, alone(model, batches, which), strict=True):
        logits = scheme.decrypt(reply, keys.secret)
        assert np.array_equal(logits, scheme.decrypt(expected, keys.secret))
        assert reply.degree == expected.degree
        assert np.allclose(reply.noise_budget, expected.noise_budget)
        if scheme.ntt_form:  # nothing is rounded in a sum: the parts are the whole, bit for bit
            assert reply.factor == expected.factor
            compose = reply.params.ring.basis.compose
            assert np.array_equal(compose(reply.rows), compose(expected.rows))


def test_without_an_executor_this_process_computes():
    model, batches = network("cryptonets"), encrypted(2)
    shares: list[float] = []
    found = predict(model, batches, KEYS.relinearization, progress=shares.append)
    assert frames(found) == frames(alone(model, batches))
    assert sum(shares) == pytest.approx(2)


@given(
    lost=st.frozensets(st.integers(0, 30), max_size=MOST_ATTEMPTS - 1),
    parts=st.integers(1, 4),
    forgetful=st.booleans(),
)
@example(lost=frozenset(range(MOST_ATTEMPTS - 1)), parts=1, forgetful=True)
@settings(max_examples=4)
def test_lost_workers_cost_time_and_no_results(lost, parts, forgetful):
    model, batches, executor = network("cryptonets"), encrypted(3), Recorder(lost, forgetful)
    shares: list[float] = []
    found = predict(model, batches, KEYS.relinearization, executor, parts, progress=shares.append)
    expected = [SCHEME.decrypt(reply, KEYS.secret) for reply in computed("cryptonets", 3)]
    assert np.array_equal([SCHEME.decrypt(reply, KEYS.secret) for reply in found], expected)
    assert sum(shares) == pytest.approx(3)


def test_a_task_that_is_lost_again_and_again_is_given_up():
    executor = Recorder(frozenset(range(100)))
    with pytest.raises(WorkersLostError, match=f"lost with its worker {MOST_ATTEMPTS} times"):
        list(predict(network("cryptonets"), encrypted(1), KEYS.relinearization, executor))
    assert len(executor.calls) == MOST_ATTEMPTS


def test_what_is_wrong_is_not_tried_again():
    executor, other = Recorder(), SCHEME.keygen(b"x" * 32)
    with pytest.raises(KeyMismatchError, match="RelinearizationKey"):
        list(predict(network("cryptonets"), encrypted(1), other.relinearization, executor))
    assert len(executor.calls) == 1


def test_the_network_is_sent_once_for_each_task_in_flight_at_most():
    executor, model, batches = Recorder(), network("flatten first"), encrypted(6)
    list(predict(model, batches, KEYS.relinearization, executor, in_flight=2))
    assert executor.networks == 2
    assert len(executor.calls) == 6


@pytest.mark.parametrize("executor", [None, Recorder(), Recorder(forgetful=True)])
def test_a_network_that_is_changed_while_batches_come_is_the_one_that_was_given(executor):
    model, batches = network("flatten first"), encrypted(3)
    replies = predict(model, batches, KEYS.relinearization, executor, in_flight=1)
    first = next(replies)
    model.layers[1].parameters["weight"] *= 2**20
    assert frames([first, *replies]) == frames(computed("flatten first", 3))


def test_batches_with_a_declared_range_are_computed_as_others_are():
    declared = [ct.declared(0, 3) for ct in encrypted(1)]
    for executor in (None, Recorder()):
        (reply,) = predict(network("flatten first"), declared, KEYS.relinearization, executor)
        assert frames([reply]) == frames(computed("flatten first", 1))


def test_networks_with_the_same_weights_and_other_layers_are_not_confused_by_a_worker():
    models = [
        Sequential([Conv2D(1, kernel=2, stride=stride)], (5, 5, 1), info=ModelInfo(levels=3))
        for stride in (1, 2)
    ]
    for model in models:
        model.layers[0].parameters = {
            name: np.ones(value.shape, dtype=np.int64)
            for name, value in model.layers[0].parameters.items()
        }
    assert models[0].digest != models[1].digest
    for model in models:
        (reply,) = predict(model, encrypted(1), None, Recorder())
        assert frames([reply]) == frames(infer(SCHEME, model, ct, None) for ct in encrypted(1))


def test_no_worker_is_sent_a_piece_of_the_secret_key(tmp_path):
    wire.save_secret_key(tmp_path / "secret.key", KEYS.secret)
    body = (tmp_path / "secret.key").read_bytes()[-32 - packed_bytes(64, PARAMS.moduli) : -32]
    pieces = [body[i : i + 48] for i in range(0, len(body) - 48, 48)]
    executor, model = Recorder(), network("cryptonets")
    list(predict(model, encrypted(2), KEYS.relinearization, executor, parts=2))
    sent = [pickle.dumps(call) for call in executor.calls]
    assert sum(map(len, sent)) > 100 * len(body)
    assert all(wire.to_bytes(KEYS.relinearization) in x for x in sent[:3])
    assert not [x for x in sent if any(piece in x for piece in pieces)]


def test_a_worker_that_does_not_know_the_network_gets_it():
    executor, model, batches = Recorder(forgetful=True), network("flatten first"), encrypted(3)
    found = predict(model, batches, KEYS.relinearization, executor, in_flight=1)
    assert frames(found) == frames(alone(model, batches))
    assert executor.networks == 3  # of five calls: two were told that it is missing
    assert len(executor.calls) == 5


def test_fresh_ciphertexts_travel_with_a_seed_and_parts_only_with_what_they_need():
    executor, model, batches = Recorder(), network("cryptonets"), encrypted(1)
    list(predict(model, batches, KEYS.relinearization, executor, parts=3))
    sent = [read_contents(FrameReader(io.BytesIO(frame))) for _, _, _, frame in executor.calls]
    assert [contents.kind == SEEDED_CIPHERTEXTS for contents in sent] == [True, True, True, False]
    assert all(contents.shape[0] < 25 for contents in sent[:3])
    assert sent[3].shape == (5,)


def test_batches_are_taken_when_there_is_room_for_them():
    taken: list[int] = []

    def source() -> Iterator[Ciphertext]:
        for i, ct in enumerate(encrypted(6)):
            taken.append(i)
            yield ct

    model = network("flatten first")
    with ThreadPoolExecutor(1) as pool:
        found = predict(model, source(), KEYS.relinearization, pool, in_flight=2)
        for i, _ in enumerate(found):
            assert len(taken) <= i + 3  # this reply, and two in flight


@pytest.mark.parametrize("parts", [1, 4])
def test_no_more_tasks_are_with_the_executor_than_there_is_room_for(parts):
    unfinished: list[int] = []

    class Watched(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            futures.append(super().submit(fn, *args, **kwargs))
            unfinished.append(sum(not future.done() for future in futures))
            return futures[-1]

    futures: list[Future[Any]] = []
    with Watched(1) as pool:
        model, batches = network("cryptonets"), encrypted(4)
        list(predict(model, batches, KEYS.relinearization, pool, parts, in_flight=2))
    assert max(unfinished) <= 2


@given(
    name=st.sampled_from(["cryptonets", "one position", "square first"]),
    seed=st.integers(0, 2**16),
    parts=st.integers(1, 30),
)
def test_parts_have_every_unit_once_the_pixels_it_needs_and_a_weight_for_every_sum(
    name, seed, parts
):
    model = network(name, seed)
    found = first_stage_parts(model, parts)
    dense = next(layer for layer in model.layers[2:] if isinstance(layer, Dense))
    assert 1 <= len(found) <= parts
    assert sorted(np.concatenate([part.units for part in found])) == list(range(len(dense.weight)))
    pixels = np.arange(25, dtype=np.int64)
    for part in found:
        assert dense.weight[part.units].any(axis=0).all()
        assert (np.diff(part.inputs) > 0).all()
        only_these = np.where(np.isin(pixels, part.inputs), pixels, 0).reshape(1, 5, 5, 1)
        first = model.layers[0].forward(only_these).reshape(-1)
        complete = model.layers[0].forward(pixels.reshape(1, 5, 5, 1)).reshape(-1)
        assert np.array_equal(first[part.units], complete[part.units])


@pytest.mark.parametrize("name", ["no stage", "flatten first"])
def test_a_network_that_begins_otherwise_is_one_part(name):
    assert len(first_stage_parts(network(name), 4)) == 1


@pytest.mark.parametrize(("parts", "room"), [(0, 1), (1, 0)])
def test_no_parts_and_no_room_are_refused(parts, room):
    replies = predict(network("no stage"), [], KEYS.relinearization, Recorder(), parts, room)
    with pytest.raises(ParameterError, match=r"the number of (parts|tasks) .* of at least 1, not"):
        list(replies)


@pytest.mark.parametrize("parts", [1, 2])
def test_what_is_no_network_batch_or_executor_is_refused(parts):
    model, batches = network("cryptonets"), encrypted(1)
    for replies, what in (
        (predict(None, batches, None, None, parts), "the network must be a Sequential"),
        (predict(model, ["x"], None, None, parts), "a batch must be a Ciphertext"),
        (predict(model, batches, None, "x", parts), "the executor must be an? Executor"),
    ):
        with pytest.raises(KindError, match=what):
            list(replies)


@pytest.mark.parametrize("parts", [1, 2])
def test_batches_of_another_shape_are_refused(parts):
    model, batches = network("cryptonets"), encrypted(1, (4, 4, 1))
    with pytest.raises(ParameterError, match=r"takes shape \(5, 5, 1\), got \(4, 4, 1\)"):
        list(predict(model, batches, KEYS.relinearization, Recorder(), parts))


def test_no_processes_are_refused():
    with pytest.raises(ParameterError, match="at least 1, not 0"):
        RestartingPool(0)


def kill_one_child() -> None:
    """Let a process of this one die as if the system had run out of memory."""
    child = multiprocessing.active_children()[0]
    child.kill()
    child.join()


def test_a_killed_process_costs_time_and_no_results():
    model, batches = network("cryptonets"), encrypted(5)
    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)
        if len(shares) == 1:
            kill_one_child()

    with processes(2) as crew:
        found = predict(model, batches, KEYS.relinearization, crew.executor, progress=progress)
        assert frames(found) == frames(alone(model, batches))
    assert (crew.size, crew.name) == (2, "2 processes")
    assert sum(shares) == pytest.approx(5)


def test_a_pool_that_stays_broken_is_given_up():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(int).result()
        kill_one_child()
        replies = predict(network("no stage"), encrypted(1), KEYS.relinearization, pool)
        with pytest.raises(WorkersLostError, match="replaces dead workers"):
            list(replies)


def test_a_cluster_without_dask_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDaskError, match=r"pip install .*\[cluster\]"), dask_cluster(2):
        pass


@pytest.mark.slow
def test_a_killed_dask_worker_costs_time_and_no_results():
    distributed = pytest.importorskip("distributed")
    model, batches = network("cryptonets"), encrypted(5)
    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)
        if len(shares) == 1:
            workers = distributed.default_client().run(os.getpid)
            os.kill(min(workers.values()), signal.SIGKILL)

    with dask_cluster(2) as crew:
        found = predict(model, batches, KEYS.relinearization, crew.executor, progress=progress)
        assert frames(found) == frames(alone(model, batches))
    assert (crew.size, crew.name) == (2, "2 Dask workers started here")
    assert sum(shares) == pytest.approx(5)


class GoneExecutor(WatchedExecutor):
    """Takes tasks that never end, since nobody is there any more."""

    def __init__(self) -> None:
        self.tasks: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks.append(Future())
        return self.tasks[-1]

    def check(self) -> None:
        raise WorkersLostError("the scheduler is gone")


def test_workers_that_are_gone_for_good_are_noticed_while_tasks_wait(monkeypatch):
    monkeypatch.setattr("nn.cluster.coordinator.LOOK_SECONDS", 0.01)
    gone = GoneExecutor()
    with pytest.raises(WorkersLostError, match="the scheduler is gone"):
        list(predict(network("no stage"), encrypted(2), KEYS.relinearization, gone))
    assert all(task.cancelled() for task in gone.tasks)


@pytest.mark.slow
def test_a_dask_scheduler_that_dies_in_the_middle_is_a_sentence_and_no_endless_wait(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("nn.cluster.crews.CONNECT_SECONDS", 10)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    module = [sys.executable, "-m", "distributed.cli.dask_"]
    scheduler = [*module[:2], f"{module[2]}scheduler", "--host", "127.0.0.1", "--port", str(port)]
    worker = [*module[:2], f"{module[2]}worker", address, "--nthreads", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([*it, "--no-dashboard"], **quiet) for it in (scheduler, worker)]
    try:
        with dask_cluster(address=address) as crew:
            batches, key = encrypted(9), KEYS.relinearization
            replies = predict(network("no stage"), batches, key, crew.executor)
            next(replies)
            started[0].kill()
            with pytest.raises(WorkersLostError, match="the Dask scheduler is gone"):
                list(replies)
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_refused(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("nn.cluster.crews.CONNECT_SECONDS", 1)
    with (
        pytest.raises(WorkersLostError, match="no Dask scheduler answers at tcp://127.0.0.1:1"),
        dask_cluster(address="tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--processes", "--dask", "--scheduler"])
def test_the_command_line_takes_workers_that_are_not_threads(option, capsys):
    command = ["demo", "--images", "4", "--workers", "2", option]
    if option == "--processes":
        assert main(command) == 0
    else:
        distributed = pytest.importorskip("distributed")
        if option == "--dask":
            assert main(command) == 0
        else:
            with distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None
            ) as cluster:
                assert main([*command, cluster.scheduler_address]) == 0
    out = capsys.readouterr().out
    assert "encrypted = plain integers for 4 of 4 images" in out
    assert "parts of a batch: 2" in out


def test_the_page_on_scaling_is_written_from_measured_figures(tmp_path, monkeypatch):
    run_of_digits = {"threads": 2, "seconds": {"infer": 3.6, "encrypt": 1.0}}
    slower = {"threads": 1, "seconds": {"infer": 9.0, "encrypt": 9.0}, "peak_memory_bytes": 0}
    facts = {
        "machine": {"processor": "abacus", "cores": 2, "numpy": "2", "load_average": 0.1},
        "whole": {
            "digits": {
                "1 thread": [slower],
                "2 threads": [{**run_of_digits, "peak_memory_bytes": 10**9}],
                "BFV": [slower],
            }
        },
    }
    (tmp_path / "bench.json").write_text(json.dumps(facts))
    monkeypatch.chdir(tmp_path)
    command = ["make_scaling.py", "bench.json", "--core-hour", "0.5", "--out", "scaling.md"]
    monkeypatch.setattr(sys, "argv", command)
    make_scaling.main()
    page = (tmp_path / "scaling.md").read_text("utf-8")
    assert "$" not in page
    assert "The machine was busy" not in page
    # 7.2 core-seconds for 8192 images: 10^9 / 8192 / 3600 * 7.2 = 244.14 cores.
    assert "| cores of the server, all busy | 1 | 245 |" in page
    assert "| memory, one process for each core | 1 GB | 245 GB |" in page
    assert "| price by the hour | 0.50 | 122.50 |" in page
    # 64 pixels of 8 primes of 24 bits: 1,536 B for each image and 36 B for each ciphertext.
    assert "An image takes 1.54 kB on the wire" in page


def test_a_crew_is_what_the_experiment_takes():
    model = Sequential(
        [Conv2D(4, kernel=5), Square(), Flatten(), Dense(2)], (5, 5, 1), info=ModelInfo(levels=3)
    )
    for layer in model.layers:
        for key, value in layer.parameters.items():
            layer.parameters[key] = np.ones(value.shape, dtype=np.int64)
    executor, lines = Recorder(), list[str]()
    pixels = np.ones((9, 5, 5, 1), dtype=np.int64)
    crew = Crew(executor, 2, "two pretenders")
    result = run(model, pixels, np.zeros(9), lines.append, crew=crew)
    assert result.agree == 9
    assert len(executor.calls) == 3  # two parts, and the rest
    assert any("two pretenders, parts of a batch: 2" in line for line in lines)
    assert sorted(result.seconds) == ["decrypt", "encrypt", "infer", "keys"]


def test_batches_have_the_same_logits_here_and_on_an_executor_bit_for_bit() -> None:
    model, batches, key = network("cryptonets"), encrypted(2), KEYS.relinearization
    expected = [infer(SCHEME, model, batch, key) for batch in batches]
    with ThreadPoolExecutor(1) as pool:
        there = list(predict(model, batches, key, pool, in_flight=2))
    here = list(predict(model, batches, key))
    for found, ct in zip([*here, *there], [*expected, *expected], strict=True):
        assert np.array_equal(found.rows, ct.rows)
