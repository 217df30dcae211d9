"""Client: make the keys that the model card asks for."""

from instance import Instance

from nn.service import roles

instance = Instance()
roles.keygen(instance.secret, roles.read_card(instance.card))
(instance.secret / roles.PUBLIC).rename(instance.public)
