"""What a reply says beside its residues is made of public numbers, not of the weights."""

import io
from bisect import bisect_left
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.inference.flooding import Flooding, needed_spare
from nn.inference.replies import reply_of
from nn.networks.base import Linear
from nn.networks.layers import Conv2D, Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.networks.pretrained import pretrained
from nn.planning.descent import PROMISED_BITS, levels_of_squares, promised_bits, promised_bound
from nn.planning.plan import SPARE_BITS, make_plan
from nn.planning.program import program_of
from nn.planning.proofs import check_depends
from yashe import wire
from yashe.ciphertexts import noise
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import Gadget
from yashe.errors import NoiseBudgetExhausted, TransparentCiphertextError
from yashe.parameters.sets import Params, make_params
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.yashe import YASHE
from yashe.wire.envelope import FrameReader
from yashe.wire.header import read_contents

LARGEST = 31


def network(seed: int, largest: int, squares: int = 2) -> Sequential:
    """A network of one shape with weights up to `largest`, none of them zero."""
    layers = [Conv2D(2, 2), Square(), Flatten(), Dense(3), Square(), Dense(2)]
    layers = layers if squares == 2 else layers[:4]
    model = Sequential(layers, (3, 3, 1), info=ModelInfo(name="one", levels=2))
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, Linear):
            layer.parameters = {
                name: generator.choice([-1, 1], value.shape)
                * generator.integers(1, largest + 1, value.shape, dtype=np.int64)
                for name, value in layer.parameters.items()
            }
    try:
        check_depends(model)
    except TransparentCiphertextError:  # squares of h and -h that cancel
        return network(seed + 2**32, largest, squares)
    return model


def largest_network() -> Sequential:
    """The one that is noisiest."""
    model = network(0, 1)
    for layer in model.layers:
        layer.parameters = {name: LARGEST * value for name, value in layer.parameters.items()}
    return model


def tightest(kind: type[BGV] | type[BFV] | type[YASHE], spare: float = SPARE_BITS) -> Params:
    """The fewest bits of q with which the noisiest network runs: every bit of noise counts."""

    def params(log2_q: int) -> Params:
        return make_params("INSECURE_replies", 64, 2**56, security=None, log2_q=log2_q)

    def runs(log2_q: int) -> bool:
        try:
            make_plan(largest_network(), params(log2_q), public=True, scheme=kind, spare_bits=spare)
        except NoiseBudgetExhausted:
            return False
        return True

    bits = range(60, 600)
    return params(bits[bisect_left(bits, True, key=runs)])


FLOOD = 20  # bits
SPARE = {"flooded BGV": needed_spare(FLOOD, 2 * 64, 64)}
KINDS: dict[str, type[BGV] | type[BFV] | type[YASHE]] = {
    "BGV": BGV,
    "BFV": BFV,
    "YASHE": YASHE,
    "flooded BGV": BGV,
}
SCHEMES = {name: kind(tightest(kind, SPARE.get(name, 1.0))) for name, kind in KINDS.items()}
KEYS_OF = {name: scheme.keygen(bytes(32)) for name, scheme in SCHEMES.items()}


def said(ct: Ciphertext) -> tuple[bytes, bytes]:
    """All bytes of the frame of some ciphertexts but their residues and the hash."""
    data = wire.to_bytes(ct)
    contents = read_contents(FrameReader(io.BytesIO(data)))
    start = len(data) - 32 - contents.body_bytes
    records = np.frombuffer(data[start:-32], dtype=contents.record)
    return data[:start], records["head"].tobytes()


def reply(model: Sequential, which: str = "BGV") -> Ciphertext:
    scheme, keys = SCHEMES[which], KEYS_OF[which]
    pixels = np.full((1, *model.input_shape), 1, dtype=np.int64)
    ct = encrypt_images(scheme, model, pixels, keys.public)
    program = program_of(model, scheme)
    logits = infer(scheme, model, ct, keys.relinearization if program.needs_keys else None)
    wish = Flooding(keys.public, FLOOD) if which == "flooded BGV" else None
    answer = reply_of(scheme, logits, wish)
    assert np.array_equal(decrypt_logits(scheme, answer, keys.secret, 1), model.forward(pixels))
    return answer


@pytest.mark.parametrize("which", sorted(SCHEMES))
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), largest=st.sampled_from([1, 3, 7, 31]))
def test_replies_of_one_shape_say_the_same_whatever_the_weights_are(
    which: str, seed: int, largest: int
) -> None:
    expected = said(reply(largest_network(), which))
    assert said(reply(network(seed, largest), which)) == expected


