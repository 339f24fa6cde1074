"""The RTL of whole networks equals numpy, and takes the cycles that the model predicts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hls.netlist.netlist import Netlist, netlist
from hls.plan.sizes import Sizes, products
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.dataflow_simulation import Result
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import Fold, Folding, published_folding
from hls.simulate import rtl
from hls.simulate.gpp import ImageFiles
from hls.simulate.verilator import verilator_folder
from models.files.errors import PipelineError
from models.integer import resmlp
from models.integer.params import IntResMlp

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(verilator_folder() is None, reason="needs the Python package verilator"),
]
IMAGES = 6


def folding_of(sizes: Sizes, lanes: int, pe: int, simd: int, handover: int) -> Folding:
    """Return a folding with factors of about `pe` and `simd`, each a divisor of its length."""
    folds = {
        name: Fold(np.gcd(pe, product.outputs).item(), np.gcd(simd, product.inputs).item())
        for name, product in products(sizes).items()
    }
    return Folding(lanes=lanes, handover=handover, **folds)


def designed(network: IntResMlp, folding: Folding) -> tuple[Netlist, Result]:
    """Return the netlist of a design and the model's result for RTL."""
    processes = streaming_network(Sizes.of(network), folding)
    depths = size_fifos(processes).depths
    model = rtl.modelled(processes, depths)
    return netlist(processes, depths, network), model


def files_of(network: IntResMlp, folder: Path) -> tuple[ImageFiles, dict[str, np.ndarray]]:
    """Write random images; return their files and the outputs of all layers by FIFO."""
    sizes, rng = Sizes.of(network), np.random.default_rng(1)
    shape = (IMAGES, sizes.num_patches, sizes.patch_dim)
    tokens = rng.integers(-128, 128, shape, dtype=np.int32)
    layers: dict[str, np.ndarray] = {}
    logits = resmlp.forward(network, tokens, layers.__setitem__)
    files = ImageFiles(folder / "tokens", folder / "logits", IMAGES)
    files.tokens.write_bytes(tokens.astype(np.int8).tobytes())
    files.logits.write_bytes(logits.astype(np.int8).tobytes())
    return files, rtl.taps_of(layers, sizes.num_blocks)


@pytest.mark.parametrize(
    ("tables", "folding"),
    [
        (True, lambda sizes: published_folding(sizes)),
        (False, lambda sizes: folding_of(sizes, lanes=2, pe=3, simd=3, handover=0)),
        (True, lambda sizes: folding_of(sizes, lanes=4, pe=8, simd=4, handover=0)),
    ],
    ids=["published", "lanes 2, PE 3, SIMD 3, ReLU", "lanes 4, PE 8, SIMD 4"],
)
def test_every_tap_and_logit_and_the_interval(
    tmp_path: Path,
    random_network: Callable[..., IntResMlp],
    runtime: list[Path],
    tables: bool,
    folding: Callable[[Sizes], Folding],
) -> None:
    sizes = {"patch_dim": 12, "num_patches": 8, "embed_dim": 12, "hidden_dim": 24}
    blocks = 2 if tables else 1
    network = random_network(3, **sizes, num_blocks=blocks, num_classes=5, tables=tables)
    log = tmp_path / "log"
    design, model = designed(network, folding(Sizes.of(network)))
    program = rtl.build(design, 12 * 8, "g++", tmp_path, log, "-O0", runtime)
    files, layers = files_of(network, tmp_path)
    assert rtl.check_taps(program, files, layers, log) >= 7 * blocks + 2
    found = rtl.run(program, files, log)
    assert found.images == IMAGES
    assert found.interval == model.interval
    for name, mark in found.high_water.items():
        assert mark <= model.high_water[name] + 6, name
    assert rtl.run(program, files, log, jobs=2, pause=rtl.PAUSE).images == IMAGES

    wrong = np.frombuffer(files.logits.read_bytes(), dtype=np.int8).copy()
    wrong[7] ^= 1
    files.logits.write_bytes(wrong.tobytes())
    with pytest.raises(PipelineError, match="image 1 logit 2"):
        rtl.run(program, files, log)
    layers["blocks_0_mlp_linear_2"] = layers["blocks_0_mlp_linear_2"] ^ 1
    files.logits.write_bytes(layers["logits"].astype(np.int8).tobytes())
    with pytest.raises(PipelineError, match="blocks_0_mlp_linear_2"):
        rtl.check_taps(program, files, layers, log)
