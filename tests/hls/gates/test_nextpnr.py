"""What is read off nextpnr's report, and how it and ecppack are called."""

import copy
import json
from pathlib import Path

import pytest

from hls.gates.nextpnr import (
    Fpga,
    fpga_of,
    instance_of,
    place_and_route,
    read_report,
    write_bitstream,
)
from hls.gates.tools import ECPPACK, NEXTPNR
from models.files.errors import PipelineError
from tests.support.gates_stand_in import ROUTE, install

FPGA = Fpga("85k", "6", "CABGA381")


def test_the_report_says_clock_cells_and_the_critical_path() -> None:
    found = read_report(json.dumps(ROUTE))
    assert found.clock_mhz == 117.65
    assert found.used == {"lut": 36, "ff": 12, "dsp": 1, "bram_18k": 2}
    assert found.available == {"lut": 83640, "ff": 83640, "dsp": 156, "bram_18k": 208}
    assert found.critical_path == "from mul to add: 8.5 ns (2.8 ns of wires, 1 cells of logic)"


def test_a_path_inside_one_unit_says_so() -> None:
    report = copy.deepcopy(ROUTE)
    report["critical_paths"][0]["path"] = report["critical_paths"][0]["path"][:1]
    assert read_report(json.dumps(report)).critical_path.startswith("inside mul: 5.5 ns")


def test_the_slowest_clock_counts() -> None:
    report = copy.deepcopy(ROUTE)
    report["fmax"]["fast"] = {"achieved": 300.0, "constraint": 100.0}
    assert read_report(json.dumps(report)).clock_mhz == 117.65


@pytest.mark.parametrize("text", ["", "{}", '{"fmax": {}}', "[]"])
def test_other_texts_are_no_report(text: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_report(text)


@pytest.mark.parametrize(
    ("cell", "instance"),
    [
        ("blocks_0_mlp.scale.result_TRELLIS_FF_Q", "blocks_0_mlp"),
        ("$flatten\\mean_unit.$abc$1432$auto$blifparse.cc:396:parse_blif$1440", "mean_unit"),
        ("$abc$1432$auto$blifparse.cc:396:parse_blif$1440", ""),
        ("logits_TLAST_LUT4_Z", ""),
    ],
)
def test_a_cell_belongs_to_the_instance_in_the_top(cell: str, instance: str) -> None:
    assert instance_of(cell) == instance


def test_a_part_is_size_speed_and_package() -> None:
    assert fpga_of("LFE5U-85F-6BG381C") == FPGA
    assert fpga_of("LFE5U-25F-8BG256") == Fpga("25k", "8", "CABGA256")
    assert fpga_of("xcu50-fsvh2104-2-e") is None


def test_the_tools_get_the_part_and_the_clock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path)
    log, netlist = tmp_path / "log", tmp_path / "netlist.json"
    netlist.write_text("{}")
    place_and_route(str(tmp_path / NEXTPNR), netlist, FPGA, 100, log)
    bits = write_bitstream(str(tmp_path / ECPPACK), tmp_path, log)
    assert bits.read_text() == "bits of config at 100 MHz"
    assert "--85k --package CABGA381 --speed 6" in log.read_text()
    assert capsys.readouterr().err == "nextpnr: Placed 0 cells on CABGA381 speed 6\n"


def test_a_report_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / NEXTPNR).write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / NEXTPNR).chmod(0o755)
    with pytest.raises(PipelineError, match=r"nextpnr wrote no report that can be read .*log\.$"):
        place_and_route(str(tmp_path / NEXTPNR), tmp_path / "n.json", FPGA, 100, tmp_path / "log")
