"""Find the images of the repository that an experiment of DVC was started from.

`dvc exp run --queue` and `--temp` run in a copy of the repository inside its folder .dvc/tmp/exps,
without the images. dvc.lock says from which parameters and code they were made, and their MD5.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from stages.pipeline.paths import CODE, DATASET, PARAMS
from stages.pipeline.strict_yaml import read_yaml

_STAGE, _LOCK = "prepare_data", Path("dvc.lock")
_FINGERPRINTS = CODE / "pipeline.json"


def kept_dataset() -> Path | None:
    """Return the images if they are what the stage would write here, None if they are not there."""
    origin = _origin(Path.cwd())
    kept = origin and origin / DATASET
    if kept is None or not kept.is_file() or not _LOCK.is_file():
        return None
    try:
        expected = _expected(yaml.load(_LOCK.read_bytes(), yaml.CSafeLoader))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None  # the stage then reads the source, as without an experiment
    with kept.open("rb") as file:
        return kept if hashlib.file_digest(file, "md5").hexdigest() == expected else None


def _origin(folder: Path) -> Path | None:
    """Return the folder in the repository that `folder` is a copy of, None if it is no copy."""
    root = next((path for path in (folder, *folder.parents) if (path / ".dvc").is_dir()), folder)
    inside = next((path for path in root.parents if path.name == ".dvc"), None)
    return inside and inside.parent / folder.relative_to(root)


def _expected(lock: Any) -> str | None:  # noqa: ANN401 - the content of a dvc.lock
    """Return the MD5 of the images in a dvc.lock; None if they were made of something else."""
    stage = lock["stages"][_STAGE]
    made_of = stage["params"]
    params, code = read_yaml(PARAMS), json.loads(_FINGERPRINTS.read_bytes())
    here = {
        str(PARAMS): {key: params[key] for key in made_of[str(PARAMS)]},
        str(_FINGERPRINTS): {key: code[key] for key in made_of[str(_FINGERPRINTS)]},
    }
    outs = {out["path"]: str(out["md5"]) for out in stage["outs"]}
    return outs[str(DATASET)] if here == made_of else None
