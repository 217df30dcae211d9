"""Server: classify encrypted images. It reads no file in which there is a secret."""

from instance import NETWORK, Instance

from nn import pretrained
from nn.service import keyfiles, roles
from yashe import workers
from yashe.wire.files import open_input, whole_file

instance, model = Instance(), pretrained(NETWORK)
instance.download.mkdir(parents=True, exist_ok=True)
with (
    workers(),
    open_input(instance.upload / "images.fhe") as images,
    whole_file(instance.download / "reply.fhe") as reply,
):
    roles.classify(images, reply, *keyfiles.load_evaluation_keys(instance.public, model))
