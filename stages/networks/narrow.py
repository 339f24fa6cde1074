"""Start a student from a trained network with as many hidden channels or more.

Both have the same activation; everything but the hidden channels of the channel MLPs has the same
shape and is copied. Of the hidden channels those stay that move the block's output most:

    importance of channel j = variance of act_hidden_j · |a ⊙ V_j|²    V: linear_2, a: affine_2

over training images, pixels as they are. What a channel that goes adds on average, its mean times
V_j, is added to linear_2's bias. Tables of activations follow their channels.
"""

import torch
from torch import Tensor, nn

from models.float.resmlp import ChannelMlp, ResMLP

_BATCH = 250  # images


@torch.no_grad()
def start_from(narrow: ResMLP, wide: ResMLP, images: Tensor) -> None:
    """Give `narrow` the weights of `wide`; pixels uint8 [n, 3, 32, 32] rank the hidden channels.

    `wide` is changed: it is in eval mode afterwards, and loses the channels that go. The two and
    the images are on one device.
    """
    means, variances = _hidden_statistics(wide.eval(), images)
    for block, own, mean, variance in zip(
        wide.blocks, narrow.blocks, means, variances, strict=True
    ):
        width = own.mlp.linear_1.out_features
        _keep(block.mlp, _most_important(block.mlp, variance, width), mean)
    narrow.load_state_dict(wide.state_dict())


def _most_important(mlp: ChannelMlp, variance: Tensor, count: int) -> Tensor:
    """Return the indices [count], in rising order, of the channels to keep."""
    columns = mlp.affine_2.weight.unsqueeze(1) * mlp.linear_2.weight  # [outputs, hidden]
    importance = variance * columns.double().square().sum(dim=0)
    return importance.sort(descending=True, stable=True).indices[:count].sort().values


def _keep(mlp: ChannelMlp, kept: Tensor, mean: Tensor) -> None:
    """Remove all hidden channels but `kept`; their mean goes to the bias of linear_2."""
    rest = torch.ones_like(mean, dtype=torch.bool)
    rest[kept] = False
    first, second = mlp.linear_1, mlp.linear_2
    second.bias += second.weight[:, rest] @ mean[rest].float()
    first.weight, first.bias = _parameter(first.weight[kept]), _parameter(first.bias[kept])
    second.weight = _parameter(second.weight[:, kept])
    for name, values in list(mlp.act_hidden.named_parameters()):  # [hidden, ...]
        setattr(mlp.act_hidden, name, _parameter(values[kept]))


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.clone())


def _hidden_statistics(network: ResMLP, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return mean and variance float64 [hidden] of each block's act_hidden over the images."""
    sums: list[list[Tensor]] = [[] for _ in network.blocks]  # count, sum, sum of squares

    def note(index: int, output: Tensor) -> None:
        rows = output.flatten(0, -2).double()
        new = (rows.new_tensor(len(rows)), rows.sum(dim=0), rows.square().sum(dim=0))
        old = sums[index] or [torch.zeros_like(part) for part in new]
        sums[index] = [before + part for before, part in zip(old, new, strict=True)]

    handles = [
        block.mlp.act_hidden.register_forward_hook(
            lambda _module, _inputs, output, index=index: note(index, output)
        )
        for index, block in enumerate(network.blocks)
    ]
    try:
        for batch in images.split(_BATCH):
            network(batch)
    finally:
        for handle in handles:
            handle.remove()
    means = [total / count for count, total, _ in sums]
    squares = [square / count for count, _, square in sums]
    return means, [square - mean.square() for square, mean in zip(squares, means, strict=True)]
