"""The streaming accelerator on an Alveo card: two movers beside it, driven by XRT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt  # since numpy 1.20; a board may have an older one

MOST_IMAGES = 4096  # per call


class StreamAccelerator:
    """Starts both movers; the accelerator between them runs all the time.

    `xrt` is the module pyxrt; tests pass a stand-in.
    """

    most_images = MOST_IMAGES

    def __init__(self, settings: dict[str, Any], xclbin: str, xrt: Any) -> None:  # noqa: ANN401
        self._xrt = xrt
        self._size = settings["num_patches"] * settings["patch_dim"]
        self._classes, self._lanes = settings["num_classes"], settings["lanes"]
        device = xrt.device(0)
        uuid = device.load_xclbin(xrt.xclbin(xclbin))
        self._mm2s = xrt.kernel(device, uuid, "mm2s", xrt.kernel.shared)
        self._s2mm = xrt.kernel(device, uuid, "s2mm", xrt.kernel.shared)
        sizes = MOST_IMAGES * self._size, MOST_IMAGES * self._classes
        self._tokens = xrt.bo(device, sizes[0], xrt.bo.normal, self._mm2s.group_id(0))
        self._logits = xrt.bo(device, sizes[1], xrt.bo.normal, self._s2mm.group_id(0))
        self._token_bytes = np.frombuffer(self._tokens.map(), np.int8)
        self._logit_bytes = np.frombuffer(self._logits.map(), np.int8)

    def run(self, tokens: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the logits [n, classes] of tokens [n, patches, patch_dim], n <= most_images."""
        sent, received = len(tokens) * self._size, len(tokens) * self._classes
        directions = self._xrt.xclBOSyncDirection
        self._token_bytes[:sent] = tokens.reshape(-1)
        self._tokens.sync(directions.XCL_BO_SYNC_BO_TO_DEVICE, sent, 0)
        receiver = self._s2mm(self._logits, received)
        sender = self._mm2s(self._tokens, sent // self._lanes)
        self._finish("mm2s", sender)
        self._finish("s2mm", receiver)
        self._logits.sync(directions.XCL_BO_SYNC_BO_FROM_DEVICE, received, 0)
        return np.array(self._logit_bytes[:received]).reshape(len(tokens), self._classes)

    def _finish(self, kernel: str, run: Any) -> None:  # noqa: ANN401
        state = run.wait()
        if state != self._xrt.ert_cmd_state.ERT_CMD_STATE_COMPLETED:
            raise OSError(f"{kernel} ended with {state}")


def open_accelerator(settings: dict[str, Any], folder: Path) -> StreamAccelerator:
    """Load resmlp.xclbin of a folder onto card 0."""
    import pyxrt  # type: ignore[import-not-found]

    return StreamAccelerator(settings, str(folder / "resmlp.xclbin"), pyxrt)
