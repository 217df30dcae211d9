"""Draw docs/images/overview.png, the picture at the top of the README, from a real run.

pip install ".[notebooks]" && python docs/make_overview.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from nn import (
    decrypt_logits,
    encrypt_images,
    infer,
    load_digits,
    make_plan,
    pretrained,
    quantize_pixels,
)
from yashe import BGV, workers

SEED = bytes(range(32))
SHOWN = 64  # residues of the ciphertext in the picture: 64 x 64


def main() -> None:
    """Encrypt the test digits, classify them, and draw what each side has seen of the first."""
    dataset, model = load_digits(), pretrained("digits")
    pixels = quantize_pixels(dataset.test_images, dataset.pixel_max, model.info.levels)
    plan = make_plan(model)
    scheme = BGV(plan.params)
    with workers():
        keys = scheme.keygen(SEED)
        ct = encrypt_images(scheme, model, pixels, keys.secret, SEED)
        reply = infer(scheme, plan, ct, plan.server_keys(keys))
        logits = decrypt_logits(scheme, reply, keys.secret, len(pixels))

    figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), layout="constrained")
    axes[0].imshow(dataset.test_images[0, ..., 0], cmap="gray_r")
    axes[0].set_title("client: a digit")
    for axis, source, title in (
        (axes[1], ct[4, 4], "server: one pixel of all images"),
        (axes[2], reply[0], "server: one logit of all images"),
    ):
        residues = source.rows[source.index, 1, 0, : SHOWN * SHOWN].reshape(SHOWN, SHOWN)
        axis.imshow(residues, cmap="gray")
        axis.set_title(title, fontsize=10)
    scores = logits[0] / np.abs(logits[0]).max()
    colours = ["#0072b2" if i == logits[0].argmax() else "#bbbbbb" for i in range(10)]
    axes[3].bar(range(10), scores, color=colours)
    axes[3].set_title(f"client: it is a {logits[0].argmax()}")
    axes[3].set_xticks(range(10))
    axes[3].set_yticks([])
    axes[3].set_xlabel("decrypted logits")
    for axis in axes[:3]:
        axis.set_xticks([])
        axis.set_yticks([])
    target = Path(__file__).parent / "images" / "overview.png"
    figure.savefig(target, dpi=110)
    print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
