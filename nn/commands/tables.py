"""Data of one's own on the command line: tables and pictures to learn from, rows to ask about."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn.commands.options import add_image_options, images_of, positive
from nn.data.grey import read_pictures
from nn.data.sources import Images
from nn.data.tables import Table, read_table, write_table
from nn.estimators.checks import ClippedWarning
from nn.estimators.square import WHITE, SquareNet, SquareNetRegressor, fit_pictures
from nn.networks.model import Sequential
from nn.networks.schema import Classes, Columns
from nn.service.card import ModelCard
from nn.training.quantize import quantize_pixels
from yashe.arithmetic.residues import IntArray
from yashe.errors import DataError
from yashe.wire.files import check_output, whole_file

KEPT_ASIDE = 0.2  # of the rows, to measure on
FEWEST_ROWS = 3  # one to measure on, two to learn from
MOST_CLASSES = 20  # whole numbers with more different values than this are values
SHOWN = 40  # answers in one line
SENTENCES = 5  # on clipped columns
DEFAULTS = {"target": None, "leave_out": [], "kind": None, "hidden": [16], "bits": 5, "epochs": 40}


def add_training_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `train` for tables and folders of pictures."""
    own = command.add_argument_group("for a CSV file, or a folder with a folder for each class")
    own.add_argument("--target", metavar="NAME", help="the column that shall be predicted")
    own.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="NAME",
        help="a column from which nothing shall be learnt, such as the number of a patient",
    )
    own.add_argument(
        "--kind",
        choices=["classes", "values"],
        help="what the target has (default: classes if it has texts, or at most "
        f"{MOST_CLASSES} different whole numbers)",
    )
    own.add_argument(
        "--hidden",
        type=positive,
        nargs="*",
        default=DEFAULTS["hidden"],
        metavar="UNITS",
        help="units of each hidden layer (default: 16)",
    )
    own.add_argument(
        "--bits",
        type=positive,
        default=DEFAULTS["bits"],
        help="columns become integers of so many bits (default: 5)",
    )
    own.add_argument(
        "--epochs", type=positive, default=DEFAULTS["epochs"], help="default: %(default)s"
    )


def train(arguments: argparse.Namespace) -> None:
    """`cryptonets train` on one's own data: print how well it went, save the network.

    A fifth of the rows, drawn by the seed, is kept aside and looked at once, at the end.
    """
    source = Path(arguments.data)
    if not source.exists():
        raise DataError(
            f"{source} is neither digits nor mnist, nor a CSV file or a folder of pictures"
        )
    if arguments.model:
        raise DataError(f"--model is a recipe for images; {source} takes --hidden and --bits")
    out = arguments.out or Path(f"{source.resolve().stem}.npz")
    check_output(out)
    learn(source, arguments).save(out)
    print(f"saved to {out}; 'cryptonets plan {out}' says what it needs")


def check_recipe(arguments: argparse.Namespace) -> None:
    """Refuse options of own data where a recipe says everything."""
    for name, default in DEFAULTS.items():
        if getattr(arguments, name) != default:
            option = name.replace("_", "-")
            raise DataError(
                f"--{option} is for tables and pictures of your own, and {arguments.data} has a "
                "recipe: leave it out"
            )


def learn(source: Path, arguments: argparse.Namespace) -> Sequential:
    """Learn from a table or a folder of pictures, print how well it went, return the network."""
    options = {
        "hidden": tuple(arguments.hidden),
        "bits": arguments.bits,
        "epochs": arguments.epochs,
        "random_state": arguments.seed,
    }
    if source.is_dir():
        pictures, labels = read_pictures(source)
        kept = kept_aside(len(labels), arguments.seed)
        model = fit_pictures(pictures[~kept], labels[~kept], **options)
        pixels = quantize_pixels(pictures[kept], WHITE, model.levels)
        assert model.schema is not None
        found = model.schema.answers.answers(model.forward(pixels))
        accuracy = float(np.mean(found == labels[kept]))
        print(model.summary(), end="\n\n")
        print(f"learnt from {np.sum(~kept)} pictures of {len(np.unique(labels))} classes")
        print(f"accuracy {accuracy:.2%} of {len(found)} pictures kept aside")
    else:
        if arguments.target is None:
            raise DataError(f"say with --target which column of {source} shall be predicted")
        table, targets = read_table(source, arguments.target, leave_out=arguments.leave_out)
        if len(table) < FEWEST_ROWS:
            raise DataError(
                f"{source} must have {FEWEST_ROWS} rows or more, better hundreds, of which a fifth "
                f"is kept aside to measure on; it has {len(table)}"
            )
        classes = (arguments.kind or kind_of(targets)) == "classes"
        net = (SquareNet if classes else SquareNetRegressor)(**options)
        kept = kept_aside(len(table), arguments.seed)
        net.fit(table[~kept], targets[~kept])
        model = net.model_
        print(model.summary(), end="\n\n")
        what = "classes" if classes else "values"
        print(f"learnt {what} of {arguments.target!r} from {np.sum(~kept)} rows")
        print("\n".join(shortened(net.clipped(table[kept]))))
        for name, mode in (("integers", "integers"), ("floats", "clear")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ClippedWarning)  # it has just been said
                score = net.score(table[kept], targets[kept], mode)
            shown = f"accuracy {score:.2%}" if classes else f"R^2 {score:.3f}"
            print(f"{shown} of {np.sum(kept)} rows kept aside ({name})")
    return model


