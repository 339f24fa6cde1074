"""The cost of a training run, in a JSON file next to its history."""

import json
import platform
from pathlib import Path
from typing import Any

import torch

from models.files.atomic import replace_on_success

_CPU_INFO = Path("/proc/cpuinfo")


def write_cost(path: Path, epochs: int, seconds: float, device: torch.device) -> None:
    """Write epochs, wall time in seconds, processor, threads and the torch version as JSON."""
    cost = {
        "epochs": epochs,
        "seconds": round(seconds, 1),
        "processor": _processor(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    _write(path, cost)


def write_no_cost(path: Path) -> None:
    """Write the cost of weights that were not trained here: 0 epochs, null for everything else."""
    _write(path, {"epochs": 0, **dict.fromkeys(("seconds", "processor", "threads", "torch"))})


def _write(path: Path, cost: dict[str, Any]) -> None:
    with replace_on_success(path) as temporary:
        temporary.write_text(json.dumps(cost, indent=2) + "\n")


def _processor(device: torch.device) -> str:
    """Return the model name of the GPU or CPU, never the name of the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
