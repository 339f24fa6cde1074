"""The command deadlock: what it says of a design that runs, and of one that does not."""

import logging
import re
import shutil
from pathlib import Path

import pytest

from hls.cpp.accelerators import STREAMING
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import published_folding
from hls.simulate import threads
from models.files.errors import PipelineError
from models.integer.params import save_int_params
from stages import generate_headers, plan
from stages.by_hand import deadlock
from tests.support.hls_build import builds, quick_stages  # noqa: F401 - fixtures
from tests.support.paths import ROOT

DESIGN, NAME = "relu_h96_stream", "relu_h96"  # rows of params.yaml; sizes play no part here
LOG = Path(f"data/designs/{DESIGN}/deadlock.log")


@pytest.fixture
def sizes(tmp_path, monkeypatch, random_network):
    """Go to a pipeline folder with a small network and its headers; return the sizes."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    network = random_network(seed=1, tables=True, num_patches=8, embed_dim=12, hidden_dim=20)
    save_int_params(network, f"data/{NAME}/int8.pkl")
    generate_headers.main(NAME)
    return Sizes.of(network)


def write_plan(sizes, **depths):
    folding = published_folding(sizes)
    depths = {**size_fifos(streaming_network(sizes, folding)).depths, **depths}
    plan.write_plan(DESIGN, Design(NAME, STREAMING, sizes, folding, depths), "")
    return depths


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_a_design_as_planned_runs_and_its_fifos_are_shown(sizes, caplog):
    depths = write_plan(sizes)
    with caplog.at_level(logging.INFO):
        deadlock.main(DESIGN)
    assert f"{DESIGN}: 4 images passed, no deadlock" in caplog.text
    row = r"\| blocks_1_token_mixer_shortcut +\| (\d+) +\| (\d+) +\|"
    most, depth = map(int, re.search(row, caplog.text).groups())
    assert 0 < most <= depth == depths["token_mixer_shortcut"]
    assert not LOG.exists()


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_who_waits_in_a_deadlock_is_named(sizes, monkeypatch):
    """The depth is changed behind the compiler's back, which would refuse it."""
    write_plan(sizes)
    run = threads.run
    small = {"token_mixer_shortcut": 3}
    monkeypatch.setattr(threads, "run", lambda *arguments: run(*arguments, small))
    message = (
        f"^{DESIGN} deadlocks: .*blocks_0_duplicate waits for room in blocks_0_token_mixer_shortcut"
        f".*`dvc repro plan@{DESIGN}` .*see {LOG}\\.$"
    )
    with pytest.raises(PipelineError, match=message):
        deadlock.main(DESIGN)
    assert LOG.read_text().count("PROCESS") > 10


@pytest.mark.compiler
@pytest.mark.usefixtures("quick_stages")
def test_a_fifo_that_cannot_work_is_refused_by_the_compiler(sizes):
    write_plan(sizes, mlp_shortcut=3)
    with pytest.raises(PipelineError, match=f"cannot hold it blocks forever; see {LOG}"):
        deadlock.main(DESIGN)


def test_what_is_missing_is_asked_for(sizes):
    with pytest.raises(PipelineError, match=r"design\.json is missing; run `dvc repro plan`"):
        deadlock.main(DESIGN)
    plan.main(DESIGN)
    with pytest.raises(PipelineError, match=r"design\.json was made for .* run `dvc repro plan`"):
        deadlock.main(DESIGN)
    write_plan(sizes)
    Path(f"data/{NAME}/headers/params.hpp").unlink()
    with pytest.raises(PipelineError, match=r"params\.hpp is missing; run `dvc repro generate_h"):
        deadlock.main(DESIGN)


def test_a_simd_design_is_refused(sizes):
    with pytest.raises(PipelineError, match="relu_h96_simd is not a streaming design"):
        deadlock.main("relu_h96_simd")
