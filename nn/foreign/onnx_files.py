"""Networks in ONNX files, and modules of PyTorch (extra `onnx`): a graph becomes a chain.

An ONNX file is a protocol buffer: nodes, each with the name of an operation and of its inputs and
outputs, and tensors that are constant. Nothing in it is executed. A node either takes the value
that is on its way through the network (`nn.foreign.operations`), or constants only, such as a
shape, and then it is computed at once. Weights in other files are refused: a stranger's file shall
not say what else is read.

A module of PyTorch is exported to ONNX in memory. No file of PyTorch is read here, because those
are pickles, and a pickle can run code.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn.foreign.chain import RealArray
from nn.foreign.network import FloatNetwork, answers_for
from nn.foreign.operations import FLOATS, INSTEAD, Chain, Node, check_size, follow
from nn.networks.base import Shape
from nn.networks.checks import shape_of
from nn.networks.model import LARGEST_LAYER
from yashe.errors import DataError, FheError, FormatError, KindError, ParameterError
from yashe.wire.files import open_input

LARGEST_FILE_BYTES = 2**26
OLDEST_SET = 7  # of operators; before it, constants were broadcast by an attribute
MOST_NODES = 1000
TRIED_ROWS = 4  # on which a module of PyTorch and what has become of it are compared
STANDARD = ("", "ai.onnx")  # whose operators are those of ONNX itself

Constants = dict[str, npt.NDArray[Any]]


def from_onnx(
    path: str | os.PathLike[str], labels: Sequence[Any] | None = None, regression: bool = False
) -> FloatNetwork:
    """Read a network of sums, products and squares from an ONNX file.

    Parameters
    ----------
    path : of the file, at most 64 MiB, with its weights inside
    labels : of the classes, in the order of the outputs; 0, 1, 2, ... by default. A single output
        decides between two by its sign.
    regression : whether the one output is a value, and no class

    Returns
    -------
    FloatNetwork, for `quantize_network`

    Raises
    ------
    FormatError
        If it is no such file.
    ParameterError
        If it holds what cannot be computed encrypted, or what the layers here cannot carry; the
        sentence says what to do instead.
    DataError
        If the package `onnx` is not installed.
    """
    with open_input(path) as file:
        content = file.read(LARGEST_FILE_BYTES + 1)
    return parsed(content, Path(path).stem, labels, regression)


def from_torch(
    module: Any,
    row_shape: tuple[int, ...],
    labels: Sequence[Any] | None = None,
    regression: bool = False,
) -> FloatNetwork:
    """Take over a network of PyTorch whose activations are squares.

    Parameters
    ----------
    module : a trained torch.nn.Module on the CPU; it is exported as it is for inference
    row_shape : of one row, (columns,) or (channels, height, width)
    labels, regression : as for `from_onnx`

    Returns
    -------
    FloatNetwork, for `quantize_network`

    Raises
    ------
    KindError, ParameterError
        If it is no module, or holds what cannot be computed encrypted, or PyTorch does not run or
        export it, or exports something else.
    DataError
        If PyTorch, onnx or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 (torch.onnx needs it)
        import torch  # noqa: PLC0415 (optional)
    except ImportError as error:
        raise DataError(
            "a module of PyTorch is exported with torch and onnxscript: pip install torch "
            "onnxscript 'cryptonets-yashe[onnx]'"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise KindError(f"a torch.nn.Module is required; got a {type(module).__name__}.")
    rows = np.random.default_rng(0).uniform(-1, 1, (TRIED_ROWS, *shape_of("row_shape", row_shape)))
    examples = torch.as_tensor(rows, dtype=torch.float32).split(1)
    modes, buffer = [(part, part.training) for part in module.modules()], io.BytesIO()
    module.eval()
    try:
        with torch.no_grad():
            said = [module(example) for example in examples]
        torch.onnx.export(
            module, examples[:1], buffer, dynamo=True, external_data=False, verbose=False
        )
    except Exception as error:  # of any class: it is the module's own code that runs
        raise ParameterError(
            f"a module must run in float32 on the CPU, and be exported by PyTorch, with rows of "
            f"shape {row_shape}; it is not: {str(error.__cause__ or error).splitlines()[:1]}."
        ) from error
    finally:
        for part, mode in modes:
            part.training = mode
    network = parsed(buffer.getvalue(), type(module).__name__, labels, regression)
    check_agreement(network, rows, np.reshape(torch.cat(said).numpy(), (TRIED_ROWS, -1)))
    return network


def check_agreement(network: FloatNetwork, rows: RealArray, said: RealArray) -> None:
    """Refuse a network that does not compute what the module does: an export may leave things out.

    Behind a softmax or a sigmoid, which are left out here, only the chosen class is compared. A
    module computes in float32, so that nothing fine can be asked for.
    """
    found = network.outputs(rows)
    if network.notes and found.shape[1] == 1:
        found, said = np.sign(found), np.sign(said - 0.5)
    elif network.notes:
        best = np.take_along_axis(said, found.argmax(axis=1)[:, np.newaxis], axis=1)
        found, said = best, said.max(axis=1, keepdims=True)
    same = found.shape == said.shape
    if not same or np.abs(found - said).max() > 0.01 * np.abs(said).max():
        raise ParameterError(
            "the ONNX file that PyTorch has made of the module computes something else than the "
            "module: something in it, such as divisor_override, has no counterpart in ONNX. Train "
            "the network without it."
        )


def parsed(
    content: bytes, name: str, labels: Sequence[Any] | None, regression: bool
) -> FloatNetwork:
    """Read the bytes of an ONNX file."""
    if len(content) > LARGEST_FILE_BYTES:
        raise FormatError(f"an ONNX file must have at most {LARGEST_FILE_BYTES:,} bytes.")
    onnx = _onnx()
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # those of protobuf are not all of one class
        raise FormatError(f"{name} must be an ONNX file; it is not one: {error}.") from error
    try:
        check_operator_set(model)
        return network_in(model.graph, name, labels, regression)
    except FheError:
        raise
    # Attributes of a stranger can be wrong in every way that Python knows; all are one error here.
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise FormatError(
            f"{name} must be an ONNX file by the rules; it is not: {type(error).__name__}: {error}."
        ) from error


def check_operator_set(model: Any) -> None:
    """Refuse operators that are older than what is known here."""
    versions = [used.version for used in model.opset_import if used.domain in STANDARD]
    if min(versions, default=OLDEST_SET) < OLDEST_SET:
        raise ParameterError(
            f"the operator set must be {OLDEST_SET} or later; got {min(versions)}. Convert the "
            "file with onnx.version_converter."
        )


def network_in(
    graph: Any, name: str, labels: Sequence[Any] | None, regression: bool
) -> FloatNetwork:
    """Return the network that a graph is."""
    constants = {tensor.name: array_of(tensor) for tensor in graph.initializer}
    # Old files list their weights among the inputs as well.
    entries = [entry for entry in graph.input if entry.name not in constants]
    if len(entries) != 1 or len(graph.output) != 1 or len(graph.node) > MOST_NODES:
        raise ParameterError(
            f"a network must have one input, one output and at most {MOST_NODES} nodes; {name} has "
            f"{len(entries)}, {len(graph.output)} and {len(graph.node)}."
        )
    row_shape = row_shape_of(entries[0])
    chain = Chain((*row_shape[1:], row_shape[0]) if len(row_shape) == 3 else row_shape)
    check_floats(graph, entries[0])
    walk(graph, entries[0].name, constants, chain, regression)
    put_in_order(chain)
    answers = answers_for(chain.shape[-1], labels, regression)
    return FloatNetwork(
        tuple(chain.steps), row_shape, chain.input_shape, answers, name, notes=tuple(chain.notes)
    )


def walk(graph: Any, value: str, constants: Constants, chain: Chain, regression: bool) -> None:
    """Go from node to node, and follow the value."""
    shapes = {value: chain.onnx_shape}  # of every value that there has been
    sizes = set[str]()  # constants in which the batch counts as 0; for Reshape that is: as it is
    for node in graph.node:
        inputs = list(node.input)
        if node.domain not in STANDARD and node.op_type not in INSTEAD:
            raise ParameterError(f"{node.op_type} is of {node.domain}, and no operation of ONNX.")
        settings = {found.name: setting(found) for found in node.attribute}
        unknown = [name for name in inputs if name and name not in {*shapes, *constants}]
        if unknown or not node.output:
            raise FormatError(f"{node.op_type} takes {unknown[:1]}, which is not in the file.")
        if node.op_type == "Shape" and inputs[:1] and inputs[0] in shapes:
            start, end = settings.get("start", 0), settings.get("end")
            constants[node.output[0]] = np.array([0, *shapes[inputs[0]]])[start:end]
            sizes.add(node.output[0])
            continue
        if not any(name in shapes for name in inputs):
            if not sizes.isdisjoint(inputs):
                sizes.add(node.output[0])
            arrays = [constants[name] for name in inputs if name]
            constants[node.output[0]] = constant_of(node.op_type, arrays, settings)
            continue
        gone = [name for name in inputs if name in shapes and name != value]
        if gone or sum(bool(name) for name in node.output) > 1:
            raise ParameterError(
                f"{node.op_type} ({node.name}): a network must be one chain; here it goes several "
                "ways. Take the branch out, or train the network without it."
            )
        if node.op_type != "Reshape" and not sizes.isdisjoint(inputs):
            raise ParameterError(f"{node.op_type} ({node.name}) computes with the size of a batch.")
        last = node.output[0] == graph.output[0].name and not regression
        given = [None if name == value else constants.get(name) for name in inputs]
        follow(
            chain, Node(node.op_type, tuple(given), inputs.count(value), settings, node.name), last
        )
        value = node.output[0]
        shapes[value] = chain.onnx_shape
    if value != graph.output[0].name:
        raise ParameterError("a network must be one chain; its output is not the end of it.")


def put_in_order(chain: Chain) -> None:
    """Bring outputs that were an image into the order of ONNX, with a layer of zeros and ones.

    They stand for classes, which must not change places.
    """
    size = len(chain.order)
    if len(chain.shape) == 1 and (chain.order != np.arange(size)).any():
        check_size(size**2)
        chain.dense(np.eye(size), np.zeros(1))


def check_floats(graph: Any, entry: Any) -> None:
    """Refuse networks that compute with integers, whose quotients and overflows are others."""
    kind, first = entry.type.tensor_type.elem_type, [n for n in graph.node if entry.name in n.input]
    if kind not in FLOATS and any(node.op_type not in ("Cast", "Shape") for node in first):
        raise ParameterError(
            f"the input {entry.name!r} must be float32 or float64; or be converted by Cast at once."
        )


def row_shape_of(entry: Any) -> Shape:
    """Return the shape of one row of the input, without the batch."""
    sides = [side.dim_value for side in entry.type.tensor_type.shape.dim]
    shape = tuple(sides[1:])
    if len(shape) not in (1, 3) or not all(0 < side <= LARGEST_LAYER for side in shape):
        raise ParameterError(
            f"the input {entry.name!r} must be (batch, columns) or (batch, channels, height, "
            f"width), with fixed numbers; got {sides}, where 0 is one that is not fixed. Export "
            "the network with the shape of its input."
        )
    if math.prod(shape) > LARGEST_LAYER:
        raise ParameterError(f"an input of shape {shape} is too large.")
    return shape


def setting(attribute: Any) -> Any:
    """Return an attribute of a node: a number, a text, a list of them, or an array."""
    onnx = _onnx()
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return array_of(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def array_of(tensor: Any) -> npt.NDArray[Any]:
    """Return a tensor of numbers that is inside of the file."""
    onnx = _onnx()
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise FormatError(
            f"the tensor {tensor.name!r} must be in the ONNX file itself, and says that it is in "
            "another one: save the network with its weights inside."
        )
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"the tensor {tensor.name!r} is broken: {error}.") from error
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise FormatError(f"the tensor {tensor.name!r} must hold finite numbers.")
    return np.asarray(array)


# What is done with constants only: shapes, and weights that are stored another way round.
FOLDED: dict[str, Callable[..., Any]] = {
    "Constant": lambda inputs, settings: constant(settings),
    "Identity": lambda inputs, settings: inputs[0],
    "Cast": lambda inputs, settings: inputs[0].astype(type_of(settings["to"])),
    "Transpose": lambda inputs, settings: np.transpose(inputs[0], settings.get("perm")),
    "Reshape": lambda inputs, settings: inputs[0].reshape(inputs[1].tolist()),
    "Concat": lambda inputs, settings: np.concatenate(inputs, axis=settings["axis"]),
    "Gather": lambda inputs, settings: np.take(inputs[0], inputs[1], axis=settings.get("axis", 0)),
    "Squeeze": lambda inputs, settings: np.squeeze(inputs[0], axes(inputs, settings)),
    "Unsqueeze": lambda inputs, settings: np.expand_dims(inputs[0], axes(inputs, settings)),
}


def constant_of(
    operation: str, inputs: list[npt.NDArray[Any]], settings: dict[str, Any]
) -> npt.NDArray[Any]:
    """Compute an operation on constants."""
    if operation not in FOLDED:
        raise ParameterError(
            f"{operation} on constants must be computed before: export the network with constant "
            f"folding. What is computed here: {', '.join(FOLDED)}."
        )
    copies = inputs[1].size if operation == "Gather" and len(inputs) > 1 else len(inputs)
    if copies * max((given.size for given in inputs), default=0) > LARGEST_LAYER:
        raise ParameterError(f"{operation} on constants makes more numbers than are accepted.")
    return np.asarray(FOLDED[operation](inputs, settings))


def type_of(code: int) -> npt.DTypeLike:
    """Return the type of NumPy for one of ONNX."""
    found: npt.DTypeLike = _onnx().helper.tensor_dtype_to_np_dtype(code)
    return found


def constant(settings: dict[str, Any]) -> npt.NDArray[Any]:
    """Return what a node Constant holds, in whichever form."""
    (name, value) = next(iter(settings.items()))
    if not name.startswith("value") or isinstance(value, str):
        raise ValueError(f"a constant of the form {name}")
    return np.asarray(value)


def axes(inputs: list[npt.NDArray[Any]], settings: dict[str, Any]) -> tuple[int, ...]:
    """Return the axes of a node: an input since operator set 13, an attribute before."""
    found = inputs[1].tolist() if len(inputs) > 1 else settings["axes"]
    return tuple(int(axis) for axis in found)


def _onnx() -> Any:
    try:
        import onnx  # noqa: PLC0415 (optional)
    except ImportError as error:
        raise DataError(
            "ONNX files are read with the package onnx: pip install 'cryptonets-yashe[onnx]'"
        ) from error
    return onnx
