"""Keys: their equations; and that secrets stay where they are."""

import copy
import io
import pickle  # noqa: TID251 (to see that it is refused)
import pprint
import re
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import OTHER_SEED, SEED, TOYS, seeds
from yashe import errors
from yashe.arithmetic.automorphisms import move_coefficients
from yashe.arithmetic.rings import NttElement
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.ciphertexts.keys import Key, Keys, check_key
from yashe.errors import KeyMismatchError, NotPicklableError
from yashe.parameters.sets import Params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rlwe import RLWE
from yashe.schemes.yashe import YASHE, YasheKeys

SIX_SIGMA = 20  # no error of these tests is larger


def integers(element: NttElement) -> np.ndarray:
    return np.asarray(element.intt().integers())


def errors_in(element: NttElement, unit: int) -> np.ndarray:
    """The coefficients in that unit, 1 in BFV and t in BGV, of which they are multiples."""
    coefficients = integers(element)
    assert not (coefficients % unit).any()
    return coefficients // unit


both = pytest.mark.parametrize("scheme_class", [BFV, BGV])
# With n = 4 all coefficients of an error are zero once in four thousand times.
with_errors = st.sampled_from([params for params in TOYS if params.n > 4])


@both
@given(params=with_errors, seed=seeds)
@settings(max_examples=20)
def test_keys_satisfy_their_equations_with_small_errors(
    scheme_class: type[RLWE], params: Params, seed: bytes
) -> None:
    keys, unit = scheme_class(params).keygen(seed), scheme_class(params).error_unit
    s = keys.secret.s
    assert set(integers(s)) <= {-1, 0, 1}
    e = errors_in(keys.public.b + keys.public.a * s, unit)
    assert 0 < np.abs(e).max() < SIX_SIGMA
    check_switching_key(keys.relinearization.b, keys.relinearization.a, s, s * s, unit)


def check_switching_key(
    b: NttElement, a: NttElement, s: NttElement, z: NttElement, unit: int, cut: Gadget = PER_PRIME
) -> None:
    """b_i + a_i s = P g_i z - unit e_i for every digit, with small e_i that are not zero."""
    a_s = NttElement(s.ring, a.residues * s.residues)  # a batch of polynomials
    g_z = NttElement(s.ring, cut.weights(s.ring) * z.residues)
    errors = errors_in(b + a_s - g_z, unit)
    assert errors.shape == (len(cut.groups(len(s.ring.basis))), s.ring.n)
    assert np.abs(errors).max() < SIX_SIGMA
    assert all(row.any() for row in errors)


@both
@given(
    params=with_errors, seed=seeds, cut=st.sampled_from([Gadget(), Gadget(2), Gadget(1, spare=1)])
)
@settings(max_examples=20)
def test_rotation_keys_satisfy_theirs(
    scheme_class: type[RLWE], params: Params, seed: bytes, cut: Gadget
) -> None:
    scheme = scheme_class(params)
    keys = scheme.keygen(seed)
    found, s = scheme.rotation_keys(keys.secret, [1, "swap"], gadget=cut), keys.secret.s
    assert found.exponents == (5, 2 * params.n - 1)
    for g in found.exponents:
        moved = s.intt()  # s(X^(1/g)), by the inverse map on coefficients
        moved = type(moved)(s.ring, move_coefficients(moved.residues, pow(g, -1, 2 * params.n)))
        check_switching_key(*found.columns(g), moved.ntt(), s, scheme.error_unit, cut)
    relin = scheme.relinearization_key(keys.secret, gadget=cut)
    check_switching_key(relin.b, relin.a, s, s * s, scheme.error_unit, cut)


def fingerprint(keys: Keys) -> list[bytes]:
    elements = [
        keys.secret.s, keys.public.a, keys.public.b, keys.relinearization.a, keys.relinearization.b,
    ]  # fmt: skip
    return [element.canonical().tobytes() for element in elements]


@both
def test_a_seed_repeats_the_keys_and_without_one_they_are_fresh(scheme_class: type[RLWE]) -> None:
    scheme = scheme_class(TOYS[4])
    a, b = fingerprint(scheme.keygen(SEED)), fingerprint(scheme.keygen(SEED))
    assert a == b
    for other in (scheme.keygen(OTHER_SEED), scheme.keygen(), scheme.keygen()):
        assert all(x != y for x, y in zip(a, fingerprint(other), strict=True))
        assert other.secret.key_id != scheme.keygen(SEED).secret.key_id
        a = fingerprint(other)


