"""Client: make the keys that the model card asks for."""

from instance import CARD, Instance

from nn.service.card import ModelCard
from yashe import BGV, save
from yashe.wire import save_secret_key

instance = Instance()
instance.secret.mkdir(parents=True, exist_ok=True)
instance.public.mkdir(parents=True, exist_ok=True)
keys = BGV(ModelCard.from_json(CARD.read_bytes()).params).keygen()
save_secret_key(instance.secret / "secret.key", keys.secret)
save(instance.public / "evaluation.key", keys.relinearization)
