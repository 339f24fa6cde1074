"""Train the ReLU teacher on the labels: data/teacher/float.pt, data/history/float/teacher.csv."""

from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn import functional

from models.checkpoint import save_state
from models.resmlp import ResMLP
from stages._dataset import Dataset
from stages._distributed import is_first, process_group
from stages._networks import build_network, device, forward_pass
from stages._params import Params, load_params
from stages._paths import DATASET, TEACHER, artifact, history
from stages._stage import run_stage
from stages._training import Phase, Run, file_digest, fit


def train_teacher(params: Params, dataset: Dataset) -> ResMLP:
    """Train the teacher and return it; its history is written as the epochs end."""
    torch.manual_seed(params.seed)
    network = build_network(params, TEACHER, dataset).to(device())
    forward = forward_pass(network, params.training)

    def loss(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = forward(images)
        return functional.cross_entropy(logits, labels), logits

    groups = [{"params": list(network.parameters())}]
    schedule = params.teacher
    phase = Phase("labels", schedule.epochs, schedule, groups, loss, [network])
    description = [asdict(section) for section in (params.network, params.training, params.teacher)]
    fingerprint = [description, params.seed, file_digest(DATASET)]
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
