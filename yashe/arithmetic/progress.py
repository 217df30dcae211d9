"""A bar, for whatever takes longer than two seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

PATIENCE = 2.0  # seconds without a sign of life


def progress(work: Sequence[T], unit: str) -> Iterable[T]:
    """Return the work, with a bar for those who wait: in a terminal, or in a notebook."""
    notebook = "ipykernel" in sys.modules
    where = sys.stdout if notebook else sys.stderr
    hidden = not (notebook or where.isatty())
    bar: Iterable[T] = tqdm(
        work, unit=unit, delay=PATIENCE, leave=False, file=where, disable=hidden
    )
    return bar
