"""Ask a network about views of the training images: data/<convnet or teacher>/views.npz.

The teacher learns from the convolutional network's stored answers, students from the teacher's:
asking again at every step would cost a good part of the step (`stages/augment/views.py`).
"""

import logging

import numpy as np
from tqdm import tqdm

from stages.augment.views import Views, checksum, view_images
from stages.networks.convnet import load_convnet, mixed_precision
from stages.networks.evaluation import Forward, accuracy, predict, to_tensors
from stages.networks.resmlp import device, frozen_pass, load_inputs, load_network
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params
from stages.pipeline.paths import CONVNET, TEACHER, artifact


def view_bank(params: Params, name: str, dataset: Dataset) -> Views:
    """Return the logits of `convnet`, `teacher` or a variant for every view."""
    forward = _forward(params, name, dataset)
    images, labels = to_tensors(dataset.train)
    how = params.training.augment
    logits, checksums = [], []
    for view in tqdm(range(params.views.count), desc="views", leave=False, disable=None):
        changed = view_images(images, how, params.seed, view)
        answers = predict(forward, changed, device())
        logging.info("view %d: %.2f%% right", view, accuracy(answers, labels))
        logits.append(answers.numpy().astype(np.float16))
        checksums.append(checksum(changed))
    return Views(np.stack(logits), np.array(checksums, np.uint32), how, params.seed)


def _forward(params: Params, name: str, dataset: Dataset) -> Forward:
    if name == CONVNET:
        convnet = load_convnet(params, dataset).to(device()).eval()
        return mixed_precision(convnet, params.training.fused)
    network = load_network(params, name, dataset).to(device()).eval().requires_grad_(False)
    return frozen_pass(network, params.training)


def main(name: str) -> None:
    """Read the data and the network, write the views' logits."""
    params, dataset = load_inputs(name, CONVNET, TEACHER)
    view_bank(params, name, dataset).save(artifact(name, "views.npz"))


if __name__ == "__main__":
    run_variant_stage(main)
