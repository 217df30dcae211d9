"""Noise flooding: the message stays, the noise tells nothing, the price is what was said."""

import math
from pathlib import Path

import numpy as np
import pytest

from nn import roles
from nn.card import ModelCard
from nn.cli import main
from nn.flooding import _uniform, flood, flooding_exponent
from nn.roles import ENCRYPTION, PUBLIC, SECRET
from test_roles import SHAPE, expected_logits, tiny_network
from yashe import wire
from yashe.bfv import BFV
from yashe.bgv import BGV
from yashe.ciphertext import Ciphertext
from yashe.errors import FormError, KeyMismatchError, NoiseBudgetExhausted, ParameterError
from yashe.keys import SecretKey
from yashe.params import make_params

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


def test_a_switched_product_keeps_its_factor_and_its_message() -> None:
    ct = SCHEME.encrypt([[3, -4], [5, 6]], KEYS.secret)
    ct = SCHEME.relinearize(ct * ct, KEYS.relinearization)
    ct = SCHEME.switch_modulus(ct, PARAMS.k - 2)
    assert ct.factor != 1
    flooded = flood(ct, KEYS.public, BITS)
    assert (flooded.factor, flooded.params.k) == (ct.factor, PARAMS.k - 2)
    assert SCHEME.decrypt(flooded, KEYS.secret)[:, :2].tolist() == [[9, 16], [25, 36]]
    assert (flooded.noise_budget <= SCHEME.noise_budget(flooded, KEYS.secret)).all()


def test_the_noise_is_as_wide_as_was_said() -> None:
    ct = SCHEME.encrypt([[1], [2]], KEYS.secret) @ np.array([[3], [4]])
    exponent = flooding_exponent(ct, BITS)
    # N E 2^(bits - 1) with N = n = 2^10 coefficients and E from the budget: |nu| <= 2^-(budget + 1)
    noise_bits = PARAMS.log2_q - PARAMS.log2_t - float(ct.noise_budget[0]) - 1
    assert exponent == math.ceil(noise_bits + 10 + BITS - 1)
    flooded = flood(ct, KEYS.public, BITS)
    largest = np.abs(noises(flooded)).max() * PARAMS.q / PARAMS.t / 2.0**exponent
    assert 0.98 < largest < 1.02  # 1,024 uniform numbers come within 2 % of the end, but for e^-20
    measured = float(SCHEME.noise_budget(flooded, KEYS.secret)[0])
    predicted = float(flooded.noise_budget[0])
    assert predicted <= measured <= predicted + 3


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
    with pytest.raises(NoiseBudgetExhausted, match="noise flooding"):
        flood(ct, KEYS.public, 140)
    bfv, bfv_keys = BFV(PARAMS), BFV(PARAMS).keygen()
    for other in (ct * ct, bfv.encrypt([1], bfv_keys.secret)):
        with pytest.raises(FormError, match="relinearised ciphertexts of BGV"):
            flood(other, KEYS.public, BITS)
    with pytest.raises(KeyMismatchError, match="this takes a BgvPublicKey or SecretKey"):
        flood(ct, bfv_keys.public, BITS)
    with pytest.raises(KeyMismatchError, match="different keys"):
        flood(ct, SCHEME.keygen().public, BITS)
    for bits in (0, 257):
        with pytest.raises(ParameterError, match=f"1 to 256 bits, not {bits}"):
            flood(ct, KEYS.public, bits)


def test_the_command_line_floods_if_the_keys_leave_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images = tmp_path / "model.npz", tmp_path / "images.npy"
    tiny_network().save(model)
    np.save(images, np.random.default_rng(1).integers(0, 256, (5, 3, 2), dtype=np.uint8))
    plain, flooded = ModelCard.of(tiny_network()), ModelCard.of(tiny_network(), flood_bits=40)
    assert flooded.final_budget_bits > 56 > plain.final_budget_bits
    for card, folder in ((plain, tmp_path / "plain"), (flooded, tmp_path / "flooded")):
        roles.keygen(folder, card, public_key=True)
        sent, reply = tmp_path / "sent", tmp_path / "reply"
        keys = ["--keys", str(folder)]
        assert main(["encrypt", str(images), *keys, "--out", str(sent)]) == 0
        keys = ["--keys", str(folder / PUBLIC), "--out", str(reply), "--flood", "40"]
        capsys.readouterr()
        code = main(["infer", str(model), str(sent), *keys])
        if card is plain:
            assert code == 1
            assert "noise flooding leaves" in capsys.readouterr().err
            assert not reply.exists()
    with reply.open("rb") as file:
        key = wire.load_secret_key(folder / SECRET, SecretKey)
        assert roles.decrypt(file, key, 5).tolist() == expected_logits(tmp_path)
    assert (folder / PUBLIC / ENCRYPTION).exists()
    assert flooded.input_shape == SHAPE