@both
def test_all_uniform_polynomials_and_all_errors_of_the_keys_differ(
    scheme_class: type[RLWE],
) -> None:
    keys = scheme_class(TOYS[4]).keygen(SEED)
    a = [keys.public.a.canonical(), *keys.relinearization.a.canonical()]
    assert len({row.tobytes() for row in a}) == TOYS[4].k + 1
    s = keys.secret.s
    batch = NttElement(s.ring, keys.relinearization.a.residues * s.residues)
    shifted = NttElement(s.ring, PER_PRIME.weights(s.ring) * (s * s).residues)
    errors = [
        integers(keys.public.b + keys.public.a * s),
        *integers(keys.relinearization.b + batch - shifted),
    ]
    assert len({tuple(e) for e in errors}) == TOYS[4].k + 1


@both
def test_one_name_joins_the_keys(scheme_class: type[RLWE]) -> None:
    keys = scheme_class(TOYS[0]).keygen(SEED)
    assert keys.secret.key_id == keys.public.key_id == keys.relinearization.key_id


def test_keys_for_other_parameters_or_of_another_set_are_refused() -> None:
    keys, others = BFV(TOYS[0]).keygen(SEED), BFV(TOYS[1]).keygen(SEED)
    strangers = BFV(TOYS[0]).keygen(OTHER_SEED)
    for key in (keys.secret, keys.public, keys.relinearization):
        check_key(TOYS[0], keys.secret.key_id, key)
        with pytest.raises(KeyMismatchError, match=f"is for {TOYS[0].name}, the data for"):
            check_key(others.secret.params, key.key_id, key)
        with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
            check_key(TOYS[0], strangers.secret.key_id, key)


# Secrets


def all_keys(name: str) -> Any:
    return {"BFV": BFV, "BGV": BGV, "YASHE'": YASHE}[name](TOYS[4]).keygen(SEED)


def locals_of_a_traceback(x: object) -> str:
    """What a debugger prints where something went wrong beside a key."""
    try:
        raise KeyError(len(repr(x)))
    except KeyError as error:
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(captured.format())


every_scheme = pytest.mark.parametrize("name", ["BFV", "BGV", "YASHE'"])
PRINTERS: list[Callable[[Any], str]] = [
    repr,
    str,
    format,
    pprint.pformat,
    lambda x: f"{x!r} {x} {x!s} {x!a} {(x, [x], {1: x})}",
    lambda x: repr(vars(x)) if isinstance(x, (Key, Keys, YasheKeys)) else "",
    lambda x: "%s %r" % (x, x),  # noqa: UP031
    locals_of_a_traceback,
]


@every_scheme
@pytest.mark.parametrize("printed", PRINTERS)
def test_no_key_and_no_polynomial_prints_a_number_of_it(
    name: str, printed: Callable[[Any], str]
) -> None:
    keys = all_keys(name)
    single = [keys.secret, keys.public, keys.relinearization]
    elements = [x for key in single for x in vars(key).values() if isinstance(x, NttElement)]
    coefficients = [x.intt() for x in elements]
    numbers = {str(int(abs(r))) for x in (*elements, *coefficients) for r in x.residues.flat}
    for thing in (keys, *single, *elements, *coefficients):
        text = printed(thing)
        assert not numbers.intersection(re.findall(r"\d{6,}", text))
        assert not re.search(r"array|residues|0x[0-9a-f]{6}", text)


@every_scheme
def test_keys_are_not_pickled_and_the_refusal_says_where_they_go_out(name: str) -> None:
    keys = all_keys(name)
    for key in (keys.secret, keys.public, keys.relinearization, keys):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            for write in (pickle._dumps, pickle.dumps):  # type: ignore[attr-defined]
                with pytest.raises(NotPicklableError, match="is not pickled: .*save_secret_key"):
                    write([key], protocol)
    stream = io.BytesIO()
    with pytest.raises(TypeError, match=f"a {type(keys.secret).__name__} is not pickled"):
        pickle.Pickler(stream).dump(keys)
    secret = next(x for x in vars(keys.secret).values() if isinstance(x, NttElement))
    assert secret.residues.tobytes()[:64] not in stream.getvalue()


def test_a_key_does_not_reach_another_process_by_accident() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(len, [all_keys("BFV").secret])
        with pytest.raises(NotPicklableError, match="a SecretKey is not pickled"):
            future.result(timeout=60)


@every_scheme
def test_a_copy_of_a_key_is_the_key(name: str) -> None:
    keys = all_keys(name)
    for key in (keys.secret, keys.public, keys.relinearization):
        assert copy.copy(key) is key
        assert copy.deepcopy([key])[0] is key
    assert copy.deepcopy(keys).secret is keys.secret


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(errors).values()
        if getattr(kind, "__module__", "") == errors.__name__ and isinstance(kind, type)
    ],
)
def test_errors_are_pickled_for_whoever_waits_in_another_process(kind: type[Exception]) -> None:
    error = kind("what was wrong")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
