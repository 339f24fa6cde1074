"""Train many networks side by side on one GPU, within a time limit, and bring them back.

`train_many NAME ... --minutes M --out DIR` runs the stages of each name in their order (`convnet`,
`teacher`, or a row of `variants`: distill, and quantize with --int8), many names at once. Every
minute, and at the end, DIR gets what there is: the outputs of finished stages, the checkpoints of
the others, and state.json. `--unpack DIR` then puts the files where the pipeline has them: `dvc
commit -f distill@NAME` takes them, and the same command goes on with what is not finished, if it is
given the same data/dataset.npz.
"""

import argparse
import io
import json
import logging
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hls.processes import Children
from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.files.zips import DamagedError, checked_zip
from stages.pipeline.command import guarded
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import CONVNET, TEACHER, artifact, history

STATE = "state.json"
_PART_BYTES = 12_000_000  # files of at most 16 MiB come back from the machines that we borrow
_EVERY_SECONDS = 60.0
_POLL_SECONDS = 0.5
_NAME = r"[a-z][a-z0-9_]{0,63}"
_ALLOWED = re.compile(
    rf"data/{_NAME}/(float|qat)\.pt|data/history/(float|int8)/{_NAME}\.(csv|json)"
    rf"|\.ckpt/{_NAME}(-qat)?-[0-9a-f]{{16}}\.pt"
)
_STAGES = Path(__file__).resolve().parents[1]  # what Python runs a stage with
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
_MPS = "nvidia-cuda-mps-control"  # lets kernels of several processes run at the same time

log = logging.getLogger(__name__)


@dataclass
class Job:
    """A network and the stages that it still has to go through; the first is the next one."""

    name: str
    stages: list[list[str]]
    process: "subprocess.Popen[bytes] | None" = None
    failed: bool = False
    done: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether nothing of it runs or is left to run."""
        return self.process is None and (self.failed or not self.stages)


def jobs_of(params: Params, names: Sequence[str], int8: bool) -> list[Job]:
    """Return a job per name; PipelineError for an unknown name."""
    jobs = []
    for name in names:
        if name in (CONVNET, TEACHER):
            jobs.append(Job(name, [[f"train_{name}"]]))
            continue
        row = params.variant(name).name
        jobs.append(Job(row, [["distill", row], *([["quantize", row]] if int8 else [])]))
    return jobs


def train_many(jobs: list[Job], together: int, minutes: float, out: Path) -> None:
    """Run the jobs, at most `together` at once, until all are over or the time is up."""
    ends, saves = time.monotonic() + 60 * minutes, time.monotonic() + _EVERY_SECONDS
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with _shared_gpu(), Children() as children:
        while not all(job.over for job in jobs) and time.monotonic() < ends:
            for job in jobs:
                _look_after(job, children, logs)
            running = sum(job.process is not None for job in jobs)
            for job in _ready(jobs)[: together - running]:
                _start(job, children, logs)
            if time.monotonic() >= saves:
                saves += _EVERY_SECONDS
                pack(jobs, out)
            time.sleep(_POLL_SECONDS)
    for job in jobs:  # Children has ended them: what they had saved stays in .ckpt/
        if job.process is not None and job.process.returncode == 0:  # it was just done
            job.done.append(job.stages.pop(0)[0])
        job.process = None
    pack(jobs, out)
    shutil.rmtree(logs)


def _ready(jobs: list[Job]) -> list[Job]:
    """Return the jobs that can start: a teacher before students, the ConvNet before the teacher."""
    for name in (CONVNET, TEACHER):
        first = [job for job in jobs if job.name == name and not job.over]
        if first:
            return [job for job in first if job.process is None]
    return [job for job in jobs if job.process is None and not job.over]


def _start(job: Job, children: Children, logs: Path) -> None:
    command = [sys.executable, str(_STAGES), *job.stages[0]]
    with (logs / f"{job.name}.log").open("ab") as output:
        job.process = children.start(command, output, variables=_ONE_THREAD)
    log.info("%s: %s begins", job.name, job.stages[0][0])


def _look_after(job: Job, children: Children, logs: Path) -> None:
    """Note whether the stage of a job has ended, and how."""
    if job.process is None or (status := job.process.poll()) is None:
        return
    children.end(job.process)
    job.process = None
    stage = job.stages.pop(0)[0]
    if status == 0:
        job.done.append(stage)
        log.info("%s: %s is done", job.name, stage)
        return
    job.failed = True
    text = (logs / f"{job.name}.log").read_text(errors="replace").strip()
    log.error("%s: %s failed (%d): %s", job.name, stage, status, text[-1000:])


def pack(jobs: Sequence[Job], out: Path) -> None:
    """Write state.json and trained-<number>.zip, of at most some megabytes each, into `out`."""
    files = [path for job in jobs for path in _files_of(job)]
    parts: list[dict[str, bytes]] = [{}]
    for path in files:
        with suppress(FileNotFoundError):  # a stage may finish, and remove it, at this moment
            content = path.read_bytes()
            if parts[-1] and sum(map(len, parts[-1].values())) + len(content) > _PART_BYTES:
                parts.append({})
            parts[-1][path.as_posix()] = content
    for number, part in enumerate(parts):
        path = out / f"trained-{number}.zip"
        with replace_on_success(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, content in part.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    for path in sorted(out.glob("trained-*.zip"))[len(parts) :]:
        path.unlink()
    state = {job.name: _state(job) for job in jobs}
    with replace_on_success(out / STATE) as temporary:
        temporary.write_text(json.dumps(state, indent=2) + "\n")


def _files_of(job: Job) -> Iterator[Path]:
    """Yield the outputs of a job's finished stages, and its checkpoints."""
    for stage in job.done:
        kind, weights = ("int8", "qat.pt") if stage == "quantize" else ("float", "float.pt")
        curve = history(kind, job.name)
        yield from (artifact(job.name, weights), curve, curve.with_suffix(".json"))
    own = re.compile(rf"{job.name}(-qat)?-[0-9a-f]{{16}}\.pt")
    yield from sorted(path for path in Path(".ckpt").glob("*.pt") if own.fullmatch(path.name))


