"""The FPGA and clock that a design is for: its board's, or those of the section hls."""

from dataclasses import dataclass

from hls.board.boards import BOARDS, OPEN_BOARDS
from stages.pipeline.designs import DesignRow
from stages.pipeline.params import Hls


@dataclass(frozen=True)
class Device:
    """A part by its full name, and the clock period in ns."""

    part: str
    clock_ns: float


def device_of(hls: Hls, row: DesignRow) -> Device:
    """Return the part and the clock of a row of `designs`."""
    if row.board is None:
        return Device(hls.part, hls.clock_ns)
    board = (BOARDS | OPEN_BOARDS)[row.board]
    return Device(board.part, board.clock_ns)
