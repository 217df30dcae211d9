"""A program is a short list of steps; who runs it at another level, or out of turn, is refused."""

import numpy as np
import pytest

from nn.inference.encrypted import encrypt_images
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.planning.program import Report, program_of
from nn.planning.proofs import Forecast
from nn.planning.steps import (
    LayerStep,
    RelinearizeStep,
    SquareStep,
    SumsStep,
    SwitchStep,
    hidden_tiles,
)
from yashe.errors import KeyMismatchError, ParameterError
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

PARAMS = make_params("INSECURE_PROGRAM", 64, 2**20, security=None, log2_q=300)
SCHEME = BGV(PARAMS)
KEYS = SCHEME.keygen(bytes(32))


def network() -> Sequential:
    """Two convolutions, of which the second acts on products, and a pool that does."""
    layers = [Conv2D(2, 2), Square(), Conv2D(1, 2), Square(), MeanPool(2), Flatten(), Dense(2)]
    model = Sequential(layers, (4, 4, 1), info=ModelInfo(levels=1))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = np.ones(value.shape, dtype=np.int64)
    return model


def test_a_program_has_the_steps_that_are_needed_and_no_others() -> None:
    program = program_of(network(), SCHEME)
    kinds = [type(step) for step in program.steps]
    assert kinds == [
        LayerStep, SquareStep, LayerStep, RelinearizeStep, SquareStep, LayerStep, LayerStep,
        LayerStep, RelinearizeStep,
    ]  # fmt: skip
    assert [step.what for step in program.steps][:3] == [
        "conv2d, to 3 x 3 x 2", "18 squares", "conv2d, to 2 x 2 x 1",
    ]  # fmt: skip
    assert [step.last for step in program.steps] == [0, 1, 2, 2, 3, 4, 5, 6, 6]


def test_the_mnist_network_is_three_steps_or_four() -> None:
    program = make_plan(pretrained("cryptonets"), relinearize=True).program
    assert [type(step) for step in program.steps] == [
        SumsStep, RelinearizeStep, SumsStep, RelinearizeStep
    ]  # fmt: skip
    program = make_plan(pretrained("cryptonets")).program
    assert [type(step) for step in program.steps] == [SumsStep, SwitchStep, SumsStep]
    assert [step.degree for step in program.steps] == [1, 2, 2]
    assert str(program).splitlines()[2].split() == [
        "server", "845", "units,", "squared,", "to", "100", "sums", "9", "100",
        f"{program.forecasts()[1].noise_budget.min():.1f}",
    ]  # fmt: skip


def test_ciphertexts_at_another_level_or_of_another_scheme_are_refused() -> None:
    model = network()
    program = program_of(model, SCHEME)
    ct = encrypt_images(SCHEME, model, np.ones((2, 4, 4, 1), dtype=np.int64), KEYS.secret)
    low = SCHEME.switch_modulus(ct, PARAMS.k - 1)
    bfv = BFV(PARAMS)
    foreign = bfv.encrypt(np.ones((4, 4, 1, 2), dtype=np.int64), bfv.keygen().secret)
    for x in (low, foreign):
        with pytest.raises(ParameterError, match=r"the step 'conv2d, .*' is for BGV INSECURE_PRO"):
            program.run(x, KEYS.relinearization)
    with pytest.raises(ParameterError, match=r"takes shape \(3, 3, 2\), got \(4, 4, 1\)"):
        program.run(ct, KEYS.relinearization, start=1)


@pytest.mark.parametrize(
    "key", [KEYS.secret, KEYS.public, None, "key"], ids=lambda x: type(x).__name__
)
def test_what_is_no_relinearisation_key_is_refused_by_its_kind(key: object) -> None:
    model = network()
    ct = encrypt_images(SCHEME, model, np.ones((2, 4, 4, 1), dtype=np.int64), KEYS.secret)
    with pytest.raises(KeyMismatchError, match="takes a BgvRelinearizationKey, but got a"):
        program_of(model, SCHEME).run(ct, key)


def test_a_run_may_stop_and_go_on_at_any_step() -> None:
    model, report = network(), Report()
    program = program_of(model, SCHEME)
    ct = encrypt_images(SCHEME, model, np.ones((2, 4, 4, 1), dtype=np.int64), KEYS.secret)
    expected = SCHEME.decrypt(program.run(ct, KEYS.relinearization, report), KEYS.secret)
    assert [step.what for step in report.steps] == [step.what for step in program.steps]
    x = ct
    for number, step in enumerate(program.steps):
        assert np.array_equal(
            SCHEME.decrypt(program.run(x, KEYS.relinearization, start=number), KEYS.secret),
            expected,
        )
        x = step.run(x, KEYS.relinearization)
        assert x.params.k == step.level
        assert x.shape == step.shape


