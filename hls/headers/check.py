"""Check generated headers before they are compiled: they must be what the pipeline would write.

The headers of a network and a design may come from another machine (`dvc pull`), and compiled C++
can do anything. So each header must equal, byte for byte, the text made from int8.pkl, design.json
and samples.pkl, which are read with checks of every name and number. The folders are searched by
`#include`, so a further file in them could take the place of a header of the compiler.
"""

from collections.abc import Collection
from pathlib import Path

from hls.cpp.accelerators import SIMD
from hls.headers.design import design_text
from hls.headers.golden import golden_text
from hls.headers.network import config_text, header_files, params_text
from hls.headers.simd_parameters import parameters_text
from hls.plan.design import Design
from models.files.errors import PipelineError
from models.integer.params import IntResMlp, Samples

GOLDEN_FILES = ("golden.hpp", "parameters.hpp", "samples.pkl")


def checked_headers(folders: tuple[Path, Path], network: IntResMlp, design: Design) -> list[Path]:
    """Return the generated headers of a network and a design, in the folders (network, design).

    PipelineError names the header that is missing or differs from the network or the design, with
    its first line that does, and any other file in the folders.
    """
    files = header_files(*folders, with_params=design.accelerator != SIMD)
    check_folder(folders[0], ("config.hpp", "params.hpp"))
    check_folder(folders[1], ("design.hpp",))
    texts = {
        "config.hpp": lambda: config_text(network),
        "params.hpp": lambda: params_text(network),
        "design.hpp": lambda: design_text(design),
    }
    for file in files:
        _check(
            file, texts[file.name](), "plan" if file.name == "design.hpp" else "generate_headers"
        )
    return files


def checked_golden(
    folder: Path, samples: Samples, network: IntResMlp, design: Design
) -> list[Path]:
    """Return the headers that only the test bench includes; errors as `checked_headers`.

    `samples` are those of the file samples.pkl in the same folder, already checked.
    """
    check_folder(folder, GOLDEN_FILES)
    texts = {folder / "golden.hpp": golden_text(samples)}
    if design.array is not None:
        texts[folder / "parameters.hpp"] = parameters_text(network, design.array)
    for file, text in texts.items():
        _check(file, text, "csim")
    return list(texts)


def check_folder(folder: Path, names: Collection[str]) -> None:
    """Raise PipelineError if a folder of headers holds anything but `names` and hidden files."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in names and not path.name.startswith("."):
            raise PipelineError(
                f"{ascii(str(path))[1:-1]} is not a file of the pipeline, and compilers search its "
                "folder; remove it."
            )


def _check(file: Path, text: str, stage: str) -> None:
    if not file.is_file():
        raise PipelineError(f"{file} is missing; run `dvc repro {stage}` to make it.")
    found, expected = file.read_bytes(), text.encode()
    if found != expected:
        raise PipelineError(
            f"{file}, line {_first_difference(found, expected)}, is not what the pipeline writes "
            f"for these parameters: it was edited or belongs to others; run `dvc repro {stage}` to "
            "make it again."
        )


def _first_difference(found: bytes, expected: bytes) -> int:
    """Return the number of the first line that differs."""
    pairs = zip(found.split(b"\n"), expected.split(b"\n"), strict=False)
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
    if same is None:  # one text is the beginning of the other
        same = min(found.count(b"\n"), expected.count(b"\n"))
    return same + 1
