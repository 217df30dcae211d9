"""Server: classify encrypted images. It reads no file in which there is a secret."""

from instance import NETWORK, Instance

from nn import pretrained
from nn.service import roles
from yashe import workers
from yashe.wire.files import open_input, whole_file

instance = Instance()
model, key = pretrained(NETWORK), roles.load_evaluation_key(instance.public / "evaluation.key")
instance.download.mkdir(parents=True, exist_ok=True)
with (
    workers(),
    open_input(instance.upload / "images.fhe") as images,
    whole_file(instance.download / "reply.fhe") as reply,
):
    roles.classify(images, reply, model, key)
