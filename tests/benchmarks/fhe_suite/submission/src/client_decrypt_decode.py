"""Client: decrypt the logits."""

import numpy as np
from instance import Instance

from nn.service import roles
from yashe import workers
from yashe.ciphertexts.keys import SecretKey
from yashe.wire import load_secret_key
from yashe.wire.files import open_input

instance = Instance()
key = load_secret_key(instance.secret / "secret.key", SecretKey)
with workers(), open_input(instance.download / "reply.fhe") as reply:
    logits = roles.decrypt(reply, key, instance.images)
np.save(instance.intermediate / "logits.npy", logits, allow_pickle=False)
