"""Find the weights in what other programs save around them.

PyTorch users save state dicts inside dictionaries (`{"epoch": 3, "state_dict": ...}`) and from
wrapped modules, which put a prefix before every name (`module.` of DataParallel, `_orig_mod.` of
torch.compile, `model.` of Lightning).
"""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "module")
PREFIXES = ("module.", "model.", "net.", "network.")
_COMPILED = "_orig_mod."
_DEPTH = 4  # nests and prefixes inside each other
COUNTER = "num_batches_tracked"  # of a BatchNorm; files before PyTorch 0.4.1 have none


def unwrapped(content: Any, expected: Collection[str]) -> dict[str, Tensor]:  # noqa: ANN401
    """Return the state dict in `content`, its keys without the prefixes that wrappers put there.

    `expected` are the keys of the network that the weights are for: what they contain is no prefix.
    Raises ValueError, with a clause about the content, if it holds no state dict.
    """
    state = _without_nests(content)
    if not any(_COMPILED in key for key in expected):
        state = {key.replace(_COMPILED, ""): tensor for key, tensor in state.items()}
    for _ in range(_DEPTH):
        prefix = next((p for p in PREFIXES if _all_start(state, p)), None)
        if prefix is None or any(key.startswith(prefix) for key in expected):
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def common_prefix(state: Collection[str]) -> str | None:
    """Return the first part of the keys, with its dot, if all of them begin with it."""
    first = next(iter(state), "").partition(".")[0] + "."
    return first if _all_start(state, first) else None


def _all_start(state: Collection[str], prefix: str) -> bool:
    return bool(state) and all(key.startswith(prefix) for key in state)


def _without_nests(content: Any) -> dict[str, Tensor]:  # noqa: ANN401 - whatever the file held
    for _ in range(_DEPTH):
        if not isinstance(content, Mapping):
            break
        if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
            return dict(content)
        nests = [key for key in NESTS if isinstance(content.get(key), Mapping)]
        if not nests:
            keys = ", ".join(ascii(key)[:40] for key in list(content)[:8])
            raise ValueError(
                f"no state dict (names to tensors), but a dictionary with the keys {keys}; save "
                "the state dict of the network alone"
            )
        content = content[nests[0]]
    raise ValueError(f"no state dict (names to tensors), but a {type(content).__name__}")
