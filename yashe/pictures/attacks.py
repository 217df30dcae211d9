"""Pictures of attacks: a lattice with a secret in it, and a map of which parameters resist.

Like everything in `yashe.pictures.plots`, it returns a matplotlib Figure, in colours that everybody
can tell apart; matplotlib comes with the extra `notebooks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from yashe.errors import ParameterError
from yashe.parameters.security import LEVELS, TABLE_2024
from yashe.pictures.plots import BLUE, COLOURS, GREY, LINES, MARKERS, RED, canvas


def ntru_plane(q: int, h: int, secret: tuple[int, int]) -> Any:
    """Draw all (F, G) with G = h F modulo q: the lattice of an NTRU key of degree n = 1.

    Parameters
    ----------
    q : modulus, at most 1000, so that single points can be seen
    h : public key
    secret : (f, t g), which lies among the points

    Returns
    -------
    Figure
        The points as dots; the basis vector (1, h) that everybody knows as a dashed arrow (the
        other one, (0, q), leaves the picture), the secret as a solid one, with a circle of radius
        sqrt(q) inside of which a random lattice has hardly a point.

    Raises
    ------
    ParameterError
        If q is too large for a picture, or the secret does not belong to h.
    """
    f, t_g = secret
    if not 2 <= q <= 1000 or (h * f - t_g) % q:
        raise ParameterError(
            f"a picture takes q in [2, 1000] and a secret with h f = t g modulo q, received q = "
            f"{q}, h = {h}, secret = {secret}"
        )
    figure, axis = canvas(width=5.5, height=5.0)
    half = q // 2
    first = np.arange(-half, half + 1, dtype=np.int64)
    second = (h * first + half) % q - half
    axis.scatter(first, second, s=9, color=GREY, label="points (F, h F mod q)")
    centred = (h + half) % q - half
    for (x, y), colour, style, name in (
        ((1, centred), BLUE, "--", "public: (1, h)"),
        (secret, RED, "-", "secret: (f, t g)"),
    ):
        axis.plot([0, x], [0, y], color=colour, linestyle=style, marker="o", label=name)
    angle = np.linspace(0, 2 * np.pi, 100)
    radius = q**0.5
    axis.plot(radius * np.cos(angle), radius * np.sin(angle), color="black", linestyle=":")
    axis.text(radius * 0.75, radius * 0.75, "radius $\\sqrt{q}$")
    axis.set_aspect("equal")
    axis.set_xlabel("F")
    axis.set_ylabel("G")
    axis.set_title(f"An NTRU key of degree 1, q = {q}")
    axis.legend(loc="upper left", fontsize="small")
    return figure


def security_map(points: Mapping[str, tuple[int, float]]) -> Any:
    """Draw which (n, log2 q) the enforced table allows, and where parameter sets lie.

    Parameters
    ----------
    points : name -> (ring degree n, log2 q)

    Returns
    -------
    Figure
        A line for each security level, below which parameters are allowed; the points as markers
        with their names in the legend.

    Raises
    ------
    ParameterError
        If there are more points than can be told apart.
    """
    if len(points) > len(MARKERS):
        raise ParameterError(
            f"at most {len(MARKERS)} points can be told apart, received {len(points)}"
        )
    figure, axis = canvas(width=7.5, height=4.2)
    for level, bits in enumerate(LEVELS):
        line = [(n, limits) for n, row in TABLE_2024.items() if (limits := row[level]) is not None]
        degrees, largest = zip(*line, strict=True)
        axis.plot(degrees, largest, color="black", linestyle=LINES[level], label=f"{bits} bits")
        if level == 0:
            axis.fill_between(degrees, largest, 1, color=GREY, alpha=0.25)
    for (name, (n, log2_q)), marker, colour in zip(points.items(), MARKERS, COLOURS, strict=False):
        axis.plot([n], [log2_q], marker, color=colour, markersize=9, label=name)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.set_ylim(bottom=16)  # a smaller q holds no noise, whatever n is
    axis.set_xlabel("ring degree n")
    axis.set_ylabel("log2 q, bits")
    axis.set_title("RLWE is believed to resist in the grey region (ePrint 2024/463)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
