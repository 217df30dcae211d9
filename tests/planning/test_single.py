"""One image at once, encrypted: right in every logit, and as noisy as planned, at most."""

from dataclasses import replace
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.data.sets import load_digits, load_mnist
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.inference.split import join
from nn.networks.layers import Conv2D, Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.packing.network import PackedNetwork
from nn.packing.stages import PackingError
from nn.planning import packed
from nn.planning.calibrate import KINDS, Calibration
from nn.planning.middle import RepeatStep, SquareOnceStep
from nn.planning.packed import (
    AnswerStep,
    BiasStep,
    GatherStep,
    TapsStep,
    TwoPartsStep,
    WeighStep,
)
from nn.planning.plan import Plan, make_plan
from nn.planning.single import LARGEST_DIGIT, Levels, Search, packed_program, skewed
from nn.training.quantize import quantize_pixels
from strategies_networks import images, insecure_params_for, networks
from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.parallel import available_cores
from yashe.arithmetic.primes import ntt_primes
from yashe.arithmetic.residues import bound
from yashe.ciphertexts.gadgets import Gadget
from yashe.ciphertexts.slots import interpolate
from yashe.errors import EncodingError, NoiseBudgetExhausted, ParameterError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV


def classified(plan, image):
    """The logits of one image (1, ...), encrypted, joined over the plan's runs."""
    parts = []
    for run in plan.runs:
        scheme = BGV(run.params)
        keys = scheme.keygen(bytes(32))
        ct = encrypt_images(scheme, run, image, keys.secret)
        found = infer(scheme, run, ct, run.server_keys(keys))
        assert run.final_budget_bits <= float(scheme.noise_budget(found, keys.secret).min())
        reply = reply_of(scheme, found)
        parts.append(decrypt_logits(scheme, reply, keys.secret, 1, run))
    return join(parts, [run.params.t for run in plan.runs])


def deep_network() -> Sequential:
    """A network of four matrices in a row."""
    deep = [Flatten(), Dense(1), Square(), Dense(2), Square(), Dense(2), Square(), Dense(2)]
    network = Sequential(deep, (2, 2, 1), info=ModelInfo(levels=1))
    for layer in network.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = np.ones(value.shape, dtype=np.int64)
    return network


@settings(max_examples=15)
@given(data=st.data())
def test_encrypted_logits_are_those_of_the_integers(data: st.DataObject) -> None:
    model = data.draw(networks())
    image = data.draw(images(model, 1))
    try:
        plan = make_plan(model, insecure_params_for(model, 64), mode="single")
    except PackingError:
        return
    assert np.array_equal(classified(plan, image), model.forward(image))


@pytest.mark.parametrize(
    "layers",
    [
        [Flatten(), Dense(3), Square(), Dense(5), Square(), Dense(2)],
        [Conv2D(2, 1), Square(), Flatten(), Dense(5), Square(), Dense(3), Square(), Dense(3)],
    ],
)
def test_three_matrices_in_a_row_are_right_and_as_noisy_as_planned(layers) -> None:
    plan = toy(layers, 3)
    assert plan.packing.between == (layers[-3].units,)
    program, image = plan.program, np.arange(4).reshape(1, 2, 2, 1) % 2
    scheme = BGV(plan.params)
    keys = scheme.keygen(bytes(32))
    server = plan.server_keys(keys)
    assert set(program.keys.rotations[0]) >= {1, *program.network.middle[0].rotations}
    x = encrypt_images(scheme, plan, image, keys.secret)
    for step, forecast in zip(program.steps, program.forecasts()[1:], strict=True):
        x = step.run(x, server)
        assert np.allclose(x.noise_budget, forecast.noise_budget, rtol=0, atol=1e-9)
        assert x.shape == forecast.shape
        assert (scheme.noise_budget(x, keys.secret) >= x.noise_budget).all()
    assert np.array_equal(classified(plan, image), program.model.forward(image))


@pytest.fixture(scope="module")
def digits():
    """The plan of the digits network, and its first test images."""
    model, data = pretrained("digits"), load_digits()
    pixels = quantize_pixels(data.test_images[:2], data.pixel_max, model.levels)
    return model, make_plan(model, mode="single"), pixels


