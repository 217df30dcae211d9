"""Layers and networks: one forward for every backend, gradients, shapes, the file."""

import json
import math
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.networks.base import Layer, Linear
from nn.networks.batchnorm import BatchNorm
from nn.networks.layers import Conv2D, Dense, Flatten, MeanPool, Square
from nn.networks.model import ModelInfo, Sequential
from yashe.errors import FormatError, ParameterError


class Rows:
    """An array type with the operations that the layers may use, and no others."""

    def __init__(self, values):
        self.values = values

    @property
    def shape(self):
        return self.values.shape

    def reshape(self, shape):
        assert -1 not in shape
        return Rows(self.values.reshape(shape))

    def __getitem__(self, key):
        return Rows(self.values[key])

    def __matmul__(self, matrix):
        return Rows(self.values @ matrix)

    def __add__(self, other):
        return Rows(self.values + other)

    def __mul__(self, other):
        assert other is self
        return Rows(self.values * other.values)

    @classmethod
    def concatenate(cls, parts, axis=-1):
        return cls(np.concatenate([part.values for part in parts], axis=axis))


def convolve_by_definition(x, weight, bias, kernel, stride, pads):
    """Four loops over an image (height, width, channels), padded before and behind."""
    x = np.pad(x, (pads, pads, (0, 0)))
    rows, columns = ((side - kernel) // stride + 1 for side in x.shape[:2])
    out = np.zeros((rows, columns, weight.shape[1]), dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            patch = x[i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            out[i, j] = patch.ravel() @ weight + bias
    return out


@st.composite
def convolutions(draw):
    """An unbuilt convolution with an input shape that it accepts."""
    kernel = draw(st.integers(1, 4))
    pad, before = (draw(st.integers(0, kernel - 1)) for _ in range(2))
    height, width = (draw(st.integers(max(1, kernel - pad - before), 8)) for _ in range(2))
    maps, stride = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    layer = Conv2D(maps, kernel, stride, pad, pad_start=before)
    return layer, (height, width, draw(st.integers(1, 2)))


def integer_values(layer, seed=0):
    """Give a built layer random int64 parameters."""
    rng = np.random.default_rng(seed)
    layer.parameters = {
        name: rng.integers(-9, 10, value.shape) for name, value in layer.parameters.items()
    }
    return layer


def small_network():
    """A built integer network with every kind of layer."""
    layers = [Conv2D(3, 3, stride=2, pad_end=1), MeanPool(2), Square(), Flatten(), Dense(4)]
    model = Sequential(layers, (8, 8, 1), info=ModelInfo(name="small", levels=3, seed=5))
    for i, (layer, _) in enumerate(model.linear_layers()):
        integer_values(layer, i)
    return model


@given(convolutions())
@settings(deadline=None)
def test_a_convolution_is_four_loops_over_the_padded_image(case):
    layer, shape = case
    layer.build(shape)
    integer_values(layer)
    images = np.random.default_rng(1).integers(-50, 50, (3, *shape))
    expected = [
        convolve_by_definition(
            image,
            layer.weight,
            layer.bias,
            layer.kernel,
            layer.stride,
            (layer.pad_start, layer.pad_end),
        )
        for image in images
    ]
    np.testing.assert_array_equal(layer.forward(images), expected)
    assert layer.output_shape == expected[0].shape


@given(convolutions())
@settings(deadline=None)
def test_the_blocks_of_a_convolution_cover_every_output_once(case):
    layer, shape = case
    layer.build(shape)
    outputs = np.concatenate([block.outputs.ravel() for block in layer.blocks()])
    assert sorted(outputs) == list(range(math.prod(layer.output_shape)))
    assert layer.multiply_adds() == sum(
        b.inputs.shape[0] * b.weight.shape[0] * b.weight.shape[1] for b in layer.blocks()
    )


def test_a_padded_convolution_reads_fewer_pixels_at_the_border_instead_of_zeros():
    # 28 pixels, one of padding, kernel 5, stride 2: positions start at 0, 2, ..., 24, and only the
    # last one sticks out. 12 of 13 positions in each direction see the whole kernel.
    layer = Conv2D(5, kernel=5, stride=2, pad_end=1)
    assert layer.build((28, 28, 1)) == (13, 13, 5)
    shapes = [(b.inputs.shape, b.weight.shape) for b in layer.blocks()]
    assert shapes == [
        ((144, 25), (25, 5)),
        ((12, 20), (20, 5)),
        ((12, 20), (20, 5)),
        ((1, 16), (16, 5)),
    ]
    last = layer.blocks()[-1].inputs
    np.testing.assert_array_equal(last[0, :4], [24 * 28 + 24 + i for i in range(4)])


@given(st.integers(1, 6), st.integers(1, 6))
def test_a_dense_layer_is_its_block(inputs, units):
    layer = Dense(units)
    layer.build((inputs,))
    integer_values(layer)
    x = np.random.default_rng(2).integers(-9, 9, (5, inputs))
    np.testing.assert_array_equal(layer.forward(x), Linear.forward(layer, x))


def test_a_mean_pool_is_the_sum_of_its_window_for_each_channel():
    layer = MeanPool(2)
    assert layer.build((2, 4, 2)) == (1, 2, 2)
    x = np.arange(16).reshape(2, 4, 2)
    # Channel 0 holds the even numbers: rows 0 2 4 6 and 8 10 12 14.
    np.testing.assert_array_equal(layer.forward(x), [[[20, 24], [36, 40]]])
    assert layer.scale == 4


def test_the_scale_of_a_pool_is_squared_by_a_square():
    model = Sequential([MeanPool(2), Square(), MeanPool(3)], (6, 6, 1))
    ones = np.ones((6, 6, 1))
    assert model.forward(ones).item() == 4**2 * 9


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_one_forward_serves_floats_integers_and_other_arrays(batch):
    model = small_network()
    x = np.random.default_rng(3).integers(0, 4, (*batch, 8, 8, 1))
    exact = model.forward(x)
    assert exact.shape == (*batch, 4)
    assert exact.dtype == np.int64
    np.testing.assert_array_equal(model.forward(x.astype(np.float64)), exact)
    np.testing.assert_array_equal(model.forward(Rows(x)).values, exact)


def test_forward_leaves_its_input_alone():
    model = small_network()
    x = np.random.default_rng(3).integers(0, 4, (2, 8, 8, 1))
    before = x.copy()
    model.forward(x)
    np.testing.assert_array_equal(x, before)


def numerical_gradient(function, at, step=1e-5):
    """Central differences of a scalar function, entry by entry."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        kept = at[index]
        at[index] = kept + step
        above = function()
        at[index] = kept - step
        gradient[index] = (above - function()) / (2 * step)
        at[index] = kept
    return gradient


GRADIENT_CASES = [
    (Dense(3), (4,)),
    (Dense(3, bias=False), (4,)),
    (Conv2D(2, 3, stride=2, pad_end=1), (6, 4, 2)),
    (Conv2D(2, 3, stride=1, pad_end=2, bias=False), (4, 4, 1)),
    (MeanPool(2), (4, 2, 2)),
    (Square(), (3, 2)),
    (Flatten(), (2, 3)),
    (BatchNorm(), (4,)),
    (BatchNorm(), (2, 2, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), GRADIENT_CASES, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_equal_finite_differences(layer: Layer, shape, frozen):
    rng = np.random.default_rng(7)
    layer.build(shape, rng)
    layer.parameters = {k: rng.normal(1, 0.5, v.shape) for k, v in layer.parameters.items()}
    if isinstance(layer, BatchNorm):
        layer.frozen = frozen
        layer.mean, layer.deviation = rng.normal(size=shape[-1:]), np.array([1.7])
    x = rng.normal(size=(5, *shape))
    dy = rng.normal(size=(5, *layer.output_shape))

    def loss():
        return float(np.sum(dy * layer.training_forward(x)))

    np.testing.assert_allclose(
        layer.input_gradient(x, dy), numerical_gradient(loss, x), rtol=1e-6, atol=1e-7
    )
    found = layer.parameter_gradients(x, dy)
    assert list(found) == list(layer.parameters)
    for name, gradient in found.items():
        expected = numerical_gradient(loss, layer.parameters[name])
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


def test_backward_chains_the_gradients_of_all_layers():
    rng = np.random.default_rng(8)
    layers = [Conv2D(2, 2, bias=False), BatchNorm(), Square(), Flatten(), Dense(3)]
    model = Sequential(layers, (3, 3, 1), rng)
    for layer in model.layers:
        layer.parameters = {k: v.astype(np.float64) for k, v in layer.parameters.items()}
    x, dy = rng.normal(size=(4, 3, 3, 1)), rng.normal(size=(4, 3))
    gradients = model.backward(model.training_forward(x)[1], dy)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        expected = numerical_gradient(
            lambda: float(np.sum(dy * model.training_forward(x)[0])), parameter
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_batch_normalisation_centres_units_and_scales_the_layer():
    layer = BatchNorm()
    layer.build((2,))
    x = np.array([[1.0, 10.0], [3.0, 16.0]])
    # Means 2 and 13, deviations from them 1 and 3, common deviation sqrt((1 + 1 + 9 + 9) / 4).
    expected = np.array([[-1, -3], [1, 3]]) / math.sqrt(5)
    np.testing.assert_allclose(layer.training_forward(x), expected, atol=1e-6)


def test_running_averages_follow_the_batches_until_they_are_frozen():
    layer = BatchNorm()
    layer.build((2,))
    x = np.random.default_rng(9).normal(5, 3, (100, 2))
    for _ in range(400):
        layer.training_forward(x)
    np.testing.assert_allclose(layer.forward(x), layer.training_forward(x), atol=1e-2)
    layer.frozen = True
    before = layer.mean.copy()
    layer.training_forward(x + 100)
    np.testing.assert_array_equal(layer.mean, before)


def test_the_summary_counts_what_encryption_pays_for():
    layers = [Conv2D(5, 5, 2, 1), Square(), Flatten(), Dense(100), Square(), Dense(10)]
    text = Sequential(layers, (28, 28, 1)).summary()
    lines = text.splitlines()
    # Products: 144 positions see 25 pixels, 24 see 20, one sees 16; times 5 maps.
    assert lines[2].split()[-3:] == ["130", "0", f"{(144 * 25 + 24 * 20 + 16) * 5:,}"]
    assert lines[-1].split() == ["total", "85,740", "945", "105,980"]
    assert {len(line) for line in lines if not line.startswith(" ")} == {80}
    assert lines[2].split()[:2] == ["Conv2D(maps=5,", "kernel=5,"]
    assert lines[3].split() == ["stride=2,", "pad_end=1)"]


def test_a_network_is_the_same_after_its_file(tmp_path):
    model = small_network()
    model.save(tmp_path / "model.npz")
    again = Sequential.load(tmp_path / "model.npz")
    x = np.random.default_rng(4).integers(0, 4, (3, 8, 8, 1))
    np.testing.assert_array_equal(again.forward(x), model.forward(x))
    assert all(p.dtype == np.int64 for p in again.parameters())
    assert again.info == model.info
    assert again.summary() == model.summary()
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


@given(st.integers(-(2**62), 2**62))
@settings(deadline=None, max_examples=30)
def test_a_file_keeps_every_integer(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("file") / "m.npz"
    model = Sequential([Dense(1)], (1,))
    model.layers[0].parameters = {"weight": np.array([[value]]), "bias": np.array([-value])}
    model.save(path)
    assert [p.item() for p in Sequential.load(path).parameters()] == [value, -value]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("yashe.wire.files.os.fsync", fail)
    with pytest.raises(FormatError, match="cannot write .*model.npz: disk full"):
        small_network().save(path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("model.npz", b"old")]


def rewritten(path, change=None, arrays=None):
    """Save the small network with its description changed or other arrays."""
    small_network().save(path)
    with np.load(path, allow_pickle=False) as file:
        content = [file[name] for name in file.files]
    about = json.loads(content[0].tobytes())
    if change is not None:
        change(about)
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(path, text, *(content[1:] if arrays is None else arrays))
    return path


CHANGES = {
    "another format": lambda about: about.update(format=2),
    "no layers": lambda about: about.pop("layers"),
    "a missing fact": lambda about: about["info"].pop("seed"),
    "a fact of another type": lambda about: about["info"].update(seed="5"),
    "an unknown layer": lambda about: about["layers"].append(["Relu", {}]),
    "an unknown setting": lambda about: about["layers"][4][1].update(activation="relu"),
    "another number of units": lambda about: about["layers"][4][1].update(units=5),
    "a negative size": lambda about: about["layers"][4][1].update(units=-4),
    "a fractional size": lambda about: about["layers"][4][1].update(units=4.0),
    "a text as a size": lambda about: about["layers"][1][1].update(size="2"),
    "a huge layer": lambda about: about["layers"][4][1].update(units=10**12),
    "a huge kernel": lambda about: about["layers"][0][1].update(kernel=10**6, pad_end=10**6 - 1),
    "a huge input": lambda about: about.update(input_shape=[10**9, 10**9, 1]),
    "a truth as a size": lambda about: about.update(input_shape=[8, 8, True]),
    "an input without pixels": lambda about: about.update(input_shape=[0, 8, 1]),
    "layers as a number": lambda about: about.update(layers=3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_description_is_refused(tmp_path, change):
    with pytest.raises(FormatError, match=r"(?s)must hold a network.*again"):
        Sequential.load(rewritten(tmp_path / "m.npz", change))


def test_a_layer_that_would_fill_the_memory_is_refused(tmp_path):
    def pool(about):
        about.update(layers=[["MeanPool", {"size": 1}]], input_shape=[1 << 20, 1 << 10, 1])

    with pytest.raises(FormatError, match="a layer with 3221225472 products"):
        Sequential.load(rewritten(tmp_path / "m.npz", pool, arrays=[]))


def test_a_bottomless_description_is_refused(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, np.frombuffer(b"[" * 100_000, np.uint8))
    with pytest.raises(FormatError, match="lists in lists, too deep"):
        Sequential.load(path)


ARRAYS = {
    "none": [],
    "floats": [np.zeros((9, 3)), np.zeros(3), np.zeros((12, 4)), np.zeros(4)],
    "objects": [np.array([None])],
    "another shape": [np.zeros((9, 4), int), np.zeros(4, int), np.zeros((12, 4), int)],
}


@pytest.mark.parametrize("arrays", ARRAYS.values(), ids=ARRAYS)
def test_other_arrays_are_refused(tmp_path, arrays):
    with pytest.raises(FormatError, match="again"):
        Sequential.load(rewritten(tmp_path / "m.npz", arrays=arrays))


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"no archive")
    with pytest.raises(FormatError, match="a network as Sequential.*BadZipFile"):
        Sequential.load(tmp_path / "m.npz")
    with pytest.raises(FormatError, match=r"cannot read .*missing\.npz"):
        Sequential.load(tmp_path / "missing.npz")


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_damaged_file_is_refused_or_unchanged(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    model = small_network()
    model.save(path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), place]))])
    try:
        again = Sequential.load(path)
    except FormatError:
        return
    # A changed date in the archive, for instance, changes no number.
    for a, b in zip(again.parameters(), model.parameters(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    path = rewritten(tmp_path / "m.npz")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weight = members["arr_1.npy"]
    # The header is padded with spaces: a larger shape of the same text length.
    members["arr_1.npy"] = weight.replace(b"(9, 3), }      ", b"(9000000, 3), }")
    assert members["arr_1.npy"] != weight
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(FormatError, match="whose header says"):
        Sequential.load(path)


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", bytes(1 << 24))
    with pytest.raises(FormatError, match="arr_0.npy has more than the 524288 bytes accepted"):
        Sequential.load(path)


def test_only_integer_networks_are_saved(tmp_path):
    with pytest.raises(ParameterError, match="int64 parameters; got Dense with float32"):
        Sequential([Dense(2)], (3,)).save(tmp_path / "m.npz")
    model = small_network()
    model.layers = (*model.layers, BatchNorm())
    with pytest.raises(ParameterError, match="Export the network"):
        model.save(tmp_path / "m.npz")


def test_facts_can_be_replaced():
    assert replace(small_network().info, seed=6).seed == 6


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Dense(3), (2, 2, 1), r"Dense takes flat inputs; got .*\(2, 2, 1\).*Flatten"),
        (Conv2D(1, 5), (4, 8, 1), "sides of at least 5"),
        (Conv2D(1, 5), (64,), "before any Flatten"),
        (MeanPool(3), (6, 8, 1), "multiples of 3; got 6 x 8"),
    ],
)
def test_a_layer_refuses_shapes_that_it_cannot_take(layer, shape, message):
    with pytest.raises(ParameterError, match=message):
        layer.build(shape)


def test_a_layer_refuses_an_array_of_another_shape():
    model = small_network()
    with pytest.raises(ParameterError, match=r"end in \(8, 8, 1\); got shape \(1, 8, 8\)"):
        model.forward(np.zeros((1, 8, 8)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "units must be a whole number of at least 1, not 0"),
        (lambda: Conv2D(1, 3, stride=0), "stride must be a whole number of at least 1, not 0"),
        (lambda: Conv2D(1, 3, pad_end=3), r"pad_end must lie in .*\[0, 3\); got 3"),
        (lambda: Conv2D(1, 3, pad_start=4), r"pad_start must lie in .*\[0, 3\); got 4"),
        (lambda: MeanPool(-1), "size must be a whole number of at least 1"),
    ],
)
def test_a_layer_refuses_sizes_without_meaning(make, message):
    with pytest.raises(ParameterError, match=message):
        make()
