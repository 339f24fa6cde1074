"""The command board: the folder's files, its host code on a simulated board, its scripts."""

import ast
import contextlib
import importlib.util
import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hls.board import folder as board_folder
from hls.board.boards import BOARDS
from hls.cpp.accelerators import SIMD, STREAMING
from hls.headers.simd_parameters import parameter_words
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.simulate import gpp
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params, save_int_params
from stages import csim, generate_headers, plan
from stages.by_hand import board
from stages.pipeline.designs import DesignRow
from stages.pipeline.paths import metrics
from stages.pipeline.sample_images import sample_images
from stages.results.metrics import write_metrics
from tests.support import board_simulators
from tests.support.hls_build import builds  # noqa: F401 - fixture
from tests.support.hls_design import make_folding
from tests.support.paths import ROOT
from tests.support.vivado_stand_in import Vivado, kernel_ports

NAME, STREAM, ARRAY = "relu_h96", "relu_h96_stream", "relu_h96_simd"  # rows; sizes are ours
SIZES = {"patch_dim": 8 * 8 * 3, "num_patches": 16, "embed_dim": 8, "hidden_dim": 12}
LANES = 2
FIGURES = {
    "model_interval_cycles": 2000,
    "estimate_dsp": 100,
    "estimate_lut": 1000,
    "estimate_bram_18k": 9,
}
SHIM = ROOT / "hls" / "board" / "shim"
SUPPORT = ROOT / "tests" / "support"


def network_of(random_network):
    return random_network(seed=7, **SIZES, num_classes=10, tables=True, input_lut=True)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, random_network):
    """Make a pipeline folder as `dvc pull` leaves it: a streaming and a SIMD design, no images."""
    root = tmp_path_factory.mktemp("pipeline")
    with contextlib.chdir(root):
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        network = network_of(random_network)
        save_int_params(network, f"data/{NAME}/int8.pkl")
        generate_headers.main(NAME)
        sizes = Sizes.of(network)
        folding = make_folding(network, LANES, (2, 4, 3, 2, 1), (48, 16, 8, 12, 8))
        depths = size_fifos(streaming_network(sizes, folding)).depths
        samples = csim.golden_samples(NAME, network, 8, imported=False)
        for name, design in (
            (STREAM, Design(NAME, STREAMING, sizes, folding, depths)),
            (ARRAY, Design(NAME, SIMD, sizes, array=(4, 4))),
        ):
            plan.write_plan(name, design, "")
            csim.write_test_data(name, design, network, samples)
            write_metrics(metrics("model", name), dict(FIGURES))
    return root


@pytest.fixture
def here(pipeline, monkeypatch):
    monkeypatch.chdir(pipeline)
    return pipeline


@pytest.fixture(scope="module")
def folders(pipeline, tmp_path_factory):
    """Return the folders of both designs for each board, by (design, board)."""
    made = {}
    with contextlib.chdir(pipeline):
        for design in (STREAM, ARRAY):
            for name in BOARDS:
                path = tmp_path_factory.mktemp("boards") / f"{design}-{name}"
                board.main(design, name, path)
                made[design, name] = path
    return made


@pytest.fixture(scope="module")
def programs(folders, builds, tmp_path_factory):  # noqa: F811 - the fixture
    """Compile the kernels of the folders from nothing but the files in them."""
    work = tmp_path_factory.mktemp("programs")
    log = work / "log"
    flags = ("-O0", "-Werror")
    stream, simd = folders[STREAM, "u50"], folders[ARRAY, "u50"]
    movers = [stream / "movers" / name for name in ("mm2s.cpp", "s2mm.cpp")]
    sources = [stream / "hls/src/resmlp_axis.cpp", *movers, SUPPORT / "board_stream.cpp"]
    kernel = builds.compile("g++", sources, [stream / "hls/src", SHIM], work / "stream", log, flags)
    sources = [simd / "hls/src/resmlp_simd.cpp", SUPPORT / "board_simd.cpp"]
    array = builds.compile("g++", sources, [simd / "hls/src"], work / "simd", log, flags)
    return SimpleNamespace(stream=kernel, simd=array)


