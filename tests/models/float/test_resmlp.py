"""The float network: every equation of the published system §1, written out naively."""

import pytest
import torch
from torch import nn

from models.float.activations.registry import activation_class
from models.float.resmlp import (
    Affine,
    ChannelMlp,
    ChannelNorm,
    MeanPool,
    Normalize,
    Patchify,
    ResMLP,
    TokenLinear,
    TokenMixer,
)
from tests.support.images import IMAGES

KINDS = pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])
SMALL = {"embed_dim": 6, "patch_size": 16, "num_blocks": 2, "num_classes": 3, **IMAGES}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def images_of(count=2):
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def shaken(network):
    """Give every parameter and running statistic of a network a value of its own."""
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    for part in network.modules():
        if isinstance(part, ChannelNorm):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return network.eval()


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


# ---- parts


def test_affine_scales_and_offsets_every_channel():
    affine = Affine(3, 0.1)
    close(affine.weight.data, torch.tensor([0.1, 0.1, 0.1]))
    assert not affine.bias.any()
    affine.weight.data, affine.bias.data = torch.tensor([1.0, 2, 3]), torch.tensor([10.0, 20, 30])
    close(
        affine(torch.tensor([[1.0, 1, 1], [0, -1, 2]])),
        torch.tensor([[11.0, 22, 33], [10, 18, 36]]),
    )
    assert Affine(3).weight.tolist() == [1, 1, 1]


def test_channel_norm_has_statistics_over_batch_and_tokens():
    norm = ChannelNorm(5)
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)
    x = 3 * torch.randn(4, 7, 5) + 2
    y = norm(x)
    for channel in range(5):
        values = x[:, :, channel]
        mean, biased = values.mean(), values.var(correction=0)
        close(y[:, :, channel], (values - mean) / (biased + 1e-5).sqrt())
        close(norm.running_mean[channel], 0.1 * mean)
        close(norm.running_var[channel], 0.9 + 0.1 * values.var(correction=1))


def test_channel_norm_in_eval_mode_uses_the_running_statistics():
    norm = shaken(ChannelNorm(5))
    x = torch.randn(4, 7, 5)
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    close(norm(x), scale * (x - norm.running_mean) + norm.bias)


def test_token_linear_mixes_tokens_the_same_way_in_every_channel():
    linear = TokenLinear(4, 3)
    x = torch.randn(2, 4, 5)
    y = linear(x)
    assert y.shape == (2, 3, 5)
    for channel in range(5):
        close(y[:, :, channel], nn.functional.linear(x[:, :, channel], linear.weight, linear.bias))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float32])
def test_normalize_takes_pixels_of_any_type(kind):
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    images = images_of().to(kind)
    result = Normalize(mean, std)(images)
    assert result.dtype == torch.float32
    for channel in range(3):
        expected = (images[:, channel] / 255 - mean[channel]) / std[channel]
        close(result[:, channel], expected)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_patchify_orders_tokens_by_row_and_column_and_values_by_row_column_channel(size):
    images = images_of()
    tokens = Patchify(size)(images)
    side = 32 // size
    assert tokens.shape == (2, side**2, 3 * size**2)
    for i in range(0, side, 3):
        for j in range(0, side, 2):
            for r in range(size):
                for c in range(size):
                    pixel = images[:, :, size * i + r, size * j + c]
                    start = (r * size + c) * 3
                    assert torch.equal(tokens[:, side * i + j, start : start + 3], pixel)


def test_mean_pool_averages_the_tokens():
    x = torch.randn(2, 4, 5)
    close(MeanPool()(x), sum(x[:, token] for token in range(4)) / 4)


# ---- sublayers: x + affine_2(...)


