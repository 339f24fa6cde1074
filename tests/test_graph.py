"""What DVC makes of our dvc.yaml, with stand-ins for the stages: what runs, when, and what is kept.

The stand-ins write, for every output of their stage, a text that depends on the parameters.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

COPIED = [".dvc/config", ".dvc/.gitignore", ".dvc/plots", ".dvcignore", ".gitignore", "dvc.yaml"]
VARIANTS = ["lerp_psa_h8", "relu_h8"]
DESIGNS = {
    "lerp_psa_h8_stream": "lerp_psa_h8",
    "lerp_psa_h8_fast": "lerp_psa_h8",
    "relu_h8_simd": "relu_h8",
}
TEACHER_STAGES = {  # what makes the teacher
    *("prepare_data", "train_convnet@teacher", "convnet_views@teacher", "train_teacher@teacher"),
}
PARAMS = """\
code_root: {code_root}
seed: 0
data:
  source: digits
network: &anything
  value: 1
training:
  fused: false
  augment: *anything
weights:
  train: [teacher]
  distill: [{distilled}]
  published: []
published: *anything
convnet:
  widths: [8, 8, 8]
views: *anything
teacher: &hidden
  hidden_dim: 8
transfer: *anything
distill:
  seed: null
  temperature: 2
  alpha: 0.5
quantize: *anything
verify: *anything
csim: *anything
hls:
  clock_ns: 5.0
variants:
"""
VARIANT = """\
  {name}:
    network: *hidden
    transfer: {{}}
    distill: {{}}
    quantize: {{epochs: 1}}
"""
DESIGN = """\
  {name}:
    variant: {variant}
    accelerator: streaming
"""
STAND_IN = """\
import json, os
from pathlib import Path
stages = json.loads((Path(os.environ["DVC_ROOT"]) / "outs.json").read_text())
text = Path("params.yaml").read_text()
for out in stages[os.environ["DVC_STAGE"].split(":")[-1]]:
    path = Path(out) if Path(out).suffix else Path(out) / "validation_accuracy.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps({"accuracy": sum(text.encode())}))
    elif path.suffix == ".csv":
        path.write_text(f"epoch,variant,val_accuracy\\n1,relu_h8,{sum(text.encode())}\\n")
    else:
        path.write_text(out + text)
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


GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OUTS = {path: flags for definition in GRAPH.values() for path, flags in outs_of(definition).items()}


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    if command[0] == "dvc":
        command = (sys.executable, "-m", *command)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments)


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '(.+)':", output))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a repository with our graph, run both pipelines once and commit the result."""
    root = tmp_path_factory.mktemp("graph") / "repository"
    (root / "demo").mkdir(parents=True)
    (root / ".dvc").mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    shutil.copy(ROOT / "demo" / "dvc.yaml", root / "demo" / "dvc.yaml")
    for folder, code_root, variants in ((root, ".", VARIANTS), (root / "demo", "..", VARIANTS[:1])):
        rows = [VARIANT.format(name=name) for name in variants]
        head = PARAMS.format(code_root=code_root, distilled=", ".join(variants))
        chosen = {name: variant for name, variant in DESIGNS.items() if variant in variants}
        rows += ["designs:\n", *(DESIGN.format(name=n, variant=v) for n, v in chosen.items())]
        (folder / "params.yaml").write_text(head + "".join(rows))
    outs = {name: list(outs_of(definition)) for name, definition in GRAPH.items()}
    outs |= {
        f"{name}@{key}": [path.replace("${key}", key) for path in paths]
        for name, paths in outs.items()
        for key in ("teacher", *VARIANTS, *DESIGNS)
    }
    (root / "outs.json").write_text(json.dumps(outs))
    for dep in re.findall(r"\$\{code_root\}/(\S+)", (ROOT / "dvc.yaml").read_text()):
        path = root / dep if Path(dep).suffix else root / dep / "file.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAND_IN)
    git(root, "init", "--quiet", "--initial-branch=main")
    output = run(root, "dvc", "repro", "--all-pipelines")
    per_variant, per_design = 6, 3
    assert len(stages_run(output)) == 16 + per_variant * 3 + per_design * 5  # demo: one and two
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message=first run")
    return root


def test_the_demo_has_the_same_graph() -> None:
    copy = ROOT / "demo" / "dvc.yaml"
    assert not copy.is_symlink(), "DVC cannot follow a symlink in an earlier commit"
    same = copy.read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert same, "demo/dvc.yaml is not a copy of dvc.yaml: run `make demo/dvc.yaml`"


