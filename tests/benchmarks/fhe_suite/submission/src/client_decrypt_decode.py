"""Client: decrypt the logits."""

import numpy as np
from instance import Instance

from nn.service import keyfiles, roles
from yashe import workers
from yashe.wire.files import open_input

instance = Instance()
card = keyfiles.read_card(instance.card)
keys = keyfiles.load_secret_keys(instance.secret, card)
with workers(), open_input(instance.download / "reply.fhe") as reply:
    logits = roles.decrypt(reply, card, keys, instance.images)
np.save(instance.intermediate / "logits.npy", logits, allow_pickle=False)
