"""What the activations with a grid of knots share: how they print, and what loads into them."""

from typing import Any

from torch import nn

GRID = "grid"  # in the metadata of a state dict, which torch.save keeps


class OnGrid(nn.Module):
    """Base class of per-channel functions on `grid_size` knots from -grid_range to grid_range.

    `shown` are the names of the constructor's arguments that `repr` shows. The grid is stored in
    the metadata of a state dict, so no key is added; a state dict with another grid is refused.
    """

    shown: tuple[str, ...] = ()
    num_features: int
    grid_size: int
    grid_range: float

    def extra_repr(self) -> str:
        """Return the sizes, as they are given to the constructor."""
        return ", ".join(
            [str(self.num_features), *(f"{name}={getattr(self, name)}" for name in self.shown)]
        )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:  # noqa: ANN401 - as PyTorch's
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None:
            metadata[prefix[:-1]][GRID] = [self.grid_size, self.grid_range]

    def _load_from_state_dict(
        self,
        state_dict: Any,  # noqa: ANN401 - as PyTorch's
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        found = local_metadata.get(GRID)
        own = [self.grid_size, self.grid_range]
        if found is not None and found != own:
            error_msgs.append(
                f"{prefix.rstrip('.') or type(self).__name__} was trained with {found[0]} knots to "
                f"{found[1]:g} and would be another function with {own[0]} knots to {own[1]:g}; "
                f"build it with grid_size={found[0]}, grid_range={found[1]:g}."
            )
            return
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )

    def __prepare_scriptable__(self) -> nn.Module:
        raise RuntimeError(
            f"{type(self).__name__} cannot be scripted; torch.jit.trace, torch.export and "
            "torch.compile take it, and torch.jit.script itself is deprecated."
        )
