"""A network with one square: nobody makes, sends, keeps or loads an evaluation key."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nn.commands.main import main
from nn.estimators.parties import Client as Asking
from nn.estimators.parties import Server as Answering
from nn.inference.flooding import Flooding
from nn.service import keyfiles, roles
from nn.service.card import ModelCard
from nn.service.keyfiles import CARD, EVALUATION, PUBLIC, SECRET
from nn.service.limits import Limits
from nn.service.store import Store
from tiny_roles import SHAPE, evaluation_key, tiny_network
from tiny_service import running
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import SecretKey
from yashe.errors import FormatError, KeyMismatchError, NoiseBudgetExhausted
from yashe.schemes.bgv import BGV

MODEL = tiny_network(squares=1)
MODEL_CARD = ModelCard.of(MODEL)
IMAGES = np.random.default_rng(4).integers(0, 4, (5, *SHAPE), dtype=np.int64)
LOGITS = MODEL.forward(IMAGES).tolist()


@pytest.mark.parametrize("flood", [[], ["--flood", "20"]], ids=["plain", "flooded"])
def test_the_four_commands_pass_on_no_evaluation_key(tmp_path: Path, flood: list[str]) -> None:
    model, keys, images = tmp_path / "model.npz", tmp_path / "keys", tmp_path / "images.npy"
    MODEL.save(model)
    np.save(images, IMAGES[..., 0].astype(np.uint8))
    sent, reply, found = (tmp_path / name for name in ("sent", "reply", "found.json"))
    public = ["--keys", str(keys / PUBLIC), "--out", str(reply), *flood]
    own = ["--keys", str(keys)]
    for command in (
        ["keygen", str(keys), "--model", str(model), *flood],
        ["encrypt", str(images), "--white", "3", *own, "--out", str(sent)],
        ["infer", str(model), str(sent), *public],
        ["decrypt", str(reply), *own, "--images", "5", "--json", str(found)],
    ):
        assert main(command) == 0
    assert (keys / PUBLIC / CARD).exists()
    assert not (keys / PUBLIC / EVALUATION).exists()
    assert json.loads(found.read_text("utf-8"))["logits"] == LOGITS
    assert wire.load(reply, Ciphertext).degree == 2


def test_a_service_registers_nothing(tmp_path: Path) -> None:
    client_module = pytest.importorskip("nn.service.client")
    with running(tmp_path, model=MODEL) as (service, address):
        client = client_module.Client(address)
        assert client.offer().card("batch").needs_keys is False
        assert client.ask(IMAGES, 3, mode="batch").tolist() == LOGITS
        assert client.health()["keys"] == 0
        with pytest.raises(client_module.ServiceError, match=r"\(status 409\): batches need no"):
            client.register(BGV(MODEL_CARD.params).keygen().relinearization)
        path, key = tmp_path / "sent", BGV(MODEL_CARD.params).keygen().secret
        with path.open("wb") as file:
            roles.encrypt(file, MODEL_CARD, key, IMAGES, 3)
        job = client.submit("", path)
        assert client.submit("", path) == job
        client.wait(job)
        assert service.store.counts()["done"] == 1


def test_a_reply_of_three_parts_is_not_larger_than_a_server_expects(tmp_path: Path) -> None:
    key, sent, reply = BGV(MODEL_CARD.params).keygen().secret, io.BytesIO(), io.BytesIO()
    roles.encrypt(sent, MODEL_CARD, key, IMAGES, 3)
    sent.seek(0)
    roles.classify(sent, reply, MODEL, MODEL_CARD.params)
    store = Store(tmp_path / "state", {"batch": MODEL_CARD}, Limits(batches=1))
    polynomials = wire.from_bytes(reply.getvalue(), Ciphertext).rows.shape[:2]
    assert polynomials == (2, 3)
    whole = 6 * MODEL_CARD.params.log2_q * MODEL_CARD.params.n / 8  # if no prime had been dropped
    assert len(reply.getvalue()) < whole < store.largest_reply
    store.close()


def test_parameters_are_no_key_for_a_network_that_needs_one() -> None:
    model = tiny_network()
    card, sent = ModelCard.of(model), io.BytesIO()
    assert card.needs_keys
    roles.encrypt(sent, card, BGV(card.params).keygen().secret, IMAGES, 3)
    sent.seek(0)
    with pytest.raises(NoiseBudgetExhausted, match="or relinearise between squares, .* and a key"):
        roles.classify(sent, io.BytesIO(), model, card.params)


def test_the_owner_of_a_flood_has_to_be_the_owner_of_the_images() -> None:
    card = ModelCard.of(MODEL, flood_bits=20)
    keys, others = (BGV(card.params).keygen() for _ in range(2))
    sent = io.BytesIO()
    roles.encrypt(sent, card, keys.secret, IMAGES, 3)
    for key in (others.public, keys.public):
        sent.seek(0)
        wish = Flooding(key, 20)
        if key is keys.public:
            roles.classify(sent, io.BytesIO(), MODEL, card.params, flooding=wish)
            continue
        with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
            roles.classify(sent, io.BytesIO(), MODEL, card.params, flooding=wish)


@pytest.mark.parametrize("value", [0, None, "no", []])
def test_a_card_says_yes_or_no(value: Any) -> None:
    facts = json.loads(MODEL_CARD.to_json())
    assert facts["needs_keys"] is False
    with pytest.raises(FormatError, match="a model card was required"):
        ModelCard.from_json(json.dumps({**facts, "needs_keys": value}))


def test_a_card_for_one_image_at_once_without_keys_is_refused() -> None:
    facts = json.loads(ModelCard.of(MODEL, mode="single").to_json())
    assert facts["needs_keys"] is True  # slots are moved
    with pytest.raises(FormatError, match="one image at once without keys"):
        ModelCard.from_json(json.dumps({**facts, "needs_keys": False}))


def test_client_and_server_of_an_estimator_pass_on_no_bytes_for_keys() -> None:
    server = Answering(MODEL)
    client = Asking(server.card())
    assert client.keys() == b""
    rows = IMAGES * 85  # pictures, of which 255 is white
    reply = server.infer(client.keys(), client.encrypt(rows))
    assert client.outputs(reply, 5).tolist() == LOGITS


def test_a_key_that_is_needed_and_missing_is_missed(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keyfiles.keygen(folder, ModelCard.of(tiny_network()))
    (folder / PUBLIC / EVALUATION).unlink()
    with pytest.raises(FormatError, match=f"cannot read .*{EVALUATION}"):
        evaluation_key(folder / PUBLIC)
    assert isinstance(wire.load_secret_key(folder / SECRET, SecretKey), SecretKey)
