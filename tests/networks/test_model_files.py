"""Files of networks and arrays from strangers: what they may cost, and what is refused."""

import contextlib
import io
import json
import tracemalloc
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.networks.arrays import LARGEST_FILE_BYTES, parse_array
from nn.networks.layers import Dense, Flatten
from nn.networks.model import LARGEST_TEXT_BYTES, MOST_LAYERS, ModelInfo, Sequential
from yashe.errors import FormatError, ParameterError


def archive(path, *members, kind=zipfile.ZIP_DEFLATED):
    """Write an .npz file of raw members."""
    with zipfile.ZipFile(path, "w", kind) as file:
        for i, content in enumerate(members):
            file.writestr(f"arr_{i}.npy", content)
    return path


def npy(values):
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def described(layers, shape=(4,), **info):
    """The bytes of the description of a network, as a .npy file."""
    facts = {"format": 1, "input_shape": shape, "layers": layers, "info": {**asdict(INFO), **info}}
    return npy(np.frombuffer(json.dumps(facts).encode(), np.uint8))


INFO = ModelInfo("x", 3)
TWO_BY_FOUR = [npy(np.ones((4, 2), np.int8)), npy(np.ones(2, np.int8))]
DENSE = ["Dense", {"units": 2, "bias": True}]
BOMBS = {
    "bzip2": lambda path: archive(path, described([DENSE]), bytes(1 << 25), kind=zipfile.ZIP_BZIP2),
    "lzma": lambda path: archive(path, described([DENSE]), bytes(1 << 25), kind=zipfile.ZIP_LZMA),
    "lists": lambda path: archive(
        path, npy(np.frombuffer(b"[" + b"[]," * 10**7 + b"1]", np.uint8))
    ),
    "layers": lambda path: archive(path, described([["Flatten", {}]] * 10_000, (2, 2, 1))),
    "members": lambda path: archive(path, described([DENSE]), *[b""] * 1000),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_a_small_file_never_takes_much_memory(tmp_path, make):
    path = make(tmp_path / "m.npz")
    assert peak_of_refusal(path) < 64 * path.stat().st_size + 8 * LARGEST_TEXT_BYTES


def test_an_archive_that_unpacks_to_gigabytes_is_unpacked_up_to_its_limit(tmp_path):
    path = archive(tmp_path / "m.npz", described([DENSE]), bytes(1 << 28))
    # What is unpacked is there three times at most, while it is put together.
    assert peak_of_refusal(path) < 3 * LARGEST_FILE_BYTES + 2**24


def peak_of_refusal(path):
    """The memory that the refusal of a network takes."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="again"):
            Sequential.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_network_has_so_many_layers_and_not_one_more(tmp_path):
    def network(layers):
        found = Sequential([Flatten() for _ in range(layers - 1)] + [Dense(2)], (4,), info=INFO)
        for name, value in found.layers[-1].parameters.items():
            found.layers[-1].parameters[name] = value.astype(np.int64)
        return found

    network(MOST_LAYERS).save(tmp_path / "m.npz")
    assert len(Sequential.load(tmp_path / "m.npz").layers) == MOST_LAYERS
    with pytest.raises(ParameterError, match="no reader would accept this network: 101 layers"):
        network(MOST_LAYERS + 1).save(tmp_path / "n.npz")
    assert not (tmp_path / "n.npz").exists()


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"seconds": float("nan")}, "the number NaN is not finite"),
        ({"proved_bits": float("inf")}, "the number Infinity is not finite"),
        ({"name": "\x1b[2J"}, "texts that cannot be printed"),
        ({"levels": 3.0}, "just these facts were required"),
        ({"levels": True}, "just these facts were required"),
    ],
)
def test_facts_that_are_none_are_refused(tmp_path, info, message):
    assert Sequential.load(archive(tmp_path / "m.npz", described([DENSE]), *TWO_BY_FOUR)).layers
    with pytest.raises(FormatError, match=message):
        Sequential.load(archive(tmp_path / "m.npz", described([DENSE], **info), *TWO_BY_FOUR))


def test_an_archive_has_many_forms_and_is_written_in_one(tmp_path):
    written = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        given = archive(tmp_path / "given.npz", described([DENSE]), *TWO_BY_FOUR, kind=kind)
        model = Sequential.load(given)
        model.save(tmp_path / "written.npz")
        written.append((tmp_path / "written.npz").read_bytes())
        Sequential.load(tmp_path / "written.npz").save(tmp_path / "again.npz")
        assert (tmp_path / "again.npz").read_bytes() == written[-1]
        assert given.read_bytes() != written[-1]
    assert written[0] == written[1]


def test_a_number_beyond_all_floats_is_refused(tmp_path):
    text = described([DENSE], seconds=123456.5)
    assert Sequential.load(archive(tmp_path / "m.npz", text, *TWO_BY_FOUR)).info.seconds == 123456.5
    text = text.replace(b"123456.5", b"1e400   ")
    with pytest.raises(FormatError, match="the number 1e400 is not finite"):
        Sequential.load(archive(tmp_path / "m.npz", text, *TWO_BY_FOUR))


# Arrays in memory


@given(
    st.sampled_from(["u1", "<u2", ">u4", "<i8", "i1", ">i2"]),
    st.lists(st.integers(0, 4), max_size=4).map(tuple),
    st.booleans(),
)
def test_an_array_of_integers_is_what_numpy_wrote(kind, shape, columns_first):
    values = np.arange(np.prod(shape, dtype=int), dtype=kind).reshape(shape)
    values = np.asfortranarray(values) if columns_first else values
    found = parse_array(npy(values))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


HEADER = b"{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }"


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace(b"'<i8'", b"[('f0', '<i8')]"),
        HEADER.replace(b"(3,)", b"(3L,)"),
        HEADER.replace(b"(3,)", b"(-3,)"),
        HEADER.replace(b"(3,)", b"(" * 5000 + b"3,)"),
        HEADER.replace(b"(3,)", b"(3, 10000000000000000000000)"),
        HEADER.replace(b"(3,)", b"(0, 99999999999)"),
        HEADER.replace(b"(3,)", b"(3" + b", 1" * 70 + b")"),
        HEADER.replace(b"<i8", b"O"),
        HEADER.replace(b"<i8", b"<f8"),
        HEADER.replace(b"<i8", b"\xff"),
        HEADER.replace(b"False", b"__import__('os')"),
        HEADER[:-1],
        b"-" * 60_000,
        b"1 if 1 else",
        b"\0",
        b"",
    ],
)
def test_a_header_that_numpy_does_not_write_is_a_value_error(header):
    assert parse_array(npy(np.arange(3))).tolist() == [0, 1, 2]
    for padded in (header + b"\n", header + b" " * 20 + b"\n", header):
        content = b"\x93NUMPY\1\0" + len(padded).to_bytes(2, "little") + padded + bytes(24)
        with pytest.raises(
            ValueError, match=r"the header is not as|not integers|whose header says"
        ):
            parse_array(content)


@given(st.binary(max_size=80), st.integers(0, 200), st.integers(1, 255))
def test_damaged_arrays_are_read_or_a_value_error(tail, place, flip):
    good = bytearray(npy(np.arange(12, dtype=np.int16).reshape(3, 4)))
    good[place % len(good)] ^= flip
    for content in (bytes(good), bytes(good[: place % len(good)]), bytes(good) + tail, tail):
        with contextlib.suppress(ValueError):
            assert parse_array(content).dtype.kind in "iu"
