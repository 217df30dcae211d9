"""A plan is true: for every image, for the noise, for the bytes; and it refuses in time."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.commands.main import main
from nn.inference import split
from nn.inference.encrypted import encrypt_images, infer
from nn.inference.replies import reply_of
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.planning import calibrate
from nn.planning.plan import MOST_GROWTH, Plan, make_plan
from nn.planning.program import program_of
from nn.planning.proofs import Interval, ranges
from yashe import __version__, wire
from yashe.ciphertexts.noise import least_budget
from yashe.errors import (
    EncodingError,
    FormError,
    NoiseBudgetExhausted,
    ParameterError,
    RangeError,
    ShapeError,
)
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV


def network(seed: int, largest: int = 5, levels: int = 3, squares: int = 2) -> Sequential:
    """A small integer network with random weights: 4 x 4 pixels, two logits."""
    layers = [Conv2D(2, 3, stride=2, pad_end=1), Square(), Flatten(), Dense(3)]
    for _ in range(squares - 1):
        layers += [Square(), Dense(2)]
    model = Sequential(layers, (4, 4, 1), info=ModelInfo(name="small", levels=levels))
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        layer.parameters = {
            name: rng.integers(-largest, largest + 1, value.shape, dtype=np.int64)
            for name, value in layer.parameters.items()
        }
        for value in layer.parameters.values():
            value[value == 0] = 1  # a sum without weights would be refused
    return model


def images(model: Sequential, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, model.info.levels + 1, (count, *model.input_shape), dtype=np.int64)


# Ranges.


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 15))
def test_no_image_leaves_the_proved_range(seed: int, largest: int, levels: int) -> None:
    model = network(seed, largest, levels)
    proved = ranges(model, levels)
    corners = levels * np.random.default_rng(seed).integers(0, 2, (20, 4, 4, 1), dtype=np.int64)
    for batch in (images(model, 20, seed), corners):
        for interval, values in zip(proved, model.layer_outputs(batch), strict=True):
            assert (interval.low <= values).all()
            assert (values <= interval.high).all()


def test_the_range_of_the_first_layer_is_attained() -> None:
    # Each output is largest for the image that is bright where its weights are positive.
    model = network(1)
    first, interval = model.layers[0], ranges(model, 3)[0]
    for sign, bounds in ((1, interval.high), (-1, interval.low)):
        for block in first.blocks():
            for p, inputs in enumerate(block.inputs):
                for m in range(block.weight.shape[1]):
                    image = np.zeros(16, dtype=np.int64)
                    image[inputs] = np.where(sign * block.weight[:, m] > 0, 3, 0)
                    values = first.forward(image.reshape(4, 4, 1)).ravel()
                    place = block.outputs[p, m]
                    assert values[place] == bounds.ravel()[place]


def test_intervals_by_hand() -> None:
    def interval(low: list[int], high: list[int]) -> Interval:
        return Interval(np.array(low, dtype=object), np.array(high, dtype=object))

    x = interval([-2, 1], [3, 4])
    square = x * x
    assert (square.low.tolist(), square.high.tolist()) == ([0, 1], [9, 16])
    product = x * interval([-1, -1], [2, 2])
    assert (product.low.tolist(), product.high.tolist()) == ([-4, -4], [6, 8])
    total = x @ np.array([[1, -2], [-1, 0]]) + np.array([10, 20])
    assert (total.low.tolist(), total.high.tolist()) == ([4, 14], [12, 24])
    assert x.bits == 1 + math.log2(4)


def test_a_range_that_no_t_was_made_for_is_refused_with_the_layer_and_the_numbers() -> None:
    model = network(2)
    need = ranges(model, 3)[-1].smallest_t
    params = make_params("INSECURE_SMALL_T", 64, need // 8, security=None, log2_q=300)
    assert params.t < need
    with pytest.raises(RangeError, match=rf"the layer Dense: the logits can reach {need // 2}"):
        make_plan(model, params)


# Noise.


@pytest.mark.parametrize("relinearize", [False, True])
@pytest.mark.parametrize("public", [False, True])
def test_the_plan_predicts_what_the_ciphertexts_then_carry(public: bool, relinearize: bool) -> None:
    model = network(3)
    need = ranges(model, 3)[-1].smallest_t
    params = make_params("INSECURE_PLAN", 64, need, security=None, log2_q=310)
    plan = make_plan(model, params, public=public, relinearize=relinearize)
    scheme = BGV(params)
    keys = scheme.keygen(bytes(32))
    assert (plan.server_keys(keys) is None) == (not relinearize)
    key = keys.public if public else keys.secret
    ct = encrypt_images(scheme, model, images(model, 64, 1), key, bytes(32))
    assert float(ct.noise_budget.min()) == pytest.approx(plan.steps[0].budget_bits, abs=1e-9)
    reply = infer(scheme, model, ct, plan.server_keys(keys))
    assert reply.degree == (1 if relinearize else 4)
    assert float(reply.noise_budget.min()) == pytest.approx(plan.final_budget_bits, abs=1e-9)
    assert (reply.noise_budget <= scheme.noise_budget(reply, keys.secret)).all()


def test_the_steps_go_from_the_client_to_the_server_and_back() -> None:
    plan = make_plan(pretrained("digits"))
    assert [(step.on, step.what) for step in plan.steps] == [
        ("client", "encrypt 8 x 8 x 1 pixels"),
        ("server", "144 units, squared, to 32 sums"),
        ("server", "relinearise, 8 -> 5 primes"),
        ("server", "32 squares, to 10 sums"),
        ("server", "relinearise"),
        ("server", "reply, 5 -> 3 primes"),
        ("client", "decrypt"),
    ]
    assert [step.level for step in plan.steps] == [8, 8, 5, 5, 5, 3, 3]
    assert [step.ciphertexts for step in plan.steps] == [64, 32, 32, 10, 10, 10, 10]
    budgets = [step.budget_bits for step in plan.steps]
    assert budgets[:5] == sorted(budgets[:5], reverse=True)
    assert (budgets[0], budgets[4]) == (plan.steps[0].budget_bits, plan.final_budget_bits)
    assert [step.range_bits for step in plan.steps[-3:]] == [plan.range_bits] * 3


def test_one_prime_fewer_would_not_do_and_the_layer_is_named() -> None:
    model = pretrained("digits")
    plan = make_plan(model)
    with pytest.raises(
        NoiseBudgetExhausted,
        match="the step '.*'.* leaves",
    ):
        make_plan(model, plan.params.shortened(plan.params.k - 1))
    assert any(reason.startswith("Not fewer") for reason in plan.reasons)


def test_a_depth_that_no_parameters_carry_is_refused_with_the_layer() -> None:
    model = network(4, largest=3, levels=2, squares=3)
    with pytest.raises(
        NoiseBudgetExhausted,
        match="small: no parameters .* bits at the step '.*'",
    ):
        make_plan(model, security=256, scheme=BFV)
    # There are few primes for n = 32768, and only products of BFV need auxiliary ones.
    assert make_plan(model, security=256).params.n == 32768
    deeper = network(7, largest=1, levels=1, squares=5)
    with pytest.raises(NoiseBudgetExhausted, match="small: no parameters .* cannot hold t"):
        make_plan(deeper)


@pytest.mark.parametrize("name", ["Größe\n", "n" * 200, "", "a, b"], ids=repr)
def test_a_network_of_any_name_has_parameters_with_a_name_that_can_be_written(name: str) -> None:
    model = network(5, largest=1)
    model.info = replace(model.info, name=name)
    params = make_plan(model).params
    assert params.name.startswith({"Größe\n": "Gr??e?-", "": "network-"}.get(name, name[:40]))
    assert wire.from_bytes(wire.to_bytes(params.shortened(3)), Params) == params.shortened(3)
    single = make_plan(model, mode="single").params
    assert single.name.startswith(params.name.split("-")[0])
    assert wire.from_bytes(wire.to_bytes(single), Params) == single


def test_spare_bits_are_left_over() -> None:
    model = network(5, largest=1)
    assert make_plan(model, spare_bits=30).final_budget_bits >= 30


# Costs.


def test_operations_are_counted_where_they_happen() -> None:
    model = pretrained("digits")
    products = {"multiply_add": model.layers[0].multiply_adds(), "output": 144}
    assert [step.work for step in make_plan(model).steps] == [
        {"encrypt": 64},
        {"square": 144, "sum": 32, "weigh": 144 * 32, **products},
        {"relinearize": 21},  # of 8 primes, in 4 digits instead of 8
        {"square": 32, "sum": 10, "weigh": 320},
        {"relinearize": 10},
        {},
        {"decrypt": 10},
    ]


def test_layers_in_other_orders_are_counted_too() -> None:
    model = Sequential([MeanPool(2), Square(), Conv2D(2, 2), Flatten(), Dense(3)], (4, 4, 1))
    scheme = BGV(make_params("INSECURE_ORDERS", 64, 2**20, security=None, log2_q=200))
    assert [step.work() for step in program_of(model, scheme).steps] == [
        {"multiply_add": 16, "output": 4},
        {"square": 4, "sum": 4},
        {"multiply_add": 12, "output": 2},  # of three parts
        {},
        {"multiply_add": 9, "output": 3},
    ]


@pytest.mark.parametrize("relinearize", [False, True])
def test_the_bytes_of_the_plan_are_those_of_the_wire(relinearize: bool) -> None:
    model = network(6)
    plan = make_plan(model, relinearize=relinearize)
    scheme = BGV(plan.params)
    keys = scheme.keygen(bytes(32))
    ct = encrypt_images(scheme, model, images(model, 5, 1), keys.secret, bytes(32))
    reply = reply_of(scheme, infer(scheme, model, ct, plan.server_keys(keys)))
    sent = {"images": ct, "reply": reply}
    if relinearize:
        sent["keys"] = keys.relinearization
    for name, thing in sent.items():
        assert len(wire.to_bytes(thing)) == pytest.approx(plan.bytes[name], rel=0.02), name


def test_a_network_with_one_square_needs_no_key_and_says_so() -> None:
    model = network(6, squares=1)
    plan = make_plan(model)
    assert (plan.program.needs_keys, plan.bytes["keys"]) == (False, 0)
    assert not any("relinearise" in step.what for step in plan.steps)
    keys = BGV(plan.params).keygen(bytes(32))
    assert plan.server_keys(keys) is None
    ct = encrypt_images(BGV(plan.params), model, images(model, 5, 1), keys.secret, bytes(32))
    reply = reply_of(BGV(plan.params), infer(BGV(plan.params), plan, ct, None))
    assert reply.rows.shape[1] == 3  # which the plan knows
    assert len(wire.to_bytes(reply)) == pytest.approx(plan.bytes["reply"], rel=0.02)
    single = make_plan(model, mode="single")
    assert single.program.needs_keys  # slots are moved
    assert single.bytes["keys"] > 0
    two = make_plan(network(6), relinearize=True)
    assert two.server_keys(keys) is keys.relinearization
    assert two.bytes["keys"] > 0


def test_a_plan_relinearises_where_images_would_grow_too_much() -> None:
    """Of two networks of the paper's kind one needs no key, and the other one a larger ring."""
    plan = make_plan(pretrained("cryptonets"))
    assert (plan.program.needs_keys, plan.bytes["keys"], plan.params.n) == (False, 0, 8192)
    assert plan.reasons[-1].startswith("Not relinearised: that would be 1.")
    keyed = make_plan(pretrained("cryptonets"), relinearize=True)
    assert 1 < plan.bytes["images"] / keyed.bytes["images"] < MOST_GROWTH
    assert keyed.program.effort > 1.1 * plan.program.effort
    digits, without = (make_plan(pretrained("digits"), relinearize=way) for way in (None, False))
    assert digits.program.needs_keys
    assert without.params.log2_q > MOST_GROWTH * digits.params.log2_q
    assert (
        digits.reasons[-1] == f"Relinearised: else n = 8192, log2 q = {without.params.log2_q:.1f}."
    )


