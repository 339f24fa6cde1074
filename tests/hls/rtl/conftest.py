"""Fixtures of the tests that simulate RTL."""

from pathlib import Path

import pytest

from hls.simulate.verilator import compile_runtime, verilator_folder


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the objects of Verilator's library, compiled once."""
    if verilator_folder() is None:
        pytest.skip("the Python package verilator is not installed")
    folder = tmp_path_factory.mktemp("verilated")
    return compile_runtime("g++", folder, folder / "log")
