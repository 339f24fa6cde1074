"""Compare what the HLS tool reports with the model and the estimate of the design.

    loops      each pipelined loop starts an iteration every cycle, and makes as many trips as a
               process of the model; a nest that the tool does not flatten loses cycles
    interval   from one image to the next: co-simulated, else estimated by the tool, against the
               model (at most INTERVAL_PERCENT apart)
    resources  LUT, FF, DSP, block RAM of the tool and of Vivado against the estimate (at most
               RESOURCE_PERCENT apart)

What differs is told in sentences. A difference is no fault of the reports: the model or the C++ is
not what it should be.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hls.plan.design import Design
from hls.plan.streaming.dataflow import streaming_network
from hls.synthesize.reports import Loop, Resources
from hls.synthesize.results import Measured

INTERVAL_PERCENT = 0.5
RESOURCE_PERCENT = 10
_PORTS = ("source", "sink")  # of the model; the tool's design has no process for them
_ESTIMATES = {  # figures of the plan, the first that it has
    "lut": ("estimate_lut", "estimate_lut_memory"),
    "ff": ("estimate_ff",),
    "dsp": ("estimate_dsp",),
    "bram": ("estimate_bram_18k",),
}
_SHOWN = 8  # names or loops in one sentence


@dataclass(frozen=True)
class Comparison:
    """Pairs of figures by name (tool, expected, percent of difference), and what differs."""

    figures: Mapping[str, Mapping[str, float | None]]
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the content of comparison.json."""
        return {**self.figures, "differences": " ".join(self.differences) or "none"}


def compare(measured: Measured, design: Design, plan: Mapping[str, Any]) -> Comparison:
    """Compare a run with its design; `plan` are the figures that the stage plan stored.

    Figures that the run or the plan does not have are left out.
    """
    figures: dict[str, dict[str, float | None]] = {}
    found = list(_loops(measured.csynth.loops, _trips(design)))
    where, interval = _interval(measured)
    expected = plan.get("model_interval_cycles")
    if interval is not None and isinstance(expected, int):
        figures["interval_cycles"] = pair = _pair(interval, expected)
        if abs(pair["percent"] or 0) > INTERVAL_PERCENT:
            found.append(
                f"The interval is {interval} cycles ({where}), the model has {expected} "
                f"({pair['percent']:+g} %)."
            )
    for prefix, who, used in _used(measured):
        for name, keys in _ESTIMATES.items():
            key = next((key for key in keys if _is_count(plan.get(key))), None)
            have = used.get(name)
            if have is None or key is None:
                continue
            figures[f"{prefix}{name}"] = pair = _pair(have, plan[key])
            if pair["percent"] is None or abs(pair["percent"]) > RESOURCE_PERCENT:
                far = "" if pair["percent"] is None else f" ({pair['percent']:+g} %)"
                of_what = " (of memories alone)" if key == "estimate_lut_memory" else ""
                found.append(
                    f"{who} uses {name.upper()} {have}, the estimate is {plan[key]}{of_what}{far}."
                )
    return Comparison(figures, tuple(found))


def _trips(design: Design) -> dict[int, list[str]]:
    """Return the processes of a streaming design by the trips of their loop for one image.

    Empty for a SIMD design: the bounds of its loops are numbers of its program.
    """
    found: dict[int, list[str]] = {}
    if design.folding is not None:
        for process in streaming_network(design.sizes, design.folding).processes:
            if process.name not in _PORTS:
                found.setdefault(process.steps * process.rounds, []).append(process.name)
    return found


def _loops(loops: Collection[Loop], trips: Mapping[int, list[str]]) -> Iterator[str]:
    """Yield a sentence for each loop that is not as the model has it, and each missing loop."""
    by_name = {(loop.module, loop.name): loop for loop in loops}
    made = set()
    for loop in loops:
        if loop.interval.max is None:
            continue  # not pipelined: the loop around one that is
        name = f"The loop {loop.name} of {loop.module}"
        if loop.interval.max > 1:
            yield f"{name} starts an iteration every {loop.interval.max} cycles, the model every 1."
        if "/" in loop.name:
            yield f"{name} is not flattened: each pass fills and drains its pipeline again."
        count = _all_trips(loop, by_name)
        if count is None:
            continue
        made.add(count)
        if trips and count not in trips:
            yield f"{name} makes {count} trips for an image, which no process of the model does."
    missing = {count: names for count, names in trips.items() if count not in made}
    if made and missing:
        shown = [f"{count} ({names[0]})" for count, names in sorted(missing.items())]
        more = ", ..." if len(shown) > _SHOWN else ""
        yield f"No loop makes the trips of these processes: {', '.join(shown[:_SHOWN])}{more}."


def _all_trips(loop: Loop, by_name: Mapping[tuple[str, str], Loop]) -> int | None:
    """Return the trips of a loop for one image: the product of those of the loops around it."""
    count, name = 1, loop.name
    while name:
        around = by_name.get((loop.module, name))
        if around is None or around.trip_count.max is None:
            return None
        count *= around.trip_count.max
        name = name.rpartition("/")[0]
    return count


def _interval(measured: Measured) -> tuple[str, int | None]:
    """Return where the interval comes from, and the best-founded one of the run (cycles)."""
    csynth, cosim = measured.csynth, measured.cosim
    last = csynth.modules[-1] if csynth.modules else None
    places = (
        ("co-simulation", cosim.interval if cosim else None),
        ("C synthesis", csynth.top.interval),
        (f"C synthesis of {last.name}" if last else "", last.interval if last else None),
    )
    for where, span in places:
        value = None if span is None else (span.avg if span.avg is not None else span.max)
        if value:
            return where, value
    return "", None


def _used(measured: Measured) -> Iterator[tuple[str, str, Resources]]:
    yield "", "C synthesis", measured.csynth.top.used
    if measured.export is not None:
        yield "export_", "Vivado", measured.export.used


def _pair(tool: int, expected: int) -> dict[str, float | None]:
    percent = round(100 * (tool / expected - 1), 2) if expected else None
    return {"tool": tool, "expected": expected, "percent": percent if tool != expected else 0.0}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
