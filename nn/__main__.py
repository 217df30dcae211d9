"""`python -m nn` is `cryptonets`. Loading it takes a moment; until then nothing has begun."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType

# Whoever sends one of these wants an end: Ctrl-C, `kill`, a terminal that is closed.
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def main() -> int:
    """Load the commands, where a signal just ends the program, and run one.

    While a command runs, a signal is an exception, so that it leaves no half-written file behind.
    """
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, signal.SIG_DFL)
    commands = import_module("nn.commands.main")
    for number in heeded:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else leave)
    return int(commands.main())


def leave(number: int, frame: FrameType | None) -> None:
    """End the program with the exit code by which shells tell a signal."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
