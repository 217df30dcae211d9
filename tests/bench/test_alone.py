"""Client and server as two programs in the benchmark: every logit is compared."""

import numpy as np
import pytest

from nn.bench import alone
from nn.service import roles
from nn.service.card import ModelCard
from tiny_roles import tiny_network
from yashe.errors import ExactnessError


def test_two_programs_are_measured_and_their_logits_compared(monkeypatch, capsys) -> None:
    # Here one after the other in this process: what a process of its own takes is not the point.
    monkeypatch.setattr(alone, "in_processes", lambda jobs, run: [run(*job) for job in jobs])
    model, n = tiny_network(), ModelCard.of(tiny_network()).params.n
    monkeypatch.setattr(alone, "pretrained", lambda name: model)
    pixels = np.random.default_rng(0).integers(0, model.levels + 1, (9, *model.input_shape))
    facts = alone.two_programs("tiny", pixels, threads=1)
    assert list(facts) == ["client", "server"]
    assert all(one["seconds"] > 0 and one["peak_memory_bytes"] > 2**20 for one in facts.values())
    assert "server alone, from file to file" in capsys.readouterr().out
    right = roles.decrypt
    monkeypatch.setattr(roles, "decrypt", lambda *given: right(*given) + np.eye(n, 2, dtype=int))
    with pytest.raises(ExactnessError, match="tiny, from file to file: 2 images have wrong logits"):
        alone.two_programs("tiny", pixels, threads=1)
