"""Place and route one design on an ECP5 with nextpnr, and write its bitstream.

Reads the netlist of the stage gates and the interval that Verilator counted (stage rtl). Writes
data/designs/<design>/route/resmlp_top.bit and data/metrics/route/<design>/metrics.json: the routed
clock, what is used of the part, the path that limits the clock, and images/s, which are the routed
clock divided by the interval. The figures are nextpnr's; nothing was measured on an FPGA. nextpnr
chooses the pins.

Without nextpnr, or without a netlist, both folders stay empty and a log line says so.
"""

import gzip
import logging
import shutil
import zlib
from pathlib import Path

from hls.gates import nextpnr
from hls.gates.tools import ECPPACK, INSTALL, NEXTPNR, tool_path, version
from hls.gates.yosys import NETLIST
from models.files.atomic import replace_folder
from models.files.errors import PipelineError, one_line
from models.files.temporary import temporary_folder
from stages.pipeline.command import run_design_stage
from stages.pipeline.names import streaming_design_of
from stages.pipeline.params import Gates, load_params
from stages.pipeline.paths import design_artifact, route_file, rtl_file
from stages.results.metrics import Metric, read_metrics, write_metrics


def route(name: str, tools: tuple[str, str], gates: Gates, folder: Path) -> dict[str, Metric]:
    """Route one design with nextpnr and ecppack (`tools`); write the bitstream into `folder`."""
    log = design_artifact(name, "route.log")
    log.unlink(missing_ok=True)
    fpga = nextpnr.fpga_of(gates.part)
    assert fpga is not None, gates.part  # load_params checks it
    values: dict[str, Metric] = {"tool": version(tools[0], "--version", log), "part": gates.part}
    with temporary_folder("route") as work:
        netlist = work / NETLIST
        packed = design_artifact(name, "gates") / f"{NETLIST}.gz"
        try:
            netlist.write_bytes(gzip.decompress(packed.read_bytes()))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise PipelineError(
                f"{packed} is damaged ({one_line(error)}); run `python stages gates {name}` again."
            ) from error
        found = nextpnr.place_and_route(tools[0], netlist, fpga, gates.clock_mhz, log)
        shutil.copy(nextpnr.write_bitstream(tools[1], work, log), folder)
    values |= {"routed_clock_mhz": found.clock_mhz, "asked_clock_mhz": gates.clock_mhz}
    values |= {f"used_{kind}": count for kind, count in found.used.items()}
    values |= {f"available_{kind}": count for kind, count in found.available.items()}
    values["critical_path"] = found.critical_path
    interval = read_metrics(rtl_file(name)).get("interval_cycles")
    if interval:
        values["routed_images_per_second"] = round(1e6 * found.clock_mhz / interval)
    else:
        logging.warning("%s: its RTL was not simulated, so no rate is computed", name)
    log.unlink()
    return values


def main(name: str) -> None:
    """Route one design."""
    params = load_params()
    streaming_design_of(params, name)
    folder, result = design_artifact(name, "route"), route_file(name)
    program, packer = tool_path(NEXTPNR), tool_path(ECPPACK)
    absent = None
    if program is None or packer is None:
        absent = "no nextpnr"
    elif not (design_artifact(name, "gates") / f"{NETLIST}.gz").is_file():
        absent = "Yosys has made no netlist"
    values: dict[str, Metric] = {}
    with replace_folder(folder) as new:
        if program is not None and packer is not None and absent is None:
            values = route(name, (program, packer), params.gates, new)
    result.unlink(missing_ok=True)
    result.parent.mkdir(parents=True, exist_ok=True)
    if absent is not None:
        logging.warning("%s: %s, so it is not routed; %s", name, absent, INSTALL)
        return
    write_metrics(result, values)
    logging.info(
        "%s: %.1f MHz on %s (nextpnr, routed; not run on an FPGA), limited %s",
        name,
        values["routed_clock_mhz"],
        params.gates.part,
        values["critical_path"],
    )


if __name__ == "__main__":
    run_design_stage(main)
