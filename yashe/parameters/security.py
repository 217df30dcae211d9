"""Which parameters are believed secure: two published tables, and the refusal.

Both tables give the largest log2 q for a ring degree n and a classical security level, for RLWE
with a uniform ternary secret and errors of standard deviation 3.2. The one of 2024 (Bossuat et al.,
"Security Guidelines for Implementing Homomorphic Encryption", ePrint 2024/463, Table 5.2) is
enforced; the one of 2018 (Albrecht et al., "Homomorphic Encryption Standard", Table 1) is shown.

Beside them stands an estimate by formula, `yashe.attacks.estimates.rlwe_security_bits`, to
understand where such tables come from (`security_table` prints all three).

They speak of RLWE keys only. An NTRU-like key, as in YASHE', is much weaker at the same n and q.
"""

from __future__ import annotations

from collections.abc import Mapping

from yashe.arithmetic.whole import shown, whole
from yashe.attacks.estimates import rlwe_security_bits
from yashe.errors import SecurityError

LEVELS = (128, 192, 256)  # bits, classical

# n -> largest log2 q at 128, 192 and 256 bits; None where no q is large enough to be of use.
TABLE_2024: Mapping[int, tuple[int | None, int | None, int | None]] = {
    1024: (26, None, None),
    2048: (53, 36, 27),
    4096: (106, 73, 56),
    8192: (214, 147, 114),
    16384: (430, 297, 230),
    32768: (868, 597, 462),
}
TABLE_2018: Mapping[int, tuple[int | None, int | None, int | None]] = {
    1024: (27, 19, 14),
    2048: (54, 37, 29),
    4096: (109, 75, 58),
    8192: (218, 152, 118),
    16384: (438, 305, 237),
    32768: (881, 611, 476),
}
SOURCE_2024 = "ePrint 2024/463, Table 5.2"


def max_log2_q(n: int, security: int) -> int:
    """Return the largest log2 q that the enforced table allows.

    Parameters
    ----------
    n : ring degree
    security : 128, 192 or 256 (bits, classical)

    Raises
    ------
    SecurityError
        If the table has no entry for them.
    """
    n, degrees = whole(n, "the ring degree n"), secure_degrees(security)
    if n not in degrees:
        raise SecurityError(
            f"{SOURCE_2024} has no entry for n = {shown(n)} at {security} bits; it covers n = "
            f"{', '.join(map(str, degrees))}"
        )
    entry = TABLE_2024[n][LEVELS.index(security)]
    assert entry is not None
    return entry


def secure_degrees(security: int) -> list[int]:
    """Return the ring degrees for which the enforced table has an entry, the smallest first.

    Raises
    ------
    SecurityError
        If the table has no such level.
    """
    level = whole(security, "the security level in bits")
    if level not in LEVELS:
        raise SecurityError(
            f"security is one of {LEVELS} bits (or None for toys), not {shown(security)}"
        )
    return [n for n, row in TABLE_2024.items() if row[LEVELS.index(level)] is not None]


def check_security(n: int, q: int, security: int | None, name: str) -> None:
    """Refuse parameters that the enforced table does not cover.

    Parameters
    ----------
    n : ring degree
    q : ciphertext modulus
    security : level in bits, or None: no claim, for toys whose name starts with "INSECURE_"
    name : name of the parameter set

    Raises
    ------
    SecurityError
        Naming the table's entry.
    """
    insecure = name.startswith("INSECURE_")
    if security is None:
        if not insecure:
            raise SecurityError(
                f"security=None makes no claim, so the name must start with 'INSECURE_', "
                f"but it is {name!r}"
            )
        return
    if insecure:
        raise SecurityError(f"{name!r} claims {security} bits; an insecure set has security=None")
    limit = max_log2_q(n, security)
    if q.bit_length() > limit:
        raise SecurityError(
            f"log2 q = {q.bit_length()} bits at n = {n} is more than the {limit} bits that "
            f"{SOURCE_2024} allows for {security}-bit security; take fewer primes or a larger n"
        )


def security_table() -> str:
    """Return both tables and the estimate, as a Markdown table.

    Each cell holds the largest log2 q for 128, 192 and 256 bits; the last column estimates the
    security, in bits, of the three entries of 2024.
    """
    lines = ["| n | 2018 | 2024 (enforced) | estimate for 2024 |", "|---|---|---|---|"]
    for n, enforced in TABLE_2024.items():
        estimates = (limit and round(rlwe_security_bits(n, limit)) for limit in enforced)
        cells = (TABLE_2018[n], enforced, estimates)
        texts = (" / ".join("-" if x is None else str(x) for x in cell) for cell in cells)
        lines.append(f"| {n} | " + " | ".join(texts) + " |")
    return "\n".join(lines)
