"""Keys are all there and belong together, or none is, whatever happens while they are written."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from nn.service import keyfiles
from nn.service.card import ModelCard
from nn.service.keyfiles import CARD, ENCRYPTION, EVALUATION, PUBLIC, SECRET
from tiny_roles import tiny_network
from yashe import wire
from yashe.ciphertexts.keys import BgvPublicKey, BgvRelinearizationKey, Pair, SecretKey
from yashe.errors import DataError, FheError
from yashe.schemes.bgv import BGV

MODEL_CARD = ModelCard.of(tiny_network(), public=True, relinearize=True)
KEYS = BGV(MODEL_CARD.params).keygen(bytes(32))


def belong_together(folder: Path) -> bool:
    secret = wire.load_secret_key(folder / SECRET, SecretKey)
    kinds: dict[str, type[Pair]] = {EVALUATION: BgvRelinearizationKey, ENCRYPTION: BgvPublicKey}
    others = [wire.load(folder / PUBLIC / name, kind) for name, kind in kinds.items()]
    assert sorted(os.listdir(folder)) == [PUBLIC, SECRET]
    assert sorted(os.listdir(folder / PUBLIC)) == sorted([CARD, *kinds])
    assert keyfiles.load_card(folder) == MODEL_CARD
    return {key.key_id for key in others} == {secret.key_id}


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, nth: int) -> list[str]:
    """Let the nth step that touches the disk fail; return the list of the steps done."""
    done: list[str] = []

    def watch(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def step(*arguments: Any, **options: Any) -> Any:
            done.append(name)
            if len(done) == nth:
                raise error
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, step)

    for owner, names in ((os, ["open", "fsync", "replace"]), (Path, ["mkdir", "rename"])):
        for name in names:
            watch(owner, name)
    return done


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(143)]
)
def test_whichever_step_fails_no_key_is_left_and_the_next_try_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("yashe.schemes.bgv.BGV.keygen", lambda scheme: KEYS)
    monkeypatch.setattr(
        "shutil._use_fd_functions", False, raising=False
    )  # what tidies up opens nothing
    for nth in range(1, 100):
        folder = tmp_path / f"{nth}"
        with pytest.MonkeyPatch.context() as patch:
            done = failing(patch, error, nth)
            try:
                keyfiles.keygen(folder, MODEL_CARD, public_key=True)
                break
            except (FheError, KeyboardInterrupt, SystemExit):
                assert [names for _, _, names in os.walk(folder) if names] == [], done
        assert not folder.exists() or os.listdir(folder) == []
        if isinstance(error, OSError):  # what is left does not depend on the error
            keyfiles.keygen(folder, MODEL_CARD, public_key=True)
            assert belong_together(folder)
    assert belong_together(folder)
    assert nth == len(done) + 1 > 15  # four files, three steps each, and the folders


def test_of_programs_that_make_keys_at_once_one_succeeds(tmp_path: Path) -> None:
    folder, said, start = tmp_path / "keys", [], threading.Barrier(8)

    def make() -> None:
        start.wait()
        try:
            keyfiles.keygen(folder, MODEL_CARD, public_key=True)
            said.append("made")
        except DataError as error:
            said.append(str(error))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("made") == 1
    assert all("exists" in text or "cannot make keys" in text for text in said if text != "made")
    assert belong_together(folder)


def test_a_folder_with_some_keys_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    for name in (SECRET, PUBLIC):
        folder = tmp_path / name
        keyfiles.keygen(folder, MODEL_CARD, public_key=True)
        other = folder / (PUBLIC if name == SECRET else SECRET)
        other.rename(tmp_path / f"moved-{name}")  # public/ is with the server, or the key in a safe
        with pytest.raises(DataError, match=f"{name} exists, and whatever is encrypted"):
            keyfiles.keygen(folder, MODEL_CARD)
        assert os.listdir(folder) == [name]
    folder = tmp_path / "file"
    folder.write_bytes(b"")
    with pytest.raises(DataError, match="cannot make keys in .*file"):
        keyfiles.keygen(folder, MODEL_CARD)


def test_keys_are_made_beside_what_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a secret of another kind")
    (tmp_path / PUBLIC).mkdir()
    keyfiles.keygen(tmp_path, MODEL_CARD, public_key=True)
    (tmp_path / "token").unlink()
    assert belong_together(tmp_path)
