"""Bytes in and out: laws, golden files with a reader of their own, and what is refused."""

import contextlib
import hashlib
import io
import math
import os
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.networks.layers import Dense
from nn.networks.model import Sequential
from vectors.make import FOLDER, KEY_SEED, MESSAGES, PARAMS, things
from yashe import wire
from yashe.arithmetic.residues import canonical, column
from yashe.arithmetic.rings import NttElement
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import (
    BfvRotationKeys,
    BgvRotationKeys,
    PublicKey,
    RelinearizationKey,
    SecretKey,
)
from yashe.errors import (
    DataError,
    FheError,
    FormatError,
    KeyMismatchError,
    KindError,
    ParameterError,
)
from yashe.parameters.sets import INSECURE_TOY, Params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE, EvaluationKey, YasheSecretKey
from yashe.wire.bits import pack, pack_polynomials, packed_bytes, unpack, unpack_polynomials
from yashe.wire.envelope import HASH_BYTES, FrameReader, FrameWriter
from yashe.wire.files import whole_file
from yashe.wire.header import KEY_FORMS, Contents, read_contents
from yashe.wire.streams import CiphertextReader, CiphertextWriter

THINGS = things()
GOLDEN = {name: (FOLDER / f"{name}.fhe").read_bytes() for name in THINGS}
PUBLIC = [name for name in THINGS if not name.endswith("secret")]
SCHEMES = [BFV, BGV, YASHE]
SECRET = (SecretKey, YasheSecretKey)


def resealed(data: bytes) -> bytes:
    """The frame with the hash that belongs to it: what an attacker would send."""
    return data[:-HASH_BYTES] + hashlib.sha256(data[:-HASH_BYTES]).digest()


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """The frame with other bytes somewhere, and the right hash."""
    return resealed(data[:at] + new + data[at + len(new) :])


def contents_of(data: bytes) -> Contents:
    """What the head of a frame says."""
    return read_contents(FrameReader(io.BytesIO(data)))


def parse(data: bytes, expected: type[Any] | None = None, params: Params | None = None) -> Any:
    """Read a frame as whatever it says it is."""
    if expected is None:
        expected = contents_of(data).type
    return wire.from_bytes(data, expected, params)


# Packing


@given(st.integers(1, 24), st.integers(1, 40), st.data())
def test_packed_numbers_are_one_little_endian_integer(bits: int, n: int, data: Any) -> None:
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=n, max_size=n))
    packed = pack(np.array([values, values[::-1]], dtype=np.int32), bits)
    whole = sum(value << (bits * i) for i, value in enumerate(values))
    assert packed[0].tobytes() == whole.to_bytes(math.ceil(n * bits / 8), "little")
    assert unpack(packed, bits, n).tolist() == [values, values[::-1]]


def test_five_numbers_of_three_bits_by_hand() -> None:
    # 1 + 2*8 + 3*64 + 4*512 + 5*4096 = 22737 = 0x58D1
    assert pack(np.array([1, 2, 3, 4, 5], dtype=np.int32), 3).tobytes() == b"\xd1\x58"


@given(st.sampled_from([4, 8, 64]), st.data())
def test_polynomials_survive_packing_also_with_extreme_residues(n: int, data: Any) -> None:
    moduli = (17, 97, 16776817)
    rows = []
    for p in moduli:
        half = (p - 1) // 2
        residue = st.one_of(st.sampled_from([-half, -1, 0, 1, half]), st.integers(-half, half))
        rows.append(data.draw(st.lists(residue, min_size=n, max_size=n)))
    residues = np.array(rows, dtype=np.float64)
    packed = pack_polynomials(residues, moduli)
    assert packed.shape == (packed_bytes(n, moduli),)
    assert np.array_equal(unpack_polynomials(packed, n, moduli), residues)


def test_a_residue_next_to_a_half_has_one_form() -> None:
    # 9 = -8 modulo 17: reduce() may leave either, the wire knows one.
    one, other = (pack_polynomials(np.full((1, 4), x), (17,)) for x in (9.0, -8.0))
    assert one.tobytes() == other.tobytes()


def test_bits_beyond_the_last_number_must_be_zero() -> None:
    packed = pack_polynomials(np.zeros((1, 4)), (17,))  # 20 bits in 3 bytes
    packed[-1] |= 0x10
    with pytest.raises(FormatError, match="last 4 bits of a row modulo 17 must be zero"):
        unpack_polynomials(packed, 4, (17,))


# What goes in comes out


@pytest.mark.parametrize("scheme_type", SCHEMES)
@given(values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=4))
def test_what_was_encrypted_before_the_journey_decrypts_after_it(
    scheme_type: Any, values: list[int]
) -> None:
    scheme = scheme_type(INSECURE_TOY)
    keys = scheme.keygen()
    fresh = scheme.encrypt([values], keys.encryption)
    for ct in (fresh, fresh[0], fresh * 3 + 1, fresh * fresh, scheme.encrypt(values, keys.public)):
        back = parse(wire.to_bytes(ct), Ciphertext, INSECURE_TOY)
        assert (back.shape, back.degree, back.key_id) == (ct.shape, ct.degree, ct.key_id)
        assert np.array_equal(scheme.decrypt(back, keys.secret), scheme.decrypt(ct, keys.secret))
        assert np.array_equal(back.noise_budget, ct.noise_budget)


