"""Train and plan a grid of settings of one student, and draw one table and one picture of them.

    python stages sweep lerp_psa_h96 grid_size=32,64 hidden_dim=24,48 folding=published,64000

KEY=VALUE,VALUE sets a key of the student's row of `variants` (`quantize.epochs` for a key of a
section). `folding` adds designs: `published`, or images per second that the folding is computed
for. Every combination becomes a row of params.yaml, unless a row says the same already. All of them
are one experiment of DVC (`dvc exp run`), so nothing that is up to date runs again, and the same
command goes on after an interruption.

Writes data/sweeps/<name>.csv, .md and .png.
"""

import argparse
import copy
import itertools
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hls.cpp.accelerators import STREAMING
from hls.processes import Children
from models.files.errors import PipelineError
from stages.pipeline.command import guarded
from stages.pipeline.designs import PUBLISHED, DesignRow
from stages.pipeline.params import Variant, check_name, load_params, params_of
from stages.pipeline.paths import PARAMS
from stages.pipeline.strict_yaml import read_yaml
from stages.results.sweep import Point, write_sweep

FOLDING = "folding"  # the one key that is a design's
SECTIONS = ("transfer", "distill", "quantize")
_WORDS = {"true": True, "false": False, "null": None}

Document = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """The points of a sweep, and the rows that params.yaml does not have yet, by their key."""

    points: list[Point]
    rows: dict[str, Document]

    @property
    def targets(self) -> list[str]:
        """The stages of dvc.yaml that measure the points."""
        named = ((f"verify@{p.variant}", p.design and f"plan@{p.design}") for p in self.points)
        return list(dict.fromkeys(target for pair in named for target in pair if target))


def values_of(arguments: Sequence[str]) -> dict[str, list[Any]]:
    """Return {key: values} of arguments KEY=VALUE,VALUE; PipelineError for another form."""
    found: dict[str, list[Any]] = {}
    for argument in arguments:
        key, _, values = argument.partition("=")
        if not key or not all(values.split(",")):
            raise PipelineError(f"{argument!a} must have the form KEY=VALUE,VALUE, without blanks.")
        if key in found:
            raise PipelineError(f"{key!a} is given twice; put all its values into one list.")
        found[key] = list(dict.fromkeys(_value(text) for text in values.split(",")))
    return found


def plan_sweep(document: Document, base: str, name: str, values: Mapping[str, list[Any]]) -> Sweep:
    """Return the sweep over all combinations of `values`, the keys of the row `base`.

    `document` is the content of params.yaml, `name` begins the names of new rows. PipelineError for
    a key or a value that params.yaml may not have.
    """
    known = params_of(document)
    known.variant(base)
    check_name(name, f"--name {name!a}")
    document, points = copy.deepcopy(document), []
    for combination in itertools.product(*values.values()):
        setting = dict(zip(values, combination, strict=True))
        network = {key: value for key, value in setting.items() if key != FOLDING}
        row = _with(document["variants"][base], network)
        variant = _row(document, "variants", _joined(name, network), row)
        design = None
        if FOLDING in setting:
            hardware = _hardware(variant, setting[FOLDING])
            own = _joined(variant, {FOLDING: setting[FOLDING]})
            design = _row(document, "designs", own, hardware)
        points.append(Point(setting, variant, design))
    rows = {
        f"{section}.{key}": row
        for section in ("variants", "designs")
        for key, row in document[section].items()
        if key not in getattr(known, section)
    }
    return Sweep(points, rows)


def _value(text: str) -> Any:  # noqa: ANN401 - a plain value of YAML
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _WORDS.get(text, text)


def _with(row: Document, changes: Mapping[str, Any]) -> Document:
    """Return the row with other values; a key `section.key` is changed in that section."""
    row = copy.deepcopy(row)
    for key, value in changes.items():
        section, _, inner = key.rpartition(".")
        if section in SECTIONS:
            row[section] = {**row.get(section, {}), inner: value}
        else:
            row[key] = value
    return row


def _hardware(variant: str, folding: object) -> Document:
    form = (
        {FOLDING: folding} if folding == PUBLISHED else {"target": {"images_per_second": folding}}
    )
    return {"variant": variant, "accelerator": STREAMING, **form}


def _joined(name: str, setting: Mapping[str, Any]) -> str:
    """Return a name such as sweep_grid32_hidden48, with the first word of every key."""
    parts = (
        f"{key.split('.')[-1].split('_')[0]}{_override(value)}" for key, value in setting.items()
    )
    return re.sub(r"[^a-z0-9_]+", "_", "_".join((name, *parts)).lower())


def _row(document: Document, section: str, name: str, row: Document) -> str:
    """Return the name of the row of params.yaml that says what `row` says; add it if none does."""
    rows = document[section]
    known = getattr(params_of(document), section)
    asked = getattr(params_of({**document, section: {**rows, name: row}}), section)[name]
    for other, existing in known.items():
        if _nameless(existing) == _nameless(asked):
            return str(other)
    if name in known:
        raise PipelineError(
            f"{PARAMS}: {section}.{name} is another row than this sweep needs; give the sweep "
            "another --name."
        )
    check_name(name, f"{section}.{name}")
    rows[name] = row
    return name


def _nameless(row: Variant | DesignRow) -> Variant | DesignRow:
    return replace(row, name="") if isinstance(row, Variant) else row


def overrides(rows: Mapping[str, Document]) -> list[str]:
    """Return the options of `dvc exp run` that add the rows to params.yaml."""
    return [part for key, row in rows.items() for part in ("-S", f"++{key}={_override(row)}")]


def _override(value: object) -> str:
    """Return a plain value in the grammar of DVC's overrides (Hydra)."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_override(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_override, value)) + "]"
    return next((word for word, known in _WORDS.items() if known is value), str(value))


def run_dvc(arguments: Sequence[str]) -> int:
    """Run `dvc` with the Python of this process, also in its stages; return its exit status."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "dvc", *arguments]
    with Children() as children:
        return children.start(command, sys.stdout.fileno(), variables={"PATH": path}).wait()


def main(base: str, settings: Sequence[str], name: str) -> None:
    """Plan the sweep, let DVC run it, and write its table and picture."""
    load_params(PARAMS)  # a mistake in the file is told before one in the settings
    sweep = plan_sweep(read_yaml(PARAMS), base, name, values_of(settings))
    logging.info("%d points, %d new rows of %s", len(sweep.points), len(sweep.rows), PARAMS)
    status = run_dvc(["exp", "run", *overrides(sweep.rows), *sweep.targets])
    if status:
        raise PipelineError(
            f"`dvc exp run` ended with status {status}, for the reason above; what is finished "
            "stays, and the same command goes on."
        )
    sys.stdout.write(write_sweep(sweep.points, name))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", help="the row of `variants` to start from, e.g. lerp_psa_h96")
    parser.add_argument("settings", nargs="+", metavar="KEY=VALUE,VALUE", help="values to combine")
    parser.add_argument("--name", default="sweep", help="begins the names of new rows and files")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    guarded(lambda: main(arguments.variant, arguments.settings, arguments.name))
