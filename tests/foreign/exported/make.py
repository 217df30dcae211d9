"""Train networks of squares with PyTorch and export them.

    python tests/foreign/exported/make.py digits
    python tests/foreign/exported/make.py mnist --data DIR

Needs torch and onnxscript. Writes NAME.onnx beside this program, and prints what the network of
PyTorch itself gets right. Some training images are not trained on, but kept for rounding: every
fifth of the digits, the last 5,000 of MNIST.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
import torch

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[2]))

from nn import load_digits, load_mnist  # noqa: E402
from nn.data.sets import Dataset  # noqa: E402


class Square(torch.nn.Module):
    """The activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x


def digits_network() -> torch.nn.Module:
    """Pool, and pad on all sides."""
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4), Square()),
        *(torch.nn.AvgPool2d(2), torch.nn.Flatten()),
        *(torch.nn.Linear(64, 32), torch.nn.BatchNorm1d(32), Square(), torch.nn.Linear(32, 10)),
    )


def mnist_network() -> torch.nn.Module:
    """Stride instead of pools, as in CryptoNets."""
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 5, 6, stride=3, padding=1), torch.nn.BatchNorm2d(5), Square()),
        *(torch.nn.Flatten(), torch.nn.Linear(405, 40), torch.nn.BatchNorm1d(40), Square()),
        torch.nn.Linear(40, 10),
    )


def rows(dataset: Dataset, images: np.ndarray) -> torch.Tensor:
    """Return images as PyTorch takes them: channels first, 0..1."""
    return torch.tensor(np.moveaxis(images, -1, 1) / dataset.pixel_max, dtype=torch.float32)


def trained(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int
) -> torch.nn.Module:
    """Train with batch normalisation in front of every square."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    steps = epochs * -(-len(images) // batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(batch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
            rate.step()
    return model.eval()


def main() -> None:
    """Train, export, and say what is right."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=("digits", "mnist"))
    parser.add_argument("--data", type=Path, help="folder with the MNIST files")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    mnist = arguments.name == "mnist"
    data = load_mnist(arguments.data) if mnist else load_digits()
    place = np.arange(len(data.train_images))
    kept = place >= len(place) - 5000 if mnist else place % 5 == 0
    inputs, labels = rows(data, data.train_images[~kept]), torch.tensor(data.train_labels[~kept])
    network = mnist_network() if mnist else digits_network()
    model = trained(network, inputs, labels, *((6, 128) if mnist else (25, 32)))
    example = (torch.zeros(1, 1, *inputs.shape[2:]),)
    path = FOLDER / f"{arguments.name}.onnx"
    torch.onnx.export(model, example, path, dynamo=True, external_data=False)
    file = onnx.load(path)
    for thing in (file, file.graph, *file.graph.node, *file.graph.input, *file.graph.value_info):
        del thing.metadata_props[:]  # lines of this program, with the folder where it has run
    onnx.save(file, path)
    for part, images, right in (
        ("kept", data.train_images[kept], data.train_labels[kept]),
        ("test", data.test_images, data.test_labels),
    ):
        found = model(rows(data, images)).argmax(dim=1).numpy()
        print(f"{part}: {(found == right).mean():.2%} of {len(right)} right")


if __name__ == "__main__":
    main()
