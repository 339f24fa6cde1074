"""A share of tests/kill_walk.py: killed stages leave nothing, and run again to the same bytes."""

import random

import pytest

from tests import kill_walk

pytestmark = [pytest.mark.pipeline, pytest.mark.training]


def test_killed_stages_run_again_to_the_same_bytes(tmp_path):
    params = kill_walk.make_params(tmp_path)
    todo = [["prepare_data"], ["train_convnet"], ["plan", next(iter(params["designs"]))]]
    kills = {"train_convnet": 2, "plan": 1}
    kill_walk.walk(tmp_path, todo, kills, random.Random(0))
