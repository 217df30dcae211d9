"""The four MNIST files, from public mirrors into a folder, complete or not at all.

A file appears under its final name only after its MD5 digest was right: it is written under a
temporary name beside it and then renamed, which is one atomic step of the file system. So a cut
connection, a full disk or Ctrl-C leaves the folder as it was, running again fetches only what is
missing, and two processes may download into one folder at the same time.

MD5 guards against damage here, not against an attacker: the digests are the published ones of
the original files, and the reader of these files (`nn.data`) trusts nothing in them anyway.

Sources: the mirrors of the PyTorch project and of the CVDF foundation; Y. LeCun, C. Cortes and
C. J. C. Burges, "The MNIST database of handwritten digits" (CC BY-SA 3.0).
"""

import hashlib
import os
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from yashe.errors import DataError, ParameterError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}

# The largest file has 9.9 MB; whatever a mirror sends beyond this is not MNIST.
MAX_DOWNLOAD_BYTES = 16 * 2**20

_CHUNK_BYTES = 2**16


def download_mnist(
    folder: str | os.PathLike[str],
    mirrors: Sequence[str] = MIRRORS,
    *,
    progress: bool | None = None,
    attempts: int = 3,
    backoff_seconds: float = 1.0,
    timeout_seconds: float = 20.0,
) -> Path:
    """Fetch those of the four MNIST files that are not yet in the folder.

    Parameters
    ----------
    folder : path
        Where the files go; created if it does not exist. A file whose MD5 is already right is
        kept; one whose MD5 is wrong is replaced once the right one has arrived.
    mirrors : sequence of http(s) addresses of folders
        Tried in this order.
    progress : bool, optional
        Whether to draw a progress bar per file; by default only on a terminal.
    attempts : int, at least 1
        Rounds over all mirrors, per file.
    backoff_seconds : float
        Pause after the first failed round; doubled after each further one.
    timeout_seconds : float
        How long the network may stay silent.

    Returns
    -------
    Path
        The folder, which now holds the four files.

    Raises
    ------
    DataError
        If the folder cannot be written, or a file came from no mirror; the text gives every
        reason and says how to proceed without a network.
    ParameterError
        If there is no mirror, a mirror is not an http(s) address, or `attempts` is below 1.
    """
    if attempts < 1:
        raise ParameterError(f"attempts must be at least 1, got {attempts}; leave it out for 3")
    if not mirrors:
        raise ParameterError("at least one mirror is needed, got none; leave it out for MIRRORS")
    for mirror in mirrors:
        if not mirror.startswith(("http://", "https://")):
            raise ParameterError(
                f"a mirror must start with http:// or https://, got {mirror!r}; files of this "
                "computer need no download: name their folder when loading"
            )
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise DataError(
            f"a folder for MNIST was required, but {folder} cannot be created ({failure}); "
            "name another folder"
        ) from failure
    for name, digest in MNIST_MD5.items():
        target = folder / name
        if _has_md5(target, digest):
            continue
        failures: list[str] = []
        for attempt in range(attempts):
            if attempt > 0:
                time.sleep(backoff_seconds * 2 ** (attempt - 1))
            if _fetched_from_any(mirrors, target, digest, progress, timeout_seconds, failures):
                break
        else:
            raise DataError(
                f"{name} was required but came from none of the mirrors:\n  "
                + "\n  ".join(failures)
                + f"\n{mnist_advice(folder)}"
            )
    return folder


def mnist_advice(folder: Path) -> str:
    """Return what to do when MNIST is missing from the folder, network or not."""
    names = "\n  ".join(MNIST_MD5)
    return (
        "What to do: run the download again (finished files are kept), or get these four files "
        f"by hand, on any computer, from\n  {MIRRORS[0]}\n  {MIRRORS[1]}\n"
        f"and put them, packed (.gz) or unpacked, into\n  {folder}\nThe files:\n  {names}"
    )


def _has_md5(path: Path, digest: str) -> bool:
    """Whether the file exists and has the digest."""
    return (
        path.is_file()
        and digest == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    )


def _fetched_from_any(
    mirrors: Sequence[str],
    target: Path,
    digest: str,
    progress: bool | None,
    timeout_seconds: float,
    failures: list[str],
) -> bool:
    """Try each mirror once; whether one delivered. The reasons of the others are appended."""
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + target.name
        try:
            _fetch(url, target, digest, progress, timeout_seconds)
        except (OSError, HTTPException) as failure:  # DataError and URLError are OSErrors
            failures.append(f"{url}: {failure}")
        else:
            return True
    return False


def _fetch(
    url: str, target: Path, digest: str, progress: bool | None, timeout_seconds: float
) -> None:
    """Download one file to a temporary name, check it, then give it its final name."""
    # tqdm reads disable=None as "disabled unless on a terminal".
    disable = None if progress is None else not progress
    descriptor, temporary = tempfile.mkstemp(prefix=target.name, suffix=".part", dir=target.parent)
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            urllib.request.urlopen(url, timeout=timeout_seconds) as response,
        ):
            length = response.headers.get("Content-Length", "")
            promised = int(length) if length.isdecimal() else None
            md5 = hashlib.md5(usedforsecurity=False)
            received = 0
            with tqdm(
                total=promised, desc=target.name, unit="B", unit_scale=True, disable=disable
            ) as bar:
                while chunk := response.read(_CHUNK_BYTES):
                    received += len(chunk)
                    if received > MAX_DOWNLOAD_BYTES:
                        raise DataError(f"more than {MAX_DOWNLOAD_BYTES} bytes, this is not MNIST")
                    file.write(chunk)
                    md5.update(chunk)
                    bar.update(len(chunk))
        if promised is not None and received < promised:
            raise DataError(f"the connection was cut after {received} of {promised} bytes")
        if md5.hexdigest() != digest:
            raise DataError(f"MD5 {digest} was required, {md5.hexdigest()} was received")
        # mkstemp makes files that only their owner can read; a data set may be shared.
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
