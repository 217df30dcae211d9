"""Devices in a folder of the test: a mistake that replaces one must not harm the machine."""

import os
import stat
from pathlib import Path

import pytest

NUMBERS = {"null": (1, 3), "full": (1, 7)}  # of Linux


def device(folder: Path, name: str) -> Path:
    """Return /dev/null or /dev/full, for root one of its own that may be lost."""
    shared, own = Path("/dev") / name, folder / name
    if not shared.exists():
        pytest.skip(f"there is no {shared}")
    if os.access("/dev", os.W_OK):
        try:
            os.mknod(own, stat.S_IFCHR | 0o666, os.makedev(*NUMBERS[name]))
            own.write_bytes(b"")
        except OSError:
            pytest.skip("no device can be made here")
        return own
    return shared


def own_stdout(folder: Path) -> Path:
    """Return what /dev/stdout is, a link to the output of whoever follows it."""
    link = folder / "stdout"
    link.symlink_to("/proc/self/fd/1")
    if not link.exists():
        pytest.skip("there is no /proc here")
    return link
