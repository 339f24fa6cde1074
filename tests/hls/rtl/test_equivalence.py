"""Units of hls/rtl and of hls/cpp give the same words, which are those of fixed_point.py.

The sizes are compiled in: they are drawn here, the same ones each time. Hypothesis chooses the
data, how often each side pauses, and when. One compilation of the RTL and one of the C++ serve all
tests.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.plan.streaming.folding import divisors
from hls.simulate.verilator import unit_files, verilator_folder
from tests.support import rtl_bench, rtl_cases
from tests.support.cpp_units import CppUnits
from tests.support.rtl_bench import Case

pytestmark = [
    pytest.mark.compiler,
    pytest.mark.skipif(verilator_folder() is None, reason="needs the Python package verilator"),
]

PER_UNIT = 2
Rng = np.random.Generator


def divisor(rng: Rng, number: int) -> int:
    return int(rng.choice(divisors(number)))


def draw_fifo(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(1, 4)), int(rng.integers(1, 100))


def draw_channels(rng: Rng) -> tuple[int, int]:
    lanes, words = (int(n) for n in rng.integers(1, 5, 2))
    return lanes * words, lanes


def draw_duplicate(rng: Rng) -> tuple[int, int, bool]:
    return *draw_channels(rng), bool(rng.integers(2))


def draw_pack(rng: Rng) -> tuple[int, int]:
    few, parts = (int(n) for n in rng.integers(1, 6, 2))
    return few, few * parts


def draw_unpack(rng: Rng) -> tuple[int, int]:
    few, many = draw_pack(rng)
    return many, few


def draw_replay(rng: Rng) -> tuple[int, int, int, int, int]:
    inputs = int(rng.choice([6, 8, 12, 18]))
    times, handover = int(rng.integers(1, 5)), int(rng.integers(2))
    return inputs, divisor(rng, inputs), divisor(rng, inputs), times, handover


def draw_transpose(rng: Rng) -> tuple[int, int, int]:
    lanes, rows, columns = (int(n) for n in rng.integers(1, 5, 3))
    return lanes * rows, lanes * columns, lanes


def draw_mean(rng: Rng) -> tuple[int, int, int]:
    return 2 ** int(rng.integers(1, 6)), *draw_channels(rng)


def draw_matrix_vector(rng: Rng) -> tuple[int, int, int, int, str]:
    inputs, outputs = int(rng.choice([5, 8, 12, 18])), int(rng.choice([3, 4, 6]))
    activation = str(rng.choice(["none", "relu", "table"]))
    return inputs, outputs, divisor(rng, outputs), divisor(rng, inputs), activation


DRAW: dict[str, Callable[[Rng], tuple[object, ...]]] = {
    "fifo": draw_fifo,
    "duplicate": draw_duplicate,
    "pack": draw_pack,
    "unpack": draw_unpack,
    "replay": draw_replay,
    "transpose": draw_transpose,
    "affine": draw_channels,
    "residual": draw_channels,
    "mean": draw_mean,
    "matrix_vector": draw_matrix_vector,
}
RNG = np.random.default_rng(339)  # see test_the_sizes_cover_every_kind
SIZES = [(unit, draw(RNG)) for unit, draw in DRAW.items() for _ in range(PER_UNIT)]


def cases(seed: int, pause: tuple[int, int] = (80, 80)) -> list[Case]:
    made = [getattr(rtl_cases, unit)(*sizes, seed=seed) for unit, sizes in SIZES]
    return [replace(case, pause=pause) for case in made]


@pytest.fixture(scope="module")
def rtl(tmp_path_factory: pytest.TempPathFactory, runtime: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("rtl")
    return rtl_bench.build(cases(0), folder, unit_files(), runtime)


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> CppUnits:
    return CppUnits(cases(0), tmp_path_factory.mktemp("cpp"))


pauses = st.sampled_from([0, 1, 40, 128, 230])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**24), pause=st.tuples(pauses, pauses))
def test_rtl_and_cpp_give_the_words_of_fixed_point(
    rtl: Path, cpp: CppUnits, seed: int, pause: tuple[int, int]
) -> None:
    chosen = cases(seed, pause)
    assert rtl_bench.problems(rtl_bench.simulate(rtl, chosen, rtl.parent)) == []
    wrong = {
        f"{case.unit} {case.parameters}": cpp.differences(number, case)
        for number, case in enumerate(chosen)
        if case.cpp is not None
    }
    assert not any(wrong.values()), wrong


def test_the_sizes_cover_every_kind() -> None:
    sizes: dict[str, list[dict[str, int]]] = {}
    for case in cases(0):
        sizes.setdefault(case.unit, []).append(dict(case.parameters))
        assert (case.cpp is None) == (case.unit == "fifo")
    assert {depth["DEPTH"] > 64 for depth in sizes["fifo"]} == {False, True}
    assert {one["HAS_TABLE"] for one in sizes["duplicate"]} == {0, 1}
    assert {one["HAS_TABLE"] for one in sizes["matrix_vector"]} == {0, 1}
    assert max(one["PE"] for one in sizes["matrix_vector"]) > 1
    assert {one["HANDOVER"] for one in sizes["replay"]} == {0, 1}
    assert max(one["LANES"] for one in sizes["transpose"]) > 1


def test_a_difference_in_cpp_is_counted(cpp: CppUnits) -> None:
    for number, case in enumerate(cases(0)):
        if case.cpp is not None:
            stream = next(iter(case.outputs.values()))
            changed = stream.elements.copy()
            changed.flat[-1] ^= 1
            port = next(iter(case.outputs))
            case.outputs = {**case.outputs, port: replace(stream, elements=changed)}
            assert cpp.differences(number, case) == 1, case.unit
