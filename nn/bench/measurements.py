"""How fast is it, and how fast could it be? The measurements behind `cryptonets bench`.

Seconds mean little on another machine, so every operation is also compared, in the same run, with
what this machine reaches in a large matrix product (GFLOP/s) and in copying memory (GB/s): the
ratio is the figure that travels. Figures are medians of several runs on one thread, unless said
otherwise.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nn.bench import operations
from nn.bench.alone import two_programs
from nn.bench.growth import growth_table, series
from nn.bench.latency import one_by_one
from nn.bench.seal import compare, comparison_table, in_processes
from nn.data.sets import Dataset
from nn.experiment import peak_memory_bytes
from nn.inference.encrypted import Report, decrypt_logits, encrypt_images, infer
from nn.networks.pretrained import pretrained
from nn.planning.calibrate import calibrate
from nn.planning.flops import network_flops, ntt_flops, relinearization_transforms
from nn.planning.plan import make_plan
from nn.training.quantize import quantize_pixels
from yashe.arithmetic.linear import RunningSums, combine
from yashe.arithmetic.parallel import available_cores, for_each, workers
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.rns import rescale
from yashe.ciphertexts.array import Ciphertext
from yashe.circuits.columns import SquareLayer, Units
from yashe.errors import ExactnessError
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rotations import RotatingScheme

ROTATIONS = 8  # of the same ciphertexts, at once


@dataclass(frozen=True)
class Speed:
    """One operation.

    Attributes
    ----------
    name : what
    seconds : median time of one operation
    spread : largest minus smallest time, relative to the median
    gflops : useful floating-point operations by the second, in 10^9; 0 where nobody counts them
    of_matrix_product : the same as a share of a large matrix product's
    of_copy : bytes read and written once, by the second, as a share of a memory copy's
    """

    name: str
    seconds: float
    spread: float
    gflops: float = 0.0
    of_matrix_product: float = 0.0
    of_copy: float = 0.0


def timed(step: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median of the times of a step, and their relative spread."""
    step()  # fills caches and lazily built tables
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    return median, (max(times) - min(times)) / median


def matrix_product_gflops(threads: int, repeats: int = 5, size: int = 1024) -> float:
    """Return what that many threads reach, each of them with large matrix products of its own."""
    a, outs = np.ones((size, size)), np.empty((threads, size, size))

    def one(out: FloatArray) -> None:
        np.matmul(a, a, out=out)

    def products() -> None:
        for_each(one, outs)

    with workers(threads):
        seconds, _ = timed(products, repeats)
    return threads * 2 * size**3 / seconds / 1e9


def machine(repeats: int = 5) -> dict[str, Any]:
    """Describe this machine, and what one thread of it reaches at most."""
    source, target = np.ones(2**23), np.empty(2**23)
    copy, _ = timed(lambda: np.copyto(target, source), repeats)
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": available_cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(terse=True),
        "matrix_product_gflops": matrix_product_gflops(1, repeats),
        "copy_gb_per_second": 2 * source.nbytes / copy / 1e9,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


Step = tuple[str, Callable[[], object], int, float, float]  # name, step, how many, flops, bytes


