"""Stand-ins for pynq and pyxrt: they run the C-simulated kernel instead of an FPGA.

Host and device have memories of their own, so a driver that forgets to flush, to invalidate or to
sync computes with zeros. Names and signatures are those of the real modules.
"""

import re
import subprocess
from itertools import count
from types import SimpleNamespace

import numpy as np


class StreamKernel:
    """The streaming kernel between its movers, compiled from tests/support/board_stream.cpp."""

    def __init__(self, binary, settings, folder):
        self.binary, self.folder = binary, folder
        self.image_bytes = settings["num_patches"] * settings["patch_dim"]
        self.classes = settings["num_classes"]
        self.batches = []  # images of each call

    def __call__(self, tokens):
        """Return the logits of a packet of tokens, and the logit on which the packet ends."""
        assert len(tokens) % self.image_bytes == 0, "a packet holds whole images"
        images = len(tokens) // self.image_bytes
        self.batches.append(images)
        tokens_file, logits_file = self.folder / "tokens", self.folder / "logits"
        tokens_file.write_bytes(tokens.tobytes())
        done = subprocess.run(
            [self.binary, tokens_file, logits_file, str(images)],
            capture_output=True,
            text=True,
            check=True,
        )
        (end,) = re.findall(r"^TLAST (\d+)$", done.stdout, re.M)
        return np.fromfile(logits_file, np.int8), int(end)


class SimdKernel:
    """The SIMD kernel, compiled from tests/support/board_simd.cpp."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def __call__(self, parameters, images, images_count):
        files = [self.folder / name for name in ("parameters", "images", "logits")]
        files[0].write_bytes(parameters.tobytes())
        files[1].write_bytes(images.tobytes())
        subprocess.run([self.binary, *files, str(images_count)], check=True)
        return np.fromfile(files[2], np.int8)


class Buffer(np.ndarray):
    """A buffer of pynq.allocate: host memory, and device memory at a physical address."""

    def __array_finalize__(self, other):
        self.card = getattr(other, "card", None)
        self.physical_address = getattr(other, "physical_address", None)

    def flush(self):
        self.card[:] = self.view(np.ndarray).reshape(-1)

    def invalidate(self):
        self.view(np.ndarray).reshape(-1)[:] = self.card


class SimulatedPynq:
    """The module pynq on a board with this kernel; `simd` and `stream`: one of them is None.

    `registers` is the map of the SIMD kernel's registers, as the tool describes it.
    """

    def __init__(self, stream=None, simd=None, registers=None):
        self._stream, self._simd = stream, simd
        self._registers = registers or {}
        self._buffers = {}
        self._addresses = count(0x1_6000_0000, 0x100_0000)  # beyond 32 bits
        self.loaded = []

    def allocate(self, shape, dtype):
        buffer = np.zeros(shape, dtype).view(Buffer)
        buffer.card = np.zeros(buffer.size, dtype)
        buffer.physical_address = next(self._addresses)
        self._buffers[buffer.physical_address] = buffer
        return buffer

    def Overlay(self, bitstream):
        self.loaded.append(bitstream)
        if self._stream:
            return SimpleNamespace(axi_dma_0=_Dma(self._stream))
        return SimpleNamespace(
            resmlp_simd_0=self,
            ip_dict={"resmlp_simd_0": {"registers": self._registers}},
        )

    def write(self, offset, value):
        self._written = getattr(self, "_written", {}) | {offset: value}
        if offset == 0 and value & 1:
            parameters, images, logits = (
                self._buffers[self._register(f"{name}_1") | self._register(f"{name}_2") << 32]
                for name in ("parameters", "images", "logits")
            )
            images_count = self._register("count")
            values = self._simd(parameters.card, images.card, images_count)
            logits.card[: len(values)] = values

    def read(self, offset):
        assert offset == 0
        return 2 | 4  # done, idle

    def _register(self, name):
        (offset,) = (
            register["address_offset"]
            for key, register in self._registers.items()
            if key.replace("_r", "") == name
        )
        return self._written[offset]


class _Dma:
    """An AXI DMA: both channels, and the kernel between them."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._receiving = None
        self.sendchannel = SimpleNamespace(transfer=self._send, wait=lambda: None)
        self.recvchannel = SimpleNamespace(transfer=self._receive, wait=self._wait)

    def _receive(self, array, start=0, nbytes=0):
        assert self._receiving is None, "the channel is busy"
        self._receiving = array, start, nbytes

    def _send(self, array, start=0, nbytes=0):
        data = array.view(np.ndarray).reshape(-1)[start : start + nbytes]
        self._logits, self._end = self._kernel(data)

    def _wait(self):
        array, start, nbytes = self._receiving
        assert self._end == nbytes, "TLAST must come on the last byte of the transfer"
        flat = array.view(np.ndarray).reshape(-1)
        flat[start : start + nbytes] = self._logits
        self._receiving = None


class SimulatedXrt:
    """The module pyxrt on a machine whose card has this kernel."""

    ert_cmd_state = SimpleNamespace(ERT_CMD_STATE_COMPLETED=4)
    xclBOSyncDirection = SimpleNamespace(XCL_BO_SYNC_BO_TO_DEVICE=0, XCL_BO_SYNC_BO_FROM_DEVICE=1)

    def __init__(self, stream=None, simd=None, state=4):
        self._stream, self._simd, self.state = stream, simd, state
        self.kernels, self.loaded, self._sent = [], [], []
        self.kernel = self._kernel_class()
        self.bo = self._bo_class()

    def device(self, index):
        return SimpleNamespace(load_xclbin=lambda xclbin: self.loaded.append(xclbin) or "uuid")

    def xclbin(self, path):
        return path

    def _kernel_class(module):
        class Kernel:
            shared = object()

            def __init__(self, device, uuid, name, mode):
                assert uuid == "uuid" and mode is Kernel.shared
                self.name = name
                module.kernels.append(name)

            def group_id(self, argument):
                return f"{self.name}.{argument}"

            def __call__(self, *arguments):
                return SimpleNamespace(wait=lambda: module._run(self.name, *arguments))

        return Kernel

    def _bo_class(module):
        class Bo:
            normal = object()

            def __init__(self, device, size, flags, group):
                assert flags is Bo.normal
                self.group = group
                self.host, self.card = bytearray(size), bytearray(size)

            def map(self):
                return memoryview(self.host)

            def sync(self, direction, size, offset):
                source, target = (
                    (self.host, self.card) if direction == 0 else (self.card, self.host)
                )
                target[offset : offset + size] = source[offset : offset + size]

        return Bo

    def _run(self, name, *arguments):
        if name == "mm2s":
            buffer, words = arguments
            assert buffer.group == "mm2s.0"
            lanes = self._lanes
            self._sent.append(np.frombuffer(buffer.card, np.int8)[: words * lanes])
        elif name == "s2mm":
            buffer, words = arguments
            assert buffer.group == "s2mm.0"
            logits, end = self._stream(self._sent.pop())
            assert end == len(logits) == words
            buffer.card[:words] = logits.tobytes()
        else:
            parameters, images, logits, images_count = arguments
            groups = [buffer.group for buffer in arguments[:3]]
            assert groups == [f"resmlp_simd.{index}" for index in range(3)]
            views = (np.frombuffer(buffer.card, np.int8) for buffer in (parameters, images))
            values = self._simd(*views, images_count)
            logits.card[: len(values)] = values.tobytes()
        return self.state

    _lanes = 1

    def with_lanes(self, lanes):
        """Set the int8 elements of a word of mm2s."""
        self._lanes = lanes
        return self
