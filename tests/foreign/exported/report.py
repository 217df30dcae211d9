"""Round an exported network, and say what that has cost.

    python tests/foreign/exported/report.py digits
    python tests/foreign/exported/report.py mnist --data DIR

Needs onnx. Rounding looks at the images that make.py has kept; the test images are looked at once.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[2]))

from nn import from_onnx, load_digits, load_mnist, make_plan, quantize_network  # noqa: E402


def main() -> None:
    """Print the network, the table of what was tried, accuracies and the plan."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=("digits", "mnist"))
    parser.add_argument("--data", type=Path, help="folder with the MNIST files")
    arguments = parser.parse_args()
    mnist = arguments.name == "mnist"
    data = load_mnist(arguments.data) if mnist else load_digits()
    place = np.arange(len(data.train_images))
    kept = place >= len(place) - 5000 if mnist else place % 5 == 0
    rows, test = (
        np.moveaxis(images, -1, 1) / data.pixel_max
        for images in (data.train_images[kept], data.test_images)
    )
    network = from_onnx(FOLDER / f"{arguments.name}.onnx")
    print(network, end="\n\n")
    start = time.perf_counter()
    rounded = quantize_network(network, rows, data.train_labels[kept])
    print(rounded, end="\n\n")
    print(f"searched in {time.perf_counter() - start:.1f} s")
    for what, found in (("float", network.predict(test)), ("integers", rounded.predict(test))):
        print(
            f"{what:<9}{(found == data.test_labels).mean():.2%} of {len(test):,} test images right"
        )
    print(f"\n{make_plan(rounded.model)}")


if __name__ == "__main__":
    main()
