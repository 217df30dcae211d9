"""How long the operations of a network take on this machine: measured, then remembered for a while.

`calibrate` times each kind of operation for given parameters, in a few seconds, and keeps the
result in a file in the user's cache. With the counts of a network that gives its run time before
the run (`nn.planning.plan`). Times depend on what else the machine does, so they are estimates, and
what is remembered holds for the machine, the versions and about the load under which it was
measured, and for a month.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
import timeit
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from nn.networks.checks import json_object
from yashe import __version__
from yashe.arithmetic.parallel import available_cores, workers
from yashe.arithmetic.places import CPU, place
from yashe.arithmetic.residues import IntArray, reduce
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.circuits.columns import SquareLayer, Units
from yashe.circuits.products import SumsOfSquares
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.schemes.bgv import BGV
from yashe.wire.files import whole_file

KEPT = 30 * 86400  # seconds; then it is measured again
LARGEST_CACHE = 2**22  # bytes
APART = 0.5  # so much more or less load on each core, and it is measured again
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
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
    "pass",  # over one polynomial modulo one prime: a product, a sum, a reduction
)
Work = Mapping[str, int]  # how many of each kind
Timed = Callable[[Callable[[], object]], float]  # the seconds of a step


# What `measure` has found on two cores for n = 8192 and eight primes, in milliseconds: True for
# ciphertexts in NTT form. Only the ratios matter: a run tells its progress in this currency.
TYPICAL = {
    True: {"multiply_add": 0.007, "output": 0.0, "square": 0.6, "weigh": 0.02, "sum": 0.0,
           "relinearize": 14.0, "transform": 0.2, "pass": 0.08},
    False: {"multiply_add": 0.026, "output": 0.6, "square": 6.8, "weigh": 0.02, "sum": 13.0,
            "relinearize": 24.0, "transform": 0.3, "pass": 0.08},
}  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """Seconds for one operation of every kind, under the parameters and workers measured.

    Attributes
    ----------
    seconds : by kind
    at : when they were measured, in seconds since 1970
    load : of each core by other programs just before, 0 if there were none; None if nobody counts
    """

    seconds: Mapping[str, float]
    at: float = 0.0
    load: float | None = None

    def estimate(self, work: Work) -> float:
        """Return the seconds that this work takes."""
        return sum(count * self.seconds[kind] for kind, count in work.items())

    def holds(self, now: float, load: float | None) -> bool:
        """Return whether these times can still be used, at a time and under a load."""
        apart = 0.0 if self.load is None or load is None else abs(self.load - load)
        return set(self.seconds) == set(KINDS) and 0 <= now - self.at <= KEPT and apart <= APART

    def __str__(self) -> str:
        age = time.time() - self.at
        unit, name = next((u, n) for u, n in UNITS if age >= u or u == 1)
        count = int(age / unit)
        text = f"measured {count} {name}{'s' * (count != 1)} ago"
        return text if self.load is None else f"{text}, with {self.load:.1f} programs on each core"


def best_time(step: Callable[[], object], wait: Callable[[], None] = CPU.wait) -> float:
    """Return the seconds of the fastest of a few calls, until a device has done them."""

    def done() -> None:
        step()
        wait()

    return min(timeit.repeat(done, number=1, repeat=REPEATS))


@noise.unchecked()
def measure(
    params: Params, scheme_type: Callable[[Params], Scheme] = BGV, device: str = "cpu"
) -> Calibration:
    """Time all kinds of operations, in the shapes in which networks use them.

    What they take does not depend on the noise, and the parameters need not carry all of them.
    Small work takes as long as its calls, with threads and on a GPU, so there are hundreds of
    units; whatever the client does is done on a processor.
    """
    scheme, rng = scheme_type(params), np.random.default_rng(0)
    keys, wait = scheme.keygen(bytes(32)), place(device).wait
    positions, taps, maps, units = 64 if device == "cpu" else 128, 25, 5, 64
    values = np.zeros((taps, 1), dtype=np.int64)
    ct = scheme.encrypt(values, keys.encryption, bytes(32))
    hidden = Units(
        rng.integers(0, taps, (positions, taps)),
        rng.integers(1, 4, (taps, maps), dtype=np.int64),
        rng.integers(1, 4, maps, dtype=np.int64),
    )
    dense = rng.integers(1, 4, (hidden.size, units), dtype=np.int64)
    timed = partial(best_time, wait=wait)
    one_stage = by_columns if scheme.ntt_form else by_units
    kinds, total = one_stage(scheme, ct.to(device), hidden, dense, timed)
    key = keys.relinearization.to(device)

    def relinearize() -> Ciphertext:
        return scheme.ready_for_product(scheme.relinearize(total, key))

    one = total.reshape(-1)[:1]
    cut = timed(lambda: scheme.relinearize(one, key))
    rows, moduli = ct.rows, params.ring.moduli
    over = best_time(lambda: reduce(rows * rows + rows, moduli))
    again = best_time(lambda: scheme.encrypt(values, keys.encryption, bytes(32)))
    seconds = {
        "encrypt": again / taps,
        "decrypt": best_time(lambda: scheme.decrypt(ct, keys.secret)) / taps,
        "relinearize": timed(relinearize) / total.size,
        "transform": cut / (one.params.k + one.params.k**2),
        "pass": over / math.prod(rows.shape[:-1]),
        **kinds,
    }
    return Calibration(seconds)


def by_columns(
    scheme: Scheme, ct: Ciphertext, hidden: Units, dense: IntArray, timed: Timed
) -> tuple[dict[str, float], Ciphertext]:
    """Time the square layer of schemes in NTT form, and return some sums of squares.

    All of it is one computation. With a single tap, or a single result, it takes the same squares
    and less of one kind of product.
    """
    one_tap = Units(hidden.inputs[:, :1], hidden.weight[:1], hidden.bias)

    def time_of(hidden: Units, dense: IntArray) -> float:
        return timed(SquareLayer(scheme, ct, [hidden], dense).sums)

    full, narrow = time_of(hidden, dense), time_of(hidden, dense[:, :1])
    squares = time_of(one_tap, dense[:, :1])
    taps = len(hidden.weight) - 1
    return {
        "multiply_add": max(narrow - squares, 0.0) / (hidden.size * taps),
        "output": 0.0,
        "square": squares / hidden.size,
        "weigh": max(full - narrow, 0.0) / dense[:, 1:].size,
        "sum": 0.0,
    }, SquareLayer(scheme, ct, [hidden], dense[:, : results_of(ct)]).sums()


def results_of(ct: Ciphertext) -> int:
    """Return how many sums are relinearised at once: few, or enough for a GPU."""
    return 8 if ct.place == "cpu" else 64


def by_units(
    scheme: Scheme, ct: Ciphertext, hidden: Units, dense: IntArray, timed: Timed
) -> tuple[dict[str, float], Ciphertext]:
    """Time the square layer of schemes in coefficient form, and return some sums of squares.

    With a single result it takes the same squares, and less of the products with integers.
    """
    patches = ct[hidden.inputs]
    units = (patches @ hidden.weight).reshape(-1)

    def time_of(dense: IntArray) -> float:
        sums = SumsOfSquares(scheme, dense.shape[1])
        return timed(lambda: sums.add_squares(units, dense))

    full, single = time_of(dense), time_of(dense[:, :1])
    seconds = {
        "square": single / units.size,
        "weigh": max(full - single, 0.0) / dense[:, 1:].size,
    }
    # A product with one tap costs the same outputs, and a fraction of the products.
    wide = timed(lambda: patches.affine(hidden.weight, hidden.bias))
    narrow = timed(lambda: patches[:, :1].affine(hidden.weight[:1], hidden.bias))
    seconds["multiply_add"] = max(wide - narrow, 0.0) / (units.size * (len(hidden.weight) - 1))
    seconds["output"] = narrow / units.size
    few = SumsOfSquares(scheme, results_of(ct))
    few.add_squares(units, dense[:, : few.results])
    seconds["sum"] = timed(few.total) / few.results
    return seconds, few.total()


def cache_file() -> Path:
    """Return where calibrations are kept: `$XDG_CACHE_HOME/cryptonets/calibration.json`."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cryptonets" / "calibration.json"


