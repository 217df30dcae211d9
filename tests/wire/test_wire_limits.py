"""One set of limits: what is written can be read, and what cannot be read is not written."""

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strategies_engine import OTHER_SEED, SEED, TOYS, toy_params
from yashe import wire
from yashe.arithmetic.primes import next_ntt_primes, ntt_primes
from yashe.arithmetic.residues import bound, canonical, column
from yashe.arithmetic.rings import NttElement
from yashe.arithmetic.sampling import NUMBERED_SEED
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import PublicKey, SecretKey
from yashe.ciphertexts.noise import Bound
from yashe.errors import FormatError, KeyMismatchError, ParameterError
from yashe.parameters.sets import Params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV, from_bfv, to_bfv
from yashe.schemes.yashe import YASHE
from yashe.wire.envelope import HEADER
from yashe.wire.header import KEY_FORMS, Contents
from yashe.wire.streams import CiphertextWriter

TOY = toy_params(8, 1, 4, t_above=100)
LONGEST_NAME = "INSECURE_" + "X" * 44 + ", 64 primes"
LONGEST = Params(LONGEST_NAME, 4, next_ntt_primes(4, 100, 64), next_ntt_primes(4, 3, 4), None)
SCHEMES: dict[str, Any] = {"BFV": BFV, "BGV": BGV, "YASHE'": YASHE}


@lru_cache
def keys_of(name: str, params: Params = TOY, seed: bytes = SEED) -> Any:
    return SCHEMES[name](params).keygen(seed)


@lru_cache
def computed(name: str, how: str) -> Ciphertext:
    """Six ciphertexts of one scheme, by different ways."""
    scheme, keys = SCHEMES[name](TOY), keys_of(name)
    messages = np.arange(-3, 3)[:, None]
    fresh: Ciphertext = scheme.encrypt(messages, keys.encryption, SEED)
    public: Ciphertext = scheme.encrypt(messages, keys.public, SEED)
    results: dict[str, Callable[[], Ciphertext]] = {
        "fresh": lambda: fresh,
        "public": lambda: public,
        "joined": lambda: Ciphertext.concatenate([fresh[:2], fresh[1:5]]),
        "sum": lambda: fresh + public,
        "product": lambda: fresh * public,
        "relinearised": lambda: scheme.relinearize(fresh * fresh, keys.relinearization),
        "switched": lambda: scheme.switch_modulus(fresh, 3),
    }
    return results[how]()


WAYS = ["fresh", "public", "joined", "sum", "product", "relinearised", "switched"]
FIRST = np.zeros(1, dtype=np.int64)
ciphertexts = st.builds(computed, st.sampled_from(list(SCHEMES)), st.sampled_from(WAYS))
RIGHT_DEVIATIONS = [5e-324, 1e-9, 2.0**300, np.finfo(np.float64).max]
WRONG_DEVIATIONS = [0.0, -1.0, math.inf, -math.inf, math.nan]


@st.composite
def indices(draw: st.DrawFn) -> np.ndarray:
    """Arrays of row numbers, any order, some twice, of 0 to 9 axes, sometimes empty."""
    shape = draw(st.sampled_from([(), (1,), (6,), (2, 3), (1, 4, 1), (1,) * 8, (1,) * 9, (2, 0)]))
    size = math.prod(shape)
    flat = draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    return np.array(flat, dtype=np.int64).reshape(shape)


@st.composite
def bounds(draw: st.DrawFn) -> Bound:
    """Bounds of six rows, at the limits and beyond."""
    deviations = st.sampled_from([*RIGHT_DEVIATIONS * 4, *WRONG_DEVIATIONS])
    orders = st.sampled_from([0, 1, 2, 127, 126, 3, 4, 128, -1, 2**32, 2**32 + 1])
    some = draw(st.sampled_from([orders, st.integers(0, 127)]))
    return Bound(
        np.array(draw(st.lists(deviations, min_size=6, max_size=6))),
        np.array(draw(st.lists(some, min_size=6, max_size=6)), dtype=np.int64),
    )


def fits(ct: Ciphertext) -> bool:
    """Whether docs/wire-format.md has a form for it."""
    deviation, order = ct.bound.deviation[ct.index], ct.bound.order[ct.index]
    return bool(
        0 not in ct.shape
        and ct.ndim <= 8
        and (deviation > 0).all()
        and (deviation < math.inf).all()
        and (order >= 0).all()
        and (order <= 127).all()
        and 0 < ct.factor < ct.params.t
        and math.gcd(ct.factor, ct.params.t) == 1
        and (ct.factor == 1 or ct.scheme.name == "BGV")
        and len(ct.key_id) == 32
        and set(ct.key_id) <= set("0123456789abcdef")
    )


