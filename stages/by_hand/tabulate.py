"""Turn any function of one variable per channel into an INT8 table, a C++ header and ONNX.

`python stages tabulate torch.nn:GELU --half-range 4` takes a class without arguments, a module or
a function of tensors, by its name in a Python file (`FILE:NAME`, found from this folder). Writes
build/units/<name>/ with <name>.hpp and the headers that it includes, <name>.onnx where onnx is
installed, and <name>.json with scales and errors. From Python: `models.tabulate.function.tabulate`,
then `write_unit` of this file. docs/activation.md has examples, a KAN's splines among them.
"""

import argparse
import json
import logging
import pkgutil
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from hls.cpp.accelerators import SOURCES
from hls.headers.unit import COMMON, unit_text
from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line
from models.tabulate.function import Tabulated, tabulate
from stages.pipeline.command import guarded

log = logging.getLogger(__name__)

UNITS = Path("build/units")


def write_unit(
    tabulated: Tabulated, name: str, folder: Path, lanes: int = 1, storage: str = "lut"
) -> list[Path]:
    """Write the files of a unit to `folder` and return their paths; the header needs ap_int.h.

    The three forms compute the same integers as `tabulated.integers`. `lanes` and `storage` as
    `hls.headers.unit.unit_text`, whose ValueError says what is not possible.
    """
    scales = tabulated.in_scale, tabulated.out_scale
    contents = {f"{name}.hpp": unit_text(name, tabulated.table, scales, lanes, storage).encode()}
    contents[f"{name}.json"] = (json.dumps(summary(tabulated), indent=2) + "\n").encode()
    if find_spec("onnx") is not None:
        from models.tabulate.onnx_unit import onnx_unit

        contents[f"{name}.onnx"] = onnx_unit(tabulated, name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in COMMON:
        shutil.copy(SOURCES / "common" / file, folder / file)
    for file, content in contents.items():
        with replace_on_success(folder / file) as temporary:
            temporary.write_bytes(content)
    return [folder / file for file in (*contents, *COMMON)]


def summary(tabulated: Tabulated) -> dict[str, Any]:
    """Return scales, errors and what happens outside the range, for JSON; in real units."""
    return {
        "channels": tabulated.channels,
        "in_scale": tabulated.in_scale,
        "out_scale": tabulated.out_scale,
        "range": [-128 * tabulated.in_scale, 127 * tabulated.in_scale],
        "outside": "inputs saturate, so the function is constant",
        "below": tabulated.below.tolist(),
        "above": tabulated.above.tolist(),
        "saturated_knots": tabulated.saturated,
        "errors": asdict(tabulated.errors),
        "knots": tabulated.table.knots.tolist(),
    }


def found(name: str) -> Callable[[Tensor], Tensor]:
    """Import what `module:attribute` names; a class is called. PipelineError if that fails."""
    sys.path.insert(1, str(Path.cwd()))
    try:
        wanted = pkgutil.resolve_name(name)
        return wanted() if isinstance(wanted, type) else wanted
    except Exception as error:  # the user's module may raise anything
        raise PipelineError(
            f"{name} cannot be used ({one_line(error)}); name a module and what it holds, as in "
            "torch.nn:GELU or, for the file my_model.py of this folder, my_model:activation."
        ) from error


def main(options: argparse.Namespace) -> None:
    """Tabulate what the command line names."""
    name = options.name or re.sub(r"\W", "_", options.function.rpartition(":")[2]).lower()
    function = found(options.function)
    try:
        tabulated = tabulate(function, options.channels, options.half_range, options.out_scale)
        paths = write_unit(tabulated, name, UNITS / name, options.lanes, options.storage)
    except ValueError as error:
        raise PipelineError(f"{options.function}: {one_line(error)}") from error
    low, high = summary(tabulated)["range"]
    total = tabulated.errors.total
    log.info(
        "%s: %d channels on [%g, %g], constant outside; one output step is %.3g; largest error "
        "%.3g, rms %.3g (steps: %.2f, %.2f)",
        name,
        tabulated.channels,
        low,
        high,
        tabulated.out_scale,
        total.largest,
        total.rms,
        total.largest / tabulated.out_scale,
        total.rms / tabulated.out_scale,
    )
    log.info("written: %s", ", ".join(str(path) for path in paths))


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("function", metavar="FILE:NAME", help="e.g. torch.nn:GELU")
    parser.add_argument("--half-range", type=float, default=4.0, help="a of [-a, a]")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--out-scale", type=float, help="default: the smallest without saturation")
    parser.add_argument("--name", help="of the unit; default: that of the function")
    parser.add_argument("--lanes", type=int, default=1, help="channels per cycle")
    parser.add_argument("--storage", choices=("lut", "bram"), default="lut")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    guarded(lambda: main(options))
