"""Which calls the test bench makes: co-simulation measures them, so there they are all alike."""

import re
import subprocess

import numpy as np
import pytest

from hls.headers import network as headers
from hls.headers.golden import golden_text
from hls.simulate import gpp
from hls.simulate.gpp import TEST_BENCH
from models.integer import resmlp as int_resmlp
from tests.support.hls_design import write_images

pytestmark = pytest.mark.compiler

DRIVER = """\
#pragma once
#include <cstdio>
#include <vector>
#include "config.hpp"

constexpr int images_per_call = 4;

inline std::vector<int8_t> classify(const int8_t*, int count) {
  std::fprintf(stderr, "CALL %d\\n", count);
  return std::vector<int8_t>(count * Config::num_classes);
}
"""
SAMPLES, IMAGES = 6, 9


@pytest.fixture(scope="module")
def calls(random_network, tmp_path_factory, builds):
    """Return a function that runs the test bench on a stand-in that counts the images of calls."""
    folder = tmp_path_factory.mktemp("calls")
    network = random_network(seed=1)
    tokens = np.zeros((SAMPLES, network.num_patches, network.patch_dim), np.int32)
    samples = int_resmlp.make_samples(network, tokens, np.zeros(SAMPLES))
    (folder / "golden.hpp").write_text(golden_text(samples))
    (folder / "config.hpp").write_text(headers.config_text(network))
    (folder / "driver.hpp").write_text(DRIVER)
    files = write_images(network, folder, IMAGES)
    sources, includes = [gpp.SOURCES / TEST_BENCH], [folder, gpp.SOURCES / "common"]
    binary = folder / "testbench"
    builds.compile("g++", sources, includes, binary, folder / "log", ["-O0"])

    def run(*numbers):
        arguments = [str(files.tokens), str(files.logits), *map(str, numbers)] if numbers else []
        done = subprocess.run([binary, *arguments], capture_output=True, text=True)
        return [int(count) for count in re.findall(r"^CALL (\d+)$", done.stderr, re.MULTILINE)]

    return run


def test_as_the_tool_runs_it_every_call_is_of_one_image(calls):
    """So the cycles that co-simulation reports are those of one image, never of a mixture."""
    assert calls() == [1] * SAMPLES


def test_with_files_samples_and_images_come_in_calls_of_several_too(calls):
    assert calls(0, IMAGES) == [1] * SAMPLES + [4, 2] + [4, 4, 1]
    assert calls(7, 0) == [1] * SAMPLES + [4, 2]


def test_simulation_of_golden_samples_alone_makes_calls_of_several(tmp_path):
    """gpp.simulate asks for them even where it has no images."""
    script = tmp_path / "testbench"
    script.write_text('#!/bin/sh\necho "$@"\necho PASS images 1 mismatches 0\n')
    script.chmod(0o755)
    assert gpp.simulate(script, tmp_path / "log") == 0
    assert "/dev/null /dev/null 0 0" in (tmp_path / "log").read_text()
