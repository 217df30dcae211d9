"""The central test of the project: encrypted logits equal those of the integer network."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.data.sets import load_digits, load_mnist
from nn.inference.encrypted import Report, decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.planning.plan import make_plan
from nn.planning.program import program_of, stages
from nn.planning.steps import hidden_tiles
from nn.training.quantize import quantize_pixels
from yashe.arithmetic.parallel import workers
from yashe.errors import (
    EncodingError,
    FormError,
    KeyMismatchError,
    ParameterError,
    TransparentCiphertextError,
)
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

PARAMS = make_params("INSECURE_network", 64, 2**20, security=None, log2_q=190)
SCHEMES = {"BGV": BGV(PARAMS), "BFV": BFV(PARAMS)}
KEYS_OF = {name: scheme.keygen(bytes(32)) for name, scheme in SCHEMES.items()}
SCHEME, KEYS = SCHEMES["BGV"], KEYS_OF["BGV"]

ARCHITECTURES = {
    "dense": lambda: [Flatten(), Dense(3)],
    "one square": lambda: [Flatten(), Dense(4), Square(), Dense(3)],
    "cryptonets": lambda: [
        Conv2D(2, kernel=3, stride=2, pad_end=1),
        Square(),
        Flatten(),
        Dense(5),
        Square(),
        Dense(3),
    ],
    "square first": lambda: [Square(), Flatten(), Dense(3)],
    "pool between": lambda: [Conv2D(2, kernel=2), Square(), MeanPool(2), Flatten(), Dense(3)],
    "square last": lambda: [Flatten(), Dense(3), Square()],
    "two squares": lambda: [Flatten(), Square(), Square()],
    "convolution after a square": lambda: [Conv2D(2, kernel=2), Square(), Conv2D(1, kernel=2)],
    "two convolutions": lambda: [
        Conv2D(2, kernel=3),
        Square(),
        Conv2D(1, kernel=2),
        Square(),
        Flatten(),
        Dense(2),
    ],
}


def network(name, seed, side=5):
    """A small integer network with weights that leave no output without an input."""
    model = Sequential(ARCHITECTURES[name](), (side, side, 1), info=ModelInfo(levels=3))
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        for key, value in layer.parameters.items():
            drawn = generator.choice([-2, -1, 1, 2], size=value.shape).astype(np.int64)
            drawn[generator.random(value.shape) < 0.2 * (key == "weight")] = 0
            if key == "weight":
                drawn[0, ~drawn.any(axis=0)] = 1
            layer.parameters[key] = drawn
    return model


def squares_of(model):
    """How many squares follow each other."""
    return sum(isinstance(layer, Square) for layer in model.layers)


ANY = 2**200  # other moduli that would hold the rest of the logits


def centred(x):
    """Integers modulo t, which is where small networks with wild weights end up."""
    half = PARAMS.t // 2
    return (x + half) % PARAMS.t - half


@settings(max_examples=25)
@given(
    which=st.sampled_from(sorted(SCHEMES)),
    name=st.sampled_from(sorted(ARCHITECTURES)),
    seed=st.integers(0, 2**16),
    images=st.integers(1, 64),
    public=st.booleans(),
)
def test_the_encrypted_network_computes_what_the_integer_network_computes(
    which, name, seed, images, public
):
    model, scheme, keys = network(name, seed), SCHEMES[which], KEYS_OF[which]
    pixels = np.random.default_rng(seed).integers(0, 4, size=(images, 5, 5, 1))
    ct = encrypt_images(scheme, model, pixels, keys.public if public else keys.secret)
    reply = infer(scheme, model, ct, keys.relinearization, joined_with=ANY)
    logits = decrypt_logits(scheme, reply, keys.secret, images)
    assert reply.degree == (2 if squares_of(model) == 1 else 1)
    assert np.array_equal(logits, centred(model.forward(pixels)))


@pytest.mark.parametrize("which", sorted(SCHEMES))
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_server_needs_a_key_for_the_second_square_at_most_and_in_bgv_for_none(name, which):
    model, scheme, keys = network(name, 3), SCHEMES[which], KEYS_OF[which]
    pixels = np.random.default_rng(3).integers(0, 4, size=(9, 5, 5, 1))
    ct = encrypt_images(scheme, model, pixels, keys.secret)
    if 2 ** squares_of(model) <= scheme.largest_degree:
        reply = reply_of(scheme, infer(scheme, model, ct, None, joined_with=ANY))
        logits = decrypt_logits(scheme, reply, keys.secret, 9)
        assert np.array_equal(logits, centred(model.forward(pixels)))
    else:
        with pytest.raises(FormError, match="2 squares .* degree 4, .* of BFV 2 at most: give a"):
            infer(scheme, model, ct, None, joined_with=ANY)


@pytest.mark.parametrize("which", sorted(SCHEMES))
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_tiles_change_nothing_not_even_a_bit(name, which, monkeypatch):
    model, scheme, keys = network(name, 7), SCHEMES[which], KEYS_OF[which]
    pixels = np.random.default_rng(7).integers(0, 4, size=(64, 5, 5, 1))
    ct = encrypt_images(scheme, model, pixels, keys.secret, bytes(32))
    found = []
    for units in (1000, 1, 3):
        monkeypatch.setattr("nn.planning.steps.hidden_tiles", lambda x, u=units: hidden_tiles(x, u))
        reply = infer(scheme, model, ct, keys.relinearization, joined_with=ANY)
        found.append(reply.params.ring.basis.compose(reply.rows[reply.index]))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@pytest.mark.parametrize("which", sorted(SCHEMES))
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_fused_program_encrypts_what_layer_after_layer_encrypts_with_no_more_noise(name, which):
    model, scheme, keys = network(name, 7), SCHEMES[which], KEYS_OF[which]
    pixels = np.random.default_rng(7).integers(0, 4, size=(64, 5, 5, 1))
    ct = encrypt_images(scheme, model, pixels, keys.secret, bytes(32))
    plain, fused = (program_of(model, scheme, fused) for fused in (False, True))
    assert len(plain.steps) >= len(model.layers)
    expected, found = (program.run(ct, keys.relinearization) for program in (plain, fused))
    decrypted = [scheme.decrypt(reply, keys.secret) for reply in (expected, found)]
    assert np.array_equal(*decrypted)
    assert np.allclose(expected.noise_budget, found.noise_budget)
    for program, logits in ((plain, expected), (fused, found)):
        assert np.allclose(program.forecasts()[-1].noise_budget, logits.noise_budget)
    if scheme.ntt_form:  # nothing is rounded between two relinearisations
        compose = found.params.ring.basis.compose
        assert found.factor == expected.factor
        assert np.array_equal(
            compose(expected.rows[expected.index]), compose(found.rows[found.index])
        )


def test_two_workers_give_what_one_gives():
    model = network("cryptonets", 3)
    pixels = np.random.default_rng(3).integers(0, 4, size=(64, 5, 5, 1))
    replies = []
    for count in (1, 2):
        with workers(count):
            ct = encrypt_images(SCHEME, model, pixels, KEYS.secret, bytes(32))
            replies.append(infer(SCHEME, model, ct, KEYS.relinearization, joined_with=ANY))
    assert np.array_equal(replies[0].rows, replies[1].rows)


def test_the_report_books_every_step_and_the_whole_progress():
    model = network("cryptonets", 3)
    shares = []
    report = Report(progress=shares.append)
    ct = encrypt_images(SCHEME, model, np.ones((1, 5, 5, 1), dtype=np.int64), KEYS.secret)
    reply = infer(SCHEME, model, ct, KEYS.relinearization, report, joined_with=ANY)
    steps = program_of(model, SCHEME).steps
    assert [step.what for step in report.steps] == [step.what for step in steps]
    assert [step.ciphertexts for step in report.steps] == [5, 5, 3, 3]
    assert math.isclose(sum(shares), 1)
    assert len(shares) > 5 + 3  # every relinearisation moves it
    assert report.steps[-1].budget_bits == pytest.approx(reply.noise_budget.min())


def test_stages_join_a_square_with_the_dense_layer_behind_it():
    assert stages(network("cryptonets", 0).layers) == [(0, 4), (4, 6)]
    assert stages(network("pool between", 0).layers) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert stages(network("square first", 0).layers) == [(0, 3)]


@pytest.mark.parametrize("units", [1, 4, 100])
def test_tiles_cover_every_unit_once(units):
    layer = network("cryptonets", 0).layers[0]
    tiles = list(hidden_tiles(layer, units))
    numbers = np.concatenate([tile.outputs.ravel() for tile in tiles])
    assert sorted(numbers) == list(range(math.prod(layer.output_shape)))
    assert all(tile.outputs.size <= units for tile in tiles)


def test_no_images_and_too_many_are_refused():
    model = network("dense", 0)
    for count in (0, 65):
        with pytest.raises(EncodingError, match=f"1 to 64 images .* not {count}"):
            encrypt_images(SCHEME, model, np.zeros((count, 5, 5, 1), dtype=np.int64), KEYS.secret)


def test_ciphertexts_of_another_shape_are_refused():
    small = network("dense", 0, side=4)
    ct = encrypt_images(SCHEME, small, np.zeros((2, 4, 4, 1), dtype=np.int64), KEYS.secret)
    with pytest.raises(ParameterError, match=r"takes shape \(5, 5, 1\), got \(4, 4, 1\)"):
        infer(SCHEME, network("dense", 0), ct, KEYS.relinearization)


def test_another_key_is_refused():
    model = network("cryptonets", 0)
    ct = encrypt_images(SCHEME, model, np.zeros((2, 5, 5, 1), dtype=np.int64), KEYS.secret)
    other = SCHEME.keygen(b"x" * 32)
    with pytest.raises(KeyMismatchError, match="RelinearizationKey"):
        infer(SCHEME, model, ct, other.relinearization, joined_with=ANY)


def test_an_output_without_inputs_is_refused():
    model = network("one square", 0)
    model.layers[-1].parameters["weight"][:, 1] = 0
    ct = encrypt_images(SCHEME, model, np.zeros((2, 5, 5, 1), dtype=np.int64), KEYS.secret)
    with pytest.raises(
        TransparentCiphertextError,
        match=r"layer 3, Dense, has an output, \(1,\), that depends on no pixel",
    ):
        infer(SCHEME, model, ct, KEYS.relinearization)


def test_digits_agree_in_every_logit_at_128_bit_security():
    """The whole of `cryptonets demo`, on the parameters that the plan finds."""
    dataset, model = load_digits(), pretrained("digits")
    pixels = quantize_pixels(dataset.test_images, dataset.pixel_max, model.info.levels)
    plan = make_plan(model)
    assert plan.params.security == 128
    scheme = BGV(plan.params)
    with workers():
        keys = scheme.keygen()
        ct = encrypt_images(scheme, model, pixels, keys.secret)
        reply = infer(scheme, model, ct, keys.relinearization)
        logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))
    assert np.array_equal(logits, model.forward(pixels))
    assert (logits.argmax(axis=1) == dataset.test_labels).mean() == model.info.test_accuracy
    assert scheme.noise_budget(reply, keys.secret).min() >= plan.final_budget_bits


def test_light_needs_half_of_n_half_of_q_and_no_key():
    """What the network `light` is there for."""
    model, two = pretrained("light"), make_plan(pretrained("cryptonets"))
    plan = make_plan(model)
    assert (plan.params.security, plan.params.n, two.params.n) == (128, 4096, 8192)
    assert 2 * plan.params.log2_q < two.params.log2_q
    assert plan.bytes["keys"] == 0
    assert plan.bytes["images"] / plan.params.n <= 9000 < 2 * 9000 < two.bytes["images"] / 8192


@pytest.mark.slow
def test_light_gives_every_logit_of_a_full_batch_at_128_bits():
    model = pretrained("light")
    plan = make_plan(model)
    pixels = np.random.default_rng(0).integers(0, 4, (plan.params.n, *model.input_shape))
    scheme = BGV(plan.params)
    with workers():
        keys = scheme.keygen()
        ct = encrypt_images(scheme, model, pixels, keys.secret)
        reply = reply_of(scheme, infer(scheme, plan, ct, None))
        logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))
    assert reply.degree == 2
    assert np.array_equal(logits, model.forward(pixels))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cryptonets", "lean", "light"])
def test_mnist_agrees_in_every_logit_at_128_bit_security(name, mnist_folder):
    """A full batch of images through the networks of `cryptonets mnist`."""
    dataset, model = load_mnist(mnist_folder), pretrained(name)
    plan = make_plan(model)
    images = dataset.test_images[: plan.params.n]
    pixels = quantize_pixels(images, dataset.pixel_max, model.info.levels)
    scheme = BGV(plan.params)
    with workers():
        keys = scheme.keygen()
        ct = encrypt_images(scheme, model, pixels, keys.secret)
        reply = infer(scheme, model, ct, keys.relinearization)
        logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))
    assert np.array_equal(logits, model.forward(pixels))
    right = (logits.argmax(axis=1) == dataset.test_labels[: len(images)]).mean()
    assert right >= model.info.test_accuracy - 0.01  # the first images are the harder ones
    assert scheme.noise_budget(reply, keys.secret).min() >= plan.final_budget_bits > 0


def test_images_with_a_declared_range_are_images():
    model = network("one square", 0)
    pixels = np.random.default_rng(1).integers(0, 4, size=(9, 5, 5, 1))
    ct = encrypt_images(SCHEME, model, pixels, KEYS.secret).declared(0, 3)
    reply = infer(SCHEME, model, ct, KEYS.relinearization, joined_with=ANY)
    logits = decrypt_logits(SCHEME, reply, KEYS.secret, 9)
    assert np.array_equal(logits, centred(model.forward(pixels)))


@pytest.mark.parametrize("images", [0, -1, 65, 10**6, 1.5, "a", None, True])
def test_logits_of_images_that_are_not_there_are_refused(images):
    ct = SCHEME.encrypt([[1], [2]], KEYS.secret)
    with pytest.raises(ParameterError, match="the number of images must be a whole number from 1"):
        decrypt_logits(SCHEME, ct, KEYS.secret, images)


def test_what_is_no_scheme_network_or_ciphertext_is_refused_by_its_name():
    model, pixels = network("one square", 0), np.zeros((2, 5, 5, 1), dtype=np.int64)
    ct = encrypt_images(SCHEME, model, pixels, KEYS.secret)
    for call, words in (
        (lambda: encrypt_images(None, model, pixels, KEYS.secret), "the scheme must be a Scheme"),
        (lambda: infer("BGV", model, ct, KEYS.relinearization), "the scheme must be a Scheme"),
        (lambda: infer(SCHEME, None, ct, KEYS.relinearization), "the network must be a Sequential"),
        (lambda: infer(SCHEME, model, pixels, KEYS.relinearization), "takes a Ciphertext here"),
        (lambda: reply_of(SCHEME, 5), "takes a Ciphertext here"),
        (lambda: reply_of(BGV, ct), "the scheme must be a Scheme"),
        (lambda: make_plan(model).server_keys(None), "the keys of a client must be"),
        (lambda: make_plan(None), "the network must be a Sequential"),
        (lambda: make_plan(model, params=5), "params must be a Params or NoneType"),
        (lambda: make_plan(model, public="no"), "public must be True or False"),
        (lambda: make_plan(model, scheme="BGV"), "scheme must be the class of a scheme"),
        (lambda: make_plan(model, scheme=None), "scheme must be the class of a scheme"),
    ):
        with pytest.raises((ParameterError, KeyMismatchError), match=words):
            call()


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_pixels_may_be_larger_than_slots_if_the_logits_are_not(mode):
    model = Sequential([Flatten(), Dense(1)], (1, 1, 1), info=ModelInfo(levels=255))
    model.layers[1].parameters = {"weight": np.array([[1]]), "bias": np.array([-128])}
    params = make_params("INSECURE_SLOTS", 128, 257, security=None, log2_q=60)
    assert params.t // 2 == 128  # the logits' -128..127 fit, the pixels' 0..255 do not
    plan, scheme = make_plan(model, params, mode=mode), BGV(params)
    keys, image = scheme.keygen(), np.array([[[[255]]]])
    ct = encrypt_images(scheme, plan, image, keys.secret)
    reply = reply_of(scheme, infer(scheme, plan, ct, plan.server_keys(keys)))
    assert decrypt_logits(scheme, reply, keys.secret, 1, plan).tolist() == [[127]]
