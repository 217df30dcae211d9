"""Client: encrypt the pixels with the secret key, one ciphertext for each place in the image."""

import numpy as np
from instance import CARD, Instance

from nn.service import roles
from nn.service.card import ModelCard
from yashe import workers
from yashe.ciphertexts.keys import SecretKey
from yashe.wire import load_secret_key
from yashe.wire.files import whole_file

instance = Instance()
card = ModelCard.from_json(CARD.read_bytes())
pixels = np.load(instance.intermediate / "pixels.npy", allow_pickle=False)
key = load_secret_key(instance.secret / "secret.key", SecretKey)
instance.upload.mkdir(parents=True, exist_ok=True)
with workers(), whole_file(instance.upload / "images.fhe") as file:
    roles.encrypt(file, card, key, pixels, card.levels)