@pytest.mark.parametrize("scheme_type", SCHEMES)
def test_keys_work_after_the_journey(scheme_type: Any) -> None:
    scheme = scheme_type(INSECURE_TOY)
    keys = scheme.keygen()
    public = parse(wire.to_bytes(keys.public))
    relinearization = parse(wire.to_bytes(keys.relinearization))
    ct = scheme.encrypt([3, -4], public)
    ct = scheme.relinearize(ct * ct, relinearization)
    assert scheme.decrypt(ct, keys.secret)[:3].tolist() == [9, 16, 0]


def test_a_fresh_ciphertext_travels_as_half_of_itself_and_a_seed() -> None:
    scheme = BFV(INSECURE_TOY)
    keys = scheme.keygen()
    ct = scheme.encrypt([[1], [2], [3]], keys.secret)
    half = packed_bytes(INSECURE_TOY.n, INSECURE_TOY.moduli)
    head = len(wire.to_bytes(ct)) - 3 * (half + 36)
    assert len(wire.to_bytes(ct + 0)) == head + 3 * (2 * half + 12)
    assert 0 < head < 250
    back = parse(wire.to_bytes(ct))
    assert np.array_equal(back.rows, ct.rows)
    assert np.array_equal(back.public_seed, ct.public_seed)
    # Each row has its seed and its number, wherever it goes.
    other = scheme.encrypt([[4]], keys.secret)
    for some in (ct[1:], ct[::-1], ct[[2, 2]], back[1:][::-1], Ciphertext.concatenate([ct, other])):
        sent = wire.to_bytes(some)
        assert len(sent) == head + len(some) * (half + 36)
        assert np.array_equal(parse(sent).rows, some.rows[some.index])
        assert wire.to_bytes(parse(sent)) == sent
    assert Ciphertext.concatenate([ct, other + 0]).public_seed is None


def test_what_was_computed_forgets_the_seed() -> None:
    scheme = BFV(INSECURE_TOY)
    keys = scheme.keygen()
    ct = scheme.encrypt([[1], [2]], keys.secret)
    results = (ct + 1, -ct, ct * ct, ct @ [1, 2], ct + ct)
    assert [result.public_seed for result in results] == [None] * len(results)
    switched = scheme.switch_modulus(ct, INSECURE_TOY.k - 1)
    assert switched.public_seed is None
    back = parse(wire.to_bytes(switched), Ciphertext, switched.params)
    assert np.array_equal(scheme.decrypt(back, keys.secret), scheme.decrypt(ct, keys.secret))
    assert scheme.encrypt([1], keys.public).public_seed is None


@pytest.mark.parametrize("kind", [BFV, BGV])
def test_the_seed_on_the_wire_is_not_the_seed_of_the_errors(kind: type[BFV | BGV]) -> None:
    scheme, seed = kind(INSECURE_TOY), bytes(range(32))
    keys = scheme.keygen(seed)
    ct = scheme.encrypt([1], keys.secret, seed)
    assert ct.public_seed is not None
    sent = b"".join(map(wire.to_bytes, (ct, keys.public, keys.relinearization)))
    assert ct.public_seed["seed"].tobytes() in sent
    for of_the_errors in (seed, scheme.own_seed(seed)):
        assert of_the_errors not in sent


# Golden files


@pytest.mark.parametrize("name", PUBLIC)
def test_a_golden_file_is_read_and_written_again_to_the_same_bytes(name: str) -> None:
    assert wire.to_bytes(parse(GOLDEN[name])) == GOLDEN[name]


@pytest.mark.parametrize("name", THINGS)
def test_a_golden_file_holds_what_its_seeds_give(name: str, tmp_path: Path) -> None:
    thing: Any = THINGS[name]
    if name.endswith("secret"):
        path = tmp_path / "key"
        path.write_bytes(GOLDEN[name])
        path.chmod(0o600)
        found: Any = wire.load_secret_key(path, type(thing))
    else:
        params = thing.params if isinstance(thing, Ciphertext) else PARAMS
        found = parse(GOLDEN[name], type(thing), params)
    if isinstance(thing, Params):
        assert found == thing
    elif isinstance(thing, Ciphertext):
        expected = canonical(thing.rows[thing.index.reshape(-1)], column(thing.params.moduli))
        assert np.array_equal(found.rows, expected)
        facts = (thing.shape, thing.key_id, thing.degree, thing.factor)
        assert (found.shape, found.key_id, found.degree, found.factor) == facts
    else:
        assert vars(found).keys() == vars(thing).keys()
        for attribute, b in vars(thing).items():
            a = getattr(found, attribute)
            if isinstance(b, NttElement):
                assert np.array_equal(a.canonical(), b.canonical())
            elif attribute != "params":
                assert a == b


