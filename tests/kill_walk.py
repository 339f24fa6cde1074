"""Kill every stage at random moments, run it again, compare the files with an undisturbed run.

    python -m tests.kill_walk                      # every stage of the demo, made small
    python -m tests.kill_walk --kills 5 --seed 7 --stages distill csim
    python -m tests.kill_walk --full               # the demo as it is (hours)

A stage passes if after each kill no process of it lives on, if the run that follows ends well, and
if then all files are byte for byte those of a run that nobody killed, with no temporary file left
in the folder or in TMPDIR. Kills alternate between SIGTERM and SIGKILL.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from models.files.temporary import is_temporary
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

MARK = "KILL_WALK"  # environment variable of all processes of a run
SECONDS_TO_END = 8.0  # the watchdog's grace and some more for a busy machine
SMALL = {
    "network": {"patch_size": 16, "embed_dim": 8, "num_blocks": 1},
    "training": {"batch_size": 128},
    "convnet": {"widths": [4, 4, 4], "epochs": 3, "batch_size": 256},
    "views": {"count": 2},
    "teacher": {"hidden_dim": 8, "epochs": 3},
    "transfer": {"epochs_per_block": 1},
    "distill": {"epochs": 3},
    "quantize": {"epochs": 3},
    "csim": {"samples": 2, "images": 4},
}


def make_params(folder, small=True):
    """Write the demo's params.yaml into `folder`, by default with small networks, few epochs."""
    params = read_yaml(ROOT / "demo" / "params.yaml")
    params["code_root"] = str(ROOT)
    if small:
        for section, values in SMALL.items():
            params[section].update(values)
        for row in params["variants"].values():
            row["hidden_dim"] = 8
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return params


def commands(params):
    """Return the command line of every stage of the demo, in an order in which they can run."""
    plain = ["code", "prepare_data", "train_convnet", "evaluate_convnet", "train_teacher"]
    found = [[name] for name in plain] + [["evaluate", "teacher"]]
    on_variants = ["distill", "evaluate", "quantize", "dump_params", "verify", "generate_headers"]
    found += [[stage, name] for name in params["variants"] for stage in on_variants]
    on_designs = ["plan", "csim", "synthesize"]
    found += [[stage, name] for name in params["designs"] for stage in on_designs]
    return [*found, ["report"]]


def contents(folder):
    """Return the digest of every file of a pipeline except those that hold measured times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not (path.suffix == ".json" and "history" in path.parts)
        and path.suffix not in (".lock", ".log")
        and "tmp" not in path.relative_to(folder).parts
    }


def leftovers(folder):
    """Return what should not be there: temporary files of ours, anything in TMPDIR."""
    found = [path for path in folder.rglob(".*") if is_temporary(path.name)]
    return found + [path for path in (folder / "tmp").iterdir() if "torchinductor" not in path.name]


def alive(folder):
    """Return the pids of the processes that a stage in this folder started (Linux)."""
    wanted, found = f"{MARK}={folder}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
                found += [path.name] if state != "Z" else []
        except OSError:
            continue
    return found


def start(folder, command, **popen):
    """Start a stage in `folder`, with a TMPDIR of its own."""
    (folder / "tmp").mkdir(exist_ok=True)
    variables = {MARK: str(folder), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "stages"), *command],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )


def finish(folder, command):
    """Run a stage to its end; return the seconds it took. AssertionError if it fails."""
    began = time.monotonic()
    process = start(folder, command)
    _, said = process.communicate()
    assert process.returncode == 0, f"{command} ended with {process.returncode}: {said[-2000:]}"
    return time.monotonic() - began


def kill(folder, command, number, after):
    """Send a signal to a stage after some seconds; AssertionError if any process of it lives on."""
    process = start(folder, command)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, said = process.communicate()
    allowed = {0, -number, 128 + number}
    assert process.returncode in allowed, f"{command} ended with {process.returncode}: {said}"
    assert "Traceback" not in said, said
    deadline = time.monotonic() + SECONDS_TO_END
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(folder), f"{command}: processes {alive(folder)} outlived {number!r}"


def walk(folder, todo, kills, rng, say=print):
    """Run the commands `todo` in two folders; kill each `kills[stage]` times in the second one."""
    calm, killed = folder / "calm", folder / "killed"
    for place in (calm, killed):
        place.mkdir()
        shutil.copy(folder / "params.yaml", place)
    for command in todo:
        seconds = finish(calm, command)
        moments = []
        for count in range(kills.get(command[0], 0)):
            number = (signal.SIGKILL, signal.SIGTERM)[count % 2]
            moments.append(f"{number.name} after {rng.uniform(0, seconds):.1f} s")
            kill(killed, command, number, float(moments[-1].split()[2]))
        finish(killed, command)
        assert contents(killed) == contents(calm), command
        assert not leftovers(killed), (command, leftovers(killed))
        say(f"{' '.join(command)} ({seconds:.1f} s): {', '.join(moments) or 'no kill'}: same bytes")


def main():
    """Walk the demo's stages in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2, help="kills of each stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", nargs="*", help="the stages to kill; default: all")
    parser.add_argument("--full", action="store_true", help="the demo's own sizes and epochs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        todo = commands(make_params(Path(folder), small=not arguments.full))
        kills = dict.fromkeys(arguments.stages or [name for name, *_ in todo], arguments.kills)
        walk(Path(folder), todo, kills, random.Random(arguments.seed))


if __name__ == "__main__":
    main()
