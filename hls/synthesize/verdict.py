"""Judge the figures of a run by one set of rules, whatever report they come from.

    identity   top function, part, clock, uncertainty and flow of a report are those of the design;
               otherwise it is refused
    clock      C synthesis must reach the period less the uncertainty (the tool's own "slack");
               Vivado must reach the period. The numbers count, not what the report calls itself
    resources  what is used must be there, in the estimate and in Vivado's report
    steps      every step that the design asks for has left its report

A missed clock, a full part and a missing step are notes: the figures are real, but the design
cannot be built as it is. A report calls such a design a success.
"""

from dataclasses import dataclass
from pathlib import Path

from hls.synthesize.project import Manifest
from hls.synthesize.reports import RESOURCES, Csynth, Export, Resources
from hls.synthesize.simulation_reports import Cosim
from models.files.errors import PipelineError

ROUNDING_NS = 0.0101  # target and uncertainty have two decimals in a report of C synthesis


@dataclass(frozen=True)
class Clock:
    """A period that was reached (ns, None: unknown) and the one that it must not exceed."""

    reached_ns: float | None
    allowed_ns: float
    says_met: bool | None = None  # what the report says, if it says anything

    @property
    def slack_ns(self) -> float | None:
        """What is left of the allowed period; negative if it is missed."""
        return None if self.reached_ns is None else round(self.allowed_ns - self.reached_ns, 4)

    @property
    def is_met(self) -> bool | None:
        """Whether the clock is met, by its number and by the report; None if neither is known."""
        if self.says_met is False:
            return False
        return self.says_met if self.slack_ns is None else self.slack_ns >= -ROUNDING_NS


def clock_of_csynth(csynth: Csynth, manifest: Manifest) -> Clock:
    """Return the clock of C synthesis: period less uncertainty is allowed."""
    period = manifest.target.clock_ns
    uncertainty = csynth.clock_uncertainty_ns
    if uncertainty is None:
        uncertainty = period * (manifest.target.clock_uncertainty or 0) / 100
    return Clock(csynth.top.clock_estimated_ns, round(period - uncertainty, 4))


def clock_of_export(export: Export, manifest: Manifest) -> Clock:
    """Return the clock that Vivado reached: the period is allowed."""
    return Clock(export.clock_ns, manifest.target.clock_ns, export.timing_met)


def check_identity(path: Path, report: Csynth | Export, manifest: Manifest) -> None:
    """Raise PipelineError if a report is of another top function, part, clock or flow.

    An item that the report does not have is not compared.
    """
    target = manifest.target
    top = report.top.name if isinstance(report, Csynth) else report.top
    if top is not None:
        belongs(path, "top function", top, manifest.top)
    if report.part is not None:
        belongs(path, "part", _plain(report.part), _plain(target.part), report.part)
    _same_period(path, "clock", report.clock_target_ns, target.clock_ns)
    if isinstance(report, Csynth):
        if target.clock_uncertainty is not None:
            asked = target.clock_ns * target.clock_uncertainty / 100
            _same_period(path, "clock uncertainty", report.clock_uncertainty_ns, asked)
        if report.flow_target is not None:
            belongs(path, "flow target", report.flow_target, target.flow_target)


def belongs(path: Path, what: str, found: str, wanted: str, shown: str | None = None) -> None:
    """Raise PipelineError, which names the report and both values, unless they are equal."""
    if found != wanted:
        raise PipelineError(
            f"{path} is of another design: its {what} is {(shown or found)[:80]}, but must be "
            f"{wanted}."
        )


def notes(
    csynth: Csynth, csim: bool | None, cosim: Cosim | None, export: Export | None, design: Manifest
) -> list[str]:
    """Return a sentence for each missed clock, exceeded resource and missing step."""
    target, found = design.target, []
    clock = clock_of_csynth(csynth, design)
    if clock.is_met is None:
        found.append("The report of C synthesis does not say which clock it reaches.")
    elif not clock.is_met:
        found.append(
            f"The estimated clock of {clock.reached_ns:g} ns misses the {clock.allowed_ns:g} ns "
            f"that {target.clock_ns:g} ns leave after the uncertainty: slack {clock.slack_ns:g} ns."
        )
    found += _exceeded("", csynth.top.used, csynth.available, target.part)
    if csim is None:
        found.append("There is no log of C simulation.")
    if cosim is None and target.cosim:
        found.append("There is no report of the co-simulation that the design asks for.")
    if export is None and target.export != "none":
        found.append(f"There is no report of the export {target.export} that the design asks for.")
    if export is not None:
        reached = clock_of_export(export, design)
        if reached.is_met is None:
            found.append("Vivado's report does not say which clock it reaches.")
        elif not reached.is_met:
            period = "" if reached.reached_ns is None else f": {reached.reached_ns:g}"
            found.append(f"Vivado misses the clock{period} of {target.clock_ns:g} ns.")
        if target.export not in ("none", export.kind):
            found.append(f"Vivado's report is of {export.kind}, not of {target.export}.")
        found += _exceeded("Vivado: ", export.used, export.available, target.part)
    return found


def _exceeded(who: str, used: Resources, available: Resources, part: str) -> list[str]:
    pairs = [(name, used.get(name), available.get(name)) for name in RESOURCES]
    return [
        f"{who}{name.upper()} {have} exceeds the {most} of {part}."
        for name, have, most in pairs
        if have is not None and most is not None and have > most
    ]


def _same_period(path: Path, what: str, found: float | None, wanted: float) -> None:
    if found is not None and abs(found - wanted) > ROUNDING_NS:
        belongs(path, what, f"{found:g} ns", f"{wanted:g} ns")


def _plain(part: str) -> str:
    return part.replace("-", "").lower()
