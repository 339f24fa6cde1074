"""Compile the HLS code for tests faster, from the same sources.

Most of the compile time is spent on the headers of ap_int and of the standard library, so these are
precompiled once per session for each set of flags. Some tests compile without precompiled headers
and optimise: test_parity.py, test_simd.py and test_import_int8.py use the flags of the pipeline,
and the tests of project folders must notice a missing header.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hls.cpp.accelerators import STREAMING
from hls.simulate import gpp

HEADERS = """\
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>
#include "ap_int.h"
"""
QUICK = ("-O0", "-Werror")  # these networks take longer to compile than to run
OPTIMISED = ("-O1", "-Werror")
SANITIZED = (  # no check of shifts: ap_private.h shifts negative numbers left to extend the sign
    "-O0",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize=shift",
    "-fno-sanitize-recover=all",
)


class QuickBuilds:
    """Compiles as hls.simulate.gpp does, with precompiled headers; can reuse equal programs."""

    def __init__(self, folder):
        self.folder = folder
        self.compile_program = gpp.compile_program  # before quick_stages replaces it
        folder.mkdir(exist_ok=True)

    def build(self, compiler, headers, folder, log, flags=(), accelerator=STREAMING):
        """Compile the test bench of an accelerator; arguments as for gpp.build."""
        return gpp.build(compiler, headers, folder, log, self.with_headers(flags), accelerator)

    def compile(self, compiler, sources, includes, binary, log, flags=()):
        """Compile and link sources; arguments as for gpp.compile_program."""
        flags = self.with_headers(flags)
        return self.compile_program(compiler, sources, includes, binary, log, flags)

    def compile_once(self, compiler, sources, includes, binary, log, flags=()):
        """Compile without optimisation, or copy an earlier program of equal sources and flags."""
        flags = [*flags, "-O0"]
        key = hashlib.sha256(repr((compiler, flags)).encode())
        headers = [path for include in includes for path in sorted(include.glob("*.h*"))]
        for path in (*sources, *headers):
            key.update(f"{path.name}\n{path.read_text()}".encode())
        known = self.folder / key.hexdigest()
        known_log = known.with_suffix(".log")
        if known.exists():
            shutil.copy(known, binary)
            with log.open("a") as file:
                file.write(known_log.read_text())
            return binary
        start = log.stat().st_size if log.exists() else 0
        self.compile(compiler, sources, includes, binary, log, flags)
        known_log.write_text(log.read_text()[start:])
        shutil.copy(binary, known)
        return binary

    def with_headers(self, flags):
        """Return the flags plus those that include the precompiled headers.

        The headers do not change what the program does.
        """
        base = ["-std=c++14", *gpp._native("g++"), "-O3"]
        base += [flag for flag in flags if flag.startswith(("-O", "-f", "-p"))]
        base = [flag for flag in base if flag != "-fsyntax-only"]
        name = hashlib.sha256(" ".join(base).encode()).hexdigest()[:12]
        header = self.folder / f"headers_{name}.hpp"
        with self.folder.joinpath("lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the session's other workers wait for the file
            if not header.exists():
                header.write_text(HEADERS)
                command = ["g++", *base, "-isystem", str(gpp.ap_types_folder()), "-w"]
                command += ["-x", "c++-header", str(header), "-o", f"{header}.gch"]
                subprocess.run(command, check=True)
        return [*flags, "-Winvalid-pch", "-include", str(header)]


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Return the builds of this session, which its workers share; the last worker deletes them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "hls_builds"
    builds = QuickBuilds(folder)
    with Path(f"{folder}.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield builds
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(folder)


@pytest.fixture
def quick_stages(builds, monkeypatch):
    """Make stages compile quickly, and reuse programs that an earlier test compiled."""
    monkeypatch.setattr(gpp, "compile_program", builds.compile_once)
