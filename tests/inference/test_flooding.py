"""Noise flooding: the message stays, the noise tells nothing, the price is what was said."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Matrix
from test_replies import said

from nn.commands.main import main
from nn.inference.flooding import (
    Flooding,
    _uniform,
    flood,
    flooding_exponent,
    needed_spare,
    zeros_bound,
)
from nn.planning.descent import promised_bits
from nn.service import keyfiles, roles
from nn.service.card import ModelCard
from nn.service.keyfiles import ENCRYPTION, PUBLIC, SECRET
from tiny_roles import SHAPE, expected_logits, tiny_network
from yashe import wire
from yashe.arithmetic.residues import reduce
from yashe.arithmetic.rns import centred
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import SecretKey
from yashe.ciphertexts.noise import tail_factor
from yashe.errors import FormError, KeyMismatchError, NoiseBudgetExhausted, ParameterError
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

PARAMS = make_params("INSECURE_FLOODED", 1024, 200, security=None, log2_q=160)
SCHEME = BGV(PARAMS)
KEYS = SCHEME.keygen()
WEIGHTS = np.array([5, -3, 7], dtype=np.int64)
BITS = 20


def noises(ct: Ciphertext) -> np.ndarray:
    """The noise of one ciphertext per row, the phase relative to q; (size, n)."""
    found = []
    for j in range(ct.size):
        phase = SCHEME.phase(ct, int(ct.index.flat[j]), KEYS.secret)
        found.append([float(value / PARAMS.q) for value in np.asarray(phase.integers())])
    return np.array(found)


def test_flooded_ciphertexts_hold_the_same_messages() -> None:
    values = np.arange(6).reshape(3, 2, 1) * [[[1, -1, 2]]]
    ct = SCHEME.encrypt(values, KEYS.secret)
    flooded = flood(ct, KEYS.public, BITS)
    assert flooded.shape == ct.shape
    assert flooded.public_seed is None
    assert np.array_equal(SCHEME.decrypt(flooded, KEYS.secret), SCHEME.decrypt(ct, KEYS.secret))


def test_a_declared_range_stays_what_it_was() -> None:
    ct = SCHEME.encrypt([[3], [-4]], KEYS.secret, within=(-4, 3))
    flooded = flood(ct[::-1], KEYS.public, BITS)
    assert (flooded.within.low.tolist(), flooded.within.high.tolist()) == ([-4, -4], [3, 3])
    assert SCHEME.decrypt(flooded, KEYS.secret)[:, 0].tolist() == [-4, 3]


def test_a_switched_product_keeps_its_factor_and_its_message() -> None:
    ct = SCHEME.encrypt([[3, -4], [5, 6]], KEYS.secret)
    ct = SCHEME.relinearize(ct * ct, KEYS.relinearization)
    ct = SCHEME.switch_modulus(ct, PARAMS.k - 2)
    assert ct.factor != 1
    flooded = flood(ct, KEYS.public, BITS)
    assert (flooded.factor, flooded.params.k) == (ct.factor, PARAMS.k - 2)
    assert SCHEME.decrypt(flooded, KEYS.secret)[:, :2].tolist() == [[9, 16], [25, 36]]
    assert (flooded.noise_budget <= SCHEME.noise_budget(flooded, KEYS.secret)).all()


def test_the_noise_fills_the_room_and_not_more() -> None:
    ct = SCHEME.encrypt([[1], [2]], KEYS.secret) @ np.array([[3], [4]])
    exponent = flooding_exponent(PARAMS)
    # log2 q - log2 t, less the budget that is promised, the tail of a Gaussian, and 1 for 2 max
    room = PARAMS.log2_q - PARAMS.log2_t - promised_bits(1024) - math.log2(tail_factor(1024, 1)) - 1
    assert exponent == math.floor(room)
    flooded = flood(ct, KEYS.public, BITS)
    largest = np.abs(noises(flooded)).max() * PARAMS.q / PARAMS.t / 2.0**exponent
    assert 0.98 < largest < 1.02  # 1,024 uniform numbers come within 2 % of the end, but for e^-20
    assert float(flooded.noise_budget[0]) == pytest.approx(promised_bits(1024))
    measured = float(SCHEME.noise_budget(flooded, KEYS.secret)[0])
    assert promised_bits(1024) < measured < promised_bits(1024) + 5


@given(st.lists(st.integers(-31, 31).filter(bool), min_size=3, max_size=3), st.integers(1, 30))
def test_nothing_that_is_written_about_flooded_noise_depends_on_the_weights(
    weights: list[int], bits: int
) -> None:
    tight = BGV(make_params("INSECURE_TIGHT", 1024, 200, security=None, log2_q=50 + bits))
    keys = tight.keygen(bytes(32))
    inputs = tight.encrypt([[0], [0], [0]], keys.secret, bytes(32))
    flooded = flood(inputs @ np.array(weights)[:, None], keys.public, bits)
    expected = flood(inputs @ WEIGHTS[:, None], keys.public, bits)
    assert flooded.bound.deviation.tobytes() == expected.bound.deviation.tobytes()
    assert flooded.bound.order.tobytes() == expected.bound.order.tobytes()


def distance(one: np.ndarray, two: np.ndarray) -> float:
    """The Kolmogorov-Smirnov statistic: the largest difference of two empirical distributions."""
    values = np.sort(np.concatenate([one, two]))
    shares = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (one, two)]
    return float(np.abs(shares[0] - shares[1]).max())


def test_flooded_noise_of_small_and_of_large_weights_has_one_distribution() -> None:
    inputs = SCHEME.encrypt([[0], [0], [0]], KEYS.secret, bytes(32))

    def sample(weights: list[int], flooded: bool) -> np.ndarray:
        ct = inputs @ np.array(weights)[:, None]
        seeds = [bytes([seed, *weights_seed(weights)]) for seed in range(8)]
        floods = [flood(ct, KEYS.public, BITS, seed) for seed in seeds]
        found = np.concatenate([noises(each)[0] for each in floods]) if flooded else noises(ct)[0]
        return np.asarray(found * PARAMS.q / PARAMS.t)

    small, large = [1, -1, 1], [31, -31, 30]
    # 1.95 sqrt(2/N) is exceeded once in a thousand times; the seeds make it always or never.
    limit = 1.95 * math.sqrt(2 / 8192)
    assert distance(sample(small, True), sample(large, True)) < limit
    assert distance(sample(small, False), sample(large, False)) > 10 * limit
    spread = [sample(weights, True).std() for weights in (small, large)]
    assert spread[0] == pytest.approx(spread[1], rel=0.03)
    assert spread[0] == pytest.approx(2.0 ** flooding_exponent(PARAMS) / math.sqrt(3), rel=0.03)


def weights_seed(weights: list[int]) -> bytes:
    """31 bytes that differ for different weights, as the randomness of two servers does."""
    return hashlib.sha256(repr(weights).encode()).digest()[:31]


def test_flooded_replies_of_two_networks_at_real_parameters_cannot_be_told_apart(
    tmp_path: Path,
) -> None:
    """The budgets that the key's owner measures, and all that is written, by `roles.classify`."""
    networks = [tiny_network(squares=1), tiny_network(squares=1)]
    networks[1].layers[1].parameters["weight"][...] *= 7
    card = ModelCard.of(networks[1], flood_bits=40)
    assert card.params.n == 8192
    scheme = BGV(card.params)
    keys = scheme.keygen(bytes(32))
    pixels = np.random.default_rng(5).integers(0, 4, (5, *SHAPE), dtype=np.int64)
    found, budgets, headers = [], [], []
    for model in networks:
        path = tmp_path / "images"
        with path.open("wb") as file:
            roles.encrypt(file, card, keys.secret, pixels, 3)
        with path.open("rb") as source, (tmp_path / "reply").open("wb") as target:
            wish = Flooding(keys.public, 40)
            roles.classify(source, target, model, keys.relinearization, flooding=wish)
        with (tmp_path / "reply").open("rb") as file:
            assert np.array_equal(roles.decrypt(file, card, keys.secret, 5), model.forward(pixels))
        reply = wire.load(tmp_path / "reply", Ciphertext)
        headers.append(said(reply))
        budgets.append(scheme.noise_budget(reply, keys.secret))
        phase = scheme.level(reply.params.k).phase(reply, 0, keys.secret)
        found.append(np.array([float(x / reply.params.q) for x in np.asarray(phase.integers())]))
    assert headers[0] == headers[1]
    # The largest of 8,192 uniform numbers is within 1/100 of the end; the rounding of the switch,
    # with s^2 in it, whatever is rounded, adds some more: 2^0.1 is 7/100.
    assert np.abs(budgets[0] - budgets[1]).max() < 0.1
    assert distance(found[0], found[1]) < 1.95 * math.sqrt(2 / 8192)


