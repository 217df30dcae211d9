"""The noise formulas of all schemes, term by term, at n = 4, t = 17, q = 97 * 113."""

from math import log, sqrt

import pytest

from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.noise import EVENT_BITS, Bound
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

PARAMS = Params("INSECURE_HAND", 4, (97, 113), (17,), security=None)
UNIT = 17 / (97 * 113)  # t/q
E2 = 3.2**2  # variance of an error
R2 = 1 / 12  # variance of a rounding
S2 = 4 * 2 / 3  # expected squared norm of a ternary polynomial
F2 = 17**2 * S2  # of t times one
DIGITS = 4 * (97**2 + 113**2) / 12 * E2  # variance of sum d_i e_i
LARGEST = log(2 * 2**EVENT_BITS)  # of a squared embedding, against its mean


def expect(bound: Bound, variance: float, order: int) -> None:
    """Compare with t/q times the root of a variance."""
    assert float(bound.deviation) == pytest.approx(UNIT * sqrt(variance), rel=1e-12)
    assert int(bound.order) == order


def test_bounds_of_bfv() -> None:
    scheme = BFV(PARAMS)
    expect(scheme.fresh_bound(public=False), E2 + R2, 0)  # e + r
    expect(scheme.fresh_bound(public=True), E2 + S2 * E2 + S2 * E2 + R2, 1)  # e_0 + e_1 s - e u + r
    expect(scheme.plain_addition_bound(1), 1 / 4, 0)  # |r| <= 1/2
    expect(scheme.plain_addition_bound(2), 1 / 4, 0)
    expect(scheme.switching_bound(), DIGITS, 1)
    # One digit of both primes, with an error, or with the sum of two.
    whole = 4 * (97 * 113) ** 2 / 12 * E2
    expect(scheme.switching_bound(Gadget(2)), whole, 1)
    expect(scheme.switching_bound(Gadget(2, summed=True)), 2 * whole, 1)
    # 113 is spare, and r, at most half of it, times s or s^2 is lost.
    short = 4 * 97**2 / 12 * E2
    expect(scheme.switching_bound(Gadget(spare=1), 1), short + 113**2 / 12 * S2, 1)
    expect(scheme.switching_bound(Gadget(spare=1)), short + 113**2 / 12 * S2 * S2 * LARGEST, 1)


def test_bounds_of_bgv() -> None:
    scheme = BGV(PARAMS)
    expect(scheme.fresh_bound(public=False), E2 + 1 / 4, 0)  # e, and m + t r, at most t/2
    expect(scheme.fresh_bound(public=True), E2 + S2 * E2 + S2 * E2 + 1 / 4, 1)
    expect(scheme.plain_addition_bound(1), 1 / 4, 0)  # |m| <= t/2
    expect(scheme.plain_addition_bound(2), 1 / 4, 0)
    # n coefficients of t/2 that might all have one sign: an embedding of 4 t/2 = sqrt(4) (2 t/2)
    message = PARAMS.plaintext_ring.basis.decompose([[8, 8, 8, 8], [0, 0, 0, 0]])
    added = scheme.plaintext_addition_bound(message, 1)
    assert added.shape == (2,)
    for j in range(2):
        expect(added[j], 4 / 4, 0)
    expect(scheme.switching_bound(), DIGITS, 1)


@pytest.mark.parametrize(
    ("orders", "same"),
    [((0, 0), sqrt(4)), ((1, 0), sqrt(27 / 4)), ((1, 1), 4), ((3, 1), sqrt(6**6 / 4**4 / 2**2))],
)
def test_bounds_of_products_of_bgv(orders: tuple[int, int], same: float) -> None:
    # nu_1 nu_2 q; of phases that may be the same: (a+b)^(a+b) / (a^a b^b), a and b the orders + 1
    x, y = Bound.of(3e-4, orders[0]), Bound.of(5e-4, orders[1])
    for product in (BGV(PARAMS).product_bound(x, y), BGV(PARAMS).product_bound(y, x)):
        assert float(product.deviation) == pytest.approx(same * 2 * 15e-8 * 97 * 113, rel=1e-12)
        assert int(product.order) == sum(orders) + 1


@pytest.mark.parametrize("kind", [BFV, BGV, YASHE])
@pytest.mark.parametrize("gadget", [Gadget(), Gadget(3), Gadget(2, spare=4)])
def test_the_largest_q_loses_no_bound(
    kind: type[BFV] | type[BGV] | type[YASHE], gadget: Gadget
) -> None:
    # The squares of D_i / q and of P / q are below the smallest float: 0.
    params = make_params("INSECURE_LARGE", 16, 257, security=None, log2_q=1000)
    scheme = kind(params)
    keys = scheme.keygen(bytes(32))
    moved = scheme.rotation_keys(keys.secret, [1], bytes(32), gadget)
    ct = scheme.rotate(scheme.encrypt([1, 2], keys.encryption, bytes(32)), 1, moved)
    margin = float(scheme.noise_budget(ct, keys.secret) - ct.noise_budget)
    assert 0 < margin < 8


def test_hopeless_noise_of_bgv_overflows_no_float() -> None:
    x = Bound.of(2.0**300, 1023)
    product = BGV(PARAMS).product_bound(x, x)
    assert float(product.deviation) == pytest.approx(2.0**400)
    assert product.budget(4) < -400


def test_bounds_of_yashe() -> None:
    scheme = YASHE(PARAMS)
    expect(scheme.fresh_bound(), (1 + F2) * (E2 + R2) + F2 * E2, 1)  # f (e + r) + t g u
    expect(scheme.plain_addition_bound(1), (1 + F2) / 4, 1)  # f r
    expect(scheme.plain_addition_bound(2), (1 + F2) ** 2 / 4, 3)  # f^2 r
    expect(scheme.switching_bound(), (1 + 2 * F2) * DIGITS, 1)  # f sum d e + t g sum d s


@pytest.mark.parametrize(("scheme", "secret"), [(BFV(PARAMS), S2), (YASHE(PARAMS), F2)])
def test_bounds_of_products(scheme: BFV | YASHE, secret: float) -> None:
    # nu_1 w_2 + nu_2 w_1 + nu_1 nu_2, w = t (uniform in [-1/2, 1/2]) (1, secret), and rounding
    phase = sqrt(4 * 17**2 * (1 + secret) / 12)
    rounding = UNIT * sqrt((1 + secret + secret**2 * LARGEST) / 12)
    x, y = Bound.of(3e-9, 1), Bound.of(5e-9, 1)
    product = scheme.product_bound(x, y)
    expected = phase * 8e-9 + 2 * 15e-18 + rounding
    assert float(product.deviation) == pytest.approx(expected, rel=1e-12)
    assert int(product.order) == 3
