"""Which names the stages on integer networks take: variants, and what import_int8 imported."""

from stages._params import Params
from stages._paths import artifact


def check_integer_name(params: Params, name: str) -> None:
    """Raise PipelineError, with the known names, unless `name` is a variant or was imported."""
    if not (name.isidentifier() and artifact(name, "int8.pkl").is_file()):
        params.variant(name)
