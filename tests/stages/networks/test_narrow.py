"""A student that starts from a wider one: which channels stay, and what it then computes."""

import pytest
import torch

from models.float.resmlp import ResMLP
from stages.networks.narrow import start_from

WIDE, NARROW, BLOCKS = 12, 5, 2
PIXELS = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0))
PIXELS = PIXELS.to(torch.uint8)


def network(activation, width, seed):
    torch.manual_seed(seed)
    made = ResMLP(
        activation,
        width,
        image_size=32,
        mean=[0.5] * 3,
        std=[0.2] * 3,
        embed_dim=8,
        patch_size=16,
        num_blocks=BLOCKS,
        num_classes=4,
    )
    made.train()(PIXELS)  # norms that have seen something
    return made.eval()


@pytest.mark.parametrize("activation", ["relu", "bspline", "lerp_psa"])
def test_channels_that_do_nothing_go_first(activation):
    """Without them the network computes the same, so all parts follow their channels."""
    wide, narrow = network(activation, WIDE, 1), network(activation, NARROW, 2)
    useful = torch.tensor([1, 4, 5, 8, 11])
    idle = torch.ones(WIDE, dtype=torch.bool)
    idle[useful] = False
    with torch.no_grad():
        for block in wide.blocks:
            block.mlp.linear_2.weight[:, idle] = 0
    expected = wide(PIXELS)
    first = wide.blocks[0].mlp.linear_1.weight.clone()
    start_from(narrow, wide, PIXELS)
    torch.testing.assert_close(narrow(PIXELS), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(narrow.blocks[0].mlp.linear_1.weight, first[useful])


def test_a_channel_that_is_constant_goes_and_its_value_stays_in_the_bias():
    wide, narrow = network("lerp_psa", WIDE, 1), network("lerp_psa", WIDE - 1, 2)
    with torch.no_grad():
        for block in wide.blocks:
            block.mlp.linear_1.weight[3] = 0  # its weights in linear_2 stay large
            block.mlp.linear_2.weight[:, 3] = 5
    expected = wide(PIXELS)
    start_from(narrow, wide, PIXELS)
    torch.testing.assert_close(narrow(PIXELS), expected, rtol=1e-4, atol=1e-4)


def test_the_importance_is_the_variance_that_a_channel_adds():
    """Neither the largest weights nor the largest values alone keep a channel."""
    wide, narrow = network("relu", 3, 1), network("relu", 1, 2)
    with torch.no_grad():
        for block in wide.blocks:
            mlp = block.mlp
            mlp.linear_1.weight[:] = mlp.linear_1.weight[:1]
            mlp.linear_1.bias[:] = 50.0  # all channels pass, with one variance
            mlp.linear_1.weight[2] *= 3  # 9 times the variance
            mlp.linear_2.weight[:] = mlp.linear_2.weight[:, :1]
            mlp.linear_2.weight[:, 0] *= 2  # 4 times the weight
    kept = wide.blocks[0].mlp.linear_1.weight[2].clone()
    start_from(narrow, wide, PIXELS)
    assert torch.equal(narrow.blocks[0].mlp.linear_1.weight[0], kept)


def test_a_start_of_the_same_width_is_a_copy():
    wide, same = network("bspline", WIDE, 1), network("bspline", WIDE, 2)
    before = {name: tensor.clone() for name, tensor in wide.state_dict().items()}
    start_from(same, wide, PIXELS)
    assert all(torch.equal(before[name], tensor) for name, tensor in same.state_dict().items())