def test_cross_patch_sublayer():
    mixer = shaken(TokenMixer(5, 4))
    x = torch.randn(2, 4, 5)
    norm, linear, affine = mixer.affine_1, mixer.linear, mixer.affine_2
    normed = norm.weight * (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() + norm.bias
    mixed = torch.einsum("ts,nsc->ntc", linear.weight, normed) + linear.bias[None, :, None]
    close(mixer(x), x + affine.weight * mixed + affine.bias)


class Sine(nn.Module):
    def forward(self, x):
        return x.sin()


class Square(nn.Module):
    def forward(self, x):
        return x.square()


def test_cross_channel_sublayer():
    mlp = shaken(ChannelMlp(5, 7, Sine(), Square()))
    x = torch.randn(2, 4, 5)
    norm, affine = mlp.affine_1, mlp.affine_2
    normed = norm.weight * (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() + norm.bias
    hidden = (normed.sin() @ mlp.linear_1.weight.T + mlp.linear_1.bias).square()
    branch = hidden @ mlp.linear_2.weight.T + mlp.linear_2.bias
    close(mlp(x), x + affine.weight * branch + affine.bias)


def test_residual_branches_start_at_a_tenth():
    network = ResMLP("relu", 8, **SMALL)
    for block in network.blocks:
        for affine in (block.token_mixer.affine_2, block.mlp.affine_2):
            close(affine.weight.data, torch.full((6,), 0.1))
            assert not affine.bias.any()


# ---- the whole network


@KINDS
def test_forward_is_the_published_chain(activation):
    network = shaken(ResMLP(activation, 8, **SMALL))
    images = images_of()
    x = (images / 255 - network.input.mean.view(3, 1, 1)) / network.input.std.view(3, 1, 1)
    patches = [x[:, :, i : i + 16, j : j + 16] for i in (0, 16) for j in (0, 16)]
    x = torch.stack([patch.permute(0, 2, 3, 1).flatten(1) for patch in patches], 1)
    x = x @ network.embed_linear.weight.T + network.embed_linear.bias
    for block in network.blocks:
        x = block.mlp(block.token_mixer(x))
    norm = network.norm
    x = norm.weight * (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() + norm.bias
    close(network(images), x.mean(1) @ network.classifier.weight.T + network.classifier.bias)


@KINDS
def test_activations_stand_in_both_places_except_relu(activation):
    network = ResMLP(activation, 8, **SMALL)
    for block in network.blocks:
        before, hidden = block.mlp.act_in, block.mlp.act_hidden
        assert isinstance(before, nn.Identity) == (activation == "relu")
        assert type(hidden) is activation_class(activation)
        assert before is not hidden
        if activation != "relu":
            assert next(before.parameters()).shape[0] == 6
            assert next(hidden.parameters()).shape[0] == 8
    first, second = network.blocks
    assert first.mlp.act_hidden is not second.mlp.act_hidden


@KINDS
@pytest.mark.parametrize("hidden_dim", [24, 192])
def test_parameter_count(activation, hidden_dim):
    c, tokens, h = 96, 64, hidden_dim
    per_channel = {"relu": 0, "bspline": 65, "lerp_psa": 3 * 8 + 2}[activation]
    mixer = 2 * c + tokens**2 + tokens + 2 * c
    mlp = 2 * c + (c + 1) * h + (h + 1) * c + 2 * c + per_channel * (c + h)
    expected = 49 * c + 4 * (mixer + mlp) + 2 * c + (c + 1) * 10
    network = ResMLP(activation, hidden_dim, **IMAGES)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize("patch_size", [1, 2, 4, 8, 16])
def test_every_patch_size_works(patch_size):
    network = ResMLP("relu", 4, **{**SMALL, "patch_size": patch_size}).eval()
    assert network.blocks[0].token_mixer.linear.weight.shape == ((32 // patch_size) ** 2,) * 2
    assert network(images_of(1)).shape == (1, 3)


@KINDS
def test_features_are_those_after_the_embedding_and_each_block(activation):
    network = shaken(ResMLP(activation, 8, **SMALL))
    images = images_of()
    features = [network.features(images, block) for block in (-1, 0, 1)]
    assert [feature.shape for feature in features] == [(2, 4, 6)] * 3
    close(features[0], network.embed(images))
    for block, before, after in zip(network.blocks, features, features[1:], strict=False):
        close(block(before), after)
    close(network.classifier(network.pool(network.norm(features[-1]))), network(images))


def test_features_compute_no_more_than_is_asked_for():
    network = ResMLP("relu", 8, **SMALL).eval()
    called = []
    network.blocks[1].register_forward_hook(lambda *_: called.append(1))
    network.features(images_of(), 0)
    assert not called


@KINDS
def test_every_parameter_gets_a_gradient(activation):
    network = shaken(ResMLP(activation, 8, **SMALL)).train()
    network(images_of(16)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_mean_and_std_travel_with_the_weights():
    network = ResMLP("relu", 8, **{**SMALL, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)})
    other = ResMLP("relu", 8, **SMALL)
    other.load_state_dict(network.state_dict())
    close(other.input.mean, torch.tensor([0.1, 0.2, 0.3]))
    close(other.input.std, torch.tensor([0.4, 0.5, 0.6]))


def test_options_reach_the_activations():
    options = {"grid_size": 9, "grid_range": 2.0, "tv2": 0.5}
    network = ResMLP("bspline", 8, options, **SMALL)
    for block in network.blocks:
        for act, channels in ((block.mlp.act_in, 6), (block.mlp.act_hidden, 8)):
            assert act.coefficients.shape == (channels, 9)
            assert (act.start, act.step, act.tv2) == (-2.0, 0.5, 0.5)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"swish.*bspline, lerp_psa, relu"):
        ResMLP("swish", 8, **IMAGES)


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match=r"relu\.grid_size is not a known option"):
        ResMLP("relu", 8, {"grid_size": 9}, **IMAGES)
