"""What one image at once needs no image for: the same ciphertexts, for one image only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.inference.ahead import Ahead, Announcement
from nn.inference.encrypted import encrypt_images, infer
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.packing.stages import PackingError
from nn.planning import packed
from nn.planning.plan import Plan, make_plan
from strategies_networks import images, insecure_params_for, networks
from yashe.arithmetic.rings import NttElement
from yashe.ciphertexts.slots import interpolate
from yashe.errors import (
    EncodingError,
    KeyMismatchError,
    KindError,
    ParameterError,
    TransparentCiphertextError,
)
from yashe.schemes.bgv import BGV

SEED = bytes(range(32))


def toy(layers, shape=(2, 2, 1)) -> Plan:
    """A plan with toy parameters; all weights are 1."""
    model = Sequential(layers, shape, info=ModelInfo(levels=1))
    for layer in model.layers:
        for name, value in layer.parameters.items():
            layer.parameters[name] = np.ones(value.shape, dtype=np.int64)
    return make_plan(model, insecure_params_for(model, 64), mode="single")


def same(a, b, moduli) -> bool:
    """Whether residues are the same, whatever represents them."""
    return not ((a - b) % moduli).any()


@settings(max_examples=10)
@given(data=st.data())
def test_what_is_done_ahead_changes_no_residue_of_the_logits(data: st.DataObject) -> None:
    model = data.draw(networks())
    image = data.draw(images(model, 1))
    try:
        run = make_plan(model, insecure_params_for(model, 64), mode="single")
    except PackingError:
        return
    scheme = BGV(run.params)
    keys = scheme.keygen(SEED)
    server, announced = run.server_keys(keys), Announcement(scheme, run, keys.secret, SEED)
    if not any(isinstance(step, packed.TwoPartsStep) for step in run.program.steps):
        with pytest.raises(ParameterError, match="whose first matrix sums squares was required"):
            Ahead(run, announced.seeds, server)
        return
    ahead = Ahead(run, announced.seeds, server)
    ct, usual = announced.encrypt(image), encrypt_images(scheme, run, image, keys.secret, SEED)
    assert np.array_equal(ct.rows, usual.rows)
    assert np.array_equal(ct.public_seed, usual.public_seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "fresh_seed", lambda: SEED)  # one mask for both
        found, expected = ahead.infer(ct), infer(scheme, run, usual, server)
    assert same(found.rows, expected.rows, found.params.ring.moduli)
    assert (found.factor, found.degree, found.params) == (
        expected.factor, expected.degree, expected.params,
    )  # fmt: skip
    assert np.array_equal(found.noise_budget, expected.noise_budget)


@pytest.fixture(scope="module")
def sides():
    """Scheme, plan, keys and the server's keys of a toy network."""
    run = toy([Square(), Flatten(), Dense(2)])
    scheme = BGV(run.params)
    keys = scheme.keygen(SEED)
    return scheme, run, keys, run.server_keys(keys)


def test_an_announcement_and_the_work_for_it_are_for_one_image(sides) -> None:
    scheme, run, keys, server = sides
    image = np.ones((1, 2, 2, 1), dtype=np.int64)
    announced, other = (Announcement(scheme, run, keys.secret) for _ in range(2))
    assert (announced.seeds != other.seeds).any()
    ahead = Ahead(run, announced.seeds, server)
    with pytest.raises(EncodingError, match="one image at once was planned, not 2"):
        announced.encrypt(np.concatenate([image, image]))  # and nothing is used up
    ct = announced.encrypt(image)
    with pytest.raises(ParameterError, match="an announcement is for one image"):
        announced.encrypt(image)
    with pytest.raises(ParameterError, match="other seeds than those that were announced"):
        ahead.infer(other.encrypt(image))
    with pytest.raises(ParameterError, match="other seeds than those that were announced"):
        ahead.infer(ct + ct)  # has none
    ahead.infer(ct)
    with pytest.raises(ParameterError, match="two images under one seed show their difference"):
        ahead.infer(ct)
    assert all(repr(one).endswith("used)") for one in (announced, other, ahead))


def test_why_a_seed_is_used_once(sides) -> None:
    """The difference of two images under one seed is there for everybody, without a key."""
    scheme, run, keys, _ = sides
    announced, white = (
        Announcement(scheme, run, keys.secret, SEED),
        np.ones((1, 2, 2, 1), dtype=np.int64),
    )
    again = Announcement(scheme, run, keys.secret, SEED)
    first, second = announced.encrypt(white), again.encrypt(0 * white)
    with pytest.raises(TransparentCiphertextError, match="anybody could read the result"):
        first - second
    q = scheme.params.ring
    difference = NttElement(q, first.rows[:, 0] - second.rows[:, 0]).intt().canonical()[:, :1]
    slots = run.program.network.packing.slots(white[0])
    assert same(difference, interpolate(scheme.params, slots), scheme.params.t)


def test_the_work_for_an_image_is_of_a_network_that_does_not_change() -> None:
    run, image = toy([Square(), Flatten(), Dense(2)]), np.ones((1, 2, 2, 1), dtype=np.int64)
    scheme = BGV(run.params)
    keys = scheme.keygen(SEED)
    server = run.server_keys(keys)
    announced = Announcement(scheme, run, keys.secret)
    ahead = Ahead(run, announced.seeds, server)
    run.program.model.layers[-1].parameters["bias"] += 1
    ct = announced.encrypt(image)
    with pytest.raises(ParameterError, match="has changed since this plan was made"):
        ahead.infer(ct)
    with pytest.raises(ParameterError, match="has changed since this plan was made"):
        Ahead(run, announced.seeds, server)


def test_seeds_of_something_else_are_refused(sides) -> None:
    scheme, run, keys, server = sides
    announced = Announcement(scheme, run, keys.secret)
    with pytest.raises(ParameterError, match="1 seeds were required, got 2"):
        Ahead(run, np.concatenate([announced.seeds, announced.seeds]), server)
    with pytest.raises(ParameterError, match="whose first matrix sums squares was required"):
        Ahead(toy([Flatten(), Dense(2)]), announced.seeds, server)
    deep = [Flatten(), Dense(1), Square(), Dense(1), Square(), Dense(1)]  # squares come later
    with pytest.raises(ParameterError, match="whose first matrix sums squares was required"):
        Ahead(toy(deep), announced.seeds, server)
    with pytest.raises(ParameterError, match="a plan of mode 'single'"):
        Ahead(make_plan(run.program.model, run.params), announced.seeds, server)
    with pytest.raises(KeyMismatchError, match="SecretKey"):
        Announcement(scheme, run, keys.public)
    image = announced.encrypt(np.ones((1, 2, 2, 1), dtype=np.int64))
    for wrong in (None, keys, keys.relinearization, keys.rotations):
        with pytest.raises(KeyMismatchError, match="one image at once takes the keys that"):
            Ahead(run, announced.seeds, wrong)
        with pytest.raises(KeyMismatchError, match="one image at once takes the keys that"):
            infer(scheme, run, image, wrong)
        if wrong is not keys:
            with pytest.raises(KindError, match="the keys of a client must be"):
                run.server_keys(wrong)
    stranger = scheme.keygen()
    ahead = Ahead(run, announced.seeds, run.server_keys(stranger))
    with pytest.raises(KeyMismatchError, match="does not belong to the ciphertext's keys"):
        ahead.infer(image)
