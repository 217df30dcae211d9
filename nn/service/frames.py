"""The files that a client and a server exchange: one frame, or an archive of frames.

For batches a file is a frame of `yashe.wire`. For one image at once everything is there once for
each plaintext modulus, a *run*: a file of images, of replies or of evaluation keys is then a ZIP
archive, nothing in it compressed, with the frames of every run: 1.fhe, 2.fhe, ... Whoever reads or
writes goes through the frames in their order, be it one or several.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO, cast

from yashe.errors import FheError, FormatError
from yashe.parameters.sets import MOST_PLAINTEXT_MODULI
from yashe.wire.envelope import FrameReader

MAGIC = b"PK"  # with which an archive begins, and no frame


def frame_name(number: int, what: str = "") -> str:
    """Return the name of a run's frame in an archive."""
    return f"{number}{what}.fhe"


def frame_names(runs: int) -> list[str]:
    """Return the names of the frames in an archive of images, or of replies."""
    return [frame_name(number) for number in range(1, runs + 1)]


def is_archive(file: BinaryIO) -> bool:
    """Say whether a file begins as an archive does, and stay at its beginning."""
    found = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    return found


@contextmanager
def opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading.

    Raises
    ------
    FormatError
        If it is none, also later on, or something in it is compressed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if any(
                info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size
                for info in archive.infolist()
            ):
                raise FormatError("an archive of frames that are not compressed was required")
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        if isinstance(error, FheError):
            raise
        raise FormatError(f"this is no archive with a frame for each run: {error}") from error


@contextmanager
def reading(file: BinaryIO, names: Sequence[str]) -> Iterator[Iterator[BinaryIO]]:
    """Yield the frames of a file, one after the other.

    Parameters
    ----------
    names : that an archive has to have; none if the file shall be a frame

    Raises
    ------
    FormatError
        If it is no archive, or has other frames.
    """
    if not names:
        yield iter([file])
        return
    with opened(file) as archive:
        found = archive.namelist()
        if found != names:
            raise FormatError(
                f"an archive of {', '.join(names)} was required; got {', '.join(found[:8])}"
            )
        yield (cast(BinaryIO, archive.open(info)) for info in archive.infolist())


@contextmanager
def writing(
    file: BinaryIO, archived: bool
) -> Iterator[Callable[[str], AbstractContextManager[BinaryIO]]]:
    """Yield what opens a frame, by its name, for writing: in an archive, or the file itself."""
    if not archived:
        yield lambda name: nullcontext(file)
        return
    with zipfile.ZipFile(file, "w") as archive:
        yield lambda name: cast(BinaryIO, archive.open(name, "w", force_zip64=True))


def verify(file: BinaryIO) -> None:
    """Check the hash of a frame, or of every frame of an archive; whose they are is seen later.

    Raises
    ------
    FormatError
    """
    file.seek(0)
    if not is_archive(file):
        FrameReader(file).verify()
        return
    with opened(file) as archive:
        for info in archive.infolist()[:MOST_PLAINTEXT_MODULI]:
            FrameReader(cast(BinaryIO, archive.open(info))).verify()