def module_of(folder, name):
    """Import a Python file of a folder as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def registers(suffix=""):
    """Return the registers of the SIMD kernel as PYNQ reads them from resmlp.hwh."""
    names = ["CTRL", "GIER", "IP_IER", "IP_ISR"]
    offsets = dict(zip(names, (0, 4, 8, 12), strict=True))
    for index, name in enumerate(("parameters", "images", "logits")):
        offsets |= {f"{name}{suffix}_1": 0x10 + 12 * index, f"{name}{suffix}_2": 0x14 + 12 * index}
    offsets[f"count{suffix}"] = 0x34
    return {name: {"address_offset": offset} for name, offset in offsets.items()}


def open_simulated(folder, programs, work, suffix=""):
    """Return the host module and the classifier of a folder on a simulated board."""
    host, driver = module_of(folder, "host"), module_of(folder, "driver")
    settings, lut = host.load(folder)
    is_stream, is_card = settings["accelerator"] == "streaming", settings["board"] == "u50"
    kernel = (
        board_simulators.StreamKernel(programs.stream, settings, work)
        if is_stream
        else board_simulators.SimdKernel(programs.simd, work)
    )
    kernels = {"stream" if is_stream else "simd": kernel}
    if is_card:
        runtime = board_simulators.SimulatedXrt(**kernels).with_lanes(settings.get("lanes"))
        name = "pyxrt"
    else:
        runtime = board_simulators.SimulatedPynq(**kernels, registers=registers(suffix))
        name = "pynq"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, runtime)
        accelerator = driver.open_accelerator(settings, folder)
    assert runtime.loaded == [str(folder / f"resmlp.{'xclbin' if is_card else 'bit'}")]
    return host, host.Classifier(accelerator, settings, lut), kernel


EACH_FOLDER = pytest.mark.parametrize(
    ("design", "name"), [(design, name) for design in (STREAM, ARRAY) for name in BOARDS]
)


@EACH_FOLDER
@pytest.mark.compiler
def test_the_host_is_bit_exact_on_a_simulated_board(
    folders, programs, tmp_path, here, design, name
):
    folder = folders[design, name]
    suffix = "_r" if name == "kv260" else ""  # the tool renames arguments that are Verilog words
    host, classifier, kernel = open_simulated(folder, programs, tmp_path, suffix)
    with np.load(folder / "golden.npz") as golden:
        assert host.check(classifier, dict(golden)) == (
            "80 logits of 8 golden samples equal numpy's."
        )
    network = load_int_params(f"data/{NAME}/int8.pkl")
    images = sample_images(11)
    wanted = int_resmlp.evaluate(network, images)
    classifier.accelerator.most_images = 4  # so that there are three calls
    np.testing.assert_array_equal(classifier.logits(images), wanted)
    np.testing.assert_array_equal(classifier.classify(images), wanted.argmax(axis=1))
    if design == STREAM:
        assert kernel.batches[-3:] == [4, 4, 3]  # a batch is one packet
    assert classifier.classify(images[:0]).shape == (0,)


@pytest.mark.compiler
def test_a_wrong_logit_and_a_rate_are_told(folders, programs, tmp_path):
    folder = folders[STREAM, "u50"]
    host, classifier, _ = open_simulated(folder, programs, tmp_path)
    with np.load(folder / "golden.npz") as golden:
        wrong = dict(golden)
    wrong["logits"] = wrong["logits"].copy()
    wrong["logits"][5, 3] ^= 1
    with pytest.raises(AssertionError, match=r"^tokens, image 5, logit 3: got -?\d+, want -?\d+$"):
        host.check(classifier, wrong)
    classifier.accelerator.most_images = 8
    sentence = host.throughput(classifier, 16)
    assert re.fullmatch(
        r"16 images in [\d.]+ s: \d+ images/s with transfers; the model says 100000 images/s at "
        r"200 MHz\.",
        sentence,
    )


@pytest.mark.compiler
def test_the_three_commands_of_the_host(folders, programs, tmp_path, here, monkeypatch, capsys):
    folder = folders[ARRAY, "u50"]
    kernel = board_simulators.SimdKernel(programs.simd, tmp_path)
    monkeypatch.setitem(sys.modules, "pyxrt", board_simulators.SimulatedXrt(simd=kernel))
    monkeypatch.setitem(sys.modules, "driver", module_of(folder, "driver"))
    host = module_of(folder, "host")
    host.main(["check"])
    assert capsys.readouterr().out == "80 logits of 8 golden samples equal numpy's.\n"
    images = sample_images(3)
    np.save(tmp_path / "images.npy", images)
    host.main(["classify", str(tmp_path / "images.npy")])
    network = load_int_params(f"data/{NAME}/int8.pkl")
    labels = int_resmlp.evaluate(network, images).argmax(axis=1)
    assert capsys.readouterr().out.split() == [str(label) for label in labels]
    host.main(["throughput", "--images", "5"])
    assert capsys.readouterr().out.startswith("5 images in ")
    for arguments in (["classify"], ["check", "images.npy"], ["fly"]):
        with pytest.raises(SystemExit):
            host.main(arguments)


def test_the_host_runs_on_the_python_of_the_boards():
    """PYNQ 2.7 has Python 3.8."""
    for path in (ROOT / "hls/board/host").glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        assert "annotations" in ast.unparse(tree.body[1]), path  # from __future__
        assert not re.search(r"removeprefix|strict=|\bmatch \w+:", path.read_text())


@pytest.mark.compiler
def test_a_kernel_that_fails_on_the_card_is_named(folders, programs, tmp_path):
    driver = module_of(folders[STREAM, "u50"], "driver")
    settings = json.loads((folders[STREAM, "u50"] / "network.json").read_text())
    kernel = board_simulators.StreamKernel(programs.stream, settings, tmp_path)
    xrt = board_simulators.SimulatedXrt(stream=kernel, state=6).with_lanes(LANES)
    accelerator = driver.StreamAccelerator(settings, "resmlp.xclbin", xrt)
    with pytest.raises(OSError, match="mm2s ended with 6"):
        accelerator.run(np.zeros((1, 16, 192), np.int8))


def test_images_of_another_size_are_refused(folders):
    host = module_of(folders[STREAM, "kv260"], "host")
    settings, lut = host.load(folders[STREAM, "kv260"])
    classifier = host.Classifier(None, settings, lut)
    with pytest.raises(ValueError, match=r"uint8 \[1, 28, 28, 3\], but must be uint8 \[n, 32, 32"):
        classifier.tokens(np.zeros((1, 28, 28, 3), np.uint8))
    with pytest.raises(ValueError, match=r"no input_lut\.npy; pass tokens"):
        host.Classifier(None, settings).tokens(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.compiler
@pytest.mark.parametrize("broken", [False, True])
def test_the_test_bench_of_the_stream_kernel(folders, builds, tmp_path, broken):  # noqa: F811
    """TLAST on every image in place of the last one is found by the calls of several images."""
    source = tmp_path / "src"
    shutil.copytree(folders[STREAM, "pynq-z2"] / "hls/src", source)
    kernel = source / "resmlp_axis.cpp"
    if broken:
        text = kernel.read_text()
        assert text.count("? ends.read()") == 1
        kernel.write_text(text.replace("? ends.read()", "? ap_uint<1>(ends.read() | 1)"))
    log = tmp_path / "log"
    sources = [kernel, source / "testbench.cpp"]
    binary = builds.compile(
        "g++", sources, [source, SHIM], tmp_path / "bench", log, ("-O0", "-Werror")
    )
    if broken:
        with pytest.raises(PipelineError, match="ERROR TLAST is 1 on logit 10 of 40"):
            gpp.simulate(binary, log)
    else:
        assert gpp.simulate(binary, log) == 0


# Files and scripts


@EACH_FOLDER
def test_every_file_that_is_named_is_there(folders, design, name):
    folder = folders[design, name]
    made = {"resmlp.bit", "resmlp.hwh", "resmlp.xclbin", "images.npy", "timing.rpt"}
    made |= {"utilization.rpt", "ip.done", "xo.done"}
    text = (folder / "README.md").read_text()
    for word in re.findall(r"[\w/]+\.(?:py|tcl|cfg|cpp|json|bit|hwh|xclbin|rpt|npy)\b", text):
        assert word in made or (folder / word).exists(), word
    scripts = [path.read_text() for path in folder.rglob("*.tcl")]
    for filled in (*scripts, text, (folder / "Makefile").read_text()):
        assert not re.search(r"@[A-Z_]+@", filled)
    assert (folder / "input_lut.npy").exists() and (folder / "golden.npz").exists()
    assert (folder / "parameters.bin").exists() == (design == ARRAY)
    files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert not [p for p in files if b"/tmp/" in p.read_bytes()]
    assert "**Not run on a" in (folder / "README.md").read_text()
    commands = subprocess.run(
        ["make", "-n", "-C", folder], capture_output=True, text=True, check=True
    ).stdout
    assert "run.tcl" in commands and "package.tcl" in commands
    for script in re.findall(r"cd (\w+) && vitis_hls -f (\S+)", commands):
        assert folder.joinpath(*script).exists(), script


def test_simd_folders_hold_the_memory_that_the_test_bench_uses(folders, here):
    network = load_int_params(f"data/{NAME}/int8.pkl")
    for name in BOARDS:
        content = (folders[ARRAY, name] / "parameters.bin").read_bytes()
        assert content == parameter_words(network, (4, 4)).tobytes()
        lut = np.load(folders[ARRAY, name] / "input_lut.npy")
        np.testing.assert_array_equal(lut, network.input_lut)


@EACH_FOLDER
def test_the_hls_project_synthesises_the_kernel_for_the_board(folders, design, name):
    project = folders[design, name] / "hls"
    manifest = json.loads((project / "manifest.json").read_text())
    kernel = "resmlp_axis" if design == STREAM else "resmlp_simd"
    assert manifest["top"] == kernel
    assert manifest["target"]["part"] == BOARDS[name].part
    assert manifest["target"]["clock_ns"] == BOARDS[name].clock_ns
    assert manifest["target"]["flow_target"] == ("vitis" if name == "u50" else "vivado")
    package, run = (project / "package.tcl").read_text(), (project / "run.tcl").read_text()
    opened = re.search(r"open_project \{(\w+)\}", package)[1]
    assert f"open_project -reset {opened}" in run and f"set_top {kernel}" in run
    assert ("-format xo" in package) == (name == "u50")
    for file in re.findall(r"add_files (?:-tb )?(\S+)", run):
        assert (project / file).exists()


@pytest.mark.parametrize("design", [STREAM, ARRAY])
@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])
def test_the_block_design_connects_every_port_of_the_kernel(folders, tmp_path, design, name):
    folder = tmp_path / "board"
    shutil.copytree(folders[design, name], folder)
    vivado, script = vivado_of(folder, design, name)
    vivado.run(script)
    assert vivado.status == 1 and "is missing; run `make ip`" in vivado.said[0]
    project = re.search(r"set ip_folder \{(.*)\}", script)[1]
    (folder / project).mkdir(parents=True)
    vivado, script = vivado_of(folder, design, name, boards=())
    vivado.run(script)
    assert vivado.status == 1 and "does not know the board" in vivado.said[0]
    vivado, script = vivado_of(folder, design, name)
    vivado.run(script)
    assert (vivado.status, vivado.said) == (0, [])
    kernel = "resmlp_axis_0" if design == STREAM else "resmlp_simd_0"
    connected = {pin for pin in vivado.connected if pin.startswith(kernel)}
    ports = {f"{kernel}/{pin}" for pin in vivado.kernel_pins}
    assert connected == ports if design == STREAM else connected == ports - {f"{kernel}/ap_clk"}
    if design == STREAM:
        bits = vivado.properties["CONFIG.c_m_axis_mm2s_tdata_width"]
        assert bits == str(8 * LANES) and vivado.properties["CONFIG.c_include_sg"] == "0"
        assert "axi_dma_0" in vivado.cells  # the name that driver.py uses
        assert {"axi_dma_0/M_AXI_MM2S", "axi_dma_0/M_AXI_S2MM"} <= vivado.connected
    clock = BOARDS[name].clock_mhz
    assert str(clock) in {
        vivado.properties.get("CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ"),
        vivado.properties.get("CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"),
    }
    assert (folder / "resmlp.bit").read_text() == "design_1_wrapper.bit"
    assert (folder / "resmlp.hwh").read_text() == "design_1.hwh"


def vivado_of(folder, design, name, boards=None):
    kernel = "resmlp_axis" if design == STREAM else "resmlp_simd"
    ports = kernel_ports((folder / f"hls/src/{kernel}.cpp").read_text(), kernel)
    stem = BOARDS[name].vendor_name
    known = [f"{stem}:1.0", f"{stem}:1.10", f"{stem}:1.9"] if boards is None else boards
    return Vivado(folder, kernel, ports, known), (folder / "design.tcl").read_text()


@pytest.mark.parametrize("design", [STREAM, ARRAY])
def test_the_link_configuration_names_kernels_and_ports_that_exist(folders, design):
    folder = folders[design, "u50"]
    sources = {"resmlp_simd": "hls/src/resmlp_simd.cpp"}
    if design == STREAM:
        sources = {"resmlp_axis": "hls/src/resmlp_axis.cpp"}
        sources |= {mover: f"movers/{mover}.cpp" for mover in ("mm2s", "s2mm")}
    pins = {
        kernel: kernel_ports((folder / path).read_text(), kernel)
        for kernel, path in sources.items()
    }
    memories = {
        kernel: re.findall(r"INTERFACE m_axi port = (\w+)", (folder / path).read_text())
        for kernel, path in sources.items()
    }
    lines = [
        line.split("=", 1)
        for line in (folder / "link.cfg").read_text().splitlines()
        if line and not line.startswith(("#", "["))
    ]
    units = {}
    for key, value in lines:
        if key == "nk":
            kernel, count, unit = value.split(":")
            assert kernel in sources and count == "1"
            units[unit] = kernel
    assert sorted(units.values()) == sorted(sources)
    streams, ports = [], []
    for key, value in lines:
        if key == "stream_connect":
            streams += value.split(":")
        elif key == "sp":
            port, memory = value.split(":")
            assert 0 <= int(re.fullmatch(r"HBM\[(\d+)\]", memory)[1]) < 32
            ports.append(port)
        elif key == "slr":
            unit, region = value.split(":")
            assert unit in units and region in ("SLR0", "SLR1")
        else:
            assert key == "nk"
    assert sorted(streams) == sorted(
        f"{unit}.{port}" for unit, kernel in units.items() for port in pins[kernel][0]
    )
    assert sorted(ports) == sorted(
        f"{unit}.{port}" for unit, kernel in units.items() for port in memories[kernel]
    )
    makefile = (folder / "Makefile").read_text()
    objects = re.search(r"^XO_FILES := (.*)$", makefile, re.M)[1].split()
    assert {Path(path).stem for path in objects} == set(sources)
    package = (folder / "hls/package.tcl").read_text()
    assert f"-output {Path(objects[0]).name}" in package
    if design == STREAM:
        movers = (folder / "movers/run.tcl").read_text()
        assert "foreach kernel {mm2s s2mm}" in movers and "-I../hls/src" in movers
        assert f"set_part {{{BOARDS['u50'].part}}}" in movers


# Mistakes


def test_a_folder_that_is_not_empty_is_left_alone(here, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(PipelineError, match=r"mine exists and is not empty; remove it or name"):
        board.main(STREAM, "u50", tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.tex"]


def test_a_design_without_a_board_needs_one_on_the_command_line(here):
    with pytest.raises(PipelineError, match=r"no board; name one with --board \(pynq-z2, kv260, "):
        board.main(STREAM)


def test_what_is_missing_is_asked_for_and_nothing_is_written(here, tmp_path, monkeypatch):
    shutil.copytree(here, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for path, words in (
        (f"data/metrics/model/{STREAM}.json", r"has no model_interval_cycles; run .* plan"),
        (f"data/designs/{STREAM}/golden/golden.hpp", r"is missing; run .* csim_samples"),
        (f"data/{NAME}/headers/params.hpp", "dvc repro generate_headers"),
        (f"data/designs/{STREAM}/design.json", "dvc repro plan"),
        (f"data/{NAME}/int8.pkl", r"int8\.pkl"),
    ):
        Path(path).unlink()
        with pytest.raises(PipelineError, match=words):
            board.main(STREAM, "u50", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_design_that_does_not_fit_is_told_with_a_budget(here, tmp_path, caplog):
    write_metrics(metrics("model", STREAM), {**FIGURES, "estimate_dsp": 1000})
    with caplog.at_level(logging.WARNING):
        board.main(STREAM, "pynq-z2", tmp_path / "small")
    assert caplog.messages == [
        f"{STREAM} does not fit (estimate): DSP 1,000 of 220 (455 %). A design of its own, with "
        "`target: {dsp: 176}, board: pynq-z2`, may fit."
    ]
    write_metrics(metrics("model", STREAM), dict(FIGURES))
    readme = (tmp_path / "small" / "README.md").read_text()
    assert "does not fit: DSP 1,000 of 220 (455 %) (estimate" in readme


def test_lanes_that_no_dma_has_are_refused():
    folding = SimpleNamespace(lanes=3)
    with pytest.raises(PipelineError, match=r"lanes = 3, but the streams of a DMA have 1, 2, 4"):
        board_folder.check_lanes(SimpleNamespace(folding=folding))


def test_a_design_for_a_board_of_the_open_tools_gets_no_folder():
    row = DesignRow(variant="lerp_psa_h96", accelerator=STREAMING, board="ulx3s")
    with pytest.raises(PipelineError, match=r"^mine is for ulx3s, whose tools are Yosys"):
        board.board_of(row, None, "mine")
    assert board.board_of(row, "u50", "mine").name == "u50"
