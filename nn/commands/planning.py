"""`cryptonets plan`: what a network needs, before anything is encrypted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nn.commands.options import (
    add_command,
    add_data_option,
    add_device_option,
    load_model,
    load_set,
    positive,
    write_json,
)
from nn.experiment.terminal import folded
from nn.inference.split import describe, make_plans
from nn.networks.model import Sequential
from nn.networks.pretrained import OTHER_NAMES, known_names
from nn.planning.plan import MODES, make_plan, with_seconds
from nn.training.quantize import quantize_pixels
from nn.training.train import RECIPES
from yashe.arithmetic.parallel import available_cores
from yashe.arithmetic.residues import IntArray
from yashe.errors import DataError
from yashe.parameters.security import LEVELS


def add_commands(commands: Any) -> None:
    """Add the command."""
    planning = add_command(
        commands, plan_command, "show what a network needs before anything is encrypted"
    )
    planning.add_argument(
        "model",
        help=f"one of {', '.join(known_names())} (the same as cryptonets), or a network's file",
    )
    planning.add_argument(
        "--security", type=int, default=128, choices=LEVELS, help="bits (default: %(default)s)"
    )
    planning.add_argument(
        "--mode",
        choices=MODES,
        default="batch",
        help="batch, single, or auto: what is faster for --images (default: %(default)s)",
    )
    planning.add_argument(
        "--images", "--rows", type=positive, default=1, metavar="N", help="default: %(default)s"
    )
    planning.add_argument(
        "--untimed", action="store_true", help="do not say how long it takes on this machine"
    )
    planning.add_argument(
        "--calibrate",
        action="store_true",
        help="measure how fast this machine is even if that is known, in some seconds",
    )
    add_device_option(planning)
    planning.add_argument("--json", type=Path, metavar="FILE", help="write the plan there, too")
    add_data_option(planning)


def plan_command(arguments: argparse.Namespace) -> None:
    """Prove the range of every layer for all possible images, and choose parameters.

    They are the cheapest of the security table; the noise is predicted, and the costs are counted.
    The first time, after a month, and when this machine is busier or less busy than it was, some
    seconds are spent on measuring how fast it is.
    """
    name = OTHER_NAMES.get(arguments.model, arguments.model)
    model = load_model(name)
    print(model.summary(), end="\n\n")
    pixels, mode = shown_pixels(name, model, arguments), arguments.mode
    if mode == "auto":
        chosen = make_plan(model, security=arguments.security, mode=mode, images=arguments.images)
        print(folded(chosen.reasons[-1]), end="\n\n")
        mode = chosen.mode
    plans = make_plans(model, arguments.security, pixels, mode)
    if not arguments.untimed:
        given = available_cores(), arguments.calibrate, arguments.device
        if mode == "single":  # the first of the runs knows the others
            plans = with_seconds(plans[0], *given).runs
        else:
            plans = tuple(with_seconds(plan, *given) for plan in plans)
    print(folded(describe(plans)))
    known = [plan.calibration for plan in plans if plan.calibration]
    if known:
        print(f"times   {min(known, key=lambda each: each.at)}")
    for plan in plans:
        print(folded("\n".join(["", repr(plan.params), *plan.reasons])))
    if arguments.json:
        write_json(arguments.json, {"plans": [plan.as_json() for plan in plans]})


def shown_pixels(name: str, model: Sequential, arguments: argparse.Namespace) -> IntArray | None:
    """Return the test images of a known network as its pixels, if they are there."""
    if name not in RECIPES:
        return None
    try:
        dataset = load_set(RECIPES[name].data, arguments)
    except DataError:
        return None
    return quantize_pixels(dataset.test_images, dataset.pixel_max, model.info.levels)
