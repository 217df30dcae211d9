"""How programs of both sides are compared; SEAL itself runs in `cryptonets bench --seal`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nn.bench import seal


def test_the_best_of_ours_is_compared_with_the_best_of_seals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two processes the slower one counts, on either side."""
    ours = {1: [300.0, 200.0], 16384: [250.0, 900.0]}  # by the slots that are asked for
    theirs = {10: [{"infer": 1.0}, {"infer": 3600.0}], 40: [{"infer": 3600.0}, {"infer": 9.0}]}

    def in_processes(jobs: list[tuple[Any, ...]], run: object) -> list[Any]:
        assert len(jobs) == 2
        if run is seal.run_seal:
            return theirs[jobs[0][1].n]
        slots = jobs[0][4] if len(jobs[0]) > 4 else 1
        assert jobs[0][2] == 1  # thread
        return [{"predictions_per_hour": rate} for rate in ours[slots]]

    settings = {str(n): seal.SealSettings("bgv", n, (30,), 17) for n in (10, 40)}
    monkeypatch.setattr(seal, "in_processes", in_processes)
    monkeypatch.setattr(seal, "settings_for", lambda name: settings)
    found = seal.compare("tiny", np.zeros((1, 2), dtype=np.int64), 3, lambda: {})
    assert found["medians"] == {"here": 400, "here, n = 16384": 500, "10": 20, "40": 80}
    assert found["times_as_fast"] == 500 / 80
    assert "6.25 times as fast" in seal.comparison_table(found)
