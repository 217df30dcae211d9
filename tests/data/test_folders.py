"""Folders of pictures, one folder for each class."""

from pathlib import Path

import numpy as np
import pytest

from nn.data import grey
from nn.data.grey import read_pictures, write_grey
from yashe.errors import DataError, FormatError

pytest.importorskip("PIL")


def pictures(folder: Path, shapes: dict[str, list[tuple[int, int]]]) -> Path:
    """Write pictures of these sizes into a folder for each class; the first has 1, the next 2."""
    number = 0
    for name, sizes in shapes.items():
        (folder / name).mkdir()
        for size in sizes:
            number += 1
            write_grey(folder / name / f"{number}.png", np.full(size, number, np.uint8))
    return folder


def test_pictures_come_with_the_name_of_their_folder(tmp_path: Path) -> None:
    place = pictures(tmp_path, {"cat": [(2, 3), (2, 3)], "dog": [(2, 3)], ".hidden": [(9, 9)]})
    (place / "notes.txt").write_text("not a class")
    (place / "cat" / "notes.txt").write_text("not a picture")
    found, labels = read_pictures(place)
    assert found.shape == (3, 2, 3, 1)
    assert found[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert labels.tolist() == ["cat", "cat", "dog"]


def test_folders_from_which_nothing_can_be_learnt_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="cannot read the folder"):
        read_pictures(tmp_path / "absent")
    with pytest.raises(DataError, match="two or more, with PNG or JPEG files; got none"):
        read_pictures(tmp_path)
    place = pictures(tmp_path, {"cat": [(2, 3), (2, 3)], "dog": []})
    with pytest.raises(DataError, match=r"got \['cat'\]"):
        read_pictures(place)
    write_grey(place / "dog" / "large.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(FormatError, match=r"large.png .* 3x3 pixels where 3x2 are needed"):
        read_pictures(place)
    monkeypatch.setattr(grey, "MOST_PIXELS", 17)
    with pytest.raises(DataError, match="3 pictures of 3x2 pixels; at most"):
        read_pictures(place)
