"""torchvision, imported so that it also works beside a CPU-only torch.

The torchvision of PyPI brings operators compiled against CUDA. Where torch has no CUDA they cannot
be loaded, and torchvision then stops at its own import, because it describes the shapes of
`nms` and `qnms` without having them ("operator torchvision::nms does not exist"). Nothing here uses
either, so declaring the two is enough: datasets and transforms work, `nms` itself stays absent.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []  # a declaration lasts as long as its library object
_library: Any = torch.library  # torch gives these two no types
_ops: Any = torch.ops


def import_torchvision() -> ModuleType:
    """Return torchvision; call this before any other import of it. May be called again."""
    if "torchvision" not in sys.modules and not _load_operators():
        library = _library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            if not hasattr(_ops.torchvision, name):
                library.define(name + _SIGNATURE)
        _declared.append(library)
    return importlib.import_module("torchvision")


def _load_operators() -> bool:
    """Load torchvision's compiled operators as its own import will; tell whether they work."""
    spec = importlib.util.find_spec("torchvision")  # finds it without running it
    folders = (spec.submodule_search_locations if spec else None) or []
    for extension in (file for folder in folders for file in Path(folder).glob("_C*.so")):
        try:
            _ops.load_library(extension)
        except OSError:
            return False
        return True
    return False
