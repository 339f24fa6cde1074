"""Count the gates of one design: Yosys synthesises the RTL of the stage rtl for two families.

Writes data/metrics/gates/<design>/metrics.json (LUTs, registers, DSPs and 18-kbit block RAMs for an
ECP5 and an UltraScale+, the tool and its version) and data/designs/<design>/gates: units.md, with a
row per unit and the estimate beside, and the ECP5's netlist for the stage route.

Without Yosys both folders stay empty and a log line says so.
"""

import gzip
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from hls.gates.cells import FAMILIES, RESOURCES, Counts
from hls.gates.tools import INSTALL, YOSYS, tool_path, version
from hls.gates.yosys import NETLIST, Synthesis, synthesise
from models.files.atomic import replace_folder
from models.files.errors import PipelineError
from models.files.temporary import temporary_folder
from stages.pipeline.command import run_design_stage
from stages.pipeline.names import streaming_design_of
from stages.pipeline.params import load_params
from stages.pipeline.paths import design_artifact, gates_file, metrics
from stages.results.markdown import markdown
from stages.results.metrics import Metric, read_metrics, write_metrics

ROUTED = "ecp5"  # the family that nextpnr routes
TITLES = {"ecp5": "ECP5", "xcup": "UltraScale+"}
ESTIMATE = {"lut": "estimate_lut", "dsp": "estimate_dsp", "bram_18k": "estimate_bram_18k"}


def units_table(synthesis: Synthesis, family: str, estimate: Mapping[str, Metric]) -> str:
    """Return a Markdown table: a row per unit, the total, and the estimate of the plan."""
    lines = [(f"{TITLES[family]}, Yosys", *RESOURCES)]
    rows: dict[str, Counts] = {**synthesis.units, "total": synthesis.total}
    for name, counts in rows.items():
        lines.append((name, *(str(counts[resource]) for resource in RESOURCES)))
    guesses = (estimate.get(ESTIMATE.get(resource, "")) for resource in RESOURCES)
    lines.append(("estimate of the plan", *("-" if g is None else str(g) for g in guesses)))
    return markdown(lines)


def count(name: str, yosys: str, folder: Path, log: Path) -> dict[str, Metric]:
    """Synthesise a design for each family; write units.md and the netlist into `folder`."""
    rtl = design_artifact(name, "rtl")
    estimate = read_metrics(metrics("model", name))
    values: dict[str, Metric] = {"tool": version(yosys, "-V", log)}
    tables = []
    for family in FAMILIES:
        with temporary_folder("gates") as temporary:
            work = temporary / family
            shutil.copytree(rtl, work)
            found = synthesise(yosys, work, family, log, with_netlist=family == ROUTED)
            if family == ROUTED:
                text = (work / NETLIST).read_bytes()
                (folder / f"{NETLIST}.gz").write_bytes(gzip.compress(text, mtime=0))
        values |= {f"{family}_{resource}": found.total[resource] for resource in RESOURCES}
        tables.append(units_table(found, family, estimate))
    (folder / "units.md").write_text("\n".join(tables))
    logging.info("%s (%s):\n%s", name, values["tool"], "\n".join(tables))
    return values


def main(name: str) -> None:
    """Count the gates of one design."""
    streaming_design_of(load_params(), name)
    rtl = design_artifact(name, "rtl")
    if not any(rtl.glob("*.sv")):
        raise PipelineError(f"{rtl} has no RTL; run `python stages rtl {name}` first.")
    folder, result = design_artifact(name, "gates"), gates_file(name)
    yosys, log = tool_path(YOSYS), design_artifact(name, "gates.log")
    log.unlink(missing_ok=True)
    values: dict[str, Metric] = {}
    with replace_folder(folder) as new:
        if yosys is not None:
            values = count(name, yosys, new, log)
    result.unlink(missing_ok=True)
    result.parent.mkdir(parents=True, exist_ok=True)
    if yosys is None:
        logging.warning("%s: no Yosys, so its gates are not counted; %s", name, INSTALL)
        return
    write_metrics(result, values)
    log.unlink()


if __name__ == "__main__":
    run_design_stage(main)
