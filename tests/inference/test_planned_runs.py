"""What a plan accepts runs encrypted as the integers do, with the noise that was predicted."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.networks.base import Layer
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from nn.planning.plan import Plan, make_plan
from nn.planning.program import program_of
from strategies_networks import images
from yashe.errors import FheError, ParameterError
from yashe.parameters.sets import make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE

SCHEMES: dict[str, type[BGV] | type[BFV] | type[YASHE]] = {"BGV": BGV, "BFV": BFV, "YASHE": YASHE}
# With room for everything, and with too little of q, or of t, for some.
PARAMS = [
    make_params("INSECURE_PLANNED", 16, t, security=None, log2_q=log2_q)
    for t, log2_q in ((2**40, 330), (2**40, 150), (2**40, 120), (2**12, 150))
]


@cache
def keys_of(scheme: BGV | BFV | YASHE) -> Any:
    """The keys of one of the schemes below; the same ones each time."""
    return scheme.keygen(bytes(32))


@cache
def scheme_of(which: str, number: int) -> BGV | BFV | YASHE:
    """One of the schemes, with one of the parameters."""
    return SCHEMES[which](PARAMS[number])


def test_a_plan_is_not_for_parameters_that_have_changed_since() -> None:
    model = Sequential([Dense(1)], (1,), info=ModelInfo(levels=3))
    model.layers[0].parameters = {
        key: np.ones_like(x, dtype=np.int64) for key, x in model.layers[0].parameters.items()
    }
    scheme = scheme_of("BGV", 0)
    plan, keys = make_plan(model, scheme.params), keys_of(scheme)
    ct = encrypt_images(scheme, plan, np.array([[3], [1]]), keys.secret)
    assert scheme.decrypt(infer(scheme, plan, ct, None), keys.secret)[0, :2].tolist() == [4, 2]
    model.layers[0].parameters["weight"] *= 2**40  # too large for t, and nobody would notice
    with pytest.raises(ParameterError, match="has changed since this plan was made"):
        infer(scheme, plan, ct, None)


def test_a_plan_is_not_for_layers_or_levels_that_have_changed_since() -> None:
    scheme = scheme_of("BGV", 0)
    for change in ("levels", "has_bias", "layers"):
        model = Sequential([Dense(1), Square()], (1,), info=ModelInfo(levels=3))
        model.set_parameters([np.ones((1, 1), dtype=np.int64), np.ones(1, dtype=np.int64)])
        plan = make_plan(model, scheme.params)
        ct = encrypt_images(scheme, plan, np.array([[3], [1]]), keys_of(scheme).secret)
        infer(scheme, plan, ct, None)
        if change == "levels":
            model.info = ModelInfo(levels=255)
        elif change == "has_bias":
            model.layers[0].has_bias = False  # type: ignore[attr-defined]
        else:
            model.layers = model.layers[:1]
        with pytest.raises(ParameterError, match="has changed since this plan was made"):
            infer(scheme, plan, ct, None)


@st.composite
def weights(draw: st.DrawFn, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Small integers, most of them zero in half of the cases, and sometimes a column of zeros."""
    share = draw(st.sampled_from([0.0, 0.0, 0.3, 0.8]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = generator.integers(-3, 4, shape, dtype=np.int64)
    found[generator.random(shape) < share] = 0
    return found


@st.composite
def networks(draw: st.DrawFn) -> Sequential:
    """Networks with every kind of layer, in any order, with up to two squares."""
    first = side = draw(st.integers(1, 4))
    layers, squares = list[Layer](), draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 2))):
        kernel = draw(st.integers(1, 2))
        before, after = (draw(st.integers(0, kernel - 1)) for _ in range(2))
        stride = draw(st.integers(1, 2))
        if side + before + after >= kernel:
            maps, bias = draw(st.integers(1, 2)), draw(st.booleans())
            layers.append(Conv2D(maps, kernel, stride, after, bias, before))
            side = 1 + (side + before + after - kernel) // stride
        if squares and draw(st.booleans()):
            layers.append(Square())
            squares -= 1
        if side % 2 == 0 and draw(st.booleans()):
            layers.append(MeanPool(2))
            side //= 2
    layers.append(Flatten())
    if draw(st.booleans()):
        layers.append(Dense(draw(st.integers(1, 3)), draw(st.booleans())))
    for _ in range(squares):
        layers += [Square(), Dense(draw(st.integers(1, 3)), draw(st.booleans()))]
    model = Sequential(layers, (first, first, 1), info=ModelInfo(levels=2))
    for layer in model.layers:
        for name, zeros in layer.parameters.items():
            layer.parameters[name] = draw(weights(zeros.shape))
    return model


def plan_of(model: Sequential, scheme: BGV | BFV | YASHE, public: bool) -> Plan | None:
    """The plan, or None where it is refused: by an error of ours, or this fails."""
    try:
        return make_plan(model, scheme.params, public=public, scheme=type(scheme))
    except FheError as error:
        event(type(error).__name__)
        return None


@pytest.mark.parametrize("which", sorted(SCHEMES))
@settings(max_examples=40)
@given(
    model=networks(),
    number=st.integers(0, len(PARAMS) - 1),
    public=st.booleans(),
    data=st.data(),
)
def test_what_a_plan_accepts_runs_as_the_integers_do_with_the_predicted_noise(
    which: str, model: Sequential, number: int, public: bool, data: st.DataObject
) -> None:
    scheme, public = scheme_of(which, number), public or which == "YASHE"
    plan = plan_of(model, scheme, public)
    if plan is None:
        return
    keys = keys_of(scheme)
    pixels = data.draw(images(model, 2))
    ct = encrypt_images(scheme, model, pixels, keys.public if public else keys.secret)
    key = plan.server_keys(keys)
    logits = infer(scheme, model, ct, key)
    event(f"degree {logits.degree}")
    assert float(ct.noise_budget.min()) == plan.steps[0].budget_bits
    # The same numbers in another order are added to another rounding, and nothing else.
    assert abs(float(logits.noise_budget.min()) - plan.final_budget_bits) < 1e-9
    # Layer after layer gives the same, and every bound holds for it as well.
    plain = program_of(model, scheme, fused=False, relinearize=key is not None)
    slow = plain.run(ct, key)
    predicted = plain.forecasts(public)[-1].noise_budget
    assert np.allclose(predicted, slow.noise_budget)
    assert (slow.noise_budget <= scheme.noise_budget(slow, keys.secret)).all()
    assert np.array_equal(
        decrypt_logits(scheme, slow, keys.secret, len(pixels)), model.forward(pixels)
    )
    answer = reply_of(scheme, logits)
    found = decrypt_logits(scheme, answer, keys.secret, len(pixels))
    assert np.array_equal(found, model.forward(pixels))
    assert scheme.noise_budget(logits, keys.secret).min() >= plan.final_budget_bits


@settings(max_examples=40)
@given(model=networks())
def test_schemes_accept_the_same_networks(model: Sequential) -> None:
    accepted = {plan_of(model, scheme_of(which, 0), False) is not None for which in SCHEMES}
    assert len(accepted) == 1
