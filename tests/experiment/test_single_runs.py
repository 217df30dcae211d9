"""The whole experiment with one image at once, in processes and in one."""

import json
from multiprocessing import active_children

import numpy as np
import pytest

from nn.cluster.coordinator import Crew, WorkersLostError
from nn.cluster.runs import runs
from nn.commands.main import main
from nn.data.sets import load_digits
from nn.experiment import run
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.training.quantize import quantize_pixels
from yashe.errors import FormError, ParameterError


def test_the_demo_answers_image_by_image(tmp_path, capsys) -> None:
    out = tmp_path / "single.json"
    command = ["demo", "--mode", "single", "--images", "2", "--workers", "1", "--json", str(out)]
    assert main(command) == 0
    told, facts = capsys.readouterr().out, json.loads(out.read_text())
    assert "encrypted = plain integers for 2 of 2 images, in every logit" in told
    assert told.count(" fold 64 blocks ") == 2  # the plan, and the steps of the first image
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
        assert both.budgets().fresh > both.budgets().final > 2
        for ahead in (True, False):  # what is done ahead is for the next image only
            if ahead:
                both.prepare()
            both.encrypt(pixels[:, ::-1])
            both.infer()
            assert np.array_equal(both.decrypt(), model.forward(pixels[:, ::-1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scheme", "bfv"], "one image at once runs under BGV"),
        (["--scheme", "yashe"], "one image at once runs under BGV"),
    ],
)
def test_what_one_image_at_once_cannot_do_is_refused(options, message: str, capsys) -> None:
    assert main(["demo", "--mode", "single", "--images", "1", *options]) == 1
    assert message in capsys.readouterr().err


def test_verbs_out_of_turn_and_workers_of_others_are_refused() -> None:
    model = pretrained("digits")
    plan = make_plan(model, mode="single")
    with runs(plan, workers=1) as both, pytest.raises(FormError, match=r"call infer\(\) before"):
        both.decrypt()
    pixels, labels = np.zeros((1, 8, 8, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)
    with pytest.raises(ParameterError, match="has processes of its own"):
        run(model, pixels, labels, crew=Crew(None, 1, "nobody"), mode="single")


@pytest.mark.slow
def test_a_lost_process_is_told() -> None:
    with runs(make_plan(pretrained("digits"), mode="single"), workers=2) as both:
        active_children()[0].kill()
        with pytest.raises(WorkersLostError, match="begin anew"):
            both.encrypt(np.zeros((1, 8, 8, 1), dtype=np.int64))
