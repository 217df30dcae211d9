"""What a circuit takes, found out before anybody's data are there.

Which operations a circuit does, and how much noise is predicted for them, depends on its public
numbers and on the parameters, not on keys or messages. So a *rehearsal* runs it once, on zeros and
with keys that nobody keeps, and writes down what happens.

    print(rehearse(scheme, lambda ct, keys: matrix(ct, keys.rotations), matrix.rotations))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from yashe.arithmetic.whole import whole, whole_numbers
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.trace import Trace
from yashe.errors import ParameterError
from yashe.schemes.base import check_scheme
from yashe.schemes.rotations import RotatingScheme


@dataclass(frozen=True)
class Rehearsal:
    """What a circuit takes.

    Attributes
    ----------
    operations : how many ciphertexts each kind of operation has made, by its name in a trace
    keys : how many rotations there were keys for
    key_bytes : what these keys take in memory
    bits : of predicted noise budget that are spent
    left : what is predicted to be left, in bits
    primes : of q in the result
    seconds : that it took, on this machine
    trace : the noise of every operation, predicted and measured
    """

    operations: dict[str, int]
    keys: int
    key_bytes: int
    bits: float
    left: float
    primes: int
    seconds: float
    trace: Trace

    @property
    def rotations(self) -> int:
        """How many ciphertexts are rotated."""
        return self.operations.get("a rotation", 0)

    @property
    def products(self) -> int:
        """How many products of ciphertexts there are."""
        return self.operations.get("a product", 0)

    def __str__(self) -> str:
        lines = [f"{count:>6} x {name}" for name, count in self.operations.items()]
        lines.append(f"{self.keys:>6} rotation keys, {self.key_bytes / 2**20:.1f} MB in memory")
        lines.append(f"{self.bits:>6.1f} bits of noise budget, {self.left:.1f} are left")
        return "\n".join(lines)


def rehearse(
    scheme: RotatingScheme,
    circuit: Callable[[Ciphertext, Any], Ciphertext],
    rotations: Any = (),
    shape: tuple[int, ...] = (),
    public: bool = False,
) -> Rehearsal:
    """Run a circuit on zeros with keys of its own, and say what it took.

    Parameters
    ----------
    scheme : BFV, BGV or YASHE
    circuit : a function of a Ciphertext and of the keys that `scheme.keygen` returns
    rotations : which ones there shall be keys for; see `scheme.rotation_keys`
    shape : of the array of ciphertexts
    public : whether the data will be encrypted with the public key

    Returns
    -------
    Rehearsal; `print` shows it

    Raises
    ------
    ParameterError
        If the circuit returns no ciphertexts, or there are none in the shape.
    FheError
        Whatever the circuit raises: it would not have worked with anybody's data either.
    """
    check_scheme(scheme)
    shape = tuple(whole(side, "a side of the shape", 1) for side in whole_numbers(shape, "a shape"))
    keys = scheme.keygen(rotations=rotations)
    zeros = np.zeros((*shape, scheme.params.n), dtype=np.int64)
    ct = scheme.encrypt(zeros, keys.public if public else keys.encryption)
    with noise.trace(keys.secret) as trace:
        result = circuit(ct, keys)
    if not isinstance(result, Ciphertext):
        raise ParameterError(f"a circuit returns a Ciphertext, not a {type(result).__name__}")
    operations: Counter[str] = Counter()
    for step in trace.steps:
        operations[step.operation] += step.count
    before, left = float(ct.noise_budget.min()), float(result.noise_budget.min())
    return Rehearsal(
        operations=dict(operations),
        keys=len(keys.rotations.exponents),
        key_bytes=sum(x.residues.nbytes for x in keys.rotations.elements.values()),
        bits=before - left,
        left=left,
        primes=result.params.k,
        seconds=sum(step.seconds for step in trace.steps),
        trace=trace,
    )