def test_before_the_flood_the_noise_shows_the_weights_and_after_it_does_not() -> None:
    inputs = SCHEME.encrypt([[0], [0], [0]], KEYS.secret)
    reply = inputs @ WEIGHTS[:, None]
    known, seen = noises(inputs), noises(reply)[0]
    solved = np.linalg.lstsq(known.T, seen, rcond=None)[0]
    assert np.allclose(solved, WEIGHTS, atol=0.01)
    hidden = noises(flood(reply, KEYS.public, BITS))[0]
    for own in known:
        # 1,024 independent numbers: 6 deviations of 1/32
        assert abs(np.corrcoef(own, hidden)[0, 1]) < 6 / 32
    solved = np.linalg.lstsq(known.T, hidden, rcond=None)[0]
    assert np.abs(solved - WEIGHTS).max() > 1000


def test_three_parts_hide_the_weights_that_two_of_them_would_show() -> None:
    """c_2 of sum_j v_j h_j^2 is sum_j v_j (c_1 of h_j)^2, without noise: a system for v."""
    inputs = SCHEME.encrypt([[1], [2], [3]], KEYS.secret)
    ct = (inputs * inputs) @ WEIGHTS[:, None]
    assert ct.degree == 2

    def solved(c_2: np.ndarray) -> list[int]:
        p, known = PARAMS.moduli[0], inputs.rows[:, 1, 0] ** 2
        matrix = Matrix(known[:, :3].T.astype(int).tolist())
        found = matrix.inv_mod(p) * Matrix(c_2[:3].astype(int).tolist())
        return [centred(int(x) % p, p) for x in found]

    assert solved(ct.rows[0, 2, 0]) == WEIGHTS.tolist()
    flooded = flood(ct, KEYS.public, BITS)
    assert flooded.degree == 2
    assert solved(flooded.rows[0, 2, 0]) != WEIGHTS.tolist()
    assert SCHEME.decrypt(flooded, KEYS.secret)[0, 0] == WEIGHTS @ [1, 4, 9]
    again = flood(ct, KEYS.public, BITS)
    assert not any(
        np.array_equal(a, b) for a, b in zip(flooded.rows[0], again.rows[0], strict=True)
    )
    # What is added to c_1 is not what is added to c_0 or c_2: each has randomness of its own.
    added = [reduce(x.rows[0] - ct.rows[0], PARAMS.ring.moduli) for x in (flooded, again)]
    assert not any(np.array_equal(a[i], a[j]) for a in added for i, j in ((0, 1), (0, 2), (1, 2)))
    # If one encryption of zero served twice, this pair would be one, and c_1 would be bare.
    pair = np.stack([reduce(added[0][1] - added[0][2], PARAMS.ring.moduli), added[0][2]])
    with pytest.raises(NoiseBudgetExhausted, match="noise budget of 0.0 bits"):
        SCHEME.decrypt(replace(inputs[:1], store=pair[None], public_seed=None), KEYS.secret)