def test_given_parameters_decide_whether_there_is_a_relinearisation() -> None:
    model = network(3)
    need = ranges(model, 3)[-1].smallest_t
    params = make_params("INSECURE_PLAN", 64, need, security=None, log2_q=210)
    more, less = (make_plan(model, params, relinearize=way) for way in (True, False))
    assert not make_plan(model, params).program.needs_keys
    between = (more.final_budget_bits + less.final_budget_bits) / 2 - least_budget(64)
    assert make_plan(model, params, spare_bits=between).program.needs_keys
    with pytest.raises(NoiseBudgetExhausted, match="or relinearise between squares, .* and a key"):
        make_plan(model, params, spare_bits=between, relinearize=False)
    with pytest.raises(FormError, match="2 squares .* degree 4, and ciphertexts of BFV 2 at most"):
        make_plan(model, relinearize=False, scheme=BFV)
    with pytest.raises(ParameterError, match="relinearize must be True or False"):
        make_plan(model, relinearize="no")


def test_what_was_seen_stands_beside_what_is_proved() -> None:
    model = network(7)
    plan = make_plan(model, pixels=images(model, 300, 1))
    for step in plan.steps:
        assert step.seen_bits is not None
        assert 1 <= step.seen_bits <= step.range_bits
    assert plan.steps[1].seen_bits > plan.steps[1].range_bits - 6
    assert all(step.seen_bits is None for step in make_plan(model).steps)
    assert {step.seen_bits for step in make_plan(model, pixels=images(model, 0, 1)).steps} == {1}


