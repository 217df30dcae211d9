"""The comparison with SEAL, operation by operation: what is divided by what."""

from typing import Any

import numpy as np
import pytest

from nn.bench import measurements
from nn.bench.measurements import timed
from nn.bench.operations import OPERATIONS, as_facts, operations_table, per_operation
from tiny_roles import SHAPE, tiny_network
from yashe.errors import ExactnessError


def test_transforms_are_compared_by_the_bit_of_their_own_modulus():
    ours = dict.fromkeys(OPERATIONS, 2.4e-3)
    theirs = {"SEAL": dict.fromkeys(OPERATIONS.values(), 1.74e-3), "TenSEAL": {"decrypt": 5e-3}}
    lines = operations_table(ours, 24.0, 240.0, theirs).splitlines()
    assert lines[0] == "n = 8192; log2 q = 240 here, 174 in SEAL"
    # A transform for one prime of 24 bits takes 0.1 ms by the bit, and ten of them 24 ms; SEAL's
    # takes 0.01 ms by the bit of its 174. Other operations are for all of q: 0.01 ms each.
    assert lines[2].split() == ["NTT", "24.000", "1.740", "10.00"]
    assert lines[5].split() == ["decrypt", "2.400", "1.740", "5.000", "1.00"]
    by_the_bit = as_facts(ours, 24.0, 240.0, theirs)["ntt_seconds_per_bit_and_polynomial"]
    assert by_the_bit == pytest.approx({"here": 1e-4, "SEAL": 1e-5})


def test_an_operation_that_one_side_lacks_is_not_shown():
    ours, theirs = dict.fromkeys(OPERATIONS, 1e-3), dict.fromkeys(OPERATIONS.values(), 1e-3)
    assert "drop a prime" in operations_table(ours, 24.0, 240.0, {"SEAL": theirs})
    del theirs["drop a prime"]
    assert "drop a prime" not in operations_table(ours, 24.0, 240.0, {"SEAL": theirs})


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["BFV", "BGV"])
def test_seal_and_tenseal_do_what_is_timed(scheme):
    pytest.importorskip("seal")
    found = per_operation(timed, scheme, repeats=1)
    names = [name for name in OPERATIONS.values() if scheme == "BGV" or name != "drop a prime"]
    assert list(found["SEAL"]) == names
    assert "TenSEAL" not in found or scheme == "BFV"
    assert all(seconds > 0 for library in found.values() for seconds in library.values())


def test_a_benchmark_with_a_wrong_logit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.ones((1, *SHAPE), dtype=np.int64)
    right = measurements.decrypt_logits

    def wrong(*arguments: Any) -> Any:
        logits = right(*arguments)
        logits[7, 0] += 1
        return logits

    monkeypatch.setattr(measurements, "pretrained", tiny_network)
    monkeypatch.setattr(measurements, "matrix_product_gflops", lambda threads: 1.0)
    assert measurements.whole("small", pixels, 1)["agree"] > 1
    monkeypatch.setattr(measurements, "decrypt_logits", wrong)
    with pytest.raises(ExactnessError, match="small under BGV.*: 1 images have wrong logits"):
        measurements.whole("small", pixels, 1)
