"""Operation by operation: this package, Microsoft SEAL, and TenSEAL, which is built on SEAL.

All compute with n = 8192 on one thread, in BFV or in BGV. SEAL holds q as 43-bit primes, the last
of them for keys only; of what the security limit of 218 bits leaves, it gets all. Moduli differ in
size and in the number of primes, so that transforms are compared by the bit of modulus,

    seconds of the NTT of one polynomial / log2 of the modulus that it is for,

and the other operations by the bit of q. Values are encoded within `encrypt` and `decrypt`, as a
user has it. TenSEAL has BFV only, and is shown where it does something else than SEAL: it takes and
gives lists, and relinearises every product at once, which a network does not want.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nn.bench.seal import SealNetwork, SealSettings
from nn.networks.pretrained import pretrained

try:
    import tenseal
except ImportError:
    tenseal = None

N = 8192
SEAL_BITS = (43, 43, 44, 44, 44)  # SEAL's own choice for n = 8192
T = 1032193  # SEAL's smallest batching prime of 20 bits
Timed = Callable[[Callable[[], object], int], tuple[float, float]]  # a median, and its spread
# the rows of the table: of ours in `nn.bench.measurements.micro`, and what to call them
OPERATIONS = {
    "NTT, one prime": "NTT",
    "inverse NTT, one prime": "inverse NTT",
    "encrypt with the secret key": "encrypt",
    "decrypt": "decrypt",
    "square": "square",
    "product": "multiply",
    "relinearise": "relinearise",
    "switch the modulus by one prime": "drop a prime",  # BGV's only
}


def per_operation(
    timed: Timed, scheme: str = "BFV", repeats: int = 9
) -> dict[str, dict[str, float]]:
    """Time the operations of SEAL and, if it is installed and has the scheme, of TenSEAL.

    Parameters
    ----------
    timed : `nn.bench.measurements.timed`
    scheme : "BFV" or "BGV"
    repeats : of every operation

    Returns
    -------
    dict library -> operation -> seconds; for "NTT" and "inverse NTT" of one polynomial

    Raises
    ------
    MissingSealError
    """
    found = {"SEAL": seal_seconds(timed, scheme, repeats)}
    if tenseal is not None and scheme == "BFV":
        found["TenSEAL"] = tenseal_seconds(timed, repeats)
    return found


def seal_seconds(timed: Timed, scheme: str, repeats: int) -> dict[str, float]:
    """Time SEAL, whose ciphertexts are in coefficient form in BFV and in NTT form in BGV."""
    settings = SealSettings(scheme.lower(), N, SEAL_BITS, T)
    kit = SealNetwork(pretrained("digits"), settings)
    evaluator, values = kit.evaluator, np.arange(N, dtype=np.int64) % 4
    ct = kit.encryptor.encrypt_symmetric(kit.encoder.encode(values))
    other = kit.encryptor.encrypt_symmetric(kit.encoder.encode(values))
    in_ntt_form = ct if scheme == "BGV" else evaluator.transform_to_ntt(ct)
    coefficients, squared = evaluator.transform_from_ntt(in_ntt_form), evaluator.square(ct)
    steps: dict[str, tuple[Callable[[], object], int]] = {
        "NTT": (lambda: evaluator.transform_to_ntt(coefficients), 2),  # of both parts
        "inverse NTT": (lambda: evaluator.transform_from_ntt(in_ntt_form), 2),
        "encrypt": (lambda: kit.encryptor.encrypt_symmetric(kit.encoder.encode(values)), 1),
        "decrypt": (lambda: kit.encoder.decode(kit.decryptor.decrypt(ct)), 1),
        "square": (lambda: evaluator.square(ct), 1),
        "multiply": (lambda: evaluator.multiply(ct, other), 1),
        "relinearise": (lambda: evaluator.relinearize(squared, kit.relin_keys), 1),
    }
    if scheme == "BGV":
        steps["drop a prime"] = lambda: evaluator.mod_switch_to_next(ct), 1
    return {name: timed(step, repeats)[0] / count for name, (step, count) in steps.items()}


def tenseal_seconds(timed: Timed, repeats: int) -> dict[str, float]:
    """Time TenSEAL, whose products include relinearisation."""
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV, N, T, coeff_mod_bit_sizes=list(SEAL_BITS), n_threads=1
    )
    values = (np.arange(N, dtype=np.int64) % 4).tolist()
    ct, other = tenseal.bfv_vector(context, values), tenseal.bfv_vector(context, values)
    steps: dict[str, Callable[[], object]] = {
        "encrypt": lambda: tenseal.bfv_vector(context, values),
        "decrypt": ct.decrypt,
        "multiply": lambda: ct * other,
    }
    return {name: timed(step, repeats)[0] for name, step in steps.items()}


def operations_table(
    ours: Mapping[str, float], prime_bits: float, log2_q: float, others: dict[str, dict[str, float]]
) -> str:
    """Return the comparison as text.

    Parameters
    ----------
    ours : seconds by the names of `nn.bench.measurements.micro`, at n = 8192
    prime_bits : mean log2 of our primes, for the transforms are of one prime
    log2_q : of our parameters
    others : from `per_operation`
    """
    seal_bits = sum(SEAL_BITS[:-1])  # the last prime is for keys only
    lines = [
        f"n = {N}; log2 q = {log2_q:.0f} here, {seal_bits} in SEAL",
        f"{'ms':<14}{'here':>9}{'SEAL':>9}{'TenSEAL':>9}{'here / SEAL, by the bit of q':>31}",
    ]
    for name, short in OPERATIONS.items():
        if name not in ours or short not in others["SEAL"]:
            continue
        here, bits = ours[name], prime_bits if "NTT" in short else log2_q
        theirs = others["SEAL"][short]
        ratio = here / bits / (theirs / seal_bits)
        if "NTT" in short:
            here *= log2_q / prime_bits  # of one polynomial modulo q
        third = others.get("TenSEAL", {}).get(short, math.nan)
        shown = "" if math.isnan(third) else f"{third * 1e3:.3f}"
        lines.append(f"{short:<14}{here * 1e3:>9.3f}{theirs * 1e3:>9.3f}{shown:>9}{ratio:>31.2f}")
    return "\n".join(lines)


def as_facts(
    ours: Mapping[str, float], prime_bits: float, log2_q: float, others: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """Return the comparison as what a JSON file can hold, with the time of an NTT by the bit."""
    return {
        "n": N,
        "log2_q": {"here": log2_q, "SEAL": sum(SEAL_BITS[:-1])},
        "seconds": {
            "here": {OPERATIONS[name]: ours[name] for name in OPERATIONS if name in ours},
            **others,
        },
        "ntt_seconds_per_bit_and_polynomial": {
            "here": ours["NTT, one prime"] / prime_bits,
            "SEAL": others["SEAL"]["NTT"] / sum(SEAL_BITS[:-1]),
        },
    }
