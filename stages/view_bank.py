"""Ask the convolutional network about views of the training images: data/convnet/views.npz.

The teacher learns from these stored answers, because asking again at every step would cost more
than the step (`stages/_views.py`).
"""

import logging

import numpy as np
from tqdm import tqdm

from stages._convnet import load_convnet, mixed_precision
from stages._dataset import Dataset
from stages._networks import device
from stages._params import Params, load_params
from stages._paths import CONVNET, DATASET, artifact
from stages._stage import run_stage
from stages._training import accuracy, predict, to_tensors
from stages._views import Views, checksum, view_images


def view_bank(params: Params, dataset: Dataset) -> Views:
    """Return the network's logits of every view."""
    network = load_convnet(params, dataset).to(device()).eval()
    forward = mixed_precision(network, params.training.fused)
    images, labels = to_tensors(dataset.train)
    how = params.views
    logits, checksums = [], []
    for view in tqdm(range(how.count), desc="views", leave=False, disable=None):
        changed = view_images(images, how.augment, params.seed, view)
        answers = predict(forward, changed, device())
        logging.info("view %d: %.2f%% right", view, accuracy(answers, labels))
        logits.append(answers.numpy().astype(np.float16))
        checksums.append(checksum(changed))
    return Views(np.stack(logits), np.array(checksums, np.uint32), how.augment, params.seed)


def main() -> None:
    """Read the data and the network, write the views' logits."""
    params = load_params()
    view_bank(params, Dataset.load(DATASET)).save(artifact(CONVNET, "views.npz"))


if __name__ == "__main__":
    run_stage(main)
