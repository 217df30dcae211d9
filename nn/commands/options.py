"""What commands ask for in the same words: numbers, networks, and images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nn.data.sets import DATA_VARIABLE, Dataset, load_digits, load_mnist
from nn.data.sources import Images, load_images
from nn.networks.checks import nearest
from nn.networks.model import Sequential
from nn.networks.pretrained import known_names, pretrained
from yashe.errors import ParameterError
from yashe.wire.files import whole_file


def add_command(
    commands: Any, run: Callable[[argparse.Namespace], object], summary: str
) -> argparse.ArgumentParser:
    """Add a command, named and described as the function is that runs it."""
    command: argparse.ArgumentParser = commands.add_parser(
        run.__name__.removesuffix("_command"), help=summary, description=run.__doc__
    )
    command.set_defaults(command=run)
    return command


def at_least(least: int, text: str) -> int:
    """Parse an integer, or let argparse say what was wanted."""
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be an integer, got {text[:40]!r}") from error
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
    return value


natural, positive = partial(at_least, 0), partial(at_least, 1)


def load_model(name: str) -> Sequential:
    """Return a pretrained network by name, or one from a file.

    Raises
    ------
    ParameterError
        If there is neither.
    """
    if name in known_names():
        return pretrained(name)
    if not Path(name).exists():
        raise ParameterError(
            f"{name} is no file, and none of the networks {nearest(name, known_names())}"
        )
    return Sequential.load(name)


def add_image_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say how images are to be read."""
    command.add_argument("--data", type=Path, metavar="DIR", help="folder with the MNIST files")
    command.add_argument(
        "--white", type=positive, default=255, help="a white pixel in .npy files (default: 255)"
    )
    command.add_argument("--invert", action="store_true", help="the strokes are dark on light")


def images_of(arguments: argparse.Namespace, input_shape: tuple[int, ...]) -> Images:
    """Load the images that a command was given, and say so if they look like negatives."""
    images = load_images(
        arguments.images, input_shape, arguments.data, arguments.white, arguments.invert
    )
    if images.dark_on_light:
        advice = "leave --invert out" if arguments.invert else "--invert turns them over"
        print(
            "note: these images look dark on light, and networks for digits expect light strokes "
            f"on black: {advice}",
            file=sys.stderr,
        )
    return images


def add_device_option(command: argparse.ArgumentParser) -> None:
    """Add the option that says where the server computes."""
    command.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        default="cpu",
        help="where the server computes (default: %(default)s; gpu: extra gpu)",
    )


def add_data_option(command: argparse.ArgumentParser) -> None:
    """Add the options that say where MNIST is."""
    command.add_argument(
        "--data",
        dest="folder",
        type=Path,
        metavar="DIR",
        help=f"folder with the MNIST files (default: ${DATA_VARIABLE}, or the user's cache)",
    )
    command.add_argument(
        "--download", action="store_true", help="fetch MNIST (11 MB) if it is not there"
    )


def load_set(name: str, arguments: argparse.Namespace) -> Dataset:
    """Return the digits, or MNIST from where `add_data_option` says."""
    if name == "digits":
        return load_digits()
    return load_mnist(arguments.folder, download=arguments.download)


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(facts, indent=2).encode() + b"\n")
