"""Compare the estimated resources of a design with those of its part: percent, and whether it fits.

All used numbers are estimates from before synthesis. LUTs include logic only where the estimate has
them; registers (FF) are not estimated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hls.plan.figures import Table
from hls.plan.parts import PARTS, Part, available

# Title, attribute of Part, and the keys of the figures that hold the estimate, the best one first.
RESOURCES = (
    ("LUT", "lut", ("estimate_lut", "estimate_lut_memory")),
    ("FF", "ff", ("estimate_ff",)),
    ("DSP", "dsp", ("estimate_dsp",)),
    ("BRAM 18 kbit", "bram_18k", ("estimate_bram_18k",)),
    ("URAM", "uram", ("estimate_uram",)),
)
NOT_ESTIMATED = "not estimated"
MEMORIES_ONLY = "estimate_lut_memory"  # these LUTs exclude logic


@dataclass(frozen=True)
class Use:
    """One resource: what the design uses (estimate; None: not estimated) and what the part has.

    `available` is None if the part is unknown.
    """

    name: str
    used: int | None
    available: int | None

    @property
    def percent(self) -> float | None:
        """Percent of the part that the design uses, None if either number is unknown."""
        if self.used is None or not self.available:
            return None
        return 100 * self.used / self.available

    @property
    def fits(self) -> bool:
        """Whether the part has as much as is used, as far as both numbers are known."""
        return self.used is None or self.available is None or self.used <= self.available


def uses(figures: Mapping[str, int | str], part: str) -> list[Use]:
    """Return the use of every resource by a design with these figures (hls.plan.figures)."""
    device = available(part)
    found = []
    for title, attribute, keys in RESOURCES:
        key = next((key for key in keys if key in figures), None)
        name = f"{title} of memories" if key == MEMORIES_ONLY else title
        used = None if key is None else int(figures[key])
        has = getattr(device, attribute) if device else None
        if used is not None or attribute != "uram":  # no design asks for URAM yet
            found.append(Use(name, used, has))
    return found


def verdict(found: list[Use], part: str) -> str:
    """Return "fits", or the resources that do not, or "unknown part".

    >>> verdict([Use("DSP", 8_706, 5_952), Use("LUT", 5, 10)], "xcu50")
    'does not fit: DSP 146 %'
    """
    if available(part) is None:
        return "unknown part"
    excess = [_excess(use) for use in found if not use.fits]
    return f"does not fit: {', '.join(excess)}" if excess else "fits"


def fit_table(found: list[Use], part: str) -> Table:
    """Return the table of used and available resources of a part."""
    table: Table = [(f"{part}, estimate", "used", "available", "percent")]
    for use in found:
        percent = "-" if use.percent is None else f"{use.percent:.0f}"
        used = NOT_ESTIMATED if use.used is None else str(use.used)
        table.append(
            (use.name, used, "-" if use.available is None else str(use.available), percent)
        )
    return table


def fit_sentence(found: list[Use], part: str) -> str:
    """Return the sentence below the table: whether the design fits, and what that rests on."""
    device = available(part)
    if device is None:
        known = ", ".join(known.device for known in PARTS)
        return f"The resources of the part {part} are not in hls/plan/parts.py, which has {known}."
    return f"{part} ({device.board}): {verdict(found, part)}{_basis(found, device)}."


def _excess(use: Use) -> str:
    return (
        f"{use.name} {use.percent:.0f} %" if use.percent is not None else f"{use.name} {use.used}"
    )


def _basis(found: list[Use], device: Part) -> str:
    without_logic = any(use.name.endswith("of memories") for use in found)
    logic = ", logic of LUTs not counted" if without_logic else ""
    small = "; its LUTs have 4 inputs, the estimate counts LUTs with 6" * (device.lut_inputs < 6)
    return f" (estimate{logic}; {device.source}{small})"
