"""Somebody else's reader of the wire format, written from docs/wire-format.md.

    frame = read_frame(data)
    readings = decrypt(frame, secret(read_frame(secret_key_data)))

It shares no line with the package, like `oracle`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass, field

from oracle import OracleError, Polynomial, Reading, centred, polynomial, product, read

MAGIC = bytes.fromhex("89464845 0D0A1A0A")
SCHEME_NUMBERS = {1: "BFV", 2: "YASHE'", 3: "BGV"}
KEY_SCHEMES = {2: "BFV", 3: "BFV", 6: "YASHE'", 7: "YASHE'", 8: "BGV", 9: "BGV", 10: "BFV",
               11: "BGV", 12: "YASHE'", 13: "BFV", 14: "BGV"}  # fmt: skip
RELINEARIZATION, ROTATIONS = (3, 7, 9, 13, 14), (10, 11, 12)
SEEDED_KEYS = {10: "rotation-a", 11: "rotation-a", 13: "relin-a", 14: "relin-a"}
PARAMETERS, CIPHERTEXTS, SEEDED = 1, 4, 5
SECRET, YASHE_SECRET = 128, 129

Rows = list[list[int]]  # residues of one polynomial, shape (k, n)


@dataclass
class Record:
    """One ciphertext: the residues of its parts, and the sender's claim about its noise, if any."""

    parts: list[Rows]
    deviation: float | None = None
    order: int | None = None


@dataclass
class Frame:
    """What a frame holds: of a key the polynomials, of an array of ciphertexts the records."""

    kind: int
    n: int
    security: int
    name: str
    moduli: tuple[int, ...]
    plaintext_moduli: tuple[int, ...]
    key_id: str = ""
    scheme: str = ""
    degree: int = 0
    factor: int = 1
    shape: tuple[int, ...] = ()
    digit_primes: int = 1
    spare: int = 0
    exponents: tuple[int, ...] = (1,)
    rho: bytes = b""
    polynomials: list[Rows] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


