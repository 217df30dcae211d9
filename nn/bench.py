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

from nn import bench_operations, pretrained
from nn.bench_seal import compare, comparison_table, in_processes
from nn.calibrate import calibrate
from nn.data import Dataset
from nn.encrypted import decrypt_logits, encrypt_images, infer
from nn.experiment import peak_memory_bytes
from nn.growth import growth_table, series
from nn.plan import make_plan
from nn.quantize import quantize_pixels
from yashe.bgv import BGV
from yashe.linear import RunningSums, combine
from yashe.parallel import available_cores, workers
from yashe.params import Params
from yashe.residues import IntArray
from yashe.ring import Ring
from yashe.rns import rescale


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


def machine(repeats: int = 5) -> dict[str, Any]:
    """Describe this machine, and what one thread of it reaches at most."""
    size = 1024
    a, b = np.ones((size, size)), np.ones((size, size))
    out = np.empty_like(a)
    product, _ = timed(lambda: np.matmul(a, b, out=out), repeats)
    source, target = np.ones(2**23), np.empty(2**23)
    copy, _ = timed(lambda: np.copyto(target, source), repeats)
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": available_cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(terse=True),
        "matrix_product_gflops": 2 * size**3 / product / 1e9,
        "copy_gb_per_second": 2 * source.nbytes / copy / 1e9,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def ntt_flops(ring: Ring, polynomials: int) -> float:
    """Return the multiplications and additions of the two matrix products of `polynomials` NTTs."""
    n1, n2 = ring.transform.n1, ring.transform.n2
    return 2.0 * ring.n * (n1 + n2) * len(ring.basis) * polynomials


def micro(params: Params, limits: dict[str, Any], repeats: int = 5, batch: int = 8) -> list[Speed]:
    """Time the operations of the scheme, each per ciphertext or per transform of one prime."""
    scheme = BGV(params)
    keys = scheme.keygen()
    q, big, aux = params.ring, params.product_ring, params.auxiliary_basis
    values = np.arange(params.n, dtype=np.int64) % 4
    many = np.tile(values, (batch, 1))
    ct = scheme.encrypt(many, keys.secret)
    squared = ct * ct
    x = np.repeat(ct.rows[:1, 0], batch, axis=0)
    wide = np.concatenate([x, rescale(x, q.basis, aux)], axis=-2)
    weights = np.ones((batch, 100), dtype=np.int64)
    dense = RunningSums(100, squared.rows.shape[1:], params.moduli)
    taps = np.arange(batch, dtype=np.int64)[None]

    k, n, wide_k = params.k, params.n, len(big.basis)
    row = 8.0 * n  # bytes of one residue row
    steps: list[tuple[str, Callable[[], object], int, float, float]] = [
        # name, step, operations in it, flops of it, bytes of it
        ("NTT, one prime", lambda: q.transform.ntt(x), batch * k, ntt_flops(q, batch), 0),
        ("inverse NTT, one prime", lambda: q.transform.intt(x), batch * k, ntt_flops(q, batch), 0),
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
        ("encode", lambda: scheme.encode(many), batch, 0, 0),
        ("encrypt with the secret key", lambda: scheme.encrypt(many, keys.secret), batch, 0, 0),
        ("encrypt with the public key", lambda: scheme.encrypt(many, keys.public), batch, 0, 0),
        ("decrypt", lambda: scheme.decrypt(ct, keys.secret), batch, 0, 0),
        ("square", lambda: ct * ct, batch, ntt_flops(big, 5 * batch), 0),
        ("product", lambda: ct * ct[::-1], batch, ntt_flops(big, 7 * batch), 0),
        (
            "relinearise",
            lambda: scheme.relinearize(squared, keys.relinearization),
            batch,
            ntt_flops(q, (k + 2) * batch),
            0,
        ),
        (
            f"W @ ct, {batch} inputs, per output",
            lambda: combine(ct.rows, taps, weights, params.moduli),
            100,
            2.0 * 100 * ct.rows.size,
            row * 2 * k * (100 + batch),
        ),
        (
            "square times 100 weights, summed",
            lambda: dense.add(squared.rows, weights),
            batch,
            2.0 * 100 * squared.rows.size,
            0,
        ),
    ]
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


def network_flops(params: Params, squares: int, dense: int, convolution: int) -> float:
    """Return the flops that the products of a network's run cannot do without.

    Parameters
    ----------
    params : Params
    squares : ciphertexts squared
    dense : multiply-adds on ciphertexts of three parts
    convolution : multiply-adds on ciphertexts of two parts
    """
    transforms = squares * ntt_flops(params.product_ring, 5)
    return transforms + 2.0 * params.k * params.n * (3 * dense + 2 * convolution)


