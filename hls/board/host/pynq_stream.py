"""The streaming accelerator on a Zynq board: one AXI DMA, driven by PYNQ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt  # since numpy 1.20; a board may have an older one

MOST_IMAGES = 1024  # per transfer; the DMA counts up to 2^26 - 1 bytes
DMA = "axi_dma_0"


class StreamAccelerator:
    """Sends a batch of images in one transfer and receives its logits in another.

    `pynq` is the module; tests pass a stand-in.
    """

    most_images = MOST_IMAGES

    def __init__(self, settings: dict[str, Any], bitstream: str, pynq: Any) -> None:  # noqa: ANN401
        size = settings["num_patches"] * settings["patch_dim"]
        self._classes = settings["num_classes"]
        self._overlay = pynq.Overlay(bitstream)
        self._dma = getattr(self._overlay, DMA)
        self._tokens = pynq.allocate(shape=(MOST_IMAGES, size), dtype=np.int8)
        self._logits = pynq.allocate(shape=(MOST_IMAGES, self._classes), dtype=np.int8)

    def run(self, tokens: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the logits [n, classes] of tokens [n, patches, patch_dim], n <= most_images."""
        count = len(tokens)
        self._tokens[:count] = tokens.reshape(count, -1)
        # Receiving starts first. The packet of logits ends where the packet of tokens ends.
        self._dma.recvchannel.transfer(self._logits, nbytes=count * self._classes)
        self._dma.sendchannel.transfer(self._tokens, nbytes=count * self._tokens.shape[1])
        self._dma.sendchannel.wait()
        self._dma.recvchannel.wait()
        return np.array(self._logits[:count])


def open_accelerator(settings: dict[str, Any], folder: Path) -> StreamAccelerator:
    """Load resmlp.bit of a folder; resmlp.hwh must lie beside it."""
    import pynq  # type: ignore[import-not-found]

    return StreamAccelerator(settings, str(folder / "resmlp.bit"), pynq)
