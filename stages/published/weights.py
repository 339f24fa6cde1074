"""Use the authors' float weights for a network instead of training it."""

from models.files.atomic import replace_on_success
from models.float.checkpoint import save_state
from models.float.published import PUBLISHED_TEACHER, load_published_into, published_file
from stages.networks.resmlp import build_network
from stages.pipeline.cost import write_no_cost
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params
from stages.pipeline.paths import TEACHER, artifact, cost, history
from stages.published.archive import read_checkpoint
from stages.published.fetch import archive


def fetch_weights(params: Params, name: str, dataset: Dataset) -> None:
    """Write data/<name>/float.pt from the archive that the section `published` describes.

    The archive is downloaded from Google Drive once, or read from a local path. Also writes
    data/history/float/<name>.{csv,json} with no epochs, because none was trained here.
    """
    network = build_network(params, name, dataset)
    file = PUBLISHED_TEACHER if name == TEACHER else published_file(network)
    source = archive(params.published)
    content = read_checkpoint(source, file)
    load_published_into(network, source / file, content)
    with replace_on_success(history("float", name)) as temporary:
        temporary.write_text("epoch\n")
    write_no_cost(cost("float", name))
    save_state(network, artifact(name, "float.pt"))
