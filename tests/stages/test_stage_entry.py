"""How a stage starts: its command line, and a mistake of the user told in one line, status 1."""

import errno
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from models.files.errors import PipelineError
from stages.pipeline.command import run_stage, run_variant_stage
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

pytestmark = pytest.mark.usefixtures("sized_once")

BY_HAND = sorted(path.stem for path in (ROOT / "stages/by_hand").glob("[a-z]*.py"))
ALL = sorted([*BY_HAND, *(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))])
# No variant on their command line.
PLAIN = [
    *("code", "prepare_data", "train_convnet", "evaluate_convnet", "train_teacher"),
    *("fetch_checkpoints", "report", "readme_tables", "plots_page", "sample_functions", "show"),
]
OPTIONS = {
    "import_int8": ["--headers", ".", "--input-abs-max", "2.0", "--name", "imported"],
    "sweep": ["lerp_psa_h96", "hidden_dim=24"],
    "classify": ["image.png"],
    "carry_images": ["--pack", "packed"],
    "tabulate": ["torch.nn:GELU"],
    "train_many": ["lerp_psa_h96", "--out", "brought"],
}
ON_DESIGNS = [
    *("board", "csim", "csim_samples", "deadlock", "gates", "plan", "route", "rtl", "synthesize"),
]
ON_VARIANTS = sorted(set(ALL) - set(PLAIN) - set(OPTIONS) - set(ON_DESIGNS))
ON_TEACHER = ["evaluate", "export_published"]  # these take not only students
NAMED = [*ON_VARIANTS, *ON_DESIGNS]
WITHOUT_PARAMS = {"readme_tables", "plots_page", "tabulate", "carry_images"}
NAME, DESIGN = "lerp_psa_h96", "lerp_psa_h96_stream"

