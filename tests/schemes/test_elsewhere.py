"""Ciphertexts elsewhere: every verb runs where its data are, and gives the same, bit for bit."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from elsewhere import Elsewhere, calls, register
from yashe import BFV, BGV, YASHE, Ciphertext, Gadget, wire
from yashe.ciphertexts import noise
from yashe.circuits.matrices import SlotMatrix
from yashe.circuits.polynomials import SlotPolynomial
from yashe.errors import (
    DeviceError,
    KeyMismatchError,
    ParameterError,
    PlaceError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import Params
from yashe.schemes.bgv import from_bfv, to_bfv

MODULI = (4882433, 4866049, 4816897, 4620289, 4423681, 4079617, 4046849, 3850241)
PARAMS = Params("INSECURE_64", 64, MODULI, (257,), None)
SCHEMES = [BGV, BFV, YASHE]


@pytest.fixture(params=[False, True], ids=["NumPy's functions", "fused functions"], autouse=True)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a place elsewhere."""
    return register(monkeypatch, request.param)


@cache
def subject(kind: Any) -> tuple[Any, Any, Ciphertext]:
    """A scheme, keys, and six ciphertexts."""
    scheme = kind(PARAMS)
    keys = scheme.keygen(bytes(32), rotations=[1, 3, "swap"])
    values = np.arange(6 * 64).reshape(6, 64) % 11 - 5
    return scheme, keys, scheme.encrypt(values, keys.encryption, bytes(range(32)))


VERBS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "negation": lambda s, x, k: -x,
    "sum": lambda s, x, k: x[:3] + x[3:],
    "difference": lambda s, x, k: x[[0, 2, 5]] - x[1],
    "sum of degrees 1 and 2": lambda s, x, k: s.relinearize(x * x, k.relinearization) + x,
    "sum with numbers": lambda s, x, k: x + np.array([1, 0, 3, 4, 5, 6]) - 7,
    "sum with a plaintext": lambda s, x, k: x + s.encode(np.arange(64)),
    "product with numbers": lambda s, x, k: x * np.array([1, -1, 3, 100, 5, 6]),
    "product with a plaintext": lambda s, x, k: x * s.encode(np.arange(64) % 3),
    "matrix product": lambda s, x, k: x @ np.arange(1, 13).reshape(6, 2),
    "matrix product from the left": lambda s, x, k: np.arange(1, 7) @ x.reshape(3, 2).reshape(6),
    "affine map": lambda s, x, k: x[[[0, 1], [1, 2], [5, 3]]].affine([[1, 2], [3, 4]], [5, 6]),
    "sum along an axis": lambda s, x, k: x.reshape(2, 3).sum(axis=0),
    "nothing": lambda s, x, k: x[:0] + 1,
    "joined": lambda s, x, k: np.concatenate([x[:2], (x + 1)[4:]]),
    "copied": lambda s, x, k: x[[4, 1]].copy(),
    "product": lambda s, x, k: x[:2] * x[2:4],
    "square": lambda s, x, k: x[[0, 3, 4]] * x[[0, 3, 4]],
    "relinearisation": lambda s, x, k: s.relinearize(x * x, k.relinearization),
    "large digits": lambda s, x, k: s.relinearize(x * x, k.relinearization.widened(3)),
    "switch": lambda s, x, k: s.switch_modulus(x, 5),
    "switch of degree 2": lambda s, x, k: s.switch_modulus(x * x, 5),
    "rotations": lambda s, x, k: s.rotations(x, [0, 1, "swap", 3], k.rotations),
    "a composed rotation": lambda s, x, k: s.rotate(x, 3, k.rotations),
}


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_runs_where_its_data_are(verb: str, kind: Any, gpu: str) -> None:
    if verb == "sum of degrees 1 and 2" and kind is YASHE:
        pytest.skip("degrees do not mix there")
    with noise.unchecked():
        scheme, keys, ct = subject(kind)
        expected = VERBS[verb](scheme, ct, keys)
        there, moved = ct.to(gpu), KeysThere(keys, gpu)
        calls.clear()
        found = VERBS[verb](scheme, there, moved)
        assert type(found.rows) is Elsewhere
        assert (found.place, there.place, ct.place) == ("gpu", "gpu", "cpu")
        assert np.array_equal(found.to("cpu").rows, expected.rows)
        assert found.bound.deviation.tolist() == expected.bound.deviation.tolist()
        assert (found.degree, found.factor, found.shape) == (
            expected.degree,
            expected.factor,
            expected.shape,
        )
        slots = scheme.decrypt(expected, keys.secret)
        assert np.array_equal(scheme.decrypt(found, moved.secret), slots)
        assert scheme.noise_budget(found, moved.secret) == pytest.approx(
            scheme.noise_budget(expected, keys.secret)
        )


class KeysThere:
    """All keys of a set elsewhere."""

    def __init__(self, keys: Any, place: str) -> None:
        for name, key in vars(keys).items():
            setattr(self, name, key.to(place))


def test_spare_primes_and_smaller_keys_work_there(gpu: str) -> None:
    scheme, keys, ct = subject(BGV)
    gadget = Gadget(3, spare=2)
    relin = scheme.relinearization_key(keys.secret, bytes(32), gadget)
    turns = scheme.rotation_keys(keys.secret, [2], bytes(32), gadget)
    expected = scheme.rotate(scheme.relinearize(ct * ct, relin), 2, turns)
    squares = ct.to(gpu) * ct.to(gpu)
    found = scheme.rotate(scheme.relinearize(squares, relin.to(gpu)), 2, turns.to(gpu))
    assert np.array_equal(found.to("cpu").rows, expected.rows)