def independent_reader(data: bytes) -> dict[str, Any]:
    """Read a key or an array from docs/wire-format.md alone, with Python's integers."""
    magic, version, kind, d, b, digest = struct.unpack_from("<8sHHIQ32s", data)
    assert (magic, version) == (b"\x89FHE\r\n\x1a\n", 1)
    assert len(data) == 56 + d + b + 32
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()
    n, _, k, k_t, length = struct.unpack_from("<IIBBB", data, 56)
    at = 67 + length
    moduli = struct.unpack_from(f"<{k + k_t}I", data, at)
    q, t = tuple(moduli[:k]), tuple(moduli[k:])
    assert digest == hashlib.sha256(f"{n};{q};{t}".encode()).digest()
    at += 4 * (k + k_t)
    found: dict[str, Any] = {"n": n, "q": q, "t": t, "key": data[at : at + 16].hex(), "rows": []}
    parts = 1
    if kind >= 10 and kind < 128:
        found["size"], found["spare"] = data[at + 16 : at + 18]
        at += 18
        if kind <= 12:
            (count,) = struct.unpack_from("<H", data, at)
            found["exponents"] = struct.unpack_from(f"<{count}I", data, at + 2)
        found["rho"] = data[56 + d - 32 : 56 + d]
    if kind in (4, 5):
        scheme, found["degree"], axes = data[at + 16 : at + 19]
        at += 19
        if scheme == 3:
            (found["factor"],) = struct.unpack_from("<Q", data, at)
            at += 8
        found["shape"] = struct.unpack_from(f"<{axes}I", data, at)
        parts = found["degree"] + 1 if kind == 4 and scheme != 2 else 1
    at = 56 + d
    while at < 56 + d + b:
        if kind == 4:
            at += 12  # deviation and order of the noise
        if kind == 5:
            found["rows"].append((data[at : at + 32], *struct.unpack_from("<I", data, at + 32)))
            at += 36
        for p in q * parts:
            bits, size = p.bit_length(), (n * p.bit_length() + 7) // 8
            whole = int.from_bytes(data[at : at + size], "little")
            found["rows"].append([whole >> (bits * i) & (2**bits - 1) for i in range(n)])
            at += size
    return found


