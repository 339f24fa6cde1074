"""Read the simulation results of HLS tools: co-simulation report (.rpt) and C-simulation log."""

import re
from dataclasses import dataclass
from pathlib import Path

from hls.synthesize.report_files import count, read_text
from hls.synthesize.reports import Span, checked_span
from models.files.errors import PipelineError

RTL_KINDS = ("VHDL", "Verilog", "SystemC")

_CSIM_DONE = re.compile(r"CSim done with (\d+) errors")
# Lines of the tool and of our test bench that say that it failed.
_CSIM_FAILED = re.compile(
    r"^(@E |ERR: \[SIM|ERROR: \[SIM|MISMATCH\b|FAIL\b)|\bcsim_design' failed", re.MULTILINE
)


@dataclass(frozen=True)
class Cosim:
    """The results of co-simulation, in cycles; `passed` is None if no language was run.

    An interval needs two transactions, so it is None for a test bench with one.
    """

    rtl: str | None
    passed: bool | None
    latency: Span
    interval: Span
    total_cycles: int | None


def read_cosim(path: Path) -> Cosim:
    """Read <top>_cosim.rpt: the row of the language (VHDL, Verilog, SystemC) that was run.

    If several were run, one that failed counts.

    `passed` alone is no proof: a report may say Pass with 0 cycles.
    """
    rows: dict[str, list[str]] = {}
    for line in read_text(path).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] not in RTL_KINDS:
            continue
        if len(cells) not in (8, 9) or cells[0] in rows:  # 8: up to 2019.2, no total cycles
            raise PipelineError(f"{path}: the row of {cells[0]} is not as expected; is it cut off?")
        rows[cells[0]] = cells[1:]
    if not rows:
        raise PipelineError(
            f"{path} is not a co-simulation report: it has no row of {', '.join(RTL_KINDS)}."
        )
    ran = [_cosim(rtl, row, path) for rtl, row in rows.items() if row[0] != "NA"]
    failed = [cosim for cosim in ran if not cosim.passed]
    return (failed or ran or [Cosim(None, None, Span(), Span(), None)])[0]


def csim_passed(log: str) -> bool | None:
    """Return whether C simulation ended without errors; None if the log does not show it.

    A line that says that it failed counts more than its end. The exit status is no proof: batch
    runs are known to return 0 after a failed test bench.
    """
    if _CSIM_FAILED.search(log):
        return False
    found = _CSIM_DONE.findall(log)
    return None if not found else all(errors.strip("0") == "" for errors in found)


def _cosim(rtl: str, row: list[str], path: Path) -> Cosim:
    status, *cells = row
    if status not in ("Pass", "Fail"):
        raise PipelineError(f"{path}: {rtl} is {status[:40]!r}, but must be Pass, Fail or NA.")
    values = [count(cell, f"{path}: a cell of {rtl}") for cell in cells]
    total = values[6] if len(values) > 6 else None
    latency = checked_span(*_three(values[:3]), f"{path}: latency of {rtl}")
    interval = checked_span(*_three(values[3:6]), f"{path}: interval of {rtl}")
    return Cosim(rtl, status == "Pass", latency, interval, total)


def _three(values: list[int | None]) -> tuple[int | None, int | None, int | None]:
    least, average, most = values
    return least, average, most
