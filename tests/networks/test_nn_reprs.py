"""What is printed at a prompt says what it is, in a line, without an address in memory."""

from typing import Any

import numpy as np
import pytest

from nn.cluster.coordinator import Crew, Task
from nn.cluster.crews import RestartingPool
from nn.cluster.tasks import Network, first_stage_parts
from nn.data.sets import load_digits
from nn.data.sources import Images
from nn.experiment import Result, Story
from nn.inference.encrypted import Report
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.planning.proofs import ranges
from nn.service.client import Client
from nn.training.optim import SGD, Adam
from nn.training.quantize import StraightThrough, folded

DIGITS = pretrained("digits")
PLAN = make_plan(DIGITS)


def trained() -> Sequential:
    layers = [Flatten(), Dense(3, bias=False), BatchNorm(), Square()]
    layers += [Dense(2, bias=False), BatchNorm()]
    return Sequential(layers, (2, 2, 1), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (Conv2D(5, 5, stride=2, pad_end=1), "Conv2D(maps=5, kernel=5, stride=2, pad_end=1)"),
        (Conv2D(5, 5, pad_start=1), "Conv2D(maps=5, kernel=5, pad_start=1)"),
        (Conv2D(2, 3, bias=False), "Conv2D(maps=2, kernel=3, bias=False)"),
        (Dense(10), "Dense(units=10)"),
        (MeanPool(2), "MeanPool(size=2)"),
        (Square(), "Square()"),
        (Flatten(), "Flatten()"),
        (BatchNorm(), "BatchNorm()"),
        (
            Sequential([Flatten(), Dense(3), Square()], (2, 2, 1)),
            "Sequential([Flatten(), Dense(units=3), Square()], (2, 2, 1)) -> (3,)",
        ),
        (
            load_digits(),
            "Dataset('digits': 1,347 training and 450 test images, 8 x 8 pixels 0..16)",
        ),
        (SGD(trained().parameters()), "SGD(6 arrays, 25 numbers)"),
        (Adam(trained().parameters()), "Adam(6 arrays, 25 numbers)"),
        (
            Images(np.zeros((5, 3, 2, 1)), 255),
            "Images(5 of shape (3, 2, 1), 0..255, without labels)",
        ),
        (Client("http://here:80", "secret-token"), "Client('http://here:80')"),
        (ranges(DIGITS, 4)[-1], "Interval(shape=(10,), up to 41.8 bits)"),
        (DIGITS.layers[0].patches[0], "Patch(36 positions, 9 taps)"),
        (Network(DIGITS, b"a key"), f"Network(model={DIGITS!r})"),
        (Story(print), "Story({}, {})"),
        (
            Result(np.zeros((9, 2)), 9, 0.5, {"infer": 1.5}, 1.0, 1.0, PLAN),
            "Result(BGV: 9 images, 9 as the integers, accuracy 50.00%, 1.50 s on the server)",
        ),
    ],
    ids=lambda x: type(x).__name__,
)
def test_the_text_of_a_thing(thing: Any, text: str) -> None:
    assert repr(thing) == text


def test_the_text_of_a_layer_makes_an_equal_one() -> None:
    names = {kind.__name__: kind for kind in (Conv2D, Dense, MeanPool, Square, Flatten)}
    for layer in (*DIGITS.layers, Conv2D(1, 2, bias=False), MeanPool(3)):
        assert eval(repr(layer), names).settings() == layer.settings()


def test_no_text_is_long_or_has_an_address() -> None:
    model = trained()
    straight = StraightThrough(model, (3, 3), (1.0, 1.0))
    parts = first_stage_parts(DIGITS, 2)
    things = [
        *(Report(), straight, straight.weights[0], *folded(model), *parts, *parts[0].tiles),
        *(PLAN.program.forecasts()[-1], Crew(RestartingPool(1), 1, "1 process")),
        *(Task(1, print, bytes(10**5), 1.0), PLAN),
    ]
    for thing in things:
        text = repr(thing)
        assert " at 0x" not in text, text
        assert "array(" not in text, text
        assert len(text) < 300, text
