"""The whole experiment with one image at once, in processes and in one."""

import json

import numpy as np

from nn.cluster.runs import runs
from nn.commands.main import main
from nn.data.sets import load_digits
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.training.quantize import quantize_pixels


def test_the_demo_answers_image_by_image(tmp_path, capsys) -> None:
    out = tmp_path / "single.json"
    command = ["demo", "--mode", "single", "--images", "2", "--workers", "1", "--json", str(out)]
    assert main(command) == 0
    told, facts = capsys.readouterr().out, json.loads(out.read_text())
    assert "encrypted = plain integers for 2 of 2 images, in every logit" in told
    assert told.count("server  fold 64 blocks ") == 2  # the plan, and the steps of the first image
    assert "log2 t = 21.1 and 21" in told
    assert (facts["agree"], facts["images"]) == (2, 2)
    assert set(facts["seconds"]) == {"keys", "encrypt", "infer", "decrypt"}
    assert facts["noise_budget_bits"]["final"] > 2
    assert facts["bytes"]["reply"] < 300_000


def test_processes_compute_the_runs_at_the_same_time() -> None:
    model, data = pretrained("digits"), load_digits()
    pixels = quantize_pixels(data.test_images[:1], data.pixel_max, model.levels)
    with runs(make_plan(model, mode="single"), workers=2) as both:
        both.encrypt(pixels)
        steps = both.infer()
        assert np.array_equal(both.decrypt(), model.forward(pixels))
        assert [step.what for step in steps] == [s.what for s in both.plan.program.steps]
        assert both.budgets().fresh > both.budgets().final > both.budgets().reply > 2
