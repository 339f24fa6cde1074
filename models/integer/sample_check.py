"""Check that golden samples of a file are those of a network, before they become C++."""

from pathlib import Path

import numpy as np

from models.files.errors import PipelineError
from models.integer.params import IntResMlp, Samples, published_name
from models.integer.resmlp import make_samples


def check_samples(samples: Samples, network: IntResMlp, source: Path) -> None:
    """Raise PipelineError unless the samples are those of the network, value by value.

    `source` is their file. The inputs may be any; every layer output and logit must be the
    network's, and no other layer may be there.
    """
    shape = (len(samples.input), network.num_patches, network.patch_dim)
    if samples.input.shape != shape:
        raise _other_samples(source, f"input has the shape {samples.input.shape}, not {shape}")
    own = make_samples(network, samples.input, samples.labels)
    if len(samples.inter) != len(own.inter):
        raise _other_samples(source, f"inter has {len(samples.inter)} parts, not {len(own.inter)}")
    if others := sorted(samples.layers.keys() - own.layers.keys()):
        raise _other_samples(source, f"layers holds {others[0]}, which the network does not have")
    pairs = {"output": (samples.output, own.output)}
    pairs |= {f"inter {i}": (samples.inter[i], own.inter[i]) for i in range(len(own.inter))}
    pairs |= {name: (values, own.layers[name]) for name, values in samples.layers.items()}
    for name, (found, expected) in pairs.items():
        if not np.array_equal(found, expected):
            raise _other_samples(source, f"{published_name(name)} is not what the network gives")


def _other_samples(source: Path, reason: str) -> PipelineError:
    return PipelineError(
        f"{source} holds no samples of this network: {reason}; make it again (`dvc repro csim`, of "
        "an imported network stages/by_hand/import_int8.py)."
    )