# Stage, whether data/dataset.npz is there, and the file that the message must name.
MISSING = [
    ("train_convnet", False, "data/dataset.npz"),
    ("evaluate_convnet", False, "data/dataset.npz"),
    ("train_teacher", False, "data/dataset.npz"),
    ("evaluate", False, "data/dataset.npz"),
    ("distill", False, "data/dataset.npz"),
    ("quantize", False, "data/dataset.npz"),
    ("dump_params", False, "data/dataset.npz"),
    ("verify", False, "data/dataset.npz"),
    ("check", False, "data/dataset.npz"),
    ("mistakes", False, f"data/{NAME}/qat_logits.npz"),
    ("sample_functions", False, "data/dataset.npz"),
    ("evaluate_convnet", True, "data/convnet/float.pt"),
    ("train_teacher", True, "data/convnet/float.pt"),
    ("evaluate", True, f"data/{NAME}/float.pt"),
    ("distill", True, "data/teacher/float.pt"),
    ("quantize", True, f"data/{NAME}/float.pt"),
    ("dump_params", True, f"data/{NAME}/qat.pt"),
    ("sample_functions", True, f"data/{NAME}/qat.pt"),
    ("verify", True, f"data/{NAME}/int8.pkl"),
    ("check", True, f"data/{NAME}/float.pt"),
    ("generate_headers", True, f"data/{NAME}/int8.pkl"),
    ("csim", True, f"data/{NAME}/int8.pkl"),
    ("deadlock", True, f"data/{NAME}/int8.pkl"),
    ("rtl", True, f"data/{NAME}/int8.pkl"),
    ("synthesize", True, f"data/{NAME}/int8.pkl"),
    ("export_published", True, f"data/{NAME}/float.pt"),
    ("import_int8", False, "data/dataset.npz"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a pipeline folder that holds the demo's params.yaml alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "demo" / "params.yaml").read_text())
    return tmp_path


@pytest.fixture
def start(monkeypatch):
    """Return a function that runs a stage as `python -m stages.<stage> <arguments>` does.

    It returns what the stage passed to sys.exit: a text goes to stderr, and the status is then 1.
    """

    def run(stage, *arguments):
        module = module_of(stage)
        monkeypatch.setattr(sys, "argv", [f"{module}.py", *arguments])
        monkeypatch.delitem(sys.modules, module, raising=False)
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        return ended.value.code

    return run


def module_of(stage):
    return f"stages.by_hand.{stage}" if stage in BY_HAND else f"stages.{stage}"


def arguments(stage):
    """Return a command line that the stage accepts."""
    names = [DESIGN] * (stage in ON_DESIGNS) + [NAME] * (stage in ON_VARIANTS)
    return OPTIONS.get(stage, names)


def assert_one_line(message, *parts):
    assert isinstance(message, str) and message.startswith("error: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def save_dataset():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(20) % 10)
    names = tuple(map(str, range(10)))
    Dataset(split, split, split, names, np.full(3, 0.5), np.ones(3)).save("data/dataset.npz")


def test_rtl_refuses_a_design_of_another_kind_before_it_reads_a_network(folder, start):
    text = (folder / "params.yaml").read_text()
    old = f"  {DESIGN}: {{variant: {NAME}, accelerator: streaming, folding: published}}"
    new = f"  {NAME}_simd: {{variant: {NAME}, accelerator: simd, array: [16, 16]}}"
    assert old in text
    (folder / "params.yaml").write_text(f"{text}{new}\n")
    assert_one_line(start("rtl", f"{NAME}_simd"), f"designs.{NAME}_simd is a simd design")


@pytest.mark.parametrize("stage", ALL)
def test_help_says_what_the_stage_does(stage, start, capsys):
    assert start(stage, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    source = (ROOT / f"{module_of(stage).replace('.', '/')}.py").read_text()
    assert " ".join(source.splitlines()[0].strip('"').split()) in text
    assert ("params.yaml" in text) >= (stage in NAMED)


@pytest.mark.parametrize("stage", PLAIN)
def test_a_plain_stage_takes_no_argument(stage, start, folder, capsys):
    assert start(stage, NAME) == 2
    assert "unrecognized arguments" in capsys.readouterr().err
    assert files_in(folder) == {"params.yaml"}


@pytest.mark.parametrize("stage", NAMED)
def test_a_stage_on_one_wants_one_name(stage, start, folder, capsys):
    assert start(stage) == 2
    wanted = {**dict.fromkeys(ON_DESIGNS, "design"), "check": "network"}.get(stage, "variant")
    assert wanted in capsys.readouterr().err
    assert files_in(folder) == {"params.yaml"}


@pytest.mark.parametrize("stage", ON_VARIANTS)
@pytest.mark.parametrize("name", ["lerp_psa_h69", "../teacher"])
@pytest.mark.parametrize("data", [True, False], ids=["data", "no data"])
def test_an_unknown_variant_is_told_with_the_known_ones(stage, name, data, start, folder):
    if data:  # a wrong name is told before data that are missing
        save_dataset()
    before = files_in(folder)
    assert_one_line(start(stage, name), repr(name), "relu_h96", "bspline_h96", NAME)
    assert files_in(folder) == before


@pytest.mark.parametrize("stage", ON_DESIGNS)
@pytest.mark.parametrize("name", ["lerp_psa_h96_steam", "../teacher", NAME])
def test_an_unknown_design_is_told_with_the_known_ones(stage, name, start, folder):
    assert_one_line(start(stage, name), repr(name), "relu_h96_stream", "bspline_h96_stream", DESIGN)
    assert files_in(folder) == {"params.yaml"}


@pytest.mark.parametrize("stage", [stage for stage in ON_VARIANTS if stage not in ON_TEACHER])
def test_the_teacher_is_no_variant(stage, start, folder):
    save_dataset()
    assert_one_line(start(stage, "teacher"), "'teacher'", NAME)


@pytest.mark.parametrize("stage", sorted({*ALL} - WITHOUT_PARAMS))
def test_a_missing_params_file_is_named(stage, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_one_line(start(stage, *arguments(stage)), "params.yaml")
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("stage", sorted({*ALL} - WITHOUT_PARAMS))
def test_a_wrong_value_in_params_is_named(stage, start, folder):
    params = read_yaml("params.yaml")
    params["training"]["batch_size"] = "many"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    message = start(stage, *arguments(stage))
    assert_one_line(message, "params.yaml", "training.batch_size", "'many'")
    assert files_in(folder) == {"params.yaml"}


@pytest.mark.parametrize(("stage", "with_dataset", "file"), MISSING)
def test_a_missing_input_is_named_and_nothing_is_written(stage, with_dataset, file, start, folder):
    if with_dataset:
        save_dataset()
    before = files_in(folder)
    assert_one_line(start(stage, *arguments(stage)), file, "dvc ")
    assert files_in(folder) == before


def test_weights_of_another_network_are_told(start, folder):
    import torch

    save_dataset()
    Path(f"data/{NAME}").mkdir()
    torch.save({"weight": torch.zeros(3)}, f"data/{NAME}/float.pt")
    before = files_in(folder)
    assert_one_line(start("evaluate", NAME), f"data/{NAME}/float.pt", "params.yaml")
    assert files_in(folder) == before


@pytest.fixture
def command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "relu_h96"])


def ends_with(error):
    def main(name):
        raise error

    with pytest.raises(SystemExit) as ended:
        run_variant_stage(main)
    return ended.value.code


def test_a_pipeline_error_is_one_line(command_line):
    assert ends_with(PipelineError("params.yaml: a is 3.")) == "error: params.yaml: a is 3."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "data/x.pt"), "data/x.pt cannot be writ"),
        (MemoryError(), "The memory is not enough"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
    ],
)
def test_what_the_user_can_mend_is_one_line(error, words, command_line):
    assert_one_line(ends_with(error), words)


