"""The plan of one design, as stages/plan.py writes it to design.json and later stages read it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hls.cpp.accelerators import SIMD, STREAMING
from hls.plan.sizes import Sizes
from hls.plan.streaming.folding import Folding
from models.files.errors import PipelineError
from models.files.integrity import check_recorded

_DIGEST = "sha256"
_MOST = 1 << 30  # what a size, a factor or a depth can be


@dataclass(frozen=True)
class Design:
    """The plan of a design. A streaming design has a folding and FIFO depths, a SIMD one an array.

    `fifo_depths` holds the depths in words of token_mixer_shortcut, mlp_shortcut and link (all
    other FIFOs). `array` holds the rows and columns of multipliers.
    """

    variant: str
    accelerator: str
    sizes: Sizes
    folding: Folding | None = None
    fifo_depths: Mapping[str, int] | None = None
    array: tuple[int, int] | None = None

    def to_text(self) -> str:
        """Return the text of design.json; its last key is the digest of the others."""
        values = asdict(self)
        return json.dumps({**values, _DIGEST: _digest(values)}, indent=2) + "\n"


def read_design(path: Path, sizes: Sizes | None = None) -> Design:
    """Read a design.json.

    `sizes` are the sizes of the network that the design must match; None skips this check. Raises
    PipelineError if the file is missing, damaged, is not a plan or was made for other sizes.
    """
    try:
        data = path.read_bytes()
        values = json.loads(data)
        written = values.pop(_DIGEST, None)
        if written is None:  # made before plans had a digest
            check_recorded(path, data)
        elif written != _digest(values):
            raise ValueError("its digest is not that of its content")
        design = _design(values)
    except FileNotFoundError:
        raise PipelineError(
            f"{path} is missing; run `dvc repro plan` to make it (of a network that was imported: "
            "`python -m stages.plan NAME`)."
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PipelineError(
            f"{path} is no plan of a design, or damaged ({type(error).__name__}); remove it and "
            "run `dvc repro plan` again."
        ) from None
    if sizes is not None and design.sizes != sizes:
        raise PipelineError(
            f"{path} was made for {design.sizes}, but the network of {design.variant} has {sizes}; "
            "run `dvc repro plan`."
        )
    return design


def _digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of values whose order and layout do not count."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _design(values: dict[str, Any]) -> Design:
    sizes = values["sizes"] = Sizes(**values["sizes"])
    counts = [value for key, value in asdict(sizes).items() if key != "has_tables"]
    if values["accelerator"] == STREAMING:
        folding = values["folding"] = Folding.from_dict(values["folding"])
        folds = [fold for fold in asdict(folding).values() if isinstance(fold, dict)]
        depths = values["fifo_depths"] = dict(values["fifo_depths"])
        counts += [folding.lanes, *depths.values(), *(n for fold in folds for n in fold.values())]
        if len(folds) != len(fields(Folding)) - 2 or folding.handover not in (0, 1):
            raise ValueError("folding")
    elif values["accelerator"] == SIMD:
        rows, columns = values["array"] = tuple(values["array"])
        counts += [rows, columns]
    else:
        raise ValueError("accelerator")
    possible = all(type(count) is int and 0 < count <= _MOST for count in counts)
    if not possible or type(sizes.has_tables) is not bool or not isinstance(values["variant"], str):
        raise ValueError("a value is of another kind")
    return Design(**values)