def test_the_table_shows_every_step_and_the_totals() -> None:
    model = network(8)
    plan = make_plan(model, pixels=images(model, 30, 1))
    lines = str(plan).splitlines()
    for line, step in zip(lines[2:], plan.steps, strict=False):
        assert line.startswith(f"{step.on} {step.what}")
    assert [line.split()[0] for line in lines[-2:]] == ["wire", "server"]
    assert " - s for up to" in lines[-1]
    with pytest.raises(ParameterError, match="only a plan with seconds tells them"):
        plan.seconds_for(1)
    second = plan.calibrated(calibrate.Calibration(dict.fromkeys(calibrate.KINDS, 0.5)))
    works = [step.work for step in plan.steps if step.on == "server"]
    assert second.server_seconds == 0.5 * sum(sum(work.values()) for work in works)
    assert f"server  {second.server_seconds:.2f} s" in str(second)
    json.dumps(second.as_json())


# Calibration.


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "cryptonets" / "calibration.json"


TOY = make_params("INSECURE_CALIBRATION", 64, 250, security=None, log2_q=120)


def test_a_machine_is_measured_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "load_of_cores", lambda: 0.5)
    first = calibrate.calibrate(TOY, threads=1)
    assert set(first.seconds) == set(calibrate.KINDS)
    assert all(seconds >= 0 for seconds in first.seconds.values())
    monkeypatch.setattr(calibrate, "measure", None)  # whoever calls it now fails
    assert calibrate.calibrate(TOY, threads=1) == first
    with pytest.raises(TypeError, match="not callable"):
        calibrate.calibrate(TOY, threads=1, again=True)
    with pytest.raises(TypeError, match="not callable"):
        calibrate.calibrate(TOY, threads=2)


