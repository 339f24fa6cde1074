"""A folded network is the same function in eval mode, with fewer parts."""

import copy

import pytest
import torch
from torch import nn

from models.float.activations.registry import is_tabulated
from models.float.resmlp import Affine, ChannelNorm, ResMLP, TokenLinear
from models.qat.fold import absorb_input, absorb_output, fold, norm_to_affine
from tests.support.images import IMAGES

ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])
SMALL = {"embed_dim": 6, "patch_size": 8, "num_blocks": 2, "num_classes": 3, **IMAGES}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def shaken(network):
    """Give every parameter and running statistic of a network a value of its own."""
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    for part in network.modules():
        if isinstance(part, ChannelNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.3, 3)
    return network


def images_of(count=8):
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def assert_same(mine, other):
    """Compare to 1e-5 of the largest value."""
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5 * other.abs().max().item())


@ACTIVATIONS
@pytest.mark.parametrize("sizes", [SMALL, {"embed_dim": 24, **IMAGES}], ids=["small", "deep"])
def test_the_folded_network_is_the_same_function(activation, sizes):
    network = shaken(ResMLP(activation, 10, **sizes)).eval()
    images = images_of()
    folded, expected = fold(network), network(images)
    assert expected.std() > 0.1
    assert_same(folded(images), expected)
    for block in range(-1, len(network.blocks)):
        assert_same(folded.features(images, block), network.features(images, block))


@ACTIVATIONS
def test_the_folded_network_has_one_mode_whatever_that_of_the_original(activation):
    network = shaken(ResMLP(activation, 10, **SMALL)).train()
    folded, images = fold(network), images_of()
    assert network.training and not folded.training
    expected = network.eval()(images)
    assert_same(folded(images), expected)
    assert_same(folded.train()(images), expected)


@ACTIVATIONS
def test_the_original_stays_as_it_was_and_shares_nothing(activation):
    network = shaken(ResMLP(activation, 10, **SMALL))
    before = copy.deepcopy(network.state_dict())
    folded = fold(network)
    for tensor in (*folded.parameters(), *folded.buffers()):
        tensor.data.fill_(7)
    assert list(network.state_dict()) == list(before)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key


@ACTIVATIONS
def test_what_is_left(activation):
    folded = fold(shaken(ResMLP(activation, 10, **SMALL)))
    assert isinstance(folded.norm, nn.Identity)
    assert not any(isinstance(part, ChannelNorm) for part in folded.modules())
    for block in folded.blocks:
        mixer, mlp = block.token_mixer, block.mlp
        assert type(mixer.affine_1) is type(mixer.affine_2) is Affine
        assert type(mixer.linear) is TokenLinear
        assert isinstance(mlp.affine_1, nn.Identity) and isinstance(mlp.affine_2, nn.Identity)
        if activation == "relu":
            assert isinstance(mlp.act_in, nn.Identity)
        else:
            affine, function = mlp.act_in
            assert type(affine) is Affine and is_tabulated(function)
    assert all(parameter.requires_grad for parameter in folded.parameters())


@ACTIVATIONS
def test_only_the_absorbing_layers_change(activation):
    network = shaken(ResMLP(activation, 10, **SMALL))
    mine, original = fold(network).state_dict(), network.state_dict()
    same = {key for key in mine if key in original and torch.equal(mine[key], original[key])}
    for index in range(2):
        mixer, mlp = f"blocks.{index}.token_mixer", f"blocks.{index}.mlp"
        assert f"{mixer}.linear.weight" in same and f"{mixer}.affine_2.weight" in same
        assert f"{mlp}.linear_2.weight" not in same
        assert (f"{mlp}.linear_1.weight" in same) == (activation != "relu")
    assert "embed_linear.weight" in same and "classifier.weight" not in same


def test_norm_to_affine():
    norm = shaken(ChannelNorm(5)).eval()
    affine, x = norm_to_affine(norm), torch.randn(3, 4, 5)
    torch.testing.assert_close(affine(x), norm(x), rtol=1e-5, atol=1e-6)
    for f in range(5):
        scale = norm.weight[f].item() / (norm.running_var[f].item() + 1e-5) ** 0.5
        offset = norm.bias[f].item() - scale * norm.running_mean[f].item()
        assert affine.weight[f].item() == pytest.approx(scale, rel=1e-5)
        assert affine.bias[f].item() == pytest.approx(offset, rel=1e-4, abs=1e-6)


def test_a_constant_channel_folds_without_overflow():
    norm = ChannelNorm(2).eval()
    norm.running_var.zero_()
    x = torch.randn(3, 4, 2)
    torch.testing.assert_close(norm_to_affine(norm)(x), norm(x), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("absorb", [absorb_input, absorb_output])
def test_absorbing_an_affine(absorb):
    linear = nn.Linear(4, 6)
    affine = shaken(Affine(4 if absorb is absorb_input else 6))
    x = torch.randn(3, 4)
    expected = linear(affine(x)) if absorb is absorb_input else affine(linear(x))
    before = copy.deepcopy(affine.state_dict())
    absorb(linear, affine)
    torch.testing.assert_close(linear(x), expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(affine.state_dict()[key], before[key]) for key in before)
    assert linear.weight.requires_grad and linear.weight.is_leaf
