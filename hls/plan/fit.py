"""Whether a design fits its part, by estimate.

A part that is nearly full seldom routes at the clock that was asked for. The shares are the
guidelines of Vivado's fail-fast report: 70 % of the LUTs, 80 % of DSPs and block RAMs.
"""

from collections.abc import Mapping

from hls.plan.parts import available

ROUTABLE = {"lut": 0.7, "dsp": 0.8, "bram_18k": 0.8}
_NAMES = {"lut": "LUT", "dsp": "DSP", "bram_18k": "BRAM 18k"}


def used(figures: Mapping[str, int | str]) -> dict[str, int]:
    """Return the LUTs, DSPs and 18-kbit block RAMs among the figures of a plan (estimate)."""
    return {name: int(figures[f"estimate_{name}"]) for name in ROUTABLE}


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
        if count > ROUTABLE[name] * has[name]
    }


def verdict(figures: Mapping[str, int | str], part: str) -> str | None:
    """Return "yes", or "no: " and what is short; None if the part is unknown."""
    if available(part) is None:
        return None
    short = shortages(figures, part)
    return f"no: {', '.join(short.values())}" if short else "yes"
