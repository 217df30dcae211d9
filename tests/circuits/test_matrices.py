"""Matrices and polynomials in slots, and rehearsals: what is computed, and what it takes."""

from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from strategies_engine import SEED, centred, integer_arrays, toy_params
from yashe.circuits.columns import SquareLayer
from yashe.circuits.matrices import SlotMatrix
from yashe.circuits.polynomials import SlotPolynomial
from yashe.circuits.rehearsal import rehearse
from yashe.errors import (
    EncodingError,
    KeyMismatchError,
    MissingKeyError,
    NoiseBudgetExhausted,
    ParameterError,
    RangeError,
    ShapeError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rotations import RotatingScheme
from yashe.schemes.yashe import YASHE

SCHEMES: list[type[RotatingScheme]] = [BFV, BGV, YASHE]
every_scheme = pytest.mark.parametrize("kind", SCHEMES)
TOY = toy_params(64, 1, 7, t_above=2**17)  # rows of 32 slots


@lru_cache
def keys_of(kind: type[RotatingScheme]) -> Any:
    return kind(TOY).keygen(SEED, range(1, 32))


shapes = st.tuples(st.integers(1, 32), st.integers(1, 32))


@every_scheme
@given(data=st.data(), shape=shapes)
@example(data=None, shape=(32, 32))
@example(data=None, shape=(5, 32))
@example(data=None, shape=(32, 3))
@example(data=None, shape=(1, 1))
@settings(max_examples=6)
def test_a_matrix_in_slots_multiplies_like_one_of_numpy(
    kind: type[RotatingScheme], data: st.DataObject | None, shape: tuple[int, int]
) -> None:
    scheme, keys = kind(TOY), keys_of(kind)
    if data is None:
        matrix = np.arange(1, shape[0] * shape[1] + 1).reshape(shape) % 19 - 9
        x = np.arange(2 * shape[1]).reshape(2, -1) - 3
    else:
        matrix = data.draw(integer_arrays(shape, 9).filter(lambda m: bool(m.any())))
        x = data.draw(integer_arrays((2, shape[1]), 100))
    circuit = SlotMatrix(scheme, matrix)
    ct = scheme.encrypt(circuit.spread(x), keys.encryption)
    found = scheme.decrypt(circuit(ct, keys.rotations), keys.secret)
    expected = np.zeros((2, circuit.outputs), dtype=np.int64)
    expected[:, : shape[0]] = x @ matrix.T
    # In both rows and with a period, so that the next matrix can take it.
    assert np.array_equal(found, np.tile(expected, TOY.n // circuit.outputs))


@every_scheme
def test_two_matrices_in_a_row_and_diagonals_that_are_zero(kind: type[RotatingScheme]) -> None:
    params = toy_params(64, 1, 10, t_above=2**17)
    scheme = kind(params)
    first, second = np.eye(16, dtype=np.int64) * 2, np.ones((3, 16), dtype=np.int64)
    first[0, 15] = 1
    a, b = SlotMatrix(scheme, first), SlotMatrix(scheme, second)
    assert [len(used) for _, used, _ in a.giants] == [1, 1]  # diagonals 0 and 15, of 16
    keys = scheme.keygen(SEED, [*a.rotations, *b.rotations])
    x = np.arange(16)
    ct = scheme.encrypt(a.spread(x), keys.encryption)
    found = scheme.decrypt(b(a(ct, keys.rotations), keys.rotations), keys.secret)
    assert found[:4].tolist() == [*(second @ first @ x), 0]


@pytest.mark.parametrize(
    ("shape", "baby", "giant", "folds"),
    [((64, 64), 8, 7, 0), ((128, 128), 16, 7, 0), ((10, 128), 4, 3, 3), ((1, 128), 1, 0, 7)],
)
def test_a_matrix_takes_as_many_rotations_as_it_says(
    shape: tuple[int, int], baby: int, giant: int, folds: int
) -> None:
    scheme = BGV(make_params("INSECURE_MATRIX", 256, 250, security=None, log2_q=120))
    circuit = SlotMatrix(scheme, np.ones(shape, dtype=np.int64))
    diagonals = 1 << (min(shape) - 1).bit_length()
    steps = f"{diagonals} products with plaintexts, {baby - 1} baby and {giant} giant steps"
    assert f"{shape[0]} x {shape[1]}: {steps}, {folds} to add" in repr(circuit)
    found = rehearse(scheme, lambda ct, keys: circuit(ct, keys.rotations), circuit.rotations)
    assert found.rotations == baby - 1 + giant + folds
    assert found.operations["a product with a plaintext"] == diagonals
    assert found.keys == len(circuit.rotations) <= found.rotations
    assert found.key_bytes == found.keys * 2 * scheme.params.k**2 * 256 * 8
    assert f"{found.keys} rotation keys" in str(found)


@every_scheme
def test_a_rehearsal_predicts_the_bits_of_the_run(kind: type[RotatingScheme]) -> None:
    scheme, keys = kind(TOY), keys_of(kind)
    matrix = SlotMatrix(scheme, np.arange(40).reshape(5, 8))
    square = SlotPolynomial(scheme, [1, 0, 2])

    def circuit(ct: Any, its_keys: Any) -> Any:
        return square(matrix(ct, its_keys.rotations), its_keys.relinearization)

    found = rehearse(scheme, circuit, matrix.rotations)
    ct = scheme.encrypt(matrix.spread([1, 2, 3]), keys.encryption)
    result = circuit(ct, keys)
    assert float(result.noise_budget) == pytest.approx(found.left)
    assert float(ct.noise_budget) - float(result.noise_budget) == pytest.approx(found.bits)
    assert (found.products, found.primes) == (1, result.params.k)
    assert scheme.noise_budget(result, keys.secret) >= found.left
    worse = rehearse(scheme, circuit, matrix.rotations, public=True)
    assert worse.left <= found.left


@every_scheme
def test_a_rehearsal_fails_as_the_run_would(kind: type[RotatingScheme]) -> None:
    scheme = kind(TOY)
    matrix = SlotMatrix(scheme, np.ones((4, 4), dtype=np.int64))
    with pytest.raises(MissingKeyError, match="rotation 1 "):
        rehearse(scheme, lambda ct, keys: matrix(ct, keys.rotations))
    with pytest.raises(ParameterError, match="a circuit returns a Ciphertext, not a NoneType"):
        rehearse(scheme, lambda ct, keys: None)  # type: ignore[arg-type, return-value]

    def deep(ct: Any, keys: Any) -> Any:
        for _ in range(20):
            ct = scheme.relinearize(ct * ct, keys.relinearization)
        return ct

    with pytest.raises(NoiseBudgetExhausted, match="a product leaves"):
        rehearse(scheme, deep)


def test_a_declared_range_follows_through_a_matrix() -> None:
    scheme, keys = BGV(TOY), keys_of(BGV)
    matrix = SlotMatrix(scheme, [[1, 2], [3, 4]])
    ct = scheme.encrypt(matrix.spread([5, 6]), keys.secret, within=(0, 10))
    found = matrix(ct, keys.rotations)
    assert found.within is not None
    assert found.within.high[0] >= 70
    with pytest.raises(RangeError, match="would wrap around"):
        matrix(ct.declared(0, TOY.t // 4), keys.rotations)


def test_what_is_no_matrix_in_slots_is_refused() -> None:
    scheme = BGV(TOY)
    for wrong in ([1, 2], np.zeros((0, 3), dtype=np.int64), np.ones((33, 1), dtype=np.int64), 5):
        with pytest.raises(ShapeError, match="1 to 32 rows and columns"):
            SlotMatrix(scheme, wrong)
    with pytest.raises(TransparentCiphertextError, match="zero matrix"):
        SlotMatrix(scheme, [[0, 0]])
    with pytest.raises(EncodingError, match="must be integers"):
        SlotMatrix(scheme, [[0.5]])
    with pytest.raises(EncodingError, match="slot values must lie in"):
        SlotMatrix(scheme, [[TOY.t]])
    for vectors in (range(4), 3):
        with pytest.raises(ShapeError, match="vectors of at most 3 numbers"):
            SlotMatrix(scheme, [[1, 2, 3]]).spread(vectors)


# Polynomials


@every_scheme
@given(
    coefficients=st.lists(st.integers(-9, 9), min_size=2, max_size=12).filter(lambda c: any(c[1:]))
)
@example(coefficients=[0, 0, 0, 0, 1])
@example(coefficients=[3, 0, 0, 0, 2, 0, 0, 0])
@example(coefficients=[1, 1, 1, 1, 1, 1, 1, 1])
@example(coefficients=[1, 1, 0, 0, 0, 0, 0, 0, 1])  # a block of zeros in the middle
@settings(max_examples=5)
def test_a_polynomial_is_evaluated_in_every_slot(
    kind: type[RotatingScheme], coefficients: list[int]
) -> None:
    params = toy_params(16, 1, 9)
    scheme = kind(params)
    keys = scheme.keygen(SEED)
    x = np.arange(2 * params.n).reshape(2, -1) - 9
    ct = scheme.encrypt(x % params.t - params.t // 2, keys.encryption)
    found = scheme.decrypt(
        SlotPolynomial(scheme, coefficients)(ct, keys.relinearization), keys.secret
    )
    exact = sum(
        c * (x % params.t - params.t // 2).astype(object) ** i for i, c in enumerate(coefficients)
    )
    assert found.tolist() == centred(exact, params.t).tolist()


@pytest.mark.parametrize(
    ("degree", "products", "depth"), [(1, 0, 0), (3, 2, 2), (7, 4, 3), (15, 7, 4)]
)
def test_a_polynomial_takes_few_products_and_few_in_a_row(
    degree: int, products: int, depth: int
) -> None:
    scheme = BFV(make_params("INSECURE_POLYNOMIAL", 16, 90, security=None, log2_q=400))
    p = SlotPolynomial(scheme, [1] * (degree + 1))
    found = rehearse(scheme, lambda ct, keys: p(ct, keys.relinearization))
    assert found.products == found.operations.get("a relinearisation", 0) == products
    bits = rehearse(scheme, lambda ct, keys: power_of_two(scheme, ct, keys, depth)).bits
    assert found.bits <= bits + 8  # as if only the highest power had been computed


def power_of_two(scheme: Any, ct: Any, keys: Any, depth: int) -> Any:
    for _ in range(depth):
        ct = scheme.relinearize(ct * ct, keys.relinearization)
    return ct


def test_constants_are_no_polynomials_in_slots() -> None:
    scheme = BFV(TOY)
    for wrong in ([], [7], [7, 0, 0], [0, TOY.t]):
        with pytest.raises(ParameterError, match="degree 1 at least was required"):
            SlotPolynomial(scheme, wrong)
    with pytest.raises(EncodingError, match="coefficients must be integers"):
        SlotPolynomial(scheme, [1, 0.5])
    for rows in (7, [[1, 2], [3, 4]]):
        with pytest.raises(ParameterError, match="coefficients are one row of integers"):
            SlotPolynomial(scheme, rows)


@every_scheme
def test_where_a_range_is_declared_no_coefficient_wraps(kind: type[RotatingScheme]) -> None:
    scheme, t = kind(TOY), TOY.t
    keys = keys_of(kind)
    bit = scheme.encrypt([0, 1], keys.encryption, within=(0, 1))
    with pytest.raises(RangeError, match="coefficients are within"):
        SlotPolynomial(scheme, [0, t + 5])(bit, keys.relinearization)
    p = SlotPolynomial(scheme, [0, t + 5])
    found = scheme.decrypt(p(bit.modulo(), keys.relinearization), keys.secret)
    assert found[:2].tolist() == [0, 5]


def test_a_circuit_refuses_what_is_no_scheme_and_what_is_no_ciphertext() -> None:
    scheme, keys = BGV(TOY), keys_of(BGV)
    builds: list[Callable[[Any], object]] = [
        lambda wrong: SlotMatrix(wrong, [[1]]),
        lambda wrong: SlotPolynomial(wrong, [0, 1]),
        lambda wrong: rehearse(wrong, lambda ct, keys: ct),
        lambda wrong: SquareLayer(wrong, None, [], [[1]]),  # type: ignore[arg-type]
    ]
    wrong: Any
    for wrong in (BGV, None, "BGV"):
        for build in builds:
            with pytest.raises(ParameterError, match="this takes a scheme with parameters"):
                build(wrong)
    for wrong in ([1, 2], None, "ct"):
        with pytest.raises(KeyMismatchError, match="takes a Ciphertext"):
            SlotMatrix(scheme, [[1]])(wrong, keys.rotations)
        with pytest.raises(KeyMismatchError, match="takes a Ciphertext"):
            SlotPolynomial(scheme, [0, 0, 1])(wrong, keys.relinearization)
    for shape in ((0,), (-1,), "ab", 3):
        with pytest.raises(ParameterError, match="shape"):
            rehearse(scheme, lambda ct, keys: ct, shape=shape)  # type: ignore[arg-type]
    ct = scheme.encrypt([1], keys.secret)
    for wrong in (None, 3, np.array(1)):
        with pytest.raises(ParameterError, match="rotations are a list, not"):
            scheme.rotations(ct, wrong, keys.rotations)
        with pytest.raises(ParameterError, match="rotations are a list, not"):
            scheme.keygen(rotations=wrong)
    with pytest.raises(ParameterError, match="there are fewer than 64 rotations"):
        scheme.keygen(rotations=count())  # which never ends
