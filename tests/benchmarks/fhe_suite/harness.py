"""Play the harness of the benchmark: each stage a process, timed, in the order of its rules.

    python tests/benchmarks/fhe_suite/harness.py 3 [--data DIR]      0 single ... 3 large

The server's stage runs in a folder of its own, which gets what the client uploads and nothing else.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from nn import load_mnist  # noqa: E402

SIZES = {"single": 1, "small": 15, "medium": 1000, "large": 10000}
SHARED = ("public_keys", "ciphertexts_upload", "ciphertexts_download")  # what the server may see
STAGES = {
    "client_key_generation": True,  # whether it gets the size as its argument
    "server_preprocess_model": False,
    "client_preprocess_input": True,
    "client_encode_encrypt_input": True,
    "server_encrypted_compute": True,
    "client_decrypt_decode": True,
    "client_postprocess": True,
}


@dataclass
class Result:
    """What a run has cost, and which labels came out.

    Attributes
    ----------
    seconds : of each stage, its process start included
    cpu : seconds that its threads have computed, all together
    sizes : bytes of each folder that both sides see
    labels : int64 array
    on_server : files in the server's folder when its stages began
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    on_server: set[str] = field(default_factory=set)


def call(command: list[Path | str], folder: Path, **variables: str) -> None:
    """Run a program in a folder, on this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def build(root: Path) -> None:
    """Put the entry where the harness wants it, and build it with this interpreter."""
    shutil.copytree(Path(__file__).parent, root, dirs_exist_ok=True)
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [root / "scripts/build_task.sh", "./submission"], cwd=root, env=environment, check=True
    )


def play(root: Path, size: int, images: np.ndarray) -> Result:
    """Run all stages on images 0..255, shape (count, 28, 28, 1)."""
    name, result = list(SIZES)[size], Result()
    client, server = root / "io" / name, root / "server" / "io" / name
    pixels = root / "datasets" / name / "intermediate" / "test_pixels.txt"
    for folder in (client, server, pixels.parent):
        folder.mkdir(parents=True)
    np.savetxt(pixels, images.reshape(len(images), -1) / 255, fmt="%.6f")
    for stage, sized in STAGES.items():
        here, there = (server, client) if stage.startswith("server") else (client, server)
        for shared in SHARED:
            if (there / shared).exists():
                (there / shared).rename(here / shared)
        program = root / "submission" / "build" / stage
        if here is server:
            files = (path for path in server.rglob("*") if path.is_file())
            result.on_server |= {path.relative_to(server).as_posix() for path in files}
        start, before = time.perf_counter(), os.times()
        call([program, *[str(size)] * sized], here.parents[1])
        result.seconds[stage] = time.perf_counter() - start
        result.cpu[stage] = sum(os.times()[2:4]) - sum(before[2:4])
    for shared in SHARED:
        result.sizes[shared] = sum(file.stat().st_size for file in (client / shared).iterdir())
    labels = (client / "encrypted_model_predictions.txt").read_text().split("\n")
    result.labels = np.array(labels[:-1], dtype=np.int64)
    return result


def main() -> None:
    """Run one size on the first test images of MNIST, and print what it has cost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "size", type=int, choices=range(4), help="0 single, 1 small, 2 medium, 3 large"
    )
    parser.add_argument("--data", type=Path, help="folder with the MNIST files")
    arguments = parser.parse_args()
    count, data = list(SIZES.values())[arguments.size], load_mnist(arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        result = play(Path(folder), arguments.size, data.test_images[:count])
    print(f"{'seconds':<30}{'':>8}{'CPU':>8}")
    for stage, seconds in result.seconds.items():
        print(f"{stage:<30}{seconds:>8.2f}{result.cpu[stage]:>8.2f}")
    print(f"{'all stages':<30}{sum(result.seconds.values()):>8.2f}{sum(result.cpu.values()):>8.2f}")
    for shared, size in result.sizes.items():
        print(f"{shared:<30}{size / 2**20:>8.1f} MiB")
    right = int((result.labels == data.test_labels[:count]).sum())
    print(f"{right} of {count} right")


if __name__ == "__main__":
    main()
