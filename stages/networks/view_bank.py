"""The bank of a network: its logits of all stored views, computed when they are first needed.

A bank is not an output of the pipeline. Its logits differ in their last bits between processors and
thread counts, so DVC must not compare them; it compares the weights from which they are computed. A
bank is therefore a git-ignored file under .ckpt/. Its name contains a hash of everything it is
computed from, and each clone computes its own bank the first time it trains.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from models.files.digest import file_digest
from models.files.errors import PipelineError
from models.files.integrity import set_aside
from models.files.system_errors import explained
from stages.augment.views import Views, checksum, load_views, view_images
from stages.networks.convnet import load_convnet, mixed_precision
from stages.networks.evaluation import Forward, accuracy, predict, to_tensors
from stages.networks.resmlp import device, frozen_pass, load_network
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params
from stages.pipeline.paths import CONVNET, DATASET, artifact


def stored_views(params: Params, name: str, dataset: Dataset) -> tuple[Views, Path]:
    """Return the views of the network `name` (`convnet` or `teacher`), and their file.

    The first process that needs the file computes it, which takes minutes; others wait for it. If
    the file cannot be written, a warning says so, and the views are used without it. A damaged file
    is set aside with a warning and computed again.
    """
    path = bank_path(params, name)
    with _locked(path):
        if path.exists():
            try:
                return load_views(path, params.training.augment, params.seed), path
            except PipelineError as error:
                logging.warning("%s It is made again now; %s.", error, set_aside(path))
        views = make_bank(params, name, dataset)
        try:
            views.save(path)
        except OSError as error:
            _warn(error)
    return replace(views, source=path), path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time make the file `path`, if its folder can hold a lock."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(exist_ok=True)
        lock.acquire()
    except OSError as error:
        _warn(error)
    try:
        yield
    finally:
        lock.release()


def _warn(error: OSError) -> None:
    logging.warning("%s Stored views are not kept: the next training makes them.", explained(error))


def bank_path(params: Params, name: str) -> Path:
    """Return the path of a network's bank; its name hashes images, weights and random changes."""
    sources = [file_digest(DATASET), file_digest(artifact(name, "float.pt"))]
    draws = [asdict(params.training.augment), params.training.fused, params.seed]
    text = json.dumps([*sources, *draws, params.views.count])
    return Path(".ckpt") / f"{name}-views-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"


def make_bank(params: Params, name: str, dataset: Dataset) -> Views:
    """Compute the logits of `convnet`, or of a ResMLP, on every view of the training images."""
    forward = _forward(params, name, dataset)
    images, labels = to_tensors(dataset.train)
    how = params.training.augment
    logits, checksums = [], []
    logging.info("%s: computing the logits of %d stored views", name, params.views.count)
    for view in tqdm(range(params.views.count), desc="views", leave=False, disable=None):
        changed = view_images(images, how, params.seed, view)
        answers = predict(forward, changed, device())
        logging.info("view %d: accuracy %.2f%%", view, accuracy(answers, labels))
        logits.append(answers.numpy().astype(np.float16))
        checksums.append(checksum(changed))
    return Views(np.stack(logits), np.array(checksums, np.uint32), how, params.seed)


def _forward(params: Params, name: str, dataset: Dataset) -> Forward:
    if name == CONVNET:
        convnet = load_convnet(params, dataset).to(device()).eval()
        return mixed_precision(convnet, params.training.fused)
    network = load_network(params, name, dataset).to(device()).eval().requires_grad_(False)
    return frozen_pass(network, params.training)
