"""The experiment of the paper on its scheme: right in every logit, with the warning on top."""

import json
import math

import numpy as np
import pytest

from nn.commands.main import YASHE_WARNING, main
from nn.data.sets import load_digits, load_mnist
from nn.experiment import beside_the_paper, plan_for, run
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained, pretrained_names
from nn.planning.plan import ranges
from nn.training.quantize import quantize_pixels
from yashe.arithmetic.rns import RnsBasis
from yashe.parameters.paper import INSECURE_YASHE_PAPER_A, INSECURE_YASHE_PAPER_B
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE


def small_network(largest: int) -> Sequential:
    """A network of 3 pixels with two squares and integer weights up to `largest`."""
    rng = np.random.default_rng(1)
    layers = [Flatten(), Dense(2), Square(), Dense(3), Square(), Dense(2)]
    model = Sequential(layers, (1, 3, 1), info=ModelInfo(name="small", levels=3))
    for layer in layers:
        if isinstance(layer, Dense):
            layer.parameters["weight"] = rng.integers(
                1, largest, layer.weight.shape, dtype=np.int64
            )
            layer.parameters["bias"] = rng.integers(
                -largest, largest, layer.bias.shape, dtype=np.int64
            )
    return model


def images(count: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 4, (count, 1, 3, 1), dtype=np.int64)


@pytest.mark.parametrize("scheme", [BGV, BFV, YASHE], ids=["bgv", "bfv", "yashe"])
def test_every_scheme_gives_every_logit_of_the_integer_network(scheme) -> None:
    lines: list[str] = []
    model, pixels = small_network(6), images(40)
    result = run(model, pixels, np.zeros(40), lines.append, scheme)
    assert result.agree == 40
    assert np.array_equal(result.logits, model.forward(pixels))
    assert result.scheme == scheme.name
    assert result.as_json()["params"]["scheme"] == scheme.name
    assert result.as_json()["params"]["security_bits"] == (None if scheme is YASHE else 128)
    story = "\n".join(lines)
    assert ("no security at all (INSECURE_YASHE_PAPER_A)" in story) == (scheme is YASHE)
    params, parts = result.plan.params, 1 if scheme is YASHE else 2
    assert result.encrypted_bytes == round(3 * parts * params.n * params.log2_q / 8)
    table = beside_the_paper(result).splitlines()
    assert table[-1].split()[-2:] == ["51,739", "58,982"]
    assert table[5].split()[-2:] == ["614,957,056", "381,337,600"]


def test_a_network_that_needs_a_larger_t_gets_one() -> None:
    plan = plan_for(small_network(60), YASHE)
    assert plan.range_bits > INSECURE_YASHE_PAPER_A.log2_t
    assert plan.params.t > 2**plan.range_bits > INSECURE_YASHE_PAPER_A.t
    assert plan.params.name == f"INSECURE_YASHE_PAPER_A_t{int(plan.range_bits) + 1}"
    assert abs(plan.params.log2_q - 383) < 1
    assert plan_for(small_network(6), YASHE).params == INSECURE_YASHE_PAPER_A


@pytest.mark.slow
def test_the_demo_runs_on_the_scheme_of_the_paper(tmp_path, capsys) -> None:
    path = tmp_path / "demo.json"
    assert main(["demo", "--scheme", "yashe", "--json", str(path)]) == 0
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert facts["agree"] == facts["images"] == len(load_digits().test_images)
    assert facts["params"]["scheme"] == "YASHE'"
    assert facts["noise_budget_bits"]["final"] > 0
    printed = capsys.readouterr().out
    assert printed.index(YASHE_WARNING) < printed.index("Plan:")
    assert "Beside the CryptoNets paper, which classified MNIST" in printed


@pytest.mark.slow
def test_set_b_computes_modulo_each_t_and_joins_the_results() -> None:
    # As the paper did. The digits need 42 bits, which three of the five t have.
    model, dataset = pretrained("digits"), load_digits()
    pixels = quantize_pixels(dataset.test_images[:20], dataset.pixel_max, model.info.levels)
    residues = []
    product = math.prod(params.t for params in INSECURE_YASHE_PAPER_B[2:])
    for params in INSECURE_YASHE_PAPER_B[2:]:
        scheme = YASHE(params)
        keys = scheme.keygen()
        ct = encrypt_images(scheme, model, pixels, keys.public)
        others = product // params.t
        reply = infer(scheme, model, ct, keys.relinearization, joined_with=others)
        residues.append(decrypt_logits(scheme, reply, keys.secret, len(pixels)))
    basis = RnsBasis(tuple(params.t for params in INSECURE_YASHE_PAPER_B[2:]))
    joined = basis.compose(np.stack(residues, axis=-2).astype(np.float64))
    assert math.log2(basis.product) > ranges(model, model.info.levels)[-1].bits
    assert np.array_equal(joined.astype(np.int64), model.forward(pixels))


@pytest.mark.slow
@pytest.mark.skipif("lean" not in pretrained_names(), reason="no pretrained network for MNIST")
def test_mnist_runs_on_the_scheme_of_the_paper(mnist_folder) -> None:
    model, dataset = pretrained("lean"), load_mnist(mnist_folder)
    pixels = quantize_pixels(dataset.test_images[:50], dataset.pixel_max, model.info.levels)
    result = run(model, pixels, dataset.test_labels[:50], lambda line: None, YASHE)
    assert result.agree == 50
