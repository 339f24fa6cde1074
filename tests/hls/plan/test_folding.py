"""Folding factors: what may be built, how fast it is, and the fewest multipliers for a target."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.plan.sizes import Sizes, copies, products
from hls.plan.streaming.binding import Binding
from hls.plan.streaming.dataflow import PAUSE, streaming_network
from hls.plan.streaming.folding import (
    Fold,
    Folding,
    check_folding,
    divisors,
    possible_lanes,
    published_folding,
)
from hls.plan.streaming.folding_solver import (
    fastest_cycles,
    fold_for_cycles,
    fold_for_dsp,
    fold_for_rate,
)
from hls.plan.streaming.resources import dsp_total
from models.files.errors import PipelineError

LERP_96 = Sizes(48, 64, 96, 96, 4, 10, True)
RELU_192 = Sizes(48, 64, 96, 192, 4, 10, False)
TINY = Sizes(12, 4, 6, 10, 2, 3, False)
PUBLISHED_RATE = 200e6 / 6240
BOUND = Binding(dsp_share=1.0)  # every multiplier is a DSP


def longest(sizes: Sizes, folding: Folding) -> int:
    return streaming_network(sizes, folding).longest_stage


def multipliers(sizes: Sizes, folding: Folding) -> int:
    return sum(folding.fold(name).multipliers * copies(name, sizes) for name in products(sizes))


def test_sizes_are_read_off_the_parameters(random_network) -> None:
    network = random_network(tables=True, num_patches=8, hidden_dim=14)
    sizes = Sizes.of(network)
    assert sizes == Sizes(12, 8, 6, 14, 2, 3, True)


def test_multiply_accumulates_are_the_published_ones() -> None:
    macs = {
        name: product.vectors * product.inputs * product.outputs * copies(name, LERP_96)
        for name, product in products(LERP_96).items()
    }
    assert sum(macs.values()) == 6_587_328


def test_published_folding_takes_the_published_cycles() -> None:
    for sizes, cycles in ((LERP_96, 6240 + PAUSE), (RELU_192, 12352 + PAUSE)):
        folding = published_folding(sizes)
        check_folding(folding, sizes)
        assert longest(sizes, folding) == cycles


def test_a_folding_survives_a_file() -> None:
    folding = fold_for_cycles(LERP_96, 1000)
    assert folding is not None
    assert Folding.from_dict(json.loads(json.dumps(asdict(folding)))) == folding


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 3}, r"lanes is 3, which does not divide num_patches = 64; .*: 1, 2, 4, 8, 16\."),
        ({"lanes": 0}, r"lanes is 0, .* possible for this network: 1, 2, 4, 8, 16\."),
        ({"lanes": 32}, r"lanes is 32, which does not divide patch_dim = 48"),
        ({"handover": 2}, r"handover is 2, but must be 1 .* or 0"),
        (
            {"mlp_linear_1": Fold(5, 96)},
            r"mlp_linear_1\.pe is 5, which does not divide the layer's 96 outputs; possible: 1, 2,",
        ),
        (
            {"token_mixer_linear": Fold(1, 128)},
            r"token_mixer_linear\.simd is 128, which does not divide the layer's 64 inputs",
        ),
        ({"classifier_linear": Fold(-1, 1)}, r"classifier_linear\.pe is -1, .* 1, 2, 5, 10\."),
    ],
)
def test_an_impossible_folding_is_refused_in_one_sentence(changes, message) -> None:
    with pytest.raises(PipelineError, match=message) as caught:
        check_folding(replace(published_folding(LERP_96), **changes), LERP_96)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("times", [1, 2, 4, 8])
def test_a_multiple_of_the_published_rate_takes_that_multiple_of_multipliers(times: int) -> None:
    """Without the hand-over cycle nothing is lost by folding: PE = lanes = the multiple."""
    rate = {8: 7.85}.get(times, times) * PUBLISHED_RATE * (1 if times < 4 else 0.998)
    folding = fold_for_rate(LERP_96, rate, clock_ns=5.0)
    assert longest(LERP_96, folding) == 6144 // times + PAUSE
    assert folding.lanes == times
    in_parallel = multipliers(LERP_96, folding) - folding.classifier_linear.multipliers
    assert in_parallel == times * 1072


def test_a_rate_that_is_just_reached_and_one_that_is_not() -> None:
    assert fastest_cycles(LERP_96) == 384 + PAUSE == 409
    most = 200e6 / 409
    assert longest(LERP_96, fold_for_rate(LERP_96, most, 5.0)) == 409
    with pytest.raises(PipelineError, match=r"is 488999, but the most is 488998 .* 409 cycles"):
        fold_for_rate(LERP_96, 488_999, 5.0)
    assert longest(LERP_96, fold_for_rate(LERP_96, 488_999, 4.0)) <= 511


def test_a_budget_of_dsps_is_spent_but_not_exceeded() -> None:
    for budget in (30, 100, 1089, 5952):
        folding = fold_for_dsp(LERP_96, budget, BOUND)
        assert dsp_total(LERP_96, folding, BOUND) <= budget
        cycles = longest(LERP_96, folding)
        faster = fold_for_cycles(LERP_96, cycles - 1)
        assert faster is not None and dsp_total(LERP_96, faster, BOUND) > budget
    with pytest.raises(PipelineError, match=r"target\.dsp is 29, but the smallest .* takes 30 "):
        fold_for_dsp(LERP_96, 29, BOUND)


def test_left_to_the_tool_a_third_of_the_multipliers_costs_no_dsp() -> None:
    bound, free = (fold_for_dsp(LERP_96, 900, binding) for binding in (BOUND, Binding()))
    assert dsp_total(LERP_96, free, Binding()) <= 900
    assert multipliers(LERP_96, free) > multipliers(LERP_96, bound)


@pytest.mark.parametrize(("hidden", "pe"), [(513, 1), (1024, 1), (512, 1)])
def test_a_vector_is_no_longer_than_a_stream_word(hidden: int, pe: int) -> None:
    sizes = replace(LERP_96, hidden_dim=hidden)
    folding = replace(published_folding(sizes), mlp_linear_1=Fold(pe, 96))
    if hidden == 512:
        check_folding(folding, sizes)
        return
    with pytest.raises(PipelineError, match=rf"mlp_linear_2 has {hidden} inputs, .* most 512 fit"):
        check_folding(folding, sizes)


def test_no_folding_in_time_has_fewer_multipliers() -> None:
    """Against all foldings of a network that is small enough to try them all."""
    sizes = replace(TINY, patch_dim=2, num_patches=2, embed_dim=2, hidden_dim=2, num_classes=2)
    measured = [
        (longest(sizes, folding), multipliers(sizes, folding), folding.lanes)
        for folding in every_folding(sizes)
    ]
    for cycles in (PAUSE + trips for trips in (2, 3, 4, 8, 16)):
        best = min((count, lanes) for longest, count, lanes in measured if longest <= cycles)
        found = fold_for_cycles(sizes, cycles)
        assert found is not None
        assert (multipliers(sizes, found), found.lanes) == best
    assert fold_for_cycles(sizes, PAUSE + 1) is None


def every_folding(sizes: Sizes) -> list[Folding]:
    found = [Folding(lanes, *[Fold(1, 1)] * 5, handover=0) for lanes in possible_lanes(sizes)]
    for name, product in products(sizes).items():
        folds = [
            Fold(pe, simd) for pe in divisors(product.outputs) for simd in divisors(product.inputs)
        ]
        found = [replace(folding, **{name: fold}) for folding in found for fold in folds]
    return found


@settings(max_examples=60, deadline=None)
@given(cycles=st.integers(384, 100_000), hidden=st.sampled_from([24, 48, 96, 192, 7]))
def test_what_is_found_can_be_built_and_is_in_time(cycles: int, hidden: int) -> None:
    sizes = replace(LERP_96, hidden_dim=hidden)
    folding = fold_for_cycles(sizes, cycles)
    if folding is None:
        assert cycles < fastest_cycles(sizes)
    else:
        check_folding(folding, sizes)
        assert longest(sizes, folding) <= cycles
