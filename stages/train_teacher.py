"""Distill the ReLU teacher from the logits of the convolutional network.

Writes data/teacher/float.pt and data/history/float/teacher.{csv,json}. docs/published-system.md §2.
"""

from dataclasses import asdict, replace

import torch
from torch import Tensor
from torch.nn import functional

from models.files.digest import file_digest
from models.float.resmlp import ResMLP
from stages.networks.distributed import process_group
from stages.networks.resmlp import build_network, device, forward_pass
from stages.networks.teachers import convnet_pass
from stages.networks.view_bank import stored_views
from stages.pipeline.command import run_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, Teacher, load_params
from stages.pipeline.paths import CONVNET, DATASET, TEACHER, artifact, history
from stages.training.loop import Phase, Run, distillation, distillation_loss, fit
from stages.training.optimizers import matrices_apart, muon
from stages.training.validation import Loss


def train_teacher(params: Params, dataset: Dataset) -> ResMLP:
    """Train the teacher, write its weights and its history, and return it."""
    how = params.teacher
    torch.manual_seed(params.seed)
    network = build_network(params, TEACHER, dataset).to(device())
    phase, source = (_on_views if how.stored_views else _live)(params, network, dataset)
    description = [asdict(section) for section in (params.network, params.training, how)]
    fingerprint = [description, params.seed, file_digest(DATASET), source]
    weights = artifact(TEACHER, "float.pt")
    run = Run(TEACHER, params.seed, history("float", TEACHER), fingerprint, weights)
    if how.all_images:
        dataset = dataset.with_all_for_training()
    fit(run, network, [phase], dataset, params.training)
    return network


def _on_views(params: Params, network: ResMLP, dataset: Dataset) -> tuple[Phase, str]:
    """Return the phase that learns from the ConvNet's stored logits, and their digest."""
    how, forward = params.teacher, forward_pass(network, params.training)

    def loss(images: Tensor, labels: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits = forward(images)
        if target is None:  # validation images have no stored views
            return functional.cross_entropy(logits, labels), logits
        return distillation_loss(logits, target, labels, how.temperature, how.alpha), logits

    views, _ = stored_views(params, CONVNET, dataset)
    return replace(_phase(how, network, loss), views=views), views.digest()


def _live(params: Params, network: ResMLP, dataset: Dataset) -> tuple[Phase, str]:
    """Return the phase that asks the ConvNet for its logits, and the digest of its weights."""
    how, forward = params.teacher, forward_pass(network, params.training)
    convnet = convnet_pass(params, dataset)
    loss = distillation(forward, convnet, how.temperature, how.alpha)
    phase = replace(_phase(how, network, loss), teacher=convnet, mixup=how.mixup)
    return phase, file_digest(artifact(CONVNET, "float.pt"))


def _phase(how: Teacher, network: ResMLP, loss: Loss) -> Phase:
    groups = matrices_apart(network)
    return Phase("distill", how.epochs, muon(how), groups, loss, [network], ema=how.ema)


def main() -> None:
    """Load the data and train."""
    with process_group():
        train_teacher(load_params(), Dataset.load(DATASET))


if __name__ == "__main__":
    run_stage(main)
