"""The operations of ONNX that ciphertexts can follow, and what each becomes here.

A network is a chain: each operation takes the value that is on its way, and constants. Images are
(channels, height, width) in ONNX, and go on here with their channels last. So the numbers of a flat
value that was an image stand in another order, and so do the rows of the weights behind it.

Source: https://onnx.ai/onnx/operators, operator sets 7 to 25.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nn.foreign.chain import Affine, RealArray, Step, Weighted, checked_shape, dense
from nn.networks.base import Shape
from nn.networks.layers import Conv2D, Flatten, MeanPool, Square
from nn.networks.model import LARGEST_LAYER
from yashe.errors import ParameterError

NOTEBOOK = "notebook 9, 'Can a network live on x^2?', shows how such a network is trained"
NO_SQUARE = (
    "ciphertexts know sums and products only. Train the network with x * x in its place, with "
    f"batch normalisation in front of it: {NOTEBOOK}."
)
NO_MAXIMUM = "ciphertexts know no maximum. Train the network with AveragePool in its place."
INSTEAD = {
    **dict.fromkeys(
        (
            *("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu"),
            *("Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "HardSwish", "Swish"),
            *("Mish", "Erf", "Exp", "Log", "Sqrt", "Abs", "Clip", "Max", "Min", "Softmax"),
        ),
        NO_SQUARE,
    ),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool"), NO_MAXIMUM),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization"),
        "it divides by what it has just seen. Train the network with batch normalisation.",
    ),
    **dict.fromkeys(
        ("LinearClassifier", "LinearRegressor", "Scaler"),
        "it is an operation of scikit-learn. Give the model itself to nn.from_sklearn.",
    ),
}

FLOATS = (1, 11)  # what ONNX calls float32 and float64
SYMMETRIC = ("Add", "Sub", "Mul")  # which take the value at either place, or at both


@dataclass(frozen=True)
class Node:
    """One operation on the value.

    Attributes
    ----------
    operation : its name in ONNX
    inputs : constants by their place; None is the value, or an input that is left out
    values : at how many places the value stands
    settings : the attributes that the file gives
    name : to be named in errors
    """

    operation: str
    inputs: tuple[npt.NDArray[Any] | None, ...]
    values: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    def constant(self, place: int, default: float | None = None) -> RealArray:
        """Return a constant input."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            if default is None:
                raise ParameterError(f"its input {place} must be a constant")
            return np.asarray(default, dtype=np.float64)
        return np.asarray(found, dtype=np.float64)


@dataclass
class Chain:
    """The steps up to a value, and where its numbers are.

    Attributes
    ----------
    shape : of the value here, channels last
    order : of a flat value: where each number stands here, in the order of ONNX
    steps : that were made
    input_shape : of a row of the network, here
    notes : sentences about what was left out
    """

    shape: Shape
    order: npt.NDArray[np.int64] = field(init=False)
    steps: list[Step] = field(default_factory=list)
    input_shape: Shape = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.input_shape = self.shape
        self.order = np.arange(math.prod(self.shape))

    @property
    def onnx_shape(self) -> Shape:
        """Shape of the value in ONNX, without the batch."""
        return (*self.shape[-1:], *self.shape[:-1])

    def add(self, step: Step) -> None:
        """Go on with a step."""
        if not isinstance(step, Affine):
            before, self.shape = self.shape, checked_shape(step, self.shape)
            if isinstance(step, Weighted):
                self.order = np.arange(math.prod(self.shape))
            elif isinstance(step, Flatten):
                places = np.arange(math.prod(before)).reshape(before)
                self.order = np.moveaxis(places, -1, 0).ravel()
        self.steps.append(step)

    def spread(self, constant: RealArray) -> RealArray:
        """Return a constant of ONNX with one number for each number of the value here."""
        try:
            whole = np.broadcast_to(constant, (1, *self.onnx_shape))[0]
        except ValueError:
            raise ParameterError(
                f"a constant must fit to a value of shape {self.onnx_shape}; got {constant.shape}"
            ) from None
        if len(self.shape) > 1:
            return np.moveaxis(whole, 0, -1)
        placed: RealArray = whole[np.argsort(self.order)]
        return placed

    def affine(self, gain: RealArray | float, shift: RealArray | float) -> None:
        """Go on with gain x + shift."""
        self.add(Affine(self.spread(np.asarray(gain)), self.spread(np.asarray(shift))))

    def dense(self, weight: RealArray, bias: RealArray) -> None:
        """Go on with a dense layer, its rows in the order of ONNX."""
        if len(self.shape) > 1 or weight.ndim != 2 or len(weight) != self.shape[0]:
            raise ParameterError(
                f"a matrix of shape {weight.shape} cannot be multiplied with a value of shape "
                f"{self.onnx_shape}: put a Flatten in front"
            )
        placed = weight[np.argsort(self.order)]
        self.add(dense(placed, np.broadcast_to(bias, (1, weight.shape[1]))[0]))


Operation: TypeAlias = Callable[[Chain, Node], None]


