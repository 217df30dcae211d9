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
KEY_SCHEMES = {2: "BFV", 3: "BFV", 6: "YASHE'", 7: "YASHE'", 8: "BGV", 9: "BGV"}
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


def expanded(seed: bytes, j: int, n: int, p: int) -> list[int]:
    """Return the n residues modulo p that stand for the uniform part of ciphertext j."""
    limit, count = 2**24 // p * p, n
    while True:
        count *= 2
        data = hashlib.shake_256(seed + f"encrypt-a/{j}/{p}".encode("ascii")).digest(3 * count)
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
        uniform = [expanded(seed, j, frame.n, p) for p in frame.moduli]
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

    In BFV and BGV -(b + a s) / unit, and -(b_i + a_i s - g_i s^2) / unit for every digit i, where
    unit is 1 or t; in YASHE' f h / t, and f (gamma_i - g_i f) / 1, which is f e_i + t g s_i.

    Raises
    ------
    OracleError
        If a phase of BGV, or f h, is no multiple of t.
    """
    n, moduli, q = frame.n, frame.moduli, math.prod(frame.moduli)
    t = math.prod(frame.plaintext_moduli)
    columns = [polynomial(rows, n, moduli, values=False) for rows in frame.polynomials]
    per_digit = frame.kind in (3, 7, 9)
    gadget = [q // p * pow(q // p, -1, p) if per_digit else 0 for p in moduli]
    square = product(key, key)

    def less_gadget(x: Polynomial, i: int) -> Polynomial:
        return [centred(c - gadget[i] * z, q) for c, z in zip(x, square, strict=True)]

    if frame.scheme == "YASHE'":
        phases = [less_gadget(product(h, key), i) for i, h in enumerate(columns)]
        unit = 1 if per_digit else t
    else:
        pairs = zip(columns[::2], columns[1::2], strict=True)
        phases = [
            [-x for x in less_gadget([u + v for u, v in zip(b, product(a, key), strict=True)], i)]
            for i, (b, a) in enumerate(pairs)
        ]
        unit = t if frame.scheme == "BGV" else 1
    if any(x % unit for row in phases for x in row):
        raise OracleError("an error is no multiple of t")
    return [[x // unit for x in row] for row in phases]
