"""The data sets: what is read is what was written, and what is damaged is refused."""

import gzip
import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import nn.data.sets
from nn.data.download import MNIST_MD5
from nn.data.idx import MAX_IDX_BYTES, read_idx
from nn.data.sets import DataNotFoundError, Dataset, load_digits, load_mnist, mnist_folder
from tiny_mnist import NAMES, idx, tiny_mnist, write
from yashe.errors import DataError, FormatError, KindError, ParameterError


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a law, which write the same file again and again."""
    return tmp_path_factory.mktemp("idx")


# The 8x8 digits


def test_the_digits_are_the_published_ones() -> None:
    digits = load_digits()
    assert digits.train_images.shape == (1347, 8, 8, 1)
    assert digits.test_images.shape == (450, 8, 8, 1)
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    # Figures that the data set's description states, and the counts of its ten classes.
    assert len(images) == 1797
    assert (images.min(), images.max(), digits.pixel_max) == (0, 16, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_first_digit_of_the_file_is_this_zero() -> None:
    digits = load_digits()
    # Written down from the first line of digits.csv.gz.
    zero = [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
        [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0],
        [0, 4, 11, 0, 1, 12, 7, 0],
        [0, 2, 14, 5, 10, 12, 0, 0],
        [0, 0, 6, 13, 10, 0, 0, 0],
    ]
    first = [*digits.train_images[:1, :, :, 0].tolist(), *digits.test_images[:1, :, :, 0].tolist()]
    assert zero in first
    label = (digits.train_labels, digits.test_labels)[first.index(zero)][0]
    assert label == 0


@given(st.integers(0, 50))
def test_every_class_gives_a_quarter_of_its_images_to_the_test(seed: int) -> None:
    digits = load_digits(seed)
    in_test = np.bincount(digits.test_labels)
    in_all = in_test + np.bincount(digits.train_labels)
    assert np.all(np.abs(in_test - in_all / 4) <= 0.5)


def test_the_division_of_the_digits_never_changes() -> None:
    # The pretrained network was trained on this division; with another one its test images would
    # be training images. The digest was printed by this expression when the network was made.
    digest = hashlib.sha256(load_digits().test_images.tobytes()).hexdigest()
    assert digest == "77b0d717ee2ecae49a30318d59e366a72547a94fc78594b4d2bd90bafe933e44"
    assert not np.array_equal(load_digits(1).test_labels, load_digits(0).test_labels)


def test_a_damaged_installation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.data.sets, "DIGITS_SHA256", "0" * 64)
    with pytest.raises(DataError, match="must have SHA-256 0000.*install the package again"):
        load_digits()


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ParameterError, match="got -1; use 0"):
        load_digits(-1)


# Dataset


def dataset(**changes: Any) -> Dataset:
    fields: dict[str, Any] = {
        "name": "toy",
        "train_images": np.zeros((3, 4, 4, 1), np.uint8),
        "train_labels": np.array([0, 9, 3], np.int64),
        "test_images": np.full((1, 4, 4, 1), 5, np.uint8),
        "test_labels": np.array([2], np.int64),
        "pixel_max": 5,
    }
    return Dataset(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((3, 4, 4), np.uint8)}, r"uint8 \(3, 4, 4\); add the last axis"),
        ({"train_images": np.zeros((3, 4, 4, 1))}, r"training part.*got float64"),
        ({"test_images": np.zeros((0, 4, 4, 1), np.uint8), "test_labels": np.zeros(0, np.int64)},
         "at least one image is required, got none"),
        ({"test_labels": np.array([2, 2], np.int64)}, r"one int64 label.*\(2,\) for 1 images"),
        ({"test_labels": np.array([2], np.uint8)}, "one int64 label per image.*got uint8"),
        ({"pixel_max": 4}, r"test part: pixels must lie in 0\.\.4, got 5"),
        ({"train_labels": np.array([0, 10, 3], np.int64)}, r"must lie in 0\.\.9, got 0\.\.10"),
        ({"train_labels": np.array([0, -1, 3], np.int64)}, r"must lie in 0\.\.9, got -1\.\.3"),
        ({"test_images": np.zeros((1, 8, 8, 1), np.uint8)}, r"one size, got \(4, 4, 1\) and \(8,"),
    ],
)  # fmt: skip
def test_a_data_set_that_does_not_fit_together_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        dataset(**changes)


def test_a_data_set_cannot_be_written_to_and_leaves_its_arguments_writable() -> None:
    images = np.zeros((3, 4, 4, 1), np.uint8)
    data = dataset(train_images=images)
    with pytest.raises(ValueError, match="read-only"):
        data.train_images[0] = 1
    images[0] = 1


# IDX files


@given(array=arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(3), st.just(2))))
def test_an_idx_file_gives_back_what_was_written(scratch: Path, array: NDArray[np.uint8]) -> None:
    for name, content in (("a", idx(array)), ("a.gz", gzip.compress(idx(array)))):
        path = scratch / name
        path.write_bytes(content)
        read = read_idx(path, (3, 2))
        assert read.dtype == np.uint8
        assert np.array_equal(read, array)
        assert read.shape == array.shape


def test_an_idx_file_by_hand(tmp_path: Path) -> None:
    # Two entries of shape (1, 3): type 08 (byte), 3 axes, lengths 2, 1, 3, then the six bytes.
    path = tmp_path / "hand"
    path.write_bytes(bytes.fromhex("00000803 00000002 00000001 00000003 010203 fffefd"))
    assert read_idx(path, (1, 3)).tolist() == [[[1, 2, 3]], [[255, 254, 253]]]


@given(keep=st.integers(0, 27), packed=st.booleans())
def test_an_idx_file_that_was_cut_anywhere_is_refused(
    scratch: Path, keep: int, packed: bool
) -> None:
    content = idx(np.arange(12).reshape(2, 3, 2))  # 16 bytes of header and 12 entries
    path = scratch / ("cut.gz" if packed else "cut")
    path.write_bytes(gzip.compress(content[:keep]) if packed else content[:keep])
    with pytest.raises(FormatError, match=r"is it the right file|only \d+ bytes follow"):
        read_idx(path, (3, 2))


@given(drop=st.integers(1, 60))
def test_a_gzip_file_that_was_cut_is_refused(scratch: Path, drop: int) -> None:
    content = gzip.compress(idx(np.arange(12).reshape(2, 3, 2)))
    path = scratch / "short.gz"
    path.write_bytes(content[: max(len(content) - drop, 1)])
    with pytest.raises(FormatError, match="complete gzip file was required"):
        read_idx(path, (3, 2))


def test_a_gzip_file_with_a_damaged_inside_is_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(idx(np.arange(12).reshape(2, 3, 2))))
    content[10] = (
        0xFF  # The first byte behind the header of gzip: a block type that does not exist.
    )
    path = tmp_path / "damaged.gz"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="complete gzip file was required.*invalid block type"):
        read_idx(path, (3, 2))


@given(content=st.binary(max_size=60), packed=st.booleans())
def test_arbitrary_bytes_are_refused_with_a_format_error(
    scratch: Path, content: bytes, packed: bool
) -> None:
    path = scratch / ("noise.gz" if packed else "noise")
    path.write_bytes(b"\xff" + content)
    with pytest.raises(FormatError, match="is it the right file|gzip file was required"):
        read_idx(path, (28, 28))


def test_bytes_behind_the_last_entry_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(idx(np.arange(4)) + b"!")
    with pytest.raises(FormatError, match="announces 4 bytes of entries, more bytes follow"):
        read_idx(path, ())


@pytest.mark.parametrize("header", ["00000903", "00000801", "00010803", "01000803"])
def test_another_type_or_number_of_axes_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "type"
    path.write_bytes(bytes.fromhex(header + "00000001 00000001 00000001 07"))
    with pytest.raises(FormatError, match=f"starts with 00000803, got {header}"):
        read_idx(path, (1, 1))


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "size"
    path.write_bytes(idx(np.zeros((2, 28, 27))))
    with pytest.raises(FormatError, match=r"\(28, 28\) were required.*announces \(28, 27\)"):
        read_idx(path, (28, 28))


def peak_bytes(function: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_that_promises_too_much_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "promise"
    path.write_bytes(bytes.fromhex("00000803 ffffffff 0000001c 0000001c"))

    def read() -> None:
        with pytest.raises(FormatError, match=f"at most {MAX_IDX_BYTES} bytes.*not MNIST"):
            read_idx(path, (28, 28))

    assert peak_bytes(read) < 2**20


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((1, 28, 28))) + bytes(64 * 2**20), 1))

    def read() -> None:
        with pytest.raises(FormatError, match="announces 784 bytes of entries, more bytes follow"):
            read_idx(path, (28, 28))

    assert peak_bytes(read) < 2 * 2**20


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is there but cannot be read"):
        read_idx(tmp_path, ())


# MNIST from a folder


def test_mnist_is_read_packed_and_unpacked(tmp_path: Path) -> None:
    packed = tiny_mnist()
    unpacked = {name.removesuffix(".gz"): gzip.decompress(c) for name, c in packed.items()}
    first = load_mnist(write(tmp_path / "packed", packed))
    second = load_mnist(write(tmp_path / "unpacked", unpacked))
    assert first.train_images.shape == (3, 28, 28, 1)
    assert first.test_images.shape == (2, 28, 28, 1)
    assert first.train_labels.tolist() == [7, 0, 9]
    assert first.test_labels.tolist() == [1, 2]
    assert first.test_labels.dtype == np.int64
    assert first.pixel_max == 255
    assert np.array_equal(first.train_images, second.train_images)
    assert np.array_equal(first.test_images, second.test_images)


def test_labels_and_images_of_different_sets_are_refused(tmp_path: Path) -> None:
    contents = tiny_mnist() | {NAMES[1]: gzip.compress(idx(np.array([7, 0])))}
    with pytest.raises(DataError, match=r"mnist, training part: one .*\(2,\) for 3 images"):
        load_mnist(write(tmp_path, contents))


def test_a_label_that_is_no_digit_is_refused(tmp_path: Path) -> None:
    contents = tiny_mnist() | {NAMES[3]: gzip.compress(idx(np.array([1, 10])))}
    with pytest.raises(DataError, match=r"test part: labels must lie in 0\.\.9, got 1\.\.10"):
        load_mnist(write(tmp_path, contents))


def test_missing_mnist_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    contents = tiny_mnist()
    del contents[NAMES[2]]
    folder = write(tmp_path, contents)
    with pytest.raises(DataNotFoundError, match=f"{NAMES[2]} is not there") as caught:
        load_mnist(folder)
    for advice in (*NAMES, str(folder), "CRYPTONETS_DATA", "download=True", "https://", "unpacked"):
        assert advice in str(caught.value)


def test_the_folder_is_the_argument_then_the_variable_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTONETS_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert mnist_folder(tmp_path / "argument") == tmp_path / "argument"
    assert mnist_folder() == tmp_path / "variable"
    with pytest.raises(KindError, match="the folder must be a path; got 3"):
        load_mnist(3)  # type: ignore[arg-type]
    monkeypatch.delenv("CRYPTONETS_DATA")
    assert mnist_folder() == tmp_path / "cache" / "cryptonets" / "mnist"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert mnist_folder() == tmp_path / "home" / ".cache" / "cryptonets" / "mnist"


def test_a_mistyped_folder_does_not_load_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTONETS_DATA", str(write(tmp_path / "right", tiny_mnist())))
    assert load_mnist().name == "mnist"
    with pytest.raises(DataNotFoundError, match="wrong"):
        load_mnist(tmp_path / "wrong")


def test_the_real_mnist(mnist_folder: Path) -> None:
    data = load_mnist(mnist_folder)
    assert data.train_images.shape == (60_000, 28, 28, 1)
    assert data.test_images.shape == (10_000, 28, 28, 1)
    # The first labels of both parts, as every tutorial prints them.
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(data.test_labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_the_digests_are_those_of_the_real_files(mnist_folder: Path) -> None:
    for name, digest in MNIST_MD5.items():
        content = (mnist_folder / name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest
