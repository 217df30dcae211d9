"""What is no network, no image for it, or no integer that fits, is refused with a sentence."""

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn import experiment
from nn.cluster.coordinator import predict
from nn.data.sets import load_digits
from nn.inference import split
from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.networks.batchnorm import BatchNorm
from nn.networks.checks import check_pixels
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.planning.proofs import check_depends, check_integers, ranges
from nn.service import roles
from nn.service.card import ModelCard
from nn.training.quantize import quantize_pixels
from yashe.ciphertexts import noise
from yashe.errors import (
    EncodingError,
    FheError,
    KindError,
    NoiseBudgetExhausted,
    ParameterError,
    RangeError,
    ShapeError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

PARAMS = make_params("INSECURE_CHECKS", 64, 2**20, security=None, log2_q=190)
SCHEME = BGV(PARAMS)
KEYS = SCHEME.keygen(bytes(32))


def dense(*weights: list[list[int]], levels: int = 4, squares: bool = True) -> Sequential:
    """Dense layers with these weights and biases of 1, and squares between them."""
    layers: list[Any] = [Flatten()]
    for i, weight in enumerate(weights):
        layers += [Square()] if squares and i else []
        layers.append(Dense(len(weight[0])))
    model = Sequential(layers, (1, len(weights[0]), 1), info=ModelInfo(levels=levels))
    found = iter(weights)
    for layer in model.layers:
        if isinstance(layer, Dense):
            weight = np.array(next(found), dtype=np.int64)
            layer.parameters = {"weight": weight, "bias": np.ones(layer.units, dtype=np.int64)}
    return model


# Pixels.


def test_pixels_that_the_network_was_not_made_for_are_refused_with_image_and_place() -> None:
    model = dense([[1], [1], [1]])
    pixels = np.zeros((5, 1, 3, 1), dtype=np.int64)
    for value in (5, -1):
        wrong = pixels.copy()
        wrong[3, 0, 2, 0] = value
        with pytest.raises(
            RangeError, match=rf"image 3 has {value} at pixel \(0, 2, 0\), and.*0..4"
        ):
            encrypt_images(SCHEME, model, wrong, KEYS.secret)
    for kind in (np.float64, np.bool_, object):
        with pytest.raises(EncodingError, match="pixels must be integers, not"):
            encrypt_images(SCHEME, model, pixels.astype(kind), KEYS.secret)
    for shape in ((5, 3), (5, 3, 1, 1), (1, 3, 1), ()):
        with pytest.raises(ParameterError, match=r"images of shape \(images, 1, 3, 1\), got"):
            encrypt_images(SCHEME, model, np.zeros(shape, dtype=np.int64), KEYS.secret)


def test_pixels_in_uneven_rows_masked_ones_and_those_of_no_network_are_refused() -> None:
    model, pixels = dense([[1], [1], [1]]), np.ones((5, 1, 3, 1), dtype=np.int64)
    with pytest.raises(EncodingError, match="pixels must be an array of integers"):
        check_pixels(model, [[1], [1, 2]])
    masked = np.ma.masked_array(pixels, mask=np.arange(15).reshape(pixels.shape) == 7)
    with pytest.raises(EncodingError, match="none of them masked"):
        check_pixels(model, masked)
    for network in (None, 5, model.info, pixels):
        with pytest.raises(KindError, match="a Sequential or a ModelCard; got"):
            encrypt_images(SCHEME, network, pixels, KEYS.secret)  # type: ignore[arg-type]


@given(st.lists(st.integers(-3, 7), min_size=3, max_size=9), st.integers(1, 4))
def test_pixels_are_accepted_if_and_only_if_they_are_levels(values: list[int], levels: int) -> None:
    model = dense([[1], [1], [1]], levels=levels)
    pixels = np.array(values[: len(values) // 3 * 3], dtype=np.int8).reshape(-1, 1, 3, 1)
    try:
        found = check_pixels(model, pixels)
    except RangeError:
        assert pixels.min() < 0 or pixels.max() > levels
        return
    assert found.dtype == np.int64
    assert np.array_equal(found, pixels)
    assert 0 <= pixels.min() <= pixels.max() <= levels


def test_the_digits_as_they_are_in_the_data_set_are_refused_everywhere() -> None:
    """0..16 into a network for 0..4 has 12.7 % accuracy and looks like a result."""
    model, dataset = pretrained("digits"), load_digits()
    raw, card = dataset.test_images, ModelCard.of(model)
    scheme, message = BGV(card.params), r"image 0 has \d+ at pixel .*, and the network takes 0..4"
    key = scheme.keygen(bytes(32)).secret
    with pytest.raises(RangeError, match=message):
        encrypt_images(scheme, card, raw, key)
    told: list[str] = []
    with pytest.raises(RangeError, match=message):
        experiment.run(model, raw, dataset.test_labels, told.append)
    assert not told  # before a plan and keys are made
    with pytest.raises(RangeError, match=message):
        make_plan(model, pixels=raw)
    with pytest.raises(RangeError, match=message):
        split.classify([make_plan(model, card.params)], raw)
    with pytest.raises(ParameterError, match=r"pixels must lie in \[0, 4\]"):
        roles.encrypt(io.BytesIO(), card, key, raw, white=4)  # of the client, and of all commands


# Networks.


def test_what_is_no_list_of_layers_and_what_is_no_array_is_refused() -> None:
    for layers in (None, 5, Square()):
        with pytest.raises(KindError, match="a network is a list of layers; got"):
            Sequential(layers, (3,))  # type: ignore[arg-type]
    model = dense([[1], [1], [1]])
    for values in (None, [[[[1], [2], [3]]]], np.ma.ones((1, 1, 3, 1), dtype=np.int64)):
        with pytest.raises(KindError, match="layers take arrays, without masks; got a"):
            model.forward(values)


def test_a_network_of_floats_has_no_plan() -> None:
    rng = np.random.default_rng(0)
    trained = Sequential([Flatten(), Dense(2), Square(), Dense(2)], (2, 2, 1), rng)
    with pytest.raises(ParameterError, match="layer 1, Dense, has a weight of float32: quantise"):
        make_plan(trained)
    normal = Sequential([Flatten(), BatchNorm()], (2, 2, 1))
    with pytest.raises(ParameterError, match="layer 1, BatchNorm, has a gain of float32"):
        make_plan(normal)


@pytest.mark.parametrize("kind", [np.bool_, object, np.int32, np.uint64, np.float64])
def test_only_int64_weights_are_integers_here(kind: Any) -> None:
    model = dense([[1], [0]])
    model.layers[1].parameters["weight"] = model.layers[1].parameters["weight"].astype(kind)
    for attempt in (make_plan, lambda m: ranges(m, 4), check_integers):
        with pytest.raises(ParameterError, match="layer 1, Dense, has a weight of"):
            attempt(model)
    ct = encrypt_images(SCHEME, model, np.ones((1, 1, 2, 1), dtype=np.int64), KEYS.secret)
    with pytest.raises(ParameterError, match="layer 1, Dense, has a weight of"):
        infer(SCHEME, model, ct, KEYS.relinearization)


def test_weights_of_62_bits_are_refused() -> None:
    for value in (2**62, -(2**62), -(2**63)):
        with pytest.raises(ParameterError, match=r"has a weight of 2\^62 or more"):
            make_plan(dense([[value], [1]]))


@pytest.mark.parametrize("levels", [0, -1, 1.5, True, "4", None])
def test_levels_are_a_positive_whole_number(levels: Any) -> None:
    with pytest.raises(ParameterError, match="levels must be"):
        ModelInfo(levels=levels)
    with pytest.raises(ParameterError, match="levels must be"):
        ranges(dense([[1], [1]]), levels)


@pytest.mark.parametrize("spare", [math.nan, math.inf, -1, -math.inf, "1", None, 1001, 10**400])
def test_spare_bits_are_a_number_of_bits(spare: Any) -> None:
    for mode in ("batch", "single"):
        with pytest.raises(ParameterError, match="spare_bits must be a number of bits from 0 to"):
            make_plan(dense([[1], [1]]), spare_bits=spare, mode=mode)


def test_bits_to_spare_are_kept_by_given_parameters_too() -> None:
    model = dense([[1], [1]])
    left = make_plan(model, PARAMS).final_budget_bits
    with pytest.raises(NoiseBudgetExhausted, match="'dense, to 1', with 500.0 bits to"):
        make_plan(model, PARAMS, spare_bits=500)
    spare = left - noise.least_budget(PARAMS.n) - 0.001
    assert make_plan(model, PARAMS, spare_bits=spare).final_budget_bits == left


def test_an_empty_network_is_none() -> None:
    with pytest.raises(ParameterError, match="a network has at least one layer"):
        Sequential([], (2, 2, 1))


def test_a_layer_is_in_one_network_and_there_once() -> None:
    square, pair = Square(), Dense(2)
    with pytest.raises(ParameterError, match=r"layer 1, Square\(\), is in the network twice"):
        Sequential([square, square], (2, 2, 1))
    model = Sequential([Flatten(), pair], (2, 1, 1))
    pair.parameters["weight"][...] = 7
    with pytest.raises(ParameterError, match=r"Dense\(units=2\), belongs to another network"):
        Sequential([pair], (5,))
    assert (model.layers[1].parameters["weight"] == 7).all()


@pytest.mark.parametrize("layers", [[Square], ["Square"], [None], [3]])
def test_what_is_no_layer_is_refused(layers: list[Any]) -> None:
    with pytest.raises(KindError, match="layer 0 must be a Layer such as"):
        Sequential(layers, (2, 2, 1))


@pytest.mark.parametrize("shape", [28, (), None, (2.0, 2, 1), (0, 2, 1), (True, 2, 1), "ab"])
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises(ParameterError, match="input_shape must be"):
        Sequential([Square()], shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: Dense(x), "units must be a whole number"),
        (lambda x: Conv2D(x, 2), "maps must be a whole number"),
        (lambda x: Conv2D(2, x), "kernel must be a whole number"),
        (lambda x: Conv2D(2, 2, stride=x), "stride must be a whole number"),
        (lambda x: Conv2D(2, 2, pad_end=x), "pad_end must be a whole number"),
        (lambda x: MeanPool(x), "size must be a whole number"),
    ],
)
@pytest.mark.parametrize("value", [1.5, 2.0, True, "2", None, np.float64(2), [2]])
def test_sizes_are_whole_numbers(make: Any, message: str, value: Any) -> None:
    with pytest.raises(KindError, match=message) as info:
        make(value)
    assert isinstance(info.value, TypeError)
    assert isinstance(info.value, ValueError)


def test_numpys_integers_are_whole_numbers_and_become_pythons() -> None:
    layer = Conv2D(np.int64(2), np.uint8(2), stride=np.int32(1), pad_end=np.int8(0))
    assert {type(value) for value in layer.settings().values()} == {int, bool}


@pytest.mark.parametrize("bias", [2.5, 1, None, "yes"])
def test_a_bias_is_there_or_not(bias: Any) -> None:
    for make in (lambda: Dense(2, bias=bias), lambda: Conv2D(2, 2, bias=bias)):
        with pytest.raises(KindError, match="bias must be True or False"):
            make()


# What depends on no image.


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (dense([[1, 0], [1, 0]]), "layer 1, Dense"),  # a dead class
        (dense([[1, 0], [1, 0]], [[1], [1]]), "layer 1, Dense"),  # a dead hidden unit
        (dense([[1, -1], [2, -2]], [[1], [1]], squares=False), "layer 2, Dense"),  # a chain
        (dense([[1, -1], [2, -2]], [[1, 3], [1, 3]], [[1], [1]], squares=False), "layer 2, Dense"),
    ],
)
def test_an_output_that_depends_on_no_pixel_is_refused_by_plan_and_run_alike(
    model: Sequential, layer: str
) -> None:
    """Both schemes refuse it before they compute anything, with the layer."""
    message = rf"{layer}, has an output, \(\d,\), that depends on no pixel"
    with pytest.raises(TransparentCiphertextError, match=message):
        make_plan(model)
    for scheme in (SCHEME, BFV(PARAMS)):
        keys = scheme.keygen(bytes(32))
        ct = encrypt_images(scheme, model, np.ones((1, 1, 2, 1), dtype=np.int64), keys.secret)
        with pytest.raises(TransparentCiphertextError, match=message):
            infer(scheme, model, ct, keys.relinearization)


def test_a_border_whose_weights_are_all_zero_is_refused() -> None:
    model = Sequential([Conv2D(1, 2, pad_end=1), Flatten()], (2, 2, 1), info=ModelInfo(levels=4))
    weight = np.array([[0], [0], [0], [1]], dtype=np.int64)  # the last row reads padding alone
    model.layers[0].parameters = {"weight": weight, "bias": np.ones(1, dtype=np.int64)}
    with pytest.raises(TransparentCiphertextError, match=r"layer 0, Conv2D.*\(0, 1, 0\)"):
        make_plan(model)


def test_a_dead_class_without_a_bias_is_refused_before_its_noise_is_measured() -> None:
    model = Sequential([Flatten(), Dense(2, bias=False)], (1, 2, 1))
    model.layers[1].parameters = {"weight": np.array([[1, 0], [1, 0]], dtype=np.int64)}
    for params in (None, PARAMS):
        with pytest.raises(TransparentCiphertextError, match="layer 1, Dense"):
            make_plan(model, params)


def test_weights_count_modulo_t_for_the_noise_too() -> None:
    model = dense([[PARAMS.t - 1], [PARAMS.t + 2]], squares=False)
    plan = make_plan(model, PARAMS, joined_with=2**40)
    ct = encrypt_images(SCHEME, model, np.ones((1, 1, 2, 1), dtype=np.int64), KEYS.secret)
    logits = infer(SCHEME, model, ct, KEYS.relinearization, joined_with=2**40)
    assert float(logits.noise_budget[0]) == plan.final_budget_bits


def test_squares_that_cancel_are_constants_and_those_that_do_not_are_none() -> None:
    check_depends(dense([[1, 1], [1, 2]], [[1], [-1]]))
    model = dense([[1, 1], [1, 1]], [[1], [-1]])  # (x + y + 1)^2 - (x + y + 1)^2
    with pytest.raises(TransparentCiphertextError, match="layer 3, Dense"):
        check_depends(model)


def test_a_weight_that_vanishes_modulo_t_depends_on_nothing() -> None:
    model = dense([[PARAMS.t], [PARAMS.t]], squares=False)
    check_depends(model)
    with pytest.raises(TransparentCiphertextError, match="layer 1, Dense"):
        check_depends(model, PARAMS.t)


# Integers that do not fit.


def test_infer_proves_the_range_without_a_plan() -> None:
    """36,000,000 came back as -31,108,897 for t of 26 bits, and nobody had asked for a plan."""
    model = dense([[50], [25]], [[1600]], levels=2)
    params = make_params("INSECURE_SMALL", 64, 2**20, security=None, log2_q=190)
    scheme = BGV(params)
    keys = scheme.keygen(bytes(32))
    ct = encrypt_images(scheme, model, np.full((1, 1, 2, 1), 2), keys.secret)
    message = r"the layer Dense: the logits can reach 36481601 .* needs t of 26.1 bits"
    for attempt in (
        lambda: infer(scheme, model, ct, keys.relinearization),
        lambda: list(predict(model, [ct], keys.relinearization)),
    ):
        with pytest.raises(RangeError, match=message):
            attempt()
    # The deliberate way: logits modulo t, to be joined with those modulo others.
    with pytest.raises(RangeError, match=message):
        infer(scheme, model, ct, keys.relinearization, joined_with=2)
    reply = infer(scheme, model, ct, keys.relinearization, joined_with=100)
    (logit,) = decrypt_logits(scheme, reply, keys.secret, 1)[0]
    assert (logit - 36481601) % params.t == 0
    for others in (0, -1, 1.5):
        with pytest.raises(ParameterError, match="joined_with must be"):
            infer(scheme, model, ct, keys.relinearization, joined_with=others)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, np.uint32, np.bool_])
def test_small_integers_do_not_wrap(kind: Any) -> None:
    pixels = np.array([[100, 200]]).astype(kind)
    for layer in (Square(), Dense(2), MeanPool(1)):
        shape = (2,) if not isinstance(layer, MeanPool) else (1, 2, 1)
        model = Sequential([layer], shape)
        for value in model.parameters():
            value[...] = 3
        for p in layer.parameters:
            layer.parameters[p] = layer.parameters[p].astype(np.int64)
        given_, wide = pixels.reshape(1, *shape), pixels.astype(np.int64).reshape(1, *shape)
        assert np.array_equal(model.forward(given_), model.forward(wide))
        assert np.array_equal(layer.forward(given_), layer.forward(wide))
        assert model.forward(given_).dtype == np.int64
    assert Sequential([Square()], (1,)).forward(np.array([[200]], dtype=np.uint8)) == 40000


def test_integers_beyond_int64_are_refused_and_exact_as_python_integers() -> None:
    model = dense([[2**20], [1]], [[2**20]], levels=2**20)
    pixels = np.full((1, 1, 2, 1), 2**20, dtype=np.int64)
    with pytest.raises(RangeError, match=r"outputs may reach \d+, and int64 ends at 2\^63"):
        model.forward(pixels)
    exact = ((2**40 + 2**20 + 1) ** 2) * 2**20 + 1
    assert model.forward(pixels.astype(object)).tolist() == [[exact]]
    with pytest.raises(RangeError, match="integers must lie below"):
        model.forward(pixels.astype(np.uint64) + np.uint64(2**63))


