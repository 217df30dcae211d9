"""ONNX files made with onnx.helper: onnxruntime says what they compute, and all else is refused."""

import contextlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nn import from_onnx
from nn.foreign import onnx_files
from nn.foreign.operations import INSTEAD
from yashe.errors import DataError, FheError, FormatError, ParameterError

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def graph_file(path, row, nodes, weights, output="y"):
    """Write a graph with the input x, (batch, *row), and weights by name."""
    batch = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *row])
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()]
    graph = helper.make_graph(nodes, "graph", [batch], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@st.composite
def graphs(draw):
    """Rows of one shape, nodes and weights of a network of what is read, in the order of ONNX."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights, nodes = {}, []
    channels, height, width = draw(st.integers(1, 2)), 8, draw(st.sampled_from([6, 8]))
    row = (channels, height, width)

    def constant(*shape, low=None):
        name = f"c{len(weights)}"
        drawn = rng.normal(size=shape) if low is None else rng.uniform(low, 2, shape)
        weights[name] = drawn.astype(np.float32)
        return name

    def go(operation, *inputs, **attributes):
        nodes.append(helper.make_node(operation, list(inputs), [f"v{len(nodes)}"], **attributes))
        return f"v{len(nodes) - 1}"

    value = "x"
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["conv", "norm", "square", "pool", "mul", "add", "sub", "div"]))
        if kind == "conv" and min(height, width) >= 3:
            groups = channels if draw(st.booleans()) else 1
            maps = groups * draw(st.integers(1, 2))
            stride = draw(st.integers(1, 2))
            pads = draw(st.sampled_from([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [2, 2, 1, 1]]))
            value = go(
                *("Conv", value, constant(maps, channels // groups, 3, 3), constant(maps)),
                **{"pads": pads, "strides": [stride, stride], "group": groups},
            )
            height, width = (1 + (s + pads[0] + pads[2] - 3) // stride for s in (height, width))
            channels = maps
        elif kind == "norm":
            three = [constant(channels) for _ in range(3)]
            value = go(
                "BatchNormalization", value, *three, constant(channels, low=0.5), epsilon=0.1
            )
        elif kind == "square" and sum(n.op_type in ("Pow", "Mul") for n in nodes) < 2:
            value = go("Mul", value, value)
        elif kind == "pool" and min(height, width) >= 2:
            stride = draw(st.integers(1, 2))
            value = go("AveragePool", value, kernel_shape=[2, 2], strides=[stride, stride])
            height, width = (1 + (side - 2) // stride for side in (height, width))
        elif kind in ("mul", "add", "sub", "div"):
            place = constant(channels, 1, 1, low=0.5 if kind == "div" else None)
            value = go(kind.capitalize(), value, place)
    if height == width and draw(st.booleans()):
        value, height, width = go("GlobalAveragePool", value), 1, 1
    size = channels * height * width
    if draw(st.booleans()):
        value = go("Flatten", value)
    else:
        weights["shape"] = np.array([draw(st.sampled_from([0, -1])), size])
        value = go("Reshape", value, "shape")
    if draw(st.booleans()):
        value = go("Add", value, constant(size))
    if size > 1 and draw(st.booleans()):
        pass  # the numbers of the image are the outputs
    elif draw(st.booleans()):
        value = go("Gemm", value, constant(3, size), constant(3), transB=1, alpha=0.5, beta=2.0)
    else:
        value = go("Add", go("MatMul", value, constant(size, 3)), constant(3))
    weights["two"] = np.array(2.0, dtype=np.float32)
    nodes.append(helper.make_node("Pow", [value, "two"], ["y"]))
    return row, nodes, weights


@given(graphs(), st.integers(0, 2**32))
@settings(max_examples=30)
def test_what_is_read_computes_what_onnxruntime_does(tmp_path_factory, case, seed):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    row, nodes, weights = case
    path = graph_file(tmp_path_factory.mktemp("graph") / "drawn.onnx", row, nodes, weights)
    x = np.random.default_rng(seed).normal(size=(3, *row)).astype(np.float32)
    (expected,) = runtime.InferenceSession(path).run(None, {"x": x})
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(from_onnx(path).outputs(x) / scale, expected / scale, atol=1e-4)


def small(path, *middle, row=(4,), behind=(), **weights):
    """Write a dense layer, some nodes from v to w, a dense layer, and what is behind it."""
    given = {"A": np.eye(4, dtype=np.float32), "B": np.ones((4, 2), dtype=np.float32), **weights}
    first = helper.make_node("MatMul", ["x", "A"], ["v"])
    last = helper.make_node("MatMul", ["w", "B"], ["y"])
    nodes = [first, *middle, last, *behind]
    return graph_file(path, row, nodes, given, nodes[-1].output[0])


def node(operation, *inputs, **attributes):
    return helper.make_node(operation, list(inputs or ["v"]), ["w"], **attributes)


@pytest.mark.parametrize(
    "operation", ["Relu", "Gelu", "Tanh", "Sigmoid", "MaxPool", "LayerNormalization"]
)
def test_what_ciphertexts_cannot_do_is_refused_with_what_to_do_instead(tmp_path, operation):
    path = small(tmp_path / "a.onnx", node(operation))
    with pytest.raises(ParameterError, match=f"^{operation} cannot be run encrypted") as caught:
        from_onnx(path)
    assert INSTEAD[operation] in str(caught.value)
    if operation in ("Relu", "Gelu"):
        assert "x * x" in str(caught.value)
        assert "notebook 9" in str(caught.value)


@pytest.mark.parametrize(
    ("middle", "weights", "message"),
    [
        (("LSTM",), {}, "it must be one of Gemm, MatMul"),
        (("Pow", "v", "c"), {"c": np.float32(3)}, "exponent must be 2"),
        (("Mul", "v", "x"), {}, "one chain; here it goes several ways"),
        (("Add", "v", "c"), {"c": np.ones(3, np.float32)}, r"must fit to a value of shape \(4,\)"),
        (("Div", "v", "c"), {"c": np.zeros(4, np.float32)}, "constant other than 0"),
        (("Add", "v", "nothing"), {}, "takes \\['nothing'\\], which is not in the file"),
        (("MatMul", "A", "v"), {}, "must be its first input"),
        (("Gemm", "v", "A", "v"), {}, "its first input, and no other one"),
        (("Gemm", "A", "A", "v"), {}, "its first input, and no other one"),
        (("Add", "v", "c"), {"c": np.float32(np.nan)}, "must hold finite numbers"),
        (("MatMul", "v", "c"), {"c": np.ones((3, 4), np.float32)}, r"matrix of shape \(3, 4\)"),
        (("Gemm", "v", "A"), {"transA": 1}, "transA must be 0"),
        (("Flatten",), {"axis": 2}, "axis must be 1; got 2"),
        (("Cast",), {"to": 6}, "must stay floats"),
        (("Dropout", "v", "", "c"), {"c": np.array(True)}, "training_mode must be 0"),
        (("Conv", "v", "c"), {"c": np.ones((1, 1, 3, 3), np.float32)}, "must take images"),
        (("Reshape", "v", "c"), {"c": np.array([0, 2, 2])}, "use Flatten"),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)  # fmt: skip
def test_other_graphs_are_refused_by_a_sentence(tmp_path, middle, weights, message):
    arrays = {name: a for name, a in weights.items() if not isinstance(a, int)}
    attributes = {name: a for name, a in weights.items() if isinstance(a, int)}
    path = small(tmp_path / "a.onnx", node(*middle, **attributes), **arrays)
    with pytest.raises((ParameterError, FormatError), match=message):
        from_onnx(path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"dilations": [2, 2]}, "dilations must be 1"),
        ({"strides": [1, 2]}, "same for height and width"),
        ({"pads": [0, 1, 0, 1]}, "same for height and width"),
        ({"pads": [3, 3, 3, 3]}, r"must lie in \[0, kernel\)"),
        ({"group": 2}, "do not fit to 1 channels"),
        ({"auto_pad": "SAME_UPPER", "strides": [4, 4]}, "padding must be positive"),
    ],
)
def test_convolutions_that_no_layer_carries_are_refused(tmp_path, attributes, message):
    nodes = [helper.make_node("Conv", ["x", "c"], ["y"], **attributes)]
    weights = {"c": np.ones((2, 1, 3, 3), np.float32)}
    with pytest.raises(ParameterError, match=message):
        from_onnx(graph_file(tmp_path / "a.onnx", (1, 8, 8), nodes, weights))


def test_softmax_and_sigmoid_at_the_end_change_no_class_and_are_left_out_of_it(tmp_path):
    for last in ("Softmax", "LogSoftmax", "Sigmoid"):
        behind = [helper.make_node(last, ["y"], ["z"])]
        path = small(tmp_path / "a.onnx", node("Identity"), behind=behind)
        assert last in " ".join(from_onnx(path).notes)
        with pytest.raises(ParameterError, match=f"{last} cannot be run encrypted"):
            from_onnx(path, regression=True)
    over_the_batch = [helper.make_node("Softmax", ["y"], ["z"], axis=0)]
    with pytest.raises(ParameterError, match="Softmax cannot be run encrypted"):
        from_onnx(small(tmp_path / "a.onnx", node("Identity"), behind=over_the_batch))


def test_by_hand_a_constant_is_converted_as_its_type_says(tmp_path):
    whole = helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT32)
    again = helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)
    sums = node("Add", "v", "f")
    c = np.array([1.75, -2.5, 0.5, 0], np.float32)  # 1, -2, 0, 0: the sum of x and these is 4 - 1
    network = from_onnx(small(tmp_path / "a.onnx", whole, again, sums, c=c))
    assert network.outputs(np.ones((1, 4))).tolist() == [[3.0, 3.0]]


def test_numbers_that_are_not_those_of_floats_are_refused(tmp_path):
    def altered(change, *middle):
        path = small(tmp_path / "a.onnx", *middle)
        model = onnx.load(path)
        change(model)
        path.write_bytes(model.SerializeToString())
        return path

    def whole_numbers(model):
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32

    with pytest.raises(ParameterError, match="must be float32 or float64; or be converted by Cast"):
        from_onnx(altered(whole_numbers, node("Identity")))
    with pytest.raises(ParameterError, match="operator set must be 7 or later; got 6"):
        from_onnx(altered(lambda model: setattr(model.opset_import[0], "version", 6), node("Add")))
    with pytest.raises(ParameterError, match="Add is of elsewhere, and no operation of ONNX"):
        from_onnx(small(tmp_path / "a.onnx", node("Add", "v", "v", domain="elsewhere")))
    size = [
        helper.make_node("Shape", ["v"], ["s"], end=1),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(ParameterError, match="computes with the size of a batch"):
        from_onnx(small(tmp_path / "a.onnx", *size, node("Add", "v", "f")))
    endless = helper.make_node("Constant", [], ["c"], value_float=float("inf"))
    with pytest.raises(ParameterError, match="weights must be finite"):
        from_onnx(small(tmp_path / "a.onnx", endless, node("Add", "v", "c")))


def test_by_hand_a_convolution_in_two_groups(tmp_path):
    # Each map reads its own channel: 2 times the first, 3 times the second.
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["v"], group=2),
        helper.make_node("Flatten", ["v"], ["y"]),
    ]
    weights = {"c": np.array([2, 3], np.float32).reshape(2, 1, 1, 1)}
    network = from_onnx(graph_file(tmp_path / "a.onnx", (2, 1, 1), nodes, weights))
    assert network.outputs(np.array([5.0, 7.0]).reshape(1, 2, 1, 1)).tolist() == [[10.0, 21.0]]


def test_by_hand_an_image_that_is_the_output_keeps_the_order_of_its_classes(tmp_path):
    nodes = [helper.make_node("Mul", ["x", "x"], ["v"]), helper.make_node("Flatten", ["v"], ["y"])]
    network = from_onnx(graph_file(tmp_path / "a.onnx", (2, 1, 2), nodes, {}))
    assert network.outputs([[[[1, 2]], [[3, 4]]]]).tolist() == [[1, 4, 9, 16]]  # channels first


def test_shapes_that_are_computed_in_the_graph_are_followed(tmp_path):
    # What x.view(x.size(0), -1) becomes.
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "first"], ["b"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["b", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "B"], ["y"]),
    ]
    matrix = np.arange(16, dtype=np.float32).reshape(8, 2)
    weights = {"zero": np.array(0), "first": np.array([0]), "B": matrix}
    network = from_onnx(graph_file(tmp_path / "a.onnx", (2, 2, 2), nodes, weights))
    x = np.arange(8.0).reshape(1, 2, 2, 2)
    assert network.outputs(x).tolist() == (x.reshape(1, 8) @ matrix).tolist()


def test_flat_rows_may_become_images_first(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["image"]),
        helper.make_node("Conv", ["image", "c"], ["maps"]),
        helper.make_node("Flatten", ["maps"], ["y"]),
    ]
    kernel = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    weights = {"shape": np.array([-1, 2, 2, 2]), "c": kernel}
    network = from_onnx(graph_file(tmp_path / "a.onnx", (8,), nodes, weights), regression=True)
    rows = np.arange(8.0)[np.newaxis]
    assert network.outputs(rows).tolist() == [[(rows * kernel.ravel()).sum()]]


def test_weights_in_another_file_are_refused_and_not_looked_for(tmp_path):
    path = small(tmp_path / "a.onnx", node("Identity"))
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match="must be in the ONNX file itself"):
        from_onnx(path)


@pytest.mark.parametrize("cut", [1, 20, 60, 200])
def test_a_broken_file_is_refused(tmp_path, cut):
    content = small(tmp_path / "a.onnx", node("Identity")).read_bytes()
    (tmp_path / "b.onnx").write_bytes(content[:-cut])
    with pytest.raises((FormatError, ParameterError)):
        from_onnx(tmp_path / "b.onnx")


@given(st.data())
def test_a_file_with_wrong_bytes_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzzed")
    weights = {"c": np.ones((2, 1, 3, 3), np.float32), "s": np.array([-1, 18])}
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["v"], pads=[1, 1, 1, 1], strides=[2, 2], group=1),
        helper.make_node("Mul", ["v", "v"], ["w"]),
        helper.make_node("AveragePool", ["w"], ["p"], kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("Reshape", ["p", "s"], ["y"]),
    ]
    content = bytearray(graph_file(folder / "a.onnx", (1, 7, 7), nodes, weights).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "b.onnx").write_bytes(bytes(content))
    with contextlib.suppress(FheError):
        from_onnx(folder / "b.onnx").outputs(np.ones((2, 1, 7, 7)))


def test_constants_that_grow_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "LARGEST_LAYER", 1000)
    nodes = [helper.make_node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=0) for i in range(60)]
    nodes.append(helper.make_node("Add", ["x", "c60"], ["y"]))
    path = graph_file(tmp_path / "a.onnx", (4,), nodes, {"c0": np.ones(4, np.float32)})
    with pytest.raises(ParameterError, match="more numbers than are accepted"):
        from_onnx(path)


def test_tensors_that_promise_more_than_there_is_are_refused(tmp_path):
    path = small(tmp_path / "a.onnx", node("Identity"))
    for dims, message in (([2**30, 2**30], "is broken"), ([4, 3], "is broken")):
        model = onnx.load(path)
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        (tmp_path / "b.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(FormatError, match=message):
            from_onnx(tmp_path / "b.onnx")
    endless = small(tmp_path / "a.onnx", node("Identity"), A=np.full((4, 4), np.nan, np.float32))
    with pytest.raises(FormatError, match="must hold finite numbers"):
        from_onnx(endless)


def test_files_that_are_no_networks_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ParameterError, match="must have one input, one output"):
        from_onnx(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(FormatError, match="must be an ONNX file"):
        from_onnx(tmp_path / "a.onnx")
    with pytest.raises(FormatError, match="No such file"):
        from_onnx(tmp_path / "b.onnx")
    for row in (("n",), (4, 4), (2**40,)):
        path = small(tmp_path / "a.onnx", node("Identity"), row=row)
        with pytest.raises(ParameterError, match="with fixed numbers"):
            from_onnx(path)
    monkeypatch.setattr(onnx_files, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(FormatError, match="at most 100 bytes"):
        from_onnx(small(tmp_path / "a.onnx", node("Identity")))


def test_labels_are_those_of_the_outputs(tmp_path):
    path = small(tmp_path / "a.onnx", node("Identity"))
    network = from_onnx(path, labels=["low", "high"])
    assert network.predict(np.eye(4)).tolist() == ["low"] * 4  # both outputs are 1
    with pytest.raises(ParameterError, match="2 outputs"):
        from_onnx(path, labels=["one", "two", "three"])
    for labels in (5, "ab"):
        with pytest.raises(ParameterError, match="labels are a list"):
            from_onnx(path, labels=labels)
    with pytest.raises(ParameterError):  # noqa: PT011 (two outputs are no single value)
        from_onnx(path, regression=True)
    with pytest.raises(DataError, match=r"rows must have the shape \(rows, 4\); got \(2, 3\)"):
        network.predict(np.ones((2, 3)))
    with pytest.raises(DataError, match="none of them missing; row 1"):
        network.predict([[0, 0, 0, 0], [0, 0, 0, np.nan]])
