"""What is read off Yosys's counts, and what Yosys is told to do."""

import json

import pytest

from hls.gates.cells import FAMILIES, RESOURCES, added, taken
from hls.gates.yosys import read_stat, script, unit_of

FIFO = "$paramod$5f0e99\\fifo"
PRODUCT = "$paramod$0a\\matrix_vector"
MEAN = "$paramod\\mean\\LANES=32'00000000000000000000000000000001"
# As `stat -json` of Yosys 0.70 writes it, shortened: two FIFOs, two products, a mean and cells of
# the top module itself.
STAT = {
    "creator": "Yosys 0.70 (git sha1 28ba3cb92)",
    "modules": {
        MEAN: {"num_cells_by_type": {"LUT4": 20, "CCU2C": 7, "TRELLIS_FF": 31}},
        FIFO: {"num_cells_by_type": {"LUT4": 9, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 6}},
        PRODUCT: {
            "num_cells_by_type": {
                **{"LUT4": 100, "PFUMX": 12, "MULT18X18D": 4, "TRELLIS_FF": 80},
                **{"DP16KD": 2, "PDPW16KD": 1, "adder_tree": 3},
            }
        },
        "adder_tree": {"num_cells_by_type": {"CCU2C": 5, "TRELLIS_FF": 10}},
        "\\resmlp_top": {
            "num_cells_by_type": {"LUT4": 5, "TRELLIS_FF": 4, FIFO: 2, PRODUCT: 2, MEAN: 1}
        },
    },
}


def test_counts_are_summed_over_all_copies_and_by_unit() -> None:
    found = read_stat(json.dumps(STAT), "ecp5")
    product = {"lut": 100 + 3 * 10, "ff": 80 + 3 * 10, "dsp": 4, "bram_18k": 3}
    assert found.units == {
        "fifo": {"lut": 2 * (9 + 12), "ff": 12, "dsp": 0, "bram_18k": 0},
        "matrix_vector": {name: 2 * count for name, count in product.items()},
        "mean": {"lut": 34, "ff": 31, "dsp": 0, "bram_18k": 0},
    }
    top = {"lut": 5, "ff": 4}
    assert found.total == added([top, *found.units.values()])


def test_xilinx_cells_are_counted_as_vivado_does() -> None:
    cells = {"LUT6": 3, "LUT2": 2, "SRLC32E": 1, "RAM32M16": 1, "FDRE": 7, "DSP48E2": 1}
    cells |= {"RAMB36E2": 2, "RAMB18E2": 1, "INV": 9}
    modules = {"\\resmlp_top": {"num_cells_by_type": cells}}
    total = read_stat(json.dumps({"modules": modules}), "xcup").total
    assert total == {"lut": 14, "ff": 7, "dsp": 1, "bram_18k": 5}


@pytest.mark.parametrize("text", ["", "{}", '{"modules": {}}', '{"modules": {"\\\\other": {}}}'])
def test_other_texts_are_no_counts(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        read_stat(text, "ecp5")


@pytest.mark.parametrize(
    ("module", "unit"),
    [(FIFO, "fifo"), (PRODUCT, "matrix_vector"), (MEAN, "mean"), ("\\pack", "pack")],
)
def test_a_module_belongs_to_its_unit(module: str, unit: str) -> None:
    assert unit_of(module) == unit


@pytest.mark.parametrize("family", FAMILIES)
def test_the_script_reads_every_source_and_keeps_the_borders_of_units(family: str) -> None:
    text = script(["fifo.sv", "resmlp_top.sv"], family, with_netlist=False)
    assert "read_verilog -sv -defer fifo.sv resmlp_top.sv" in text
    assert "keep_hierarchy 1" in text and "*\\fifo *\\fifo\\*" in text
    assert "write_json" not in text and "write_json" in script([], family, with_netlist=True)


def test_only_what_a_part_has_is_counted() -> None:
    assert taken("PFUMX", "ecp5") == taken("CARRY4", "xcup") == taken("LUT4x", "ecp5") == {}
    assert set(added([])) == set(RESOURCES)
