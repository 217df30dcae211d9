"""Integer networks that are ready to run, made by `cryptonets train`.

Each file tells how it was made: `pretrained(name).info` has the command, the seed, the accuracies
and the bits that a plaintext modulus needs for its logits.
"""

from importlib.resources import as_file, files

from nn.networks.model import Sequential
from yashe.errors import ParameterError


def pretrained_names() -> tuple[str, ...]:
    """Return the names that `pretrained` knows."""
    found = (file.name for file in files(__name__).iterdir())
    return tuple(sorted(name[:-4] for name in found if name.endswith(".npz")))


def pretrained(name: str) -> Sequential:
    """Load a pretrained integer network.

    Parameters
    ----------
    name : str
        "cryptonets" or "lean" for MNIST, "digits" for the 8x8 digits.

    Raises
    ------
    ParameterError
        If there is no network of this name.
    """
    if name not in pretrained_names():
        raise ParameterError(
            f"the pretrained networks are {', '.join(pretrained_names())}; got {name!r}. Your own "
            "networks are loaded with nn.networks.model.Sequential.load(path)."
        )
    with as_file(files(__name__) / f"{name}.npz") as path:
        return Sequential.load(path)
