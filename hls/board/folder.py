"""Write the folder that an engineer takes to the machine with Vivado or Vitis, and to the board.

    hls/                  HLS project: kernel, test bench, run.tcl; package.tcl packs the kernel
    design.tcl            Zynq: block design and bitstream        link.cfg, movers/   Alveo
    Makefile, README.md   the steps
    host.py, driver.py    classify, check, throughput
    network.json, input_lut.npy, golden.npz, parameters.bin (SIMD)   what the host needs

All of it is written to a new folder. Nothing here has run on a board.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hls.board.boards import ALVEO, Board
from hls.board.templates import TEMPLATES, filled
from hls.cpp.accelerators import SIMD, STREAMING
from hls.headers.simd_parameters import parameter_words
from hls.plan.design import Design
from hls.plan.simd.program import Program
from hls.synthesize.project import Manifest, Sources, accelerator_sources, write_project
from hls.synthesize.project_texts import SynthesisTarget
from models.files.errors import PipelineError
from models.integer.params import IntResMlp

AXIS = "resmlp_axis"  # the streaming kernel of a board; the SIMD one is its accelerator's top
MOST_LANES = 128  # the streams of a DMA have 8 to 1024 bits, a power of two
MOVERS = ("mm2s.cpp", "s2mm.cpp")


@dataclass(frozen=True)
class Golden:
    """Golden samples: int8 tokens [n, patches, patch_dim] and logits [n, classes].

    `images` are the uint8 images [n, height, width, 3] that the tokens come from, if known.
    """

    tokens: npt.NDArray[np.int8]
    logits: npt.NDArray[np.int8]
    images: npt.NDArray[np.uint8] | None


@dataclass(frozen=True)
class Content:
    """What a board folder is made from.

    `headers` are the generated headers of network, design and test bench. `interval` is the model's
    cycles per image. `fit` is the sentence on the resources of the board's part.
    """

    name: str
    design: Design
    network: IntResMlp
    golden: Golden
    headers: tuple[Path, ...]
    interval: int
    fit: str


def write_folder(folder: Path, board: Board, content: Content, target: SynthesisTarget) -> None:
    """Write the folder of a design for a board.

    `target` has the board's part and clock. Raises PipelineError if the folder exists and is not
    empty, or if a stream of the design has no width that a DMA can have.
    """
    check_lanes(content.design)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise PipelineError(
            f"{folder} exists and is not empty; remove it or name another folder with --output."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        complete = Path(temporary) / folder.name
        complete.mkdir()
        _fill(complete, board, content, target)
        if folder.exists():
            folder.rmdir()
        complete.rename(folder)


def check_lanes(design: Design) -> None:
    """Raise PipelineError if the stream of tokens has no width that an AXI DMA can have."""
    if design.folding is None:
        return
    lanes = design.folding.lanes
    if lanes & (lanes - 1) or lanes > MOST_LANES:
        raise PipelineError(
            f"The design has lanes = {lanes}, but the streams of a DMA have 1, 2, 4 ... "
            f"{MOST_LANES} int8 elements per word; choose such lanes in its folding."
        )


def kernel_of(design: Design) -> str:
    """Return the name of the kernel, the top function of the folder's HLS project."""
    return AXIS if design.accelerator == STREAMING else "resmlp_simd"


def board_sources(design: Design, *generated: Path) -> Sources:
    """Return the C++ files of the kernel of a board and its test bench."""
    sources = accelerator_sources(design.accelerator, *generated)
    if design.accelerator == SIMD:
        return sources
    axis = TEMPLATES / "axis"
    headers = [path for path in sources.headers if path.name != "driver.hpp"]
    headers += [*sources.design, axis / "resmlp_axis.hpp", axis / "driver.hpp"]
    return replace(sources, top=AXIS, design=(axis / "resmlp_axis.cpp",), headers=tuple(headers))


def settings_of(board: Board, content: Content) -> dict[str, Any]:
    """Return network.json: the sizes that the host needs, and the model's rate."""
    design, sizes = content.design, content.design.sizes
    settings: dict[str, Any] = {
        "name": content.name,
        "network": design.variant,
        "accelerator": design.accelerator,
        "board": board.name,
        "num_patches": sizes.num_patches,
        "patch_dim": sizes.patch_dim,
        "num_classes": sizes.num_classes,
        "clock_mhz": board.clock_mhz,
        "model_images_per_second": round(1e6 * board.clock_mhz / content.interval),
    }
    if design.folding is not None:
        return {**settings, "lanes": design.folding.lanes}
    assert design.array is not None
    program = Program(sizes, *design.array)
    return {
        **settings,
        "columns": program.columns,
        "token_words": program.token_words,
        "logit_words": program.logit_words,
    }