def test_git_keeps_metrics_and_reports_and_nothing_else(pipeline: Path) -> None:
    committed = git(pipeline, "ls-files", "data", "demo/data").splitlines()
    names = {"float": VARIANTS, "int8": VARIANTS} | dict.fromkeys(
        ("model", "csim", "synthesis"), DESIGNS
    )
    expected = {f"data/metrics/{kind}/{name}.json" for kind in names for name in names[kind]}
    expected |= {"data/metrics/float/convnet.json", "data/metrics/float/teacher.json"}
    expected |= {"data/report.md", "data/plots/validation_accuracy.csv"}
    assert {path.removeprefix("demo/") for path in committed} == expected
    assert not git(pipeline, "status", "--porcelain")


def test_images_are_kept_by_nobody(pipeline: Path) -> None:
    images = ("data/dataset.npz", "data/${key}/samples.pkl", "data/designs/${key}/golden")
    for path in (*images, "data/designs/${key}/project"):
        assert OUTS[path]["cache"] is False
        for folder in ("", "demo/"):
            file = folder + path.replace("${key}", "relu_h8")
            assert git(pipeline, "check-ignore", "--no-index", file)


def test_stages_that_train_have_cached_outs_only() -> None:
    trained = ("train_convnet", "train_teacher", "fetch_checkpoints", "distill", "quantize")
    for name in (*trained, "dump_params"):
        assert not any(outs_of(GRAPH[name]).values())


def test_stored_views_are_cached_here_and_not_pushed() -> None:
    """They are large, and made again from the network and the seed within minutes."""
    for name in ("convnet", "teacher"):
        assert outs_of(GRAPH[f"{name}_views"]) == {f"data/{name}/views.npz": {"push": False}}


def test_what_git_keeps_survives_a_failed_run() -> None:
    for path in OUTS:
        if path.startswith(("data/metrics", "data/plots", "data/report")):
            assert OUTS[path] == {"cache": False, "persist": True}


