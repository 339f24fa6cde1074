"""Fill names into the template files of this folder: @NAME@ stands for a value.

Makefiles, Tcl scripts and configurations are commands, so their values may contain only characters
that end no word, string or command there. Only README.md takes prose.
"""

import re
from collections.abc import Mapping
from pathlib import Path

TEMPLATES = Path(__file__).parent

_NAME = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_SAFE = re.compile(r"[-\w./: ]*", re.ASCII)


def filled(file: str, values: Mapping[str, str | int], prose: bool = False) -> str:
    """Return the text of a template with its names replaced.

    `file` is relative to this folder. `prose` allows any characters in the values. Raises
    ValueError for a value that could become a command, KeyError for a name without a value.
    """

    def value(match: re.Match[str]) -> str:
        text = str(values[match[1]])
        if not prose and not _SAFE.fullmatch(text):
            raise ValueError(f"{file}: {match[1]} is {text!r}, which is not a plain word or path")
        return text

    return _NAME.sub(value, (TEMPLATES / file).read_text())
