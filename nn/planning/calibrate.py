"""How long the operations of a network take on this machine: measured once, then remembered.

`calibrate` times each kind of operation for given parameters, in a few seconds, and keeps the
result in a file in the user's cache. With the counts of a network that gives its run time before
the run (`nn.planning.plan`). Times depend on what else the machine does, so they are estimates.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yashe.arithmetic.parallel import available_cores, workers
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.circuits.columns import SquareLayer, Units
from yashe.circuits.products import SumsOfSquares
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.schemes.bgv import BGV
from yashe.wire.files import whole_file

REPEATS = 3  # the fastest of so many counts: whatever disturbs makes things slower, never faster

# The kinds of work that a network consists of.
KINDS = (
    "encrypt",  # an image position, by its owner
    "multiply_add",  # an integer times a fresh ciphertext, added to another
    "output",  # a ciphertext that a linear layer writes
    "square",  # a tensor square
    "weigh",  # an integer times a tensor square, added to a sum
    "sum",  # such a sum, scaled down
    "relinearize",
    "decrypt",
    "transform",  # of one polynomial modulo one prime, with what is done between transforms
)
Work = Mapping[str, int]  # how many of each kind


@dataclass(frozen=True)
class Calibration:
    """Seconds for one operation of every kind, under the parameters and workers measured."""

    seconds: Mapping[str, float]

    def estimate(self, work: Work) -> float:
        """Return the seconds that this work takes."""
        return sum(count * self.seconds[kind] for kind, count in work.items())


def best_time(step: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(params: Params, scheme_type: Callable[[Params], Scheme] = BGV) -> Calibration:
    """Time all kinds of operations, in the shapes in which networks use them."""
    scheme, rng = scheme_type(params), np.random.default_rng(0)
    keys = scheme.keygen(bytes(32))
    positions, taps, maps, units = 16, 25, 5, 64
    values = np.zeros((taps, 1), dtype=np.int64)
    ct = scheme.encrypt(values, keys.encryption, bytes(32))
    hidden = Units(
        rng.integers(0, taps, (positions, taps)),
        rng.integers(1, 4, (taps, maps), dtype=np.int64),
        rng.integers(1, 4, maps, dtype=np.int64),
    )
    dense = rng.integers(1, 4, (hidden.size, units), dtype=np.int64)
    kinds, total = (by_columns if scheme.ntt_form else by_units)(scheme, ct, hidden, dense)

    def relinearize() -> Ciphertext:
        return scheme.ready_for_product(scheme.relinearize(total, keys.relinearization))

    one = total.reshape(-1)[:1]
    cut = best_time(lambda: scheme.relinearize(one, keys.relinearization))
    again = best_time(lambda: scheme.encrypt(values, keys.encryption, bytes(32)))
    seconds = {
        "encrypt": again / taps,
        "decrypt": best_time(lambda: scheme.decrypt(ct, keys.secret)) / taps,
        "relinearize": best_time(relinearize) / total.size,
        "transform": cut / (one.params.k + one.params.k**2),
        **kinds,
    }
    return Calibration(seconds)


def by_columns(
    scheme: Scheme, ct: Ciphertext, hidden: Units, dense: IntArray
) -> tuple[dict[str, float], Ciphertext]:
    """Time the square layer of schemes in NTT form, and return some sums of squares.

    All of it is one computation. With a single tap, or a single result, it takes the same squares
    and less of one kind of product.
    """
    one_tap = Units(hidden.inputs[:, :1], hidden.weight[:1], hidden.bias)

    def time_of(hidden: Units, dense: IntArray) -> float:
        return best_time(SquareLayer(scheme, ct, [hidden], dense).sums)

    full, narrow = time_of(hidden, dense), time_of(hidden, dense[:, :1])
    squares = time_of(one_tap, dense[:, :1])
    taps = len(hidden.weight) - 1
    return {
        "multiply_add": max(narrow - squares, 0.0) / (hidden.size * taps),
        "output": 0.0,
        "square": squares / hidden.size,
        "weigh": max(full - narrow, 0.0) / dense[:, 1:].size,
        "sum": 0.0,
    }, SquareLayer(scheme, ct, [hidden], dense[:, :8]).sums()


def by_units(
    scheme: Scheme, ct: Ciphertext, hidden: Units, dense: IntArray
) -> tuple[dict[str, float], Ciphertext]:
    """Time the square layer of schemes in coefficient form, and return some sums of squares.

    With a single result it takes the same squares, and less of the products with integers.
    """
    patches = ct[hidden.inputs]
    units = (patches @ hidden.weight).reshape(-1)

    def time_of(dense: IntArray) -> float:
        sums = SumsOfSquares(scheme, dense.shape[1])
        return best_time(lambda: sums.add_squares(units, dense))

    full, single = time_of(dense), time_of(dense[:, :1])
    seconds = {
        "square": single / units.size,
        "weigh": max(full - single, 0.0) / dense[:, 1:].size,
    }
    # A product with one tap costs the same outputs, and a fraction of the products.
    wide = best_time(lambda: patches.affine(hidden.weight, hidden.bias))
    narrow = best_time(lambda: patches[:, :1].affine(hidden.weight[:1], hidden.bias))
    seconds["multiply_add"] = max(wide - narrow, 0.0) / (units.size * (len(hidden.weight) - 1))
    seconds["output"] = narrow / units.size
    few = SumsOfSquares(scheme, 8)
    few.add_squares(units, dense[:, :8])
    start = time.perf_counter()
    total = few.total()
    seconds["sum"] = (time.perf_counter() - start) / total.size
    return seconds, total


def cache_file() -> Path:
    """Return where calibrations are kept: `$XDG_CACHE_HOME/cryptonets/calibration.json`."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cryptonets" / "calibration.json"


def calibrate(
    params: Params,
    scheme_type: Callable[[Params], Scheme] = BGV,
    threads: int | None = None,
    again: bool = False,
) -> Calibration:
    """Return the times for these parameters on this machine, measured now or remembered.

    A cache that cannot be read or written is no error: then it is measured again.

    Parameters
    ----------
    params, scheme_type : what will be run
    threads : workers that will run it, by default one for each core
    again : whether to measure even if the cache knows
    """
    threads = threads or available_cores()
    name = scheme_type(params).name
    key = f"{platform.node()} {np.__version__} {name} {params.digest[:16]} x{threads}"
    known = read_cache()
    found = known.get(key, {})
    if again or set(found) != set(KINDS):
        with workers(threads):
            found = dict(measure(params, scheme_type).seconds)
        write_cache({**known, key: found})
    return Calibration(found)


def read_cache() -> dict[str, dict[str, float]]:
    """Return what the cache holds that looks like calibrations."""
    try:
        content = json.loads(cache_file().read_text("utf-8"))
        return {
            str(key): {str(kind): float(seconds) for kind, seconds in entry.items()}
            for key, entry in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def write_cache(content: dict[str, dict[str, float]]) -> None:
    """Write the cache, whole or not at all."""
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(json.dumps(content, indent=1).encode())
    except OSError:
        return
