"""Write the RTL of one streaming design and simulate it: every tap, every logit, every cycle.

Writes data/designs/<design>/rtl (resmlp_top.sv, the units and the ROM files, for any tool) and
data/rtl/<design>/metrics.json. Verilator simulates the golden samples with every tap, then
rtl.images test images, then a few with pauses on both ports. One difference fails the stage, and
so does an interval that is not the model's.

Without Verilator the RTL is written, data/rtl/<design> stays empty and a log line says so.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from hls.netlist.netlist import Netlist, netlist
from hls.plan.design import Design, read_design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.simulate import gpp, rtl, verilator
from models.files.atomic import replace_folder
from models.files.errors import PipelineError
from models.files.temporary import temporary_folder
from models.integer.params import IntResMlp, Samples, load_int_params
from stages.pipeline.command import run_design_stage
from stages.pipeline.names import streaming_design_of
from stages.pipeline.params import load_params
from stages.pipeline.paths import artifact, design_artifact, rtl_file
from stages.results.metrics import Metric, write_metrics
from stages.results.simulation_data import golden_samples, write_images

PAUSED_IMAGES = 20  # images that are simulated with pauses on both ports


def write_samples(samples: Samples, folder: Path) -> gpp.ImageFiles:
    """Write the tokens and logits of golden samples as the simulation reads images."""
    files = gpp.ImageFiles(folder / "samples.tokens", folder / "samples.logits", len(samples.input))
    files.tokens.write_bytes(samples.input.astype(np.int8).tobytes())
    files.logits.write_bytes(samples.output.astype(np.int8).tobytes())
    return files


def simulate(
    name: str, variant: str, plan: Design, network: IntResMlp, design: Netlist, log: Path
) -> dict[str, Metric]:
    """Compile and simulate the RTL of one design; return its metrics.

    Raises PipelineError at the first difference between RTL, numpy and the QAT network, and if the
    interval is not the model's.
    """
    params = load_params()
    samples = golden_samples(variant, network, params.csim.samples, variant not in params.variants)
    assert plan.folding is not None and plan.fifo_depths is not None
    model = rtl.modelled(streaming_network(plan.sizes, plan.folding), plan.fifo_depths)
    layers = rtl.taps_of(samples.layers, plan.sizes.num_blocks)
    elements = plan.sizes.num_patches * plan.sizes.patch_dim
    with temporary_folder("rtl") as folder:
        images = write_images(
            variant, params.rtl.images_of(name), folder
        )  # first, as they may be missing
        program = rtl.build(design, elements, params.csim.compiler, folder, log)
        taps = rtl.check_taps(program, write_samples(samples, folder), layers, log)
        found = rtl.run(program, images, log, gpp.default_jobs())
        few = replace(images, count=min(PAUSED_IMAGES, images.count))
        rtl.run(program, few, log, gpp.default_jobs(), rtl.PAUSE)
    if found.interval and found.interval != model.interval:
        raise PipelineError(
            f"{name}: the simulated RTL takes {found.interval} cycles per image, but the model "
            f"says {model.interval}."
        )
    logging.info(
        "%s: RTL equals numpy in %d taps and the QAT network on %d test images; %g cycles per "
        "image (simulated RTL)",
        name,
        taps,
        found.images,
        found.interval,
    )
    return {
        "mismatches": 0,
        "images": found.images,
        "interval_cycles": found.interval,
        "latency_cycles": found.latency,
        "model_latency_cycles": model.latency,
    }


def main(name: str) -> None:
    """Write and simulate the RTL of one design."""
    params = load_params()
    variant = streaming_design_of(params, name).variant
    network = load_int_params(artifact(variant, "int8.pkl"))
    plan = read_design(design_artifact(name, "design.json"), Sizes.of(network))
    if plan.folding is None or plan.fifo_depths is None:
        raise PipelineError(
            f"{design_artifact(name, 'design.json')} is of a {plan.accelerator} design, but {name} "
            f"is a streaming design; run `dvc repro plan@{name}`."
        )
    design = netlist(streaming_network(plan.sizes, plan.folding), plan.fifo_depths, network)
    with replace_folder(design_artifact(name, "rtl")) as folder:
        rtl.write_rtl(design, folder)
    result = rtl_file(name)
    result.unlink(missing_ok=True)
    result.parent.mkdir(parents=True, exist_ok=True)
    if verilator.verilator_folder() is None:
        logging.warning("%s: no Verilator, so the RTL is not simulated; see docs/rtl.md", name)
        return
    log = design_artifact(name, "rtl.log")
    log.unlink(missing_ok=True)
    write_metrics(result, simulate(name, variant, plan, network, design, log))
    log.unlink()


if __name__ == "__main__":
    run_design_stage(main)
