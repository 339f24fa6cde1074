"""Write the integer parameters of a QAT network, and its logits on the test set.

Writes data/<variant>/int8.pkl (published layout) and qat_logits.npz: int8 logits [n, classes] that
numpy and C++ must reproduce exactly.
"""

import numpy as np

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line, restore
from models.float.checkpoint import load_state
from models.float.resmlp import ResMLP
from models.integer.params import save_int_params
from models.qat.fold import fold
from models.qat.layers import IntTensor, export, prepare
from stages.networks.evaluation import predict, to_tensors
from stages.networks.resmlp import build_network, device, load_inputs
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params
from stages.pipeline.paths import artifact


def load_quantized(params: Params, name: str, dataset: Dataset) -> ResMLP:
    """Build the INT8 network of a variant and load the weights that QAT trained."""
    network = prepare(fold(build_network(params, name, dataset)))
    load_state(network, artifact(name, "qat.pt"))
    return network


def main(name: str) -> None:
    """Load the QAT network of a variant; write its integers and its logits."""
    params, dataset = load_inputs(name)
    network = load_quantized(params, name, dataset).to(device())
    images, _ = to_tensors(dataset.test)
    network.register_forward_hook(_integers)
    logits = predict(network, images, device()).numpy().astype(np.int8)
    try:
        integers = export(network)
    except ValueError as error:
        weights = artifact(name, "qat.pt")
        raise PipelineError(
            f"{weights} gives no INT8 network: {one_line(error)}; {restore(weights)}."
        ) from error
    save_int_params(integers, artifact(name, "int8.pkl"))
    with replace_on_success(artifact(name, "qat_logits.npz")) as temporary:
        np.savez(temporary, logits=logits)


def _integers(_network: ResMLP, _inputs: object, output: IntTensor) -> object:
    return output.values


if __name__ == "__main__":
    run_variant_stage(main)