def micro(
    scheme: RotatingScheme, limits: dict[str, Any], repeats: int = 5, batch: int = 8
) -> list[Speed]:
    """Time the operations of a scheme, each per ciphertext or per transform of one prime."""
    turns, hoisted = range(1, ROTATIONS + 1), f"one of {ROTATIONS} rotations at once"
    params, keys = scheme.params, scheme.keygen(rotations=turns)
    n, k, q = params.n, params.k, params.ring
    many = np.tile(np.arange(n, dtype=np.int64) % 4, (batch, 1))
    ct = scheme.encrypt(many, keys.secret)
    squared = ct * ct
    x = np.repeat(ct.rows[:1, 0], batch, axis=0)
    weights = np.ones((batch, 100), dtype=np.int64)
    taps = np.arange(batch, dtype=np.int64)[None]
    transforms, row = ntt_flops(n, batch * k), 8.0 * n  # row: bytes of one residue row
    relinearization = ntt_flops(n, batch * relinearization_transforms(k, scheme.ntt_form))
    steps: list[Step] = [
        ("NTT, one prime", lambda: q.transform.ntt(x), batch * k, transforms, 0),
        ("inverse NTT, one prime", lambda: q.transform.intt(x), batch * k, transforms, 0),
        ("encode", lambda: scheme.encode(many), batch, 0, 0),
        ("encrypt with the secret key", lambda: scheme.encrypt(many, keys.secret), batch, 0, 0),
        ("encrypt with the public key", lambda: scheme.encrypt(many, keys.public), batch, 0, 0),
        ("decrypt", lambda: scheme.decrypt(ct, keys.secret), batch, 0, 0),
        ("square", lambda: ct * ct, batch, 0, row * 5 * k * batch),
        ("product", lambda: ct * ct[::-1], batch, 0, row * 7 * k * batch),
        (
            "relinearise",
            lambda: scheme.relinearize(squared, keys.relinearization),
            batch,
            relinearization,
            0,
        ),
        ("rotate", lambda: scheme.rotate(ct, 1, keys.rotations), batch, relinearization, 0),
        (hoisted, lambda: scheme.rotations(ct, turns, keys.rotations), batch * ROTATIONS, 0, 0),
        (
            f"W @ ct, {batch} inputs, per output",
            lambda: combine(ct.rows, taps, weights, params.moduli),
            100,
            2.0 * 100 * ct.rows.size,
            row * 2 * k * (100 + batch),
        ),
    ]
    others = by_columns_steps if scheme.ntt_form else by_units_steps
    steps += others(scheme, ct, squared, batch)
    found = []
    for name, step, count, flops, size in steps:
        seconds, spread = timed(step, repeats)
        gflops = flops / seconds / 1e9
        found.append(
            Speed(
                name,
                seconds / count,
                spread,
                gflops,
                gflops / limits["matrix_product_gflops"],
                size / seconds / 1e9 / limits["copy_gb_per_second"],
            )
        )
    return found


