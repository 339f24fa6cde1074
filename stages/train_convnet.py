"""Train the convolutional network, from which the ResMLP teacher learns, on the labels.

Writes data/convnet/float.pt and data/history/float/convnet.{csv,json}. It replaces the ResNet-110
of the published system (docs/published-system.md §2, step 1).
"""

from dataclasses import asdict, replace

import torch
from torch import Tensor
from torch.nn import functional

from models.files.digest import file_digest
from models.files.errors import PipelineError
from models.float.convnet import ConvNet
from stages.networks.convnet import build_convnet, mixed_precision
from stages.networks.distributed import process_group, world_size
from stages.networks.evaluation import to_tensors
from stages.networks.resmlp import device
from stages.pipeline.command import run_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import ConvNetRecipe, Params, load_params
from stages.pipeline.paths import CONVNET, DATASET, artifact, history
from stages.training.loop import Phase, Run, fit
from stages.training.optimizers import ParameterGroup, nesterov

_WHITENING_IMAGES = 5000


def train_convnet(params: Params, dataset: Dataset) -> ConvNet:
    """Train the network, write its weights and its history, and return it.

    Raises PipelineError under torchrun, where each process would normalise by the statistics of its
    own slice of the batch.
    """
    if world_size() > 1:
        raise PipelineError(
            "train_convnet works in one process (its BatchNorms do not share their statistics); "
            "start it with `dvc repro train_convnet`, without torchrun."
        )
    how = params.convnet
    torch.manual_seed(params.seed)
    network = build_convnet(params, dataset)
    network.whiten_with(to_tensors(dataset.train)[0][:_WHITENING_IMAGES])
    network.to(device())
    forward = mixed_precision(network, params.training.fused)

    def loss(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = forward(images)
        smoothing = how.label_smoothing if network.training else 0.0
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing), logits

    groups = _groups(network, how)
    phase = Phase("labels", how.epochs, nesterov(how), groups, loss, [network], ema=how.ema)
    fingerprint = [asdict(how), params.training.fused, params.seed, file_digest(DATASET)]
    weights = artifact(CONVNET, "float.pt")
    curve = history("float", CONVNET)
    run = Run(CONVNET, params.seed, curve, fingerprint, weights, section="convnet")
    training = replace(params.training, batch_size=how.batch_size, augment=how.augment)
    if how.all_images:
        dataset = dataset.with_all_for_training()
    fit(run, network, [phase], dataset, training)
    return network


def _groups(network: ConvNet, how: ConvNetRecipe) -> list[ParameterGroup]:
    """Return two groups: all other parameters, and the norms' offsets with their own rate.

    The decay of the offsets is scaled so that rate * decay equals that of the weights.
    """
    offsets = network.norm_biases()
    ids = {id(parameter) for parameter in offsets}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in ids]
    decay = how.weight_decay * how.learning_rate / how.norm_learning_rate
    return [
        {"params": others},
        {"params": offsets, "lr": how.norm_learning_rate, "weight_decay": decay},
    ]


def main() -> None:
    """Load the data and train."""
    with process_group():
        train_convnet(load_params(), Dataset.load(DATASET))


if __name__ == "__main__":
    run_stage(main)
