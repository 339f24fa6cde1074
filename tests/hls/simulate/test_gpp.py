"""Compilers and places that cannot do their work are told in one sentence."""

import errno
import os

import pytest

from hls.processes import Children
from hls.simulate import gpp
from models.files.errors import PipelineError

pytestmark = pytest.mark.pipeline

PATH_OF_A_CLONE = 'it\'s "odd" $HOME ümlaut {b} [c] %d & ;x'


@pytest.fixture
def compiler(tmp_path):
    """Return a function that writes a compiler of the given shell commands."""

    def write(text, mode=0o755):
        path = tmp_path / "compiler"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return write


def failure(compiler, tmp_path):
    source, log = tmp_path / "x.cpp", tmp_path / "log"
    source.write_text("int main() { return 0; }\n")
    with pytest.raises(PipelineError) as caught:
        gpp.compile_program(compiler, [source], [tmp_path], tmp_path / "x", log)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\n", "it wrote no program (status 0)"),
        ("#!/bin/sh\nexit 4\n", "it wrote no program (status 4)"),
        ("#!/bin/sh\necho 'fatal error: no space'; exit 1\n", "fatal error: no space; see"),
        ("#!/bin/sh\nkill -SEGV $$\n", "killed by SIGSEGV"),
        ("#!/no/such/interpreter\n", "cannot be started: No such file"),
        ("\x7fELF broken", "cannot be started: Exec format error"),
    ],
    ids=["nothing", "status", "full", "crash", "no interpreter", "no program"],
)
def test_a_bad_compiler_is_told(text, words, compiler, tmp_path):
    assert words in failure(compiler(text), tmp_path)


def test_a_compiler_that_is_missing_or_not_executable_is_told(compiler, tmp_path):
    assert "not on PATH" in failure("no-such-compiler", tmp_path)
    assert "may not be run" in failure(compiler("#!/bin/sh\n", mode=0o644), tmp_path)


def test_a_place_that_runs_no_programs_is_told(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Children, "start", refuse)
    with pytest.raises(PipelineError, match=r"noexec.*set the environment variable TMPDIR"):
        gpp.simulate(tmp_path / "testbench", tmp_path / "log")


def test_the_compiler_keeps_its_temporary_files_in_the_build_folder(compiler, tmp_path):
    script = '#!/bin/sh\nfor last; do :; done\necho "$TMPDIR" > "$last"\nchmod +x "$last"\n'
    (tmp_path / "x.cpp").write_text("")
    binary = tmp_path / "x"
    gpp.compile_program(compiler(script), [tmp_path / "x.cpp"], [], binary, tmp_path / "log")
    assert binary.read_text().strip() == str(tmp_path)


@pytest.mark.compiler
def test_a_program_is_compiled_and_run_in_a_path_of_any_characters(tmp_path):
    folder = tmp_path / PATH_OF_A_CLONE
    (folder / "include").mkdir(parents=True)
    (folder / "include" / "answer.hpp").write_text("#define ANSWER 42\n")
    source = folder / "x.cpp"
    source.write_text(
        '#include <cstdio>\n#include "answer.hpp"\nint main() { std::printf("%d", ANSWER); }\n'
    )
    log = folder / "log"
    program = gpp.compile_program("g++", [source], [folder / "include"], folder / "x", log)
    assert gpp.run([str(program)], log).stdout == "42"