def test_the_digits_network_classifies_one_image_at_once(digits) -> None:
    model, plan, pixels = digits
    assert (plan.mode, len(plan.runs), plan.params.n, plan.params.security) == (
        "single", 2, 8192, 128,
    )  # fmt: skip
    assert plan.program.keys.levels == Levels(8, 4, Gadget(4), 0)
    assert np.array_equal(classified(plan, pixels[1:]), model.forward(pixels[1:]))
    assert plan.steps[0].shape == (9,)
    assert plan.steps[-1].shape == (1,)
    assert "one image, in each of 2 runs" in str(plan)


def test_noise_is_as_predicted_or_less_and_not_much_less(digits) -> None:
    """Step after step. What is added up is not as dependent as the bounds have to assume."""
    _, plan, pixels = digits
    scheme, report = BGV(plan.params), []
    keys = scheme.keygen(bytes(32))
    x, server = encrypt_images(scheme, plan, pixels[:1], keys.secret), plan.server_keys(keys)
    forecasts = plan.program.forecasts()
    for step, forecast in zip(plan.program.steps, forecasts[1:], strict=True):
        x = step.run(x, server)
        measured = scheme.noise_budget(x, keys.secret)
        assert np.allclose(x.noise_budget, forecast.noise_budget)  # the run knows no other bound
        report.append(float((measured - forecast.noise_budget).min()))
    assert min(report) >= 0
    assert max(np.diff([0, *report])) < 13, report
    assert report[-1] < 20, report


def test_too_little_noise_budget_is_refused_before_anything_is_encrypted(digits) -> None:
    model, plan, _ = digits
    with pytest.raises(NoiseBudgetExhausted, match="no parameters at 128 bits .* carry one image"):
        make_plan(model, mode="single", spare_bits=400)
    joint = replace(plan.params, plaintext_moduli=tuple(run.params.t for run in plan.runs))
    lower = replace(joint, moduli=joint.moduli[:5])
    with pytest.raises(NoiseBudgetExhausted, match="carry one image at once"):
        make_plan(model, lower, mode="single")
    assert make_plan(model, joint, mode="single").params.moduli == joint.moduli


def test_what_a_small_ring_has_no_slots_for_takes_a_larger_one_or_too_much_noise() -> None:
    model = Sequential([Flatten(), Dense(40)], (64, 64, 1), info=ModelInfo(levels=1))
    for name, value in model.layers[1].parameters.items():
        model.layers[1].parameters[name] = np.ones(value.shape, dtype=np.int64)
    assert make_plan(model, mode="single").params.n == 8192
    with pytest.raises(NoiseBudgetExhausted, match="no parameters at 128 bits"):
        make_plan(model, mode="single", spare_bits=400)


def test_levels_go_down_and_there_is_a_key_for_every_rotation(digits) -> None:
    _, plan, _ = digits
    levels = [step.level for step in plan.steps]
    assert levels == sorted(levels, reverse=True)
    keys = plan.server_keys(BGV(plan.params).keygen(bytes(32)))
    layout = plan.program.network.layout
    count = len(keys.fine.exponents) + len(keys.coarse.exponents)
    assert count == (layout.turns > 1) + sum(map(len, layout.folds))


@pytest.fixture
def transformed(monkeypatch) -> list[tuple[tuple[int, ...], int]]:
    """The moduli of every transform that is done, and of how many polynomials it is."""
    done = []
    for name in ("evaluate", "interpolate"):
        original = getattr(Ntt, name)

        def noted(self, x, primes, out, original=original) -> None:
            done.append((self.moduli, out.shape[0] * out.shape[1]))
            original(self, x, primes, out)

        monkeypatch.setattr(Ntt, name, noted)
    return done


