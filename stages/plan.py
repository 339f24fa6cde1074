"""Plan one design (a key of params.yaml `designs`): folding, FIFO depths, cycles, resources.

Nothing needs to be trained or built: `python -m stages.plan NAME` prints the table. Writes
data/designs/<design>/design.json and headers/design.hpp beside it, and
data/metrics/model/<design>.json, where `model` marks what is simulated and `estimate` what is
reckoned; neither was measured on an FPGA.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict

from hls.cpp.accelerators import SIMD, STREAMING
from hls.headers.design import design_text
from hls.plan.design import Design
from hls.plan.estimate import Usage, total
from hls.plan.simd import cycles as simd_model
from hls.plan.simd import resources as simd_resources
from hls.plan.sizes import Sizes
from hls.plan.streaming import resources
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import Sizing, size_fifos
from hls.plan.streaming.folding import Folding, published_folding
from hls.plan.streaming.folding_solver import fold_for_dsp, fold_for_rate
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
from stages.results.metrics import Metric, write_metrics

COLORS = 3
KNOWN_CLASSES = {"cifar10": 10, "digits": 10}  # a folder must be counted
USAGE_TITLES = ("copies", "multipliers", "DSP", "DSP, paired", "LUT of memories", "BRAM 18 kbit")


def sizes_of(params: Params, variant: str) -> Sizes:
    """Return the sizes that the network of a variant will have, or that an imported one has."""
    if variant not in params.variants:
        return Sizes.of(load_int_params(artifact(variant, "int8.pkl")))
    network = params.variant(variant).network
    patch = params.network.patch_size
    return Sizes(
        patch_dim=COLORS * patch**2,
        num_patches=(IMAGE_SIZE // patch) ** 2,
        embed_dim=params.network.embed_dim,
        hidden_dim=network.hidden_dim,
        num_blocks=params.network.num_blocks,
        num_classes=_num_classes(params.data.source),
        has_tables=activation_spec(network.activation).tabulated,
    )


def check_fan_in(params: Params, variant: str) -> None:
    """Refuse a network whose products add up more than the hardware's sums hold exactly.

    PipelineError names the key. Networks that were imported are checked when they are read.
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


def folding_of(design: DesignRow, sizes: Sizes, clock_ns: float) -> Folding:
    """Return the folding that a row of params.yaml asks for; PipelineError if there is none."""
    target = design.target
    if target is not None and target.dsp is not None:
        return fold_for_dsp(sizes, target.dsp)
    if target is not None and target.images_per_second is not None:
        return fold_for_rate(sizes, target.images_per_second, clock_ns)
    if isinstance(design.folding, FoldingFactors):
        return Folding.from_dict(asdict(design.folding))
    return published_folding(sizes)


def plan_streaming(
    design: DesignRow, sizes: Sizes, clock_ns: float
) -> tuple[Design, dict[str, Metric], str]:
    """Return the plan of a streaming design, its metrics and a text of its tables."""
    folding = folding_of(design, sizes, clock_ns)
    network = streaming_network(sizes, folding)
    sizing = size_fifos(network)
    usage = resources.usage(sizes, folding, network, sizing.depths)
    result = sizing.result
    stages = limiting_stages(result.limiting)
    figures = _cycle_metrics(result.interval, result.latency, clock_ns, stages)
    figures |= _resource_metrics(usage)
    plan = Design(design.variant, STREAMING, sizes, folding, sizing.depths)
    return plan, figures, f"{_layer_table(usage, folding)}\n{_fifo_table(sizing)}"


def plan_simd(
    design: DesignRow, sizes: Sizes, clock_ns: float
) -> tuple[Design, dict[str, Metric], str]:
    """Return the plan of a SIMD design: one image per call, so the interval is the latency."""
    assert design.array is not None
    model = simd_model.cycles(sizes, design.array)
    usage = simd_resources.usage(sizes, design.array)
    slowest = max(model.parts, key=lambda name: model.parts[name])
    figures = _cycle_metrics(model.total, model.total, clock_ns, slowest)
    figures |= _resource_metrics(usage)
    lines = [("part", "cycles of a call of one image, model")]
    lines += [(name, f"{cycles}") for name, cycles in model.parts.items()]
    lines += [("total", f"{model.total}"), ("each further image of a call", f"{model.interval}")]
    plan = Design(design.variant, SIMD, sizes, array=design.array)
    return plan, figures, f"{_part_table(usage)}\n{markdown(lines)}"


