"""Whether a design fits its part, by estimate: used and available resources, percent, a verdict.

A part that is nearly full does not route at the clock that was asked for. The shares are those at
which Vivado's report_failfast warns (UltraFast guide, UG949): 70 % of the LUTs, 80 % of DSPs and
block RAMs. The open tools have no such rule: nextpnr routed 141 of an ECP5's 156 DSPs, so all of
them count there. Registers (FF) are not estimated.
"""

from collections.abc import Mapping

from hls.plan.figures import Table
from hls.plan.parts import available, is_amd, part_of

ROUTABLE = {"lut": 0.7, "dsp": 0.8, "bram_18k": 0.8}
ROUTABLE_BY_OPEN_TOOLS = {"lut": 0.7, "dsp": 1.0, "bram_18k": 1.0}
NOT_ESTIMATED = "not estimated"

_NAMES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM 18k"}  # rows of the table
_MEMORIES = "estimate_lut_memory"  # the LUTs of an estimate that has no logic


def routable(part: str) -> Mapping[str, float]:
    """Return the share of each resource up to which a design is said to fit a part."""
    return ROUTABLE if is_amd(part) else ROUTABLE_BY_OPEN_TOOLS


def used(figures: Mapping[str, int | str]) -> dict[str, int]:
    """Return the LUTs, DSPs and 18-kbit block RAMs among the figures of a plan (estimate)."""
    return {
        name: int(figures[f"estimate_{name}" if f"estimate_{name}" in figures else _MEMORIES])
        for name in ROUTABLE
    }


def shortages(figures: Mapping[str, int | str], part: str) -> dict[str, str]:
    """Return what is short, in words, by resource; empty if the design fits or the part is unknown.

    `figures` are those of a plan.
    """
    has = available(part)
    if has is None:
        return {}
    return {
        name: f"{_NAMES[name]} {count:,} of {has[name]:,} ({100 * count / has[name]:.0f} %)"
        for name, count in used(figures).items()
        if count > routable(part)[name] * has[name]
    }


def verdict(figures: Mapping[str, int | str], part: str) -> str | None:
    """Return "yes", or "no: " and what is short; None if the part is unknown."""
    if available(part) is None:
        return None
    short = shortages(figures, part)
    return f"no: {', '.join(short.values())}" if short else "yes"


def fit_table(figures: Mapping[str, int | str], part: str) -> Table:
    """Return used and available resources and percent; a dash where the part is unknown."""
    has, counts = available(part), used(figures)
    table: Table = [
        (f"{part}, estimate", "used", "available", "percent", "routable up to, percent")
    ]
    for name, title in _NAMES.items():
        count = counts.get(name)
        percent = None if count is None or has is None else 100 * count / has[name]
        table.append(
            (
                title,
                NOT_ESTIMATED if count is None else str(count),
                "-" if has is None else str(has[name]),
                "-" if percent is None else f"{percent:.0f}",
                f"{100 * routable(part)[name]:.0f}" if name in ROUTABLE else "-",
            )
        )
    return table


def fit_sentence(figures: Mapping[str, int | str], part: str) -> str:
    """Return the sentence below the table: whether the design fits, and what that rests on."""
    device = part_of(part)
    if device is None:
        return f"The part {part} is not in hls/plan/parts.py, so nobody knows whether this fits."
    short = shortages(figures, part)
    says = f"does not fit: {', '.join(short.values())}" if short else "fits"
    logic = "" if "estimate_lut" in figures else ", LUTs of memories only"
    small = "; its LUTs have 4 inputs, the estimate counts LUTs with 6" * (device.lut_inputs < 6)
    return f"{part} ({device.board}): {says} (estimate{logic}; {device.source}{small})."