def test_the_noise_of_three_parts_fills_the_room_and_not_more() -> None:
    """s times an encryption of zero takes a part of the room, which shows where there is little."""
    ct = SCHEME.encrypt([[3]], KEYS.secret)
    flooded = flood(ct * ct, KEYS.public, BITS)
    exponent = flooding_exponent(PARAMS, 2)
    largest = np.abs(noises(flooded)).max() * PARAMS.q / PARAMS.t / 2.0**exponent
    assert 0.98 < largest < 1.02
    assert float(flooded.noise_budget[0]) == pytest.approx(promised_bits(1024))
    measured = float(SCHEME.noise_budget(flooded, KEYS.secret)[0])
    assert promised_bits(1024) < measured < promised_bits(1024) + 5
    little = make_params("INSECURE_LITTLE", 1024, 200, security=None, log2_q=33)
    assert flooding_exponent(little) >= 0
    with pytest.raises(NoiseBudgetExhausted, match="has no room for noise flooding"):
        flooding_exponent(little, 2)


def test_the_zeros_of_a_flood_are_as_noisy_as_predicted() -> None:
    """s times an encryption of zero, measured: below its bound, and not a thousandth of it."""
    zero = SCHEME.encrypt(np.zeros((8, 1), dtype=np.int64), KEYS.public)
    rows = np.zeros((8, 3, *zero.rows.shape[2:]))
    rows[:, 1:] = zero.rows
    bound = zeros_bound(SCHEME, 2)
    times_s = zero.derive(rows, bound.broadcast((8,)), (8,), "s times zero", 2)
    gap = SCHEME.noise_budget(times_s, KEYS.secret) - times_s.noise_budget
    assert (gap > 0).all()
    assert (gap < 10).all()
    assert (SCHEME.decrypt(times_s, KEYS.secret) == 0).all()


def test_two_floods_share_nothing_but_one_seed_gives_one() -> None:
    ct = SCHEME.encrypt([1], KEYS.secret)
    one, two = flood(ct, KEYS.public, BITS), flood(ct, KEYS.public, BITS)
    assert not np.array_equal(one.rows[0, 0], two.rows[0, 0])
    assert not np.array_equal(one.rows[0, 1], ct.rows[0, 1])  # c_1 is fresh as well
    seed = bytes(32)
    rows = [flood(ct, KEYS.public, BITS, seed).rows for _ in range(2)]
    assert np.array_equal(rows[0], rows[1])


