"""Client: make the keys that the model card asks for."""

from instance import Instance

from nn.service import keyfiles

instance = Instance()
keyfiles.keygen(instance.secret, keyfiles.read_card(instance.card))
(instance.secret / keyfiles.PUBLIC).rename(instance.public)
