"""Client: decrypt the logits."""

import numpy as np
from instance import Instance

from nn.service import roles, single
from yashe import workers
from yashe.wire.files import open_input

instance = Instance()
card = roles.read_card(instance.card)
keys = roles.load_secret_keys(instance.secret, card)
with workers(), open_input(instance.download / "reply.fhe") as reply:
    if instance.mode == "single":
        logits = single.decrypt(reply, card, keys)
    else:
        logits = roles.decrypt(reply, card, keys[0], instance.images)
np.save(instance.intermediate / "logits.npy", logits, allow_pickle=False)
