"""The command line, used as a newcomer would: what it prints, writes, refuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from nn.commands.main import main
from nn.experiment import SHADES, drawing
from nn.networks.model import Sequential
from nn.networks.pretrained import pretrained


def test_demo_tells_the_story_and_writes_the_figures(tmp_path, capsys):
    target = tmp_path / "demo.json"
    assert main(["demo", "--images", "20", "--json", str(target), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    for words in (
        "128-bit security by ePrint 2024/463, Table 5.2",
        "client  makes keys",
        "client  encrypts 20 images in 64 ciphertexts",
        "server  144 units, squared, to 32 sums",
        "client  decrypts 10 ciphertexts",
        "encrypted = plain integers for 20 of 20 images",
        "predictions per hour",
        "(is a ",
    ):
        assert words in out
    facts = json.loads(target.read_text())
    assert sorted(facts) == [
        "accuracy",
        "agree",
        "bytes",
        "images",
        "noise_budget_bits",
        "params",
        "peak_memory_bytes",
        "predictions_per_hour",
        "seconds",
    ]
    assert facts["images"] == facts["agree"] == 20
    assert 0.9 <= facts["accuracy"] <= 1
    assert sorted(facts["seconds"]) == ["decrypt", "encrypt", "infer", "keys"]
    assert facts["predictions_per_hour"] == pytest.approx(20 / facts["seconds"]["infer"] * 3600)
    params = facts["params"]
    assert (params["scheme"], params["n"], params["security_bits"]) == ("BGV", 8192, 128)
    assert params["log2_q"] < 214
    assert 0 < facts["noise_budget_bits"]["final"] < facts["noise_budget_bits"]["fresh"]
    assert facts["peak_memory_bytes"] > 2**20
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_mnist_without_its_files_says_where_to_get_them(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("CRYPTONETS_DATA", raising=False)
    assert main(["mnist", "--data", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(tmp_path) in captured.err
    assert "t10k-images-idx3-ubyte.gz" in captured.err


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cryptonets", "lean", "light"])
def test_mnist_classifies_encrypted_images(model, mnist_folder, tmp_path):
    target = tmp_path / "mnist.json"
    arguments = ["mnist", "--data", str(mnist_folder), "--images", "30", "--json", str(target)]
    assert main([*arguments, "--model", model]) == 0
    facts = json.loads(target.read_text())
    assert facts["images"] == facts["agree"] == 30
    assert facts["accuracy"] > 0.9


def test_train_saves_a_network_that_plan_reads(tmp_path, capsys, monkeypatch):
    quick = pretrained("digits")
    monkeypatch.setattr("nn.commands.main.train", lambda *a, **k: (quick, {"test accuracy": 0.5}))
    target = tmp_path / "mine.npz"
    assert main(["train", "digits", "--out", str(target)]) == 0
    assert "test accuracy" in capsys.readouterr().out
    assert Sequential.load(target).output_shape == (10,)
    assert main(["plan", str(target), "--untimed"]) == 0
    assert "budget" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--images", "451"], "450 test images, 451 were asked for"),
        (["demo", "--json", "/nowhere/at/all.json"], "cannot write /nowhere/at/all.json"),
        (["demo", "--json", "."], "the name of a file was required, got '.'"),
        (["plan", "no-such-net"], "no-such-net is no file, and none of the networks cryptonets, d"),
        (["plan", "cryptonet"], "lean, light, mnist; did you mean cryptonets?"),
        (["infer", "leen", "x", "--keys", "x", "--out", "x"], "mnist; did you mean lean?"),
        (["keygen", "keys", "--model", "digit"], "lean, light, mnist; did you mean digits?"),
        (["train", "digits", "--model", "lean"], "not for digits"),
        (["train", "digits", "--out", "/nowhere/x.npz"], "cannot write /nowhere/x.npz"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("cryptonets: ")
    assert message in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["demo", "--images", "0"], "must be at least 1, got 0"),
        (["demo", "--workers", "-1"], "must be at least 1, got -1"),
        (["train", "digits", "--seed", "-1"], "must be at least 0, got -1"),
        (["train"], "required: data"),
        (["mnist", "--model", "vgg"], "invalid choice: 'vgg'"),
    ],
)
def test_a_wrong_command_line_shows_the_usage(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    captured = capsys.readouterr()
    assert "usage: cryptonets" in captured.err
    assert message in captured.err


@pytest.mark.parametrize("command", ["demo", "mnist", "train", "plan", "bench"])
def test_every_command_has_a_help_text(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert len(capsys.readouterr().out) > 300


def test_an_interruption_ends_without_a_traceback(capsys, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nn.commands.main.run", interrupted)
    assert main(["demo", "--images", "1"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_too_little_memory_is_one_line(capsys, monkeypatch):
    """Also that of a GPU: CuPy's error is a `MemoryError`, too."""

    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 925. MiB")

    monkeypatch.setattr("nn.commands.main.run", full)
    assert main(["demo", "--images", "1"]) == 1
    error = capsys.readouterr().err
    assert error == "cryptonets: too little memory. Unable to allocate 925. MiB\n"


def test_what_the_system_refuses_is_one_line(capsys, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "keys/secret.key")

    monkeypatch.setattr("nn.commands.main.run", refused)
    assert main(["demo", "--images", "1"]) == 1
    text = "cryptonets: [Errno 13] Permission denied: 'keys/secret.key'\n"
    assert capsys.readouterr().err == text


def test_python_m_nn_is_the_command_line_and_plain_where_nobody_watches(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "nn", "plan", "digits", "--untimed"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
    )
    assert "noise budget" in done.stdout
    assert "\r" not in done.stdout + done.stderr  # no progress bar
    assert "\x1b" not in done.stdout + done.stderr


def test_a_drawing_shows_bright_pixels_dense_and_captions_below():
    images = np.array([[[[0], [16]], [[8], [0]]]], dtype=np.int64)
    rows = drawing(images, ["9"], pixel_max=16).split("\n")
    assert rows[0].rstrip() == SHADES[0] * 2 + SHADES[-1] * 2
    assert rows[1].startswith(SHADES[4] * 2)
    assert rows[2].strip() == "9"


def test_output_that_nobody_reads_to_its_end_is_no_error() -> None:
    command = [sys.executable, "-m", "nn", "plan", "digits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.stderr is not None
        assert run.stderr.read() == b""
        assert run.wait() == 1
