"""ReLU has no options; the INT8 network computes it without a table."""

from models.float.activations.spec import ActivationSpec

SPEC = ActivationSpec("ReLU", {}, tabulated=False)
