"""Mixup: how much of which two images an image is, and that its classes say the same."""

import torch
from torch.nn import functional

from stages.augment.mixup import mixup

COUNT = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(count=COUNT):
    """Return black and white images in turn, and their classes 0 and 1."""
    number = torch.arange(count) % 2
    images = (255 * number).to(torch.uint8).view(-1, 1, 1, 1).expand(count, 3, 2, 2).contiguous()
    return images, functional.one_hot(number, 3).float()


def test_a_share_of_the_images_is_mixed_and_the_others_stay():
    images, classes = numbered()
    mixed, shares = mixup(images, classes, 0.3, generator())
    assert mixed.dtype == torch.uint8 and mixed.shape == images.shape
    whole = shares.max(dim=1).values == 1
    assert abs(float((~whole).float().mean()) - 0.3) < 0.01
    assert torch.equal(mixed[whole], images[whole])
    assert torch.equal(shares[whole], classes[whole])


def test_the_classes_tell_the_mean_of_the_pixels():
    images, classes = numbered()
    mixed, shares = mixup(images, classes, 1.0, generator())
    assert torch.equal(mixed[:, 0, 0, 0], (255 * shares[:, 1]).round().to(torch.uint8))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(COUNT))
    assert (shares[:, 2] == 0).all()


def test_the_weight_of_the_other_image_is_uniform_up_to_a_half():
    images, classes = numbered()
    _, shares = mixup(images, classes, 1.0, generator())
    other = shares[:, :2].min(dim=1).values
    assert (shares.argmax(dim=1) == classes.argmax(dim=1)).float().mean() > 0.999
    assert other.max() <= 0.5
    counts = torch.histc(other, bins=5, min=0, max=0.5) / COUNT
    assert (counts - 0.2).abs().max() < 0.02


def test_the_generator_determines_the_result():
    images, classes = numbered(50)
    first, again, other = (mixup(images, classes, 0.5, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
