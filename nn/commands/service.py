"""`cryptonets serve`, `ask` and `draw`: a server, its client, and a page that has both."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from nn.commands.options import add_command, add_device_option, load_model
from nn.commands.tables import (
    add_answer_options,
    add_input_options,
    called,
    load_input,
    tell_answers,
)
from nn.drawing.sides import Client as DrawingClient
from nn.drawing.strokes import SIDE
from nn.experiment.terminal import bar
from nn.planning.plan import MODES
from nn.service.card import BOTH, ModelCard
from nn.service.client import WAIT_SECONDS, Client
from nn.service.keyfiles import SECRET, AskingKeys, kept_keys, load_card
from nn.service.limits import Limits, check_token
from yashe.arithmetic.parallel import available_cores, workers
from yashe.errors import ParameterError
from yashe.wire.files import check_private, open_input

TOKEN_VARIABLE = "CRYPTONETS_TOKEN"


def add_commands(commands: Any) -> None:
    """Add the commands to the parser of `cryptonets`."""
    serve = add_command(commands, serve_command, "classify encrypted images for clients over HTTP")
    serve.add_argument("--model", required=True, help="a pretrained network's name, or a file")
    serve.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    serve.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    serve.add_argument(
        "--state",
        type=Path,
        default=Path("cryptonets-state"),
        metavar="DIR",
        help="where keys and jobs lie, also after a restart (default: %(default)s)",
    )
    serve.add_argument("--workers", type=int, default=available_cores(), metavar="N")
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients call this server, besides addresses and localhost",
    )
    for name, kind, meaning in (
        ("keys", int, "registered keys"),
        ("queued", int, "jobs that wait"),
        ("batches", int, "batches in a job"),
        ("images", int, "images in a job, where each is sent by itself"),
        ("job-seconds", float, "seconds for computing a job"),
        ("upload-seconds", float, "seconds for an upload, or for sending a reply"),
        ("reply-seconds", float, "seconds that a reply is kept"),
        ("connections", int, "connections at the same time"),
        ("connections-each", int, "of them from one address"),
    ):
        default = getattr(Limits, name.replace("-", "_"))
        serve.add_argument(
            f"--max-{name}",
            type=kind,
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default:g})",
        )
    serve.add_argument(
        "--mode",
        choices=(BOTH, *MODES[:2]),
        default=BOTH,
        help="take batches of images, one image at once, or what a client chooses (default: "
        "%(default)s, if the network allows it)",
    )
    add_device_option(serve)
    add_token_option(serve, "that clients must send")

    ask = add_command(
        commands, ask_command, "have images classified by a server that cannot see them"
    )
    ask.add_argument("--server", required=True, metavar="URL")
    ask.add_argument(
        "--keys", type=Path, metavar="DIR", help="keep the keys there (default: new ones each time)"
    )
    ask.add_argument(
        "--mode",
        choices=MODES,
        default="auto",
        help="batch: many images in as many slots; single: each by itself; auto: what the keys are "
        "for, else what is less work for the server (default: %(default)s)",
    )
    add_answer_options(ask)
    ask.add_argument(
        "--patience", type=float, default=60, help="seconds of trying again (default: %(default)s)"
    )
    ask.add_argument(
        "--within",
        type=float,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help="to wait for the answer (default: %(default)g)",
    )
    add_token_option(ask, "that the server requires")
    add_input_options(ask)

    draw = add_command(
        commands,
        draw_command,
        "draw a digit in a browser, and watch a server classify what it cannot see",
    )
    draw.add_argument(
        "--model", default="cryptonets", help="a network of 28 x 28 pixels (default: %(default)s)"
    )
    draw.add_argument("--port", type=int, default=8460, help="default: %(default)s; 0: any")


def add_token_option(command: argparse.ArgumentParser, which: str) -> None:
    """Add the option for the bearer token."""
    command.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file (mode 0600) with the token {which} (default: ${TOKEN_VARIABLE}, or none)",
    )


def read_token(path: Path | None) -> str | None:
    """Return the token from a private file, or from the environment."""
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE) or None
    else:
        check_private(path)
        with open_input(path) as file:
            token = file.read(4096).decode("latin-1").strip()
    check_token(token, f"${TOKEN_VARIABLE}" if path is None else str(path))
    return token


def serve_command(arguments: argparse.Namespace) -> None:
    """Run a server, which has the network and no secret key.

    It listens to this machine only, unless --host says otherwise; then put it behind a proxy with
    TLS.
    """
    # Starlette and uvicorn are an extra: nobody else needs this module, so it is imported here.
    service_module = import_module("nn.service.http")
    given = vars(arguments)
    limits = Limits(**{name[4:]: value for name, value in given.items() if name.startswith("max_")})
    model, token = load_model(arguments.model), read_token(arguments.token_file)
    names = [arguments.host, *arguments.allow_host]
    with service_module.listen(arguments.host, arguments.port) as listening:
        service = service_module.Service(
            model,
            arguments.state,
            token,
            limits,
            arguments.workers,
            names,
            arguments.mode,
            arguments.device,
        )
        counts = service.store.counts()
        print(
            f"{offered(service.offer.cards)}\n"
            f"http://{arguments.host}:{listening.getsockname()[1]}, state in {arguments.state} "
            f"({counts['queued']} jobs waiting, {counts['keys']} keys); Ctrl-C stops",
            flush=True,
        )
        service_module.Server(service).run(sockets=[listening])


def draw_command(arguments: argparse.Namespace) -> None:
    """Serve a page for a browser on this machine.

    This program is the client and has the key; processes of a server, which have none, classify
    what is drawn there (extra: serve).
    """
    page, http = import_module("nn.drawing.page"), import_module("nn.service.http")
    model, host = load_model(arguments.model), "127.0.0.1"  # this machine only
    if model.input_shape != (SIDE, SIDE, 1):
        raise ParameterError(
            f"one draws in {SIDE} x {SIDE} pixels, and {arguments.model} takes "
            + " x ".join(map(str, model.input_shape))
        )
    with http.listen(host, arguments.port) as listening:
        print("making keys, and starting a server that gets the public ones", flush=True)
        with DrawingClient(model) as client:
            port = listening.getsockname()[1]
            print(f"open http://{host}:{port} in a browser; Ctrl-C ends it", flush=True)
            page.serve_page(client, listening)


def offered(cards: Mapping[str, ModelCard]) -> str:
    """Return a line for each mode."""
    return "\n".join(f"{card.name}, mode {mode}, {card.params}" for mode, card in cards.items())


@contextmanager
def steps(images: int) -> Iterator[Callable[[str, float], None]]:
    """Draw a progress bar for every step that is reported, one after the other."""
    with ExitStack() as bars:
        drawn: dict[str, Callable[[float], None]] = {}

        def progress(what: str, share: float) -> None:
            if what not in drawn:
                bars.close()  # the step before has ended
                drawn[what] = bars.enter_context(bar(what, images, "images"))
            drawn[what](share)

        yield progress


def ask_command(arguments: argparse.Namespace) -> None:
    """Make keys, encrypt images, send them to a server, decrypt what comes back."""
    client = Client(arguments.server, read_token(arguments.token_file), arguments.patience)
    offer, mode = client.offer(), arguments.mode
    images = load_input(arguments, next(iter(offer.cards.values())))
    pixels, kept = images.pixels[: arguments.count], arguments.keys
    if mode == "auto" and kept is not None and (kept / SECRET).exists():
        mode = load_card(kept).mode
    card = offer.card(mode, len(pixels))
    print(f"{len(pixels)} {called(card)} for {card.name}, mode {card.mode}, {card.params}")
    keys: AskingKeys | None = None if kept is None else kept_keys(kept, card)
    with workers(), steps(len(pixels)) as progress:
        logits = client.ask(pixels, images.white, keys, progress, arguments.within, card.mode)
    tell_answers(arguments, card, logits, images.labels)
