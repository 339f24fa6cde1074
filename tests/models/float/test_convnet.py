"""The convolutional network that teaches the teacher: its start, its shapes, its precision."""

import pytest
import torch
from torch import nn

from models.float.convnet import ConvNet, ConvStage
from stages.networks.convnet import mixed_precision
from tests.support.images import IMAGES

WIDTHS = (16, 24, 32)


def noise(count=64, size=32, seed=0):
    """Return pixels whose channels depend on one another, as those of photographs do."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.randint(40, 216, (count, 1, size, size), generator=generator)
    colour = torch.randint(-40, 41, (count, 3, size, size), generator=generator)
    return (grey + colour).to(torch.uint8)


def network(seed=0, **options):
    torch.manual_seed(seed)
    settings = {"num_classes": 10, "mean": IMAGES["mean"], "std": IMAGES["std"], **options}
    return ConvNet(WIDTHS, **settings)


def patches_of(images):
    """Return the 2x2 patches [patches, 12] of images [n, 3, height, width], pixel by pixel."""
    height, width = images.shape[2] - 1, images.shape[3] - 1
    corners = [
        images[:, :, row : row + height, column : column + width]
        for row in (0, 1)
        for column in (0, 1)
    ]
    return torch.stack(corners, dim=2).flatten(1, 2).movedim(1, -1).reshape(-1, 12)


def test_pixels_become_logits_of_every_class():
    net = network(num_classes=7)
    assert net(noise(5)).shape == (5, 7)
    first = nn.Sequential(net.whiten, *net.stages[:2])  # the convolution, GELU, the first stage
    assert first(noise(5).float()).shape == (5, WIDTHS[0], 15, 15)  # 31 patches a side, halved


def test_pixels_are_normalised_by_mean_and_std():
    mean, std = (0.1, 0.4, 0.7), (0.2, 0.3, 0.5)
    net, plain = network(mean=mean, std=std).eval(), network(mean=(0.0,) * 3, std=(1 / 255,) * 3)
    images = noise(4)
    scaled = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(net(images), plain.eval()(scaled), rtol=1e-4, atol=1e-6)
    assert not {"mean", "std"} & net.state_dict().keys()  # the data set has them


def test_whitened_patches_have_unit_variance_and_are_uncorrelated():
    net = network()
    net.whiten_with(noise())
    with torch.no_grad():
        normalised = (noise() - net.mean) / net.std
        responses = net.whiten(normalised).movedim(1, -1).reshape(-1, 24)
    covariance = torch.cov(responses[:, :12].T.double())
    torch.testing.assert_close(covariance, torch.eye(12).double(), rtol=0, atol=0.01)
    torch.testing.assert_close(responses[:, 12:], -responses[:, :12], rtol=0, atol=1e-4)
    filters = net.whiten.weight.flatten(1)
    torch.testing.assert_close(patches_of(normalised) @ filters.T, responses, rtol=0, atol=1e-4)


def test_grey_images_can_be_whitened_too():
    """Their patches have 4 dimensions in place of 12: the others have no variance to divide by."""
    net = network()
    net.whiten_with(noise()[:, :1].expand(-1, 3, -1, -1))
    assert net.whiten.weight.isfinite().all()


def test_the_whitening_and_the_scales_of_the_norms_are_not_trained():
    net = network()
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    scales = {f"stages.{i}.{j}.weight" for i in (1, 2, 3) for j in (2, 5)}
    assert frozen == {"whiten.weight", *scales}


def test_a_convolution_hands_its_first_channels_on_at_the_start():
    stage = ConvStage(4, 6)
    first, second = (part for part in stage if isinstance(part, nn.Conv2d))
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(first(x)[:, :4], x)
    assert not torch.allclose(first(x)[:, 4:], torch.zeros(2, 2, 8, 8), atol=0.01)
    y = torch.randn(2, 6, 8, 8)
    torch.testing.assert_close(second(y), y)


def test_norm_biases_are_the_offsets_of_all_norms():
    net = network()
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 6
    assert {id(bias) for bias in net.norm_biases()} == {id(norm.bias) for norm in norms}


@pytest.mark.parametrize(("enabled", "fast"), [(True, True), (True, False), (False, True)])
def test_mixed_precision_gives_float_logits_near_those_of_float32(enabled, fast, monkeypatch):
    monkeypatch.setattr("models.float.precision.multiplies_bfloat16", lambda device: fast)
    net = network().eval()
    net.whiten_with(noise())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        logits, exact = mixed_precision(net, enabled)(noise(8)), net(noise(8))
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact) != (enabled and fast)  # never emulated
    assert (logits - exact).norm() < 0.05 * exact.norm()  # bfloat16
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
