"""Server: classify encrypted images. It reads no file in which there is a secret."""

from instance import NETWORK, Instance

from nn import make_plan, pretrained
from nn.service import roles, single
from yashe import workers
from yashe.wire.files import open_input, whole_file

instance, model = Instance(), pretrained(NETWORK)
instance.download.mkdir(parents=True, exist_ok=True)
with (
    workers(),
    open_input(instance.public / roles.EVALUATION) as keys,
    open_input(instance.upload / "images.fhe") as images,
    whole_file(instance.download / "reply.fhe") as reply,
):
    if instance.mode == "single":
        own = single.read_server_keys(keys, roles.read_card(instance.card))
        single.classify(images, reply, make_plan(model, mode="single"), own)
    else:
        roles.classify(images, reply, model, roles.load_evaluation_key(instance.public))
