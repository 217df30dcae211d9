"""What a terminal shows: bars that tell the truth, and lines that fit."""

import functools
import io
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

import nn.experiment.terminal
from nn.experiment import drawing
from nn.experiment.terminal import bar, folded
from nn.networks.pretrained import pretrained, pretrained_names
from nn.planning.plan import make_plan
from yashe.errors import DataError
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV


class Terminal(io.StringIO):
    """Stderr with somebody in front of it."""

    def isatty(self) -> bool:
        return True


def watch(patch: pytest.MonkeyPatch) -> Terminal:
    """Put a terminal in the place of stderr, on which every change is drawn."""
    terminal = Terminal()
    patch.setattr(sys, "stderr", terminal)
    patch.setattr(
        nn.experiment.terminal, "tqdm", functools.partial(tqdm, mininterval=0, miniters=0)
    )
    return terminal


def counts(text: str, total: int) -> list[int]:
    """The units that a drawn bar has shown; without the total it has passed it, says tqdm."""
    drawn = [line for line in text.split("\r") if line.strip()]
    return [int(line.partition(f"/{total} ")[0].split()[-1]) for line in drawn]


@given(st.lists(st.floats(0, 1), max_size=20), st.integers(1, 10**6))
def test_a_bar_counts_whole_units_forwards_and_ends_at_its_total(
    shares: list[float], total: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        terminal = watch(patch)
        with bar("counting", total, "images") as done:
            for share in shares:
                done(share)
    shown = counts(terminal.getvalue(), total)
    assert shown == sorted(shown)
    assert shown[-1] == total
    assert "100%|" in terminal.getvalue()


def test_a_bar_shows_units_percent_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    with bar("counting", 450, "images") as done:
        for _ in range(3):
            done(1 / 3)
    assert "counting:  33%|" in terminal.getvalue()
    assert sorted(set(counts(terminal.getvalue(), 450))) == [0, 150, 300, 450]
    assert re.search(r"150/450 \[\d\d:\d\d<\d\d:\d\d, .*images/s\]", terminal.getvalue())


def test_a_bar_of_work_that_failed_does_not_claim_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)

    def fail() -> None:
        with bar("counting", 10, "images") as done:
            done(0.5)
            raise DataError("half way")

    with pytest.raises(DataError, match="half way"):
        fail()
    assert counts(terminal.getvalue(), 10)[-1] == 5


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("counting", 10, "images") as done:
        done(0.5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("scheme_type", [BGV, BFV])
def test_the_progress_of_a_run_is_spread_over_its_work(scheme_type: type[BGV | BFV]) -> None:
    model = pretrained("digits")
    program = make_plan(model, scheme=scheme_type).program
    efforts = [step.effort for step in program.steps]
    assert all(effort > 0 for effort in efforts)
    # Were squares the only measure, a bar would stand still while sums are relinearised.
    assert sum(efforts[1::2]) / sum(efforts) > {BGV: 0.5, BFV: 0.25}[scheme_type]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_what_is_printed_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = folded("short\n\n" + "a long line with many words " * 20)
    assert text.startswith("short\n\na long line")
    images = np.full((9, 8, 8, 1), 255, dtype=np.int64)
    drawn = drawing(images, ["5 (is a 5)"] * 9, 255)
    assert drawn.count("5 (is a 5)") == {40: 3, 80: 6, 200: 9}[columns]
    for line in [*text.splitlines(), *drawn.splitlines()]:
        assert len(line) <= columns


@pytest.mark.parametrize("name", pretrained_names())
def test_tables_of_networks_plans_and_programs_take_80_columns(name: str) -> None:
    plan = make_plan(pretrained(name))
    for table in (pretrained(name).summary(), str(plan), str(plan.program)):
        assert max(map(len, table.splitlines())) <= 80
