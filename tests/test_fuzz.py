"""A small share of `make fuzz`, and the harness itself: it finds what breaks the rule."""

import os
import time

import numpy as np
import pytest

from models.files.errors import PipelineError
from tests.fuzz import harness
from tests.fuzz.harness import Reader, all_readers, fuzz, input_of
from tests.support import specimens

INPUTS = 20


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    """Compile what reading a network compiles before the forks, which inherit it."""
    specimens.samples()


@pytest.mark.pipeline
@pytest.mark.parametrize("name", all_readers())
def test_changed_files_are_read_or_refused_in_one_sentence(name):
    result = fuzz(all_readers()[name], range(INPUTS), seed=1, seconds=120)
    assert result.findings == {}
    assert result.read + result.refused == INPUTS


def refuse(path):
    raise PipelineError(f"{path} is odd")


def fail(path):
    raise ValueError("odd")


def refuse_at_length(path):
    raise PipelineError(f"{path}\nis odd")


def refuse_without_a_name(path):
    raise PipelineError("it is odd")


BAD = {
    "error": (fail, "ValueError: odd"),
    "lines": (refuse_at_length, "not one line"),
    "name": (refuse_without_a_name, "not one line with file.txt"),
    "end": (lambda path: os._exit(3), "ended the process"),
    "time": (lambda path: time.sleep(60), "took more than"),
    "memory": (lambda path: np.ones(1 << 29), "MemoryError"),
}


@pytest.mark.pipeline
@pytest.mark.parametrize(("read", "words"), BAD.values(), ids=BAD.keys())
def test_what_breaks_the_rule_is_found(read, words, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "SECONDS", 0.5)
    result = fuzz(Reader("file.txt", lambda: [b"a"], read), range(2), 0, 60, keep=tmp_path)
    assert set(result.findings) == {0, 1}
    assert words in result.findings[0]
    survived = words not in ("ended the process", "took more than")
    assert len(list(tmp_path.iterdir())) == (2 if survived else 0)


@pytest.mark.pipeline
def test_what_obeys_the_rule_is_counted():
    assert fuzz(Reader("file.txt", lambda: [b"a"], len), range(3), 0, 0.0).read == 0
    result = fuzz(Reader("file.txt", lambda: [b"a"], refuse), range(3), 0, 60)
    assert (result.read, result.refused, result.findings) == (0, 3, {})


def test_a_seed_gives_the_same_inputs():
    reader = Reader("file.txt", lambda: [], len)
    inputs = [[input_of(reader, [b"some text"], seed, i) for i in range(20)] for seed in (0, 0, 1)]
    assert inputs[0] == inputs[1] != inputs[2]
