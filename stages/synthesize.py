"""Synthesise the C++ of one design (a key of `designs` in params.yaml), or read existing reports.

Writes data/designs/<design>/project, a self-contained project for the HLS tool. The tool's figures
go to data/synthesis/<design>/metrics.json (clock, cycles, resources), what differs from the model
and the estimate to comparison.json beside it, and the figures per module and loop to
data/designs/<design>/synthesis_tables.json. The last successful run of the tool is stored in
data/designs/<design>/synthesis, its log in synthesis.log next to that folder.

If no tool is installed, data/synthesis/<design> stays empty and a log line says so. Earlier figures
of exactly the same sources stay there. hls.require_tool makes a missing tool an error.
"""

import json
import logging
from pathlib import Path

from hls.headers.check import checked_golden, checked_headers
from hls.plan.design import read_design
from hls.plan.parts import is_amd
from hls.plan.sizes import Sizes
from hls.synthesize import tool
from hls.synthesize.comparison import compare
from hls.synthesize.metrics import origin, synthesis_metrics, synthesis_tables
from hls.synthesize.project import (
    MANIFEST,
    Manifest,
    accelerator_sources,
    read_manifest,
    write_project,
)
from hls.synthesize.project_texts import SynthesisTarget
from hls.synthesize.results import Measured, read_brought_back
from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.integer.params import load_int_params, load_samples
from models.integer.sample_check import check_samples
from stages.pipeline.command import run_design_stage
from stages.pipeline.designs import DesignRow
from stages.pipeline.device import device_of
from stages.pipeline.names import design_of
from stages.pipeline.params import Hls, load_params
from stages.pipeline.paths import (
    artifact,
    comparison_file,
    design_artifact,
    metrics,
    synthesis_file,
)
from stages.results.metrics import read_metrics, write_json, write_metrics

REPORTS = "read the reports in this project folder, brought back from where the tool is"


def target_of(settings: Hls, design: DesignRow) -> SynthesisTarget:
    """Return the synthesis target of a design: the section `hls`, part and clock of its board."""
    device = device_of(settings, design)
    return SynthesisTarget(
        part=device.part,
        clock_ns=device.clock_ns,
        flow_target=settings.flow_target,
        clock_uncertainty=settings.clock_uncertainty,
        cosim=settings.cosim,
        export=settings.export,
    )


def measure(name: str, project: Path, settings: Hls, reports: Path | None) -> Measured | None:
    """Run the tool on a project folder, or read `reports`; None if no tool is there.

    `name` is the design whose folder receives the log and the run. Raises PipelineError if the tool
    is missing and required, or if it fails.
    """
    if reports is not None:
        return read_brought_back(reports, read_manifest(project / MANIFEST))
    if not is_amd(read_manifest(project / MANIFEST).target.part):
        return None
    front_end = tool.find_tool(settings.tool)
    if front_end is not None:
        log, folder = design_artifact(name, "synthesis.log"), design_artifact(name, "synthesis")
        return tool.run(front_end, project, folder, log, settings.timeout_minutes)
    if settings.require_tool:
        raise PipelineError(
            f"{tool.absent(settings.tool)} Source its settings64.sh, or set hls.require_tool to "
            "false in params.yaml."
        )
    return None


def synthesize(name: str, project: Path, settings: Hls, reports: Path | None = None) -> None:
    """Measure the project of the design `name` and write the figures.

    Results of an earlier run are replaced only when new results exist. If no tool is installed,
    they stay if they belong to the same sources, part and clock; otherwise they are removed.
    """
    manifest = read_manifest(project / MANIFEST)
    measured = measure(name, project, settings, reports)
    figures = synthesis_file(name)
    details = design_artifact(name, "synthesis_tables.json")
    earlier = measured is None and _is_measured(figures, manifest)
    if measured is not None or not (earlier and details.is_file()):
        with replace_on_success(details) as temporary:
            temporary.write_text(json.dumps(synthesis_tables(measured), indent=1) + "\n")
    if measured is not None:
        result = synthesis_metrics(measured, manifest)
        if result["note"]:
            logging.warning("%s: %s", name, result["note"])
        write_metrics(figures, {key: value for key, value in result.items() if value is not None})
        _write_comparison(name, measured)
    elif earlier:
        logging.info("%s: no tool here; the earlier figures of these sources stay", name)
    else:
        part = manifest.target.part
        reason = tool.absent(settings.tool) if is_amd(part) else f"Vitis HLS does not know {part}."
        logging.warning("%s: %s", name, reason)
        figures.parent.mkdir(parents=True, exist_ok=True)
        for file in (figures, comparison_file(name)):
            file.unlink(missing_ok=True)


def _write_comparison(name: str, measured: Measured) -> None:
    """Compare the figures with those of the plan; write and log what differs."""
    design = read_design(design_artifact(name, "design.json"))
    result = compare(measured, design, read_metrics(metrics("model", name)))
    write_json(comparison_file(name), result.to_json())
    for sentence in result.differences:
        logging.warning("%s: %s", name, sentence)


def _is_measured(path: Path, manifest: Manifest) -> bool:
    """Return whether a metrics file has figures of the same sources, part, flow and clock."""
    try:
        earlier = read_metrics(path)
    except PipelineError:  # a damaged file is written again
        return False
    return "tool" in earlier and origin(manifest).items() <= earlier.items()


def write_design_project(name: str, design: DesignRow, settings: Hls) -> Path:
    """Write the project folder of one design from its headers and the data of its test bench.

    The tool will compile and run them, so each must be what the pipeline writes for the integers of
    the network. Raises PipelineError if one is missing or differs.
    """
    network = load_int_params(artifact(design.variant, "int8.pkl"))
    plan = read_design(design_artifact(name, "design.json"), Sizes.of(network))
    folders = artifact(design.variant, "headers"), design_artifact(name, "headers")
    headers = checked_headers(folders, network, plan)
    golden = design_artifact(name, "golden")
    samples = load_samples(golden / "samples.pkl")
    check_samples(samples, network, golden / "samples.pkl")
    data = checked_golden(golden, samples, network, plan)
    sources = accelerator_sources(design.accelerator, *headers, *data)
    project = design_artifact(name, "project")
    write_project(project, name, sources, target_of(settings, design))
    return project


def main(name: str, reports: Path | None = None) -> None:
    """Synthesise one design, or read the reports of a run on another machine."""
    params = load_params()
    project = write_design_project(name, design_of(params, name), params.hls)
    synthesize(name, project, params.hls, reports)


if __name__ == "__main__":
    run_design_stage(main, {"reports": REPORTS})