def machine() -> str:
    """Name this machine and the versions that run on it, as far as both decide the times."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")  # says more, where it is
    if info.exists():
        lines = info.read_text(errors="replace").splitlines()
        found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        processor = next(found, processor)
    python = platform.python_version()
    versions = f"Python {python}, NumPy {np.__version__}, yashe {__version__}"
    return f"{platform.node()}, {processor}, {available_cores()} cores, {versions}"


def load_of_cores() -> float | None:
    """Return how many programs compute for each core, on average of a minute, or None."""
    try:
        return os.getloadavg()[0] / available_cores()
    except (AttributeError, OSError):  # Windows has no such function
        return None


def calibrate(
    params: Params,
    scheme_type: Callable[[Params], Scheme] = BGV,
    threads: int | None = None,
    again: bool = False,
    device: str = "cpu",
    together: int = 1,
) -> Calibration:
    """Return the times for these parameters on this machine, measured now or remembered.

    A cache that cannot be read or written is no error: then it is measured again.

    Parameters
    ----------
    params, scheme_type : what will be run
    threads : workers that will run it, by default one for each core
    again : whether to measure even if the cache knows
    device : where the server computes
    together : how many processes of a processor will do that at the same time; they share its
        memory and more, so they are measured together
    """
    threads = threads or available_cores()
    name, now, load = scheme_type(params).name, time.time(), load_of_cores()
    key = f"{machine()}: {name} {params.digest[:16]} x{threads}"
    key += "" if device == "cpu" else f" with {place(device).about}"
    key += f", {together} together" * (together > 1)
    known = read_cache()
    if not again and key in known and known[key].holds(now, load):
        return known[key]
    if together > 1:
        with ProcessPoolExecutor(together, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(measure, params, scheme_type) for _ in range(together)]
            times = [job.result().seconds for job in jobs]
        found = Calibration({kind: max(x[kind] for x in times) for kind in KINDS}, now, load)
    else:
        with workers(threads):
            found = Calibration(measure(params, scheme_type, device).seconds, now, load)
    fresh = {other: times for other, times in known.items() if 0 <= now - times.at <= KEPT}
    write_cache({**fresh, key: found})
    return found


def read_cache() -> dict[str, Calibration]:
    """Return what the cache holds that looks like calibrations."""
    found = {}
    try:
        for key, entry in json_object(cache_file().read_bytes(), LARGEST_CACHE).items():
            seconds = {kind: float(value) for kind, value in entry["seconds"].items()}
            load = None if entry["load"] is None else float(entry["load"])
            found[key] = Calibration(seconds, float(entry["at"]), load)
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {}
    return found


def write_cache(content: dict[str, Calibration]) -> None:
    """Write the cache, whole or not at all."""
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(json.dumps({k: asdict(v) for k, v in content.items()}, indent=1).encode())
    except OSError:
        return