def _state(job: Job) -> dict[str, object]:
    """Return what a reader wants to know of a job: its stages, and the last line of its curve."""
    kind = "int8" if "quantize" in (*job.done, *(stage[0] for stage in job.stages[:1])) else "float"
    curve = history(kind, job.name)
    lines = curve.read_text().splitlines() if curve.exists() else []
    left = [stage[0] for stage in job.stages]
    return {"done": job.done, "left": left, "failed": job.failed, "last epoch": lines[-1:]}


def unpack(out: Path) -> None:
    """Put the files of trained-*.zip where the pipeline has them.

    PipelineError, before a file is written, if one of them is damaged or holds another file than a
    training writes.
    """
    archives = sorted(out.glob("trained-*.zip"))
    if not archives:
        raise PipelineError(f"{out} holds no trained-*.zip; give the folder that --out named.")
    contents: dict[str, bytes] = {}
    for path in archives:
        try:
            data = checked_zip(path.read_bytes())
        except DamagedError as error:
            raise PipelineError(
                f"{path} is damaged ({error}); get it again from where it was trained."
            ) from error
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents |= {name: archive.read(name) for name in archive.namelist()}
        foreign = [name for name in contents if not _ALLOWED.fullmatch(name)]
        if foreign:
            raise PipelineError(
                f"{path} holds {foreign[0]!r}, which no training writes; nothing is unpacked."
            )
    for name, content in contents.items():
        with replace_on_success(Path(name)) as temporary:
            temporary.write_bytes(content)
        log.info("%s", name)


@contextmanager
def _shared_gpu() -> Iterator[None]:
    """Run NVIDIA's MPS daemon while the body runs, where there is one that starts."""
    daemon = shutil.which(_MPS)
    started = daemon is not None and subprocess.run([daemon, "-d"]).returncode == 0
    try:
        yield
    finally:
        if started and daemon is not None:
            subprocess.run([daemon], input=b"quit\n")


def main(options: argparse.Namespace) -> None:
    """Train, or unpack what was trained elsewhere; status 1 if a stage failed."""
    if options.unpack is not None:
        unpack(options.unpack)
        return
    if not options.names or options.out is None:
        raise PipelineError("name the networks to train, and --out; or give --unpack DIR.")
    jobs = jobs_of(load_params(), options.names, options.int8)
    train_many(jobs, options.together, options.minutes, options.out)
    failed = [job.name for job in jobs if job.failed]
    left = [job.name for job in jobs if job.stages and not job.failed]
    if left:
        log.info("time is up; not finished: %s", ", ".join(left))
    if failed:
        raise PipelineError(f"The training of {', '.join(failed)} failed; the log above says why.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="convnet, teacher or a variant")
    parser.add_argument("--int8", action="store_true", help="quantise the variants, too")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit (8)")
    parser.add_argument("--together", type=int, default=16, help="networks at once (16)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder for what is trained")
    parser.add_argument("--unpack", metavar="DIR", type=Path, help="take over what is in DIR")
    arguments = parser.parse_args()
    guarded(lambda: main(arguments))
