"""Write the float weights of one network as a state dict in the authors' layout and key names.

This is a command, not a stage of the pipeline. Writes data/published/<folder>/<file> with the names
of the authors' archive, so another pipeline can use data/published as its published.path
(params.yaml).
"""

import logging
from pathlib import Path

from models.float.published import PUBLISHED_TEACHER, published_file, save_published
from stages.networks.resmlp import load_inputs, load_network
from stages.pipeline.command import run_variant_stage
from stages.pipeline.paths import TEACHER

log = logging.getLogger(__name__)

EXPORTED = Path("data/published")


def main(name: str) -> None:
    """Export a variant, or the teacher."""
    params, dataset = load_inputs(name, TEACHER)
    network = load_network(params, name, dataset)
    path = EXPORTED / (PUBLISHED_TEACHER if name == TEACHER else published_file(network))
    save_published(network, path)
    log.info("%s holds %s in the published layout", path, name)
    log.info(
        "the layout does not store the normalisation: whoever reads the file needs mean %s, std %s",
        dataset.mean.round(4).tolist(),
        dataset.std.round(4).tolist(),
    )


if __name__ == "__main__":
    run_variant_stage(main)
