"""What commands write, and what they leave when they are refused, told to stop, or interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from devices import device, own_stdout
from nn.commands.main import main
from nn.service.keyfiles import EVALUATION, PUBLIC, SECRET
from tiny_roles import expected_logits, tiny_network

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and devices of POSIX")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
PROGRAM = [sys.executable, "-m", "nn"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.npz, images.npy, keys/, images.fhe and reply.fhe."""
    folder = tmp_path_factory.mktemp("outputs")
    tiny_network().save(folder / "model.npz")
    images = np.random.default_rng(1).integers(0, 256, (5, 3, 2), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    assert main(["keygen", str(folder / "keys"), "--model", str(folder / "model.npz")]) == 0
    for command in (encrypt(folder, folder / "images.fhe"), infer(folder, folder / "reply.fhe")):
        assert main(command) == 0
    return folder


def encrypt(place: Path, out: str | Path) -> list[str]:
    return [*f"encrypt {place}/images.npy --keys {place}/keys --out".split(), str(out)]


def infer(place: Path, out: str | Path) -> list[str]:
    source = f"infer {place}/model.npz {place}/images.fhe --keys {place}/keys/{PUBLIC} --out"
    return [*source.split(), str(out)]


def decrypt(place: Path, out: str | Path) -> list[str]:
    return [*f"decrypt {place}/reply.fhe --keys {place}/keys --images 5 --json".split(), str(out)]


WRITERS = [encrypt, infer, decrypt]


def test_no_command_writes_over_what_it_reads_or_has_written(place, tmp_path, capsys):
    before = {path: path.read_bytes() for path in place.iterdir() if path.is_file()}
    twice = tmp_path / "found"
    for command in (
        encrypt(place, f"{place}/keys/../images.npy"),
        infer(place, place / "images.fhe"),
        infer(place, place / "model.npz"),
        decrypt(place, place / "reply.fhe"),
        [*decrypt(place, twice), "--csv", str(twice)],
    ):
        assert main(command) == 1
        assert "is named twice" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.iterdir() if path.is_file()} == before
    assert not twice.exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_no_command_writes_over_a_key(place, writer, capsys):
    for key in (place / "keys" / SECRET, place / "keys" / PUBLIC / EVALUATION):
        before = key.read_bytes()
        assert main(writer(place, key)) == 1
        captured = capsys.readouterr()
        assert f"{key} exists and is a key" in captured.err
        assert captured.out == ""  # before the work, not after it
        assert key.read_bytes() == before


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("out", ["", ".", "/", "/nowhere/at/all", "FOLDER"])
def test_an_output_that_is_no_file_is_a_sentence_before_the_work(place, writer, out, capsys):
    assert main(writer(place, place if out == "FOLDER" else out)) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("cryptonets: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@POSIX
def test_a_symbolic_link_is_refused_and_devices_stay_devices(place, tmp_path, capsys):
    link = tmp_path / "link"
    link.symlink_to(place / "keys" / SECRET)
    assert main(infer(place, link)) == 1
    assert "is a symbolic link" in capsys.readouterr().err
    null = device(tmp_path, "null")
    for writer in WRITERS:
        assert main(writer(place, null)) == 0
        assert null.is_char_device()


@POSIX
def test_a_command_whose_output_is_stdout_sends_the_file_alone(place, tmp_path):
    command = [*PROGRAM, *decrypt(place, own_stdout(tmp_path))]
    run = subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT)
    assert json.loads(run.stdout)["logits"] == expected_logits(place)
    assert b"5 images:" in run.stderr


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("into", [">", "| cat >"])
def test_programs_with_a_pipe_between_them_do_what_they_do_with_files(place, tmp_path, into):
    program, public = f"'{sys.executable}' -m nn", f"--keys {place}/keys/{PUBLIC}"
    stdout = own_stdout(tmp_path)
    first = f"{program} {' '.join(encrypt(place, stdout))}"
    second = f"{program} infer {place}/model.npz /dev/stdin {public} --out {stdout}"
    line = f"{first} | {second} {into} {tmp_path}/reply.fhe"
    subprocess.run(line, shell=True, check=True, env=ENVIRONMENT)
    for name in ("keys", "images.npy"):
        (tmp_path / name).symlink_to(place / name)
    assert main(decrypt(tmp_path, tmp_path / "found.json")) == 0
    assert json.loads((tmp_path / "found.json").read_text())["logits"] == expected_logits(place)