class Bytes:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise OracleError(f"{count} bytes were expected, {len(self.data)} are left")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def unpack(self, form: str) -> tuple:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def numbers(self, n: int, p: int) -> list[int]:
        """Return n numbers modulo p, which follow each other bit by bit."""
        bits = p.bit_length()
        data = self.take(-(-n * bits // 8))
        found: list[int] = []
        for start in range(0, len(data), bits):  # 8 numbers fill `bits` bytes
            group = int.from_bytes(data[start : start + bits], "little")
            found += [group >> (bits * i) & (2**bits - 1) for i in range(8)]
        if max(found[:n]) >= p or any(found[n:]):
            raise OracleError(f"a number that is no residue modulo {p}, or bits behind the last")
        return found[:n]

    def end(self) -> None:
        if self.data:
            raise OracleError(f"{len(self.data)} bytes too many")


def expanded(seed: bytes, name: str, n: int, p: int) -> list[int]:
    """Return the n residues modulo p that a seed and a name stand for."""
    limit, count = 2**24 // p * p, n
    while True:
        count *= 2
        data = hashlib.shake_256(seed + f"{name}/{p}".encode("ascii")).digest(3 * count)
        draws = [int.from_bytes(data[i : i + 3], "little") for i in range(0, len(data), 3)]
        kept = [x % p for x in draws if x < limit]
        if len(kept) >= n:
            return kept[:n]


def read_frame(data: bytes) -> Frame:
    """Take a frame apart, and check what the document says about it.

    Raises
    ------
    OracleError
        If it is not as the document says.
    """
    source = Bytes(data)
    magic, version, kind, description_bytes, body_bytes, digest = source.unpack("8sHHIQ32s")
    if magic != MAGIC or version != 1:
        raise OracleError(f"no frame of version 1: {magic.hex()}, {version}")
    head, body = Bytes(source.take(description_bytes)), Bytes(source.take(body_bytes))
    if source.take(32) != hashlib.sha256(data[: 56 + description_bytes + body_bytes]).digest():
        raise OracleError("the hash is wrong")
    source.end()
    n, security, k, k_plaintext, name_bytes = head.unpack("IIBBB")
    name = head.take(name_bytes).decode("ascii")
    moduli, plaintext_moduli = head.unpack(f"{k}I"), head.unpack(f"{k_plaintext}I")
    if digest != hashlib.sha256(f"{n};{moduli};{plaintext_moduli}".encode("ascii")).digest():
        raise OracleError("the parameter hash is wrong")
    frame = Frame(kind, n, security, name, moduli, plaintext_moduli)
    if kind != PARAMETERS:
        frame.key_id = head.take(16).hex()
    if kind in (CIPHERTEXTS, SEEDED):
        number, frame.degree, axes = head.unpack("BBB")
        frame.scheme = SCHEME_NUMBERS[number]
        if frame.scheme == "BGV":
            (frame.factor,) = head.unpack("Q")
        frame.shape = head.unpack(f"{axes}I")
        frame.records = [_record(frame, body) for _ in range(math.prod(frame.shape))]
    elif kind != PARAMETERS:
        frame.scheme = KEY_SCHEMES.get(kind, "")
        if kind in (*ROTATIONS, *SEEDED_KEYS):
            frame.digit_primes, frame.spare = head.unpack("BB")
        if kind in ROTATIONS:
            frame.exponents = head.unpack(f"{head.unpack('H')[0]}I")
        if kind in SEEDED_KEYS:
            frame.rho = head.take(32)
        size = sum(-(-n * p.bit_length() // 8) for p in moduli)
        frame.polynomials = [_rows(frame, body) for _ in range(body_bytes // size)]
    head.end()
    body.end()
    return frame


def _rows(frame: Frame, body: Bytes) -> Rows:
    """Return the residues of the next polynomial."""
    return [body.numbers(frame.n, p) for p in frame.moduli]


def _record(frame: Frame, body: Bytes) -> Record:
    """Return the next ciphertext."""
    if frame.kind == SEEDED:
        seed, j = body.unpack("32sI")
        uniform = [expanded(seed, f"encrypt-a/{j}", frame.n, p) for p in frame.moduli]
        return Record([_rows(frame, body), uniform])
    deviation, order = body.unpack("dI")
    parts = 1 if frame.scheme == "YASHE'" else frame.degree + 1
    return Record([_rows(frame, body) for _ in range(parts)], deviation, order)


def secret(frame: Frame) -> Polynomial:
    """Return s or f of a secret key, over the integers."""
    if frame.kind not in (SECRET, YASHE_SECRET):
        raise OracleError(f"kind {frame.kind} is no secret key")
    (rows,) = frame.polynomials
    return polynomial(rows, frame.n, frame.moduli, values=False)


def decrypt(frame: Frame, key: Polynomial) -> list[Reading]:
    """Return what the ciphertexts of a frame say, in C order of their array."""
    n, moduli, t = frame.n, frame.moduli, frame.plaintext_moduli
    return [
        read(frame.scheme, n, moduli, t, record.parts, key, frame.degree, frame.factor)
        for record in frame.records
    ]


def key_errors(frame: Frame, key: Polynomial) -> list[Polynomial]:
    """Return the errors with which a public or switching key hides what it hides, one for each row.

    In BFV and BGV they are -(b + a s' - P g_i z) / unit, where unit is 1 or t; in YASHE'
    f' gamma - P g_i z, which is f' e_i + t g s_i, and f h / t. A public key hides z = 0, a
    relinearisation key z = s^2 under s' = s, a rotation key z = s under s' = s(X^(1/g)).

    Raises
    ------
    OracleError
        If what has to be a multiple of t is none.
    """
    n, moduli, q = frame.n, frame.moduli, math.prod(frame.moduli)
    t = math.prod(frame.plaintext_moduli)
    switching = frame.kind in (*RELINEARIZATION, *ROTATIONS)
    weights = _gadget(frame) if switching else [0]
    hidden = key if frame.kind in ROTATIONS else product(key, key)
    found = []
    for number, rows in enumerate(_rows_of_key(frame)):
        g, digit = frame.exponents[number // len(weights)], number % len(weights)
        under = _moved(key, pow(g, -1, 2 * n))
        parts = [polynomial(part, n, moduli, values=False) for part in rows]
        phase = product(parts[-1], under)
        if len(parts) == 2:
            phase = [x + y for x, y in zip(parts[0], phase, strict=True)]
        found.append(
            [centred(x - weights[digit] * z, q) for x, z in zip(phase, hidden, strict=True)]
        )
    public_of_yashe = frame.scheme == "YASHE'" and not switching
    unit = t if frame.scheme == "BGV" or public_of_yashe else 1
    sign = 1 if frame.scheme == "YASHE'" else -1
    if any(x % unit for row in found for x in row):
        raise OracleError("an error is no multiple of t")
    return [[sign * x // unit for x in row] for row in found]


def _gadget(frame: Frame) -> list[int]:
    """Return P g_i: P modulo the primes of digit i, and 0 modulo the others."""
    moduli, q = frame.moduli, math.prod(frame.moduli)
    cut = len(moduli) - frame.spare
    spare = math.prod(moduli[cut:])
    ones = [q // p * pow(q // p, -1, p) for p in moduli]
    size = frame.digit_primes
    return [spare * sum(ones[i : min(i + size, cut)]) % q for i in range(0, cut, size)]


def _rows_of_key(frame: Frame) -> list[list[Rows]]:
    """Return (b, a) or (gamma,) for each digit of each key, halves expanded from their seed."""
    if frame.scheme == "YASHE'":
        return [[rows] for rows in frame.polynomials]
    if frame.kind not in SEEDED_KEYS:
        return [
            [b, a] for b, a in zip(frame.polynomials[::2], frame.polynomials[1::2], strict=True)
        ]
    digits, found = len(_gadget(frame)), []
    for number, b in enumerate(frame.polynomials):
        g, i = frame.exponents[number // digits], number % digits
        name = f"{SEEDED_KEYS[frame.kind]}/{g}/{i}" if frame.kind in ROTATIONS else f"relin-a/{i}"
        found.append([b, [expanded(frame.rho, name, frame.n, p) for p in frame.moduli]])
    return found


def _moved(a: Polynomial, g: int) -> Polynomial:
    """Return a(X^g)."""
    n, found = len(a), [0] * len(a)
    for i, x in enumerate(a):
        found[g * i % n] = -x if g * i // n % 2 else x
    return found