@pytest.mark.parametrize("which", sorted(SCHEMES))
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), largest=st.sampled_from([1, 31]))
def test_replies_that_nobody_relinearised_say_the_same_whatever_the_weights_are(
    which: str, seed: int, largest: int
) -> None:
    expected, found = (
        reply(network(*each, squares=1), which) for each in ((0, 7), (seed, largest))
    )
    assert found.degree == 2
    assert said(found) == said(expected)


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 7, 31]))
def test_a_reply_never_claims_less_noise_than_was_predicted(seed: int, largest: int) -> None:
    model, scheme, keys = network(seed, largest), SCHEMES["BGV"], KEYS_OF["BGV"]
    ct = encrypt_images(scheme, model, np.ones((1, 3, 3, 1), dtype=np.int64), keys.secret)
    logits = infer(scheme, model, ct, keys.relinearization)
    answer = reply_of(scheme, logits)
    predicted = scheme.switch_modulus(logits, answer.params.k)
    assert (answer.bound.deviation >= predicted.bound.deviation).all()
    assert (answer.noise_budget <= predicted.noise_budget).all()
    assert (answer.noise_budget >= noise.least_budget(64)).all()
    assert (answer.noise_budget <= scheme.noise_budget(answer, keys.secret)).all()


def test_the_promised_bound_leaves_the_promised_budget() -> None:
    for n in (64, 8192):
        for order in (0, 1, 3, 6):
            assert float(promised_bound(n, order).budget(n)) == pytest.approx(promised_bits(n))
        assert noise.least_budget(n) + PROMISED_BITS == promised_bits(n)
    assert PROMISED_BITS < SPARE_BITS


@pytest.mark.parametrize("beyond", [-0.01, 0.01])
def test_logits_below_the_promise_are_no_reply(beyond: float) -> None:
    scheme, keys = SCHEMES["BGV"], KEYS_OF["BGV"]
    ct = scheme.encrypt([[1]], keys.secret)
    growth = 2.0 ** (float(ct.noise_budget[0]) - promised_bits(64) - beyond)
    ct = replace(ct, bound=ct.bound * growth)
    if beyond > 0:
        assert float(reply_of(scheme, ct).noise_budget[0]) < promised_bits(64)
        return
    with pytest.raises(NoiseBudgetExhausted, match="the promise of a reply leaves"):
        reply_of(scheme, ct)
    with noise.unchecked():  # even then the bound is not made smaller
        answer = reply_of(scheme, ct)
        predicted = scheme.switch_modulus(ct, answer.params.k)
    assert (answer.bound.deviation >= predicted.bound.deviation).all()


# The primes of the squares.


def test_squares_are_computed_at_the_same_primes_whatever_the_weights_are() -> None:
    found = {
        tuple(step.level for step in program_of(network(seed, largest), SCHEMES["BGV"]).steps)
        for seed in range(3)
        for largest in (1, 31)
    }
    assert len(found) == 1
    (primes,) = found
    assert primes[0] == SCHEMES["BGV"].params.k > primes[-1]


@given(st.sampled_from([BGV, BFV]), st.integers(0, 4), st.integers(60, 400))
def test_every_square_has_its_primes_and_they_only_become_fewer(
    kind: type[BGV] | type[BFV], squares: int, log2_q: int
) -> None:
    params = make_params("INSECURE_descent", 64, 2**20, security=None, log2_q=log2_q)
    levels = levels_of_squares(kind, params, squares)
    primes = [level.primes for level in levels]
    assert len(primes) == squares
    assert all(1 <= level.width <= params.k for level in levels)
    assert list(primes) == sorted(primes, reverse=True)
    assert all(1 <= k <= params.k for k in primes)
    assert primes[:1] in ([], [params.k])  # nothing is dropped before the first one
    if kind is BFV:
        assert set(primes) <= {params.k}


def test_the_public_choice_is_the_best_one_for_the_pretrained_networks() -> None:
    """It could cost a prime; it costs nothing where it was meant to be good."""
    for name in ("digits", "lean", "cryptonets"):
        model = pretrained(name)
        params = make_plan(model).params
        scheme = BGV(params)
        (first, _), (chosen, _) = levels_of_squares(BGV, params, 2)
        sums = program_of(model, scheme).forecasts()[1].bound
        before = sums + scheme.switching_bound(Gadget(summed=True))
        assert (first, chosen) == (params.k, scheme.best_for_products(before))
