"""Client: encrypt the pixels with the secret key."""

import numpy as np
from instance import Instance

from nn.service import keyfiles, roles
from yashe import workers
from yashe.wire.files import whole_file

instance = Instance()
card = keyfiles.read_card(instance.card)
pixels = np.load(instance.intermediate / "pixels.npy", allow_pickle=False)
keys = keyfiles.load_secret_keys(instance.secret, card)
instance.upload.mkdir(parents=True, exist_ok=True)
with workers(), whole_file(instance.upload / "images.fhe") as file:
    roles.encrypt(file, card, keys, pixels, card.levels)
