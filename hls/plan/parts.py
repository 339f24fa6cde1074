"""What FPGA parts have."""

from collections.abc import Mapping

_PARTS = {  # by the beginning of the name; numbers of the whole device
    "xcu50": {"lut": 872_000, "ff": 1_743_000, "dsp": 5_952, "bram_18k": 2_688},  # AMD DS965
}


def available(part: str) -> Mapping[str, int] | None:
    """Return the LUTs, flip-flops, DSPs and 18-kbit block RAMs of a part; None if it is unknown."""
    return next((has for name, has in _PARTS.items() if part.startswith(name)), None)
