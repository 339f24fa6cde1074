"""Whether PyTorch records operators for another program, which has no kernels of ours."""

import torch


def is_recorded() -> bool:
    """Return whether torch.export, an ONNX exporter or torch.jit.trace records what is computed.

    Then functions use PyTorch's own operators alone; torch.compile keeps the kernels.
    """
    return torch.compiler.is_exporting() or torch.jit.is_tracing()
