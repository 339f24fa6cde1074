"""Import torchvision so that it also works with a CPU-only torch.

The torchvision of PyPI contains operators that are compiled for CUDA. If torch has no CUDA, they
cannot be loaded, and the import of torchvision fails, because it registers the shapes of `nms` and
`qnms`, which then do not exist ("operator torchvision::nms does not exist"). This project uses
neither, so it is enough to declare the two: data sets and transforms work, `nms` does not.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []  # keeps the library objects alive, and with them the declarations
_library: Any = torch.library  # Any, because torch has no types for these two
_ops: Any = torch.ops


def import_torchvision() -> ModuleType:
    """Return torchvision; call this before anything else imports it. Can be called repeatedly."""
    if "torchvision" not in sys.modules and not _load_operators():
        library = _library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            if not hasattr(_ops.torchvision, name):
                library.define(name + _SIGNATURE)
        _declared.append(library)
    return importlib.import_module("torchvision")


def _load_operators() -> bool:
    """Load torchvision's compiled operators as its import does; return whether they work."""
    spec = importlib.util.find_spec("torchvision")  # finds the package without importing it
    folders = (spec.submodule_search_locations if spec else None) or []
    for extension in (file for folder in folders for file in Path(folder).glob("_C*.so")):
        try:
            _ops.load_library(extension)
        except OSError:
            return False
        return True
    return False
