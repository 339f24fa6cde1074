"""The boards that a design may be for: those of AMD's tools, and those of the open tools."""

from dataclasses import dataclass

ZYNQ, MPSOC, ALVEO, ECP5 = "zynq", "mpsoc", "alveo", "ecp5"


@dataclass(frozen=True)
class Board:
    """One board: its FPGA, the clock period in ns for the accelerator, and what Vivado calls it.

    `kind` is the processor beside the logic: zynq (Zynq-7000), mpsoc (Zynq UltraScale+), alveo
    (none: a PCIe card), or ecp5 (none). `vendor_name` is Vivado's board part without its version,
    or the Vitis platform of a card.
    """

    name: str
    title: str
    kind: str
    part: str
    clock_ns: float
    vendor_name: str

    @property
    def clock_mhz(self) -> int:
        """The clock frequency in MHz."""
        return round(1000 / self.clock_ns)


BOARDS = {
    board.name: board
    for board in (
        Board(
            "pynq-z2", "PYNQ-Z2", ZYNQ, "xc7z020clg400-1", 10.0, "tul.com.tw:pynq-z2:part0"
        ),
        Board(
            "kv260", "Kria KV260", MPSOC, "xck26-sfvc784-2LV-c", 5.0,
            "xilinx.com:kv260_som:part0",
        ),
        Board(
            "u50", "Alveo U50", ALVEO, "xcu50-fsvh2104-2-e", 5.0,
            "xilinx_u50_gen3x16_xdma_5_202210_1",
        ),
    )
}  # fmt: skip

# Their gates and routing are those of the stages gates and route, so `board` writes no folder.
OPEN_BOARDS = {
    board.name: board
    for board in (Board("ulx3s", "ULX3S-85F", ECP5, "LFE5U-85F-6BG381C", 10.0, ""),)
}
