"""`cryptonets draw`: a page on which one draws a digit, and watches."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from nn.commands.options import load_model
from nn.drawing.sides import Client
from nn.drawing.strokes import SIDE
from yashe.errors import ParameterError

HOST, PORT = "127.0.0.1", 8460  # this machine only


def add_commands(commands: Any) -> None:
    """Add the command."""
    draw = commands.add_parser(
        "draw",
        help="draw a digit in a browser, and watch a server classify what it cannot see",
        description="Serve a page for a browser on this machine. This program is the client and "
        "has the key; processes of a server, which have none, classify what is drawn there (extra: "
        "serve).",
    )
    draw.set_defaults(command=draw_command)
    draw.add_argument(
        "--model", default="cryptonets", help="a network of 28 x 28 pixels (default: %(default)s)"
    )
    draw.add_argument("--port", type=int, default=PORT, help="default: %(default)s; 0: any")


def draw_command(arguments: argparse.Namespace) -> None:
    """`cryptonets draw`."""
    # Starlette and uvicorn are an extra: nobody else needs these modules, so they come in here.
    page, http = import_module("nn.drawing.page"), import_module("nn.service.http")
    model = load_model(arguments.model)
    if model.input_shape != (SIDE, SIDE, 1):
        raise ParameterError(
            f"one draws in {SIDE} x {SIDE} pixels, and {arguments.model} takes "
            + " x ".join(map(str, model.input_shape))
        )
    with http.listen(HOST, arguments.port) as listening:
        print("making keys, and starting a server that gets the public ones", flush=True)
        with Client(model) as client:
            port = listening.getsockname()[1]
            print(f"open http://{HOST}:{port} in a browser; Ctrl-C ends it", flush=True)
            page.serve_page(client, listening)
