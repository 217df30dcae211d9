"""Plots: what they draw, not how it looks."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nn.pictures
from nn.data.sets import load_digits
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from yashe.errors import ParameterError
from yashe.parameters.sets import INSECURE_TOY
from yashe.pictures import plots
from yashe.schemes.bfv import BFV

ROOT = Path(__file__).resolve().parent.parent.parent
pytest.importorskip("matplotlib").use("agg")


def texts(figure: Any) -> list[str]:
    """Every text of a figure: titles, labels, annotations."""
    found = [axis.get_title() for axis in figure.axes]
    found += [axis.get_xlabel() for axis in figure.axes]
    found += [axis.get_ylabel() for axis in figure.axes]
    found += [text.get_text() for axis in figure.axes for text in axis.texts]
    if figure._suptitle is not None:
        found.append(figure._suptitle.get_text())
    return found


def test_curves_have_their_points_names_and_labels() -> None:
    series = {"slow": ([4, 8], [1.0, 4.0]), "fast": ([4, 8], [0.1, 0.2])}
    (axis,) = plots.curves(series, "degree n", "seconds").axes
    assert [line.get_label() for line in axis.lines] == ["slow", "fast"]
    assert list(axis.lines[0].get_ydata()) == [1.0, 4.0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("degree n", "seconds")
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")


def test_curves_differ_without_colours() -> None:
    series = {f"{i}": ([4, 8], [1.0, 1.0 + i]) for i in range(7)}
    lines = plots.curves(series, "x", "y").axes[0].lines
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 7


def test_a_histogram_counts_every_error() -> None:
    errors = [0, 0, 1, -1, 2, 3, -3]
    (axis,) = plots.noise_histogram(errors, sigma=3.2, limit=1000).axes
    assert sum(bar.get_height() for bar in axis.patches) == len(errors)
    assert "1e+03" in axis.get_xlabel()


def test_a_histogram_shows_the_limit_only_if_it_is_in_the_picture() -> None:
    near = plots.noise_histogram([0, 1], sigma=3.2, limit=10).axes[0]
    far = plots.noise_histogram([0, 1], sigma=3.2, limit=10**6).axes[0]
    assert len(near.lines) == len(far.lines) + 2


def test_the_clocks_show_the_residues() -> None:
    figure = plots.rns_clock(12, [5, 7])
    assert [axis.get_title() for axis in figure.axes] == ["12 mod 5 = 2", "12 mod 7 = -2"]
    hand = figure.axes[0].lines[-1]
    angle = math.pi / 2 - 2 * math.pi * 2 / 5
    assert np.allclose(hand.get_xydata()[1], [math.cos(angle), math.sin(angle)])


def test_the_grid_shows_every_slot_with_its_exponent() -> None:
    (axis,) = plots.slot_grid([10, 11, 12, 13]).axes
    shown = [text.get_text() for text in axis.texts]
    assert [text.split("\n")[0] for text in shown] == ["10", "11", "12", "13"]
    assert [text.split("^")[1] for text in shown] == ["{1}$", "{5}$", "{7}$", "{3}$"]


def test_the_transform_has_log2_n_levels_and_its_matrices() -> None:
    figure = plots.ntt_forms(8)
    wires = figure.axes[0].lines
    assert len(wires) == 3 * 8 * 2
    assert sum(wire.get_linestyle() == "--" for wire in wires) == 3 * 4
    shapes = [axis.images[0].get_array().shape for axis in figure.axes[1:]]
    assert shapes == [(2, 2), (2, 4), (2, 4), (2, 2), (2, 2)]  # W in two quarters


def test_exactness_shows_the_proved_limits() -> None:
    figure = plots.exactness([4, 8], {"24 bits": [0.0, 0.5], "25 bits": [0.5, 1.0]}, [128, 32])
    assert {"proved up to 128", "proved up to 32"} <= set(texts(figure))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.ntt_forms(128), "needs n = 4, 8, 16, 32 or 64, not 128"),
        (lambda: plots.slot_grid(range(6)), "n = 4, 8, 16, 32 or 64 slots, not 6"),
        (lambda: plots.rns_clock(1, [97]), "moduli up to 60 can be drawn as clocks"),
        (lambda: nn.pictures.digits(np.zeros((0, 8, 8, 1))), "there is no image to draw"),
        (
            lambda: nn.pictures.misclassified(np.zeros((1, 8, 8, 1)), np.array([1]), np.array([1])),
            "no image is misclassified",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        draw()


DIGITS = load_digits()


def test_digits_come_with_captions() -> None:
    figure = nn.pictures.digits(DIGITS.test_images[:10], DIGITS.test_labels[:10])
    assert [axis.get_title() for axis in figure.axes[:10]] == [
        f"{x}" for x in DIGITS.test_labels[:10]
    ]
    assert len(figure.axes) == 16, "the second row is filled up with empty axes"


def test_misclassified_images_say_what_was_taken_for_what() -> None:
    labels = DIGITS.test_labels[:5]
    predictions = labels.copy()
    predictions[3] = (labels[3] + 1) % 10
    figure = nn.pictures.misclassified(DIGITS.test_images[:5], labels, predictions)
    assert [axis.get_title() for axis in figure.axes] == [f"{predictions[3]} for {labels[3]}"]


def test_the_confusion_matrix_counts() -> None:
    (axis,) = nn.pictures.confusion(np.array([0, 0, 1, 9]), np.array([0, 1, 1, 9])).axes
    assert axis.get_title() == "3 of 4 right (75.00%)"
    counts = {text.get_position(): text.get_text() for text in axis.texts}
    assert counts == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (9, 9): "1"}


def test_weights_are_counted_layer_by_layer() -> None:
    model = pretrained("digits")
    figure = nn.pictures.weights(model)
    linear = [layer for layer, _ in model.linear_layers()]
    for axis, layer in zip(figure.axes, linear, strict=True):
        heights = [bar.get_height() for bar in axis.patches]
        assert sum(heights) == layer.parameters["weight"].size


def test_activations_stay_below_what_is_proved() -> None:
    model = pretrained("digits")
    pixels = np.zeros((2, 8, 8, 1), dtype=np.int64)
    (axis,) = nn.pictures.activations(model, pixels).axes
    heights = [bar.get_height() for bar in axis.patches]
    proved, seen = heights[: len(model.layers)], heights[len(model.layers) :]
    assert all(x <= y for x, y in zip(seen, proved, strict=True))
    assert proved[-1] == pytest.approx(make_plan(model).range_bits)


def test_the_budget_falls_as_planned() -> None:
    plan = make_plan(pretrained("digits"))
    (axis,) = nn.pictures.budget(plan, [150.0]).axes
    expected = [step.budget_bits for step in plan.steps[:5]]
    assert list(axis.lines[0].get_ydata()) == expected
    assert list(axis.lines[2].get_ydata()) == [150.0]


def test_both_sides_show_the_residues_of_the_ciphertexts() -> None:
    scheme = BFV(INSECURE_TOY)
    keys = scheme.keygen(bytes(32))
    ct = scheme.encrypt([[1], [2]], keys.secret, bytes(32))
    logits = np.array([1, 5, 2])
    figure = nn.pictures.both_sides(DIGITS.test_images[0], ct[0], ct[1], logits)
    shown = figure.axes[2].images[0].get_array()
    assert np.array_equal(np.asarray(shown).ravel(), ct.rows[1, 1, 0])
    assert figure.axes[3].get_title() == "client: it is a 1"


@pytest.mark.parametrize("module", [plots, nn.pictures], ids=lambda module: module.__name__)
def test_every_plot_has_a_docstring_and_returns_a_closed_figure(module: ModuleType) -> None:
    assert plots.pyplot.get_fignums() == [], "a figure that stays open is shown twice in a notebook"
    for name, function in vars(module).items():
        if callable(function) and getattr(function, "__module__", "") == module.__name__:
            assert function.__doc__ or name.startswith("_"), name


def test_without_matplotlib_the_error_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from yashe.pictures import plots\n"
        "plots.rns_clock(1, [5])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "ParameterError: plots need matplotlib" in run.stderr
