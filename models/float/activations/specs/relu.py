"""ReLU has no options; the INT8 network computes it without a table."""

from ..spec import ActivationSpec

SPEC = ActivationSpec("ReLU", {}, tabulated=False)
