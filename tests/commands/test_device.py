"""--device gpu: a server computes elsewhere, or it is said what is missing."""

import io
import json
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elsewhere import calls, register
from nn.bench import gpu as bench
from nn.cluster.coordinator import Crew
from nn.commands.main import main
from nn.data.sets import load_digits
from nn.experiment import run
from nn.networks.pretrained import pretrained
from nn.planning import calibrate
from nn.planning.plan import make_plan
from nn.service import roles
from nn.service.worker import Worker
from strategies_networks import insecure_params_for
from tiny_roles import tiny_network
from tiny_service import KEYS, add_job, add_key, opened, some_images
from yashe.errors import ExactnessError, ParameterError
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.wire.streams import CiphertextReader


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a place elsewhere."""
    return register(monkeypatch)


COMMANDS = {
    "demo": ["demo"],
    "mnist": ["mnist"],
    "bench": ["bench", "--quick"],
    "plan": ["plan", "digits"],
    "infer": ["infer", "digits", "images.fhe", "--keys", ".", "--out", "reply.fhe"],
    "serve": ["serve", "--model", "digits"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_without_a_gpu_nothing_is_begun(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "yashe.arithmetic.gpu", raising=False)
    assert main([*command, "--device", "gpu"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("cryptonets: a GPU needs CuPy, which is not installed: pip install")
    assert not out
    assert not list(tmp_path.iterdir())


def test_a_server_writes_there_what_it_writes_here(gpu: str) -> None:
    images, replies = some_images(count=2), []
    for device in (None, "cpu", gpu):
        calls.clear()
        reply = io.BytesIO()
        key = KEYS.relinearization
        roles.classify(io.BytesIO(images), reply, tiny_network(), key, device=device)
        replies.append(reply.getvalue())
    assert replies[0] == replies[1] == replies[2]
    assert calls["get"] == 4  # for each batch a look at the end, and the logits


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_memory_of_the_processor_holds_one_batch(
    device: str, gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, read = CiphertextReader.take, list[Any]()

    def watched(reader: Any, count: int) -> Any:
        assert not [store for store in read if store() is not None]
        ct = take(reader, count)
        read.append(weakref.ref(ct.store))
        return ct

    monkeypatch.setattr(CiphertextReader, "take", watched)
    images, key = some_images(count=3), KEYS.relinearization
    roles.classify(io.BytesIO(images), io.BytesIO(), tiny_network(), key, device=device)
    assert len(read) == 3


def test_the_worker_of_a_service_computes_there(gpu: str, tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        job = add_job(store, add_key(store))
        assert store.begin(0) is not None
        worker = Worker(store, tiny_network(), 1, gpu).again()
        calls.clear()
        assert worker._compute(job) == ""
        assert calls["get"] == 2


def small_plan(model: Any, params: Any = None, **options: Any) -> Any:
    """A plan with 64 slots instead of a secure one."""
    options.pop("slots", None)
    return make_plan(model, params or insecure_params_for(model, 64), **options)


def test_the_whole_experiment_runs_there(gpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nn.experiment.make_plan", small_plan)
    model, said = pretrained("digits"), list[str]()
    pixels = np.random.default_rng(0).integers(0, model.levels + 1, (70, *model.input_shape))
    labels = np.zeros(70, dtype=np.int64)
    result = run(model, pixels, labels, said.append, device=gpu)
    assert result.agree == 70
    assert calls["get"] >= 2
    with pytest.raises(ParameterError, match=r"a crew computes on processors: leave out the GPU"):
        run(model, pixels, labels, said.append, crew=Crew(None, 1, "nobody"), device=gpu)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["batch", "single"])
def test_the_demo_runs_there(mode: str, gpu: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--images", "5", "--device", "gpu", "--mode", mode]) == 0
    assert "for 5 of 5 images, in every logit" in capsys.readouterr().out
    assert calls["get"] >= 2


@pytest.mark.parametrize("kind", [BGV, pytest.param(BFV, marks=pytest.mark.slow)])
def test_a_gpu_is_measured_for_a_plan(
    kind: Any, gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured there, and kept apart from the times of the processor."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    params = insecure_params_for(pretrained("digits"), 64)
    found = calibrate.calibrate(params, kind, 1, device=gpu)
    assert set(found.seconds) == set(calibrate.KINDS)
    assert calls["matmul"] > 20
    calls.clear()
    assert calibrate.calibrate(params, kind, 1, device=gpu) == found
    assert not calls
    (key,) = calibrate.read_cache()
    assert key.endswith("with a stand-in, CuPy 0")
    calibrate.calibrate(params, kind, 1)
    assert not calls
    assert len(calibrate.read_cache()) == 2


def test_the_bench_of_a_gpu_says_how_fast_and_how_right(
    gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "make_plan", small_plan)
    monkeypatch.setattr(bench, "RUNS", 2)
    monkeypatch.setattr(bench, "STREAM", 2)
    out = tmp_path / "gpu.json"
    assert main(["bench", "--quick", "--device", "gpu", "--json", str(out)]) == 0
    (facts,) = json.loads(out.read_text())["whole"]
    assert (facts["model"], facts["scheme"], facts["n"]) == ("digits", "BGV", 64)
    said = capsys.readouterr().out
    assert said.startswith("a stand-in, CuPy 0\nfull batches on the server, medians of 2\n")
    assert "  digits, BGV, n = 64: " in said
    assert "in a stream, read from memory, a batch takes " in said
    assert "all logits and residues are right" in said


def test_a_bench_with_another_residue_is_an_error(
    gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "make_plan", small_plan)
    monkeypatch.setattr(bench, "RUNS", 1)
    monkeypatch.setattr(bench, "STREAM", 1)
    infer, seen = bench.infer, []

    def wrong(*arguments: Any) -> Any:
        found = infer(*arguments)
        if found.place == "gpu":
            found.rows[0, 0, 0, 0] += found.params.moduli[0]  # the same message, another residue
        return seen.append(1) or found

    monkeypatch.setattr(bench, "infer", wrong)
    with pytest.raises(ExactnessError, match="0 images have wrong logits, or residues are not"):
        bench.full_batch("digits", load_digits().test_images.astype(np.int64) // 4, gpu)
