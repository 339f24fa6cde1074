"""What is measured on the validation images after every epoch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stages.networks.evaluation import accuracy, to_tensors
from stages.pipeline.dataset import Split
from stages.training.validation import Validation

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


def towards(model):
    """Return a loss against given logits; without them against the labels."""

    def loss(images, labels, target=None):
        logits = model(images)
        if target is None:
            return functional.cross_entropy(logits, labels), logits
        return functional.cross_entropy(logits, target.softmax(dim=1)), logits

    return loss


def test_validation_is_loss_and_accuracy_over_all_images_in_eval_mode(split):
    model = Small().train()
    row = Validation(towards(model), split, CPU)(model)
    images, labels = to_tensors(split)
    logits = model(images).detach()  # validation left eval mode behind
    assert row["val_loss"] == pytest.approx(float(functional.cross_entropy(logits, labels)), 1e-5)
    assert row["val_accuracy"] == pytest.approx(accuracy(logits, labels), abs=1e-3)


def test_a_teacher_is_asked_once_and_its_logits_are_given_every_time(split):
    model, teacher, asked = Small(), Small(seed=1), []

    def ask(images):
        asked.append(len(images))
        return teacher(images)

    validation = Validation(towards(model), split, CPU, ask)
    rows = [validation(model) for _ in range(3)]
    assert sum(asked) == IMAGES and rows[0] == rows[1] == rows[2]
    images, _ = to_tensors(split)
    with torch.no_grad():
        expected = functional.cross_entropy(model(images), teacher(images).softmax(dim=1))
    assert rows[0]["val_loss"] == pytest.approx(float(expected), 1e-5)
    with torch.no_grad():
        model.linear.bias += 1
        model.linear.weight *= 2
    assert validation(model)["val_loss"] != rows[0]["val_loss"]  # the model is asked anew


def test_a_loss_that_does_not_classify_has_no_accuracy(split):
    row = Validation(lambda images, labels: (images.float().mean(), None), split, CPU)(Small())
    assert row["val_accuracy"] is None
    assert row["val_loss"] == pytest.approx(split.images.mean(), rel=1e-4)
