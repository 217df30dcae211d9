"""`cryptonets keygen`, `encrypt`, `infer`, `decrypt` and `eavesdrop`: `roles` from a shell."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nn.commands.eavesdrop import eavesdrop
from nn.commands.options import (
    add_command,
    add_device_option,
    add_image_options,
    images_of,
    load_model,
    natural,
    positive,
)
from nn.commands.tables import (
    add_answer_options,
    add_input_options,
    called,
    load_input,
    tell_answers,
)
from nn.data.idx import read_idx
from nn.data.sources import SETS, load_images
from nn.experiment.terminal import bar
from nn.inference.flooding import Flooding
from nn.networks.checks import nearest
from nn.planning.plan import MODES
from nn.service import roles
from nn.service.card import ModelCard
from nn.service.keyfiles import (
    ENCRYPTION,
    EVALUATION,
    PUBLIC,
    SECRET,
    keygen,
    load_card,
    load_encryption_keys,
    load_evaluation_keys,
    load_secret_keys,
    owner_of,
    read_card,
)
from yashe.arithmetic.parallel import available_cores, workers
from yashe.ciphertexts.keys import BgvPublicKey, SecretKey
from yashe.errors import DataError, ParameterError
from yashe.wire import load
from yashe.wire.files import open_input, whole_file


def add_commands(commands: Any) -> None:
    """Add the commands to the parser of `cryptonets`."""
    keygen = add_command(
        commands, keygen_command, "make keys: a secret one for you, public ones for a server"
    )
    keygen.add_argument("folder", type=Path, metavar="DIR", help="where the keys shall be")
    which = keygen.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="the network: a name, or its file")
    which.add_argument(
        "--card", type=Path, metavar="FILE", help="its model card, if only the server has it"
    )
    keygen.add_argument(
        "--mode",
        choices=MODES[:2],
        default="batch",
        help="for batches of images, or for a single one at once (default: %(default)s)",
    )
    keygen.add_argument(
        "--public",
        action="store_true",
        help=f"make a {ENCRYPTION} too, with which others can encrypt for you (costs noise budget)",
    )
    keygen.add_argument(
        "--flood",
        type=natural,
        default=0,
        metavar="BITS",
        help="leave room for a server that hides its weights this well ('infer --flood')",
    )

    encrypt = add_command(
        commands, encrypt_command, "encrypt images, or the rows of a table, for a network"
    )
    encrypt.add_argument("--keys", type=Path, required=True, metavar="DIR")
    encrypt.add_argument("--out", type=Path, required=True, metavar="FILE")
    add_input_options(encrypt)

    infer = add_command(commands, infer_command, "classify encrypted images, without a secret key")
    infer.add_argument("model", metavar="MODEL", help="a pretrained network's name, or a file")
    infer.add_argument("input", type=Path, metavar="INPUT", help="a file from 'encrypt'")
    infer.add_argument(
        "--keys", type=Path, required=True, metavar="PUBLIC", help=f"{PUBLIC}/ or {EVALUATION}"
    )
    infer.add_argument("--out", type=Path, required=True, metavar="REPLY")
    infer.add_argument("--workers", type=positive, default=available_cores(), metavar="N")
    add_device_option(infer)
    infer.add_argument(
        "--flood",
        type=positive,
        metavar="BITS",
        help=f"hide the weights from the client, up to 2^-BITS; needs {ENCRYPTION} (try 40)",
    )

    decrypt = add_command(commands, decrypt_command, "decrypt a reply")
    decrypt.add_argument("reply", type=Path, metavar="REPLY")
    decrypt.add_argument("--keys", type=Path, required=True, metavar="DIR")
    decrypt.add_argument(
        "--images",
        "--rows",
        type=positive,
        metavar="N",
        help="how many images or rows there were (required for batches)",
    )
    decrypt.add_argument(
        "--labels", metavar="LABELS", help="'digits', 'mnist' or an IDX file, to count mistakes"
    )
    decrypt.add_argument("--data", type=Path, metavar="DIR", help="folder with the MNIST files")
    add_answer_options(decrypt)

    listen = add_command(
        commands, eavesdrop_command, "show what a server or a listener sees of your images"
    )
    listen.add_argument("file", type=Path, metavar="FILE", help="a file from 'encrypt'")
    listen.add_argument(
        "--images", nargs="+", default=["digits"], help="what is in it (default: digits)"
    )
    listen.add_argument("--picture", type=Path, metavar="PNG", help="draw it there, too")
    add_image_options(listen)


@contextmanager
def step(what: str, threads: int | None = None) -> Iterator[None]:
    """Work on all cores, and print afterwards what it was and how long it took."""
    start = time.perf_counter()
    with workers(threads):
        yield
    print(f"{what}: {time.perf_counter() - start:.1f} s")


def show(*paths: Path) -> None:
    """Print the sizes of files."""
    for path in filter(Path.is_file, paths):  # and not of pipes
        print(f"{path.stat().st_size:>13,} bytes  {path}")


def keygen_command(arguments: argparse.Namespace) -> None:
    """Make keys for a network.

    DIR/secret.key decrypts, and stays with you; DIR/public is for whoever shall classify your
    images.
    """
    if arguments.model:
        model = load_model(arguments.model)
        card = ModelCard.of(model, arguments.public, arguments.flood, arguments.mode)
    else:
        card = read_card(arguments.card)
    with step(f"keys for {card.name}, {card.params}"):
        keygen(arguments.folder, card, arguments.public or arguments.flood > 0)
    secret, public = arguments.folder / SECRET, arguments.folder / PUBLIC
    show(secret, *sorted(public.iterdir()))
    print(f"{secret} stays with you. {public} is for the server.")


def encrypt_command(arguments: argparse.Namespace) -> None:
    """Encrypt images or rows, one in every slot, under the keys of DIR.

    It is done with the secret key if that is there, else with the public one.
    """
    card = load_card(arguments.keys)
    images = load_input(arguments, card)
    pixels = images.pixels[: arguments.count]
    keys = load_encryption_keys(arguments.keys, card)
    what = "secret" if isinstance(keys[0], SecretKey) else "public"
    with (
        step(f"{len(pixels)} {called(card)} encrypted with the {what} key"),
        bar("encrypting", len(pixels), called(card)) as done,
        whole_file(arguments.out) as file,
    ):
        batches, *_ = roles.encrypt(file, card, keys, pixels, images.white, done)
    show(arguments.out)
    known = images.labels is not None and len(arguments.images) == 1
    labels = f" --labels {arguments.images[0]}" if known else ""
    labels += f" --data {arguments.data}" if known and arguments.data else ""
    print(
        f"{'1 batch' if batches == 1 else f'{batches} batches'} of up to {card.batch} "
        f"{called(card)}. When the reply is here:\n"
        f"cryptonets decrypt REPLY --keys {arguments.keys} --{called(card)} {len(pixels)}{labels}"
    )


def infer_command(arguments: argparse.Namespace) -> None:
    """What the server does: read ciphertexts, run the network, write ciphertexts."""
    model, flooding = load_model(arguments.model), None
    network, keys = load_evaluation_keys(arguments.keys, model)
    if arguments.flood is not None:
        path = arguments.keys / ENCRYPTION
        if network is not model:
            raise ParameterError("a reply to one image at once is masked, and cannot be flooded")
        if not path.exists():
            raise ParameterError(
                f"--flood takes the client's {path}, which is not there: 'cryptonets keygen "
                f"--flood {arguments.flood}' makes it, and leaves room"
            )
        flooding = Flooding(load(path, BgvPublicKey, owner_of(keys[0])[0]), arguments.flood)
    with (
        open_input(arguments.input) as source,
        step("classified without the secret key", arguments.workers),
        bar("inferring", 100, "%") as done,
        whole_file(arguments.out) as target,
    ):
        roles.classify(source, target, network, keys, done, flooding, arguments.device)
    show(arguments.input, arguments.out)


def decrypt_command(arguments: argparse.Namespace) -> None:
    """Decrypt the logits and say which class each image is, or the value of each row."""
    card = load_card(arguments.keys)
    keys = load_secret_keys(arguments.keys, card)
    if arguments.images is None and card.single is None:
        raise DataError(
            f"say with --{called(card)} how many there were, as 'encrypt' has told: batches are of "
            f"up to {card.batch}, and empty slots would be answered, too"
        )
    with step("decrypted"), open_input(arguments.reply) as source:
        logits = roles.decrypt(source, card, keys, arguments.images)
    labels = load_labels(arguments.labels, card, arguments.data) if arguments.labels else None
    tell_answers(arguments, card, logits, labels)
    show(*filter(None, (arguments.csv, arguments.json)))


def load_labels(source: str, card: ModelCard, data: Path | None) -> Any:
    """Return true labels, int64 array."""
    if source in SETS:
        return load_images([source], card.input_shape, data).labels
    if not Path(source).exists():
        raise DataError(f"there is no file {source}, and the data sets are {nearest(source, SETS)}")
    return read_idx(Path(source), ()).astype(np.int64)


def eavesdrop_command(arguments: argparse.Namespace) -> None:
    """Compare the bytes of a file of ciphertexts with those of the images."""
    with open_input(arguments.file) as file:
        print(eavesdrop(file, partial(images_of, arguments), arguments.picture))