def independent_phase(part_rows: list[list[list[int]]], s: list[list[int]], q: Any) -> list[int]:
    """The coefficients of c_0 + c_1 s + c_2 s^2 modulo q, centred, by definition."""
    n, product = 8, math.prod(q)
    coefficients = []
    for i in range(n):
        x = 0
        for j, p in enumerate(q):
            value, power = 0, [1] + [0] * (n - 1)
            for part in part_rows:
                value += sum(
                    part[j][(i - a) % n] * power[a] * (1 if a <= i else -1) for a in range(n)
                )
                power = [
                    sum(power[(i - a) % n] * s[j][a] * (1 if a <= i else -1) for a in range(n))
                    for i in range(n)
                ]
            x += value % p * (product // p) * pow(product // p, -1, p)
        coefficients.append((x + product // 2) % product - product // 2)
    return coefficients


def the_constant(coefficients: list[int]) -> int:
    """The only coefficient that is not 0 modulo t = 17."""
    assert [x % 17 for x in coefficients[1:]] == [0] * 7
    return (coefficients[0] + 8) % 17 - 8


def independent_decryption(part_rows: list[list[list[int]]], s: list[list[int]], q: Any) -> int:
    """The constant of round(17/q phase)."""
    product = math.prod(q)
    phase = independent_phase(part_rows, s, q)
    return the_constant([(2 * 17 * x + product) // (2 * product) for x in phase])


def independent_bgv(found: dict[str, Any], parts: list[Any], s: list[list[int]]) -> int:
    """The constant of phase / factor modulo 17, of parts that are values."""
    q = found["q"]
    rows = [[coefficients(part[j], p) for j, p in enumerate(q)] for part in parts]
    inverse = pow(found["factor"], -1, 17)
    return the_constant([x * inverse for x in independent_phase(rows, s, q)])


def coefficients(values: list[int], p: int) -> list[int]:
    """The polynomial of degree below 8 with these values at psi, psi^3, ... modulo p."""
    rest, factors = p - 1, set()
    for f in range(2, 5000):
        while rest % f == 0:
            rest, factors = rest // f, factors | {f}
    factors |= {rest} - {1}  # a prime, as it is below 5000^2
    primitive = next(g for g in range(2, p) if all(pow(g, (p - 1) // f, p) != 1 for f in factors))
    psi = pow(primitive, (p - 1) // 16, p)
    return [
        sum(y * pow(psi, -j * (2 * k + 1), p) for k, y in enumerate(values)) * pow(8, -1, p) % p
        for j in range(8)
    ]


def expanded(seed: bytes, name: str, p: int) -> list[int]:
    """The first eight numbers below p of the stream that docs/wire-format.md names."""
    stream = hashlib.shake_256(seed + f"{name}/{p}".encode()).digest(3 * 64)
    draws = [int.from_bytes(stream[i : i + 3], "little") for i in range(0, len(stream), 3)]
    return [draw % p for draw in draws if draw < 2**24 // p * p][:8]


def test_a_reader_without_our_code_decrypts_the_golden_files() -> None:
    secret = independent_reader(GOLDEN["bfv-secret"])
    s, q = secret["rows"], secret["q"]
    fresh = independent_reader(GOLDEN["bfv-fresh"])
    assert (fresh["shape"], fresh["degree"], fresh["key"]) == ((2,), 1, secret["key"])
    for i, message in enumerate((5, -8)):
        (seed, row), *c0 = fresh["rows"][5 * i : 5 * i + 5]
        c1 = [expanded(seed, f"encrypt-a/{row}", p) for p in q]
        assert independent_decryption([c0, c1], s, q) == message
    total = independent_reader(GOLDEN["bfv-sum"])["rows"]
    assert independent_decryption([total[:4], total[4:]], s, q) == 5 - 8
    square = independent_reader(GOLDEN["bfv-square"])["rows"]
    assert independent_decryption([square[:4], square[4:8], square[8:]], s, q) == 25 - 17
    secret = independent_reader(GOLDEN["bgv-secret"])
    fresh = independent_reader(GOLDEN["bgv-fresh"])
    s = secret["rows"]
    assert (fresh["shape"], fresh["degree"], fresh["key"]) == ((2,), 1, secret["key"])
    for i, message in enumerate((5, -8)):
        (seed, row), *c0 = fresh["rows"][5 * i : 5 * i + 5]
        c1 = [expanded(seed, f"encrypt-a/{row}", p) for p in q]
        assert independent_bgv(fresh, [c0, c1], s) == message
    factors = []
    for name, count, message in (("sum", 2, 5 - 8), ("square", 3, 25 - 17), ("switched", 2, 8)):
        found = independent_reader(GOLDEN[f"bgv-{name}"])
        k = len(found["q"])
        parts = [found["rows"][i * k : i * k + k] for i in range(count)]
        assert independent_bgv(found, parts, s) == message
        factors.append(found["factor"])
    assert factors == [1, 1, pow(16776817, -1, 17)]
    yashe = independent_reader(GOLDEN["yashe-secret"])["rows"]
    fresh = independent_reader(GOLDEN["yashe-fresh"])
    zero = [[0] * 8] * 4
    for i, message in enumerate((5, -8)):
        c = fresh["rows"][4 * i : 4 * i + 4]
        assert independent_decryption([zero, c], yashe, q) == message  # 0 + c f


@pytest.mark.parametrize("name", ["bfv-rotations", "bgv-rotations"])
def test_a_reader_without_our_code_finds_s_in_the_golden_rotation_keys(name: str) -> None:
    """b_i + a_i s(X^(1/g)) is P g_i s, but for small errors."""
    key, secret = independent_reader(GOLDEN[name]), independent_reader(GOLDEN[f"{name[:3]}-secret"])
    s, q, unit = secret["rows"], secret["q"], 17 if name.startswith("bgv") else 1
    cut, total = len(q) - key["spare"], math.prod(q)
    assert key["exponents"] == (5, 15)  # one step to the left, and the swap
    groups = [q[i : min(i + key["size"], cut)] for i in range(0, cut, key["size"])]
    number = 0
    for g in key["exponents"]:
        back = pow(g, -1, 16)
        moved = [[0] * 8 for _ in q]
        for row, original in zip(moved, s, strict=True):
            for i, x in enumerate(original):
                row[back * i % 8] = -x if back * i // 8 % 2 else x
        for i, group in enumerate(groups):
            b = key["rows"][4 * number : 4 * number + 4]
            a = [expanded(key["rho"], f"rotation-a/{g}/{i}", p) for p in q]
            phase = independent_phase([b, a], moved, q)
            spare = math.prod(q[cut:])
            weight = sum(total // p * pow(total // p, -1, p) for p in group) * spare
            s_0 = [(x + 1) % q[0] - 1 for x in s[0]]  # -1, 0, 1
            errors = [(x - weight * z + total // 2) % total - total // 2
                      for x, z in zip(phase, s_0, strict=True)]  # fmt: skip
            assert all(x % unit == 0 and abs(x // unit) <= 32 for x in errors)
            assert any(errors)
            number += 1
    assert 4 * number == len(key["rows"])


def test_every_kind_has_a_golden_file() -> None:
    kinds = {FrameReader(io.BytesIO(data)).kind for data in GOLDEN.values()}
    assert kinds == {1, 4, 5} | {form.kind for form in KEY_FORMS}


# Secrets


def test_a_secret_key_is_only_written_by_name(tmp_path: Path) -> None:
    for scheme_type in SCHEMES:
        keys = scheme_type(PARAMS).keygen()
        with pytest.raises(FormatError, match="written by save_secret_key only"):
            wire.to_bytes(keys.secret)
        with pytest.raises(FormatError, match="written by save_secret_key only"):
            wire.save(tmp_path / "public", keys.secret)
        with pytest.raises(FormatError, match="single keys .* not a (Yashe)?Keys"):
            wire.to_bytes(keys)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_key_is_never_taken_for_a_public_one() -> None:
    data = GOLDEN["bfv-secret"]
    for expected in (PublicKey, RelinearizationKey, Ciphertext, Params):
        with pytest.raises(FormatError, match="SecretKey, which nobody but its owner may have"):
            wire.from_bytes(data, expected)
    with pytest.raises(FormatError, match="read by load_secret_key only"):
        wire.from_bytes(data, SecretKey)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_file_of_a_secret_key_is_its_owners_alone(tmp_path: Path) -> None:
    path, keys = tmp_path / "secret.key", BFV(PARAMS).keygen(KEY_SEED)
    before = os.umask(0)
    try:
        wire.save_secret_key(path, keys.secret)
        wire.save(tmp_path / "public.key", keys.public)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "public.key").stat().st_mode & 0o777 == 0o666
    key = wire.load_secret_key(path, SecretKey)
    ct = THINGS["bfv-fresh"]
    assert np.array_equal(BFV(PARAMS).decrypt(ct, key), MESSAGES)
    for mode in (0o640, 0o604, 0o622):
        path.chmod(mode)
        with pytest.raises(FormatError, match=f"mode {mode:04o} lets others use it.*chmod 600"):
            wire.load_secret_key(path, SecretKey)
    path.chmod(0o600)
    with pytest.raises(FormatError, match="a YasheSecretKey was required, this is a SecretKey"):
        wire.load_secret_key(path, YasheSecretKey)


# Files


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    wire.save(path, PARAMS)

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        interrupted()
    # An error of ours that is an OSError too is not taken for one of the disk.
    for name in ("file", "absent/file"):

        def missing(name: str = name) -> None:
            with whole_file(tmp_path / name) as file:
                file.write(b"half")
                raise DataError("MNIST is not there")

        with pytest.raises(FheError, match="MNIST is not there|cannot write .*absent"):
            missing()
    assert wire.load(path, Params) == PARAMS
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_the_system_refuses_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot read .*absent: No such file"):
        wire.load(tmp_path / "absent", Params)
    with pytest.raises(FormatError, match="cannot read .*absent: No such file"):
        wire.load_secret_key(tmp_path / "absent", SecretKey)
    with pytest.raises(FormatError, match="cannot write .*thing: its folder must exist"):
        wire.save(tmp_path / "absent" / "thing", PARAMS)


# Streams


class Pipe(io.RawIOBase):
    """A stream that cannot seek and returns a few bytes at a time, like a socket."""

    def __init__(self, data: bytes) -> None:
        self.source = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.source.read(min(size, 100))


def test_an_array_written_in_pieces_is_the_array_written_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = BFV(PARAMS).keygen()
    ct = BFV(PARAMS).encrypt(np.arange(-6, 6).reshape(6, 2, 1) % 8, keys.secret)
    whole, pieces = io.BytesIO(), io.BytesIO()
    wire.write(whole, ct)
    writer = CiphertextWriter(pieces, ct, ct.shape)
    for row in ct:
        writer.append(row)
    writer.close()
    assert pieces.getvalue() == whole.getvalue()
    # Blocks of one ciphertext each, from a stream that cannot seek.
    monkeypatch.setattr("yashe.wire.streams.BLOCK_BYTES", 1)
    reader = CiphertextReader.open(Pipe(whole.getvalue()), PARAMS)  # type: ignore[arg-type]
    blocks = list(reader.blocks())
    assert reader.contents.shape == (6, 2)
    assert [block.shape for block in blocks] == [(1,)] * 12
    assert np.array_equal(Ciphertext.concatenate(blocks).rows, ct.rows)
    back = wire.from_bytes(whole.getvalue(), Ciphertext)
    assert np.array_equal(back.public_seed, ct.public_seed)
    with pytest.raises(ParameterError, match="a stream that can seek"):
        wire.read(Pipe(whole.getvalue()), Ciphertext)  # type: ignore[arg-type]


def test_a_writer_takes_exactly_the_announced_ciphertexts() -> None:
    scheme = BFV(PARAMS)
    keys = scheme.keygen()
    ct = scheme.encrypt([[1], [2]], keys.secret)
    writer = CiphertextWriter(io.BytesIO(), ct, (3,))
    writer.append(ct)
    with pytest.raises(ParameterError, match="room for 1 more, got 2"):
        writer.append(ct)
    with pytest.raises(ParameterError, match="still lacks"):
        writer.close()
    with pytest.raises(ParameterError, match="one degree, seeded or not"):
        writer.append(ct[:1] + 1)
    other = scheme.encrypt([[1]], scheme.keygen().secret)
    with pytest.raises(KeyMismatchError, match="same keys"):
        writer.append(other)
    frame = FrameWriter(io.BytesIO(), 1, bytes(32), b"", 3)
    with pytest.raises(ParameterError, match="takes 3 more bytes, got 4"):
        frame.write(b"four")


def test_reading_in_blocks_needs_the_memory_of_a_block(tmp_path: Path) -> None:
    keys = BFV(INSECURE_TOY).keygen()
    ten = BFV(INSECURE_TOY).encrypt(np.ones((10, 1), dtype=np.int64), keys.secret) + 0
    path = tmp_path / "many"
    with whole_file(path) as file:
        writer = CiphertextWriter(file, ten, (100, 10))
        for _ in range(100):
            writer.append(ten)
        writer.close()
    size = path.stat().st_size
    assert size > 1_900_000
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr("yashe.wire.streams.BLOCK_BYTES", 10_000)
        tracemalloc.start()
        try:
            count = sum(len(block) for block in CiphertextReader.open(file).blocks())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert count == 1000
    assert peak < size / 4


def test_a_body_is_read_neither_further_nor_less_far_than_it_goes() -> None:
    stream = io.BytesIO()
    frame = FrameWriter(stream, 1, bytes(32), b"", 4)
    frame.write(b"body")
    frame.close()
    stream.seek(0)
    reader = FrameReader(stream)
    with pytest.raises(FormatError, match="two numbers takes 5 bytes, the body has 4 left"):
        reader.read(5, "two numbers")
    assert reader.read(3, "a number") == b"bod"
    with pytest.raises(FormatError, match="the body has 1 bytes too many"):
        reader.close()
    assert reader.read(1, "a number") == b"y"
    reader.close()
    reader = CiphertextReader.open(io.BytesIO(FRESH))
    for count in (0, 3):
        with pytest.raises(ParameterError, match=f"1 to 2 ciphertexts can be taken, not {count}"):
            reader.take(count)


# Refusals


def test_parameters_that_were_not_asked_for_are_refused() -> None:
    for name in PUBLIC:
        with pytest.raises(KeyMismatchError, match="for other parameters than INSECURE_TOY"):
            parse(GOLDEN[name], params=INSECURE_TOY)


def test_what_is_expected_is_a_type_and_parameters_are_parameters() -> None:
    with pytest.raises(KindError, match="what is expected must be a type"):
        wire.from_bytes(GOLDEN["bfv-public"], BFV(INSECURE_TOY))  # type: ignore[type-var]
    with pytest.raises(KindError, match="the parameters that are required must be a Params"):
        wire.from_bytes(GOLDEN["bfv-public"], PublicKey, "INSECURE_TOY")  # type: ignore[arg-type]


def test_the_wrong_kind_is_refused() -> None:
    with pytest.raises(FormatError, match="byte 10: a Ciphertext was required, this is a PublicKe"):
        wire.from_bytes(GOLDEN["bfv-public"], Ciphertext)
    with pytest.raises(FormatError, match="a RelinearizationKey was required, .* EvaluationKey"):
        wire.from_bytes(GOLDEN["yashe-evaluation"], RelinearizationKey)
    with pytest.raises(FormatError, match="an? EvaluationKey was required, .* Ciphertext"):
        wire.from_bytes(GOLDEN["bfv-fresh"], EvaluationKey)
    with pytest.raises(FormatError, match="ciphertexts were required, this is a PublicKey"):
        CiphertextReader.open(io.BytesIO(GOLDEN["bfv-public"]))


FRESH, SUM = GOLDEN["bfv-fresh"], GOLDEN["bfv-sum"]
EIGHT_AXES = wire.to_bytes(parse(SUM).reshape((1,) * 8))
with pytest.MonkeyPatch.context() as unlimited:
    unlimited.setattr("yashe.wire.header.MOST_AXES", 9)
    NINE_AXES = wire.to_bytes(parse(SUM).reshape((1,) * 9))
BGV_FRESH = GOLDEN["bgv-fresh"]
NAME = 67  # where the name of the parameters begins
AXES = NAME + 16 + 5 * 4 + 16 + 2  # the number of axes: after name, moduli, key id, scheme, degree
BODY = AXES + 1 + 4

DAMAGED = {
    "not a frame": (b"GET / HTTP/1.1\r\n" * 10, "byte 0: a frame begins with 89464845"),
    "empty": (b"", "the header takes 56 bytes, 0 are there"),
    "sent as text": (FRESH.replace(b"\r\n", b"\n"), "byte 0: a frame begins with"),
    "version": (changed(FRESH, 8, b"\x02"), "byte 8: version 2, and this program reads 1 only"),
    "kind": (changed(FRESH, 10, b"\x63"), "byte 10: kind 99 is unknown"),
    "description": (changed(FRESH, 12, b"\xff\xff\xff"), "byte 12: a description of 16777215"),
    "body": (changed(FRESH, 16, b"\xff" * 8), "the header announces .* more bytes, .* are there"),
    "parameter hash": (changed(FRESH, 24, bytes(32)), "byte 24: the parameter hash is not that"),
    "n": (changed(FRESH, 56, b"\x09"), "the parameters are refused: .*degree"),
    "large n": (changed(FRESH, 56, b"\0\0\0\x80"), "the parameters are refused: .*degree"),
    "security": (changed(FRESH, 60, b"\x80"), "the parameters are refused: .*insecure set has"),
    "unfounded security": (
        changed(changed(FRESH, NAME, b"A"), 60, b"\x80"),
        "refused: .*has no entry for n = 8 at 128 bits",
    ),
    "no moduli": (changed(FRESH, 64, b"\0"), "refused: q has 1 to 64 primes, not 0"),
    "many moduli": (changed(FRESH, 64, b"\xff"), "description is too short"),
    "plaintext moduli": (changed(FRESH, 65, b"\x05"), "refused: t has 1 to 4 primes, not 5"),
    "long name": (changed(EIGHT_AXES, 66, b"\x41"), "refused: the name .* at most 53"),
    "name beyond": (changed(FRESH, 66, b"\xff"), "description is too short"),
    "terminal escape": (changed(FRESH, NAME, b"\x1b[2J"), "refused: the name .*, not .*x1b"),
    "zero modulus": (changed(FRESH, NAME + 16, bytes(4)), "refused: a modulus, .* prime .* not 0"),
    "composite modulus": (changed(FRESH, NAME + 16, b"\x63"), "the parameters are refused"),
    "scheme": (changed(FRESH, AXES - 2, b"\x07"), "scheme 7 is unknown"),
    "degree": (changed(FRESH, AXES - 1, b"\x03"), "degree 1 to 2, .* got degree 3"),
    "BGV degree": (changed(BGV_FRESH, AXES - 1, b"\x09"), "degree 1 to 8, .* got degree 9"),
    "no degree": (changed(BGV_FRESH, AXES - 1, b"\x00"), "degree 1 to 8, .* got degree 0"),
    "seeded product": (changed(FRESH, AXES - 1, b"\x02"), "a seeded ciphertext is a fresh one"),
    "seeded YASHE'": (changed(FRESH, AXES - 2, b"\x02"), "a seeded ciphertext is a fresh one"),
    "factor 0": (changed(BGV_FRESH, AXES + 1, bytes(8)), "invertible modulo t was .* got 0"),
    "factor t": (changed(BGV_FRESH, AXES + 1, b"\x11"), "invertible modulo t was .* got 17"),
    "factor t + 1": (changed(BGV_FRESH, AXES + 1, b"\x12"), "invertible modulo t .* got 18"),
    "huge factor": (
        changed(BGV_FRESH, AXES + 1, b"\xff" * 8),
        "invertible modulo t .* got 1844674",
    ),
    "seeded with a factor": (
        changed(BGV_FRESH, AXES + 1, b"\x02"),
        "a seeded ciphertext is a fres",
    ),
    "seeded BGV product": (changed(BGV_FRESH, AXES - 1, b"\x02"), "a seeded ciphertext is a fresh"),
    "BFV with a factor": (changed(BGV_FRESH, AXES - 2, b"\x01"), "description is too long"),
    "BGV without one": (changed(FRESH, AXES - 2, b"\x03"), "description is too short"),
    "axes": (NINE_AXES, "at most 8 axes, .* got degree 1 and 9"),
    "axes beyond": (changed(FRESH, AXES, b"\x08"), "description is too short"),
    "fewer axes": (changed(FRESH, AXES, b"\x00"), "description is too long"),
    "huge shape": (changed(FRESH, AXES + 1, b"\xff" * 4), "byte 16: a body of 38.* bytes for ciph"),
    "huge body": (changed(EIGHT_AXES, AXES + 1, b"\xff" * 32), "at most 9223372036854775807 bytes"),
    "empty shape": (changed(FRESH, AXES + 1, bytes(4)), "an array without a ciphertext"),
    "out of range": (changed(FRESH, BODY + 36, b"\x61"), "modulo 97 must be smaller than 97"),
    "NaN": (changed(SUM, BODY, struct.pack("<d", math.nan)), "deviation .* positive number"),
    "infinity": (changed(SUM, BODY, struct.pack("<d", math.inf)), "deviation .* positive number"),
    "negative": (changed(SUM, BODY, struct.pack("<d", -1.0)), "deviation .* positive number"),
    "order": (changed(SUM, BODY + 8, b"\xff"), "order of a noise must not exceed 127"),
    "hash": (FRESH[:-1] + bytes([FRESH[-1] ^ 1]), "the hash is wrong: the file is damaged"),
    "damage in the body": (FRESH[:-50] + b"\0\0" + FRESH[-48:], "the hash is wrong|smaller than"),
    "trailing": (FRESH + b"\0", "something follows the end of the frame"),
    "two frames": (FRESH + FRESH, "something follows the end of the frame"),
}


ROTATIONS = GOLDEN["bgv-rotations"]
GADGET = NAME + 16 + 5 * 4 + 16  # size, spare, count of exponents, and the exponents
DAMAGED_ROTATIONS = {
    "no primes": (changed(ROTATIONS, GADGET, b"\0"), "the primes of a digit .* at least 1"),
    "many primes": (changed(ROTATIONS, GADGET, b"\xff"), "primes of a digit .* from 1 to 64"),
    "all spare": (changed(ROTATIONS, GADGET + 1, b"\x04"), "4 spare primes of 4 leave none"),
    "other digits": (
        changed(ROTATIONS, GADGET, b"\x01"),
        "byte 16: a body of .* for a BgvRot",
    ),
    "no rotation": (changed(ROTATIONS, GADGET + 2, b"\0"), "description is too long"),
    "many rotations": (changed(ROTATIONS, GADGET + 2, b"\xff\xff"), "description is too short"),
    "even": (changed(ROTATIONS, GADGET + 4, b"\x04"), "odd exponents from 3 to 15 in rising"),
    "identity": (changed(ROTATIONS, GADGET + 4, b"\x01"), "odd exponents from 3 to 15 in rising"),
    "beyond": (changed(ROTATIONS, GADGET + 8, b"\x11"), "odd exponents from 3 to 15 in rising"),
    "twice": (changed(ROTATIONS, GADGET + 4, b"\x0f"), "odd exponents from 3 to 15 in rising"),
}


@pytest.mark.parametrize("case", DAMAGED_ROTATIONS)
def test_damaged_rotation_keys_are_refused(case: str) -> None:
    data, message = DAMAGED_ROTATIONS[case]
    with pytest.raises(FormatError, match=message):
        parse(data, BgvRotationKeys)


def test_rotation_keys_travel_and_rotate_and_too_many_or_none_are_not_sent() -> None:
    scheme = BGV(INSECURE_TOY)
    keys = scheme.keygen(KEY_SEED, [1, 3, "swap"])
    ct = scheme.encrypt(range(64), keys.secret)
    back = parse(wire.to_bytes(keys.rotations), BgvRotationKeys, INSECURE_TOY)
    for rotation in (1, 3, "swap"):
        moved = (scheme.rotations(ct, [rotation], found) for found in (keys.rotations, back))
        assert np.array_equal(next(moved).rows, next(moved).rows)
    short = keys.rotations.shortened(INSECURE_TOY.shortened(2))
    assert parse(wire.to_bytes(short)).params.k == 2
    with pytest.raises(ParameterError, match="1 to 512 rotations were required, got 0"):
        wire.to_bytes(scheme.keygen(KEY_SEED).rotations)
    with pytest.raises(FormatError, match="a BfvRotationKeys was required, this is a BgvRotation"):
        wire.from_bytes(wire.to_bytes(keys.rotations), BfvRotationKeys)


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused_saying_what_and_where(case: str) -> None:
    data, message = DAMAGED[case]
    with pytest.raises(FormatError, match=message):
        wire.from_bytes(data, Ciphertext)


def test_a_factor_that_shares_a_prime_with_t_is_refused() -> None:
    """It would erase the message modulo that prime."""
    params = Params("INSECURE_COMPOSITE", 8, PARAMS.moduli, (17, 113), security=None)
    scheme = BGV(params)
    ct = scheme.encrypt([1], scheme.keygen().secret)
    sent = wire.to_bytes(replace(ct, factor=2))
    assert parse(sent).factor == 2
    at = len(sent) - HASH_BYTES - contents_of(sent).body_bytes - 8
    for factor in (17, 34, 113, 17 * 112):
        message = f"invertible modulo t was required, got {factor}"
        with pytest.raises(ParameterError, match=message):
            wire.to_bytes(replace(ct, factor=factor))
        forged = changed(sent, at, struct.pack("<Q", factor))
        with pytest.raises(FormatError, match=message):
            wire.from_bytes(forged, Ciphertext)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_beginning_of_a_frame_is_refused(name: str) -> None:
    data = GOLDEN[name]
    for length in range(len(data)):
        with pytest.raises(FormatError, match="the header"):
            parse(data[:length], type(THINGS[name]))


@given(st.sampled_from(PUBLIC), st.data())
def test_every_flipped_bit_is_noticed(name: str, data: Any) -> None:
    golden = GOLDEN[name]
    at = data.draw(st.integers(0, 8 * len(golden) - 1))
    flipped = bytearray(golden)
    flipped[at // 8] ^= 1 << at % 8
    with pytest.raises(FormatError, match=r"the input, byte \d+: "):
        parse(bytes(flipped), type(THINGS[name]))


@given(st.sampled_from(list(THINGS)), st.data())
def test_whatever_a_liar_sends_is_valid_or_refused_with_a_typed_error(name: str, data: Any) -> None:
    forged = bytearray(GOLDEN[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(forged) - 1))
        forged[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    sealed = resealed(bytes(forged))
    with contextlib.suppress(FheError):
        thing = parse(sealed)
        if not isinstance(thing, SECRET):
            assert wire.to_bytes(thing) == sealed  # there is one form only


def test_a_promise_of_much_takes_no_memory() -> None:
    huge = changed(FRESH, AXES, b"\x02" + struct.pack("<2I", 2**31, 2**31))
    promises = [
        huge,
        changed(FRESH, 16, struct.pack("<Q", 2**40)),
        changed(FRESH, 12, struct.pack("<I", 2**32 - 1)),
        changed(GOLDEN["bfv-relinearization"], 56, struct.pack("<I", 32768)),
    ]
    tracemalloc.start()
    try:
        for data in promises:
            with pytest.raises(FormatError, match="byte"):
                parse(data, RelinearizationKey)
            with pytest.raises(FormatError, match="byte"):
                list(CiphertextReader.open(Pipe(data)).blocks())  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.slow
def test_a_hundred_thousand_guided_forgeries_raise_typed_errors_only(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    program = Path(__file__).parent.parent / "fuzz_wire.py"
    network = Sequential([Dense(1)], (1,))
    for layer in network.layers:
        layer.parameters = {
            name: value.astype(np.int64) for name, value in layer.parameters.items()
        }
    network.save(tmp_path / "network.npz")
    # What libFuzzer takes for its peak memory begins with that of the process that starts it, this
    # one; the program measures memory itself, and allows much less.
    limits = ["-max_len=1024", "-timeout=10", "-rss_limit_mb=0", "-malloc_limit_mb=512"]
    command = [sys.executable, str(program), "-runs=100000", *limits]
    run = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(tmp_path), str(FOLDER)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "Done 100000 runs" in run.stderr
