"""Plan one design (a key of `designs` in params.yaml): folding, FIFO depths, cycles, resources.

Nothing has to be trained or built before: `python -m stages.plan NAME` prints the tables. Writes
design.json, plan.md and headers/design.hpp to data/designs/<design>/, and
data/metrics/model/<design>.json. There, `model` marks figures from simulating the description of
the design, and `estimate` figures computed from it. None was measured on an FPGA.
"""

import logging
from dataclasses import asdict

from hls.headers.design import design_text
from hls.plan.design import Design
from hls.plan.figures import Plan, Table
from hls.plan.fit import verdict
from hls.plan.simd.plan import plan_simd
from hls.plan.sizes import Sizes
from hls.plan.streaming.binding import BRAM, Binding
from hls.plan.streaming.folding import Folding, published_folding
from hls.plan.streaming.folding_solver import fold_for_dsp, fold_for_rate
from hls.plan.streaming.plan import plan_streaming
from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.float.activations.registry import activation_spec
from models.integer.fixed_point import MAX_FAN_IN
from models.integer.params import load_int_params
from stages.pipeline.command import run_design_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.designs import DesignRow, FoldingFactors
from stages.pipeline.names import design_of
from stages.pipeline.params import IMAGE_SIZE, Params, load_params
from stages.pipeline.paths import DATASET, artifact, design_artifact, metrics
from stages.results.markdown import markdown
from stages.results.metrics import write_metrics

COLORS = 3
KNOWN_CLASSES = {"cifar10": 10, "digits": 10}  # for `folder` the data set is read to count them


def sizes_of(params: Params, variant: str) -> Sizes:
    """Return the sizes of a variant's network, from params.yaml or from an import's integers."""
    if variant not in params.variants:
        return Sizes.of(load_int_params(artifact(variant, "int8.pkl")))
    network = params.variant(variant).network
    patch = params.network.patch_size
    classes = KNOWN_CLASSES.get(params.data.source) or len(Dataset.load(DATASET).class_names)
    return Sizes(
        patch_dim=COLORS * patch**2,
        num_patches=(IMAGE_SIZE // patch) ** 2,
        embed_dim=params.network.embed_dim,
        hidden_dim=network.hidden_dim,
        num_blocks=params.network.num_blocks,
        num_classes=classes,
        has_tables=activation_spec(network.activation).tabulated,
    )


def check_fan_in(params: Params, variant: str) -> None:
    """Raise PipelineError if a sum of products is too long for the hardware to hold exactly.

    The error names the key. Imported networks are checked when they are read.
    """
    if variant not in params.variants:
        return
    lengths = {
        "network.embed_dim": params.network.embed_dim,
        f"variants.{variant}.hidden_dim": params.variant(variant).network.hidden_dim,
    }
    for key, length in lengths.items():
        if length > MAX_FAN_IN:
            raise PipelineError(
                f"params.yaml: {key} is {length}, but must be at most {MAX_FAN_IN} for hardware: "
                "its sums hold so many products."
            )


def folding_of(row: DesignRow, sizes: Sizes, clock_ns: float) -> Folding:
    """Return the folding that a row of params.yaml requests; PipelineError if it is impossible.

    `clock_ns` is the clock period in ns, from which a rate in images/s becomes cycles per image.
    """
    if row.target is not None and row.target.dsp is not None:
        return fold_for_dsp(sizes, row.target.dsp, binding_of(row))
    if row.target is not None and row.target.images_per_second is not None:
        return fold_for_rate(sizes, row.target.images_per_second, clock_ns)
    if isinstance(row.folding, FoldingFactors):
        return Folding.from_dict(asdict(row.folding))
    return published_folding(sizes)


def binding_of(row: DesignRow) -> Binding:
    """Return what a row of params.yaml says its multipliers and tables are built of."""
    return Binding(dsp_share=row.dsp_share, tables=row.tables or BRAM)


def plan_of(row: DesignRow, sizes: Sizes, clock_ns: float, part: str) -> Plan:
    """Return the plan for a row of params.yaml; PipelineError if the design cannot be built.

    `part` is the FPGA; its LUTs and block RAMs decide which memories are built of which.
    """
    if row.array is not None:
        return plan_simd(row.variant, sizes, row.array, clock_ns)
    folding = folding_of(row, sizes, clock_ns)
    return plan_streaming(row.variant, sizes, folding, clock_ns, binding_of(row), part)


def write_plan(name: str, design: Design, text: str) -> None:
    """Write design.json and the header, which later stages read, and the tables as plan.md."""
    files = {
        "design.json": design.to_text(),
        "plan.md": text,
        "headers/design.hpp": design_text(design),
    }
    for file, content in files.items():
        with replace_on_success(design_artifact(name, file)) as temporary:
            temporary.write_text(content)


def main(name: str) -> None:
    """Plan one design, log its tables and write its files."""
    params = load_params()
    row = design_of(params, name)
    check_fan_in(params, row.variant)
    sizes = sizes_of(params, row.variant)
    try:
        plan = plan_of(row, sizes, params.hls.clock_ns, params.hls.part)
    except PipelineError as error:
        raise PipelineError(f"params.yaml: designs.{name}: {error}") from None
    values: dict[str, float | int | str | bool | None] = {**plan.figures}
    fits = verdict(plan.figures, params.hls.part)
    if fits is not None:
        values["estimate_fits"] = fits
    figures: Table = [("figure", name), *((key, str(value)) for key, value in values.items())]
    text = "\n".join(markdown(table) for table in (figures, *plan.tables))
    logging.info("%s", text)
    write_plan(name, plan.design, text)
    if fits is not None and fits != "yes":
        short = fits.removeprefix("no: ")
        logging.warning(
            "designs.%s does not fit %s (estimate): %s; beyond 70 %% of the LUTs or 80 %% of the "
            "DSPs or block RAMs routing seldom succeeds.",
            name,
            params.hls.part,
            short,
        )
    write_metrics(metrics("model", name), values)


if __name__ == "__main__":
    run_design_stage(main)