def _fill(folder: Path, board: Board, content: Content, target: SynthesisTarget) -> None:
    sources = board_sources(content.design, *content.headers)
    manifest = write_project(folder / "hls", content.name, sources, target)
    names = _names(board, content, manifest)
    kind = "alveo" if board.kind == ALVEO else "zynq"
    texts = {
        "README.md": filled(f"{kind}/README.md", names, prose=True),
        "Makefile": filled(f"{kind}/Makefile", names),
        "hls/package.tcl": filled("package.tcl", names),
        "hls/README.md": "Generated with the folder above; its README.md has the steps.\n",
        "network.json": json.dumps(settings_of(board, content), indent=2) + "\n",
    }
    streaming = content.design.accelerator == STREAMING
    if board.kind != ALVEO:
        texts["design.tcl"] = filled("zynq/design.tcl", names)
    else:
        texts["link.cfg"] = filled(f"alveo/link_{'stream' if streaming else 'simd'}.cfg", names)
        if streaming:
            texts |= {f"movers/{file}": filled(f"movers/{file}", {}) for file in MOVERS}
            texts["movers/run.tcl"] = filled("movers/run.tcl", names)
    for file, text in texts.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    runtime = "xrt" if board.kind == ALVEO else "pynq"
    host = TEMPLATES / "host"
    shutil.copyfile(host / "host.py", folder / "host.py")
    driver = f"{runtime}_{'stream' if streaming else 'simd'}.py"
    shutil.copyfile(host / driver, folder / "driver.py")
    _write_arrays(folder, content)


def _write_arrays(folder: Path, content: Content) -> None:
    golden, lut = content.golden, content.network.input_lut
    arrays: dict[str, npt.NDArray[Any]] = {"tokens": golden.tokens, "logits": golden.logits}
    if golden.images is not None and lut is not None:
        arrays["images"] = golden.images
    np.savez(folder / "golden.npz", **arrays)  # type: ignore[arg-type]
    if lut is not None:
        np.save(folder / "input_lut.npy", lut.astype(np.int8), allow_pickle=False)
    if content.design.array is not None:
        words = parameter_words(content.network, content.design.array)
        (folder / "parameters.bin").write_bytes(words.tobytes())


def _names(board: Board, content: Content, manifest: Manifest) -> Mapping[str, str | int]:
    """Return the values of the names in the templates."""
    design = content.design
    kernel, streaming = kernel_of(design), design.accelerator == STREAMING
    lanes = design.folding.lanes if design.folding else 0
    xo = f"{kernel}.xo"
    ports = ("M_AXI_MM2S", "M_AXI_S2MM")
    simd_ports = ("m_axi_parameters", "m_axi_images", "m_axi_logits")
    memory = [f"axi_dma_0/{port}" for port in ports]
    if not streaming:
        memory = [f"{kernel}_0/{port}" for port in simd_ports]
    movers = ["movers/mm2s.xo", "movers/s2mm.xo"] if streaming else []
    return {
        "NAME": content.name,
        "NETWORK": design.variant,
        "BOARD": board.name,
        "TITLE": board.title,
        "KIND": board.kind,
        "PART": board.part,
        "BOARD_PART": board.vendor_name,
        "PLATFORM": board.vendor_name,
        "CLOCK_MHZ": board.clock_mhz,
        "CLOCK_NS": f"{board.clock_ns:g}",
        "KERNEL": kernel,
        "PROJECT": manifest.project,
        "EXPORT": f"-format xo -output {xo}" if board.kind == ALVEO else "-format ip_catalog",
        "IP_FOLDER": f"hls/{manifest.project}/solution/impl/ip",
        "TOKEN_BITS": 8 * lanes,
        "MEMORY_PORTS": " ".join(memory),
        "MOVERS": "movers" if movers else "",
        "XO_FILES": " ".join([f"hls/{xo}", *movers]),
        "RATE": settings_of(board, content)["model_images_per_second"],
        "INTERVAL": content.interval,
        "FIT": content.fit,
    }
