"""The type in which a device computes fast: the one place that decides it."""

import torch

_AMPERE = (8, 0)  # the first compute capability with bfloat16 products


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16 products.

    Processors without them (AVX2 alone) emulate such products, some twenty times as slow as in
    float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    if device.type != "cpu":
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # PyTorch without oneDNN
        return False


def fast_type(device: torch.device) -> torch.dtype:
    """Return bfloat16 where training computes in it, float32 elsewhere.

    That is bfloat16 on every GPU, and on a processor that multiplies it.
    """
    fast = device.type == "cuda" or multiplies_bfloat16(device)
    return torch.bfloat16 if fast else torch.float32
