"""The SIMD accelerator on a Zynq board, driven by PYNQ through its registers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt  # since numpy 1.20; a board may have an older one

MOST_IMAGES = 256  # per call
KERNEL = "resmlp_simd_0"
CONTROL, START, DONE = 0x00, 1, 2  # ap_ctrl_hs: bit 0 starts, bit 1 is read when it is done


class SimdAccelerator:
    """Fills the memories, starts the kernel and waits for it.

    `parameters` are the bytes of parameters.bin; `pynq` is the module; tests pass a stand-in.
    """

    most_images = MOST_IMAGES

    def __init__(
        self,
        settings: dict[str, Any],
        bitstream: str,
        parameters: npt.NDArray[np.int8],
        pynq: Any,  # noqa: ANN401
    ) -> None:
        self._settings = settings
        columns = settings["columns"]
        words = settings["num_patches"] * settings["token_words"]
        self._overlay = pynq.Overlay(bitstream)
        self._kernel = getattr(self._overlay, KERNEL)
        self._registers = addresses(self._overlay.ip_dict[KERNEL]["registers"])
        self._parameters = pynq.allocate(shape=parameters.shape, dtype=np.int8)
        self._parameters[:] = parameters
        self._parameters.flush()
        self._images = pynq.allocate(shape=(MOST_IMAGES, words * columns), dtype=np.int8)
        self._images[:] = 0
        self._logits = pynq.allocate(
            shape=(MOST_IMAGES, settings["logit_words"] * columns), dtype=np.int8
        )
        for name in ("parameters", "images", "logits"):
            address = getattr(self, f"_{name}").physical_address
            self._write(f"{name}_1", address & 0xFFFFFFFF)
            self._write(f"{name}_2", address >> 32)

    def run(self, tokens: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the logits [n, classes] of tokens [n, patches, patch_dim], n <= most_images."""
        count, patches, patch_dim = tokens.shape
        words = np.zeros((count, patches, self._images.shape[1] // patches), np.int8)
        words[..., :patch_dim] = tokens  # each patch starts a word of memory
        self._images[:count] = words.reshape(count, -1)
        self._images.flush()
        self._write("count", count)
        self._kernel.write(CONTROL, START)
        while not self._kernel.read(CONTROL) & DONE:
            pass
        self._logits.invalidate()
        return np.array(self._logits[:count, : self._settings["num_classes"]])

    def _write(self, register: str, value: int) -> None:
        self._kernel.write(self._registers[register], value)


def addresses(registers: Mapping[str, Any]) -> dict[str, int]:
    """Return the offsets of the arguments' registers, from the tool's description in resmlp.hwh.

    A pointer has two registers of 32 bits, NAME_1 and NAME_2. The tool may put _r after a NAME.
    """
    found = {}
    for name in ("parameters_1", "parameters_2", "images_1", "images_2", "logits_1", "logits_2"):
        stem, part = name.rsplit("_", 1)
        found[name] = _offset(registers, rf"{stem}(_r)?_{part}")
    found["count"] = _offset(registers, r"count(_r)?")
    return found


def _offset(registers: Mapping[str, Any], pattern: str) -> int:
    for name, register in registers.items():
        if re.fullmatch(pattern, name):
            return int(register["address_offset"])
    raise ValueError(f"{KERNEL} has no register {pattern}, but {', '.join(registers)}")


def open_accelerator(settings: dict[str, Any], folder: Path) -> SimdAccelerator:
    """Load resmlp.bit and parameters.bin of a folder; resmlp.hwh must lie beside them."""
    import pynq  # type: ignore[import-not-found]

    parameters = np.fromfile(folder / "parameters.bin", np.int8)
    return SimdAccelerator(settings, str(folder / "resmlp.bit"), parameters, pynq)
