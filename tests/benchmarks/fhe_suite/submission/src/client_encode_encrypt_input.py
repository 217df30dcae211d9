"""Client: encrypt the pixels with the secret key."""

import numpy as np
from instance import Instance

from nn.service import roles, single
from yashe import workers
from yashe.wire.files import whole_file

instance = Instance()
card = roles.read_card(instance.card)
pixels = np.load(instance.intermediate / "pixels.npy", allow_pickle=False)
keys = roles.load_secret_keys(instance.secret, card)
instance.upload.mkdir(parents=True, exist_ok=True)
with workers(), whole_file(instance.upload / "images.fhe") as file:
    if instance.mode == "single":
        single.encrypt(file, card, keys, pixels, card.levels)
    else:
        roles.encrypt(file, card, keys[0], pixels, card.levels)
