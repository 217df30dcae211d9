"""Four files in the form of MNIST with five images in all, for tests that read or fetch them."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.data.download import MNIST_MD5

NAMES = list(MNIST_MD5)


def idx(array: NDArray[Any]) -> bytes:
    """The IDX file of an array of bytes."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def tiny_mnist() -> dict[str, bytes]:
    """Four packed IDX files in the form of MNIST: three training images and two test images."""
    generator = np.random.default_rng(5)
    contents = (
        generator.integers(0, 256, (3, 28, 28)),
        np.array([7, 0, 9]),
        generator.integers(0, 256, (2, 28, 28)),
        np.array([1, 2]),
    )
    return {
        name: gzip.compress(idx(content), mtime=0)
        for name, content in zip(NAMES, contents, strict=True)
    }


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder
