"""Samples of learned functions: which channels are taken, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

from models.files.errors import PipelineError
from stages.results.functions import Functions, least_alike, load_functions, save_functions


def functions(number=2, **changes):
    arrays = {
        "channels": np.arange(number),
        "values": np.ones((number, 256), np.float32),
        "knots": np.zeros((number, 65), np.int8),
        "counts": np.ones((number, 256), np.int64),
        "scales": np.array([0.5, 0.25]),
    }
    return Functions(**(arrays | changes))


def test_the_channels_have_different_shapes():
    x = np.linspace(-4, 4, 64, dtype=np.float32)
    assert least_alike(np.stack([x, 2 * x + 1, x**2]), 2) == [0, 2]


def test_a_place_has_no_more_channels_than_it_has():
    assert len(least_alike(np.eye(3, 8), 5)) == 3


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "functions.npz"
    places = {"blocks_0_mlp_act_in": functions(), "blocks_0_mlp_act_hidden": functions(1)}
    save_functions(path, places)
    found = load_functions(path)
    assert list(found) == list(places)
    np.testing.assert_array_equal(found["blocks_0_mlp_act_in"].values, functions().values)


@pytest.mark.parametrize(
    "place", ["blocks_0_mlp_act_in; x", "../x", "mean_"], ids=["code", "path", "unknown"]
)
def test_a_file_of_other_places_is_refused(place, tmp_path):
    path = tmp_path / "functions.npz"
    save_functions(path, {place: functions()})
    with pytest.raises(PipelineError, match=r"functions.npz holds no sampled functions"):
        load_functions(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"knots": np.zeros((2, 64), np.int8)},
        {"values": np.full((2, 256), np.nan, np.float32)},
        {"scales": np.array([0.0, 1.0])},
        {"counts": np.zeros((1, 256), np.int64)},
    ],
    ids=["knots", "not finite", "no scale", "counts"],
)
def test_arrays_of_other_shapes_or_values_are_refused(changes):
    with pytest.raises(ValueError, match=r"functions|scales"):
        functions(**changes)


def test_a_missing_file_is_named():
    with pytest.raises(PipelineError, match=r"x.npz is missing; run `dvc repro sample_functions`"):
        load_functions(Path("x.npz"))
