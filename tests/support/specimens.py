"""One small file of every kind that the pipeline stores, for tests of damage."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.folding import published_folding
from models.float.checkpoint import save_state
from models.float.published import save_published
from models.float.resmlp import ResMLP
from models.integer import resmlp as int_resmlp
from models.integer.params import IntResMlp, Samples
from models.qat.calibrate import calibrate
from models.qat.fold import fold
from models.qat.layers import export, prepare
from stages.augment.views import Views
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.params import Augment, Schedule
from stages.training.checkpoint import write_checkpoint
from stages.training.optimizers import adamw
from stages.training.phase import Phase
from tests.support.images import IMAGES

SIZES = {"embed_dim": 4, "patch_size": 16, "num_blocks": 1, "num_classes": 3, **IMAGES}
AS_IS = Augment(crop_padding=0, flip=False, rand_augment=False)
RATES = Schedule(learning_rate=0.02, learning_rate_min=0.001, weight_decay=0.01)


def float_network() -> ResMLP:
    """Return a ResMLP with LERP-PSA, the same every time."""
    torch.manual_seed(0)
    return ResMLP("lerp_psa", 4, **SIZES).eval()


def qat_network() -> ResMLP:
    """Return a quantised and calibrated network."""
    folded = fold(float_network())
    network = prepare(copy.deepcopy(folded))
    random = torch.Generator().manual_seed(0)
    calibrate(network, folded, torch.randint(256, (8, 3, 32, 32), generator=random))
    return network


def int_network() -> IntResMlp:
    """Return the integers of the quantised network."""
    return export(qat_network())


def samples() -> Samples:
    """Return golden samples of two images."""
    network, random = int_network(), np.random.default_rng(0)
    images = random.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    tokens = int_resmlp.quantize_images(network, images)
    return int_resmlp.make_samples(network, tokens, np.array([0, 1], np.int32))


def dataset() -> Dataset:
    """Return a data set of three images per split."""
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(3))
    return Dataset(split, split, split, ("a", "b", "c"), np.full(3, 0.5), np.ones(3))


def views() -> Views:
    """Return stored views of three images."""
    logits = np.arange(18, dtype=np.float16).reshape(2, 3, 3)
    return Views(logits, np.array([1, 2], np.uint32), AS_IS, 0)


def logits() -> dict[str, np.ndarray]:
    """Return the content of qat_logits.npz."""
    return {"logits": np.arange(-30, 30, dtype=np.int8).reshape(20, 3)}


def design() -> Design:
    """Return a streaming design."""
    sizes = Sizes(48, 64, 96, 96, 4, 10, True)
    depths = {"token_mixer_shortcut": 12445, "mlp_shortcut": 295, "link": 4}
    return Design("relu_h96", "streaming", sizes, published_folding(sizes), depths)


def trained() -> tuple[nn.Module, list[Phase]]:
    """Return a model, and the phases of its training, after a step of the optimiser."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    groups = [{"params": list(model.parameters())}]
    return model, [Phase("labels", 3, adamw(RATES), groups, lambda *_: None, [model])]


def write_state_of_training(path: Path) -> None:
    """Write the state after two of three epochs."""
    model, phases = trained()
    optimizer = phases[0].method.optimizer(phases[0].groups)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    rows = [{"epoch": n, "phase": "labels", "loss": 0.5, "val_accuracy": None} for n in (1, 2)]
    state = {"position": [0, 1], "rows": rows, "seconds": 1.5}
    state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    write_checkpoint(path, state)


def write_weights(path: Path) -> None:
    """Write the float network."""
    save_state(float_network(), path)


def write_published(path: Path) -> None:
    """Write the float network in the published layout."""
    save_published(float_network(), path)


def content_of(write, name: str) -> bytes:
    """Return the bytes that `write` puts in a file of this name; the file is removed."""
    path = Path(name)
    write(path)
    content = path.read_bytes()
    path.unlink()
    return content
