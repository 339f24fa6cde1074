"""The units of hls/rtl compute what models/integer/fixed_point.py computes, at any pace."""

from collections.abc import Callable
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


FAULTS: list[list[tuple[str, str, str, Callable[[], Case]]]] = [
    [
        ("fixed_point.sv", "{7{~sign}}", "{7{sign}}", lambda: affine(12, 4)),  # saturation
        ("fifo.sv", "count != COUNT_BITS'(WORDS)", "1'b1", lambda: fifo(2, 4)),  # ignores "full"
        (
            "read_table.sv",
            "in_data[8*i+:8] ^ 8'h80",
            "in_data[8*i+:8] ^ 8'h84",  # table index
            lambda: duplicate(6, 3, table=True),
        ),
    ],
    [("fixed_point.sv", "+ (BITS + 1)'(1);", "+ (BITS + 1)'(0);", lambda: mean(16, 8, 4))],
]


@pytest.mark.parametrize("faults", FAULTS, ids=["saturation, fifo, table", "rounding"])
def test_planted_faults_are_caught(
    tmp_path: Path, runtime: list[Path], faults: list[tuple[str, str, str, Callable[[], Case]]]
) -> None:
    sources = []
    for path in unit_files():
        text = path.read_text()
        for file, old, new, _ in faults:
            if path.name == file:
                assert old in text
                text = text.replace(old, new)
        (tmp_path / path.name).write_text(text)
        sources.append(tmp_path / path.name)
    found = problems(run([case() for *_, case in faults], tmp_path, sources, runtime, limit=3000))
    for number, (file, *_) in enumerate(faults):
        assert any(f".u{number}_" in line for line in found), file
