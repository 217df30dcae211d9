"""What a user can do wrong, one class per mistake.

Every public function refuses bad input with a subclass of `FheError`. The message says what was
required, what was received and what to do about it; it never contains a secret. `assert` stays
reserved for our own invariants.
"""

import os
import sysconfig
import traceback
from functools import cache
from pathlib import Path


class FheError(Exception):
    """Base class of every error that this project raises on purpose."""


class ParameterError(FheError, ValueError):
    """A parameter, shape or value lies outside of what the mathematics allows."""


class KindError(ParameterError, TypeError):
    """An argument of another type than the one that is required."""


class ShapeError(FheError, ValueError):
    """Arrays of shapes that do not fit together, or do not fit what they are asked for."""


class IndexingError(FheError, IndexError):
    """An index or a position that an array does not have."""


class AxisError(IndexingError, ShapeError):
    """An axis that an array does not have; both an IndexError and a ValueError, as in NumPy."""


class OperationError(FheError, TypeError):
    """Something that numbers can do, and that cannot be done to hidden numbers."""


class ExactnessError(FheError, ArithmeticError):
    """A float64 computation could lose, or has lost, a bit: refused instead of rounded."""


class SecurityError(FheError, ValueError):
    """The parameters are not covered by the enforced security table."""


class EncodingError(FheError, ValueError):
    """A message does not fit: too many values, too large, or not integers."""


class FormError(FheError, TypeError):
    """Coefficient form met NTT form, or a ciphertext of the wrong degree."""


class KeyMismatchError(FheError, ValueError):
    """Objects that belong to different keys, parameters or schemes were combined."""


class PlaceError(FheError, ValueError):
    """Data in the memory of a GPU met data in that of the processor."""


class DeviceError(FheError, RuntimeError):
    """There is no GPU here, or not what is needed to use it."""


class MissingKeyError(FheError, LookupError):
    """An operation takes a key that is not among those given, like that of another rotation."""


class TransparentCiphertextError(FheError, ValueError):
    """A result no longer depends on any ciphertext, so that it would be readable without a key."""


class NoiseBudgetExhausted(FheError, ArithmeticError):
    """The noise has grown, or would grow, beyond what decryption can remove."""


class RangeError(FheError, ValueError):
    """A value is not proved to fit into the plaintext range (-t/2, t/2)."""


class FormatError(FheError, ValueError):
    """Bytes or a file that do not follow their format."""


class NotPicklableError(FheError, TypeError):
    """A key was about to be pickled; `yashe.wire` is the only way out."""


class DataError(FheError, OSError):
    """A data set is missing, incomplete, or could not be fetched."""


class TrainingError(FheError, ArithmeticError):
    """Training has diverged, or was asked for something that it cannot do."""


def origin(error: BaseException, with_file: bool = False) -> str:
    """Return the line of the user's own code where an error arose, such as "line 3 of f".

    Parameters
    ----------
    error : that was raised
    with_file : say the file as well: "line 3 of f, in mine.py"
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_libraries()):
            where = f"line {frame.lineno} of {frame.name}"
            return f"{where}, in {frame.filename}" if with_file else where
    return ""


@cache
def _libraries() -> tuple[str, ...]:
    """Return how the names of files begin that are this package's, another's, or Python's."""
    ours = Path(__file__).resolve().parent
    others = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    folders = [ours, ours.parent / "nn", *others]
    return "<frozen", "<__array_function__", *(f"{folder}{os.sep}" for folder in folders)