@POSIX
def test_a_reply_through_a_pipe_is_refused_whatever_it_announces(place, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for length in (127, 400):  # of the head, and with some of the body
        content = (place / "reply.fhe").read_bytes()[:length]
        writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
        writer.start()
        assert main(["decrypt", str(pipe), "--keys", str(place / "keys"), "--images", "5"]) == 1
        writer.join(timeout=60)
        assert "cryptonets: pipe, byte" in capsys.readouterr().err


def stop(place, folder, number):
    """Run a program that gets a signal before its last byte; it must leave nothing."""
    stopping = (
        "import os, sys, yashe.wire.streams\n"
        f"stop = lambda self: os.kill(os.getpid(), {int(number)})\n"
        "yashe.wire.streams.CiphertextWriter.close = stop\n"
        "from nn.__main__ import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", stopping, *encrypt(place, folder / "x.fhe")]
    heeded = partial(signal.signal, number, signal.SIG_DFL)  # whatever the tests themselves ignore
    run = subprocess.run(
        command, capture_output=True, check=False, env=ENVIRONMENT, preexec_fn=heeded
    )
    assert run.returncode == 128 + number
    assert b"Traceback" not in run.stderr
    assert os.listdir(folder) == []


@POSIX
def test_a_program_that_is_told_to_stop_leaves_nothing_half_written(place, tmp_path):
    stop(place, tmp_path, signal.SIGTERM)


@POSIX
@pytest.mark.slow
def test_nor_does_one_whose_terminal_is_closed_or_that_is_interrupted(place, tmp_path):
    for number in (signal.SIGHUP, signal.SIGINT):
        stop(place, tmp_path, number)


@POSIX
@pytest.mark.slow
def test_a_program_that_need_not_heed_a_signal_goes_on(place, tmp_path):
    """`nohup` says so by a handler that is inherited."""
    deaf = (
        "import os, signal, sys, yashe.wire.streams\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "close = yashe.wire.streams.CiphertextWriter.close\n"
        "def hang_up(self):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    close(self)\n"
        "yashe.wire.streams.CiphertextWriter.close = hang_up\n"
        "from nn.__main__ import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", deaf, *encrypt(place, tmp_path / "x.fhe")]
    subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT)
    assert os.listdir(tmp_path) == ["x.fhe"]


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_program_is_loaded_ends_it_without_a_word(tmp_path, number):
    """NumPy is here a module during whose import the user presses Ctrl-C."""
    (tmp_path / "numpy.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(30)\n"
    )
    run = subprocess.run(
        [*PROGRAM, "plan", "digits"],
        capture_output=True,
        check=False,
        env={**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),
    )
    assert (run.returncode, run.stdout, run.stderr) == (-number, b"", b"")


@POSIX
@pytest.mark.parametrize("name", [b"\xff\xfe.fhe", "Zürich €.fhe".encode(), b"x" * 245])
def test_names_of_every_kind_are_written_and_read(place, tmp_path, name, capsys):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    assert main(encrypt(place, path)) == 0
    assert main(["eavesdrop", path, "--images", str(place / "images.npy")]) == 0
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    assert len(capsys.readouterr().out) > 300


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("encrypt digits --keys k --out x --count -3", "--count: must be at least 1, got -3"),
        ("encrypt digits --keys k --out x --count 0", "--count: must be at least 1, got 0"),
        ("encrypt digits --keys k --out x --count 1e3", "--count: must be an integer, got '1e3'"),
        (f"encrypt digits --keys k --out x --count {'9' * 5000}", "--count: must be an integer"),
        ("encrypt x.npy --keys k --out x --white 0", "--white: must be at least 1, got 0"),
        ("ask digits --server http://x --count -1", "--count: must be at least 1, got -1"),
        ("infer digits x --keys k --out x --workers 0", "--workers: must be at least 1, got 0"),
        ("infer digits x --keys k --out x --flood 0", "--flood: must be at least 1, got 0"),
        ("keygen k --model digits --flood -1", "--flood: must be at least 0, got -1"),
        ("decrypt x --keys k --images -5", "--images/--rows: must be at least 1, got -5"),
    ],
)
def test_numbers_that_would_drop_something_are_refused(command, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(command.split())
    assert message in capsys.readouterr().err


def test_pictures_that_look_like_negatives_get_a_note(place, tmp_path, capsys):
    images = np.load(place / "images.npy") // 4
    for name, pixels in (("light", images), ("dark", 255 - images)):
        np.save(tmp_path / f"{name}.npy", pixels)
    for name, options, advice in (
        ("light", [], None),
        ("dark", [], "--invert turns them over"),
        ("dark", ["--invert"], None),
        ("light", ["--invert"], "leave --invert out"),
    ):
        command = encrypt(place, tmp_path / "x.fhe")
        command[1] = str(tmp_path / f"{name}.npy")
        assert main([*command, *options]) == 0
        err = capsys.readouterr().err
        assert (advice in err) if advice else ("dark on light" not in err)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "minst",
            "there is no file minst, and the data sets are digits, mnist; did you mean mnist",
        ),
        ("digit", "did you mean digits?"),
        ("holiday", "and the data sets are digits, mnist\n"),
    ],
)
def test_a_data_set_that_nobody_knows_gets_the_nearest(place, source, message, capsys):
    command = encrypt(place, place / "never.fhe")
    command[1] = source
    assert main(command) == 1
    assert message in capsys.readouterr().err
