"""How the cost of an encrypted run grows: with images, ring degree, primes, units, maps, threads.

Each series changes one thing and times the server's work. The exponent e of seconds ~ x^e is fitted
to the logarithms: 1 is proportional, 0 is free.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nn.inference.encrypted import encrypt_images, infer
from nn.networks.layers import Conv2D, Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from yashe.arithmetic.parallel import available_cores, workers
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bgv import BGV


@dataclass(frozen=True)
class Series:
    """Seconds of the server for growing x; exponent of the fitted power of x."""

    name: str
    x: list[int]
    seconds: list[float]
    exponent: float


def fitted(name: str, x: list[int], seconds: list[float]) -> Series:
    """Return a series with the slope of log(seconds) over log(x)."""
    exponent = float(np.polyfit(np.log(x), np.log(seconds), 1)[0]) if len(x) > 1 else 0.0
    return Series(name, x, seconds, exponent)


def network(maps: int = 4, hidden: int = 32) -> Sequential:
    """Return an integer network on 8x8 images with seeded weights in {-1, 1}."""
    layers = [Conv2D(maps, kernel=3), Square(), Flatten(), Dense(hidden), Square(), Dense(10)]
    model = Sequential(layers, (8, 8, 1), info=ModelInfo(name="growth", levels=4))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        for name, value in layer.parameters.items():
            signs = generator.integers(0, 2, size=value.shape, dtype=np.int64)
            layer.parameters[name] = 2 * signs - 1
    return model


def seconds_of(model: Sequential, images: int = 1, params: Params | None = None) -> float:
    """Return the server's seconds for `images` images, batch after batch."""
    plan = make_plan(model, params)
    params, scheme = plan.params, BGV(plan.params)
    keys = scheme.keygen()
    total = 0.0
    for start in range(0, images, params.n):
        size = (min(images - start, params.n), *model.input_shape)
        ct = encrypt_images(scheme, model, np.ones(size, dtype=np.int64), keys.secret)
        begin = time.perf_counter()
        infer(scheme, plan, ct, plan.server_keys(keys))
        total += time.perf_counter() - begin
    return total


def square_seconds(params: Params, repeats: int = 8) -> float:
    """Return the median time of one square with its relinearisation."""
    scheme = BGV(params)
    keys = scheme.keygen()
    ct = scheme.encrypt([1, 2, 3], keys.secret)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        scheme.relinearize(ct * ct, keys.relinearization)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def series(quick: bool = False) -> list[Series]:
    """Measure all series, on all cores where nothing else is said.

    Parameters
    ----------
    quick : fewer points, for a test run
    """

    def measure(name: str, x: list[int], seconds: Callable[[int], float]) -> Series:
        some = x[:2] if quick else x
        return fitted(name, some, [seconds(value) for value in some])

    def toy(n: int, primes: int) -> Params:
        return make_params("INSECURE_growth", n, 2**20, None, 24 * primes - 1)

    model, lean = network(), pretrained("lean")
    with workers():
        found = [
            measure(
                "images (lean network)", [1, 8192, 16384, 81920], lambda x: seconds_of(lean, x)
            ),
            measure("hidden units", [8, 16, 32, 64, 128], lambda x: seconds_of(network(hidden=x))),
            measure("maps", [1, 2, 4, 8, 16], lambda x: seconds_of(network(maps=x))),
        ]
    with workers(1):
        found += [
            measure(
                "ring degree (one square, relinearised)",
                [1024, 4096, 8192, 16384],
                lambda x: square_seconds(toy(x, 6)),
            ),
            measure(
                "primes of q (one square, relinearised)",
                [3, 4, 6, 8, 10],
                lambda x: square_seconds(toy(8192, x)),
            ),
        ]

    def with_threads(count: int) -> float:
        with workers(count):
            return seconds_of(model)

    cores = sorted({1, available_cores()})
    return [*found, measure("threads", cores, with_threads)]


def growth_table(found: list[Series]) -> str:
    """Return the series as text."""
    lines = []
    for s in found:
        points = ", ".join(f"{x:,}: {t:.3f} s" for x, t in zip(s.x, s.seconds, strict=True))
        lines.append(f"{s.name:<40}x^{s.exponent:.2f}   {points}")
    return "\n".join(lines)