def kept_aside(rows: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return which rows are kept aside: a fifth, at least one, drawn by the seed."""
    kept = np.zeros(rows, dtype=np.bool_)
    kept[np.random.default_rng(seed).permutation(rows)[: max(1, round(KEPT_ASIDE * rows))]] = True
    return kept


def kind_of(targets: npt.NDArray[Any]) -> str:
    """Return whether a column has "classes" or "values": see `add_training_options`."""
    few = targets.dtype.kind in "iU" and len(np.unique(targets)) <= MOST_CLASSES
    return "classes" if few or targets.dtype.kind == "U" else "values"


def add_input_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what shall be classified."""
    command.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="'digits' or 'mnist' (test images), IDX, .npy, .png and .jpg files; CSV files for a "
        "network that was trained on a table",
    )
    command.add_argument("--count", type=positive, metavar="N", help="only the first N images")
    add_image_options(command)


def load_input(arguments: argparse.Namespace, card: ModelCard) -> Images:
    """Return what a client wants to have classified, for the network of a card.

    Tables are prepared as the card says, so that their `white` is the card's largest integer.
    What is clipped on the way is printed.
    """
    columns = card.schema.columns
    if columns is None:
        return images_of(arguments, card.input_shape)
    tables = [load_rows(Path(source), columns) for source in arguments.images]
    rows = np.concatenate([table.values for table in tables])[: arguments.count]
    for sentence in shortened(columns.outside(rows)):
        print(sentence)
    return Images(columns.prepare(rows, card.levels), card.levels)


def load_rows(path: Path, columns: Columns) -> Table:
    """Read the columns of a network from a CSV file; others in it are passed over."""
    if str(path) in ("digits", "mnist"):
        raise DataError(
            f"this network takes tables with the columns {', '.join(columns.names[:5])}, ..., and "
            f"not {path}: give CSV files"
        )
    table: Table = read_table(path, columns=columns.names)
    return table


def shortened(sentences: list[str]) -> list[str]:
    """Return the first sentences on columns, and how many more there are."""
    more = len(sentences) - SENTENCES
    return sentences if more <= 0 else [*sentences[:SENTENCES], f"... more columns: {more}"]


def called(card: ModelCard) -> str:
    """Return what a slot holds."""
    return "images" if card.schema.columns is None else "rows"


def shown_answers(found: npt.NDArray[Any]) -> str:
    """Return the first answers in one line."""
    texts = [f"{x:.6g}" if found.dtype.kind == "f" else str(x) for x in found[:SHOWN].tolist()]
    return " ".join(texts) + (" ..." if len(found) > SHOWN else "")


def add_answer_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say where answers are written."""
    command.add_argument("--json", type=Path, metavar="FILE", help="write labels and logits there")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write a table of answers there")


def tell_answers(
    arguments: argparse.Namespace,
    card: ModelCard,
    logits: IntArray,
    labels: npt.NDArray[Any] | None,
) -> None:
    """Print what has been predicted, and write it where --csv and --json say.

    Raises
    ------
    DataError
        If there are fewer labels than images.
    """
    found = card.schema.answers.answers(logits)
    facts: dict[str, Any] = {"images": len(found), "predictions": found.tolist()}
    print(f"{len(found)} {called(card)}: {shown_answers(found)}")
    if labels is not None:
        if len(labels) < len(found):
            raise DataError(f"{len(labels)} labels for {len(found)} images")
        facts["accuracy"] = float((found == labels[: len(found)]).mean())
        print(f"accuracy {facts['accuracy']:.2%} of {len(found)} images")
    if arguments.csv:
        write_answers(arguments.csv, card, logits)
    if arguments.json:
        with whole_file(arguments.json) as file:
            file.write(json.dumps({**facts, "logits": logits.tolist()}).encode() + b"\n")


def write_answers(path: Path, card: ModelCard, outputs: IntArray) -> None:
    """Write a CSV file with what was predicted for each row, and the outputs that said so.

    One column is the class or the value. With classes there is one more for each output, the
    integer that was decrypted; a single output is that of the second class and decides by its
    sign.
    """
    answers = card.schema.answers
    found = answers.answers(outputs).tolist()
    if not isinstance(answers, Classes):
        write_table(path, ["value"], [[value] for value in found])
        return
    labels = answers.labels[-outputs.shape[1] :]
    rows = [[name, *numbers] for name, numbers in zip(found, outputs.tolist(), strict=True)]
    write_table(path, ["class", *(f"output {label}" for label in labels)], rows)