def test_a_reader_that_ends_early_ends_the_stage_quietly(tmp_path):
    code = "import sys; from stages.pipeline.command import guarded\n"
    code += "guarded(lambda: [print('x' * 9999) for _ in range(99)])"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "" and len(done.stdout) == 10000


# What stands in the way, and the stage that meets it first
IN_THE_WAY = [
    ("prepare_data", [], "data"),
    ("plan", [DESIGN], "data/designs"),
    ("plan", [DESIGN], "data/metrics"),
    ("report", [], "data/plots"),
]


@pytest.mark.parametrize(("stage", "names", "place"), IN_THE_WAY)
def test_a_file_where_a_folder_should_be_is_named(stage, names, place, start, folder):
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).write_text("")
    assert_one_line(start(stage, *names), place)


@pytest.mark.parametrize(
    ("stage", "names", "place"),
    [
        ("report", [], "data/report.md"),
        ("report", [], "data/metrics/float/relu_h96.json"),
        ("report", [], "data/history/float/relu_h96.csv"),
        ("plan", [DESIGN], f"data/designs/{DESIGN}/design.json"),
        ("plan", [DESIGN], "params.yaml"),
        ("verify", [NAME], f"data/{NAME}/int8.pkl"),
    ],
)
def test_a_folder_where_a_file_should_be_is_named(stage, names, place, start, folder):
    save_dataset()
    Path(place).unlink(missing_ok=True)
    Path(place).mkdir(parents=True)
    assert_one_line(start(stage, *names), place)


@pytest.mark.parametrize(
    "place", ["data/metrics/float/relu_h96.json", "data/history/float/relu_h96.csv"]
)
def test_bytes_that_are_no_text_are_one_line(place, start, folder):
    Path(place).parent.mkdir(parents=True)
    Path(place).write_bytes(b"\xff\xfe\x00{")
    assert_one_line(start("report"))


def test_ctrl_c_is_one_line_that_promises_no_more_than_is_there(command_line, caplog):
    assert ends_with(KeyboardInterrupt()) == 130
    assert "Interrupted by SIGINT" in caplog.text and "same command" in caplog.text
    assert "resume" not in caplog.text


def test_ctrl_c_in_a_training_says_that_it_resumes(command_line, caplog):
    error = KeyboardInterrupt()
    error.add_note("The same command resumes it.")
    assert ends_with(error) == 130
    assert "Interrupted by SIGINT. The same command resumes it." in caplog.text


def test_a_defect_of_ours_keeps_its_traceback(command_line):
    with pytest.raises(ZeroDivisionError):
        run_variant_stage(lambda name: 1 / 0)


def test_a_stage_that_succeeds_returns(command_line, monkeypatch):
    names = []
    run_variant_stage(names.append)
    assert names == ["relu_h96"]
    monkeypatch.setattr(sys, "argv", ["stage"])
    run_stage(lambda: names.append("plain"))
    assert names == ["relu_h96", "plain"]
