"""A tiny network as a service: its images, its logits, and a server without secret keys."""

from pathlib import Path
from typing import Any

import numpy as np

from nn.networks.base import Linear
from nn.networks.layers import Dense, Flatten, Square
from nn.networks.model import ModelInfo, Sequential
from nn.service.keyfiles import load_evaluation_keys

SHAPE = (3, 2, 1)


def tiny_network(name: str = "tiny", squares: int = 2) -> Sequential:
    """A network with one or two squares for images of 3x2 pixels 0..3; n = 4096 carries it."""
    layers = [Flatten(), *[Square()] * (squares - 1), Dense(3), Square(), Dense(2)]
    model = Sequential(layers, SHAPE, info=ModelInfo(name=name, levels=3))
    generator = np.random.default_rng(8)
    for layer in model.layers:
        if isinstance(layer, Linear):
            layer.parameters = {
                key: generator.integers(-2, 3, value.shape, dtype=np.int64) | 1
                for key, value in layer.parameters.items()
            }
    return model


def expected_logits(folder: Path) -> Any:
    model = tiny_network()
    pixels = np.load(folder / "images.npy").astype(np.int64)[..., None]
    return model.forward((pixels * 2 * 3 + 255) // 510).tolist()  # round(3 p / 255)


def evaluation_key(place: Path) -> Any:
    """What a server reads of keys for batches."""
    (key,) = load_evaluation_keys(place, tiny_network())[1]
    return key


# The server's program in which every way to a secret key raises.
SERVER = """
import sys
import yashe.ciphertexts.keys, yashe.schemes.rlwe, yashe.schemes.base, yashe.wire
def refuse(*arguments, **options):
    raise RuntimeError("the server has reached for a secret key")
yashe.ciphertexts.keys.SecretKey.__init__ = refuse
yashe.wire.load_secret_key = yashe.wire.save_secret_key = refuse
yashe.schemes.rlwe.RLWE.keygen = yashe.schemes.rlwe.RLWE.phase = refuse
yashe.schemes.base.Scheme.decrypt = refuse
from nn.commands.main import main
sys.exit(main(sys.argv[1:]))
"""
