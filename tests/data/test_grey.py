"""Pictures as grey pixels: what is read from them, and which are refused."""

import io
import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nn.data.grey import LARGEST_FILE_BYTES, read_grey, write_grey
from nn.data.sources import load_images
from yashe.errors import DataError, FormatError

Image = pytest.importorskip("PIL.Image", reason="the extra 'images' is not installed")


def pixels(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(picture: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def read(path: Path, content: bytes, height: int = 4, width: int = 5) -> NDArray[np.uint8]:
    path.write_bytes(content)
    return read_grey(path, height, width)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32))
def test_what_is_written_as_a_picture_is_read_as_it(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "picture.png"
    written = pixels(height, width, seed=seed)
    write_grey(path, written)
    assert np.array_equal(read_grey(path, height, width), written)


def test_grey_is_kept_and_colours_become_grey(tmp_path: Path) -> None:
    path, grey, colours = tmp_path / "x.png", pixels(4, 5), pixels(4, 5, 3)
    opaque = np.full((4, 5, 1), 255, dtype=np.uint8)
    for same in (
        saved(Image.fromarray(grey)),
        saved(Image.fromarray(grey).convert("P")),
        saved(Image.fromarray(grey).convert("RGB")),
        saved(Image.fromarray(np.concatenate([grey[..., None], opaque], axis=2))),
        saved(Image.fromarray(grey).convert("RGBA")),
    ):
        assert np.array_equal(read(path, same), grey)
    assert np.array_equal(read(path, saved(Image.fromarray(grey > 127))), 255 * (grey > 127))
    weighted = colours @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read(path, saved(Image.fromarray(colours))) - weighted).max() < 0.6
    # A palette of four colours, not in the order of their brightness.
    coloured = Image.new("P", (5, 4))
    coloured.putdata((grey % 4).ravel().tolist())
    coloured.putpalette([255, 255, 255, 0, 0, 0, 200, 200, 200, 9, 9, 9])
    expected = np.array([255, 0, 200, 9], dtype=np.uint8)[grey % 4]
    assert np.array_equal(read(path, saved(coloured)), expected)


def test_a_jpeg_is_read_up_to_its_own_loss(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(28) * 4, np.arange(28) * 4).astype(np.uint8)
    for name in ("x.jpg", "x.JPEG"):
        (tmp_path / name).write_bytes(saved(Image.fromarray(ramp), "JPEG", quality=95))
        found = load_images([str(tmp_path / name)], (28, 28, 1))
        assert np.abs(found.pixels[0, ..., 0] - ramp.astype(np.int64)).max() <= 4
        assert found.white == 255


def test_pictures_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    good = saved(Image.fromarray(pixels(4, 5)))

    def refusal(content: bytes, message: str, height: int = 4, width: int = 5) -> None:
        with pytest.raises(FormatError, match=f"x.png.*{message}"):
            read(tmp_path / "x.png", content, height, width)

    refusal(saved(Image.fromarray(pixels(4, 5)), "GIF"), "neither PNG nor JPEG")
    refusal(b"", "neither PNG nor JPEG")
    refusal(good + bytes(LARGEST_FILE_BYTES), "at most 1048576 bytes are accepted")
    refusal(good, "5x4 pixels where 28x28 are needed", 28, 28)
    refusal(good, "5x4 pixels where 4x5 are needed", 5, 4)
    refusal(good[:-30], "cannot be read as a picture")
    deep = Image.fromarray(pixels(4, 5).astype(np.uint16) * 257)
    refusal(saved(deep), "pixels of kind I;16; save it with 8 bits, grey or RGB")
    # Black strokes on nothing: without what is behind them, all of it is black.
    strokes = np.zeros((4, 5, 4), dtype=np.uint8)
    strokes[1:3, 2, 3] = 255
    refusal(saved(Image.fromarray(strokes)), "transparent in places; save it without")
    refusal(
        saved(Image.fromarray(pixels(4, 5)), transparency=int(pixels(4, 5)[1, 1])),
        "transparent in places",
    )
    with pytest.raises(FormatError, match="cannot read .*absent.png"):
        read_grey(tmp_path / "absent.png", 4, 5)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="8000x8000 pixels where 5x4 are needed"):
        read(tmp_path / "x.png", saved(Image.new("L", (8000, 8000))))
    # 50,000 x 50,000 pixels, said in the header only: Pillow itself refuses.
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    huge = bytearray(saved(Image.new("L", (4, 4))))
    huge[12:33] = header + struct.pack(">I", zlib.crc32(header))
    with pytest.raises(FormatError, match="decompression bomb"):
        read(tmp_path / "x.png", bytes(huge))


@pytest.mark.filterwarnings("default")
def test_damaged_pictures_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    rng, grey = random.Random(1), Image.fromarray(pixels(28, 28))
    good = [saved(grey.convert(mode)) for mode in ("L", "P", "RGBA")] + [saved(grey, "JPEG")]
    refused = 0
    for _ in range(2_000):
        content = bytearray(rng.choice(good))
        content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        try:
            assert read(tmp_path / "x.png", bytes(content), 28, 28).shape == (28, 28)
        except FormatError:
            refused += 1
    assert refused > 500


def test_without_pillow_the_refusal_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    write_grey(path, pixels(4, 5))
    monkeypatch.setitem(sys.modules, "PIL", None)
    for use in (lambda: read_grey(path, 4, 5), lambda: write_grey(path, pixels(4, 5))):
        with pytest.raises(DataError, match=r"Pillow.*pip install 'cryptonets-yashe\[images\]'"):
            use()
