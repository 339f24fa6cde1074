"""What a cell of a synthesised netlist takes of an FPGA: LUTs, registers, DSPs, block RAMs.

lut       LUTs of logic, of carry chains (ECP5) and of LUT RAM; an ECP5's LUT has 4 inputs, an
          UltraScale+'s 6
ff        registers
dsp       MULT18X18D of an ECP5, DSP48E2 of an UltraScale+
bram_18k  block RAMs of 18 kbit; a RAMB36E2 is two
"""

import re
from collections.abc import Mapping

RESOURCES = ("lut", "ff", "dsp", "bram_18k")
Counts = Mapping[str, int]

# Name of a cell: what one takes. Other cells (multiplexers behind LUTs, Xilinx's carry logic, pads,
# inverters that become part of a LUT) take nothing that is counted.
_ECP5 = {
    r"LUT4": {"lut": 1},
    r"CCU2C": {"lut": 2},
    r"TRELLIS_DPR16X4": {"lut": 6},
    r"TRELLIS_FF": {"ff": 1},
    r"MULT18X18D": {"dsp": 1},
    r"(DP|PDPW)16KD": {"bram_18k": 1},
}
_XILINX = {
    r"LUT[1-6]": {"lut": 1},
    r"SRL(16|C32)E": {"lut": 1},
    r"RAM(32|64)X1D": {"lut": 2},
    r"RAM(32|64)M": {"lut": 4},
    r"RAM(32M16|64M8)": {"lut": 8},
    r"FD[RSCP]E(_1)?": {"ff": 1},
    r"DSP48E2": {"dsp": 1},
    r"RAMB18E2": {"bram_18k": 1},
    r"RAMB36E2": {"bram_18k": 2},
}
FAMILIES = {"ecp5": _ECP5, "xcup": _XILINX}  # names of Yosys


def taken(cell: str, family: str) -> Counts:
    """Return what one cell takes of the resources of its family, nothing if it is not counted.

    >>> taken("CCU2C", "ecp5"), taken("RAMB36E2", "xcup"), taken("PFUMX", "ecp5")
    ({'lut': 2}, {'bram_18k': 2}, {})
    """
    for pattern, counts in FAMILIES[family].items():
        if re.fullmatch(pattern, cell):
            return counts
    return {}


def added(rows: list[Counts]) -> dict[str, int]:
    """Return the sum of counts, with every resource.

    >>> added([{"lut": 2, "ff": 1}, {"lut": 3}])
    {'lut': 5, 'ff': 1, 'dsp': 0, 'bram_18k': 0}
    """
    return {name: sum(row.get(name, 0) for row in rows) for name in RESOURCES}
