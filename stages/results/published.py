"""Test accuracies on CIFAR-10, in percent, of the published system.

G. Singh and K. Bazargan, "Compressing Neural Networks Using Learnable 1-D Non-Linear Functions",
ACM TRETS 18(2), 2025, doi 10.1145/3705926. Networks without a published figure have no entry. Our
small convolutional network has none: the paper uses a ResNet-110 instead.
"""

from typing import Any

from stages.pipeline.params import VariantNetwork

FLOAT = {
    "teacher": 88.9,
    **{"relu_h192": 87.8, "relu_h96": 86.2, "relu_h48": 83.3, "relu_h24": 78.8},
    **{"bspline_h192": 89.1, "bspline_h96": 87.7, "bspline_h48": 85.6, "bspline_h24": 84.1},
    **{"lerp_psa_h192": 89.0, "lerp_psa_h96": 88.3, "lerp_psa_h48": 85.9, "lerp_psa_h24": 84.2},
}
INT8 = {"relu_h192": 87.9, "relu_h96": 86.1, "lerp_psa_h96": 88.1}

_OPTIONS: dict[str, dict[str, Any]] = {
    "relu": {},
    "bspline": {"grid_size": 65, "grid_range": 4.0, "tv2": 1e-5},
    "lerp_psa": {"grid_size": 64, "grid_range": 4.0, "expansion": 8, "epsilon": 1.0},
}


def name_of(network: VariantNetwork) -> str | None:
    """Return the key of a student's network in the tables above, None if it was not published.

    The training does not matter.
    """
    name = f"{network.activation}_h{network.hidden_dim}"
    options = _OPTIONS.get(network.activation)
    return name if name in FLOAT and options == {**(options or {}), **network.options} else None
