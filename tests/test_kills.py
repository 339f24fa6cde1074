"""A share of tests/kill_walk.py: killed stages leave nothing, and run again to the same bytes."""

import random

import pytest

from tests import kill_walk

pytestmark = [pytest.mark.pipeline, pytest.mark.training]


def test_killed_stages_run_again_to_the_same_bytes(tmp_path):
    kill_walk.make_params(tmp_path)
    todo = [["prepare_data"], ["train_convnet"]]
    kill_walk.walk(tmp_path, todo, {"train_convnet": 1}, random.Random(0))