def assert_same(back: Ciphertext, ct: Ciphertext) -> None:
    """The same array, with the rows that it uses in the order of their use."""
    flat = ct.index.reshape(-1)
    assert np.array_equal(back.index, np.arange(ct.size).reshape(ct.shape))
    assert np.array_equal(back.rows, canonical(ct.rows[flat], column(ct.params.moduli)))
    assert np.array_equal(back.bound.deviation, ct.bound.deviation[flat])
    assert np.array_equal(back.bound.order, ct.bound.order[flat])
    facts = [(type(x.scheme), x.params, x.key_id, x.degree, x.factor, x.shape) for x in (back, ct)]
    assert facts[0] == facts[1]


@given(
    ct=ciphertexts,
    index=indices(),
    some=st.none() | bounds(),
    factor=st.sampled_from([None] * 8 + [0, 1, 2, TOY.t - 1, TOY.t, TOY.t + 1, -1]),
    key_id=st.sampled_from([None] * 8 + ["", "ab" * 15, "AB" * 16, "zz" * 16, "01" * 16]),
)
@example(computed("BFV", "fresh"), np.zeros((1,) * 9, dtype=np.int64), None, None, None)
@example(computed("BGV", "sum"), np.zeros((2, 0), dtype=np.int64), None, None, None)
@example(computed("BFV", "sum"), FIRST, None, 2, None)
@example(computed("YASHE'", "fresh"), FIRST, None, 2, None)
@example(computed("BGV", "sum"), FIRST, Bound.of(1.0, -1, (6,)), None, None)
@example(computed("BGV", "sum"), FIRST, Bound.of(1.0, 128, (6,)), None, None)
@example(computed("BGV", "sum"), FIRST, Bound.of(1.0, 127, (6,)), None, None)
@example(computed("BGV", "sum"), FIRST, Bound.of(0.0, 1, (6,)), None, None)
@example(computed("BGV", "sum"), FIRST, Bound.of(math.nan, 1, (6,)), None, None)
@example(computed("BGV", "sum"), FIRST, Bound.of(math.inf, 1, (6,)), None, None)
def test_what_is_written_is_read_back_equal_and_the_rest_is_not_written(
    ct: Ciphertext, index: np.ndarray, some: Bound | None, factor: int | None, key_id: str | None
) -> None:
    ct = replace(
        ct,
        index=index,
        bound=ct.bound if some is None else some,
        factor=ct.factor if factor is None else factor,
        key_id=ct.key_id if key_id is None else key_id,
    )
    stream = io.BytesIO()
    if not fits(ct):
        with pytest.raises(ParameterError, match="required|cannot be sent|must"):
            wire.write(stream, ct)
        assert stream.getvalue() == b""
        return
    wire.write(stream, ct)
    sent = stream.getvalue()
    back = wire.from_bytes(sent, Ciphertext, ct.params)
    assert_same(back, ct)
    assert wire.to_bytes(back) == sent
    if back.public_seed is not None:
        assert ct.public_seed is not None
        assert np.array_equal(back.public_seed, ct.public_seed[index.reshape(-1)])


def test_seeds_are_sent_exactly_where_nothing_else_would_be_lost() -> None:
    ct = computed("BGV", "fresh")
    half = wire.to_bytes(ct)
    assert len(wire.to_bytes(computed("BGV", "joined"))) == len(half)
    assert half[10] == 5
    doubled = Bound(ct.bound.deviation * 2, ct.bound.order)
    ordered = Bound(ct.bound.deviation, ct.bound.order + 1)
    for other in (
        replace(ct, bound=doubled),
        replace(ct, bound=ordered),
        replace(ct, factor=2),
        replace(ct, public_seed=None),
        replace(ct, degree=2, store=np.concatenate([ct.rows, ct.rows[:, :1]], axis=1)),
    ):
        sent = wire.to_bytes(other)
        assert sent[10] == 4
        assert_same(wire.from_bytes(sent, Ciphertext), other)


def test_a_row_that_is_not_what_its_seed_gives_is_refused() -> None:
    ct = computed("BFV", "fresh")
    assert ct.public_seed is not None
    for other in (
        replace(ct, store=ct.rows[::-1]),
        replace(ct, store=np.roll(ct.rows, 1, axis=-1)),
        replace(ct, public_seed=ct.public_seed[[0, 1, 2, 3, 5, 4]]),
    ):
        with pytest.raises(ParameterError, match="not what its seed gives: set public_seed to No"):
            wire.to_bytes(other)
        assert_same(wire.from_bytes(wire.to_bytes(replace(other, public_seed=None)), Ciphertext),
                    other)  # fmt: skip


