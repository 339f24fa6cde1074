"""The command csim_samples: C simulation and HLS project of a clone that has no data set."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hls.cpp.accelerators import STREAMING
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import published_folding
from models.files.errors import PipelineError
from models.integer.params import load_samples, save_int_params
from stages import csim, generate_headers, plan, synthesize
from stages.by_hand import csim_samples
from stages.pipeline.params import load_params
from tests.support.hls_build import builds, quick_stages  # noqa: F401 - fixtures
from tests.support.paths import ROOT

DESIGN, NAME = "relu_h96_stream", "relu_h96"  # rows of params.yaml; sizes play no part here
SIZES = {"patch_dim": 8 * 8 * 3, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12}


@pytest.fixture
def folder(tmp_path, monkeypatch, random_network):
    """Go to a folder with what `dvc pull` brings of a small design: integers, headers, plan."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    network = random_network(seed=3, **SIZES, num_classes=10, tables=True, input_lut=True)
    save_int_params(network, f"data/{NAME}/int8.pkl")
    generate_headers.main(NAME)
    sizes = Sizes.of(network)
    folding = published_folding(sizes)
    depths = size_fifos(streaming_network(sizes, folding)).depths
    plan.write_plan(DESIGN, Design(NAME, STREAMING, sizes, folding, depths), "")
    return Path(f"data/designs/{DESIGN}")


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_samples_and_project_need_no_data_set(folder, caplog):
    with caplog.at_level(logging.INFO):
        csim_samples.main(DESIGN)
    assert caplog.messages == [f"{DESIGN}: C++ equals numpy on 8 golden samples"]
    assert not Path("data/dataset.npz").exists() and not Path("data/metrics").exists()
    assert {path.name for path in folder.iterdir()} == {
        *{"design.json", "plan.md", "headers", "golden"}  # and no csim.log
    }
    assert len(load_samples(folder / "golden" / "samples.pkl").input) == 8
    params = load_params()
    project = synthesize.write_design_project(DESIGN, params.designs[DESIGN], params.hls)
    assert (project / "src" / "golden.hpp").read_bytes() == (
        folder / "golden" / "golden.hpp"
    ).read_bytes()


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_a_difference_is_named_and_leaves_its_log(folder, monkeypatch):
    golden_samples = csim.golden_samples

    def with_a_wrong_logit(*arguments, **settings):
        samples = golden_samples(*arguments, **settings)
        output = samples.output.copy()
        output[2, 4] ^= 1
        return replace(samples, output=output)

    monkeypatch.setattr(csim, "golden_samples", with_a_wrong_logit)
    message = r"MISMATCH samples_output, image 2, token 0, channel 4: .*csim\.log"
    with pytest.raises(PipelineError, match=message):
        csim_samples.main(DESIGN)
    assert (folder / "csim.log").exists()