def test_processes_beside_each_other_are_measured_beside_each_other(cache: Path) -> None:
    """By processes, not threads, as they will run; and remembered apart from one alone."""
    alone = calibrate.calibrate(TOY, threads=1)
    both = calibrate.calibrate(TOY, threads=1, together=2)
    assert set(both.seconds) == set(calibrate.KINDS)
    assert all(seconds >= 0 for seconds in both.seconds.values())
    known = calibrate.read_cache()
    assert {key.endswith(" x1, 2 together") for key in known} == {True, False}
    assert calibrate.calibrate(TOY, threads=1, together=2) == both != alone


DAY = 86400
THEN, SECONDS = 1_800_000_000.0, dict.fromkeys(calibrate.KINDS, 1.0)


@pytest.mark.parametrize(
    ("now", "load", "machine"),
    [
        (THEN + 31 * DAY, 0.5, "here"),
        (THEN - DAY, 0.5, "here"),  # a clock that was set back says nothing about the age
        (THEN + DAY, 1.1, "here"),
        (THEN + DAY, 0.5, "another processor"),
    ],
    ids=["old", "future", "busy", "elsewhere"],
)
def test_what_was_measured_long_ago_under_another_load_or_elsewhere_is_measured_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch, now: float, load: float, machine: str
) -> None:
    def at(now: float, load: float, machine: str) -> calibrate.Calibration:
        monkeypatch.setattr(calibrate.time, "time", lambda: now)
        monkeypatch.setattr(calibrate, "load_of_cores", lambda: load)
        monkeypatch.setattr(calibrate, "machine", lambda: machine)
        return calibrate.calibrate(TOY, threads=1)

    measured = calibrate.Calibration(SECONDS)
    monkeypatch.setattr(calibrate, "measure", lambda params, scheme, device: measured)
    assert at(THEN, 0.5, "here") == calibrate.Calibration(SECONDS, THEN, 0.5)
    assert at(THEN + 29 * DAY, 0.9, "here").at == THEN
    assert at(now, load, machine) == calibrate.Calibration(SECONDS, now, load)
    kept = json.loads(cache.read_text())
    assert len(kept) == (2 if machine != "here" else 1)


