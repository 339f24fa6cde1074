"""What DVC makes of our dvc.yaml: what runs, when, what is kept, and what another machine gets.

The repository is a copy of our code. Its stage `code` is the real one; stand-ins for the others
write, for every output, a text that depends on the parameters and, for weights, on the machine.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.dvc_commands import run_dvc
from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline

COPIED = [".dvc/config", ".dvc/.gitignore", ".dvc/plots", ".dvcignore", ".gitignore", "dvc.yaml"]
CODE = ["stages", "models", "hls"]
VARIANTS = ["lerp_psa_h8", "relu_h8"]
DESIGNS = {
    "lerp_psa_h8_stream": {"variant": "lerp_psa_h8", "accelerator": "streaming"},
    "relu_h8_simd": {"variant": "relu_h8", "accelerator": "simd", "array": [2, 2]},
}
STREAMING = [name for name, row in DESIGNS.items() if row["accelerator"] == "streaming"]
FOLDING = {"folding": "published"}
STAND_IN = """\
import json, os, runpy, sys
from pathlib import Path
root = Path(__file__).resolve().parent.parent
if "RUNS" in os.environ:
    with open(os.environ["RUNS"], "a") as log:
        log.write(f"{root}\\n")
if sys.argv[1] == "code":
    sys.path[0] = str(root)
    del sys.argv[1]
    runpy.run_module("stages.code", run_name="__main__", alter_sys=True)
    sys.exit()
stages = json.loads((root / "outs.json").read_text())
text = Path("params.yaml").read_text()
stage, _, key = os.environ["DVC_STAGE"].split(":")[-1].partition("@")
for out in stages[stage]:
    out = out.replace("${key}", key)
    path = Path(out) if Path(out).suffix else Path(out) / "validation_accuracy.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps({"accuracy": sum(text.encode()) % 100}))
    elif "history" in path.parts and path.suffix == ".csv":
        path.write_text(f"epoch,val_accuracy\\n1,{sum(text.encode()) % 100}\\n")
    elif path.suffix == ".csv":
        values = f"1,relu_h8,relu,{sum(text.encode())}"
        path.write_text(f"epoch,variant,activation,val_accuracy\\n{values}\\n")
        header = "system,whose,accuracy,parameters,images_per_second"
        if path.parent.name == "plots":
            path.with_name("front.csv").write_text(f"{header}\\nrelu_h8,relu,80,10,20\\n")
    elif path.suffix == ".npz":
        path.write_text(out)
    else:
        path.write_text(out + text + os.environ.get("OMP_NUM_THREADS", ""))
