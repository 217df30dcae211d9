"""Integer networks that are ready to run, made by `cryptonets train`.

Each file tells how it was made: `pretrained(name).info` has the command, the seed, the accuracies
and the bits that a plaintext modulus needs for its logits.
"""

from importlib.resources import as_file, files

from nn.networks.checks import nearest
from nn.networks.model import Sequential
from yashe.errors import ParameterError

OTHER_NAMES = {"mnist": "cryptonets"}  # a data set's, for the network of the paper


def pretrained_names() -> tuple[str, ...]:
    """Return the names of the networks that come with the package."""
    found = (file.name for file in files(__name__).iterdir())
    return tuple(sorted(name[:-4] for name in found if name.endswith(".npz")))


def known_names() -> tuple[str, ...]:
    """Return all names that `pretrained` knows: a network may have two."""
    return tuple(sorted((*pretrained_names(), *OTHER_NAMES)))


def pretrained(name: str) -> Sequential:
    """Load a pretrained integer network.

    Parameters
    ----------
    name : str
        "cryptonets" (or "mnist"), "lean" or "light" for MNIST, "digits" for the 8x8 digits.

    Raises
    ------
    ParameterError
        If there is no network of this name.
    """
    if not isinstance(name, str) or name not in known_names():
        raise ParameterError(
            f"got {name!r}, and the pretrained networks are {nearest(str(name), known_names())}. "
            "Your own networks are loaded with nn.networks.model.Sequential.load(path)."
        )
    name = OTHER_NAMES.get(name, name)
    with as_file(files(__name__) / f"{name}.npz") as path:
        return Sequential.load(path)
