"""The four MNIST files, from public mirrors into a folder, complete or not at all.

A file is written only after its MD5 digest was right, by `whole_file`. So a cut connection, a full
disk or Ctrl-C leaves the folder as it was, running again fetches only what is missing, and two
processes may download into one folder at the same time.

MD5 guards against damage here, not against an attacker: the digests are the published ones of
the original files, and the reader of these files (`nn.data`) trusts nothing in them anyway.

Sources: the mirrors of the PyTorch project and of the CVDF foundation; Y. LeCun, C. Cortes and
C. J. C. Burges, "The MNIST database of handwritten digits" (CC BY-SA 3.0).
"""

import hashlib
import itertools
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError
from functools import partial
from http.client import HTTPResponse
from pathlib import Path

from tqdm import tqdm

from yashe.errors import DataError, ParameterError
from yashe.wire.files import whole_file

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

ROUNDS = 3  # over all mirrors, for each file
PAUSE_SECONDS = 1.0  # after the first failed round, doubled after the second
SILENCE_SECONDS = 20.0  # after which a mirror counts as dead


def download_mnist(
    folder: str | os.PathLike[str],
    mirrors: Sequence[str] = MIRRORS,
    *,
    progress: bool | None = None,
    deadline_seconds: float = 1800.0,
) -> Path:
    """Fetch those of the four MNIST files that are not yet in the folder.

    Parameters
    ----------
    folder : path
        Where the files go; created if it does not exist. A file whose MD5 is already right is
        kept; one whose MD5 is wrong is replaced once the right one has arrived.
    mirrors : sequence of http(s) addresses of folders
        Tried in this order, three times over with a pause between.
    progress : bool, optional
        Whether to draw a progress bar per file; by default only on a terminal.
    deadline_seconds : float
        How long everything together may take, also where a mirror sends a byte now and then.

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
        If there is no mirror, or one that is no http(s) address.
    """
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
    ends_at = time.monotonic() + deadline_seconds
    for name, digest in MNIST_MD5.items():
        target, failures = folder / name, []
        if target.is_file() and _md5(target.read_bytes()) == digest:
            continue
        for attempt, mirror in itertools.product(range(ROUNDS), mirrors):
            if attempt > 0 and mirror == mirrors[0]:
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
            url = f"{mirror.rstrip('/')}/{name}"
            try:
                content = _in_time(partial(_received, url, progress), ends_at)
                if _md5(content) != digest:
                    raise DataError(
                        f"MD5 {digest} was required, {_md5(content)} was received, in "
                        f"{len(content)} bytes"
                    )
                with whole_file(target) as file:
                    file.write(content)
                break
            except (OSError, ValueError) as failure:
                failures.append(f"{url}: {failure}")
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


def _md5(content: bytes) -> str:
    """Return the digest, hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _in_time(work: Callable[[float], bytes], ends_at: float) -> bytes:
    """Return work(seconds), which gets half of the time that is left: the next mirror has a chance.

    urllib waits for as long as a mirror sends a byte of its header now and then. So another thread
    works, which is left to itself when its time is over.
    """
    seconds = (ends_at - time.monotonic()) / 2
    if seconds <= 0:
        raise DataError("no time was left")
    answer: Future[bytes] = Future()

    def run() -> None:
        try:
            answer.set_result(work(seconds))
        except Exception as failure:  # noqa: BLE001 (a mirror can do everything wrong)
            answer.set_exception(DataError(f"{failure or type(failure).__name__}"))

    threading.Thread(target=run, daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except NotInTimeError:
        raise DataError(f"it took longer than {seconds:.1f} s") from None


def _received(url: str, progress: bool | None, seconds: float) -> bytes:
    """Return what an address sends; DataError if that is too long, or goes on after its time."""
    content, ends_at = bytearray(), time.monotonic() + seconds
    with urllib.request.urlopen(url, timeout=min(seconds, SILENCE_SECONDS)) as response:
        if not isinstance(response, HTTPResponse):
            raise DataError(f"it leads to {response.url}, which is neither http nor https")
        with tqdm(
            total=min(response.length or 0, MAX_DOWNLOAD_BYTES) or None,
            desc=url.rpartition("/")[2],
            unit="B",
            unit_scale=True,
            disable=None if progress is None else not progress,  # None: unless on a terminal
        ) as bar:
            # read1 returns after one packet, however small: so nothing goes on for nobody.
            while chunk := response.read1(2**16):
                content += chunk
                bar.update(len(chunk))
                if len(content) > MAX_DOWNLOAD_BYTES:
                    raise DataError(f"more than {MAX_DOWNLOAD_BYTES} bytes, this is not MNIST")
                if time.monotonic() > ends_at:
                    raise DataError(f"it took longer than {seconds:.1f} s")
    return bytes(content)
