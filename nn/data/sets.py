"""Images and labels: the 8x8 digits that come with the package, and MNIST.

Images are uint8 arrays of shape (count, height, width, 1): feature axes last, the batch first.
Nothing here touches the network unless `load_mnist(download=True)` asks for it.

Sources: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (the digits; their
licence is in `nn/data/digits/README.md`); Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST
database of handwritten digits".
"""

import gzip
import hashlib
import io
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn.data.download import MNIST_MD5, download_mnist, mnist_advice
from nn.data.idx import read_idx
from yashe.errors import DataError, KindError, ParameterError

DATA_VARIABLE = "CRYPTONETS_DATA"
DIGITS_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


class DataNotFoundError(DataError):
    """A data set is not where it was looked for; the text says where to get it."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels, divided into training and test.

    Parameters
    ----------
    name : str
    train_images, test_images : uint8 arrays, shape (count, height, width, 1), 0..pixel_max
    train_labels, test_labels : int64 arrays, shape (count,), 0..9
    pixel_max : int
        The largest value that a pixel can take: 255 for MNIST, 16 for the digits.

    Raises
    ------
    DataError
        If shapes, types, counts or ranges are not these.

    Notes
    -----
    The arrays are marked read-only: a test set that something changed on the way proves nothing.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    pixel_max: int

    def __repr__(self) -> str:
        height, width = self.train_images.shape[1:3]
        return (
            f"Dataset({self.name!r}: {len(self.train_images):,} training and "
            f"{len(self.test_images):,} test images, {height} x {width} pixels 0..{self.pixel_max})"
        )

    def __post_init__(self) -> None:
        for field in ("train_images", "train_labels", "test_images", "test_labels"):
            view = np.asarray(getattr(self, field)).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)
        parts = (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        )
        for part, images, labels in parts:
            where = f"{self.name}, {part} part"
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 1:
                raise DataError(
                    f"{where}: images must be a uint8 array of shape (count, height, width, 1), "
                    f"got {images.dtype} {images.shape}; add the last axis with images[..., None]"
                )
            if len(images) == 0:
                raise DataError(f"{where}: at least one image is required, got none")
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise DataError(
                    f"{where}: one int64 label per image is required, got {labels.dtype} "
                    f"{labels.shape} for {len(images)} images; images and labels must be of one set"
                )
            if images.max() > self.pixel_max:
                raise DataError(
                    f"{where}: pixels must lie in 0..{self.pixel_max}, got {images.max()}; "
                    "state the largest value as pixel_max"
                )
            if labels.min() < 0 or labels.max() > 9:
                raise DataError(
                    f"{where}: labels must lie in 0..9, got {labels.min()}..{labels.max()}; "
                    "this is not a set of digits, or a damaged one"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.name}: training and test images must have one size, got "
                f"{self.train_images.shape[1:]} and {self.test_images.shape[1:]}; load one data set"
            )


def load_digits(seed: int = 0) -> Dataset:
    """Load the 1,797 digits of 8x8 pixels (0..16) that come with the package.

    Parameters
    ----------
    seed : int, at least 0
        Decides which quarter of every class is the test part. The division is the same on every
        machine; the pretrained network and the published accuracies use seed 0.

    Returns
    -------
    Dataset
        1,347 training and 450 test images, in the order of the file.

    Raises
    ------
    DataError
        If the file in the package is not the one that was published with it.
    ParameterError
        If the seed is negative.
    """
    if seed < 0:
        raise ParameterError(f"a seed must be an integer from 0 upwards, got {seed}; use 0")
    packed = files("nn.data").joinpath("digits/digits.csv.gz").read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    if digest != DIGITS_SHA256:
        raise DataError(
            f"the digits in the package must have SHA-256 {DIGITS_SHA256}, got {digest}; "
            "the installation is damaged: install the package again"
        )
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), np.int64, delimiter=",")  # (1797, 65)
    images = table[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, 64].copy()

    # Stratified: each class gives a quarter of its own images, so no class is rare in the test.
    # SHA-256 draws them, because the stream of a NumPy generator may change between versions.
    in_test = np.zeros(len(labels), dtype=np.bool_)
    for digit in range(10):
        members = np.flatnonzero(labels == digit).tolist()
        members.sort(key=lambda index: hashlib.sha256(f"{seed}/{index}".encode()).digest())
        in_test[members[: round(len(members) / 4)]] = True
    return Dataset(
        name="digits",
        train_images=images[~in_test],
        train_labels=labels[~in_test],
        test_images=images[in_test],
        test_labels=labels[in_test],
        pixel_max=16,
    )


def load_mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    progress: bool | None = None,
) -> Dataset:
    """Load the 60,000 training and 10,000 test images of MNIST, 28x28 pixels (0..255).

    Parameters
    ----------
    folder : path, optional
        Where the four IDX files lie, packed (.gz) or unpacked; see `mnist_folder` for the default.
    download : bool
        Whether to fetch files that are missing from the public mirrors, into that folder.
    progress : bool, optional
        Whether a download draws a progress bar; by default only on a terminal.

    Returns
    -------
    Dataset
        Sets in the same four files with other counts of 28x28 images are read as well.

    Raises
    ------
    DataNotFoundError
        If a file is missing; the text says which, and what to do.
    DataError
        If a download was wanted and failed, or images and labels do not belong together.
    FormatError
        If a file is damaged or no IDX file.
    """
    place = mnist_folder(folder)
    missing = [name for name in MNIST_MD5 if not _path(place, name).is_file()]
    if missing and download:
        download_mnist(place, progress=progress)
    elif missing:
        raise DataNotFoundError(
            f"MNIST was required in {place}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there.\n"
            f"If you have the files elsewhere, name their folder, or set {DATA_VARIABLE} to it. "
            "With a network, load_mnist(download=True) fetches them.\n" + mnist_advice(place)
        )
    train_images, train_labels, test_images, test_labels = (
        read_idx(_path(place, name), (28, 28) if "images" in name else ()) for name in MNIST_MD5
    )
    return Dataset(
        name="mnist",
        train_images=train_images[..., None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[..., None],
        test_labels=test_labels.astype(np.int64),
        pixel_max=255,
    )


def mnist_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return where MNIST is looked for: the argument, else $CRYPTONETS_DATA, else the user's cache.

    The cache is `$XDG_CACHE_HOME/cryptonets/mnist`, `~/.cache/cryptonets/mnist` by default. The
    first of the three that is given counts, whether or not the files are there: a mistyped folder
    must not silently load something else.
    """
    if folder is not None:
        if not isinstance(folder, str | os.PathLike):
            raise KindError(f"the folder must be a path; got {folder!r}.")
        return Path(folder).expanduser()
    if variable := os.environ.get(DATA_VARIABLE):
        return Path(variable).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cryptonets" / "mnist"


def _path(folder: Path, packed_name: str) -> Path:
    """Return where the packed file is, or, if it is not there, the unpacked one has to be."""
    packed = folder / packed_name
    return packed if packed.is_file() else packed.with_suffix("")
