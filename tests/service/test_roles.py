"""The two sides as programs: what crosses the line, who can do what, and what is refused."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from nn.commands.eavesdrop import ByteStatistics
from nn.commands.main import main
from nn.data.grey import read_grey, write_grey
from nn.data.sources import load_images
from nn.service import keyfiles, roles
from nn.service.card import LARGEST_CARD_BYTES, ModelCard
from nn.service.keyfiles import CARD, ENCRYPTION, EVALUATION, PUBLIC, SECRET
from tiny_mnist import idx
from tiny_roles import SERVER, SHAPE, evaluation_key, expected_logits, tiny_network
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import BgvPublicKey, SecretKey
from yashe.errors import DataError, FheError, FormatError, KeyMismatchError, SecurityError
from yashe.parameters.sets import make_params
from yashe.schemes.bgv import BGV, to_bfv
from yashe.wire.envelope import FrameReader
from yashe.wire.header import read_contents


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, keys and images: client/{keys,images.fhe}, model.npz, images.npy."""
    folder = tmp_path_factory.mktemp("roles")
    tiny_network().save(folder / "model.npz")
    images = np.random.default_rng(1).integers(0, 256, (5, 3, 2), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    keys = ["--keys", str(folder / "client" / "keys")]
    card = ModelCard.of(tiny_network(), public=True, relinearize=True)
    (folder / "card.json").write_text(card.to_json())
    assert main(["keygen", keys[1], "--card", str(folder / "card.json"), "--public"]) == 0
    out = ["--out", str(folder / "client" / "images.fhe")]
    assert main(["encrypt", str(folder / "images.npy"), *keys, *out]) == 0
    return folder


def program(folder: Path, *command: str) -> str:
    """Run a program of Python in a folder, in a process of its own; return what it printed."""
    run = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def four_commands(folder: Path, model: str, images: list[str], count: int) -> dict[str, Any]:
    """Run client and server in two folders; return what the client finds in the end."""
    client, server = folder / "client", folder / "server"
    client.mkdir()
    server.mkdir()
    said = program(client, "-m", "nn", "keygen", "keys", "--model", model)
    assert f"{SECRET} stays with you" in said
    encrypt = ["encrypt", *images, "--keys", "keys", "--out", "images.fhe"]
    said = program(client, "-m", "nn", *encrypt, "--count", str(count))
    last = f"cryptonets decrypt REPLY --keys keys --images {count}"
    if images[0] in ("digits", "mnist"):  # whose labels are known
        last = " ".join([last, "--labels", *images])
    assert said.splitlines()[-1] == last
    # Only public files cross the line.
    for path in [client / "images.fhe", *(client / "keys" / PUBLIC).iterdir()]:
        (server / path.name).write_bytes(path.read_bytes())
    program(server, "-c", SERVER, "infer", model, "images.fhe", "--keys", ".", "--out", "reply.fhe")
    check_without_secret(server, client / "keys" / SECRET)
    (client / "reply.fhe").write_bytes((server / "reply.fhe").read_bytes())
    decrypt = ["decrypt", "reply.fhe", "--keys", "keys", "--json", "found.json"]
    program(client, "-m", "nn", *decrypt, "--images", str(count))
    found: dict[str, Any] = json.loads((client / "found.json").read_text())
    return found


def check_without_secret(server: Path, secret: Path) -> None:
    """No file of the server is a secret key, or contains a piece of one."""
    key = secret.read_bytes()
    with secret.open("rb") as file:
        contents = read_contents(FrameReader(file))
    assert contents.secret
    # The first coefficients modulo every prime, as they stand in the file.
    start, size = len(key) - 32 - contents.body_bytes, contents.body_bytes // contents.params.k
    pieces = [key[start + i * size :][:48] for i in range(contents.params.k)]
    assert len(list(server.iterdir())) == 4
    for path in server.iterdir():
        data = path.read_bytes()
        assert not any(piece in data for piece in pieces), path
        if path.suffix != ".json":
            with path.open("rb") as file:
                assert not read_contents(FrameReader(file)).secret


def test_two_folders_that_share_only_public_files_classify_images(
    place: Path, tmp_path: Path
) -> None:
    model, images = str(place / "model.npz"), [str(place / "images.npy")]
    found = four_commands(tmp_path, model, images, 5)
    assert found["logits"] == expected_logits(place)
    assert found["predictions"] == np.argmax(expected_logits(place), axis=1).tolist()


@pytest.mark.slow
def test_the_digits_as_four_commands(tmp_path: Path) -> None:
    found = four_commands(tmp_path, "digits", ["digits"], 450)
    labels = np.asarray(load_images(["digits"], (8, 8, 1)).labels)
    assert (np.array(found["predictions"]) == labels).mean() > 0.97


@pytest.mark.slow
def test_all_of_mnist_as_four_commands(mnist_folder: Path, tmp_path: Path) -> None:
    found = four_commands(tmp_path, "lean", ["mnist", "--data", str(mnist_folder)], 10_000)
    labels = np.asarray(load_images(["mnist"], (28, 28, 1), mnist_folder).labels)
    assert (np.array(found["predictions"]) == labels).mean() >= 0.99


def test_the_server_program_of_this_test_cannot_use_a_secret_key(
    place: Path, tmp_path: Path
) -> None:
    command = ["decrypt", "reply.fhe", "--keys", str(place / "client" / "keys")]
    for arguments in (command, ["keygen", "keys", "--model", str(place / "model.npz")]):
        with pytest.raises(AssertionError, match="the server has reached for a secret key"):
            program(tmp_path, "-c", SERVER, *arguments)


def test_several_batches_come_back_in_order(place: Path, tmp_path: Path) -> None:
    card = keyfiles.load_card(place / "client" / "keys")
    key = wire.load_secret_key(place / "client" / "keys" / SECRET, SecretKey)
    evaluation = evaluation_key(place / "client" / "keys" / PUBLIC)
    count = card.params.n + 3
    pixels = np.random.default_rng(2).integers(0, 4, (count, *SHAPE), dtype=np.int64)
    shares: list[float] = []
    with (tmp_path / "in").open("wb") as file:
        assert roles.encrypt(file, card, key, pixels, 3, shares.append) == (2, *SHAPE)
    assert sum(shares) == pytest.approx(1)
    shares.clear()
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        shape = roles.classify(source, target, tiny_network(), evaluation, shares.append)
    assert shape == (2, 2)
    assert sum(shares) == pytest.approx(1)
    with (tmp_path / "out").open("rb") as file:
        logits = roles.decrypt(file, card, key, count)
    assert np.array_equal(logits, tiny_network().forward(pixels))


def test_somebody_without_the_secret_key_can_encrypt_for_its_owner(
    place: Path, tmp_path: Path
) -> None:
    sender = tmp_path / "sender"
    sender.mkdir()
    for name in (ENCRYPTION, CARD):
        (sender / name).write_bytes((place / "client" / "keys" / PUBLIC / name).read_bytes())
    (key,) = keyfiles.load_encryption_keys(sender, keyfiles.load_card(sender))
    assert isinstance(key, BgvPublicKey)
    keys, out = place / "client" / "keys", ["--out", str(tmp_path / "reply.fhe")]
    sent = str(tmp_path / "sent.fhe")
    assert main(["encrypt", str(place / "images.npy"), "--keys", str(sender), "--out", sent]) == 0
    public = ["--keys", str(keys / PUBLIC)]
    assert main(["infer", str(place / "model.npz"), sent, *public, *out]) == 0
    key = wire.load_secret_key(keys / SECRET, SecretKey)
    with (tmp_path / "reply.fhe").open("rb") as file:
        assert roles.decrypt(file, keyfiles.load_card(keys), key, 5).tolist() == expected_logits(
            place
        )


def test_a_client_that_has_the_card_alone_counts_its_mistakes(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = place / "client" / "keys" / PUBLIC / CARD
    keys, sent, reply = (str(tmp_path / name) for name in ("keys", "sent.fhe", "reply.fhe"))
    assert main(["keygen", keys, "--card", str(card)]) == 0
    images = str(place / "images.npy")
    assert main(["encrypt", images, "--keys", keys, "--out", sent, "--count", "4"]) == 0
    public = f"{keys}/{PUBLIC}/{EVALUATION}"
    assert main(["infer", str(place / "model.npz"), sent, "--keys", public, "--out", reply]) == 0
    found = np.argmax(expected_logits(place), axis=1)[:4]
    labels = found.copy()
    labels[2] = 9
    (tmp_path / "labels").write_bytes(idx(labels))
    decrypt = ["decrypt", reply, "--keys", keys, "--images", "4"]
    capsys.readouterr()
    assert main([*decrypt, "--labels", str(tmp_path / "labels")]) == 0
    assert "accuracy 75.00% of 4 images" in capsys.readouterr().out
    assert main(decrypt) == 0
    assert f"4 images: {' '.join(map(str, found))}\n" in capsys.readouterr().out
    (tmp_path / "labels").write_bytes(idx(labels[:3]))
    assert "3 labels for 4 images" in said(capsys, *decrypt, "--labels", tmp_path / "labels")
    assert "there is no file" in said(capsys, *decrypt, "--labels", tmp_path / "absent")


def test_a_reply_has_as_few_primes_as_its_noise_allows(place: Path, tmp_path: Path) -> None:
    evaluation = evaluation_key(place / "client" / "keys" / PUBLIC)
    images, reply = place / "client" / "images.fhe", tmp_path / "reply"
    with images.open("rb") as source, reply.open("wb") as target:
        roles.classify(source, target, tiny_network(), evaluation)
    params = wire.load(reply, Ciphertext).params
    assert params.shortens(evaluation.params)
    assert params.k < evaluation.params.k


# Refusals


def said(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """Run a command that fails, and return its one line."""
    capsys.readouterr()
    assert main([str(word) for word in command]) == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_keys_are_never_written_over(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = place / "client" / "keys"
    before = (keys / SECRET).read_bytes()
    text = said(capsys, "keygen", keys, "--model", place / "model.npz")
    assert "could never be read again" in text
    assert (keys / SECRET).read_bytes() == before


def test_a_server_refuses_to_run_beside_a_secret_key(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, images = place / "client" / "keys", place / "client" / "images.fhe"
    infer = ["infer", place / "model.npz", images, "--out", tmp_path / "reply", "--keys"]
    assert "holds a secret key, and whoever classifies" in said(capsys, *infer, keys)
    assert "RelinearizationKey was required, this is a SecretKey" in said(
        capsys, *infer, keys / SECRET
    )
    assert "RelinearizationKey was required, this is a BgvPublicKey" in said(
        capsys, *infer, keys / PUBLIC / ENCRYPTION
    )
    assert list(tmp_path.iterdir()) == []


def test_a_server_refuses_what_does_not_fit_its_network_or_the_key(
    place: Path, tmp_path: Path
) -> None:
    keys = place / "client" / "keys"
    evaluation = evaluation_key(keys / PUBLIC)
    images = wire.load(place / "client" / "images.fhe", Ciphertext)
    other = BGV(evaluation.params).keygen()

    def classify(ct: Ciphertext, key: Any = evaluation) -> None:
        wire.save(tmp_path / "in", ct)
        with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
            roles.classify(source, target, tiny_network(), key)

    classify(images)
    with pytest.raises(FormatError, match=r"shape \(batches, 3, 2, 1\) .* got degree 1 and .*6, 1"):
        classify(images.reshape(1, 6, 1))
    with pytest.raises(FormatError, match="were required, got degree 2"):
        classify(images * images)
    with pytest.raises(FormatError, match="fresh BGV ciphertexts of shape .* were required"):
        classify(to_bfv(images))
    with pytest.raises(KeyMismatchError, match="encrypted under other keys"):
        classify(images, other.relinearization)


def test_damaged_images_get_no_reply(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (place / "client" / "images.fhe").read_bytes()
    damaged, reply = tmp_path / "damaged.fhe", tmp_path / "reply.fhe"
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    keys = place / "client" / "keys" / PUBLIC
    infer = ["infer", place / "model.npz", damaged, "--keys", keys, "--out", reply]
    assert "damaged.fhe, byte" in (text := said(capsys, *infer))
    assert "the hash is wrong" in text
    assert not reply.exists()


def test_a_claim_of_little_noise_is_not_believed(place: Path, tmp_path: Path) -> None:
    """A sender who lies about the noise changes nothing in what the server predicts."""
    evaluation = evaluation_key(place / "client" / "keys" / PUBLIC)
    ct = wire.load(place / "client" / "images.fhe", Ciphertext) + 0
    honest, liar = tmp_path / "honest", tmp_path / "liar"
    wire.save(honest, ct)
    ct.bound.deviation[:] *= 2.0**-60
    wire.save(liar, ct)
    budgets = []
    for path in (honest, liar):
        with path.open("rb") as source, (tmp_path / "out").open("wb") as target:
            roles.classify(source, target, tiny_network(), evaluation)
        budgets.append(wire.load(tmp_path / "out", Ciphertext).noise_budget.tolist())
    assert budgets[0] == budgets[1]


def test_a_reply_is_only_read_for_what_it_is(place: Path, tmp_path: Path) -> None:
    keys = place / "client" / "keys"
    key = wire.load_secret_key(keys / SECRET, SecretKey)
    evaluation, card = evaluation_key(keys / PUBLIC), keyfiles.load_card(keys)
    with (
        (place / "client" / "images.fhe").open("rb") as source,
        pytest.raises(FormatError, match=r"a reply for tiny has the shape \(batches, 2\), not"),
    ):
        roles.decrypt(source, card, key)
    reply = tmp_path / "reply"
    with (place / "client" / "images.fhe").open("rb") as source, reply.open("wb") as target:
        roles.classify(source, target, tiny_network(), evaluation)
    for count in (0, key.params.n + 1):
        with reply.open("rb") as file, pytest.raises(FheError, match=f"cannot be {count} images"):
            roles.decrypt(file, card, key, count)
    with reply.open("rb") as file, pytest.raises(FormatError, match=r"shape \(batches, 7\), not"):
        roles.decrypt(file, replace(card, classes=7), key, 5)
    stranger = BGV(key.params).keygen().secret
    with reply.open("rb") as file, pytest.raises(KeyMismatchError, match="does not belong"):
        roles.decrypt(file, card, stranger, 5)


def test_nothing_of_a_reply_is_unpacked_before_its_head_and_its_hash_are_right(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, reply = place / "client" / "keys", tmp_path / "reply"
    key = wire.load_secret_key(keys / SECRET, SecretKey)
    card, evaluation = keyfiles.load_card(keys), evaluation_key(keys / PUBLIC)
    with (place / "client" / "images.fhe").open("rb") as source, reply.open("wb") as target:
        roles.classify(source, target, tiny_network(), evaluation)
    foreign = make_params("foreign", n=2048, t_at_least=2**10)
    data, scheme = bytearray(reply.read_bytes()), BGV(foreign)
    strangers = scheme.encrypt([[1], [2]], scheme.keygen().secret).reshape(1, 2)
    monkeypatch.setattr("yashe.wire.bits._numbers", lambda *_: pytest.fail("unpacked"))
    for at in (len(data) // 2, len(data) - 1):  # one bit of a residue, one bit of the hash
        data[at] ^= 4
        with pytest.raises(
            FormatError, match="the hash is wrong: the file is damaged, get it again"
        ):
            roles.decrypt(io.BytesIO(data), card, key, 5)
        data[at] ^= 4
    with pytest.raises(KeyMismatchError, match=r"is for tiny-\d+, the data for foreign"):
        roles.decrypt(io.BytesIO(wire.to_bytes(strangers)), card, key, 5)
    with pytest.raises(pytest.fail.Exception, match="unpacked"):
        roles.decrypt(io.BytesIO(data), card, key, 5)


def test_an_interrupted_run_leaves_nothing_under_the_final_name(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "images.fhe"
    command = ["encrypt", str(place / "images.npy"), "--keys", str(place / "client" / "keys")]

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("yashe.wire.streams.CiphertextWriter.close", interrupt)
        assert main([*command, "--out", str(out)]) == 130
    assert list(tmp_path.iterdir()) == []
    # Also where nobody can tidy up: the power is cut before the last ciphertext.
    dying = (
        "import os, sys, yashe.wire.streams\n"
        "yashe.wire.streams.CiphertextWriter.close = lambda self: os._exit(0)\n"
        "from nn.commands.main import main\n"
        "main(sys.argv[1:])\n"
    )
    program(tmp_path, "-c", dying, *command, "--out", str(out))
    assert not out.exists()
    assert main([*command, "--out", str(out)]) == 0
    assert out.stat().st_size > 0


# The model card


def test_a_card_survives_its_journey() -> None:
    card = ModelCard.of(tiny_network())
    assert ModelCard.from_json(card.to_json()) == card
    assert card.params.security == 128
    assert (card.input_shape, card.levels, card.classes) == (SHAPE, 3, 2)


def test_a_card_without_security_is_refused() -> None:
    facts = json.loads(ModelCard.of(tiny_network()).to_json())
    facts["params"].update(name="INSECURE_TRAP", security=None)
    with pytest.raises(SecurityError, match="INSECURE_TRAP, which claims no security"):
        ModelCard.from_json(json.dumps(facts))
    assert ModelCard.from_json(json.dumps(facts), insecure=True).params.name == "INSECURE_TRAP"
    facts["params"].update(name="honest", security=128, n=1024)
    with pytest.raises(FormatError, match="SecurityError"):
        ModelCard.from_json(json.dumps(facts))


FACTS = json.loads(ModelCard.of(tiny_network()).to_json())
COLUMNS = {"names": ["age", "weight"], "low": [0.0, 40.0], "high": [99.0, 120.5]}
TABLE = {"answers": {"kind": "classes", "labels": ["no", "yes"], "scale": 0.5}, "columns": COLUMNS}


def test_a_card_of_a_table_says_what_goes_in_and_what_comes_out() -> None:
    card = ModelCard.from_json(json.dumps({**FACTS, "input_shape": [2], "schema": TABLE}))
    assert card.schema.columns is not None
    assert card.schema.columns.prepare(np.array([[99.0, 40.0]]), card.levels).tolist() == [[3, 0]]
    assert card.schema.answers.answers(np.array([[1, 2]])).tolist() == ["yes"]
    with pytest.raises(FormatError, match=r"2 columns for inputs of shape"):
        ModelCard.from_json(json.dumps({**FACTS, "schema": TABLE}))


@given(st.data())
def test_a_card_of_a_liar_is_valid_or_refused(data: Any) -> None:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=4,
    )
    facts = json.loads(json.dumps(FACTS))
    if data.draw(st.booleans()):
        facts.update(input_shape=[2], schema=json.loads(json.dumps(TABLE)))
    schema = facts["schema"]
    places = [facts, facts["params"], schema, schema["answers"], schema["columns"] or facts]
    target = data.draw(st.sampled_from(places))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(anything)
    try:
        card = ModelCard.from_json(json.dumps(facts))
    except (FormatError, SecurityError):
        return
    assert card.params.security in (128, 192, 256)
    assert ModelCard.from_json(card.to_json()) == card


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"params": 1}', "\ud800"])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="a model card"):
        ModelCard.from_json(text)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("levels", "3.0"),
        ("levels", "true"),
        ("levels", "NaN"),
        ("levels", "1e400"),
        ("levels", "1" * 5000),
        ("levels", '"3"'),
        ("classes", "-Infinity"),
        ("classes", "0"),
        ("security", "128.0"),
        ("security", "true"),
        ("security", "1e400"),
        ("n", "4096.0"),
        ("n", "true"),
        ("n", '"\\u001b[2J"'),
        ("input_shape", "[]"),
        ("input_shape", "[3, 2, 1.0]"),
        ("input_shape", "[3, 2, true]"),
        ("input_shape", str([1] * 20_000)),
        ("input_shape", '{"3": 2}'),
        ("moduli", str([17] * 15_000)),
        ("moduli", "[12289.0]"),
        ("moduli", '"abc"'),
        ("name", "7"),
        ("name", '"\\u001b[2J"'),
        ("final_budget_bits", "1e400"),
        ("final_budget_bits", "2.0"),
    ],
)
def test_a_card_has_finite_numbers_of_just_the_right_kinds(fact: str, value: str) -> None:
    text = ModelCard.of(tiny_network()).to_json()
    facts = json.loads(text)
    (facts["params"] if fact in ("security", "n", "moduli") else facts)[fact] = "HERE"
    changed = json.dumps(facts).replace('"HERE"', value)
    with pytest.raises(FormatError, match=r"(?s)a model card was required.{,600}$"):
        ModelCard.from_json(changed)


def test_a_card_has_a_largest_size() -> None:
    text = ModelCard.of(tiny_network()).to_json()
    whole = text + " " * (LARGEST_CARD_BYTES - len(text))
    assert ModelCard.from_json(whole).name == "tiny"
    with pytest.raises(FormatError, match=f"at most {LARGEST_CARD_BYTES} bytes are accepted"):
        ModelCard.from_json(whole + " ")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless device")
def test_a_card_that_never_ends_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "/dev/zero: at most 524288 bytes" in said(capsys, "keygen", "k", "--card", "/dev/zero")


# Sources


def test_images_come_from_files_of_several_kinds(tmp_path: Path) -> None:
    images = np.random.default_rng(3).integers(0, 256, (4, 3, 2), dtype=np.uint8)
    (tmp_path / "images-idx").write_bytes(idx(images[:2]))
    write_grey(tmp_path / "three.png", images[2])
    write_grey(tmp_path / "four.png", images[3])
    names = [str(tmp_path / name) for name in ("images-idx", "three.png", "four.png")]
    found = load_images(names, SHAPE)
    assert np.array_equal(found.pixels[..., 0], images)
    assert (found.white, found.labels) == (255, None)
    assert np.array_equal(load_images(names, SHAPE, invert=True).pixels[..., 0], 255 - images)
    sixteen = images.astype(np.int32) // 16
    for array in (sixteen, sixteen[..., None], sixteen[0]):
        np.save(tmp_path / "x.npy", array)
        found = load_images([str(tmp_path / "x.npy")], SHAPE, white=16)
        expected = array.reshape(-1, *SHAPE)
        assert np.array_equal(found.pixels, expected)
        assert found.white == 16
    digits = load_images(["digits"], (8, 8, 1))
    assert digits.white == 16
    assert digits.pixels.shape == (450, 8, 8, 1)
    assert digits.labels is not None


def test_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def refusal(message: str, *names: str, **options: Any) -> None:
        with pytest.raises((DataError, FormatError), match=message):
            load_images([str(tmp_path / name) for name in names], SHAPE, **options)

    np.save(tmp_path / "wide.npy", np.zeros((2, 3, 3), dtype=np.uint8))
    np.save(tmp_path / "floats.npy", np.zeros((2, 3, 2)))
    np.save(tmp_path / "bright.npy", np.full((2, 3, 2), 200, dtype=np.uint8))
    np.save(tmp_path / "negative.npy", np.full((2, 3, 2), -1, dtype=np.int64))
    (tmp_path / "objects.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': '|O'}\n")
    write_grey(tmp_path / "x.png", np.zeros((3, 2), dtype=np.uint8))
    refusal(r"images of shape \(3, 3\), the network takes \(3, 2\)", "wide.npy")
    refusal("of integers was required: its numbers are <f8, not integers", "floats.npy")
    refusal("pixels must lie in 0..16, got .200, 200.; say with --white", "bright.npy", white=16)
    refusal("pixels must lie in 0..255, got .-1, -1.", "negative.npy")
    refusal("a .npy file of integers was required", "objects.npy")
    refusal("white may differ", "bright.npy", "x.png")
    refusal("there is no file", "absent-idx")
    refusal("cannot read .*absent.npy", "absent.npy")
    refusal("at least one image")
    with pytest.raises(DataError, match="digits has images of shape"):
        load_images(["digits"], SHAPE)
    with pytest.raises(DataError, match="images have one channel"):
        load_images(["digits"], (8, 8, 3))


# What an eavesdropper sees


def test_statistics_by_hand() -> None:
    found = ByteStatistics.of(np.array([0, 255, 0, 255], dtype=np.uint8))
    assert found.zeros == 0.5
    assert found.entropy == 1.0  # a bit per byte
    expected = 4 / 256
    assert found.chi_squared == pytest.approx(2 * (2 - expected) ** 2 / expected + 254 * expected)
    assert found.correlation == pytest.approx(-1)


def test_an_eavesdropper_sees_uniform_numbers(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    picture = tmp_path / "seen.png"
    sent, images = str(place / "client" / "images.fhe"), str(place / "images.npy")
    command = ["eavesdrop", sent, "--images", images, "--picture", str(picture)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    (chi,) = (line.split() for line in lines if line.startswith("chi-squared"))
    # Uniform numbers leave 150..400 once in 10^7 times; the seed of the keys is the system's.
    assert 150 < float(chi[2]) < 400
    (entropy,) = (line.split() for line in lines if line.startswith("entropy"))
    assert float(entropy[5]) > 7.99
    assert any("what you see" in line and "what the server sees" in line for line in lines)
    assert read_grey(picture, 3 * 8, 4 * 8).shape == (24, 32)
    np.save(tmp_path / "black.npy", np.zeros((1, 3, 2), dtype=np.uint8))
    assert main(["eavesdrop", sent, "--images", str(tmp_path / "black.npy")]) == 1
    assert "one grey value only" in capsys.readouterr().err
    assert main(["eavesdrop", str(place / "client" / "keys" / PUBLIC / EVALUATION)]) == 1
    assert "ciphertexts were required" in capsys.readouterr().err
