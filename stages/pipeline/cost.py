"""What a training run cost, and on what: kept beside its history, for the metrics."""

import json
import platform
from pathlib import Path
from typing import Any

import torch

from models.files.atomic import replace_on_success

_CPU_INFO = Path("/proc/cpuinfo")


def write_cost(path: Path, epochs: int, seconds: float, device: torch.device) -> None:
    """Write epochs, wall time in seconds, processor, threads and the version of torch as JSON."""
    cost = {
        "epochs": epochs,
        "seconds": round(seconds, 1),
        "processor": _processor(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    _write(path, cost)


def write_no_cost(path: Path) -> None:
    """Write that nothing was trained here: no epochs, and null for all else."""
    _write(path, {"epochs": 0, **dict.fromkeys(("seconds", "processor", "threads", "torch"))})


def _write(path: Path, cost: dict[str, Any]) -> None:
    with replace_on_success(path) as temporary:
        temporary.write_text(json.dumps(cost, indent=2) + "\n")


def _processor(device: torch.device) -> str:
    """Return the name of the GPU or CPU model; never that of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
