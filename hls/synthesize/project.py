"""Write a self-contained project folder of one design, for the tool here or on another machine.

    src/             C++ of design and test bench, headers
    hls_config.cfg   for v++ and vitis-run          run.tcl   for vitis_hls and vivado_hls
    hls_cosim.cfg    for vitis-run --cosim
    README.md        the commands                   manifest.json   top, target, sha256 of sources

The tool writes to a folder whose name contains the hash of the sources, so reports of earlier
sources cannot be mistaken for current ones. The test bench contains images of the data set: do not
share the folder publicly.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hls.cpp.accelerators import ACCELERATORS, SOURCES
from hls.synthesize.project_texts import (
    CONFIG,
    COSIM_CONFIG,
    EXPORTS,
    SCRIPT,
    SynthesisTarget,
    config_text,
    readme_text,
    script_text,
)
from hls.synthesize.report_files import read_text
from models.files.errors import PipelineError
from models.files.temporary import temporary_folder

MANIFEST = "manifest.json"
SOURCE_FOLDER = "src"

MAX_CLOCK_NS = 1e6
FLOW_TARGETS = ("vitis", "vivado")
_NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,99}")
_PART = re.compile("[0-9A-Za-z][-._0-9A-Za-z]{0,79}")
_DIGEST = re.compile("[0-9a-f]{64}")
_SOURCE_NAME = re.compile("[A-Za-z0-9_]{1,80}[.](?:cpp|hpp|h)")

FILES = (SOURCE_FOLDER, CONFIG, COSIM_CONFIG, SCRIPT, "README.md", MANIFEST)


@dataclass(frozen=True)
class Sources:
    """The files of a design: C++ to synthesise, C++ of the test bench, and their headers.

    All file names must differ, because the project stores them in one folder.
    """

    top: str
    design: tuple[Path, ...]
    test_bench: tuple[Path, ...]
    headers: tuple[Path, ...]


@dataclass(frozen=True)
class Manifest:
    """The description of a project folder: its design, target and sources."""

    name: str
    top: str
    target: SynthesisTarget
    sources: Mapping[str, str]  # path in the project -> sha256

    @property
    def source_hash(self) -> str:
        """SHA-256 over the names and hashes of all sources."""
        lines = (f"{digest}  {file}\n" for file, digest in sorted(self.sources.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def work(self) -> str:
        """The folder to which the config file flow writes."""
        return f"work_{self.source_hash[:12]}"

    @property
    def project(self) -> str:
        """The folder to which the Tcl flow writes."""
        return f"project_{self.source_hash[:12]}"


def accelerator_sources(accelerator: str, *generated: Path) -> Sources:
    """Return the files of an accelerator; `generated` are the generated headers of a design."""
    files = ACCELERATORS[accelerator]
    headers = [path for pattern in files.headers for path in sorted(SOURCES.glob(pattern))]
    design, test_bench = (SOURCES / files.source,), (SOURCES / "testbench.cpp",)
    return Sources(files.top, design, test_bench, (*headers, *generated))


def write_project(folder: Path, name: str, sources: Sources, target: SynthesisTarget) -> Manifest:
    """Write the project folder, replacing an older one, and return its manifest.

    The same sources and target give the same bytes. Other files in the folder, such as reports of a
    run, are kept. PipelineError names a missing source.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.name, folder.parent) as temporary:
        complete = temporary / folder.name
        manifest = _fill(complete, name, sources, target)
        if folder.exists():
            old = folder.rename(temporary / "old")
            for other in old.iterdir():
                if other.name not in FILES:
                    other.rename(complete / other.name)
        complete.rename(folder)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.json; PipelineError if it is missing, malformed or has paths outside src/."""
    try:
        values = json.loads(read_text(path))
        target = SynthesisTarget(**_fields(SynthesisTarget, values.pop("target")))
        manifest = Manifest(target=target, **_fields(Manifest, values, without="target"))
        sources = dict(manifest.sources)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PipelineError(
            f"{path} is not the manifest of a project ({type(error).__name__}); "
            "write the project again."
        ) from None
    for file, digest in sources.items():
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not _is_inside(file):
            raise PipelineError(
                f"{path} lists a source that it may not list, {ascii(file)[:80]}; "
                "write the project again."
            )
    _check_words(manifest.name, manifest.top, target, str(path))
    return manifest


def check_sources(folder: Path, manifest: Manifest, all_of_them: bool = True) -> None:
    """Check that the sources in a project folder match its manifest.

    PipelineError names the first source that was changed. With `all_of_them` a missing source is an
    error, too.
    """
    for file, digest in manifest.sources.items():
        path = folder / file
        if not path.is_file():
            if all_of_them:
                raise PipelineError(f"{path} is missing; write the project again.")
        elif _sha256(path) != digest:
            raise PipelineError(
                f"{path} is not the file that {folder / MANIFEST} lists: it was changed; write the "
                "project anew."
            )


def _check_words(name: str, top: str, target: SynthesisTarget, where: str) -> None:
    """Raise PipelineError, with the key, if a value cannot be written into a script or a path."""
    allowed = {
        "name": _is_word(name, _NAME),
        "top": _is_word(top, _NAME),
        "part": _is_word(target.part, _PART),
        "clock_ns": _is_number(target.clock_ns) and 0 < target.clock_ns <= MAX_CLOCK_NS,
        "flow_target": target.flow_target in FLOW_TARGETS,
        "clock_uncertainty": target.clock_uncertainty is None
        or (_is_number(target.clock_uncertainty) and 0 <= target.clock_uncertainty <= 100),
        "cosim": isinstance(target.cosim, bool),
        "export": target.export in EXPORTS,
    }
    values = {"name": name, "top": top, **asdict(target)}
    for key, is_allowed in allowed.items():
        if not is_allowed:
            raise PipelineError(
                f"{where}: {key} is {ascii(values[key])[:60]}, which no project can have; write "
                "the project again."
            )


def _is_word(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fill(folder: Path, name: str, sources: Sources, target: SynthesisTarget) -> Manifest:
    _check_words(name, sources.top, target, name)
    (folder / SOURCE_FOLDER).mkdir(parents=True)
    hashes = {}
    for source in (*sources.design, *sources.test_bench, *sources.headers):
        inside = _inside(source)
        if inside in hashes:
            raise PipelineError(f"{source}: the design has two files of this name; rename one.")
        try:
            shutil.copyfile(source, folder / inside)
        except OSError as error:
            raise PipelineError(
                f"{source} cannot be copied into the project: {error.strerror}."
            ) from None
        hashes[inside] = _sha256(folder / inside)
    manifest = Manifest(name, sources.top, target, dict(sorted(hashes.items())))
    files = [_inside(file) for file in sources.design], [_inside(f) for f in sources.test_bench]
    texts = {
        CONFIG: config_text(sources.top, *files, target),
        COSIM_CONFIG: config_text(sources.top, *files, target, cosim=True),
        SCRIPT: script_text(sources.top, *files, target, manifest.project),
        "README.md": readme_text(name, sources.top, target, manifest.work, manifest.project),
        MANIFEST: json.dumps(asdict(manifest), indent=2) + "\n",
    }
    for file, text in texts.items():
        (folder / file).write_text(text)
    return manifest


def _inside(source: Path) -> str:
    return f"{SOURCE_FOLDER}/{source.name}"


def _is_inside(file: object) -> bool:
    folder, _, name = str(file).partition("/")
    return folder == SOURCE_FOLDER and _SOURCE_NAME.fullmatch(name) is not None


def _fields(cls: type, values: dict[str, Any], without: str = "") -> dict[str, Any]:
    """Return `values` if its keys are exactly the fields of the dataclass; otherwise KeyError."""
    names = {field.name for field in fields(cls)} - {without}
    if set(values) != names:
        raise KeyError(str(set(values) ^ names))
    return values


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
