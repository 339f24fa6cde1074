"""Which names the stages on integer networks take, and those on designs.

Beside the rows of params.yaml, that is each network that has integers: what import_int8 imported.
"""

from hls.accelerator_names import STREAMING
from stages._designs import PUBLISHED, Design
from stages._params import Params
from stages._paths import artifact


def check_integer_name(params: Params, name: str) -> None:
    """Raise PipelineError, with the known names, unless `name` is a variant or was imported."""
    if not _has_integers(name):
        params.variant(name)


def design_of(params: Params, name: str) -> Design:
    """Return the design `name`, or the published folding of the integer network `name`.

    Raises PipelineError, with the known designs, if it is neither.
    """
    if name not in params.designs and _has_integers(name):
        return Design(name, name, STREAMING, folding=PUBLISHED)
    return params.design(name)


def _has_integers(name: str) -> bool:
    return name.isidentifier() and artifact(name, "int8.pkl").is_file()
