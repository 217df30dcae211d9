"""Pictures of polynomials, residues, slots and noise, one line each for a teacher.

Every function returns a matplotlib Figure, which a notebook shows as the last line of a cell and
`figure.savefig` writes. Colours are those of Okabe and Ito (2008), which people tell apart whatever
their colour vision; in print without colours, markers, hatches and line styles do it.

matplotlib is an optional dependency: the extra `notebooks` installs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.primes import next_ntt_primes
from yashe.errors import ParameterError
from yashe.textbook.polynomials import slot_exponents

try:
    from matplotlib import pyplot
except ImportError:
    pyplot = None

BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, RED, PINK = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
GREY = "#bbbbbb"
COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK)
LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")


def canvas(
    rows: int = 1, columns: int = 1, width: float = 7.0, height: float = 3.4
) -> tuple[Any, Any]:
    """Return a new Figure, and its axes or an array of them.

    Raises
    ------
    ParameterError
        If matplotlib is not installed.
    """
    if pyplot is None:
        raise ParameterError(
            'plots need matplotlib, which is not installed: pip install ".[notebooks]"'
        )
    figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), layout="constrained")
    pyplot.close(figure)  # else a notebook would show it twice
    return figure, axes


def clean(axis: Any) -> None:
    """Take ticks and frame away, for a drawing without scales."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> Any:
    """Draw curves on doubly logarithmic axes, such as the cost of algorithms against n.

    Parameters
    ----------
    series : name -> (x values, y values), both positive
    xlabel, ylabel : with their units
    title : of the figure

    Returns
    -------
    Figure
    """
    figure, axis = canvas()
    for i, (name, (x, y)) in enumerate(series.items()):
        axis.plot(
            x,
            y,
            label=name,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linestyle=LINES[i % len(LINES)],
        )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.set_title(title)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def noise_histogram(errors: Sequence[int], sigma: float, limit: float, title: str = "") -> Any:
    """Draw how often each error occurs, beside the Gaussian that theory predicts.

    Parameters
    ----------
    errors : integers
        Differences between phases and scaled messages.
    sigma : standard deviation that theory gives
    limit : the absolute value at which decryption fails, q / (2 t)
    title : of the figure

    Returns
    -------
    Figure
    """
    values = np.asarray(errors, dtype=np.float64)
    width = max(1, math.ceil(8 * sigma / 40))  # about forty bars over eight deviations
    reach = width * math.ceil(5 * sigma / width)
    edges = np.arange(-reach - width / 2, reach + width, width)
    figure, axis = canvas()
    axis.hist(values, edges, color=SKY, edgecolor=BLACK, linewidth=0.5, label="found")
    x = np.linspace(-reach, reach, 400)
    density = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    label = f"Gaussian, $\\sigma$ = {sigma:.3g}"
    axis.plot(x, density * values.size * width, color=RED, linewidth=2, label=label)
    axis.set_xlabel(f"error (decryption fails at {limit:.3g})")
    axis.set_ylabel(f"how many of {values.size:,}")
    axis.set_title(
        title or f"Errors of {values.size:,} coefficients: found $\\sigma$ = {values.std():.3g}"
    )
    axis.legend()
    if limit < reach:
        for sign in (-1, 1):
            axis.axvline(sign * limit, color=BLACK, linestyle="--")
    return figure


def rns_clock(x: int, moduli: Sequence[int]) -> Any:
    """Draw an integer as the hands of several clocks, one with p hours for each modulus p.

    Parameters
    ----------
    x : integer
    moduli : one to six moduli of at most 60
    """
    if not 1 <= len(moduli) <= 6 or max(moduli) > 60:
        raise ParameterError(f"one to six moduli up to 60 can be drawn as clocks, not {moduli}")
    figure, axes = canvas(1, len(moduli), width=2.4 * len(moduli), height=2.9)
    for axis, p in zip(np.atleast_1d(axes), moduli, strict=True):
        hours = np.arange(p)
        angles = math.pi / 2 - 2 * math.pi * hours / p
        axis.plot(np.cos(angles), np.sin(angles), "o", color=GREY, markersize=4)
        for hour in hours if p <= 17 else ():
            place = 1.17 * np.cos(angles[hour]), 1.17 * np.sin(angles[hour])
            name = f"{hour - p if 2 * hour > p else hour}"
            axis.text(*place, name, ha="center", va="center", fontsize=8)
        end = angles[x % p]
        axis.plot([0, np.cos(end)], [0, np.sin(end)], color=RED, linewidth=3)
        axis.set_title(f"{x} mod {p} = {(x + p // 2) % p - p // 2}", fontsize=10)
        axis.set_aspect("equal")
        axis.set_xlim(-1.35, 1.35)
        axis.set_ylim(-1.35, 1.35)
        clean(axis)
    figure.suptitle(f"{math.prod(moduli):,} numbers have different hands")
    return figure