def test_a_change_of_scheme_forgets_the_seed() -> None:
    """Also where it leaves the factor 1: with q = -1 modulo t."""
    params = Params("INSECURE_MINUS_ONE", 8, (16777153, 16776481), (17,), security=None)
    assert params.q % 17 == 16
    scheme = BGV(params)
    ct = scheme.encrypt([[3] * 8], scheme.keygen(SEED).secret)
    for changed in (to_bfv(ct), from_bfv(BFV(params).encrypt([1], BFV(params).keygen().secret))):
        assert changed.public_seed is None
        assert_same(wire.from_bytes(wire.to_bytes(changed), Ciphertext), changed)


@given(
    name=st.sampled_from(["BFV", "BGV"]),
    seeds=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4),
    rows=st.lists(st.sampled_from([0, 1, 2, 77, 2**31, 2**32 - 1]), min_size=4, max_size=4),
)
def test_ciphertexts_with_any_seeds_and_numbers_are_written_as_they_were_read(
    name: str, seeds: list[bytes], rows: list[int]
) -> None:
    """A file that is read and written again has the same size and the same bytes."""
    ct = computed(name, "fresh")[: len(seeds)]
    sent = bytearray(wire.to_bytes(ct))
    record = len(wire.to_bytes(computed(name, "fresh")[:2])) - len(wire.to_bytes(ct[:1]))
    for i, (seed, row) in enumerate(zip(seeds, rows, strict=False)):
        at = len(sent) - 32 - (len(seeds) - i) * record
        sent[at : at + 36] = seed + row.to_bytes(4, "little")
    forged = bytes(sent[:-32]) + hashlib.sha256(sent[:-32]).digest()
    back = wire.from_bytes(forged, Ciphertext)
    assert wire.to_bytes(back) == forged
    for part in (back[::-1], back.reshape(1, -1), Ciphertext.concatenate([back, back])):
        again = wire.from_bytes(wire.to_bytes(part), Ciphertext)
        assert_same(again, part)
        assert again.public_seed is not None


def test_a_reader_that_expects_parameters_writes_them_under_its_own_name() -> None:
    mine = replace(TOY, name="INSECURE_MINE")
    sent = wire.to_bytes(computed("BGV", "sum"))
    back = wire.from_bytes(sent, Ciphertext, mine)
    assert back.params is mine
    assert b"INSECURE_MINE" in wire.to_bytes(back)
    assert wire.to_bytes(wire.from_bytes(sent, Ciphertext)) == sent


def test_a_record_at_n_8192_has_the_length_that_the_page_says() -> None:
    moduli = ntt_primes(8192, 9)
    assert {p.bit_length() for p in moduli} == {24}
    params = Params("INSECURE_LONG", 8192, moduli, next_ntt_primes(8192, 2**16, 1), None)
    sizes = {
        kind: Contents(kind, params, "0" * 32, BGV(params), 1, (1,)).body_bytes for kind in (4, 5)
    }
    assert sizes == {4: 442_380, 5: 221_220}


def test_a_key_whose_halves_a_seed_stands_for_has_one() -> None:
    for rho in (b"", bytes(31), bytes(33)):
        with pytest.raises(ParameterError, match=f"a seed of 32 bytes was required: {len(rho)}"):
            Contents(13, TOY, "0" * 32, rho=rho)


def test_slices_that_are_joined_travel_as_what_they_hold() -> None:
    scheme, keys = BGV(TOY), keys_of("BGV")
    ct = scheme.encrypt(np.ones((40, 1), dtype=np.int64), keys.secret)
    joined = Ciphertext.concatenate([ct[i : i + 1] for i in range(40)])
    assert wire.to_bytes(joined) == wire.to_bytes(ct)
    plain = ct + 0
    joined = Ciphertext.concatenate([plain[i : i + 1] for i in range(40)])
    assert wire.to_bytes(joined) == wire.to_bytes(plain)
    one, two = len(wire.to_bytes(plain[7:8])), len(wire.to_bytes(plain[7:9]))
    assert len(wire.to_bytes(plain)) == one + 39 * (two - one)  # each is sent once


# Parameters and keys


@st.composite
def parameters(draw: st.DrawFn) -> tuple[Any, ...]:
    """Name, degree and moduli, around the largest numbers of moduli and the longest names."""
    n = draw(st.sampled_from([4, 8]))
    plaintext = next_ntt_primes(n, 3, draw(st.integers(1, 5)))
    q = next_ntt_primes(n, 2**11, draw(st.sampled_from([6, 7, 63, 64, 65])))
    name = "INSECURE_" + "X" * draw(st.sampled_from([0, 1, 43, 44, 45, 55, 56]))
    return name + draw(st.sampled_from(["", ", 63 primes", "\n", "é"])), n, q, plaintext, None


