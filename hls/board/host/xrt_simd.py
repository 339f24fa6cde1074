"""The SIMD accelerator on an Alveo card, driven by XRT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt  # since numpy 1.20; a board may have an older one

MOST_IMAGES = 1024  # per call


class SimdAccelerator:
    """Fills the memories of the card and starts the kernel.

    `parameters` are the bytes of parameters.bin; `xrt` is the module pyxrt; tests pass a stand-in.
    """

    most_images = MOST_IMAGES

    def __init__(
        self,
        settings: dict[str, Any],
        xclbin: str,
        parameters: npt.NDArray[np.int8],
        xrt: Any,  # noqa: ANN401
    ) -> None:
        self._xrt = xrt
        self._settings = settings
        columns = settings["columns"]
        self._image_bytes = settings["num_patches"] * settings["token_words"] * columns
        self._logit_bytes = settings["logit_words"] * columns
        device = xrt.device(0)
        uuid = device.load_xclbin(xrt.xclbin(xclbin))
        self._kernel = xrt.kernel(device, uuid, "resmlp_simd", xrt.kernel.shared)
        sizes = parameters.size, MOST_IMAGES * self._image_bytes, MOST_IMAGES * self._logit_bytes
        # Buffers of XRT begin on pages, so they are aligned for the wide ports of the kernel.
        self._buffers = [
            xrt.bo(device, size, xrt.bo.normal, self._kernel.group_id(index))
            for index, size in enumerate(sizes)
        ]
        self._views = [np.frombuffer(buffer.map(), np.int8) for buffer in self._buffers]
        self._views[0][: parameters.size] = parameters
        self._sync(0, "XCL_BO_SYNC_BO_TO_DEVICE", parameters.size)

    def run(self, tokens: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the logits [n, classes] of tokens [n, patches, patch_dim], n <= most_images."""
        count, patches, patch_dim = tokens.shape
        words = np.zeros((count, patches, self._image_bytes // patches), np.int8)
        words[..., :patch_dim] = tokens  # each patch starts a word of memory
        self._views[1][: words.size] = words.reshape(-1)
        self._sync(1, "XCL_BO_SYNC_BO_TO_DEVICE", words.size)
        state = self._kernel(*self._buffers, count).wait()
        if state != self._xrt.ert_cmd_state.ERT_CMD_STATE_COMPLETED:
            raise OSError(f"resmlp_simd ended with {state}")
        self._sync(2, "XCL_BO_SYNC_BO_FROM_DEVICE", count * self._logit_bytes)
        logits = np.array(self._views[2][: count * self._logit_bytes]).reshape(count, -1)
        return logits[:, : self._settings["num_classes"]]

    def _sync(self, index: int, direction: str, size: int) -> None:
        self._buffers[index].sync(getattr(self._xrt.xclBOSyncDirection, direction), size, 0)


def open_accelerator(settings: dict[str, Any], folder: Path) -> SimdAccelerator:
    """Load resmlp.xclbin and parameters.bin of a folder onto card 0."""
    import pyxrt  # type: ignore[import-not-found]

    parameters = np.fromfile(folder / "parameters.bin", np.int8)
    return SimdAccelerator(settings, str(folder / "resmlp.xclbin"), parameters, pyxrt)