@given(st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=2), st.integers(0, 2**30))
def test_the_forward_of_integers_is_exact_or_refused(weights: list[int], pixel: int) -> None:
    model = dense([[weights[0]]], [[weights[1]]])
    pixels = np.full((1, 1, 1, 1), pixel, dtype=np.int64)
    exact = (pixel * weights[0] + 1) ** 2 * weights[1] + 1
    try:
        assert model.forward(pixels).tolist() == [[exact]]
        assert abs(exact) < 2**63
    except RangeError:
        assert abs(exact) >= 2**63
    assert model.forward(pixels.astype(object)).tolist() == [[exact]]


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**10), st.sampled_from([0, 1]))
def test_weights_without_a_sign_are_exact_too(value: int, pixel: int, which: int) -> None:
    images = np.full((1, 1, 1, 1), pixel, dtype=np.int64)
    for layers in ([Flatten(), Dense(1)], [Conv2D(1, 1)]):
        model, numbers = Sequential(layers, (1, 1, 1)), [1, 1]
        numbers[which] = value
        shapes = [(1, 1), (1,)]
        model.set_parameters(
            np.full(shape, x, np.uint64) for shape, x in zip(shapes, numbers, strict=True)
        )
        exact = pixel * numbers[0] + numbers[1]
        try:
            assert model.forward(images).ravel().tolist() == [exact]
        except RangeError:
            assert exact >= 2**63
    model.set_parameters([np.full((1, 1), 2**63, np.uint64), np.zeros(1, np.uint64)])
    with pytest.raises(RangeError, match="integers must lie below"):
        model.forward(images)


@pytest.mark.parametrize(
    "shapes", [[], [(4, 1)], [(4, 1), (1,), (1,)], [(8, 1), (1,)], [(4, 1), (2, 1)]]
)
def test_parameters_of_other_shapes_are_refused(shapes: list[tuple[int, ...]]) -> None:
    model = Sequential([Conv2D(1, 2)], (2, 2, 1))
    with pytest.raises(ShapeError, match="parameters of shapes .* were required, got"):
        model.set_parameters(np.ones(shape, dtype=np.int64) for shape in shapes)


def test_numbers_of_thousands_of_digits_are_refused_with_a_sentence() -> None:
    layers = [layer for _ in range(13) for layer in (Dense(1, bias=False), Square())]
    model = Sequential(layers, (1,), info=ModelInfo(levels=255))
    model.set_parameters([np.array([[3]])] * 13)  # logits of more than 4300 digits
    with pytest.raises(RangeError, match="the logits can reach a number of thousands of digits"):
        make_plan(model, PARAMS)
    with pytest.raises(RangeError, match="outputs may reach a number of thousands of digits"):
        model.forward(np.array([[255]]))
    for mode in ("batch", "single"):
        with pytest.raises(RangeError, match="take more than 32 batching primes"):
            split.make_plans(model, mode=mode)
    for bad in (10**5000, -(10**5000)):
        attempts: list[Callable[[], Any]] = [
            lambda bad=bad: Sequential([Square()], bad),
            lambda bad=bad: Sequential(bad, (1,)),
            lambda bad=bad: Sequential([bad], (1,)),
            lambda bad=bad: make_plan(model, mode=bad),
            lambda bad=bad: make_plan(model, spare_bits=bad),
            lambda bad=bad: make_plan(model, scheme=bad),
            lambda bad=bad: Conv2D(1, 2, pad_end=bad),
        ]
        for attempt in attempts:
            with pytest.raises(ParameterError, match="thousands of digits"):
                attempt()


def test_what_is_seen_of_a_network_beyond_int64_is_what_python_integers_reach() -> None:
    model = dense([[2**20], [1]], [[2**30]], levels=2**10)
    plan_levels = np.full((1, 1, 2, 1), 2**10, dtype=np.int64)
    params = make_params("INSECURE_WIDE", 64, 2**45, security=None, log2_q=400)
    plan = make_plan(model, params, pixels=plan_levels, joined_with=2**60)
    seen = plan.steps[-1].seen_bits
    exact = model.forward(plan_levels.astype(object)).item()
    assert exact > 2**63
    assert seen == pytest.approx(1 + math.log2(exact))


def test_training_floats_pay_nothing_and_warn_of_nothing() -> None:
    model = Sequential([Flatten(), Dense(3), Square()], (2, 2, 1), np.random.default_rng(0))
    images = np.random.default_rng(1).random((4, 2, 2, 1), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.forward(images).dtype == np.float32


def test_every_refusal_here_is_one_of_ours(tmp_path: Path) -> None:
    """A network with levels that are none is not even written."""
    model = dense([[1], [1]])
    object.__setattr__(model.info, "levels", 0)
    with pytest.raises(FheError, match="no reader would accept .* levels .* of at least 1"):
        model.save(tmp_path / "network.npz")
    assert quantize_pixels(np.array([16]), 16, replace(model.info, levels=3).levels) == 3
