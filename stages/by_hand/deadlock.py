"""Run the C++ of a streaming design (a key of `designs`) as threads to check it for deadlocks.

Every dataflow process is a thread, and every FIFO has the depth of its STREAM pragma
(hls/simulate/threads.py), so this checks the FIFO depths of `plan` on the C++ itself. Four random
images pass through the design one after another, and their logits must equal numpy's. Requires `dvc
repro generate_headers` and the plan, but no FPGA tool.

Prints the high-water mark of each FIFO in this run; it depends on how the threads were scheduled.
Leaves no files, except data/designs/<design>/deadlock.log after a failure.
"""

import logging
from pathlib import Path

import numpy as np

from hls.cpp.accelerators import STREAMING
from hls.headers.check import checked_headers
from hls.plan.design import read_design
from hls.plan.sizes import Sizes
from hls.simulate import gpp, threads
from models.files.errors import PipelineError
from models.files.temporary import temporary_folder
from models.integer import resmlp as int_resmlp
from models.integer.params import IntResMlp, load_int_params
from stages.pipeline.command import run_design_stage
from stages.pipeline.names import design_of
from stages.pipeline.params import load_params
from stages.pipeline.paths import artifact, design_artifact
from stages.results.markdown import markdown

IMAGES = 4


def write_images(network: IntResMlp, folder: Path) -> gpp.ImageFiles:
    """Write int8 tokens and logits of random images."""
    shape = (IMAGES, network.num_patches, network.patch_dim)
    tokens = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int32)
    files = gpp.ImageFiles(folder / "tokens.bin", folder / "logits.bin", IMAGES)
    files.tokens.write_bytes(tokens.astype(np.int8).tobytes())
    files.logits.write_bytes(int_resmlp.forward(network, tokens).astype(np.int8).tobytes())
    return files


def check(name: str, variant: str, compiler: str, log: Path) -> threads.Outcome:
    """Compile and run the threads of one design; PipelineError names the blocked processes."""
    network = load_int_params(artifact(variant, "int8.pkl"))
    design = read_design(design_artifact(name, "design.json"), Sizes.of(network))
    headers = artifact(variant, "headers"), design_artifact(name, "headers")
    checked_headers(headers, network, design)
    with temporary_folder("deadlock") as folder:
        binary = threads.build(compiler, headers, folder, log)
        outcome = threads.run(binary, log, write_images(network, folder))
    if outcome.deadlock:
        waits = [wait for wait in outcome.waits if wait.lacks == "room"]
        full = [f"{wait.process} waits for room in {wait.fifo}" for wait in waits]
        raise PipelineError(
            f"{name} deadlocks: {', '.join(full)}, and every other process for a word; run "
            f"`dvc repro plan@{name}` to have the FIFOs deep enough; see {log}."
        )
    return outcome


def main(name: str) -> None:
    """Check one design."""
    params = load_params()
    design = design_of(params, name)
    if design.accelerator != STREAMING:
        raise PipelineError(
            f"{name} is not a streaming design: its FIFOs form a single chain, so it cannot "
            "deadlock."
        )
    log = design_artifact(name, "deadlock.log")
    log.unlink(missing_ok=True)
    outcome = check(name, design.variant, params.csim.compiler, log)
    lines = [("FIFO", "words at most", "depth")]
    lines += [
        (fifo, f"{level.high_water}", f"{level.depth}") for fifo, level in outcome.levels.items()
    ]
    logging.info("%s%s: %d images passed, no deadlock", markdown(lines), name, IMAGES)
    log.unlink(missing_ok=True)


if __name__ == "__main__":
    run_design_stage(main)
