"""Neural networks that run on encrypted data: layers, training, quantisation, proof, execution.

>>> from nn import decrypt_logits, encrypt_images, infer, make_plan
>>> from nn import load_digits, pretrained, quantize_pixels
>>> from yashe import BGV
>>> model, digits = pretrained("digits"), load_digits()
>>> pixels = quantize_pixels(digits.test_images, digits.pixel_max, model.info.levels)
>>> plan = make_plan(model)  # proved before anything is encrypted
>>> scheme = BGV(plan.params)
>>> keys = scheme.keygen()
>>> x = encrypt_images(scheme, plan, pixels, keys.secret)  # the client
>>> y = infer(scheme, plan, x, plan.server_keys(keys))  # the server, which has no secret key
>>> logits = decrypt_logits(scheme, y, keys.secret, len(pixels))  # the client
>>> bool((logits == model.forward(pixels)).all())
True

The networks use additions, multiplications and nothing else (the activation is the square), so one
forward expression serves float arrays, integer arrays and arrays of ciphertexts. What a user needs
is here by name (`dir(nn)`), and loaded when it is first asked for.

Rooms, in the order of reading; a room imports only rooms before it, and those of `yashe`:

    tiny        all of it on one page, which stands on nothing of the rest
    networks    layers and networks of additions and multiplications
    data        images and labels
    training    from images to a network of small integers
    packing     one image in the slots of a few ciphertexts
    planning    what is proved and what it costs, before anything is encrypted
    foreign     networks from ONNX, PyTorch and scikit-learn
    inference   networks on encrypted images
    cluster     the same on other processes and machines
    experiment  the whole run in one process, compared logit by logit with the integers
    service     a client and a server who share files only
    drawing     a page on which one draws a digit, and watches
    estimators  from a table of one's own to encrypted predictions
    bench       how fast it is, and how fast it could be
    pictures    pictures of images, networks and their encrypted runs
    commands    `cryptonets`, from a shell
    __main__    `python -m nn` is `cryptonets`
"""

from importlib import import_module

TYPE_CHECKING = False  # but true for type checkers, which know the name
if TYPE_CHECKING:
    from nn.data.sets import load_digits as load_digits
    from nn.data.sets import load_mnist as load_mnist
    from nn.data.tables import read_table as read_table
    from nn.estimators.square import SquareNet as SquareNet
    from nn.estimators.square import SquareNetRegressor as SquareNetRegressor
    from nn.foreign.onnx_files import from_onnx as from_onnx
    from nn.foreign.onnx_files import from_torch as from_torch
    from nn.foreign.retrain import train_rounded as train_rounded
    from nn.foreign.rounding import quantize_network as quantize_network
    from nn.foreign.sklearn_models import from_sklearn as from_sklearn
    from nn.inference.encrypted import decrypt_logits as decrypt_logits
    from nn.inference.encrypted import encrypt_images as encrypt_images
    from nn.inference.encrypted import infer as infer
    from nn.networks.layers import Conv2D as Conv2D
    from nn.networks.layers import Dense as Dense
    from nn.networks.layers import Flatten as Flatten
    from nn.networks.layers import MeanPool as MeanPool
    from nn.networks.layers import Square as Square
    from nn.networks.model import Sequential as Sequential
    from nn.networks.pretrained import pretrained as pretrained
    from nn.planning.plan import make_plan as make_plan
    from nn.training.quantize import quantize_pixels as quantize_pixels
    from nn.training.train import train as train

# Where the names live: `import nn` itself loads nothing.
_HOMES = {
    "Conv2D": "nn.networks.layers",
    "Dense": "nn.networks.layers",
    "Flatten": "nn.networks.layers",
    "MeanPool": "nn.networks.layers",
    "Sequential": "nn.networks.model",
    "Square": "nn.networks.layers",
    "SquareNet": "nn.estimators.square",
    "SquareNetRegressor": "nn.estimators.square",
    "decrypt_logits": "nn.inference.encrypted",
    "encrypt_images": "nn.inference.encrypted",
    "from_onnx": "nn.foreign.onnx_files",
    "from_sklearn": "nn.foreign.sklearn_models",
    "from_torch": "nn.foreign.onnx_files",
    "infer": "nn.inference.encrypted",
    "load_digits": "nn.data.sets",
    "load_mnist": "nn.data.sets",
    "make_plan": "nn.planning.plan",
    "pretrained": "nn.networks.pretrained",
    "quantize_network": "nn.foreign.rounding",
    "quantize_pixels": "nn.training.quantize",
    "read_table": "nn.data.tables",
    "train": "nn.training.train",
    "train_rounded": "nn.foreign.retrain",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted(__all__)  # not what this module needs for itself
