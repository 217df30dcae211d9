"""The exercises of notebook 14: columns as integers, and who learns what."""

from __future__ import annotations

import math

from yashe.checks.cases import generator, integers
from yashe.checks.report import Check, Claim, exercise

Numbers = list[float]


@exercise("14")
def to_integers() -> Check:
    """Check a function (column, low, high, levels) -> integers 0 .. levels."""
    rng = generator("to_integers")
    by_hand = [([20.0, 50.0, 80.0], 20.0, 80.0, 6), ([21.0, 34.0], 20.0, 80.0, 6)]
    beyond = [([18.0, 95.0, 20.7], 20.0, 80.0, 60), ([-1e9, 1e9], -2.0, 2.0, 31)]
    columns = [
        ([rng.uniform(low - 1, high + 1) for _ in range(8)], low, high, levels)
        for low, high, levels in ((0.0, 1.0, 15), (-40.0, 130.0, 31), (2.0, 2.5, 255))
    ]
    return Check(
        Claim("ages, by hand", by_hand, whole),
        Claim("values beyond the ends", beyond, whole),
        Claim("columns of any unit", columns, whole),
        mistakes={
            "values beyond the ends are not clipped": lambda column, low, high, levels: [
                math.floor(levels * (x - low) / (high - low) + 0.5) for x in column
            ],
            "cut off, where it has to be rounded to the nearest integer": (
                lambda column, low, high, levels: [
                    int(levels * share(x, low, high)) for x in column
                ]
            ),
            "the low end is not taken away: low has to become 0": (
                lambda column, low, high, levels: [
                    math.floor(levels * min(max(x, low), high) / high + 0.5) for x in column
                ]
            ),
            "high becomes levels + 1: there are levels steps between levels + 1 integers": (
                lambda column, low, high, levels: whole(column, low, high, levels + 1)
            ),
        },
    )


def share(x: float, low: float, high: float) -> float:
    """Return where x stands between low and high, from 0 to 1."""
    return (min(max(x, low), high) - low) / (high - low)


def whole(column: Numbers, low: float, high: float, levels: int) -> list[int]:
    """Return the nearest integers."""
    return [math.floor(levels * share(x, low, high) + 0.5) for x in column]


@exercise("14")
def ciphertexts_sent() -> Check:
    """Check a function (rows, columns, slots) -> how many ciphertexts a table becomes."""

    def sent(rows: int, columns: int, slots: int) -> int:
        return columns * -(-rows // slots)

    few = [(1, 1, 8192), (1, 4, 8192), (300, 4, 8192), (8192, 4, 8192)]
    many = [(8193, 4, 8192), (20000, 30, 8192), (16384, 7, 8192), (16385, 7, 8192)]
    return Check(
        Claim("tables with fewer rows than slots", few, sent),
        Claim("larger tables", many, sent),
        mistakes={
            "one for each value: rows share a ciphertext": (
                lambda rows, columns, slots: rows * columns
            ),
            "one for each row: a ciphertext holds one column of many rows": (
                lambda rows, columns, slots: rows
            ),
            "the last batch is missing if it is not full": (
                lambda rows, columns, slots: columns * max(rows // slots, 1)
            ),
        },
    )


@exercise("14")
def stolen() -> Check:
    """Check a function (at_zero, at_units) -> (weights, bias) of a linear network."""
    rng = generator("stolen")
    answers = []
    for columns in (1, 3, 12):
        bias, weights = integers(rng, 99, 1)[0], integers(rng, 9, columns)
        answers.append((bias, [bias + w for w in weights]))

    def network(at_zero: int, at_units: list[int]) -> tuple[list[int], int]:
        return [y - at_zero for y in at_units], at_zero

    return Check(
        Claim("one column", [(5, [8]), (-2, [-2])], network),
        Claim("networks with several columns", answers, network),
        mistakes={
            "the bias is in every answer: it has to be taken away": (
                lambda at_zero, at_units: (at_units, at_zero)
            ),
            "the sign: the answer at 1 minus the answer at 0": (
                lambda at_zero, at_units: ([at_zero - y for y in at_units], at_zero)
            ),
            "weights and bias have changed places": lambda at_zero, at_units: (
                at_zero,
                [y - at_zero for y in at_units],
            ),
        },
    )
