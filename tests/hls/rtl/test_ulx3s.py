"""The board's top, simulated end to end over its serial line, and the host's script."""

import importlib.util
import os
import pty
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hls.netlist.netlist import netlist
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import published_folding
from hls.simulate import rtl, verilator
from models.integer import resmlp
from models.integer.params import IntResMlp
from tests.support.paths import ROOT

BOARD = ROOT / "hls" / "rtl" / "ulx3s"
BENCH = ROOT / "tests" / "support" / "rtl" / "serial.cpp"
SIZES = {"patch_dim": 4, "num_patches": 4, "embed_dim": 4, "hidden_dim": 4}
IMAGES, CLASSES, CLOCKS = 3, 3, 25


@pytest.mark.compiler
def test_images_over_the_serial_line_give_their_logits(
    tmp_path: Path, random_network: Callable[..., IntResMlp], runtime: list[Path]
) -> None:
    network = random_network(5, **SIZES, num_blocks=1, num_classes=CLASSES, tables=True)
    sizes = Sizes.of(network)
    processes = streaming_network(sizes, published_folding(sizes))
    design = netlist(processes, size_fifos(processes).depths, network)
    sources = [*rtl.write_rtl(design, tmp_path), *sorted(BOARD.glob("*.sv"))]
    log = tmp_path / "log"
    program = verilator.build(
        "g++", sources, "ulx3s_top", BENCH, tmp_path, log, "-O0", runtime=runtime
    )
    shape = (IMAGES, sizes.num_patches, sizes.patch_dim)
    tokens = np.random.default_rng(6).integers(-128, 128, shape, dtype=np.int32)
    (tmp_path / "tokens").write_bytes(tokens.astype(np.int8).tobytes())
    arguments = [str(tmp_path / "tokens"), str(IMAGES * CLASSES), str(CLOCKS)]
    (result,) = verilator.simulate(program, [arguments], tmp_path, log)
    assert result.returncode == 0, result.returncode
    logits, led = result.stdout.split("\nled ")
    assert bytes.fromhex(logits) == resmlp.forward(network, tokens).astype(np.int8).tobytes()
    # Two or three images are counted when the last byte has left; no byte was lost; no reset.
    assert int(led, 16) & 3 == 1 and int(led, 16) >> 2 in (IMAGES - 1, IMAGES)


def test_every_port_has_one_pin() -> None:
    top, pins = (BOARD / "ulx3s_top.sv").read_text(), (BOARD / "ulx3s.lpf").read_text()
    header = top.split(") (", 1)[1].split(");", 1)[0]
    ports = set(re.findall(r"(\w+),?\s*(?://.*)?$", header, re.MULTILINE))
    located = re.findall(r'LOCATE COMP "([^"]+)" SITE "(\w+)";', pins)
    names = [name for name, _ in located]
    assert {name.split("[")[0] for name in names} == ports
    assert len(set(names)) == len({site for _, site in located}) == len(located) == 4 + 8
    assert set(re.findall(r'IOBUF PORT "([^"]+)"', pins)) == set(names)


@pytest.fixture
def host():
    spec = importlib.util.spec_from_file_location("ulx3s_host", BOARD / "host.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_host_counts_images_with_other_logits(host) -> None:
    """A board that answers each image of four bytes with its first two, one of them wrong."""
    board, port = pty.openpty()
    line = host.opened(os.ttyname(port))

    def answer() -> None:
        for image in range(3):
            taken = b""
            while len(taken) < 4:
                taken += os.read(board, 4 - len(taken))
            os.write(board, taken[:2] if image != 1 else b"??")

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert host.compared(line, b"abcdefghijkl", b"abefij", 2) == 1
    finally:
        thread.join(10)
        for descriptor in (board, port, line):
            os.close(descriptor)


def test_a_silent_board_is_one_sentence(host, monkeypatch) -> None:
    monkeypatch.setattr(host, "SECONDS", 0.2)
    board, port = pty.openpty()
    line = host.opened(os.ttyname(port))
    with pytest.raises(SystemExit, match=r"error: image 0: 0 of 2 logits came in 0.2 s"):
        host.compared(line, b"abcd", b"ab", 2)
    for descriptor in (board, port, line):
        os.close(descriptor)