def whole(name: str, pixels: IntArray, threads: int) -> dict[str, Any]:
    """Run a pretrained network on one batch of images, once."""
    model = pretrained.load(name)
    plan = make_plan(model)
    scheme = BGV(plan.params)
    pixels = pixels[: plan.params.n]
    seconds = {}
    with workers(threads):
        start = time.perf_counter()
        keys = scheme.keygen()
        seconds["keys"] = time.perf_counter() - start
        start = time.perf_counter()
        ct = encrypt_images(scheme, pixels, keys.secret)
        seconds["encrypt"] = time.perf_counter() - start
        start = time.perf_counter()
        reply = infer(scheme, model, ct, keys.relinearization)
        seconds["infer"] = time.perf_counter() - start
        start = time.perf_counter()
        logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))
        seconds["decrypt"] = time.perf_counter() - start
    return {
        "model": name,
        "threads": threads,
        "n": plan.params.n,
        "log2_q": plan.params.log2_q,
        "log2_t": plan.params.log2_t,
        "images": len(pixels),
        "agree": int((logits == model.forward(pixels)).all(axis=1).sum()),
        "seconds": seconds,
        "predictions_per_hour": len(pixels) / seconds["infer"] * 3600,
        "full_batch_per_hour": plan.params.n / seconds["infer"] * 3600,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def table(speeds: list[Speed]) -> str:
    """Return speeds as text."""
    lines = [
        f"{'operation':<36}{'time':>11}{'spread':>8}{'GFLOP/s':>9}{'of matmul':>11}{'of copy':>9}"
    ]
    for s in speeds:
        shown = f"{s.seconds * 1e3:.3f} ms"
        line = f"{s.name:<36}{shown:>11}{s.spread:>8.0%}"
        line += f"{s.gflops:>9.1f}{s.of_matrix_product:>11.0%}" if s.gflops else " " * 20
        lines.append(line + (f"{s.of_copy:>9.0%}" if s.of_copy else ""))
    return "\n".join(lines)


def as_json(speeds: list[Speed]) -> list[dict[str, Any]]:
    """Return speeds as what a JSON file can hold."""
    return [asdict(speed) for speed in speeds]


def beside_the_plan(name: str, measured: float) -> dict[str, float]:
    """Return and print what the plan estimates for one core beside what was measured there."""
    plan = make_plan(pretrained.load(name))
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
    with workers(1):  # what one thread reaches
        facts: dict[str, Any] = {"machine": machine()}
    for key, value in facts["machine"].items():
        print(f"{key:<26}{value:.1f}" if isinstance(value, float) else f"{key:<26}{value}")
    facts["micro"] = {}
    with workers(1):
        for name in names:
            params = make_plan(pretrained.load(name)).params
            print(f"\n{params}, one thread, medians")
            speeds = micro(params, facts["machine"])
            print(table(speeds))
            facts["micro"][name] = as_json(speeds)
            if seal and params.n == bench_operations.N:
                seconds = {speed.name: speed.seconds for speed in speeds}
                others = bench_operations.per_operation(timed)
                compared = seconds, params.log2_q / params.k, params.log2_q, others
                print(f"\n{bench_operations.operations_table(*compared)}")
                facts.setdefault("operations", {})[name] = bench_operations.as_facts(*compared)
    facts["whole"] = {}
    for name in names:
        images, levels = dataset.test_images, pretrained.load(name).info.levels
        pixels = quantize_pixels(images, dataset.pixel_max, levels)
        print(f"\n{name}: whole batches, server side")
        if seal:
            facts["whole"][name] = compare(name, pixels, rounds, whole, available_cores())
            print(comparison_table(facts["whole"][name]))
            continue
        for threads in sorted({1, available_cores()}):
            runs = [in_processes([(name, pixels, threads)], whole)[0] for _ in range(rounds)]
            rate = statistics.median(run["full_batch_per_hour"] for run in runs)
            print(f"  {threads} threads: {rate:>12,.0f} predictions per hour on full batches")
            facts["whole"].setdefault(name, []).extend(runs)
            if threads == 1:
                seconds = statistics.median(run["seconds"]["infer"] for run in runs)
                facts.setdefault("plans", {})[name] = beside_the_plan(name, seconds)
    print("\nHow the server's time grows")
    found = series(quick)
    print(growth_table(found))
    facts["growth"] = [asdict(s) for s in found]
    return facts
