"""Modules of PyTorch, by way of ONNX (extra `onnx`): one reader, and one list of what is refused.

Weights come from the module in memory. No file of PyTorch is read here, because those are pickles,
and a pickle can run code.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from nn.foreign.network import FloatNetwork
from nn.foreign.onnx_files import parsed
from nn.networks.checks import shape_of
from yashe.errors import DataError, KindError


def from_torch(
    module: Any,
    row_shape: tuple[int, ...],
    labels: Sequence[Any] | None = None,
    regression: bool = False,
) -> FloatNetwork:
    """Take over a network of PyTorch whose activations are squares.

    Parameters
    ----------
    module : a trained torch.nn.Module on the CPU; it is exported as it is for inference
    row_shape : of one row, (columns,) or (channels, height, width)
    labels, regression : as for `from_onnx`

    Returns
    -------
    FloatNetwork, for `quantize_network`

    Raises
    ------
    KindError, ParameterError
        If it is no module, or holds what cannot be computed encrypted.
    DataError
        If PyTorch, onnx or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 (torch.onnx needs it)
        import torch  # noqa: PLC0415 (optional)
    except ImportError as error:
        raise DataError(
            "a module of PyTorch is exported with torch and onnxscript: pip install torch "
            "onnxscript 'cryptonets-yashe[onnx]'"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise KindError(f"a torch.nn.Module is required; got a {type(module).__name__}.")
    example = torch.zeros((1, *shape_of("row_shape", row_shape)))
    training, buffer = module.training, io.BytesIO()
    module.eval()
    try:
        torch.onnx.export(
            module, (example,), buffer, dynamo=True, external_data=False, verbose=False
        )
    finally:
        module.train(training)
    return parsed(buffer.getvalue(), type(module).__name__, labels, regression)
