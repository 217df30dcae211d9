"""One image at once in the benchmark: what is counted, and that a wrong logit is an error."""

import numpy as np
import pytest

from nn.bench import latency
from nn.cluster.runs import Runs
from nn.data.sets import load_digits
from nn.networks.pretrained import pretrained
from nn.training.quantize import quantize_pixels
from yashe.errors import ExactnessError


def test_images_one_by_one_are_timed_and_compared(monkeypatch, capsys) -> None:
    monkeypatch.setattr(latency, "available_cores", lambda: 1)
    data = load_digits()
    pixels = quantize_pixels(data.test_images[:2], data.pixel_max, pretrained("digits").levels)
    facts = latency.one_by_one("digits", pixels, batch_seconds=1000.0)
    assert facts["crossover_images"] == pytest.approx(1000 / facts["seconds"]["infer"])
    assert facts["end_to_end_seconds"] == pytest.approx(sum(facts["seconds"].values()))
    assert (facts["runs"], facts["bytes"]["keys"] > 10**6) == (2, True)
    assert "LoLa: 2.2 s on 8 cores" in capsys.readouterr().out
    right = Runs.decrypt
    monkeypatch.setattr(Runs, "decrypt", lambda self: right(self) + np.eye(1, 10, dtype=np.int64))
    with pytest.raises(ExactnessError, match="digits: the encrypted logits are not the integers'"):
        latency.one_by_one("digits", pixels, batch_seconds=1.0)