def gemm(chain: Chain, node: Node) -> None:
    """A matrix product and a bias: alpha x B + beta C."""
    if node.settings.get("transA"):
        raise ParameterError("transA must be 0: rows of a batch cannot become columns")
    weight = node.constant(1) * node.settings.get("alpha", 1.0)
    bias = node.constant(2, 0.0) * node.settings.get("beta", 1.0)
    chain.dense(weight.T if node.settings.get("transB") else weight, bias)


def matmul(chain: Chain, node: Node) -> None:
    """A matrix product: x B."""
    chain.dense(node.constant(1), np.zeros(1))


def add(chain: Chain, node: Node) -> None:
    """The sum with a constant."""
    chain.affine(1.0, other(node))


def subtract(chain: Chain, node: Node) -> None:
    """The difference to a constant, either way."""
    sign = 1.0 if node.inputs[0] is None else -1.0
    chain.affine(sign, -sign * other(node))


def multiply(chain: Chain, node: Node) -> None:
    """The square, x * x, or the product with a constant."""
    if node.values == 2:
        chain.add(Square())
    else:
        chain.affine(other(node), 0.0)


def divide(chain: Chain, node: Node) -> None:
    """The quotient by a constant."""
    if not node.constant(1).all():
        raise ParameterError("it must divide the value by a constant other than 0")
    chain.affine(1 / node.constant(1), 0.0)


def power(chain: Chain, node: Node) -> None:
    """The square, as a power."""
    exponent = node.constant(1)
    if exponent.size != 1 or exponent.item() != 2:
        raise ParameterError(f"the exponent must be 2; got {exponent.ravel()[:4].tolist()}")
    chain.add(Square())


def other(node: Node) -> RealArray:
    """Return the constant beside the value."""
    if node.values != 1:
        raise ParameterError("it must take the value once, and a constant")
    return node.constant(1 if node.inputs[0] is None else 0)


def convolution(chain: Chain, node: Node) -> None:
    """A convolution over images, in groups if it has them."""
    weight, bias = node.constant(1), node.constant(2, 0.0)
    maps, taken, kernel = (*weight.shape, 0, 0, 0)[:3]
    channels, groups = image(chain)[2], node.settings.get("group", 1)
    if weight.ndim != 4 or taken * groups != channels or maps % groups:
        raise ParameterError(f"weights of shape {weight.shape} do not fit to {channels} channels")
    stride, start, end = geometry(chain, node, weight.shape[2:])
    check_size(kernel**2 * channels * maps)
    # A group reads a part of the channels; the weights for all others are zero.
    full = np.zeros((kernel, kernel, channels, maps))
    for m in range(maps):
        first = m * groups // maps * taken
        full[:, :, first : first + taken, m] = np.moveaxis(weight[m], 0, -1)
    layer = Conv2D(maps, kernel, stride, end, pad_start=start)
    chain.add(Weighted(layer, full.reshape(-1, maps), np.broadcast_to(bias, maps).copy()))


def average(chain: Chain, node: Node) -> None:
    """The mean over windows: a MeanPool where windows tile the image, else a convolution."""
    height, width, channels = image(chain)
    window = node.settings.get("kernel_shape", [0])
    stride, start, end = geometry(chain, node, window)
    size = window[0]
    if node.settings.get("ceil_mode") and any(
        (side + start + end - size) % stride for side in (height, width)
    ):
        raise ParameterError("ceil_mode must be 0: windows may not stick out")
    if (start or end) and not node.settings.get("count_include_pad"):
        raise ParameterError("count_include_pad must be 1 where there is padding")
    if stride == size and not (start or end or height % size or width % size):
        chain.add(MeanPool(size))
        chain.affine(1 / size**2, 0.0)
        return
    check_size(size**2 * channels**2)
    weight = np.tile(np.eye(channels) / size**2, (size**2, 1))
    layer = Conv2D(channels, size, stride, end, pad_start=start)
    chain.add(Weighted(layer, weight, np.zeros(channels)))


def global_average(chain: Chain, node: Node) -> None:
    """The mean over the whole image."""
    height, width, _ = image(chain)
    if height != width:
        raise ParameterError(f"the image must be a square; got {height} x {width}")
    chain.add(MeanPool(height))
    chain.affine(1 / height**2, 0.0)


def reduced(chain: Chain, node: Node) -> None:
    """A mean over axes, which have to be those of the image."""
    axes = node.settings.get("axes") or (node.constant(1).tolist() if len(node.inputs) > 1 else [])
    if sorted(int(axis) % (1 + len(chain.shape)) for axis in axes) != [2, 3]:
        raise ParameterError(f"the axes must be those of height and width; got {axes}")
    global_average(chain, node)
    if not node.settings.get("keepdims", 1):
        flatten(chain, Node("Flatten", (None,)))


def normalise(chain: Chain, node: Node) -> None:
    """Batch normalisation after training: an affine map for each channel."""
    if node.settings.get("training_mode"):
        raise ParameterError("training_mode must be 0: export the network for inference")
    gain, shift, mean, variance = (node.constant(place) for place in range(1, 5))
    gain = gain / np.sqrt(variance + node.settings.get("epsilon", 1e-5))
    sides = (1,) * (len(chain.shape) - 1)
    chain.affine(gain.reshape(-1, *sides), (shift - mean * gain).reshape(-1, *sides))