@pytest.mark.parametrize(
    ("age", "said"),
    [(0, "0 seconds"), (61, "1 minute"), (7300, "2 hours"), (3 * DAY, "3 days")],
)
def test_a_calibration_says_how_old_it_is(
    monkeypatch: pytest.MonkeyPatch, age: float, said: str
) -> None:
    monkeypatch.setattr(calibrate.time, "time", lambda: THEN + age)
    assert str(calibrate.Calibration(SECONDS, THEN)) == f"measured {said} ago"
    loaded = calibrate.Calibration(SECONDS, THEN, 1.25)
    assert str(loaded) == f"measured {said} ago, with 1.2 programs on each core"


def test_a_machine_is_named_by_what_decides_its_speed() -> None:
    name = calibrate.machine()
    for part in (platform.node(), platform.python_version(), np.__version__, __version__):
        assert part in name


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"a": 1}',
        '{"a": {"b": "c"}}',
        '{"a": {"at": NaN, "load": 1, "seconds": {}}}',
    ],
)
def test_a_broken_cache_is_measured_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    assert set(calibrate.calibrate(TOY, threads=1).seconds) == set(calibrate.KINDS)


def test_an_estimate_is_linear_in_the_work() -> None:
    known = calibrate.Calibration({"square": 0.5, "sum": 2.0})
    assert known.estimate({"square": 3, "sum": 1}) == 3.5
    assert known.estimate({}) == 0


# Several plaintext moduli.


@given(st.lists(st.integers(-(2**100), 2**100), min_size=1, max_size=5))
def test_residues_are_joined_to_what_they_came_from(values: list[int]) -> None:
    moduli = [2**31 - 1, 2**61 - 1, 10**9 + 7]
    product = math.prod(moduli)
    values = [value % product - (product // 2) for value in values]
    residues = [
        np.array([(x + t // 2) % t - t // 2 for x in values], dtype=np.int64) for t in moduli
    ]
    assert split.join(residues, moduli).tolist() == [
        (x + product // 2) % product - product // 2 for x in values
    ]


def test_what_cannot_be_joined_is_refused() -> None:
    one, two, half = np.array([1]), np.array([1, 2]), np.array([0.5])
    for residues, moduli in (([], []), ([one], [5, 7]), ([one, two], [5, 7])):
        with pytest.raises(ShapeError, match="residues of one shape were required"):
            split.join(residues, moduli)
    with pytest.raises(ParameterError, match="without a common divisor"):
        split.join([one, one], [15, 21])
    with pytest.raises(EncodingError, match="residues must be integers"):
        split.join([one, half], [5, 7])


def test_one_modulus_is_not_split() -> None:
    plans = split.make_plans(network(9))
    assert len(plans) == 1
    assert isinstance(plans[0], Plan)
    assert split.describe(plans) == str(plans[0])


@pytest.mark.slow
def test_a_network_that_no_single_modulus_holds_has_the_same_logits() -> None:
    model = network(10, largest=3000)
    assert ranges(model, 3)[-1].bits > 62
    with pytest.raises(NoiseBudgetExhausted, match="cannot hold t"):
        make_plan(model)
    plans = split.make_plans(model)
    moduli = [plan.params.t for plan in plans]
    assert len(moduli) > 1
    assert math.prod(moduli) >= ranges(model, 3)[-1].smallest_t
    assert math.lcm(*moduli) == math.prod(moduli)
    batch = images(model, 7, 1)
    exact = model.forward(batch.astype(object))
    assert (split.classify(plans, batch) == exact).all()
    assert "once for each of" in split.describe(plans)


def test_enough_primes_are_found_for_any_size() -> None:
    for bits in (10, 23, 40, 63, 90, 140):
        primes = split.enough_primes(8192, 2**bits)
        assert math.prod(primes) >= 2**bits
        assert len(set(primes)) == len(primes)
    with pytest.raises(RangeError, match="logits of 2000 bits take more than 32 batching primes"):
        split.enough_primes(8192, 2**2000)


# The command.


def test_the_command_prints_the_plan_and_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "plan.json"
    assert main(["plan", "digits", "--untimed", "--json", str(target)]) == 0
    out = capsys.readouterr().out
    for words in ("144 units, squared", "proved", "wire    images", "Not n = 4096", "security=128"):
        assert words in out
    (plan,) = json.loads(target.read_text("utf-8"))["plans"]
    assert [step["on"] for step in plan["steps"]] == ["client", *["server"] * 5, "client"]
    assert plan["params"]["n"] == 8192
    assert plan["steps"][1]["seen_bits"] <= plan["steps"][1]["range_bits"]
