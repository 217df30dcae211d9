"""What a terminal shows of a long run: bars that tell the truth, and lines that fit.

    with bar("inferring", 450, "images") as done:
        done(0.25)  # a quarter of the work is behind us, and the bar stands at 112 of 450 images

The images of a batch lie in the slots of the same ciphertexts and are all finished at the same
moment, so "112 of 450 images" means: that share of the work for all of them.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

ROUNDING = 1e-9  # what sums of shares like 1/3 may lack


@contextmanager
def bar(what: str, total: int, unit: str) -> Iterator[Callable[[float], None]]:
    """Draw a progress bar with the time left, but only where stderr is a terminal.

    It counts whole units, never goes back, never passes its total, and stands at the total when the
    body has ended without an exception.

    Parameters
    ----------
    what : is being done
    total, unit : what the whole work consists of, like 450 and "images"

    Yields
    ------
    what has to be told the share (0..1) of the work that has just been done
    """
    done, size = 0.0, shutil.get_terminal_size()  # which is never 0, unlike tqdm's own
    with tqdm(
        desc=what,
        total=total,
        unit=f" {unit}",
        ncols=size.columns,
        nrows=size.lines,
        leave=False,
        disable=None,  # where stderr is no terminal
    ) as drawn:

        def advance(share: float) -> None:
            nonlocal done
            done += max(share, 0.0)
            drawn.update(min(int(done * total + ROUNDING), total) - drawn.n)

        yield advance
        drawn.update(total - drawn.n)
        drawn.refresh()


def columns() -> int:
    """Return how wide the terminal is, in letters; 80 where there is none, as in a pipe."""
    return shutil.get_terminal_size().columns


def folded(text: str) -> str:
    """Return text with its long lines folded at spaces, so that they fit the terminal."""
    lines = (textwrap.wrap(line, columns(), subsequent_indent="    ") for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)
