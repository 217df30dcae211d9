"""One image at once in the benchmark: what is counted, and that a wrong logit is an error."""

import numpy as np
import pytest

from nn.bench import latency
from nn.cluster.runs import Runs
from nn.data.sets import load_digits
from nn.networks.pretrained import pretrained
from nn.planning.calibrate import KINDS, Calibration
from nn.planning.plan import make_plan
from nn.training.quantize import quantize_pixels
from yashe.errors import ExactnessError


def count_of(run) -> int:
    """How many operations of a server a plan counts, of all kinds."""
    return sum(sum(step.work.values()) for step in run.steps if step.on == "server")


def test_images_one_by_one_are_timed_and_compared(monkeypatch, capsys) -> None:
    monkeypatch.setattr(latency, "available_cores", lambda: 1)
    data = load_digits()
    pixels = quantize_pixels(data.test_images[:2], data.pixel_max, pretrained("digits").levels)
    monkeypatch.setattr(
        latency,
        "with_seconds",
        lambda plan, *how, **options: plan.calibrated(Calibration(dict.fromkeys(KINDS, 0.001))),
    )
    facts = latency.one_by_one("digits", pixels, batch_seconds=1000.0)
    assert facts["crossover_images"] == pytest.approx(1000 / facts["seconds"]["infer"])
    assert facts["end_to_end_seconds"] == pytest.approx(sum(facts["seconds"].values()))
    assert (facts["runs"], facts["bytes"]["keys"] > 10**6) == (2, True)
    plans = [make_plan(pretrained("digits"), mode=mode) for mode in ("batch", "single")]
    batch, one = (sum(count_of(run) for run in plan.runs) for plan in plans)
    assert facts["planned_crossover_images"] == -(-batch // one)  # both runs on one core
    assert facts["ahead_seconds"] > 0
    told = capsys.readouterr().out
    assert "LoLa takes 2.2 s for an image of MNIST on 8 cores" in told
    assert f"from {facts['planned_crossover_images']} on by the plan's estimate" in told
    right = Runs.decrypt
    monkeypatch.setattr(Runs, "decrypt", lambda self: right(self) + np.eye(1, 10, dtype=np.int64))
    with pytest.raises(ExactnessError, match="digits: the encrypted logits are not the integers'"):
        latency.one_by_one("digits", pixels, batch_seconds=1.0)
