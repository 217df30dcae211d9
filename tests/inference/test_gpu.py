"""On a real GPU: what is computed there is what a processor computes. Skipped where there is none.

What these run is tested everywhere with arrays that live elsewhere (`tests/elsewhere.py`); only a
GPU can say whether CuPy and cuBLAS do what we think they do.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from nn.data.sets import load_digits
from nn.inference.batches import streamed
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.training.quantize import quantize_pixels
from strategies_networks import insecure_params_for
from yashe.arithmetic.linear import combine
from yashe.arithmetic.parallel import workers
from yashe.arithmetic.places import moved, place
from yashe.arithmetic.residues import column
from yashe.arithmetic.rns import rescale
from yashe.ciphertexts import noise
from yashe.errors import DeviceError, PlaceError, TransparentCiphertextError
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("card")]
DIGITS = make_plan(pretrained("digits")).params  # 128 bits of security


@pytest.fixture(scope="session")
def card() -> str:
    """Which GPU it is; or a skip."""
    try:
        return place("gpu").about
    except DeviceError as error:
        pytest.skip(str(error))


def same(here: Any, there: Any) -> bool:
    """Whether both are the same numbers, the second one on the GPU."""
    assert type(there).__module__.startswith("cupy")
    return np.array_equal(here, moved(there, "cpu"))


def residues_of(*shape: int) -> Any:
    """Residues modulo the primes of a real set, the largest ones among them."""
    p = column(DIGITS.moduli)
    x = np.rint(np.random.default_rng(0).uniform(-1, 1, (*shape, DIGITS.k, DIGITS.n)) * (p // 2))
    x[..., :64] = p // 2
    return x


def test_transforms_and_changes_of_base_are_those_of_a_processor() -> None:
    ring, x = DIGITS.ring, residues_of(5)
    there = moved(x, "gpu")
    assert same(ring.transform.ntt(x), ring.transform.ntt(there))
    assert same(ring.transform.intt(x), ring.transform.intt(there))
    for target in (DIGITS.shortened(3).ring.basis, DIGITS.plaintext_ring.basis):
        for ratio in (1, target.product / ring.basis.product):
            assert same(
                rescale(x, ring.basis, target, ratio), rescale(there, ring.basis, target, ratio)
            )


@pytest.mark.parametrize("largest", [3, 2**60])
def test_linear_combinations_are_those_of_a_processor(largest: int) -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(0, 20, (40, 25))
    weights = rng.integers(-largest, largest + 1, (25, 5))
    x = residues_of(20, 2)
    assert same(
        combine(x, index, weights, DIGITS.moduli),
        combine(moved(x, "gpu"), index, weights, DIGITS.moduli),
    )


VERBS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sum": lambda s, x, k: x[:2] + x[2:] - 5,
    "plaintexts": lambda s, x, k: x * s.encode([1, 2, 3]) + s.encode([4, 5]),
    "product": lambda s, x, k: s.relinearize(x[:2] * x[2:], k.relinearization),
    "large digits": lambda s, x, k: s.relinearize(x**2, k.relinearization.widened(3)),
    "switch": lambda s, x, k: s.switch_modulus(x, x.params.k - 2),
    "rotations": lambda s, x, k: s.rotations(x, [1, "swap"], k.rotations),
    "matrix": lambda s, x, k: x @ [[1, 2], [3, 4], [5, 6], [7, 8]],
}


class Moved:
    """Keys on the GPU."""

    def __init__(self, keys: Any) -> None:
        for name, key in vars(keys).items():
            setattr(self, name, key.to("gpu"))


@cache
def subject(kind: Any) -> Any:
    """A scheme, keys, and four ciphertexts."""
    scheme = kind(insecure_params_for(pretrained("digits"), 1024))
    keys = scheme.keygen(bytes(32), rotations=[1, "swap"])
    values = np.arange(4096).reshape(4, 1024) % 9 - 4
    return scheme, keys, scheme.encrypt(values, keys.encryption, bytes(32))


@pytest.mark.parametrize("kind", [BGV, BFV, YASHE])
@pytest.mark.parametrize("verb", VERBS)
def test_verbs_are_those_of_a_processor(verb: str, kind: Any) -> None:
    scheme, keys, ct = subject(kind)
    with noise.unchecked():
        expected = VERBS[verb](scheme, ct, keys)
        found = VERBS[verb](scheme, ct.to("gpu"), Moved(keys))
    assert same(expected.rows, found.rows)
    assert np.array_equal(
        scheme.decrypt(found, keys.secret.to("gpu")), scheme.decrypt(expected, keys.secret)
    )


def test_places_do_not_mix_and_transparent_results_are_refused() -> None:
    _, _, ct = subject(BGV)
    there = ct.to("gpu")
    with pytest.raises(PlaceError, match="do not mix"):
        ct + there
    with pytest.raises(TransparentCiphertextError, match="no longer depends"):
        there - there


@pytest.mark.parametrize("kind", [BGV, BFV, YASHE])
@pytest.mark.parametrize("name", ["cryptonets", "lean"])
def test_networks_are_those_of_a_processor(name: str, kind: Any) -> None:
    model = pretrained(name)
    scheme = kind(insecure_params_for(model, 64))
    keys = scheme.keygen(bytes(32))
    pixels = np.random.default_rng(0).integers(0, model.levels + 1, (64, *model.input_shape))
    with noise.unchecked():
        ct = encrypt_images(scheme, model, pixels, keys.encryption, bytes(32))
        expected = infer(scheme, model, ct, keys.relinearization)
        assert np.array_equal(
            infer(scheme, model, ct, keys.relinearization, device="gpu").rows, expected.rows
        )


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_digits_at_128_bit_security(mode: str) -> None:
    model, data = pretrained("digits"), load_digits()
    images = data.test_images if mode == "batch" else data.test_images[:1]
    pixels = quantize_pixels(images, data.pixel_max, model.levels)
    for run in make_plan(model, mode=mode).runs:
        scheme = BGV(run.params)
        keys = scheme.keygen()
        ct = encrypt_images(scheme, run, pixels, keys.secret)
        found = infer(scheme, run, ct, run.server_keys(keys), device="gpu")
        logits = decrypt_logits(scheme, found, keys.secret, len(pixels), run)
        assert not ((logits - model.forward(pixels)) % run.params.t).any()


def test_batches_of_a_stream_are_those_that_were_sent() -> None:
    """More than pinned memory holds, while something is computed; looked at now, or at the end."""
    scheme = BGV(DIGITS)
    keys = scheme.keygen()
    batches = [scheme.encrypt(np.full((40, 1), j), keys.secret) for j in range(4)]
    expected = [(ct @ np.ones((40, 3), dtype=np.int64)).rows for ct in batches]
    for _ in range(3):
        with workers():
            sums = [ct @ np.ones((40, 3), dtype=np.int64) for ct in streamed(batches, "gpu")]
            kept = list(streamed(batches, "gpu"))
        for ct, here, found, arrived in zip(batches, expected, sums, kept, strict=True):
            assert same(here, found.rows)
            assert same(ct.rows, arrived.rows)


def test_products_that_are_emulated_with_too_few_bits_are_refused() -> None:
    """Or are exact all the same: not every cuBLAS emulates, and not every card is asked to."""
    program = (
        "import numpy as np\n"
        "from yashe.arithmetic.places import check_place_is_exact, place\n"
        "from yashe.errors import ExactnessError\n"
        "gpu = place('gpu')\n"
        "try:\n"
        "    check_place_is_exact(gpu)\n"
        "except ExactnessError:\n"
        "    raise SystemExit\n"
        "x = np.full((4096, 128), 2.0**22) + np.arange(128)\n"
        "y = gpu.put(x) @ gpu.put(x[:128] + 1)\n"
        "assert np.array_equal(gpu.get(y), x @ (x[:128] + 1))\n"
    )
    emulated = {
        "CUBLAS_EMULATE_DOUBLE_PRECISION": "1",
        "CUBLAS_EMULATION_STRATEGY": "eager",
        "CUBLAS_FIXEDPOINT_EMULATION_MANTISSA_BIT_COUNT": "40",
    }
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **emulated},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
