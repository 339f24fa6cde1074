"""What the tool reports against the model and the estimate: equal figures, and each difference."""

from dataclasses import replace

import pytest

from hls.cpp.accelerators import SIMD, STREAMING
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.folding import published_folding
from hls.synthesize.comparison import compare
from hls.synthesize.reports import Csynth, Export, Loop, Module, Span
from hls.synthesize.results import Measured
from hls.synthesize.simulation_reports import Cosim

PLAN = {
    "model_interval_cycles": 6240,
    "estimate_dsp": 100,
    "estimate_lut": 5000,
    "estimate_bram_18k": 20,
}
USED = {"lut": 5000, "ff": 9000, "dsp": 100, "bram": 20, "uram": 0}


def same(value):
    return Span(value, value, value)


def loop(module, name, trips, interval=1):
    pipelined = UNKNOWN if interval is None else same(interval)
    return Loop(module, name, trips, same(1), same(1), pipelined)


UNKNOWN = Span()


@pytest.fixture
def design(random_network):
    sizes = Sizes.of(random_network())
    depths = {"token_mixer_shortcut": 99, "mlp_shortcut": 40, "link": 4}
    return Design("relu_h96", STREAMING, sizes, published_folding(sizes), depths)


@pytest.fixture
def measured(design):
    """Return a run in which every loop, the interval and the resources are as planned."""
    network = streaming_network(design.sizes, design.folding)
    trips = {p.steps * p.rounds for p in network.processes if p.name not in ("source", "sink")}
    loops = tuple(loop(f"run_{n}", "vectors_folds", same(n)) for n in sorted(trips))
    last = Module("run_last", "yes", 3.0, same(10), same(10), {})
    top = Module("resmlp_top", "dataflow", 3.0, same(9000), same(6240), USED)
    csynth = Csynth("Vitis HLS 2024.1", "xc7", "vitis", 5.0, 1.35, top, {}, loops, (last,))
    return Measured(csynth)


def changed(measured, **changes):
    return replace(measured, csynth=replace(measured.csynth, **changes))


def differences(measured, design, plan=PLAN):
    return list(compare(measured, design, plan).differences)


def test_a_run_as_planned_has_no_differences(measured, design):
    result = compare(measured, design, PLAN)
    assert result.differences == ()
    assert result.to_json() == {
        "interval_cycles": {"tool": 6240, "expected": 6240, "percent": 0.0},
        "lut": {"tool": 5000, "expected": 5000, "percent": 0.0},
        "dsp": {"tool": 100, "expected": 100, "percent": 0.0},
        "bram": {"tool": 20, "expected": 20, "percent": 0.0},
        "differences": "none",
    }


def test_a_loop_that_starts_too_rarely_is_named(measured, design):
    first, *others = measured.csynth.loops
    slow = replace(first, interval=same(2))
    [sentence] = differences(changed(measured, loops=(slow, *others)), design)
    assert sentence == (
        f"The loop vectors_folds of {first.module} starts an iteration every 2 cycles, the model "
        "every 1."
    )


def test_a_loop_with_other_trips_and_the_process_without_a_loop_are_named(measured, design):
    first, *others = measured.csynth.loops
    other = replace(first, trip_count=same(12345))
    found = differences(changed(measured, loops=(other, *others)), design)
    assert found[0].startswith(f"The loop vectors_folds of {first.module} makes 12345 trips")
    assert found[1].startswith(
        f"No loop makes the trips of these processes: {first.trip_count.min}"
    )


def test_a_nest_that_is_not_flattened_is_named_and_its_trips_are_multiplied(measured, design):
    last = measured.csynth.loops[-1]
    count = last.trip_count.max
    assert count % 2 == 0
    nest = (
        loop("nest", "vectors", same(2), interval=None),
        loop("nest", "vectors/folds", same(count // 2)),
    )
    loops = (*measured.csynth.loops[:-1], *nest)
    [sentence] = differences(changed(measured, loops=loops), design)
    assert sentence.startswith("The loop vectors/folds of nest is not flattened")


def test_trips_that_the_tool_does_not_know_are_not_compared(measured, design):
    loops = (*measured.csynth.loops, loop("steps", "cycles", UNKNOWN))
    assert differences(changed(measured, loops=loops), design) == []


@pytest.mark.parametrize(
    ("cosim", "top", "found"),
    [
        (6250, 6240, None),
        (28674, 6240, "is 28674 cycles (co-simulation), the model has 6240 (+359.52 %)"),
        (None, 6300, "is 6300 cycles (C synthesis), the model has 6240 (+0.96 %)"),
        (None, None, "is 10 cycles (C synthesis of run_last)"),
    ],
)
def test_the_interval_is_that_of_the_best_report(measured, design, cosim, top, found):
    module = replace(measured.csynth.top, interval=UNKNOWN if top is None else same(top))
    run = changed(measured, top=module)
    if cosim is not None:
        run = replace(run, cosim=Cosim("Verilog", True, UNKNOWN, same(cosim), None))
    sentences = differences(run, design)
    assert len(sentences) == (found is not None)
    assert found is None or found in sentences[0]


def test_resources_far_from_the_estimate_are_named(measured, design):
    used = USED | {"bram": 870, "dsp": 109}
    run = changed(measured, top=replace(measured.csynth.top, used=used))
    export = Export("impl", None, None, None, 5.0, 4.5, True, USED | {"lut": 4000}, {})
    assert differences(replace(run, export=export), design) == [
        "C synthesis uses BRAM 870, the estimate is 20 (+4250 %).",
        "Vivado uses LUT 4000, the estimate is 5000 (-20 %).",
    ]


def test_an_estimate_of_memories_alone_says_so(measured, design):
    [sentence] = differences(measured, design, {"estimate_lut_memory": 1000})
    assert sentence == (
        "C synthesis uses LUT 5000, the estimate is 1000 (of memories alone) (+400 %)."
    )


def test_of_a_simd_design_the_trips_are_not_known(measured, random_network):
    design = Design("relu_h96", SIMD, Sizes.of(random_network()), array=(4, 4))
    assert differences(measured, design) == []
    assert differences(measured, design, {}) == []
