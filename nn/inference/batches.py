"""Batch after batch on a GPU: the next one comes while this one is computed.

    for ct in streamed(batches, "gpu"):
        logits = infer(scheme, plan, ct, key)
        del ct

A batch is a gigabyte. It takes as long to get to a GPU as to be classified there, and longer to be
read: what came over a wire is unpacked, and its seeds are expanded, on processors. So a thread
reads the next batch, and begins to copy it, while this one is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial

import numpy as np

from yashe.arithmetic.places import check_place_is_exact, place
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.packed import ALL


def streamed(
    batches: Iterable[Ciphertext], device: str | None = None
) -> Generator[Ciphertext, None, None]:
    """Yield batches of ciphertexts where they are computed, one of them ahead on a GPU.

    There are two of them in its memory, if nobody holds on to one when they ask for the next, and
    one in that of the processor, as it has come. What the batches raise comes when all before it
    are done. Whoever stops early closes the iterator (`contextlib.closing`), which waits for what
    is being read.

    Parameters
    ----------
    batches : in the memory of the processor
    device : "gpu"; on a "cpu", or without one, nothing is done ahead, nor in another thread

    Raises
    ------
    ParameterError, DeviceError, ExactnessError
        If there is no such device, or it is not exact.
    """
    there = place("cpu" if device is None else device)
    if there.uploads is None:
        yield from batches
        return
    check_place_is_exact(there)
    given = iter(batches)
    with there.uploads() as begin, ThreadPoolExecutor(1, "batches") as reader:

        def bring() -> Callable[[], Ciphertext] | None:
            if (ct := next(given, None)) is None:
                return None
            ct = ct.without_spare_rows()
            primes = (slice(i, i + 1) for i in range(ct.params.k))  # unpacked one by one
            arrive = begin(map(partial(ct.part, ALL), primes))
            ct = replace(ct, store=np.empty(0))
            return lambda: replace(ct, store=arrive())

        def bring_next() -> Future[Callable[[], Ciphertext] | None]:
            return reader.submit(copy_context().run, bring)

        coming = bring_next()
        while (arrived := coming.result()) is not None:
            coming = bring_next()
            yield arrived()