"""


def rows_of(definition: dict, params: dict) -> dict[str, dict]:
    """Return what a stage runs for: rows of a section, names of a list, or one nameless row."""
    rows = params
    for part in definition["foreach"].strip("${}").split(".") if "foreach" in definition else ():
        rows = rows[part]
    if rows is params:
        return {"": {}}
    return rows if isinstance(rows, dict) else {name: {} for name in rows}


def outs_of(definition: dict) -> dict[str, dict]:
    outs = definition.get("do", definition)["outs"]
    pairs = [next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in outs]
    return {path.replace("${item}", "${key}"): flags for path, flags in pairs}


def params_of(definition: dict) -> dict[str, list[str]]:
    """Return the keys of each file that a stage depends on."""
    files: dict[str, list[str]] = {"params.yaml": []}
    for entry in definition.get("do", definition).get("params", []):
        if isinstance(entry, dict):
            files |= entry
        else:
            files["params.yaml"].append(entry)
    return files


GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OUTS = {path: flags for definition in GRAPH.values() for path, flags in outs_of(definition).items()}


def run(folder: Path, *command: str, **settings: str) -> str:
    environment = os.environ | {
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        **settings,
    }
    if command[0] == "dvc":
        return run_dvc(folder, [*command[1:]], environment)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments)


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '(?:demo/dvc.yaml:)?(.+)':", output))


def repro(folder: Path, *arguments: str, **settings: str) -> set[str]:
    """Reproduce both pipelines, or what is named; return the names of the stages that ran."""
    targets = arguments or ("--all-pipelines",)
    return stages_run(run(folder, "dvc", "repro", *targets, **settings))


def toy_params(code_root: str, variants: list[str]) -> dict:
    params = yaml.safe_load((ROOT / "demo" / "params.yaml").read_text())
    params["code_root"] = code_root
    params["variants"] = {
        name: {"activation": name.removesuffix("_h8"), "hidden_dim": 8} for name in variants
    }
    params["designs"] = {
        name: row | (FOLDING if row["accelerator"] == "streaming" else {})
        for name, row in DESIGNS.items()
        if row["variant"] in variants
    }
    params["report"] = {"network": VARIANTS[0], "design": "lerp_psa_h8_stream"}
    params["rtl"]["designs"] = {
        name: {"variant": row["variant"]}
        for name, row in params["designs"].items()
        if row["accelerator"] == "streaming"
    }
    params["gates"]["designs"] = list(params["rtl"]["designs"])
    return params


def write_params(folder: Path, params: dict) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a repository with our graph, run both pipelines once and commit the result."""
    root = tmp_path_factory.mktemp("graph") / "repository"
    (root / "demo").mkdir(parents=True)
    (root / ".dvc").mkdir()
    for name in (*COPIED, *CODE):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        options = {"ignore": shutil.ignore_patterns("__pycache__")} if name in CODE else {}
        copy(ROOT / name, root / name, **options)
    shutil.copy(ROOT / "demo" / "dvc.yaml", root / "demo" / "dvc.yaml")
    (root / "stages" / "__main__.py").write_text(STAND_IN)
    write_params(root, toy_params(".", VARIANTS))
    write_params(root / "demo", toy_params("..", VARIANTS[:1]))
    outs = {
        name: [path.replace("${report.network}", VARIANTS[0]) for path in outs_of(definition)]
        for name, definition in GRAPH.items()
    }
    (root / "outs.json").write_text(json.dumps(outs))
    git(root, "init", "--quiet", "--initial-branch=main")
    run(root, "dvc", "repro", "--all-pipelines", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message=first run")
    return root


@pytest.fixture
def pipeline(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished run, which a test may change."""
    return shutil.copytree(finished, tmp_path / "repository", symlinks=True)


@pytest.fixture
def edit(pipeline: Path) -> Callable[[str, str, str], None]:
    """Return a function (file, old text, new text); "" as old text of no file makes the file."""

    def replace(name: str, old: str, new: str) -> None:
        path = pipeline / name
        text = path.read_text() if path.exists() else ""
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1))

    return replace


def test_the_demo_has_the_same_graph() -> None:
    copy = ROOT / "demo" / "dvc.yaml"
    assert not copy.is_symlink(), "DVC cannot follow a symlink in an earlier commit"
    same = copy.read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert same, "demo/dvc.yaml is not a copy of dvc.yaml: run `make demo/dvc.yaml`"


def test_git_keeps_metrics_reports_and_fingerprints_and_nothing_else(pipeline: Path) -> None:
    committed = git(pipeline, "ls-files", "data", "demo/data").splitlines()
    names = {
        "float": VARIANTS,
        "int8": VARIANTS,
        "onnx": VARIANTS,
        "model": DESIGNS,
        "csim": DESIGNS,
    }
    expected = {f"data/metrics/{kind}/{name}.json" for kind in names for name in names[kind]}
    expected |= {f"data/metrics/{name}.json" for name in ("float/convnet", "float/teacher")}
    expected |= {"data/metrics/dataset.json"}
    folders = [f"data/metrics/{kind}/{name}" for kind in ("gates", "route") for name in STREAMING]
    expected |= {f"{folder}/validation_accuracy.csv" for folder in folders}
    expected |= {f"data/code/{name}.json" for name in ("pipeline", *VARIANTS, *DESIGNS)}
    expected |= {"data/report.md", "data/plots/validation_accuracy.csv", "data/plots/front.csv"}
    assert {path.removeprefix("demo/") for path in committed} == expected
    assert not git(pipeline, "status", "--porcelain")


def test_images_are_kept_by_nobody_and_all_else_by_git_or_dvc(pipeline: Path) -> None:
    kept_by_nobody = []
    for path, flags in OUTS.items():
        file = path.replace("${key}", "relu_h8")
        ignored = subprocess.run(
            ["git", "check-ignore", "--quiet", "--no-index", f"{file}/x"], cwd=pipeline
        )
        if not flags.get("cache", True) and ignored.returncode == 0:
            kept_by_nobody.append(path)
        assert flags.get("push", True), "what is not pushed is made again on every other machine"
    assert kept_by_nobody == ["data/dataset.npz"]


def test_stages_that_train_have_cached_outs_only() -> None:
    trained = ("train_convnet", "train_teacher", "fetch_checkpoints", "distill", "quantize")
    for name in (*trained, "dump_params"):
        assert not any(outs_of(GRAPH[name]).values())


def test_what_git_keeps_survives_a_failed_run() -> None:
    in_git = ("data/metrics", "data/plots", "data/report.md", "data/code")
    for path in OUTS:
        if path.startswith(in_git):
            assert OUTS[path] == {"cache": False, "persist": True}


def test_every_stage_depends_on_its_code() -> None:
    for name, definition in GRAPH.items():
        if name != "code":
            (keys,) = [keys for file, keys in params_of(definition).items() if "code" in file]
            assert keys == [name]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "demo"], ids=["cifar10", "demo"])
def test_params_has_every_key_that_the_graph_names(folder: Path) -> None:
    """DVC refuses a stage with a missing key."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for definition in GRAPH.values():
        rows = rows_of(definition, params)
        for key in params_of(definition)["params.yaml"]:
            key, value = key.replace("${key}", next(iter(rows), "")), params
            for part in key.split("."):
                assert part in value, f"{folder}/params.yaml: {key}"
                value = value[part]


def test_every_stage_is_described() -> None:
    assert all(definition.get("do", definition)["desc"] for definition in GRAPH.values())


def test_dvc_yaml_is_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 400


def test_a_second_run_does_nothing(pipeline: Path) -> None:
    output = run(pipeline, "dvc", "repro", "--all-pipelines")
    assert not stages_run(output)
    assert "up to date" in output


def test_another_machine_pulls_prepares_the_images_and_is_up_to_date(pipeline: Path) -> None:
    """The other machine has another number of threads, path and bank of stored views."""
    run(pipeline, "dvc", "push")
    clone = pipeline.parent / "another clone"
    git(pipeline, "clone", "--quiet", str(pipeline), str(clone))
    shutil.move(pipeline / ".dvcstore", clone / ".dvcstore")
    run(clone, "dvc", "pull")
    assert (clone / "demo/data/lerp_psa_h8/int8.pkl").is_file()
    assert not [*clone.rglob("dataset.npz")]
    for folder in (clone, clone / "demo"):
        (folder / ".ckpt").mkdir()
        (folder / ".ckpt" / "teacher-views-0123456789abcdef.npz").write_text("other bits")
    assert repro(clone, OMP_NUM_THREADS="3") == {"prepare_data"}
    assert git(clone, "status", "--porcelain").strip() in ("", "?? .dvcstore/")
    assert not repro(clone, OMP_NUM_THREADS="3")


def test_the_reading_commands_compare_with_the_last_commit(pipeline: Path, edit: Callable) -> None:
    """Each of them reads both dvc.yaml of an earlier commit."""
    edit("demo/params.yaml", "seed: 2023", "seed: 7")
    assert re.search(r"demo/params.yaml +seed +2023 +7", run(pipeline, "dvc", "params", "diff"))
    shown = run(pipeline, "dvc", "metrics", "show")
    assert all(f"{demo}data/metrics/int8/lerp_psa_h8.json" in shown for demo in ("", "demo/"))
    run(pipeline, "dvc", "plots", "diff", "HEAD", "--out", "dvc_plots")
    page = (pipeline / "dvc_plots" / "index.html").read_text()
    assert page.count('"variant": "relu_h8"') >= 4  # two pipelines, the commit and the work folder


def test_a_comment_runs_nothing_but_the_fingerprints(pipeline: Path, edit: Callable) -> None:
    edit("models/float/resmlp.py", '"""', '"""A comment. ')
    edit("models/integer/fixed_point.py", "\ndef ", "\n# A comment.\ndef ")
    edit("stages/distill.py", "\ndef ", "\n\n# A comment.\n\n\ndef ")
    edit("hls/cpp/common/fixed_point.hpp", "\n", "  // A comment.\n")
    assert repro(pipeline) == {"code"}
    assert git(pipeline, "diff", "--stat", "--", "data", "demo/data") == ""


def test_a_new_activation_runs_nothing_but_the_fingerprints(pipeline: Path, edit: Callable) -> None:
    folder = "models/float/activations"
    edit(f"{folder}/celu.py", "", (pipeline / folder / "relu.py").read_text())
    edit(f"{folder}/specs/celu.py", "", (pipeline / folder / "specs" / "relu.py").read_text())
    assert repro(pipeline) == {"code"}
    assert git(pipeline, "diff", "--stat", "--", "data", "demo/data") == ""


def test_an_edit_of_a_stage_runs_it_and_what_reads_its_results(
    pipeline: Path, edit: Callable
) -> None:
    edit("stages/quantize.py", "schedule.epochs,", "schedule.epochs + 0,")
    assert repro(pipeline, "code") == {"code"}
    marked = {f"quantize@{name}" for name in VARIANTS}
    status = run(pipeline, "dvc", "status", "quantize", "distill", "verify", "csim")
    assert set(re.findall(r"^(\S+):$", status, re.MULTILINE)) == marked
    assert set(re.findall(r"data/code/(\w+).json", status)) == set(VARIANTS)
    difference = run(pipeline, "dvc", "params", "diff")
    assert {line.split()[1] for line in difference.splitlines()[1:] if line} == {"quantize"}


def test_an_edit_of_an_activation_marks_its_networks_alone(pipeline: Path, edit: Callable) -> None:
    edit(
        "models/float/activations/lerp_psa.py",
        "    def forward",
        "    EDITED = 1\n\n    def forward",
    )
    repro(pipeline, "code")
    status = run(
        pipeline, "dvc", "status", "distill", "evaluate", "export_onnx", "train_teacher", "verify"
    )
    marked = set(re.findall(r"^(\S+):$", status, re.MULTILINE))
    assert marked == {f"{stage}@lerp_psa_h8" for stage in ("distill", "evaluate", "export_onnx")}


def test_an_edit_of_one_accelerator_marks_its_designs_alone(pipeline: Path, edit: Callable) -> None:
    edit("hls/cpp/streaming/resmlp.hpp", "#pragma once", "#pragma once\nconstexpr int edited = 1;")
    ran = repro(pipeline)
    stages = {f"{stage}@lerp_psa_h8_stream" for stage in ("csim", "synthesize")}
    assert stages <= ran <= stages | {"code", "report"}


def stages_above(pipeline: Path, stage: str) -> set[str]:
    """Return all that `dvc repro stage` would look at, except the stage itself."""
    lines = run(pipeline, "dvc", "dag", "--dot", stage).splitlines()
    return set(re.findall(r'"([^"]+)"', "".join(lines))) - {stage}


def test_with_the_published_teacher_none_is_trained(pipeline: Path, edit: Callable) -> None:
    trained = {"code", "prepare_data", "train_convnet@teacher", "train_teacher@teacher"}
    assert stages_above(pipeline, "evaluate_teacher") == trained
    edit(
        "params.yaml",
        "  train:\n  - teacher\n  published: []",
        "  train: []\n  published: [teacher]",
    )
    fetched = {"code", "prepare_data", "fetch_checkpoints@teacher"}
    assert stages_above(pipeline, "evaluate_teacher") == fetched


def test_only_the_student_whose_row_asks_for_published_weights_is_marked(
    pipeline: Path, edit: Callable
) -> None:
    edit("params.yaml", "  relu_h8:\n", "  relu_h8:\n    weights: published\n")
    repro(pipeline, "code")
    status = run(pipeline, "dvc", "status", "distill", "quantize", "plan")
    assert set(re.findall(r"^(\S+):$", status, re.MULTILINE)) == {"distill@relu_h8"}


def test_a_variant_can_be_quantized_anew_alone(pipeline: Path, edit: Callable) -> None:
    edit("params.yaml", "  relu_h8:\n", "  relu_h8:\n    quantize: {epochs: 2}\n")
    later = ("quantize", "dump_params", "verify", "export_onnx", "generate_headers")
    expected = {f"{stage}@relu_h8" for stage in later} | {"code", "report"}
    expected |= {f"{stage}@relu_h8_simd" for stage in ("csim", "synthesize")}
    assert repro(pipeline) == expected


def test_a_design_can_be_changed_alone(pipeline: Path, edit: Callable) -> None:
    edit("params.yaml", "folding: published", "target: {dsp: 100}")
    stages = ("plan", "csim", "rtl", "gates", "route", "synthesize")
    expected = {f"{stage}@lerp_psa_h8_stream" for stage in stages}
    assert repro(pipeline) == expected | {"code", "report"}


def test_an_experiment_in_a_folder_of_its_own_runs_its_own_code(
    pipeline: Path, edit: Callable, tmp_path: Path
) -> None:
    edit("stages/quantize.py", "schedule.epochs,", "schedule.epochs + 0,")
    log = tmp_path / "runs"
    folder = pipeline / "demo"
    run(folder, "dvc", "exp", "run", "--temp", "quantize@lerp_psa_h8", RUNS=str(log))
    roots = set(log.read_text().split())
    assert roots and str(pipeline) not in roots


ONE_ROW = "+variants.my_net={activation: relu, hidden_dim: 12}"


def test_one_row_adds_a_network_from_the_command_line(pipeline: Path) -> None:
    """Its stages follow from the row, and nothing of the other networks runs again."""
    output = run(pipeline, "dvc", "exp", "run", "-S", ONE_ROW, "verify@my_net")
    stages = ("distill", "quantize", "dump_params", "verify")
    assert stages_run(output) == {"code"} | {f"{stage}@my_net" for stage in stages}
    shown = run(pipeline, "dvc", "exp", "diff")
    assert re.search(r"data/metrics/int8/my_net.json +accuracy +- +\d+", shown)


def test_a_sweep_reuses_rows_and_makes_one_table_and_one_picture(pipeline: Path) -> None:
    sweep = ("hidden_dim=4,8", "folding=published,5000")
    command = (sys.executable, "-m", "stages.by_hand.sweep", "lerp_psa_h8", *sweep)
    output = run(pipeline, *command)
    stages = ("distill", "quantize", "dump_params", "verify")
    networks = {f"{stage}@sweep_hidden4" for stage in stages}
    designs = {"sweep_hidden4_foldingpublished", "sweep_hidden4_folding5000"}
    designs |= {"lerp_psa_h8_folding5000"}  # of lerp_psa_h8 the published folding is there
    assert stages_run(output) == {"code"} | networks | {f"plan@{name}" for name in designs}
    files = {path.name for path in (pipeline / "data/sweeps").iterdir()}
    assert files == {"sweep.csv", "sweep.md", "sweep.png"}
    table = (pipeline / "data/sweeps/sweep.md").read_text()
    assert len(table.splitlines()) == 2 + 4 and table in output
    assert not stages_run(run(pipeline, *command))
