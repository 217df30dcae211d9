"""The tables of docs/noise.md and docs/parameters.md are what docs/make_noise.py makes of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nn.data.sets import load_digits
from nn.networks.pretrained import pretrained
from nn.training.quantize import quantize_pixels
from yashe.ciphertexts.trace import Step, Trace
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGES = {page.name: page.read_text("utf-8") for page in (DOCS / "noise.md", DOCS / "parameters.md")}


@pytest.fixture(scope="module")
def make_noise() -> ModuleType:
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("make_noise", DOCS / "make_noise.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_budgets_and_sizes_of_rotation_keys_are_what_is_made_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = importlib.util.spec_from_file_location("make_rotations", DOCS / "make_rotations.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "milliseconds", lambda run: 0.0)
    page = (DOCS / "rotations.md").read_text("utf-8")
    match = re.search(r"<!-- digits -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert match
    for made, stated in zip(module.digits().splitlines(), match[1].splitlines(), strict=True):
        made_cells, stated_cells = (line.split("|") for line in (made, stated))
        del made_cells[3], stated_cells[3]  # the milliseconds
        assert made_cells == stated_cells


def written(name: str) -> str:
    """The table of that name, as it stands in the pages."""
    found = [
        match[1]
        for text in PAGES.values()
        for match in re.finditer(rf"<!-- {name} -->\n(.*?)\n?<!-- end -->", text, re.DOTALL)
    ]
    assert len(found) == 1, name
    return found[0]


SLOW = pytest.param("choices", marks=pytest.mark.slow)  # half a hundred choices of parameters


@pytest.mark.parametrize("name", ["tails", "costs", SLOW, "explanation", "security"])
def test_a_table_is_what_is_made_now(make_noise: Any, name: str) -> None:
    assert make_noise.TABLES[name]() == written(name)


@pytest.mark.slow
def test_the_table_of_random_circuits_is_what_is_made_now(make_noise: Any) -> None:
    assert make_noise.gaps() == written("gaps")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kinds"), [("digits", (BFV, YASHE)), ("digits-bgv", (BGV,))])
def test_the_table_of_the_digits_network_is_what_is_made_now(
    make_noise: Any, name: str, kinds: tuple[Any, ...]
) -> None:
    digits, model = load_digits(), pretrained("digits")
    pixels = quantize_pixels(digits.test_images, digits.pixel_max, model.info.levels)
    traces = {k.name: make_noise.trace_network("digits", pixels, k) for k in kinds}
    assert make_noise.network_table(traces) == written(name)


@pytest.mark.parametrize(
    ("name", "schemes"), [("digits", 2), ("mnist", 2), ("digits-bgv", 1), ("mnist-bgv", 1)]
)
def test_no_network_was_noisier_than_predicted(name: str, schemes: int) -> None:
    rows = [line.split("|")[3:-1] for line in written(name).splitlines()[2:]]
    budgets = np.array([[float(cell) for cell in row] for row in rows])
    assert budgets.shape[1] == 2 * schemes
    assert len(budgets) >= 5
    assert (budgets[:, 0::2] <= budgets[:, 1::2]).all()


def test_pictures_are_drawn(make_noise: Any, tmp_path: Path) -> None:
    make_noise.draw_security(tmp_path / "security.png")
    trace = Trace(None, steps=[Step("", "an encryption", 1, 30.0, 31.0, 0.1)])
    make_noise.save(trace.plot(), tmp_path / "trace.png")
    for name in ("security.png", "trace.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    for name in ("security.png", "noise-gaps.png", "noise-trace.png"):
        assert (DOCS / "images" / name).stat().st_size < 100_000


def test_tables_are_filled_in_between_their_comments(make_noise: Any) -> None:
    page = "a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n"
    expected = "a\n<!-- x -->\nnew\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n"
    assert make_noise.fill(page, {"x": "new"}) == expected


def test_tiles_of_a_layer_are_merged_and_layers_are_not(make_noise: Any) -> None:
    steps = [
        Step("A", "a matrix product", 1, 9.0, 12.0, 0.0),
        Step("A", "adding a constant", 1, 8.0, 12.0, 0.0),
        Step("A", "a matrix product", 1, 10.0, 11.0, 0.0),
        Step("B", "a sum of squares", 1, 5.0, 6.0, 0.0),
        Step("B", "a sum of squares", 1, 3.0, 4.0, 0.0),
    ]
    assert make_noise.merged(Trace(None, steps=steps)) == [
        ("A", "a matrix product", 9.0, 11.0),
        ("A", "adding a constant", 8.0, 12.0),
        ("B", "a sum of squares", 5.0, 6.0),
        ("B", "a sum of squares", 3.0, 4.0),
    ]
