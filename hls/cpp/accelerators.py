"""The C++ files of the two accelerators.

Both are compiled with the same test bench, which includes the driver.hpp of the accelerator.
"""

from dataclasses import dataclass
from pathlib import Path

STREAMING, SIMD = "streaming", "simd"  # the words of params.yaml: designs.<name>.accelerator
SOURCES = Path(__file__).parent
TEST_BENCH = "testbench.cpp"
START_FIFO_DEPTH = 16  # start tokens between two dataflow processes (the tool's default: 2)


@dataclass(frozen=True)
class Accelerator:
    """C++ of one accelerator; paths are relative to `SOURCES`.

    `top` is the function to synthesise; it is in `source`. `headers` are glob patterns of the
    hand-written headers that the design and the test bench include.
    """

    top: str
    source: str
    headers: tuple[str, ...]

    @property
    def include_folders(self) -> tuple[str, ...]:
        """The folders of the headers, relative to `SOURCES`."""
        return tuple(dict.fromkeys(str(Path(pattern).parent) for pattern in self.headers))


ACCELERATORS = {
    STREAMING: Accelerator(
        "resmlp_top", "streaming/resmlp_top.cpp", ("common/*.hpp", "streaming/*.hpp")
    ),
    SIMD: Accelerator("resmlp_simd", "simd/resmlp_simd.cpp", ("common/*.hpp", "simd/*.hpp")),
}


def cpp_files(accelerator: Accelerator, sources: Path = SOURCES) -> list[Path]:
    """Return the hand-written C++ files of an accelerator and its test bench, sorted by path."""
    headers = [path for pattern in accelerator.headers for path in sources.glob(pattern)]
    return sorted([*headers, sources / accelerator.source, sources / TEST_BENCH])
