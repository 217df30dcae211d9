"""The page with all of it: the same residues as the packages, and nothing of them on it."""

import ast
import hashlib
import re
import runpy
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from nn import tiny
from nn.data.sets import load_digits
from nn.networks.base import Linear
from nn.networks.pretrained import pretrained
from nn.tiny import Array
from nn.training.quantize import quantize_pixels
from rooms import imported, lines, source
from yashe.arithmetic.blas import one_blas_thread
from yashe.arithmetic.primes import ntt_primes
from yashe.arithmetic.residues import canonical
from yashe.arithmetic.sampling import gaussian_table
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import Keys, Pair
from yashe.ciphertexts.slots import encode
from yashe.parameters.security import max_log2_q
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV

SEED, OTHER = (hashlib.sha256(text).digest() for text in (b"a seed", b"another one"))
PARAMS = Params("INSECURE_TINY", tiny.n, tiny.MODULI, tiny.PLAINTEXT_MODULI, None)
SCHEME = BGV(PARAMS)
NETWORK, DIGITS = pretrained("digits"), load_digits()
LINEAR = [layer for layer in NETWORK.layers if isinstance(layer, Linear)]
LAYERS = [(layer.weight, layer.parameters["bias"]) for layer in LINEAR]
IMAGES = quantize_pixels(DIGITS.test_images, DIGITS.pixel_max, NETWORK.info.levels)[..., 0]
PIXELS = np.moveaxis(IMAGES, 0, -1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine BLAS would spend most of the time waiting for its other threads."""
    with one_blas_thread:
        yield


@pytest.fixture(scope="module")
def keys() -> Keys:
    return SCHEME.keygen(SEED)


@pytest.fixture(scope="module")
def page_keys() -> tuple[Array, Array, Array]:
    return tiny.keygen(SEED)


def same(x: tiny.Ciphertexts, ct: Ciphertext) -> bool:
    """Whether all residues and the factors are equal."""
    c, factor = x
    moduli = ct.scheme.params.ring.moduli
    rows = canonical(ct.rows[ct.index.reshape(-1)], moduli)
    return factor == ct.factor and np.array_equal(c.reshape(-1, *c.shape[-3:]), rows)


def residues(key: Pair) -> Array:
    """The residues of a key (b, a), parts before primes."""
    return np.stack([key.b.canonical(), key.a.canonical()], axis=-3)


def test_the_parameters_are_the_ones_of_their_digest() -> None:
    assert f"BGV/{PARAMS.digest}" == tiny.INSECURE_TINY
    assert ntt_primes(tiny.n, 8, below=2**22) == tiny.MODULI
    assert ntt_primes(tiny.n, 2, below=2**21) == tiny.PLAINTEXT_MODULI


def test_the_parameters_are_as_insecure_as_the_page_says() -> None:
    assert max_log2_q(tiny.n, 128) == 26
    assert max_log2_q(4096, 128) < PARAMS.log2_q < 176 < max_log2_q(8192, 128)
    assert PARAMS.log2_q > 175


def test_errors_are_drawn_from_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(tiny.BELOW, gaussian_table())
    draws = tiny.BELOW[30:34]  # 2^64 P(X <= x) for x = -2, ..., 1: an entry is the next error's
    monkeypatch.setattr(tiny, "stream", lambda *_: draws)
    assert tiny.gaussian(SEED, "errors").tolist() == [-1, 0, 1, 2]


def test_keys_are_the_same(keys: Keys, page_keys: tuple[Array, Array, Array]) -> None:
    s, public, relin = page_keys
    assert np.array_equal(s, keys.secret.s.canonical())
    assert np.array_equal(public, residues(keys.public))
    assert np.array_equal(relin, residues(keys.relinearization))


@pytest.mark.parametrize("seed", [SEED, OTHER], ids=["a seed", "another one"])
def test_transforms_are_the_same_and_inverse(seed: bytes) -> None:
    a = tiny.uniform(seed, "some polynomial")
    assert np.array_equal(tiny.ntt(a), canonical(PARAMS.ring.transform.ntt(a), PARAMS.ring.moduli))
    assert np.array_equal(tiny.intt(tiny.ntt(a)), a)


def test_encoded_messages_are_the_same_and_can_be_decoded() -> None:
    values = np.array([[1, -2, tiny.t // 2], [-(tiny.t // 2), 0, 5]])
    m = tiny.encode(values)
    assert np.array_equal(m, encode(PARAMS, values).element.integers())
    assert np.array_equal(tiny.decode(m)[:, :3], values)
    assert not tiny.decode(m)[:, 3:].any()


@pytest.mark.parametrize("seed", [SEED, OTHER], ids=["a seed", "another one"])
def test_encryptions_are_the_same(
    keys: Keys, page_keys: tuple[Array, Array, Array], seed: bytes
) -> None:
    values = np.arange(-3 * 700, 3 * 700).reshape(2, 3, 700) * (tiny.t // 4201)
    s, public, _ = page_keys
    assert same(tiny.encrypt(values, s, seed), SCHEME.encrypt(values, keys.secret, seed))
    assert same(tiny.encrypt(values, public, seed), SCHEME.encrypt(values, keys.public, seed))


def test_every_step_of_the_network_is_the_same(
    keys: Keys, page_keys: tuple[Array, Array, Array]
) -> None:
    s, _, relin = page_keys
    convolution, _, flatten, dense, _, last = NETWORK.layers
    ct = SCHEME.encrypt(PIXELS[..., None, :], keys.secret, OTHER)
    x = tiny.encrypt(PIXELS, s, OTHER)
    assert same(x, ct)

    ct = flatten.forward(convolution.forward(ct))
    x = tiny.dense((tiny.windows(x[0]), x[1]), *LAYERS[0])
    assert same(x, ct)

    for layer, (weight, bias), k in zip((dense, last), LAYERS[1:], (5, 3), strict=True):
        ct = SCHEME.square(ct, ct.params.k)
        x = tiny.square(x)
        assert same(x, ct)
        ct, x = layer.forward(ct), tiny.dense(x, weight, bias)
        assert same(x, ct)
        ct, x = SCHEME.relinearize(ct, keys.relinearization), tiny.relinearize(x, relin)
        assert same(x, ct)
        ct, x = SCHEME.switch_modulus(ct, k), tiny.switch_modulus(x, k)
        assert same(x, ct)

    logits = tiny.decrypt(x, s)
    assert np.array_equal(logits, SCHEME.decrypt(ct, keys.secret))
    expected = NETWORK.forward(IMAGES[..., None])
    assert np.array_equal(logits[:, : len(IMAGES)].T, expected)


def test_squares_are_decrypted_with_three_parts(page_keys: tuple[Array, Array, Array]) -> None:
    s, public, _ = page_keys
    values = np.array([[1, -2, 3]])
    x = tiny.square(tiny.encrypt(values, public, SEED))
    assert tiny.decrypt(x, s)[0, :4].tolist() == [1, 4, 9, 0]


def test_noise_that_has_overflown_is_refused(page_keys: tuple[Array, Array, Array]) -> None:
    s, _, relin = page_keys
    x = tiny.encrypt(np.array([[1, 2, 3]]), s, SEED)
    for _ in range(3):
        x = tiny.relinearize(tiny.square(x), relin)
    with pytest.raises(ValueError, match="the noise has overflown"):
        tiny.decrypt(x, s)


def test_the_page_reads_digits_as_the_network_does(capsys: pytest.CaptureFixture[str]) -> None:
    page = runpy.run_path(tiny.__file__, run_name="__main__")
    pixels = quantize_pixels(page["table"][:, :64], DIGITS.pixel_max, NETWORK.info.levels)
    images = pixels.reshape(-1, 8, 8, 1)
    assert np.array_equal(np.moveaxis(page["images"], -1, 0), images[..., 0])
    assert np.array_equal(page["logits"].T, NETWORK.forward(images))
    read, labels, verdict = capsys.readouterr().out.splitlines()
    assert read.removeprefix("read as ").split() == labels.removeprefix("they are").split()
    assert verdict == "all logits as on plain integers: True"


def test_it_is_one_page() -> None:
    assert lines("nn.tiny") <= 250


def test_it_has_no_class_and_imports_nothing_of_ours() -> None:
    text = source("nn.tiny")
    assert not imported(text)
    assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(text)))
    others = re.findall(r"^\s*(?:from|import) +(\w+)", text, re.MULTILINE)
    assert set(others) - sys.stdlib_module_names == {"numpy"}
