"""What is proved of which unit, within which bound, and the faults that each proof must find."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_STREAM = "loses and invents nothing, keeps order and waiting words"


@dataclass(frozen=True)
class Fault:
    """A mistake to plant: the text `old` of the RTL file `file` becomes `new`."""

    name: str
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Property:
    """A check of checks/ with its parameters, over the first `cycles` cycles of every run.

    `says` completes the sentence that the name of the unit begins.
    """

    name: str
    check: str
    cycles: int
    faults: tuple[Fault, ...]
    parameters: Mapping[str, int] = field(default_factory=dict)
    says: str = _STREAM


_NO_SATURATION = Fault("no saturation", "fixed_point.sv", "{7{~sign}}", "{7{sign}}")
_NO_ROUNDING = Fault("no rounding", "fixed_point.sv", "+ (BITS + 1)'(1);", "+ (BITS + 1)'(0);")
_NEXT_BIAS = Fault(
    "bias of the next sum", "fixed_point.sv", "rounded_bias <= coarse_bias", "rounded_bias <= bias"
)
_LOGICAL_SHIFT = Fault("shift without sign", "fixed_point.sv", "sum >>> {", "sum >> {")
_ALL_VALUES = "equals the rule for all sums, shifts and biases"

PROPERTIES = (
    Property(
        "rounding_shift, 24 bits",
        "check_rounding_shift",
        1,
        (_NO_ROUNDING,),
        says="equals floor(v / 2^s + 1/2) for all values and shifts",
    ),
    Property(
        "requantize, 24 bits",
        "check_requantize",
        5,
        (_NO_SATURATION, _NO_ROUNDING, _NEXT_BIAS, _LOGICAL_SHIFT),
        says=_ALL_VALUES,
    ),
    Property(
        "requantize, 16 bits",
        "check_requantize",
        5,
        (_NO_SATURATION,),
        {"BITS": 16},
        says=_ALL_VALUES,
    ),
    Property(
        "interpolate",
        "check_interpolate",
        1,
        (
            _NO_ROUNDING,
            Fault("slope not doubled", "fixed_point.sv", "11'(slope) <<< 1", "11'(slope)"),
        ),
        says="equals the rule for all pairs of knots and remainders",
    ),
    Property(
        "fifo, 4 words",
        "check_fifo",
        13,
        (
            Fault('ignores "full"', "fifo.sv", "count != COUNT_BITS'(WORDS)", "1'b1"),
            Fault(
                "keeps the last word", "fifo.sv", "out_valid = count != 0", "out_valid = count > 1"
            ),
            Fault("one word less", "fifo.sv", "count != COUNT_BITS'(WORDS)", "count < WORDS - 1"),
        ),
        {"DEPTH": 4},
    ),
    Property(
        "fifo, 3 words, block RAM",
        "check_fifo",
        15,
        (
            Fault(
                "overwrites a waiting word",
                "fifo.sv",
                "count != 0 && (!out_valid || out_ready)",
                "count != 0",
            ),
        ),
        {"DEPTH": 3, "SHALLOW": 2, "LATENCY": 1},
    ),
    Property(
        "duplicate",
        "check_duplicate",
        20,
        (
            Fault(
                "ignores a full shortcut",
                "duplicate.sv",
                "en && (!shortcut_valid || shortcut_ready)",
                "en",
            ),
            Fault("drops a waiting word", "duplicate.sv", "!branch_valid || branch_ready", "1'b1"),
        ),
    ),
    Property(
        "pack, 3 to 1",
        "check_pack",
        12,
        (Fault("overwrites a waiting word", "pack.sv", "!out_valid || out_ready", "1'b1"),),
        {"PARTS": 3},
    ),
    Property(
        "unpack, 1 to 3",
        "check_unpack",
        12,
        (Fault("drops the last parts", "unpack.sv", "out_ready && last", "out_ready"),),
        {"PARTS": 3},
    ),
    Property(
        "replay, 4 elements in 2 banks",
        "check_replay",
        16,
        (
            Fault("overwrites a vector", "replay.sv", "!full[into] && !in_pause", "!in_pause"),
            Fault("swaps the banks", "replay.sv", "BANK_BITS'(k)", "BANK_BITS'(1 - k)"),
        ),
        {"INPUTS": 4, "SIMD": 2},
    ),
    Property(
        "replay, 2 elements, hand-over",
        "check_replay",
        15,
        (Fault("a turn too few", "replay.sv", ".LIMIT(TIMES)", ".LIMIT(TIMES - 1)"),),
        {"HANDOVER": 1},
    ),
    Property(
        "replay, 2 elements in registers",
        "check_replay",
        14,
        (Fault("sends it once", "replay.sv", "give && part_last && time_last", "give"),),
        {"SIMD": 2},
    ),
    Property(
        "transpose, 2 x 2",
        "check_transpose",
        18,
        (
            Fault("overwrites a map", "transpose.sv", "in_ready = !full[fill_map]", "in_ready = 1"),
            Fault("starts too early", "transpose.sv", "if (filled) full", "if (fill) full"),
        ),
    ),
    Property(
        "transpose, 2 x 2, 2 lanes",
        "check_transpose",
        14,
        (
            Fault(
                "lane of a later word",
                "transpose.sv",
                "picked_lane <= read_lane",
                "picked_lane <= drain_lane",
            ),
        ),
        {"LANES": 2},
    ),
    Property(
        "transpose, 4 x 2, 2 lanes",
        "check_transpose",
        16,
        (
            Fault(
                "rows of the next map",
                "transpose.sv",
                "fill_map ? '0 : ADDRESS_BITS'(SIZE)",
                "'0",
            ),
        ),
        {"ROWS": 4, "LANES": 2},
    ),
)