def exactness(
    terms: Sequence[int], wrong: Mapping[str, Sequence[float]], limits: Sequence[int]
) -> Any:
    """Draw where sums of products of residues stop being exact in float64.

    Parameters
    ----------
    terms : lengths of the sums that were tried
    wrong : name -> share of sums that came out wrong, for every length
    limits : for each name, the largest number of terms that is proved to be exact
    """
    figure, axis = canvas(width=7.5)
    for i, (name, shares) in enumerate(wrong.items()):
        colour = COLOURS[i % len(COLOURS)]
        marker, line = MARKERS[i % len(MARKERS)], LINES[i % len(LINES)]
        axis.plot(terms, shares, color=colour, marker=marker, linestyle=line, label=name)
        axis.axvline(limits[i], color=colour, linestyle=":")
        axis.annotate(
            f"proved up to {limits[i]:,}",
            (limits[i], 0.5),
            xytext=(-3, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="center",
            color=colour,
            fontsize=8,
        )
    axis.set_xscale("log", base=2)
    axis.set_xlabel("terms of the sum")
    axis.set_ylabel("share of wrong sums")
    axis.set_title("Exact up to a proved bound, wrong beyond it")
    axis.legend(loc="upper left")
    return figure


def slot_grid(values: Sequence[int], psi_powers: bool = True) -> Any:
    """Draw the slots of one plaintext as their grid of 2 rows and n/2 columns.

    Parameters
    ----------
    values : the n slots, in slot order
    psi_powers : whether to write the exponent of psi into every slot
    """
    n = len(values)
    if n < 4 or n & (n - 1) or n > 64:
        raise ParameterError(f"a readable grid has n = 4, 8, 16, 32 or 64 slots, not {n}")
    grid, exponents = np.array(values).reshape(2, n // 2), slot_exponents(n)
    figure, axis = canvas(width=max(4.0, 0.45 * n), height=2.4)
    axis.imshow(grid, cmap="cividis", aspect="auto")
    for (r, c), value in np.ndenumerate(grid):
        name = f"\n$\\psi^{{{exponents[r * n // 2 + c]}}}$" if psi_powers else ""
        axis.text(c, r, f"{value}{name}", ha="center", va="center", fontsize=9, bbox=LABEL)
    axis.set_xticks(range(n // 2))
    axis.set_yticks((0, 1))
    axis.set_xlabel("column; rotating shifts all of them")
    axis.set_ylabel("row")
    axis.set_title(f"n = {n} slots in two rows")
    return figure


def ntt_forms(n: int = 8) -> Any:
    """Draw one transform twice: as butterflies, and as the two matrix products that we run.

    Parameters
    ----------
    n : degree, a power of two from 4 to 64

    Returns
    -------
    Figure
        On the left the wires that every level of butterflies crosses; on the right the matrices A,
        X, T and the two quarters of W of `yashe.arithmetic.ntt`, shaded by their residues.
    """
    if n not in (4, 8, 16, 32, 64):
        raise ParameterError(f"a readable picture needs n = 4, 8, 16, 32 or 64, not {n}")
    figure, axes = canvas(1, 6, width=13, height=3.2)
    _draw_butterflies(axes[0], n)
    p = next_ntt_primes(n, 2 * n + 2, 1)[0]
    transform = Ntt(n, (p,))
    left, twist, even, odd = (matrices[0] for matrices in transform.forward)
    x = np.arange(n, dtype=np.float64).reshape(twist.shape)
    parts = (
        ("A", left),
        ("X: coefficients", x),
        ("T: twist", twist),
        ("W: even rows, left half", even),
        ("W: odd rows, left half", odd),
    )
    for axis, (name, matrix) in zip(axes[1:], parts, strict=True):
        axis.imshow(matrix, cmap="cividis")
        axis.set_title(f"{name}\n{matrix.shape[0]} x {matrix.shape[1]}", fontsize=10)
        for (i, j), value in np.ndenumerate(matrix) if n <= 16 else ():
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", bbox=LABEL)
        clean(axis)
    figure.suptitle(f"n = {n}, p = {p}: butterflies, or W ((A X) * T)$^T$")
    return figure


def _draw_butterflies(axis: Any, n: int) -> None:
    """Draw the wires of log2 n levels; solid ones add, dashed ones subtract."""
    levels = int(math.log2(n))
    for level in range(levels):
        half = 1 << level  # the recursion joins pairs first, then halves
        for i in range(n):
            partner, lower = i ^ half, bool(i & half)
            ends = [level, level + 1]
            style = {"color": RED, "linestyle": "--"} if lower else {"color": BLUE}
            axis.plot(ends, [-i, -i], linewidth=0.8, **style)
            axis.plot(ends, [-i, -partner], linewidth=0.8, color=BLUE)
    axis.set_title(f"butterflies\n{levels} levels of {n // 2}", fontsize=10)
    clean(axis)
