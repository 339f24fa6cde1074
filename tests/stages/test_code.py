"""The fingerprints of our own stages: what an edit of the real code marks, and that none is missed.

The stages run on a tiny pipeline while a profiler notes each function of ours that is called: all
must be in the fingerprint of their stage.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from stages.code import NOT_COMPUTING, fingerprints, stage_entries
from stages.pipeline.fingerprint import Code
from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.stages.test_stages import toy_params
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

TEACHER_STAGES = ("train_convnet", "evaluate_convnet", "train_teacher", "evaluate_teacher")
# What checks the options of all activations when params.yaml is read.
ASKED_BY_PARAMS = ("models.float.activations.registry", "models.float.activations.spec")
# Asked by Python for a name that is a submodule; it raises AttributeError, and the import goes on.
IMPORTING = {("models.float.activations", "__getattr__")}
WITH_TABLES = {"distill", "evaluate", "quantize", "dump_params", "export_onnx"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return a copy of the code, for tests that edit it and put it back."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("stages", "models", "hls"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    return root


def prints(root):
    path = ROOT / "params.yaml"
    return fingerprints(load_params(path), read_yaml(path), root)


@pytest.fixture(scope="module")
def before(tree):
    return prints(tree)


@pytest.fixture
def marked(tree, before):
    """Return a function (file, old, new) to the (stage, name) pairs that this edit alone marks."""

    def edit(name, old, new):
        path = tree / name
        text = path.read_text() if path.exists() else ""
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1))
        try:
            after = prints(tree)
        finally:
            path.write_text(text) if text else path.unlink()
        return {
            (stage, name)
            for name, stages in before.items()
            for stage, digest in stages.items()
            if after[name][stage] != digest
        }

    return edit


def stages_of(pairs):
    return {stage for stage, _ in pairs}


def test_the_committed_fingerprints_are_by_variant_and_design():
    params = load_params(ROOT / "params.yaml")
    expected = {"pipeline", *params.variants, *params.designs}
    assert set(prints(ROOT)) == expected


def test_the_board_of_a_design_marks_its_plan_and_its_synthesis():
    params, document = load_params(ROOT / "params.yaml"), read_yaml(ROOT / "params.yaml")
    found = fingerprints(params, document)["relu_h96_stream"]
    document["designs"]["relu_h96_stream"]["board"] = "pynq-z2"
    moved = fingerprints(params, document)["relu_h96_stream"]
    assert {stage for stage in found if found[stage] != moved[stage]} == {"plan", "synthesize"}
    assert moved["synthesize"] == f"{found['synthesize']}, board pynq-z2"


def test_comments_docstrings_and_layout_mark_nothing(marked):
    assert not marked("models/float/resmlp.py", '"""', '"""Another sentence. ')
    assert not marked("stages/training/loop.py", "\ndef ", "\n\n# Why.\n\n\ndef ")
    assert not marked("hls/cpp/common/stream.hpp", "\n", "\n// Why.\n\n\n")


def test_a_new_activation_marks_nothing(tree, marked):
    folder = "models/float/activations"
    text = (tree / folder / "relu.py").read_text()
    assert not marked(f"{folder}/celu.py", "", text)
    spec = (tree / folder / "specs" / "relu.py").read_text()
    assert not marked(f"{folder}/specs/celu.py", "", spec)


def test_a_new_function_of_a_shared_module_marks_nothing(marked):
    assert not marked(
        "stages/pipeline/paths.py", "\n\ndef ", "\n\ndef elsewhere():\n    pass\n\n\ndef "
    )


def test_what_reads_params_marks_nothing(marked):
    assert not marked(
        "stages/pipeline/params.py", "\n\n@dataclass", "\n\nEXTRA = 1\n\n\n@dataclass"
    )
    assert not marked("stages/pipeline/command.py", "\n\ndef ", "\n\nprint(1)\n\n\ndef ")


def test_an_activation_marks_its_own_networks(marked):
    pairs = marked(
        "models/float/activations/lerp_psa.py", "    def forward", "    A = 1\n\n    def forward"
    )
    pairs.remove(("sample_functions", "pipeline"))  # of the network that the report shows
    assert stages_of(pairs) == WITH_TABLES
    assert all(name.startswith("lerp_psa") for _, name in pairs)
    pairs = marked("models/float/activations/specs/bspline.py", "SPEC", "A = 1\nSPEC")
    assert stages_of(pairs) == WITH_TABLES
    assert all(name.startswith("bspline") for _, name in pairs)
    pairs = marked(
        "models/float/activations/bspline.py", "    def forward", "    A = 1\n\n    def forward"
    )
    assert all(name.startswith("bspline") for _, name in pairs) and pairs


def test_a_stage_marks_itself_alone(marked):
    assert stages_of(
        marked("stages/quantize.py", "\ndef quantize(", "\nA = 1\n\n\ndef quantize(")
    ) == {"quantize"}
    pairs = marked("stages/verify.py", "len(logits),", "len(logits) + 0,")
    assert stages_of(pairs) == {"verify"}


def test_the_arithmetic_marks_what_computes_integers(marked):
    pairs = marked(
        "models/integer/fixed_point.py",
        "def saturate",
        "def saturate_more():\n    pass\n\n\ndef saturate",
    )
    assert not pairs
    pairs = marked(
        "models/integer/fixed_point.py", "def rounding_shift(", "def rounding_shift(  *,"
    )
    assert {"quantize", "dump_params", "verify", "csim"} <= stages_of(pairs)
    assert not {"distill", "evaluate", "train_teacher", "prepare_data"} & stages_of(pairs)


def test_one_accelerator_marks_its_designs(marked):
    pairs = marked("hls/cpp/simd/store.hpp", "#pragma once", "#pragma once\nint edited;")
    assert stages_of(pairs) == {"csim", "synthesize"}
    assert all(name.endswith("_simd") for _, name in pairs) and pairs


# Nothing that runs goes unseen.

# A profiler makes the import of other people's code slow, so that comes first.
TRACED = """\
import json, runpy, sys, threading
import matplotlib.figure, numba, pydantic, sklearn.datasets, torch, torch._dynamo
root, *chain = sys.argv[1:]
folders = tuple(f"{root}/{name}/" for name in ("stages", "models", "hls"))
seen, found = set(), {}
def note(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_flags & 1 and code.co_filename.startswith(folders):
        seen.add((code.co_filename, code.co_firstlineno))  # a function; a class body has no flag
sys.path[0] = root
threading.setprofile(note)
for command in chain:
    sys.argv = command.split()
    seen.clear()
    sys.setprofile(note)
    runpy.run_module(f"stages.{sys.argv[0]}", run_name="__main__", alter_sys=True)
    sys.setprofile(None)
    found[sys.argv[0]] = sorted(seen)
with open("log.json", "w") as file:
    json.dump(found, file)
"""
CHAIN = [
    ("prepare_data",),
    ("train_convnet",),
    ("evaluate_convnet",),
    ("train_teacher",),
    ("evaluate", "lerp_psa_h8"),
    ("quantize", "lerp_psa_h8"),
    ("dump_params", "lerp_psa_h8"),
    ("verify", "lerp_psa_h8"),
    ("export_onnx", "lerp_psa_h8"),
    ("generate_headers", "lerp_psa_h8"),
    ("plan", "lerp_psa_h8_stream"),
    ("csim", "lerp_psa_h8_stream"),
    ("synthesize", "lerp_psa_h8_stream"),
    ("report",),
]
CHAIN.insert(4, ("distill", "lerp_psa_h8"))


@cache
def top_level(path):
    """Return the (first line, last line, name) of the top-level functions and classes of a file."""
    found = []
    for node in ast.parse(Path(path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            found.append((first, node.end_lineno, node.name))
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run the chain once under a profiler; return the functions of ours that each stage called."""
    folder = tmp_path_factory.mktemp("traced")
    params = toy_params()
    params["designs"] = {
        "lerp_psa_h8_stream": {
            "variant": "lerp_psa_h8",
            "accelerator": "streaming",
            "folding": "published",
        }
    }
    params["rtl"]["designs"] = {}
    params["gates"]["designs"] = []
    for section in ("convnet", "teacher", "distill", "quantize"):
        params[section]["epochs"] = 1
    compiler = folder / "without_optimisation"  # it compiles faster, and runs three images only
    compiler.write_text('#!/bin/sh\nexec g++ "$@" -O0\n')
    compiler.chmod(0o755)
    params["csim"] |= {"samples": 1, "images": 2, "compiler": str(compiler)}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "traced.py").write_text(TRACED)
    command = [sys.executable, "traced.py", str(ROOT), *map(" ".join, CHAIN)]
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {
        stage: {place for path, line in calls for place in named(path, line)}
        for stage, calls in json.loads((folder / "log.json").read_text()).items()
    }


def named(path, line):
    """Return (module, top-level name) of the code that begins at a line of a file of ours."""
    module = Path(path).relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    names = [name for first, last, name in top_level(path) if first <= line <= last]
    return [(module.removesuffix(".__init__"), name) for name in names]


@pytest.mark.pipeline
@pytest.mark.training
@pytest.mark.compiler
@pytest.mark.parametrize("stage", [stage for stage, *_ in CHAIN])
def test_every_function_that_runs_is_in_the_fingerprint(stage, runs):
    code = Code(ROOT)
    activation = "lerp_psa" if stage in WITH_TABLES else "relu"
    texts = code.statements(stage_entries(stage, activation), NOT_COMPUTING)
    kept = set()
    for text in texts:
        module, _, rest = text.partition(": ")
        if rest.startswith(("FunctionDef(name='", "ClassDef(name='")):
            kept.add((module, rest.split("'")[1]))
    others = {call for call in runs[stage] if call[0] not in (*NOT_COMPUTING, *ASKED_BY_PARAMS)}
    assert len(others) > 3
    assert sorted(others - kept - IMPORTING) == []
