"""The ResMLP for square RGB images, with pluggable activations (docs/published-system.md §1).

One class covers all ResMLPs of the paper; the activation is an argument. The folded network
(`models.qat.fold`) and the INT8 network (`models.qat.layers`) are the same modules with some parts
replaced; they keep the data flow of this module.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.float.activations.registry import activation_spec, build_activation

IMAGE_CHANNELS = 3
_BRANCH_SCALE = 0.1  # initial scale of each residual branch


class Affine(nn.Module):
    """Scale and offset per channel: weight * x + bias, on [..., num_features]."""

    def __init__(self, num_features: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((num_features,), scale))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., num_features] to the same shape."""
        return self.weight * x + self.bias


class ChannelNorm(nn.BatchNorm1d):
    """BatchNorm per channel of [batch, tokens, channels]; statistics over batch and tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., channels] to the same shape."""
        rows = x.reshape(-1, x.shape[-1])
        return super().forward(rows).view(x.shape)


class TokenLinear(nn.Linear):
    """A linear layer over the tokens of [batch, tokens, channels]; all channels share weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, in_tokens, channels] to [batch, out_tokens, channels]."""
        return torch.matmul(self.weight, x) + self.bias.unsqueeze(-1)


class Residual(nn.Module):
    """The addition at the end of a sublayer; it is a module so that INT8 can replace it."""

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """Return x + branch."""
        return x + branch


class Normalize(nn.Module):
    """Normalise pixels 0..255 [batch, 3, height, width] to zero mean and unit deviation per colour.

    `mean` and `std` [3] refer to pixel / 255. They are buffers, so checkpoints contain them.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 or float pixels to float32."""
        mean, std = 255 * self.mean.view(-1, 1, 1), 255 * self.std.view(-1, 1, 1)
        return (images - mean) / std

    def impossible(self) -> tuple[str, str] | None:
        """Return the name of a buffer and the rule that it breaks, None if it breaks none."""
        return None if (self.std > 0).all() else ("std", "above 0")


class Patchify(nn.Module):
    """Cut images [batch, 3, height, width] into tokens [batch, patches, patch_dim].

    Tokens are in row-major order over the patch grid; values inside a patch are in the order (row,
    column, channel).
    """

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size

    def forward(self, images: Tensor) -> Tensor:
        """Map images [batch, 3, height, width] to tokens [batch, patches, patch_dim]."""
        batch, channels, height, width = images.shape
        size = self.patch_size
        grid = images.view(batch, channels, height // size, size, width // size, size)
        tokens = (height // size) * (width // size)
        return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, tokens, size * size * channels)


class MeanPool(nn.Module):
    """Average over the tokens; it is a module so that INT8 can replace it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, tokens, channels] to [batch, channels]."""
        return x.mean(dim=1)


class TokenMixer(nn.Module):
    """The paper's cross-patch sublayer: x + affine_2(linear(affine_1(x)))."""

    def __init__(self, embed_dim: int, num_patches: int) -> None:
        super().__init__()
        self.affine_1 = ChannelNorm(embed_dim)
        self.linear = TokenLinear(num_patches, num_patches)
        self.affine_2 = Affine(embed_dim, _BRANCH_SCALE)
        self.residual = Residual()

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, patches, embed_dim] to the same shape."""
        return self.residual(x, self.affine_2(self.linear(self.affine_1(x))))


class ChannelMlp(nn.Module):
    """The paper's cross-channel sublayer: x + affine_2(linear_2(act(linear_1(act(affine_1(x)))))).

    `act_in` works on embed_dim channels (identity in the ReLU network), `act_hidden` on hidden_dim.
    """

    def __init__(
        self, embed_dim: int, hidden_dim: int, act_in: nn.Module, act_hidden: nn.Module
    ) -> None:
        super().__init__()
        self.affine_1 = ChannelNorm(embed_dim)
        self.act_in = act_in
        self.linear_1 = nn.Linear(embed_dim, hidden_dim)
        self.act_hidden = act_hidden
        self.linear_2 = nn.Linear(hidden_dim, embed_dim)
        self.affine_2 = Affine(embed_dim, _BRANCH_SCALE)
        self.residual = Residual()

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, patches, embed_dim] to the same shape."""
        hidden = self.act_hidden(self.linear_1(self.act_in(self.affine_1(x))))
        return self.residual(x, self.affine_2(self.linear_2(hidden)))


class ResMlpBlock(nn.Module):
    """One block: the cross-patch sublayer, then the cross-channel sublayer."""

    def __init__(self, token_mixer: TokenMixer, mlp: ChannelMlp) -> None:
        super().__init__()
        self.token_mixer = token_mixer
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, patches, embed_dim] to the same shape."""
        return self.mlp(self.token_mixer(x))


class ResMLP(nn.Module):
    """Patches, an embedding, `num_blocks` blocks, a norm, the mean over tokens, a classifier.

    The input is pixels: normalisation is the first layer, so that the float and the INT8 network
    have the same input. `mean` and `std` (per colour) refer to pixel / 255. Images have
    `image_size` x `image_size` pixels. `activation` is a name in
    `models.float.activations.registry`; `options` are its options. A tabulated activation is used
    before and after `linear_1`, ReLU only after it.
    """

    def __init__(
        self,
        activation: str,
        hidden_dim: int,
        options: Mapping[str, float] | None = None,
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        embed_dim: int = 96,
        patch_size: int = 4,
        num_blocks: int = 4,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        tabulated = activation_spec(activation).tabulated
        num_patches = (image_size // patch_size) ** 2

        def act(num_features: int) -> nn.Module:
            return build_activation(activation, num_features, **(options or {}))

        def block() -> ResMlpBlock:
            act_in = act(embed_dim) if tabulated else nn.Identity()
            mlp = ChannelMlp(embed_dim, hidden_dim, act_in, act(hidden_dim))
            return ResMlpBlock(TokenMixer(embed_dim, num_patches), mlp)

        self.image_size = image_size
        self.input = Normalize(mean, std)
        self.patchify = Patchify(patch_size)
        self.embed_linear = nn.Linear(patch_size * patch_size * IMAGE_CHANNELS, embed_dim)
        self.blocks = nn.ModuleList(block() for _ in range(num_blocks))
        self.norm = ChannelNorm(embed_dim)
        self.pool = MeanPool()
        self.classifier = nn.Linear(embed_dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels 0..255 [batch, 3, height, width] to logits [batch, num_classes]."""
        x = self.embed(images)
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.pool(self.norm(x)))

    def embed(self, images: Tensor) -> Tensor:
        """Map pixels [batch, 3, height, width] to embedded tokens [batch, patches, embed_dim]."""
        return self.embed_linear(self.patchify(self.input(images)))

    def features(self, images: Tensor, block: int) -> Tensor:
        """Map pixels to the features [batch, patches, embed_dim] after `block`; -1: embedding."""
        x = self.embed(images)
        for part in self.blocks[: block + 1]:
            x = part(x)
        return x
