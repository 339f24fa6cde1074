"""The two accelerators: which C++ belongs to which.

Both are compiled with the same test bench, which finds the driver of the one or the other.
"""

from dataclasses import dataclass
from pathlib import Path

from hls.accelerator_names import SIMD, STREAMING


@dataclass(frozen=True)
class Accelerator:
    """C++ of one accelerator; paths are relative to hls/.

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


_SHARED = ("activation", "fixed_point", "process", "stream", "trace")

ACCELERATORS = {
    STREAMING: Accelerator("resmlp_top", "resmlp_top.cpp", ("include/*.hpp", "streaming/*.hpp")),
    SIMD: Accelerator(
        "resmlp_simd",
        "simd/resmlp_simd.cpp",
        (*(f"include/{name}.hpp" for name in _SHARED), "simd/*.hpp"),
    ),
}
