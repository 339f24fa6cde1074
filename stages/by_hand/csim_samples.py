"""Compile one design and compare its golden samples layer by layer; needs no data set.

Does what the stage csim does, without the test images: the samples are drawn images, so this runs
in a fresh clone after `dvc pull`, or wherever int8.pkl, the headers and the plan are. Writes
data/designs/<design>/golden, the same files as csim, from which `python stages synthesize NAME`
writes the project for the HLS tool. Writes no metrics.
"""

from dataclasses import replace

from stages.csim import simulate
from stages.pipeline.command import run_design_stage
from stages.pipeline.names import design_of
from stages.pipeline.params import load_params
from stages.pipeline.paths import design_artifact


def main(name: str) -> None:
    """Run the golden samples of one design; PipelineError quotes the first difference."""
    params = load_params()
    variant = design_of(params, name).variant
    log = design_artifact(name, "csim.log")
    log.unlink(missing_ok=True)
    settings = replace(params.csim, images=0)
    simulate(name, variant, settings, log, imported=variant not in params.variants)
    log.unlink(missing_ok=True)


if __name__ == "__main__":
    run_design_stage(main)
