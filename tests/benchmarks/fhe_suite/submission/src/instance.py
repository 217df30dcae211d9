"""One size of the benchmark: how many images, and where its files lie.

The harness runs every program in the root of its repository, with the number of a size as the
argument. What belongs to the client alone is in `secret_key` and `intermediate`; the server reads
`public_keys` and `ciphertexts_upload`, and writes `ciphertexts_download`.
"""

import sys
from pathlib import Path

SIZES = {"single": 1, "small": 15, "medium": 1000, "large": 10000}
NETWORK = "cryptonets"  # one that comes with the project, as `nn.pretrained` knows it
# Up to some twenty images, one at once is faster than a batch: make_plan(mode="auto", images=15).
MODES = {name: "single" if images < 20 else "batch" for name, images in SIZES.items()}
FOLDER = Path(__file__).resolve().parent  # where scripts/build_task.sh writes the model cards


class Instance:
    """The size that the command line names.

    Attributes
    ----------
    images : how many there are
    mode : "single", one image at once, or "batch"
    io, secret, public, upload, download, intermediate : folders
    pixels, predictions : files: the harness writes the first, and reads the second
    card : file of the model card: what a client has to know about the network
    """

    def __init__(self) -> None:
        argument = sys.argv[1] if len(sys.argv) == 2 else ""
        if argument not in ("0", "1", "2", "3"):
            names = ", ".join(f"{i} {name}" for i, name in enumerate(SIZES))
            sys.exit(f"usage: {sys.argv[0]} SIZE, where SIZE is one of {names}")
        name = list(SIZES)[int(argument)]
        self.images, self.mode = SIZES[name], MODES[name]
        self.card = FOLDER / f"{self.mode}.json"
        self.io = Path.cwd() / "io" / name
        self.secret, self.public = self.io / "secret_key", self.io / "public_keys"
        self.upload = self.io / "ciphertexts_upload"
        self.download = self.io / "ciphertexts_download"
        self.intermediate = self.io / "intermediate"
        self.pixels = Path.cwd() / "datasets" / name / "intermediate" / "test_pixels.txt"
        self.predictions = self.io / "encrypted_model_predictions.txt"
