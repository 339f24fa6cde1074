"""Predictions of a network, and their accuracy."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.networks.evaluation import accuracy, predict, to_tensors
from stages.pipeline.dataset import Split

CPU = torch.device("cpu")
IMAGES, CLASSES = 1003, 4  # more than two batches, and not whole ones


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    return Split(images, rng.integers(0, CLASSES, IMAGES))


class Small(nn.Module):
    """A classifier whose output depends on its mode."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, CLASSES)

    def forward(self, images):
        logits = self.linear(images.float().mean(dim=(2, 3)) / 255)
        return -logits if self.training else logits


def test_predictions_are_those_of_eval_mode_in_the_order_of_the_images(split):
    model = Small().train()
    images, labels = to_tensors(split)
    logits = predict(model, images, CPU)
    assert not model.training
    torch.testing.assert_close(logits, model(images).detach())
    hits = np.mean(logits.argmax(dim=1).numpy() == split.labels)
    assert accuracy(logits, labels) == pytest.approx(100 * hits)
