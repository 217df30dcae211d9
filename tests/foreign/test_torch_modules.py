"""Modules of PyTorch: what the module computes, the network here computes."""

import numpy as np
import pytest

from nn import from_torch
from yashe.errors import KindError, ParameterError

# Continuous integration does not install PyTorch, which is larger than all the rest together: the
# files in exported/ are from it, and what is here runs where somebody has it.
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # those of torch.onnx about torch itself
]


class Square(torch.nn.Module):
    def forward(self, x):
        return x**2


class Viewed(torch.nn.Module):
    """Standardises, pads, squares, views, and averages."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(2, 4, 3, padding="same", groups=2)
        self.norm = torch.nn.BatchNorm2d(4)
        self.last = torch.nn.Linear(64, 3)

    def forward(self, x):
        x = self.norm(self.first((x - 0.13) / 0.31))
        x = torch.nn.functional.avg_pool2d(torch.square(x), 2)
        return torch.softmax(self.last(x.view(x.size(0), -1)), dim=1)


class Sized(torch.nn.Module):
    """Branches on what it sees."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def modules():
    table = torch.nn.Sequential(
        torch.nn.Linear(6, 5),
        torch.nn.BatchNorm1d(5),
        Square(),
        torch.nn.Dropout(),
        torch.nn.Linear(5, 1),
    )
    pooled = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, stride=2),
        Square(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    maps = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, padding=1), Square(), torch.nn.Flatten())
    return [
        (table, (6,), True),
        (pooled, (1, 9, 9), False),
        (maps, (2, 4, 4), False),
        (Viewed(), (2, 8, 8), False),
    ]


@pytest.mark.parametrize("which", range(4), ids=["table", "pooled", "maps", "viewed"])
def test_a_module_computes_the_same_here(which):
    torch.manual_seed(0)
    module, row_shape, regression = modules()[which]
    rows = torch.randn(200, *row_shape)
    module.train()
    module(rows)  # batch normalisation sees something
    next(module.children()).eval()  # somebody has frozen it
    before = [part.training for part in module.modules()]
    network = from_torch(module, row_shape, regression=regression)
    assert [part.training for part in module.modules()] == before
    expected = module.eval()(rows).detach().numpy()
    outputs = network.outputs(rows.numpy())
    if network.notes:  # without the softmax
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_a_module_with_relu_and_what_is_no_module_are_refused():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    with pytest.raises(ParameterError, match=r"Relu.* cannot be run encrypted.* x \* x"):
        from_torch(module, (4,))
    with pytest.raises(KindError, match="torch.nn.Module is required"):
        from_torch(lambda x: x, (4,))


def test_an_export_that_computes_something_else_is_refused():
    pool = torch.nn.AvgPool2d(2, divisor_override=3)  # is lost on the way to ONNX
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), pool, torch.nn.Flatten())
    with pytest.raises(ParameterError, match="computes something else than the module"):
        from_torch(module, (1, 6, 6))


@pytest.mark.parametrize(
    ("module", "row", "why"),
    [
        (torch.nn.Linear(4, 3), (5,), "shape .5,.; it is not: .*cannot be multiplied"),
        (torch.nn.Linear(4, 3).double(), (4,), "must run in float32 on the CPU.* same dtype"),
        (Sized(), (4,), "data-dependent"),
    ],
    ids=["shape", "double", "branch"],
)
def test_modules_that_do_not_run_or_are_not_exported_are_refused(module, row, why):
    with pytest.raises(ParameterError, match=why):
        from_torch(module, row)