@pytest.mark.parametrize(("size", "units"), [(1, 5), (3, 3), (3, 5)])
def test_work_is_counted_as_it_is_done(size: int, units: int, transformed) -> None:
    """Two sums to merge, a fold of three rotations and one of a swap, and a matrix behind it.

    Coarse digits are cut from c', where c = P c' + r: its own transforms are not counted.
    """
    first, second, last = Dense(5), Dense(units), Dense(3)
    layers = [Conv2D(2, 2), Square(), Flatten(), first, Square(), second, Square(), last]
    model = Sequential(layers, (5, 5, 1), info=ModelInfo(levels=1))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = np.ones(value.shape, dtype=np.int64)
    params = make_params("INSECURE_WORK", 64, 2**20, security=None, log2_q=500)
    k, digits = params.k, -(-params.k // size)
    levels = Levels(k, 4, Gadget(size), 1, (8,))
    scheme, network = BGV(params), PackedNetwork.of(model, params)
    program = packed_program(model, network, scheme, levels)
    assert (network.layout.turns, network.layout.folds) == (2, ((8, 16, 24), ("swap",)))
    keys = scheme.keygen(bytes(32))
    server = program.keys.make(scheme, keys.secret, bytes(32))
    x = scheme.encrypt(network.packing.slots(np.ones((5, 5), dtype=np.int64)), keys.secret)
    program.prepare()
    passes = {}
    for step in program.steps:
        transformed.clear()
        x = step.run(x, server)
        done = sum(count for moduli, count in transformed if moduli != params.plaintext_moduli)
        uncounted = 8 if isinstance(step, GatherStep) else 0
        assert step.work().get("transform", 0) == done - uncounted, step.what
        passes.setdefault(type(step), step.work().get("pass"))
    larger = size > 1  # only then digits are written modulo every prime
    # units = 3: 4 diagonals of 8 columns, 1 baby step, 1 giant one, 1 fold. units = 5: 8 diagonals,
    # 3 baby steps of one cut, 1 giant one.
    rotations, cuts, products = {3: (3, 3, 4), 5: (4, 2, 8)}[units]
    assert passes == {
        TapsStep: 2 * 2 * k,  # two maps, two parts
        WeighStep: 2 * 3 * k,  # two sums, three parts
        TwoPartsStep: 2 * 2 * k + larger * 2 * k * digits,
        # 5 rotations, of which one merges; cuts for that and for the first fold, and a coarse one
        GatherStep: 5 * 3 * 2 * k + larger * 2 * k * digits + k,
        BiasStep: 2 * k,
        SquareOnceStep: None,
        RepeatStep: rotations * 3 * 2 * 8 + larger * cuts * 8 * 3 + products * 2 * 8,
        AnswerStep: 2 * 3 * 4,  # a product and a sum, three parts
    }


def test_sums_over_more_maps_than_a_float_holds_are_reduced_in_between() -> None:
    """Of 24-bit primes 128 products of residues are exact; here are 387, all of them as large."""
    params, maps = Params("INSECURE_LONG_SUMS", 4, ntt_primes(4, 2), (17,), security=None), 387
    step = WeighStep.__new__(WeighStep)
    weights = np.empty((1, maps, params.n))
    vars(step).update(scheme=BGV(params), network=SimpleNamespace(weights=weights))
    largest = [(bound(p) - 1) | 1 for p in params.moduli]  # odd, so that no sum can be rounded
    values = np.array(largest, dtype=np.float64)[:, None, None, None]
    vars(step)["_values"] = np.broadcast_to(values, (params.k, *weights.shape))
    sums = step.sums(1, lambda i: np.full((1, maps, params.n), values[i]), weights)
    expected = [x * x * maps % p for x, p in zip(largest, params.moduli, strict=True)]
    assert (sums[0, 0] % params.ring.moduli == np.array(expected)[:, None]).all()


@pytest.mark.parametrize("layers", [[Dense(3), Square(), Dense(2)], [Square(), Dense(3)]])
def test_no_levels_that_carry_a_network_cost_less_than_those_that_are_found(layers) -> None:
    plan = toy([Flatten(), *layers], 3)
    program, params, t = plan.program, plan.params, plan.params.t
    search = Search(program.model, (program.network,), public=False, spare_bits=1.0, given=True)
    every = [
        Levels(params.k, last, Gadget(size), fine)
        for last in range(1, params.k + 1)
        for size in range(1, LARGEST_DIGIT + 1)
        for fine in range(len(program.network.layout.folds) + 1)
        if 2 * t < prod(params.moduli[:last])
    ]
    costs = [search.cost(params, one) for one in every if search.carries(params, one)]
    assert search.cost(params, program.keys.levels) == min(costs) < max(costs)


@pytest.mark.parametrize(
    ("t_at_least", "log2_q", "last", "found"),
    [
        (2**20, 120, 3, 4),
        (2**20, 110, 3, 1),  # the other primes would be larger, and q: less secure
        (2**44, 120, 2, 2),  # two primes of 22 bits would not hold t
    ],
)
def test_skewed_primes_make_q_no_larger_and_hold_t(t_at_least, log2_q, last, found) -> None:
    params = make_params("INSECURE_SKEW", 64, t_at_least, security=None, log2_q=log2_q)
    first, *others = skewed(params, Levels(params.k, last, Gadget(1), 0))
    assert first is params
    assert len(others) == found - 1
    before = params
    for one in others:
        low = one.shortened(last)  # which Params refuse if it does not hold t
        assert low.log2_q < before.shortened(last).log2_q
        assert (one.k, one.q < params.q) == (params.k, True)
        before = one
    assert not list(skewed(params, Levels(params.k, params.k, Gadget(1), 0)))[1:]  # none are spare


def test_two_replies_of_one_image_have_different_masks(digits) -> None:
    model, plan, pixels = digits
    scheme = BGV(plan.params)
    keys = scheme.keygen(bytes(32))
    ct, server = encrypt_images(scheme, plan, pixels[:1], keys.secret), plan.server_keys(keys)
    one, two = (reply_of(scheme, infer(scheme, plan, ct, server)) for _ in range(2))
    slots = [scheme.decrypt(reply, keys.secret)[0] for reply in (one, two)]
    assert (slots[0] != slots[1]).mean() > 0.99
    read = [decrypt_logits(scheme, reply, keys.secret, 1, plan) for reply in (one, two)]
    assert np.array_equal(*read)
    t = plan.params.t
    assert np.array_equal(read[0] % t, model.forward(pixels[:1]) % t)


def toy(layers, most: int = 10**6) -> Plan:
    """A plan of a network of 2 x 2 pixels with weights 1, 2, 3, ..., most, 1, ...; 64 slots."""
    model = Sequential(layers, (2, 2, 1), info=ModelInfo(levels=1))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            numbers = np.arange(value.size, dtype=np.int64) % most + 1
            layer.parameters[name] = numbers.reshape(value.shape)
    return make_plan(model, insecure_params_for(model, 64), mode="single")


def test_a_reply_is_uniform_but_for_the_logits(monkeypatch) -> None:
    """Every coefficient of what the client decrypts, in 320 replies to one image."""
    plan = toy([Flatten(), Dense(3), Square(), Dense(2)])
    scheme, image = BGV(plan.params), np.ones((1, 2, 2, 1), dtype=np.int64)
    keys, seeds = scheme.keygen(bytes(32)), iter(range(10**6))
    monkeypatch.setattr(packed, "fresh_seed", lambda: next(seeds).to_bytes(32, "big"))
    x, server = encrypt_images(scheme, plan, image, keys.secret), plan.server_keys(keys)
    *steps, last = plan.program.steps
    for step in steps:
        x = step.run(x, server)
    replies = [reply_of(scheme, last.run(x, server)) for _ in range(320)]
    slots, params = np.stack([scheme.decrypt(one, keys.secret)[0] for one in replies]), plan.params
    expected = plan.program.model.forward(image)[0]
    assert all(np.array_equal(plan.packing.logits(params, row), expected) for row in slots)
    coefficients = params.plaintext_ring.basis.compose(interpolate(params, slots), np.int64)
    for values in (coefficients.T, slots.T):
        shares = np.floor((values + params.t // 2) * 8 / params.t).astype(np.int64)
        counts = np.stack([np.bincount(row, minlength=8) for row in shares])
        assert ((counts - 40) ** 2 / 40).sum(axis=1).max() < 40  # of 7 degrees of freedom


def test_a_reply_of_one_matrix_holds_its_logits_and_zeros() -> None:
    plan = toy([Square(), Flatten(), Dense(3)])
    scheme, image = BGV(plan.params), np.ones((1, 2, 2, 1), dtype=np.int64)
    keys = scheme.keygen(bytes(32))
    ct = encrypt_images(scheme, plan, image, keys.secret)
    reply = reply_of(scheme, infer(scheme, plan, ct, plan.server_keys(keys)))
    slots, logits = scheme.decrypt(reply, keys.secret)[0], plan.program.model.forward(image)[0]
    assert slots.tolist() == plan.program.network.layout.repeated(logits).tolist()
    assert set(slots.tolist()) == {0, *logits.tolist()}


def test_what_cannot_be_is_refused(digits) -> None:
    model, plan, pixels = digits
    scheme = BGV(plan.params)
    keys = scheme.keygen(bytes(32))
    with pytest.raises(ParameterError, match="mode must be one of batch, single, auto"):
        make_plan(model, mode="both")
    with pytest.raises(ParameterError, match="one image at once runs under BGV"):
        make_plan(model, mode="single", scheme=BFV)
    with pytest.raises(EncodingError, match="one image at once was planned, not 2"):
        encrypt_images(scheme, plan, pixels, keys.secret)
    ct = scheme.encrypt(np.ones((9, 1), dtype=np.int64), keys.secret)
    with pytest.raises(ParameterError, match=r"a reply for one image has shape \(1,\), got \(9,\)"):
        decrypt_logits(scheme, ct, keys.secret, 1, plan)
    with pytest.raises(PackingError, match="layer 7, Dense"):
        make_plan(deep_network(), mode="single")


@pytest.mark.slow
def test_two_hidden_layers_at_128_bits() -> None:
    layers = [Flatten(), Dense(32), Square(), Dense(16), Square(), Dense(10)]
    model, rng = Sequential(layers, (8, 8, 1), info=ModelInfo(levels=3)), np.random.default_rng(0)
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = rng.integers(-3, 4, value.shape)
    plan, image = make_plan(model, mode="single"), rng.integers(0, 4, (1, 8, 8, 1))
    assert (plan.params.n, plan.params.k, plan.params.security) == (8192, 9, 128)
    assert np.array_equal(classified(plan, image), model.forward(image))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cryptonets", "lean", "light"])
def test_a_picture_of_mnist_is_classified_at_once(name: str, mnist_folder) -> None:
    model, data = pretrained(name), load_mnist(mnist_folder)
    pixels = quantize_pixels(data.test_images[:1], data.pixel_max, model.levels)
    plan = make_plan(model, mode="single")
    assert np.array_equal(classified(plan, pixels), model.forward(pixels))


def test_the_faster_mode_is_taken_and_the_crossover_told(digits, monkeypatch) -> None:
    model = digits[0]

    asked = []

    def calibration(params, *how) -> Calibration:
        """Every operation takes a millisecond."""
        asked.append(how[1:])
        return Calibration(dict.fromkeys(KINDS, 0.001))

    monkeypatch.setattr("nn.planning.plan.calibrate", calibration)
    few, many = (make_plan(model, mode="auto", images=images) for images in (1, 100000))
    assert (few.mode, many.mode) == ("single", "batch")
    # A batch with all cores, and each of two runs beside the other one, if there are two cores.
    cores = available_cores()
    assert asked[:2] == [(cores, False, "cpu", 1), (1, False, "cpu", min(cores, 2))]
    crossover = int(few.reasons[-1].split("from ")[1].split(" images")[0])
    assert f"from {crossover} images on a batch is faster" in many.reasons[-1]
    for count, mode in ((crossover - 1, "single"), (crossover, "batch")):
        plan = make_plan(model, mode="auto", images=count)
        assert plan.mode == mode
    assert few.seconds_for(crossover, cores) >= many.seconds_for(crossover, cores)
    assert few.seconds_for(crossover - 1, cores) < many.seconds_for(crossover, cores)
    deep = make_plan(deep_network(), insecure_params_for(deep_network(), 64), mode="auto")
    assert deep.mode == "batch"
    assert "Not one image at once: layer 7, Dense" in deep.reasons[-1]
