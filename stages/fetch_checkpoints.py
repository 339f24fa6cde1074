"""Take the float weights of one network from the authors' archive in place of training it.

The archive comes from Google Drive once, or from where params.yaml `published` says. Writes
data/<name>/float.pt, and data/history/float/<name>.{csv,json} of no epochs: none was run here.
"""

import io

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.float.checkpoint import save_state
from models.float.published import PUBLISHED_TEACHER, load_published_into, published_file
from stages.networks.resmlp import build_network
from stages.pipeline.command import run_variant_stage
from stages.pipeline.cost import write_no_cost
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import DATASET, TEACHER, artifact, cost, history
from stages.published.archive import read_checkpoint
from stages.published.fetch import archive


def check_asked_for(params: Params, name: str) -> None:
    """Refuse to replace the weights of a network that params.yaml has made here."""
    if name != TEACHER:
        params.variant(name)
    if name not in params.weights.published:
        made = "train" if name == TEACHER else "distill"
        raise PipelineError(
            f"weights.published in params.yaml does not hold {name!r}; move it there from "
            f"weights.{made} (it may hold: {', '.join([TEACHER, *params.variants])})."
        )


def main(name: str) -> None:
    """Fetch one variant's weights, or the teacher's."""
    params = load_params()
    check_asked_for(params, name)
    network = build_network(params, name, Dataset.load(DATASET))
    file = PUBLISHED_TEACHER if name == TEACHER else published_file(network)
    source = archive(params.published)
    content = read_checkpoint(source, file)
    load_published_into(network, source / file, io.BytesIO(content))
    with replace_on_success(history("float", name)) as temporary:
        temporary.write_text("epoch\n")
    write_no_cost(cost("float", name))
    save_state(network, artifact(name, "float.pt"))


if __name__ == "__main__":
    run_variant_stage(main)