def limiting_stages(processes: Sequence[str]) -> str:
    """Return the layers behind process names; in a balanced design the matrix products alone."""
    names = [re.sub(r"^blocks_\d+_", "", name) for name in processes]
    layers = [re.sub(r"_(pack|matrix_vector|pack_groups|unpack)$", "", name) for name in names]
    matrices = [name for name in layers if name.endswith(("linear", "linear_1", "linear_2"))]
    return ", ".join(dict.fromkeys(matrices or layers))


def _num_classes(source: str) -> int:
    if source in KNOWN_CLASSES:
        return KNOWN_CLASSES[source]
    return len(Dataset.load(DATASET).class_names)


def _cycle_metrics(
    interval: int, latency: int, clock_ns: float, limiting: str
) -> dict[str, Metric]:
    return {
        "model_interval_cycles": interval,
        "model_latency_cycles": latency,
        "model_images_per_second": round(1e9 / clock_ns / interval),
        "model_limiting_stage": limiting,
    }


def _resource_metrics(usage: list[Usage]) -> dict[str, Metric]:
    sums = total(usage)
    return {
        "estimate_multipliers": sums.multipliers,
        "estimate_dsp": sums.dsp,
        "estimate_dsp_paired": sums.dsp_paired,
        "estimate_lut_memory": sums.lut_memory,
        "estimate_bram_18k": sums.bram,
    }


def _layer_table(usage: list[Usage], folding: Folding) -> str:
    lines: list[tuple[str, ...]] = [("layer, estimate", "PE x SIMD", *USAGE_TITLES)]
    for row in (*usage, total(usage)):
        fold = getattr(folding, row.layer, None)
        factors = f"{fold.pe} x {fold.simd}" if fold else "-"
        lines.append((row.layer, factors, *_usage_cells(row)))
    return markdown(lines)


def _part_table(usage: list[Usage]) -> str:
    lines: list[tuple[str, ...]] = [("part, estimate", *USAGE_TITLES)]
    lines += [(row.layer, *_usage_cells(row)) for row in (*usage, total(usage))]
    return markdown(lines)


def _usage_cells(row: Usage) -> tuple[str, ...]:
    keys = ("copies", "multipliers", "dsp", "dsp_paired", "lut_memory", "bram")
    return tuple(f"{getattr(row, key)}" for key in keys)


def _fifo_table(sizing: Sizing) -> str:
    lines = [("FIFO, model", "high-water mark, words", "depth with margin, words")]
    for kind, depth in sizing.depths.items():
        lines.append((kind, f"{sizing.high_water[kind]}", f"{depth}"))
    return markdown(lines)


def _figure_table(design: str, figures: dict[str, Metric]) -> str:
    return markdown([("figure", design), *((key, f"{value}") for key, value in figures.items())])


def write_plan(name: str, plan: Design, text: str) -> None:
    """Write what the later stages read, and the tables."""
    files = {"design.json": plan.to_text(), "plan.md": text}
    files["headers/design.hpp"] = design_text(plan)
    for file, content in files.items():
        with replace_on_success(design_artifact(name, file)) as temporary:
            temporary.write_text(content)


def main(name: str) -> None:
    """Plan one design, show and write it."""
    params = load_params()
    design = design_of(params, name)
    check_fan_in(params, design.variant)
    sizes = sizes_of(params, design.variant)
    plan_of = plan_streaming if design.accelerator == STREAMING else plan_simd
    try:
        plan, figures, tables = plan_of(design, sizes, params.hls.clock_ns)
    except PipelineError as error:
        raise PipelineError(f"params.yaml: designs.{name}: {error}") from None
    text = f"{_figure_table(name, figures)}\n{tables}"
    logging.info("%s", text)
    write_plan(name, plan, text)
    write_metrics(metrics("model", name), figures)


if __name__ == "__main__":
    run_design_stage(main)
