"""A server with a GPU: networks run where the ciphertexts are, and are looked at once."""

import gc
from functools import cache
from typing import Any

import numpy as np
import pytest

from elsewhere import Elsewhere, calls, register
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.networks.pretrained import pretrained
from nn.planning.plan import Plan, make_plan
from nn.planning.program import Report
from strategies_networks import insecure_params_for
from yashe.arithmetic import rns
from yashe.arithmetic.parallel import watched, workers
from yashe.ciphertexts import noise
from yashe.errors import PlaceError, TransparentCiphertextError
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE


@pytest.fixture
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a place elsewhere."""
    return register(monkeypatch, getattr(request, "param", True))


@cache
def subject(name: str, kind: Any = BGV) -> tuple[Any, Any, Any, Any, Any, Any]:
    """A network, a scheme at n = 64, keys, pixels, their encryption, and what a processor makes."""
    model = pretrained(name)
    scheme = kind(insecure_params_for(model, 64))
    keys = scheme.keygen(bytes(32))
    pixels = np.random.default_rng(0).integers(0, model.levels + 1, (64, *model.input_shape))
    with noise.unchecked():
        ct = encrypt_images(scheme, model, pixels, keys.encryption, bytes(range(32)))
        return model, scheme, keys, pixels, ct, infer(scheme, model, ct, keys.relinearization)


@pytest.mark.parametrize(
    ("gpu", "kind", "name"),
    [
        (True, BGV, "cryptonets"),
        (False, BGV, "digits"),
        (True, BFV, "digits"),
        (True, YASHE, "digits"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
    indirect=["gpu"],
)
def test_a_network_runs_there_bit_for_bit(name: str, kind: Any, gpu: str) -> None:
    model, scheme, keys, pixels, ct, expected = subject(name, kind)
    with noise.unchecked():
        found = infer(scheme, model, ct.to(gpu), keys.relinearization.to(gpu))
    assert type(found.rows) is Elsewhere
    found = found.to("cpu")
    assert np.array_equal(found.rows, expected.rows)
    if kind is not YASHE:  # whose noise takes more of q
        logits = decrypt_logits(scheme, reply_of(scheme, found), keys.secret, 64)
        assert np.array_equal(logits, model.forward(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BFV, YASHE])
def test_the_larger_network_runs_there_under_other_schemes(kind: Any, gpu: str) -> None:
    test_a_network_runs_there_bit_for_bit("cryptonets", kind, gpu)


@cache
def single(name: str, n: int) -> tuple[Plan, Any, Any, Any, Any]:
    """A plan for one image at once, a scheme, the server's keys, pixels and their encryption."""
    model = pretrained(name)
    plan = make_plan(model, insecure_params_for(model, n), mode="single")
    scheme = BGV(plan.params)
    keys = scheme.keygen(bytes(32))
    pixels = np.random.default_rng(0).integers(0, model.levels + 1, (1, *model.input_shape))
    ct = encrypt_images(scheme, plan, pixels, keys.secret, bytes(range(32)))
    return plan, scheme, keys, pixels, ct


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("digits", 1024),
        ("lean", 2048),
        pytest.param("cryptonets", 2048, marks=pytest.mark.slow),
    ],
)
def test_one_image_at_once_runs_there(name: str, n: int, gpu: str) -> None:
    """The mask of a reply is another one each time; what is before it is the same bit for bit."""
    plan, scheme, keys, pixels, ct = single(name, n)
    server = plan.server_keys(keys)
    found, moved = ct.to(gpu), server.to(gpu)
    for step in plan.program.steps[:-1]:
        ct, found = step.run(ct, server), step.run(found, moved)
        assert np.array_equal(found.to("cpu").rows, ct.rows)
    reply = plan.program.steps[-1].run(found, moved).to("cpu")
    logits = decrypt_logits(scheme, reply_of(scheme, reply), keys.secret, 1, plan)
    t = plan.params.t
    assert not ((logits - plan.program.model.forward(pixels)) % t).any()


