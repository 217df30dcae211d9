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
    return [(table, (6,), True), (pooled, (1, 9, 9), False), (Viewed(), (2, 8, 8), False)]


@pytest.mark.parametrize("which", range(3), ids=["table", "pooled", "viewed"])
def test_a_module_computes_the_same_here(which):
    torch.manual_seed(0)
    module, row_shape, regression = modules()[which]
    rows = torch.randn(200, *row_shape)
    module.train()
    module(rows)  # batch normalisation sees something
    network = from_torch(module, row_shape, regression=regression)
    assert module.training
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