def test_wide_numbers_are_uniform_from_end_to_end() -> None:
    for exponent in (0, 3, 7, 8, 60):
        found = _uniform(bytes(32), f"test/{exponent}", 4000, exponent)
        low = 2**exponent
        assert -low <= min(found) < -0.99 * low
        assert 0.99 * low - 1 <= max(found) < low
    eight = _uniform(bytes(32), "test", 80_000, 3).astype(np.int64)
    counts = np.bincount(eight + 8, minlength=16)
    assert np.abs(counts - 5000).max() < 6 * math.sqrt(5000)


def test_flooding_is_refused_where_it_cannot_be() -> None:
    ct = SCHEME.encrypt([1], KEYS.secret)
    with (
        noise.unchecked(),  # opens no way around it
        pytest.raises(NoiseBudgetExhausted, match=r"2\^-140 was asked for: the keys need \d"),
    ):
        flood(ct, KEYS.public, 140)
    small = make_params("INSECURE_NO_ROOM", 1024, 2**20, security=None, log2_q=31)
    with pytest.raises(NoiseBudgetExhausted, match="has no room for noise flooding"):
        flooding_exponent(small)
    bfv, bfv_keys = BFV(PARAMS), BFV(PARAMS).keygen()
    with pytest.raises(FormError, match="ciphertexts of BGV are flooded"):
        flood(bfv.encrypt([1], bfv_keys.secret), KEYS.public, BITS)
    for key in (bfv_keys.public, KEYS.secret, KEYS.relinearization, None):
        with pytest.raises(KeyMismatchError, match="this takes a BgvPublicKey, but got a"):
            flood(ct, key, BITS)
        with pytest.raises(KeyMismatchError, match="this takes a BgvPublicKey, but got a"):
            Flooding(key, BITS)
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        flood(ct, SCHEME.keygen().public, BITS)
    for bits in (0, 257, 40.0, "a", None, True):
        with pytest.raises(ParameterError, match=f"number from 1 to 256, not {bits!r}"):
            flood(ct, KEYS.public, bits)
        with pytest.raises(ParameterError, match=f"number from 1 to 256, not {bits!r}"):
            Flooding(KEYS.public, bits)


@settings(max_examples=15)
@given(st.integers(1, 100), st.integers(1, 10))
def test_the_spare_that_is_planned_for_flooding_is_what_it_needs(bits: int, count: int) -> None:
    ct = SCHEME.encrypt(np.zeros((count, 1), dtype=np.int64), KEYS.secret)
    needed = noise.least_budget(1024) + needed_spare(bits, count * 1024, 1024)

    def leaving(budget: float) -> Ciphertext:
        return replace(ct, bound=ct.bound * 2.0 ** (float(ct.noise_budget[0]) - budget))

    assert flood(leaving(needed), KEYS.public, bits).shape == (count,)
    with pytest.raises(NoiseBudgetExhausted, match="more bits of noise budget"):
        flood(leaving(needed - 1.2), KEYS.public, bits)


def test_the_command_line_floods_if_the_keys_leave_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = tmp_path / "model.npz", tmp_path / "images.npy"
    tiny_network().save(model)
    np.save(images, np.random.default_rng(1).integers(0, 256, (5, 3, 2), dtype=np.uint8))
    plain, flooded = ModelCard.of(tiny_network()), ModelCard.of(tiny_network(), flood_bits=40)
    assert flooded.params.log2_q > plain.params.log2_q + 50
    for card, folder in ((plain, tmp_path / "plain"), (flooded, tmp_path / "flooded")):
        keyfiles.keygen(folder, card, public_key=True)
        sent, reply = tmp_path / "sent", tmp_path / "reply"
        keys = ["--keys", str(folder)]
        assert main(["encrypt", str(images), *keys, "--out", str(sent)]) == 0
        keys = ["--keys", str(folder / PUBLIC), "--out", str(reply), "--flood", "40"]
        capsys.readouterr()
        code = main(["infer", str(model), str(sent), *keys])
        if card is plain:
            assert code == 1
            assert "bits to spare, leaves a noise budget" in capsys.readouterr().err
            assert not reply.exists()
    (folder / PUBLIC / ENCRYPTION).rename(folder / "elsewhere.key")
    assert main(["infer", str(model), str(sent), *keys]) == 1
    assert "'cryptonets keygen --flood 40' makes it, and leaves room" in capsys.readouterr().err
    (folder / "elsewhere.key").rename(folder / PUBLIC / ENCRYPTION)
    with reply.open("rb") as file:
        key = wire.load_secret_key(folder / SECRET, SecretKey)
        assert roles.decrypt(file, flooded, key, 5).tolist() == expected_logits(tmp_path)
    assert (folder / PUBLIC / ENCRYPTION).exists()
    assert flooded.input_shape == SHAPE
