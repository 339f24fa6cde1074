"""What the usual FPGAs have: LUTs, registers, DSPs and memories, from their data sheets.

A name such as xcu50-fsvh2104-2-e begins with its device (xcu50); package, speed and temperature
follow and change none of these numbers. They are those of the whole device. What the shell of an
Alveo card or the interconnect of a Zynq takes is not subtracted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

RESOURCES = ("lut", "ff", "dsp", "bram_18k", "uram")


@dataclass(frozen=True)
class Part:
    """One device, a board that carries it, and the data sheet that its numbers come from.

    `bram_18k` counts 18-kbit halves of block RAM, `uram` UltraRAMs of 288 kbit. `lut_inputs` is 4
    on a device whose LUTs are smaller than the LUT6 that our estimates count.
    """

    device: str
    board: str
    source: str
    lut: int
    ff: int
    dsp: int
    bram_18k: int
    uram: int
    lut_inputs: int = 6


PARTS = (
    Part("xc7z020", "PYNQ-Z2", "AMD DS190", 53_200, 106_400, 220, 280, 0),
    Part("xck26", "KV260", "AMD DS987", 117_120, 234_240, 1_248, 288, 64),
    Part("xczu3eg", "Ultra96", "AMD DS891", 70_560, 141_120, 360, 432, 0),
    Part("xczu7ev", "ZCU104", "AMD DS891", 230_400, 460_800, 1_728, 624, 96),
    Part("xczu9eg", "ZCU102", "AMD DS891", 274_080, 548_160, 2_520, 1_824, 0),
    Part("xcu50", "Alveo U50", "AMD DS965", 871_680, 1_743_360, 5_952, 2_688, 640),
    Part("xcu250", "Alveo U250", "AMD DS962", 1_728_000, 3_456_000, 12_288, 5_376, 1_280),
    Part("lfe5u-85f", "ECP5-85F", "Lattice FPGA-DS-02012", 83_640, 83_640, 156, 208, 0, 4),
)


def part_of(part: str) -> Part | None:
    """Return the device of a full part name, None if it is not in the table.

    >>> part_of("xc7z020clg400-1").board, part_of("xcu55c-fsvh2892-2L-e")
    ('PYNQ-Z2', None)
    """
    for known in PARTS:
        # The package follows after a dash or, on the older parts, at once: three letters, a number.
        if re.match(rf"{re.escape(known.device)}(-|[a-z]{{3}}\d|$)", part.lower()):
            return known
    return None


def is_amd(part: str) -> bool:
    """Return whether a part, by its full name, is one of AMD's, which Vitis HLS knows."""
    return part.lower().startswith("xc")


def available(part: str) -> Mapping[str, int] | None:
    """Return how much of each of RESOURCES a part has, None if it is unknown."""
    known = part_of(part)
    return None if known is None else {name: getattr(known, name) for name in RESOURCES}