@pytest.mark.parametrize("folder", [ROOT, ROOT / "demo"], ids=["cifar10", "demo"])
def test_params_has_every_key_that_the_graph_names(folder: Path) -> None:
    """DVC refuses a stage with a missing key, so a variant that overrides nothing says `{}`."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for definition in GRAPH.values():
        for key in definition.get("do", definition).get("params", []):
            for name, row in rows_of(definition, params).items():
                value = params
                named = key.replace("${item.variant}", row.get("variant", ""))
                named = named.replace("${key}", name).replace("${item}", name)
                for part in named.split("."):
                    assert part in value, f"{folder}/params.yaml: {key}, {name}"
                    value = value[part]


def test_every_stage_is_described() -> None:
    assert all(definition.get("do", definition)["desc"] for definition in GRAPH.values())


def test_a_second_run_does_nothing(pipeline: Path) -> None:
    output = run(pipeline, "dvc", "repro", "--all-pipelines")
    assert not stages_run(output)
    assert "up to date" in output


def test_a_fresh_clone_with_its_data_is_up_to_date_without_images(pipeline: Path) -> None:
    """Also shows what `dvc push` puts in the store: the outputs without images, and only those."""
    run(pipeline, "dvc", "push")
    clone = pipeline.parent / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    git(pipeline, "clone", "--quiet", str(pipeline), str(clone))
    shutil.move(pipeline / ".dvcstore", clone / ".dvcstore")
    run(clone, "dvc", "pull", "--allow-missing")  # the stored views are not in the store
    assert (clone / "demo/data/lerp_psa_h8/int8.pkl").is_file()
    assert not [*clone.rglob("views.npz")]
    assert not [*clone.rglob("dataset.npz"), *clone.rglob("samples.pkl"), *clone.rglob("golden")]
    assert not stages_run(run(clone, "dvc", "repro", "--all-pipelines", "--allow-missing"))


def test_the_reading_commands_compare_with_the_last_commit(pipeline: Path) -> None:
    """Each of them reads both dvc.yaml of an earlier commit."""
    params = pipeline / "demo" / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("seed: 0", "seed: 7"))
    assert re.search(r"demo/params.yaml +seed +0 +7", run(pipeline, "dvc", "params", "diff"))
    params.write_text(text)
    shown = run(pipeline, "dvc", "metrics", "show")
    assert all(f"{demo}data/metrics/int8/lerp_psa_h8.json" in shown for demo in ("", "demo/"))
    assert "distill@relu_h8" in run(pipeline, "dvc", "dag", "report")
    run(pipeline, "dvc", "plots", "diff", "HEAD", "--out", "dvc_plots")
    page = (pipeline / "dvc_plots" / "index.html").read_text()
    assert page.count('"variant": "relu_h8"') >= 4  # two pipelines, the commit and the work folder


def stages_above(pipeline: Path, stage: str) -> set[str]:
    """Return all that `dvc repro stage` would look at, but for the stage itself."""
    lines = run(pipeline, "dvc", "dag", "--dot", stage).splitlines()
    return set(re.findall(r'"([^"]+)"', "".join(lines))) - {stage}


def test_without_published_weights_no_stage_fetches(pipeline: Path) -> None:
    assert "fetch_checkpoints" not in run(pipeline, "dvc", "stage", "list", "--all")
    made = {*TEACHER_STAGES, "teacher_views", "distill@relu_h8"}
    assert stages_above(pipeline, "evaluate@relu_h8") == made


@pytest.fixture
def weights(pipeline: Path) -> Iterator[Callable[[str], None]]:
    """Return a function that replaces the lists of `weights` until the end of the test."""
    params = pipeline / "params.yaml"
    text = params.read_text()
    lists = text[text.index("weights:\n") : text.index("published: *")]

    def replace(new: str) -> None:
        params.write_text(text.replace(lists, new))

    yield replace
    params.write_text(text)


def test_a_published_student_goes_straight_to_evaluation_and_quantization(
    pipeline: Path, weights: Callable[[str], None]
) -> None:
    weights("weights: {train: [teacher], distill: [lerp_psa_h8], published: [relu_h8]}\n")
    fetched = {"prepare_data", "fetch_checkpoints@relu_h8"}
    assert stages_above(pipeline, "evaluate@relu_h8") == fetched
    assert stages_above(pipeline, "quantize@relu_h8") == fetched | TEACHER_STAGES
    made = {*TEACHER_STAGES, "teacher_views", "distill@lerp_psa_h8"}
    assert stages_above(pipeline, "quantize@lerp_psa_h8") == made


def test_with_the_published_teacher_nothing_is_trained_in_float(
    pipeline: Path, weights: Callable[[str], None]
) -> None:
    weights("weights: {train: [], distill: [], published: [teacher, relu_h8, lerp_psa_h8]}\n")
    listed = run(pipeline, "dvc", "stage", "list")
    assert not re.search("train_teacher|distill@|convnet", listed)
    fetched = {f"fetch_checkpoints@{name}" for name in ("teacher", "relu_h8")}
    assert stages_above(pipeline, "quantize@relu_h8") == {"prepare_data", *fetched}


def test_only_what_depends_on_the_moved_student_runs(
    pipeline: Path, weights: Callable[[str], None]
) -> None:
    weights("weights: {train: [teacher], distill: [lerp_psa_h8], published: [relu_h8]}\n")
    fetching = run(pipeline, "dvc", "repro", "--dry", "fetch_checkpoints", "distill")
    assert stages_run(fetching) == {"fetch_checkpoints@relu_h8"}


def test_a_variant_can_be_quantized_anew_alone(pipeline: Path) -> None:
    """Last, because the pipeline is not as committed afterwards."""
    params = pipeline / "params.yaml"
    head, variant = params.read_text().split("  relu_h8:\n")
    params.write_text(f"{head}  relu_h8:\n{variant.replace('epochs: 1', 'epochs: 2')}")
    later = ("quantize", "dump_params", "verify", "generate_headers")
    expected = {f"{stage}@relu_h8" for stage in later} | {"report"}
    expected |= {f"{stage}@relu_h8_simd" for stage in ("csim", "synthesize")}
    assert stages_run(run(pipeline, "dvc", "repro", "--all-pipelines")) == expected


def test_a_design_can_be_changed_alone(pipeline: Path) -> None:
    """Nothing is trained for it; the other design of the variant stays, too. After the last one."""
    run(pipeline, "dvc", "repro", "--all-pipelines")
    params = pipeline / "params.yaml"
    old = "  lerp_psa_h8_fast:\n    variant: lerp_psa_h8\n    accelerator: streaming\n"
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, f"{old}    folding: published\n"))
    expected = {f"{stage}@lerp_psa_h8_fast" for stage in ("plan", "csim", "synthesize")}
    output = run(pipeline, "dvc", "repro", "--all-pipelines")
    assert stages_run(output) == expected | {"report"}