@given(parameters())
def test_parameters_are_read_back_equal_or_there_are_none(drawn: tuple[Any, ...]) -> None:
    """`Params` itself refuses what a description has no room for."""
    name, _, q, plaintext, _ = drawn
    base = name.partition(", ")[0]
    if len(q) > 64 or len(plaintext) > 4 or len(base) > 53 or not name.isascii() or "\n" in name:
        with pytest.raises(ParameterError, match="1 to 64 primes|1 to 4 primes|the name of param"):
            Params(*drawn)
    else:
        params = Params(*drawn)
        assert wire.from_bytes(wire.to_bytes(params), Params) == params


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("params", [TOYS[1], TOYS[3], LONGEST])
def test_keys_are_read_back_equal(name: str, params: Params, tmp_path: Path) -> None:
    keys = keys_of(name, params)
    wire.save_secret_key(tmp_path / "secret", keys.secret)
    pairs = [(keys.secret, wire.load_secret_key(tmp_path / "secret", type(keys.secret)))]
    for key in (keys.public, keys.relinearization):
        pairs.append((key, wire.from_bytes(wire.to_bytes(key), type(key), params)))
    forms = {form.type: form for form in reversed(KEY_FORMS)}
    for key, back in pairs:
        assert (type(back), back.params, back.key_id) == (type(key), params, key.key_id)
        for attribute in forms[type(key)].polynomials:
            a, b = getattr(key, attribute), getattr(back, attribute)
            assert np.array_equal(a.canonical(), b.canonical())


def test_keys_that_are_put_together_wrongly_are_not_written() -> None:
    keys = keys_of("BFV")
    relin, ring = keys.relinearization, TOY.ring
    short = NttElement(ring, relin.b.residues[:2])
    wrong = [
        (replace(relin, b=short, a=short), "a key of shape .4, 2, 4, 8. was required"),
        (replace(keys.public, b=relin.b, a=relin.a), "a key of shape .2, 4, 8. was required"),
        (replace(keys.public, params=TOY.shortened(3)), "a key of shape .2, 3, 8. was required"),
        (replace(keys.public, key_id="0"), "a key id of 32 hexadecimal digits"),
    ]
    for key, message in wrong:
        stream = io.BytesIO()
        with pytest.raises(ParameterError, match=message):
            wire.write(stream, key)
        assert stream.getvalue() == b""


def test_only_secret_keys_go_in_and_out_by_the_private_door(tmp_path: Path) -> None:
    keys, path = keys_of("BGV"), tmp_path / "key"
    for thing in (keys.public, TOY, keys, computed("BGV", "fresh")):
        kind = type(thing).__name__
        with pytest.raises(FormatError, match=f"a secret key was required, got a {kind}: use save"):
            wire.save_secret_key(path, thing)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    wire.save(path, keys.public)
    path.chmod(0o600)
    with pytest.raises(FormatError, match="a SecretKey or YasheSecretKey was required"):
        wire.load_secret_key(path, PublicKey)
    with pytest.raises(FormatError, match="a SecretKey was required, this is a BgvPublicKey"):
        wire.load_secret_key(path, SecretKey)


# What no program of ours makes


@pytest.mark.parametrize("residue", [math.nan, math.inf, 0.5, float(TOY.moduli[0]), -(2.0**52)])
def test_residues_that_are_none_are_not_written(residue: float, tmp_path: Path) -> None:
    ct = computed("BFV", "sum")
    rows = ct.rows.copy()
    rows[5, 1, 0, 7] = residue
    wire.save(tmp_path / "file", ct)
    before = (tmp_path / "file").read_bytes()
    with pytest.raises(ParameterError, match=f"residues modulo {TOY.moduli[0]} were required"):
        wire.save(tmp_path / "file", replace(ct, store=rows))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == before
    wire.to_bytes(replace(ct, store=rows)[:5])  # what is not sent does not matter


def test_the_largest_residues_that_reduction_leaves_are_written() -> None:
    ct = computed("BFV", "sum")
    for sign in (-1, 1):
        largest = np.broadcast_to(sign * np.array([bound(p) for p in TOY.moduli])[:, None], (4, 8))
        extreme = replace(ct, store=np.broadcast_to(largest, ct.rows.shape).astype(np.float64))
        assert_same(wire.from_bytes(wire.to_bytes(extreme), Ciphertext), extreme)


