"""The security tables, entry by entry, and what they refuse."""

import numpy as np
import pytest

from yashe.arithmetic.primes import ntt_primes
from yashe.errors import ParameterError, SecurityError
from yashe.parameters.security import (
    TABLE_2018,
    TABLE_2024,
    check_security,
    max_log2_q,
    secure_degrees,
)
from yashe.parameters.sets import Params, make_params

# Typed from the publications once more, so that a slip in one place shows.
BOSSUAT_ET_AL_2024 = """
    1024   26   -   -
    2048   53  36  27
    4096  106  73  56
    8192  214 147 114
   16384  430 297 230
   32768  868 597 462
"""
STANDARD_2018 = """
    1024   27  19  14
    2048   54  37  29
    4096  109  75  58
    8192  218 152 118
   16384  438 305 237
   32768  881 611 476
"""


def parsed(text: str) -> dict[int, tuple[int | None, ...]]:
    rows = [line.split() for line in text.split("\n") if line.strip()]
    return {int(n): tuple(None if x == "-" else int(x) for x in row) for n, *row in rows}


def test_the_tables_are_the_published_ones() -> None:
    assert parsed(BOSSUAT_ET_AL_2024) == TABLE_2024
    assert parsed(STANDARD_2018) == TABLE_2018


def test_more_security_and_smaller_degrees_allow_smaller_moduli() -> None:
    for table in (TABLE_2024, TABLE_2018):
        for row in table.values():
            present = [x for x in row if x is not None]
            assert present == sorted(present, reverse=True)
        firsts = [row[0] for row in table.values()]
        assert firsts == sorted(firsts)  # type: ignore[type-var]
    for n, row in TABLE_2024.items():  # the newer table is the stricter one
        assert all(x is None or x < y for x, y in zip(row, TABLE_2018[n], strict=True))


ENTRIES = [
    (n, level, limit)
    for n, row in parsed(BOSSUAT_ET_AL_2024).items()
    for level, limit in zip((128, 192, 256), row, strict=True)
]


@pytest.mark.parametrize(("n", "level", "limit"), ENTRIES)
def test_the_largest_modulus_passes_and_the_next_is_refused(
    n: int, level: int, limit: int | None
) -> None:
    if limit is None:
        with pytest.raises(SecurityError, match=rf"no entry for n = {n} at {level} bits"):
            max_log2_q(n, level)
        return
    assert max_log2_q(n, level) == limit
    check_security(n, 2**limit - 1, level, "name")
    reason = (
        rf"log2 q = {limit + 1} bits at n = {n} is more than the {limit} bits that "
        rf"ePrint 2024/463, Table 5.2 allows for {level}-bit security"
    )
    for q in (2**limit, 2**limit + 1):
        with pytest.raises(SecurityError, match=reason):
            check_security(n, q, level, "name")


@pytest.mark.parametrize("n", [4, 512, 65536])
def test_degrees_outside_of_the_table_are_refused_with_those_inside(n: int) -> None:
    with pytest.raises(SecurityError, match=rf"no entry for n = {n} .* 1024, 2048, .*, 32768$"):
        check_security(n, 3, 128, "name")
    with pytest.raises(SecurityError, match=r"it covers n = 2048, 4096, 8192, 16384, 32768$"):
        check_security(n, 3, 256, "name")


@pytest.mark.parametrize("level", [0, 80, 127, 129, -128])
def test_other_levels_are_refused(level: int) -> None:
    with pytest.raises(SecurityError, match=r"one of \(128, 192, 256\) bits .* not "):
        check_security(8192, 3, level, "name")


def test_no_claim_needs_a_name_that_says_so_and_a_claim_forbids_it() -> None:
    check_security(4, 2**1000, None, "INSECURE_toy")
    for name in ("toy", "", "insecure_toy", "my_INSECURE_toy"):
        with pytest.raises(SecurityError, match=r"must start with 'INSECURE_', but it is "):
            check_security(4, 2**20, None, name)
    with pytest.raises(SecurityError, match=r"'INSECURE_8192' claims 128 bits"):
        check_security(8192, 2**20, 128, "INSECURE_8192")


def test_parameters_are_checked_when_they_are_made() -> None:
    t = (65537,)
    moduli = ntt_primes(8192, 9, avoid=t)  # nine primes of 24 bits: the 2018 table allows them
    with pytest.raises(SecurityError, match=r"log2 q = 216 bits at n = 8192 .* 214 bits"):
        Params("nine", 8192, moduli, t)
    with pytest.raises(SecurityError, match="must start with 'INSECURE_'"):
        Params("nine", 8192, moduli, t, security=None)
    Params("INSECURE_nine", 8192, moduli, t, security=None)
    assert make_params("largest", 8192, 2**16, security=128).q.bit_length() <= 214


def test_the_degrees_of_a_level_are_those_with_an_entry() -> None:
    for level, column in ((128, 0), (192, 1), (256, 2)):
        found = secure_degrees(level)
        assert found == sorted(n for n, row in TABLE_2024.items() if row[column])
        assert all(max_log2_q(n, level) for n in found)
    assert 1024 in secure_degrees(128)
    assert 1024 not in secure_degrees(192)


@pytest.mark.parametrize("level", ["128", 128.0, None, [128], True, np.array([128, 192])])
def test_a_level_that_is_no_whole_number_is_refused(level: object) -> None:
    with pytest.raises(ParameterError, match="security level in bits must be a whole number"):
        max_log2_q(8192, level)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="ring degree n must be a whole number, not 8192.0"):
        max_log2_q(8192.0, 128)  # type: ignore[arg-type]
