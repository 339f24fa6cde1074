"""Distill the ReLU teacher from the convolutional network's stored views (published system §2).

Writes data/teacher/float.pt and data/history/float/teacher.csv.
"""

from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn import functional

from models.checkpoint import save_state
from models.resmlp import ResMLP
from stages._dataset import Dataset
from stages._distributed import is_first, process_group
from stages._networks import build_network, device, forward_pass
from stages._optimizers import matrices_apart, muon
from stages._params import Params, load_params
from stages._paths import CONVNET, DATASET, TEACHER, artifact, history
from stages._stage import run_stage
from stages._training import Phase, Run, distillation_loss, file_digest, fit
from stages._views import load_views


def train_teacher(params: Params, dataset: Dataset) -> ResMLP:
    """Train the teacher and return it; its history is written as the epochs end."""
    how = params.teacher
    torch.manual_seed(params.seed)
    network = build_network(params, TEACHER, dataset).to(device())
    forward = forward_pass(network, params.training)

    def loss(images: Tensor, labels: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits = forward(images)
        if target is None:  # validation images have no stored views
            return functional.cross_entropy(logits, labels), logits
        return distillation_loss(logits, target, labels, how.temperature, how.alpha), logits

    bank = artifact(CONVNET, "views.npz")
    views = load_views(bank, params.training.augment, params.seed)
    phase = Phase("distill", how.epochs, muon(how), matrices_apart(network), loss, [network], views)
    description = [asdict(section) for section in (params.network, params.training, how)]
    fingerprint = [description, params.seed, file_digest(DATASET), file_digest(bank)]
    run = Run(TEACHER, params.seed, history("float", TEACHER), fingerprint)
    fit(run, network, [phase], dataset, params.training)
    return network


def main() -> None:
    """Read the data, train, write the weights."""
    with process_group():
        params = load_params()
        network = train_teacher(params, Dataset.load(DATASET))
        if is_first():
            save_state(network.cpu(), artifact(TEACHER, "float.pt"))


if __name__ == "__main__":
    run_stage(main)
