"""The plan of one design, as stages/plan.py writes it to design.json and later stages read it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hls.cpp.accelerators import STREAMING
from hls.plan.sizes import Sizes
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.folding import Folding
from models.files.errors import PipelineError


@dataclass(frozen=True)
class Design:
    """The plan of a design. A streaming design has a folding and FIFO depths, a SIMD one an array.

    `fifo_depths` holds the depths in words of token_mixer_shortcut, mlp_shortcut and link (all
    other FIFOs). `binding` says what the memories and multipliers of a streaming design are built
    of. `array` holds the rows and columns of multipliers.
    """

    variant: str
    accelerator: str
    sizes: Sizes
    folding: Folding | None = None
    fifo_depths: Mapping[str, int] | None = None
    array: tuple[int, int] | None = None
    binding: Binding = field(default_factory=Binding)

    def to_text(self) -> str:
        """Return the text of design.json."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_design(path: Path, sizes: Sizes | None = None) -> Design:
    """Read a design.json.

    `sizes` are the sizes of the network that the design must match; None skips this check. Raises
    PipelineError if the file is missing, is not a plan or was made for other sizes.
    """
    try:
        design = _design(json.loads(path.read_text()))
    except FileNotFoundError:
        raise PipelineError(
            f"{path} is missing; run `dvc repro plan` to make it (of a network that was imported: "
            "`python -m stages.plan NAME`)."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PipelineError(
            f"{path} is no plan of a design ({type(error).__name__}); run `dvc repro plan` again."
        ) from None
    if sizes is not None and design.sizes != sizes:
        raise PipelineError(
            f"{path} was made for {design.sizes}, but the network of {design.variant} has {sizes}; "
            "run `dvc repro plan`."
        )
    return design


def _design(values: dict[str, Any]) -> Design:
    values["sizes"] = Sizes(**values["sizes"])
    values["binding"] = Binding.from_dict(values["binding"])
    if values["accelerator"] == STREAMING:
        values["folding"] = Folding.from_dict(values["folding"])
        values["fifo_depths"] = {name: int(n) for name, n in values["fifo_depths"].items()}
    else:
        rows, columns = values["array"]
        values["array"] = (int(rows), int(columns))
    return Design(**values)