def by_columns_steps(scheme: Scheme, ct: Ciphertext, squared: Ciphertext, batch: int) -> list[Step]:
    """Return what only schemes in NTT form do."""
    k, n, units, taps = scheme.params.k, scheme.params.n, 200, 25
    rng = np.random.default_rng(0)
    hidden = Units(
        rng.integers(0, batch, (units // 5, taps)),
        rng.integers(1, 4, (taps, 5), dtype=np.int64),
        np.zeros(5, dtype=np.int64),
    )
    layer = SquareLayer(scheme, ct, [hidden], rng.integers(-3, 4, (units, 100), dtype=np.int64))
    return [
        (
            "switch the modulus by one prime",
            lambda: scheme.switch_modulus(ct, k - 1),
            batch,
            ntt_flops(n, 2 * batch * (2 * k - 1)),
            0,
        ),
        (
            f"unit of a square layer: {taps} taps, 100 sums",
            layer.sums,
            units,
            2.0 * n * k * units * (2 * taps + 3 * 100),
            0,
        ),
    ]


def by_units_steps(scheme: Scheme, ct: Ciphertext, squared: Ciphertext, batch: int) -> list[Step]:
    """Return what only schemes in coefficient form do."""
    params = scheme.params
    q, big, aux, k, n = params.ring, params.product_ring, params.auxiliary_basis, params.k, params.n
    x, row, wide_k = np.repeat(ct.rows[:1, 0], batch, axis=0), 8.0 * n, len(big.basis)
    wide = np.concatenate([x, rescale(x, q.basis, aux)], axis=-2)
    dense = RunningSums(100, squared.rows.shape[1:], params.moduli)
    weights = np.ones((batch, 100), dtype=np.int64)
    return [
        (
            "extend q to q P, one polynomial",
            lambda: rescale(x, q.basis, aux),
            batch,
            2.0 * n * k * len(aux) * batch,
            row * (k + len(aux)) * batch,
        ),
        (
            "scale q P to q, one polynomial",
            lambda: rescale(wide, big.basis, q.basis, 1 / params.delta),
            batch,
            2.0 * n * k * wide_k * batch,
            row * (k + wide_k) * batch,
        ),
        (
            "square times 100 weights, summed",
            lambda: dense.add(squared.rows, weights),
            batch,
            2.0 * 100 * squared.rows.size,
            0,
        ),
    ]


def whole(
    name: str, pixels: IntArray, threads: int, scheme_type: type[Scheme] = BGV, slots: int = 1
) -> dict[str, Any]:
    """Run a pretrained network on one batch of images, once, in rings of at least so many slots."""
    model = pretrained(name)
    plan = make_plan(model, scheme=scheme_type, slots=slots)
    params, scheme = plan.params, scheme_type(plan.params)
    pixels = np.resize(pixels, (params.n, *pixels.shape[1:]))
    seconds, report = {}, Report()

    def clocked(what: str, step: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = step()
        seconds[what] = time.perf_counter() - start
        return result

    with workers(threads):
        speed = matrix_product_gflops(threads)
        keys = clocked("keys", scheme.keygen)
        ct = clocked("encrypt", lambda: encrypt_images(scheme, model, pixels, keys.secret))
        key = plan.server_keys(keys)
        reply = clocked("infer", lambda: infer(scheme, plan, ct, key, report))
        logits = clocked("decrypt", lambda: decrypt_logits(scheme, reply, keys.secret, params.n))
    agree = int((logits == model.forward(pixels)).all(axis=1).sum())
    if agree < params.n:
        raise ExactnessError(f"{name} under {scheme}: {params.n - agree} images have wrong logits")
    flops = network_flops(plan.program)
    return {
        "model": name,
        "scheme": scheme.name,
        "threads": threads,
        "n": params.n,
        "log2_q": params.log2_q,
        "primes": params.k,
        "log2_t": params.log2_t,
        "images": params.n,
        "agree": agree,
        "seconds": seconds,
        "steps": {f"{i}: {step.what}": step.seconds for i, step in enumerate(report.steps)},
        "predictions_per_hour": params.n / seconds["infer"] * 3600,
        "gflop": flops / 1e9,
        "times_matrix_products": seconds["infer"] / (flops / 1e9 / speed),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def programs(cores: int, seal: bool) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of `whole` for our runs, by what they are; n = 16384 is beside SEAL."""
    threads = {"1 thread": (1,), f"{cores} thread{'s' * (cores > 1)}": (cores,)}
    larger = {} if seal else {"n = 16384": (cores, BGV, 16384)}
    return {**threads, **larger, "BFV": (cores, BFV)}


def table(speeds: list[Speed]) -> str:
    """Return speeds as text."""
    lines = [
        f"{'operation':<32}{'time':>11}{'spread':>8}{'GFLOP/s':>9}{'of matmul':>11}{'of copy':>9}"
    ]
    for s in speeds:
        shown = f"{s.seconds * 1e3:.3f} ms"
        line = f"{s.name:<32}{shown:>11}{s.spread:>8.0%}"
        line += f"{s.gflops:>9.1f}{s.of_matrix_product:>11.0%}" if s.gflops else " " * 20
        lines.append(line + (f"{s.of_copy:>9.0%}" if s.of_copy else ""))
    return "\n".join(lines)


def as_json(speeds: list[Speed]) -> list[dict[str, Any]]:
    """Return speeds as what a JSON file can hold."""
    return [asdict(speed) for speed in speeds]


def beside_seal(scheme: Scheme, speeds: list[Speed]) -> dict[str, Any]:
    """Time SEAL's operations for the same scheme, print both, and return the facts."""
    params, seconds = scheme.params, {speed.name: speed.seconds for speed in speeds}
    others = operations.per_operation(timed, scheme.name)
    compared = seconds, params.log2_q / params.k, params.log2_q, others
    print(f"\n{operations.operations_table(*compared)}")
    return operations.as_facts(*compared)


def networks(name: str, pixels: IntArray, rounds: int, seal: bool) -> dict[str, Any]:
    """Run a network in all ways of ours in turns, each time in a fresh process, and print rates."""
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for what, arguments in programs(available_cores(), seal).items():
            found.setdefault(what, []).extend(in_processes([(name, pixels, *arguments)], whole))
    print(f"\n{name}: full batches, server side, medians of {rounds}")
    for what, runs in found.items():
        rates = [run["predictions_per_hour"] for run in runs]
        flops = statistics.median(run["times_matrix_products"] for run in runs)
        print(
            f"  {what:<12}{statistics.median(rates):>12,.0f} predictions per hour "
            f"({min(rates):,.0f} to {max(rates):,.0f}),\n{'':<14}{flops:.2f} times its matrix "
            f"products, {max(run['peak_memory_bytes'] or 0 for run in runs) / 1e9:.2f} GB"
        )
    return found


def beside_the_plan(name: str, measured: float) -> dict[str, float]:
    """Return and print what the plan estimates for one core beside what was measured there."""
    plan = make_plan(pretrained(name))
    calibration = calibrate(plan.params, threads=1, again=True)  # in the same run
    estimated = plan.calibrated(calibration).server_seconds or 0.0
    print(
        f"  the plan estimates {estimated:.2f} s on one core, {measured:.2f} s were measured: "
        f"a factor of {measured / estimated:.2f}"
    )
    return {"estimated_seconds": estimated, "measured_seconds": measured}


def everything(
    dataset: Dataset, names: list[str], rounds: int, seal: bool, quick: bool
) -> dict[str, Any]:
    """Measure, print as it goes, and return all figures.

    Parameters
    ----------
    dataset : Dataset that the networks are for
    names : pretrained networks
    rounds : how often whole networks run; medians are printed
    seal : whether SEAL runs the same operations and networks in between
    quick : whether the growth is measured with two points each only
    """
    parts = ("micro", "operations", "whole", "alone", "seal", "plans", "single")
    with workers(1):  # what one thread reaches
        facts: dict[str, Any] = {"machine": machine(), **{part: {} for part in parts}}
    for key, value in facts["machine"].items():
        print(f"{key:<26}{value:.1f}" if isinstance(value, float) else f"{key:<26}{value}")
    with workers(1):
        for scheme_type in (BGV, BFV):
            scheme = scheme_type(make_plan(pretrained(names[0]), scheme=scheme_type).params)
            print(f"\n{scheme.name} under {scheme.params.name}, one thread, medians")
            speeds = micro(scheme, facts["machine"])
            print(table(speeds))
            facts["micro"][scheme.name] = as_json(speeds)
            if seal and scheme.params.n == operations.N:
                facts["operations"][scheme.name] = beside_seal(scheme, speeds)
    for name in names:
        images, levels = dataset.test_images, pretrained(name).info.levels
        pixels = quantize_pixels(images, dataset.pixel_max, levels)
        facts["whole"][name] = networks(name, pixels, 1 if quick else rounds, seal)
        facts["alone"][name] = two_programs(name, pixels, available_cores())
        one = facts["whole"][name]["1 thread"]
        seconds = statistics.median(run["seconds"]["infer"] for run in one)
        facts["plans"][name] = beside_the_plan(name, seconds)
        fastest = min(
            run["seconds"]["infer"]
            for what, runs in facts["whole"][name].items()
            for run in runs
            if "thread" in what
        )
        facts["single"][name] = one_by_one(name, pixels[: 3 if quick else 21], fastest)
        if seal:
            facts["seal"][name] = compare(name, pixels, rounds, whole)
            print(comparison_table(facts["seal"][name]))
    print("\nHow the server's time grows")
    found = series(quick)
    print(growth_table(found))
    facts["growth"] = [asdict(s) for s in found]
    return facts
