"""Write the folder that takes one design to a board: bitstream scripts, host code, golden samples.

Boards: those of hls/board/boards.py. A streaming design gets a kernel with AXI4-Streams and TLAST,
a SIMD design its memory ports; a Zynq board a block design and a PYNQ driver, an Alveo card link
configuration and XRT host. Needs the headers, the plan and the golden samples of the design (`dvc
pull`, or the stages up to csim_samples), no data set and no tool. README.md in the folder has the
steps; none of them has been run on a board.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from hls.board.boards import BOARDS, Board
from hls.board.folder import Content, Golden, write_folder
from hls.cpp.accelerators import SIMD
from hls.headers.network import header_files
from hls.plan.design import read_design
from hls.plan.fit import ROUTABLE, fit_sentence, shortages
from hls.plan.parts import available
from hls.plan.sizes import Sizes
from models.files.errors import PipelineError
from models.integer.params import load_int_params
from stages.pipeline.command import guarded
from stages.pipeline.designs import DesignRow
from stages.pipeline.names import design_of
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import artifact, design_artifact, metrics
from stages.pipeline.sample_images import sample_images
from stages.results.metrics import read_metrics
from stages.results.simulation_data import golden_samples
from stages.synthesize import target_of

FOLDERS = Path("build/boards")


def board_of(row: DesignRow, wanted: str | None, name: str) -> Board:
    """Return the board that the command line or the design names; PipelineError if neither does."""
    chosen = wanted or row.board
    if chosen is None:
        raise PipelineError(
            f"{name} has no board; name one with --board ({', '.join(BOARDS)}), or in params.yaml: "
            f"designs.{name}.board."
        )
    if chosen not in BOARDS:
        raise PipelineError(
            f"{name} is for {chosen}, whose tools are Yosys and nextpnr (docs/rtl.md); name a "
            f"board of AMD's tools with --board ({', '.join(BOARDS)})."
        )
    return BOARDS[chosen]


def content_of(params: Params, name: str, row: DesignRow, board: Board) -> Content:
    """Read what the folder is made from; PipelineError names what is missing and how to make it."""
    network = load_int_params(artifact(row.variant, "int8.pkl"))
    design = read_design(design_artifact(name, "design.json"), Sizes.of(network))
    simd = design.accelerator == SIMD
    folders = artifact(row.variant, "headers"), design_artifact(name, "headers")
    headers = header_files(*folders, with_params=not simd)
    for file in ("golden.hpp", "parameters.hpp") if simd else ("golden.hpp",):
        path = design_artifact(name, "golden") / file
        if not path.is_file():
            raise PipelineError(f"{path} is missing; run `python stages csim_samples {name}`.")
        headers.append(path)
    imported = row.variant not in params.variants
    samples = golden_samples(row.variant, network, params.csim.samples, imported)
    golden = Golden(
        samples.input.astype(np.int8),
        samples.output.astype(np.int8),
        None if imported else sample_images(params.csim.samples),
    )
    figures = read_metrics(metrics("model", name))
    numbers = {key: value for key, value in figures.items() if type(value) is int}
    interval = numbers.get("model_interval_cycles", 0)
    if interval < 1:
        raise PipelineError(
            f"{metrics('model', name)} has no model_interval_cycles; run "
            f"`python stages plan {name}`."
        )
    short = shortages(numbers, board.part)
    if short:
        words = ", ".join(short.values())
        logging.warning("%s does not fit (estimate): %s.%s", name, words, _advice(row, board))
    fit = fit_sentence(numbers, board.part)
    return Content(name, design, network, golden, tuple(headers), interval, fit)


def main(name: str, wanted: str | None = None, output: Path | None = None) -> None:
    """Write the folder of one design."""
    params = load_params()
    row = design_of(params, name)
    board = board_of(row, wanted, name)
    content = content_of(params, name, row, board)
    target = replace(
        target_of(params.hls, replace(row, board=board.name)),
        flow_target="vitis" if board.kind == "alveo" else "vivado",
        cosim=False,
        export="none",
    )
    folder = output or FOLDERS / f"{name}-{board.name}"
    write_folder(folder, board, content, target)
    logging.info("%s: take it to the machine with the tools; README.md has the steps", folder)


def _advice(row: DesignRow, board: Board) -> str:
    if row.accelerator == SIMD:
        return " Choose a smaller array."
    has = available(board.part)
    assert has is not None  # a test has every board's part in the table
    budget = int(ROUTABLE["dsp"] * has["dsp"])
    return f" A design of its own, with `target: {{dsp: {budget}}}, board: {board.name}`, may fit."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", help="a key under `designs` in params.yaml")
    parser.add_argument("--board", choices=list(BOARDS), help="default: the board of the design")
    parser.add_argument("--output", metavar="DIR", type=Path, help=f"default: {FOLDERS}/...")
    arguments = parser.parse_args()
    guarded(lambda: main(arguments.design, arguments.board, arguments.output))
