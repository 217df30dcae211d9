"""The entry for the benchmark of HomomorphicEncryption.org, run as its harness would run it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fhe_suite import harness
from nn import load_mnist, pretrained, quantize_pixels
from nn.networks.model import Sequential
from nn.service.card import ModelCard


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("suite")
    harness.build(root)
    return root


@pytest.fixture
def root(built: Path) -> Iterator[Path]:
    """The built entry; what a run has left behind is 300 MB, and goes."""
    yield built
    for folder in ("io", "datasets", "server"):
        shutil.rmtree(built / folder, ignore_errors=True)


def model() -> Sequential:
    return pretrained("cryptonets")


@pytest.mark.slow
@pytest.mark.parametrize("size", range(4), ids=list(harness.SIZES))
def test_every_label_is_that_of_the_integer_network(
    root: Path, mnist_folder: Path, size: int
) -> None:
    data = load_mnist(mnist_folder)
    count = list(harness.SIZES.values())[size]
    images, labels = data.test_images[:count], data.test_labels[:count]
    result = harness.play(root, size, images)
    pixels = quantize_pixels(images, data.pixel_max, model().levels)
    assert (result.labels == model().forward(pixels).argmax(axis=1)).all()
    # The rules: the single image right, at least 90 % of the others.
    assert (result.labels == labels).mean() >= (1 if count == 1 else 0.9)
    assert all(result.sizes[folder] > 0 for folder in harness.SHARED)
    assert set(result.seconds) == set(harness.STAGES)
    # The server has worked in a folder of its own, to which no key that decrypts has come.
    # For one image at once slots are moved, which takes keys; a batch of this network takes none.
    keys = {"public_keys/evaluation.key"} if count < 20 else set()
    assert result.on_server == {*keys, "ciphertexts_upload/images.fhe", "public_keys/model.json"}
    assert {path.parent.name for path in root.rglob("secret*.key")} == {"secret_key"}


def test_the_programs_of_the_harness_are_there_and_the_parameters_are_128_bits(built: Path) -> None:
    programs = {path.name for path in (built / "submission" / "build").iterdir()}
    assert set(harness.STAGES) <= programs
    for mode in ("single", "batch"):
        card = ModelCard.from_json((built / "submission" / "build" / f"{mode}.json").read_bytes())
        assert card == ModelCard.of(model(), mode=mode)
        assert card.params.security == 128


@pytest.mark.parametrize("arguments", [[], ["4"], ["-1"], ["0", "0"]])
def test_a_size_that_the_harness_does_not_have_is_refused(
    built: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    program = built / "submission" / "build" / "client_postprocess"
    with pytest.raises(subprocess.CalledProcessError, match="exit status 1"):
        harness.call([program, *arguments], tmp_path)
    assert "0 single, 1 small, 2 medium, 3 large" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_text_of_the_harness_becomes_the_pixels_of_the_network(
    built: Path, tmp_path: Path
) -> None:
    every = np.arange(784) % 256
    text = tmp_path / "datasets" / "single" / "intermediate" / "test_pixels.txt"
    text.parent.mkdir(parents=True)
    program = built / "submission" / "build" / "client_preprocess_input"
    np.savetxt(text, every[np.newaxis] / 255, fmt="%.6f")
    harness.call([program, "0"], tmp_path)
    pixels = np.load(tmp_path / "io" / "single" / "intermediate" / "pixels.npy")
    assert (pixels.ravel() == quantize_pixels(every, 255, 3)).all()
