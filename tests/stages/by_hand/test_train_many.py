"""The command train_many: what runs when, what comes back, and what is not taken over.

The stages are stand-ins that write what a stage writes.
"""

import json
import zipfile
from pathlib import Path

import pytest

from models.files.errors import PipelineError
from stages.by_hand import train_many as command
from stages.by_hand.train_many import STATE, Job, jobs_of, pack, train_many, unpack
from stages.pipeline.params import load_params
from tests.support.paths import ROOT

pytestmark = pytest.mark.pipeline

STAND_IN = """\
import sys, time
from pathlib import Path
stage, name = (sys.argv[1:] + [sys.argv[1].removeprefix("train_")])[:2]
with open("order.txt", "a") as file:
    file.write(f"{stage} {name}\\n")
if name == "fails":
    sys.exit("error: no data")
kind, weights = ("int8", "qat.pt") if stage == "quantize" else ("float", "float.pt")
for path, text in (
    (f"data/history/{kind}/{name}.csv", "epoch,loss\\n1,0.5\\n"),
    (f"data/history/{kind}/{name}.json", "{}"),
    (f"data/{name}/{weights}", "weights " * 100),
    (f".ckpt/{name}-0123456789abcdef.pt", "state"),
):
    if name == "slow" and "data/slow" in path:
        time.sleep(60)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
if name != "slow":
    Path(f".ckpt/{name}-0123456789abcdef.pt").unlink()
with open("order.txt", "a") as file:
    file.write(f"end {name}\\n")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_STAGES", tmp_path / "stand_in.py")
    monkeypatch.setattr(command, "_POLL_SECONDS", 0.05)
    Path("stand_in.py").write_text(STAND_IN)
    return tmp_path


def student(name, int8=False):
    return Job(name, [["distill", name], *([["quantize", name]] if int8 else [])])


def order():
    return Path("order.txt").read_text().splitlines()


def test_names_become_stages_in_their_order():
    params = load_params(ROOT / "demo" / "params.yaml")
    jobs = jobs_of(params, ["teacher", "relu_h96", "convnet"], int8=True)
    assert [job.stages for job in jobs] == [
        [["train_teacher"]],
        [["distill", "relu_h96"], ["quantize", "relu_h96"]],
        [["train_convnet"]],
    ]
    with pytest.raises(PipelineError, match="did you mean relu_h96"):
        jobs_of(params, ["relu_h69"], int8=False)


def test_students_wait_for_the_teacher_and_it_for_the_convnet():
    jobs = [student("a", int8=True), Job("teacher", [["train_teacher"]])]
    train_many([*jobs, Job("convnet", [["train_convnet"]])], 4, 1, Path("out"))
    assert [line for line in order() if not line.startswith("end")] == [
        *("train_convnet convnet", "train_teacher teacher", "distill a", "quantize a")
    ]


def test_no_more_run_at_once_than_asked():
    train_many([student(name) for name in "abc"], 1, 1, Path("out"))
    assert order() == [line for name in "abc" for line in (f"distill {name}", f"end {name}")]


def test_what_is_done_and_the_state_of_the_rest_come_back(tmp_path, monkeypatch):
    jobs = [student("a"), student("fails", int8=True), student("slow")]
    train_many(jobs, 3, 1 / 15, Path("out"))
    state = json.loads(Path("out", STATE).read_text())
    assert state["a"] == {"done": ["distill"], "left": [], "failed": False, "last epoch": ["1,0.5"]}
    assert state["fails"]["failed"] and state["fails"]["done"] == []
    assert state["slow"]["left"] == ["distill"] and not state["slow"]["failed"]
    # A checkpoint that the stand-in has not written yet is in no zip: take it as it is on disk.
    Path(".ckpt").mkdir(exist_ok=True)
    Path(".ckpt/slow-0123456789abcdef.pt").write_text("state")
    pack(jobs, Path("out"))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    unpack(tmp_path / "out")
    found = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    assert found == [
        ".ckpt/slow-0123456789abcdef.pt",
        *("data/a/float.pt", "data/history/float/a.csv", "data/history/float/a.json"),
    ]
    assert Path("data/a/float.pt").read_text() == "weights " * 100


def test_many_files_are_parted(monkeypatch):
    monkeypatch.setattr(command, "_PART_BYTES", 1000)
    jobs = [student(name) for name in "ab"]
    train_many(jobs, 2, 1, Path("out"))
    assert len([*Path("out").glob("trained-*.zip")]) == 2
    pack(jobs[:1], Path("out"))
    assert [path.name for path in Path("out").glob("trained-*.zip")] == ["trained-0.zip"]


@pytest.mark.parametrize(
    "name",
    ["../float.pt", "data/a/float.pt.py", "data/../float.pt", ".git/config", "/data/a/float.pt"],
)
def test_another_file_is_refused_and_nothing_is_written(name):
    Path("out").mkdir()
    with zipfile.ZipFile("out/trained-0.zip", "w") as archive:
        archive.writestr("data/a/float.pt", "weights")
        archive.writestr(name, "text")
    with pytest.raises(PipelineError, match="which no training writes; nothing is unpacked"):
        unpack(Path("out"))
    assert not Path("data").exists()


def test_a_damaged_archive_is_named():
    Path("out").mkdir()
    with pytest.raises(PipelineError, match="out holds no trained-"):
        unpack(Path("out"))
    Path("out/trained-0.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(PipelineError, match=r"trained-0\.zip is damaged"):
        unpack(Path("out"))
