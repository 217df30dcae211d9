"""The transform as two matrix products, against its definition and the butterflies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies_engine import degrees, ntt_moduli, residues
from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.primes import ntt_primes
from yashe.arithmetic.residues import FloatArray, bound, canonical, column, reduce
from yashe.errors import ParameterError
from yashe.textbook import polynomials as textbook

SIZES = st.shared(degrees, key="n")
MODULI = SIZES.flatmap(lambda n: st.lists(ntt_moduli(n), min_size=1, max_size=3, unique=True))


def rows_of(x: FloatArray) -> list[list[int]]:
    return [[int(v) for v in row] for row in x.reshape(-1, x.shape[-1])]


@given(st.data(), SIZES, MODULI)
def test_the_transform_equals_its_definition(
    data: st.DataObject, n: int, moduli: list[int]
) -> None:
    transform = Ntt(n, tuple(moduli))
    a = data.draw(residues(n, transform.moduli))
    expected = [
        textbook.ntt_by_definition(row, psi, p)
        for row, psi, p in zip(rows_of(a), transform.psi, moduli, strict=True)
    ]
    assert canonical(transform.ntt(a), column(transform.moduli)).tolist() == expected


@given(st.data(), SIZES, MODULI)
def test_values_give_the_polynomial_back(data: st.DataObject, n: int, moduli: list[int]) -> None:
    transform, p = Ntt(n, tuple(moduli)), column(tuple(moduli))
    a = data.draw(residues(n, transform.moduli, batch=(2,)))
    for there, back in ((transform.ntt, transform.intt), (transform.intt, transform.ntt)):
        assert np.array_equal(canonical(back(there(a)), p), canonical(a, p))


@given(st.data(), SIZES, MODULI)
@settings(max_examples=30)
def test_the_product_of_values_is_the_negacyclic_product(
    data: st.DataObject, n: int, moduli: list[int]
) -> None:
    transform, p = Ntt(n, tuple(moduli)), column(tuple(moduli))
    a, b = (data.draw(residues(n, transform.moduli)) for _ in "ab")
    product = transform.intt(reduce(transform.ntt(a) * transform.ntt(b), p))
    expected = [
        textbook.poly_mod(textbook.poly_mul(x, y), modulus)
        for x, y, modulus in zip(rows_of(a), rows_of(b), moduli, strict=True)
    ]
    assert canonical(product, p).tolist() == expected


@given(st.data(), SIZES, MODULI)
def test_the_transform_is_linear(data: st.DataObject, n: int, moduli: list[int]) -> None:
    transform, p = Ntt(n, tuple(moduli)), column(tuple(moduli))
    a, b = (data.draw(residues(n, transform.moduli)) for _ in "ab")
    c = data.draw(st.integers(-1000, 1000))
    together = transform.ntt(reduce(a + c * b, p))
    apart = transform.ntt(a) + c * transform.ntt(b)
    assert np.array_equal(canonical(together, p), canonical(apart, p))


@pytest.mark.parametrize("n", [128, 256, 512, 1024, 8192, 16384, 32768])
def test_large_transforms_equal_the_butterflies(n: int) -> None:
    """One random polynomial and one of the largest residues, modulo the largest prime."""
    moduli = ntt_primes(n, 1)
    transform, p = Ntt(n, moduli), moduli[0]
    limit = bound(p)
    random = np.random.default_rng(n).integers(-limit, limit + 1, size=(1, n)).astype(np.float64)
    for a in (random, np.full((1, n), limit, dtype=np.float64)):
        values = canonical(transform.ntt(a), p)
        assert np.array_equal(values[0], textbook.ntt(rows_of(a)[0], transform.psi[0], p))
        assert np.array_equal(canonical(transform.intt(values), p), canonical(a, p))


@pytest.mark.parametrize("n", [64, 8192, 16384, 32768])
def test_worst_case_sums_are_exact(n: int) -> None:
    """Coefficients that meet every matrix entry of one row with its own sign and full size."""
    transform = Ntt(n, ntt_primes(n, 1))
    p = transform.moduli[0]
    left = transform.forward[0][0]
    x = np.repeat(np.sign(left[1]), n // len(left)).reshape(1, n) * bound(p)
    values = canonical(transform.ntt(x), p)
    points = [0, 1, n // 2, n - 1]
    expected = [
        textbook.evaluate(rows_of(x)[0], pow(transform.psi[0], 2 * k + 1, p), p) for k in points
    ]
    assert values[0, points].tolist() == expected


def test_the_known_values_of_1_plus_x_modulo_17() -> None:
    # psi = 9 has the odd powers 9, 9^3 = -2, 9^5 = 8, 9^7 = 2: 1 + X is 10 = -7, -1, 9 = -8, 3.
    transform = Ntt(4, (17,))
    values = transform.ntt(np.array([[1.0, 1.0, 0.0, 0.0]]))
    assert values.tolist() == [[-7.0, -1.0, -8.0, 3.0]]
    # X^3 * X = X^4 = -1.
    x_cubed, x = np.eye(4)[3:], np.eye(4)[1:2]
    product = transform.intt(reduce(transform.ntt(x_cubed) * transform.ntt(x), 17))
    assert product.tolist() == [[-1.0, 0.0, 0.0, 0.0]]


@given(st.data())
@settings(max_examples=20)
def test_leading_axes_are_a_batch(data: st.DataObject) -> None:
    transform = Ntt(8, (17, 97))
    a = data.draw(residues(8, transform.moduli, batch=(2, 3)))
    one_by_one = [[transform.ntt(a[i, j]) for j in range(3)] for i in range(2)]
    p = column(transform.moduli)
    assert np.array_equal(canonical(transform.ntt(a), p), canonical(np.array(one_by_one), p))
    strided = np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0)
    assert np.array_equal(transform.ntt(strided), transform.ntt(a))


def test_a_batch_longer_than_a_block_is_transformed_whole() -> None:
    transform = Ntt(8192, ntt_primes(8192, 1))
    a = np.zeros((40, 1, 8192))  # 40 polynomials of 64 KiB, eight to a block
    a[:, 0, 0] = np.arange(40)
    assert np.array_equal(transform.ntt(a), np.broadcast_to(a[..., :1], a.shape))


def test_the_transform_returns_new_memory_and_leaves_its_argument_alone() -> None:
    transform = Ntt(8, (17, 97))
    a = np.arange(16, dtype=np.float64).reshape(2, 8)
    before = a.copy()
    for function in (transform.ntt, transform.intt):
        out = function(a)
        assert not np.shares_memory(out, a)
        assert np.array_equal(a, before)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_the_number_type_of_the_argument_does_not_cost_a_bit(dtype: type) -> None:
    transform = Ntt(64, ntt_primes(64, 1))
    a = np.random.default_rng(1).integers(-(2**22), 2**22, size=(1, 64)).astype(dtype)
    assert np.array_equal(transform.ntt(a), transform.ntt(a.astype(np.float64)))


@pytest.mark.parametrize("shape", [(8,), (2, 4), (3, 8), (8, 2), (2, 2, 16)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    transform = Ntt(8, (17, 97))
    for function in (transform.ntt, transform.intt):
        with pytest.raises(ParameterError, match=r"expected residues of shape \(\.\.\., 2, 8\)"):
            function(np.zeros(shape))


def test_moduli_without_a_transform_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"p = 1 \(mod 16\), not 19"):
        Ntt(8, (17, 19))