def test_circuits_run_there(gpu: str) -> None:
    scheme = BFV(PARAMS)
    matrix = SlotMatrix(scheme, np.arange(1, 17).reshape(4, 4) - 8)
    keys = scheme.keygen(bytes(32), rotations=matrix.rotations)
    ct = scheme.encrypt(matrix.spread([1, -2, 3, 4]), keys.secret, bytes(32))
    turns, relin = keys.rotations.to(gpu), keys.relinearization.to(gpu)
    found = matrix(ct.to(gpu), turns).to("cpu")
    assert np.array_equal(found.rows, matrix(ct, keys.rotations).rows)
    cube = SlotPolynomial(scheme, [5, 0, 0, 1])
    found = cube(ct.to(gpu), relin).to("cpu")
    assert np.array_equal(found.rows, cube(ct, keys.relinearization).rows)


def test_a_ciphertext_goes_from_scheme_to_scheme_there(gpu: str) -> None:
    _, _, ct = subject(BFV)
    expected = from_bfv(ct)
    found = from_bfv(ct.to(gpu))
    assert np.array_equal(found.to("cpu").rows, expected.rows)
    assert np.array_equal(to_bfv(found).to("cpu").rows, to_bfv(expected).rows)


def test_moving_there_and_back_changes_nothing(gpu: str) -> None:
    scheme, keys, ct = subject(BGV)
    back = ct[1:3].to(gpu).to("cpu")
    assert np.array_equal(back.rows, ct.rows[1:3])  # and nothing that is not named
    assert ct.to("cpu") is not None
    assert ct.to("cpu").rows is ct.rows
    assert np.array_equal(scheme.decrypt(back, keys.secret), scheme.decrypt(ct[1:3], keys.secret))
    again = keys.relinearization.to(gpu).to("cpu")
    assert np.array_equal(again.b.residues, keys.relinearization.b.residues)
    assert again.gadget == keys.relinearization.gadget


def test_what_is_there_is_written_as_what_is_here(gpu: str) -> None:
    """To write is to ask for the numbers; what is read is here."""
    _, keys, ct = subject(BGV)
    for thing in (ct, ct * ct, keys.relinearization, keys.rotations):
        frame = wire.to_bytes(thing.to(gpu))
        assert frame == wire.to_bytes(thing)


# Mixing places is refused, and it is said what to call.

MIXED: dict[str, Callable[[Any, Any, Any, Any, Any], Any]] = {
    "+": lambda s, x, y, k, m: x + y,
    "-": lambda s, x, y, k, m: y - x,
    "*": lambda s, x, y, k, m: x * y,
    "join": lambda s, x, y, k, m: np.concatenate([x, y]),
    "relinearize here": lambda s, x, y, k, m: s.relinearize(x * x, m.relinearization),
    "relinearize there": lambda s, x, y, k, m: s.relinearize(y * y, k.relinearization),
    "rotate here": lambda s, x, y, k, m: s.rotate(x, 1, m.rotations),
    "rotate there": lambda s, x, y, k, m: s.rotate(y, 1, k.rotations),
    "decrypt here": lambda s, x, y, k, m: s.decrypt(x, m.secret),
    "decrypt there": lambda s, x, y, k, m: s.decrypt(y, k.secret),
    "encrypt": lambda s, x, y, k, m: s.encrypt(
        [1], getattr(m, "secret" if s.name != "YASHE'" else "public")
    ),
    "more keys": lambda s, x, y, k, m: s.rotation_keys(m.secret, [1]),
}


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize("mixed", MIXED)
def test_places_do_not_mix(mixed: str, kind: Any, gpu: str) -> None:
    with noise.unchecked():
        scheme, keys, ct = subject(kind)
        there, moved = ct.to(gpu), KeysThere(keys, gpu)
        calls.clear()
        with pytest.raises(PlaceError, match=r'(key|ct)\.to\("(cpu|gpu)"\)'):
            MIXED[mixed](scheme, ct, there, keys, moved)
        assert calls["put"] == 0


def test_the_message_says_which_way(gpu: str) -> None:
    scheme, keys, ct = subject(BGV)
    expected = (
        r"the BgvRelinearizationKey is on the cpu, what it is needed for is done on the gpu: "
        r'give key\.to\("gpu"\)'
    )
    with pytest.raises(PlaceError, match=expected):
        scheme.relinearize(ct.to(gpu) ** 2, keys.relinearization)
    with pytest.raises(PlaceError, match=r'on the gpu and on the cpu.*ct\.to\("gpu"\)'):
        ct.to(gpu) + ct


def test_other_places_are_refused_by_name() -> None:
    _, keys, ct = subject(BGV)
    for thing in (ct, keys.secret):
        with pytest.raises(ParameterError, match='"cpu" or on the "gpu", not on \'tpu\''):
            thing.to("tpu")


def test_a_key_of_somebody_else_is_still_refused_there(gpu: str) -> None:
    scheme, _, ct = subject(BGV)
    others = scheme.keygen(bytes([1]) * 32)
    with pytest.raises(KeyMismatchError, match="does not belong"):
        scheme.relinearize(ct.to(gpu) ** 2, others.relinearization.to(gpu))


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_transparent_ciphertext_is_refused_there(kind: Any, gpu: str) -> None:
    _, _, ct = subject(kind)
    there = ct.to(gpu)
    with pytest.raises(TransparentCiphertextError, match="a difference no longer depends on any"):
        there - there


def test_a_repr_looks_at_nothing(gpu: str) -> None:
    _, keys, ct = subject(BGV)
    there, key = ct.to(gpu), keys.relinearization.to(gpu)
    calls.clear()
    assert "Ciphertext(shape=(6,), BGV INSECURE_64" in repr(there)
    assert "BgvRelinearizationKey" in repr(key)
    assert not calls
    assert issubclass(DeviceError, RuntimeError)