def test_what_is_put_together_wrongly_is_not_written() -> None:
    ct = computed("BGV", "product")
    assert ct.degree == 2

    class Mine(BGV):
        """A scheme that no reader knows."""

    seeded = np.zeros(6, dtype=NUMBERED_SEED)
    yashe = computed("YASHE'", "public")
    fresh_noise = YASHE(TOY).fresh_bound(public=False).broadcast((6,))
    wrong = [
        (replace(ct, degree=3), "rows of shape .* were required"),
        (replace(ct, degree=9), "degree 1 to 8, .* got degree 9"),
        (replace(ct, degree=1), r"rows of shape \(2, 4, 8\) were required"),
        (replace(ct, store=ct.rows[..., :4]), r"rows of shape \(3, 4, 8\) were required"),
        (replace(ct, scheme=Mine(TOY)), "Mine is no scheme of the wire format"),
        (replace(yashe, public_seed=seeded, bound=fresh_noise), "a seeded ciphertext is a fresh"),
    ]
    for thing, message in wrong:
        with pytest.raises(ParameterError, match=message):
            wire.to_bytes(thing)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 0), "an array without a ciphertext cannot be sent"),
        ((-1,), "axes of length 1 to 4294967295"),
        ((2**32,), "axes of length 1 to 4294967295"),
        ((2**31, 2**31), "at most 9223372036854775807 bytes"),
        ((1,) * 9, "at most 8 axes"),
    ],
)
def test_a_writer_announces_only_what_can_be_read(shape: tuple[int, ...], message: str) -> None:
    stream = io.BytesIO()
    with pytest.raises(ParameterError, match=message):
        CiphertextWriter(stream, computed("BFV", "fresh"), shape)
    assert stream.getvalue() == b""


def test_what_a_writer_refuses_leaves_no_trace_in_the_array() -> None:
    stream, ct = io.BytesIO(), computed("BFV", "sum")
    writer = CiphertextWriter(stream, ct, (6,))
    head = len(stream.getvalue())
    other = replace(ct, bound=Bound(ct.bound.deviation * math.nan, ct.bound.order))
    foreign = BFV(TOY).encrypt([1], keys_of("BFV", TOY, OTHER_SEED).public)
    same_factor = replace(from_bfv(ct), factor=1)
    for thing, error, message in (
        (other, ParameterError, "deviation of a noise must be a positive number"),
        (foreign, KeyMismatchError, "belong to the same keys"),
        (same_factor, KeyMismatchError, "belong to the same scheme"),
        (computed("BFV", "fresh"), ParameterError, "one degree, seeded or not"),
    ):
        with pytest.raises(error, match=message):
            writer.append(thing)
        assert len(stream.getvalue()) == head
    writer.append(ct)
    writer.close()
    assert stream.getvalue() == wire.to_bytes(ct)


def test_a_path_that_names_no_file_is_refused(tmp_path: Path) -> None:
    for path in ("", ".", "/", "a\0b"):
        with pytest.raises(FormatError, match="the name of a file was required"):
            wire.save(path, TOY)
        with pytest.raises(FormatError, match="the name of a file was required"):
            wire.load(path, Params)
        with pytest.raises(FormatError, match="the name of a file was required"):
            wire.load_secret_key(path, SecretKey)
    with pytest.raises(FormatError, match="cannot write .*it is a folder; name a file"):
        wire.save(tmp_path, TOY)


def test_what_is_not_bytes_is_refused() -> None:
    for junk in ("abc", 5, None, [1, 2]):
        with pytest.raises(FormatError, match="bytes were required, got a"):
            wire.from_bytes(junk, Ciphertext)  # type: ignore[arg-type]


def test_what_has_no_form_is_refused() -> None:
    for thing in (5, None, "key", SimpleNamespace(), TOY.ring, keys_of("BFV"), computed):
        with pytest.raises(FormatError, match=f"can be written, not a {type(thing).__name__}"):
            wire.to_bytes(thing)  # type: ignore[arg-type]


def test_the_head_of_every_frame_is_short_enough_for_a_reader() -> None:
    """The longest one: 64 and 4 moduli, a name of 64 characters, eight axes, a factor."""
    keys = BGV(LONGEST).keygen(SEED)
    ct = BGV(LONGEST).encrypt([1], keys.public).reshape((1,) * 8)
    sent = wire.to_bytes(ct)
    assert int.from_bytes(sent[12:16], "little") == 11 + 64 + 4 * 68 + 16 + 3 + 8 + 4 * 8 < 4096
    assert HEADER.size == 56
    assert_same(wire.from_bytes(sent, Ciphertext), ct)