def flatten(chain: Chain, node: Node) -> None:
    """One row for each image."""
    if node.settings.get("axis", 1) != 1:
        raise ParameterError(f"axis must be 1; got {node.settings['axis']}")
    if len(chain.shape) > 1:
        chain.add(Flatten())


def reshape(chain: Chain, node: Node) -> None:
    """To flat rows; or, at the very beginning, from flat rows to images."""
    wanted = node.constant(1).astype(np.int64).tolist()
    size, shape = math.prod(chain.shape), tuple(wanted[1:])
    if shape.count(-1) == 1 and wanted[0] != -1:
        known = -math.prod(shape) or 1
        shape = tuple(size // known if side == -1 else side for side in shape)
    if len(shape) == 1 and shape[0] in (size, 0):
        flatten(chain, Node("Flatten", (None,)))
    elif len(shape) == 3 and math.prod(shape) == size and not chain.steps:
        chain.shape = chain.input_shape = (*shape[1:], shape[0])
    elif shape != chain.onnx_shape:
        raise ParameterError(f"{chain.onnx_shape} cannot become {wanted} here: use Flatten")


def nothing(chain: Chain, node: Node) -> None:
    """The value as it is."""
    if any(given is not None and given.any() for given in node.inputs[2:]):
        raise ParameterError("training_mode must be 0: export the network for inference")
    if node.settings.get("to", FLOATS[0]) not in FLOATS:
        raise ParameterError("values must stay floats: leave the conversion to integers out")


OPERATIONS: dict[str, Operation] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Pow": power,
    "Conv": convolution,
    "AveragePool": average,
    "GlobalAveragePool": global_average,
    "ReduceMean": reduced,
    "BatchNormalization": normalise,
    "Flatten": flatten,
    "Reshape": reshape,
    "Identity": nothing,
    "Dropout": nothing,
    "Cast": nothing,
}
# Behind the last layer these do not change which output is the largest, or its sign less a half.
LAST = ("Softmax", "LogSoftmax", "Sigmoid")


def follow(chain: Chain, node: Node, last: bool = False) -> None:
    """Go on with one operation, or refuse it.

    Raises
    ------
    ParameterError
        That says what to do instead.
    """
    where = f"{node.operation}{f' ({node.name})' if node.name else ''}"
    # The axis is another one by default only where there are more than two.
    if last and node.operation in LAST and node.settings.get("axis", 1) in (1, -1):
        chain.notes.append(f"{where} at the end is left out: it does not change which class it is.")
        return
    if node.operation not in OPERATIONS:
        why = INSTEAD.get(node.operation, f"it must be one of {', '.join(OPERATIONS)}.")
        raise ParameterError(f"{where} cannot be run encrypted: {why}")
    try:
        if node.operation not in SYMMETRIC and (node.inputs[0] is not None or node.values != 1):
            raise ParameterError("the value must be its first input, and no other one")
        OPERATIONS[node.operation](chain, node)
    except ParameterError as error:
        raise ParameterError(f"{where}: {str(error).removesuffix('.')}.") from error


def image(chain: Chain) -> tuple[int, int, int]:
    """Return (height, width, channels) of the value, or refuse what is no image."""
    if len(chain.shape) != 3:
        raise ParameterError(f"it must take images; got a value of shape {chain.onnx_shape}")
    height, width, channels = chain.shape
    return height, width, channels


def check_size(numbers: int) -> None:
    """Refuse weights that are too many before there are any."""
    if numbers > LARGEST_LAYER:
        raise ParameterError(f"{numbers:,} weights, and {LARGEST_LAYER:,} are accepted")


def geometry(chain: Chain, node: Node, window: Any) -> tuple[int, int, int]:
    """Return (stride, padding in front, padding behind), both axes alike.

    Raises
    ------
    ParameterError
        If the axes differ, or there are gaps in the window.
    """
    settings, sides = node.settings, chain.shape[:2]
    strides = list(settings.get("strides", [1, 1]))
    if any(step != 1 for step in settings.get("dilations", [1, 1])):
        raise ParameterError("dilations must be 1")
    pads, automatic = list(settings.get("pads", [0] * 4)), settings.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        total = [
            (-(-side // step) - 1) * step + size - side
            for side, step, size in zip(sides, strides, window, strict=True)
        ]
        less, more = [all // 2 for all in total], [all - all // 2 for all in total]
        pads = [*less, *more] if automatic == "SAME_UPPER" else [*more, *less]
    found = [list(window), strides, pads[:2], pads[2:]]
    if any(len(pair) != 2 or pair[0] != pair[1] for pair in found):
        raise ParameterError(
            f"windows, strides and padding must be the same for height and width; got {found}"
        )
    # Where strides exceed windows, auto_pad is negative: some runtimes cut pixels off, some do not.
    if min(strides[0], window[0]) < 1 or min(pads) < 0:
        raise ParameterError(f"windows, strides and padding must be positive; got {found}")
    return strides[0], pads[0], pads[2]
