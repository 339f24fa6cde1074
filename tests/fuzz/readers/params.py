"""params.yaml with the slips of an editor, hostile values and pieces of YAML in it.

What is accepted must be what DVC reads from the same file (ruamel.yaml).
"""

import random
from pathlib import Path

from ruamel.yaml import YAML

from stages.pipeline.params import load_params
from stages.pipeline.strict_yaml import read_yaml
from tests.support.paths import ROOT

NAME = "params"

_TEXT = (ROOT / "demo" / "params.yaml").read_text(encoding="utf-8")
_VALUES = (
    *("017", "1_000", "1:30", "0x1F", "1e-06", "1e400", ".nan", "-.inf", "1e18", "9" * 20, "-1"),
    *("0", "null", "~", "true", "no", "2023-01-02", "[]", "{}", "[1, 2, 3]", "{a: 1}", "''", "'1'"),
    *("!!float 1", "&a 1", "*a", "|-", ">-", "?", ":", "-", ",", "<<", "con", "nul", "metrics"),
    *("../x", "relu", "bspline", "published", "[teacher]", "0.5", "1", "2", "4", "1e-300"),
)
_PIECES = (
    *("\t", "\n", "  ", "\n\n", ": ", "- ", "# ", "'", '"', "{", "}", "[", "]", "&a ", "*a", "!x "),
    *("%YAML 1.1\n---\n", "---\n", "...\n", "\ufeff", "\x85", "\u2028", "\x00", "é", "\U0001f600"),
    *("<<: *a\n", "<<: {seed: 1}\n", "a: &a [*a]\n", "? ", "|\n", "x" * 2000, "[" * 500, "\r"),
)


def mutate(rng: random.Random) -> bytes:
    """Return the demo's parameters with one to three changes."""
    text = _TEXT
    for _ in range(rng.choice([1, 1, 2, 3])):
        lines = text.splitlines(keepends=True)
        at, line = rng.randrange(len(text)), rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(_PIECES) + text[at + rng.randrange(4) :]
            case 1:
                key = lines[line].partition(":")[0].rstrip("\n")
                lines[line] = f"{key}: {rng.choice(_VALUES)}\n"
                text = "".join(lines)
            case 2:
                lines[line:line] = [rng.choice(lines)] * rng.choice([1, 2, 300])
                text = "".join(lines)
            case 3:
                del lines[line : line + rng.randint(1, 8)]
                text = "".join(lines) or "\n"
            case _:
                text = text[:at] + chr(rng.choice([rng.randrange(32, 127), rng.randrange(256)]))
                text += text[at + 1 :] or _TEXT[at + 1 :]
    content = bytearray(text.encode("utf-8", "replace"))
    if rng.random() < 0.2:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def read(path: Path) -> None:
    """Read and check the file; AssertionError if DVC would read something else."""
    load_params(path)
    ours, theirs = read_yaml(path), YAML(typ="safe").load(path)
    assert repr(ours) == repr(theirs), "DVC reads other values"
