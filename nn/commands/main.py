"""The command line: `cryptonets demo`, `mnist`, `train`, `plan`; others in `nn.commands.roles`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path

import numpy as np

from nn.bench import gpu, measurements
from nn.cluster.coordinator import Crew
from nn.cluster.crews import dask_cluster, processes
from nn.commands import planning, roles, service, tables
from nn.commands.options import (
    add_command,
    add_data_option,
    add_device_option,
    load_set,
    natural,
    positive,
    write_json,
)
from nn.data.sets import Dataset, load_digits
from nn.experiment import Result, beside_others, beside_the_paper, drawing, run
from nn.networks.model import Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import MODES
from nn.training.quantize import quantize_pixels
from nn.training.train import RECIPES, train
from yashe import __version__
from yashe.arithmetic.parallel import available_cores, workers
from yashe.arithmetic.places import place
from yashe.errors import DataError, FheError
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE
from yashe.wire.files import check_output, is_stdout

OUTPUTS = ("out", "json", "picture", "csv")  # options that name a file to be written
INPUTS = ("data", "images", "model", "card", "input", "reply", "file", "labels")  # or to be read
DIGITS_SHOWN = 4
SCHEMES: dict[str, type[Scheme]] = {"bgv": BGV, "bfv": BFV, "yashe": YASHE}
YASHE_WARNING = """\
WARNING: YASHE' is broken. Anybody can compute the secret key from the public
key, at these parameters with plain lattice reduction. This run shows how the
CryptoNets paper of 2016 computed; never encrypt anything with it that matters.
The default scheme, bgv, is not affected.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, or 1 after an error that is the user's to mend."""
    arguments = parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    outputs = [path for path in map(vars(arguments).get, OUTPUTS) if path is not None]
    try:
        place(vars(arguments).get("device", "cpu"))  # before the work
        check_outputs(arguments, outputs)  # before the work, not after it
        # `--out /dev/stdout | ...` sends the file alone; what is said to the user goes to stderr.
        with redirect_stdout(sys.stderr if any(map(is_stdout, outputs)) else sys.stdout):
            arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the output has seen enough, like `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FheError, OSError) as error:  # of the system: a folder that nobody may look into
        print(f"cryptonets: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:  # the processor's, or a GPU's
        print(f"cryptonets: too little memory. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncryptonets: interrupted", file=sys.stderr)
        return 130
    return 0


def check_outputs(arguments: argparse.Namespace, outputs: Sequence[Path]) -> None:
    """Refuse outputs that cannot be written, or would take the place of an input or of each other.

    Raises
    ------
    FormatError, DataError
    """
    given = [vars(arguments).get(name) for name in INPUTS]
    each = [entry for some in given for entry in (some if isinstance(some, list) else [some])]
    files = [Path(entry) for entry in each if isinstance(entry, str | Path)]
    taken = {file.resolve() for file in files if file.is_file()}
    for path in outputs:
        if check_output(path):
            continue  # a pipe or a device, which may well be both
        if (target := path.resolve()) in taken:
            raise DataError(
                f"{path} is named twice, and what is read from it or written to it would be lost: "
                "give each output a file of its own"
            )
        taken.add(target)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="cryptonets",
        description="Neural networks on encrypted images: the client encrypts, a server without "
        "the key classifies, the client decrypts.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = add_command(
        commands,
        demo_command,
        "classify 8x8 handwritten digits encrypted (under a minute, needs no download)",
    )
    add_run_options(demo, "450 test digits")

    mnist = add_command(commands, mnist_command, "classify the MNIST test images encrypted")
    add_run_options(mnist, "10,000 test images")
    add_data_option(mnist)
    mnist.add_argument(
        "--model",
        default="cryptonets",
        choices=[name for name, recipe in RECIPES.items() if recipe.data == "mnist"],
        help="cryptonets: the paper's layers, 945 squares; lean: 424 squares; light: 1,000 squares "
        "and no square of a square, so that n is 4096 (default: %(default)s)",
    )

    training = add_command(
        commands,
        train_command,
        "train an integer network from scratch, on known images or on your own data",
    )
    training.add_argument(
        "data", help="what to learn: digits, mnist, a CSV file, or a folder of pictures"
    )
    training.add_argument("--model", choices=list(RECIPES), help="recipe (default: the first)")
    training.add_argument("--seed", type=natural, default=0, help="default: %(default)s")
    training.add_argument("--out", type=Path, metavar="FILE", help="where to save the network")
    add_data_option(training)
    tables.add_training_options(training)

    planning.add_commands(commands)
    benchmark = add_command(
        commands, bench_command, "measure this machine: every operation, and whole networks"
    )
    benchmark.add_argument("--quick", action="store_true", help="about a minute: digits only")
    benchmark.add_argument(
        "--seal",
        action="store_true",
        help="also run the same networks on Microsoft SEAL, in turns (extra: bench)",
    )
    benchmark.add_argument(
        "--model",
        action="append",
        choices=[name for name, recipe in RECIPES.items() if recipe.data == "mnist"],
        help="one network for MNIST only (default: cryptonets and lean)",
    )
    add_device_option(benchmark)
    benchmark.add_argument("--rounds", type=positive, default=3, help="default: %(default)s")
    benchmark.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    add_data_option(benchmark)
    roles.add_commands(commands)
    service.add_commands(commands)
    return top


def add_run_options(command: argparse.ArgumentParser, everything: str) -> None:
    """Add the options that `demo` and `mnist` share."""
    command.add_argument(
        "--images", type=positive, metavar="N", help=f"how many images (default: all {everything})"
    )
    command.add_argument(
        "--scheme",
        choices=list(SCHEMES),
        default="bgv",
        help="bgv, bfv: 128-bit security, bgv is faster; yashe: the scheme and parameters of the "
        "CryptoNets paper, which are broken, as a lesson (default: %(default)s)",
    )
    command.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        default=available_cores(),
        help="threads, or workers (default: one for each core, here %(default)s)",
    )
    command.add_argument(
        "--mode",
        choices=list(MODES),
        default="batch",
        help="batch: an image in every slot, thousands cost as much as one; single: one image at "
        "once, which answers in a moment; auto: what is faster for so many (default: %(default)s)",
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--processes",
        action="store_true",
        help="let the server's workers be processes instead of threads",
    )
    where.add_argument(
        "--dask",
        action="store_true",
        help="let them be Dask workers, started here (extra: cluster)",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let them be the workers of this Dask scheduler, wherever they are",
    )
    add_device_option(command)
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")


def demo_command(arguments: argparse.Namespace) -> None:
    """Classify handwritten digits that come with the package, encrypted.

    The network sees only ciphertexts; the answers are decrypted, and compared with those of the
    same network in the clear. Every step is shown with its time and remaining noise budget.
    """
    print("A server classifies handwritten digits that it cannot see.\n")
    classify(pretrained("digits"), load_digits(), arguments, draw=True)


def mnist_command(arguments: argparse.Namespace) -> None:
    """Do the experiment of the CryptoNets paper.

    MNIST test images are encrypted in batches of as many as there are slots, classified and
    decrypted.
    """
    dataset, model = load_set("mnist", arguments), pretrained(arguments.model)
    result = classify(model, dataset, arguments, draw=False)
    print(beside_others(result))


def classify(
    model: Sequential, dataset: Dataset, arguments: argparse.Namespace, draw: bool
) -> Result:
    """Run a network on test images, print what happens, write the JSON file."""
    count = arguments.images or len(dataset.test_images)
    if count > len(dataset.test_images):
        raise DataError(
            f"{dataset.name} has {len(dataset.test_images)} test images, {count} were asked for"
        )
    images, labels = dataset.test_images[:count], dataset.test_labels[:count]
    if arguments.scheme == "yashe":
        print(YASHE_WARNING)
    print(model.summary(), end="\n\n")
    pixels = quantize_pixels(images, dataset.pixel_max, model.info.levels)
    with workers(arguments.workers), server_crew(arguments) as crew:
        result = run(
            model, pixels, labels, scheme_type=SCHEMES[arguments.scheme], crew=crew,
            mode=arguments.mode, processes=arguments.workers, device=arguments.device,
        )  # fmt: skip
    if draw:
        print("\nWhat the server never saw, and what it said:\n")
        said = result.logits.argmax(axis=1)
        wrong = np.flatnonzero(said != labels)[:1].tolist()  # one of the mistakes, if there are any
        right = [i for i in range(count) if i not in wrong]
        shown = [*right[: DIGITS_SHOWN - len(wrong)], *wrong]
        captions = [f"{said[i]} (is a {labels[i]})" for i in shown]
        print(drawing(images[shown].astype(np.int64), captions, dataset.pixel_max))
    slots = result.plan.params.n
    batches = -(-count // slots)
    print(f"\naccuracy                {result.accuracy:.2%} of {count} images")
    print(f"encrypted = plain integers for {result.agree} of {count} images, in every logit")
    print(
        f"predictions per hour    {result.predictions_per_hour:,.0f} "
        f"({result.seconds['infer']:.1f} s on the server)"
    )
    if result.plan.mode == "batch" and count % slots:
        full = batches * slots / result.seconds["infer"] * 3600
        print(f"                        {full:,.0f} if all {slots} slots carried an image")
    if arguments.scheme == "yashe":
        note = "" if dataset.name == "mnist" else ", which classified MNIST with a larger network"
        print(f"\nBeside the CryptoNets paper{note}:\n\n{beside_the_paper(result)}\n")
    if arguments.json:
        write_json(arguments.json, result.as_json())
    return result


def server_crew(arguments: argparse.Namespace) -> AbstractContextManager[Crew | None]:
    """Start or find the server's workers; None if this process and its threads are the server."""
    if arguments.processes:
        return processes(arguments.workers)
    if arguments.dask or arguments.scheduler:
        return dask_cluster(arguments.workers, arguments.scheduler)
    return nullcontext()


def train_command(arguments: argparse.Namespace) -> None:
    """Train float networks with square activations, and round one of them to small integers.

    It goes on learning while it is rounded. Test images, and the rows of a table that are kept
    aside, are used once, for the figure that is printed.
    """
    if arguments.data not in ("digits", "mnist"):
        tables.train(arguments)
        return
    tables.check_recipe(arguments)
    fitting = [name for name, recipe in RECIPES.items() if recipe.data == arguments.data]
    name = arguments.model or fitting[0]
    if name not in fitting:
        raise DataError(f"the model {name!r} is not for {arguments.data}: take {fitting}")
    model, record = train(name, load_set(arguments.data, arguments), seed=arguments.seed)
    print(model.summary(), end="\n\n")
    for key, value in record.items():
        print(f"{key:<28}{value}")
    if arguments.out:
        model.save(arguments.out)
        print(f"saved to {arguments.out}")


def bench_command(arguments: argparse.Namespace) -> None:
    """Time every operation of the scheme, and whole networks on full batches.

    Operations are compared with what this machine reaches in a matrix product and in copying
    memory. With --device gpu: whole networks on a GPU, compared with the processor residue by
    residue.
    """
    dataset = load_set("digits" if arguments.quick else "mnist", arguments)
    names = ["digits"] if arguments.quick else arguments.model or ["cryptonets", "lean"]
    if arguments.device == "cpu":
        facts = measurements.everything(
            dataset, names, arguments.rounds, arguments.seal, arguments.quick
        )
    else:
        facts = gpu.everything(dataset, names, arguments.quick, arguments.device)
    if arguments.json:
        write_json(arguments.json, facts)
