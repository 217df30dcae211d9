"""One image at once as files: keys, images, reply and logits of every run, and what is refused."""

import io
import json
import zipfile
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from nn.commands.main import main
from nn.data.sets import load_digits
from nn.drawing.sides import frames_of
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.packing.stages import PackingError
from nn.planning.plan import make_plan
from nn.service import keyfiles, roles
from nn.service.card import ModelCard, Offer
from nn.service.client import Client, ServiceError
from nn.service.keyfiles import file_digest, kept_keys
from nn.training.quantize import quantize_pixels
from tiny_roles import SHAPE, tiny_network
from tiny_service import running
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import DataError, FormatError, KeyMismatchError, ParameterError

MODEL, DATA = pretrained("digits"), load_digits()
IMAGES = DATA.test_images[:2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with keys, an encrypted file of two images, and the reply."""
    place = tmp_path_factory.mktemp("single")
    keyfiles.keygen(place / "keys", ModelCard.of(MODEL, mode="single"))
    card = keyfiles.load_card(place / "keys")
    secrets = keyfiles.load_secret_keys(place / "keys", card)
    shares: list[float] = []
    with open(place / "images", "wb") as file:
        written = roles.encrypt(file, card, secrets, IMAGES, DATA.pixel_max, shares.append)
    assert written == (2, 9)
    assert sum(shares) == pytest.approx(1)
    shares.clear()
    plan = make_plan(MODEL, mode="single")
    with open(place / "keys/public/evaluation.key", "rb") as file:
        keys = keyfiles.read_evaluation_keys(file, card)
    with open(place / "images", "rb") as source, open(place / "reply", "wb") as target:
        assert roles.classify(source, target, plan, keys, shares.append) == (2, 1)
    assert sum(shares) == pytest.approx(1)
    return place, card, secrets, plan, keys


def test_two_sides_that_share_files_only(folder) -> None:
    place, card, secrets, plan, _ = folder
    with open(place / "reply", "rb") as file:
        logits = roles.decrypt(file, card, secrets)
    pixels = quantize_pixels(IMAGES, DATA.pixel_max, MODEL.levels)
    assert np.array_equal(logits, MODEL.forward(pixels))
    sizes = {name: (place / name).stat().st_size for name in ("images", "reply")}
    sizes["keys"] = (place / "keys/public/evaluation.key").stat().st_size
    for name, images in (("images", 2), ("reply", 2), ("keys", 1)):  # as the plan says
        planned = images * sum(run.bytes[name] for run in plan.runs)
        assert planned <= sizes[name] <= 1.001 * planned + 10_000
    public = {path.name for path in (place / "keys/public").iterdir()}
    assert public == {"evaluation.key", "model.json"}


@pytest.mark.slow
def test_commands_do_the_same(folder, tmp_path, capsys) -> None:
    place, *_ = folder
    keys, public = str(place / "keys"), str(place / "keys/public")
    images, reply = str(tmp_path / "images"), str(tmp_path / "reply")
    assert main(["encrypt", "digits", "--keys", keys, "--out", images, "--count", "1"]) == 0
    assert main(["infer", "digits", images, "--keys", public, "--out", reply]) == 0
    assert main(["decrypt", reply, "--keys", keys, "--labels", "digits"]) == 0
    assert "of 1 images" in capsys.readouterr().out
    assert main(["infer", "digits", images, "--keys", keys, "--out", reply]) == 1
    assert main(["infer", "digits", images, "--keys", public, "--out", reply, "--flood", "9"]) == 1
    assert "masked, and cannot be flooded" in capsys.readouterr().err


def test_a_card_of_one_image_at_once_is_read_as_it_was_written() -> None:
    card = ModelCard.of(MODEL, mode="single")
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert len(again.runs) == 2
    assert again.packing.layout == make_plan(MODEL, mode="single").packing.layout
    assert ModelCard.of(MODEL).packing is None
    with pytest.raises(ParameterError, match="encrypted with the secret key"):
        ModelCard.of(MODEL, public=True, mode="single")


@cache
def single_card() -> str:
    return ModelCard.of(MODEL, mode="single").to_json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pixels", []), ("pixels", [[0], [0, 1]]), ("pixels", [[64]]), ("pixels", [["a"]]),
        ("pixels", [0]), ("slot_classes", 3), ("slot_classes", 8192), ("coarse", 0), ("coarse", 9),
        ("digit", 0), ("fine_stages", 7), ("fine_stages", -1), ("answered", 1), ("coarse", "4"),
        ("between", [0]), ("between", [8192]), ("between", ["a"]), ("between", [4, 4]),
        ("between", 3),
    ],
)  # fmt: skip
def test_a_card_whose_numbers_do_not_belong_together_is_refused(name: str, value) -> None:
    facts = json.loads(single_card())
    facts["single"][name] = value
    with pytest.raises(FormatError, match="a model card was required"):
        ModelCard.from_json(json.dumps(facts))


def test_other_files_are_refused(folder) -> None:
    place, card, secrets, plan, keys = folder
    reply = (place / "reply").read_bytes()
    evaluation = (place / "keys/public/evaluation.key").read_bytes()
    with pytest.raises(FormatError, match="no archive"):
        roles.decrypt(io.BytesIO(reply[:1000]), card, secrets)
    with pytest.raises(FormatError, match=r"an archive of 1\.fhe, 2\.fhe"):
        roles.decrypt(io.BytesIO(evaluation), card, secrets)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("1.fhe", "2.fhe"):
            archive.writestr(name, bytes(10**6))
    with pytest.raises(FormatError, match="not compressed"):
        roles.decrypt(packed, card, secrets)
    images = (place / "images").read_bytes()
    with pytest.raises(FormatError, match=r"a reply for digits has the shape \(batches, 1\)"):
        roles.decrypt(io.BytesIO(images), card, secrets)
    with pytest.raises(KeyMismatchError, match="the Ciphertext is for other parameters"):
        roles.classify(io.BytesIO(reply), io.BytesIO(), plan, keys)
    damaged = bytearray(reply)
    damaged[len(reply) // 3] ^= 1
    with pytest.raises(FormatError, match=r"hash is wrong|no archive"):
        roles.decrypt(io.BytesIO(bytes(damaged)), card, secrets)


def test_keys_of_somebody_else_and_wrong_images_are_refused(folder) -> None:
    place, card, secrets, plan, keys = folder
    images = (place / "images").read_bytes()
    with pytest.raises(KeyMismatchError, match="is for"):
        roles.classify(io.BytesIO(images), io.BytesIO(), plan, keys[::-1])
    with pytest.raises(KeyMismatchError, match="the keys are for"):
        roles.decrypt(io.BytesIO((place / "reply").read_bytes()), card, secrets[::-1])
    evaluation = (place / "keys/public/evaluation.key").read_bytes()
    other = ModelCard.of(pretrained("cryptonets"), mode="single")
    with pytest.raises(FormatError, match="an archive of 1-relinearization.fhe, 1-fine.fhe"):
        keyfiles.read_evaluation_keys(io.BytesIO(evaluation), other)
    finer = replace(card, single=replace(card.single, digit=2))
    with pytest.raises(KeyMismatchError, match="has other digits than was planned"):
        keyfiles.read_evaluation_keys(io.BytesIO(evaluation), finer)
    with pytest.raises(DataError, match=r"images of shape \(8, 8, 1\)"):
        roles.encrypt(io.BytesIO(), card, secrets, IMAGES[:, :4], 16)
    with pytest.raises(DataError, match="1 to 4096 images, got 0"):
        roles.encrypt(io.BytesIO(), card, secrets, IMAGES[:0], 16)


def test_the_runs_of_a_file_belong_together(folder) -> None:
    place, card, secrets, plan, keys = folder
    few, answer = io.BytesIO(), io.BytesIO()
    roles.encrypt(few, card, secrets, IMAGES[:1], 16)
    roles.classify(few, answer, plan, keys)

    def mixed(one: bytes, other: bytes) -> io.BytesIO:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("1.fhe", one)
            archive.writestr("2.fhe", other)
        return file

    (one, two), (_, other) = frames_of((place / "images").read_bytes()), frames_of(few.getvalue())
    with pytest.raises(FormatError, match="the runs have different numbers of images"):
        roles.classify(mixed(one, other), io.BytesIO(), plan, keys)
    public = wire.to_bytes(wire.from_bytes(one, Ciphertext) + 0)
    with pytest.raises(FormatError, match=r"of shape \(batches, 9\) .* of BGV, not seeded"):
        roles.classify(mixed(public, two), io.BytesIO(), plan, keys)
    (one, _), (_, other) = frames_of((place / "reply").read_bytes()), frames_of(answer.getvalue())
    with pytest.raises(FormatError, match="the runs of a reply have different numbers of images"):
        roles.decrypt(mixed(one, other), card, secrets)


def test_one_service_takes_both_modes_and_its_client_chooses(tmp_path) -> None:
    pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
    pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
    images, model, white = np.arange(18).reshape(3, *SHAPE) % 4, tiny_network(), 3
    limits = {"keys": 2, "images": 2, "batches": 1}
    with running(tmp_path / "state", mode="both", **limits) as (service, url):
        client = Client(url, patience=0)
        offer = client.offer()
        assert offer == service.offer == Offer.of(model)
        few, many = offer.batch_from - 1, offer.batch_from
        assert offer.card("auto", few).mode == "single"
        assert offer.card("auto", many).mode == "batch"
        batch, one = (kept_keys(tmp_path / mode, offer.cards[mode]) for mode in offer.cards)
        with pytest.raises(KeyMismatchError, match="are for tiny, mode batch, and not for the"):
            kept_keys(tmp_path / "batch", offer.cards["single"])
        for keys in (batch, one):  # which say what mode it is
            assert np.array_equal(client.ask(images[:2], white, keys), model.forward(images[:2]))
        # Keys of both kinds are counted together, and each takes its own images only.
        assert service.store.counts()["keys"] == 2
        with pytest.raises(ServiceError, match="2 keys are registered, and no more"):
            client.ask(images, white)
        for mode, secret, some in (
            ("batch", batch[0], images), ("single", one[0], images[:1]), ("single", one[0], images),
        ):  # fmt: skip
            with open(tmp_path / f"{mode}-{len(some)}", "wb") as file:
                roles.encrypt(file, offer.cards[mode], secret, some, white)
        for name, keys, reason in (
            ("batch-3", one, "no archive with a frame for each run"),
            ("single-1", batch, "refuses POST /jobs"),
            ("single-3", one, "3 images in one job, and at most 2 are accepted"),
        ):
            with pytest.raises(ServiceError, match=reason):
                client.submit(client.register(keys[1]), tmp_path / name)
        with pytest.raises(KeyMismatchError, match="make new ones"):
            client.ask(images, white, one, mode="batch")
        batch[1].rename(tmp_path / "away")
        with pytest.raises(FormatError, match=r"cannot read .*evaluation\.key"):
            client.ask(images, white, batch)
        (tmp_path / "away").rename(batch[1])
    with running(tmp_path / "state", mode="batch") as (_, url):  # the same state, less offered
        with pytest.raises(ServiceError, match="keys for mode batch are accepted, not for single"):
            Client(url).submit(file_digest(one[1]), tmp_path / "single-1")
        with pytest.raises(ParameterError, match="offers mode batch; 'single' was asked for"):
            Client(url).ask(images, white, mode="single")
    with running(tmp_path / "other", mode="single") as (_, url):
        client = Client(url)
        assert np.array_equal(client.ask(images[:1], white), model.forward(images[:1]))
        with pytest.raises(ServiceError, match="no archive with a frame for each run"):
            client.register(batch[1])


def test_a_network_that_does_not_fit_is_offered_in_batches_only() -> None:
    layers = [Square(), Square(), Flatten(), Dense(1)]
    fourth = Sequential(layers, (2, 1, 1), info=ModelInfo(levels=1))
    fourth.layers[-1].parameters["weight"] = np.ones((2, 1), dtype=np.int64)
    fourth.layers[-1].parameters["bias"] = np.zeros(1, dtype=np.int64)
    offer = Offer.of(fourth)
    assert set(offer.cards) == {"batch"}
    assert offer.card("auto", 1).mode == "batch"
    with pytest.raises(PackingError, match="layer 1, Square, follows a square"):
        Offer.of(fourth, "single")
