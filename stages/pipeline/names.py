"""Check the names of networks and designs that the stages on integer networks accept.

These are the rows of params.yaml, and the networks that `import_int8` imported.
"""

from hls.cpp.accelerators import STREAMING
from models.files.errors import PipelineError
from stages.pipeline.designs import PUBLISHED, DesignRow
from stages.pipeline.params import Params
from stages.pipeline.paths import artifact


def check_integer_name(params: Params, name: str) -> None:
    """Raise PipelineError, with the known names, unless `name` is a variant or was imported."""
    if not _has_integers(name):
        params.variant(name)


def design_of(params: Params, name: str) -> DesignRow:
    """Return the design `name`, or the published folding of the imported network `name`.

    Raises PipelineError, with the known designs, if it is neither.
    """
    if name not in params.designs and _has_integers(name):
        return DesignRow(name, STREAMING, folding=PUBLISHED)
    return params.design(name)


def streaming_design_of(params: Params, name: str) -> DesignRow:
    """Return the design `name`; PipelineError unless it is streaming, as RTL is of no other."""
    row = design_of(params, name)
    if row.accelerator != STREAMING:
        raise PipelineError(
            f"designs.{name} is a {row.accelerator} design, but RTL is made of streaming designs "
            "only; name one of those."
        )
    return row


def _has_integers(name: str) -> bool:
    return name.isidentifier() and artifact(name, "int8.pkl").is_file()
