"""Run the C++ of one design on golden samples and test images and compare every value.

The output of each layer on the golden samples must equal numpy's, and the logits of the test images
must equal those of the QAT network. One difference fails the stage and leaves
data/designs/<design>/csim.log.

Writes data/designs/<design>/golden (golden.hpp, samples.pkl and, for a SIMD design, parameters.hpp
with the content of its parameter memory) and data/metrics/csim/<design>.json. The folder contains
no images of the data set, so it can be published.
"""

import logging
from pathlib import Path

from hls.headers.check import GOLDEN_FILES, check_folder, checked_headers
from hls.headers.golden import golden_text
from hls.headers.simd_parameters import parameters_text
from hls.plan.design import Design, read_design
from hls.plan.sizes import Sizes
from hls.simulate import gpp
from models.files.atomic import replace_on_success
from models.files.temporary import temporary_folder
from models.integer.params import IntResMlp, Samples, load_int_params, save_samples
from stages.pipeline.command import run_design_stage
from stages.pipeline.names import design_of
from stages.pipeline.params import Csim, load_params
from stages.pipeline.paths import artifact, design_artifact, metrics
from stages.results.metrics import Metric, write_metrics
from stages.results.simulation_data import golden_samples, write_images


def write_test_data(name: str, plan: Design, network: IntResMlp, samples: Samples) -> Path:
    """Write the samples and the headers that only the test bench includes; return their folder."""
    folder = design_artifact(name, "golden")
    check_folder(folder, GOLDEN_FILES)
    save_samples(samples, folder / "samples.pkl")
    texts = {"golden.hpp": golden_text(samples)}
    if plan.array is not None:
        texts["parameters.hpp"] = parameters_text(network, plan.array)
    for file, text in texts.items():
        with replace_on_success(folder / file) as temporary:
            temporary.write_text(text)
    return folder


def simulate(
    name: str, variant: str, settings: Csim, log: Path, imported: bool
) -> dict[str, Metric]:
    """Compile and run the test bench of one design; return its metrics.

    The run raises PipelineError on any mismatch, so `mismatches` is always 0.
    """
    network = load_int_params(artifact(variant, "int8.pkl"))
    plan = read_design(design_artifact(name, "design.json"), Sizes.of(network))
    samples = golden_samples(variant, network, settings.samples, imported)
    folders = artifact(variant, "headers"), design_artifact(name, "headers")
    checked_headers(folders, network, plan)
    headers = [*folders, write_test_data(name, plan, network, samples)]
    with temporary_folder("csim") as folder:
        # The images first: they may be missing, and the compiler takes a minute.
        images = write_images(variant, settings.images, folder) if settings.images else None
        binary = gpp.build(settings.compiler, headers, folder, log, accelerator=plan.accelerator)
        count = gpp.simulate(binary, log, images, gpp.default_jobs())
    tested = f" and the QAT network on {count} test images" if count else ""
    logging.info("%s: C++ equals numpy on %d golden samples%s", name, len(samples.input), tested)
    return {
        "mismatches": 0,
        "images": count,
    }


def main(name: str) -> None:
    """Run the C simulation of one design."""
    params = load_params()
    variant = design_of(params, name).variant
    log = design_artifact(name, "csim.log")
    log.unlink(missing_ok=True)
    imported = variant not in params.variants
    result = simulate(name, variant, params.csim, log, imported)
    write_metrics(metrics("csim", name), result)
    log.unlink(missing_ok=True)


if __name__ == "__main__":
    run_design_stage(main)
