"""Run something in the child of a real fork."""

import ast
import os
import select
import signal
import warnings
from collections.abc import Callable
from typing import Any

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def forked(work: Callable[[], Any], seconds: float = 60) -> Any:
    """Return work(), a literal, as a child of this process computes it, or fail if it hangs."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # "a process with threads may hang"
        child = os.fork()
    if not child:
        try:
            os.write(write, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    try:
        said, _, _ = select.select([read], [], [], seconds)
        assert said, "the child hangs"
        return ast.literal_eval(os.read(read, 10**6).decode())
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