def test_one_image_at_once_is_inferred_there(gpu: str) -> None:
    plan, scheme, keys, pixels, ct = single("digits", 1024)
    server = plan.server_keys(keys).to(gpu)
    there = ct.to(gpu)
    calls.clear()
    found = infer(scheme, plan, there, server)
    assert calls["get"] == 1
    logits = decrypt_logits(scheme, found.to("cpu"), keys.secret, 1, plan)
    assert not ((logits - plan.program.model.forward(pixels)) % plan.params.t).any()


# Looking at a number waits for everything before it, and a call takes longer than small work.


def test_an_inference_looks_at_the_gpu_once_and_copies_hardly_anything(gpu: str) -> None:
    model, scheme, keys, _, ct, _ = subject("cryptonets")
    there, key = ct.to(gpu), keys.relinearization.to(gpu)
    for most in (110, 20):  # constants of the layers are copied the first time only
        calls.clear()
        infer(scheme, model, there, key)
        assert calls["get"] == 1
        assert calls["asarray"] <= most
        assert sum(calls.values()) < 850


def test_a_step_looks_once(gpu: str) -> None:
    """Without the program around it, every check looks for itself."""
    model, scheme, keys, _, ct, _ = subject("cryptonets")
    plan = make_plan(model, scheme.params)
    calls.clear()
    plan.program.steps[0].run(ct.to(gpu), keys.relinearization.to(gpu))
    assert calls["get"] == 1


def test_a_coefficient_in_doubt_is_computed_again(
    gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No one waits for doubts: with one of them the whole run is computed again."""
    model, scheme, keys, _, ct, expected = subject("cryptonets")
    there, key = ct.to(gpu), keys.relinearization.to(gpu)
    asked: list[int] = []
    exactly = rns.Rescale._exactly
    monkeypatch.setattr(
        rns.Rescale, "_exactly", lambda self, x: asked.append(0) or exactly(self, x)
    )
    infer(scheme, model, there, key)
    assert not asked
    for rescale in rescales():  # as if coefficients were close to a half
        monkeypatch.setattr(rescale, "_safe", 0.4999)
    found = infer(scheme, model, there, key).to("cpu")
    assert asked
    assert np.array_equal(found.rows, expected.rows)


def rescales() -> list[rns.Rescale]:
    """The changes of base that are kept."""
    return [x for x in gc.get_objects() if type(x) is rns.Rescale]


def test_a_transparent_output_is_refused_at_the_end(
    gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, scheme, keys, _, ct, _ = subject("cryptonets")
    there, key = ct.to(gpu), keys.relinearization.to(gpu)
    there.rows[:, 1] = 0.0
    with pytest.raises(TransparentCiphertextError, match="sum of squares no longer depends on"):
        infer(scheme, model, there, key)


def test_progress_and_reports_are_told_there(gpu: str) -> None:
    model, scheme, keys, _, ct, _ = subject("cryptonets")
    shares: list[float] = []
    report = Report(progress=shares.append)
    with workers(2), watched(lambda: None):
        infer(scheme, model, ct.to(gpu), keys.relinearization.to(gpu), report)
    assert sum(shares) == pytest.approx(1.0)
    assert [step.ciphertexts for step in report.steps] == [100, 100, 10, 10]


def test_a_key_that_was_left_behind_is_refused(gpu: str) -> None:
    model, scheme, keys, _, ct, _ = subject("cryptonets")
    with pytest.raises(PlaceError, match=r'RelinearizationKey is on the cpu.*key.to\("gpu"\)'):
        infer(scheme, model, ct.to(gpu), keys.relinearization)


def test_a_reply_is_made_there_as_here(gpu: str) -> None:
    _, scheme, _, _, _, logits = subject("cryptonets")
    expected = reply_of(scheme, logits)
    assert np.array_equal(reply_of(scheme, logits.to(gpu)).to("cpu").rows, expected.rows)