def test_steps_that_do_all_at_once_are_told_as_well() -> None:
    model, shares = network(), list[float]()
    ct = encrypt_images(SCHEME, model, np.ones((2, 4, 4, 1), dtype=np.int64), KEYS.secret)
    program_of(model, SCHEME).run(ct, KEYS.relinearization, Report(progress=shares.append))
    assert sum(shares) == pytest.approx(1)


def test_a_switch_adds_to_three_parts_what_was_forecast_for_three() -> None:
    model = network()
    ct = encrypt_images(SCHEME, model, np.ones((2, 4, 4, 1), dtype=np.int64), KEYS.secret)
    forecast = Forecast(SCHEME, SCHEME.fresh_bound(False).broadcast((4, 4, 1)))
    square = SCHEME.square(ct, PARAMS.k)
    for x, found in ((ct, forecast), (square, forecast * forecast)):
        primes = SCHEME.fewest_primes(x.bound, x.degree)
        expected = found.switched(primes).noise_budget
        assert np.allclose(SCHEME.switch_modulus(x, primes).noise_budget, expected, atol=1e-9)


@pytest.mark.parametrize("scheme", [SCHEME, BFV(PARAMS), YASHE(PARAMS)], ids=lambda x: x.name)
def test_a_constant_adds_to_a_square_what_was_forecast(scheme) -> None:
    """In YASHE' that is f^2 r, as f^2 takes the place of f: more than it adds to a fresh one."""
    keys = scheme.keygen(bytes(32))
    ct = scheme.encrypt(np.ones((2, 1), dtype=np.int64), keys.encryption, bytes(32))
    fresh = Forecast(scheme, ct.bound)
    constants = np.array([5, 0])
    for x, found in ((ct, fresh), (scheme.square(ct, PARAMS.k), fresh * fresh)):
        added = scheme.plain_addition_bound(x.degree)
        expected = (x.bound.deviation + added.deviation * (constants != 0)).tolist()
        assert (x + constants).bound.deviation.tolist() == expected
        assert (found + constants).bound.deviation.tolist() == expected


def test_work_on_three_parts_is_counted_as_that() -> None:
    layers = [Flatten(), Dense(3), Square(), Dense(2), Square(), Dense(2)]
    model = Sequential(layers, (2, 2, 1), info=ModelInfo(levels=1))
    steps = program_of(model, SCHEME, relinearize=False).steps
    assert [type(step) for step in steps] == [LayerStep, SumsStep, SwitchStep, SumsStep]
    assert [step.work() for step in steps] == [
        {},
        {"multiply_add": 4 * 3, "output": 3, "square": 3, "weigh": 3 * 2, "sum": 2},
        {"transform": 2 * 3 * PARAMS.k},  # of two sums
        # (a, b, c)^2 is six products of two, where (a, b)^2 is three; and five parts, not three.
        {"square": 2 * 6 // 3, "weigh": 2 * 2 * 5 // 3, "sum": 2},
    ]


@pytest.mark.parametrize(("width", "count"), [(1, 8), (2, 6), (3, 5)])
def test_relinearisation_is_counted_by_its_digits(width: int, count: int) -> None:
    """Of 7 primes, 7, 4 or 3 digits: 8 (4 + 3) / (7 + 3) is 5.6, and 8 (3 + 3) / (7 + 3) is 4.8."""
    params = make_params("INSECURE_DIGITS", 64, 2**10, security=None, log2_q=160)
    step = RelinearizeStep((Dense(8),), 0, (8,), BGV(params), params.k, degree=2, width=width)
    assert (params.k, step.work()) == (7, {"relinearize": count})


@pytest.mark.parametrize("units", [1, 2, 3, 4, 100])
def test_tiles_are_small_and_have_all_units_with_their_weights_and_biases(units: int) -> None:
    rng = np.random.default_rng(0)
    for first, shape in ((Dense(5), (4,)), (Conv2D(2, 2), (3, 3, 1)), (Square(), (4,))):
        Sequential([first], shape, info=ModelInfo(levels=1))  # which tells the layer its shapes
        for name, value in first.parameters.items():
            first.parameters[name] = rng.integers(-9, 9, value.shape)
        x, seen = rng.integers(0, 9, shape), list[int]()
        expected = first.forward(x).ravel() if first.parameters else x
        for tile in hidden_tiles(first, units):
            assert 0 < tile.outputs.size <= units
            found = x.ravel()[tile.inputs] @ tile.weight + tile.bias
            assert np.array_equal(found, expected[tile.outputs])
            seen += tile.outputs.ravel().tolist()
        assert sorted(seen) == list(range(expected.size))
