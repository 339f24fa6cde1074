"""Reports of the HLS tool: csynth, export and co-simulation reports and logs with changed parts."""

import random
import re
from pathlib import Path

from hls.synthesize.metrics import synthesis_metrics, synthesis_tables
from hls.synthesize.project import Manifest
from hls.synthesize.project_texts import SynthesisTarget
from hls.synthesize.results import read_results
from tests.support.hls_stand_in import (
    OLD_EXPORT,
    PART,
    TOP,
    cosim_rpt,
    csynth_xml,
    export_xml,
)

NAME = "reports"
FILE = "report"  # any name: the content says which report it is

_FILES = {  # first bytes of the content: the name of the report
    "0": (f"{TOP}_csynth.xml", csynth_xml()),
    "1": ("csynth.xml", csynth_xml(modules=True)),
    "2": ("export_impl.xml", export_xml()),
    "3": (f"{TOP}_export.xml", OLD_EXPORT),
    "4": (f"{TOP}_cosim.rpt", cosim_rpt(8000, 8100, 8200, 6240, 6240, 6240, 51000)),
    "5": (f"{TOP}_csim.log", "INFO: [SIM 211-1] CSim done with 0 errors.\n"),
    "6": ("fill_cosim.rpt", cosim_rpt(1, 2, 3, 4, 5, 6, 7)),
}
_VALUES = [
    *("", "0", "-1", "1e9", "undef", "NA", "9" * 400, "6 ~ 9", "~", "nan", "TRUE", "3.65", "٣"),
    *(
        "<range><min>9</min><max>1</max></range>",
        "<a/>",
        "&amp;",
        "&x;",
        "]]>",
        "\0",
        "Pass",
        "Fail",
    ),
]
_NOISE = ["<!DOCTYPE p [<!ENTITY a 'b'>]>", "<a>" * 3000, "|Verilog|Pass|", "MISMATCH\n", "\n", "<"]
MANIFEST = Manifest("relu_h96", TOP, SynthesisTarget(PART, 5.0), {"src/a.cpp": "0" * 64})


def mutate(rng: random.Random) -> bytes:
    """Return the digit of a report, then its text with changed figures, tags or bytes."""
    kind = rng.choice(list(_FILES))
    text = _FILES[kind][1]
    for _ in range(rng.choice([1, 1, 2, 4])):
        text = _change(text, rng)
    data = text.encode("utf-8", "replace")
    if rng.random() < 0.2 and data:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(rng.choice([0, 1, 8])) + data[at + 1 :]
    return kind.encode() + data


def read(path: Path) -> None:
    """Read a folder of good reports, one of them replaced by the content of `path`."""
    content = path.read_bytes()
    folder = path.parent / "reports"
    folder.mkdir(exist_ok=True)
    for kind, (name, text) in _FILES.items():
        is_this = content[:1] == kind.encode()
        (folder / name).write_bytes(content[1:] if is_this else text.encode())
    measured = read_results(folder, MANIFEST)
    figures = synthesis_metrics(measured, MANIFEST)
    assert figures["tool"] and synthesis_tables(measured)["modules"]


def _change(text: str, rng: random.Random) -> str:
    places = [match.span() for match in re.finditer(r"(?<=>)[^<>\n]+(?=<)|\b\d+\b|<\w+>", text)]
    kind = rng.random()
    if kind < 0.6 and places:
        start, end = rng.choice(places)
        return text[:start] + rng.choice([*_VALUES, text[start:end] * 2]) + text[end:]
    at = rng.randint(0, len(text))
    if kind < 0.8:
        return text[:at] + rng.choice(_NOISE) + text[at:]
    if kind < 0.9:
        return text[:at]
    return text[:at] + text[rng.randint(at, len(text)) :]
