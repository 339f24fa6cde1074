"""The two accelerators: which C++ belongs to which.

Both are compiled with the same test bench, which finds the driver of the one or the other.
"""

from dataclasses import dataclass
from pathlib import Path

STREAMING, SIMD = "streaming", "simd"  # the words of params.yaml: designs.<name>.accelerator
SOURCES = Path(__file__).parent
TEST_BENCH = "testbench.cpp"


@dataclass(frozen=True)
class Accelerator:
    """C++ of one accelerator; paths are relative to `SOURCES`.

    `top` is the function to synthesise, in `source`; `headers` are patterns of the headers that
    design and test bench include, beside the generated ones.
    """

    top: str
    source: str
    headers: tuple[str, ...]

    @property
    def include_folders(self) -> tuple[str, ...]:
        """Folders of the headers."""
        return tuple(dict.fromkeys(str(Path(pattern).parent) for pattern in self.headers))


ACCELERATORS = {
    STREAMING: Accelerator(
        "resmlp_top", "streaming/resmlp_top.cpp", ("common/*.hpp", "streaming/*.hpp")
    ),
    SIMD: Accelerator("resmlp_simd", "simd/resmlp_simd.cpp", ("common/*.hpp", "simd/*.hpp")),
}


def cpp_files(accelerator: Accelerator, sources: Path = SOURCES) -> list[Path]:
    """Return the written C++ of an accelerator and of its test bench, in a fixed order."""
    headers = [path for pattern in accelerator.headers for path in sources.glob(pattern)]
    return sorted([*headers, sources / accelerator.source, sources / TEST_BENCH])
