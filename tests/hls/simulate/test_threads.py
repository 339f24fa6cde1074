"""The C++ on bounded, blocking FIFOs, a thread per process, agrees with the simulation."""

import re

import pytest

from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.dataflow_simulation import Deadlock, simulate
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import published_folding
from hls.simulate import gpp, threads
from models.files.errors import PipelineError
from tests.support.hls_design import make_folding, random_folding, write_headers, write_images

pytestmark = pytest.mark.compiler

SIZES = {"patch_dim": 8, "num_patches": 8, "embed_dim": 12, "hidden_dim": 20, "num_classes": 6}
IMAGES = 4


class Check:
    """The check of one design, compiled, and the simulation of the same design."""

    def __init__(self, network, folding, folder, compile_program, images=IMAGES, **depths):
        self.depths = write_headers(network, folder, folding, **depths)
        self.files = write_images(network, folder, images)
        self.log = folder / "log"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gpp, "compile_program", compile_program)
            self.binary = threads.build("g++", [folder], folder, self.log)
        self.network = streaming_network(Sizes.of(network), folding)

    def run(self, **depths):
        return threads.run(self.binary, self.log, self.files, depths)

    def simulation_deadlocks(self, **depths):
        try:
            simulate(self.network, {**self.depths, **depths}, images=self.files.count)
        except Deadlock:
            return True
        return False


def published(network):
    return published_folding(Sizes.of(network))


def unequal(network):
    return make_folding(network, 2, (3, 4, 1, 6, 2), (4, 2, 3, 5, 6))


def drawn(network):
    return random_folding(network, lanes=4, seed=11)


@pytest.fixture(scope="module", params=[published, unequal, drawn])
def check(request, random_network, tmp_path_factory, builds):
    network = random_network(seed=4, tables=True, **SIZES)
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return Check(network, request.param(network), folder, builds.compile_once)


def test_all_images_pass_and_no_word_is_left(check):
    outcome = check.run()
    assert not outcome.deadlock and not outcome.waits
    assert {level.words for level in outcome.levels.values()} == {0}
    depths = {name: level.depth for name, level in outcome.levels.items()}
    for index in range(2):
        for kind in ("token_mixer_shortcut", "mlp_shortcut"):
            assert depths.pop(f"blocks_{index}_{kind}") == check.depths[kind]
    assert set(depths.values()) == {check.depths["link"]}
    assert all(1 <= level.high_water <= level.depth for level in outcome.levels.values())


@pytest.mark.parametrize("shortcut", ["token_mixer_shortcut", "mlp_shortcut"])
def test_simulation_and_threads_deadlock_at_the_same_depths(check, shortcut):
    depth = check.depths[shortcut]
    while not check.simulation_deadlocks(**{shortcut: depth}):
        depth -= 1
    assert depth >= 1, "no depth is too small"
    for words in {1, depth // 2 or 1, depth, depth + 1, depth + 2, check.depths[shortcut]}:
        expected = words <= depth
        assert check.simulation_deadlocks(**{shortcut: words}) == expected
        assert check.run(**{shortcut: words}).deadlock == expected, words


def test_a_deadlock_shows_who_waits_and_what_is_full(check):
    outcome = check.run(token_mixer_shortcut=3)
    assert outcome.deadlock
    assert outcome.levels["blocks_0_token_mixer_shortcut"] == threads.Level(3, 3, 3)
    waits = {(wait.process, wait.lacks, wait.fifo) for wait in outcome.waits}
    full = ("blocks_0_duplicate", "room", "blocks_0_token_mixer_shortcut")
    empty = ("blocks_0_residual", "word", "blocks_0_token_mixer_affine_2")
    assert {full, empty} <= waits
    for wait in outcome.waits:
        level = outcome.levels[wait.fifo]
        assert level.words == (0 if wait.lacks == "word" else level.depth), wait


def test_the_names_of_the_fifos_are_those_of_the_simulation(check):
    simulated = {fifo.name for fifo in check.network.fifos.values() if fifo.kind != "map"}
    assert check.run().levels.keys() == simulated


def test_a_wrong_logit_is_no_completion(check):
    wrong = bytearray(check.files.logits.read_bytes())
    wrong[-1] ^= 1
    path = check.files.logits.with_name("wrong")
    path.write_bytes(wrong)
    files = gpp.ImageFiles(check.files.tokens, path, IMAGES)
    with pytest.raises(PipelineError, match=f"images {IMAGES} mismatches 1 .*see {check.log}"):
        threads.run(check.binary, check.log, files)


def test_files_that_end_early_are_named(check):
    files = gpp.ImageFiles(check.files.tokens, check.files.logits, IMAGES + 1)
    with pytest.raises(PipelineError, match="the files hold fewer images"):
        threads.run(check.binary, check.log, files)


def test_published_sizes_run_with_the_simulated_depths_and_not_with_four_tenths(
    random_network, tmp_path, builds
):
    sizes = {"patch_dim": 48, "num_patches": 64, "embed_dim": 96, "hidden_dim": 96}
    network = random_network(seed=5, tables=True, num_blocks=1, **sizes)
    folding = make_folding(network, 8, (8, 8, 8, 8, 1), (48, 64, 96, 96, 96))
    depths = size_fifos(streaming_network(Sizes.of(network), folding)).depths
    check = Check(network, folding, tmp_path, builds.compile_once, images=3, **depths)
    assert not check.run().deadlock
    scaled = {"token_mixer_shortcut": int(0.4 * depths["token_mixer_shortcut"])}
    assert check.run(**scaled).deadlock
    assert check.simulation_deadlocks(**scaled)


def test_every_stream_between_processes_states_its_depth():
    stated = 0
    paths = {*gpp.SOURCES.glob("common/*.hpp"), *gpp.SOURCES.glob("streaming/*.?pp")}
    paths.remove(gpp.SOURCES / "streaming/driver.hpp")  # the streams of the test bench
    for path in paths:
        text = path.read_text()
        declared = re.findall(r"^ +(?:Stream<[^<>]+>) (.*\(\".*\"\));$", text, re.MULTILINE)
        streams = [name for line in declared for name in re.findall(r"(\w+)\(\"", line)]
        depths = re.findall(
            r"^#pragma HLS STREAM variable = (\w+) depth = Design::\w+$", text, re.M
        )
        assert sorted(streams) == sorted(depths), path.name
        stated += len(depths)
    assert stated > 15
